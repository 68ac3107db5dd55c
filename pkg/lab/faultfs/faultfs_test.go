//go:build linux

package faultfs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
)

// mountFaults mounts a fresh tree: files a and dir/b, a link to dir/b, a folder
// protect with a file.
func mountFaults(t *testing.T) (f *faultfs.Faults, source string) {
	t.Helper()
	source = t.TempDir()
	for _, dir := range []string{"dir", "protect"} {
		if err := os.Mkdir(filepath.Join(source, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "dir/b", "protect/c"} {
		if err := os.WriteFile(filepath.Join(source, name), []byte("text of "+name),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("dir/b", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	return faultfs.Mount(t, source), source
}

// outcomes calls do n times and writes down each answer: "." for success, else
// the error.
func outcomes(n int, do func(i int) error) string {
	var s []string
	for i := range n {
		var errno unix.Errno
		switch err := do(i); {
		case err == nil:
			s = append(s, ".")
		case errors.As(err, &errno):
			s = append(s, unix.ErrnoName(errno))
		default:
			s = append(s, err.Error())
		}
	}
	return strings.Join(s, " ")
}

func wantOutcomes(t *testing.T, want string, do func(i int) error) {
	t.Helper()
	if got := outcomes(len(strings.Fields(want)), do); got != want {
		t.Errorf("answers %q, want %q", got, want)
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// fsyncDir is what a careful program does after a rename.
func fsyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func TestFaultsHealthy(t *testing.T) {
	f, source := mountFaults(t)
	in := func(name string) string { return filepath.Join(f.Dir, name) }

	for name, want := range map[string]string{"a": "text of a", "link": "text of dir/b",
		"protect/c": "text of protect/c"} {
		if got, err := os.ReadFile(in(name)); string(got) != want || err != nil {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
	if target, err := os.Readlink(in("link")); target != "dir/b" || err != nil {
		t.Errorf("link leads to %q, %v", target, err)
	}
	steps := []error{
		os.WriteFile(in("new"), []byte("1"), 0o640),
		os.Rename(in("new"), in("dir/new")),
		os.WriteFile(in("dir/new"), []byte("22"), 0),
		os.Truncate(in("dir/new"), 1),
		os.Chmod(in("dir/new"), 0o600),
		os.Chtimes(in("dir/new"), time.Unix(1, 2), time.Unix(3, 4)),
		os.Lchown(in("link"), os.Getuid(), os.Getgid()),
		os.Link(in("dir/new"), in("hard")),
		os.Mkdir(in("sub"), 0o755),
		os.Symlink("nowhere", in("sub/dangling")),
		unix.Mkfifo(in("sub/fifo"), 0o600),
		os.Remove(in("a")),
		fsyncDir(in("sub")),
		fsyncDir(f.Dir),
	}
	for i, err := range steps {
		if err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
	for _, dir := range []string{f.Dir, source} {
		st, err := os.Stat(filepath.Join(dir, "hard"))
		if err != nil || st.Size() != 1 || st.Mode() != 0o600 ||
			!st.ModTime().Equal(time.Unix(3, 4)) {
			t.Errorf("%s/hard: %v, %v", dir, st, err)
		}
		var names []string
		list, err := os.ReadDir(filepath.Join(dir, "sub"))
		for _, e := range list {
			names = append(names, e.Name()+" "+e.Type().String())
		}
		if got := strings.Join(names, ", "); got != "dangling L---------, fifo p---------" ||
			err != nil {
			t.Errorf("%s/sub lists %s, %v", dir, got, err)
		}
	}

	// Nothing is remembered: neither a name that was not there, nor one that
	// was, nor attributes.
	if exists(in("late")) {
		t.Error("late is there early")
	}
	os.WriteFile(filepath.Join(source, "late"), []byte("123"), 0o644)
	if st, err := os.Stat(in("late")); err != nil || st.Size() != 3 {
		t.Errorf("late: %v, %v", st, err)
	}
	os.Truncate(filepath.Join(source, "late"), 2)
	if st, err := os.Stat(in("late")); err != nil || st.Size() != 2 {
		t.Errorf("late, cut: %v, %v", st, err)
	}
	os.Remove(filepath.Join(source, "late"))
	if exists(in("late")) {
		t.Error("late is still there")
	}
	if f.Injected() != 0 {
		t.Errorf("%d faults injected, none ordered", f.Injected())
	}
}

func TestFaultsHandles(t *testing.T) {
	f, source := mountFaults(t)
	root, err := unix.Open(f.Dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	at := func(name string) int {
		t.Helper()
		fd, err := unix.Openat(root, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	self := func(fd int) string { return fmt.Sprint("/proc/self/fd/", fd) }

	b, link := at("dir/b"), at("link")
	if p, err := os.Readlink(self(b)); p != filepath.Join(f.Dir, "dir/b") || err != nil {
		t.Errorf("path of the handle: %q, %v", p, err)
	}
	buf := make([]byte, 100)
	if n, err := unix.Readlinkat(link, "", buf); err != nil || string(buf[:n]) != "dir/b" {
		t.Errorf("readlink of the handle: %q, %v", buf[:max(n, 0)], err)
	}

	// The name goes to another file, through the mount and behind its back: the
	// handle keeps the old one.
	for _, dir := range []string{f.Dir, source} {
		other := filepath.Join(dir, "other")
		os.WriteFile(other, []byte("other"), 0o644)
		if err := os.Rename(other, filepath.Join(dir, "dir/b")); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(self(b)); string(got) != "text of dir/b" || err != nil {
			t.Errorf("through the handle: %q, %v", got, err)
		}
		if got, err := os.ReadFile(filepath.Join(f.Dir, "link")); string(got) != "other" ||
			err != nil {
			t.Errorf("by name: %q, %v", got, err)
		}
	}
	if err := os.Rename(filepath.Join(f.Dir, "link"), filepath.Join(f.Dir, "moved")); err != nil {
		t.Fatal(err)
	}
	if p, err := os.Readlink(self(link)); p != filepath.Join(f.Dir, "moved") || err != nil {
		t.Errorf("path of the moved handle: %q, %v", p, err)
	}
}

func TestFaultsReplay(t *testing.T) {
	f, source := mountFaults(t)
	in := func(format string, args ...any) string {
		return filepath.Join(f.Dir, fmt.Sprintf(format, args...))
	}
	for i := range 6 {
		os.WriteFile(in("old%d", i), nil, 0o644)
	}
	f.Set(faultfs.Replay(3))
	wantOutcomes(t, ". . ENOENT . . ENOENT", func(i int) error {
		return os.Rename(in("old%d", i), in("new%d", i))
	})
	for i := range 6 {
		if exists(in("old%d", i)) || !exists(in("new%d", i)) ||
			!exists(filepath.Join(source, fmt.Sprint("new", i))) {
			t.Errorf("rename %d was not carried out", i)
		}
	}
	f.Set(faultfs.Replay(2))
	wantOutcomes(t, ". ENOENT . ENOENT", func(i int) error { return unix.Unlink(in("new%d", i)) })
	// One that fails by itself is no replay and does not count.
	wantOutcomes(t, "ENOENT . ENOENT", func(i int) error { return unix.Unlink(in("new%d", i+3)) })
	for i := range 6 {
		if exists(in("new%d", i)) {
			t.Errorf("unlink %d was not carried out", i)
		}
	}
	if f.Injected() != 5 {
		t.Errorf("%d faults injected, want 5", f.Injected())
	}
}

func TestFaultsEIO(t *testing.T) {
	f, _ := mountFaults(t)
	in := func(name string) string { return filepath.Join(f.Dir, name) }
	open := func(name string, flags int) error {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	var names int
	fresh := func() string { names++; return in(fmt.Sprint("fresh", names)) }
	existing := func() string {
		name := fresh()
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Error(err)
		}
		return name
	}
	list := func(int) error { _, err := os.ReadDir(in("dir")); return err }
	for _, c := range []struct {
		name string
		ops  faultfs.Op
		do   func(int) error
	}{
		{"rename", faultfs.OpRename, func(int) error { return os.Rename(existing(), fresh()) }},
		{"unlink", faultfs.OpUnlink, func(int) error { return unix.Unlink(existing()) }},
		{"symlink", faultfs.OpSymlink, func(int) error { return os.Symlink("x", fresh()) }},
		{"open", faultfs.OpOpen, func(int) error { return open(in("dir/b"), unix.O_RDONLY) }},
		{"open for writing", faultfs.OpOpenWrite, func(int) error {
			if err := open(in("dir/b"), unix.O_RDONLY); err != nil {
				return fmt.Errorf("for reading: %w", err)
			}
			return open(in("dir/b"), unix.O_WRONLY)
		}},
		{"readlink", faultfs.OpReadlink, func(int) error {
			_, err := os.Readlink(in("link"))
			return err
		}},
		{"lookup", faultfs.OpLookup, func(int) error {
			_, err := os.Lstat(in("protect"))
			return err
		}},
		{"lookup for a handle", faultfs.OpLookup, func(int) error {
			return open(in("protect"), unix.O_PATH)
		}},
		{"opendir", faultfs.OpOpendir, list},
		{"read", faultfs.OpRead, func(int) error {
			file, err := os.Open(in("dir/b"))
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = file.Read(make([]byte, 10))
			return err
		}},
		{"write", faultfs.OpWrite, func(int) error {
			return os.WriteFile(in("dir/w"), []byte("w"), 0o644)
		}},
		{"create", faultfs.OpCreate, func(int) error { return os.WriteFile(fresh(), nil, 0o644) }},
		{"fsync", faultfs.OpFsync, func(int) error { return fsyncDir(in("dir/b")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer f.Set()
			before := f.Injected()
			f.Set(faultfs.EIO(2, c.ops))
			wantOutcomes(t, ". EIO . EIO", c.do)
			f.Set(faultfs.EIO(1, c.ops))
			wantOutcomes(t, "EIO EIO", c.do)
			f.Set()
			wantOutcomes(t, ". .", c.do)
			if n := f.Injected() - before; n != 4 {
				t.Errorf("%d faults counted, want 4", n)
			}
		})
	}

	t.Run("readdir", func(t *testing.T) { // in the middle of a listing
		defer f.Set()
		os.Mkdir(in("many"), 0o755)
		for i := range 20 {
			os.WriteFile(in(fmt.Sprint("many/", i)), nil, 0o644)
		}
		f.Set(faultfs.EIO(12, faultfs.OpReaddir))
		names, err := os.ReadDir(in("many"))
		if !errors.Is(err, unix.EIO) || len(names) == 0 || len(names) >= 12 {
			t.Errorf("%d names and %v, want some names and EIO", len(names), err)
		}
	})
	t.Run("under", func(t *testing.T) {
		defer f.Set()
		os.WriteFile(in("protected"), nil, 0o644)
		f.Set(faultfs.EIOUnder("protect"))
		wantOutcomes(t, "EIO EIO", func(int) error {
			_, err := os.Lstat(in("protect"))
			return err
		})
		wantOutcomes(t, "EIO EIO", func(int) error {
			_, err := os.ReadFile(in("protect/c"))
			return err
		})
		wantOutcomes(t, "EIO", func(int) error { return os.Rename(in("dir/b"), in("protect")) })
		wantOutcomes(t, ". .", func(int) error {
			_, err := os.ReadFile(in("protected"))
			return err
		})
		f.Set(faultfs.EIOUnder("protect/c"))
		wantOutcomes(t, "EIO", func(int) error {
			_, err := os.ReadFile(in("protect/c"))
			return err
		})
		wantOutcomes(t, ".", func(int) error { _, err := os.ReadDir(in("protect")); return err })
		wantOutcomes(t, "EIO", func(int) error { return os.Rename(in("dir/b"), in("protect/c")) })
		wantOutcomes(t, ".", func(int) error { return os.Rename(in("dir/b"), in("protect/d")) })
	})
}

func TestFaultsNoSpaceReadOnlyFsync(t *testing.T) {
	f, _ := mountFaults(t)
	in := func(name string) string { return filepath.Join(f.Dir, name) }

	f.Set(faultfs.NoSpace(3))
	wantOutcomes(t, ". . ENOSPC . . ENOSPC", func(i int) error {
		switch name := in(fmt.Sprint("n", i)); i {
		case 0, 5:
			return os.Mkdir(name, 0o755)
		case 1, 2:
			return os.Symlink("x", name)
		case 3:
			return os.Rename(in("a"), in("a2"))
		default:
			return os.Rename(in("a2"), in("a"))
		}
	})

	f.Set(faultfs.FsyncDirFails(2))
	wantOutcomes(t, ". EIO . EIO", func(int) error { return fsyncDir(in("dir")) })
	// a file's is another matter
	wantOutcomes(t, ". .", func(int) error { return fsyncDir(in("dir/b")) })

	before := f.Injected()
	f.Set(faultfs.ReadOnly())
	for i, err := range []error{
		os.Mkdir(in("x"), 0o755), os.Symlink("x", in("x")), os.Link(in("a"), in("x")),
		os.WriteFile(in("x"), nil, 0o644),
		os.WriteFile(in("a"), nil, 0o644), os.Rename(in("a"), in("x")), unix.Unlink(in("a")),
		unix.Rmdir(in("n0")),
		os.Chmod(in("a"), 0o600), os.Truncate(in("a"), 1), unix.Mkfifo(in("x"), 0o600),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("change %d of a read-only file system: %v", i, err)
		}
	}
	if got, err := os.ReadFile(in("link")); string(got) != "text of dir/b" || err != nil {
		t.Errorf("reading: %q, %v", got, err)
	}
	if n := f.Injected() - before; n != 11 {
		t.Errorf("%d faults counted, want 11", n)
	}
}

func TestFaultsRenameNoReplace(t *testing.T) {
	f, _ := mountFaults(t)
	in := func(name string) string { return filepath.Join(f.Dir, name) }
	noreplace := func(from, to string) error {
		return unix.Renameat2(unix.AT_FDCWD, in(from), unix.AT_FDCWD, in(to), unix.RENAME_NOREPLACE)
	}
	wantOutcomes(t, "EEXIST .", func(i int) error {
		return noreplace("a", []string{"link", "free"}[i])
	})
	f.Set(faultfs.NoRenameFlags())
	wantOutcomes(t, "EINVAL", func(int) error { return noreplace("free", "a") })
	wantOutcomes(t, ".", func(int) error { return os.Rename(in("free"), in("a")) })
	f.Set()
	wantOutcomes(t, ".", func(int) error { return noreplace("a", "free") })
	wantOutcomes(t, ".", func(int) error {
		return unix.Renameat2(unix.AT_FDCWD, in("free"), unix.AT_FDCWD, in("link"),
			unix.RENAME_EXCHANGE)
	})
	if target, err := os.Readlink(in("free")); target != "dir/b" || err != nil {
		t.Errorf("after the exchange free leads to %q, %v", target, err)
	}
}

func TestFaultsSlow(t *testing.T) {
	f, _ := mountFaults(t)
	link := filepath.Join(f.Dir, "link")
	const delay = 150 * time.Millisecond
	f.Set(faultfs.Slow(delay, faultfs.OpReadlink), faultfs.EIO(1, faultfs.OpReadlink))
	start := time.Now()
	wantOutcomes(t, "EIO", func(int) error { _, err := os.Readlink(link); return err })
	if took := time.Since(start); took < delay {
		t.Errorf("a slow readlink took %v", took)
	}

	// A delay ends when it is taken back.
	f.Set(faultfs.Slow(time.Hour, 0))
	done := make(chan error, 1)
	go func() { _, err := os.Readlink(link); done <- err }()
	select {
	case <-done:
		t.Error("an endless delay was none")
	case <-time.After(50 * time.Millisecond):
	}
	f.Set()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// waitHanging waits until n operations are blocked.
func waitHanging(t *testing.T, f *faultfs.Faults, n int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); f.Hanging() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d operations hang, want %d", f.Hanging(), n)
		}
	}
}

func TestFaultsHang(t *testing.T) {
	f, _ := mountFaults(t)
	in := func(name string) string { return filepath.Join(f.Dir, name) }
	f.Set(faultfs.Hang(0))
	done := make(chan error, 3)
	for _, name := range []string{"a", "link", "dir/b"} {
		go func() { _, err := os.ReadFile(in(name)); done <- err }()
	}
	waitHanging(t, f, 3)
	f.Set(faultfs.EIO(1, faultfs.OpOpen)) // they go on, to the next obstacle
	for range 3 {
		if err := <-done; !errors.Is(err, unix.EIO) {
			t.Errorf("after the hang: %v, want EIO", err)
		}
	}
	if f.Hanging() != 0 || f.Injected() != 6 {
		t.Errorf("%d operations hang, %d faults counted; want 0 and 6", f.Hanging(), f.Injected())
	}

	f.Set(faultfs.Hang(faultfs.OpOpen)) // other operations are not concerned
	go func() { _, err := os.ReadFile(in("a")); done <- err }()
	waitHanging(t, f, 1)
	if _, err := os.Readlink(in("link")); err != nil {
		t.Error(err)
	}
	f.Set()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A test may end while operations hang and files are open.
func TestFaultsUnmountWhileHanging(t *testing.T) {
	lab.Slow(t)
	hung := make(chan error, 1)
	var file *os.File
	var dir string
	start := time.Now()
	t.Run("hang", func(t *testing.T) {
		f, _ := mountFaults(t)
		dir = f.Dir
		var err error
		if file, err = os.Open(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		f.Set(faultfs.Hang(0))
		go func() { _, err := os.ReadFile(filepath.Join(dir, "dir/b")); hung <- err }()
		waitHanging(t, f, 1)
		go func() { time.Sleep(100 * time.Millisecond); file.Close() }()
	})
	if err := <-hung; err == nil {
		t.Error("the operation that hung was successful")
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the end took %v", took)
	}
	if exists(dir) {
		t.Errorf("%s is still there", dir)
	}
}

// Faults change while many operations are under way; none is lost, and the true
// state is what the answers said.
func TestFaultsConcurrent(t *testing.T) {
	f, source := mountFaults(t)
	stop := make(chan struct{})
	var switching sync.WaitGroup
	switching.Add(1)
	go func() {
		defer switching.Done()
		for i := 0; ; i++ {
			select {
			case <-stop:
				f.Set()
				return
			case <-time.After(time.Millisecond):
			}
			switch i % 4 {
			case 0:
				f.Set(faultfs.EIO(5, faultfs.OpRename|faultfs.OpSymlink|faultfs.OpLookup))
			case 1:
				f.Set(faultfs.Hang(faultfs.OpRename))
			case 2:
				f.Set(faultfs.NoSpace(4), faultfs.Slow(time.Millisecond, faultfs.OpReadlink))
			case 3:
				f.Set()
			}
		}
	}()
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range 100 {
				order := filepath.Join(f.Dir, fmt.Sprintf("order-%d-%d", w, i))
				target := fmt.Sprint("target", w, "-", i)
				if os.Symlink(target, order) != nil {
					continue
				}
				claim := order + "~claimed"
				if os.Rename(order, claim) != nil {
					continue
				}
				if got, err := os.Readlink(filepath.Join(source,
					filepath.Base(claim))); got != target {
					t.Errorf("claimed %s: %q, %v", claim, got, err)
				}
				if got, err := os.Readlink(claim); got != target && !errors.Is(err, unix.EIO) {
					t.Errorf("claimed %s through the mount: %q, %v", claim, got, err)
				}
			}
		}()
	}
	workers.Wait()
	close(stop)
	switching.Wait()
}
