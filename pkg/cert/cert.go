// Package cert reads what a server needs for TLS: its certificate with the key,
// and the CAs of its clients. Files that change are read again; what cannot be
// used replaces nothing.
package cert

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pxesrv/pkg/reread"
)

// Files names the files, all of them PEM.
type Files struct {
	Cert string // the server's certificate first, then those between it and a CA that clients trust
	Key  string // its key
	CA   string // CAs of clients; "": none
}

// Set is what was in the files.
type Set struct {
	Files    Files
	Pair     tls.Certificate
	Clients  *x509.CertPool // nil without a CA file
	Ends     time.Time      // when the first certificate of the chain expires
	warnings []string
}

// maxFile is larger than any chain or list of CAs.
const maxFile = 4 << 20

// Read reads the files. An error tells people which file is wrong, and what is
// wrong with it. A certificate that has expired or is not valid yet is not an
// error here.
func Read(f Files) (*Set, error) {
	s := &Set{Files: f}
	certText, _, err := read("the certificate", f.Cert)
	if err != nil {
		return nil, err
	}
	chain, err := parse("the certificate", f.Cert, certText)
	if err != nil {
		return nil, err
	}
	keyText, mode, err := read("the key", f.Key)
	if err != nil {
		return nil, err
	}
	if err := hasKey(f.Key, keyText); err != nil {
		return nil, err
	}
	if s.Pair, err = tls.X509KeyPair(certText, keyText); err != nil {
		return nil, mismatch(f, chain, keyText, err)
	}
	s.Pair.Leaf = chain[0]
	s.inspect(chain)
	if mode.Perm()&0o004 != 0 {
		s.warn("the key %s can be read by everybody on this computer: chmod o= %[1]s", f.Key)
	}
	if f.CA == "" {
		return s, nil
	}
	text, _, err := read("the list of CAs", f.CA)
	if err != nil {
		return nil, err
	}
	all, err := parse("the list of CAs", f.CA, text)
	if err != nil {
		return nil, err
	}
	s.Clients = x509.NewCertPool()
	for _, c := range all {
		if !c.IsCA {
			s.warn("%s: %q is no CA: certificates of clients that it signed are refused",
				f.CA, c.Subject)
		}
		s.Clients.AddCert(c)
	}
	return s, nil
}

// read returns the text of a file, and its mode.
func read(what, file string) (text []byte, mode fs.FileMode, err error) {
	text, info, err := reread.ReadFile(file, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("%s %s: there is no such file", what, file)
	case errors.Is(err, fs.ErrPermission):
		return nil, 0, fmt.Errorf("%s %s: this user may not read it; give the file to the user "+
			"of the daemon, and let it enter the directory", what, file)
	case errors.Is(err, reread.ErrNotRegular):
		return nil, 0, fmt.Errorf("%s %s is not a file", what, file)
	case errors.Is(err, reread.ErrTooLarge):
		return nil, 0, fmt.Errorf("%s %s is too large for one", what, file)
	case err != nil:
		return nil, 0, fmt.Errorf("%s cannot be read: %w", what, err)
	}
	return text, info.Mode(), nil
}

// parse returns the certificates in a text, at least one.
func parse(what, file string, text []byte) (all []*x509.Certificate, err error) {
	var others []string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			others = append(others, block.Type)
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s %s: certificate %d in it is broken: %w", what, file,
				len(all)+1, err)
		}
		all = append(all, c)
	}
	// pem.Decode skips text between certificates, and so a damaged one as well.
	begun := bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----"))
	switch {
	case len(all) > 0 && begun > len(all):
		return nil, fmt.Errorf("%s %s: %d certificates begin in it, and %d can be read: the "+
			"others are cut off or damaged", what, file, begun, len(all))
	case len(all) > 0:
		return all, nil
	case len(others) > 0:
		return nil, fmt.Errorf(
			"%s %s: there is no certificate in it, but a %s; are two files mixed up?", what,
			file, others[0])
	case len(bytes.TrimSpace(text)) == 0:
		return nil, fmt.Errorf("%s %s: there is no certificate in it: it is empty", what, file)
	}
	return nil, fmt.Errorf("%s %s: there is no certificate in it; it has to be PEM, which begins "+
		"with -----BEGIN CERTIFICATE-----", what, file)
}

// hasKey says what is wrong with a text in which there is no usable key.
func hasKey(file string, text []byte) error {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return fmt.Errorf("the key %s is encrypted, and nobody is there to be asked for the "+
				"password: openssl pkey -in %[1]s -out ... writes it without", file)
		case block.Type == "PRIVATE KEY" ||
			bytes.HasSuffix([]byte(block.Type), []byte(" PRIVATE KEY")):
			return nil
		}
	}
	return fmt.Errorf("the key %s: there is no key in it; it has to be PEM, which begins with "+
		"-----BEGIN PRIVATE KEY----- or RSA PRIVATE KEY", file)
}

// mismatch says why a key and a chain do not belong together.
func mismatch(f Files, chain []*x509.Certificate, keyText []byte, err error) error {
	for i, c := range chain[1:] {
		one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		if _, err := tls.X509KeyPair(one, keyText); err == nil {
			return fmt.Errorf("the certificate %s: the server's own certificate has to be the "+
				"first in it, and is number %d", f.Cert, i+2)
		}
	}
	if hasParsed(keyText) {
		return fmt.Errorf(
			"the key %s is the wrong one: it does not belong to the certificate %s (%q)", f.Key,
			f.Cert, chain[0].Subject)
	}
	return fmt.Errorf("the key %s cannot be used: %w", f.Key, err)
}

// hasParsed reports whether a text has a key that can be parsed.
func hasParsed(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		_, pkcs8 := x509.ParsePKCS8PrivateKey(block.Bytes)
		_, pkcs1 := x509.ParsePKCS1PrivateKey(block.Bytes)
		_, ec := x509.ParseECPrivateKey(block.Bytes)
		if pkcs8 == nil || pkcs1 == nil || ec == nil {
			return true
		}
	}
	return false
}

// inspect finds out when the chain ends, and warns of what does not work for
// every client.
func (s *Set) inspect(chain []*x509.Certificate) {
	leaf := chain[0]
	s.Ends = slices.MinFunc(chain,
		func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
	if _, isRSA := leaf.PublicKey.(*rsa.PublicKey); !isRSA {
		s.warn("the certificate %s has a key of type %s: many builds of iPXE, and much firmware, "+
			"know RSA only", s.Files.Cert, leaf.PublicKeyAlgorithm)
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		s.warn("the certificate %s names no server (subjectAltName): most clients refuse it",
			s.Files.Cert)
	}
	for i, c := range chain[1:] {
		if chain[i].CheckSignatureFrom(c) != nil {
			s.warn("the certificate %s: number %d in it (%q) did not sign number %d (%q), so "+
				"that clients may find no way to their CA",
				s.Files.Cert, i+2, c.Subject, i+1, chain[i].Subject)
			break
		}
	}
}

func (s *Set) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// endsSoon is how long before the end of a certificate the warnings begin.
const endsSoon = 14 * 24 * time.Hour

// Untimely says why the certificate is not valid at a time; "" when it is.
func (s *Set) Untimely(now time.Time) string {
	const form = "2006-01-02 15:04 MST"
	switch end := s.Ends; {
	case !now.Before(end):
		return fmt.Sprintf("the certificate %s expired on %s", s.Files.Cert, end.UTC().Format(form))
	case now.Before(s.Pair.Leaf.NotBefore):
		return fmt.Sprintf("the certificate %s is not valid before %s", s.Files.Cert,
			s.Pair.Leaf.NotBefore.UTC().Format(form))
	}
	return ""
}

// Warnings says what does not work for every client, or not for long.
func (s *Set) Warnings(now time.Time) []string {
	all := slices.Clone(s.warnings)
	switch left := s.Ends.Sub(now); {
	case s.Untimely(now) != "":
		all = append(all, s.Untimely(now)+": clients refuse it")
	case left < 24*time.Hour:
		all = append(all, fmt.Sprintf("the certificate %s ends within a day, on %s", s.Files.Cert,
			s.Ends.UTC().Format("2006-01-02 15:04 MST")))
	case left < endsSoon:
		all = append(all, fmt.Sprintf("the certificate %s ends in %d days, on %s", s.Files.Cert,
			int(left.Hours()/24), s.Ends.UTC().Format(time.DateOnly)))
	}
	return all
}

// Store has the Set that is in force. The zero value has none.
type Store struct {
	Now func() time.Time // nil: time.Now

	mu     sync.Mutex // held while files are read
	set    atomic.Pointer[Set]
	files  Files
	seen   []fs.FileInfo // the files, when they were last read
	failed string        // why they could not be used then
	said   bool          // the caller was told so
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// Set is what is in force, or nil.
func (s *Store) Set() *Set { return s.set.Load() }

// Use puts these files in force. After an error what was in force before stays,
// and Reload looks at the new files.
func (s *Store) Use(f Files) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = f
	err := s.read()
	s.said = true
	return err
}

// Reload reads the files again when they have changed, and reports whether it
// put them in force. Certificate and key are seldom replaced at the same
// moment: an error is returned only if two calls in a row find it, and then
// once.
func (s *Store) Reload() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unchanged := slices.EqualFunc(stat(s.files), s.seen, reread.Same)
	if s.files == (Files{}) || s.failed == "" && unchanged {
		return false, nil
	}
	before := s.failed
	err = s.read()
	switch {
	case err == nil:
		return true, nil
	case err.Error() != before:
		s.said = false
		return false, nil
	case s.said:
		return false, nil
	}
	s.said = true
	return false, err
}

func (s *Store) read() error {
	// Before they are read: what changes meanwhile is read again.
	s.seen, s.failed = stat(s.files), ""
	next, err := Read(s.files)
	if err == nil {
		// An expired certificate is better than none, and a valid one better
		// still.
		old, why := s.set.Load(), next.Untimely(s.now())
		if why != "" && old != nil && old.Untimely(s.now()) == "" && old.Files == next.Files {
			err = errors.New(why)
		}
	}
	if err != nil {
		s.failed = err.Error()
		return err
	}
	s.set.Store(next)
	return nil
}

func stat(f Files) []fs.FileInfo {
	all := make([]fs.FileInfo, 3)
	for i, name := range []string{f.Cert, f.Key, f.CA} {
		if name != "" {
			all[i], _ = os.Stat(name)
		}
	}
	return all
}

// suites are those of TLS 1.2, the best first; TLS 1.3 has its own. By default
// Go leaves out RSA key exchange, and CBC with SHA-256. But older builds of
// iPXE, which have no elliptic curves, share nothing else with Go, which has no
// DHE.
var suites = []uint16{
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
	tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA,
}

// Config is for a server that uses what is in force at each handshake: TLS 1.2,
// which is all that iPXE has, or 1.3, with HTTP/1.1. With clients it requires a
// certificate from the CA file. It never merely requests one, since that ends
// the handshake of an iPXE from before 2025 (github.com/ipxe/ipxe/issues/1431).
func (s *Store) Config(clients bool) *tls.Config {
	base := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		CipherSuites: suites,
		// An order is confirmed by what its TCP connection has acknowledged,
		// and HTTP/2 hides the connection.
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if set := s.set.Load(); set != nil {
				return &set.Pair, nil
			}
			return nil, errors.New("there is no certificate")
		},
	}
	if !clients {
		return base
	}
	base.ClientAuth = tls.RequireAndVerifyClientCert
	base.ClientCAs = x509.NewCertPool() // none, until the list is read
	base.SessionTicketsDisabled = true  // a CA that was removed must not live on in tickets
	config := base.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		if set := s.set.Load(); set != nil && set.Clients != nil {
			c.ClientCAs = set.Clients
		}
		return c, nil
	}
	return config
}
