package tftpd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pin/tftp/v3"
)

// An unanswered block is sent again as often, after so long each time. A
// request with a false sender so brings at most 7 packets on whom it names: 6
// blocks of 516 bytes, as no larger ones are sent unasked, and an error.
const (
	retries = 5
	timeout = time.Second
)

// Listener answers at one address.
type Listener struct {
	conn     *net.UDPConn
	lib      *tftp.Server
	current  func() *Server
	stopping atomic.Bool
}

// Listen opens a UDP address, "host:port". Each request is answered by the
// server that current returns then.
func Listen(address string, current func() *Server) (*Listener, error) {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	// For the requests of a whole hall at once; the kernel gives what it may.
	conn.SetReadBuffer(1 << 20)
	return On(conn, current), nil
}

// On answers at a socket that is open already. Each request is answered by the
// server that current returns then.
func On(conn *net.UDPConn, current func() *Server) *Listener {
	l := &Listener{conn: conn, current: current}
	l.lib = tftp.NewServer(l.read, l.write)
	l.lib.SetTimeout(timeout)
	l.lib.SetRetries(retries)
	l.lib.SetBackoff(func(int) time.Duration { return 0 })
	l.lib.SetHook(l)
	return l
}

// Addr is the address that was opened.
func (l *Listener) Addr() net.Addr { return l.conn.LocalAddr() }

// Serve answers until Shutdown.
func (l *Listener) Serve() error { return l.lib.Serve(l.conn) }

// Close closes a listener that does not serve yet.
func (l *Listener) Close() error { return l.conn.Close() }

// Shutdown takes no more requests and waits for the transfers under way until
// ctx ends. Those that then still go on end with the next block, and those that
// wait for a dead client within seconds.
func (l *Listener) Shutdown(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { l.lib.Shutdown(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		l.stopping.Store(true)
		return ctx.Err()
	}
}

// OnSuccess implements tftp.Hook.
func (l *Listener) OnSuccess(tftp.TransferStats) {}

// OnFailure implements tftp.Hook. Failures of transfers are seen where they
// end. What names no file was no request, or one for which no socket could be
// opened.
func (l *Listener) OnFailure(t tftp.TransferStats, err error) {
	if t.RemoteAddr != nil {
		return
	}
	s := l.current()
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		s.observe(Failed, 0)
		s.Log.Error("tftp: a request cannot be answered", "error", short(err.Error()))
		return
	}
	s.observe(Malformed, 0)
	s.Log.Debug("tftp: not a request", "error", short(err.Error()))
}

// write refuses to be written to.
func (l *Listener) write(name string, from io.WriterTo) error {
	s := l.current()
	s.observe(Refused, 0)
	s.Log.Warn("tftp", "peer", peer(from), "path", short(name), "result", Refused,
		"error", errReadOnly.Error())
	return errReadOnly
}

// read answers a read request. The library sends the error to the client, if it
// has not sent one already.
func (l *Listener) read(name string, to io.ReaderFrom) (err error) {
	s := l.current()
	t := transfer{s: s, l: l, to: to, asked: name, peer: peer(to), began: time.Now(), size: -1}
	defer func() {
		if p := recover(); p != nil {
			t.sent(0, Failed, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			err = errPanic
		}
	}()
	allows := func(p netip.Prefix) bool { return p.Contains(t.peer) }
	if len(s.Allow) > 0 && !slices.ContainsFunc(s.Allow, allows) {
		return t.refuse(Refused, errRefused, nil)
	}
	c := s.counts()
	if !c.begin(t.peer, cmp.Or(s.Transfers, 2048), cmp.Or(s.PerAddress, 8)) {
		return t.refuse(Refused, errBusy, nil)
	}
	defer c.end(t.peer)
	return t.run()
}

// peer is whom a transfer goes to.
func peer(t any) netip.Addr {
	out, ok := t.(interface{ RemoteAddr() net.UDPAddr })
	if !ok {
		return netip.Addr{}
	}
	a := out.RemoteAddr()
	return a.AddrPort().Addr().Unmap().WithZone("")
}

// local is the address that was asked, or the zero value when nobody knows it.
func local(t any) netip.Addr {
	info, ok := t.(tftp.RequestPacketInfo)
	if !ok {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(info.LocalIP())
	return a.Unmap()
}
