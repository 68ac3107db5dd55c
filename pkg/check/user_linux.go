package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a user may do with a file or a directory.
const (
	mayEnter = 1 << iota
	mayWrite
	mayRead
)

// userRights are the rights of the user as whom the daemon runs.
type userRights struct {
	name string
	uid  int // -1: only the group is known
	gids []int
}

// readable is an error where no file can be read as the daemon does it.
func readable() error {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return errors.New("/proc is not mounted here, and files are looked at through it: mount " +
			"-t proc proc /proc")
	}
	return nil
}

// daemonUser returns the user as whom the daemon runs: the one that was named,
// or whoever once/ and its journal belong to. It is nil where that is root,
// where nobody knows, and where whoever runs the check is that user.
func daemonUser(named, once string) (*userRights, error) {
	if named != "" {
		u, err := user.Lookup(named)
		if err != nil {
			if u, err = user.LookupId(named); err != nil {
				return nil, fmt.Errorf("there is no user %q on this machine", named)
			}
		}
		return rightsOfUser(u), nil
	}
	for _, name := range []string{".claimed", ".served"} {
		if st := ownerOf(filepath.Join(once, name)); st != nil && st.Uid != 0 {
			return rightsOfUID(int(st.Uid), int(st.Gid)), nil
		}
	}
	st := ownerOf(once)
	switch {
	case st == nil:
	case st.Gid != 0:
		// People place orders by the group of the daemon, which has its name.
		if g, err := user.LookupGroupId(strconv.Itoa(int(st.Gid))); err == nil {
			if u, err := user.Lookup(g.Name); err == nil {
				return rightsOfUser(u), nil
			}
		}
		if st.Uid == 0 {
			return &userRights{name: "the group " + groupName(int(st.Gid)), uid: -1,
				gids: []int{int(st.Gid)}}, nil
		}
		fallthrough
	case st.Uid != 0:
		return rightsOfUID(int(st.Uid), int(st.Gid)), nil
	}
	return nil, nil
}

func ownerOf(name string) *syscall.Stat_t {
	info, err := os.Stat(name)
	if err != nil {
		return nil
	}
	st, _ := info.Sys().(*syscall.Stat_t)
	return st
}

// rightsOfUser returns the rights of a user, with those of its groups.
func rightsOfUser(u *user.User) *userRights {
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	e := &userRights{name: u.Username, uid: uid, gids: []int{gid}}
	ids, _ := u.GroupIds()
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil && n != gid {
			e.gids = append(e.gids, n)
		}
	}
	return e
}

func rightsOfUID(uid, gid int) *userRights {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return rightsOfUser(u)
	}
	return &userRights{name: fmt.Sprintf("uid %d", uid), uid: uid, gids: []int{gid}}
}

// guess reports whether nobody knows as whom the daemon runs, and root looks
// on, who sees more than any other user does.
func (e *userRights) guess() bool { return e == nil }

// other reports whether the daemon is another user than whoever runs the check.
func (e *userRights) other() bool { return e.uid != os.Geteuid() }

func (e *userRights) subject() string {
	switch {
	case e == nil:
		return "a daemon that is not root, as that of the packages,"
	case e.uid < 0:
		return "the daemon, as a member of " + e.name + ","
	}
	return "the daemon, as the user " + e.name + ","
}

// group is the name of the group by which the daemon may be let in, or "".
func (e *userRights) group() string {
	if e == nil || len(e.gids) == 0 || e.gids[0] == 0 {
		return ""
	}
	return groupName(e.gids[0])
}

func groupName(gid int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return g.Name
	}
	return strconv.Itoa(gid)
}

// may reports whether the daemon has these rights. Where that cannot be told it
// may: a file that whoever runs the check cannot read is found by reading it.
func (e *userRights) may(name string, info fs.FileInfo, want fs.FileMode) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || e != nil && (e.uid == 0 || e.uid == os.Geteuid()) {
		return true
	}
	mode := info.Mode().Perm()
	if e == nil {
		return os.Geteuid() != 0 || st.Uid != 0 || mode&0o077 != 0 || hasACL(name)
	}
	has := mode & 7
	switch {
	case e.uid >= 0 && int(st.Uid) == e.uid:
		has = mode >> 6 & 7
	case slices.Contains(e.gids, int(st.Gid)):
		has = mode >> 3 & 7
	}
	return has&want == want || e.uid < 0 && st.Uid != 0 || hasACL(name)
}

// hasACL reports whether more than the mode says who may read a file.
func hasACL(name string) bool {
	n, err := unix.Getxattr(name, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

// ofRoot reports whether a file belongs to the group of root.
func ofRoot(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Gid == 0
}

// owner is who a file belongs to, as ls shows it.
func owner(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "unknown"
	}
	name := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return name + ":" + groupName(int(st.Gid))
}
