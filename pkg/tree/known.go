package tree

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"path"
	"sync/atomic"
)

// Known finds entries of one directory, and knows which names it does not have while it is at rest, so that a machine with
// twelve names costs about as much as one with a single name. No entry is ever answered from here: what may be there is looked
// for on the disk. The zero value knows nothing.
//
// It is kept by the same rule as an Index. A large directory that is edited all the time is not listed at each edit: a list
// is made, beside the requests, after as many looks in vain as the last one had entries.
type Known struct {
	Clock   Clock // as a Tree's
	list    atomic.Pointer[list]
	rests   rests        // of the directory
	vain    atomic.Int64 // looks in vain since the last list
	listing atomic.Bool
}

// list has the hashes of all names of a directory, each in the first free place from the one that its lowest bits name: 100,000
// names in 2 MiB. 0 is a free place, and half of the places are free at least.
type list struct {
	of     state
	names  int
	hashes []uint64
}

// enough is how many looks in vain it takes at least to be worth a list. On a
// file system that others write to, one is enough where the last list was not
// longer than small: it also tells what the kernel remembers wrongly.
const (
	enough = 64
	small  = 10000
)

var seed = maphash.MakeSeed()

// Look returns those of the names that exist in the directory at a path, in their order, whatever they are. Names contain no
// slash, and the directory need not exist.
func (k *Known) Look(ctx context.Context, dir string, names []string) ([]Entry, error) {
	now, there, err := statOptional(ctx, dir)
	if !there {
		return nil, err
	}
	found, _, err := k.look(here, dir, now, names)
	return found, err
}

// look looks in a directory that is named relative to from, or absolute. now is its state. vain is how many names it has looked for
// on the disk and not found.
func (k *Known) look(from *Dir, dir string, now state, names []string) (found []Entry, vain int, err error) {
	l := k.list.Load()
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
		case absent(err) && l != nil && unchanged(from, dir, now):
			return nil, vain, &Unseen{dir, name}
		case absent(err):
			vain++
		default:
			return nil, vain, fmt.Errorf("%s: %w", path.Join(dir, name), err)
		}
	}
	if l == nil && vain > 0 {
		k.learn(inRoot(from.name, dir), now, vain)
	}
	return found, vain, nil
}

// Unseen is the error for a name that a directory's listing has, and that
// cannot be found. A client of NFS 3 remembers that a name was not there, and
// goes on to do so when the directory changed twice within one tick of the
// server's clock, some milliseconds, with its look in between. Seen: until the
// next change, whatever is asked of it. So nobody can know what is there.
type Unseen struct{ Dir, Name string }

func (e *Unseen) Error() string {
	return path.Join(e.Dir, e.Name) + " is listed by the file server, and this machine's memory of it says that it is not there, " +
		"until something in its directory changes"
}

func unchanged(from *Dir, dir string, since state) bool {
	now, err := from.stat(dir)
	return err == nil && now == since
}

func (l *list) mayHave(name string) bool {
	_, has := place(l.hashes, hash(name))
	return has
}

// hash is never 0.
func hash(name string) uint64 { return maphash.String(seed, name) | 1<<63 }

// place returns where h is, or the free place where it belongs.
func place(hashes []uint64, h uint64) (at int, has bool) {
	mask := len(hashes) - 1
	for at = int(h) & mask; ; at = (at + 1) & mask {
		if hashes[at] == h || hashes[at] == 0 {
			return at, hashes[at] == h
		}
	}
}

// tableOf returns the table of the hashes.
func tableOf(all []uint64) []uint64 {
	size := 2
	for size < 2*len(all) {
		size *= 2
	}
	table := make([]uint64, size)
	for _, h := range all {
		at, _ := place(table, h)
		table[at] = h
	}
	return table
}

// learn lists the directory when that is worth it. No request waits for that.
func (k *Known) learn(dir string, now state, vain int) {
	if k.rests.own(k.Clock, dir, now) <= recent {
		return
	}
	worth, l := int64(enough), k.list.Load()
	if l != nil {
		worth = max(worth, int64(l.names))
	}
	if k.vain.Add(int64(vain)) < worth && (l != nil && l.names > small || localAt(dir)()) {
		return
	}
	if !k.listing.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer k.listing.Store(false)
		// What cannot be listed is not tried at each look.
		if l := newList(dir, now); l != nil {
			k.list.Store(l)
		}
		k.vain.Store(0)
	}()
}

// newList lists the directory, if it is still in this state after that.
func newList(dir string, of state) *list {
	d, err := OpenDir(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	l := &list{of: of}
	f, err := d.open()
	if err != nil {
		return nil
	}
	defer f.Close()
	var all []uint64
	for err == nil {
		var names []string
		names, err = f.Readdirnames(1000)
		for _, n := range names {
			all = append(all, hash(n))
		}
	}
	if err != io.EOF {
		return nil
	}
	if now, err := d.stat(""); err != nil || now != l.of {
		return nil // an edit began meanwhile, and names may be missing that it brings back
	}
	l.names, l.hashes = len(all), tableOf(all)
	return l
}
