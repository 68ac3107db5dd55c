package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"pxesrv/pkg/conn"
	"slices"
	"strings"
)

// listening is a listener, and what it speaks when that is not plain HTTP.
type listening struct {
	net.Listener
	speaks string
}

// openHTTP opens the addresses of HTTP and HTTPS.
func (d *Daemon) openHTTP() (all []listening, err error) {
	c := &d.Config
	open := func(addr string, tls *tls.Config, speaks ...string) error {
		l, err := d.activated.listenOn(addr)
		if err != nil {
			return err
		}
		proxied := slices.Contains(c.Protocol, addr)
		if proxied {
			speaks = append(speaks, "PROXY protocol")
		}
		if a, ok := l.Addr().(*net.TCPAddr); ok && tls == nil && !proxied {
			d.baseAddrs = append(d.baseAddrs, a.AddrPort())
		}
		all = append(all, listening{d.beforeHTTP(l, proxied, tls), strings.Join(speaks, ", ")})
		return nil
	}
	for _, addr := range c.Protocol {
		if !slices.Contains(slices.Concat(c.Addresses(), c.TLSListen, c.TLSClientListen), addr) {
			// but another socket that was passed
			return nil, fmt.Errorf("proxies.protocol names %s, which is not listened on", addr)
		}
	}
	for _, addr := range c.Addresses() {
		err = errors.Join(err, open(addr, nil))
	}
	for _, addr := range c.TLSListen {
		err = errors.Join(err, open(addr, d.certs.Config(false), "https"))
	}
	for _, addr := range c.TLSClientListen {
		err = errors.Join(err, open(addr, d.certs.Config(true), "https", "client certificates"))
	}
	if err != nil {
		for _, l := range all {
			l.Close()
		}
		return nil, err
	}
	if d.certs.Set() != nil && len(c.TLSListen)+len(c.TLSClientListen) == 0 {
		d.Log.Warn("there is a certificate and no address for HTTPS: set tls.listen")
	}
	return all, nil
}

// beforeHTTP has the connections of a listener count in the limiter, and go
// through what comes before HTTP: with proxied the PROXY protocol, and with a
// config TLS.
func (d *Daemon) beforeHTTP(l net.Listener, proxied bool, config *tls.Config) net.Listener {
	l = d.limiter.Listener(l)
	if !proxied && config == nil {
		return l
	}
	at := l.Addr().String()
	e := &conn.Handshaker{
		TLS: config, Header: d.Config.Limits.HeaderTimeout, Handshake: d.Config.Limits.Handshake,
		Failed: func(f conn.Failure) { d.failed(at, f) },
	}
	if proxied {
		e.Proxies = func(a netip.Addr) bool {
			return slices.ContainsFunc(d.serving.Load().config.Trusted, func(p netip.Prefix) bool {
				return p.Contains(a)
			})
		}
	}
	return e.Listener(l)
}

// base returns the URL of the HTTP server for a client that reached this
// machine at an address: url, or the first listener that accepts connections at
// that address, or the first one with an address of its own that clients may
// reach.
func (d *Daemon) base(url string) func(netip.Addr) string {
	return func(local netip.Addr) string {
		if url != "" {
			return url
		}
		var other netip.AddrPort
		for _, l := range d.baseAddrs {
			switch at := l.Addr().Unmap().WithZone(""); {
			case local.IsValid() && (at == local || at == netip.IPv6Unspecified() ||
				at == netip.IPv4Unspecified() && local.Is4()):
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
	// A killed daemon leaves its socket behind; one that answers belongs to a
	// running daemon.
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

// noListener is why an address cannot be listened on, and what a person can do.
type noListener struct{ addr, why, hint string }

func (e *noListener) Error() string { return "cannot listen on " + e.addr + ": " + e.why }
func (e *noListener) Hint() string  { return e.hint }

func listenError(addr string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "address already in use"):
		return &noListener{addr, "another program does already",
			"stop it, or choose another port with -p"}
	case strings.Contains(text, "permission denied"):
		return &noListener{addr, "this user may not",
			"ports below 1024 need the right to; choose another with -p"}
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}
