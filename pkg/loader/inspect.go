package loader

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strings"

	"pxesrv/pkg/ipxe"
)

// Build is what can be told of a boot program from its bytes.
type Build struct {
	// Loader is the platform, the version and what the build can do. Its platform is "" where the file shows none.
	ipxe.Loader
	// IPXE: it is iPXE at all.
	IPXE bool
	// Arch is the processor that a program for UEFI is made for: x86_64, arm64, i386, arm, riscv64, loong64; or machine 0x….
	// BIOS builds are i386.
	Arch string
	// How says where the features come from, for people.
	How string
}

// machines are the processors in the header of a PE file (Microsoft PE format, "Machine Types").
var machines = map[uint16]string{0x014c: "i386", 0x8664: "x86_64", 0x01c2: "arm", 0xaa64: "arm64", 0x5064: "riscv64", 0x6264: "loong64"}

// version is the text that iPXE prints at its start: 1.0.0+git-20190125.36a4c85-5.1, 1.21.1+ (g123), 2.0.0+.
var version = regexp.MustCompile(`\x00([0-9]+\.[0-9]+\.[0-9]+[-+~.0-9A-Za-z() ]{0,100})\x00`)

// Inspect tells what a build of iPXE can do. It takes any bytes.
//
// Programs for UEFI are not compressed, so the names of commands, settings and schemes stand in them, each ended by a zero.
// Of BIOS builds only the beginning is readable: an ipxe.lkrn has the header of a Linux kernel with the version in it
// (Documentation/arch/x86/boot.rst), undionly.kpxe has nothing. What is known of that version is taken; of an unknown one
// what the poorest stock build can do.
func Inspect(body []byte) Build {
	switch {
	case isPE(body):
		return inspectEFI(body)
	case len(body) > 0x210 && string(body[0x202:0x206]) == "HdrS":
		return bios(kernelVersion(body))
	}
	return Build{Loader: ipxe.Loader{Assumed: true, Features: poorest.Features}, How: "the file shows nothing of what it can do"}
}

func isPE(body []byte) bool {
	if len(body) < 0x40 || string(body[:2]) != "MZ" {
		return false
	}
	at := int64(binary.LittleEndian.Uint32(body[0x3c:]))
	return at+6 <= int64(len(body)) && string(body[at:at+4]) == "PE\x00\x00"
}

func inspectEFI(body []byte) Build {
	b := Build{IPXE: bytes.Contains(body, []byte("iPXE")), How: "found in the file"}
	b.Platform = ipxe.UEFI
	machine := binary.LittleEndian.Uint16(body[binary.LittleEndian.Uint32(body[0x3c:])+4:])
	if b.Arch = machines[machine]; b.Arch == "" {
		const digits = "0123456789abcdef"
		b.Arch = "machine 0x" + string([]byte{digits[machine>>12], digits[machine>>8&15], digits[machine>>4&15], digits[machine&15]})
	}
	if !b.IPXE {
		b.How = "not iPXE"
		return b
	}
	if v := version.FindSubmatch(body); v != nil {
		b.Version = string(v[1])
	}
	has := func(word string) bool { return bytes.Contains(body, []byte("\x00"+word+"\x00")) }
	b.Features = ipxe.Features{
		Autoexec: readsAutoexec(body),
		VLAN:     has("vcreate"),
		IPv6:     has("gateway6") && has("len6"), // the settings come with the protocol (src/net/ipv6.c)
		HTTPS:    has("https"),
		LinkWait: has("iflinkwait"),
		Replace:  has("imgexec") && has("replace"),
		DNS:      dnsServers(b.Version),
	}
	return b
}

// readsAutoexec reports whether a build for UEFI fetches autoexec.ipxe by itself: the name is in it as ASCII, or as UTF-16.
func readsAutoexec(body []byte) bool {
	const name = "autoexec.ipxe"
	wide := make([]byte, 0, 2*len(name))
	for _, c := range []byte(name) {
		wide = append(wide, c, 0)
	}
	return bytes.Contains(body, []byte(name)) || bytes.Contains(body, wide)
}

// kernelVersion returns the text to which the header of a Linux kernel points.
func kernelVersion(body []byte) string {
	at := 0x200 + int(binary.LittleEndian.Uint16(body[0x20e:]))
	if at >= len(body) {
		return ""
	}
	text := body[at:min(at+100, len(body))]
	end := bytes.IndexByte(text, 0)
	if end < 0 {
		return ""
	}
	if v := version.FindSubmatch([]byte("\x00" + string(text[:end]) + "\x00")); v != nil {
		return string(v[1])
	}
	return ""
}

// known are the BIOS builds whose commands were tried in QEMU, by how their version begins.
//
// The build of Debian 13 has VLANs, IPv6 and HTTPS; the BIOS builds of iPXE 2 as they come from its makers have none of them.
var known = []struct {
	begins   string
	features ipxe.Features
}{
	{"1.0.0+git-20190125.", ipxe.Features{IPv6: true, Replace: true, DNS: 1}},
	{"1.21.1+git20250501.dad20602+dfsg-", ipxe.Features{VLAN: true, IPv6: true, HTTPS: true, LinkWait: true, Replace: true, DNS: ipxe.ManyDNS}},
	{"2.", ipxe.Features{LinkWait: true, Replace: true, DNS: ipxe.ManyDNS}},
}

// poorest is what every stock build can do. To ask for iflinkwait does no harm where it is missing.
var poorest = ipxe.Loader{Features: ipxe.Features{LinkWait: true, Replace: true, DNS: 1}}

// BIOS returns what is known of the BIOS build of a version, for files that do not show theirs: an ipxe.efi of the same
// package has it.
func BIOS(version string) Build { return bios(version) }

func bios(version string) Build {
	b := Build{IPXE: version != "", Arch: "i386", Loader: ipxe.Loader{Platform: ipxe.BIOS, Version: version}}
	for _, k := range known {
		if strings.HasPrefix(version, k.begins) {
			b.Features, b.How = k.features, "known of this version"
			return b
		}
	}
	b.Features, b.Assumed, b.How = poorest.Features, true, "unknown version: assumed to be as poor as a stock build can be"
	return b
}

// dnsServers returns how many DNS servers a version asks. Nothing in the file shows it. iPXE of 2019 asks the first alone, that
// of 2025 each in turn; of those between, one is what is certain.
func dnsServers(version string) int {
	if strings.HasPrefix(version, "2.") {
		return ipxe.ManyDNS
	}
	if _, day, ok := strings.Cut(version, "+git"); ok && len(day) >= 8 && day[:8] >= "20250501" && day[:8] <= "29991231" {
		return ipxe.ManyDNS
	}
	return 1
}
