package ipxe

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a Host. What has more of them is a mistake, or leaves no room in
// the script.
const (
	maxServers = 8
	maxDNS     = 8
	maxSearch  = 8
	maxCards   = 16 // how many cards are looked at; ${net0} … ${net15}
	maxTries   = 20
	minTimeout = time.Second
	maxTimeout = time.Minute
	maxPause   = 10 * time.Minute
)

// What a Host has where it says nothing.
const (
	DefaultTries   = 3
	DefaultTimeout = 5 * time.Second
	DefaultPause   = 10 * time.Second
)

// Host is a machine that sets up its network by itself, without DHCP, and then
// asks for its boot script.
//
// With neither MAC nor Card it takes each of its cards in turn, the first 16,
// until a boot server answers.
type Host struct {
	Name string           // as host= sends it: [A-Za-z0-9][A-Za-z0-9._:-]{0,127}
	MAC  net.HardwareAddr // its network card; six bytes
	Card string           // or the card by its number as iPXE counts them: "net0"

	// its own, with the length of the prefix: at most one IPv4 and one IPv6
	Addresses []netip.Prefix
	// at most one of each kind, in the network of the address; an IPv6 one may
	// be link-local
	Gateways []netip.Addr
	VLAN     int // 1 to 4094; 0: none

	DNS    []netip.Addr // in order. How many of them are asked depends on the build (Features.DNS)
	Search []string     // domains for names without a dot

	// Servers are the boot servers in order: http:// or https://, perhaps with
	// a path before /redirect. Those given by address need no DNS server to be
	// up.
	Servers []string
	Tries   int           // how often each server is asked; 0: DefaultTries
	Timeout time.Duration // how long a server may be silent; 0: DefaultTimeout
	// how long a failure stays on the screen before the local disk boots; 0:
	// DefaultPause
	Pause time.Duration

	Query string // more of the query, such as a signature: "a=b&c=d", or ""
}

// FieldError is a value of a Host that cannot be, by the name that people know
// it by: name, mac, interface, address, gateway, vlan, dns, search, server,
// tries, timeout, pause, query.
type FieldError struct {
	Field string
	Value string
	Why   string
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s %q %s", e.Field, e.Value, e.Why) }

var (
	goodName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
	goodCard   = regexp.MustCompile(`^net([0-9]|1[0-5])$`)
	goodDomain = regexp.MustCompile(
		`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)
	goodServer = regexp.MustCompile(`^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/-]*)?$`)
	goodQuery  = regexp.MustCompile(
		`^([A-Za-z0-9._~-]+=[A-Za-z0-9._~:%-]*(&[A-Za-z0-9._~-]+=[A-Za-z0-9._~:%-]*)*)?$`)
)

// Check returns what is wrong with the values of the host, whatever builds of
// iPXE are to run its script.
//
// No value can end its line or its word in the script, begin a comment, or be
// expanded: each is made of letters, digits and the few signs that it needs,
// and anything else is refused rather than escaped, since iPXE knows no
// quoting.
func (h Host) Check() (all []*FieldError) {
	add := func(field string, value any, why string, args ...any) {
		all = append(all, &FieldError{field, fmt.Sprint(value), fmt.Sprintf(why, args...)})
	}
	if !goodName.MatchString(h.Name) {
		add("name", h.Name, "is no name: up to 128 letters, digits and . _ : - that begin with a "+
			"letter or digit")
	}
	switch {
	case h.MAC != nil && h.Card != "":
		add("interface", h.Card, "cannot stand beside a mac: name one of them")
	case h.Card != "" && !goodCard.MatchString(h.Card):
		add("interface", h.Card, "is no card of iPXE: net0 to net%d", maxCards-1)
	case h.MAC != nil && len(h.MAC) != 6:
		add("mac", h.MAC, "has %d bytes; a card on Ethernet has 6", len(h.MAC))
	case h.MAC != nil &&
		(h.MAC[0]&1 != 0 || !slices.ContainsFunc(h.MAC, func(b byte) bool { return b != 0 })):
		add("mac", h.MAC, "is the address of no single card")
	}
	if h.VLAN < 0 || h.VLAN > 4094 {
		add("vlan", h.VLAN, "is no VLAN: 1 to 4094")
	}

	if len(h.Addresses) == 0 {
		add("address", "", "is missing")
	}
	for i, p := range h.Addresses {
		why := wrongAddress(p)
		if slices.ContainsFunc(h.Addresses[:i], func(q netip.Prefix) bool {
			return q.Addr().Is4() == p.Addr().Is4()
		}) {
			why = "is one too many: at most one IPv4 and one IPv6 address"
		}
		if why != "" {
			add("address", p, "%s", why)
		}
	}
	if len(all) > 0 && slices.ContainsFunc(all, func(e *FieldError) bool {
		return e.Field == "address"
	}) {
		// what is measured by the address cannot be judged
		return append(all, h.checkRest(false)...)
	}
	return append(all, h.checkRest(true)...)
}

// wrongAddress says why a machine cannot have the address, or "".
func wrongAddress(p netip.Prefix) string {
	a := p.Addr()
	switch {
	case !p.IsValid() || a.Zone() != "":
		return "is no address with the length of its prefix, as in 10.0.0.7/24"
	case a.Is4In6():
		return "is an IPv4 address in the clothes of IPv6: write it as IPv4"
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(),
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is no address of a machine"
	case a.Is6() && a.IsLinkLocalUnicast():
		return "is link-local: iPXE makes that one by itself"
	case p.Bits() == 0:
		return "has no network: the prefix has length 0"
	case p.Bits() >= a.BitLen()-1:
		return "" // RFC 3021: a network of two has neither
	case a == p.Masked().Addr():
		return "is the address of the network itself"
	case a.Is4() && a == broadcast(p):
		return "is the broadcast address of its network"
	}
	return ""
}

// broadcast returns the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// checkRest checks everything but the addresses; what is measured by them only
// with placed.
func (h Host) checkRest(placed bool) (all []*FieldError) {
	add := func(field string, value any, why string, args ...any) {
		all = append(all, &FieldError{field, fmt.Sprint(value), fmt.Sprintf(why, args...)})
	}
	// reach says why the host cannot send to an address, or "".
	reach := func(a netip.Addr) string {
		own, has := h.own(a)
		_, gateway := h.gateway(a)
		switch {
		case !placed:
			return ""
		case !has:
			return "cannot be reached: the host has no address of that kind"
		case own.Addr() == a:
			return "is the address of the host itself"
		case !own.Contains(a) && !gateway && !a.IsLinkLocalUnicast():
			return fmt.Sprintf("cannot be reached: it is not in %v, and there is no gateway",
				own.Masked())
		}
		return ""
	}
	wrong := func(a netip.Addr) bool {
		return !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() ||
			a.IsLoopback() || a.IsMulticast()
	}

	for i, g := range h.Gateways {
		own, has := h.own(g)
		switch {
		case wrong(g):
			add("gateway", g, "is no address of a gateway")
		case slices.ContainsFunc(h.Gateways[:i], func(other netip.Addr) bool {
			return other.Is4() == g.Is4()
		}):
			add("gateway", g, "is one too many: at most one IPv4 and one IPv6 gateway")
		case !placed || g.Is6() && has && g.IsLinkLocalUnicast():
		case !has:
			add("gateway", g, "is of a kind of which the host has no address")
		case !own.Contains(g):
			add("gateway", g, "is not in %v, the network of the host", own.Masked())
		case g == own.Addr():
			add("gateway", g, "is the address of the host itself")
		case g.Is4() && own.Bits() < 31 && (g == own.Masked().Addr() || g == broadcast(own)):
			add("gateway", g, "is the first or the last address of %v, which no machine has",
				own.Masked())
		}
	}
	if len(h.DNS) > maxDNS {
		add("dns", h.DNS, "are %d servers; at most %d", len(h.DNS), maxDNS)
	}
	for i, d := range h.DNS {
		if why := reach(d); wrong(d) {
			add("dns", d, "is no address of a server")
		} else if why != "" {
			add("dns", d, "%s", why)
		} else if slices.Contains(h.DNS[:i], d) {
			add("dns", d, "is there twice")
		}
	}
	if len(h.Search) > maxSearch {
		add("search", strings.Join(h.Search, " "), "are %d domains; at most %d",
			len(h.Search), maxSearch)
	}
	for _, s := range h.Search {
		if !goodDomain.MatchString(s) || len(s) > 253 {
			add("search", s, "is no domain name")
		}
	}

	switch {
	case len(h.Servers) == 0:
		add("server", "", "is missing: where is the boot server, as in http://10.0.0.5:4567?")
	case len(h.Servers) > maxServers:
		add("server", strings.Join(h.Servers, " "), "are %d servers; at most %d",
			len(h.Servers), maxServers)
	}
	for i, s := range h.Servers {
		a, why := serverAddress(s)
		if why == "" && a.IsValid() {
			if why = reach(a); wrong(a) {
				why = "is no address of a server"
			}
		} else if why == "" && len(h.DNS) == 0 {
			why = "is given by name, and there is no DNS server: name one, or give the server by " +
				"its address"
		}
		if why == "" && slices.ContainsFunc(h.Servers[:i], func(other string) bool {
			return base(other) == base(s)
		}) {
			why = "is there twice"
		}
		if why != "" {
			add("server", s, "%s", why)
		}
	}
	if h.Tries < 0 || h.Tries > maxTries {
		add("tries", h.Tries, "is not between 1 and %d", maxTries)
	}
	if h.Timeout != 0 && (h.Timeout < minTimeout || h.Timeout > maxTimeout) {
		add("timeout", h.Timeout, "is not between %v and %v", minTimeout, maxTimeout)
	}
	if h.Pause != 0 && (h.Pause < time.Second || h.Pause > maxPause) {
		add("pause", h.Pause, "is not between 1s and %v", maxPause)
	}
	if !goodQuery.MatchString(h.Query) {
		add("query", h.Query, "is no plain query")
	}
	return all
}

// serverAddress returns the address that the URL of a boot server names, none
// when it has a name, or why it is no such URL.
func serverAddress(server string) (a netip.Addr, why string) {
	if ends, write := EndsInScript(server); ends != "" {
		return a, fmt.Sprintf("ends in %s, but the host adds what it asks for: write %s",
			ends, write)
	}
	u, err := url.Parse(server)
	if err != nil || !goodServer.MatchString(server) || u.Hostname() == "" {
		return a, "is no address of a boot server, as in http://10.0.0.5:4567"
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return a, "has no valid port"
		}
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if a.Is6() != strings.HasPrefix(u.Host, "[") {
			return a, "has an address that is not written as a URL has it: IPv6 in brackets, " +
				"IPv4 without"
		}
		return a, ""
	}
	if labels := strings.Split(strings.TrimSuffix(u.Hostname(), "."),
		"."); !goodDomain.MatchString(strings.Join(labels, ".")) ||
		strings.Trim(labels[len(labels)-1], "0123456789") == "" || strings.Contains(u.Host, "[") {
		return a, "has neither an address nor the name of a host"
	}
	return a, ""
}

// EndsInScript returns the path of ours in which the address of a boot server
// ends, as people copy it from a browser or from the lines of a DHCP server,
// and what to write instead: the address before it, with the path that a proxy
// wants.
func EndsInScript(server string) (ends, write string) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return "", ""
	}
	before := path.Clean("/" + u.Path)
	for {
		dir, last := path.Split(before)
		last = "/" + strings.ToLower(last)
		if last != "/redirect" && Exact(last) == nil {
			break
		}
		before = path.Clean(dir)
		ends = last
	}
	if ends == "" {
		return "", ""
	}
	return ends, u.Scheme + "://" + u.Host + strings.TrimSuffix(before, "/")
}

// base is a server as the script has it: what stands before /redirect.
func base(server string) string { return strings.TrimRight(server, "/") }

// own returns the address of the host of the kind of a.
func (h Host) own(a netip.Addr) (netip.Prefix, bool) {
	i := slices.IndexFunc(h.Addresses, func(p netip.Prefix) bool {
		return p.Addr().Is4() == a.Is4()
	})
	if i < 0 {
		return netip.Prefix{}, false
	}
	return h.Addresses[i], true
}

// gateway returns the gateway of the kind of a.
func (h Host) gateway(a netip.Addr) (netip.Addr, bool) {
	i := slices.IndexFunc(h.Gateways, func(g netip.Addr) bool { return g.Is4() == a.Is4() })
	if i < 0 {
		return netip.Addr{}, false
	}
	return h.Gateways[i], true
}
