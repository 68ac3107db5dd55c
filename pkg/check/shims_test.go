//go:build linux

package check

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"
)

// program is a program for UEFI with a text in it, signed or not.
func program(signed bool, text string) string {
	b := make([]byte, 0x40+24+112+16*8)
	copy(b, pe)
	binary.LittleEndian.PutUint16(b[0x40+24:], 0x20b)
	if signed {
		binary.LittleEndian.PutUint32(b[0x40+24+112+4*8+4:], 100)
	}
	return string(b) + text
}

// TestShims: what a shim starts has to be beside it, and signed, or firmware
// with Secure Boot boots nothing.
func TestShims(t *testing.T) {
	shim := func(starts string) string {
		var wide []byte
		for _, c := range utf16.Encode([]rune(`\mmx64.efi` + "\x00" + starts + "\x00")) {
			wide = append(wide, byte(c), byte(c>>8))
		}
		return program(true, "\x00\x00"+string(wide))
	}
	debian, ipxes := shim(`\\grubx64.efi`), shim("ipxe.efi")
	signed, unsigned := program(true, "iPXE\x00"), program(false, "iPXE\x00")
	for _, test := range []struct {
		name   string
		files  map[string]string
		distro string // ipxe.efi of the distribution
		want   []string
	}{
		{"Debian's, alone", map[string]string{"shimx64.efi": debian}, "",
			[]string{"ipxe/shimx64.efi:0 warning loader"}},
		{"Debian's, beside the iPXE of another name", map[string]string{"shimx64.efi": debian,
			"ipxe.efi": signed}, "",
			[]string{"ipxe/shimx64.efi:0 warning loader", "ipxe:0 note loader"}},
		{"Debian's, beside what it starts", map[string]string{"shimx64.efi": debian,
			"grubx64.efi": signed}, "",
			[]string{"ipxe/shimx64.efi:0 note loader", "ipxe:0 note loader"}},
		{"Debian's, beside what is not signed", map[string]string{"shimx64.efi": debian,
			"grubx64.efi": unsigned}, "",
			[]string{"ipxe/shimx64.efi:0 warning loader", "ipxe:0 note loader"}},
		{"iPXE's, beside the iPXE of its name alone", map[string]string{"snponly-shim.efi": ipxes,
			"snponly.efi": signed}, "",
			[]string{"ipxe/snponly-shim.efi:0 note loader",
				"ipxe/snponly-shim.efi:0 warning loader", "ipxe:0 note loader"}},
		{"iPXE's, and some firmware would get the distribution's",
			map[string]string{"snponly-shim.efi": ipxes, "snponly.efi": signed}, unsigned,
			[]string{"ipxe/snponly-shim.efi:0 note loader",
				"ipxe/snponly-shim.efi:0 warning loader", "ipxe:0 note loader",
				"PACKAGE:0 note loader"}},
		{"iPXE's, beside both", map[string]string{"snponly-shim.efi": ipxes, "snponly.efi": signed,
			"ipxe.efi": signed}, "",
			[]string{"ipxe/snponly-shim.efi:0 note loader", "ipxe/snponly-shim.efi:0 note loader",
				"ipxe:0 note loader"}},
		{"iPXE's, of the name ipxe", map[string]string{"ipxe-shim.efi": ipxes, "ipxe.efi": signed},
			"",
			[]string{"ipxe/ipxe-shim.efi:0 note loader", "ipxe:0 note loader"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRoom(t)
			r.write("default", good)
			for name, body := range test.files {
				r.write("ipxe/"+name, body)
			}
			dir := t.TempDir()
			if test.distro != "" {
				r.must(os.WriteFile(filepath.Join(dir, "ipxe.efi"), []byte(test.distro), 0o644))
			}
			r.config.LoaderDirs = []string{dir}
			for i, w := range test.want {
				if w == "PACKAGE:0 note loader" {
					test.want[i] = fmt.Sprintf("%s:0 note loader", dir)
				}
			}
			all, err := Tree(t.Context(), r.config, Options{})
			r.must(err)
			got := r.short(all)
			counts := map[string]int{}
			for _, g := range got {
				counts[g]++
			}
			for _, w := range test.want {
				counts[w]--
			}
			for line, n := range counts {
				if n != 0 {
					t.Errorf("%s: %d more than expected", line, n)
				}
			}
		})
	}
}
