package lab

import (
	"sync"
	"time"
)

// Clock is a clock on which a test lets time pass without waiting for it. It
// says what it showed at a time of this machine's clock, or at a time stamp of
// a file: what was written before Pass is older by that much afterwards, and
// what is written later is not. The zero value is this machine's clock.
type Clock struct {
	mu    sync.Mutex
	jumps []jump
}

type jump struct {
	at   time.Time
	over time.Duration
}

// tick is more than a file system's time stamps are behind the clock: the
// kernel takes them from the last tick of its timer, of which it has 100 to
// 1000 a second.
const tick = 20 * time.Millisecond

// Pass lets so much time pass.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	c.jumps = append(c.jumps, jump{time.Now(), d})
	c.mu.Unlock()
	time.Sleep(tick) // what is written from now on has a stamp after the jump
}

// At is what the clock showed at a time of this machine's clock.
func (c *Clock) At(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := time.Duration(0)
	for _, j := range c.jumps {
		if t.After(j.at) {
			passed += j.over
		}
	}
	return t.Add(passed)
}
