//go:build linux

package cert

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/pki"
)

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRead: each thing that is wrong has words of its own, and the file's name
// is in them.
func TestRead(t *testing.T) {
	lab.Needs(t, "openssl")
	ca := pki.NewCA(t, "site")
	cert, key := ca.Issue(pki.Certificate{})
	ecCert, ecKey := ca.Issue(pki.Certificate{ECDSA: true})
	encrypted, err := exec.Command("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
		"ec_paramgen_curve:P-256", "-aes128", "-pass", "pass:x").Output()
	if err != nil {
		t.Fatalf("openssl: %v (run 'make deps')", err)
	}
	for _, test := range []struct {
		name          string
		cert, key, ca []byte // nil: there is no such file
		want          string // "" : nothing is wrong
	}{
		{"fine", cert, key, nil, ""},
		{"fine with CAs", cert, key, ca.PEM(), ""},
		{"chain", bytes.Join([][]byte{cert, ca.PEM()}, nil), key, nil, ""},
		{"no certificate", nil, key, nil, "the certificate $DIR/cert: there is no such file"},
		{"no key", cert, nil, nil, "the key $DIR/key: there is no such file"},
		{"empty", []byte("\n"), key, nil,
			"the certificate $DIR/cert: there is no certificate in it: it is empty"},
		{"binary", []byte{0x30, 0x82, 1, 2}, key, nil, "it has to be PEM"},
		{"mixed up", key, cert, nil,
			"there is no certificate in it, but a PRIVATE KEY; are two files mixed up?"},
		{"certificate as key", cert, cert, nil, "the key $DIR/key: there is no key in it"},
		{"encrypted", cert, encrypted, nil, "the key $DIR/key is encrypted"},
		{"wrong key", cert, ecKey, nil, "the key $DIR/key is the wrong one: it does not belong " +
			"to the certificate $DIR/cert (\"CN=server\")"},
		{"broken key", cert, bytes.Replace(key, []byte("MII"), []byte("MIX"), 1), nil,
			"the key $DIR/key cannot be used"},
		{"broken certificate", bytes.Replace(cert, []byte("MII"), []byte("MIX"), 1), key, nil,
			"the certificate $DIR/cert: certificate 1 in it is broken"},
		{"cut off", bytes.Join([][]byte{cert, ca.PEM()[:200]}, nil), key, nil,
			"the certificate $DIR/cert: 2 certificates begin in it, and 1 can be read"},
		{"CAs with a broken one", cert, key,
			bytes.Join([][]byte{ca.PEM(), bytes.Replace(cert, []byte("MII"), []byte("M*I"), 1),
				ca.PEM()}, nil),
			"the list of CAs $DIR/ca: 3 certificates begin in it, and 2 can be read"},
		{"CA first", bytes.Join([][]byte{ca.PEM(), ecCert}, nil), ecKey, nil,
			"the server's own certificate has to be the first in it, and is number 2"},
		{"no CA in the list", cert, key, []byte("# none\n"),
			"the list of CAs $DIR/ca: there is no certificate in it"},
	} {
		dir := t.TempDir()
		f := Files{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
		if test.cert != nil {
			write(t, f.Cert, test.cert)
		}
		if test.key != nil {
			write(t, f.Key, test.key)
		}
		if test.ca != nil {
			f.CA = filepath.Join(dir, "ca")
			write(t, f.CA, test.ca)
		}
		_, err := Read(f)
		want := strings.ReplaceAll(test.want, "$DIR", dir)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", test.name, err, want)
		}
	}
	if _, err := Read(Files{Cert: t.TempDir(), Key: "/dev/null"}); err == nil ||
		!strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a directory: %v", err)
	}
}

// TestRead_Swapped reads while the key's name leads to a file, to another with
// other rights, and to a pipe that nobody writes to, in turn. What is said of
// it is true of one of them, and reading waits for nobody.
func TestRead_Swapped(t *testing.T) {
	cert, key := pki.NewCA(t, "site").Files(pki.Certificate{})
	dir := filepath.Dir(key)
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	private, open, pipe, next := filepath.Join(dir, "private"), filepath.Join(dir, "open"),
		filepath.Join(dir, "pipe"), filepath.Join(dir, "next")
	write(t, private, text)
	write(t, open, []byte("no key"))
	if err := errors.Join(os.Chmod(open, 0o644), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	stop, swapped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			for _, to := range []string{private, open, private, pipe} {
				if err := errors.Join(os.Link(to, next), os.Rename(next, key)); err != nil {
					swapped <- err
					return
				}
			}
			select {
			case <-stop:
				swapped <- nil
				return
			default:
			}
		}
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for range 3000 {
			s, err := Read(Files{Cert: cert, Key: key})
			switch {
			case err == nil && len(s.Warnings(time.Now())) > 0:
				t.Errorf("of a key that nobody else can read: %q", s.Warnings(time.Now()))
			case err != nil && !strings.Contains(err.Error(), "is not a file") &&
				!strings.Contains(err.Error(), "there is no key in it"):
				t.Errorf("%v", err)
			}
			if t.Failed() {
				return
			}
		}
	}()
	select {
	case <-read:
	case <-time.After(time.Minute):
		t.Error("reading waits for somebody who writes into the pipe")
	}
	close(stop)
	if err := <-swapped; err != nil {
		t.Error(err)
	}
}

// TestRead_Rights: a file that this user may not read. Root may read
// everything, so one thread becomes somebody else.
func TestRead_Rights(t *testing.T) {
	cert, key := pki.NewCA(t, "site").Files(pki.Certificate{})
	for name, mode := range map[string]os.FileMode{cert: 0o644, key: 0, filepath.Dir(cert): 0o755,
		filepath.Dir(filepath.Dir(cert)): 0o755} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if os.Getuid() == 0 {
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Fatal(err)
		}
		defer unix.SetfsuidRetUid(0)
	}
	if _, err := Read(Files{Cert: cert, Key: key}); err == nil ||
		!strings.Contains(err.Error(), "the key "+key+": this user may not read it") {
		t.Errorf("%v", err)
	}
}

// TestWarnings says what works, but not for everybody, or not for long.
func TestWarnings(t *testing.T) {
	ca, other := pki.NewCA(t, "site"), pki.NewCA(t, "other")
	day := 24 * time.Hour
	for _, test := range []struct {
		name string
		want pki.Certificate
		more []byte // of the chain
		mode os.FileMode
		say  string // "": nothing
	}{
		{"fine", pki.Certificate{}, nil, 0o600, ""},
		{"fifteen days", pki.Certificate{Ends: 15*day + time.Hour}, nil, 0o600, ""},
		{"thirteen days", pki.Certificate{Ends: 13*day + time.Hour}, nil, 0o600,
			"ends in 13 days, on "},
		{"hours", pki.Certificate{Ends: time.Hour}, nil, 0o600, "ends within a day, on "},
		{"expired", pki.Certificate{Ends: -time.Hour}, nil, 0o600, "expired on "},
		{"early", pki.Certificate{Begins: time.Hour}, nil, 0o600, "is not valid before "},
		{"ECDSA", pki.Certificate{ECDSA: true}, nil, 0o600,
			"has a key of type ECDSA: many builds of iPXE"},
		{"no names", pki.Certificate{Hosts: []string{}}, nil, 0o600,
			"names no server (subjectAltName)"},
		{"gap in the chain", pki.Certificate{}, other.PEM(), 0o600,
			`number 2 in it ("CN=other") did not sign number 1 ("CN=server")`},
		{"open key", pki.Certificate{}, nil, 0o644, "can be read by everybody on this computer"},
	} {
		cert, key := ca.Files(test.want)
		text, _ := os.ReadFile(cert)
		write(t, cert, append(text, test.more...))
		os.Chmod(key, test.mode)
		s, err := Read(Files{Cert: cert, Key: key})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		all := s.Warnings(time.Now())
		if test.say == "" && len(all) > 0 || test.say != "" &&
			(len(all) != 1 || !strings.Contains(all[0], test.say)) {
			t.Errorf("%s: %q, want one with %q", test.name, all, test.say)
		}
	}
}

// TestLook: a certificate that was renewed is in force, in every way in which
// tools replace files. What cannot be used replaces nothing, and is told of
// once.
func TestLook(t *testing.T) {
	ca := pki.NewCA(t, "site")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	// As Kubernetes mounts a secret: links into a folder behind a link, which
	// is swapped.
	generation := func(name string, want pki.Certificate) {
		cert, key := ca.Issue(want)
		if err := os.Mkdir(at(name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, at(name+"/tls.crt"), cert)
		write(t, at(name+"/tls.key"), key)
		os.Symlink(name, at("..next"))
		if err := os.Rename(at("..next"), at("..data")); err != nil {
			t.Fatal(err)
		}
	}
	generation("..one", pki.Certificate{Name: "one"})
	os.Symlink("..data/tls.crt", at("tls.crt"))
	os.Symlink("..data/tls.key", at("tls.key"))
	var s Store
	if _, err := s.Reload(); err != nil {
		t.Errorf("a store without files: %v", err)
	}
	if err := s.Use(Files{Cert: at("tls.crt"), Key: at("tls.key")}); err != nil {
		t.Fatal(err)
	}
	look := func(wantChanged bool, wantName, wantErr string) {
		t.Helper()
		changed, err := s.Reload()
		if name := s.Set().Pair.Leaf.Subject.CommonName; changed != wantChanged ||
			name != wantName {
			t.Errorf("changed %v with %s in force, want %v with %s", changed, name,
				wantChanged, wantName)
		}
		if (wantErr == "") != (err == nil) ||
			err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("error %v, want %q", err, wantErr)
		}
	}
	look(false, "one", "")
	generation("..two", pki.Certificate{Name: "two"})
	look(true, "two", "")
	look(false, "two", "")

	// The certificate comes before its key: no word of it when the key is there
	// in time.
	cert, key := ca.Issue(pki.Certificate{Name: "three", ECDSA: true})
	os.WriteFile(at("..two/tls.crt"), cert, 0o600)
	look(false, "two", "")
	os.WriteFile(at("..two/tls.key"), key, 0o600)
	look(true, "three", "")

	// It stays wrong: said once, until it is right.
	cert, key = ca.Issue(pki.Certificate{Name: "four"})
	os.WriteFile(at("..two/tls.crt"), cert, 0o600)
	look(false, "three", "")
	look(false, "three", "the wrong one")
	look(false, "three", "")
	os.Remove(at("..two/tls.key"))
	look(false, "three", "")
	look(false, "three", "there is no such file")
	look(false, "three", "")
	os.WriteFile(at("..two/tls.key"), key, 0o600)
	look(true, "four", "")

	// One that counts is not replaced by one that does not, and the other way
	// round it is.
	generation("..five", pki.Certificate{Name: "five", Ends: -time.Hour})
	look(false, "four", "")
	look(false, "four", "expired on ")
	late := time.Now().Add(400 * 24 * time.Hour)
	s.Now = func() time.Time { return late } // now neither counts
	look(true, "five", "")
}
