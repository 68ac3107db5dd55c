package tree

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestFlight: whoever asks gets what a call saw that began after that, however
// many share it, and each counts once.
func TestFlight(t *testing.T) {
	const askers, times = 16, 2000
	var (
		g                  flight[string, int64]
		disk, users, looks atomic.Int64
		stop               = make(chan struct{})
		writing, asking    sync.WaitGroup
		old                atomic.Int64
	)
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				disk.Add(1)
				runtime.Gosched()
			}
		}
	})
	for range askers {
		asking.Go(func() {
			for range times {
				before := disk.Load()
				saw, err := g.do("root", func(n int) (int64, error) {
					looks.Add(1)
					users.Add(int64(n))
					saw := disk.Load()
					runtime.Gosched() // a look takes a while, and others come
					return saw, nil
				})
				if err != nil || saw < before {
					old.Add(1)
				}
			}
		})
	}
	asking.Wait()
	close(stop)
	writing.Wait()
	if n := old.Load(); n > 0 {
		t.Errorf("%d of %d asked and were told what had been before", n, askers*times)
	}
	if n := users.Load(); n != askers*times {
		t.Errorf("the looks counted %d users, %d have asked", n, askers*times)
	}
	if n := looks.Load(); n == askers*times {
		t.Error("nobody shared a look")
	}
	if len(g.next) > 0 {
		t.Errorf("%d looks are left over", len(g.next))
	}
}
