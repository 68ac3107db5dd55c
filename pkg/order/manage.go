package order

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/tree"
)

// What people do with orders. Everything here is also safe while daemons run.

// Pending is an order that waits.
type Pending struct {
	Name    string    `json:"name"`
	Target  string    `json:"target"`
	Placed  time.Time `json:"placed"`
	Problem string    `json:"problem,omitempty"` // why it will not be granted as it is
}

// Listing is all that is known of the orders of a directory, the newest last.
type Listing struct {
	Pending []Pending `json:"pending"`
	Open    []Record  `json:"open"`
	Served  []Record  `json:"served"`
}

// List returns what is pending, open and served.
func (s *Store) List() (Listing, error) {
	var l Listing
	once, err := tree.OpenDir(s.Dir)
	if err != nil {
		return l, err
	}
	defer once.Close()
	names, err := once.Names()
	if err != nil {
		return l, err
	}
	for _, n := range names {
		e, err := once.Entry(n)
		if err != nil || !boot.IsName(n) || e.Link == "" {
			continue // taken meanwhile, or a README
		}
		p := Pending{Name: n, Target: e.Link, Placed: once.Made(n)}
		if c, err := boot.Canonical(n); err != nil {
			p.Problem = "matches no machine: the name " + err.Error()
		} else if c.Text != n {
			p.Problem = "matches no machine: write it " + c.Text
		} else if err := (&pending{s: s, name: c}).Allowed(context.Background()); err != nil {
			p.Problem = err.Error()
		}
		l.Pending = append(l.Pending, p)
	}
	slices.SortFunc(l.Pending, func(a, b Pending) int { return cmp.Or(a.Placed.Compare(b.Placed), cmp.Compare(a.Name, b.Name)) })
	for journal, to := range map[string]*[]Record{claimedDir: &l.Open, servedDir: &l.Served} {
		if *to, err = s.entries(journal); err != nil {
			return l, err
		}
		d, err := once.Sub(journal)
		if err != nil {
			continue
		}
		for i, c := range *to {
			(*to)[i].Target, _ = d.Readlink(c.String())
		}
		d.Close()
		slices.SortFunc(*to, func(a, b Record) int { return a.Time.Compare(b.Time) })
	}
	return l, nil
}

// Place makes an order, or replaces the one that waits. It returns the text of the link that was replaced.
func (s *Store) Place(name, text string) (replaced string, err error) {
	once, err := tree.OpenDir(s.Dir)
	if err != nil {
		return "", err
	}
	defer once.Close()
	old, err := once.Entry(name)
	if err == nil && old.Link == "" {
		return "", s.noLink(name)
	}
	// As ln -sfn of coreutils 9 does it: under a name that is no order, then renamed over. There is no moment without one.
	temp := temporary + s.newRecord(name, netip.Addr{}).String()
	if err := once.Symlink(text, temp); err != nil {
		return "", err
	}
	if err := once.Rename(temp, once, name); err != nil {
		if there, look := once.Holds(temp); there || look != nil { // else a replayed rename was carried out
			once.Remove(temp)
			return "", err
		}
	}
	return old.Link, once.Sync()
}

func (s *Store) noLink(name string) error {
	return fmt.Errorf("%s/%s is there and is no symbolic link: look at it and move it away", s.label(), name)
}

// ErrNone says that there is no such order.
var ErrNone = errors.New("no such order")

// Cancel takes a pending order back, or dismisses the open entries of a name when none is pending. The journal keeps what
// was there. It returns what was canceled.
func (s *Store) Cancel(name string) ([]Record, error) {
	once, served, err := s.open(servedDir)
	if err != nil {
		return nil, err
	}
	defer once.Close()
	defer served.Close()
	if e, err := once.Entry(name); err == nil && e.Link == "" {
		return nil, s.noLink(name)
	}
	c := s.newRecord(name, netip.Addr{})
	c.End = Canceled
	switch err := move(once, name, served, c.String()); {
	case err == nil:
		c.Target, _ = served.Proven(c.String())
		return []Record{c}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return s.endOpen(name, Dismissed)
}

// Retry places the newest open order of a name again, and ends its open entries as retried. A pending order is not replaced.
func (s *Store) Retry(name string) (Record, error) {
	open, err := s.openOf(name)
	if err != nil {
		return Record{}, err
	}
	once, claimed, err := s.open(claimedDir)
	if err != nil {
		return Record{}, err
	}
	defer once.Close()
	defer claimed.Close()
	newest := open[len(open)-1]
	if newest.Target, err = claimed.Proven(newest.String()); absent(err) {
		return newest, fmt.Errorf("%w: it was confirmed meanwhile", ErrNone)
	} else if err != nil {
		return newest, err
	}
	if err := once.Symlink(newest.Target, name); errors.Is(err, fs.ErrExist) {
		return newest, fmt.Errorf("an order for %s is pending already", name)
	} else if err != nil {
		return newest, err
	}
	_, err = s.endOpen(name, Retried)
	return newest, err
}

func (s *Store) openOf(name string) ([]Record, error) {
	claims, err := s.entries(claimedDir)
	claims = slices.DeleteFunc(claims, func(c Record) bool { return c.Name != name || !c.open() })
	if err == nil && len(claims) == 0 {
		err = ErrNone
	}
	slices.SortFunc(claims, func(a, b Record) int { return a.Time.Compare(b.Time) })
	return claims, err
}

func (s *Store) endOpen(name string, end End) ([]Record, error) {
	claims, err := s.openOf(name)
	for i, c := range claims {
		if err := s.finish(c.String(), c, end); err != nil && !absent(err) {
			return claims[:i], err
		}
		claims[i].End = end
	}
	return claims, err
}

// Release lets a name be granted again that was granted too often.
func (s *Store) Release(name string) error {
	once, served, err := s.open(servedDir)
	if err != nil {
		return err
	}
	defer once.Close()
	defer served.Close()
	c := s.newRecord(name, netip.Addr{})
	c.End = Released
	return served.Symlink("released", c.String())
}

// Stats are the numbers of orders by state.
type Stats struct {
	Pending int
	Open    int       // sent more than a minute ago and never confirmed
	Oldest  time.Time // the oldest of them
	Served  int
	Pruned  int // removed from the journal now
}

// openAfter is the age from which an unconfirmed order counts as open; before that it is on its way.
const openAfter = time.Minute

// Sweep counts the orders and removes old entries from the journal of served ones. It never places or ends an order. Several
// daemons may sweep one directory.
func (s *Store) Sweep() (Stats, error) {
	var st Stats
	once, err := tree.OpenDir(s.Dir)
	if absent(err) {
		return st, nil
	} else if err != nil {
		return st, err
	}
	defer once.Close()
	names, err := once.Names()
	if err != nil {
		return st, err
	}
	for _, n := range names {
		if !boot.IsName(n) {
			continue
		}
		if _, err := once.Readlink(n); err == nil {
			st.Pending++
		} else if s.now().Sub(once.Made(n)) > openAfter {
			once.RemoveEmpty(n) // a directory that Recall left when its daemon was killed; an ln -s would go into it
		}
	}
	s.tidy(once)
	for _, journal := range []string{claimedDir, servedDir} {
		if d, err := once.Sub(journal); err == nil {
			s.tidy(d)
			d.Close()
		}
	}
	open, err := s.entries(claimedDir)
	if err != nil {
		return st, err
	}
	for _, c := range open {
		if s.now().Sub(c.Time) > openAfter {
			st.Open++
			if st.Oldest.IsZero() || c.Time.Before(st.Oldest) {
				st.Oldest = c.Time
			}
		}
	}
	served, err := s.entries(servedDir)
	if err != nil || len(served) == 0 {
		return st, err
	}
	d, err := once.Sub(servedDir)
	if err != nil {
		return st, err
	}
	defer d.Close()
	slices.SortFunc(served, func(a, b Record) int { return b.Time.Compare(a.Time) })
	for i, c := range served {
		age := s.now().Sub(c.Time)
		// The last 24 h are what repeats are counted by; they stay, however many they are.
		old := s.Keep > 0 && age > s.Keep || s.KeepMax > 0 && i >= s.KeepMax && age > day
		if !old {
			st.Served++
		} else if err := d.Remove(c.String()); err == nil {
			st.Pruned++
		} else if !absent(err) {
			return st, err
		}
	}
	return st, nil
}

// tidy removes what a command or a trial left that was killed an hour ago or more, and puts back what a daemon had aside that was
// killed a minute ago.
func (s *Store) tidy(d *tree.Dir) {
	names, _ := d.Names()
	for _, n := range names {
		entry, isAside := strings.CutPrefix(n, tree.Aside)
		rest, isTemporary := strings.CutPrefix(entry, temporary)
		c, ok := ParseRecord(rest)
		switch age := s.now().Sub(c.Time); {
		case !ok:
		case isAside && age > openAfter:
			d.Return(n)
		case !isAside && isTemporary && age > time.Hour:
			d.Remove(n)
		}
	}
}

// remedy is an error of the file system about a directory, and what a person may do about it.
func remedy(err error, dir string) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("%v; it has to belong to a group of the daemon that may write there: chgrp GROUP %s && chmod 2775 %[2]s", err, tree.Quote(dir))
	case errors.Is(err, syscall.EROFS):
		return fmt.Sprintf("%v; a service of systemd may write only below ReadWritePaths=, which is looked up when it starts", err)
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

// JournalRights says which parts of the journal those may not write who may
// write the directory of the orders: the daemon is one of them. It only looks,
// and may be asked by anybody.
func (s *Store) JournalRights() []Problem {
	once, err := tree.OpenDir(s.Dir)
	if err != nil {
		return nil
	}
	defer once.Close()
	var all []Problem
	for _, j := range journals {
		if sub, err := once.Sub(j.dir); err == nil {
			sub.Close()
		} else if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
			all = append(all, Problem{s.label(), fmt.Sprintf("%s: %s/%s is a file or a link, and has to be a directory of its own", j.lack, s.Dir, j.dir),
				"look at it and move it away, then the daemon makes the directory", true})
			continue
		}
		is, want, narrower := rightsOf(once, j.dir)
		if narrower {
			p := Problem{
				Where: s.label() + "/" + j.dir,
				What:  fmt.Sprintf("%s: it is %s, so fewer may write it than %s, which is %s", j.lack, is, s.Dir, want),
				Do:    fmt.Sprintf("chown %s %s && chmod %04o %[2]s", want.Who(), tree.Quote(s.Dir+"/"+j.dir), want.Mode&0o2777),
				Sure:  true,
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
// whether fewer may write the one than the other.
func rightsOf(once *tree.Dir, name string) (is, want tree.Rights, narrower bool) {
	sub, err := once.Sub(name)
	if err != nil {
		return is, want, false // it is not there yet, or is worse off than this
	}
	defer sub.Close()
	want, err1 := once.Rights()
	is, err2 := sub.Rights()
	if err1 != nil || err2 != nil {
		return is, want, false
	}
	group := want.Mode&0o020 == 0 || is.Mode&0o020 != 0 && is.Group == want.Group
	others := want.Mode&0o002 == 0 || is.Mode&0o002 != 0
	// Root may write everywhere, and an owner may be in the group.
	owner := want.Owner == 0 || want.Mode&0o200 == 0 || is.Owner == want.Owner && is.Mode&0o200 != 0 ||
		want.Mode&0o020 != 0 && group
	return is, want, !(group && others && owner)
}

// mend gives the journal the rights of the directory of the orders, as far as
// this process may.
func mend(once *tree.Dir) {
	for _, j := range journals {
		if _, _, narrower := rightsOf(once, j.dir); narrower {
			once.Mend(j.dir) // what could not be mended is told of
		}
	}
}

// Check says what will keep orders from being granted, in sentences for the person who can mend it. Rights of the journal that
// this process can mend, it mends.
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
	if absent(err) {
		return []string{fmt.Sprintf("%s: there is no such directory, so no order can be placed: mkdir %s", s.label(), tree.Quote(s.Dir))}
	} else if err != nil {
		return []string{fmt.Sprintf("%s: orders cannot be granted, the journal %s/%s cannot be made or opened: %v", s.label(), s.Dir, claimedDir, remedy(err, s.Dir))}
	}
	defer once.Close()
	defer claimed.Close()
	served, err := journalOf(once, servedDir)
	if err != nil {
		return []string{fmt.Sprintf("%s: orders cannot be confirmed, the journal %s/%s cannot be made or opened: %v", s.label(), s.Dir, servedDir, remedy(err, s.Dir))}
	}
	defer served.Close()
	// A rename is made and undone, since rights and file systems that differ show only then. Its link is the daemon's own, and tells
	// nothing of the sticky bit.
	c := s.newRecord("test", netip.Addr{}).String()
	if once.Sticky() {
		problems = append(problems, fmt.Sprintf("%s: orders that others placed cannot be granted, the sticky bit of %s forbids the daemon to take them away: chmod -t %s",
			s.label(), s.Dir, tree.Quote(s.Dir)))
	}
	trial := func(err error, dir, what string) bool {
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %s: %v", s.label(), what, remedy(err, dir)))
		}
		return err == nil
	}
	if trial(once.Symlink("test", temporary+c), s.Dir, "orders cannot be granted, "+s.Dir+" is not writable for the daemon") {
		defer once.Remove(temporary + c)
		if trial(once.Rename(temporary+c, claimed, temporary+c), s.Dir+"/"+claimedDir,
			"orders cannot be granted, they cannot be moved to "+claimedDir+" (another file system?)") {
			defer claimed.Remove(temporary + c)
			if _, err := claimed.Proven(temporary + c); !trial(err, s.Dir, "orders cannot be granted, the file system does not tell what is moved") {
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

// Of is the part of a listing that is about one name.
func (l Listing) Of(name string) Listing {
	other := func(c Record) bool { return c.Name != name }
	return Listing{
		Pending: slices.DeleteFunc(l.Pending, func(p Pending) bool { return p.Name != name }),
		Open:    slices.DeleteFunc(l.Open, other),
		Served:  slices.DeleteFunc(l.Served, other),
	}
}
