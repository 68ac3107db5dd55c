package httpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// Entrance is what the connections of a listener go through before they speak HTTP: the PROXY protocol, then TLS. Each goes
// through it by itself, so that one that says nothing keeps nobody waiting.
type Entrance struct {
	// Proxies are those who say for whom they speak, in a header of the PROXY protocol: every connection begins with one, and
	// connections of others are closed. Who could leave the header out could as well have a client write it. nil: no such headers.
	Proxies func(netip.Addr) bool
	// TLS is nil where there is none.
	TLS *tls.Config
	// Header is how long a header may take, and Handshake how long TLS may. 0: no limit.
	Header, Handshake time.Duration
	// Failed is told of a connection that was closed here.
	Failed func(Failure)
}

// Failure is a connection that was closed before it spoke HTTP.
type Failure struct {
	Peer    netip.Addr // of the connection
	Client  netip.Addr // for whom it speaks by the PROXY protocol; the peer without
	Reason  Reason
	Err     error
	Subject string // of the certificate that a client sent, which may say anything; "": none
}

// Reason is a kind of Failure, and a label of what counts them.
type Reason string

const (
	NoProxy       Reason = "no-trusted-proxy"    // where only proxies that are trusted may speak
	NoHeader      Reason = "no-proxy-header"     // something else came first
	BadHeader     Reason = "bad-proxy-header"    // one that breaks the rules of the PROXY protocol
	TooMany       Reason = "too-many"            // connections of the client that the header names
	Late          Reason = "timeout"             // before the end of the header or of the handshake
	Silent        Reason = "closed-silently"     // closed without a byte: somebody looked whether the port is open
	Closed        Reason = "closed-in-handshake" // as clients do that do not trust the certificate and say nothing
	Refused       Reason = "refused-by-client"   // with an alert of TLS
	NotTLS        Reason = "not-tls"             // something else came
	NoCommon      Reason = "nothing-in-common"   // no version, suite or curve that both have
	NoCertificate Reason = "no-client-certificate"
	UnknownCA     Reason = "unknown-client-ca"
	Untimely      Reason = "client-certificate-expired" // or not valid yet
	Unfit         Reason = "bad-client-certificate"     // made for something else, or broken
	Other         Reason = "other"
)

// Reasons are all there are.
var Reasons = []Reason{NoProxy, NoHeader, BadHeader, TooMany, Late, Silent, Closed, Refused, NotTLS, NoCommon, NoCertificate, UnknownCA,
	Untimely, Unfit, Other}

// Listener wraps a listener of a Gate. What it accepts has been through the entrance, and is a *tls.Conn where there is TLS. After Close
// it still accepts those who were let in before, for at most drainFor.
func (e *Entrance) Listener(l net.Listener) net.Listener {
	return &entrance{Listener: l, rules: e, passed: make(chan accepted), inside: map[net.Conn]bool{}, open: true, receives: true,
		over: make(chan struct{}), empty: make(chan struct{})}
}

// drainFor is how long connections that are in the entrance when it is closed have to get through it.
var drainFor = 2 * time.Second

type entrance struct {
	net.Listener
	rules  *Entrance
	begin  sync.Once
	passed chan accepted

	mu       sync.Mutex
	inside   map[net.Conn]bool // connections under way
	open     bool              // nobody has closed it
	receives bool              // somebody may still come in
	over     chan struct{}     // closed when those inside have had their time
	empty    chan struct{}     // closed when it is closed and nobody is inside
}

type accepted struct {
	conn net.Conn
	err  error
}

func (l *entrance) Accept() (net.Conn, error) {
	l.begin.Do(func() { go l.receive() })
	select {
	case a := <-l.passed:
		return a.conn, a.err
	case <-l.empty:
		return nil, net.ErrClosed
	}
}

// receive lets connections in until the listener is closed. An error waits until the server, which may pause after one, has taken it.
func (l *entrance) receive() {
	defer l.change(func() { l.receives = false })
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			l.change(func() { l.inside[c] = true })
			go l.pass(c)
			continue
		}
		if l.closed() {
			return
		}
		select {
		case l.passed <- accepted{err: err}:
		case <-l.over:
			return
		}
	}
}

func (l *entrance) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.open
}

// change changes who is inside, and may come in.
func (l *entrance) change(how func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	how()
	if l.open || l.receives || len(l.inside) > 0 {
		return
	}
	select {
	case <-l.empty:
	default:
		close(l.empty)
	}
}

func (l *entrance) Close() error {
	if l.closed() {
		return nil
	}
	l.begin.Do(func() { l.change(func() { l.receives = false }) }) // nobody ever came
	l.change(func() {
		if l.open {
			l.open = false
			time.AfterFunc(drainFor, l.end)
		}
	})
	return l.Listener.Close()
}

// end closes connections that are inside still.
func (l *entrance) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.over)
	for c := range l.inside {
		c.Close()
	}
}

// pass takes one connection through the entrance.
func (l *entrance) pass(c net.Conn) {
	defer l.change(func() { delete(l.inside, c) })
	speaks, failure := l.rules.pass(c)
	if failure.Err != nil {
		c.Close()
		if l.rules.Failed != nil && !l.closed() {
			l.rules.Failed(failure)
		}
		return
	}
	select {
	case l.passed <- accepted{conn: speaks}:
	case <-l.over:
		c.Close()
	}
}

// pass returns the connection that speaks HTTP, or why there is none.
func (e *Entrance) pass(c net.Conn) (net.Conn, Failure) {
	f := Failure{}
	tcp, _ := c.(*conn)
	if tcp != nil {
		f.Peer, f.Client = tcp.peer, tcp.peer
	}
	if e.Proxies != nil {
		if tcp == nil || !e.Proxies(tcp.peer) {
			f.Reason, f.Err = NoProxy, errors.New("it comes from no proxy of proxies.trusted")
			return nil, f
		}
		f.Reason, f.Err = tcp.header(e.Header)
		if tcp.proxied {
			f.Client = tcp.client
		}
		if f.Err != nil {
			return nil, f
		}
	}
	if e.TLS == nil {
		return c, f
	}
	if e.Handshake > 0 {
		c.SetDeadline(time.Now().Add(e.Handshake))
	}
	t := tls.Server(c, e.TLS)
	if err := t.HandshakeContext(context.Background()); err != nil {
		f.Reason, f.Subject, f.Err = handshakeFailed(err, tcp == nil || tcp.heard)
		var other tls.RecordHeaderError
		if errors.As(err, &other) && other.Conn != nil && strings.Contains("GET HEAD POST PUT OPTI DELE CONN", string(other.RecordHeader[:4])) {
			io.WriteString(other.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: "+textPlain+"\r\n\r\nthis port answers https:// only\n")
		}
		return nil, f
	}
	c.SetDeadline(time.Time{})
	return t, f
}

// header reads the header of the PROXY protocol, version 1 or 2, at most 4 KiB. From then on the connection counts for the client that
// it names. A health check of the proxy (LOCAL) is the proxy's own; behind UNKNOWN, and behind addresses that are none of IP,
// stands somebody whom nobody knows, and who counts for no address: for the proxy's it would be without a limit as well.
func (c *conn) header(within time.Duration) (Reason, error) {
	if within > 0 {
		c.SetReadDeadline(time.Now().Add(within))
	}
	buffer := bufio.NewReader(c)
	h, err := proxyproto.Read(buffer)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Late, errors.New("no header of the PROXY protocol came in time")
	case !c.heard:
		return Silent, errors.New("closed without a byte")
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
		return NoHeader, errors.New("it does not begin with a header of the PROXY protocol: the proxy has to send one to this port")
	default:
		return BadHeader, fmt.Errorf("the header of the PROXY protocol is wrong: %w", err)
	}
	c.SetReadDeadline(time.Time{})
	c.ahead = buffer
	if h.Version == 2 && h.Command.IsLocal() {
		return "", nil
	}
	client := netip.Addr{}
	if t, ok := h.SourceAddr.(*net.TCPAddr); ok && !t.IP.IsUnspecified() {
		client = addrOf(t)
	}
	c.proxied, c.client = true, client
	if !c.gate.move(c, client) {
		return TooMany, errors.New("this client has too many connections through the proxy already")
	}
	return "", nil
}

// handshakeFailed finds the reason of an error of crypto/tls, and words for people. heard: the client said something at all.
func handshakeFailed(err error, heard bool) (reason Reason, subject string, words error) {
	var (
		ours    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		op      *net.OpError
	)
	text := short(err.Error())
	switch {
	case errors.As(err, &ours):
		if len(ours.UnverifiedCertificates) > 0 {
			subject = certificateText(ours.UnverifiedCertificates[0])
		}
		switch {
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			return Untimely, subject, errors.New("the client's certificate has expired, or is not valid yet")
		case errors.As(err, &unknown):
			return UnknownCA, subject, errors.New("the client's certificate comes from no CA of tls.client-ca")
		}
		return Unfit, subject, fmt.Errorf("the client's certificate cannot be used: %s", short(ours.Err.Error()))
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return Late, "", errors.New("the handshake took too long")
	case strings.Contains(text, "didn't provide a certificate"):
		return NoCertificate, "", errors.New("the client has no certificate, and this port demands one")
	case errors.As(err, &record):
		return NotTLS, "", errors.New("what came is not TLS")
	case errors.As(err, &op) && op.Op == "remote error":
		return Refused, "", fmt.Errorf("the client ended the handshake: %s", strings.TrimPrefix(text, "remote error: tls: "))
	case !heard:
		return Silent, "", errors.New("closed without a byte")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || gone(err):
		return Closed, "", errors.New("the client closed in the middle of the handshake, as one does that does not trust the certificate")
	case strings.Contains(text, "unsupported versions"), strings.Contains(text, "no cipher suite"), strings.Contains(text, "no mutually supported"),
		strings.Contains(text, "no supported"), strings.Contains(text, "unsupported application protocols"):
		return NoCommon, "", fmt.Errorf("the client has nothing in common with this server: %s", strings.TrimPrefix(text, "tls: "))
	}
	return Other, "", errors.New(strings.TrimPrefix(text, "tls: "))
}

// certificateText names a certificate in the log: by its subject, which may say anything, and its serial number.
func certificateText(c *x509.Certificate) string {
	return short(c.Subject.String()) + " serial " + short(c.SerialNumber.Text(16))
}
