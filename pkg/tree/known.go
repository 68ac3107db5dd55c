package tree

import (
	"fmt"
	"hash/maphash"
	"io"
	"path"
	"slices"
	"sync/atomic"
	"time"
)

// Known finds entries of one directory, and knows which names it does not have while it is at rest, so that a machine with
// twelve names costs about as much as one with a single name. No entry is ever answered from here: what may be there is looked
// for on the disk. The zero value knows nothing.
//
// It is kept by the same rule as an Index. A large directory that is edited all the time is not listed at each edit: a list
// is made, beside the requests, after as many looks in vain as the last one had entries.
type Known struct {
	list    atomic.Pointer[list]
	vain    atomic.Int64 // looks in vain since the last list
	listing atomic.Bool
}

// list has the hashes of all names of a directory, sorted: 100,000 names in 800 kB.
type list struct {
	of     state
	hashes []uint64
}

// enough is how many looks in vain it takes at least to be worth a list.
const enough = 64

var seed = maphash.MakeSeed()

// Look returns those of the names that exist in the directory at a path, in their order, whatever they are. Names contain no
// slash, and the directory need not exist.
func (k *Known) Look(dir string, names []string) ([]Entry, error) {
	now, there, err := here.statOptional(dir)
	if !there {
		return nil, err
	}
	return k.look(here, dir, now, names)
}

// look looks in a directory that is named relative to from, or absolute. now is its state.
func (k *Known) look(from *Dir, dir string, now state, names []string) (found []Entry, err error) {
	l := k.list.Load()
	if l != nil && l.of != now {
		l = nil
	}
	vain := 0
	for _, name := range names {
		if l != nil && !l.mayHave(name) {
			continue
		}
		e, err := from.Entry(dir + "/" + name)
		switch {
		case err == nil:
			e.Name = name
			found = append(found, e)
		case absent(err):
			vain++
		default:
			return nil, fmt.Errorf("%s: %w", path.Join(dir, name), err)
		}
	}
	if l == nil && vain > 0 {
		k.learn(inRoot(from.name, dir), now, vain)
	}
	return found, nil
}

func (l *list) mayHave(name string) bool {
	_, has := slices.BinarySearch(l.hashes, maphash.String(seed, name))
	return has
}

// learn lists the directory when that is worth it. No request waits for that.
func (k *Known) learn(dir string, now state, vain int) {
	worth := int64(enough)
	if l := k.list.Load(); l != nil {
		worth = max(worth, int64(len(l.hashes)))
	}
	if k.vain.Add(int64(vain)) < worth || time.Since(now.changed()) <= recent || !k.listing.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer k.listing.Store(false)
		// What cannot be listed is not tried at each look.
		if l := newList(dir); l != nil {
			k.list.Store(l)
		}
		k.vain.Store(0)
	}()
}

func newList(dir string) *list {
	d, err := OpenDir(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	l := new(list)
	if l.of, err = d.stat(""); err != nil || time.Since(l.of.changed()) <= recent {
		return nil
	}
	f, err := d.open()
	if err != nil {
		return nil
	}
	defer f.Close()
	for err == nil {
		var names []string
		names, err = f.Readdirnames(1000)
		for _, n := range names {
			l.hashes = append(l.hashes, maphash.String(seed, n))
		}
	}
	if err != io.EOF {
		return nil
	}
	slices.Sort(l.hashes)
	return l
}
