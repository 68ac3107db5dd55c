package loader

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"regexp"
	"strings"
	"sync"

	"pxesrv/pkg/ipxe"
)

// Build is what can be told of a boot program from its bytes.
type Build struct {
	// Loader is the platform, the version and what the build can do. Its
	// platform is "" where the file shows none.
	ipxe.Loader
	// IPXE: it is iPXE at all.
	IPXE bool
	// Arch is the processor that a program for UEFI is made for: x86_64, arm64,
	// i386, arm, riscv64, loong64; or machine 0x…. BIOS builds are i386.
	Arch string
	// How says where the features come from, for people.
	How string
	// Starts is the program that a shim of Secure Boot starts, from the folder
	// that it lies in itself: grubx64.efi. "" is no shim.
	Starts string
	// Signed: a program for UEFI has a signature, whosever it is. Without one a
	// shim and Secure Boot start nothing.
	Signed bool
}

// says is a text that every build of iPXE has.
const says = "iPXE"

// machines are the processors in the header of a PE file (Microsoft PE format,
// "Machine Types").
var machines = map[uint16]string{0x014c: "i386", 0x8664: "x86_64", 0x01c2: "arm", 0xaa64: "arm64",
	0x5064: "riscv64", 0x6264: "loong64"}

// version is the text that iPXE prints at its start:
// 1.0.0+git-20190125.36a4c85-5.1, 1.21.1+ (g123), 2.0.0+. Before it stands the
// zero of another text, in BIOS builds perhaps with code for nothing behind it
// (90, which is no UTF-8).
var version = regexp.MustCompile(
	`[\x00\x{fffd}]([0-9]+\.[0-9]+\.[0-9]+[-+~.0-9A-Za-z() ]{0,100})\x00`)

// Inspect tells what a build of iPXE can do. It takes any bytes.
//
// The names of commands, settings and schemes stand in a build, each ended by a
// zero: in programs for UEFI as they are, in BIOS builds (ipxe.lkrn,
// undionly.kpxe, ROMs) packed.
func Inspect(body []byte) Build {
	if isPE(body) {
		return inspectEFI(body)
	}
	return inspectedBIOS(body)
}

// inspected are the BIOS builds that were inspected last: to unpack one takes
// a tenth of a second, and the same few files are asked for again and again.
var inspected struct {
	sync.Mutex
	builds map[[sha256.Size]byte]Build
}

func inspectedBIOS(body []byte) Build {
	inspected.Lock()
	defer inspected.Unlock()
	sum := sha256.Sum256(body)
	b, known := inspected.builds[sum]
	if !known {
		if inspected.builds == nil || len(inspected.builds) == 32 {
			inspected.builds = map[[sha256.Size]byte]Build{}
		}
		b = inspectBIOS(body)
		inspected.builds[sum] = b
	}
	return b
}

func inspectBIOS(body []byte) Build {
	kernel, known := "", len(body) > 0x210 && string(body[0x202:0x206]) == "HdrS"
	// an ipxe.lkrn has the header of a Linux kernel with the version in it
	// (Documentation/arch/x86/boot.rst)
	if known {
		kernel = kernelVersion(body)
	}
	text := payload(body)
	if text == nil && bytes.Contains(body, []byte(says)) && hasWord(body, "imgexec") {
		text = body // a build that was not packed
	}
	if text == nil {
		b := Build{IPXE: kernel != "", How: "the file shows nothing of what it can do: assumed " +
			"to be as poor as a stock build can be"}
		b.Assumed, b.Features, b.Version = true, poorest, kernel
		if known {
			b.Platform, b.Arch = ipxe.BIOS, "i386"
		}
		return b
	}
	b := Build{IPXE: true, Arch: "i386", How: "found in the file"}
	b.Platform, b.Version, b.Features = ipxe.BIOS, cmp.Or(kernel, findVersion(text)), features(text)
	b.DNS = dnsServers(b.Version)
	return b
}

func isPE(body []byte) bool {
	if len(body) < 0x40 || string(body[:2]) != "MZ" {
		return false
	}
	at := int64(binary.LittleEndian.Uint32(body[0x3c:]))
	return at+6 <= int64(len(body)) && string(body[at:at+4]) == "PE\x00\x00"
}

func inspectEFI(body []byte) Build {
	b := Build{IPXE: bytes.Contains(body, []byte(says)), How: "found in the file"}
	b.Platform = ipxe.UEFI
	machine := binary.LittleEndian.Uint16(body[binary.LittleEndian.Uint32(body[0x3c:])+4:])
	if b.Arch = machines[machine]; b.Arch == "" {
		const digits = "0123456789abcdef"
		b.Arch = "machine 0x" + string([]byte{digits[machine>>12], digits[machine>>8&15],
			digits[machine>>4&15], digits[machine&15]})
	}
	b.Signed = isSigned(body)
	// The shim of iPXE names iPXE as its maker, and iPXE has its own name in
	// UTF-16, too.
	if !b.IPXE || managesKeys(body) {
		b.IPXE, b.How, b.Starts = false, "not iPXE", starts(body)
		return b
	}
	b.Version, b.Features = findVersion(body), features(body)
	b.Autoexec = readsAutoexec(body)
	b.DNS = dnsServers(b.Version)
	return b
}

// isSigned reports whether a PE32+ file has a table of certificates (Microsoft
// PE format, "Optional Header Data Directories").
func isSigned(body []byte) bool {
	optional := int64(binary.LittleEndian.Uint32(body[0x3c:])) + 24
	const certificates = 112 + 4*8 // the fifth of the directories, each an address and a size
	if optional+certificates+8 > int64(len(body)) ||
		binary.LittleEndian.Uint16(body[optional:]) != 0x20b {
		return false
	}
	return binary.LittleEndian.Uint32(body[optional+certificates+4:]) != 0
}

// findVersion returns the version that a build says of itself, or "".
func findVersion(text []byte) string {
	if v := version.FindSubmatch(text); v != nil {
		return string(v[1])
	}
	return ""
}

// hasWord reports whether a build has a text. What stands before it is as
// before a version.
func hasWord(text []byte, word string) bool {
	return bytes.Contains(text, []byte("\x00"+word+"\x00")) ||
		bytes.Contains(text, []byte("\x90"+word+"\x00"))
}

// features looks for what both kinds of builds have by the same names.
func features(text []byte) ipxe.Features {
	has := func(word string) bool { return hasWord(text, word) }
	return ipxe.Features{
		VLAN: has("vcreate"),
		// the settings come with the protocol (src/net/ipv6.c)
		IPv6:     has("gateway6") && has("len6"),
		HTTPS:    has("https"),
		LinkWait: has("iflinkwait"),
		Replace:  has("imgexec") && has("replace"),
	}
}

// readsAutoexec reports whether a build for UEFI fetches autoexec.ipxe by
// itself: the name is in it as ASCII, or as UTF-16.
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
	return findVersion([]byte("\x00" + string(text[:end]) + "\x00"))
}

// poorest is what every stock build can do. To ask for iflinkwait does no harm
// where it is missing.
var poorest = ipxe.Features{LinkWait: true, Replace: true, DNS: 1}

// dnsServers returns how many DNS servers a version asks. Nothing in the file
// shows it. iPXE of 2019 asks the first alone, that of 2025 each in turn; of
// those between, one is what is certain.
func dnsServers(version string) int {
	if strings.HasPrefix(version, "2.") {
		return ipxe.ManyDNS
	}
	if _, day, ok := strings.Cut(version, "+git"); ok && len(day) >= 8 && day[:8] >= "20250501" &&
		day[:8] <= "29991231" {
		return ipxe.ManyDNS
	}
	return 1
}
