// Package hosts reads and writes lists of hosts with a static network: CSV as
// spreadsheets write it, and JSON lines as databases do. For a wrong row it
// names everything that is wrong in it, and goes on with the next.
package hosts

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/ipxe"
)

// Limits of a list. What is larger is not a list of hosts.
const (
	MaxRows = 200_000
	MaxLine = 64 << 10 // bytes
)

// Row is a host and the line that it comes from, counted from 1.
type Row struct {
	Line int
	Host ipxe.Host
}

// RowError is one thing that is wrong in a row. A row can have several.
type RowError struct {
	Line   int    // counted from 1
	Column string // "" when it is about the row as a whole
	Value  string
	Why    string
}

func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text()) }

// Text is what is wrong, without the line.
func (e *RowError) Text() string {
	switch {
	case e.Column == "":
		return e.Why
	case e.Value == "":
		return fmt.Sprintf("%s %s", e.Column, e.Why)
	}
	return fmt.Sprintf("%s %q %s", e.Column, shorten(e.Value), e.Why)
}

// shorten cuts a value that would fill the screen.
func shorten(value string) string {
	if len(value) <= 80 {
		return value
	}
	return strings.ToValidUTF8(value[:80], "") + "…"
}

// Options are the values of rows that do not say them.
type Options struct {
	Servers []string // boot servers
	DNS     []netip.Addr
	Search  []string // domains
}

// columns are the columns of a CSV and the keys of a JSON object, in the order
// in which WriteCSV has them.
var columns = []string{"name", "mac", "interface", "address", "netmask", "gateway", "vlan", "dns",
	"search", "server"}

// otherwise are other words for the columns, which people try first.
var otherwise = map[string]string{
	"host": "name", "hostname": "name", "fqdn": "name", "hwaddr": "mac", "macaddress": "mac",
	"mac-address": "mac", "mac address": "mac",
	"nic": "interface", "card": "interface", "port": "interface", "ip": "address",
	"ip address": "address", "ipaddress": "address",
	"ipv4": "address", "ipv6": "address", "ip6": "address", "address6": "address",
	"mask": "netmask", "subnet": "netmask", "prefix": "address",
	"gw": "gateway", "router": "gateway", "gateway6": "gateway", "vlan_id": "vlan",
	"vlan id": "vlan", "vid": "vlan", "tag": "vlan",
	"nameserver": "dns", "nameservers": "dns", "dns1": "dns", "dns-server": "dns",
	"domain": "search", "url": "server", "servers": "server",
	"bootserver": "server", "boot server": "server",
}

// list collects the rows of a file.
type list struct {
	options Options
	rows    []Row
	bad     []*RowError
	wrong   map[int]bool // lines that have an error
	owners  map[claim][]int
	order   []claim
}

// claim is a value that only one host of a list can have.
type claim struct{ column, value string }

func newList(o Options) *list {
	return &list{options: o, wrong: map[int]bool{}, owners: map[claim][]int{}}
}

func (l *list) fail(line int, column, value, why string, args ...any) {
	l.wrong[line] = true
	l.bad = append(l.bad, &RowError{line, column, value, fmt.Sprintf(why, args...)})
}

// own notes that the row on a line has a value that only one host can have.
func (l *list) own(line int, column, value string) {
	c := claim{column, value}
	if l.owners[c] == nil {
		l.order = append(l.order, c)
	}
	if lines := l.owners[c]; len(lines) == 0 || lines[len(lines)-1] != line {
		l.owners[c] = append(lines, line)
	}
}

// words cuts a text at blanks, commas and semicolons.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t,;", r) })
}

// add makes a host of the cells of a row, by column; a missing cell is "".
func (l *list) add(line int, cells map[string]string) {
	h := ipxe.Host{Name: cells["name"], Servers: words(cells["server"]),
		Search: words(cells["search"])}
	unread := map[string]bool{} // columns with a value that cannot be read
	fail := func(column, value, why string, args ...any) {
		unread[column] = true
		l.fail(line, column, value, why, args...)
	}

	switch {
	case h.Name == "":
		fail("name", "", "is missing")
	case !boot.IsName(h.Name) || h.Name[0] == ':':
		fail("name", h.Name, "is no name: up to 128 letters, digits and . _ : - that begin with "+
			"a letter or digit")
	default:
		l.own(line, "name", strings.ToLower(h.Name)) // some file systems ignore case
	}
	if text := cells["mac"]; text != "" {
		if mac, ok := parseMAC(text); ok {
			h.MAC = mac
			l.own(line, "mac", mac.String())
		} else {
			fail("mac", text, "is no MAC address, as in 52:54:00:12:34:56")
		}
	}
	if text := cells["interface"]; text != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(text, "net"), 10, 8)
		if h.Card = text; err == nil {
			h.Card = fmt.Sprintf("net%d", n)
		}
	}
	h.Addresses = l.addresses(cells["address"], cells["netmask"], fail)
	for _, p := range h.Addresses {
		l.own(line, "address", p.Addr().String())
	}
	h.Gateways = parseAddrs("gateway", cells["gateway"], fail)
	h.DNS = parseAddrs("dns", cells["dns"], fail)
	if text := cells["vlan"]; text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n < 1 || n > 4094 {
			fail("vlan", text, "is no VLAN: 1 to 4094, or nothing")
		}
		h.VLAN = int(n)
	}
	if len(h.Servers) == 0 {
		h.Servers = slices.Clone(l.options.Servers)
	}
	if len(h.DNS) == 0 && !unread["dns"] {
		h.DNS = slices.Clone(l.options.DNS)
	}
	if len(h.Search) == 0 {
		h.Search = slices.Clone(l.options.Search)
	}
	// A value that could not be read is not checked again, nor what depends on
	// it.
	if unread["address"] {
		h.Addresses = nil
	}
	if why := noClaim(h); h.Name != "" && !unread["name"] && why != "" {
		fail("name", h.Name, "would not be known to the server: it %s", why)
	}
	for _, e := range h.Check() {
		if unread[e.Field] || (unread["gateway"] || unread["dns"]) &&
			(e.Field == "dns" || e.Field == "server") {
			continue
		}
		l.fail(line, e.Field, e.Value, "%s", e.Why)
	}
	l.rows = append(l.rows, Row{line, h})
}

// noClaim says why the server would not take host=NAME for a name, or "". A
// host's own MAC or address may be its name: the server knows it by that
// anyway.
func noClaim(h ipxe.Host) string {
	client := boot.Identify(boot.Claims{Host: h.Name}, netip.Addr{}, boot.NamePolicy{})
	if len(client.Names) == 1 && client.Names[0].Text == h.Name ||
		h.MAC != nil && h.Name == strings.ReplaceAll(h.MAC.String(), ":", "-") ||
		slices.ContainsFunc(h.Addresses, func(p netip.Prefix) bool {
			return h.Name == p.Addr().String()
		}) {
		return ""
	}
	if len(client.Dropped) > 0 {
		return client.Dropped[0].Why
	}
	return "ends with a hyphen"
}

// done returns the rows that are right, in their order, and what is wrong with
// the others, by line. When several rows have a value that only one host can
// have, all of them are wrong, since it is not known whose it is.
func (l *list) done() ([]Row, []*RowError) {
	for _, c := range l.order {
		lines := l.owners[c]
		if len(lines) < 2 {
			continue
		}
		for i, line := range lines {
			other := lines[0]
			if i == 0 {
				other = lines[1]
			}
			l.fail(line, c.column, c.value, "is in line %d as well, and only one host can have it",
				other)
		}
	}
	slices.SortStableFunc(l.bad, func(a, b *RowError) int { return cmp.Compare(a.Line, b.Line) })
	good := slices.DeleteFunc(l.rows, func(r Row) bool { return l.wrong[r.Line] })
	return good, l.bad
}

// parseMAC reads the address of a card in any spelling that people use. It
// refuses one that may have lost a digit: that could be the address of another
// card.
func parseMAC(text string) (net.HardwareAddr, bool) {
	name, ok := boot.HasMAC(text)
	if !ok {
		return nil, false
	}
	mac, err := net.ParseMAC(name)
	return mac, err == nil && len(mac) == 6
}

func parseAddrs(
	column, text string, fail func(column, value, why string, args ...any),
) (all []netip.Addr) {
	for _, w := range words(text) {
		a, err := netip.ParseAddr(w)
		if err != nil || a.Zone() != "" {
			fail(column, w, "is no address")
			continue
		}
		all = append(all, a)
	}
	return all
}

// addresses reads addresses with their prefix lengths. The column netmask may
// give that of an IPv4 address.
func (l *list) addresses(
	text, netmask string, fail func(column, value, why string, args ...any),
) (all []netip.Prefix) {
	bits, used := -1, false
	if netmask != "" {
		var err error
		if bits, err = maskBits(netmask); err != nil {
			fail("netmask", netmask, "%v", err)
			fail("address", text, "has no netmask that can be read")
			return nil
		}
	}
	for _, w := range words(text) {
		plain, mask, has := strings.Cut(w, "/")
		a, err := netip.ParseAddr(plain)
		switch {
		case err != nil || a.Zone() != "":
			fail("address", w, "is no address with the length of its prefix, as in 10.0.0.7/24")
			continue
		case !has && a.Is4() && bits >= 0:
			all, used = append(all, netip.PrefixFrom(a, bits)), true
			continue
		case !has && a.Is4():
			fail("address", w, "has no length of its prefix, as in %s/24, and there is no netmask",
				plain)
			continue
		case !has:
			fail("address", w, "has no length of its prefix, as in %s/64", plain)
			continue
		}
		n, err := strconv.ParseUint(mask, 10, 8)
		if err != nil && a.Is4() {
			var m int
			m, err = maskBits(mask)
			n = uint64(max(m, 0))
		}
		if err != nil || int(n) > a.BitLen() {
			fail("address", w, "has no valid length of its prefix behind the slash")
			continue
		}
		if a.Is4() && bits >= 0 {
			if used = true; bits != int(n) {
				fail("address", w, "says another length of the prefix than the netmask %s", netmask)
				continue
			}
		}
		all = append(all, netip.PrefixFrom(a, int(n)))
	}
	if netmask != "" && !used {
		fail("netmask", netmask, "belongs to no IPv4 address")
	}
	return all
}

// maskBits returns the length of the prefix that a netmask (255.255.255.0, or
// 24) stands for.
func maskBits(text string) (int, error) {
	if n, err := strconv.ParseUint(strings.TrimPrefix(text, "/"), 10, 8); err == nil && n <= 32 {
		return int(n), nil
	}
	a, err := netip.ParseAddr(text)
	if err == nil && a.Is4() {
		mask := a.As4()
		if ones, size := net.IPMask(mask[:]).Size(); size == 32 {
			return ones, nil
		}
	}
	return -1, errors.New("is no netmask, as in 255.255.255.0")
}

// unknown says that there is no such column, and which may have been meant.
func unknown(column string) string {
	meant := otherwise[column]
	if meant == "" {
		best := 3 // letters that may differ
		for _, c := range columns {
			if d := distance(column, c); d < best && d < len(c) {
				meant, best = c, d
			}
		}
	}
	if meant != "" {
		meant = fmt.Sprintf("; did you mean %q?", meant)
	}
	return fmt.Sprintf("is unknown%s Known are %s", cmp.Or(meant, "."), strings.Join(columns, ", "))
}

// distance is how many letters have to be changed, put in or taken out to make
// b of a (Levenshtein).
func distance(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
