package order

import (
	"slices"
	"strings"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/tree"
)

// Stats are the numbers of orders by state.
type Stats struct {
	Pending int
	Open    int       // sent more than a minute ago and never confirmed
	Oldest  time.Time // the oldest of them
	Served  int
	Pruned  int // removed from the journal now
}

// openAfter is the age from which an unconfirmed order counts as open; before
// that it is on its way.
const openAfter = time.Minute

// Sweep counts the orders and removes old entries from the journal of served
// ones. It never places or ends an order. Several daemons may sweep one
// directory.
func (s *Store) Sweep() (Stats, error) {
	var st Stats
	once, err := tree.OpenDir(s.Dir)
	if tree.Absent(err) {
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
			// a directory that Recall left when its daemon was killed; an ln -s
			// would go into it
			once.RemoveEmpty(n)
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
		// Repeats are counted in the last 24 h: these entries stay, however
		// many they are.
		old := s.Keep > 0 && age > s.Keep || s.KeepMax > 0 && i >= s.KeepMax && age > day
		if !old {
			st.Served++
		} else if err := d.Remove(c.String()); err == nil {
			st.Pruned++
		} else if !tree.Absent(err) {
			return st, err
		}
	}
	return st, nil
}

// tidy cleans up after processes that were killed: it removes temporary links
// after an hour, and puts back after a minute what a daemon had aside.
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
