package tree

import (
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// openRoot opens the root. A link may be swapped, and what it led to removed,
// just while it is followed: then the next try finds the new root.
func openRoot(path string) (d *Dir, err error) {
	for range 3 {
		var fd int
		if fd, err = openat(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY); err == nil {
			return &Dir{fd, path}, nil
		} else if !Absent(err) {
			break
		}
	}
	return nil, &fs.PathError{Op: "open root", Path: path, Err: err}
}

// roots keeps the root open from one decision to the next. Each looks whether
// the root's name still leads to that very directory, which is cheaper than
// opening it, and just as sure: the number of an open directory is given to no
// other.
type roots struct {
	mu   sync.Mutex
	now  *root // what the name led to last
	idle *time.Timer
}

// root is an opened root. It is closed when it is no longer kept and has no
// user.
type root struct {
	*Dir
	dev, ino uint64
	local    bool // see Dir.local; of the root alone, other file systems may be mounted below
	users    int  // and one more while it is kept
	used     bool // since the timer last fired
}

// keepRoot is how long a root that nobody uses stays open: not long, since
// nobody can unmount it as long as it is.
const keepRoot = time.Second

// acquire returns the root that path leads to now, for so many users. Each of
// them releases it.
func (k *roots) acquire(path string, users int) (*root, error) {
	if now, _, err := statx(unix.AT_FDCWD, path, 0); err == nil {
		if r := k.reuse(now, users); r != nil {
			return r, nil
		}
	}
	// Without the lock: it may hang, and another root that is there meanwhile
	// must not hang with it.
	d, err := openRoot(path)
	if err != nil {
		return nil, err
	}
	now, _, err := statx(d.fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		d.Close()
		return nil, &fs.PathError{Op: "stat root", Path: path, Err: err}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
	k.now = &root{
		Dir: d, dev: now.dev, ino: now.ino, local: d.local(), users: users + 1, used: true,
	}
	k.idle = time.AfterFunc(keepRoot, k.expire)
	return k.now, nil
}

// reuse returns the root that is kept, if it is this one, for so many users.
func (k *roots) reuse(now state, users int) *root {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == nil || k.now.dev != now.dev || k.now.ino != now.ino {
		return nil
	}
	k.now.users += users
	k.now.used = true
	return k.now
}

func (k *roots) release(r *root) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.release()
}

func (r *root) release() {
	if r.users--; r.users == 0 {
		r.Close()
	}
}

// drop no longer keeps the root.
func (k *roots) drop() {
	if k.now != nil {
		k.idle.Stop()
		k.now.release()
		k.now = nil
	}
}

// expire is the timer's: it drops a root that nobody used since it last fired.
func (k *roots) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.now == nil:
	case k.now.used:
		k.now.used = false
		k.idle.Reset(keepRoot)
	default:
		k.drop()
	}
}

// refresh asks the server for the directories on the way that text leads from
// an open directory, so that they are not looked through as the kernel
// remembers them. What is wrong on the way, the opening will say.
func (r *root) refresh(from int, text string) {
	if r.local {
		return
	}
	for i, b := range []byte(text) {
		if b == '/' && i > 0 && statDir(from, text[:i]) != nil {
			return
		}
	}
}

func statDir(from int, name string) error {
	_, _, err := statx(from, name, 0)
	return err
}
