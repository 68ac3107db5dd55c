package ipxe

import "strings"

// Platform is a kind of firmware, as ${platform} of iPXE has it.
type Platform string

const (
	BIOS Platform = "pcbios"
	UEFI Platform = "efi"
)

func (p Platform) String() string {
	switch p {
	case BIOS:
		return "BIOS"
	case UEFI:
		return "UEFI"
	}
	return "unknown firmware"
}

// Features is what a build of iPXE can do, as far as our scripts rest on it.
type Features struct {
	// reads autoexec.ipxe beside itself; a BIOS build gets its script as initrd
	// and needs no such thing
	Autoexec bool
	VLAN     bool // vcreate
	IPv6     bool
	HTTPS    bool
	LinkWait bool // iflinkwait
	Replace  bool // imgexec --replace
	DNS      int  // how many of the DNS servers that are set it asks
}

// ManyDNS is Features.DNS of a build that asks each server in turn, however
// many there are.
const ManyDNS = 255

// Loader is a build of iPXE that is to run a script.
type Loader struct {
	Platform Platform
	Version  string // as it prints it; "" when that is not known
	Features
	// the features are those of the poorest stock build, since nobody looked
	// into this one
	Assumed bool
}

// String names the loader for people: "iPXE 1.21.1 for BIOS".
func (l Loader) String() string {
	words := []string{"iPXE"}
	if l.Version != "" {
		words = append(words, l.Version)
	}
	return strings.Join(append(words, "for", l.Platform.String()), " ")
}
