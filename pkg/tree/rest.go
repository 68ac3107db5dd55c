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

// age is how long what has the name has been as it is now, at least. local
// says whether its time stamps are of this machine's clock.
func (r *rests) age(name string, now state, local func() bool) time.Duration {
	own := r.own(name, now)
	if own < recent && local() {
		own = max(own, sinceChange(now))
	}
	return own
}

// sinceChange is how old the newest time stamp is. One of the future, after a
// clock was set, is as far away as one of the past.
func sinceChange(s state) time.Duration { return time.Since(s.changed()).Abs() }

// own is how long this daemon has seen no other state.
func (r *rests) own(name string, now state) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.seen[name]
	if ok && s.of == now {
		return time.Since(s.since)
	}
	if !ok {
		s, ok = r.old[name]
	}
	if !ok || s.of != now {
		s = sighting{now, time.Now()}
	}
	if r.seen == nil || len(r.seen) >= maxRests {
		r.seen, r.old = map[string]sighting{}, r.seen
	}
	r.seen[name] = s
	return time.Since(s.since)
}

// changed is the newest of the time stamps.
func (s state) changed() time.Time {
	if s.mtime.After(s.ctime) {
		return s.mtime
	}
	return s.ctime
}
