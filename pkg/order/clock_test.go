package order

import (
	"fmt"
	"testing"
	"time"

	"pxesrv/pkg/boot"
)

const year = 365 * day

// TestClockJumps: a clock that jumps by a year, either way, changes the times
// in names and nothing else. No order is sent twice, none is lost, and neither
// the retry nor the brake takes an entry of another time for one of now.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{year, -year, day + time.Minute, -day - time.Minute} {
		t.Run(jump.String(), func(t *testing.T) {
			dir := t.TempDir()
			s, c := newStore(dir)
			m1, again := client("10.0.0.1", 0, "m1"), client("10.0.0.1", 1, "m1")

			// Between the claim and its end.
			place1(t, s, "m1", "../a")
			g := asks(t, s, m1, "../a").Grant
			c.add(jump)
			asks(t, s, m1, "default")
			g.Confirm(true)
			wantPlaces(t, dir, "../a served")
			place1(t, s, "m1", "../b")
			g = asks(t, s, m1, "../b").Grant
			c.add(-jump)
			g.GiveBack("jump")
			wantPlaces(t, dir, "../a served", "../b pending")

			// An open entry of another time is sent again to nobody. When the
			// clock is right again, it is.
			asks(t, s, m1, "../b").Grant.Confirm(false)
			asks(t, s, again, "../b").Grant.Confirm(false)
			c.add(jump)
			asks(t, s, again, "default")
			c.add(-jump)
			asks(t, s, again, "../b").Grant.Confirm(true)
			wantPlaces(t, dir, "../a served", "../b served")
		})
	}
}

// What was granted a year ago does not hold an order now, and is counted as
// open for people to look at.
func TestClock_OldEntries(t *testing.T) {
	dir := t.TempDir()
	s, c := newStore(dir)
	s.MaxPerDay, s.Keep = 3, 90*day
	for i := range 3 {
		place1(t, s, "m1", fmt.Sprint("../", i))
		asks(t, s, client("10.0.0.1", 0, "m1"), fmt.Sprint("../", i)).Grant.Confirm(i > 0)
	}
	place1(t, s, "m1", "../next")
	if f := asks(t, s, client("10.0.0.1", 0, "m1"),
		"default").Trace.Findings[0]; f.Code != boot.Held {
		t.Errorf("%+v", f)
	}
	c.add(year)
	asks(t, s, client("10.0.0.1", 0, "m1"), "../next").Grant.Confirm(true)
	st, err := s.Sweep()
	if err != nil || st.Open != 1 || st.Served != 1 || st.Pruned != 2 {
		t.Errorf("%+v, %v", st, err)
	}
	wantPlaces(t, dir, "../0 open", "../next served")
}

// Entries of a clock that was ahead stay in the journal: they are not pruned,
// and not taken for old open ones.
func TestClock_EntriesOfTheFuture(t *testing.T) {
	dir := t.TempDir()
	s, c := newStore(dir)
	s.Keep, s.KeepMax = day, 1
	c.add(year)
	for i := range 3 {
		place1(t, s, "m1", fmt.Sprint("../", i))
		asks(t, s, client("10.0.0.1", 0, "m1"), fmt.Sprint("../", i)).Grant.Confirm(i > 0)
	}
	c.add(-year)
	if st, err := s.Sweep(); err != nil || st.Open != 0 || st.Served != 2 || st.Pruned != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	// Without a brake the next order is granted as ever.
	place1(t, s, "m1", "../now")
	asks(t, s, client("10.0.0.1", 0, "m1"), "../now").Grant.Confirm(true)
	wantPlaces(t, dir, "../0 open", "../1 served", "../2 served", "../now served")
}

// TestClock_BrakeAfterAClockThatWasAhead: what was granted while the clock was
// a year ahead is not of the last 24 h when it is right again.
func TestClock_BrakeAfterAClockThatWasAhead(t *testing.T) {
	s, c := newStore(t.TempDir())
	s.MaxPerDay = 1
	c.add(365 * day)
	place1(t, s, "m1", "../a")
	asks(t, s, client("10.0.0.1", 0, "m1"), "../a").Grant.Confirm(true)
	c.add(-365 * day)
	place1(t, s, "m1", "../b")
	asks(t, s, client("10.0.0.1", 0, "m1"), "../b").Grant.Confirm(true)
	place1(t, s, "m1", "../c")
	asks(t, s, client("10.0.0.1", 0, "m1"), "default") // that was the second today
}
