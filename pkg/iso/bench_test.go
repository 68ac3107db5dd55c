//go:build linux

package iso_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/iso"
)

// BenchmarkImages writes the images of 1000 hosts beside as many plain copies
// of one file of that size, each with one sync at the end, and beside xorriso,
// which makes an image for each host. "copies" and "xorriso" are how many times
// of theirs ours took.
func BenchmarkImages(b *testing.B) {
	const hosts, rounds = 1000, 3
	template, err := iso.NewTemplate(bootable(b, oldLKRN))
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	original := filepath.Join(dir, "original")
	each(b, dir, 1, func(int, string) error { return writeImage(template, original, 0) })

	for b.Loop() {
		var ours, copies []time.Duration
		for range rounds {
			ours = append(ours, each(b, dir, hosts, func(n int, path string) error {
				return writeImage(template, path, n)
			}))
			copies = append(copies, each(b, dir, hosts, func(_ int, path string) error {
				return copyFile(path, original)
			}))
		}
		slices.Sort(ours)
		slices.Sort(copies)
		image := ours[rounds/2] / hosts
		b.ReportMetric(float64(image.Microseconds()), "µs/image")
		b.ReportMetric(float64(ours[rounds/2])/float64(copies[rounds/2]), "×copies")

		if _, err := exec.LookPath("xorriso"); err != nil {
			b.Log("xorriso is not installed: run 'make deps'")
			continue
		}
		const runs = 20
		root := xorrisoRoot(b, dir)
		xorriso := each(b, dir, runs, func(_ int, path string) error {
			return exec.Command("xorriso", "-as", "mkisofs", "-o", path, "-isohybrid-mbr", isohdpfx,
				"-c", "boot.cat",
				"-b", "isolinux/isolinux.bin", "-no-emul-boot", "-boot-load-size", "4",
				"-boot-info-table",
				"-eltorito-alt-boot", "-e", "esp.img", "-no-emul-boot",
				"-isohybrid-gpt-basdat", root).Run()
		}) / runs
		b.ReportMetric(float64(image)/float64(xorriso), "×xorriso")
	}
}

// each makes files by write in a new folder and returns the time until they are
// on the disk.
func each(b *testing.B, dir string, count int, write func(n int, path string) error) time.Duration {
	b.Helper()
	sub, err := os.MkdirTemp(dir, "")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(sub)
	f, err := os.Open(sub)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	began := time.Now()
	for n := range count {
		if err := write(n, filepath.Join(sub, fmt.Sprintf("host%d.iso", n))); err != nil {
			b.Fatal(err)
		}
	}
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func writeImage(template *iso.Template, path string, n int) error {
	m, err := template.Image(fmt.Appendf(nil, "#!ipxe\nset host host%d\n", n))
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := m.WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}

// copyFile copies as cp does: the kernel moves the bytes.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// xorrisoRoot is the folder that xorriso makes an image of: ISOLINUX and a FAT
// file system out of an image of ours.
func xorrisoRoot(b *testing.B, dir string) string {
	b.Helper()
	root := filepath.Join(dir, "root")
	l := bootable(b, oldLKRN)
	esp := tool(b, "isoinfo", "-x", "/ESP.IMG;1", "-i", filepath.Join(dir, "original"))
	for name, content := range map[string][]byte{
		"isolinux/isolinux.bin": l.ISOLINUX, "isolinux/ldlinux.c32": l.LDLinux,
		"isolinux/ipxe.krn": l.LKRN, "esp.img": []byte(esp),
		"isolinux/isolinux.cfg": []byte("DEFAULT ipxe\nLABEL ipxe\nKERNEL ipxe.krn\n"),
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return root
}
