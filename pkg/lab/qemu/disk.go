package qemu

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"
)

// What the disk made by Disk prints when it is booted.
const (
	BootedBIOS = "LOCAL-DISK-BOOTED-BIOS"
	BootedUEFI = "LOCAL-DISK-BOOTED-UEFI"
)

// The disk: 16 MiB, one EFI system partition of 14 MiB from 1 MiB on, FAT16.
const (
	sector    = 512
	diskSize  = 16 << 20
	partStart = 2048 // sectors
	partSize  = 28672

	clusterSize = 4 * sector
	fatSize     = 28 // sectors; 256 clusters each
	rootSize    = 32 // sectors; 512 entries
	dataStart   = 1 + fatSize + rootSize
)

var le = binary.LittleEndian

// Disk makes the image of a local disk in the test's folder and returns its
// path. Booted by a BIOS it prints BootedBIOS, by UEFI BootedUEFI, and then
// halts.
func Disk(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, diskImage(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func diskImage() []byte {
	d := make([]byte, diskSize)

	copy(d, bootSector(BootedBIOS+"\r\n"))
	entry := d[446:]
	entry[0] = 0x80 // active
	entry[4] = 0xEF // EFI system partition; the CHS fields stay 0, nobody reads them
	le.PutUint32(entry[8:], partStart)
	le.PutUint32(entry[12:], partSize)
	d[510], d[511] = 0x55, 0xAA

	part := d[partStart*sector:]
	copy(part, fatHeader())
	fat := part[sector:]
	// two fixed, then one cluster each
	for i, next := range []uint16{0xFFF8, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF} {
		le.PutUint16(fat[2*i:], next)
	}
	program := efiProgram(BootedUEFI + "\r\n")
	cluster := func(n int) []byte { return part[dataStart*sector+(n-2)*clusterSize:] }
	const dir, file = 0x10, 0x20
	root := part[(1+fatSize)*sector:]
	copy(root, dirEntry("EFI        ", dir, 2, 0))
	copy(cluster(2), dirEntry(".          ", dir, 2, 0))
	copy(cluster(2)[32:], dirEntry("..         ", dir, 0, 0))
	copy(cluster(2)[64:], dirEntry("BOOT       ", dir, 3, 0))
	copy(cluster(3), dirEntry(".          ", dir, 3, 0))
	copy(cluster(3)[32:], dirEntry("..         ", dir, 2, 0))
	copy(cluster(3)[64:], dirEntry("BOOTX64 EFI", file, 4, len(program)))
	copy(cluster(4), program)
	return d
}

// fatHeader returns the first sector of the file system.
func fatHeader() []byte {
	b := make([]byte, sector)
	copy(b, "\xEB\x3C\x90LAB     ")
	le.PutUint16(b[11:], sector)
	b[13] = clusterSize / sector
	le.PutUint16(b[14:], 1) // reserved: this sector
	b[16] = 1               // one copy of the FAT
	le.PutUint16(b[17:], rootSize*sector/32)
	le.PutUint16(b[19:], partSize)
	b[21] = 0xF8 // a hard disk
	le.PutUint16(b[22:], fatSize)
	le.PutUint16(b[24:], 32) // sectors per track
	le.PutUint16(b[26:], 64) // heads
	le.PutUint32(b[28:], partStart)
	b[36], b[38] = 0x80, 0x29
	copy(b[43:], "LOCAL      FAT16   ")
	b[510], b[511] = 0x55, 0xAA
	return b
}

// dirEntry returns a directory entry; name is 8+3 characters without the dot.
func dirEntry(name string, attr byte, cluster, size int) []byte {
	e := make([]byte, 32)
	copy(e, name)
	e[11] = attr
	le.PutUint16(e[24:], 0x21) // 1980-01-01
	le.PutUint16(e[26:], uint16(cluster))
	le.PutUint32(e[28:], uint32(size))
	return e
}

// bootSector returns BIOS boot code that prints text and halts. SeaBIOS copies
// its screen to the serial port.
func bootSector(text string) []byte {
	code := []byte{
		0x31, 0xC0, // xor ax,ax
		0x8E, 0xD8, // mov ds,ax
		0xFC,       // cld
		0xBE, 0, 0, // mov si,text
		0xAC,       // next: lodsb
		0x84, 0xC0, // test al,al
		0x74, 0x09, // jz halt
		0xB4, 0x0E, // mov ah,0Eh: print a character
		0xBB, 7, 0, // mov bx,7
		0xCD, 0x10, // int 10h
		0xEB, 0xF2, // jmp next
		0xF4,       // halt: hlt
		0xEB, 0xFD, // jmp halt
	}
	le.PutUint16(code[6:], uint16(0x7C00+len(code)))
	return append(code, text+"\x00"...)
}

// efiProgram returns a UEFI application for x86-64 that prints text by the
// firmware's console and halts.
func efiProgram(text string) []byte {
	code := []byte{
		0x48, 0x83, 0xEC, 0x28, // sub rsp,40: what the calling convention asks for
		0x48, 0x8B, 0x4A, 0x40, // mov rcx,[rdx+64]: ConOut of the system table
		0x48, 0x8D, 0x15, 6, 0, 0, 0, // lea rdx,[rip+6]: text
		0xFF, 0x51, 0x08, // call [rcx+8]: OutputString
		0xF4,       // halt: hlt
		0xEB, 0xFD, // jmp halt
	}
	for _, u := range utf16.Encode([]rune(text + "\x00")) {
		code = le.AppendUint16(code, u)
	}

	const headers, base = 512, 0x1000 // one section: at 512 in the file, at 0x1000 in memory
	p := make([]byte, headers+sector)
	copy(p, "MZ")
	le.PutUint32(p[0x3C:], 0x40)
	pe := p[0x40:]
	copy(pe, "PE\x00\x00")
	le.PutUint16(pe[4:], 0x8664) // x86-64
	le.PutUint16(pe[6:], 1)      // sections
	le.PutUint16(pe[20:], 240)   // size of the optional header
	le.PutUint16(pe[22:], 0x22E) // executable, large addresses
	opt := pe[24:]
	le.PutUint16(opt[0:], 0x20B) // PE32+
	le.PutUint32(opt[4:], sector)
	le.PutUint32(opt[16:], base) // entry point
	le.PutUint32(opt[20:], base)
	le.PutUint64(opt[24:], 0x400000)
	le.PutUint32(opt[32:], 0x1000) // alignment in memory
	le.PutUint32(opt[36:], sector) // alignment in the file
	le.PutUint32(opt[56:], 0x2000) // size in memory
	le.PutUint32(opt[60:], headers)
	le.PutUint16(opt[68:], 10) // EFI application
	le.PutUint32(opt[108:], 16)
	sec := opt[240:]
	copy(sec, ".text")
	le.PutUint32(sec[8:], sector)
	le.PutUint32(sec[12:], base)
	le.PutUint32(sec[16:], sector)
	le.PutUint32(sec[20:], headers)
	le.PutUint32(sec[36:], 0x60000020) // code, may be run and read
	copy(p[headers:], code)
	return p
}
