//go:build linux

package media_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/iso"
	"pxesrv/pkg/lab/faultfs"
	"pxesrv/pkg/media"
)

// images makes the images of hosts, each with a search domain of that name.
func images(t testing.TB, k *media.Loaders, domain string, names ...string) iter.Seq2[string,
	*iso.Image] {
	t.Helper()
	all := map[string]*iso.Image{}
	for n, name := range names {
		h := host(name, n)
		h.Search = []string{domain}
		m, _, err := k.Image(h, false)
		if err != nil {
			t.Fatal(err)
		}
		all[media.FileName(name)] = m
	}
	return maps.All(all)
}

// checkFolder fails when the folder has anything but whole images of these, of
// one of the domains, and perhaps a SHA256SUMS that is right. It returns how
// many images of each domain there are.
func checkFolder(t testing.TB, dir string, may ...iter.Seq2[string, *iso.Image]) []int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	count := make([]int, len(may))
	for _, e := range entries {
		if e.Name() == media.SumsFile {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Errorf("in the folder: %v", err)
			continue
		}
		known := false
		for i, images := range may {
			for name, m := range images {
				if name == e.Name() && m.SHA256() == sha256.Sum256(body) {
					count[i], known = count[i]+1, true
				}
			}
		}
		if !known {
			t.Errorf("%s, of %d bytes, is none of the images", e.Name(), len(body))
		}
	}
	if _, err := os.Stat(filepath.Join(dir, media.SumsFile)); err == nil {
		c := exec.Command("sha256sum", "--check", "--strict", "--quiet", media.SumsFile)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil &&
			!strings.Contains(string(out), "no properly formatted") {
			t.Errorf("sha256sum -c: %v\n%s", err, out)
		}
	}
	return count
}

var sums = media.WriteOptions{Sums: true}

// TestWrite: what is new is written, what changed is replaced, and what did not
// is left alone, to its very inode.
func TestWrite(t *testing.T) {
	k := open(t)
	dir := filepath.Join(t.TempDir(), "sub", "isos")
	names := []string{"a", "b", "c:d"}
	first := images(t, k, "one.example", names...)
	var steps []int
	done, err := media.Write(t.Context(), dir, first,
		media.WriteOptions{Sums: true, Progress: func(n int) { steps = append(steps, n) }})
	if want := (media.Written{New: 3}); err != nil || done != want {
		t.Fatalf("%+v, %v; want %+v", done, err, want)
	}
	if !slices.Equal(steps, []int{1, 2, 3}) {
		t.Errorf("progress %v", steps)
	}
	if got := checkFolder(t, dir, first); got[0] != 3 {
		t.Errorf("%d images", got[0])
	}
	list, _ := os.ReadFile(filepath.Join(dir, media.SumsFile))
	if n := strings.Count(string(list), "\n"); n != 3 ||
		!strings.Contains(string(list), "  c-d.iso\n") {
		t.Errorf("%s:\n%s", media.SumsFile, list)
	}
	before := stat(t, dir, "a.iso")

	// One of them changes, and there is one more; others' lines stay while
	// there are such files.
	os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o666)
	empty := fmt.Sprintf("%x", sha256.Sum256(nil))
	os.WriteFile(filepath.Join(dir, media.SumsFile),
		[]byte(string(list)+empty+"  notes.txt\n"+empty+"  gone.txt\n"), 0o666)
	second := merge(images(t, k, "one.example", "a"), images(t, k, "two.example", "b"),
		images(t, k, "one.example", "x", "y", "z"))
	done, err = media.Write(t.Context(), dir, second, sums)
	if want := (media.Written{New: 3, Changed: 1, Unchanged: 1}); err != nil || done != want {
		t.Fatalf("%+v, %v; want %+v", done, err, want)
	}
	if !os.SameFile(before, stat(t, dir, "a.iso")) {
		t.Error("an image was replaced that had not changed")
	}
	os.Remove(filepath.Join(dir, "notes.txt"))
	list, _ = os.ReadFile(filepath.Join(dir, media.SumsFile))
	if !strings.Contains(string(list), "  notes.txt\n") ||
		strings.Contains(string(list), "gone.txt") || strings.Count(string(list), "\n") != 7 {
		t.Errorf("%s:\n%s", media.SumsFile, list)
	}
	if _, err := media.Write(t.Context(), dir, first, sums); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, dir, first, second)

	// A file of the right size with other bytes is no image.
	if err := os.WriteFile(filepath.Join(dir, "b.iso"), make([]byte, before.Size()),
		0o666); err != nil {
		t.Fatal(err)
	}
	done, err = media.Write(t.Context(), dir, first, media.WriteOptions{})
	if want := (media.Written{Changed: 1, Unchanged: 2}); err != nil || done != want {
		t.Errorf("%+v, %v; want %+v", done, err, want)
	}
	checkFolder(t, dir, first, second)
}

func stat(t testing.TB, dir, name string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func merge(all ...iter.Seq2[string, *iso.Image]) iter.Seq2[string, *iso.Image] {
	return func(yield func(string, *iso.Image) bool) {
		for _, s := range all {
			for name, m := range s {
				if !yield(name, m) {
					return
				}
			}
		}
	}
}

// TestWriteRefuses: what is no plain file is never replaced, and then nothing
// is.
func TestWriteRefuses(t *testing.T) {
	k := open(t)
	for name, make := range map[string]func(path string) error{
		"a link":   func(path string) error { return os.Symlink("elsewhere", path) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o777) },
		"a pipe":   func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		dir := t.TempDir()
		if err := make(filepath.Join(dir, "b.iso")); err != nil {
			t.Fatal(err)
		}
		done, err := media.Write(t.Context(), dir, images(t, k, "example", "a", "b"), sums)
		if err == nil || !strings.Contains(err.Error(), "b.iso is no plain file") ||
			!strings.HasPrefix(err.Error(), "nothing was changed: ") || done.Total() != 0 {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
	twice := merge(images(t, k, "example", "a"), images(t, k, "example", "a"))
	if _, err := media.Write(t.Context(), t.TempDir(), twice, sums); err == nil {
		t.Error("two images of one name were written")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := media.Write(ctx, dir, images(t, k, "example", "a"), sums); !errors.Is(err,
		context.Canceled) {
		t.Errorf("a run that was ended: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// TestWriteFailingDisk: whatever the disk does, a folder has whole images only,
// and a list that is right; and the next run mends it.
func TestWriteFailingDisk(t *testing.T) {
	k := open(t)
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}
	old, fresh := images(t, k, "old.example", names[:8]...), images(t, k, "new.example", names...)
	for name, f := range map[string]struct {
		fault   faultfs.Fault
		want    string
		changed bool // some of it may be
		few     bool // so that each is brought to the disk by itself
	}{
		"full": {faultfs.Fault{Ops: faultfs.OpWrite, Every: 3, Err: unix.ENOSPC},
			"nothing was changed: no room in ", false, false},
		"quota": {faultfs.Fault{Ops: faultfs.OpWrite, Every: 2, Err: unix.EDQUOT},
			"nothing was changed: no room in ", false, false},
		"full for a name": {faultfs.Fault{Ops: faultfs.OpCreate, Every: 5, Err: unix.ENOSPC},
			"nothing was changed: no room in ", false, false},
		"full for the folder": {faultfs.NoSpace(1), "nothing was changed: no room in ",
			false, false},
		"read-only": {faultfs.ReadOnly(), "nothing was changed: ", false, false},
		"writing fails": {faultfs.EIO(4, faultfs.OpWrite), "nothing was changed: ",
			false, false},
		"renaming fails": {faultfs.EIO(6, faultfs.OpRename),
			"4 of 11 images are in their place, the others are as they were", true, false},
		"reading fails": {faultfs.EIO(2, faultfs.OpRead), "nothing was changed: ",
			false, false},
		"no sync": {faultfs.EIO(2, faultfs.OpFsync), "nothing was changed: ",
			false, true},
		"no sync of the folder": {faultfs.FsyncDirFails(1), "the disk does not say", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			source := t.TempDir()
			if _, err := media.Write(t.Context(), source, old, sums); err != nil {
				t.Fatal(err)
			}
			disk := faultfs.Mount(t, source)
			disk.Set(f.fault)
			some := fresh
			if f.few {
				some = images(t, k, "new.example", names[:3]...)
			}
			done, err := media.Write(t.Context(), disk.Dir, some, sums)
			if err == nil || !strings.Contains(err.Error(), f.want) || done.Total() != 0 ||
				disk.Injected() == 0 {
				t.Errorf("%+v, %v; want %q", done, err, f.want)
			}
			disk.Set()
			left, _ := filepath.Glob(filepath.Join(source, ".*"))
			for _, path := range left {
				os.RemoveAll(path) // what could not be removed; the next run does it
			}
			got := checkFolder(t, source, old, fresh)
			if !f.changed && (got[0] != 8 || got[1] != 0) || got[0]+got[1] < 8 {
				t.Errorf("%d old and %d new images", got[0], got[1])
			}
			if _, err := media.Write(t.Context(), disk.Dir, fresh, sums); err != nil {
				t.Fatal(err)
			}
			if got := checkFolder(t, source, old, fresh); got[0] != 0 || got[1] != 11 {
				t.Errorf("afterwards %d old and %d new images", got[0], got[1])
			}
		})
	}
}

// TestWriteAtOnce: runs at once wait for each other, and so leave what the last
// one wrote, with its list.
func TestWriteAtOnce(t *testing.T) {
	k := open(t)
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	dir := t.TempDir()
	var runs sync.WaitGroup
	var all []iter.Seq2[string, *iso.Image]
	for n := range 6 {
		images := images(t, k, fmt.Sprintf("run%d.example", n), names...)
		all = append(all, images)
		runs.Go(func() {
			if _, err := media.Write(t.Context(), dir, images, sums); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	if got := checkFolder(t, dir, all...); slices.Max(got) != len(names) {
		t.Errorf("images of several runs: %v", got)
	}

	// One that waits says so, and can be ended.
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := media.Write(ctx, dir, all[0], media.WriteOptions{Waiting: cancel}); !errors.Is(err,
		context.Canceled) {
		t.Errorf("a run that waited and was ended: %v", err)
	}
}

// TestWriteLeftover: what a run left that was killed is removed by the next.
func TestWriteLeftover(t *testing.T) {
	k := open(t)
	dir := filepath.Join(t.TempDir(), "a [folder]*")
	left := filepath.Join(dir, ".pxesrv-iso-123")
	if err := os.MkdirAll(left, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "half.iso"), []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	only := images(t, k, "example", "a")
	if _, err := media.Write(t.Context(), dir, only, sums); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
	checkFolder(t, dir, only)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := media.Write(t.Context(), filepath.Join(dir, "a.iso"), only, sums); !errors.Is(err,
		syscall.ENOTDIR) {
		t.Errorf("a file for a folder: %v", err)
	}
}
