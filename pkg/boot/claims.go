package boot

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Claims are what a request says of the machine that sends it: claims, not
// proofs. The zero value claims nothing.
type Claims struct {
	UUID         string
	Manufacturer string
	Product      string
	Serial       string
	Asset        string   // chassis asset tag
	Board        string   // base board serial number
	Host         string   // a name that the machine was given, for example by its own boot medium
	HostSig      string   // what signs Host; whoever knows the keys looks at it
	MACs         []string // the card that booted first, then all
	USB          []string // those of them that hang on USB
	Hostname     string   // DHCP option 12; recorded, never a name
	Arch         string   // ${buildarch}: i386, x86_64, arm64
	Platform     string   // ${platform}: pcbios, efi
	Version      string   // ${version} of iPXE; recorded, never a name
	Try          int      // how often this boot has asked before
	// Twice names the parameters that came more than once with different
	// values. The first value counts.
	Twice []string
}

// ParseQuery reads the raw query of a URL as iPXE sends it. It never fails:
// what cannot be understood claims nothing.
//
// The rules come from measurements of iPXE 2019 and 2026, and url.ParseQuery
// follows none of them:
//   - "+" is a plus; iPXE writes a blank as %20 and leaves a plus alone
//   - bytes from 0x80 on arrive sign-extended: %FFFFFFC3, or %FFFFFFFFFFFFC3,
//     is the byte C3
//   - a "%" that is not followed by two hex digits is a per cent sign
//   - a piece without "=" belongs to the free-form value before it (serial=A&B)
//   - serialx, manufacturerx … carry a free-form value as hex digits and win
//     over their plain twins
//   - of a parameter that comes twice the first value counts
//   - bus says of each MAC of macs, in the same order, on which bus the card is
//
// Names of parameters are understood in any case. Blanks and NULs at the ends
// of values are cut.
func ParseQuery(raw string) Claims {
	var c Claims
	first := make([]pair, 0, 16) // the first value of each parameter
	var exact []*string          // the free-form values that came as hex digits
	var macs, buses string       // the first list of each
	for _, p := range c.pairs(raw) {
		value := bareValue(unescape(p.value))
		if value == "" {
			continue
		}
		var to *string
		isHex := false
		switch p.key {
		case "mac":
			c.addMAC(value)
			continue
		case "macs":
			if macs == "" {
				macs = value
			}
			c.addMACs(value)
			continue
		case "uuid", "hostsig", "arch", "platform", "version", "bus", "try":
		default:
			to = c.freeForm(p.key)
			if plain, cut := strings.CutSuffix(p.key, "x"); to == nil && cut {
				to = c.freeForm(plain)
				isHex = to != nil
			}
			if to == nil {
				continue // not for us
			}
		}
		if i := slices.IndexFunc(first, func(f pair) bool { return f.key == p.key }); i >= 0 {
			if first[i].value != value && !slices.Contains(c.Twice, p.key) {
				c.Twice = append(c.Twice, p.key)
			}
			continue
		}
		first = append(first, pair{p.key, value})
		switch {
		case p.key == "uuid":
			c.UUID = value
		case p.key == "hostsig":
			c.HostSig = value
		case p.key == "arch":
			c.Arch = value
		case p.key == "platform":
			c.Platform = value
		case p.key == "version":
			c.Version = value
		case p.key == "bus":
			buses = value
		case p.key == "try":
			if n, err := strconv.ParseUint(value, 10, 8); err == nil {
				c.Try = int(n)
			}
		case isHex:
			if b, err := hex.DecodeString(value); err == nil {
				if text := bareValue(string(b)); text != "" {
					*to, exact = text, append(exact, to)
				}
			}
		case !slices.Contains(exact, to):
			*to = value
		}
	}
	if buses != "" {
		c.addBuses(macs, buses)
	}
	return c
}

// freeForm is where the value of a free-form parameter goes, or nil for every
// other parameter.
func (c *Claims) freeForm(key string) *string {
	switch key {
	case "manufacturer":
		return &c.Manufacturer
	case "product":
		return &c.Product
	case "serial":
		return &c.Serial
	case "asset":
		return &c.Asset
	case "board":
		return &c.Board
	case "host":
		return &c.Host
	case "hostname":
		return &c.Hostname
	}
	return nil
}

// bareValue is a value without the blanks and NULs at its ends.
func bareValue(s string) string {
	for s != "" && blank(s[0]) {
		s = s[1:]
	}
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func blank(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' || b == 0 }

// addMACs takes a list of MACs, which stand between blanks, dots, commas and
// semicolons.
func (c *Claims) addMACs(list string) {
	for rest := list; rest != ""; {
		var mac string
		mac, rest = cutList(rest)
		c.addMAC(mac)
	}
}

// addBuses takes the list of the buses that the cards of macs are on, in the
// same order: what is between two dots may be empty in both. Without macs it is
// the bus of the card that booted. A MAC that a card on another bus has as well
// is the machine's own, which a docking station passes through.
func (c *Claims) addBuses(macs, buses string) {
	if macs == "" && len(c.MACs) > 0 && strings.EqualFold(buses, "usb") {
		c.USB = c.MACs[:1:1]
	}
	var own []string
	for macs != "" && buses != "" {
		var mac, bus string
		mac, macs = cutList(macs)
		bus, buses = cutList(buses)
		switch {
		case mac == "" || bus == "" || len(c.USB)+len(own) == maxClaimed:
		case strings.EqualFold(bus, "usb"):
			c.USB = append(c.USB, mac)
		default:
			own = append(own, mac)
		}
	}
	c.USB = slices.DeleteFunc(c.USB, func(mac string) bool { return slices.Contains(own, mac) })
}

// cutList cuts the first entry of a list off.
func cutList(list string) (first, rest string) {
	for i := range len(list) {
		if b := list[i]; blank(b) || b == '.' || b == ',' || b == ';' {
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

// maxClaimed is how many MACs are kept: no machine has so many cards, and a
// query can name thousands.
const maxClaimed = 256

func (c *Claims) addMAC(text string) {
	if text == "" || len(c.MACs) == maxClaimed {
		return
	}
	c.MACs = append(c.MACs, text)
}

type pair struct{ key, value string }

// pairs returns what a query has between each "&". A piece without "=" goes to
// the value before it, if that is a free-form text.
func (c *Claims) pairs(raw string) []pair {
	all := make([]pair, 0, 16)
	began := 0 // where in raw the last value begins
	for at := 0; at < len(raw); {
		end := len(raw)
		if n := strings.IndexByte(raw[at:], '&'); n >= 0 {
			end = at + n
		}
		if n := strings.IndexByte(raw[at:end], '='); n >= 0 {
			began = at + n + 1
			all = append(all, pair{strings.ToLower(unescape(raw[at : at+n])), raw[began:end]})
		} else if n := len(all); n > 0 && c.freeForm(all[n-1].key) != nil {
			all[n-1].value = raw[began:end]
		}
		at = end + 1
	}
	return all
}

// unescape decodes the %XX of a query, the sign-extended ones of iPXE included,
// and leaves every other byte alone.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if n := escape(s[i:]); n > 0 {
				b, _ := strconv.ParseUint(s[i+n-2:i+n], 16, 8)
				out = append(out, byte(b))
				i += n - 1
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// escape returns the length of the escape that s begins with: 3 for %XX, 9 or
// 15 for a sign-extended byte, or 0.
func escape(s string) int {
	digits := 0
	for digits < 14 && 1+digits < len(s) && isHexDigit(s[1+digits]) {
		digits++
	}
	for _, extended := range []int{12, 6} {
		if digits >= extended+2 && strings.EqualFold(s[1:1+extended], "FFFFFFFFFFFF"[:extended]) &&
			isHighDigit(s[1+extended]) {
			return 1 + extended + 2
		}
	}
	if digits >= 2 {
		return 3
	}
	return 0
}

func isHexDigit(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

// isHighDigit reports whether a byte whose first hex digit is b is 0x80 or
// more, as every sign-extended byte is.
func isHighDigit(b byte) bool { return isHexDigit(b) && b >= '8' }
