package httpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"pxesrv/pkg/boot"
)

// hanging counts what of one kind was given up and has not come back.
type hanging struct{ n atomic.Int32 }

// full is an error when so much hangs that nothing more is begun.
func (h *hanging) full(s *Server) error {
	most := int32(s.Hanging)
	if most == 0 {
		most = 256
	}
	if h.n.Load() >= most {
		return fmt.Errorf("%d requests hang on the disk already", most)
	}
	return nil
}

func (h *hanging) add(s *Server, n int) {
	h.n.Add(int32(n))
	s.pending().add(n)
}

func (s *Server) deadline() time.Duration {
	if s.Deadline == 0 {
		return 5 * time.Second
	}
	return s.Deadline
}

// resolve decides what a machine boots, which a says then, in the goroutine of its request. A disk may hang: when the decision takes longer than
// Deadline, the request is answered without it, by late. Then resolve is not ok when the decision comes back at last, nothing may be
// said any more, and what it claimed is given back.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request, c *boot.Machine, a *boot.Answer, began time.Time) (ok bool, err error) {
	if err := s.decisions.full(s); err != nil {
		return true, fmt.Errorf("%w: %w", boot.ErrUnsure, err)
	}
	limit := s.deadline()
	within := &deadline{Context: r.Context(), until: began.Add(limit)}
	watch := watches.Get().(*watch)
	watch.late = func() {
		s.decisions.n.Add(1)
		s.late(w, r, c, began)
	}
	s.pending().add(1) // from the beginning: a stop that does not wait for the deadline waits for what is being claimed
	watch.timer.Reset(limit)
	defer func() {
		defer s.pending().add(-1)
		over := within.over()
		gone := within.end()
		if ok = watch.timer.Stop(); ok {
			watch.late = nil
			watches.Put(watch)
			if over && a.Grant == nil && err == nil {
				// Another moment, and late had answered. An order may have been passed over, since there was no time for it.
				*a, err = boot.Answer{}, s.tooLate()
			} else if gone && a.Grant == nil && err == nil {
				err = context.Canceled // an order was passed over, and who closed one half only would boot something else
			}
			return
		}
		if a.Grant != nil {
			a.Grant.GiveBack("the decision took too long")
		}
		<-watch.over
		s.decisions.n.Add(-1)
	}()
	*a, err = s.Site.Resolve(within, c, r.Method == http.MethodGet)
	if err != nil && !errors.Is(err, boot.ErrNothing) && !errors.Is(err, boot.ErrUnsure) {
		err = fmt.Errorf("%w: %w", boot.ErrUnsure, err)
	}
	return true, err
}

func (s *Server) tooLate() error {
	return fmt.Errorf("%w: the disk has not answered within %v", boot.ErrUnsure, s.deadline())
}

// late answers a request whose decision took too long. That has the request's goroutine, and perhaps for ever, so that the connection is
// taken away from it.
func (s *Server) late(w http.ResponseWriter, r *http.Request, c *boot.Machine, began time.Time) {
	defer func() {
		if p := recover(); p != nil {
			s.defect(s.client(r), p)
		}
	}()
	instead := &instead{header: http.Header{}}
	s.unsure(instead, r, c, &boot.Answer{}, time.Since(began), s.tooLate())
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // not a connection of http.Server: there is no other way to it
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(max(s.deadline(), 5*time.Second))) // however short decisions are
	instead.send(conn, r)
	if rec, ok := w.(*recorder); ok {
		rec.status, rec.sent, rec.late = instead.status, int64(len(instead.body)), true
		s.Access.Write(s.accessLine(r, rec, time.Now(), began))
	}
}

// instead is a http.ResponseWriter of its own: what is written to it can be sent over a connection that no server has any more.
type instead struct {
	header http.Header
	status int
	body   []byte
}

func (i *instead) Header() http.Header { return i.header }

func (i *instead) WriteHeader(status int) { i.status = status }

func (i *instead) Write(p []byte) (int, error) {
	i.body = append(i.body, p...)
	return len(p), nil
}

// send sends it, in one piece, as the answer to r and the last one of its connection.
func (i *instead) send(conn io.Writer, r *http.Request) {
	answer := http.Response{
		StatusCode: i.status, ProtoMajor: 1, ProtoMinor: 1, Header: i.header, Request: r, Close: true,
		ContentLength: int64(len(i.body)), Body: io.NopCloser(bytes.NewReader(i.body)),
	}
	var whole bytes.Buffer
	answer.Write(&whole)
	conn.Write(whole.Bytes())
}

// watch runs late when its timer ends, and puts something into over then.
type watch struct {
	timer *time.Timer
	late  func()
	over  chan struct{}
}

// watches are stopped. One that has run is never used again.
var watches = sync.Pool{New: func() any {
	w := &watch{over: make(chan struct{}, 1)}
	w.timer = time.AfterFunc(time.Hour, func() {
		defer func() { w.over <- struct{}{} }()
		w.late()
	})
	w.timer.Stop()
	return w
}}

// bounded runs work that may hang on a disk in a goroutine of its own, for at most Deadline. Work that takes longer is left behind: its
// result goes to undo when it comes. With too many left behind nothing new is begun.
func bounded[T any](s *Server, stuck *hanging, ctx context.Context, work func(context.Context) (T, error), undo func(T)) (T, error) {
	var none, value T
	if err := stuck.full(s); err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.deadline())
	defer cancel()
	var err error
	var broke any // what work panicked with, for the recover of the request
	done, left := make(chan struct{}), make(chan struct{})
	go func() {
		func() {
			defer func() { broke = recover() }()
			value, err = work(ctx)
		}()
		select {
		case done <- struct{}{}:
		case <-left:
			if broke != nil {
				s.defect(nil, broke)
			}
			undo(value)
			stuck.add(s, -1)
		}
	}()
	select {
	case <-done:
		if broke != nil {
			panic(broke)
		}
		return value, err
	case <-ctx.Done():
		stuck.add(s, 1)
		close(left)
		return none, ctx.Err()
	}
}

// left reports whether the client of a request has gone: net/http seldom knows it (see conn.Read).
func left(ctx context.Context) bool { return ctx.Err() != nil || connOf(ctx).hungUp() }

// longAgo is how long an answer may take without a look at whether its client is still there.
const longAgo = 10 * time.Millisecond

// deadline is a context that ends at a time, as context.WithTimeout makes it, or when the client of the request that it is of has gone;
// of that only Err knows. Its timer is only made when somebody waits for it, and a decision seldom does.
type deadline struct {
	context.Context
	until time.Time

	mu     sync.Mutex
	timed  context.Context
	cancel context.CancelFunc
	gone   bool // Err said that the client has
}

func (d *deadline) Deadline() (time.Time, bool) { return d.until, true }

func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.cancel = context.WithDeadline(d.Context, d.until)
	}
	return d.timed.Done()
}

func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.gone:
		return context.Canceled
	case d.timed != nil && d.timed.Err() != nil:
		return d.timed.Err()
	case d.over():
		return context.DeadlineExceeded
	case left(d.Context):
		d.gone = true
		return context.Canceled
	}
	return nil
}

func (d *deadline) over() bool { return time.Until(d.until) <= 0 }

// end gives the timer back, if there is one, and reports whether Err said that the client has gone.
func (d *deadline) end() (gone bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		d.cancel()
	}
	return d.gone
}
