package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is a directory that was opened once: everything done through it happens
// in that directory, even when its name leads to another one meanwhile.
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

// Sticky reports whether this process may not take away what others put into
// the directory: it has the sticky bit, and belongs to somebody else.
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

// dir opens a directory that is named relative to this one, or absolute.
// Symbolic links are followed.
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
	err = retry(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return Entry{}, d.err("stat", name, err)
	}
	return Entry{Name: name, Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}, nil
}

// Made is when an entry was made or written last; for a link, when it was made.
// It is zero when nobody can tell.
func (d *Dir) Made(name string) time.Time {
	var st unix.Stat_t
	if unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return time.Time{}
	}
	return time.Unix(st.Mtim.Unix())
}

// Readlink returns the text of a symbolic link; EINVAL when name is something
// else.
func (d *Dir) Readlink(name string) (string, error) {
	text, err := readlinkat(d.fd, name)
	return text, d.err("readlink", name, err)
}

// readlinkat reads into a small buffer of its own first: almost all links are
// short.
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

// Changed is when the directory changed last: an entry came, went, or was
// renamed.
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

// stat looks at a directory that is named relative to this one, or absolute; ""
// is this one. Symbolic links are followed.
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
	dev := unix.Mkdev(x.Dev_major, x.Dev_minor)
	return state{dev, x.Ino, int64(x.Size), at(x.Mtime), at(x.Ctime)}, x.Mode, nil
}

// local reports whether the directory lies on a file system that this kernel
// alone writes to: what it remembers of names is the truth there, and time
// stamps are of its own clock.
func (d *Dir) local() bool {
	var st unix.Statfs_t
	return retry(func() error { return unix.Fstatfs(d.fd, &st) }) == nil &&
		localKinds[int64(st.Type)]
}

// zfsMagic is no constant of x/sys: OpenZFS has it.
const zfsMagic = 0x2fc12fc1

// localKinds are the local file systems, by the numbers of statfs(2). One that
// is missing here is treated like that of a server, which is slower and safe.
var localKinds = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true,
	unix.F2FS_SUPER_MAGIC: true, zfsMagic: true,
	unix.TMPFS_MAGIC: true, unix.RAMFS_MAGIC: true, unix.OVERLAYFS_SUPER_MAGIC: true,
	unix.SQUASHFS_MAGIC: true, unix.EROFS_SUPER_MAGIC_V1: true, unix.ISOFS_SUPER_MAGIC: true,
}

// Rename moves an entry to another directory, and replaces what is there.
func (d *Dir) Rename(name string, to *Dir, toName string) error {
	return d.err("rename", name, unix.Renameat(d.fd, name, to.fd, toName))
}

// RenameNew moves an entry to another directory unless the name is taken there
// (EEXIST). Some file systems cannot (EINVAL).
func (d *Dir) RenameNew(name string, to *Dir, toName string) error {
	return d.err("rename", name, unix.Renameat2(d.fd, name, to.fd, toName, unix.RENAME_NOREPLACE))
}

// Symlink makes a symbolic link; EEXIST when the name is taken.
func (d *Dir) Symlink(text, name string) error {
	return d.err("symlink", name, unix.Symlinkat(text, d.fd, name))
}

// Remove unlinks a name that is no directory.
func (d *Dir) Remove(name string) error {
	return d.err("unlink", name, unix.Unlinkat(d.fd, name, 0))
}

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
	// A service of systemd may not give the setgid bit (RestrictSUIDSGID=),
	// which a new directory has from its parent. Better none than a directory
	// that the others cannot write.
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
// is made anew, for which the right to write here is enough.
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
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// retry repeats a call that a signal interrupted, and a few times one that got
// ESTALE: somebody has just replaced the file or link on the server, and the
// next look-up finds the new one.
func retry(call func() error) error {
	for stale := 0; ; {
		err := call()
		switch {
		case err == unix.EINTR:
		case errors.Is(err, unix.ESTALE) && stale < StaleTries:
			time.Sleep(time.Duration(stale) * time.Millisecond)
			stale++
		default:
			return err
		}
	}
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
