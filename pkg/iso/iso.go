// Package iso makes the boot image of one host: a small ISO that boots from a
// CD, a BMC's virtual media or a USB stick, by BIOS and by UEFI, into iPXE with
// the host's own script.
//
// A Template is built once from the loader files. All images of a template
// differ in one place only, the slot that holds the script, so an Image is the
// template with other bytes read in that place: it costs a few kilobytes,
// whatever the template has, and any range of it can be read at once. The same
// loaders and the same script give the same bytes on every day and every
// machine.
//
// The layout follows ISO 9660 (ECMA-119), the El Torito specification 1.0, the
// UEFI specification (5.2 and 13.3) and Microsoft's FAT specification 1.03.
// docs/iso-image.md shows it as a table.
//
// The package has no loader in it and copies none from anywhere: they are files
// of the distribution (ISOLINUX and SYSLINUX are under the GPL version 2 or
// later, iPXE under the GPL version 2 or later or the UBDL, a shim mostly under
// the BSD licence). Who gives an image away gives these away, too.
package iso

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strings"
)

// Loaders are the contents of the files that boot. Each way to boot is
// optional, but not all of them, and a way needs all of its files. NewTemplate
// keeps none of the slices.
type Loaders struct {
	// BIOS, from CD.
	ISOLINUX []byte // isolinux.bin
	LDLinux  []byte // ldlinux.c32, of the same version
	LKRN     []byte // ipxe.lkrn

	// BIOS, from a USB stick, too.
	ISOHDPFX []byte // isohdpfx.bin

	// UEFI, from CD and from a USB stick.
	EFI      []byte // ipxe.efi for x86-64
	EFIARM64 []byte // ipxe.efi for 64-bit ARM

	// Secure Boot: the firmware starts the shim, and that the iPXE beside it,
	// under the name that it looks for.
	Shim            []byte // for x86-64
	ShimStarts      string // "" is ipxe.efi
	ShimARM64       []byte // for 64-bit ARM
	ShimARM64Starts string
}

func (l *Loaders) bios() bool { return l.LKRN != nil }
func (l *Loaders) uefi() bool { return l.EFI != nil || l.EFIARM64 != nil }

// version is the layout's number. It stands in the volume descriptor, so that
// Inspect knows which layout it reads. It changes when an older Inspect would
// read a new image wrongly.
const version = 1

// The layout, in sectors of a CD. What has a fixed place comes first, the files
// follow.
const (
	sector = 2048

	descriptorAt = 16 // primary volume descriptor
	recordAt     = 17 // El Torito boot record
	endAt        = 18 // end of the volume descriptors
	pathsAt      = 19 // path table, little-endian
	pathsBigAt   = 20 // path table, big-endian
	rootAt       = 21 // root directory
	biosDirAt    = 22 // directory ISOLINUX; empty without BIOS loaders
	catalogAt    = 23 // El Torito boot catalog
	filesAt      = 24

	// The EFI system partition begins with a multiple of this, and the image
	// ends with one: a cylinder of the geometry that a BIOS reads out of the
	// partition table.
	cylinder = heads * perTrack * 512
	heads    = 64
	perTrack = 32
)

// maxLoader is the limit of one loader file. Real ones have a few megabytes at
// most.
const maxLoader = 64 << 20

var le, be = binary.LittleEndian, binary.BigEndian

// Template is what all images of a set of loaders have in common. It does not
// change and may be used by many at once.
type Template struct {
	data []byte
	slot int // where the script's slot begins
	sum  [sha256.Size]byte
	head hash.Cloner // the SHA-256 of what stands before the slot
}

// isolinuxConfig makes ISOLINUX start iPXE with the script as its initial RAM
// disk, which is where a BIOS iPXE looks for one.
const isolinuxConfig = `DEFAULT ipxe
PROMPT 0
LABEL ipxe
LINUX ipxe.krn
INITRD /script.ipx
`

// NewTemplate checks the loaders and lays out the image. An error names the
// file and says what is wrong with it.
func NewTemplate(l Loaders) (*Template, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	id := l.id()

	// Where everything lies.
	next := uint32(filesAt)
	place := func(content []byte) file {
		f := file{at: next, size: uint32(len(content)), content: content}
		next += uint32(up(len(content), sector) / sector)
		return f
	}
	root := directory{at: rootAt}
	bios := directory{at: biosDirAt}
	var isolinux, esp, script file
	if l.bios() {
		isolinux = place(withBootInfo(l.ISOLINUX, next))
		bios.add("IPXE.KRN;1", place(l.LKRN))
		bios.add("ISOLINUX.BIN;1", isolinux)
		bios.add("ISOLINUX.CFG;1", place([]byte(isolinuxConfig)))
		bios.add("LDLINUX.C32;1", place(l.LDLinux))
	}
	// The script is one extent with two names. In an image that boots by UEFI
	// it is the file autoexec.ipxe of the FAT file system, and the ISO's
	// directory leads into the middle of that: so both ways to boot can never
	// have different scripts.
	if l.uefi() {
		fat, scriptAt, err := newFAT(id, l.efiFiles(), fillSlot(nil))
		if err != nil {
			return nil, err
		}
		next = uint32(up(int(next), cylinder/sector))
		esp = place(fat)
		script = file{at: esp.at + uint32(scriptAt/sector), size: slotSize}
	} else {
		script = place(fillSlot(nil))
	}
	root.add("BOOT.CAT;1", file{at: catalogAt, size: sector})
	if l.uefi() {
		root.add("ESP.IMG;1", esp)
	}
	if l.bios() {
		root.addDirectory("ISOLINUX", bios.at)
	}
	root.add("SCRIPT.IPX;1", script)

	// Written once they are known.
	data := make([]byte, up(int(next)*sector, cylinder))
	at := func(s uint32) []byte { return data[int(s)*sector:] }
	writeMBR(data, id, l.ISOHDPFX, isolinux, esp)
	writeDescriptors(data, l.bios())
	writeCatalog(at(catalogAt), isolinux, esp)
	root.write(at(root.at), root.at)
	if l.bios() {
		bios.write(at(bios.at), root.at)
	}
	for _, d := range []directory{root, bios} {
		for _, f := range d.files {
			copy(at(f.at), f.content)
		}
	}
	t := &Template{data: data, slot: int(script.at) * sector, sum: sha256.Sum256(data)}
	head := sha256.New()
	head.Write(data[:t.slot])
	t.head = head.(hash.Cloner)
	return t, nil
}

// Size is the size of every image of this template in bytes, a multiple of 1
// MiB.
func (t *Template) Size() int64 { return int64(len(t.data)) }

// id is a number for these loaders: the disk's signature and the file system's
// serial number, which must be something, and the same tomorrow.
func (l *Loaders) id() uint32 {
	h := sha256.New()
	for _, b := range [][]byte{l.ISOLINUX, l.LDLinux, l.LKRN, l.ISOHDPFX, l.EFI, l.EFIARM64, l.Shim,
		l.ShimARM64} {
		h.Write(le.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	return max(1, le.Uint32(h.Sum(nil)))
}

// efiFile is a file of the folder EFI/BOOT.
type efiFile struct {
	name    string // 8+3 characters
	content []byte
}

// efiFiles returns what the folder EFI/BOOT has: the names are those that
// firmware looks for on removable media (UEFI specification, 3.5.1.1).
func (l *Loaders) efiFiles() []efiFile {
	var files []efiFile
	add := func(boot string, ipxe, shim []byte, starts string) {
		switch {
		case shim != nil:
			files = append(files, efiFile{boot, shim},
				efiFile{shortName(or(starts, "ipxe.efi")), ipxe})
		case ipxe != nil:
			files = append(files, efiFile{boot, ipxe})
		}
	}
	add("BOOTX64 EFI", l.EFI, l.Shim, l.ShimStarts)
	add("BOOTAA64EFI", l.EFIARM64, l.ShimARM64, l.ShimARM64Starts)
	return files
}

// goodShort are the names that a FAT file system has room for without a second,
// long one.
var goodShort = regexp.MustCompile(`^[A-Z0-9_-]{1,8}\.EFI$`)

// shortName returns a name such as grubx64.efi as FAT has it, 8+3 characters,
// or "".
func shortName(name string) string {
	name = strings.ToUpper(name)
	if !goodShort.MatchString(name) {
		return ""
	}
	return fmt.Sprintf("%-8sEFI", strings.TrimSuffix(name, ".EFI"))
}

// check says what keeps these files from making an image that boots.
func (l *Loaders) check() error {
	for _, f := range []struct {
		name    string
		content []byte
		check   func([]byte) error
		needs   []need
	}{
		{"isolinux.bin", l.ISOLINUX, checkISOLINUX,
			[]need{{"ldlinux.c32", l.LDLinux}, {"ipxe.lkrn", l.LKRN}}},
		{"ldlinux.c32", l.LDLinux, checkLDLinux,
			[]need{{"isolinux.bin", l.ISOLINUX}, {"ipxe.lkrn", l.LKRN}}},
		{"ipxe.lkrn", l.LKRN, checkLKRN,
			[]need{{"isolinux.bin", l.ISOLINUX}, {"ldlinux.c32", l.LDLinux}}},
		{"isohdpfx.bin", l.ISOHDPFX, checkISOHDPFX, []need{{"isolinux.bin", l.ISOLINUX}}},
		{"ipxe.efi", l.EFI, checkEFI(x8664), nil},
		{"ipxe.efi for ARM", l.EFIARM64, checkEFI(arm64), nil},
		{"the shim", l.Shim, checkEFI(x8664), []need{{"ipxe.efi", l.EFI}}},
		{"the shim for ARM", l.ShimARM64, checkEFI(arm64),
			[]need{{"ipxe.efi for ARM", l.EFIARM64}}},
	} {
		if f.content == nil {
			continue
		}
		if len(f.content) > maxLoader {
			return fmt.Errorf("%s: %d bytes are more than a loader has (at most %d)", f.name,
				len(f.content), maxLoader)
		}
		if err := f.check(f.content); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		for _, n := range f.needs {
			if n.content == nil {
				return fmt.Errorf("%s boots nothing without %s", f.name, n.name)
			}
		}
	}
	if !l.bios() && !l.uefi() {
		return errors.New("no loaders: nothing would boot; a BIOS needs isolinux.bin, " +
			"ldlinux.c32 and ipxe.lkrn, UEFI needs ipxe.efi")
	}
	for _, name := range []string{l.ShimStarts, l.ShimARM64Starts} {
		if name != "" && shortName(name) == "" {
			return fmt.Errorf("the shim starts %q, and an image has room for names of 8 "+
				"characters and .efi only", name)
		}
	}
	taken := map[string]bool{}
	for _, f := range l.efiFiles() {
		if taken[f.name] {
			return fmt.Errorf("two shims, or a shim that starts its own name: EFI/BOOT/%s.EFI "+
				"would be two files", strings.TrimRight(f.name[:8], " "))
		}
		taken[f.name] = true
	}
	return nil
}

type need struct {
	name    string
	content []byte
}

// checkISOLINUX looks for the signature that isohdpfx.bin looks for, and at the
// length and checksum that ISOLINUX's own build wrote into the file.
func checkISOLINUX(b []byte) error {
	if len(b) <= sector || le.Uint32(b[64:]) != 0x7078c0fb {
		return errors.New("is no isolinux.bin: its signature is missing")
	}
	if le.Uint32(b[16:]) != uint32(len(b)) || le.Uint32(b[20:]) != bootInfoSum(b) {
		return errors.New("is damaged: length or checksum differ from those that stand in it")
	}
	return nil
}

// checkLDLinux: a module of SYSLINUX is an ELF file for 32-bit x86. Its table
// of sections comes last, so a file that was cut short does not have it.
func checkLDLinux(b []byte) error {
	if len(b) < 52 || !bytes.HasPrefix(b, []byte("\x7fELF\x01\x01")) || le.Uint16(b[18:]) != 3 {
		return errors.New("is no module of SYSLINUX for BIOS")
	}
	if int64(le.Uint32(b[32:]))+int64(le.Uint16(b[46:]))*int64(le.Uint16(b[48:])) > int64(len(b)) {
		return errors.New("is cut short")
	}
	return nil
}

// checkLKRN: iPXE dresses as a Linux kernel (Linux boot protocol:
// Documentation/arch/x86/boot.rst).
func checkLKRN(b []byte) error {
	if len(b) < 1024 || b[510] != 0x55 || b[511] != 0xaa ||
		!bytes.HasPrefix(b[0x202:], []byte("HdrS")) {
		return errors.New("is no ipxe.lkrn: it has not the header of a kernel")
	}
	if (int64(b[0x1f1])+1)*512+int64(le.Uint32(b[0x1f4:]))*16 > int64(up(len(b), 16)) {
		return errors.New("is cut short")
	}
	return nil
}

// checkISOHDPFX: the boot code has 432 bytes, ends before the partition table,
// and says what it looks for.
func checkISOHDPFX(b []byte) error {
	if len(b) != mbrCode || !bytes.HasPrefix(b, []byte{0x33, 0xed}) ||
		!bytes.Contains(b, []byte("isolinux.bin missing or corrupt")) {
		return fmt.Errorf("is not ISOLINUX's boot code of %d bytes", mbrCode)
	}
	return nil
}

// Machine numbers of the PE format.
const (
	x8664 = 0x8664
	arm64 = 0xaa64
)

// checkEFI: a program for UEFI is a PE32+ file (Microsoft's PE format) with the
// subsystem 10, EFI application.
func checkEFI(machine uint16) func([]byte) error {
	names := map[uint16]string{x8664: "x86-64", arm64: "64-bit ARM", 0x14c: "32-bit x86",
		0x1c2: "32-bit ARM", 0x5064: "64-bit RISC-V",
		0x6264: "64-bit LoongArch"}
	return func(b []byte) error {
		if len(b) < 64 || b[0] != 'M' || b[1] != 'Z' {
			return errors.New("is no EFI program")
		}
		at := int64(le.Uint32(b[60:]))
		if at+24+70 > int64(len(b)) || !bytes.HasPrefix(b[at:], []byte("PE\x00\x00")) {
			return errors.New("is no EFI program")
		}
		pe := b[at:]
		if m := le.Uint16(pe[4:]); m != machine {
			return fmt.Errorf("is a program for %s, not for %s", or(names[m], "another machine"),
				names[machine])
		}
		if le.Uint16(pe[24:]) != 0x20b || le.Uint16(pe[24+68:]) != 10 {
			return errors.New("is a program, but not an EFI application")
		}
		sections := at + 24 + int64(le.Uint16(pe[20:]))
		for i := range int64(le.Uint16(pe[6:])) {
			s := sections + 40*i
			if s+40 > int64(len(b)) || int64(le.Uint32(b[s+16:]))+
				int64(le.Uint32(b[s+20:])) > int64(len(b)) {
				return errors.New("is cut short")
			}
		}
		return nil
	}
}

// up rounds n up to a multiple of m.
func up(n, m int) int { return (n + m - 1) / m * m }

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
