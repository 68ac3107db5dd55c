package boot

import (
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// Names that people type: on the command line, in lists of hosts, and as the
// names of files. Machines write theirs in few ways, people in many. Nothing
// else in this program guesses what a name means.

// Meant returns the name that a person means by a text: as Canonical, and a MAC
// in every spelling that HasMAC knows. A text that may be a serial as well
// means a card (5254-0012-3456), but for twelve hex digits without a sign
// between them: see Doubtful.
func Meant(text string) (Name, error) {
	n, err := Canonical(text)
	if err == nil && n.Kind != Typed {
		return n, nil
	}
	if m, ok := readMAC(text); ok {
		return Name{m, MAC}, nil
	}
	return n, err
}

// HasMAC returns the MAC that a text is where only a MAC can stand: in the
// spellings of Meant, and as twelve hex digits.
func HasMAC(text string) (string, bool) {
	if m, err := parseMAC(strings.TrimSpace(text)); err == nil {
		return m, true
	}
	return readMAC(text)
}

// readMAC reads the spellings of switches, firmware, label printers and word
// processors: six pairs with any sign between them, three groups of four
// (5254.0012.3456 of Cisco, 5254-0012-3456 of HPE, H3C and Huawei), two of six
// (525400-123456 of Aruba), 0x before them, the hardware type before them, and
// groups without their leading zeros (0:1:a:2b:3:4, as Solaris and macOS print
// them).
func readMAC(text string) (string, bool) {
	digits, hexed := cutHex(strings.TrimSpace(text))
	var groups []string
	for g := range eachGroup(digits) {
		if g == "" || strings.Trim(g, hexDigits) != "" || len(groups) == 21 {
			return "", false
		}
		groups = append(groups, g)
	}
	size := 0 // of every group; 0: they differ
	if len(groups) > 0 {
		size = len(groups[0])
	}
	for _, g := range groups {
		if len(g) != size {
			size = 0
		}
	}
	switch n := len(groups); {
	case size == 12 && n == 1 && hexed, size == 6 && n == 2, size == 4 && n == 3:
		m, err := parseMAC(strings.Join(groups, ""))
		return m, err == nil
	case size == 2 && n >= 6:
		m, err := parseMAC(strings.Join(groups, "-"))
		return m, err == nil
	case n == 6 && withoutLeadingZeros(groups) && strings.Count(text, ":") == 5:
		return sixGroups(groups)
	}
	return "", false
}

// withoutLeadingZeros reports whether the groups of a MAC were written without
// leading zeros on purpose: none has one, and several have one digit, or the
// first one alone, as 0:50:56:ab:cd:ef has. In a single other group a digit may
// be lost, and the card another.
func withoutLeadingZeros(groups []string) bool {
	short := 0
	for _, g := range groups {
		if len(g) > 2 || len(g) == 2 && g[0] == '0' {
			return false
		}
		if len(g) == 1 {
			short++
		}
	}
	return short > 1 || groups[0] == "0"
}

// sixGroups is a MAC of six groups of one or two digits.
func sixGroups(groups []string) (string, bool) {
	if len(groups) != 6 {
		return "", false
	}
	padded := slices.Clone(groups)
	for i, g := range padded {
		if len(g) == 1 {
			padded[i] = "0" + g
		}
	}
	m, err := parseMAC(strings.Join(padded, "-"))
	return m, err == nil
}

const hexDigits = "0123456789abcdefABCDEF"

// cutHex cuts 0x off a number.
func cutHex(text string) (digits string, hexed bool) {
	if len(text) > 2 && text[0] == '0' && text[1]|0x20 == 'x' {
		return text[2:], true
	}
	return text, false
}

// between are the signs that stand between the groups of a MAC or a uuid. Word
// processors and wikis make other hyphens and blanks of those that were typed.
const between = "-:._,; \t\u00a0\u00ad\u00b7\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u202f" +
	"\ufe58\ufe63\uff0d\uff1a"

// eachGroup yields what stands between the signs of a text.
func eachGroup(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for {
			at := strings.IndexAny(text, between)
			if at < 0 {
				yield(text)
				return
			}
			_, size := utf8.DecodeRuneInString(text[at:])
			if !yield(text[:at]) {
				return
			}
			text = text[at+size:]
		}
	}
}

// Spellings returns every canonical name, in lower case, that a file called
// entry could have been meant for: all that Meant understands, and much that
// Doubtful asks about. The step "protect" compares by it, since a misspelt
// guard must still guard: AABBCCDDEEFF and aa:bb:cc:dd:ee:ff both mean the
// card.
func Spellings(entry string) []string {
	all := []string{strings.ToLower(entry)}
	add := func(s string) {
		if s = strings.ToLower(s); s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for _, text := range []string{
		entry, strings.TrimSpace(entry), strings.TrimSpace(unescape(entry)),
	} {
		if u, err := parseUUID(text); err == nil {
			add(u)
			add(swapUUID(u))
		}
		if m, err := parseMAC(text); err == nil {
			add(m)
		}
		if a, err := netip.ParseAddr(withoutZeros(strings.Trim(text, "[]"))); err == nil {
			add(a.Unmap().WithZone("").String())
		}
		if a, ok := rightAddress(text); ok {
			add(a)
		}
		add(squash(text))
		if m, ok := readMAC(text); ok {
			add(m)
		}
		// In whatever way the digits are grouped.
		digits, _ := cutHex(text)
		groups := strings.FieldsFunc(digits, func(r rune) bool {
			return strings.ContainsRune(between, r)
		})
		if m, err := parseMAC(strings.Join(groups, "")); err == nil {
			add(m)
		}
		if m, ok := sixGroups(groups); ok {
			add(m)
		}
		if m, err := parseMAC(strings.Join(groups, "-")); err == nil {
			add(m)
		}
		if u, err := parseUUID(strings.Trim(strings.Join(groups, ""), "{}")); err == nil {
			add(u)
			add(swapUUID(u))
		}
	}
	for _, s := range all {
		if full, err := parseHardware(s); err == nil {
			for _, m := range otherForms(full) {
				add(m)
			}
		}
	}
	return all
}

// withoutZeros cuts the leading zeros of the numbers of an IPv4 address
// (010.000.000.007).
func withoutZeros(text string) string {
	parts := strings.Split(text, ".")
	if len(parts) != 4 {
		return text
	}
	for i, p := range parts {
		if strings.Trim(p, "0123456789") != "" {
			return text // an IPv6 address that ends like one of IPv4, perhaps with a zone
		}
		if parts[i] = strings.TrimLeft(p, "0"); parts[i] == "" && p != "" {
			parts[i] = "0"
		}
	}
	return strings.Join(parts, ".")
}
