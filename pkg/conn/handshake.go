package conn

import (
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
)

// Handshaker takes connections through what comes before HTTP: the PROXY
// protocol, then TLS. Each goes through it in a goroutine of its own, so that
// one that says nothing keeps nobody waiting.
type Handshaker struct {
	// Proxies are those who say for whom they speak, in a header of the PROXY
	// protocol: every connection begins with one, and connections of others are
	// closed. If the header were optional, a client could forge one. nil: there
	// are no such headers.
	Proxies func(netip.Addr) bool
	// TLS is nil where there is none.
	TLS *tls.Config
	// Header is how long a header may take, and Handshake how long TLS may. 0:
	// no limit.
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
	NoProxy   Reason = "no-trusted-proxy" // where only proxies that are trusted may speak
	NoHeader  Reason = "no-proxy-header"  // something else came first
	BadHeader Reason = "bad-proxy-header" // one that breaks the rules of the PROXY protocol
	TooMany   Reason = "too-many"         // connections of the client that the header names
	Late      Reason = "timeout"          // before the end of the header or of the handshake
	// without a byte: somebody looked whether the port is open
	Silent        Reason = "closed-silently"
	Closed        Reason = "closed-in-handshake" // by clients that do not trust the certificate
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
var Reasons = []Reason{NoProxy, NoHeader, BadHeader, TooMany, Late, Silent, Closed, Refused, NotTLS,
	NoCommon, NoCertificate, UnknownCA, Untimely, Unfit, Other}

// Listener wraps a listener of a Limiter. The connections that it returns have
// been through the handshake, and are *tls.Conn where there is TLS. After Close
// it still returns those that were accepted before, for at most drainFor.
func (h *Handshaker) Listener(l net.Listener) net.Listener {
	return &handshakeListener{
		Listener: l, rules: h, ready: make(chan accepted), pending: map[net.Conn]bool{},
		open: true, accepting: true, expired: make(chan struct{}), idle: make(chan struct{}),
	}
}

// drainFor is how long connections whose handshake has begun when the listener
// is closed have to end it.
var drainFor = 2 * time.Second

type handshakeListener struct {
	net.Listener
	rules *Handshaker
	begin sync.Once
	ready chan accepted

	mu        sync.Mutex
	pending   map[net.Conn]bool // connections whose handshake goes on
	open      bool              // nobody has closed it
	accepting bool              // more connections may still come
	expired   chan struct{}     // closed when those pending have had their time
	idle      chan struct{}     // closed when it is closed and nothing is pending
}

type accepted struct {
	conn net.Conn
	err  error
}

func (l *handshakeListener) Accept() (net.Conn, error) {
	l.begin.Do(func() { go l.acceptAll() })
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.idle:
		return nil, net.ErrClosed
	}
}

// acceptAll begins handshakes until the listener is closed. An error waits
// until the server, which may pause after one, has taken it.
func (l *handshakeListener) acceptAll() {
	defer l.change(func() { l.accepting = false })
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			l.change(func() { l.pending[c] = true })
			go l.handshake(c)
			continue
		}
		if l.closed() {
			return
		}
		select {
		case l.ready <- accepted{err: err}:
		case <-l.expired:
			return
		}
	}
}

func (l *handshakeListener) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.open
}

// change changes what is pending, and whether more may come.
func (l *handshakeListener) change(how func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	how()
	if l.open || l.accepting || len(l.pending) > 0 {
		return
	}
	select {
	case <-l.idle:
	default:
		close(l.idle)
	}
}

func (l *handshakeListener) Close() error {
	if l.closed() {
		return nil
	}
	l.begin.Do(func() { l.change(func() { l.accepting = false }) }) // nobody ever called Accept
	l.change(func() {
		if l.open {
			l.open = false
			time.AfterFunc(drainFor, l.expire)
		}
	})
	return l.Listener.Close()
}

// expire closes connections that are still pending.
func (l *handshakeListener) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.expired)
	for c := range l.pending {
		c.Close()
	}
}

// handshake takes one connection through its handshake.
func (l *handshakeListener) handshake(c net.Conn) {
	defer l.change(func() { delete(l.pending, c) })
	speaks, failure := l.rules.handshake(c)
	if failure.Err != nil {
		c.Close()
		if l.rules.Failed != nil && !l.closed() {
			l.rules.Failed(failure)
		}
		return
	}
	select {
	case l.ready <- accepted{conn: speaks}:
	case <-l.expired:
		c.Close()
	}
}

// handshake returns the connection that speaks HTTP, or why there is none.
func (h *Handshaker) handshake(c net.Conn) (net.Conn, Failure) {
	f := Failure{}
	tcp, _ := c.(*tcpConn)
	if tcp != nil {
		f.Peer, f.Client = tcp.peer, tcp.peer
	}
	if h.Proxies != nil {
		if tcp == nil || !h.Proxies(tcp.peer) {
			f.Reason, f.Err = NoProxy, errors.New("it comes from no proxy of proxies.trusted")
			return nil, f
		}
		f.Reason, f.Err = tcp.readProxyHeader(h.Header)
		if tcp.proxied {
			f.Client = tcp.client
		}
		if f.Err != nil {
			return nil, f
		}
	}
	if h.TLS == nil {
		return c, f
	}
	if h.Handshake > 0 {
		c.SetDeadline(time.Now().Add(h.Handshake))
	}
	t := tls.Server(c, h.TLS)
	if err := t.HandshakeContext(context.Background()); err != nil {
		f.Reason, f.Subject, f.Err = handshakeFailed(err, tcp == nil || tcp.heard)
		var other tls.RecordHeaderError
		if errors.As(err, &other) && other.Conn != nil && isHTTP(other.RecordHeader) {
			io.WriteString(other.Conn, "HTTP/1.0 400 Bad Request\r\n"+
				"Content-Type: text/plain; charset=utf-8\r\n\r\nthis port answers https:// only\n")
		}
		return nil, f
	}
	c.SetDeadline(time.Time{})
	return t, f
}

// isHTTP reports whether the first bytes of a connection look like HTTP.
func isHTTP(head [5]byte) bool {
	return strings.Contains("GET HEAD POST PUT OPTI DELE CONN", string(head[:4]))
}

// handshakeFailed finds the reason of an error of crypto/tls, and words for
// people. heard: the client said something at all.
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
			subject = CertificateText(ours.UnverifiedCertificates[0])
		}
		switch {
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			return Untimely, subject,
				errors.New("the client's certificate has expired, or is not valid yet")
		case errors.As(err, &unknown):
			return UnknownCA, subject,
				errors.New("the client's certificate comes from no CA of tls.client-ca")
		}
		return Unfit, subject,
			fmt.Errorf("the client's certificate cannot be used: %s", short(ours.Err.Error()))
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return Late, "", errors.New("the handshake took too long")
	case strings.Contains(text, "didn't provide a certificate"):
		return NoCertificate, "",
			errors.New("the client has no certificate, and this port demands one")
	case errors.As(err, &record):
		return NotTLS, "", errors.New("what came is not TLS")
	case errors.As(err, &op) && op.Op == "remote error":
		return Refused, "", fmt.Errorf("the client ended the handshake: %s",
			strings.TrimPrefix(text, "remote error: tls: "))
	case !heard:
		return Silent, "", errors.New("closed without a byte")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err):
		return Closed, "", errors.New("the client closed in the middle of the handshake, " +
			"as one does that does not trust the certificate")
	case strings.Contains(text, "unsupported versions"), strings.Contains(text, "no cipher suite"),
		strings.Contains(text, "no mutually supported"), strings.Contains(text, "no supported"),
		strings.Contains(text, "unsupported application protocols"):
		return NoCommon, "", fmt.Errorf("the client has nothing in common with this server: %s",
			strings.TrimPrefix(text, "tls: "))
	}
	return Other, "", errors.New(strings.TrimPrefix(text, "tls: "))
}

// CertificateText names a certificate in the log: by its subject, which may say
// anything, and its serial number.
func CertificateText(c *x509.Certificate) string {
	return short(c.Subject.String()) + " serial " + short(c.SerialNumber.Text(16))
}

// short cuts what came from outside, so that a log line stays one that people
// can read.
func short(text string) string {
	if len(text) > 256 {
		return text[:256] + "…"
	}
	return text
}
