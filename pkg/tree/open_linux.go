package tree

import (
	"context"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// file is an object that passed the path rule, not yet opened for reading.
type file struct {
	fd   int // O_PATH
	real string
	state
}

func (f *file) close() { unix.Close(f.fd) }

// reopen opens the very object that was judged.
func (f *file) reopen() (*os.File, error) {
	fd, err := openat(unix.AT_FDCWD, procName(f.fd), unix.O_RDONLY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: f.real, Err: err}
	}
	return os.NewFile(uintptr(fd), f.real), nil
}

// local reports whether the file lies on a local file system, see Dir.local.
func (f *file) local() bool { return (&Dir{fd: f.fd}).local() }

// open follows text from the directory dir of the root and applies the path
// rule to what it finds there.
func (t *Tree) open(ctx context.Context, dir, text string, use Use) (*file, error) {
	f, root, err := t.openOnce(ctx, dir, text, use)
	var r *Refusal
	if isRefusal(err, &r) && (r.Kind == Outside || r.Kind == Missing) {
		// The root may have been swapped, or the file or a folder on the way
		// replaced, in between. The second look decides.
		if now, err2 := t.realRoot(); err2 != nil {
			return nil, err2
		} else if now != root || r.Kind == Missing {
			f, _, err = t.openOnce(fresh(ctx), dir, text, use)
		}
	}
	return f, err
}

// openOnce also returns where the root was.
func (t *Tree) openOnce(
	ctx context.Context, dir, text string, use Use,
) (f *file, root string, err error) {
	s, err := t.snapshot(ctx)
	if err != nil {
		return nil, "", err
	}
	defer s.release()
	if root, err = s.realRoot(); err != nil {
		return nil, "", err
	}
	from := s.root.fd
	if dir != "." {
		if from, err = openat(s.root.fd, dir, unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return nil, root, t.openError(dir, err)
		}
		defer unix.Close(from)
	}
	s.root.refresh(from, text)
	fd, err := openat(from, text, unix.O_PATH)
	if err != nil {
		return nil, root, t.openError(text, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	var st unix.Stat_t
	if err = retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, root, &fs.PathError{Op: "stat", Path: text, Err: err}
	}
	real, err := realPath(fd)
	if err != nil {
		return nil, root, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, root, refuse(NoFile, "%s is %s, not a file", text, kindOf(st.Mode))
	}
	if st.Nlink == 0 {
		return nil, root, refuse(Missing, "%s was removed while it was opened", text)
	}
	if real, err = t.judge(root, real, use); err != nil {
		return nil, root, err
	}
	return &file{fd, real, stateOf(&st)}, root, nil
}

func (t *Tree) realRoot() (string, error) {
	s, err := t.snapshot(context.Background())
	if err != nil {
		return "", err
	}
	defer s.release()
	return s.realRoot()
}

// realRoot is where the root really lies.
func (s *snapshot) realRoot() (real string, err error) {
	if s.real == "" {
		s.real, err = realPath(s.root.fd)
	}
	return s.real, err
}

func isRefusal(err error, r **Refusal) bool {
	refusal, ok := err.(*Refusal)
	*r = refusal
	return ok
}

func (t *Tree) openError(name string, err error) error {
	switch {
	case err == unix.ELOOP:
		return &Refusal{Kind: Missing, Circle: true, Why: name + " leads in a circle"}
	case Absent(err):
		return refuse(Missing, "%s is not there", name)
	case err == unix.ENXIO || err == unix.ENODEV:
		return refuse(NoFile, "%s is a device that is not there", name)
	}
	return &fs.PathError{Op: "open", Path: name, Err: err}
}

func kindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	}
	return "a special file"
}

func stateOf(st *unix.Stat_t) state {
	mtime, ctime := time.Unix(st.Mtim.Unix()), time.Unix(st.Ctim.Unix())
	return state{uint64(st.Dev), st.Ino, st.Size, mtime, ctime}
}
