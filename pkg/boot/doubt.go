package boot

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Doubt is why a name is likely not the one that its author meant. Such a name
// is asked about, not obeyed: no machine would ever come for an order under it.
type Doubt struct {
	What  string // a sentence without its subject: "is taken for a serial, since it is no address"
	Right string // the name that was likely meant; "" where nobody can tell
	Do    string // what to do instead
	File  bool   // the name has the ending of a file
}

// Doubtful says what is wrong with a name that a person typed, or gave a file,
// when it cannot be what it seems: no valid MAC, address or uuid, though it
// looks like one, and so it would be taken for a serial. A false alarm costs a
// person --force, so a serial has to look very much like something else to be
// one.
func Doubtful(text string) (Doubt, bool) {
	text = strings.TrimSpace(text)
	n, err := Canonical(text)
	if err == nil && n.Kind != Typed {
		if m, ok := doubleColon(text); ok {
			return Doubt{What: "is an address of the reserved network ::/8", Right: m,
				Do: fmt.Sprintf("write %s, if a MAC is meant", m)}, true
		}
		return Doubt{}, false
	}
	if _, ok := readMAC(text); ok {
		return Doubt{}, false
	}
	for _, t := range []string{text, n.Text} { // and as a file would be called: 10.0.0.* is 10.0.0.
		for _, try := range []func(string) (Doubt, bool){
			almostURL, almostPath, almostFile, bareMAC, oneOfWords,
			almostMAC, almostAddress, almostUUID,
		} {
			if d, ok := try(t); ok {
				return d, true
			}
		}
	}
	return Doubt{}, false
}

// DoubtfulEntry is Doubtful for the name of a file of the tree. There even what
// Meant understands is only a serial: a machine looks for its MAC in one
// spelling.
func DoubtfulEntry(name string) (Doubt, bool) {
	if m, ok := readMAC(name); ok {
		if n, err := Canonical(name); err == nil && n.Kind == Typed {
			return written(MAC, m)
		}
	}
	return Doubtful(name)
}

// written is the doubt about a name that is written otherwise.
func written(k Kind, right string) (Doubt, bool) {
	d := Doubt{What: fmt.Sprintf("is taken for a serial; %s is written %s", aKind[k], right),
		Right: right, Do: "write " + right}
	if k != Address { // which no serial looks like
		d.Do += fmt.Sprintf(", if %s is meant", aKind[k])
	}
	return d, true
}

// broken is the doubt about a name that is no such thing.
func broken(k Kind, do string) (Doubt, bool) {
	return Doubt{What: fmt.Sprintf("is taken for a serial, since it is no %s",
		strings.SplitN(aKind[k], " ", 2)[1]), Do: do}, true
}

var aKind = map[Kind]string{MAC: "a MAC", UUID: "a uuid", Address: "an address"}

const (
	doAddress = "correct the address"
	doMAC     = "write six pairs of hex digits, if a MAC is meant"
	doUUID    = "write 8-4-4-4-12 hex digits, if a uuid is meant"
)

func almostURL(text string) (Doubt, bool) {
	if !strings.Contains(text, "://") {
		return Doubt{}, false
	}
	return Doubt{What: "is a URL, and no machine is called so",
		Do: "name the machine by its MAC, uuid, address, serial, asset tag or host name; explain " +
			"takes a URL with --query"}, true
}

// almostPath is about the path of an entry, as a shell completes it.
func almostPath(text string) (Doubt, bool) {
	for _, dir := range []string{"once/", "static/", "protect/"} {
		if _, name, has := strings.Cut("/"+text, "/"+dir); has && !strings.Contains(name, "/") {
			if n, err := Meant(name); err == nil {
				return Doubt{What: "is a path, and no machine is called so", Right: n.Text,
					Do: "write " + n.Text}, true
			}
		}
	}
	return Doubt{}, false
}

// endings are those of file names. No machine is called so; a file that an
// editor or a person left is.
var endings = []string{".ipxe", ".gpxe", ".iso", ".txt", ".cfg", ".bak", ".orig", ".old", ".save",
	".swp", ".rej", "~"}

func almostFile(text string) (Doubt, bool) {
	for _, ending := range endings {
		base, has := strings.CutSuffix(text, ending)
		if !has {
			continue
		}
		if n, err := Meant(base); err == nil {
			return Doubt{What: fmt.Sprintf("ends in %q, and no machine is called so", ending),
				Right: n.Text, Do: "write " + n.Text, File: true}, true
		}
	}
	return Doubt{}, false
}

// bareMAC is about twelve hex digits, which are a serial as often as a MAC.
func bareMAC(text string) (Doubt, bool) {
	if m, ok := HasMAC(text); ok && len(text) == 12 {
		return written(MAC, m)
	}
	return Doubt{}, false
}

// oneOfWords is about a text with a MAC, uuid or address in it, and something
// beside it: a mask, a port, the name of an interface, another machine.
func oneOfWords(text string) (Doubt, bool) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return written(Address, a.Addr().Unmap().WithZone("").String())
	}
	if n, err := Meant(strings.Trim(text, ".-_:;,")); err == nil && n.Kind != Typed {
		return written(n.Kind, n.Text)
	}
	if before, _, has := strings.Cut(text, ":"); has {
		if a, err := netip.ParseAddr(before); err == nil {
			return written(Address, a.String()) // and a port
		}
	}
	if before, mask, has := strings.Cut(text, "/"); has && strings.Trim(mask, "0123456789.") == "" {
		if n, err := Meant(before); err == nil && n.Kind == Address {
			return written(Address, n.Text)
		}
	}
	var found []Name
	isBetween := func(r rune) bool {
		return r >= 0x80 || !nameByte(byte(r)) && !strings.ContainsRune("[]", r)
	}
	for _, word := range strings.FieldsFunc(text, isBetween) {
		n, err := Meant(strings.Trim(word, ".-_"))
		if err == nil && n.Kind != Typed && len(word) >= 6 {
			found = append(found, n)
		}
	}
	// What stands before the first sign that no address has.
	if len(found) == 0 {
		if at := strings.IndexAny(text, "-_"); at >= 6 {
			if a, err := netip.ParseAddr(withoutZeros(text[:at])); err == nil {
				found = append(found, Name{a.Unmap().WithZone("").String(), Address})
			}
		}
	}
	switch len(found) {
	case 0:
		return Doubt{}, false
	case 1:
		return written(found[0].Kind, found[0].Text)
	}
	return Doubt{What: "is taken for a serial, since it is more than one name",
		Do: "name one machine by one name"}, true
}

var (
	numbers    = regexp.MustCompile(`^\.*[0-9]+(\.+[0-9]+){2,}\.*$`)
	twoNumbers = regexp.MustCompile(
		`^\.*(1?[0-9]{1,2}|2[0-4][0-9]|25[0-5])(\.(1?[0-9]{1,2}|2[0-4][0-9]|25[0-5]))\.*$`)
	fourGroups = regexp.MustCompile(`^[0-9A-Za-z]{1,4}(\.[0-9A-Za-z]{1,4}){3}$`)
)

// almostAddress is about an address with a mistake.
func almostAddress(text string) (Doubt, bool) {
	if right, ok := rightAddress(text); ok {
		return written(Address, right)
	}
	text = strings.Trim(text, "[]")
	switch {
	case numbers.MatchString(text), twoNumbers.MatchString(text):
		return broken(Address, doAddress)
	case fourGroups.MatchString(text):
		wrong := 0
		for _, g := range strings.Split(text, ".") {
			if strings.Trim(g, "0123456789") != "" {
				wrong++
			}
		}
		if wrong == 1 {
			return broken(Address, doAddress)
		}
	case strings.Count(text, ":") >= 2:
		// IPv6. Serials have no colons but in the rarest of cases.
		// of a length behind it, as /64 is written in the name of a file
		head, _, _ := strings.Cut(text, "-")
		full, letters := 0, 0
		for _, g := range strings.Split(head, ":") {
			if len(g) > 5 && strings.Trim(g, "0123456789.") != "" {
				return Doubt{}, false
			}
			if len(g) > 2 {
				full++
			}
			letters += len(strings.Trim(g, hexDigits+"."))
		}
		if letters <= 2 && (full > 0 && pairs(head) < 4 || strings.Contains(head, "::")) {
			return broken(Address, doAddress)
		}
	}
	return Doubt{}, false
}

// rightAddress mends an IPv4 address: leading zeros, another sign for the dots,
// a dot too many, a letter for a digit.
func rightAddress(text string) (string, bool) {
	digits := strings.Map(func(r rune) rune {
		switch r {
		case ',', ';', '_', ' ':
			return '.'
		case 'o', 'O':
			return '0'
		case 'l', 'I':
			return '1'
		}
		return r
	}, strings.Trim(text, "[]"))
	for strings.Contains(digits, "..") {
		digits = strings.ReplaceAll(digits, "..", ".")
	}
	a, err := netip.ParseAddr(withoutZeros(strings.Trim(digits, ".")))
	return a.String(), err == nil && a.Is4()
}

// doubleColon mends a MAC with a colon too many, which makes it an address of
// IPv6: 52::54:00:12:34:56. Nobody has one of these, since its first group has
// two digits (RFC 4291).
func doubleColon(text string) (string, bool) {
	m := strings.Replace(text, "::", ":", 1)
	if m == text || pairs(m) != 6 {
		return "", false
	}
	m, err := parseMAC(m)
	return m, err == nil
}

// pairs is how many groups of two hex digits a text has.
func pairs(text string) (n int) {
	for g := range eachGroup(text) {
		if len(g) == 2 && strings.Trim(g, hexDigits) == "" {
			n++
		}
	}
	return n
}

// almostMAC is about a MAC with a mistake: digits too few or too many, a letter
// that is no hex digit, a sign too many.
func almostMAC(text string) (Doubt, bool) {
	if strings.Count(strings.ToLower(text), "0x") > 1 { // before each byte
		if m, ok := readMAC(strings.NewReplacer("0x", "", "0X", "").Replace(text)); ok {
			return written(MAC, m)
		}
	}
	digits, hexed := cutHex(text)
	var groups []string
	empty := false
	for g := range eachGroup(digits) {
		if g == "" {
			empty = true
			continue
		}
		foreign := func(r rune) bool { return r >= 0x80 || !isAlnum(byte(r)) }
		if len(g) > 20 || strings.ContainsFunc(g, foreign) {
			return Doubt{}, false
		}
		if groups = append(groups, g); len(groups) > 24 {
			return Doubt{}, false
		}
	}
	n, all := len(groups), strings.Join(groups, "")
	foreign := len(all) - len(strings.Map(func(r rune) rune {
		if strings.ContainsRune(hexDigits, r) {
			return r
		}
		return -1
	}, all))
	colons, dots := strings.Contains(text, ":"), strings.Contains(text, ".")
	right, isMAC := "", false
	if m, err := parseMAC(all); err == nil && (n > 1 || hexed || empty) {
		right, isMAC = m, true
	} else if m, ok := sixGroups(groups); ok && !withoutLastDigit(groups) {
		right, isMAC = m, true
	}
	switch {
	case isMAC && (n == 6 && pairs(text) >= 3 || evenGroups(groups) &&
		(hexed || colons || pairs(text) >= 4 || strings.Trim(all, "0123456789") != "")):
		return written(MAC, right)
	case hexed && n == 1 && foreign == 0 && 11 <= len(all) && len(all) <= 13,
		n == 3 && foreign == 0 && 11 <= len(all) && len(all) <= 13 && oneOff(groups, 4),
		n == 3 && foreign == 1 && dots && len(all) == 12 && evenGroups(groups),
		n == 2 && foreign == 0 && 11 <= len(all) && len(all) <= 13 && oneOff(groups, 6),
		5 <= n && n <= 8 && shortGroups(groups) &&
			(pairs(text) >= (n+1)/2 && foreign <= 2 || colons),
		(n == 3 || n == 4) && pairs(text) == n && strings.Count(text, ":") >= n-1,
		n > 8 && pairs(text) >= n-1 && colons:
		return broken(MAC, doMAC)
	}
	return Doubt{}, false
}

// withoutLastDigit reports whether only the last of six groups has one digit:
// nobody can tell which one is lost.
func withoutLastDigit(groups []string) bool {
	for _, g := range groups[:5] {
		if len(g) == 1 {
			return false
		}
	}
	return len(groups[5]) == 1
}

func evenGroups(groups []string) bool {
	for _, g := range groups {
		if len(g)%2 != 0 {
			return false
		}
	}
	return true
}

// shortGroups reports whether groups are those of a MAC by their lengths, of
// which one may be a digit too long.
func shortGroups(groups []string) bool {
	long := 0
	for _, g := range groups {
		if len(g) == 3 {
			long++
		} else if len(g) > 3 {
			return false
		}
	}
	return long <= 1
}

// oneOff reports whether one group alone has a digit too few or too many.
func oneOff(groups []string, size int) bool {
	off := 0
	for _, g := range groups {
		if len(g) != size {
			off++
		}
	}
	return off == 1
}

var (
	uuidShape = regexp.MustCompile(`^[0-9A-Za-z]{4,12}(-[0-9A-Za-z]{2,6}){3}-[0-9A-Za-z]{8,14}$`)
	uuidCut   = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}(-[0-9A-Fa-f]*)?$`)
)

// almostUUID is about a uuid with other signs, or with a mistake.
func almostUUID(text string) (Doubt, bool) {
	digits, _ := cutHex(strings.Trim(strings.TrimPrefix(strings.ToLower(text), "urn:uuid:"), "{}"))
	var all strings.Builder
	n := 0
	for g := range eachGroup(digits) {
		all.WriteString(g)
		n++
	}
	plain := strings.Trim(all.String(), "{}")
	if u, err := parseUUID(plain); err == nil {
		return written(UUID, u)
	}
	hex := 0
	for i := range len(plain) {
		if isHexDigit(plain[i]) {
			hex++
		} else if !isAlnum(plain[i]) {
			return Doubt{}, false
		}
	}
	switch foreign := len(plain) - hex; {
	case uuidShape.MatchString(digits) && foreign <= 2, uuidCut.MatchString(digits),
		n >= 4 && n <= 6 && 30 <= len(plain) && len(plain) <= 34 && foreign <= 2,
		n == 1 && (len(plain) == 31 || len(plain) == 33) && foreign == 0,
		n == 1 && len(plain) == 32 && foreign == 1:
		return broken(UUID, doUUID)
	}
	return Doubt{}, false
}

// This is how a sentence calls a name of this kind.
func (k Kind) This() string {
	switch k {
	case UUID:
		return "this uuid"
	case MAC:
		return "this MAC"
	case Address:
		return "this address"
	}
	return "this name"
}
