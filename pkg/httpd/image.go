package httpd

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// imagePath is where boot images are.
const imagePath = "/iso/"

// Image is a boot image that is read while it is sent; nothing of it is copied
// for a request.
type Image interface {
	Size() int64
	ETag() string // strong, in quotes
	Reader() io.ReadSeeker
}

// image answers with a boot image, as a file is answered: whole, in ranges, or
// not at all when the client has it.
func (s *Server) image(w http.ResponseWriter, q *request, name string) {
	m, err := s.Image(strings.TrimPrefix(name, imagePath))
	if err != nil {
		status, level := http.StatusServiceUnavailable, slog.LevelError
		text := "the boot server cannot make this image; its log says why"
		if errors.Is(err, fs.ErrNotExist) {
			status, text, level = http.StatusNotFound, nothingThere, slog.LevelInfo
		}
		s.observe().File(status, 0)
		s.logUnsent(q, level, "image", name, status, err)
		fail(w, status, text)
		return
	}
	h := w.Header()
	h.Set("Content-Type", types[".iso"])
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", m.ETag())
	began, rec := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}
	// Without the ReadFrom of a file, which would hold a second buffer for what
	// is in memory already.
	http.ServeContent(struct{ http.ResponseWriter }{rec}, q.Request, "", time.Time{}, m.Reader())
	s.observe().File(rec.status, rec.sent)
	s.logSent(q, "image", name, m.Size(), rec, time.Since(began))
}
