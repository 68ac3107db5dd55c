package media

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// kept is a value that is made of files and looked at anew before each use. A look that fails leaves the value that there was.
// Uses at the same time share a look, one that begins when all of them have come. A disk that hangs keeps one goroutine, and each
// use waits for it for at most lookWithin, all uses together for about as long.
type kept[T any] struct {
	// look returns what there is now. before is what the last look found, nil before the first one; when nothing changed, look
	// returns it as it is.
	look func(before *found[T]) *found[T]

	changed func() // told when a look found something else than the one before; nil: nobody is. Set before the first use

	mu      sync.Mutex
	next    *wanted // whom the look that is to begin next is for; nil when nobody wants one
	looking bool    // somebody looks as long as there is a next

	began atomic.Int64 // when the look under way began, in nanoseconds; 0: none is
	last  atomic.Pointer[found[T]]
}

func keep[T any](look func(before *found[T]) *found[T]) *kept[T] { return &kept[T]{look: look} }

// found is what a look found.
type found[T any] struct {
	value T      // the last good one; the zero value when there was none
	good  bool   // there is one
	work  func() // nil, or finishes what was found by what was read; it does not touch the disk
	err   error  // why the value is not what the files have now
	mark  mark
}

// differs reports whether there is something to tell beside what another look found.
func (f *found[T]) differs(other *found[T]) bool {
	a, b := f.mark.info, other.mark.info
	return f.good != other.good || (f.err == nil) != (other.err == nil) || f.err != nil && f.err.Error() != other.err.Error() ||
		(a == nil) != (b == nil) || a != nil && (!os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()))
}

// lookWithin is how long one use waits for the disk.
const lookWithin = 2 * time.Second

// ErrHangs is why nothing new is known.
var ErrHangs = errors.New("the disk does not answer")

// get looks, and returns what is known then. It is nil while nothing is known, because the first look hangs.
func (k *kept[T]) get() *found[T] {
	if began := k.began.Load(); began != 0 && time.Since(time.Unix(0, began)) > lookWithin {
		return k.last.Load()
	}
	k.mu.Lock()
	if k.next == nil {
		w := &wanted{over: make(chan struct{})}
		w.late = time.AfterFunc(lookWithin, func() { close(w.over) })
		k.next = w
	}
	over := k.next.over
	if !k.looking {
		k.looking = true
		go k.looks()
	}
	k.mu.Unlock()
	<-over
	return k.last.Load()
}

// wanted is a look that has not begun, for all who want it.
type wanted struct {
	over chan struct{} // closed when it ended, or took too long
	late *time.Timer
}

// looks looks until nobody wants it any more.
func (k *kept[T]) looks() {
	for {
		runtime.Gosched() // whoever else wants to know comes now
		k.mu.Lock()
		w := k.next
		k.next = nil
		if k.looking = w != nil; !k.looking {
			k.mu.Unlock()
			return
		}
		k.mu.Unlock()
		k.began.Store(time.Now().UnixNano())
		before := k.last.Load()
		now := k.look(before)
		k.began.Store(0)
		inTime := w.late.Stop() // the disk has answered, and is not waited for any more
		if now.work != nil {
			now.work()
			now.work = nil
		}
		k.last.Store(now)
		if inTime {
			close(w.over)
		}
		if k.changed != nil && before != nil && now.differs(before) {
			k.changed()
		}
	}
}

// hangs reports whether a look is under way for longer than a use waits for it.
func (k *kept[T]) hangs() bool {
	began := k.began.Load()
	return began != 0 && time.Since(time.Unix(0, began)) > lookWithin
}

// mark is by what a change of a file is known.
type mark struct {
	info    fs.FileInfo // nil: it was not there, or could not be looked at
	settled bool        // it was at rest when it was read: a later change shows in its time
	sum     [sha256.Size]byte
}

// restAfter is how long after a change another may leave the time of the file as it is.
const restAfter = 2 * time.Second

func (m mark) same(info fs.FileInfo) bool {
	return m.info != nil && m.settled && os.SameFile(m.info, info) && m.info.Size() == info.Size() && m.info.ModTime().Equal(info.ModTime()) &&
		m.info.Mode() == info.Mode()
}

// readFile makes a look at one file: read gets its bytes, of at most so many, when it changed.
func readFile[T any](path string, most int64, read func(text []byte, info fs.FileInfo) (T, error)) func(*found[T]) *found[T] {
	return func(before *found[T]) *found[T] {
		if before != nil {
			info, err := os.Stat(path)
			if err == nil && before.mark.same(info) || errors.Is(err, fs.ErrNotExist) && errors.Is(before.err, fs.ErrNotExist) {
				return before
			}
		}
		now := &found[T]{}
		if before != nil {
			now.value, now.good = before.value, before.good
		}
		text, m, err := slurp(path, most)
		if now.mark = m; err == nil {
			now.mark.sum = sha256.Sum256(text)
		}
		if before != nil && err == nil && before.mark.info != nil && before.mark.sum == now.mark.sum && before.mark.info.Mode() == m.info.Mode() {
			now.err = before.err // the same text again, and what came of it
			return now
		}
		if err == nil {
			var value T
			if value, err = read(text, m.info); err == nil {
				now.value, now.good = value, true
			}
		}
		now.err = err
		return now
	}
}

// slurp reads a regular file.
func slurp(path string, most int64) (text []byte, m mark, err error) {
	began := time.Now()
	// Without O_NONBLOCK the opening of a pipe waits for its other end.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, m, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, m, err
	}
	m = mark{info: info, settled: began.Sub(info.ModTime()) > restAfter}
	if !info.Mode().IsRegular() {
		return nil, m, errors.New("is no regular file")
	}
	text, err = io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = errors.New("is too large")
	}
	return text, m, err
}
