// Package conn is what lies below HTTP: how many connections there may be, what
// they go through before they speak HTTP (the PROXY protocol, TLS), how long a
// write may take, and whether a client has got what it was sent.
//
// A listener is wrapped by a Limiter, and where there is more than plain HTTP
// by a Handshaker around that. With Context as its ConnContext, an http.Server
// tells handlers of the connection: Remote, Gone and Watch take the context of
// a request.
package conn

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

// plainConn is a connection that is not TCP: a Unix socket.
type plainConn struct {
	net.Conn
	limiter *Limiter
	once    sync.Once
}

func (c *plainConn) Close() error {
	c.once.Do(func() { c.limiter.release(netip.Addr{}) })
	return c.Conn.Close()
}

// tcpConn is a TCP connection that counts in its limiter, and remembers a
// reset. The kernel tells of one only once, to whoever reads or writes next,
// and that is mostly the HTTP server. ReadFrom keeps sendfile.
type tcpConn struct {
	*net.TCPConn
	limiter  *Limiter
	counted  netip.Addr // for whom it counts in the limiter, under its lock
	released bool       // it counts no more, under the lock of the limiter
	peer     netip.Addr // of its other end
	reset    atomic.Bool
	fixed    atomic.Bool // somebody else has set the time limit for writes

	// Said by a header of the PROXY protocol.
	proxied bool
	client  netip.Addr    // for whom it speaks; invalid: for somebody whom nobody knows
	ahead   *bufio.Reader // what was read behind the header; nil when there is nothing

	heard bool // something came from the other end
}

func (c *tcpConn) Close() error {
	c.limiter.releaseConn(c)
	return c.TCPConn.Close()
}

// Read reads, first what came behind a header of the PROXY protocol.
func (c *tcpConn) Read(p []byte) (int, error) {
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
func (c *tcpConn) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{c})
}

func (c *tcpConn) Write(p []byte) (int, error) {
	n, err := c.write(func() (int64, error) {
		n, err := c.TCPConn.Write(p)
		p = p[n:]
		return int64(n), err
	})
	return int(n), err
}

// ReadFrom sends from a file without copying it through this program. What
// comes from elsewhere goes through Write: when the time limit ends a copy in
// between, bytes that were read and not sent would be missing in the middle of
// what goes on.
func (c *tcpConn) ReadFrom(r io.Reader) (sent int64, err error) {
	part, _ := r.(*io.LimitedReader)
	if part == nil || !isFile(part.R) {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	for part.N > 0 {
		size := min(part.N, atOnce)
		piece := &io.LimitedReader{R: part.R, N: size}
		// Each piece has the time limit to itself: what begins when it is over
		// already would be copied, and lost.
		n, err := c.write(func() (int64, error) {
			before := piece.N
			n, err := c.TCPConn.ReadFrom(piece)
			if err != nil && before-piece.N != n {
				// a file that the kernel cannot send by itself is copied as
				// well
				return n, io.ErrShortWrite
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

// atOnce is how many bytes of a file the kernel is told to send by one call. Go
// takes the processor from a goroutine whose call lasts, and what is sent in
// smaller parts is read while it is in the caches still: a GiB over the
// loopback took a third less processor time than with Go's own 4 MiB, on both
// sides. It is large enough for the short segment at the end of each part not
// to matter.
const atOnce = 256 << 10

func isFile(r io.Reader) bool {
	_, ok := r.(*os.File)
	return ok
}

// SetWriteDeadline ends all writes at t, whatever gets through: crypto/tls says
// good-bye within a time of its own. The zero t, which net/http sets after each
// answer, leaves the limit to the limiter.
func (c *tcpConn) SetWriteDeadline(t time.Time) error {
	c.fixed.Store(!t.IsZero())
	return c.TCPConn.SetWriteDeadline(t)
}

// SetDeadline sets that for reads and that for writes.
func (c *tcpConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// progress is what has to get through within the time limit for writes: about
// 1 KiB/s with the usual minute.
const progress = 60 << 10

// write sends until it is done, as long as at least progress bytes get through
// within each time limit.
func (c *tcpConn) write(send func() (int64, error)) (sent int64, err error) {
	limit := c.limiter.writeLimit()
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

// note remembers a reset.
func (c *tcpConn) note(err error) {
	if isReset(err) {
		c.reset.Store(true)
	}
}

// isReset reports whether an error says that the other end has thrown the
// connection away.
func isReset(err error) bool {
	return err != nil && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

type contextKey struct{}

// Context keeps the connection for its requests, the one below TLS where there
// is TLS. It is the ConnContext of an http.Server.
func Context(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, contextKey{}, c)
}

func of(ctx context.Context) *tcpConn {
	c, _ := ctx.Value(contextKey{}).(*tcpConn)
	return c
}

// Remote returns the address of the other end of a request's connection, and
// that of the client for which it speaks: the same, or the one that a header of
// the PROXY protocol names, which is invalid for a client that nobody knows. ok
// is false when the connection is not TCP, or not of a Limiter.
func Remote(ctx context.Context) (peer, client netip.Addr, ok bool) {
	c := of(ctx)
	switch {
	case c == nil:
		return netip.Addr{}, netip.Addr{}, false
	case c.proxied:
		return c.peer, c.client, true
	}
	return c.peer, c.peer, true
}

// Gone looks at the socket of a request and reports whether its client has
// closed the connection, or its half of it, or has thrown it away. It costs a
// system call. Of a connection that is not TCP it knows nothing.
func Gone(ctx context.Context) bool {
	c := of(ctx)
	return c != nil && c.hungUp()
}
