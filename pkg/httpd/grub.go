package httpd

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
)

// clearPath is where a machine asks that its own configuration of GRUB goes
// away, once it is installed; a version follows.
const clearPath = "/grub/clear/"

// Clearer deletes the configuration of GRUB that a machine has by its address,
// in one version of GRUB, or nothing once ctx has ended. Not there is
// fs.ErrNotExist.
type Clearer func(ctx context.Context, version string, client netip.Addr) error

// plainName is a name that means nothing to a file system.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// clear deletes the file of the machine that asks, and of no other: nothing in
// the request says for which. Its body is not looked at.
func (s *Server) clear(w http.ResponseWriter, q *request, version string) {
	status, text, level, why := http.StatusOK, "cleared", slog.LevelInfo, ""
	switch {
	case !plainName.MatchString(version):
		status, text, why = http.StatusNotFound, nothingThere, "the version is no plain name"
	case !q.source.Is4():
		status, level = http.StatusBadRequest, slog.LevelWarn
		text = "only a machine with an IPv4 address has such a file"
	default:
		clear := func(ctx context.Context) (none struct{}, err error) {
			return none, s.Clear(ctx, version, q.source)
		}
		_, err := attended(s, q, &s.opens, clear, func(struct{}) {})
		if err != nil {
			why = short(err.Error())
		}
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist):
			status, text = http.StatusNotFound, "there is no such file for this address"
		default:
			status, level = http.StatusServiceUnavailable, slog.LevelError
			text = "the boot server cannot clear this file at the moment"
		}
	}
	line := append(requestAttrs(q),
		slog.String("path", redact(q.URL.Path)), slog.Int("status", status))
	if why != "" {
		line = append(line, slog.String("error", why))
	}
	s.log(level, "clear", line)
	fail(w, status, text)
}

func (s *Server) clears() bool { return s.Clear != nil }

func (s *Server) clearsByGet() bool { return s.Clear != nil && s.ClearByGet }
