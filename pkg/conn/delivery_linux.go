package conn

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// Delivery watches whether the client's TCP acknowledges all that was sent. It
// looks at the socket through a descriptor of its own, so it goes on when the
// HTTP server has closed the connection. The nil Delivery never arrives.
//
// What it cannot see: behind a proxy the acknowledgement is the proxy's, and a
// machine may die after its kernel got everything.
type Delivery struct {
	conn *tcpConn
	fd   int
}

// Watch begins to watch the connection of a request. Call it before the handler
// returns. It is nil when the connection cannot be watched.
func Watch(ctx context.Context) *Delivery {
	c := of(ctx)
	if c == nil {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	dup := -1
	err = raw.Control(func(fd uintptr) { dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil || dup < 0 {
		return nil
	}
	return &Delivery{c, dup}
}

// Close ends the watch.
func (d *Delivery) Close() {
	if d != nil {
		unix.Close(d.fd)
	}
}

// Arrived waits, for at most limit, until every byte was acknowledged. A reset,
// even after that, means that the client closed without having read everything.
func (d *Delivery) Arrived(limit time.Duration) bool {
	if d == nil {
		return false
	}
	pause := time.Millisecond
	for end := time.Now().Add(limit); ; {
		// In this order: a reset may come behind the last acknowledgement.
		unacked, err := unix.IoctlGetInt(d.fd, unix.SIOCOUTQ)
		if err != nil || d.reset() {
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

func (d *Delivery) reset() bool {
	soerr, err := unix.GetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return err != nil || soerr != 0 || d.conn.reset.Load()
}

// hungUp reports whether the other end has closed the connection, or its half
// of it, or has thrown it away. It costs a system call.
func (c *tcpConn) hungUp() bool {
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
