//go:build linux

package netns

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Trunk makes a plug for one machine's card that is in one VLAN, as on a
// switch: a frame with that tag goes into the network without it, what comes
// from there gets it, and everything else is dropped. It returns the socket for
// QEMU. Not every kernel has VLANs, so the frames go through this process.
func (n *Network) Trunk(vlan int) (socket string) {
	n.t.Helper()
	tap, err := n.open(n.Tap())
	if err != nil {
		n.t.Fatalf("lab: no trunk: %v", err)
	}
	socket = filepath.Join(n.t.TempDir(), "trunk")
	l, err := net.Listen("unix", socket)
	if err != nil {
		n.t.Fatalf("lab: no trunk: %v", err)
	}
	n.t.Cleanup(func() { l.Close(); tap.Close() })
	go func() {
		for {
			c, err := l.Accept() // a machine that is started once more comes again
			if err != nil {
				return
			}
			go intoNetwork(c, tap, vlan)
			go outOfNetwork(tap, c, vlan)
		}
	}()
	return socket
}

// open opens a tap device of the network. The thread that enters the namespace
// ends with the goroutine.
func (n *Network) open(name string) (tap *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var ns *os.File
		if ns, err = os.Open(n.Inside()[1][len("--net="):]); err != nil {
			return
		}
		defer ns.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		fd := 0
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK,
			0); err != nil {
			return
		}
		var ifr *unix.Ifreq
		if ifr, err = unix.NewIfreq(name); err == nil {
			ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
		}
		if err != nil {
			unix.Close(fd)
			return
		}
		tap = os.NewFile(uintptr(fd), name)
	}()
	<-done
	return tap, err
}

// QEMU puts the length of each frame before it, in four bytes. A tag of 802.1Q
// is four bytes behind the two addresses.
const (
	lengthSize = 4
	tagAt      = 12
	tagSize    = 4
	maxFrame   = 1 << 16
)

func intoNetwork(from io.ReadCloser, tap io.Writer, vlan int) {
	defer from.Close()
	b := make([]byte, lengthSize+maxFrame)
	for {
		if _, err := io.ReadFull(from, b[:lengthSize]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(b)
		if n > maxFrame {
			return
		}
		f := b[lengthSize : lengthSize+n]
		if _, err := io.ReadFull(from, f); err != nil {
			return
		}
		if len(f) < tagAt+tagSize || binary.BigEndian.Uint16(f[tagAt:]) != 0x8100 ||
			int(binary.BigEndian.Uint16(f[tagAt+2:]))&0xfff != vlan {
			continue
		}
		copy(f[tagSize:], f[:tagAt])
		tap.Write(f[tagSize:])
	}
}

func outOfNetwork(tap io.Reader, to io.WriteCloser, vlan int) {
	defer to.Close()
	b := make([]byte, lengthSize+tagSize+maxFrame)
	for {
		f := b[lengthSize:]
		n, err := tap.Read(f[tagSize:])
		if err != nil {
			return
		}
		if n < tagAt {
			continue
		}
		copy(f, f[tagSize:tagSize+tagAt])
		binary.BigEndian.PutUint16(f[tagAt:], 0x8100)
		binary.BigEndian.PutUint16(f[tagAt+2:], uint16(vlan))
		binary.BigEndian.PutUint32(b, uint32(n+tagSize))
		if _, err := to.Write(b[:lengthSize+tagSize+n]); err != nil {
			return
		}
	}
}
