package ipxe

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// Virtual is a file that the server writes itself.
type Virtual struct {
	// for the log: identification, local boot, PXELINUX configuration, GRUB
	// configuration
	What string
	// Text makes the file. base is the address of the HTTP server,
	// "http://10.0.0.1:4567"; it is "" when whoever runs the script fetched it
	// over HTTP and so knows the address.
	Text func(base string) []byte
	// Names is set when a file without base leads nowhere over TFTP.
	Names bool
}

var (
	identification = &Virtual{"identification", IdentifyAt, true}
	localBoot      = &Virtual{"local boot", func(string) []byte { return Local() }, false}
	pxelinux       = &Virtual{"PXELINUX configuration", pxelinuxConfig, true}
	grub           = &Virtual{"GRUB configuration", func(string) []byte {
		return []byte(grubConfig)
	}, false}
)

// exact are the paths that are ours, whatever the tree has there.
var exact = map[string]*Virtual{
	"/autoexec.ipxe": identification,
	"/boot.ipxe":     identification,
	"/boot.ipxe.0":   identification, // dnsmasq puts .0 behind a name
	"/local.ipxe":    localBoot,
}

// Exact returns the file of ours that has this clean, absolute path whatever
// the tree has there, or nil.
func Exact(name string) *Virtual { return exact[name] }

// ExactPaths returns the paths that Exact knows.
func ExactPaths() []string { return slices.Sorted(maps.Keys(exact)) }

// Instead returns the file of ours that stands in when the tree has none under
// this clean, absolute path, or nil.
//
//   - autoexec.ipxe: iPXE for UEFI, since 2022, asks for it in the folder that
//     it was itself loaded from.
//   - pxelinux.cfg/default: PXELINUX asks for it last, in the folder that it
//     was loaded from.
//   - grub.cfg: GRUB asks for it last, in the folder that it was built for.
func Instead(name string) *Virtual {
	dir, file := path.Split(name)
	switch {
	case file == "autoexec.ipxe":
		return identification
	case file == "default" && strings.HasSuffix(dir, "/pxelinux.cfg/"):
		return pxelinux
	case file == "grub.cfg":
		return grub
	}
	return nil
}

// pxelinuxConfig starts iPXE under PXELINUX with the identification script.
// lpxelinux.0 speaks HTTP, and so does pxelinux.0 where the card's own program
// is iPXE; elsewhere it goes on to the label behind ONERROR. A name behind "::"
// is one of the TFTP server, without the folder that PXELINUX was loaded from.
// The script always comes by TFTP: as an initrd it loses the address that it
// came from, and only over TFTP, where nobody knows that of the HTTP server, it
// always has that in it.
func pxelinuxConfig(base string) []byte {
	text := `LABEL tftp
  KERNEL ::ipxe.lkrn
  INITRD ::boot.ipxe
`
	if base == "" {
		return []byte("DEFAULT tftp\nPROMPT 0\n" + text)
	}
	return []byte("DEFAULT http\nPROMPT 0\nONERROR tftp\nLABEL http\n  KERNEL " + base +
		"/ipxe.lkrn\n  INITRD ::boot.ipxe\n" + text)
}

// grubConfig starts iPXE under GRUB, from the server that GRUB itself came
// from, which is $root.
//
//   - The iPXE is the one that uses the card through the firmware. That takes a
//     GRUB with the module peimage, as Debian has since 13: an older one keeps
//     the card to itself, snponly.efi finds none and comes back, and ipxe.efi
//     hangs.
//   - When iPXE comes back, because the machine is to boot its own disk, GRUB
//     has to do that: whatever exit says, the firmware takes it as success, and
//     OVMF then stops in its setup menu.
//   - GRUB knows no "||". It fetches the module of search from the server when
//     that was not built in.
const grubConfig = `if [ "$grub_platform" = efi ]; then
  if [ "$grub_cpu" = arm64 ]; then
    set program=/ipxe-arm64.efi
    set disk_program=/EFI/BOOT/BOOTAA64.EFI
  else
    set program=/snponly.efi
    set disk_program=/EFI/BOOT/BOOTX64.EFI
  fi
  if chainloader $program; then
    boot
  fi
  echo "Booting the local disk"
  if search --no-floppy --file --set=disk $disk_program; then
    chainloader ($disk)$disk_program
    boot
  fi
  exit
fi
linux16 /ipxe.lkrn
initrd16 /boot.ipxe
boot
`
