//go:build linux

package conn

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/pki"
)

// TestHandshaker_Close: who was accepted before the listener was closed is
// still accepted; who says nothing is closed; then it is over.
func TestHandshaker_Close(t *testing.T) {
	lab.Slow(t)
	defer func(d time.Duration) { drainFor = d }(drainFor)
	drainFor = 6 * time.Second // a busy computer
	ca := pki.NewCA(t, "site")
	cert, key := ca.Issue(pki.Certificate{})
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var g Limiter
	e := Handshaker{TLS: &tls.Config{Certificates: []tls.Certificate{pair}}}
	l := e.Listener(g.Listener(plain))
	got := make(chan net.Conn, 2)
	ended := make(chan error)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			got <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	silent, late := dial(), dial()
	for end := time.Now().Add(30 * time.Second); g.Open() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("two connections are not let in")
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Close() // as http.Server does
	client := tls.Client(late, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"})
	if err := client.Handshake(); err != nil {
		t.Fatalf("one who was let in is sent away: %v", err)
	}
	server := <-got
	defer server.Close()
	if _, ok := server.(*tls.Conn); !ok {
		t.Errorf("accepted a %T", server)
	}
	silent.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one who says nothing: %v", err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if g.Open() != 1 {
		t.Errorf("%d connections are open, want the one that was accepted", g.Open())
	}

	// One that nobody ever accepted from ends as well.
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = e.Listener(g.Listener(other))
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a listener that was closed at once: %v", err)
	}
}

// TestHandshaker_LongCertificate: a stranger's certificate may say 60 KiB of
// anything, of which the words for the log have the beginning.
func TestHandshaker_LongCertificate(t *testing.T) {
	ca := pki.NewCA(t, "site")
	cert, key := ca.Issue(pki.Certificate{})
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	// A name that is no URI (tag 6 of GeneralName, RFC 5280) comes back in the
	// words of crypto/x509.
	names, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6,
		Bytes: []byte("http://[" + strings.Repeat("x", 60000))}})
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template,
		pair.PrivateKey.(crypto.Signer).Public(), pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan Failure, 1)
	e := Handshaker{TLS: &tls.Config{Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAnyClientCert}, Failed: func(f Failure) { failed <- f }}
	l := e.Listener(new(Limiter).Listener(plain))
	defer l.Close()
	go l.Accept()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := tls.Client(conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: pair.PrivateKey}, nil
		}})
	go client.Handshake()
	if f := <-failed; len(f.Err.Error()) > 500 || !strings.Contains(f.Err.Error(), "xxx") {
		t.Errorf("%d bytes for the log: %.200s", len(f.Err.Error()), f.Err)
	}
}
