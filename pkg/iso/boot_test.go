//go:build linux

package iso_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pxesrv/pkg/iso"
	"pxesrv/pkg/lab"
)

// patience is for one step of one machine on a loaded computer; the steps take some seconds on an idle one.
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
		ISOLINUX: read(t, isolinux), LDLinux: read(t, ldlinux), ISOHDPFX: read(t, isohdpfx), LKRN: read(t, lkrn),
		EFI: read(t, lab.IPXE(t, "ipxe.efi")),
	}
}

// bootScript says that it runs and goes on to the local disk, as the script of a host does. From a stick the first disk of a BIOS is
// the stick itself, which then has to hand back the turn.
const bootScript = `#!ipxe
echo SCRIPT-OF-THE-IMAGE ${platform} ${version}
iseq ${platform} efi && exit 1 ||
sanboot --no-describe --drive 0x80 || sanboot --no-describe --drive 0x81 || exit 1`

// TestBoot boots the image as a CD and as a USB stick: by BIOS with iPXE of 2019 and of today, by UEFI with today's. Firmware
// may find the loader on a stick by the boot catalog, as OVMF does, or by the partition table: without the catalog it must.
func TestBoot(t *testing.T) {
	const (
		cd = iota
		stick
		stickWithoutCatalog
	)
	for _, test := range []struct {
		name     string
		old      bool // iPXE of 2019
		uefi     bool
		medium   int
		platform string
	}{
		{"BIOS 2019 CD", true, false, cd, "pcbios 1.0.0"},
		{"BIOS 2019 USB", true, false, stick, "pcbios 1.0.0"},
		{"BIOS today CD", false, false, cd, "pcbios"},
		{"BIOS today USB", false, false, stick, "pcbios"},
		{"UEFI today CD", false, true, cd, "efi"},
		{"UEFI today USB", false, true, stick, "efi"},
		{"UEFI today USB, partition table only", false, true, stickWithoutCatalog, "efi"},
	} {
		t.Run(test.name, func(t *testing.T) {
			lkrn := oldLKRN
			if !test.old {
				lkrn = lab.IPXE(t, "ipxe.lkrn")
			}
			image := write(t, bootable(t, lkrn), bootScript)
			vm := lab.VM{UEFI: test.uefi, Disk: lab.Disk(t)}
			if test.medium == cd {
				vm.CD = image
			} else {
				vm.USB = image
			}
			if test.medium == stickWithoutCatalog {
				overwrite(t, image, 17*2048, make([]byte, 2048))
			}
			disk := lab.BootedBIOS
			if test.uefi {
				disk = lab.BootedUEFI
			}
			began := time.Now()
			m := lab.Start(t, vm)
			defer m.Stop()
			m.Expect("SCRIPT-OF-THE-IMAGE "+test.platform, patience)
			t.Logf("script after %v", time.Since(began).Round(100*time.Millisecond))
			m.Expect(disk, patience)
			t.Logf("disk after %v", time.Since(began).Round(100*time.Millisecond))
		})
	}
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
