package bounded

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// kind is limits whose counters a test reads.
type kind struct {
	Limits
	stuck   Stuck
	pending Pending
}

func newKind(most int) *kind {
	k := &kind{}
	k.Limits = Limits{Deadline: time.Second, Stuck: &k.stuck, MaxStuck: most, Pending: &k.pending}
	return k
}

func noUndo[T any](t *testing.T) func(T) {
	return func(v T) { t.Errorf("%v is undone", v) }
}

// TestDo_InTime: what work returns in time is returned, error and value.
func TestDo_InTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, wrong := newKind(0), errors.New("wrong")
		got, err := Do(t.Context(), k.Limits, func(ctx context.Context) (int, error) {
			if end, ok := ctx.Deadline(); !ok || time.Until(end) != time.Second {
				t.Errorf("it has until %v", end)
			}
			time.Sleep(999 * time.Millisecond)
			return 7, wrong
		}, noUndo[int](t))
		if got != 7 || err != wrong {
			t.Errorf("%d, %v", got, err)
		}
		k.pending.Wait()
		if n := k.stuck.Count(); n != 0 {
			t.Errorf("%d are stuck", n)
		}
	})
}

// TestDo_Late: the caller goes on at the deadline, or when its context ends.
// The work is stuck then, and pending until what it came to is undone.
func TestDo_Late(t *testing.T) {
	for what, test := range map[string]struct {
		leaves time.Duration // when the caller's context ends
		after  time.Duration // when Do has returned
		error  string
		is     error
	}{
		"the disk hangs": {time.Hour, time.Second, "the disk has not answered within 1s",
			context.DeadlineExceeded},
		"the caller leaves": {time.Second / 2, time.Second / 2, "context canceled",
			context.Canceled},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, began := newKind(0), time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(test.leaves, cancel)
				var undone []int
				got, err := Do(ctx, k.Limits, func(ctx context.Context) (int, error) {
					time.Sleep(3 * time.Second)
					return 7, nil
				}, func(n int) { time.Sleep(time.Second); undone = append(undone, n) })
				if got != 0 || err == nil || err.Error() != test.error || !errors.Is(err, test.is) {
					t.Errorf("%d, %v", got, err)
				}
				if took := time.Since(began); took != test.after || k.stuck.Count() != 1 {
					t.Errorf("after %v %d are stuck", took, k.stuck.Count())
				}
				k.pending.Wait()
				if took := time.Since(began); took != 4*time.Second || k.stuck.Count() != 0 ||
					len(undone) != 1 || undone[0] != 7 {
					t.Errorf("after %v %d are stuck, undone is %v", took, k.stuck.Count(), undone)
				}
			})
		})
	}
}

// TestDo_NeitherOrBoth: work that ends just when its time does is returned or
// undone, never both, and never returned when it saw that the time was over.
func TestDo_NeitherOrBoth(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Millisecond
	type claim struct{ late bool }
	k := newKind(1000)
	k.Deadline = limit
	var mu sync.Mutex
	made, undone, returned := 0, 0, 0
	for i := range 300 {
		got, err := Do(t.Context(), k.Limits, func(ctx context.Context) (*claim, error) {
			for end := time.Now().Add(limit +
				time.Duration(i%41-20)*10*time.Microsecond); time.Now().Before(end); {
				runtime.Gosched()
			}
			mu.Lock()
			made++
			mu.Unlock()
			return &claim{ctx.Err() != nil}, nil
		}, func(*claim) {
			mu.Lock()
			undone++
			mu.Unlock()
		})
		switch {
		case err == nil && got.late:
			t.Error("what came late is returned")
		case err == nil:
			returned++
		case got != nil:
			t.Errorf("a value with %v", err)
		}
	}
	k.pending.Wait()
	if made != 300 || undone+returned != made || k.stuck.Count() != 0 {
		t.Errorf("of %d %d are undone and %d returned; %d are stuck", made, undone, returned,
			k.stuck.Count())
	}
}

// TestDo_Full: with too much stuck nothing is begun, until some of it is back.
func TestDo_Full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 3
		k, disk := newKind(most), make(chan struct{})
		hang := func(context.Context) (int, error) { <-disk; return 0, nil }
		for range most {
			if _, err := Do(t.Context(), k.Limits, hang, func(int) {}); !errors.Is(err,
				context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		begin := func(context.Context) (int, error) { return 1, nil }
		began := time.Now()
		n, err := Do(t.Context(), k.Limits, func(context.Context) (int, error) {
			t.Error("it is begun")
			return 1, nil
		}, noUndo[int](t))
		if n != 0 || err == nil || err.Error() != "3 requests hang on the disk already" ||
			time.Since(began) != 0 {
			t.Errorf("%d, %v after %v", n, err, time.Since(began))
		}
		close(disk)
		k.pending.Wait()
		if n, err := Do(t.Context(), k.Limits, begin, noUndo[int](t)); n != 1 || err != nil {
			t.Errorf("when the disk is back: %d, %v", n, err)
		}
	})
}

// TestDo_Panic: a panic of the work reaches the caller with the place where it
// was; one that comes late, or in undo, reaches the handler.
func TestDo_Panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKind(0)
		var told []*Panic
		k.Panicked = func(p *Panic) { told = append(told, p) }
		func() {
			defer func() {
				p, ok := recover().(*Panic)
				if !ok || p.Value != "in work" || !strings.Contains(p.String(), "in work\n") ||
					!strings.Contains(p.String(), "breaks") {
					t.Errorf("%v", p)
				}
			}()
			Do(t.Context(), k.Limits, breaks, noUndo[int](t))
		}()
		if len(told) != 0 {
			t.Errorf("the handler is told: %v", told)
		}
		_, err := Do(t.Context(), k.Limits, func(ctx context.Context) (int, error) {
			time.Sleep(2 * time.Second)
			return breaks(ctx)
		}, func(int) { panic("in undo") })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		k.pending.Wait()
		if len(told) != 2 || told[0].Value != "in work" || told[1].Value != "in undo" ||
			k.stuck.Count() != 0 {
			t.Errorf("the handler is told %v; %d are stuck", told, k.stuck.Count())
		}
	})
}

func breaks(context.Context) (int, error) { panic("in work") }
