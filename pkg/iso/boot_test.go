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

// bootScript says that it runs and goes on to the local disk. From a stick that is the second disk of a BIOS, from CD the first.
const bootScript = `#!ipxe
echo SCRIPT-OF-THE-IMAGE ${platform} ${version}
iseq ${platform} efi && exit 1 ||
sanboot --no-describe --drive 0x81 || sanboot --no-describe --drive 0x80 || exit 1`

// TestBoot boots the image as a CD and as a USB stick: by BIOS with iPXE of 2019 and of today, by UEFI with today's.
func TestBoot(t *testing.T) {
	for _, test := range []struct {
		name     string
		old      bool
		uefi     bool
		platform string
		disk     string
	}{
		{"BIOS 2019", true, false, "pcbios 1.0.0", lab.BootedBIOS},
		{"BIOS today", false, false, "pcbios 1.21", lab.BootedBIOS},
		{"UEFI today", false, true, "efi 1.21", lab.BootedUEFI},
	} {
		for _, medium := range []string{"CD", "USB"} {
			t.Run(test.name+" "+medium, func(t *testing.T) {
				lkrn := oldLKRN
				if !test.old {
					lkrn = lab.IPXE(t, "ipxe.lkrn")
				}
				vm := lab.VM{UEFI: test.uefi, Disk: lab.Disk(t)}
				image := write(t, bootable(t, lkrn), bootScript)
				if medium == "CD" {
					vm.CD = image
				} else {
					vm.USB = image
				}
				began := time.Now()
				m := lab.Start(t, vm)
				defer m.Stop()
				m.Expect("SCRIPT-OF-THE-IMAGE "+test.platform, patience)
				t.Logf("script after %v", time.Since(began).Round(100*time.Millisecond))
				m.Expect(test.disk, patience)
				t.Logf("disk after %v", time.Since(began).Round(100*time.Millisecond))
			})
		}
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
