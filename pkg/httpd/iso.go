package httpd

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// below is where boot images are.
const below = "/iso/"

// Image is a boot image that is read while it is sent; nothing of it is copied for a request.
type Image interface {
	Size() int64
	ETag() string // strong, in quotes
	Reader() io.ReadSeeker
}

// image answers with a boot image, as a file is answered: whole, in ranges, or not at all when the client has it.
func (s *Server) image(w http.ResponseWriter, r *http.Request, name string) {
	m, err := s.Image(strings.TrimPrefix(name, below))
	if err != nil {
		status, text, level := http.StatusServiceUnavailable, "the boot server cannot make this image; its log says why", slog.LevelError
		if errors.Is(err, fs.ErrNotExist) {
			status, text, level = http.StatusNotFound, nothingThere, slog.LevelInfo
		}
		s.observe().File(status, 0)
		s.say(level, "image", append(s.client(r), slog.String("path", shown(name)), slog.Int("status", status), slog.String("error", shownIn(err, name))))
		fail(w, status, text)
		return
	}
	h := w.Header()
	h.Set("Content-Type", types[".iso"])
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", m.ETag())
	began, rec := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}
	// Without the ReadFrom of a file, which would hold a second buffer for what is in memory already.
	http.ServeContent(struct{ http.ResponseWriter }{rec}, r, "", time.Time{}, m.Reader())
	s.observe().File(rec.status, rec.sent)
	s.sent(r, "image", name, m.Size(), rec, began)
}

// secret is what may be the capability of an image, whole or cut off.
var secret = regexp.MustCompile(`([0-9a-fA-F]{4})[0-9a-fA-F]{12,}`)

// shown is a path in the log. The folder of an image is what lets it be fetched, so only its beginning is shown.
func shown(name string) string { return short(withoutSecret(name, name)) }

// shownIn is the text of an error about a path in the log.
func shownIn(err error, name string) string { return short(withoutSecret(err.Error(), name)) }

func withoutSecret(text, name string) string {
	if !strings.Contains(name, below) {
		return text
	}
	return secret.ReplaceAllString(text, "$1…")
}
