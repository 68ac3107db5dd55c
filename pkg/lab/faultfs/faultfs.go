//go:build linux

// Package faultfs is a file system that breaks on purpose: the directory below
// a Mount is a real one, seen through FUSE, and a test says which operations
// fail, hang, or are carried out and then denied.
package faultfs

import (
	"context"
	"io"
	"log"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"pxesrv/pkg/lab"
)

// Op is a set of kinds of operations as the kernel asks for them; combine kinds
// with |.
type Op uint32

// What a file system is asked to do. The kernel asks for a look-up per name in
// a path, and for attributes now and then without anybody having called stat.
const (
	OpLookup    Op = 1 << iota
	OpGetattr      // stat of something already looked up
	OpReadlink     // also each time a link is followed
	OpOpen         // open of a file that exists
	OpOpenWrite    // the same, for writing; also an OpOpen
	OpRead         // from a file
	OpOpendir      // open of a folder, except with O_PATH
	OpReaddir      // one entry of a listing
	OpCreate       // open of a file that did not exist
	OpWrite        // to a file
	OpSetattr      // chmod, chown, truncate, utimes
	OpMkdir
	OpSymlink
	OpLink
	OpUnlink
	OpRmdir
	OpRename
	OpRename2  // rename with flags, as RENAME_NOREPLACE; also an OpRename
	OpFsync    // of a file
	OpFsyncDir // of a folder

	// OpModify is everything that a read-only file system refuses.
	OpModify = OpOpenWrite | OpCreate | OpWrite | OpSetattr | OpMkdir | OpSymlink | OpLink | OpUnlink | OpRmdir | OpRename
)

// A Fault says what goes wrong, where and how often. The zero value meets every
// operation and does nothing to it.
type Fault struct {
	Ops Op // kinds of operations; 0 = all
	// only this file or folder and everything below it, relative to the mount;
	// "" = everywhere
	Under string
	Every int // each Nth of the operations that match; 0 and 1 = each
	Times int // so often; 0 = always

	Err syscall.Errno // the answer; 0 = the true one
	// carry the operation out first and answer Err if it succeeded; only those
	// count for Every
	Late  bool
	Delay time.Duration // take so much longer first; a listing is delayed once, when it is opened
	// block until the faults are set anew or the file system is unmounted, then
	// begin again
	Hang bool
}

// Replay answers each nth rename and unlink with ENOENT although it was carried
// out: what an NFS client sees when the reply was lost and the repeated call
// found the work done.
func Replay(n int) Fault {
	return Fault{Ops: OpRename | OpUnlink, Every: n, Err: unix.ENOENT, Late: true}
}

// EIO refuses each nth operation of these kinds with an input/output error.
func EIO(n int, ops Op) Fault { return Fault{Ops: ops, Every: n, Err: unix.EIO} }

// EIOUnder refuses every operation on a file or folder, and below it, with an
// input/output error.
func EIOUnder(name string) Fault { return Fault{Under: name, Err: unix.EIO} }

// NoSpace refuses each nth rename, symlink and mkdir because the disk is full.
func NoSpace(n int) Fault {
	return Fault{Ops: OpRename | OpSymlink | OpMkdir, Every: n, Err: unix.ENOSPC}
}

// FsyncDirFails lets each nth fsync of a folder fail.
func FsyncDirFails(n int) Fault { return EIO(n, OpFsyncDir) }

// ReadOnly refuses every change, as a file system mounted read-only.
func ReadOnly() Fault { return Fault{Ops: OpModify, Err: unix.EROFS} }

// NoRenameFlags refuses renames with flags, as NFS refuses RENAME_NOREPLACE.
func NoRenameFlags() Fault { return Fault{Ops: OpRename2, Err: unix.EINVAL} }

// Slow lets each operation of these kinds (0 = all) take longer.
func Slow(d time.Duration, ops Op) Fault { return Fault{Ops: ops, Delay: d} }

// Hang blocks the operations of these kinds (0 = all). Not even SIGKILL ends a
// process that waits in one, as with a file server that is away.
func Hang(ops Op) Fault { return Fault{Ops: ops, Hang: true} }

// Faults is a mounted file system, healthy until Set.
type Faults struct {
	Dir string // the mount point

	source   string
	small    bool // see BySmallListing
	plan     atomic.Pointer[plan]
	clock    atomic.Int64 // seconds; see SetClock
	injected atomic.Int64
	hanging  atomic.Int64
}

// Mount mounts the directory source a second time, at Dir, until the end of the
// test. Nothing is cached: each look at Dir reaches the faults, and sees what
// was changed in source meanwhile. Handles behave as on a local disk: what was
// looked up or opened stays what it was when its name goes to something else.
//
// The test process itself serves the mount. Never let it start a child whose
// program or working directory lies below Dir: between fork and exec the Go
// runtime may stand still, and then nobody answers the child.
func Mount(t testing.TB, source string) *Faults {
	t.Helper()
	never := time.Duration(0)
	return mount(t, source, false, fs.Options{
		EntryTimeout: &never, AttrTimeout: &never, NegativeTimeout: &never,
		MountOptions: fuse.MountOptions{DisableReadDirPlus: true},
	})
}

// Heals says what lets a client of MountRemembering find out that a name is
// something else by now.
type Heals int

const (
	ByListing Heals = iota // a listing of its folder, as with NFS
	// a listing of a folder with one name alone; NFS asks for attributes in
	// small ones
	BySmallListing
	ByNothing
)

// MountRemembering mounts source like Mount, as a client of a file server
// that trusts its memory: which entry a name stood for when it was last looked
// up, or that it stood for none, it believes for an hour, and takes along when
// it renames the name. What it renames is what the server has under the name by
// then.
func MountRemembering(t testing.TB, source string, heals Heals) *Faults {
	t.Helper()
	hour := time.Hour
	return mount(t, source, heals == BySmallListing, fs.Options{
		EntryTimeout: &hour, AttrTimeout: &hour, NegativeTimeout: &hour,
		MountOptions: fuse.MountOptions{DisableReadDirPlus: heals != ByListing},
	})
}

func mount(t testing.TB, source string, small bool, opts fs.Options) *Faults {
	t.Helper()
	lab.Slow(t)
	dir := t.TempDir() // removed after the unmount below
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open %s: %v", source, err)
	}
	f := &Faults{Dir: dir, source: source, small: small}
	f.plan.Store(newPlan(nil))
	root := &node{faults: f, file: os.NewFile(uintptr(fd), source)}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}

	quiet := log.New(io.Discard, "", 0)
	opts.NullPermissions = true
	opts.RootStableAttr = &fs.StableAttr{Ino: st.Ino, Gen: 1}
	opts.Logger = quiet
	m := &opts.MountOptions
	m.FsName, m.Name, m.Logger = "faults", "faults", quiet
	m.DirectMount, m.DisableXAttrs = true, true
	server, err := fs.Mount(dir, root, &opts)
	if err != nil {
		t.Fatalf("cannot mount a FUSE file system at %s: %v (needs /dev/fuse, and root or "+
			"fusermount3)", dir, err)
	}
	t.Cleanup(func() {
		f.Set(EIOUnder("")) // ends what hangs, for good
		if unix.Unmount(dir, unix.MNT_DETACH) != nil {
			if err := server.Unmount(); err != nil {
				t.Errorf("unmount %s: %v", dir, err)
				return
			}
		}
		ended := make(chan struct{})
		go func() { server.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
			t.Logf("%s is unmounted, but a file or folder of it is still open", dir)
		}
	})
	return f
}

// Set replaces all faults at once; without arguments the file system is healthy
// again. The first that gives an error decides. Counts for Every begin anew,
// and what hangs or is delayed goes on under the new rules.
func (f *Faults) Set(faults ...Fault) {
	close(f.plan.Swap(newPlan(faults)).over)
}

// SetClock lets the file system tell all times as a file server does whose
// clock is ahead by so much, or behind.
func (f *Faults) SetClock(ahead time.Duration) { f.clock.Store(int64(ahead.Seconds())) }

// tell is what the file system says of a file or folder.
func (f *Faults) tell(st *syscall.Stat_t, out *fuse.Attr) {
	out.FromStat(st)
	ahead := f.clock.Load()
	for _, t := range []*uint64{&out.Atime, &out.Mtime, &out.Ctime} {
		*t = uint64(int64(*t) + ahead)
	}
}

// Injected is the number of operations answered with an error that was none, or
// blocked.
func (f *Faults) Injected() int { return int(f.injected.Load()) }

// Hanging is the number of operations that are blocked now.
func (f *Faults) Hanging() int { return int(f.hanging.Load()) }

// A plan is the faults of one Set.
type plan struct {
	faults []*counted
	over   chan struct{} // closed when another plan is in force

	mu    sync.Mutex
	again map[string]syscall.Errno // look-ups that the kernel will repeat; see node.Lookup
}

type counted struct {
	Fault
	met atomic.Int64
}

func newPlan(faults []Fault) *plan {
	p := &plan{over: make(chan struct{}), again: map[string]syscall.Errno{}}
	for _, f := range faults {
		p.faults = append(p.faults, &counted{Fault: f})
	}
	return p
}

// hits reports whether the fault meets this operation, and counts it.
func (c *counted) hits(op Op, names func() []string) bool {
	if c.Ops != 0 && c.Ops&op == 0 {
		return false
	}
	if c.Under != "" {
		found := false
		for _, name := range names() {
			found = found || name == c.Under || strings.HasPrefix(name, c.Under+"/")
		}
		if !found {
			return false
		}
	}
	n, every := c.met.Add(1), int64(max(c.Every, 1))
	return n%every == 0 && (c.Times == 0 || n/every <= int64(c.Times))
}

// do carries an operation out, or not, as the plan in force says.
func (f *Faults) do(op Op, names func() []string, carryOut func() error) syscall.Errno {
	p := f.plan.Load()
	for i := 0; i < len(p.faults); i++ {
		c := p.faults[i]
		if c.Late || !c.hits(op, names) {
			continue
		}
		if c.Delay > 0 && op&OpReaddir == 0 {
			select {
			case <-time.After(c.Delay):
			case <-p.over:
			}
		}
		if c.Hang {
			f.injected.Add(1)
			f.hanging.Add(1)
			<-p.over
			f.hanging.Add(-1)
			p, i = f.plan.Load(), -1
			continue
		}
		if c.Err != 0 {
			f.injected.Add(1)
			return c.Err
		}
	}
	if err := carryOut(); err != nil {
		return fs.ToErrno(err)
	}
	for _, c := range p.faults {
		if c.Late && c.hits(op, names) && c.Err != 0 {
			f.injected.Add(1)
			return c.Err
		}
	}
	return 0
}

// A node is a file or folder of the source. It holds the thing itself and no
// path, so that an operation never meets something else that has taken the
// name.
type node struct {
	fs.Inode
	faults *Faults
	file   *os.File // O_PATH; closed by the garbage collector, since only that knows the last user
}

var _ interface {
	fs.NodeLookuper
	fs.NodeGetattrer
	fs.NodeSetattrer
	fs.NodeReadlinker
	fs.NodeOpener
	fs.NodeOpendirHandler
	fs.NodeCreater
	fs.NodeMkdirer
	fs.NodeMknoder
	fs.NodeSymlinker
	fs.NodeLinker
	fs.NodeUnlinker
	fs.NodeRmdirer
	fs.NodeRenamer
	fs.NodeStatfser
} = (*node)(nil)

func (n *node) fd() int { return int(n.file.Fd()) }

// reopen is a path to the thing itself; unlike its name it never changes.
func (n *node) reopen() string { return "/proc/self/fd/" + strconv.Itoa(n.fd()) }

// do is Faults.do for operations on this node or, where names are given, on
// these names in this folder.
func (n *node) do(op Op, carryOut func() error, names ...string) syscall.Errno {
	return n.faults.do(op, func() []string { return n.names(names...) }, carryOut)
}

// names are the paths of this node, or of names in it, relative to the mount.
func (n *node) names(in ...string) []string {
	at, err := os.Readlink(n.reopen())
	if err != nil {
		return nil
	}
	at = strings.TrimPrefix(strings.TrimPrefix(at, n.faults.source), "/")
	if len(in) == 0 {
		return []string{at}
	}
	var paths []string
	for _, name := range in {
		paths = append(paths, path.Join(at, name))
	}
	return paths
}

// child is the node of a name in this folder.
func (n *node) child(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, error) {
	fd, err := unix.Openat(n.fd(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &node{faults: n.faults, file: os.NewFile(uintptr(fd), name)}
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return nil, err
	}
	n.faults.tell(&st, &out.Attr)
	inode := n.NewInode(ctx, c, fs.StableAttr{Mode: st.Mode, Ino: st.Ino, Gen: 1})
	if inode.Operations() != fs.InodeEmbedder(c) { // already known
		c.file.Close()
	}
	return inode, nil
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (inode *fs.Inode,
	errno syscall.Errno) {
	// Of a name it has in memory, the kernel forgets all when a look-up fails,
	// and looks again at once. To the caller only the second answer counts: let
	// it be the same.
	p, key := n.faults.plan.Load(), strconv.FormatUint(n.StableAttr().Ino, 10)+"/"+name
	p.mu.Lock()
	errno = p.again[key]
	delete(p.again, key)
	p.mu.Unlock()
	if errno != 0 {
		return nil, errno
	}
	carriedOut := false
	errno = n.do(OpLookup, func() (err error) {
		carriedOut = true
		inode, err = n.child(ctx, name, out)
		return err
	}, name)
	if errno != 0 && !carriedOut && n.GetChild(name) != nil {
		n.RmChild(name) // the kernel has it in memory no more
		p.mu.Lock()
		p.again[key] = errno
		p.mu.Unlock()
	}
	return inode, errno
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return n.do(OpGetattr, func() error { return n.attr(out) })
}

func (n *node) attr(out *fuse.AttrOut) error {
	var st syscall.Stat_t
	err := syscall.Fstat(n.fd(), &st)
	n.faults.tell(&st, &out.Attr)
	return err
}

func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn,
	out *fuse.AttrOut) syscall.Errno {
	return n.do(OpSetattr, func() error {
		if mode, ok := in.GetMode(); ok {
			if err := unix.Chmod(n.reopen(), mode); err != nil {
				return err
			}
		}
		uid, setUID := in.GetUID()
		gid, setGID := in.GetGID()
		if setUID || setGID {
			owner, group := -1, -1
			if setUID {
				owner = int(uid)
			}
			if setGID {
				group = int(gid)
			}
			if err := unix.Fchownat(n.fd(), "", owner, group, unix.AT_EMPTY_PATH); err != nil {
				return err
			}
		}
		if size, ok := in.GetSize(); ok {
			if err := unix.Truncate(n.reopen(), int64(size)); err != nil {
				return err
			}
		}
		atime, setAtime := in.GetATime()
		mtime, setMtime := in.GetMTime()
		if setAtime || setMtime {
			times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
			if setAtime {
				times[0] = unix.NsecToTimespec(atime.UnixNano())
			}
			if setMtime {
				times[1] = unix.NsecToTimespec(mtime.UnixNano())
			}
			if err := unix.UtimesNanoAt(n.fd(), "", times, unix.AT_EMPTY_PATH); err != nil {
				return err
			}
		}
		return n.attr(out)
	})
}

func (n *node) Readlink(context.Context) (target []byte, errno syscall.Errno) {
	errno = n.do(OpReadlink, func() error {
		buf := make([]byte, unix.PathMax)
		size, err := unix.Readlinkat(n.fd(), "", buf)
		if err == nil {
			target = buf[:size]
		}
		return err
	})
	return target, errno
}

func (n *node) Open(_ context.Context, flags uint32) (h fs.FileHandle, _ uint32,
	errno syscall.Errno) {
	op := OpOpen
	if flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0 {
		op |= OpOpenWrite
	}
	errno = n.do(op, func() error {
		flags &= unix.O_ACCMODE | unix.O_TRUNC | unix.O_NONBLOCK
		fd, err := unix.Open(n.reopen(), int(flags)|unix.O_CLOEXEC, 0)
		if err == nil {
			h = n.handle(fd)
		}
		return err
	})
	return h, uncached, errno
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32,
	out *fuse.EntryOut) (inode *fs.Inode, h fs.FileHandle, _ uint32, errno syscall.Errno) {
	errno = n.do(OpCreate, func() error {
		flags &= unix.O_ACCMODE | unix.O_TRUNC | unix.O_EXCL
		fd, err := unix.Openat(n.fd(), name, int(flags)|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC,
			mode)
		if err != nil {
			return err
		}
		if inode, err = n.child(ctx, name, out); err != nil {
			unix.Close(fd)
			return err
		}
		h = inode.Operations().(*node).handle(fd)
		return nil
	}, name)
	return inode, h, uncached, errno
}

// make is what mkdir, mknod, symlink and link have in common: a new name, and
// the node it stands for.
func (n *node) make(ctx context.Context, op Op, name string, out *fuse.EntryOut,
	carryOut func() error) (inode *fs.Inode, errno syscall.Errno) {
	errno = n.do(op, func() error {
		err := carryOut()
		if err == nil {
			inode, err = n.child(ctx, name, out)
		}
		return err
	}, name)
	return inode, errno
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode,
	syscall.Errno) {
	return n.make(ctx, OpMkdir, name, out, func() error { return unix.Mkdirat(n.fd(), name, mode) })
}

func (n *node) Mknod(ctx context.Context, name string, mode, dev uint32,
	out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.make(ctx, OpCreate, name, out, func() error {
		return unix.Mknodat(n.fd(), name, mode, int(dev))
	})
}

func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode,
	syscall.Errno) {
	return n.make(ctx, OpSymlink, name, out, func() error {
		return unix.Symlinkat(target, n.fd(), name)
	})
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string,
	out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.make(ctx, OpLink, name, out, func() error {
		return unix.Linkat(unix.AT_FDCWD, target.(*node).reopen(), n.fd(), name,
			unix.AT_SYMLINK_FOLLOW)
	})
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	return n.do(OpUnlink, func() error { return unix.Unlinkat(n.fd(), name, 0) }, name)
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	return n.do(OpRmdir, func() error { return unix.Unlinkat(n.fd(), name, unix.AT_REMOVEDIR) },
		name)
}

func (n *node) Rename(_ context.Context, name string, parent fs.InodeEmbedder, to string,
	flags uint32) syscall.Errno {
	op, p := OpRename, parent.(*node)
	if flags != 0 {
		op |= OpRename2
	}
	names := func() []string { return append(n.names(name), p.names(to)...) }
	return n.faults.do(op, names, func() error {
		return unix.Renameat2(n.fd(), name, p.fd(), to, uint(flags))
	})
}

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	var st syscall.Statfs_t
	err := syscall.Fstatfs(n.fd(), &st)
	out.FromStatfsT(&st)
	return fs.ToErrno(err)
}

// uncached lets each read of a file reach its handle; of a failed read ahead
// the kernel would say nothing and read again.
const uncached = fuse.FOPEN_DIRECT_IO

// A handle is an open file.
type handle struct {
	*fs.LoopbackFile
	node *node
}

func (n *node) handle(fd int) *handle {
	return &handle{fs.NewLoopbackFileFromOS(os.NewFile(uintptr(fd), n.file.Name())), n}
}

func (h *handle) Read(ctx context.Context, buf []byte, off int64) (result fuse.ReadResult,
	errno syscall.Errno) {
	errno = h.node.do(OpRead, func() error {
		r, errno := h.LoopbackFile.Read(ctx, buf, off)
		result = r
		return failed(errno)
	})
	return result, errno
}

func (h *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	return h.Writev(ctx, [][]byte{data}, off)
}

func (h *handle) Writev(ctx context.Context, data [][]byte, off int64) (written uint32,
	errno syscall.Errno) {
	errno = h.node.do(OpWrite, func() error {
		w, errno := h.LoopbackFile.Writev(ctx, data, off)
		written = w
		return failed(errno)
	})
	return written, errno
}

func (h *handle) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	return h.node.do(OpFsync, func() error { return failed(h.LoopbackFile.Fsync(ctx, flags)) })
}

// PassthroughFd keeps the kernel from reading the source without asking.
func (h *handle) PassthroughFd() (int, bool) { return 0, false }

// failed is an error only where there is one: an Errno of 0 in an error is not
// nil.
func failed(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// stream is what an open folder of the fs package can do.
type stream interface {
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
	fs.FileFsyncdirer
}

// A folder is an open folder.
type folder struct {
	stream
	node *node
}

func (n *node) OpendirHandle(context.Context, uint32) (h fs.FileHandle, _ uint32,
	errno syscall.Errno) {
	errno = n.do(OpOpendir, func() error {
		fd, err := unix.Openat(n.fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if names, err := os.ReadDir(n.reopen()); n.faults.small && err == nil && len(names) == 1 {
			n.NotifyEntry(names[0].Name())
		}
		s, errno := fs.NewLoopbackDirStreamFd(fd)
		if errno == 0 {
			h = &folder{s.(stream), n}
		}
		return failed(errno)
	})
	return h, 0, errno
}

func (d *folder) Readdirent(ctx context.Context) (entry *fuse.DirEntry, errno syscall.Errno) {
	errno = d.node.do(OpReaddir, func() error {
		e, errno := d.stream.Readdirent(ctx)
		entry = e
		return failed(errno)
	})
	return entry, errno
}

func (d *folder) Fsyncdir(ctx context.Context, flags uint32) syscall.Errno {
	return d.node.do(OpFsyncDir, func() error { return failed(d.stream.Fsyncdir(ctx, flags)) })
}
