package httpd

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// Listener wraps a TCP listener so that the server can see whether a client has got what it was sent.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if t, ok := c.(*net.TCPConn); ok {
		return &conn{TCPConn: t}, nil
	}
	return c, err
}

// conn is a TCP connection that remembers a reset. The kernel tells of one only once, to whoever reads or writes next, and
// that is mostly the HTTP server. Embedding keeps ReadFrom, and with it sendfile.
type conn struct {
	*net.TCPConn
	reset atomic.Bool
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.note(err)
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.note(err)
	return n, err
}

func (c *conn) note(err error) {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		c.reset.Store(true)
	}
}

type connKey struct{}

// ConnContext keeps the connection for its requests. Give it to http.Server.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}
