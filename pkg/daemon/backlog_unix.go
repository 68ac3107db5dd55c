//go:build unix

package daemon

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait to be accepted. The kernel takes
// less where net.core.somaxconn says so.
const backlog = 4096

// deepen sets the backlog of a listener to what the kernel allows. Go reads
// that from /proc/sys, which a confined service (ProcSubset=pid) does not see;
// then it takes 128.
func deepen(l net.Listener) {
	if s, ok := l.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { unix.Listen(int(fd), backlog) })
		}
	}
}
