package tree

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Index finds the entries of one directory by keys, several keys an entry, for
// directories whose names are to be understood in any spelling. It lists the
// directory only when it changed: the listing is kept while one stat per
// request shows the same device, inode, size, mtime and ctime, and only if it
// was made when the directory had been seen so for more than 2 s, since the
// clock of a file system is too coarse to tell two changes within its tick.
type Index struct {
	Tree *Tree
	Dir  string                      // relative to the root
	Keys func(entry string) []string // in lower case

	rests  rests // of the directory
	mu     sync.Mutex
	of     state
	atRest bool // of and byKey are of a directory at rest
	names  []string
	byKey  map[string]string // of names
}

// Find returns the first of names that an entry has for a key, in lower case,
// with that entry. ok is false when there is none, because the directory is
// empty or not there. A directory that is named but is no directory, or leads
// nowhere, is an error.
func (x *Index) Find(
	ctx context.Context, names []string,
) (entry string, name int, ok bool, err error) {
	err = x.Tree.poll(ctx, x.Dir, func(root *Dir, now state) (bool, state, error) {
		byKey, now, err := x.namesByKey(root, now)
		if err != nil {
			return false, now, err
		}
		if len(byKey) == 0 {
			return false, now, nil
		}
		for i, n := range names {
			if entry, ok = byKey[strings.ToLower(n)]; ok {
				name = i
				return true, now, nil
			}
		}
		return false, now, nil
	})
	return entry, name, ok, err
}

// namesByKey returns the entries by their keys, and the state of the directory
// after it was listed. now is that by its name.
func (x *Index) namesByKey(root *Dir, now state) (map[string]string, state, error) {
	x.mu.Lock()
	if x.atRest && x.of == now {
		defer x.mu.Unlock()
		return x.byKey, now, nil
	}
	x.mu.Unlock()

	d, err := root.dir(x.Dir)
	if err != nil {
		return nil, now, err
	}
	defer d.Close()
	before, err := d.stat("")
	if err != nil {
		return nil, now, err
	}
	names, err := d.Names()
	if err != nil {
		return nil, now, err
	}
	after, err := d.stat("")
	if err != nil {
		return nil, now, err
	}
	atRest := before == after && x.rests.own(x.Tree.Clock, d.name, after) > recent
	x.mu.Lock()
	byKey := x.byKey
	same := byKey != nil && slices.Equal(names, x.names)
	x.mu.Unlock()
	if !same {
		byKey = make(map[string]string, len(names))
		for _, n := range names {
			for _, k := range x.Keys(n) {
				byKey[k] = n
			}
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.of, x.names, x.byKey, x.atRest = after, names, byKey, atRest
	return byKey, after, nil
}
