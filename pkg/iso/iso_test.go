package iso_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"pxesrv/pkg/iso"
)

var le = binary.LittleEndian

// fake makes loaders that are what their headers say, have sizes that no sector
// ends with, and would boot nothing.
func fake() iso.Loaders {
	return iso.Loaders{
		ISOLINUX: fakeISOLINUX(20001), LDLinux: fakeLDLinux(30003), ISOHDPFX: fakeISOHDPFX(),
		LKRN: fakeLKRN(40007),
		EFI:  fakeEFI(0x8664, 50009), EFIARM64: fakeEFI(0xaa64, 60001),
		Shim: fakeEFI(0x8664, 70003),
	}
}

// filler is content that tells where it came from.
func filler(seed byte, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*i>>3) + byte(i>>8) + seed
	}
	return b
}

func fakeISOLINUX(size int) []byte {
	b := filler(1, size)
	clear(b[8:64])
	le.PutUint32(b[64:], 0x7078c0fb)
	var sum uint32
	for i := 64; i < size; i += 4 {
		sum += le.Uint32(append(bytes.Clone(b[i:min(i+4, size)]), 0, 0, 0))
	}
	le.PutUint32(b[8:], 16)
	le.PutUint32(b[16:], uint32(size))
	le.PutUint32(b[20:], sum)
	return b
}

func fakeLDLinux(size int) []byte {
	b := filler(2, size)
	copy(b, "\x7fELF\x01\x01\x01")
	le.PutUint16(b[18:], 3)
	le.PutUint32(b[32:], uint32(size-80)) // two sections at the end
	le.PutUint16(b[46:], 40)
	le.PutUint16(b[48:], 2)
	return b
}

func fakeISOHDPFX() []byte {
	b := filler(3, 432)
	copy(b, "\x33\xed")
	copy(b[300:], "isolinux.bin missing or corrupt.\r\n")
	return b
}

func fakeLKRN(size int) []byte {
	b := filler(4, size)
	b[510], b[511] = 0x55, 0xaa
	copy(b[0x202:], "HdrS")
	b[0x1f1] = 5
	le.PutUint32(b[0x1f4:], uint32(size-6*512+15)/16)
	return b
}

func fakeEFI(machine uint16, size int) []byte {
	b := filler(byte(machine), size)
	copy(b, "MZ")
	le.PutUint32(b[60:], 64)
	copy(b[64:], "PE\x00\x00")
	le.PutUint16(b[68:], machine)
	le.PutUint16(b[70:], 1)   // sections
	le.PutUint16(b[84:], 240) // size of the optional header
	le.PutUint16(b[88:], 0x20b)
	le.PutUint16(b[88+68:], 10)
	le.PutUint32(b[88+240+16:], uint32(size-512))
	le.PutUint32(b[88+240+20:], 512)
	return b
}

// image makes an image and returns its bytes.
func image(t testing.TB, l iso.Loaders, script string) (*iso.Image, []byte) {
	t.Helper()
	template, err := iso.NewTemplate(l)
	if err != nil {
		t.Fatal(err)
	}
	m, err := template.Image([]byte(script))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := m.WriteTo(&b); err != nil || n != m.Size() || int64(b.Len()) != n {
		t.Fatalf("WriteTo: %d of %d bytes, error %v", n, m.Size(), err)
	}
	return m, b.Bytes()
}

// ways are all sets of loaders that boot something.
func ways() map[string]iso.Loaders {
	all := fake()
	bios := iso.Loaders{ISOLINUX: all.ISOLINUX, LDLinux: all.LDLinux, LKRN: all.LKRN}
	bothCD := bios
	bothCD.EFI = all.EFI
	stick := bios
	stick.ISOHDPFX = all.ISOHDPFX
	both := stick
	both.EFI = all.EFI
	return map[string]iso.Loaders{
		"everything":                 all,
		"BIOS from CD":               bios,
		"BIOS":                       stick,
		"BIOS and UEFI":              both,
		"BIOS from CD only and UEFI": bothCD,
		"UEFI":                       {EFI: all.EFI},
		"UEFI on ARM":                {EFIARM64: all.EFIARM64},
		"UEFI on both":               {EFI: all.EFI, EFIARM64: all.EFIARM64},
		"UEFI with shim":             {EFI: all.EFI, Shim: all.Shim},
		"UEFI on ARM with shim":      {EFIARM64: all.EFIARM64, ShimARM64: fakeEFI(0xaa64, 5000)},
		"UEFI with shims": {EFI: all.EFI, Shim: all.Shim, ShimStarts: "grubx64.efi",
			EFIARM64: all.EFIARM64, ShimARM64: fakeEFI(0xaa64, 5000), ShimARM64Starts: "GRUB.EFI"},
	}
}

// TestRefused: loaders that boot nothing, or are not what they should be, are
// refused with words that name the file.
func TestRefused(t *testing.T) {
	old := fake
	for _, test := range []struct {
		name   string
		change func(l *iso.Loaders)
		want   string
	}{
		{"nothing", func(l *iso.Loaders) { *l = iso.Loaders{} }, "no loaders: nothing would boot"},
		{"boot code alone", func(l *iso.Loaders) { *l = iso.Loaders{ISOHDPFX: l.ISOHDPFX} },
			"isohdpfx.bin boots nothing without isolinux.bin"},
		{"no isolinux", func(l *iso.Loaders) { l.ISOLINUX = nil },
			"ldlinux.c32 boots nothing without isolinux.bin"},
		{"no ldlinux", func(l *iso.Loaders) { l.LDLinux = nil },
			"isolinux.bin boots nothing without ldlinux.c32"},
		{"no kernel", func(l *iso.Loaders) { l.LKRN = nil },
			"isolinux.bin boots nothing without ipxe.lkrn"},
		{"shim alone", func(l *iso.Loaders) { l.EFI = nil },
			"the shim boots nothing without ipxe.efi"},
		{"shim for ARM alone", func(l *iso.Loaders) {
			*l = iso.Loaders{EFI: l.EFI, ShimARM64: l.EFIARM64}
		},
			"the shim for ARM boots nothing without ipxe.efi for ARM"},
		{"two shims", func(l *iso.Loaders) { l.ShimARM64 = l.EFIARM64 },
			"two shims, or a shim that starts its own name: EFI/BOOT/IPXE.EFI would"},
		{"two shims, one name", func(l *iso.Loaders) {
			l.ShimStarts, l.ShimARM64, l.ShimARM64Starts = "grub.efi", l.EFIARM64, "GRUB.efi"
		}, "EFI/BOOT/GRUB.EFI would be two files"},
		{"a shim that starts itself", func(l *iso.Loaders) { l.ShimStarts = "bootx64.efi" },
			"EFI/BOOT/BOOTX64.EFI would be two files"},
		{"a long name", func(l *iso.Loaders) { l.ShimStarts = "systemd-bootx64.efi" },
			`the shim starts "systemd-bootx64.efi", and an image has room`},
		{"a name with a folder", func(l *iso.Loaders) { l.ShimStarts = `x\grub.efi` },
			`the shim starts "x\\grub.efi", and an image has room`},
		{"no program", func(l *iso.Loaders) { l.ShimStarts = "grubx64" },
			`the shim starts "grubx64", and an image has room`},

		{"empty isolinux", func(l *iso.Loaders) { l.ISOLINUX = []byte{} },
			"isolinux.bin: is no isolinux.bin"},
		{"isolinux without signature", func(l *iso.Loaders) { l.ISOLINUX[64]++ },
			"isolinux.bin: is no isolinux.bin: its signature"},
		{"isolinux cut", func(l *iso.Loaders) { l.ISOLINUX = l.ISOLINUX[:20000] },
			"isolinux.bin: is damaged"},
		{"isolinux changed", func(l *iso.Loaders) { l.ISOLINUX[20000]++ },
			"isolinux.bin: is damaged"},
		{"pxelinux", func(l *iso.Loaders) { l.LDLinux = l.LKRN }, "ldlinux.c32: is no module"},
		{"ldlinux empty", func(l *iso.Loaders) { l.LDLinux = []byte{} },
			"ldlinux.c32: is no module"},
		{"ldlinux for 64 bit", func(l *iso.Loaders) { l.LDLinux[4] = 2 },
			"ldlinux.c32: is no module"},
		{"ldlinux cut", func(l *iso.Loaders) { l.LDLinux = l.LDLinux[:30002] },
			"ldlinux.c32: is cut short"},
		{"EFI as kernel", func(l *iso.Loaders) { l.LKRN = l.EFI }, "ipxe.lkrn: is no ipxe.lkrn"},
		{"kernel empty", func(l *iso.Loaders) { l.LKRN = []byte{} }, "ipxe.lkrn: is no ipxe.lkrn"},
		{"kernel cut", func(l *iso.Loaders) { l.LKRN = l.LKRN[:39990] }, "ipxe.lkrn: is cut short"},
		{"boot code cut", func(l *iso.Loaders) { l.ISOHDPFX = l.ISOHDPFX[:431] },
			"isohdpfx.bin: is not ISOLINUX's boot code"},
		{"other boot code", func(l *iso.Loaders) { l.ISOHDPFX[300]++ },
			"isohdpfx.bin: is not ISOLINUX's boot code"},
		{"EFI empty", func(l *iso.Loaders) { l.EFI = []byte{} }, "ipxe.efi: is no EFI program"},
		{"kernel as EFI", func(l *iso.Loaders) { l.EFI = l.LKRN }, "ipxe.efi: is no EFI program"},
		{"header outside", func(l *iso.Loaders) { le.PutUint32(l.EFI[60:], 0xffffffff) },
			"ipxe.efi: is no EFI program"},
		{"EFI for ARM", func(l *iso.Loaders) { l.EFI = l.EFIARM64 },
			"ipxe.efi: is a program for 64-bit ARM, not for x86-64"},
		{"EFI for 32 bit", func(l *iso.Loaders) { l.EFI = fakeEFI(0x14c, 5000) },
			"ipxe.efi: is a program for 32-bit x86, not for x86-64"},
		{"EFI for Itanium", func(l *iso.Loaders) { l.EFI = fakeEFI(0x200, 5000) },
			"ipxe.efi: is a program for another machine"},
		{"ARM for x86", func(l *iso.Loaders) { l.EFIARM64 = l.EFI },
			"ipxe.efi for ARM: is a program for x86-64, not for 64-bit ARM"},
		{"driver", func(l *iso.Loaders) { l.EFI[88+68] = 11 },
			"ipxe.efi: is a program, but not an EFI application"},
		{"EFI cut", func(l *iso.Loaders) { l.EFI = l.EFI[:50008] }, "ipxe.efi: is cut short"},
		{"section outside", func(l *iso.Loaders) { le.PutUint16(l.EFI[70:], 0xffff) },
			"ipxe.efi: is cut short"},
		{"shim for ARM", func(l *iso.Loaders) { l.Shim = l.EFIARM64 },
			"the shim: is a program for 64-bit ARM"},
		{"too large", func(l *iso.Loaders) { l.LKRN = make([]byte, 64<<20+1) },
			"ipxe.lkrn: 67108865 bytes are more than a loader has"},
		{"too large for FAT", func(l *iso.Loaders) { l.EFI = fakeEFI(0x8664, 32<<20) },
			"the EFI programs are too large"},
	} {
		l := old()
		test.change(&l)
		_, err := iso.NewTemplate(l)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}

// TestSameBytes: nothing but the loaders and the script is in an image, so it
// is the same on all days and machines. Whoever changes the layout on purpose
// changes the checksum here, and must know that every host's image is another
// one after the update.
func TestSameBytes(t *testing.T) {
	for name, l := range ways() {
		m1, b1 := image(t, l, "#!ipxe\nshell\n")
		m2, b2 := image(t, l, "#!ipxe\nshell\n")
		if !bytes.Equal(b1, b2) || m1.ETag() != m2.ETag() {
			t.Errorf("%s: the second build differs", name)
		}
		if m1.SHA256() != sha256.Sum256(b1) {
			t.Errorf("%s: the image says that it has another SHA-256 than it has", name)
		}
	}
	const want = "f40da3f0c401fdedd57c7f53029b05aec7356e80071e1ca29c5303586b1a8182"
	if _, b := image(t, fake(), "#!ipxe\nshell\n"); fmt.Sprintf("%x", sha256.Sum256(b)) != want {
		t.Errorf("the image of the test's loaders has the SHA-256 %x, in former versions %s",
			sha256.Sum256(b), want)
	}
}

// TestFirstSector: it starts isohdpfx.bin in the second sector; on a stick that
// a BIOS cannot boot it hands the turn back at once, and for CD only it is no
// boot sector at all. What its code does is for TestBoot.
func TestFirstSector(t *testing.T) {
	for name, l := range ways() {
		_, b := image(t, l, "")
		signed := b[510] == 0x55 && b[511] == 0xaa
		if stick := l.ISOHDPFX != nil || l.EFI != nil || l.EFIARM64 != nil; signed != stick {
			t.Errorf("%s: boot signature %v, want %v", name, signed, stick)
		}
		code := make([]byte, 432)
		switch {
		case l.ISOHDPFX != nil:
			copy(code, "\xfa\x31\xc0")
			if !bytes.Equal(b[512:][:432], l.ISOHDPFX) {
				t.Errorf("%s: second sector % x", name, b[512:528])
			}
		case signed:
			copy(code, "\xcd\x18\xf4\xeb\xfd") // int 18h; hlt; jmp to hlt
		}
		if begins := bytes.HasPrefix(b, bytes.TrimRight(code, "\x00")); !begins ||
			l.ISOHDPFX == nil && !bytes.Equal(b[:432], code) {
			t.Errorf("%s: code % x", name, b[:16])
		}
	}
}

// TestETag: it changes with the script, also where the padding begins, and with
// each loader.
func TestETag(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, l iso.Loaders, script string) {
		m, _ := image(t, l, script)
		tag := m.ETag()
		if len(tag) != 34 || tag[0] != '"' || tag[33] != '"' {
			t.Errorf("ETag %s", tag)
		}
		if other, twice := seen[tag]; twice {
			t.Errorf("%s and %s have one ETag", what, other)
		}
		seen[tag] = what
	}
	for _, script := range []string{"", "\n", "\n\n", "#", "#!ipxe", "#!ipxe\n", "#!ipxe\n\n"} {
		add("script "+script, fake(), script)
	}
	for i, change := range []func(l *iso.Loaders){
		func(l *iso.Loaders) { l.ISOLINUX = fakeISOLINUX(20002) },
		func(l *iso.Loaders) { l.LDLinux[1000]++ },
		func(l *iso.Loaders) { l.LKRN[1000]++ }, func(l *iso.Loaders) { l.ISOHDPFX[100]++ },
		func(l *iso.Loaders) { l.EFI[1000]++ },
		func(l *iso.Loaders) { l.EFIARM64[1000]++ }, func(l *iso.Loaders) { l.Shim[1000]++ },
		func(l *iso.Loaders) { l.Shim = nil },
	} {
		l := fake()
		change(&l)
		add("loader "+string(rune('0'+i)), l, "")
	}
}
