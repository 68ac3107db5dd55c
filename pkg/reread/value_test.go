package reread

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestValue_Hangs: while a read hangs, every use gets what was known, one
// goroutine hangs and no more, and what is found counts when the disk answers
// again.
func TestValue_Hangs(t *testing.T) {
	t.Parallel()
	var reads atomic.Int32
	hang := make(chan struct{})
	v := New(func() func() (int, error) {
		n := int(reads.Add(1))
		if n == 2 {
			<-hang
		}
		return func() (int, error) { return n, nil }
	})
	if s := v.Get(); !s.Good || s.Value != 1 {
		t.Fatalf("%+v", s)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 3 {
				if s := v.Get(); s.Value != 1 {
					t.Errorf("%+v while the disk hangs", s)
				}
			}
		})
	}
	all.Wait() // each returned although nothing answers
	if n := reads.Load(); n != 2 || !v.Hangs() {
		t.Errorf("%d reads, hangs: %v", n, v.Hangs())
	}
	close(hang)
	for end := time.Now().Add(30 * time.Second); v.Get().Value < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing new is found")
		}
	}
	if v.Hangs() {
		t.Error("it hangs still")
	}
}

// TestValue_Unknown: what hangs from the start is not known.
func TestValue_Unknown(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	v := New(func() func() (int, error) { <-hang; return nil })
	if s := v.Get(); s.Good || !errors.Is(s.Err, ErrHangs) {
		t.Errorf("%+v", s)
	}
}

// TestValue_Finish: what is worked out of what was read takes its time; that is
// no disk that hangs, neither for who asked first nor for who asks meanwhile.
func TestValue_Finish(t *testing.T) {
	t.Parallel()
	read, finishing := make(chan struct{}), make(chan struct{})
	var once sync.Once
	v := New(func() func() (int, error) {
		once.Do(func() { <-read })
		return func() (int, error) {
			select {
			case <-finishing:
			default:
				close(finishing)
				time.Sleep(patience + 200*time.Millisecond)
			}
			return 1, nil
		}
	})
	var all sync.WaitGroup
	get := func() {
		if s := v.Get(); s.Value != 1 || !s.Good {
			t.Errorf("%+v", s)
		}
	}
	all.Go(get)
	for v.began.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	all.Go(get) // while the disk is read
	for waiting := false; !waiting; time.Sleep(time.Millisecond) {
		v.mu.Lock()
		waiting = v.next != nil
		v.mu.Unlock()
	}
	close(read)
	<-finishing
	all.Go(get)
	all.Wait()
}

// TestValue_Later: who comes while a read is under way waits for the next one.
func TestValue_Later(t *testing.T) {
	t.Parallel()
	var reads atomic.Int32
	begun, goOn := make(chan struct{}), make(chan struct{})
	v := New(func() func() (int, error) {
		n := int(reads.Add(1))
		if n == 1 {
			close(begun)
			<-goOn
		}
		return func() (int, error) { return n, nil }
	})
	var all sync.WaitGroup
	all.Go(func() { v.Get() })
	<-begun
	for range 50 {
		all.Go(func() {
			if s := v.Get(); s.Value < 2 {
				t.Errorf("%+v is older than the question", s)
			}
		})
	}
	for waiting := false; !waiting; time.Sleep(time.Millisecond) {
		v.mu.Lock()
		waiting = v.next != nil
		v.mu.Unlock()
	}
	close(goOn)
	all.Wait()
}

// TestValue_Changed: the last good value stays, with the error, and it is told
// what is new, once.
func TestValue_Changed(t *testing.T) {
	t.Parallel()
	type found struct {
		value int
		err   error
	}
	var finds *found
	told := 0
	v := New(func() func() (int, error) {
		f := finds
		if f == nil {
			return nil
		}
		return func() (int, error) { return f.value, f.err }
	})
	v.Changed = func() { told++ }
	broken := errors.New("broken")
	for i, test := range []struct {
		finds *found
		want  State[int]
		told  int
	}{
		{&found{0, broken}, State[int]{0, false, broken}, 0}, // the first is no change
		{&found{1, nil}, State[int]{1, true, nil}, 1},
		{nil, State[int]{1, true, nil}, 1},
		{&found{0, broken}, State[int]{1, true, broken}, 2},
		{&found{0, errors.New("broken")}, State[int]{1, true, broken}, 2},
		{&found{0, errors.New("gone")}, State[int]{1, true, errors.New("gone")}, 3},
		{&found{1, nil}, State[int]{1, true, nil}, 4},
		{&found{2, nil}, State[int]{2, true, nil}, 5},
	} {
		finds = test.finds
		s := v.Get()
		if s.Value != test.want.Value || s.Good != test.want.Good ||
			(s.Err == nil) != (test.want.Err == nil) ||
			s.Err != nil && s.Err.Error() != test.want.Err.Error() {
			t.Errorf("%d: %+v, want %+v", i, s, test.want)
		}
		finds = nil
		v.Get() // this read begins after Changed was called
		if told != test.told {
			t.Errorf("%d: told %d times, want %d", i, told, test.told)
		}
	}
}
