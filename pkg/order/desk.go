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
	Open    []Claim   `json:"open"`
	Served  []Claim   `json:"served"`
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
		} else if err := (&pending{s: s, name: c}).May(context.Background()); err != nil {
			p.Problem = err.Error()
		}
		l.Pending = append(l.Pending, p)
	}
	slices.SortFunc(l.Pending, func(a, b Pending) int { return cmp.Or(a.Placed.Compare(b.Placed), cmp.Compare(a.Name, b.Name)) })
	for journal, to := range map[string]*[]Claim{claimedDir: &l.Open, servedDir: &l.Served} {
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
		slices.SortFunc(*to, func(a, b Claim) int { return a.Time.Compare(b.Time) })
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
	temp := temporary + s.newClaim(name, netip.Addr{}).String()
	if err := once.Symlink(text, temp); err != nil {
		return "", err
	}
	if err := once.Rename(temp, once, name); err != nil {
		if _, gone := once.Readlink(temp); !absent(gone) { // else a replayed rename was carried out
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
func (s *Store) Cancel(name string) ([]Claim, error) {
	once, served, err := s.open(servedDir)
	if err != nil {
		return nil, err
	}
	defer once.Close()
	defer served.Close()
	if e, err := once.Entry(name); err == nil && e.Link == "" {
		return nil, s.noLink(name)
	}
	c := s.newClaim(name, netip.Addr{})
	c.End = Canceled
	switch err := move(once, name, served, c.String()); {
	case err == nil:
		c.Target, _ = served.Readlink(c.String())
		return []Claim{c}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return s.endOpen(name, Dismissed)
}

// Again places the newest open order of a name again, and ends its open entries as retried. A pending order is not replaced.
func (s *Store) Again(name string) (Claim, error) {
	open, err := s.openOf(name)
	if err != nil {
		return Claim{}, err
	}
	once, claimed, err := s.open(claimedDir)
	if err != nil {
		return Claim{}, err
	}
	defer once.Close()
	defer claimed.Close()
	newest := open[len(open)-1]
	if newest.Target, err = claimed.Readlink(newest.String()); err != nil {
		return newest, fmt.Errorf("%w: it was confirmed meanwhile", ErrNone)
	}
	if err := once.Symlink(newest.Target, name); errors.Is(err, fs.ErrExist) {
		return newest, fmt.Errorf("an order for %s is pending already", name)
	} else if err != nil {
		return newest, err
	}
	_, err = s.endOpen(name, Retried)
	return newest, err
}

func (s *Store) openOf(name string) ([]Claim, error) {
	claims, err := s.entries(claimedDir)
	claims = slices.DeleteFunc(claims, func(c Claim) bool { return c.Name != name || !c.open() })
	if err == nil && len(claims) == 0 {
		err = ErrNone
	}
	slices.SortFunc(claims, func(a, b Claim) int { return a.Time.Compare(b.Time) })
	return claims, err
}

func (s *Store) endOpen(name string, end End) ([]Claim, error) {
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
	c := s.newClaim(name, netip.Addr{})
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
		if _, err := once.Readlink(n); err == nil && boot.IsName(n) {
			st.Pending++
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
	slices.SortFunc(served, func(a, b Claim) int { return b.Time.Compare(a.Time) })
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

// tidy removes what a command or a trial left that was killed an hour ago or more.
func (s *Store) tidy(d *tree.Dir) {
	names, _ := d.Names()
	for _, n := range names {
		rest, isTemporary := strings.CutPrefix(n, temporary)
		if c, ok := ParseClaim(rest); isTemporary && ok && s.now().Sub(c.Time) > time.Hour {
			d.Remove(n)
		}
	}
}

// remedy is an error of the file system, and what a person may do about it.
func (s *Store) remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("%v; it has to belong to a group of the daemon that may write there: chgrp GROUP %s && chmod 2775 %s", err, s.Dir, s.Dir)
	case errors.Is(err, syscall.EROFS):
		return fmt.Sprintf("%v; a service of systemd may write only below ReadWritePaths=, which is looked up when it starts", err)
	}
	return err.Error()
}

// Check says what will keep orders from being granted, in sentences for the person who can mend it.
func (s *Store) Check() []string {
	once, claimed, err := s.open(claimedDir)
	if absent(err) {
		return []string{fmt.Sprintf("%s: there is no such directory, so no order can be placed: mkdir %s", s.label(), s.Dir)}
	} else if err != nil {
		return []string{fmt.Sprintf("%s: orders cannot be granted, the journal %s/%s cannot be made or opened: %v", s.label(), s.Dir, claimedDir, s.remedy(err))}
	}
	defer once.Close()
	defer claimed.Close()
	served, err := journalOf(once, servedDir)
	if err != nil {
		return []string{fmt.Sprintf("%s: orders cannot be confirmed, the journal %s/%s cannot be made or opened: %v", s.label(), s.Dir, servedDir, s.remedy(err))}
	}
	defer served.Close()
	// A rename is made and undone, since rights and file systems that differ show only then. Its link is the daemon's own, and tells
	// nothing of the sticky bit.
	c := s.newClaim("test", netip.Addr{}).String()
	var problems []string
	if once.Sticky() {
		problems = append(problems, fmt.Sprintf("%s: orders that others placed cannot be granted, the sticky bit of %s forbids the daemon to take them away: chmod -t %s",
			s.label(), s.Dir, s.Dir))
	}
	trial := func(err error, what string) bool {
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %s: %v", s.label(), what, s.remedy(err)))
		}
		return err == nil
	}
	if trial(once.Symlink("test", temporary+c), "orders cannot be granted, "+s.Dir+" is not writable for the daemon") {
		defer once.Remove(temporary + c)
		if trial(once.Rename(temporary+c, claimed, temporary+c), "orders cannot be granted, they cannot be moved to "+claimedDir+" (another file system?)") {
			defer claimed.Remove(temporary + c)
			if trial(claimed.Rename(temporary+c, served, temporary+c), "orders cannot be confirmed, they cannot be moved to "+servedDir) {
				defer served.Remove(temporary + c)
			}
		}
	}
	return problems
}

// Of is the part of a listing that is about one name.
func (l Listing) Of(name string) Listing {
	other := func(c Claim) bool { return c.Name != name }
	return Listing{
		Pending: slices.DeleteFunc(l.Pending, func(p Pending) bool { return p.Name != name }),
		Open:    slices.DeleteFunc(l.Open, other),
		Served:  slices.DeleteFunc(l.Served, other),
	}
}
