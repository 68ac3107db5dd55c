package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is a directory that was opened once: everything done through it happens in that directory, even when its name leads
// to another one meanwhile.
type Dir struct {
	fd   int
	name string // for messages
}

// OpenDir opens a directory by its path, without reading it.
func OpenDir(path string) (*Dir, error) {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return opened(fd, path)
}

// opened is a directory that was just opened. Its state is asked of the
// server, so that the names in it are not looked up in what the kernel still
// remembers of them.
func opened(fd int, path string) (*Dir, error) {
	d := &Dir{fd, path}
	if _, err := d.stat(""); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Sub opens a directory of this directory. A symbolic link is refused.
func (d *Dir) Sub(name string) (*Dir, error) {
	fd, err := openat(d.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, d.err("open", name, err)
	}
	return opened(fd, d.name+"/"+name)
}

// Sticky reports whether this process may not take away what others put into the directory: it has the sticky bit, and belongs to
// somebody else.
func (d *Dir) Sticky() bool {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(d.fd, "", &st, unix.AT_EMPTY_PATH) })
	me := os.Geteuid()
	return err == nil && st.Mode&unix.S_ISVTX != 0 && me != 0 && int(st.Uid) != me
}

// real is where the directory really lies.
func (d *Dir) real() (string, error) { return realPath(d.fd) }

// Close gives the descriptor back.
func (d *Dir) Close() { unix.Close(d.fd) }

func (d *Dir) err(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: d.name + "/" + name, Err: err}
}

// here is where absolute paths are looked up.
var here = &Dir{fd: unix.AT_FDCWD}

// dir opens a directory that is named relative to this one, or absolute. Symbolic links are followed.
func (d *Dir) dir(name string) (*Dir, error) {
	fd, err := openat(d.fd, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, d.err("open", name, err)
	}
	return &Dir{fd, inRoot(d.name, name)}, nil
}

// Entry looks at a name without following it.
func (d *Dir) Entry(name string) (Entry, error) {
	text, err := d.Readlink(name)
	if err == nil || !errors.Is(err, unix.EINVAL) {
		return Entry{Name: name, Link: text}, err
	}
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return Entry{}, d.err("stat", name, err)
	}
	return Entry{Name: name, Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}, nil
}

// Made is when an entry was made or written last; for a link, when it was made. It is zero when nobody can tell.
func (d *Dir) Made(name string) time.Time {
	var st unix.Stat_t
	if unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return time.Time{}
	}
	return time.Unix(st.Mtim.Unix())
}

// Readlink returns the text of a symbolic link; EINVAL when name is something else.
func (d *Dir) Readlink(name string) (string, error) {
	text, err := readlinkat(d.fd, name)
	return text, d.err("readlink", name, err)
}

// readlinkat reads into a small buffer of its own first: almost all links are short.
func readlinkat(dir int, name string) (string, error) {
	var room [256]byte
	for buf := room[:]; ; {
		n := 0
		err := retry(func() (err error) {
			if n, err = unix.Readlinkat(dir, name, buf); err == unix.EISDIR {
				err = unix.ESTALE // NFS: what was a link is a directory on the server
			}
			return err
		})
		switch {
		case err != nil:
			return "", err
		case n < len(buf) || n == unix.PathMax:
			return string(buf[:n]), nil
		default:
			buf = make([]byte, unix.PathMax)
		}
	}
}

// open opens the directory for reading what it has now: the server is asked
// for its state, and a listing that the kernel has kept is thrown away, since
// time stamps of NFS 3 do not tell two changes within a few milliseconds
// apart. Both cost next to nothing on a local disk.
func (d *Dir) open() (*os.File, error) {
	fd, err := openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, d.err("open", ".", err)
	}
	if _, err := d.stat(""); err != nil {
		unix.Close(fd)
		return nil, err
	}
	unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) // who does not know it keeps none
	return os.NewFile(uintptr(fd), d.name), nil
}

// Changed is when the directory changed last: an entry came, went, or was renamed.
func (d *Dir) Changed() (time.Time, error) {
	s, err := d.stat("")
	return s.ctime, err
}

// state tells one version of a directory or file from another.
type state struct {
	dev, ino     uint64
	size         int64
	mtime, ctime time.Time
}

// stat looks at a directory that is named relative to this one, or absolute; "" is this one. Symbolic links are followed.
func (d *Dir) stat(name string) (state, error) {
	s, mode, err := statx(d.fd, name, unix.AT_EMPTY_PATH)
	if err == nil && mode&unix.S_IFMT != unix.S_IFDIR {
		err = unix.ENOTDIR
	}
	return s, d.err("stat", name, err)
}

// lstat looks at an entry without following it.
func (d *Dir) lstat(name string) (state, error) {
	s, _, err := statx(d.fd, name, unix.AT_SYMLINK_NOFOLLOW)
	return s, d.err("stat", name, err)
}

// statx asks the server, whatever the kernel remembers, so that nothing rests
// on the options of a mount: a kernel that learns in this way that a directory
// changed looks its names up anew. On a local disk it is a stat like any other.
func statx(dir int, name string, flags int) (s state, mode uint16, err error) {
	var x unix.Statx_t
	err = retry(func() error {
		return unix.Statx(dir, name, flags|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &x)
	})
	if err != nil {
		return s, 0, err
	}
	at := func(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }
	return state{unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino, int64(x.Size), at(x.Mtime), at(x.Ctime)}, x.Mode, nil
}

// local reports whether the directory lies on a file system that this kernel
// alone writes to: what it remembers of names is the truth there, and time
// stamps are of its own clock.
func (d *Dir) local() bool {
	var st unix.Statfs_t
	return retry(func() error { return unix.Fstatfs(d.fd, &st) }) == nil && localKinds[int64(st.Type)]
}

// localKinds are the local file systems, by the numbers of statfs(2). One that
// is missing here is treated like that of a server, which is slower and safe.
var localKinds = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true, unix.F2FS_SUPER_MAGIC: true,
	0x2fc12fc1:       true, // ZFS
	unix.TMPFS_MAGIC: true, unix.RAMFS_MAGIC: true, unix.OVERLAYFS_SUPER_MAGIC: true,
	unix.SQUASHFS_MAGIC: true, unix.EROFS_SUPER_MAGIC_V1: true, unix.ISOFS_SUPER_MAGIC: true,
}

// Rename moves an entry to another directory, and replaces what is there.
func (d *Dir) Rename(name string, to *Dir, toName string) error {
	return d.err("rename", name, unix.Renameat(d.fd, name, to.fd, toName))
}

// RenameNew moves an entry to another directory unless the name is taken there (EEXIST). Some file systems cannot (EINVAL).
func (d *Dir) RenameNew(name string, to *Dir, toName string) error {
	return d.err("rename", name, unix.Renameat2(d.fd, name, to.fd, toName, unix.RENAME_NOREPLACE))
}

// Symlink makes a symbolic link; EEXIST when the name is taken.
func (d *Dir) Symlink(text, name string) error {
	return d.err("symlink", name, unix.Symlinkat(text, d.fd, name))
}

// Remove unlinks a name that is no directory.
func (d *Dir) Remove(name string) error { return d.err("unlink", name, unix.Unlinkat(d.fd, name, 0)) }

// Mkdir makes a directory for the same people as this one: with its owner,
// group and rights, as far as this process may give them, whatever its umask.
func (d *Dir) Mkdir(name string) error {
	err := unix.Mkdirat(d.fd, name, 0o775)
	if err != nil {
		return d.err("mkdir", name, err)
	}
	sub, err := d.Sub(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	sub.ownAs(d)
	return nil
}

// ownAs gives the directory the owner, group and rights of another, as far as
// this process may: it need not be able to, where the rights do all the same.
func (d *Dir) ownAs(like *Dir) {
	var want, is unix.Stat_t
	if unix.Fstat(like.fd, &want) != nil || unix.Fstat(d.fd, &is) != nil {
		return
	}
	self := procName(d.fd)
	switch root := os.Geteuid() == 0; {
	case root && (is.Uid != want.Uid || is.Gid != want.Gid):
		unix.Chown(self, int(want.Uid), int(want.Gid))
	case !root && is.Gid != want.Gid: // who is in the group may give it
		unix.Chown(self, -1, int(want.Gid))
	}
	// A service of systemd may not give the setgid bit (RestrictSUIDSGID=), which
	// a new directory has from its parent. Better none than a directory that the
	// others cannot write.
	if mode := want.Mode & 0o2777; unix.Chmod(self, mode) != nil && mode&0o222&^is.Mode != 0 {
		unix.Chmod(self, mode&0o777)
	}
}

// Rights returns who may do what with the directory.
func (d *Dir) Rights() (Rights, error) {
	var st unix.Stat_t
	err := unix.Fstat(d.fd, &st)
	return Rights{st.Uid, st.Gid, st.Mode & 0o7777}, d.err("stat", "", err)
}

// Mend gives a directory of this one the owner, group and rights of this one,
// as far as this process may. One that is empty and belongs to somebody else
// is made anew, which whoever may write here can do.
func (d *Dir) Mend(name string) error {
	sub, err := d.Sub(name)
	if err != nil {
		return err
	}
	sub.ownAs(d)
	want, err := d.Rights()
	is, err2 := sub.Rights()
	sub.Close()
	if err = errors.Join(err, err2); err != nil || is == want {
		return err
	}
	if err := unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR); err != nil {
		return d.err("rmdir", name, err)
	}
	return d.Mkdir(name)
}

// Sync waits until the entries of the directory are on the disk.
func (d *Dir) Sync() error {
	fd, err := openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return d.err("open", ".", err)
	}
	defer unix.Close(fd)
	return d.err("fsync", ".", retry(func() error { return unix.Fsync(fd) }))
}

func openat(dir int, name string, flags int) (fd int, err error) {
	err = retry(func() error { fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0); return err })
	return fd, err
}

// staleTries is how often what a file server calls stale is looked at again.
const staleTries = 4

// retry repeats a call that a signal broke off, and a few times one that met
// what a file server does not know any more: somebody has just put another
// file or link in its place, which the next look-up finds.
func retry(call func() error) error {
	for stale := 0; ; {
		err := call()
		switch {
		case err == unix.EINTR:
		case errors.Is(err, unix.ESTALE) && stale < staleTries:
			time.Sleep(time.Duration(stale) * time.Millisecond)
			stale++
		default:
			return err
		}
	}
}

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

// open follows text from the directory dir of the root and applies the path rule to what it finds there.
func (t *Tree) open(ctx context.Context, dir, text string, use Use) (*file, error) {
	f, root, err := t.openOnce(ctx, dir, text, use)
	var r *Refusal
	if isRefusal(err, &r) && (r.Kind == Outside || r.Kind == Missing) {
		// The root may have been swapped, or the file or a folder on the way replaced, in between. The second look decides.
		if now, err2 := t.realRoot(); err2 != nil {
			return nil, err2
		} else if now != root || r.Kind == Missing {
			f, _, err = t.openOnce(anew(ctx), dir, text, use)
		}
	}
	return f, err
}

func (t *Tree) realRoot() (string, error) {
	v, err := t.enter(context.Background())
	if err != nil {
		return "", err
	}
	defer v.leave()
	return v.realRoot()
}

func isRefusal(err error, r **Refusal) bool {
	refusal, ok := err.(*Refusal)
	*r = refusal
	return ok
}

// openRoot opens the root. A link may be swapped, and what it led to removed, just while it is followed: then the next look
// finds the new root.
func openRoot(path string) (d *Dir, err error) {
	for range 3 {
		var fd int
		if fd, err = openat(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY); err == nil {
			return &Dir{fd, path}, nil
		} else if !absent(err) {
			break
		}
	}
	return nil, &fs.PathError{Op: "open root", Path: path, Err: err}
}

// roots keeps the root open from one decision to the next. Each looks whether the root's name still leads to that very
// directory, which is cheaper than opening it, and just as sure: the number of an open directory is given to no other.
type roots struct {
	mu   sync.Mutex
	now  *root // what the name led to last
	idle *time.Timer
}

// root is an opened root. It is closed when it is no longer kept and nobody is in it.
type root struct {
	*Dir
	dev, ino uint64
	local    bool // see Dir.local; of the root alone, other file systems may be mounted below
	users    int  // and one more while it is kept
	used     bool // since the timer looked last
}

// keepRoot is how long a root that nobody uses stays open: not long, since nobody can unmount it as long as it is.
const keepRoot = time.Second

// enter returns the root that path leads to now, for so many users. Each of them leaves.
func (k *roots) enter(path string, users int) (*root, error) {
	if now, _, err := statx(unix.AT_FDCWD, path, 0); err == nil {
		if r := k.same(now, users); r != nil {
			return r, nil
		}
	}
	// Without the lock: it may hang, and another root that is there meanwhile must not hang with it.
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
	k.now = &root{Dir: d, dev: now.dev, ino: now.ino, local: d.local(), users: users + 1, used: true}
	k.idle = time.AfterFunc(keepRoot, k.look)
	return k.now, nil
}

// same returns the root that is kept, if it is this one, for so many users.
func (k *roots) same(now state, users int) *root {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == nil || k.now.dev != now.dev || k.now.ino != now.ino {
		return nil
	}
	k.now.users += users
	k.now.used = true
	return k.now
}

func (k *roots) leave(r *root) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.left()
}

func (r *root) left() {
	if r.users--; r.users == 0 {
		r.Close()
	}
}

// drop no longer keeps the root.
func (k *roots) drop() {
	if k.now != nil {
		k.idle.Stop()
		k.now.left()
		k.now = nil
	}
}

// look is the timer's: it drops a root that nobody used since it looked last.
func (k *roots) look() {
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

// realRoot is where the root really lies.
func (v *visit) realRoot() (real string, err error) {
	if v.real == "" {
		v.real, err = realPath(v.root.fd)
	}
	return v.real, err
}

// openOnce also returns where the root was.
func (t *Tree) openOnce(ctx context.Context, dir, text string, use Use) (f *file, root string, err error) {
	v, err := t.enter(ctx)
	if err != nil {
		return nil, "", err
	}
	defer v.leave()
	if root, err = v.realRoot(); err != nil {
		return nil, "", err
	}
	from := v.root.fd
	if dir != "." {
		if from, err = openat(v.root.fd, dir, unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return nil, root, t.openError(dir, err)
		}
		defer unix.Close(from)
	}
	v.root.refresh(from, text)
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

func stateOf(st *unix.Stat_t) state {
	return state{uint64(st.Dev), st.Ino, st.Size, time.Unix(st.Mtim.Unix()), time.Unix(st.Ctim.Unix())}
}

// local reports whether the file lies on a local file system, see Dir.local.
func (f *file) local() bool { return (&Dir{fd: f.fd}).local() }

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

// plainText is what readPlain reads: a text that a link, or a name, in a directory of a root leads to.
type plainText struct {
	root      *root
	dir, text string
	limit     int64
}

// errNotPlain is for what has to be read the long way.
var errNotPlain = errors.New("not a plain file at rest")

// readPlain reads a file at rest that no link and nothing outside the root is on the way to. The kernel sees to that, so the
// file really lies where its name says, and /proc need not be asked. Everything else, and all trouble, is not ok: Read decides.
func (t *Tree) readPlain(ctx context.Context, dir, text string, limit int64) (got Text, ok bool) {
	if path.IsAbs(dir) || path.IsAbs(text) || len(t.Deny) > 0 {
		return got, false
	}
	v, err := t.enter(ctx)
	if err != nil {
		return got, false
	}
	defer v.leave()
	p := plainText{v.root, dir, text, limit}
	got, err = t.texts.do(p, func(int) (Text, error) { return t.read(p) })
	return got, err == nil
}

func (t *Tree) read(p plainText) (got Text, err error) {
	name := path.Join(p.dir, p.text)
	if t.hiddenReal(strings.Split(name, "/"), Answer) != "" {
		return got, errNotPlain
	}
	// The kernel is given what the link says, not what path.Join made of it: where a folder is a link, ".." leads elsewhere.
	from := p.dir + "/" + p.text
	var before, after unix.Stat_t
	p.root.refresh(p.root.fd, from)
	// Only a regular file is opened at all.
	err = unix.Fstatat(p.root.fd, from, &before, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || before.Mode&unix.S_IFMT != unix.S_IFREG || before.Size == 0 || before.Size > p.limit {
		return got, errNotPlain
	}
	fd, err := unix.Openat2(p.root.fd, from, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return got, errNotPlain
	}
	defer unix.Close(fd)
	body := make([]byte, before.Size+1) // a byte more, to see that it did not grow
	n, err := unix.Read(fd, body)
	if err != nil || unix.Fstat(fd, &after) != nil {
		return got, errNotPlain
	}
	now := stateOf(&after)
	if now != stateOf(&before) || after.Nlink == 0 || int64(n) != after.Size {
		return got, errNotPlain
	}
	age := t.Clock.sinceChange(now)
	if !p.root.local || now.dev != p.root.dev {
		age = t.rests.own(t.Clock, name, now)
	}
	if age < recent {
		return got, errNotPlain
	}
	return Text{body[:n:n], name}, nil
}

func (t *Tree) openError(name string, err error) error {
	switch {
	case err == unix.ELOOP:
		return &Refusal{Kind: Missing, Circle: true, Why: name + " leads in a circle"}
	case absent(err):
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

// realPath asks the kernel where an opened object lies.
func realPath(fd int) (string, error) {
	real, err := readlinkat(unix.AT_FDCWD, procName(fd))
	if err != nil {
		return "", fmt.Errorf("/proc must be mounted to see where a file really lies: %w", err)
	}
	return real, nil
}

// procName names an open object in the file system.
func procName(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
