//go:build linux

package media_test

import (
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/iso"
	"pxesrv/pkg/media"
)

// BenchmarkWrite writes the images of 1000 hosts, checksums and all, beside as
// many plain copies of one of them with one sync at the end. "×copies" is how
// many times of theirs ours took, "unchanged×copies" a second run that finds
// all as it should be.
func BenchmarkWrite(b *testing.B) {
	const count, rounds = 1000, 3
	kit := open(b)
	var names []string
	var images []*iso.Image
	for n := range count {
		h := host(fmt.Sprintf("host%d", n), n)
		m, _, err := kit.Image(h, false)
		if err != nil {
			b.Fatal(err)
		}
		names, images = append(names, media.FileName(h.Name)), append(images, m)
	}
	var all iter.Seq2[string, *iso.Image] = func(yield func(string, *iso.Image) bool) {
		for i, name := range names {
			if !yield(name, images[i]) {
				return
			}
		}
	}
	top := b.TempDir()
	original := filepath.Join(top, "original.iso")
	f, err := os.Create(original)
	if err == nil {
		_, err = images[0].WriteTo(f)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	settle := func() { unix.Sync() }
	for b.Loop() {
		var ours, again, copies []time.Duration
		for round := range rounds {
			dir := filepath.Join(top, fmt.Sprint("ours", round))
			settle()
			for _, took := range []*[]time.Duration{&ours, &again} {
				began := time.Now()
				if _, err := media.Write(b.Context(), dir, all,
					media.WriteOptions{Sums: true}); err != nil {
					b.Fatal(err)
				}
				*took = append(*took, time.Since(began))
			}
			os.RemoveAll(dir)
			dir = filepath.Join(top, fmt.Sprint("copies", round))
			settle()
			copies = append(copies, copyMany(b, dir, original, names))
			os.RemoveAll(dir)
		}
		slices.Sort(ours)
		slices.Sort(again)
		slices.Sort(copies)
		b.ReportMetric(float64(ours[rounds/2].Microseconds())/count, "µs/image")
		b.ReportMetric(float64(ours[rounds/2])/float64(copies[rounds/2]), "×copies")
		b.ReportMetric(float64(again[rounds/2])/float64(copies[rounds/2]), "unchanged×copies")
	}
}

// copyMany copies a file as cp does, the kernel moves the bytes, and returns
// how long it takes until all are on the disk.
func copyMany(b *testing.B, dir, original string, names []string) time.Duration {
	b.Helper()
	began := time.Now()
	if err := os.Mkdir(dir, 0o777); err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		in, err := os.Open(original)
		if err != nil {
			b.Fatal(err)
		}
		out, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			b.Fatal(err)
		}
		in.Close()
		if err := out.Close(); err != nil {
			b.Fatal(err)
		}
	}
	folder, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer folder.Close()
	if err := unix.Syncfs(int(folder.Fd())); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}
