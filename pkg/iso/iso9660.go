package iso

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// file is an extent of the image. A file without content is part of another
// one.
type file struct {
	at, size uint32 // first sector, bytes
	content  []byte
}

// directory is a directory of ISO 9660. Names are added in the order of the
// alphabet, as the standard wants them.
type directory struct {
	at      uint32
	files   []file
	records []byte
}

func (d *directory) add(name string, f file) {
	d.files = append(d.files, f)
	d.records = append(d.records, dirRecord(name, f.at, f.size, 0)...)
}

func (d *directory) addDirectory(name string, at uint32) {
	d.records = append(d.records, dirRecord(name, at, sector, isDirectory)...)
}

// write writes the directory with its own two first entries into the sector b.
func (d *directory) write(b []byte, parent uint32) {
	n := copy(b, dirRecord("\x00", d.at, sector, isDirectory))
	n += copy(b[n:], dirRecord("\x01", parent, sector, isDirectory))
	copy(b[n:sector], d.records)
}

const isDirectory = 2

// The date of everything: 2000-01-01, as a directory record and as a volume
// descriptor have it.
const (
	recordDate = "\x64\x01\x01\x00\x00\x00\x00"
	volumeDate = "2000010100000000\x00"
	noDate     = "0000000000000000\x00"
)

// dirRecord is a record of a directory (ECMA-119, 9.1).
func dirRecord(name string, at, size uint32, flags byte) []byte {
	b := make([]byte, up(33+len(name), 2))
	b[0] = byte(len(b))
	both32(b[2:], at)
	both32(b[10:], size)
	copy(b[18:], recordDate)
	b[25] = flags
	both16(b[28:], 1)
	b[32] = byte(len(name))
	copy(b[33:], name)
	return b
}

// pathTable lists the directories: the root, and ISOLINUX if there is one
// (ECMA-119, 9.4).
func pathTable(o binary.AppendByteOrder, bios bool) []byte {
	entry := func(name string, at uint32) []byte {
		b := []byte{byte(len(name)), 0}
		b = o.AppendUint32(b, at)
		b = o.AppendUint16(b, 1) // the parent's number: the root's
		b = append(b, name...)
		return append(b, make([]byte, len(name)%2)...)
	}
	b := entry("\x00", rootAt)
	if bios {
		b = append(b, entry("ISOLINUX", biosDirAt)...)
	}
	return b
}

// application begins the application identifier of the volume; the layout's
// number follows.
const application = "PXESRV ISO "

// writeDescriptors writes the volume descriptors and path tables of the image
// (ECMA-119, 8; El Torito, figure 7).
func writeDescriptors(data []byte, bios bool) {
	at := func(s int) []byte { return data[s*sector : (s+1)*sector] }
	paths := pathTable(le, bios)
	copy(at(pathsAt), paths)
	copy(at(pathsBigAt), pathTable(be, bios))

	p := at(descriptorAt)
	copy(p, "\x01CD001\x01")
	text := func(from, to int, s string) {
		copy(p[from:to],
			s+string(bytes.Repeat([]byte{' '}, to-from-len(s))))
	}
	text(8, 40, "")
	text(40, 72, "PXESRV")
	both32(p[80:], uint32(len(data)/sector))
	both16(p[120:], 1) // one volume,
	both16(p[124:], 1) // this one
	both16(p[128:], sector)
	both32(p[132:], uint32(len(paths)))
	le.PutUint32(p[140:], pathsAt)
	be.PutUint32(p[148:], pathsBigAt)
	copy(p[156:], dirRecord("\x00", rootAt, sector, isDirectory))
	text(190, 574, "")
	text(574, 702, fmt.Sprint(application, version))
	text(702, 813, "")
	copy(p[813:], volumeDate+volumeDate+noDate+noDate)
	p[881] = 1

	p = at(recordAt)
	copy(p, "\x00CD001\x01EL TORITO SPECIFICATION")
	le.PutUint32(p[71:], catalogAt)

	copy(at(endAt), "\xffCD001\x01")
}

// Platforms and marks of the boot catalog.
const (
	platformBIOS = 0x00
	platformEFI  = 0xef
	bootable     = 0x88
	lastSection  = 0x91
)

// writeCatalog writes the boot catalog (El Torito, 2): the first entry is for a
// BIOS; the one for UEFI has a section of its own, or is the first when there
// is no other.
func writeCatalog(b []byte, isolinux, esp file) {
	// the BIOS loads 4 sectors of 512 bytes, isolinux.bin loads its own rest
	first, count := isolinux, 4
	b[0] = 1
	b[1] = platformBIOS
	if isolinux.size == 0 {
		first, count = esp, int(esp.size/512)
		b[1] = platformEFI
	}
	copy(b[4:28], "PXESRV")
	b[30], b[31] = 0x55, 0xaa
	le.PutUint16(b[28:], -sum16(b[:32]))

	entry := func(b []byte, f file, count int) {
		b[0] = bootable
		le.PutUint16(b[6:], uint16(count))
		le.PutUint32(b[8:], f.at)
	}
	entry(b[32:], first, count)
	if isolinux.size != 0 && esp.size != 0 {
		b[64], b[65] = lastSection, platformEFI
		le.PutUint16(b[66:], 1)
		entry(b[96:], esp, int(esp.size/512))
	}
}

// sum16 is the sum of the 16-bit words of b.
func sum16(b []byte) (sum uint16) {
	for ; len(b) >= 2; b = b[2:] {
		sum += le.Uint16(b)
	}
	return sum
}

// withBootInfo returns isolinux.bin as it lies on the image: it is told where
// it lies (the "boot info table" at byte 8: sector of the volume descriptor,
// sector of the file, length and checksum of the file). The last two stand in
// it from its build.
func withBootInfo(isolinux []byte, at uint32) []byte {
	b := bytes.Clone(isolinux)
	le.PutUint32(b[8:], descriptorAt)
	le.PutUint32(b[12:], at)
	return b
}

// bootInfoSum is the checksum in the boot info table: the sum of the 32-bit
// words behind the table.
func bootInfoSum(isolinux []byte) (sum uint32) {
	for b := isolinux[64:]; len(b) > 0; b = b[min(4, len(b)):] {
		var word [4]byte
		copy(word[:], b)
		sum += le.Uint32(word[:])
	}
	return sum
}

// The master boot record.
const (
	mbrCode      = 432 // bytes of code
	mbrSignature = 440
	mbrTable     = 446
	typeHidden   = 0x17 // a hidden file system: Windows leaves it alone
	typeESP      = 0xef
)

// notForBIOS is what a BIOS runs when it starts from a stick that is for UEFI
// only: it hands the turn to the next device.
const notForBIOS = "\xcd\x18" + // int 18h: this device does not boot
	"\xf4\xeb\xfd" // hlt, again and again, where there is no next

// firstSector is what a BIOS runs first from a stick. It starts isohdpfx.bin,
// which lies in the second sector, unless it was a program that started it:
// then it hands back the turn.
//
// That program is our own iPXE, which boots "the first disk", and on a machine
// that was started from the stick this is the stick. Without this it would ask
// for its script again, and again. Whoever starts a boot sector from memory
// catches int 18h to get the turn back, iPXE by hook_bios_interrupt in
// src/arch/x86/interface/pcbios/bootsector.c, so its vector then leads into
// conventional memory; that of a BIOS leads into its ROM, which begins at
// 0xc0000.
const firstSector = "" +
	"\xfa" + //                         cli
	"\x31\xc0" + //                     xor  ax, ax
	"\x8e\xd0" + //                     mov  ss, ax
	"\xbc\x00\x7c" + //                 mov  sp, 0x7c00
	"\x8e\xd8" + //                     mov  ds, ax
	"\xfb" + //                         sti
	"\x81\x3e\x62\x00\x00\xa0" + //     cmp  word [0x18*4+2], 0xa000   the segment of int 18h
	"\x72\x2d" + //                     jb   back
	//                 push dx, es, di                dl is the drive, es:di what the BIOS can do
	"\x52\x06\x57" +
	"\x8e\xc0" + //                     mov  es, ax
	"\xfc" + //                         cld
	"\xbe\x00\x7c\xbf\x00\x06" + //     mov  si, 0x7c00; mov di, 0x0600
	"\xb9\x00\x01\xf3\xa5" + //         mov  cx, 256; rep movsw        out of the way
	"\xea\x29\x06\x00\x00" + //         jmp  0:0x0629                  the copy of the next line
	"\xb8\x01\x02\xbb\x00\x7c" + //     mov  ax, 0x0201; mov bx, 0x7c00   read one sector to 0x7c00
	"\xb9\x02\x00\xb6\x00" + //         mov  cx, 2; mov dh, 0          the second of the drive
	"\xcd\x13" + //                     int  13h
	"\x72\x08" + //                     jc   back
	"\x5f\x07\x5a" + //                 pop  di, es, dx
	"\xea\x00\x7c\x00\x00" + //         jmp  0:0x7c00
	notForBIOS //                      back:

// writeMBR writes the first two sectors, which count when the image lies on a
// USB stick. With isohdpfx.bin in the second a BIOS boots it: the code finds
// isolinux.bin by the number at byte 432 of its sector, and the active
// partition makes a BIOS take the stick for a disk. UEFI finds the EFI system
// partition by its type, if not by the boot catalog.
//
// The active partition ends where the EFI system partition begins. Other makers
// of such images let it cover the whole image, but firmware takes a table with
// overlapping partitions for none (EDK II,
// MdeModulePkg/Universal/Disk/PartitionDxe/Mbr.c).
func writeMBR(data []byte, id uint32, isohdpfx []byte, isolinux, esp file) {
	next := mbrTable
	// in 512-byte sectors, to is behind the last
	partition := func(status, kind byte, from, to uint32) {
		e := data[next : next+16]
		next += 16
		e[0] = status
		putCHS(e[1:], from)
		e[4] = kind
		putCHS(e[5:], to-1)
		le.PutUint32(e[8:], from)
		le.PutUint32(e[12:], to-from)
	}
	if isohdpfx == nil && esp.size == 0 {
		return // for CD only: no firmware shall take it for a disk
	}
	end := uint32(len(data) / 512)
	if esp.size != 0 {
		end = esp.at * (sector / 512)
	}
	if isohdpfx == nil {
		copy(data, notForBIOS)
	} else {
		copy(data, firstSector)
		copy(data[512:], isohdpfx)
		le.PutUint64(data[512+mbrCode:], uint64(isolinux.at)*(sector/512))
		partition(0x80, typeHidden, 0, end)
	}
	if esp.size != 0 {
		partition(0, typeESP, end, end+esp.size/512)
	}
	le.PutUint32(data[mbrSignature:], id)
	data[510], data[511] = 0x55, 0xaa
}

// putCHS writes the address of a 512-byte sector as cylinder, head and sector.
func putCHS(b []byte, lba uint32) {
	c, h, s := lba/(heads*perTrack), lba/perTrack%heads, lba%perTrack+1
	if c > 1023 { // cannot be said
		c, h, s = 1023, heads-1, perTrack
	}
	b[0], b[1], b[2] = byte(h), byte(s|c>>8<<6), byte(c)
}

// both16 and both32 write a number in both byte orders, as ISO 9660 has it.
func both16(b []byte, v uint16) { le.PutUint16(b, v); be.PutUint16(b[2:], v) }
func both32(b []byte, v uint32) { le.PutUint32(b, v); be.PutUint32(b[4:], v) }
