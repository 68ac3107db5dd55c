package conn

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limiter limits the connections of all listeners together. Set it before the
// first Accept; it may be set again at any time.
type Limiter struct {
	mu      sync.Mutex
	changed sync.Cond
	limits  Limits
	open    int
	per     map[netip.Addr]int
	refused atomic.Int64
}

// Limits are the limits of a Limiter. Zero means none.
type Limits struct {
	Connections int // in all; more wait in the kernel's queue
	PerAddress  int // from one address; more are closed at once
	Exempt      func(netip.Addr) bool
	Write       time.Duration // for the next 60 KiB to get through
}

// Set puts new limits in force. Connections that are open stay.
func (l *Limiter) Set(limits Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits = limits
	l.init()
	l.changed.Broadcast()
}

func (l *Limiter) init() {
	if l.per == nil {
		l.per, l.changed.L = map[netip.Addr]int{}, &l.mu
	}
}

// Open is how many connections are open now.
func (l *Limiter) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Refused is how many connections were closed because their address had too
// many.
func (l *Limiter) Refused() int64 { return l.refused.Load() }

// Listener wraps a listener: its connections are limited, their writes have a
// time limit that moves on with what gets through, and the server can see
// whether a client has got what it was sent.
func (l *Limiter) Listener(of net.Listener) net.Listener {
	return &limitedListener{Listener: of, limiter: l}
}

type limitedListener struct {
	net.Listener
	limiter *Limiter
	closed  atomic.Bool
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		if !l.wait() {
			return nil, net.ErrClosed
		}
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := addrOf(c.RemoteAddr())
		if !l.limiter.admit(addr) {
			c.Close()
			continue
		}
		t, ok := c.(*net.TCPConn)
		if !ok {
			return &plainConn{Conn: c, limiter: l.limiter}, nil
		}
		return &tcpConn{TCPConn: t, limiter: l.limiter, counted: addr, peer: addr}, nil
	}
}

func (l *limitedListener) Close() error {
	l.closed.Store(true)
	l.limiter.mu.Lock()
	l.limiter.init()
	l.limiter.changed.Broadcast()
	l.limiter.mu.Unlock()
	return l.Listener.Close()
}

// wait returns when there is room for one connection more, or false when the
// listener was closed.
func (l *limitedListener) wait() bool {
	m := l.limiter
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	for m.limits.Connections > 0 && m.open >= m.limits.Connections && !l.closed.Load() {
		m.changed.Wait()
	}
	return !l.closed.Load()
}

// admit counts a new connection from a, unless that has too many.
func (l *Limiter) admit(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full(a) {
		return false
	}
	l.count(a, 1)
	return true
}

// release ends what admit began.
func (l *Limiter) release(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(a, -1)
	l.changed.Broadcast()
}

// reassign has a connection count for another address from now on, and reports
// whether that one may have one more.
func (l *Limiter) reassign(c *tcpConn, to netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.full(to)
	if !c.released {
		l.count(c.counted, -1)
		l.count(to, 1)
	}
	c.counted = to
	return !full
}

// releaseConn counts a connection that is closed no more, however often it is
// closed.
func (l *Limiter) releaseConn(c *tcpConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.released {
		return
	}
	c.released = true
	l.count(c.counted, -1)
	l.changed.Broadcast()
}

// full reports whether an address has all the connections that it may have, and
// counts the one that is refused then. The caller holds the lock.
func (l *Limiter) full(a netip.Addr) bool {
	limit := l.limits.PerAddress
	if limit == 0 || !a.IsValid() || l.per[a] < limit || l.limits.Exempt != nil &&
		l.limits.Exempt(a) {
		return false
	}
	l.refused.Add(1)
	return true
}

// count adds n connections for a. The caller holds the lock.
func (l *Limiter) count(a netip.Addr, n int) {
	l.open += n
	if !a.IsValid() {
		return
	}
	if l.per[a] += n; l.per[a] == 0 {
		delete(l.per, a)
	}
}

func (l *Limiter) writeLimit() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits.Write
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
