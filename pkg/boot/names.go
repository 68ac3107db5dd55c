package boot

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// MaxNames is the largest number of names a client has.
const MaxNames = 16

// maxMACs is the eight cards that the identification script names, and the one that booted. It leaves room for every other
// kind of name in MaxNames.
const maxMACs = 9

// maxDropped is how many of the claims that became no name are kept: a client can make thousands.
const maxDropped = 16

// Kind says which claim a name comes from.
type Kind string

const (
	UUID               Kind = "uuid"
	ManufacturerSerial Kind = "manufacturer-serial"
	Serial             Kind = "serial"
	Board              Kind = "board"
	Asset              Kind = "asset"
	MAC                Kind = "mac"
	Host               Kind = "host"
	Address            Kind = "ip"
	Typed              Kind = "name" // a person typed it, and it may be any free-form claim
)

// Name is one name of a machine in its canonical spelling: the name of its files in the tree.
//
// uuid and MAC are lower case, a MAC is written with hyphens, an address as RFC 5952 has it, without zone and IPv4-mapped
// ones as IPv4. A free-form text keeps its case, and each run of other characters became one hyphen.
type Name struct {
	Text string `json:"name"`
	Kind Kind   `json:"kind"`
}

func (n Name) String() string { return n.Text }

// Machine is the machine that asks: what it claims, and the names that follow.
type Machine struct {
	Claims
	Names    []Name     // strongest first, at most MaxNames
	Addr     netip.Addr // the source address, also where it is no name
	Conflict string     // why it is not certain who is asking; then no order is granted
	NoOrders string     // why this kind of request takes no order, whoever asks
	Unsure   string     // why nobody can know who is asking; then there is no answer (ErrUnsure)
	Dropped  []Dropped  // claims that became no name, the first 16

	// OtherMACs are the MACs that were sent and name nobody, spelled as names
	// are: of cards that move or that many machines show, and those beyond the
	// ninth. A file in protect/ guards the machine under them all the same.
	OtherMACs []string

	texts []string // of Names as Identify made them
}

// AllMACs are all MACs that were sent, whether they name the machine or not.
func (m *Machine) AllMACs() []string {
	var all []string
	for _, n := range m.Names {
		if n.Kind == MAC {
			all = append(all, n.Text)
		}
	}
	return append(all, m.OtherMACs...)
}

// Guards are the texts under which protect/ guards the machine: its names, in
// their order, and then its other cards.
func (m *Machine) Guards() []string {
	if len(m.OtherMACs) == 0 {
		return m.Texts()
	}
	return slices.Concat(m.Texts(), m.OtherMACs)
}

// Texts are the names as the tree has them. Nobody writes to what it returns.
func (m *Machine) Texts() []string {
	if slices.EqualFunc(m.texts, m.Names, func(t string, n Name) bool { return t == n.Text }) {
		return m.texts
	}
	return textsOf(m.Names)
}

func textsOf(names []Name) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = n.Text
	}
	return all
}

// Dropped is a claim that became no name, and why.
type Dropped struct {
	Kind  Kind   `json:"kind"`
	Value string `json:"value"`
	Why   string `json:"why"`
	// Placeholder: the value is one that boards carry when nobody filled in the real one.
	Placeholder bool `json:"placeholder,omitempty"`
}

// NamePolicy is how a site turns claims into names. The zero value is the usual
// way.
type NamePolicy struct {
	NoAddress    []netip.Prefix // networks behind NAT: an address from there names no single machine
	Placeholders Placeholders   // values that name nobody; the zero value is the built-in list
}

// Identify returns the machine that makes these claims from a source address,
// with its names, strongest first:
//
//	uuid as sent, then with its first three fields byte-swapped ·
//	manufacturer-serial · serial, or where that is none the base board's ·
//	asset · each MAC · host · address
//
// A claim that is empty or a placeholder names nobody, nor does a card on USB. A
// free-form text that looks like an address, a MAC or a uuid is no name, because
// it could be taken for another machine's. The address comes from the
// connection, never from the claims.
func Identify(c Claims, addr netip.Addr, policy NamePolicy) Machine {
	m := Machine{Claims: c, Addr: addr.Unmap().WithZone(""), Names: make([]Name, 0, min(7+len(c.MACs), MaxNames))}
	if len(c.Twice) > 0 {
		m.Conflict = fmt.Sprintf("the request says %s twice, differently", strings.Join(c.Twice, " and "))
	}
	note := func(d Dropped) {
		if len(m.Dropped) < maxDropped {
			m.Dropped = append(m.Dropped, d)
		}
	}
	drop := func(k Kind, value, why string) { note(Dropped{Kind: k, Value: value, Why: why}) }
	placeholder := func(k Kind, value string) {
		note(Dropped{Kind: k, Value: value, Why: "is a placeholder", Placeholder: true})
	}
	add := func(k Kind, text string) {
		for i := range m.Names {
			if m.Names[i].Text == text {
				return
			}
		}
		m.Names = append(m.Names, Name{text, k})
	}
	// freeForm reports whether the value became a name.
	freeForm := func(k Kind, value string) bool {
		if text, err := FreeForm(value); err != nil {
			drop(k, value, err.Error())
		} else {
			add(k, text)
			return true
		}
		return false
	}
	text := func(k Kind, value string) bool {
		if value == "" {
			return false
		}
		if policy.Placeholders.text(value, false) {
			placeholder(k, value)
			return false
		}
		return freeForm(k, value)
	}

	if u, err := parseUUID(c.UUID); c.UUID != "" && err != nil {
		drop(UUID, c.UUID, err.Error())
	} else if c.UUID != "" {
		swapped := swapUUID(u)
		if policy.Placeholders.uuid(u) || policy.Placeholders.uuid(swapped) {
			placeholder(UUID, c.UUID)
		} else {
			add(UUID, u)
			add(UUID, swapped)
		}
	}
	named := false
	switch {
	case c.Serial == "":
	case policy.Placeholders.text(c.Serial, false):
		placeholder(Serial, c.Serial)
	default:
		if c.Manufacturer != "" && !policy.Placeholders.text(c.Manufacturer, true) {
			if maker, s := squash(c.Manufacturer), squash(c.Serial); maker != "" && s != "" {
				freeForm(ManufacturerSerial, maker+"-"+s)
			}
		}
		named = freeForm(Serial, c.Serial)
	}
	if !named {
		text(Board, c.Board)
	}
	text(Asset, c.Asset)
	m.nameCards(policy, note)
	text(Host, c.Host)
	switch {
	case !m.Addr.IsValid():
	case slices.ContainsFunc(policy.NoAddress, func(p netip.Prefix) bool { return p.Contains(m.Addr) }):
		drop(Address, m.Addr.String(), "is in a network whose addresses name no single machine")
	default:
		if name, err := addressName(m.Addr); err != nil {
			drop(Address, m.Addr.String(), err.Error())
		} else {
			add(Address, name)
		}
	}
	m.texts = textsOf(m.Names)
	return m
}

// addressName returns the name of an address, without zone. It is an error when its eight groups have two digits each,
// which is an EUI-64 as well: such an address (10:20:30:40:50:60:70:80) is in 0000::/8, which RFC 4291 reserves.
func addressName(a netip.Addr) (string, error) {
	a = a.Unmap().WithZone("")
	name := a.String()
	if a.Is4() {
		return name, nil
	}
	if _, err := parseMAC(name); err == nil {
		return "", errors.New("is an address of the reserved network ::/8 that looks like a MAC address")
	}
	return name, nil
}

// FreeForm returns the canonical spelling of a serial, asset tag or host name: each run of characters other than
// A-Z a-z 0-9 . _ : - becomes one hyphen, with none at the ends. It is an error when nothing is left, when more than 128
// bytes are left, and when the text looks like an address, a MAC or a uuid.
func FreeForm(text string) (string, error) {
	name := squash(text)
	switch {
	case name == "":
		return "", fmt.Errorf("has no letter or digit")
	case len(name) > maxName:
		return "", fmt.Errorf("is longer than %d characters", maxName)
	}
	for i, s := range []string{text, name} {
		if i > 0 && s == text {
			break
		}
		if strings.IndexByte(s, ':') < 0 && strings.IndexByte(s, '.') < 0 {
		} else if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
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

const maxName = 128

// IsName reports whether text can be a name at all: nothing else reaches the file system.
// [A-Za-z0-9][A-Za-z0-9._:-]{0,127}, and the IPv6 addresses that begin with a colon.
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

// squash replaces each run of foreign bytes, and the hyphens beside it, by one hyphen, and cuts what no name begins or ends with.
func squash(text string) string {
	own := 0
	for own < len(text) && nameByte(text[own]) {
		own++
	}
	if own == len(text) {
		return strings.TrimRight(strings.TrimLeft(text, "-._:"), "-")
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
	return strings.TrimRight(strings.TrimLeft(string(out), "-._:"), "-")
}

var (
	errUUID = errors.New("is not a uuid")
	errMAC  = errors.New("is not a MAC address")
)

// parseUUID returns a uuid in lower case with hyphens. It takes any case, with or without hyphens, in braces or as a URN.
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
		if hyphen := i == 8 || i == 13 || i == 18 || i == 23; hyphen != (s[i] == '-') || !hyphen && !isHexDigit(s[i]) {
			return "", errUUID
		}
	}
	return s, nil
}

// swapUUID returns the uuid with its first three fields in the other byte order. SMBIOS before 2.6, some firmware and
// ${uuid:hexraw} have them so.
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

// parseMAC returns a hardware address of 6 or 8 bytes (Ethernet, EUI-64, the GUID of InfiniBand) in lower case with hyphens.
// Of the 20 bytes that InfiniBand has for an address the last 8 are the GUID; the first change from boot to boot. It takes colons
// or hyphens, dotted groups of four (aabb.ccdd.eeff), bare digits, and a leading hardware type as PXELINUX writes it
// (01-aa-bb-cc-dd-ee-ff, 20 before a GUID).
func parseMAC(text string) (string, error) {
	m, err := parseHardware(text)
	return shortGUID(m), err
}

// shortGUID is an address of 20 bytes without the first 12, and every other as it is.
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
		if n := len(text) - 3; n == len6 && text[:2] == "01" || (n == len8 || n == len20) && text[:2] == "20" {
			text = text[3:]
		}
	case text[4] == '.':
		sep, group = '.', 4
	default:
		sep = 0
	}
	var room [len20]byte
	out := room[:0]
	for i, digits, inGroup := 0, 0, 0; i < len(text); i++ {
		b := text[i]
		switch {
		case sep != 0 && inGroup == group:
			if inGroup = 0; b != sep {
				return "", errMAC
			}
			continue
		case !isHexDigit(b) || len(out) == len(room):
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
