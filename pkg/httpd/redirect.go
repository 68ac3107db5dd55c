package httpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/conn"
	"pxesrv/pkg/ipxe"
)

// redirect answers what this machine boots.
func (s *Server) redirect(w http.ResponseWriter, q *request, _ string) {
	began := time.Now()
	if s.Identify && q.URL.RawQuery == "" && strings.HasPrefix(q.UserAgent(), "iPXE/") {
		// A plain DHCP boot says nothing of the machine. The script asks again
		// with all that SMBIOS knows.
		s.observe().Redirect(&boot.Answer{}, nil, "identification", time.Since(began))
		s.script(w, q, "identification", ipxe.Identify())
		return
	}
	m := q.machine()
	take, why := mayClaim(q.Request)
	if why != "" {
		m.NoOrders = why
	}
	resolve := func(ctx context.Context) (boot.Answer, error) {
		return s.Site.Resolve(ctx, &m, take)
	}
	a, err := attended(s, q, &s.decisions, resolve, giveBack)
	if a.Grant == nil && q.Context().Err() != nil {
		err = context.Canceled // an order may have been passed over, since the client had left
	}
	if err != nil && !errors.Is(err, boot.ErrNothing) && !errors.Is(err, boot.ErrUnsure) {
		err = fmt.Errorf("%w: %w", boot.ErrUnsure, err)
	}
	s.reply(w, q, &decision{&m, a, err, time.Since(began)})
}

// decision is what a machine that asked was found to boot.
type decision struct {
	machine *boot.Machine
	answer  boot.Answer
	err     error // boot.ErrNothing or boot.ErrUnsure
	took    time.Duration
}

// mayClaim reports whether a request uses up an order that is its answer, and
// why no order may be its answer at all. HEAD is told what a GET would get.
func mayClaim(r *http.Request) (take bool, why string) {
	switch h := r.Header; {
	case strings.HasPrefix(r.UserAgent(), "UefiHttpBoot/"):
		why = "firmware asks for a loader, not for a script"
	case hasHeader(h, "Range", "If-Range"):
		why = "the request is for a part of the answer"
	case hasHeader(h, "If-Modified-Since", "If-None-Match", "If-Unmodified-Since", "If-Match"):
		why = "the request is conditional"
	}
	return r.Method == http.MethodGet, why
}

// hasHeader reports whether a request has one of these headers, in the spelling
// of net/http, with something in it.
func hasHeader(h http.Header, names ...string) bool {
	for _, name := range names {
		for _, value := range h[name] {
			if value != "" {
				return true
			}
		}
	}
	return false
}

// giveBack undoes a decision that came too late.
func giveBack(a boot.Answer) {
	if a.Grant != nil {
		a.Grant.GiveBack("the answer came too late")
	}
}

// reply says what was decided, to the machine and to the log.
func (s *Server) reply(w http.ResponseWriter, q *request, d *decision) {
	nothing := errors.Is(d.err, boot.ErrNothing)
	if d.err != nil && !nothing {
		s.unsure(w, q, d)
		return
	}
	status := http.StatusOK
	if nothing {
		status = http.StatusNotFound
	}
	level, line := decisionAttrs(q, d, status)
	if nothing {
		s.observeDecision(d, "nothing")
		s.log(slog.LevelWarn, "redirect", line)
		fail(w, http.StatusNotFound, "nothing is set for this machine, and there is no default")
		return
	}
	s.observeDecision(d, "script")
	grant := d.answer.Grant
	if grant == nil {
		s.log(level, "redirect", line)
		s.send(w, q, d.answer.Script.Body)
		return
	}
	line = append(line, slog.String("order", grant.ID()))
	if clientGone(q.Context()) {
		grant.GiveBack("the client went away before the first byte")
		line = append(line, slog.String("delivery", "client gone, given back"))
		s.log(slog.LevelWarn, "redirect", line)
		panic(http.ErrAbortHandler) // not an empty answer with status 200
	}
	s.deliver(w, q, d.answer, line)
}

// unsure answers that nobody can know what a machine boots.
func (s *Server) unsure(w http.ResponseWriter, q *request, d *decision) {
	s.observeDecision(d, "unsure")
	level, why := slog.LevelError, short(d.err.Error())
	if errors.Is(d.err, context.Canceled) {
		level, why = slog.LevelWarn, "the client went away before its answer was found"
	}
	_, line := decisionAttrs(q, d, http.StatusServiceUnavailable)
	s.log(level, "redirect", append(line, slog.String("error", why)))
	fail(w, http.StatusServiceUnavailable,
		"the boot server cannot tell at the moment what this machine boots")
}

func (s *Server) observeDecision(d *decision, result string) {
	s.observe().Redirect(&d.answer, d.machine, result, d.took)
}

// deliver sends an order, confirms it when the client's TCP has acknowledged
// it, or has not, and writes the log line then.
func (s *Server) deliver(w http.ResponseWriter, q *request, a boot.Answer, line []slog.Attr) {
	watch := conn.Watch(q.Context())
	w.Header().Set("Connection", "close")
	err := s.send(w, q, a.Script.Body)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	limit := s.Confirm
	if limit == 0 {
		limit = 2 * time.Second
	}
	confirmed := make(chan struct{})
	if q.TLS != nil {
		// What crypto/tls says when the connection is closed comes after the
		// script. A client that has all of the script and is gone by then
		// resets the connection, as one does that has not.
		defer func() { <-confirmed }()
	}
	s.pending().Go(func() {
		defer close(confirmed)
		defer watch.Close()
		if err == nil && watch.Arrived(limit) {
			a.Grant.Confirm(true)
			s.log(slog.LevelInfo, "redirect", append(line, slog.String("delivery", "acknowledged")))
		} else {
			a.Grant.Confirm(false)
			s.log(slog.LevelWarn, "redirect",
				append(line, slog.String("delivery", "not acknowledged, the order is open")))
		}
	})
}
