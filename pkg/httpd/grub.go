package httpd

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"pxesrv/pkg/bounded"
)

// clearing is where a machine asks that its own configuration of GRUB goes away, once it is installed; a version follows.
const clearing = "/grub/clear/"

// plainName is a name that means nothing to a file system.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// clear deletes the file of the machine that asks, and of no other: nothing in the request says for which. Its body is not looked
// at.
func (s *Server) clear(w http.ResponseWriter, r *http.Request, version string) {
	if byGet := s.ClearByGet && r.Method == http.MethodGet; r.Method != http.MethodPost && !byGet {
		allow := "POST"
		if s.ClearByGet {
			allow = "GET, POST"
		}
		w.Header().Set("Allow", allow)
		s.refuse(w, r, http.StatusMethodNotAllowed, "only "+strings.ReplaceAll(allow, ", ", " and ")+" clears")
		return
	}
	_, source := s.source(r)
	status, text, level, why := http.StatusOK, "cleared", slog.LevelInfo, ""
	switch {
	case !plainName.MatchString(version):
		status, text, why = http.StatusNotFound, nothingThere, "the version is no plain name"
	case !source.Is4():
		status, text, level = http.StatusBadRequest, "only a machine with an IPv4 address has such a file", slog.LevelWarn
	default:
		_, err := bounded.Do(r.Context(), s.limits(&s.opens), func(ctx context.Context) (struct{}, error) {
			if clientGone(ctx) {
				return struct{}{}, context.Canceled
			}
			return struct{}{}, s.Clear(ctx, version, source)
		}, func(struct{}) {})
		if err != nil {
			why = short(err.Error())
		}
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist):
			status, text = http.StatusNotFound, "there is no such file for this address"
		default:
			status, text, level = http.StatusServiceUnavailable, "the boot server cannot clear this file at the moment", slog.LevelError
		}
	}
	line := append(s.client(r), slog.String("path", shown(r.URL.Path)), slog.Int("status", status))
	if why != "" {
		line = append(line, slog.String("error", why))
	}
	s.say(level, "clear", line)
	fail(w, status, text)
}

// clears returns the version that a path asks to be cleared. One whose dots lead out of that place is none.
func clears(name, asked string) (version string, ok bool) {
	if version, ok = strings.CutPrefix(name, clearing); ok {
		return version, true
	}
	return "", strings.HasPrefix(asked, clearing)
}

// Clearer deletes the configuration of GRUB that a machine has by its address, in one version of GRUB, or nothing once
// ctx has ended. Not there is fs.ErrNotExist.
type Clearer func(ctx context.Context, version string, client netip.Addr) error
