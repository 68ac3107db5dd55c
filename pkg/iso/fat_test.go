//go:build linux

package iso

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pxesrv/pkg/lab"
)

// TestFAT makes file systems of all sizes, around the limit between FAT12 and
// FAT16 cluster by cluster, and has them read by other programs: fsck.fat must
// find nothing, must take them for what we take them for, and mtools must find
// the files.
func TestFAT(t *testing.T) {
	lab.Needs(t, "mtype")
	sizes := []int{1, 2047, 2048, 2049, 100_000, 1 << 20, 4 << 20, 16<<20 + 1, 20 << 20}
	const other = 5 // clusters of the script and the two folders
	for _, clusters := range []int{
		// A table of 1, 2 and 3 sectors is full.
		339, 340, 341, 680, 681, 682, 683,
		// FAT12 until 16 clusters before the limit, FAT16 from there.
		4067, 4068, 4069, 4084, 4085, 4086, 4100, 4101, 4102,
		// A table of 16, 17 sectors of FAT16 is full.
		4093, 4094, 4095, 4349, 4350, 4351,
	} {
		sizes = append(sizes, (clusters-other)*cluster)
	}
	script := fillSlot([]byte("#!ipxe\n"))
	for _, size := range sizes {
		content := bytes.Repeat([]byte{'a', 'b', byte(size)}, size/3+1)[:size]
		image, at, err := newFAT(0x12345678, []efiFile{{"BOOTX64 EFI", content}}, script)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		need := up(size, cluster)/cluster + other
		shape := shapeFor(need)
		if len(image) != shape.sectors*fatSector || at%cluster != 0 ||
			!bytes.HasPrefix(image[at:], script) {
			t.Errorf("%d bytes: image of %d bytes, script at %d", size, len(image), at)
		}
		if n := shape.clusters; n < need || n > maxFAT12-limitMargin && n <= maxFAT12+limitMargin {
			t.Errorf("%d bytes: %d clusters, %d are needed", size, n, need)
		}
		path := filepath.Join(t.TempDir(), "fat.img")
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		said := tool(t, "fsck.fat", "-n", "-v", path)
		bits := "12 bit entries"
		if shape.fat16 {
			bits = "16 bit entries"
		}
		if !strings.Contains(said, bits) ||
			!strings.Contains(said, fmt.Sprintf("%d data clusters", shape.clusters)) ||
			!strings.HasSuffix(said, fmt.Sprintf("5 files, %d/%d clusters\n", need,
				shape.clusters)) {
			t.Errorf("%d bytes: want %s, %d of %d clusters; fsck.fat says\n%s", size, bits, need,
				shape.clusters, said)
		}
		if got := tool(t, "mtype", "-i", path, "::EFI/BOOT/BOOTX64.EFI"); got != string(content) {
			t.Errorf("%d bytes: mtools reads %d other ones", size, len(got))
		}
		if got := tool(t, "mtype", "-i", path, "::autoexec.ipxe"); got != string(script) {
			t.Errorf("%d bytes: mtools reads the script %.40q", size, got)
		}
	}
}

// tool runs a program that 'make deps' installs and returns what it prints.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	// not in the PATH of all users
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil && cmd.Err != nil {
		cmd.Path, cmd.Err = path, nil
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s(when it is not there: 'make deps')", strings.Join(cmd.Args, " "),
			err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
