package order

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
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
	slices.SortFunc(l.Pending, func(a, b Pending) int {
		return cmp.Or(a.Placed.Compare(b.Placed), cmp.Compare(a.Name, b.Name))
	})
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

// Place makes an order, or replaces the one that waits. It returns the text of
// the link that was replaced. actor is who does it, here and below: a login
// name, or "" where nobody knows. Only the event tells who placed an order that
// waits.
func (s *Store) Place(name, text, actor string) (replaced string, err error) {
	once, err := tree.OpenDir(s.Dir)
	if err != nil {
		return "", err
	}
	defer once.Close()
	old, err := once.Entry(name)
	if err == nil && old.Link == "" {
		return "", s.noLink(name)
	}
	// As ln -sfn of coreutils 9 does it: under a name that is no order, then
	// renamed over. There is always one of the two.
	temp := temporary + s.newRecord(name, netip.Addr{}).String()
	if err := once.Symlink(text, temp); err != nil {
		return "", err
	}
	if err := once.Rename(temp, once, name); err != nil {
		// else a replayed rename was carried out
		if there, look := once.Holds(temp); there || look != nil {
			once.Remove(temp)
			return "", err
		}
	}
	err = once.Sync()
	if err == nil {
		c := s.newRecord(name, netip.Addr{}).endedBy(actor, Placed)
		c.Target = text
		s.done(c)
	}
	return old.Link, err
}

// done tells of what a person did.
func (s *Store) done(c Record) { s.event(EventKind(c.End), c, nil) }

func (s *Store) noLink(name string) error {
	return fmt.Errorf("%s/%s is there and is no symbolic link: look at it and move it away",
		s.label(), name)
}

// ErrNone says that there is no such order.
var ErrNone = errors.New("no such order")

// Cancel takes a pending order back, or dismisses the open entries of a name
// when none is pending. The journal keeps what was there. It returns what was
// canceled.
func (s *Store) Cancel(name, actor string) ([]Record, error) {
	once, served, err := s.open(servedDir)
	if err != nil {
		return nil, err
	}
	defer once.Close()
	defer served.Close()
	if e, err := once.Entry(name); err == nil && e.Link == "" {
		return nil, s.noLink(name)
	}
	c := s.newRecord(name, netip.Addr{}).endedBy(actor, Canceled)
	switch err := move(once, name, served, c.String()); {
	case err == nil:
		c.Target, _ = served.Proven(c.String())
		s.done(c)
		return []Record{c}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return s.endOpen(name, actor, Dismissed)
}

// Retry places the newest open order of a name again, and ends its open entries
// as retried. A pending order is not replaced.
func (s *Store) Retry(name, actor string) (Record, error) {
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
	if newest.Target, err = claimed.Proven(newest.String()); tree.Absent(err) {
		return newest, fmt.Errorf("%w: it was confirmed meanwhile", ErrNone)
	} else if err != nil {
		return newest, err
	}
	if err := once.Symlink(newest.Target, name); errors.Is(err, fs.ErrExist) {
		return newest, fmt.Errorf("an order for %s is pending already", name)
	} else if err != nil {
		return newest, err
	}
	_, err = s.endOpen(name, actor, Retried)
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

func (s *Store) endOpen(name, actor string, end Outcome) ([]Record, error) {
	claims, err := s.openOf(name)
	for i, c := range claims {
		ended := c.endedBy(actor, end)
		switch err := s.finish(c.String(), ended, end); {
		case err == nil:
			s.done(ended)
		case !tree.Absent(err):
			return claims[:i], err
		}
		claims[i] = ended
	}
	return claims, err
}

// Release lets a name be granted again that was granted too often.
func (s *Store) Release(name, actor string) error {
	once, served, err := s.open(servedDir)
	if err != nil {
		return err
	}
	defer once.Close()
	defer served.Close()
	c := s.newRecord(name, netip.Addr{}).endedBy(actor, Released)
	if err := served.Symlink("released", c.String()); err != nil {
		return err
	}
	s.done(c)
	return nil
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
