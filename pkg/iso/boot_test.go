//go:build linux

package iso_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pxesrv/pkg/iso"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/qemu"
)

// patience is for one step of one machine on a loaded computer; the steps take
// some seconds on an idle one.
const patience = 3 * time.Minute

// The old iPXE and ISOLINUX, as 'make deps' installs them.
const (
	oldLKRN  = "/boot/ipxe.lkrn"
	isolinux = "/usr/lib/ISOLINUX/isolinux.bin"
	isohdpfx = "/usr/lib/ISOLINUX/isohdpfx.bin"
	ldlinux  = "/usr/lib/syslinux/modules/bios/ldlinux.c32"
)

// read reads a file that 'make deps' provides.
func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run 'make deps'", err)
	}
	return b
}

// bootable are real loaders with this ipxe.lkrn, for all ways to boot.
func bootable(t testing.TB, lkrn string) iso.Loaders {
	return iso.Loaders{
		ISOLINUX: read(t, isolinux), LDLinux: read(t, ldlinux), ISOHDPFX: read(t, isohdpfx),
		LKRN: read(t, lkrn),
		EFI:  read(t, lab.IPXE(t, "ipxe.efi")),
	}
}

// TestBootByPartitionTable: firmware may find the loader on a stick by the boot
// catalog, as OVMF does, or by the partition table. Without the catalog it
// must. All other ways to boot are in TestISOBoots of cmd/pxesrv.
func TestBootByPartitionTable(t *testing.T) {
	image := write(t, bootable(t, oldLKRN), "#!ipxe\necho SCRIPT-OF-THE-IMAGE ${platform}\nexit 1")
	overwrite(t, image, 17*2048, make([]byte, 2048))
	m := qemu.Start(t, qemu.VM{UEFI: true, USB: image, Disk: qemu.Disk(t)})
	defer m.Stop()
	m.Expect("SCRIPT-OF-THE-IMAGE efi", patience)
	m.Expect(qemu.BootedUEFI, patience)
}

// overwrite changes a file.
func overwrite(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// write writes an image into the test's folder.
func write(t testing.TB, l iso.Loaders, script string) string {
	t.Helper()
	template, err := iso.NewTemplate(l)
	if err != nil {
		t.Fatal(err)
	}
	image, err := template.Image([]byte(script))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "host.iso")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := image.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	return path
}
