package boot

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Claims are what a request says of the machine that sends it: claims, not proofs. The zero value claims nothing.
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
	Hostname     string   // DHCP option 12; recorded, never a name
	Arch         string   // ${buildarch}: i386, x86_64, arm64
	Platform     string   // ${platform}: pcbios, efi
	Try          int      // how often this boot has asked before
	// Twice names the parameters that came more than once with different values. The first value counts.
	Twice []string
}

// ParseQuery reads the raw query of a URL as iPXE sends it. It never fails: what cannot be understood claims nothing.
//
// The rules come from measurements of iPXE 2019 and 2026, and url.ParseQuery follows none of them:
//   - "+" is a plus; iPXE writes a blank as %20 and leaves a plus alone
//   - bytes from 0x80 on arrive sign-extended: %FFFFFFC3, or %FFFFFFFFFFFFC3, is the byte C3
//   - a "%" that is not followed by two hex digits is a per cent sign
//   - a piece without "=" belongs to the free-form value before it (serial=A&B)
//   - serialx, manufacturerx … carry a free-form value as hex digits and win over their plain twins
//   - of a parameter that comes twice the first value counts
//
// Names of parameters are understood in any case. Blanks and NULs at the ends of values are cut.
func ParseQuery(raw string) Claims {
	var c Claims
	var room [16]pair
	seen := room[:0]    // the first value of each parameter
	var exact []*string // the free-form values that came as hex digits
	for _, p := range c.pairs(raw) {
		value := strings.Trim(unescape(p.value), " \t\r\n\x00")
		if value == "" {
			continue
		}
		switch p.key {
		case "mac":
			c.addMACs(value)
			continue
		case "macs":
			c.addMACs(strings.FieldsFunc(value, betweenMACs)...)
			continue
		}
		to, isHex := c.freeForm(p.key), false
		if plain, cut := strings.CutSuffix(p.key, "x"); to == nil && cut {
			to = c.freeForm(plain)
			isHex = to != nil
		}
		if to == nil && !slices.Contains([]string{"uuid", "hostsig", "arch", "platform", "try"}, p.key) {
			continue // not for us
		}
		if i := slices.IndexFunc(seen, func(s pair) bool { return s.key == p.key }); i >= 0 {
			if seen[i].value != value && !slices.Contains(c.Twice, p.key) {
				c.Twice = append(c.Twice, p.key)
			}
			continue
		}
		seen = append(seen, pair{p.key, value})
		switch {
		case p.key == "uuid":
			c.UUID = value
		case p.key == "hostsig":
			c.HostSig = value
		case p.key == "arch":
			c.Arch = value
		case p.key == "platform":
			c.Platform = value
		case p.key == "try":
			if n, err := strconv.ParseUint(value, 10, 8); err == nil {
				c.Try = int(n)
			}
		case isHex:
			if b, err := hex.DecodeString(value); err == nil {
				if text := strings.Trim(string(b), " \t\r\n\x00"); text != "" {
					*to, exact = text, append(exact, to)
				}
			}
		case !slices.Contains(exact, to):
			*to = value
		}
	}
	return c
}

// freeForm is where the value of a free-form parameter goes, or nil for every other parameter.
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

// betweenMACs reports whether r stands between two MACs of a list.
func betweenMACs(r rune) bool {
	switch r {
	case '.', ',', ';', ' ', '\t', '\r', '\n', 0:
		return true
	}
	return false
}

// addMACs keeps the first 32: no machine has more cards, and a query can name thousands.
func (c *Claims) addMACs(all ...string) {
	c.MACs = append(c.MACs, all[:min(len(all), 32-len(c.MACs))]...)
}

type pair struct{ key, value string }

// pairs cuts a query at "&". A piece without "=" goes to the value before it, if that is a free-form text.
func (c *Claims) pairs(raw string) []pair {
	all := make([]pair, 0, min(1+strings.Count(raw, "&"), 32))
	began := 0 // where in raw the last value begins
	for at := 0; at < len(raw); {
		piece, _, _ := strings.Cut(raw[at:], "&")
		end := at + len(piece)
		if key, value, ok := strings.Cut(piece, "="); ok {
			began = end - len(value)
			all = append(all, pair{strings.ToLower(unescape(key)), value})
		} else if n := len(all); n > 0 && c.freeForm(all[n-1].key) != nil {
			all[n-1].value = raw[began:end]
		}
		at = end + 1
	}
	return all
}

// unescape decodes the %XX of a query, the sign-extended ones of iPXE included, and leaves every other byte alone.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
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

// escape returns the length of the escape that s begins with: 3 for %XX, 9 or 15 for a sign-extended byte, or 0.
func escape(s string) int {
	digits := 0
	for digits < 14 && 1+digits < len(s) && isHexDigit(s[1+digits]) {
		digits++
	}
	for _, extended := range []int{12, 6} {
		if digits >= extended+2 && strings.EqualFold(s[1:1+extended], "FFFFFFFFFFFF"[:extended]) && isHighDigit(s[1+extended]) {
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

// isHighDigit reports whether a byte whose first hex digit is b is 0x80 or more, as every sign-extended byte is.
func isHighDigit(b byte) bool { return isHexDigit(b) && b >= '8' }
