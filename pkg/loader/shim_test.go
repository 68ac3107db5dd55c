//go:build linux

package loader

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// wide is texts in UTF-16, each with a zero at its end.
func wide(texts ...string) string {
	var b []byte
	for _, t := range texts {
		for _, c := range utf16.Encode([]rune(t + "\x00")) {
			b = append(b, byte(c), byte(c>>8))
		}
	}
	return string(b)
}

// What stands in every shim beside the name of what it starts, in that of
// Debian 12.
var ofShims = []string{`\fbx64.efi`, `Could not get image for bootx64.efi: %r`,
	`\EFI\BOOT\fbx64.efi`, `\mmx64.efi`, `revocations.efi`,
	`shim_certificate.efi`, `\mmx64.efi`, `add-symbol-file /usr/lib/debug/shimx64.efi.debug 0x%08x`}

// TestStarts: a shim is known by what its own file says, whoever made it.
func TestStarts(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want string
		ipxe bool
	}{
		"Debian's, with two backslashes": {wide(append(ofShims, `\\grubx64.efi`)...),
			"grubx64.efi", false},
		"with one": {wide(append([]string{`\grubx64.efi`}, ofShims...)...),
			"grubx64.efi", false},
		"openSUSE's": {wide(append(ofShims, `\grub.efi`)...),
			"grub.efi", false},
		"for ARM": {wide(`\fbaa64.efi`, `\mmaa64.efi`, `\\grubaa64.efi`),
			"grubaa64.efi", false},
		"of before 2017": {wide(`\fallback.efi`, `\MokManager.efi`, `\grubx64.efi`),
			"grubx64.efi", false},
		"iPXE's, which names its maker": {"shim.ipxe,1,iPXE,shim\x00\x00" +
			wide(append(ofShims, "ipxe.efi")...), "ipxe.efi", false},
		"in capitals": {wide(append(ofShims, `\GRUBX64.EFI`)...),
			"grubx64.efi", false},
		"a name behind other bytes": {"\x00\x12" + wide(`\grubx64.efi`), "grubx64.efi", false},
		"nothing else is known":     {wide(`\grubx64.efi`), "grubx64.efi", false},
		"two could be it": {wide(append(ofShims, `\grubx64.efi`, `\other.efi`)...),
			"", false},
		"the one with a backslash is": {wide(append(ofShims, `\grubx64.efi`, `other.efi`)...),
			"grubx64.efi", false},
		"and others have none": {wide(append(ofShims, "a.efi", "b.efi",
			`\grubx64.efi`)...), "grubx64.efi", false},
		"in a folder": {wide(append(ofShims, `\EFI\x\grubx64.efi`)...), "",
			false},
		"the beginning of a sentence": {wide(append(ofShims, `\grubx64.efi was not found`)...),
			"", false},
		"not in UTF-16": {"\x00\\grubx64.efi\x00", "", false},
		"no name":       {wide(ofShims...), "", false},
		"iPXE, which has its own": {"\x00iPXE\x00\x00" +
			wide("ipxe.efi", `\EFI\BOOT\BOOTX64.EFI`), "", true},
		"iPXE, which can start those": {"\x00iPXE\x00\x00" + wide(`\grubx64.efi`), "", true},
		"cut":                         {wide(`\grubx64.efi`)[:20], "", false},
	} {
		b := Inspect(efi(0x8664, test.text))
		if b.Starts != test.want || b.IPXE != test.ipxe {
			t.Errorf("%s: starts %q, iPXE %v, want %q, %v", name, b.Starts, b.IPXE,
				test.want, test.ipxe)
		}
	}
	long := strings.Repeat("x", 10000)
	if got := starts([]byte(wide(`\` + long + `.efi`))); len(got) > 100 {
		t.Errorf("a name of %d characters", len(got))
	}
}

// TestSigned: a signature is seen in the table of a PE32+ file.
func TestSigned(t *testing.T) {
	body := append(efi(0x8664, "iPXE"), make([]byte, 300)...)
	table := body[0x40+24:]
	table[0], table[1] = 0x0b, 2
	if Inspect(body).Signed {
		t.Error("without a table it is signed")
	}
	table[112+4*8+4] = 1
	if !Inspect(body).Signed {
		t.Error("with a table it is not signed")
	}
	table[1] = 1 // for 32 bits the table is elsewhere
	if Inspect(body).Signed || Inspect(body[:0x40+24+112]).Signed {
		t.Error("what is no table is one")
	}
}

// TestWants: what a shim asks for that came from the network, by its own name
// (src/shim.c of iPXE's shim, automatic_next_path).
func TestWants(t *testing.T) {
	for _, test := range []struct {
		starts, name string
		want         []string
		note         string
	}{
		{"ipxe.efi", "snponly-shim.efi", []string{"snponly.efi", "ipxe.efi"},
			"starts snponly.efi, on some firmware ipxe.efi,"},
		{"ipxe.efi", "snponly-shimx64.efi", []string{"snponly.efi", "ipxe.efi"}, "under both."},
		{"ipxe.efi", "ipxe-shim.efi", []string{"ipxe.efi"},
			"ipxe-shim.efi starts ipxe.efi from its own folder"},
		{"ipxe.efi", "shimx64.efi", []string{"ipxe.efi"}, "under that name"},
		{"ipxe.efi", "x-shim-of-mine.efi", []string{"ipxe.efi"}, ""},
		{"ipxe.efi", "x-shim-a.efi", []string{"ipxe.efi"}, ""},
		{"ipxe.efi", "-shim.efi", []string{"ipxe.efi"}, ""},
		{"grubx64.efi", "snponly-shim.efi", []string{"grubx64.efi"}, "starts grubx64.efi"},
		{"grubx64.efi", "shimx64.efi", []string{"grubx64.efi"}, "starts grubx64.efi"},
		{"", "shimx64.efi", nil, "is no shim"},
	} {
		b := Build{Starts: test.starts}
		if got := b.Wants(test.name); !slices.Equal(got, test.want) {
			t.Errorf("%s as %s: %q, want %q", test.starts, test.name, got, test.want)
		}
		if note := b.ShimNote(test.name); !strings.Contains(note, test.note) ||
			strings.Contains(note, "\n") {
			t.Errorf("%s as %s: %q", test.starts, test.name, note)
		}
	}
}
