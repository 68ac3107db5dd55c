package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
)

// What looking for a name without its case may cost.
const (
	foldDepth   = 8    // directories on the way, with the file
	foldEntries = 4096 // entries that are listed, in all of them
)

// Unclear is the reason for a name that two entries may be meant by.
const Unclear Kind = "unclear"

// Fold returns the name that is meant by name where case does not count, as for
// the loaders of Windows. Each part of it is taken as it is where something has
// it, else the one entry that differs in nothing but case. name is relative to
// the root and clean; what is returned is too, and is yet to be opened by the
// same rules as every name.
func (t *Tree) Fold(name string) (string, error) {
	parts := strings.Split(name, "/")
	if len(parts) > foldDepth {
		return "", refuse(Missing, "%s is not there", name)
	}
	s, err := t.snapshot(context.Background())
	if err != nil {
		return "", err
	}
	defer s.release()
	root, err := s.root.real()
	if err != nil {
		return "", err
	}
	dir, left := s.root.Dir, foldEntries
	for i, part := range parts {
		if i > 0 {
			sub, err := dir.dir(parts[i-1])
			if Absent(err) {
				return "", refuse(Missing, "%s is not there", name)
			} else if err != nil {
				return "", err
			}
			defer sub.Close()
			dir = sub
			// Nothing is listed that could not be served by its own name.
			real, err := dir.real()
			if err != nil {
				return "", err
			}
			if _, err := t.judge(root, path.Join(real, part), Serve); err != nil {
				return "", err
			}
		}
		if parts[i], err = dir.fold(part, &left); err != nil {
			return "", err
		}
		if _, err := t.Clean(strings.Join(parts[:i+1], "/")); err != nil {
			return "", err
		}
	}
	return strings.Join(parts, "/"), nil
}

// fold returns the name of the entry that is meant by name. left is how many
// entries may be listed yet.
func (d *Dir) fold(name string, left *int) (string, error) {
	if _, err := d.Entry(name); err == nil || !Absent(err) {
		return name, err
	}
	f, err := d.open()
	if errors.Is(err, fs.ErrPermission) {
		return "", refuse(Missing, "%s is not there, and its directory may not be listed", name)
	} else if err != nil {
		return "", err
	}
	defer f.Close()
	names, err := f.Readdirnames(*left + 1)
	if err != nil && err != io.EOF {
		return "", err
	}
	if *left -= len(names); *left < 0 {
		return "", refuse(Unclear, "%s is looked for among %d entries at most", name, foldEntries)
	}
	found := ""
	for _, n := range names {
		switch {
		case !strings.EqualFold(n, name):
		case found != "":
			return "", refuse(Unclear, "%s may be %s or %s", name, min(found, n), max(found, n))
		default:
			found = n
		}
	}
	if found == "" {
		return "", refuse(Missing, "%s is not there", name)
	}
	return found, nil
}
