package iso

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// ErrForeign is wrapped by the errors of Inspect for what was not made by this
// package.
var ErrForeign = errors.New("no boot image of pxesrv")

// Info is what Inspect finds in an image.
type Info struct {
	Version int   // of the layout
	Size    int64 // as the image says; what lies behind is not looked at

	BIOS, UEFI           bool // boots from CD
	BIOSStick, UEFIStick bool // boots from a USB stick

	Loaders []Loader
	Scripts []Script // one for each way to boot: first BIOS, then UEFI
}

// Loader is a file that boots.
type Loader struct {
	// as distributions call it: isolinux.bin, ldlinux.c32, ipxe.lkrn,
	// isohdpfx.bin; EFI programs as in the image
	Name string
	Path string // where it is in the image
	Size int64
	// of the file; for isolinux.bin without the place that the image wrote into
	// it
	SHA256 [sha256.Size]byte

	Content *io.SectionReader // as it lies in the image
}

// Script is a script as one way to boot finds it.
type Script struct {
	Path   string // SCRIPT.IPX for BIOS, autoexec.ipxe for UEFI
	Offset int64  // in the image
	Text   []byte
	// changed by something else than this package: Text is then the whole file
	// with its padding
	Edited bool
}

// Script returns the script of the image, and false when the ways to boot have
// different ones. An image is not made so, but programs that edit images can.
func (i *Info) Script() ([]byte, bool) {
	for _, s := range i.Scripts[1:] {
		if !bytes.Equal(s.Text, i.Scripts[0].Text) {
			return nil, false
		}
	}
	return i.Scripts[0].Text, true
}

// Inspect says what the image in the first size bytes of r is. It reads every
// loader once, and holds little of it in memory, whatever the bytes say. The
// error is one of r, or wraps ErrForeign, or says where the image is damaged.
func Inspect(r io.ReaderAt, size int64) (*Info, error) {
	m := &medium{r, size}
	p, err := m.read(descriptorAt*sector, sector)
	if errors.Is(err, errOutside) {
		return nil, fmt.Errorf("%w: %d bytes are too few for one", ErrForeign, size)
	}
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(p, []byte("\x01CD001\x01")) {
		return nil, fmt.Errorf("%w: no ISO 9660 file system", ErrForeign)
	}
	number, ours := strings.CutPrefix(strings.TrimRight(string(p[574:702]), " "), application)
	if !ours {
		return nil, fmt.Errorf("%w: an ISO that something else made", ErrForeign)
	}
	i := &Info{Size: int64(le.Uint32(p[80:])) * sector}
	if i.Version, err = strconv.Atoi(number); err != nil || i.Version < 1 {
		return nil, fmt.Errorf("%w: layout %q", ErrForeign, number)
	}
	if i.Version > version {
		return nil, fmt.Errorf("the image has layout %d, this program knows layouts up to %d: a "+
			"newer pxesrv made it", i.Version, version)
	}
	if i.Size > size {
		return nil, fmt.Errorf("the image is cut short: %d of %d bytes", size, i.Size)
	}
	m.size = i.Size
	if err := i.look(m, p); err != nil {
		return nil, fmt.Errorf("the image is damaged: %w", err)
	}
	return i, nil
}

// look fills i. p is the primary volume descriptor.
func (i *Info) look(m *medium, p []byte) error {
	root, err := m.directory(le.Uint32(p[158:]), le.Uint32(p[166:]))
	if err != nil {
		return err
	}
	boot, err := m.catalog()
	if err != nil {
		return err
	}
	mbr, err := m.read(0, 1024)
	if err != nil {
		return err
	}
	if dir, found := root["ISOLINUX"]; found {
		if err := i.lookBIOS(m, root, dir, boot[platformBIOS], mbr); err != nil {
			return err
		}
	}
	if esp, found := root["ESP.IMG;1"]; found {
		if err := i.lookUEFI(m, esp, boot[platformEFI], mbr); err != nil {
			return err
		}
	}
	if len(i.Scripts) == 0 {
		return errors.New("it has no loaders")
	}
	return nil
}

// lookBIOS looks at what boots by a BIOS.
func (i *Info) lookBIOS(m *medium, root map[string]extent, dir extent, boot uint32,
	mbr []byte) error {
	files, err := m.directory(dir.sector, uint32(min(dir.size, maxDirectory)))
	if err != nil {
		return err
	}
	for _, l := range []struct{ name, path string }{
		{"isolinux.bin", "ISOLINUX.BIN"}, {"ldlinux.c32", "LDLINUX.C32"}, {"ipxe.lkrn", "IPXE.KRN"},
	} {
		e, found := files[l.path+";1"]
		if !found {
			return fmt.Errorf("ISOLINUX/%s is missing", l.path)
		}
		if err := i.addLoader(m, l.name, "ISOLINUX/"+l.path, e); err != nil {
			return err
		}
	}
	isolinux := files["ISOLINUX.BIN;1"]
	i.BIOS = boot == isolinux.sector
	if second := mbr[512:]; bytes.HasPrefix(mbr, []byte(firstSector)) {
		i.BIOSStick = le.Uint64(second[mbrCode:]) == uint64(isolinux.sector)*4
		if err := i.addLoader(m, "isohdpfx.bin", "the second sector",
			extent{0, 512, mbrCode}); err != nil {
			return err
		}
	}
	script, found := root["SCRIPT.IPX;1"]
	if !found {
		return errors.New("SCRIPT.IPX is missing")
	}
	return i.addScript(m, "SCRIPT.IPX", script)
}

// lookUEFI looks at what boots by UEFI.
func (i *Info) lookUEFI(m *medium, esp extent, boot uint32, mbr []byte) error {
	i.UEFI = boot == esp.sector
	for e := mbr[mbrTable:510]; len(e) > 0; e = e[16:] {
		if e[4] == typeESP && int64(le.Uint32(e[8:]))*512 == esp.at {
			i.UEFIStick = true
		}
	}
	f, err := m.openFAT(esp)
	if err != nil {
		return fmt.Errorf("ESP.IMG: %w", err)
	}
	folder := f.root
	for _, name := range []string{"EFI", "BOOT"} {
		if folder, err = f.folder(folder, name); err != nil {
			return fmt.Errorf("ESP.IMG: %w", err)
		}
	}
	for _, name := range efiPrograms(folder) {
		e, found, err := f.find(folder, name)
		if err != nil {
			return fmt.Errorf("ESP.IMG: EFI/BOOT/%s: %w", name, err)
		}
		if found {
			if err := i.addLoader(m, name, "EFI/BOOT/"+name, e); err != nil {
				return err
			}
		}
	}
	script, found, err := f.find(f.root, "AUTOEX~1.IPX")
	if err != nil {
		return fmt.Errorf("ESP.IMG: autoexec.ipxe: %w", err)
	}
	if !found {
		return errors.New("ESP.IMG: autoexec.ipxe is missing")
	}
	return i.addScript(m, "autoexec.ipxe", script)
}

// addLoader reads a loader for its checksum.
func (i *Info) addLoader(m *medium, name, path string, e extent) error {
	if e.size > maxLoader || !m.has(e.at, e.size) {
		return fmt.Errorf("%s: %w", path, errOutside)
	}
	l := Loader{Name: name, Path: path, Size: e.size,
		Content: io.NewSectionReader(m.r, e.at, e.size)}
	h := sha256.New()
	rest := e.size
	if name == "isolinux.bin" {
		head, err := m.read(e.at, int(min(64, e.size)))
		if err != nil {
			return err
		}
		if len(head) == 64 {
			clear(head[12:16]) // the file's place
		}
		h.Write(head)
		rest -= int64(len(head))
	}
	if _, err := io.Copy(h, io.NewSectionReader(m.r, e.at+e.size-rest, rest)); err != nil {
		return err
	}
	h.Sum(l.SHA256[:0])
	i.Loaders = append(i.Loaders, l)
	return nil
}

func (i *Info) addScript(m *medium, path string, e extent) error {
	b, err := m.read(e.at, int(min(e.size, maxDirectory)))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s := Script{Path: path, Offset: e.at, Text: b, Edited: true}
	if text, ok := readSlot(b); ok {
		s.Text, s.Edited = text, false
	}
	i.Scripts = append(i.Scripts, s)
	return nil
}

// medium is an image that nothing is known of.
type medium struct {
	r    io.ReaderAt
	size int64
}

// extent is a file in one piece.
type extent struct {
	sector   uint32 // of the CD; 0 when it need not begin with one
	at, size int64  // bytes
}

var errOutside = errors.New("it would lie outside the image")

// maxDirectory is how much of anything but a loader is read.
const maxDirectory = 64 << 10

func (m *medium) has(at, size int64) bool {
	return at >= 0 && size >= 0 && at <= m.size && size <= m.size-at
}

// read reads n bytes, of which the caller knows that they are few.
func (m *medium) read(at int64, n int) ([]byte, error) {
	if !m.has(at, int64(n)) {
		return nil, errOutside
	}
	b := make([]byte, n)
	if got, err := m.r.ReadAt(b, at); got < n {
		if err == io.EOF || err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// directory reads a directory of ISO 9660. Of several files with one name it
// has the first.
func (m *medium) directory(at, size uint32) (map[string]extent, error) {
	b, err := m.read(int64(at)*sector, int(min(size, maxDirectory)))
	if err != nil {
		return nil, fmt.Errorf("a directory: %w", err)
	}
	files := map[string]extent{}
	for n := 0; n < len(b); {
		length := int(b[n])
		if length == 0 { // records do not cross the end of a sector
			n = up(n+1, sector)
			continue
		}
		if n+length > len(b) || length < 34 || 33+int(b[n+32]) > length {
			return nil, errors.New("a directory has an impossible record")
		}
		rec := b[n : n+length]
		name := string(rec[33 : 33+int(rec[32])])
		if _, twice := files[name]; !twice {
			s := le.Uint32(rec[2:])
			files[name] = extent{s, int64(s) * sector, int64(le.Uint32(rec[10:]))}
		}
		n += length
	}
	return files, nil
}

// catalog reads the boot catalog: from platform to the first sector of what
// boots.
func (m *medium) catalog() (map[byte]uint32, error) {
	r, err := m.read(recordAt*sector, sector)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(r, []byte("\x00CD001\x01EL TORITO SPECIFICATION")) {
		return nil, errors.New("it has no boot record")
	}
	b, err := m.read(int64(le.Uint32(r[71:]))*sector, sector)
	if err != nil {
		return nil, fmt.Errorf("the boot catalog: %w", err)
	}
	if b[0] != 1 || b[30] != 0x55 || b[31] != 0xaa || sum16(b[:32]) != 0 {
		return nil, errors.New("the boot catalog has a wrong checksum")
	}
	boot := map[byte]uint32{}
	entry := func(platform byte, e []byte) {
		if _, twice := boot[platform]; !twice && e[0] == bootable {
			boot[platform] = le.Uint32(e[8:])
		}
	}
	entry(b[1], b[32:64])
	for n := 64; n+64 <= len(b); {
		mark, platform, count := b[n], b[n+1], int(le.Uint16(b[n+2:]))
		if mark != lastSection && mark != lastSection-1 {
			break
		}
		for n += 32; count > 0 && n+32 <= len(b); count-- {
			entry(platform, b[n:n+32])
			n += 32
		}
		if mark == lastSection {
			break
		}
	}
	return boot, nil
}

// fat is the FAT file system of an image.
type fat struct {
	m       *medium
	at      int64 // where cluster 2 begins in the image
	cluster int64 // bytes
	shape   fatShape
	table   []byte
	root    []byte
}

var errFAT = errors.New("no FAT file system as pxesrv makes it")

// openFAT opens the file system in e.
func (m *medium) openFAT(e extent) (*fat, error) {
	if !m.has(e.at, e.size) {
		return nil, errOutside
	}
	b, err := m.read(e.at, fatSector)
	if err != nil {
		return nil, err
	}
	perCluster, reserved, tables := int64(b[13]), int64(le.Uint16(b[14:])), int64(b[16])
	entries, sectors, fatSectors := int64(le.Uint16(b[17:])), int64(le.Uint16(b[19:])),
		int64(le.Uint16(b[22:]))
	if le.Uint16(b[11:]) != fatSector || perCluster == 0 || reserved == 0 || tables == 0 ||
		entries == 0 || fatSectors == 0 ||
		entries*entrySize > maxDirectory || fatSectors > 256 || sectors*fatSector > e.size {
		return nil, errFAT
	}
	rootAt := (reserved + tables*fatSectors) * fatSector
	data := rootAt + entries*entrySize
	clusters := (sectors*fatSector - data) / (perCluster * fatSector)
	f := &fat{m: m, at: e.at + data, cluster: perCluster * fatSector}
	f.shape = fatShape{clusters: int(clusters), fat16: clusters > maxFAT12}
	bits := int64(12)
	if f.shape.fat16 {
		bits = 16
	}
	if clusters < 1 || (clusters+2)*bits > fatSectors*fatSector*8 {
		return nil, errFAT
	}
	if f.table, err = m.read(e.at+reserved*fatSector, int(fatSectors*fatSector)); err != nil {
		return nil, err
	}
	f.root, err = m.read(e.at+rootAt, int(entries*entrySize))
	return f, err
}

// next is the cluster behind n, or last.
func (s fatShape) next(table []byte, n int) int {
	v := 0
	switch {
	case s.fat16:
		v = int(le.Uint16(table[2*n:]))
	case n%2 == 0:
		v = int(le.Uint16(table[n*3/2:])) & 0xfff
	default:
		v = int(le.Uint16(table[n*3/2:])) >> 4
	}
	if s.fat16 && v >= 0xfff8 || !s.fat16 && v >= 0xff8 {
		return last
	}
	return v
}

// extent returns where a file lies that begins with a cluster. Files of our
// images are in one piece.
func (f *fat) extent(first int, size int64) (extent, error) {
	count := max(1, (size+f.cluster-1)/f.cluster)
	if first < 2 || count > int64(f.shape.clusters) ||
		int64(first)-2+count > int64(f.shape.clusters) {
		return extent{}, errOutside
	}
	end := first + int(count) - 1
	for n := first; n < end; n++ {
		if f.shape.next(f.table, n) != n+1 {
			return extent{}, errors.New("it is not in one piece")
		}
	}
	if f.shape.next(f.table, end) != last {
		return extent{}, errors.New("it does not end where it should")
	}
	return extent{0, f.at + int64(first-2)*f.cluster, size}, nil
}

// entry looks a name up in a directory.
func (f *fat) entry(dir []byte, name string, directory bool) (first int, size int64, found bool) {
	base, ext, _ := strings.Cut(name, ".")
	short := fmt.Appendf(nil, "%-8s%-3s", base, ext)
	for e := dir; len(e) >= entrySize && e[0] != 0; e = e[entrySize:] {
		if bytes.Equal(e[:11], short) && e[11]&attrVolume == 0 &&
			(e[11]&attrDirectory != 0) == directory {
			return int(le.Uint16(e[26:])), int64(le.Uint32(e[28:])), true
		}
	}
	return 0, 0, false
}

// efiPrograms returns the names of the programs in a directory: what firmware
// looks for, and what a shim does.
func efiPrograms(dir []byte) (names []string) {
	for e := dir; len(e) >= entrySize && e[0] != 0; e = e[entrySize:] {
		if name := strings.TrimRight(string(e[:8]), " ") + ".EFI"; string(e[8:11]) == "EFI" &&
			e[11]&(attrVolume|attrDirectory) == 0 &&
			goodShort.MatchString(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// find returns the file with this name in a directory.
func (f *fat) find(dir []byte, name string) (extent, bool, error) {
	first, size, found := f.entry(dir, name, false)
	if !found {
		return extent{}, false, nil
	}
	e, err := f.extent(first, size)
	return e, err == nil, err
}

// folder returns a directory's directory, of which one cluster is enough.
func (f *fat) folder(dir []byte, name string) ([]byte, error) {
	first, _, found := f.entry(dir, name, true)
	if !found {
		return nil, fmt.Errorf("the folder %s is missing", name)
	}
	e, err := f.extent(first, f.cluster)
	if err != nil {
		return nil, fmt.Errorf("the folder %s: %w", name, err)
	}
	return f.m.read(e.at, int(e.size))
}
