package media

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKept_Hangs: while a look hangs, every use gets what was known, one goroutine hangs and no more, and what is found counts
// when the disk answers again.
func TestKept_Hangs(t *testing.T) {
	t.Parallel()
	var looks atomic.Int32
	hang := make(chan struct{})
	k := keep(func(before *found[int]) *found[int] {
		n := int(looks.Add(1))
		if n == 2 {
			<-hang
		}
		return &found[int]{value: n, good: true}
	})
	if f := k.get(); f == nil || f.value != 1 {
		t.Fatalf("%+v", f)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 3 {
				if f := k.get(); f.value != 1 {
					t.Errorf("%+v while the disk hangs", f)
				}
			}
		})
	}
	all.Wait() // each returned although nothing answers
	if n := looks.Load(); n != 2 || !k.hangs() {
		t.Errorf("%d looks, hangs: %v", n, k.hangs())
	}
	close(hang)
	for end := time.Now().Add(30 * time.Second); k.get().value < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing new is found")
		}
	}
	if k.hangs() {
		t.Error("it hangs still")
	}
}

// TestKept_Unknown: what hangs from the start is not known.
func TestKept_Unknown(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	k := keep(func(*found[int]) *found[int] { <-hang; return &found[int]{} })
	if f := k.get(); f != nil {
		t.Errorf("%+v", f)
	}
}

// TestKept_Work: what is worked out of what was read takes its time; that is
// no disk that hangs.
func TestKept_Work(t *testing.T) {
	t.Parallel()
	k := keep(func(*found[int]) *found[int] {
		now := &found[int]{}
		now.work = func() {
			time.Sleep(lookWithin + 200*time.Millisecond)
			now.value, now.good = 1, true
		}
		return now
	})
	if f := k.get(); f == nil || f.value != 1 || !f.good {
		t.Errorf("%+v", f)
	}
}
