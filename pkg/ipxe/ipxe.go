// Package ipxe holds the scripts we write ourselves: the one that makes a
// client say who it is, the one that boots the local disk, and the one in a
// host's own ISO.
//
// They are written for every iPXE in use, from QEMU's and Debian 12's of 2019
// to today's, on BIOS and UEFI. The comments name what iPXE does and the source
// file (src/... of the iPXE project) that says so.
package ipxe

import "strings"

// Path is where the identification script asks again, with its query. It is
// path-absolute and names no host: iPXE resolves it against the URL the script
// itself came from (src/core/image.c sets the working URI of each image it
// runs), so it works behind every name, port and proxy.
const Path = "/redirect"

// magic is the first line of a script: iPXE knows one by these bytes and
// nothing else (src/image/script.c).
const magic = "#!ipxe\n"

// local boots the local disk; all our scripts end in it.
//
// UEFI: an application that ends with an error makes the boot manager go on to
// the next entry; one that ends well makes it stop, in OVMF in the setup menu
// (UEFI specification, 3.1.1). Hence 'exit 1'.
//
// BIOS: drive 0x80 is the first disk; when we came from a USB stick 0x80 is the
// stick. The sticks of pkg/iso give the turn back then, and that leads on to
// 0x81; others may start anew. --no-describe because there is no SAN to
// describe to an operating system. A sanboot that works does not return.
const local = `echo Booting the local disk
iseq ${platform} efi && exit 1 ||
sanboot --no-describe --drive 0x80 || sanboot --no-describe --drive 0x81 || exit 1
`

// identity puts who the machine is into the setting q, as a query.
//
//   - Text from the firmware goes as plain hex digits (:hexraw, names ending in
//     x), which all versions send unharmed; plain and :uristring values lose &,
//     +, % or bytes above 0x7f (src/core/settings.c, src/core/uri.c).
//   - An unset value expands to nothing, so a machine with one card just sends
//     dots in macs.
//   - netX is the card opened last, the one that booted
//     (src/net/netdev_settings.c).
//   - bustype is PCI, USB, EFI … (src/net/netdev_settings.c). Of a card that
//     the firmware drives it is the bus of the nearest PCI device, a USB
//     controller perhaps (src/interface/efi/efi_utils.c), so that a USB card
//     may say PCI there.
const identity = `set q uuid=${uuid}&mac=${netX/mac:hexhyp}&arch=${buildarch}&platform=${platform}&version=${version}
set q ${q}&macs=${net0/mac:hexhyp}.${net1/mac:hexhyp}.${net2/mac:hexhyp}.${net3/mac:hexhyp}
set q ${q}.${net4/mac:hexhyp}.${net5/mac:hexhyp}.${net6/mac:hexhyp}.${net7/mac:hexhyp}
set q ${q}&bus=${net0/bustype}.${net1/bustype}.${net2/bustype}.${net3/bustype}
set q ${q}.${net4/bustype}.${net5/bustype}.${net6/bustype}.${net7/bustype}
set q ${q}&serialx=${serial:hexraw}&manufacturerx=${manufacturer:hexraw}&productx=${product:hexraw}
set q ${q}&assetx=${asset:hexraw}&boardx=${board-serial:hexraw}&hostnamex=${hostname:hexraw}
`

// identify gathers the identity, asks with it, and runs the answer.
//
//   - imgfetch apart from imgexec: a served script that fails is not a failed
//     request and must not be fetched again. --timeout counts anew whenever
//     bytes arrive (src/core/monojob.c).
//   - imgexec --replace ends this script and runs the served one in its place,
//     so that its exit status is the one the firmware gets
//     (src/hci/commands/image_cmd.c). It comes back only when the answer is no
//     program.
//   - A running script is not in the list of images (src/image/script.c), so
//     the name "served" is free again when the served script leads back to this
//     one.
//   - errno is that of the last command that failed, and iseq fails too; hence
//     why.
const identify = identity + `set try:int32 0
:ask
imgfetch --name served --timeout 8000 ` + Path + `?${q}&try=${try} && goto run ||
set why ${errno}
inc try
iseq ${try} 3 && goto down ||
sleep ${try}
goto ask
:run
imgexec --replace --autofree served ||
set why ${errno}
:down
echo NO BOOT SCRIPT from the server at ` + Path + `: error ${why}
sleep 5
`

// address gets an address for a script that names the server.
const address = `isset ${netX/ip} || dhcp ||
`

// addressHere does it for one that does not. After HTTP Boot iPXE runs the
// script that it found beside itself before it has an address, and its DHCP
// makes the TFTP server that it is told the place where paths lead to
// (src/net/udp/tftp.c). So the script loads itself once more from where it
// came. What knows no cwuri, iPXE of 2019, comes with an address.
const addressHere = `isset ${netX/ip} && goto who ||
isset ${here} && goto who ||
set here ${cwuri}
dhcp || goto who
isset ${here} && chain --replace ${here} ||
:who
`

// Identify returns the identification script: the answer to a request that says
// nothing about the client.
//
// The client runs it, gathers uuid, mac, macs and bus (net0 to net7 joined by
// '.'), arch, platform, version and, in hex, serialx, manufacturerx, productx,
// assetx, boardx and hostnamex, and asks GET /redirect?... with them and try=0;
// after a failure or 8 s of silence once more with try=1 and try=2. What it
// gets runs in place of this script. Without an answer it says so on the screen
// for 5 s and boots the local disk as Local does.
//
// A request with a query must never be answered with this script: the client
// would ask forever.
func Identify() []byte { return IdentifyAt("") }

// IdentifyAt returns the identification script for a client that did not fetch
// it from the HTTP server: over TFTP, or as the initrd of a loader, which loses
// the URL. base is the server's address, "http://10.0.0.1:4567", without a
// slash at the end.
func IdentifyAt(base string) []byte {
	begin := address
	if base == "" {
		begin = addressHere
	}
	return []byte(magic + begin + strings.ReplaceAll(identify, " "+Path, " "+base+Path) + local)
}

// Local returns the script that boots the local disk: under UEFI it ends with
// an error, so that the firmware goes on to its next boot entry; under BIOS it
// starts the first disk, else the second, else gives back to the firmware.
func Local() []byte { return []byte(magic + local) }
