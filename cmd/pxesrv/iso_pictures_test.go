//go:build linux

package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pxesrv/pkg/lab/qemu"
)

// TestPictures makes the pictures of docs/iso.md. It is no test, and takes port
// 4567, so it runs only when asked to:
//
//	PXESRV_TEST_PICTURES=docs go test -count=1 -run TestPictures ./cmd/pxesrv
func TestPictures(t *testing.T) {
	into := os.Getenv("PXESRV_TEST_PICTURES")
	if into == "" {
		t.Skip("makes the pictures of the documentation: set PXESRV_TEST_PICTURES to the " +
			"folder docs")
	}
	if !filepath.IsAbs(into) {
		into = filepath.Join("../..", into)
	}
	r := newRoom(t)
	r.addr = "127.0.0.1:4567"
	dir := r.isos(
		"name,mac,address,gateway,server\nweb1,52:54:00:12:34:56,10.0.0.7/24,10.0.0.1,http://10.0.0.5:4567\n", "2025")
	vm := qemu.VM{CD: filepath.Join(dir, "web1.iso"), MAC: "52:54:00:12:34:55", Disk: qemu.Disk(t),
		Args: []string{"-vga", "std",
			"-netdev", "user,id=office,net=10.0.0.0/24,host=10.0.0.5", "-device",
			"e1000,netdev=office,mac=52:54:00:12:34:56,addr=9,romfile="}}
	const script = "#!ipxe\necho\necho Installing Debian 12 on web1, which erases its disk\n" +
		"echo The next boot is an ordinary one again\nsleep 600\n"
	for _, p := range []struct {
		name   string
		uefi   bool
		script string
		last   string // on the screen
	}{
		{"iso-asking", false, script, "an ordinary one again\n"},
		{"iso-uefi", true, script, "an ordinary one again\n"},
		{"iso-no-server", false, "", "NO BOOT SCRIPT(.|\n)*:56\n"},
	} {
		r.stop(os.Interrupt)
		if p.script != "" {
			r.write("default", p.script)
			r.start()
		}
		vm.UEFI = p.uefi
		m := qemu.Start(t, vm)
		m.Expect(p.last, patience)
		shot := filepath.Join(t.TempDir(), "screen.png")
		m.Screenshot(shot)
		m.Stop()
		if err := os.WriteFile(filepath.Join(into, p.name+".png"), small(t, shot),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// small makes a picture of few colours small, and cuts its black borders off.
func small(t *testing.T, file string) []byte {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	from, err := png.Decode(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var colours color.Palette
	seen := map[color.Color]bool{}
	b, shown := from.Bounds(), image.Rectangle{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := from.At(x, y)
			if !seen[c] {
				seen[c], colours = true, append(colours, c)
			}
			if r, g, b, _ := c.RGBA(); r+g+b > 0 {
				shown = shown.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if len(colours) > 256 {
		t.Fatalf("%s has %d colours", file, len(colours))
	}
	b = shown.Inset(-8).Intersect(b)
	to := image.NewPaletted(b, slices.Clip(colours))
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			to.Set(x, y, from.At(x, y))
		}
	}
	var out bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	if err := e.Encode(&out, to); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
