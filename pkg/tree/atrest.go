package tree

import (
	"sync"
	"time"
)

// rests tells for how long directories and files have been at rest, which is
// since when each look has shown the same state of them.
//
// It is told by this daemon's own clock. On a local disk the time stamps are
// of the same clock, so that a first look can tell as much. The clock of a
// file server may be off by hours, and is compared with nothing. The zero
// value has seen nothing.
type rests struct {
	mu        sync.Mutex
	seen, old map[string]sighting // old is what was in seen before it was full
}

type sighting struct {
	of    state
	since time.Time
}

// maxRests is how many states are remembered, and as many more that were not
// looked at since. What is looked at again and again, as directories are, is
// never forgotten; whoever is counts as seen for the first time.
const maxRests = 4096

// Clock tells what time it was when this machine's clock showed t: the same
// time, where it is nil. Tests let time pass with it.
type Clock func(t time.Time) time.Time

func (c Clock) at(t time.Time) time.Time {
	if c == nil {
		return t
	}
	return c(t)
}

func (c Clock) since(t time.Time) time.Duration { return c.at(time.Now()).Sub(t) }

// sinceChange is how old the newest time stamp is. One of the future, after a
// clock was set, is as far away as one of the past.
func (c Clock) sinceChange(s state) time.Duration { return c.since(c.at(s.changed())).Abs() }

// age is how long what has the name has been as it is now, at least. local
// says whether its time stamps are of this machine's clock.
func (r *rests) age(c Clock, name string, now state, local func() bool) time.Duration {
	own := r.own(c, name, now)
	if own < recent && local() {
		own = max(own, c.sinceChange(now))
	}
	return own
}

// own is how long this daemon has seen no other state.
func (r *rests) own(c Clock, name string, now state) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.seen[name]
	if ok && s.of == now {
		return c.since(s.since)
	}
	if !ok {
		s, ok = r.old[name]
	}
	if !ok || s.of != now {
		s = sighting{now, c.at(time.Now())}
	}
	if r.seen == nil || len(r.seen) >= maxRests {
		r.seen, r.old = map[string]sighting{}, r.seen
	}
	r.seen[name] = s
	return c.since(s.since)
}

// changed is the newest of the time stamps.
func (s state) changed() time.Time {
	if s.mtime.After(s.ctime) {
		return s.mtime
	}
	return s.ctime
}
