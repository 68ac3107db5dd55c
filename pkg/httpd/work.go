package httpd

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// hanging counts the workers of one kind whose request was given up.
type hanging struct{ n atomic.Int32 }

// bounded runs work that may hang on a disk, for at most Deadline. Work that takes longer is left behind: its result goes to
// undo when it comes. With too many left behind nothing new is begun.
func bounded[T any](s *Server, stuck *hanging, ctx context.Context, work func(context.Context) (T, error), undo func(T)) (T, error) {
	var none T
	most := int32(s.Hanging)
	if most == 0 {
		most = 256
	}
	if stuck.n.Load() >= most {
		return none, fmt.Errorf("%d requests hang on the disk already", most)
	}
	limit := s.deadline()
	within := &deadline{Context: ctx, until: time.Now().Add(limit)}
	w := waits.Get().(*wait)
	w.timer.Reset(limit)
	var value T
	var err error
	var ended atomic.Bool // by whoever comes first: the work that is done, or the request that goes away
	kept.run(func() {
		value, err = work(within)
		if ended.CompareAndSwap(false, true) {
			w.done <- struct{}{}
			return
		}
		undo(value)
		stuck.n.Add(-1)
		s.pending().add(-1)
	})
	var late error
	select {
	case <-w.done:
	case <-w.timer.C:
		late = context.DeadlineExceeded
	case <-ctx.Done():
		late = ctx.Err()
	}
	within.end()
	if late != nil {
		stuck.n.Add(1)
		s.pending().add(1)
		if ended.CompareAndSwap(false, true) {
			w.timer.Stop()
			return none, late
		}
		// It was done at that very moment.
		stuck.n.Add(-1)
		s.pending().add(-1)
		<-w.done
	}
	w.timer.Stop()
	waits.Put(w)
	return value, err
}

func (s *Server) deadline() time.Duration {
	if s.Deadline == 0 {
		return 5 * time.Second
	}
	return s.Deadline
}

// wait is what a request waits with. One that was left behind is never used again.
type wait struct {
	done  chan struct{}
	timer *time.Timer
}

var waits = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &wait{make(chan struct{}, 1), t}
}}

// workers are goroutines that are kept when their work is done, since one that has done a decision has a stack that is large
// enough for the next. Those that nobody needed for a second end.
type workers struct {
	mu    sync.Mutex
	idle  []chan func() // the one that rests since the shortest time is the last, and the next to work
	spare int           // so many of them, the first, have rested since trim looked last
	timer *time.Timer   // of trim; nil while nobody rests
}

// kept are the workers of all servers.
var kept workers

// run has job done by a worker, at once, however many there are. It does not wait.
func (k *workers) run(job func()) {
	k.mu.Lock()
	if n := len(k.idle) - 1; n >= 0 {
		next := k.idle[n]
		k.idle = k.idle[:n]
		k.spare = min(k.spare, n)
		k.mu.Unlock()
		next <- job
		return
	}
	k.mu.Unlock()
	go func() {
		next := make(chan func(), 1)
		for more := true; more; job, more = <-next {
			job()
			k.rest(next)
		}
	}()
}

// rest notes a worker that has nothing to do.
func (k *workers) rest(next chan func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.idle = append(k.idle, next)
	if k.timer == nil {
		k.spare = 0
		k.timer = time.AfterFunc(time.Second, k.trim)
	}
}

// trim ends the workers that have rested since it looked last.
func (k *workers) trim() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, next := range k.idle[:k.spare] {
		close(next)
	}
	k.idle = slices.Delete(k.idle, 0, k.spare)
	if k.spare = len(k.idle); k.spare > 0 {
		k.timer.Reset(time.Second)
	} else {
		k.timer = nil
	}
}

// deadline is a context that ends at a time, as context.WithTimeout makes it. Its timer is only made when somebody waits for it,
// and a decision seldom does.
type deadline struct {
	context.Context
	until time.Time

	mu     sync.Mutex
	timed  context.Context
	cancel context.CancelFunc
	over   bool
}

func (d *deadline) Deadline() (time.Time, bool) { return d.until, true }

func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.cancel = context.WithDeadline(d.Context, d.until)
		if d.over {
			d.cancel()
		}
	}
	return d.timed.Done()
}

func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.timed != nil:
		return d.timed.Err()
	case d.over:
		return context.Canceled
	case d.Context.Err() != nil:
		return d.Context.Err()
	case !time.Now().Before(d.until):
		return context.DeadlineExceeded
	}
	return nil
}

// end ends the context. Nobody waits for the work any more.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.cancel != nil {
		d.cancel()
	}
}
