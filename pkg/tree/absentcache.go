package tree

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"path"
	"sync/atomic"
)

// AbsentCache finds entries of one directory, and remembers which names it does
// not have while it is at rest, so that a machine with twelve names costs about
// as much as one with a single name. No entry is ever answered from here: what
// may be there is looked for on the disk. The zero value remembers nothing.
//
// What it remembers counts by the same rule as an Index. A large directory that
// is edited all the time is not listed at each edit: a list is made, beside the
// requests, after as many misses as the last one had entries.
type AbsentCache struct {
	Clock   Clock // as a Tree's
	list    atomic.Pointer[list]
	rests   rests        // of the directory
	misses  atomic.Int64 // since the last list
	listing atomic.Bool
}

// list is the names that a directory has in one state. It keeps their hashes,
// so that 100,000 names take 2 MiB, and nothing of it is looked through when
// memory is collected.
type list struct {
	of     state
	hashes map[uint64]struct{}
}

var seed = maphash.MakeSeed()

func (l *list) add(name string) { l.hashes[maphash.String(seed, name)] = struct{}{} }

func (l *list) mayHave(name string) bool {
	_, has := l.hashes[maphash.String(seed, name)]
	return has
}

// enough is how many misses it takes at least to be worth a list. On a
// file system that others write to, one is enough where the last list was not
// longer than small: it also tells what the kernel remembers wrongly.
const (
	enough = 64
	small  = 10000
)

// Find returns those of the names that exist in the directory at a path, in
// their order, whatever they are. Names contain no slash, and the directory
// need not exist.
func (c *AbsentCache) Find(ctx context.Context, dir string, names []string) ([]Entry, error) {
	now, there, err := statOptional(ctx, dir)
	if !there {
		return nil, err
	}
	found, _, err := c.find(here, dir, now, names)
	return found, err
}

// find looks in a directory that is named relative to from, or absolute. now is
// its state. misses is how many names it has looked for on the disk and not
// found.
func (c *AbsentCache) find(
	from *Dir, dir string, now state, names []string,
) (found []Entry, misses int, err error) {
	l := c.list.Load()
	if l != nil && l.of != now {
		l = nil
	}
	for _, name := range names {
		if l != nil && !l.mayHave(name) {
			continue
		}
		e, err := from.Entry(dir + "/" + name)
		switch {
		case err == nil:
			e.Name = name
			found = append(found, e)
		case Absent(err) && l != nil && unchanged(from, dir, now):
			return nil, misses, &Unseen{dir, name}
		case Absent(err):
			misses++
		default:
			return nil, misses, fmt.Errorf("%s: %w", path.Join(dir, name), err)
		}
	}
	if l == nil && misses > 0 {
		c.learn(inRoot(from.name, dir), now, misses)
	}
	return found, misses, nil
}

// Unseen is the error for a name that a directory's listing has, and that
// cannot be found. A client of NFS 3 remembers that a name was not there, and
// goes on to do so when the directory changed twice within one tick of the
// server's clock, some milliseconds, with its look in between. Seen: until the
// next change, whatever is asked of it. So nobody can know what is there.
type Unseen struct{ Dir, Name string }

func (e *Unseen) Error() string {
	return path.Join(e.Dir, e.Name) + " is listed by the file server, and this machine's memory " +
		"of it says that it is not there, " +
		"until something in its directory changes"
}

func unchanged(from *Dir, dir string, since state) bool {
	now, err := from.stat(dir)
	return err == nil && now == since
}

// learn lists the directory when that is worth it. No request waits for that.
func (c *AbsentCache) learn(dir string, now state, misses int) {
	if c.rests.own(c.Clock, dir, now) <= recent {
		return
	}
	worth, l := int64(enough), c.list.Load()
	if l != nil {
		worth = max(worth, int64(len(l.hashes)))
	}
	few := c.misses.Add(int64(misses)) < worth
	if few && (l != nil && len(l.hashes) > small || localAt(dir)()) {
		return
	}
	if !c.listing.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer c.listing.Store(false)
		// What cannot be listed is not tried at each look.
		if l := newList(dir, now); l != nil {
			c.list.Store(l)
		}
		c.misses.Store(0)
	}()
}

// newList lists the directory, if it is still in this state after that.
func newList(dir string, of state) *list {
	d, err := OpenDir(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	f, err := d.open()
	if err != nil {
		return nil
	}
	defer f.Close()
	l := &list{of, map[uint64]struct{}{}}
	for err == nil {
		var names []string
		names, err = f.Readdirnames(1000)
		for _, n := range names {
			l.add(n)
		}
	}
	if err != io.EOF {
		return nil
	}
	if now, err := d.stat(""); err != nil || now != l.of {
		return nil // an edit began meanwhile, and names may be missing that it brings back
	}
	return l
}
