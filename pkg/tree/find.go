package tree

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Entry is a name in a directory of the root.
type Entry struct {
	Name string
	Link string // the text of the link, when it is one
	Dir  bool   // it is a directory, not a link to one
}

// Names lists the directory, in no order.
func (d *Dir) Names() (names []string, err error) {
	err = retry(func() error {
		f, err := d.open()
		if err != nil {
			return err
		}
		defer f.Close()
		names, err = f.Readdirnames(-1)
		return err
	})
	return names, err
}

// Find returns those of the names that exist in the directory dir of the root,
// in their order, whatever they are. Names contain no slash. When the directory
// changed within the last 2 s and the first name is not there, it is looked at
// again for up to 300 ms.
func (t *Tree) Find(ctx context.Context, dir string, names []string) ([]Entry, error) {
	if len(names) == 0 {
		return nil, nil
	}
	cache, ok := t.absences.Load(dir)
	if !ok {
		cache, _ = t.absences.LoadOrStore(dir, &AbsentCache{Clock: t.Clock})
	}
	var found []Entry
	err := t.poll(ctx, dir, func(root *Dir, now state) (bool, state, error) {
		seen, misses, err := cache.(*AbsentCache).find(root, dir, now, names)
		if err != nil {
			return false, now, err
		}
		found = merge(names, seen, found)
		if len(found) > 0 && found[0].Name == names[0] {
			return true, now, nil
		}
		if misses > 0 { // it may have gone away since now
			now, err = root.stat(dir)
		}
		return false, now, err
	})
	return found, err
}

// merge adds to seen what an earlier poll saw: an entry may be away for the
// moment in which an edit replaces it.
func merge(names []string, seen, earlier []Entry) []Entry {
	if len(earlier) == 0 {
		return seen
	}
	var all []Entry
	for _, name := range names {
		is := func(e Entry) bool { return e.Name == name }
		if i := slices.IndexFunc(seen, is); i >= 0 {
			all = append(all, seen[i])
		} else if i := slices.IndexFunc(earlier, is); i >= 0 {
			all = append(all, earlier[i])
		}
	}
	return all
}

// poll runs look on the directory dir of the root until it is satisfied, the
// directory is at rest, or pollFor is over. look is told the state of the
// directory, and returns a later one when it has looked at the disk and not
// found everything: with many requests at once the two are apart, and an edit
// may have begun in between.
func (t *Tree) poll(
	ctx context.Context, dir string, look func(root *Dir, now state) (bool, state, error),
) error {
	for waited := time.Duration(0); ; waited += pollEvery {
		done, age, err := t.pollOnce(ctx, dir, look)
		wrong := (*NoDirectory)(nil)
		if done || err != nil && !Absent(err) && !errors.As(err, &wrong) {
			return err
		}
		if waited >= pollFor || age >= recent {
			return err
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
		ctx = fresh(ctx)
	}
}

// pollOnce runs look once, if the directory is there. It also returns how long
// the directory is at rest or, where there is none, the root.
func (t *Tree) pollOnce(
	ctx context.Context, dir string, look func(*Dir, state) (bool, state, error),
) (done bool, age time.Duration, err error) {
	s, err := t.snapshot(ctx)
	if err != nil {
		return false, 0, err
	}
	defer s.release()
	now, there, err := s.statOptional(dir)
	if there {
		switch done, now, err = look(s.root.Dir, now); {
		case done:
			return true, 0, nil
		case Absent(err): // it went away under our hands
			return false, 0, err
		}
		path := inRoot(t.Path, dir)
		return false, t.rests.age(t.Clock, path, now, localAt(path)), err
	}
	root, rootErr := s.root.stat("")
	if rootErr != nil {
		return false, 0, rootErr
	}
	return false, t.rests.age(t.Clock, t.Path, root, s.root.Dir.local), err
}

// NoDirectory is the error for a name under which a directory is expected, and
// something else is: a file, or a link to a place that is not there, as on a
// file server that is not mounted. What the directory has is unknown.
type NoDirectory struct{ Path string }

func (e *NoDirectory) Error() string {
	return e.Path + " is there, but is no directory or leads to none"
}

// statOptional is stat for a directory that need not exist: there is false when
// nothing has its name.
func (d *Dir) statOptional(name string) (now state, there bool, err error) {
	// The second look is for a directory, or a link to one, that came between
	// the two questions.
	for range 2 {
		if now, err = d.stat(name); err == nil || !Absent(err) {
			return now, err == nil, err
		}
		if _, err = d.Entry(name); Absent(err) {
			return now, false, nil
		} else if err != nil {
			return now, false, err
		}
	}
	return now, false, &NoDirectory{inRoot(d.name, name)}
}
