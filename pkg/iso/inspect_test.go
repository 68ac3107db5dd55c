package iso_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"pxesrv/pkg/iso"
)

// TestInspect: what went into an image comes out of it.
func TestInspect(t *testing.T) {
	for name, l := range ways() {
		m, _ := image(t, l, "#!ipxe\nshell\n")
		info, err := iso.Inspect(m, m.Size())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		bios, uefi := l.LKRN != nil, l.EFI != nil || l.EFIARM64 != nil
		if info.Version != 1 || info.Size != m.Size() || info.BIOS != bios || info.UEFI != uefi ||
			info.BIOSStick != (l.ISOHDPFX != nil) || info.UEFIStick != uefi {
			t.Errorf("%s: %+v", name, info)
		}
		if text, same := info.Script(); string(text) != "#!ipxe\nshell\n" || !same {
			t.Errorf("%s: script %q", name, text)
		}
		var paths []string
		for _, s := range info.Scripts {
			paths = append(paths, s.Path)
		}
		var wantPaths []string
		if bios {
			wantPaths = append(wantPaths, "SCRIPT.IPX")
		}
		if uefi {
			wantPaths = append(wantPaths, "autoexec.ipxe")
		}
		if !slices.Equal(paths, wantPaths) {
			t.Errorf("%s: scripts %q, want %q", name, paths, wantPaths)
		}

		want := map[string][]byte{"isolinux.bin": l.ISOLINUX, "ldlinux.c32": l.LDLinux,
			"ipxe.lkrn": l.LKRN, "isohdpfx.bin": l.ISOHDPFX,
			"BOOTX64.EFI": l.EFI, "BOOTAA64.EFI": l.EFIARM64}
		if l.Shim != nil {
			want["BOOTX64.EFI"], want[cmp.Or(strings.ToUpper(l.ShimStarts), "IPXE.EFI")] = l.Shim,
				l.EFI
		}
		if l.ShimARM64 != nil {
			want["BOOTAA64.EFI"], want[cmp.Or(strings.ToUpper(l.ShimARM64Starts), "IPXE.EFI")] =
				l.ShimARM64, l.EFIARM64
		}
		for _, loader := range info.Loaders {
			content := want[loader.Name]
			delete(want, loader.Name)
			if loader.Size != int64(len(content)) || loader.SHA256 != sha256.Sum256(content) {
				t.Errorf("%s: %s has %d bytes with checksum %x, want %d", name, loader.Name,
					loader.Size, loader.SHA256, len(content))
			}
			got, err := io.ReadAll(loader.Content)
			if loader.Name == "isolinux.bin" {
				clear(got[12:16])
			}
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %s: content differs, error %v", name, loader.Name, err)
			}
		}
		for missing, content := range want {
			if content != nil {
				t.Errorf("%s: %s is not found", name, missing)
			}
		}
	}
}

// TestInspectRefuses: other files are no images of ours, and damage is named.
func TestInspectRefuses(t *testing.T) {
	_, good := image(t, fake(), "#!ipxe\n")
	for _, test := range []struct {
		name    string
		change  func(b []byte) []byte
		want    string
		foreign bool
	}{
		{"nothing", func(b []byte) []byte { return nil }, "0 bytes are too few", true},
		{"text", func(b []byte) []byte { return bytes.Repeat([]byte("#!ipxe\n"), 10000) },
			"no ISO 9660 file system", true},
		{"another ISO", func(b []byte) []byte { copy(b[16*2048+574:], "GENISOIMAGE"); return b },
			"an ISO that something else made", true},
		{"layout 0", func(b []byte) []byte { b[16*2048+574+11] = '0'; return b },
			`layout "0"`, true},
		{"layout 2", func(b []byte) []byte { b[16*2048+574+11] = '2'; return b },
			"a newer pxesrv made it", false},
		{"cut", func(b []byte) []byte { return b[:len(b)-1] },
			"the image is cut short: 2097151 of 2097152 bytes", false},
		{"no catalog", func(b []byte) []byte { b[17*2048+7]++; return b },
			"damaged: it has no boot record", false},
		{"catalog elsewhere", func(b []byte) []byte {
			le.PutUint32(b[17*2048+71:], 1<<31)
			return b
		}, "damaged: the boot catalog: it would lie outside", false},
		{"catalog changed", func(b []byte) []byte { b[23*2048+5]++; return b },
			"damaged: the boot catalog has a wrong checksum", false},
		{"root elsewhere", func(b []byte) []byte { le.PutUint32(b[16*2048+158:], 1<<31); return b },
			"damaged: a directory: it would lie outside", false},
		{"root empty", func(b []byte) []byte { clear(b[21*2048:][:2048]); return b },
			"damaged: it has no loaders", false},
		{"directory", func(b []byte) []byte { b[22*2048+32] = 200; return b },
			"damaged: a directory has an impossible record", false},
		{"directory cut", func(b []byte) []byte { le.PutUint32(b[16*2048+166:], 50); return b },
			"damaged: a directory has an impossible record", false},
		{"no kernel", func(b []byte) []byte { b[22*2048+68+33]++; return b },
			"damaged: ISOLINUX/IPXE.KRN is missing", false},
		{"kernel elsewhere", func(b []byte) []byte {
			le.PutUint32(b[22*2048+68+2:], 1020)
			return b
		}, "damaged: ISOLINUX/IPXE.KRN: it would lie outside", false},
		{"FAT", func(b []byte) []byte { b[1<<20+11]++; return b },
			"damaged: ESP.IMG: no FAT file system", false},
		{"FAT in pieces", func(b []byte) []byte { b[1<<20+512+3]++; return b },
			"damaged: ESP.IMG: EFI/BOOT/BOOTX64.EFI: it is not in one piece", false},
	} {
		b := test.change(bytes.Clone(good))
		info, err := iso.Inspect(bytes.NewReader(b), int64(len(b)))
		if err == nil || !strings.Contains(err.Error(), test.want) ||
			errors.Is(err, iso.ErrForeign) != test.foreign || info != nil {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}

// TestInspectSees: what others did to an image that is otherwise right.
func TestInspectSees(t *testing.T) {
	_, good := image(t, fake(), "#!ipxe\nshell\n")
	inspect := func(change func(b []byte)) *iso.Info {
		t.Helper()
		b := bytes.Clone(good)
		change(b)
		info, err := iso.Inspect(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	at := slots(t, good)
	if len(at) != 2 || at[0] != at[1] {
		t.Fatalf("scripts at %v", at)
	}

	info := inspect(func(b []byte) { copy(b[at[0]:], "#!ipxe\nshall\n") })
	if text, same := info.Script(); string(text) != "#!ipxe\nshall\n" || !same {
		t.Errorf("script edited in place: %q, %v", text, same)
	}
	info = inspect(func(b []byte) { copy(b[at[0]:], "#!ipxe\nshell\nexit\n") })
	if s := info.Scripts[0]; !s.Edited || len(s.Text) != 6144 {
		t.Errorf("script edited into the padding: %v, %d bytes", s.Edited, len(s.Text))
	}
	// The directory's record of SCRIPT.IPX leads to sector 23, the catalog.
	info = inspect(func(b []byte) {
		le.PutUint32(b[21*2048+bytes.Index(b[21*2048:], []byte("SCRIPT.IPX"))-33+2:], 23)
	})
	if _, same := info.Script(); same {
		t.Error("two scripts are called the same")
	}
	info = inspect(func(b []byte) { clear(b[:512]) })
	if info.BIOSStick || info.UEFIStick || !info.BIOS || !info.UEFI {
		t.Errorf("without partition table: %+v", info)
	}
	info = inspect(func(b []byte) { b[512+432]++ })
	if info.BIOSStick {
		t.Error("the boot code looks elsewhere")
	}
	info = inspect(func(b []byte) { b[23*2048+32], b[23*2048+96] = 0, 0 })
	if info.BIOS || info.UEFI {
		t.Errorf("nothing in the catalog boots: %+v", info)
	}
}

// patched is an image of which some bytes are other ones. It counts what is
// read.
type patched struct {
	io.ReaderAt
	bytes   map[int64]byte
	largest int
	read    int64
}

func (p *patched) ReadAt(b []byte, off int64) (int, error) {
	p.largest = max(p.largest, len(b))
	n, err := p.ReaderAt.ReadAt(b, off)
	p.read += int64(n)
	for at, value := range p.bytes {
		if at >= off && at < off+int64(n) {
			b[at-off] = value
		}
	}
	return n, err
}

// FuzzInspect changes bytes where the structures are. Whatever they say,
// Inspect ends, reads each byte a few times and little at a time, and what it
// returns lies in the image.
func FuzzInspect(f *testing.F) {
	m, b := image(f, fake(), "#!ipxe\n")
	// Where the structures are; 4 bytes of input change one byte: place,
	// offset, value.
	const fat = 1 << 20
	root := fat + 512*int64(1+2*le.Uint16(b[fat+22:]))
	places := []int64{446, 16 * 2048, 16*2048 + 156, 16*2048 + 574, 17 * 2048, 21 * 2048, 22 * 2048,
		23 * 2048, fat, fat + 512, root, slots(f, b)[0] + 6000}
	f.Add([]byte{}, uint32(0))
	f.Add([]byte{8, 13, 0, 0}, uint32(0))          // no sectors in a cluster
	f.Add([]byte{10, 32 + 26, 0, 0}, uint32(0))    // the folder EFI in cluster 0
	f.Add([]byte{10, 32 + 27, 0, 0x7f}, uint32(0)) // and far outside
	f.Add([]byte{8, 13, 0, 255, 8, 22, 0, 255}, uint32(1))
	f.Add([]byte{9, 3, 0, 255, 10, 26, 0, 2, 5, 70, 0, 255}, uint32(5000))
	f.Fuzz(func(t *testing.T, changes []byte, cut uint32) {
		p := &patched{ReaderAt: m, bytes: map[int64]byte{}}
		for ; len(changes) >= 4 && len(p.bytes) < 200; changes = changes[4:] {
			at := places[int(changes[0])%len(places)] + int64(changes[1]) + int64(changes[2])<<8
			p.bytes[at] = changes[3]
		}
		size := max(0, m.Size()-int64(cut))
		info, err := iso.Inspect(p, size)
		if p.largest > 256<<10 || p.read > 12*m.Size() {
			t.Errorf("%d bytes are read at once, %d in all", p.largest, p.read)
		}
		if err != nil {
			if info != nil {
				t.Error("an error and a result")
			}
			return
		}
		if info.Size > size || len(info.Scripts) == 0 {
			t.Errorf("%+v", info)
		}
		for _, s := range info.Scripts {
			if s.Offset < 0 || s.Offset+int64(len(s.Text)) > size {
				t.Errorf("a script of %d bytes at %d", len(s.Text), s.Offset)
			}
		}
		for _, l := range info.Loaders {
			if n, err := io.Copy(io.Discard, l.Content); n != l.Size || err != nil {
				t.Errorf("%s: %d of %d bytes, error %v", l.Name, n, l.Size, err)
			}
		}
	})
}

// FuzzInspectBytes gives Inspect anything behind a right volume descriptor.
func FuzzInspectBytes(f *testing.F) {
	_, b := image(f, iso.Loaders{EFI: fakeEFI(0x8664, 3000)}, "")
	f.Add(b[17*2048 : 24*2048])
	f.Fuzz(func(t *testing.T, rest []byte) {
		all := append(bytes.Clone(b[:17*2048]), rest...)
		le.PutUint32(all[16*2048+80:], uint32(len(all)/2048))
		iso.Inspect(bytes.NewReader(all), int64(len(all)))
	})
}
