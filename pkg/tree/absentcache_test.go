//go:build linux

package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
)

// TestAbsentCache: what a directory at rest does not have is known after some
// looks, and an edit is seen at the next look.
func TestAbsentCache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	add := func(name string) {
		if err := os.Symlink("../"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	add("first")
	var clock lab.Clock
	cache := AbsentCache{Clock: clock.At}
	names := []string{"first", "second"}
	for i := range enough {
		names = append(names, fmt.Sprint("nobody", i))
	}
	look := func(want ...string) {
		t.Helper()
		found, err := cache.Find(context.Background(), dir, names)
		var got []string
		for _, e := range found {
			got = append(got, e.Name)
			if e.Link != "../"+e.Name {
				t.Errorf("%s leads to %q", e.Name, e.Link)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("found %q, want %q, error %v", got, want, err)
		}
	}
	look("first")
	if cache.list.Load() != nil {
		t.Error("a directory was listed that had just changed")
	}
	rest(&clock)
	for i := 0; cache.list.Load() == nil; i++ {
		if i == 1000 {
			t.Fatal("a directory at rest is never listed")
		}
		look("first")
		time.Sleep(time.Millisecond)
	}
	look("first")
	add("second")
	look("first", "second")
	if err := os.Remove(filepath.Join(dir, "first")); err != nil {
		t.Fatal(err)
	}
	look("second")
	if found, err := cache.Find(context.Background(), dir+"/none", names); found != nil ||
		err != nil {
		t.Errorf("in no directory: %v, error %v", found, err)
	}
}

// TestUnseen: this machine's kernel remembers that there was no such name, and
// the server has it. That is no "not there".
func TestUnseen(t *testing.T) {
	t.Parallel()
	source := t.TempDir()
	faults := faultfs.MountRemembering(t, source, faultfs.ByNothing)
	names := []string{"late", "none"}
	var clock lab.Clock
	cache := AbsentCache{Clock: clock.At}
	look := func() error {
		found, err := cache.Find(context.Background(), faults.Dir, names)
		if len(found) > 0 {
			t.Fatalf("found %v: the kernel remembers nothing, so that nothing is tried here", found)
		}
		return err
	}
	if err := look(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../late", filepath.Join(source, "late")); err != nil {
		t.Fatal(err)
	}
	look()
	rest(&clock)
	unseen := (*Unseen)(nil)
	for range 1000 {
		if err := look(); errors.As(err, &unseen) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("a name that the server lists is not there")
}

// TestReadPlain: the short way is taken for plain files only, and says of them
// what the long way says.
func TestReadPlain(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	root := filepath.Join(top, "root")
	for _, d := range []string{"static", "deep/er", ".git", "secret", "t"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"../outside", "plain", "static/own", "deep/er/f", "deep/f",
		".git/config", "secret/f", "t/a.src"} {
		if err := os.WriteFile(filepath.Join(root, f), []byte("text\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"link": "plain", "folder": "deep/er",
		"static/x": "../plain", "out": top} {
		if err := os.Symlink(text, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	var clock lab.Clock
	tree := &Tree{Path: root, Clock: clock.At, Hidden: hidden}
	if _, ok := tree.readPlain(t.Context(), "static", "own", 100); ok {
		t.Error("a file was believed that had just been written")
	}
	rest(&clock)
	for text, want := range map[string]bool{
		"own": true, "../plain": true, "../deep/er/f": true, "../deep/er/../f": true,
		// links on the way
		"x": false, "../link": false, "../folder/f": false, "../folder/../f": false,
		"../../outside": false, "../out/outside": false, "../../root/plain": false,
		root + "/plain":  false,
		"../.git/config": false, "../secret/f": false, "../t/a.src": true,
		"../fifo": false, "../deep": false, "..": false, "../plain/": false, "none": false,
	} {
		short, ok := tree.readPlain(t.Context(), "static", text, 100)
		if ok != want {
			t.Errorf("%s: %v", text, ok)
		}
		long, err := tree.Read(t.Context(), "static", text, 100)
		if ok && (err != nil || string(long.Body) != string(short.Body) ||
			long.Real != short.Real) {
			t.Errorf("%s is %q from %s, and %q from %s, error %v", text, short.Body, short.Real,
				long.Body, long.Real, err)
		}
	}
	if _, ok := tree.readPlain(t.Context(), "static", "own", 4); ok {
		t.Error("a file over the limit was read")
	}
}
