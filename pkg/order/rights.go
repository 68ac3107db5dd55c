package order

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"syscall"

	"pxesrv/pkg/tree"
)

// remedy is an error of the file system about a directory, and what a person
// may do about it.
func remedy(err error, dir string) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("%v; it has to belong to a group of the daemon that may write there: "+
			"chgrp GROUP %s && chmod 2775 %[2]s", err, tree.Quote(dir))
	case errors.Is(err, syscall.EROFS):
		return fmt.Sprintf("%v; a service of systemd may write only below ReadWritePaths=, which "+
			"is looked up when it starts", err)
	}
	return err.Error()
}

// journals are the two directories of the journal, and what does not work when
// one cannot be written.
var journals = []struct{ dir, lack string }{
	{claimedDir, "orders cannot be granted"},
	{servedDir, "orders cannot be confirmed, and stay open"},
}

// Problem is something that keeps orders from being granted or confirmed, in
// words for the person who can mend it.
type Problem struct {
	Where string // as traces call it: once/.served
	What  string // what is wrong, and what does not work for it
	Do    string // the command that mends it
	Sure  bool   // whoever the daemon runs as, unless it is root
}

func (p Problem) String() string { return p.Where + ": " + p.What + ": " + p.Do }

// JournalRights reports the parts of the journal that are narrower than the
// directory of the orders: whoever may write the one, as the daemon, has to be
// able to write the other. It changes nothing.
func (s *Store) JournalRights() []Problem {
	once, err := tree.OpenDir(s.Dir)
	if err != nil {
		return nil
	}
	defer once.Close()
	var all []Problem
	for _, j := range journals {
		is, want, narrower, err := rightsOf(once, j.dir)
		if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
			all = append(all, Problem{
				s.label(),
				fmt.Sprintf("%s: %s/%s is a file or a link, and has to be a directory of its own",
					j.lack, s.Dir, j.dir),
				"look at it and move it away, then the daemon makes the directory", true,
			})
		}
		if narrower {
			p := Problem{
				Where: s.label() + "/" + j.dir,
				What: fmt.Sprintf("%s: it is %s, so fewer may write it than %s, which is %s",
					j.lack, is, s.Dir, want),
				Do: fmt.Sprintf("chown %s %s && chmod %04o %[2]s", want.Who(),
					tree.Quote(s.Dir+"/"+j.dir), want.Mode&0o2777),
				Sure: true,
			}
			if is.Owner != 0 && is.Mode&0o200 != 0 { // perhaps the daemon made it for itself
				p.What, p.Sure = "unless the daemon is its owner, "+p.What, false
			}
			all = append(all, p)
		}
	}
	return all
}

// rightsOf returns the rights of a directory in once, those of once, and
// whether fewer may write the one than the other. With an error it is not there
// yet, or is worse off than that.
func rightsOf(once *tree.Dir, name string) (is, want tree.Rights, narrower bool, err error) {
	sub, err := once.Sub(name)
	if err != nil {
		return is, want, false, err
	}
	defer sub.Close()
	want, err = once.Rights()
	if err != nil {
		return is, want, false, err
	}
	if is, err = sub.Rights(); err != nil {
		return is, want, false, err
	}
	group := want.Mode&0o020 == 0 || is.Mode&0o020 != 0 && is.Group == want.Group
	others := want.Mode&0o002 == 0 || is.Mode&0o002 != 0
	// Root may write everywhere, and an owner may be in the group.
	owner := want.Owner == 0 || want.Mode&0o200 == 0 ||
		is.Owner == want.Owner && is.Mode&0o200 != 0 ||
		want.Mode&0o020 != 0 && group
	return is, want, !(group && others && owner), nil
}

// mend gives the journal the rights of the directory of the orders, as far as
// this process may.
func mend(once *tree.Dir) {
	for _, j := range journals {
		if _, _, narrower, _ := rightsOf(once, j.dir); narrower {
			once.Mend(j.dir) // what could not be mended is told of
		}
	}
}

// Check says what will keep orders from being granted, in sentences for the
// person who can mend it. It mends the rights of the journal as far as this
// process can.
func (s *Store) Check() []string {
	if once, err := tree.OpenDir(s.Dir); err == nil {
		mend(once)
		once.Close()
	}
	var problems []string
	for _, p := range s.JournalRights() {
		problems = append(problems, p.String())
	}
	if problems != nil {
		return problems
	}
	once, claimed, err := s.open(claimedDir)
	if tree.Absent(err) {
		return []string{fmt.Sprintf(
			"%s: there is no such directory, so no order can be placed: mkdir %s", s.label(),
			tree.Quote(s.Dir))}
	} else if err != nil {
		return []string{fmt.Sprintf(
			"%s: orders cannot be granted, the journal %s/%s cannot be made or opened: %v",
			s.label(), s.Dir, claimedDir, remedy(err, s.Dir))}
	}
	defer once.Close()
	defer claimed.Close()
	served, err := journalOf(once, servedDir)
	if err != nil {
		return []string{fmt.Sprintf(
			"%s: orders cannot be confirmed, the journal %s/%s cannot be made or opened: %v",
			s.label(), s.Dir, servedDir, remedy(err, s.Dir))}
	}
	defer served.Close()
	// A rename is made and undone, since rights and file systems that differ
	// show only then. Its link is the daemon's own, and tells nothing of the
	// sticky bit.
	c := s.newRecord("test", netip.Addr{}).String()
	if once.Sticky() {
		problems = append(problems, fmt.Sprintf("%s: orders that others placed cannot be "+
			"granted, the sticky bit of %s forbids the daemon to take them away: chmod -t %s",
			s.label(), s.Dir, tree.Quote(s.Dir)))
	}
	trial := func(err error, dir, what string) bool {
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %s: %v", s.label(), what,
				remedy(err, dir)))
		}
		return err == nil
	}
	if trial(once.Symlink("test", temporary+c), s.Dir, "orders cannot be granted, "+s.Dir+
		" is not writable for the daemon") {
		defer once.Remove(temporary + c)
		if trial(once.Rename(temporary+c, claimed, temporary+c), s.Dir+"/"+claimedDir,
			"orders cannot be granted, they cannot be moved to "+claimedDir+
				" (another file system?)") {
			defer claimed.Remove(temporary + c)
			if _, err := claimed.Proven(temporary + c); !trial(err, s.Dir,
				"orders cannot be granted, the file system does not tell what is moved") {
				return problems
			}
			if trial(claimed.Rename(temporary+c, served, temporary+c), s.Dir+"/"+servedDir,
				"orders cannot be confirmed, they cannot be moved to "+servedDir) {
				defer served.Remove(temporary + c)
			}
		}
	}
	return problems
}
