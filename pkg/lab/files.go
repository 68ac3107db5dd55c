//go:build linux

// Package lab is what tests are made with: trees of files, boot loaders, checks
// of logs. What boots machines, makes networks or breaks disks is below it.
// Only tests import it.
package lab

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Files is a tree in a literal: a path and its text. "-> X" is a symbolic link
// to X, "|" a FIFO, "socket", and a path that ends in "/" a directory.
type Files map[string]string

// Grow makes the tree below root, and returns root.
func (f Files) Grow(t testing.TB, root string) string {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(f)) {
		at, text := filepath.Join(root, name), f[name]
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if err == nil {
			link, isLink := strings.CutPrefix(text, "-> ")
			switch {
			case strings.HasSuffix(name, "/"):
				err = os.MkdirAll(at, 0o755)
			case isLink:
				err = os.Symlink(link, at)
			case text == "|":
				err = syscall.Mkfifo(at, 0o644)
			case text == "socket":
				err = socket(t, at)
			default:
				err = os.WriteFile(at, []byte(text), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// socket makes a socket that is there until the end of the test.
func socket(t testing.TB, at string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	t.Cleanup(func() { unix.Close(fd) })
	dir, err := os.Open(filepath.Dir(at)) // the path itself may be too long for an address
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Bind(fd,
		&unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(at))})
}

// With returns both trees as one.
func (f Files) With(more Files) Files {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

// Swap makes at a link to target, in the place of what is there, without a
// moment in between.
func Swap(t testing.TB, target, at string) {
	t.Helper()
	err := os.Symlink(target, at+"~")
	if err == nil {
		err = os.Rename(at+"~", at)
	}
	if err != nil {
		t.Fatal(err)
	}
}
