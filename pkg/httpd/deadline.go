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

// attended runs work that may hang on a disk for the client of a request. The
// context of work ends when the client leaves. The request waits for work all
// the same, until the deadline: a client that asks and leaves counts for its
// address as long as it keeps the disk busy.
func attended[T any](
	s *Server, q *request, stuck *bounded.Stuck,
	work func(context.Context) (T, error), undo func(T),
) (T, error) {
	waits := context.WithoutCancel(q.Context())
	return bounded.Do(waits, s.limits(stuck), func(ctx context.Context) (none T, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := context.AfterFunc(q.Context(), cancel)
		defer stop()
		// net/http ends the context when the client leaves, but a moment later.
		if clientGone(q.Context()) {
			return none, context.Canceled
		}
		return work(ctx)
	}, undo)
}

// clientGone reports whether the client of a request has left. net/http ends
// the context of a request then, but hears of it a moment later.
func clientGone(ctx context.Context) bool { return ctx.Err() != nil || conn.Gone(ctx) }
