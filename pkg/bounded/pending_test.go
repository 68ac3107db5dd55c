package bounded

import (
	"sync"
	"testing"
)

// TestPending waits again and again while more begins.
func TestPending(t *testing.T) {
	var p Pending
	p.Wait()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				p.Go(func() {})
				p.Wait()
			}
		})
	}
	all.Wait()
	p.Wait()
	if p.n != 0 {
		t.Errorf("%d pending at the end", p.n)
	}
}
