package httpd

import (
	"context"
	"time"

	"pxesrv/pkg/bounded"
	"pxesrv/pkg/conn"
)

func (s *Server) deadline() time.Duration {
	if s.Deadline == 0 {
		return 5 * time.Second
	}
	return s.Deadline
}

// limits are those of work of one kind that may hang on a disk. It is pending
// from its beginning: a stop that does not wait for the deadline waits for what
// is being claimed.
func (s *Server) limits(stuck *bounded.Stuck) bounded.Limits {
	return bounded.Limits{
		Deadline: s.deadline(), Stuck: stuck, MaxStuck: s.MaxStuck, Pending: s.pending(),
		Panicked: func(p *bounded.Panic) { s.logDefect(nil, p) },
	}
}

// clientGone reports whether the client of a request has left. net/http ends
// the context of a request then, but hears of it a moment later.
func clientGone(ctx context.Context) bool { return ctx.Err() != nil || conn.Gone(ctx) }
