package tree

import (
	"context"
	"slices"
	"sync"
)

// snapshot is the root, opened once, for one decision.
type snapshot struct {
	tree  *Tree
	root  *root
	real  string     // where it really lies, once somebody asked
	stats []statOnce // of the directories of Shared, in their order; nil once time has passed
	kept  bool       // by Snapshot, until the end of the decision
}

type snapshotKey struct{}

// Snapshot opens the root for all that one goroutine does under the returned
// context, until it calls release: the steps of a decision see one root.
// Whatever is polled is looked up by the root's name anew.
func (t *Tree) Snapshot(ctx context.Context) (in context.Context, release func()) {
	v, err := t.views.do(struct{}{}, t.newView)
	if err != nil {
		return ctx, func() {} // whoever looks will say it
	}
	s := &snapshot{tree: t, root: v.root, stats: v.stats, kept: true}
	return context.WithValue(ctx, snapshotKey{}, s), func() { t.roots.release(s.root) }
}

// snapshot returns that of ctx, or opens the root for a single call.
func (t *Tree) snapshot(ctx context.Context) (*snapshot, error) {
	if s, ok := ctx.Value(snapshotKey{}).(*snapshot); ok && s.tree == t {
		return s, nil
	}
	root, err := t.roots.acquire(t.Path, 1)
	return &snapshot{tree: t, root: root}, err
}

func (s *snapshot) release() {
	if !s.kept {
		s.tree.roots.release(s.root)
	}
}

// fresh is ctx without its snapshot, whose stats are of the past now.
func fresh(ctx context.Context) context.Context {
	if s, ok := ctx.Value(snapshotKey{}).(*snapshot); ok && s != nil {
		s.stats = nil
	}
	return context.WithValue(ctx, snapshotKey{}, nil)
}

// view is what the snapshots of decisions share that begin together: the root,
// and what they have seen of its directories since.
type view struct {
	root  *root
	stats []statOnce
}

// newView opens the root for so many snapshots, each of which releases it.
func (t *Tree) newView(snapshots int) (*view, error) {
	root, err := t.roots.acquire(t.Path, snapshots)
	if err != nil {
		return nil, err
	}
	return &view{root, make([]statOnce, len(t.Shared))}, nil
}

// statOnce is what statOptional said of a directory to the first who asked. A
// directory that hangs keeps only those waiting who need it.
type statOnce struct {
	once  sync.Once
	now   state
	there bool
	err   error
}

// statOptional is Dir.statOptional of a directory at an absolute path, as the
// snapshot of ctx has seen it if it can.
func statOptional(ctx context.Context, dir string) (now state, there bool, err error) {
	if s, ok := ctx.Value(snapshotKey{}).(*snapshot); ok && s != nil {
		return s.statOptional(dir)
	}
	return here.statOptional(dir)
}

// statOptional is Dir.statOptional of the root, as the snapshot has seen it if
// it can.
func (s *snapshot) statOptional(dir string) (now state, there bool, err error) {
	if i := slices.Index(s.tree.Shared, dir); i >= 0 && s.stats != nil {
		o := &s.stats[i]
		o.once.Do(func() {
			o.err = errBroken // for the others, if it panics
			o.now, o.there, o.err = s.root.statOptional(dir)
		})
		return o.now, o.there, o.err
	}
	return s.root.statOptional(dir)
}
