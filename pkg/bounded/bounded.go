// Package bounded runs work that may hang on a disk. The caller waits for a
// limited time; what the work comes to later is undone.
//
//	f, err := bounded.Do(ctx, limits, func(context.Context) (*os.File, error) {
//		return os.Open(name)
//	}, closeFile)
//
// Nothing ends a system call on a file server that is away, so the goroutine of
// such work stays until the server is back. Limits bounds how many there may
// be.
package bounded

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Limits bound work of one kind. The zero value of a field means what it says.
type Limits struct {
	Deadline time.Duration // how long work may take; 0 means 5 s
	Stuck    *Stuck        // counts work of this kind that is stuck; nil: it is not limited
	MaxStuck int           // how much may be stuck before no more is begun; 0 means 256
	// counts work until it has returned and is undone; nil: nobody waits for it
	Pending *Pending

	// Panicked is told of a panic of work that the caller did not wait for;
	// nil: the program ends.
	Panicked func(*Panic)
}

// Stuck counts work that was given up and has not returned. The zero value
// counts none. It must not be copied.
type Stuck struct{ n atomic.Int32 }

// Count is how much is stuck now.
func (s *Stuck) Count() int { return int(s.n.Load()) }

func (s *Stuck) add(n int32) {
	if s != nil {
		s.n.Add(n)
	}
}

// TimeoutError is the error of work that took longer than its deadline.
type TimeoutError struct{ Deadline time.Duration }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the disk has not answered within %v", e.Deadline)
}

// Is makes it a context.DeadlineExceeded.
func (e *TimeoutError) Is(err error) bool { return err == context.DeadlineExceeded }

// Panic is what Do panics with when its work did.
type Panic struct {
	Value any
	Stack []byte // of the work
}

// String is the value and the stack of the work.
func (p *Panic) String() string { return fmt.Sprintf("%v\n%s", p.Value, p.Stack) }

// Do runs work in a goroutine of its own and returns what it returns, unless
// ctx ends or the deadline passes first. Then the caller gets that error, and
// undo gets what work returns at last, which is the zero value after an error
// or a panic. Work is given a context that ends at the deadline.
//
// A result never counts when the context ended before work returned: work may
// have left something out because it saw that.
func Do[T any](
	ctx context.Context, l Limits, work func(context.Context) (T, error), undo func(T),
) (T, error) {
	var zero T
	if l.Deadline == 0 {
		l.Deadline = 5 * time.Second
	}
	if l.MaxStuck == 0 {
		l.MaxStuck = 256
	}
	if l.Stuck != nil && l.Stuck.Count() >= l.MaxStuck {
		return zero, fmt.Errorf("%d requests hang on the disk already", l.MaxStuck)
	}
	within, cancel := context.WithTimeout(ctx, l.Deadline)
	defer cancel()
	done := make(chan result[T])
	l.Pending.add(1)
	go func() {
		defer l.Pending.add(-1)
		growStack()
		r := run(within, work)
		// A context has its error a moment before its channel is closed, and
		// work may have seen it.
		if within.Err() == nil {
			select {
			case done <- r:
				return
			case <-within.Done():
			}
		}
		undone := run(within,
			func(context.Context) (none struct{}, err error) { undo(r.value); return })
		l.Stuck.add(-1)
		l.panicked(r.panic)
		l.panicked(undone.panic)
	}()
	select {
	case r := <-done:
		if r.panic != nil {
			panic(r.panic)
		}
		return r.value, r.err
	case <-within.Done():
		l.Stuck.add(1)
		if err := ctx.Err(); err != nil {
			return zero, err
		}
		return zero, &TimeoutError{l.Deadline}
	}
}

// result is what work came to.
type result[T any] struct {
	value T
	err   error
	panic *Panic
}

func run[T any](ctx context.Context, work func(context.Context) (T, error)) (r result[T]) {
	defer func() {
		if value := recover(); value != nil {
			r.panic = &Panic{value, debug.Stack()}
		}
	}()
	r.value, r.err = work(ctx)
	return r
}

// panicked tells of a panic that no caller is left for.
func (l *Limits) panicked(p *Panic) {
	switch {
	case p == nil:
	case l.Panicked == nil:
		panic(p)
	default:
		l.Panicked(p)
	}
}

// growStack grows the stack of a new goroutine once, while there is little on
// it to copy. A decision needs 8 KiB, and would get there in steps, each of
// which copies all of its frames: that was 8 % of the processor time of an
// answer with twelve names, on new connections and on kept ones.
//
//go:noinline
func growStack() byte {
	var room [8 << 10]byte
	return room[first] // which the compiler does not know, so that there is room
}

var first int
