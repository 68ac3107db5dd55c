//go:build !linux

package tree

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// This file lets people work on a tree elsewhere: explain, check and a trial
// run. It looks first and opens then, so it makes no promise about links that
// are swapped meanwhile. Machines are booted from Linux.

// Dir is a directory, by its path.
type Dir struct{ name string }

// OpenDir names a directory, which must exist.
func OpenDir(path string) (*Dir, error) {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return &Dir{path}, err
}

// Sub names a directory of this directory.
func (d *Dir) Sub(name string) (*Dir, error) { return OpenDir(d.at(name)) }

// Sticky reports whether this process may not take away what others put into
// the directory: nothing of the kind is known here.
func (d *Dir) Sticky() bool { return false }

// real is where the directory really lies.
func (d *Dir) real() (string, error) {
	real, err := filepath.EvalSymlinks(d.name)
	return filepath.ToSlash(real), err
}

// Close does nothing here.
func (d *Dir) Close() {}

func (d *Dir) at(name string) string { return inRoot(d.name, name) }

var here = &Dir{}

func (d *Dir) dir(name string) (*Dir, error) { return OpenDir(d.at(name)) }

// retry has nothing to repeat here.
func retry(call func() error) error { return call() }

// roots keeps nothing here: a root is its path.
type roots struct{}

type root struct{ *Dir }

func (*roots) acquire(path string, _ int) (*root, error) {
	d, err := OpenDir(path)
	return &root{d}, err
}

func (*roots) release(*root) {}

// Entry looks at a name without following it.
func (d *Dir) Entry(name string) (Entry, error) {
	if text, err := os.Readlink(d.at(name)); err == nil {
		return Entry{Name: name, Link: text}, nil
	}
	info, err := os.Lstat(d.at(name))
	return Entry{Name: name, Dir: err == nil && info.IsDir()}, err
}

// Made is when an entry was made or written last; zero when nobody can tell.
func (d *Dir) Made(name string) (made time.Time) {
	if info, err := os.Lstat(d.at(name)); err == nil {
		made = info.ModTime()
	}
	return made
}

// Readlink returns the text of a symbolic link.
func (d *Dir) Readlink(name string) (string, error) { return os.Readlink(d.at(name)) }

func (d *Dir) open() (*os.File, error) { return os.Open(d.name) }

// Changed is when the directory changed last.
func (d *Dir) Changed() (time.Time, error) {
	s, err := d.stat("")
	return s.mtime, err
}

type state struct {
	size         int64
	mtime, ctime time.Time
}

// local: nothing is known of network file systems here.
func (d *Dir) local() bool { return true }

func (d *Dir) stat(name string) (state, error) {
	info, err := os.Stat(d.at(name))
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "stat", Path: d.at(name), Err: syscall.ENOTDIR}
	}
	if err != nil {
		return state{}, err
	}
	return state{0, info.ModTime(), info.ModTime()}, nil
}

func (d *Dir) lstat(name string) (state, error) {
	info, err := os.Lstat(d.at(name))
	if err != nil {
		return state{}, err
	}
	return state{0, info.ModTime(), info.ModTime()}, nil
}

// Rename moves an entry to another directory, and replaces what is there.
func (d *Dir) Rename(name string, to *Dir, toName string) error {
	return os.Rename(d.at(name), to.at(toName))
}

// RenameNew is not to be had here.
func (d *Dir) RenameNew(string, *Dir, string) error { return syscall.EINVAL }

// Symlink makes a symbolic link.
func (d *Dir) Symlink(text, name string) error { return os.Symlink(text, d.at(name)) }

// Proven returns the text of a link.
func (d *Dir) Proven(name string) (string, error) { return d.Readlink(name) }

// Aside begins no name here.
const Aside = ".aside~"

// Return has nothing to do here.
func (d *Dir) Return(string) error { return nil }

// Recall has nothing to do here.
func (d *Dir) Recall(string) {}

// RemoveEmpty does nothing here.
func (d *Dir) RemoveEmpty(string) error { return nil }

// Holds reports whether a name is there.
func (d *Dir) Holds(name string) (bool, error) {
	_, err := os.Lstat(d.at(name))
	if Absent(err) {
		return false, nil
	}
	return err == nil, err
}

// Remove unlinks a name.
func (d *Dir) Remove(name string) error { return os.Remove(d.at(name)) }

// Mkdir makes a directory.
func (d *Dir) Mkdir(name string) error { return os.Mkdir(d.at(name), 0o775) }

// Rights returns the same for every directory: nothing is known of them here.
func (d *Dir) Rights() (Rights, error) { return Rights{}, nil }

// Mend has nothing to mend here.
func (d *Dir) Mend(string) error { return nil }

// Sync does nothing here.
func (d *Dir) Sync() error { return nil }

type file struct {
	path, real string
	state
}

func (f *file) close() {}

func (f *file) local() bool { return true }

func (f *file) reopen() (*os.File, error) { return os.Open(f.path) }

func (t *Tree) open(_ context.Context, dir, text string, use Use) (*file, error) {
	root, err := filepath.EvalSymlinks(t.Path)
	if err != nil {
		return nil, err
	}
	name := text
	if !filepath.IsAbs(name) {
		name = filepath.Join(inRoot(root, dir), text)
	}
	real, err := filepath.EvalSymlinks(name)
	if Absent(err) {
		return nil, refuse(Missing, "%s is not there", text)
	} else if err != nil {
		return nil, err
	}
	info, err := os.Lstat(real)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, refuse(NoFile, "%s is not a file", text)
	}
	rel, err := t.judge(filepath.ToSlash(root), filepath.ToSlash(real), use)
	if err != nil {
		return nil, err
	}
	return &file{real, rel, state{info.Size(), info.ModTime(), info.ModTime()}}, nil
}

type plainText struct{}

func (t *Tree) readPlain(context.Context, string, string, int64) (got Text, ok bool) {
	return got, false
}
