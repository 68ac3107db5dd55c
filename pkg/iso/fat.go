package iso

import "fmt"

// The EFI system partition: a FAT file system with autoexec.ipxe in the root
// and the loaders in EFI/BOOT. Its number of clusters decides whether it is a
// FAT12 or a FAT16, and nothing else does (FAT specification, 3.5).
const (
	fatSector = 512
	cluster   = sector // so that a file can be a file of the ISO as well
	entrySize = 32

	maxFAT12 = 4084 // clusters
	// Readers disagree by a few clusters about the limit; the specification
	// says to stay 16 away from it.
	limitMargin = 16

	// The catalog and the partition table count sectors of 512 bytes, the
	// catalog in 16 bits.
	maxFATSectors = 0xffff

	fatDate = 20<<9 | 1<<5 | 1 // 2000-01-01
)

// Attributes of directory entries.
const (
	attrVolume    = 0x08
	attrDirectory = 0x10
	attrArchive   = 0x20
	attrLongName  = 0x0f
)

// autoexecShort is the short name of autoexec.ipxe.
const autoexecShort = "AUTOEX~1IPX"

// fatShape is where the parts of a file system lie.
type fatShape struct {
	clusters    int // of data
	fat16       bool
	fatSectors  int // of each of the two tables
	rootSectors int
	data        int // byte where cluster 2 begins
	sectors     int // in all
}

// shapeFor finds the shape with at least that many clusters. The data begin at
// a sector of the CD.
func shapeFor(clusters int) (s fatShape) {
	if clusters > maxFAT12-limitMargin && clusters <= maxFAT12+limitMargin {
		clusters = maxFAT12 + limitMargin + 1
	}
	s.clusters = clusters
	s.fat16 = clusters > maxFAT12
	bits := 12
	if s.fat16 {
		bits = 16
	}
	s.fatSectors = up((clusters+2)*bits, 8*fatSector) / (8 * fatSector)
	s.rootSectors = 4 // 64 entries, and more only to fill up
	for (1+2*s.fatSectors+s.rootSectors)*fatSector%sector != 0 {
		s.rootSectors++
	}
	s.data = (1 + 2*s.fatSectors + s.rootSectors) * fatSector
	s.sectors = s.data/fatSector + clusters*(cluster/fatSector)
	return s
}

// newFAT makes the file system. It returns its bytes and where in them the
// script lies.
func newFAT(serial uint32, files []efiFile, script []byte) (image []byte, scriptAt int, err error) {
	need := up(len(script), cluster)/cluster + 2 // and the folders EFI and BOOT
	for _, f := range files {
		need += up(len(f.content), cluster) / cluster
	}
	shape := shapeFor(need)
	if shape.sectors > maxFATSectors {
		return nil, 0, fmt.Errorf("the EFI programs are too large: together they need %d MiB, an "+
			"image has room for %d MiB",
			(shape.sectors*fatSector)>>20+1, maxFATSectors*fatSector>>20)
	}
	b := make([]byte, shape.sectors*fatSector)
	writeBPB(b, shape, serial)

	// The data: each file in one piece, the script last: behind it is little
	// that the checksum of an image has to be made over.
	table := b[fatSector : fatSector+shape.fatSectors*fatSector]
	shape.link(table, 0, last&^0xff|0xf8) // the medium once more: the first two are no clusters
	shape.link(table, 1, last)
	next := 2
	put := func(content []byte) (first int) {
		first = next
		copy(b[shape.data+(first-2)*cluster:], content)
		for n := max(1, up(len(content), cluster)/cluster); n > 1; n-- {
			shape.link(table, next, next+1)
			next++
		}
		shape.link(table, next, last)
		next++
		return first
	}
	var listing []byte
	for _, f := range files {
		listing = append(listing, fatEntry(f.name, attrArchive, put(f.content), len(f.content))...)
	}
	const root = 0 // as the entry .. calls it
	efi, boot := next, next+1
	put(join(fatEntry(".", attrDirectory, efi, 0), fatEntry("..", attrDirectory, root, 0),
		fatEntry("BOOT", attrDirectory, boot, 0)))
	put(join(fatEntry(".", attrDirectory, boot, 0), fatEntry("..", attrDirectory, efi, 0), listing))
	scriptFirst := put(script)
	copy(b[fatSector+len(table):], table)
	copy(b[fatSector+2*len(table):], join(
		fatEntry("PXESRV", attrVolume, 0, 0),
		fatEntry("EFI", attrDirectory, efi, 0),
		longName("autoexec.ipxe", autoexecShort), fatEntry(autoexecShort, attrArchive, scriptFirst,
			len(script))))
	return b, shape.data + (scriptFirst-2)*cluster, nil
}

// writeBPB writes the first sector.
func writeBPB(b []byte, s fatShape, serial uint32) {
	copy(b, "\xeb\x3c\x90PXESRV  ")
	le.PutUint16(b[11:], fatSector)
	b[13] = cluster / fatSector
	le.PutUint16(b[14:], 1) // reserved: this sector
	b[16] = 2               // tables
	le.PutUint16(b[17:], uint16(s.rootSectors*fatSector/entrySize))
	le.PutUint16(b[19:], uint16(s.sectors))
	b[21] = 0xf8 // a disk, as the first entry of the tables says, too
	le.PutUint16(b[22:], uint16(s.fatSectors))
	le.PutUint16(b[24:], perTrack)
	le.PutUint16(b[26:], heads)
	b[36] = 0x80 // the first disk
	b[38] = 0x29 // the three that follow are there
	le.PutUint32(b[39:], serial)
	copy(b[43:], "PXESRV     ")
	if s.fat16 {
		copy(b[54:], "FAT16   ")
	} else {
		copy(b[54:], "FAT12   ")
	}
	b[510], b[511] = 0x55, 0xaa
}

// last says that no cluster follows. Written into an entry of 12 or 16 bits it
// has all of them set, as the standard wants it.
const last = -1

// link says in the table that cluster n is followed by the cluster next, or by
// none.
func (s fatShape) link(table []byte, n, next int) {
	if s.fat16 {
		le.PutUint16(table[2*n:], uint16(next))
		return
	}
	at := n * 3 / 2 // two entries in three bytes
	v := le.Uint16(table[at:])
	if n%2 == 0 {
		v = v&0xf000 | uint16(next)&0xfff
	} else {
		v = v&0x000f | uint16(next)<<4
	}
	le.PutUint16(table[at:], v)
}

// fatEntry is an entry of a directory; name has 8+3 characters, blanks at its
// end may be missing.
func fatEntry(name string, attr byte, first, size int) []byte {
	e := make([]byte, entrySize)
	copy(e, fmt.Sprintf("%-11s", name))
	e[11] = attr
	for _, at := range []int{16, 18, 24} { // created, read, written
		le.PutUint16(e[at:], fatDate)
	}
	le.PutUint16(e[26:], uint16(first))
	le.PutUint32(e[28:], uint32(size))
	return e
}

// longName is the entry that gives the one behind it, named short, a name of up
// to 13 characters.
func longName(long, short string) []byte {
	e := make([]byte, entrySize)
	e[0] = 0x41 // the first and last piece of the name
	e[11] = attrLongName
	for i := range len(short) {
		e[13] = e[13]>>1 | e[13]<<7
		e[13] += short[i]
	}
	for i, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		c := uint16(0xffff)
		switch {
		case i < len(long):
			c = uint16(long[i])
		case i == len(long):
			c = 0
		}
		le.PutUint16(e[at:], c)
	}
	return e
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
