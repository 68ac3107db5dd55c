package httpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Gate limits the connections of all listeners together. Set it before the first Accept; it may be set again at any time.
type Gate struct {
	mu      sync.Mutex
	changed sync.Cond
	limits  GateLimits
	open    int
	per     map[netip.Addr]int
	refused atomic.Int64
}

// GateLimits are the limits of a Gate. Zero means none.
type GateLimits struct {
	Connections int // in all; more wait in the kernel's queue
	PerAddress  int // from one address; more are closed at once
	Exempt      func(netip.Addr) bool
	Write       time.Duration // for the next 60 KiB to get through
}

// Set puts new limits in force. Connections that are open stay.
func (g *Gate) Set(l GateLimits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limits = l
	g.init()
	g.changed.Broadcast()
}

func (g *Gate) init() {
	if g.per == nil {
		g.per, g.changed.L = map[netip.Addr]int{}, &g.mu
	}
}

// Open is how many connections are open now, and Refused how many were closed because their address had too many.
func (g *Gate) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// Refused is how many connections were closed because their address had too many.
func (g *Gate) Refused() int64 { return g.refused.Load() }

// Listener wraps a listener: its connections count in the gate, their writes have a time limit that moves on with what gets
// through, and the server can see whether a client has got what it was sent.
func (g *Gate) Listener(l net.Listener) net.Listener { return &listener{Listener: l, gate: g} }

type listener struct {
	net.Listener
	gate   *Gate
	closed atomic.Bool
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		if !l.wait() {
			return nil, net.ErrClosed
		}
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := addrOf(c.RemoteAddr())
		if !l.gate.enter(addr) {
			c.Close()
			continue
		}
		t, ok := c.(*net.TCPConn)
		if !ok {
			return &plainConn{Conn: c, gate: l.gate}, nil
		}
		return &conn{TCPConn: t, gate: l.gate, addr: addr, peer: addr}, nil
	}
}

func (l *listener) Close() error {
	l.closed.Store(true)
	l.gate.mu.Lock()
	l.gate.init()
	l.gate.changed.Broadcast()
	l.gate.mu.Unlock()
	return l.Listener.Close()
}

// wait returns when there is room for one connection more, or false when the listener was closed.
func (l *listener) wait() bool {
	g := l.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.init()
	for g.limits.Connections > 0 && g.open >= g.limits.Connections && !l.closed.Load() {
		g.changed.Wait()
	}
	return !l.closed.Load()
}

func (g *Gate) enter(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full(a) {
		return false
	}
	g.count(a, 1)
	return true
}

func (g *Gate) leave(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(a, -1)
	g.changed.Broadcast()
}

// move has a connection count for another address from now on, and reports whether that one may have one more.
func (g *Gate) move(c *conn, to netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	full := g.full(to)
	if !c.left {
		g.count(c.addr, -1)
		g.count(to, 1)
	}
	c.addr = to
	return !full
}

// leaves counts a connection that is closed no more, however often it is closed.
func (g *Gate) leaves(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.left {
		return
	}
	c.left = true
	g.count(c.addr, -1)
	g.changed.Broadcast()
}

// full reports whether an address has all the connections that it may have, and counts the one that is refused then. It is called
// with the lock, and so is count.
func (g *Gate) full(a netip.Addr) bool {
	max := g.limits.PerAddress
	if max == 0 || !a.IsValid() || g.per[a] < max || g.limits.Exempt != nil && g.limits.Exempt(a) {
		return false
	}
	g.refused.Add(1)
	return true
}

func (g *Gate) count(a netip.Addr, n int) {
	g.open += n
	if !a.IsValid() {
		return
	}
	if g.per[a] += n; g.per[a] == 0 {
		delete(g.per, a)
	}
}

func (g *Gate) writeLimit() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limits.Write
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// plainConn is a connection that is not TCP: a Unix socket.
type plainConn struct {
	net.Conn
	gate *Gate
	once sync.Once
}

func (c *plainConn) Close() error {
	c.once.Do(func() { c.gate.leave(netip.Addr{}) })
	return c.Conn.Close()
}

// conn is a TCP connection that counts in its gate, and remembers a reset. The kernel tells of one only once, to whoever reads
// or writes next, and that is mostly the HTTP server. ReadFrom keeps sendfile.
type conn struct {
	*net.TCPConn
	gate  *Gate
	addr  netip.Addr // for whom it counts in the gate, under its lock
	left  bool       // it counts no more, under the lock of the gate
	peer  netip.Addr // of its other end
	reset atomic.Bool
	fixed atomic.Bool // somebody else has set the time limit for writes

	// Said by a header of the PROXY protocol.
	proxied bool
	client  netip.Addr    // for whom it speaks; invalid: for somebody whom nobody knows
	ahead   *bufio.Reader // what was read behind the header; nil when there is nothing

	heard bool // something came from the other end
}

func (c *conn) Close() error {
	c.gate.leaves(c)
	return c.TCPConn.Close()
}

// Read reads, first what came behind a header of the PROXY protocol.
func (c *conn) Read(p []byte) (int, error) {
	if c.ahead != nil {
		if c.ahead.Buffered() > 0 {
			return c.ahead.Read(p)
		}
		c.ahead = nil
	}
	n, err := c.TCPConn.Read(p)
	c.heard = c.heard || n > 0
	c.note(err)
	return n, err
}

// WriteTo goes through Read.
func (c *conn) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{c}) }

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.write(func() (int64, error) {
		n, err := c.TCPConn.Write(p)
		p = p[n:]
		return int64(n), err
	})
	return int(n), err
}

// ReadFrom sends from a file without copying it through this program. What comes from elsewhere goes through Write: when the time
// limit ends a copy in between, bytes that were read and not sent would be missing in the middle of what goes on.
func (c *conn) ReadFrom(r io.Reader) (sent int64, err error) {
	part, _ := r.(*io.LimitedReader)
	if part == nil || !isFile(part.R) {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	for part.N > 0 {
		size := min(part.N, atOnce)
		piece := &io.LimitedReader{R: part.R, N: size}
		// Each piece has the time limit to itself: what begins when it is over already would be copied, and lost.
		n, err := c.write(func() (int64, error) {
			before := piece.N
			n, err := c.TCPConn.ReadFrom(piece)
			if err != nil && before-piece.N != n {
				return n, io.ErrShortWrite // a file that the kernel cannot send by itself is copied as well
			}
			return n, err
		})
		sent += n
		part.N -= size - piece.N
		if err != nil || n < size {
			return sent, err
		}
	}
	return sent, nil
}

// atOnce is how many bytes of a file the kernel is told to send by one call. Go takes the processor from a goroutine whose call lasts, and
// what is sent in smaller parts is read while it is in the caches still: a GiB over the loopback took a third less processor time
// than with Go's own 4 MiB, on both sides. It is large enough for the short segment at the end of each part not to matter.
const atOnce = 256 << 10

func isFile(r io.Reader) bool {
	_, ok := r.(*os.File)
	return ok
}

// SetWriteDeadline ends all writes at t, whatever gets through: crypto/tls says
// good-bye within a time of its own. The zero t, which net/http sets after each
// answer, leaves the limit to the gate.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.fixed.Store(!t.IsZero())
	return c.TCPConn.SetWriteDeadline(t)
}

// SetDeadline sets that for reads and that for writes.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// progress is what has to get through within the time limit for writes: about 1 KiB/s with the usual minute.
const progress = 60 << 10

// write sends until it is done, as long as at least progress bytes get through
// within each time limit.
func (c *conn) write(send func() (int64, error)) (sent int64, err error) {
	limit := c.gate.writeLimit()
	for {
		moves := limit > 0 && !c.fixed.Load()
		switch {
		case moves:
			c.TCPConn.SetWriteDeadline(time.Now().Add(limit))
		case limit == 0 && !c.fixed.Load(): // there may have been one until the configuration changed
			c.TCPConn.SetWriteDeadline(time.Time{})
		}
		n, err := send()
		sent += n
		if moves && n >= progress && errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		c.note(err)
		return sent, err
	}
}

func (c *conn) note(err error) {
	if gone(err) {
		c.reset.Store(true)
	}
}

// gone reports whether an error says that the other end has thrown the connection away.
func gone(err error) bool {
	return err != nil && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

type connKey struct{}

// ConnContext keeps the connection for its requests, the one below TLS where there is TLS. Give it to http.Server.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}
