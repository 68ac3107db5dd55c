// Package reread has values that are made of files. They are read again when
// the files change; when those cannot be read, or are wrong, the last good
// value stays.
package reread

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Value is what some files say now. It is safe for concurrent use.
//
// Concurrent calls of Get share one read, which starts after the last of them
// arrived. If the disk hangs, one goroutine stays blocked, and each call
// returns what is known after two seconds, all of them together after about as
// long.
type Value[T any] struct {
	// Changed is called when a read found something else than the one before;
	// nil: no one is told. It must not block. Set it before the first use.
	Changed func()

	read func() (finish func() (T, error))

	mu        sync.Mutex
	next      *call // the read that begins next, for all who wait for it; nil: nobody does
	reading   bool  // a goroutine reads for as long as there is a next
	finishing bool  // it does not touch the disk now

	began atomic.Int64 // when the read under way began, in nanoseconds; 0: none is
	state atomic.Pointer[State[T]]
}

// State is what is known.
type State[T any] struct {
	Value T
	Good  bool  // there is a Value: a read was good
	Err   error // why Value is not what the files have now; nil: it is
}

// New returns a value that read makes. Its calls come one after another.
//
// read returns nil when nothing has changed since its last call. Else it
// returns finish, which says what the files have now. The disk has no part in
// that, so that finish may take its time.
func New[T any](read func() (finish func() (T, error))) *Value[T] {
	return &Value[T]{read: read}
}

// call is a read that has not begun.
type call struct {
	over chan struct{} // closed when it ended, or took too long
	late *time.Timer   // nil while the read before it is finished
}

func (c *call) limit() {
	c.late = time.AfterFunc(patience, func() { close(c.over) })
}

// patience is how long one use waits for the disk.
const patience = 2 * time.Second

// ErrHangs is why nothing is known while the first read hangs.
var ErrHangs = errors.New("the disk does not answer")

// Get reads, and returns what is known then.
func (v *Value[T]) Get() State[T] {
	if v.Hangs() {
		return v.Last()
	}
	v.mu.Lock()
	if v.next == nil {
		v.next = &call{over: make(chan struct{})}
		if !v.finishing {
			v.next.limit()
		}
	}
	over := v.next.over
	if !v.reading {
		v.reading = true
		go v.readAll()
	}
	v.mu.Unlock()
	<-over
	return v.Last()
}

// Last returns what the last read found, without another one.
func (v *Value[T]) Last() State[T] {
	if s := v.state.Load(); s != nil {
		return *s
	}
	return State[T]{Err: ErrHangs}
}

// Hangs reports whether a read is under way for longer than a use waits for it.
func (v *Value[T]) Hangs() bool {
	began := v.began.Load()
	return began != 0 && time.Since(time.Unix(0, began)) > patience
}

// readAll reads until nobody waits for another read.
func (v *Value[T]) readAll() {
	for {
		runtime.Gosched() // whoever else wants to know comes now
		v.mu.Lock()
		c := v.next
		v.next = nil
		if v.reading = c != nil; !v.reading {
			v.mu.Unlock()
			return
		}
		v.mu.Unlock()
		v.began.Store(time.Now().UnixNano())
		finish := v.read()
		v.began.Store(0)
		inTime := c.late.Stop() // the disk has answered, and is not waited for any more
		changed := false
		if finish != nil {
			v.setFinishing(true)
			changed = v.store(finish())
			v.setFinishing(false)
		}
		if inTime {
			close(c.over)
		}
		if changed && v.Changed != nil {
			v.Changed()
		}
	}
}

// setFinishing has those who wait for the next read wait longer: it is not the
// disk that keeps them.
func (v *Value[T]) setFinishing(now bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.finishing = now
	switch next := v.next; {
	case next == nil:
	case now && next.late.Stop():
		next.late = nil
	case !now && next.late == nil:
		next.limit()
	}
}

// store keeps what a read found, and reports whether it is something else than
// the one before found.
func (v *Value[T]) store(value T, err error) (changed bool) {
	next := State[T]{Value: value, Good: true}
	before := v.state.Load()
	if err != nil {
		next = State[T]{Err: err}
		if before != nil {
			next.Value, next.Good = before.Value, before.Good
		}
	}
	v.state.Store(&next)
	same := err != nil && before != nil && before.Err != nil && before.Err.Error() == err.Error()
	return before != nil && !same
}
