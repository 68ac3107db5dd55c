package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A client of a file server remembers which link a name stood for. When it
// renames that name, the server moves what has the name by then, perhaps a
// link that somebody has just put there, and the client takes what it
// remembers along to the new name. Seen on Linux' NFS client, 4.2 and all
// options that cache names, and on FUSE: readlink of the new name gave the text
// of a link that another client had moved away before. No attribute of that
// link tells, since it lives on elsewhere. What a listing of the directory
// says comes from the server.

// Unproven is the error for a link that was moved, and of which nobody can say
// whether its text is that of the link the server has.
type Unproven struct{ Path, Why string }

func (e *Unproven) Error() string {
	return fmt.Sprintf("%s: the file server and this machine's memory of it disagree about what "+
		"was moved there: %s", e.Path, e.Why)
}

// What cannot be proven is looked at so often, with such pauses.
const (
	proofs        = 5
	betweenProofs = 10 * time.Millisecond
)

// Proven returns the text of a link that was moved to this name, which nobody
// else uses. On a file system that others write to as well, the text is that
// of the inode which the directory's listing has under the name. The error is
// *Unproven where that cannot be told.
func (d *Dir) Proven(name string) (text string, err error) {
	local := d.local()
	for i := range proofs {
		if i > 0 {
			time.Sleep(betweenProofs)
		}
		// Network file systems were seen to say ENOENT for a moment after a
		// rename.
		if text, err = d.prove(name, local); err == nil || local && Absent(err) {
			return text, err
		}
		if unproven := (*Unproven)(nil); errors.As(err, &unproven) {
			if text, err := d.proveAside(name); err == nil {
				return text, nil
			}
		}
	}
	return "", err
}

// Aside is the beginning of the name of a directory in which one entry, whose
// name follows, is looked at alone. Who is killed meanwhile leaves it behind,
// for Return.
const Aside = ".aside~"

// proveAside proves the text of a link in a directory of its own. NFS 4.2 was
// seen to list a directory with a thousand names, and to go on to show another
// link than it had listed; where it lists few names it asks for what they are.
func (d *Dir) proveAside(name string) (text string, err error) {
	// Another daemon, of another user, may have to take it away.
	if err := d.Mkdir(Aside + name); err != nil {
		return "", err
	}
	sub, err := d.Sub(Aside + name)
	if err == nil {
		d.Rename(name, sub, name) // prove says whether that was done
		text, err = sub.prove(name, false)
		sub.Close()
	}
	return text, errors.Join(err, d.Return(Aside+name))
}

// Return moves the entry of a directory that was made to look at it alone back
// to its place, and takes the directory away.
func (d *Dir) Return(folder string) error {
	name := strings.TrimPrefix(folder, Aside)
	sub, err := d.Sub(folder)
	if err != nil {
		return err
	}
	defer sub.Close()
	moved := sub.Rename(name, d, name)
	// Only an empty one goes, so that it tells whether something is left in it:
	// the entry may have come back before, or never have got there.
	if err := unix.Unlinkat(d.fd, folder, unix.AT_REMOVEDIR); err != nil && !Absent(err) {
		return errors.Join(moved, d.err("rmdir", folder, err))
	}
	return nil
}

func (d *Dir) prove(name string, local bool) (string, error) {
	if local {
		return d.Readlink(name)
	}
	// The listing comes first: it also makes most clients forget what they
	// remembered wrongly.
	listed, err := d.listed(name)
	if err != nil {
		return "", err
	}
	now, err := d.lstat(name)
	if err != nil {
		return "", err
	}
	if now.ino != listed {
		return "", &Unproven{d.name + "/" + name,
			fmt.Sprintf("inode %d is listed, inode %d is found", listed, now.ino)}
	}
	return d.Readlink(name)
}

// Recall makes this machine ask the server for a name that is listed and that
// it believes not to be there, see Unseen. Trying to make what is there is what
// NFS clients ask the server for; should it not be there after all, what was
// made is an empty directory, and is taken away again.
func (d *Dir) Recall(name string) {
	if _, err := d.listed(name); err != nil {
		return
	}
	if unix.Mkdirat(d.fd, name, 0o700) == nil {
		unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR)
	}
}

// RemoveEmpty takes a directory away if nothing is in it.
func (d *Dir) RemoveEmpty(name string) error {
	return d.err("rmdir", name, unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR))
}

// Holds reports whether a name is there. On a file system that others write to
// it is the listing that counts.
func (d *Dir) Holds(name string) (bool, error) {
	var err error
	if d.local() {
		_, err = d.lstat(name)
	} else {
		_, err = d.listed(name)
	}
	if Absent(err) {
		return false, nil
	}
	return err == nil, err
}

// listed returns the inode that the directory's listing has under a name.
func (d *Dir) listed(name string) (ino uint64, err error) {
	err = retry(func() error { ino, err = d.list(name); return err })
	return ino, err
}

func (d *Dir) list(name string) (uint64, error) {
	f, err := d.open()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.ReadDirent(int(f.Fd()), buf)
		if err != nil {
			return 0, d.err("list", "", err)
		}
		if n == 0 {
			return 0, d.err("list", name, fs.ErrNotExist)
		}
		ino, found, err := inDirents(buf[:n], name)
		if err != nil || found {
			return ino, d.err("list", "", err)
		}
	}
}

// inDirents looks a name up in what getdents64(2) returns: of each entry eight
// bytes of inode, eight of offset, two of its length, one of its type, and the
// name up to a zero byte.
func inDirents(buf []byte, name string) (ino uint64, found bool, err error) {
	const head = 19
	for len(buf) > 0 {
		if len(buf) < head {
			return 0, false, errors.New("a listing was cut")
		}
		size := int(binary.NativeEndian.Uint16(buf[16:]))
		if size <= head || size > len(buf) {
			return 0, false, errors.New("a listing was cut")
		}
		at := buf[head:size]
		if len(at) > len(name) && string(at[:len(name)]) == name && at[len(name)] == 0 {
			return binary.NativeEndian.Uint64(buf), true, nil
		}
		buf = buf[size:]
	}
	return 0, false, nil
}
