package daemon

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestTasks: the first error counts, all end together, and one that hangs is
// waited for no longer than so long.
func TestTasks(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	all := newTasks(t.Context(), failed)
	var ended [3]bool
	for i := range ended {
		all.start(func(ctx context.Context) error { <-ctx.Done(); ended[i] = true; return nil })
	}
	broken, both := errors.New("broken"), make(chan struct{})
	fails := func(context.Context) error { <-both; return broken }
	all.start(fails, fails)
	close(both)
	if err := <-failed; err != broken {
		t.Error(err)
	}
	all.end(0)
	if ended != [3]bool{true, true, true} {
		t.Errorf("%v have ended", ended)
	}

	hangs := make(chan struct{})
	defer close(hangs)
	all = newTasks(t.Context(), failed)
	all.start(func(context.Context) error { <-hangs; return nil })
	all.end(time.Millisecond)
}
