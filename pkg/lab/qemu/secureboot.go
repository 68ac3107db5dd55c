//go:build linux

package qemu

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The key that the package ovmf has for tests, and its pass phrase, which is no
// secret; the firmware of VM.SecureBoot knows the certificate.
const (
	snakeoilKey  = "/usr/share/ovmf/PkKek-1-snakeoil.key"
	snakeoilCert = "/usr/share/ovmf/PkKek-1-snakeoil.pem"
	snakeoilWord = "snakeoil"
)

// Sign signs a program for UEFI, so that the firmware of VM.SecureBoot starts
// it. It returns the signed copy, in a folder of the test.
func Sign(t testing.TB, program string) string {
	t.Helper()
	dir := t.TempDir()
	key, signed := filepath.Join(dir, "key.pem"), filepath.Join(dir, filepath.Base(program))
	for _, line := range [][]string{
		{"openssl", "rsa", "-in", snakeoilKey, "-passin", "pass:" + snakeoilWord, "-out", key},
		{"sbsign", "--key", key, "--cert", snakeoilCert, "--output", signed, program},
	} {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("lab: %s: %v (run 'make deps')\n%s", line[0], err, out)
		}
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	return signed
}
