package loader

import (
	"bytes"
	"slices"
	"strings"
)

// iPXEs is what the shim of iPXE starts.
const iPXEs = "ipxe.efi"

// starts returns the program that a shim starts from its own folder: its file
// has the name as a string in UTF-16, behind one or two backslashes or none
// (shim's DEFAULT_LOADER). "" is when there is none, or more than one that
// could be it.
func starts(body []byte) string {
	var slashed, bare []string
	for _, n := range wideNames(body) {
		name := strings.ToLower(strings.TrimLeft(n, `\`))
		switch {
		case strings.Contains(name, `\`) || helper(name) || name == ".efi": // in a folder, or one of the shim's own
		case n[0] == '\\' && !slices.Contains(slashed, name):
			slashed = append(slashed, name)
		case n[0] != '\\' && !slices.Contains(bare, name):
			bare = append(bare, name)
		}
	}
	if len(slashed) == 0 {
		slashed = bare
	}
	if len(slashed) != 1 {
		return ""
	}
	return slashed[0]
}

// helper reports whether a name is that of a program or file that a shim uses
// itself: MokManager, the fallback program, lists of what is revoked,
// certificates.
func helper(name string) bool {
	for _, begin := range []string{"mm", "mok", "fb", "fallback", "revocations", "shim", "boot"} {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

// managesKeys reports whether a program is a shim for sure: it can start
// MokManager.
func managesKeys(body []byte) bool {
	for _, n := range wideNames(body) {
		if low := strings.ToLower(strings.TrimLeft(n, `\`)); strings.HasPrefix(low, "mm") ||
			strings.HasPrefix(low, "mok") {
			return true
		}
	}
	return false
}

// wideNames returns the strings in UTF-16 that are the name of a program for
// UEFI: letters, digits and - . _ \, ending in .efi.
func wideNames(body []byte) (all []string) {
	for _, end := range []string{".efi", ".EFI"} {
		wide := make([]byte, 0, 2*len(end)+2)
		for _, c := range []byte(end + "\x00") {
			wide = append(wide, c, 0)
		}
		for from := 0; ; {
			i := bytes.Index(body[from:], wide)
			if i < 0 {
				break
			}
			dot := from + i
			first := dot
			for first >= 2 && dot-first < 2*64 && body[first-1] == 0 && inName(body[first-2]) {
				first -= 2
			}
			if first < dot {
				name := []byte{}
				for at := first; at < dot; at += 2 {
					name = append(name, body[at])
				}
				all = append(all, string(name)+end)
			}
			from = dot + len(wide)
		}
	}
	return all
}

func inName(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' ||
		strings.IndexByte(`-._\`, c) >= 0
}

// Wants returns the programs that a shim asks for, beside itself, when firmware
// loaded it from the network under a name; the first is the one that it should
// ask for.
//
// The shim of iPXE asks for X.efi when its own name is X-shim.efi or
// X-shimx64.efi. It takes that name from the answer of DHCP that the firmware
// has kept, and on some firmware there is none: then it asks for ipxe.efi.
func (b Build) Wants(name string) []string {
	if b.Starts == "" {
		return nil
	}
	i := max(0, strings.LastIndexByte(name, '-'))
	arch, isShim := strings.CutPrefix(name[i:], "-shim")
	arch, isEFI := strings.CutSuffix(arch, ".efi")
	if own := name[:i] + ".efi"; b.Starts == iPXEs && isShim && isEFI && len(arch) <= len("aa64") &&
		i > 0 && own != iPXEs {
		return []string{own, iPXEs}
	}
	return []string{b.Starts}
}

// ShimNote says what a shim of this name starts, and what that needs; in one
// line.
func (b Build) ShimNote(name string) string {
	switch wants := b.Wants(name); len(wants) {
	case 0:
		return name + " is no shim: the name of no program that it starts stands in it."
	case 1:
		return name + " starts " + wants[0] +
			" from its own folder: put the signed iPXE there under that name."
	default:
		return name + " starts " + wants[0] + ", on some firmware " + wants[1] +
			", from its own folder: put the signed iPXE there under both."
	}
}
