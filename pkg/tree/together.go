package tree

import (
	"errors"
	"runtime"
	"sync"
)

// together lets requests that come at the same time share one look at the disk: a look that begins when all of them have come, so
// that each sees what a look of its own would have seen. Nothing is kept from one look to the next. The zero value is ready.
//
// After a power cut a thousand machines ask within a second, and what they ask of the disk is much the same.
type together[K comparable, V any] struct {
	mu   sync.Mutex
	next map[K]*look[V] // the looks that have not begun
}

// look is one look for all who wait for it.
type look[V any] struct {
	users int
	ended sync.WaitGroup
	value V
	err   error
}

var errBroken = errors.New("the look at the disk broke off")

// do returns what see returns, who is told for how many it looks. What it returns belongs to all of them: nobody writes to it.
func (g *together[K, V]) do(key K, see func(users int) (V, error)) (V, error) {
	g.mu.Lock()
	if l := g.next[key]; l != nil {
		l.users++
		g.mu.Unlock()
		l.ended.Wait()
		return l.value, l.err
	}
	l := &look[V]{users: 1}
	l.ended.Add(1)
	defer l.ended.Done()
	if g.next == nil {
		g.next = map[K]*look[V]{}
	}
	g.next[key] = l
	g.mu.Unlock()
	runtime.Gosched() // whoever else has something to ask comes now
	g.mu.Lock()
	delete(g.next, key)
	g.mu.Unlock()
	l.err = errBroken // for the others, if see panics
	l.value, l.err = see(l.users)
	return l.value, l.err
}
