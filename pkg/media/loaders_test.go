//go:build linux

package media_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/iso"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/media"
)

// today is the loader files with iPXE of today, which boots by BIOS and by
// UEFI.
func today(t testing.TB) media.LoaderPaths {
	return media.LoaderPaths{LKRN: lab.IPXE(t, "ipxe.lkrn"), EFI: lab.IPXE(t, "ipxe.efi")}
}

func open(t testing.TB) *media.Loaders {
	t.Helper()
	k, err := media.Open(today(t))
	if err != nil {
		t.Fatalf("%v: run 'make deps'", err)
	}
	return k
}

// host is the host number n of a list.
func host(name string, n int) ipxe.Host {
	return ipxe.Host{
		Name: name,
		Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.1.%d.%d/16",
			n/200, n%200+2))},
		Servers: []string{"http://10.1.0.1:4567"},
	}
}

// debianShim is a real one, not signed.
const debianShim = "/usr/lib/shim/shimx64.efi"

// fakeShim makes a program out of an iPXE that looks like a shim which starts
// another program.
func fakeShim(t *testing.T, name, from, starts string) (file string) {
	t.Helper()
	body, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	body = bytes.ReplaceAll(body, []byte("iPXE"), []byte("SHIM"))
	// its own name
	body = bytes.ReplaceAll(body, []byte("i\x00p\x00x\x00e\x00.\x00"),
		[]byte("s\x00h\x00i\x00m\x00.\x00"))
	for _, c := range utf16.Encode([]rune("\x00" + starts + "\x00")) {
		body = append(body, byte(c), byte(c>>8))
	}
	file = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestLoaders: which files make which ways to boot, and what is said of those
// that do not.
func TestLoaders(t *testing.T) {
	const old = "/usr/lib/ipxe/ipxe.efi"
	arm := lab.IPXE(t, "ipxe-arm64.efi")
	missing := filepath.Join(t.TempDir(), "missing")
	damaged := filepath.Join(t.TempDir(), "ipxe.lkrn")
	if err := os.WriteFile(damaged, []byte("no kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	armShim := fakeShim(t, "shimaa64.efi", arm, `\\grubaa64.efi`)
	silent := fakeShim(t, "silent.efi", lab.IPXE(t, "ipxe.efi"), "nothing")
	long := fakeShim(t, "long.efi", lab.IPXE(t, "ipxe.efi"), `\systemd-bootx64.efi`)
	for _, test := range []struct {
		name    string
		change  func(f *media.LoaderPaths)
		lacking []string // patterns
	}{
		{"all", func(f *media.LoaderPaths) {}, nil},
		{"iPXE of 2019", func(f *media.LoaderPaths) { f.EFI = old },
			[]string{`^no boot by UEFI: /usr/lib/ipxe/ipxe.efi is iPXE 1\.0\.0\S* for UEFI, which does not read autoexec.ipxe and would ask DHCP instead; take that of Debian 13's package ipxe$`}},
		{"snponly.efi of 2019", func(f *media.LoaderPaths) { f.EFI = "/usr/lib/ipxe/snponly.efi" },
			[]string{`^no boot by UEFI: .* is snponly.efi: it knows only the card`}},
		{"snponly.efi of today", func(f *media.LoaderPaths) { f.EFI = lab.IPXE(t, "snponly.efi") },
			[]string{`^no boot by UEFI: .* is snponly.efi: it knows only the card`}},
		{"no iPXE", func(f *media.LoaderPaths) { f.EFI = "/usr/lib/ISOLINUX/isolinux.bin" },
			[]string{`^no boot by UEFI: .*isolinux.bin is no iPXE for UEFI$`}},
		{"another processor", func(f *media.LoaderPaths) { f.EFI = arm },
			[]string{`^no boot by UEFI: ipxe.efi: is a program for 64-bit ARM, not for x86-64 \(of `}},
		{"ARM", func(f *media.LoaderPaths) { f.EFIARM64 = arm }, nil},
		{"no ARM", func(f *media.LoaderPaths) { f.EFIARM64 = f.EFI },
			[]string{`^no boot by UEFI on ARM: ipxe.efi for ARM: is a program for x86-64`}},
		{"a damaged one", func(f *media.LoaderPaths) { f.LKRN = damaged },
			[]string{`^no boot by BIOS: ipxe.lkrn: is no ipxe.lkrn`}},
		{"a missing one", func(f *media.LoaderPaths) { f.LKRN = missing },
			[]string{`^no boot by BIOS: ipxe.lkrn cannot be read: .*missing`}},
		{"two missing ones", func(f *media.LoaderPaths) {
			f.ISOLINUX, f.ISOHDPFX = missing, missing
		}, []string{`^no boot by BIOS: isolinux.bin cannot .*; isohdpfx.bin cannot`}},
		{"nothing", func(f *media.LoaderPaths) { f.LKRN, f.EFI = missing, missing },
			[]string{`^no boot by BIOS`, `^no boot by UEFI`}},
		{"a shim", func(f *media.LoaderPaths) { f.Shim = debianShim }, nil},
		{"a shim for ARM", func(f *media.LoaderPaths) { f.Shim, f.EFIARM64 = armShim, arm }, nil},
		{"a shim for ARM, and no iPXE for ARM", func(f *media.LoaderPaths) { f.Shim = armShim },
			[]string{`^no boot by UEFI on ARM: the shim for ARM boots nothing without ipxe.efi for ARM`}},
		{"iPXE as shim", func(f *media.LoaderPaths) { f.Shim = f.EFI },
			[]string{`^no boot by UEFI: \S+/ipxe.efi is iPXE itself; a shim is what starts it$`}},
		{"a shim that starts nothing that can be told", func(f *media.LoaderPaths) {
			f.Shim = silent
		},
			[]string{`^no boot by UEFI: .*silent.efi is no shim that an image can have: which program it starts does not stand in it$`}},
		{"a shim that starts a long name", func(f *media.LoaderPaths) { f.Shim = long },
			[]string{`^no boot by UEFI: the shim starts "systemd-bootx64.efi", and an image has room`}},
		{"no shim", func(f *media.LoaderPaths) { f.Shim = missing },
			[]string{`^no boot by UEFI: shim cannot be read`}},
	} {
		f := today(t)
		test.change(&f)
		k, err := media.Open(f)
		got := k.Missing()
		if (err != nil) != (len(got) == 2) { // none is left
			t.Errorf("%s: %v", test.name, err)
		}
		if len(got) != len(test.lacking) {
			t.Errorf("%s: %q, want %q", test.name, got, test.lacking)
			continue
		}
		for i, want := range test.lacking {
			if !regexp.MustCompile(want).MatchString(got[i]) {
				t.Errorf("%s: %q, want %q", test.name, got[i], want)
			}
		}
		_, notes, err := k.Image(host("a", 0), false)
		// The shims here are not signed, nor is what they start.
		if f.Shim != "" && len(got) == 0 && (len(notes) != 1 ||
			!strings.Contains(notes[0], "with Secure Boot on it is refused: ")) {
			t.Errorf("%s: notes %q", test.name, notes)
		} else if f.Shim != "" {
			notes = nil
		}
		if (err != nil) != (len(got) > 0) || len(notes) > 0 {
			t.Errorf("%s: image: notes %q, error %v", test.name, notes, err)
		}
		m, notes, err := k.Image(host("a", 0), true)
		if (err != nil) != (len(got) == 2) || err == nil && f.Shim == "" &&
			!slices.Equal(notes, got) {
			t.Errorf("%s: partial image: notes %q, error %v", test.name, notes, err)
		}
		if err != nil {
			continue
		}
		info, err := iso.Inspect(m, m.Size())
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for _, w := range k.Firmwares() {
			if boots := w.Name == "BIOS" && info.BIOS && info.BIOSStick || w.Name != "BIOS" &&
				info.UEFI && info.UEFIStick; w.Why == "" && !boots {
				t.Errorf("%s: the image does not boot by %s", test.name, w.Name)
			} else if w.Why != "" && w.Name == "BIOS" && info.BIOS {
				t.Errorf("%s: the image has what cannot boot", test.name)
			}
		}
	}
}

// TestKitSearch: files are looked for in the folders that are named, and then
// where distributions have them; what is nowhere is said with the package that
// has it.
func TestKitSearch(t *testing.T) {
	k, err := media.Open(media.LoaderPaths{Dirs: []string{filepath.Dir(lab.IPXE(t, "ipxe.efi"))}})
	if err != nil {
		t.Fatal(err)
	}
	for name, where := range map[string]string{
		"ipxe.efi": filepath.Dir(lab.IPXE(t, "ipxe.efi")), "isolinux.bin": "/usr/lib/ISOLINUX",
		"ldlinux.c32": "/usr/lib/syslinux/modules/bios",
	} {
		i := slices.IndexFunc(k.Files(), func(f *media.File) bool { return f.Name == name })
		if got := k.Files()[i].Path; filepath.Dir(got) != where {
			t.Errorf("%s was found at %s, not in %s", name, got, where)
		}
	}
	if v := k.Files()[0].SYSLINUX; !regexp.MustCompile(`^ISOLINUX 6\.\d\d \d{8}$`).MatchString(v) {
		t.Errorf("isolinux.bin has version %q", v)
	}
}

// TestLoadersHost: what a host needs decides which ways to boot its image has.
func TestLoadersHost(t *testing.T) {
	f := today(t)
	f.LKRN = "/usr/lib/ipxe/ipxe.lkrn" // of 2019: it knows no VLAN
	k, err := media.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	h := host("a", 0)
	if _, _, err := k.Image(h, false); err != nil {
		t.Errorf("a plain host: %v", err)
	}
	h.VLAN = 5
	const want = "no boot by BIOS: iPXE 1.0.0+git-20190125.36a4c85-5.1 for BIOS knows no VLANs, " +
		"and the host is in VLAN 5; take that of Debian 13's package ipxe"
	if _, _, err := k.Image(h, false); err == nil || err.Error() != want {
		t.Errorf("a VLAN: %v, want %s", err, want)
	}
	m, notes, err := k.Image(h, true)
	if err != nil || !slices.Equal(notes, []string{want}) {
		t.Fatalf("partial: notes %q, error %v", notes, err)
	}
	if info, err := iso.Inspect(m, m.Size()); err != nil || info.BIOS || info.BIOSStick ||
		!info.UEFI {
		t.Errorf("the partial image: %+v, %v", info, err)
	}
	h.VLAN = 5000
	var field *ipxe.FieldError
	if _, _, err := k.Image(h, true); !errors.As(err, &field) || field.Field != "vlan" {
		t.Errorf("a wrong VLAN: %v", err)
	}
}

// TestLoadersStale: loaders know when its files are others.
func TestLoadersStale(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ipxe.lkrn", "ipxe.efi"} {
		body, err := os.ReadFile(lab.IPXE(t, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), body, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "ipxe.efi")
	for name, change := range map[string]func() error{
		"touched": func() error { return os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)) },
		"gone":    func() error { return os.Remove(path) },
		"replaced": func() error {
			return errors.Join(os.WriteFile(path+".new", nil, 0o600), os.Chtimes(path+".new",
				time.Time{}, stat(t, dir, "ipxe.efi").ModTime()), os.Rename(path+".new", path))
		},
	} {
		if _, err := os.Stat(path); err != nil && os.WriteFile(path, nil, 0o600) != nil {
			t.Fatal(err)
		}
		k, err := media.Open(media.LoaderPaths{Dirs: []string{dir}})
		if err != nil {
			t.Fatal(err)
		}
		if k.Stale() {
			t.Errorf("%s: stale before that", name)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if !k.Stale() {
			t.Errorf("%s: not stale", name)
		}
	}
}

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{"web1": "web1.iso",
		"52:54:00:12:34:56": "52-54-00-12-34-56.iso", "2001:db8::1": "2001-db8--1.iso"} {
		if got := media.FileName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
