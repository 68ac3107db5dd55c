package iso_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"pxesrv/pkg/iso"
)

// TestScriptSizes: scripts of every size at the edges go in, come out again,
// and end in padding that iPXE does not run.
func TestScriptSizes(t *testing.T) {
	for name, l := range ways() {
		template, err := iso.NewTemplate(l)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, size := range []int{0, 1, 2, 63, 64, 65, 2047, 2048, 4095, iso.MaxScript} {
			for _, end := range []string{"a", "\n", "#", "\\", "\r\n", "\x00"} {
				script := strings.Repeat("x\n", size)[:size]
				script = script[:max(0, size-len(end))] + end[:min(size, len(end))]
				m, err := template.Image([]byte(script))
				if err != nil {
					t.Fatalf("%s, %d bytes: %v", name, size, err)
				}
				info, err := iso.Inspect(m, m.Size())
				if err != nil {
					t.Fatalf("%s, %d bytes: %v", name, size, err)
				}
				for _, s := range info.Scripts {
					if string(s.Text) != script || s.Edited {
						t.Errorf("%s: %s has %q, want %q", name, s.Path, s.Text, script)
					}
				}
				slot := make([]byte, 6144)
				if _, err := m.ReadAt(slot, info.Scripts[0].Offset); err != nil {
					t.Fatal(err)
				}
				padding := string(slot[size:])
				if !strings.HasPrefix(padding, "\n\n") || !strings.HasSuffix(padding, "\n") {
					t.Errorf("%s: behind %q comes %.10q", name, script[max(0, size-10):], padding)
				}
				for _, line := range strings.Split(padding, "\n") {
					if line != "" && line[0] != '#' || strings.ContainsAny(line, "\\\r\x00") {
						t.Errorf("%s: padding has the line %q", name, line)
					}
				}
			}
		}
		if _, err := template.Image(make([]byte, iso.MaxScript+1)); err == nil ||
			!strings.Contains(err.Error(), "has 4097 bytes, the image has room for 4096") {
			t.Errorf("%s: one byte too many: error %v", name, err)
		}
	}
}

// slots returns where the script lies in an image, as its directories say.
func slots(t testing.TB, b []byte) (at []int64) {
	t.Helper()
	info, err := iso.Inspect(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range info.Scripts {
		at = append(at, s.Offset)
	}
	return at
}

// FuzzSlot: two images of one template differ in the slot only, and what is
// between is the script.
func FuzzSlot(f *testing.F) {
	template, err := iso.NewTemplate(fake())
	if err != nil {
		f.Fatal(err)
	}
	_, empty := image(f, fake(), "")
	at := slots(f, empty)[0]
	for _, s := range []string{"", "#!ipxe\n", "\n# the script above has 0007 bytes\n",
		strings.Repeat("#", iso.MaxScript), strings.Repeat("\n", iso.MaxScript+1)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		m, err := template.Image(script)
		if (err != nil) != (len(script) > iso.MaxScript) {
			t.Fatalf("%d bytes: error %v", len(script), err)
		}
		if err != nil {
			return
		}
		got := make([]byte, m.Size())
		if _, err := m.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:at], empty[:at]) || !bytes.Equal(got[at+6144:], empty[at+6144:]) {
			t.Error("a byte outside of the slot changed")
		}
		if !bytes.HasPrefix(got[at:], script) {
			t.Error("the script is not in the slot")
		}
		if m.SHA256() != sha256.Sum256(got) {
			t.Error("the image says that it has another SHA-256 than it has")
		}
		info, err := iso.Inspect(m, m.Size())
		if err != nil {
			t.Fatal(err)
		}
		if text, same := info.Script(); !same || !bytes.Equal(text, script) {
			t.Errorf("%q comes out as %q", script, text)
		}
	})
}

// FuzzReadAt: any range of an image is that of the file with it.
func FuzzReadAt(f *testing.F) {
	m, b := image(f, fake(), "#!ipxe\necho a script\n")
	path := filepath.Join(f.TempDir(), "host.iso")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		f.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { file.Close() })
	at, size := slots(f, b)[0], m.Size()
	for _, off := range []int64{0, at - 1, at, at + 1, at + 6143, at + 6144, at + 6145, size - 1,
		size, size + 1, -1} {
		for _, n := range []uint32{0, 1, 2, 6143, 6144, 6145, 8192, 4 << 20} {
			f.Add(off, n)
		}
	}
	f.Fuzz(func(t *testing.T, off int64, n uint32) {
		n %= 4<<20 + 1
		got, want := make([]byte, n), make([]byte, n)
		gotN, gotErr := m.ReadAt(got, off)
		wantN, wantErr := file.ReadAt(want, off)
		if gotN != wantN || !bytes.Equal(got, want) {
			t.Errorf("%d bytes from %d: got %d bytes, a file gives %d", n, off, gotN, wantN)
		}
		if errors.Is(gotErr, io.EOF) != errors.Is(wantErr, io.EOF) ||
			(gotErr == nil) != (wantErr == nil) {
			t.Errorf("%d bytes from %d: error %v, a file gives %v", n, off, gotErr, wantErr)
		}
	})
}

// TestReader: an image is a reader like others, each with its offset, and many
// read it at once.
func TestReader(t *testing.T) {
	m, b := image(t, fake(), "#!ipxe\n")
	if err := iotest.TestReader(m.Reader(), b); err != nil {
		t.Error(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := io.ReadAll(m.Reader()); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes, error %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if n, err := m.WriteTo(failing{}); n != 0 || err == nil {
		t.Errorf("a writer that fails: %d bytes, error %v", n, err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no") }

// TestImageIsSmall: an image is its slot, not a copy of the template.
func TestImageIsSmall(t *testing.T) {
	template, err := iso.NewTemplate(fake())
	if err != nil {
		t.Fatal(err)
	}
	const count = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range count {
		if _, err := template.Image([]byte("#!ipxe\n")); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / count; each > 64<<10 ||
		int64(each) > template.Size()/8 {
		t.Errorf("an image costs %d bytes, the template has %d", each, template.Size())
	}
}
