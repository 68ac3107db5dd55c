package daemon

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"pxesrv/pkg/tftpd"
)

// listen opens the addresses of HTTP.
func (d *Daemon) listen() (all []net.Listener, err error) {
	for _, addr := range d.Config.Addresses() {
		l, err := d.passed.listenOn(addr)
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, err
		}
		all = append(all, d.gate.Listener(l))
	}
	return all, nil
}

// listenTFTP opens the addresses of TFTP, beside those of HTTP.
func (d *Daemon) listenTFTP(http []net.Listener) (all []*tftpd.Listener, err error) {
	for _, l := range http {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			d.reached = append(d.reached, a.AddrPort())
		}
	}
	for _, addr := range d.Config.TFTP {
		l, err := d.passed.listenTFTP(addr, func() *tftpd.Server { return d.serving.Load().tftp })
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, listenError("udp:"+addr, err)
		}
		all = append(all, l)
	}
	if len(all) > 0 && len(d.reached) == 0 && d.Config.URL == "" {
		d.Log.Warn("clients of TFTP get no script that leads to this server, which listens on no TCP port: set url")
	}
	return all, nil
}

// base returns where a client that reaches this machine at an address reaches the HTTP server: url, or the first listener that
// takes connections at that address, or the first one with an address of its own that clients may reach.
func (d *Daemon) base(url string) func(netip.Addr) string {
	return func(local netip.Addr) string {
		if url != "" {
			return url
		}
		var other netip.AddrPort
		for _, l := range d.reached {
			switch at := l.Addr().Unmap().WithZone(""); {
			case local.IsValid() && (at == local || at == netip.IPv6Unspecified() || at == netip.IPv4Unspecified() && local.Is4()):
				return "http://" + netip.AddrPortFrom(local.WithZone(""), l.Port()).String()
			case !other.IsValid() && !at.IsUnspecified() && !at.IsLoopback():
				other = netip.AddrPortFrom(at, l.Port())
			}
		}
		if other.IsValid() {
			return "http://" + other.String()
		}
		return ""
	}
}

func listenOn(addr string) (net.Listener, error) {
	name, isUnix := strings.CutPrefix(addr, "unix:")
	if !isUnix {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, listenError(addr, err)
		}
		return l, nil
	}
	// A socket that a killed daemon left behind is in the way; one that answers belongs to a daemon that runs.
	if info, err := os.Lstat(name); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if c, err := net.Dial("unix", name); err == nil {
			c.Close()
			return nil, fmt.Errorf("cannot listen on %s: another program does already", addr)
		}
		os.Remove(name)
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, listenError(addr, err)
	}
	return l, nil
}

func listenError(addr string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "address already in use"):
		return fmt.Errorf("cannot listen on %s: another program does already; stop it, or choose another port with -p", addr)
	case strings.Contains(text, "permission denied"):
		return fmt.Errorf("cannot listen on %s: this user may not; ports below 1024 need the right to, choose another with -p", addr)
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}
