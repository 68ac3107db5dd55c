package tftpd

import (
	"net/netip"
	"sync"

	"pxesrv/pkg/bounded"
)

// Counts counts transfers, and what is stuck on the disk. The zero value counts
// none.
type Counts struct {
	mu    sync.Mutex
	all   int
	by    map[netip.Addr]int
	stuck bounded.Stuck
}

// Open is how many transfers are under way.
func (c *Counts) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// begin counts a transfer to a. It is false when there are too many already.
func (c *Counts) begin(a netip.Addr, all, each int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= all || c.by[a] >= each {
		return false
	}
	if c.by == nil {
		c.by = map[netip.Addr]int{}
	}
	c.all++
	c.by[a]++
	return true
}

func (c *Counts) end(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.by[a]--; c.by[a] == 0 {
		delete(c.by, a)
	}
}
