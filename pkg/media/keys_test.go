package media_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pxesrv/pkg/media"
)

const (
	keyA = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	keyB = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
)

func writeKeys(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "iso.keys")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func openKeys(t *testing.T, text string) *media.Keys {
	t.Helper()
	k, err := media.OpenKeys(writeKeys(t, text, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestKeys: a signature is the HMAC that the documentation names, holds for one
// name and one end, and verifies by each key.
func TestKeys(t *testing.T) {
	both, a, b := openKeys(t, "# two\r\n\r\n  "+strings.ToUpper(keyA)+" \n"+keyB),
		openKeys(t, keyA+"\n"), openKeys(t, keyB+"\n")
	raw, _ := hex.DecodeString(keyA)
	h := hmac.New(sha256.New, raw)
	h.Write([]byte("pxesrv host\x00web1"))
	if want := hex.EncodeToString(h.Sum(nil)[:16]); a.Sign("web1") != want ||
		both.Query("web1") != "hostsig="+want {
		t.Errorf("%s and %s, want %s", a.Sign("web1"), both.Query("web1"), want)
	}
	for what, ok := range map[string]bool{
		"by the first":  both.Verify("web1", a.Sign("web1")),
		"by the second": both.Verify("web1", b.Sign("web1")),
		"upper case":    both.Verify("web1", strings.ToUpper(b.Sign("web1"))),
		"capability":    both.Opens("web1", b.Capability("web1")),
	} {
		if !ok {
			t.Errorf("%s: refused", what)
		}
	}
	for what, ok := range map[string]bool{
		"another key":        a.Verify("web1", b.Sign("web1")),
		"another name":       a.Verify("web2", a.Sign("web1")),
		"another case":       a.Verify("WEB1", a.Sign("web1")),
		"nothing":            a.Verify("web1", ""),
		"cut":                a.Verify("web1", a.Sign("web1")[:30]),
		"longer":             a.Verify("web1", a.Sign("web1")+"00"),
		"the URL's":          a.Verify("web1", a.Capability("web1")),
		"signature as URL":   a.Opens("web1", a.Sign("web1")),
		"URL of another":     a.Opens("web2", a.Capability("web1")),
		"URL of another key": a.Opens("web1", b.Capability("web1")),
	} {
		if ok {
			t.Errorf("%s: taken", what)
		}
	}
}

// TestKeys_Refused: a file that is no key file is refused with what to do, and
// without its text.
func TestKeys_Refused(t *testing.T) {
	for text, why := range map[string]string{
		"": "has no key", "# only\n": "has no key", keyA[:62] + "\n": "line 1: is no key",
		"\n" + keyA + "00\n": "line 2: is no key", keyA + "\n" + keyA[:63] +
			"g\n": "line 2: is no key",
		strings.Repeat(keyA+"\n", 17): "more than 16 keys",
		strings.Repeat("#", 1<<16+1):  "too large",
	} {
		_, err := media.OpenKeys(writeKeys(t, text, 0o600))
		if err == nil || !strings.Contains(err.Error(), why) ||
			!strings.Contains(err.Error(), "iso.keys") {
			t.Errorf("%.20q: %v, want %s", text, err, why)
		} else if strings.Contains(err.Error(), keyA[:20]) {
			t.Errorf("the error has the key: %v", err)
		}
	}
	if _, err := media.OpenKeys(filepath.Join(t.TempDir(), "none")); !errors.Is(err,
		fs.ErrNotExist) || !strings.Contains(err.Error(), "pxesrv iso keygen") {
		t.Error(err)
	}
	if _, err := media.OpenKeys(t.TempDir()); err == nil {
		t.Error("a directory was taken")
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o601, 0o644, 0o666} {
		if _, err := media.OpenKeys(writeKeys(t, keyA, mode)); err == nil ||
			!strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%o: %v", mode, err)
		}
	}
	if _, err := media.OpenKeys(writeKeys(t, keyA, 0o400)); err != nil {
		t.Error(err)
	}
}

// TestNewKey: a new key is made for its owner alone, never over another, and
// comes first in a rotation.
func TestNewKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "iso.keys")
	if err := media.NewKey(file, false); err != nil {
		t.Fatal(err)
	}
	first, err := media.OpenKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := media.NewKey(file, false); err == nil || !strings.Contains(err.Error(), "--rotate") {
		t.Errorf("a key was replaced: %v", err)
	}
	if err := media.NewKey(file, true); err != nil {
		t.Fatal(err)
	}
	both, err := media.OpenKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	if both.Len() != 2 || both.Sign("a") == first.Sign("a") || !both.Verify("a", first.Sign("a")) ||
		first.Verify("a", both.Sign("a")) {
		t.Errorf("%d keys", both.Len())
	}
	if err := os.WriteFile(file, []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := media.NewKey(file, true); err == nil {
		t.Error("a file that is no key file was written over")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
