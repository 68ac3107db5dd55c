package iso

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// MaxScript is the size of the largest script in bytes.
const MaxScript = 4096

// slotSize is what the script has in the image: whole sectors, and always room
// for the padding's two ends.
const slotSize = MaxScript + sector

// trailer is the last line of a slot. It tells how long the script is, which
// nothing else does: the padding looks like a part of it, and the files have
// the size of the slot.
const (
	trailer    = "# the script above has %04d bytes\n"
	trailerLen = len("# the script above has 4096 bytes\n")
	numberAt   = len("# the script above has ")
)

// fillSlot returns the slot with the script: behind it two ends of line,
// comment lines, and the trailer. The empty line is there because iPXE reads on
// behind a line that ends in a backslash (src/image/script.c): it gets nothing
// to read. So iPXE runs no byte of the padding, whatever the script ends with.
func fillSlot(script []byte) []byte {
	b := bytes.Repeat([]byte("###############################################################\n"),
		slotSize/64)
	copy(b, script)
	copy(b[len(script):], "\n\n")
	b[slotSize-trailerLen-1] = '\n'
	copy(b[slotSize-trailerLen:], fmt.Sprintf(trailer, len(script)))
	return b
}

// readSlot returns the script of a slot, and false when that was not filled by
// fillSlot.
func readSlot(slot []byte) ([]byte, bool) {
	if len(slot) != slotSize {
		return nil, false
	}
	number := slot[slotSize-trailerLen+numberAt:][:4]
	n, err := strconv.ParseUint(string(number), 10, 16)
	if err != nil || n > MaxScript || !bytes.Equal(slot, fillSlot(slot[:n])) {
		return nil, false
	}
	return slot[:n:n], true
}

// Image is the boot image of one host. It does not change and may be read by
// many at once; it has the template's bytes in common with all other images.
type Image struct {
	template *Template
	slot     []byte
	etag     string
}

var (
	_ io.ReaderAt = (*Image)(nil)
	_ io.WriterTo = (*Image)(nil)
)

// Image returns the image with this script, of at most MaxScript bytes. To be
// run by iPXE it must begin with "#!ipxe".
func (t *Template) Image(script []byte) (*Image, error) {
	if len(script) > MaxScript {
		return nil, fmt.Errorf("the script has %d bytes, the image has room for %d",
			len(script), MaxScript)
	}
	slot := fillSlot(script)
	h := sha256.New()
	h.Write(t.sum[:])
	h.Write(slot)
	return &Image{t, slot, fmt.Sprintf(`"%x"`, h.Sum(nil)[:16])}, nil
}

// Size returns the size of the image in bytes.
func (m *Image) Size() int64 { return m.template.Size() }

// ETag returns a strong entity tag in its quotes (RFC 9110, 8.8.3): two images
// with the same one have the same bytes.
func (m *Image) ETag() string { return m.etag }

// SHA256 returns the checksum of the whole image. What stands before the script
// is not read again.
func (m *Image) SHA256() (sum [sha256.Size]byte) {
	h, err := m.template.head.Clone()
	if err != nil {
		panic(err) // the standard library's SHA-256 can be cloned
	}
	h.Write(m.slot)
	h.Write(m.template.data[m.template.slot+slotSize:])
	h.Sum(sum[:0])
	return sum
}

// Reader returns a new reader of the image, with an offset of its own.
func (m *Image) Reader() io.ReadSeeker { return io.NewSectionReader(m, 0, m.Size()) }

// ReadAt reads as a file does.
func (m *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if len(p) == 0 {
		return 0, nil
	}
	if off >= m.Size() {
		return 0, io.EOF
	}
	n := copy(p, m.template.data[off:])
	begin := int64(m.template.slot)
	if from, to := max(off, begin), min(off+int64(n), begin+slotSize); from < to {
		copy(p[from-off:to-off], m.slot[from-begin:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteTo writes the whole image.
func (m *Image) WriteTo(w io.Writer) (written int64, err error) {
	t := m.template
	for _, part := range [][]byte{t.data[:t.slot], m.slot, t.data[t.slot+slotSize:]} {
		n, err := w.Write(part)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
