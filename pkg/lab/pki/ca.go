//go:build linux

// Package pki makes certification authorities and certificates for the tests.
package pki

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// CA is a certification authority of the test's own.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

// Certificate is what a CA is asked for. The zero value is for a server on this
// machine, with an RSA key, and counts for a year.
type Certificate struct {
	Name   string        // common name; default server
	Hosts  []string      // names and addresses; default 127.0.0.1 and localhost
	Begins time.Duration // from now; default two days ago
	Ends   time.Duration // from now; default in a year
	ECDSA  bool
	Client bool // for a client instead
	CA     bool // for another CA
}

// newKey makes an RSA key, and serverKey is the one of all certificates with
// RSA: keys are expensive to make, and tests make many.
func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

var serverKey = sync.OnceValue(newKey)

var serials atomic.Int64

// NewCA makes one.
func NewCA(t testing.TB, name string) *CA {
	t.Helper()
	ca := &CA{t: t, key: newKey()}
	ca.cert, _ = ca.sign(Certificate{Name: name, CA: true, Hosts: []string{}}, nil)
	return ca
}

// sign makes a certificate with a key, signed by parent, or by itself.
func (ca *CA) sign(want Certificate, parent *x509.Certificate) (*x509.Certificate, crypto.Signer) {
	ca.t.Helper()
	var key crypto.Signer = serverKey()
	if want.CA {
		key = ca.key
	}
	var err error
	if want.ECDSA {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1) + 0x1000),
		Subject:      pkix.Name{CommonName: cmp.Or(want.Name, "server")},
		NotBefore:    now.Add(-48 * time.Hour), NotAfter: now.Add(365 * 24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if want.Begins != 0 {
		c.NotBefore = now.Add(want.Begins)
	}
	if want.Ends != 0 {
		c.NotAfter = now.Add(want.Ends)
	}
	if want.Client {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if want.CA {
		c.IsCA, c.BasicConstraintsValid, c.ExtKeyUsage = true, true, nil
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if want.Hosts == nil && !want.Client {
		want.Hosts = []string{"127.0.0.1", "localhost"}
	}
	for _, h := range want.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	if parent == nil {
		parent = c
	}
	var der []byte
	if err == nil {
		der, err = x509.CreateCertificate(rand.Reader, c, parent, key.Public(), ca.key)
	}
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		ca.t.Fatal(err)
	}
	return c, key
}

// Issue returns a certificate and its key in PEM.
func (ca *CA) Issue(want Certificate) (cert, key []byte) {
	ca.t.Helper()
	c, k := ca.sign(want, ca.cert)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		ca.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Files writes a certificate and its key into a new folder of the test, and
// returns their names.
func (ca *CA) Files(want Certificate) (cert, key string) {
	ca.t.Helper()
	c, k := ca.Issue(want)
	dir := ca.t.TempDir()
	cert, key = filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	err := os.WriteFile(cert, c, 0o644)
	if err == nil {
		err = os.WriteFile(key, k, 0o600)
	}
	if err != nil {
		ca.t.Fatal(err)
	}
	return cert, key
}

// PEM is the CA's own certificate.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// File writes the CA's own certificate into a new folder of the test.
func (ca *CA) File() string {
	ca.t.Helper()
	name := filepath.Join(ca.t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, ca.PEM(), 0o644); err != nil {
		ca.t.Fatal(err)
	}
	return name
}

// Pool is the CA as one that a client trusts.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// EnrollArgs has QEMU hand the CA to OVMF, which puts it into the variable
// TlsCaCertificate, as the setup menu of firmware does: a list of one
// EFI_CERT_X509 signature (UEFI 2.10, 32.4.1).
func (ca *CA) EnrollArgs() []string {
	ca.t.Helper()
	var b bytes.Buffer
	b.Write([]byte{0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c,
		0x2b, 0xf0, 0x72})
	owner := make([]byte, 16)
	size := uint32(len(owner) + len(ca.cert.Raw))
	// of the list, of its header, of each signature
	for _, n := range []uint32{28 + size, 0, size} {
		binary.Write(&b, binary.LittleEndian, n)
	}
	b.Write(owner)
	b.Write(ca.cert.Raw)
	name := filepath.Join(ca.t.TempDir(), "cacerts")
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		ca.t.Fatal(err)
	}
	return []string{"-fw_cfg", "name=etc/edk2/https/cacerts,file=" +
		strings.ReplaceAll(name, ",", ",,")}
}
