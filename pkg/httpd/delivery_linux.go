package httpd

import (
	"time"

	"golang.org/x/sys/unix"
)

// delivery watches whether the client's TCP acknowledges all that was sent. It looks at the socket through a descriptor of
// its own, so it goes on when the HTTP server has closed the connection. The nil delivery never arrives.
//
// What it cannot see: behind a proxy the acknowledgement is the proxy's, and a machine may die after its kernel got everything.
type delivery struct {
	conn *conn
	fd   int
}

// watch begins to watch a connection. Call it before the handler returns.
func (c *conn) watch() *delivery {
	if c == nil {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	dup := -1
	if err := raw.Control(func(fd uintptr) { dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || dup < 0 {
		return nil
	}
	return &delivery{c, dup}
}

// hungUp reports whether the other end has closed the connection, or its half of it, or has thrown it away. It costs a system call.
func (c *conn) hungUp() bool {
	if c == nil {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	n, peeked := 0, error(nil)
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, peeked = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	c.note(peeked) // the kernel tells it only once
	quiet := peeked == unix.EAGAIN || peeked == unix.EINTR
	return err != nil || n <= 0 && !quiet
}

func (d *delivery) close() {
	if d != nil {
		unix.Close(d.fd)
	}
}

// arrived waits, for at most limit, until every byte was acknowledged. A reset, even after that, means that the client closed
// without having read everything.
func (d *delivery) arrived(limit time.Duration) bool {
	if d == nil {
		return false
	}
	pause := time.Millisecond
	for end := time.Now().Add(limit); ; {
		if soerr, err := unix.GetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || soerr != 0 || d.conn.reset.Load() {
			return false
		}
		unacked, err := unix.IoctlGetInt(d.fd, unix.SIOCOUTQ)
		if err != nil {
			return false
		}
		if unacked == 0 {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}
