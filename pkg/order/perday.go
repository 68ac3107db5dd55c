package order

import (
	"context"
	"fmt"
	"pxesrv/pkg/boot"
	"slices"
	"sync"
	"time"
)

const (
	day = 24 * time.Hour
	// countsAge is how old the counted journal may get before it is read again,
	// to see what other daemons granted. A loop of installs takes minutes a
	// turn, so it is seen in time.
	countsAge = time.Minute
)

// counts knows how often each name was granted in the last 24 h, as the journal
// has it.
type counts struct {
	mu     sync.Mutex
	read   time.Time // when the journal was read; zero: never
	grants map[string][]time.Time
}

func (k *counts) add(name string, t time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.grants != nil {
		k.grants[name] = append(k.grants[name], t)
	}
}

func (k *counts) remove(name string, t time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.grants != nil {
		k.grants[name] = slices.DeleteFunc(k.grants[name], t.Equal)
	}
}

// grants returns how often name was granted in the last 24 h and since it was
// last released. A number that would hold the order is counted afresh from the
// disk before it is believed.
func (s *Store) grants(name string) (int, error) {
	k := &s.counts
	k.mu.Lock()
	fresh := k.grants != nil && s.now().Sub(k.read).Abs() < countsAge
	n := s.since(k.grants[name])
	k.mu.Unlock()
	if fresh && (s.MaxPerDay <= 0 || n < s.MaxPerDay) {
		return n, nil
	}
	began := s.now()
	counted, err := s.count()
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.grants, k.read = counted, began
	return s.since(counted[name]), nil
}

func (s *Store) since(grants []time.Time) int {
	n, now := 0, s.now()
	for _, t := range grants {
		// A day ahead is a clock that was wrong, not a grant of today.
		if now.Sub(t).Abs() < day {
			n++
		}
	}
	return n
}

func (s *Store) count() (map[string][]time.Time, error) {
	released := map[string]time.Time{}
	grants := map[string][]time.Time{}
	var all []Record
	for _, journal := range []string{claimedDir, servedDir} {
		claims, err := s.entries(journal)
		if err != nil {
			return nil, err
		}
		all = append(all, claims...)
	}
	for _, c := range all {
		if c.End == Released && c.Time.After(released[c.Name]) {
			released[c.Name] = c.Time
		}
	}
	seen := map[string]bool{} // an entry that moved between the two looks is in both
	for _, c := range all {
		if seen[c.Name+"~"+c.Random] {
			continue
		}
		seen[c.Name+"~"+c.Random] = true
		if c.sent() && c.Time.After(released[c.Name]) {
			grants[c.Name] = append(grants[c.Name], c.Time)
		}
	}
	return grants, nil
}

// Allowed refuses an order whose name was granted too often.
func (p *pending) Allowed(context.Context) error {
	n, err := p.s.grants(p.name.Text)
	if err != nil {
		return &boot.Unservable{Code: boot.Failed,
			Why: "the journal cannot be read: " + err.Error()}
	}
	if p.s.MaxPerDay > 0 && n >= p.s.MaxPerDay {
		return &boot.Unservable{Code: boot.Held, Why: fmt.Sprintf(
			"held: granted %d times in 24 h, something puts it back; when it is right: pxesrv "+
				"order release %s", n, p.name.Text)}
	}
	return nil
}
