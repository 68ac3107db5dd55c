package loader

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// Bounds of the search for the payload of a BIOS build. They leave room: the
// code before it has some 5 KB, and the largest payloads of stock builds unpack
// to 0.9 MB.
const (
	maxPrefix  = 80 << 10       // where a payload may begin
	maxPayload = 4 << 20        // bytes of an unpacked one
	maxSearch  = 2 * maxPayload // in all, what leads to nothing included: a second or two
	probe      = 4 << 10        // bytes that a start has to give before more of it is unpacked
	// values that bytes of them have to have: zeros unpack to zeros for a long
	// while
	fewest = 32
)

// payload returns the part of a BIOS build that holds iPXE itself, unpacked, or
// nil.
//
// iPXE packs it as raw LZMA1 with lc=2, lp=0, pb=0 (src/util/zbin.c), behind a
// prefix of real-mode code whose length differs from build to build and stands
// nowhere. Over it lies a filter for x86 code that leaves text alone, so it
// stays. A stream begins with a zero byte, and its first symbol cannot be a
// match, so the next byte is below 0x80. Of the many places that look so nearly
// all turn out to be impossible within some bytes. Stock builds have the length
// of the stream in the four bytes before it: such places are tried first. They
// are not the only ones, since no reader of the file needs that length.
func payload(body []byte) []byte {
	work := 0
	for _, known := range []bool{true, false} {
		for at := range min(len(body)-lzmaStart, maxPrefix) {
			if !mayStart(body[at:]) || hasLength(body, at) != known {
				continue
			}
			text := unpack(body[at:], probe)
			if work += len(text); len(text) == probe && values(text) >= fewest {
				text = unpack(body[at:], maxPayload)
				work += len(text) + maxPayload/16 // a part for the memory that it took
			}
			if bytes.Contains(text, []byte(says)) {
				return text
			} else if work > maxSearch {
				return nil
			}
		}
	}
	return nil
}

// lzmaStart is how many bytes the range coder reads at its start.
const lzmaStart = 5

// mayStart reports whether a stream may begin so: with a zero; then, as the
// first symbol cannot be a match, with less than 0x80; and not with zeros
// alone, which would be zeros unpacked, and code does not begin with them.
func mayStart(body []byte) bool {
	return body[0] == 0 && body[1] < 0x80 && binary.BigEndian.Uint32(body[1:]) != 0
}

// hasLength reports whether the four bytes before a place are the length of
// what begins there.
func hasLength(body []byte, at int) bool {
	if at < 4 {
		return false
	}
	n := int64(binary.LittleEndian.Uint32(body[at-4:]))
	return n > probe/8 && n <= int64(len(body)-at)
}

// values returns how many values the bytes have.
func values(text []byte) (n int) {
	var seen [256]bool
	for _, c := range text {
		if !seen[c] {
			seen[c], n = true, n+1
		}
	}
	return n
}

// unpack unpacks raw LZMA1 as far as it goes, to at most limit bytes. What was
// unpacked before an error counts: nothing says where a stream ends that has no
// mark of its end.
func unpack(stream []byte, limit int) []byte {
	head := make([]byte, lzma.HeaderLen)
	head[0] = (0*5+0)*9 + 2                                // pb, lp, lc
	binary.LittleEndian.PutUint32(head[1:], uint32(limit)) // nothing that far back is refused
	binary.LittleEndian.PutUint64(head[5:], 1<<64-1)       // the length is not known
	r, err := lzma.NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(stream)))
	if err != nil {
		return nil
	}
	var text bytes.Buffer
	// after an error the reader hands out what it had unpacked before, when it
	// is asked once more
	for range 2 {
		if _, err := io.CopyN(&text, r, int64(limit-text.Len())); err == nil || err == io.EOF {
			break
		}
	}
	return text.Bytes()
}
