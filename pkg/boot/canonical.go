package boot

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// addressName returns the name of an address, without zone. It is an error when
// its eight groups have two digits each, which is an EUI-64 as well: such an
// address (10:20:30:40:50:60:70:80) is in 0000::/8, which RFC 4291 reserves.
func addressName(a netip.Addr) (string, error) {
	a = a.Unmap().WithZone("")
	name := a.String()
	if a.Is4() {
		return name, nil
	}
	if _, err := parseMAC(name); err == nil {
		return "", errors.New(
			"is an address of the reserved network ::/8 that looks like a MAC address")
	}
	return name, nil
}

// FreeForm returns the canonical spelling of a serial, asset tag or host name:
// each run of characters other than A-Z a-z 0-9 . _ : - becomes one hyphen,
// with none at the ends. It is an error when nothing is left, when more than
// 128 bytes are left, and when the text looks like an address, a MAC or a uuid.
func FreeForm(text string) (string, error) {
	name := squash(text)
	switch {
	case name == "":
		return "", fmt.Errorf("has no letter or digit")
	case len(name) > maxName:
		return "", fmt.Errorf("is longer than %d characters", maxName)
	}
	for _, s := range slices.Compact([]string{text, name}) {
		if isAddress(s) {
			return "", fmt.Errorf("looks like an address")
		}
		if _, err := parseMAC(s); err == nil && strings.ContainsAny(s, ":-.") {
			return "", fmt.Errorf("looks like a MAC address")
		}
		if _, err := parseUUID(s); err == nil {
			return "", fmt.Errorf("looks like a uuid")
		}
	}
	return name, nil
}

func isAddress(text string) bool {
	if !strings.ContainsAny(text, ":.") {
		return false
	}
	_, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return err == nil
}

const maxName = 128

// IsName reports whether text can be a name at all: nothing else reaches the
// file system. [A-Za-z0-9][A-Za-z0-9._:-]{0,127}, and the IPv6 addresses that
// begin with a colon.
func IsName(text string) bool {
	if text == "" || len(text) > maxName {
		return false
	}
	for i := range len(text) {
		if !nameByte(text[i]) {
			return false
		}
	}
	if isAlnum(text[0]) {
		return true
	}
	a, err := netip.ParseAddr(text)
	return err == nil && a.String() == text
}

func isAlnum(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

func nameByte(b byte) bool { return isAlnum(b) || b == '.' || b == '_' || b == ':' || b == '-' }

// squash replaces each run of foreign bytes, and the hyphens beside it, by one
// hyphen, and cuts what no name begins or ends with.
func squash(text string) string {
	cut := func(s string) string { return strings.TrimRight(strings.TrimLeft(s, "-._:"), "-") }
	if !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 || !nameByte(byte(r)) }) {
		return cut(text)
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		j, foreign := i, false
		for j < len(text) && (!nameByte(text[j]) || text[j] == '-') {
			foreign = foreign || text[j] != '-'
			j++
		}
		switch {
		case foreign:
			out = append(out, '-')
		default:
			out = append(out, text[i:j]...)
		}
		if i = j; i < len(text) {
			out = append(out, text[i])
			i++
		}
	}
	return cut(string(out))
}

var (
	errUUID = errors.New("is not a uuid")
	errMAC  = errors.New("is not a MAC address")
)

// parseUUID returns a uuid in lower case with hyphens. It takes any case, with
// or without hyphens, in braces or as a URN.
func parseUUID(text string) (string, error) {
	if len(text) < 32 {
		return "", errUUID
	}
	s := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"))
	s = strings.TrimPrefix(s, "urn:uuid:")
	if len(s) == 32 {
		s = s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
	}
	if len(s) != 36 {
		return "", errUUID
	}
	for i := range len(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if hyphen != (s[i] == '-') || !hyphen && !isHexDigit(s[i]) {
			return "", errUUID
		}
	}
	return s, nil
}

// swapUUID returns the uuid with its first three fields in the other byte
// order. SMBIOS before 2.6, some firmware and ${uuid:hexraw} have them so.
func swapUUID(u string) string {
	if len(u) != 36 {
		return ""
	}
	var out [36]byte
	copy(out[:], u)
	for i, from := range [...]int{6, 7, 4, 5, 2, 3, 0, 1, 8, 11, 12, 9, 10, 13, 16, 17, 14, 15} {
		out[i] = u[from]
	}
	return string(out[:])
}

// parseMAC returns a hardware address of 6 or 8 bytes (Ethernet, EUI-64, the
// GUID of InfiniBand) in lower case with hyphens. Of the 20 bytes that
// InfiniBand has for an address the last 8 are the GUID; the first change from
// boot to boot. It takes colons or hyphens, dotted groups of four
// (aabb.ccdd.eeff), bare digits, and a leading hardware type as PXELINUX writes
// it (01-aa-bb-cc-dd-ee-ff, 20 before a GUID).
func parseMAC(text string) (string, error) {
	m, err := parseHardware(text)
	return shortGUID(m), err
}

// shortGUID is an address of 20 bytes without the first 12, and every other as
// it is.
func shortGUID(m string) string {
	if len(m) == len20 {
		return m[len20-len8:]
	}
	return m
}

// How long an address of so many bytes is, with its hyphens.
const (
	len6  = 6*3 - 1
	len8  = 8*3 - 1
	len20 = 20*3 - 1
)

// parseHardware is parseMAC with all 20 bytes.
func parseHardware(text string) (string, error) {
	if len(text) < 12 {
		return "", errMAC
	}
	sep, group := text[2], 2
	switch {
	case sep == ':' || sep == '-':
		n := len(text) - 3
		if n == len6 && text[:2] == "01" || (n == len8 || n == len20) && text[:2] == "20" {
			text = text[3:]
		}
	case text[4] == '.':
		sep, group = '.', 4
	default:
		sep = 0
	}
	out := make([]byte, 0, len20)
	for i, digits, inGroup := 0, 0, 0; i < len(text); i++ {
		b := text[i]
		switch {
		case sep != 0 && inGroup == group:
			if inGroup = 0; b != sep {
				return "", errMAC
			}
			continue
		case !isHexDigit(b) || len(out) == len20:
			return "", errMAC
		case digits > 0 && digits%2 == 0:
			out = append(out, '-')
		}
		if 'A' <= b && b <= 'F' {
			b += 'a' - 'A'
		}
		out = append(out, b)
		digits++
		inGroup++
	}
	switch n := (len(out) + 1) / 3 * 2; {
	case len(out)%3 != 2 || sep != 0 && (len(text)+1)%(group+1) != 0,
		n != 12 && (sep == 0 || n != 16 && n != 40):
		return "", errMAC
	}
	return string(out), nil
}

// Canonical returns the name that a text is by the rules of claims: a MAC, uuid
// or address in the spellings of machines, or any other text as FreeForm has
// it. A machine finds a file exactly when its name is its own canonical
// spelling. For what a person means by a text, see Meant.
func Canonical(text string) (Name, error) {
	text = strings.TrimSpace(text)
	if u, err := parseUUID(text); err == nil {
		return Name{u, UUID}, nil
	}
	if m, err := parseMAC(text); err == nil && strings.ContainsAny(text, ":-.") {
		return Name{m, MAC}, nil
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		name, err := addressName(a)
		return Name{name, Address}, err
	}
	f, err := FreeForm(text)
	return Name{f, Typed}, err
}
