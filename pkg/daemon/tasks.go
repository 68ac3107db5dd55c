package daemon

import (
	"context"
	"sync"
	"time"
)

// task is a part of the daemon that runs until its context ends. Its error ends
// the daemon.
type task func(ctx context.Context) error

// tasks are those that end together.
type tasks struct {
	ctx    context.Context
	cancel context.CancelFunc
	failed chan<- error // has room for one
	all    sync.WaitGroup
}

// newTasks returns no tasks yet. The first error of one is sent to failed.
func newTasks(ctx context.Context, failed chan<- error) *tasks {
	t := &tasks{failed: failed}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

func (t *tasks) start(all ...task) {
	for _, run := range all {
		t.all.Go(func() {
			if err := run(t.ctx); err != nil {
				select {
				case t.failed <- err:
				default: // another one was first
				}
			}
		})
	}
}

// end ends the tasks and waits for them; 0: for however long they take. Nothing
// ends one that waits for a disk.
func (t *tasks) end(within time.Duration) {
	t.cancel()
	if within == 0 {
		t.all.Wait()
		return
	}
	ended := make(chan struct{})
	go func() { t.all.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(within):
	}
}
