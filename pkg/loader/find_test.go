package loader

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	for path, want := range map[string]string{
		"/ipxe.efi": "ipxe.efi", "/ipxe/ipxe.efi": "ipxe.efi", "/undionly.kpxe": "undionly.kpxe",
		"/ipxe/snponly-shim.efi": "snponly-shim.efi",
		"/x/ipxe.efi":            "", "/ipxe/ipxe/ipxe.efi": "", "/ipxe": "", "/ipxe/": "", "/": "",
		"/default": "", "/IPXE.EFI": "",
	} {
		if got := Name(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// TestShims: each shim that is served is one that a DHCP server can hand out,
// and the other way round.
func TestShims(t *testing.T) {
	for name := range names {
		if strings.Contains(name, "shim") != slices.Contains(Shims, name) {
			t.Errorf("%s is in one of names and Shims", name)
		}
	}
	for _, name := range Shims {
		if Name("/ipxe/"+name) != name {
			t.Errorf("%s is not served", name)
		}
	}
}

// TestOpen: ipxe/ of the root, the root, then the folders in their order, each
// under the names of its distribution.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	open := func(path string) (*os.File, error) {
		f, err := os.Open(filepath.Join(dir, "root", path))
		if errors.Is(err, fs.ErrNotExist) {
			err = fs.ErrNotExist
		}
		return f, err
	}
	dirs := []string{filepath.Join(dir, "gone"), filepath.Join(dir, "debian"),
		filepath.Join(dir, "fedora")}
	expect := func(name, want string) {
		t.Helper()
		f, err := Open(name, dirs, open)
		if want == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: error %v", name, err)
			}
			return
		}
		if err != nil {
			t.Errorf("%s: %v, want %s", name, err, want)
			return
		}
		defer f.Close()
		if body, _ := io.ReadAll(f); string(body) != want {
			t.Errorf("%s: %s, want %s", name, body, want)
		}
	}
	expect("ipxe.efi", "")
	write("fedora/ipxe-x86_64.efi")
	write("fedora/arm64-efi/snponly.efi")
	expect("ipxe.efi", "fedora/ipxe-x86_64.efi")
	expect("snponly-arm64.efi", "fedora/arm64-efi/snponly.efi")
	expect("snponly.efi", "")
	// a folder is none
	if err := os.MkdirAll(filepath.Join(dir, "debian/ipxe.efi"), 0o755); err != nil {
		t.Fatal(err)
	}
	expect("ipxe.efi", "fedora/ipxe-x86_64.efi")
	if err := os.Remove(filepath.Join(dir, "debian/ipxe.efi")); err != nil {
		t.Fatal(err)
	}
	write("debian/ipxe.efi")
	expect("ipxe.efi", "debian/ipxe.efi")
	write("root/ipxe.efi")
	expect("ipxe.efi", "root/ipxe.efi")
	write("root/ipxe/ipxe.efi")
	expect("ipxe.efi", "root/ipxe/ipxe.efi")

	broken := errors.New("input/output error")
	if _, err := Open("ipxe.efi", dirs, func(string) (*os.File, error) {
		return nil, broken
	}); !errors.Is(err, broken) {
		t.Errorf("a tree that cannot be read: error %v", err)
	}
}
