package tree

import (
	"fmt"
	"testing"
)

// TestRests: what is looked at all the time keeps its age, however many others
// are looked at once, and no more of these are remembered than two generations.
func TestRests(t *testing.T) {
	var r rests
	dir := state{size: 1}
	r.own(nil, "once", dir)
	since := r.seen["once"].since
	for i := range 5 * maxRests {
		r.own(nil, fmt.Sprint("static/", i), state{size: int64(i)})
		if i%1000 == 0 {
			r.own(nil, "once", dir)
		}
		if n := len(r.seen) + len(r.old); n > 2*maxRests {
			t.Fatalf("%d states are remembered", n)
		}
	}
	r.own(nil, "once", dir)
	if now := r.seen["once"].since; now != since {
		t.Errorf("seen since %v, and after many others since %v", since, now)
	}
	r.own(nil, "once", state{size: 2})
	if now := r.seen["once"]; now.of.size != 2 || now.since == since {
		t.Errorf("after a change: %+v", now)
	}
}
