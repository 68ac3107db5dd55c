package httpd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"pxesrv/pkg/bounded"
	"pxesrv/pkg/ipxe"
)

// types are the content types that a client looks at. Everything else is bytes:
// nothing is guessed from what a file contains.
var types = map[string]string{
	".efi": "application/efi", ".iso": "application/vnd.efi.iso", ".img": "application/vnd.efi.img",
	".json": "application/json", ".txt": textPlain, ".cfg": textPlain, ".ks": textPlain,
}

// file answers with a file of the tree.
func (s *Server) file(w http.ResponseWriter, q *request, name string) {
	if s.FileSlots != nil {
		switch err := s.waitForSlot(q.Context()); {
		case err == nil:
			defer func() { <-s.FileSlots }()
		case errors.Is(err, context.Canceled):
			panic(http.ErrAbortHandler)
		default:
			s.observe().File(http.StatusServiceUnavailable, 0)
			s.refuse(w, q, http.StatusServiceUnavailable, "too many files are being sent")
			return
		}
	}
	// Nothing is used up by it: a client that has closed its half of the
	// connection gets its file.
	ctx := context.WithoutCancel(q.Context())
	f, err := bounded.Do(ctx, s.limits(&s.opens), func(context.Context) (opened, error) {
		f, err := s.Site.Open(name)
		if err != nil {
			return opened{}, err
		}
		info, err := f.Stat()
		return opened{f, info}, err
	}, opened.close)
	defer f.close()
	info := f.info
	switch {
	case errors.Is(err, fs.ErrNotExist) && ipxe.Instead(name) != nil:
		s.virtual(w, q, ipxe.Instead(name))
		return
	case errors.Is(err, fs.ErrNotExist) && s.Image != nil && strings.HasPrefix(name, imagePath):
		s.image(w, q, name)
		return
	case err != nil:
		s.noFile(w, q, name, err)
		return
	}
	kind := types[strings.ToLower(path.Ext(name))]
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// No inode in it: a download goes on at another server with the same file.
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	began, rec := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}
	http.ServeContent(rec, q.Request, "", info.ModTime(), f.file)
	s.observe().File(rec.status, rec.sent)
	s.logSent(q, "file", name, info.Size(), rec, time.Since(began))
}

// noFile answers that a file is not there, or cannot be read.
func (s *Server) noFile(w http.ResponseWriter, q *request, name string, err error) {
	status, level := http.StatusServiceUnavailable, slog.LevelError
	text := "the boot server cannot read this file at the moment"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		status, text, level = http.StatusNotFound, nothingThere, slog.LevelInfo
	case errors.Is(err, fs.ErrPermission):
		status, level = http.StatusForbidden, slog.LevelWarn
		text = "the boot server may not read this file"
	}
	s.observe().File(status, 0)
	s.logUnsent(q, level, "file", name, status, err)
	fail(w, status, text)
}

// opened is an open file, or none.
type opened struct {
	file *os.File
	info fs.FileInfo
}

func (f opened) close() {
	if f.file != nil {
		f.file.Close()
	}
}

// waitForSlot waits for a place among the files that are sent, for at most
// Deadline and as long as the client is there.
func (s *Server) waitForSlot(ctx context.Context) error {
	select {
	case s.FileSlots <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(s.deadline())
	defer late.Stop()
	select {
	case s.FileSlots <- struct{}{}:
		return nil
	case <-late.C:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return context.Canceled
	}
}
