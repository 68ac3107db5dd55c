package ipxe

import (
	"cmp"
	"errors"
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

// MaxHostScript is how many bytes the script of a host may have: the size of its place in the ISO.
const MaxHostScript = 4096

// Bounds of a Host. What has more of them is a mistake, or leaves no room in the script.
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

// linkWait is how long a card may take to find its link. A port that talks to its switch first takes some seconds.
const linkWait = 10 * time.Second

// Host is a machine that sets up its network by itself, without DHCP, and then asks for its boot script.
//
// With neither MAC nor Card it takes each of its cards in turn, the first 16, until a boot server answers.
type Host struct {
	Name string           // as host= sends it: [A-Za-z0-9][A-Za-z0-9._:-]{0,127}
	MAC  net.HardwareAddr // its network card; six bytes
	Card string           // or the card by its number as iPXE counts them: "net0"

	Addresses []netip.Prefix // its own, with the length of the prefix: at most one IPv4 and one IPv6
	Gateways  []netip.Addr   // at most one of each kind, in the network of the address; an IPv6 one may be link-local
	VLAN      int            // 1 to 4094; 0: none

	DNS    []netip.Addr // in order. How many of them are asked depends on the build (Features.DNS)
	Search []string     // domains for names without a dot

	// Servers are the boot servers in order: http:// or https://, perhaps with a path before /redirect. Those given by
	// address need no DNS server to be up.
	Servers []string
	Tries   int           // how often each server is asked; 0: DefaultTries
	Timeout time.Duration // how long a server may be silent; 0: DefaultTimeout
	Pause   time.Duration // how long a failure stays on the screen before the local disk boots; 0: DefaultPause

	Query string // more of the query, such as a signature: "a=b&c=d", or ""
}

// FieldError is a value of a Host that cannot be, by the name that people know it by: name, mac, interface, address, gateway,
// vlan, dns, search, server, tries, timeout, pause, query.
type FieldError struct {
	Field string
	Value string
	Why   string
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s %q %s", e.Field, e.Value, e.Why) }

var (
	goodName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
	goodCard   = regexp.MustCompile(`^net([0-9]|1[0-5])$`)
	goodDomain = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)
	goodServer = regexp.MustCompile(`^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/-]*)?$`)
	goodQuery  = regexp.MustCompile(`^([A-Za-z0-9._~-]+=[A-Za-z0-9._~:%-]*(&[A-Za-z0-9._~-]+=[A-Za-z0-9._~:%-]*)*)?$`)
)

// Check returns what is wrong with the values of the host, whatever builds of iPXE are to run its script.
//
// No value can end its line or its word in the script, begin a comment, or be expanded: each is made of letters, digits and
// the few signs that it needs, and anything else is refused rather than escaped, since iPXE knows no quoting.
func (h Host) Check() (all []*FieldError) {
	add := func(field string, value any, why string, args ...any) {
		all = append(all, &FieldError{field, fmt.Sprint(value), fmt.Sprintf(why, args...)})
	}
	if !goodName.MatchString(h.Name) {
		add("name", h.Name, "is no name: up to 128 letters, digits and . _ : - that begin with a letter or digit")
	}
	switch {
	case h.MAC != nil && h.Card != "":
		add("interface", h.Card, "cannot stand beside a mac: name one of them")
	case h.Card != "" && !goodCard.MatchString(h.Card):
		add("interface", h.Card, "is no card of iPXE: net0 to net%d", maxCards-1)
	case h.MAC != nil && len(h.MAC) != 6:
		add("mac", h.MAC, "has %d bytes; a card on Ethernet has 6", len(h.MAC))
	case h.MAC != nil && (h.MAC[0]&1 != 0 || !slices.ContainsFunc(h.MAC, func(b byte) bool { return b != 0 })):
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
		if slices.ContainsFunc(h.Addresses[:i], func(q netip.Prefix) bool { return q.Addr().Is4() == p.Addr().Is4() }) {
			why = "is one too many: at most one IPv4 and one IPv6 address"
		}
		if why != "" {
			add("address", p, "%s", why)
		}
	}
	if len(all) > 0 && slices.ContainsFunc(all, func(e *FieldError) bool { return e.Field == "address" }) {
		return append(all, h.checkRest(false)...) // what is measured by the address cannot be judged
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
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
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

// checkRest checks everything but the addresses; what is measured by them only with placed.
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
			return fmt.Sprintf("cannot be reached: it is not in %v, and there is no gateway", own.Masked())
		}
		return ""
	}
	wrong := func(a netip.Addr) bool {
		return !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast()
	}

	for i, g := range h.Gateways {
		own, has := h.own(g)
		switch {
		case wrong(g):
			add("gateway", g, "is no address of a gateway")
		case slices.ContainsFunc(h.Gateways[:i], func(other netip.Addr) bool { return other.Is4() == g.Is4() }):
			add("gateway", g, "is one too many: at most one IPv4 and one IPv6 gateway")
		case !placed || g.Is6() && has && g.IsLinkLocalUnicast():
		case !has:
			add("gateway", g, "is of a kind of which the host has no address")
		case !own.Contains(g):
			add("gateway", g, "is not in %v, the network of the host", own.Masked())
		case g == own.Addr():
			add("gateway", g, "is the address of the host itself")
		case g.Is4() && own.Bits() < 31 && (g == own.Masked().Addr() || g == broadcast(own)):
			add("gateway", g, "is the first or the last address of %v, which no machine has", own.Masked())
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
		add("search", strings.Join(h.Search, " "), "are %d domains; at most %d", len(h.Search), maxSearch)
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
		add("server", strings.Join(h.Servers, " "), "are %d servers; at most %d", len(h.Servers), maxServers)
	}
	for i, s := range h.Servers {
		a, why := serverAddress(s)
		if why == "" && a.IsValid() {
			if why = reach(a); wrong(a) {
				why = "is no address of a server"
			}
		} else if why == "" && len(h.DNS) == 0 {
			why = "is given by name, and there is no DNS server: name one, or give the server by its address"
		}
		if why == "" && slices.ContainsFunc(h.Servers[:i], func(other string) bool { return base(other) == base(s) }) {
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

// serverAddress returns the address that the URL of a boot server names, none when it has a name, or why it is no such URL.
func serverAddress(server string) (a netip.Addr, why string) {
	if ends, write := EndsInScript(server); ends != "" {
		return a, fmt.Sprintf("ends in %s, but the host adds what it asks for: write %s", ends, write)
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
			return a, "has an address that is not written as a URL has it: IPv6 in brackets, IPv4 without"
		}
		return a, ""
	}
	if labels := strings.Split(strings.TrimSuffix(u.Hostname(), "."), "."); !goodDomain.MatchString(strings.Join(labels, ".")) ||
		strings.Trim(labels[len(labels)-1], "0123456789") == "" || strings.Contains(u.Host, "[") {
		return a, "has neither an address nor the name of a host"
	}
	return a, ""
}

// EndsInScript returns the path of ours in which the address of a boot server
// ends, as people copy it from a browser or from the lines of a DHCP server, and
// what to write instead: the address before it, with the path that a proxy wants.
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
	i := slices.IndexFunc(h.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() })
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

// Incapable is a loader that cannot do what the host needs, so that no ISO may have it for this host.
type Incapable struct {
	Loader Loader
	Host   string
	Lacks  []string // what it cannot do, and what the host needs that for
}

func (e *Incapable) Error() string {
	known := ""
	if e.Loader.Assumed {
		known = " (nothing is known of this build, so the least is assumed)"
	}
	return fmt.Sprintf("%s: no boot by %v: %v %s%s", e.Host, e.Loader.Platform, e.Loader, strings.Join(e.Lacks, ", and "), known)
}

// Needs returns, for each of the loaders that cannot do what the host needs, what it lacks.
func (h Host) Needs(loaders ...Loader) (unfit []*Incapable) {
	four := slices.ContainsFunc(h.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() })
	for _, l := range loaders {
		var lacks []string
		lack := func(has bool, text string, args ...any) {
			if !has {
				lacks = append(lacks, fmt.Sprintf(text, args...))
			}
		}
		if l.Platform == UEFI {
			lack(l.Autoexec, "does not read autoexec.ipxe and would ask DHCP instead")
		}
		if h.VLAN != 0 {
			lack(l.VLAN, "knows no VLANs, and the host is in VLAN %d", h.VLAN)
		}
		if !four {
			lack(l.IPv6, "knows no IPv6, and the host has no other address")
		}
		for _, s := range h.Servers {
			if strings.HasPrefix(s, "https:") {
				lack(l.HTTPS, "knows no HTTPS, and a boot server is %s", s)
			}
			if a, _ := serverAddress(s); a.Is6() && four {
				lack(l.IPv6, "knows no IPv6, and a boot server is %s", s)
			}
		}
		if len(lacks) > 0 {
			unfit = append(unfit, &Incapable{Loader: l, Host: h.Name, Lacks: lacks})
		}
	}
	return unfit
}

// Notes returns what people should know of the host although its ISO works: DNS servers and addresses that a loader leaves
// unused, and boot servers that only DNS leads to.
func (h Host) Notes(loaders ...Loader) (notes []string) {
	for _, l := range loaders {
		if n := len(h.DNS); n > l.DNS {
			notes = append(notes, fmt.Sprintf("%v asks only the first %d of %d DNS servers", l, l.DNS, n))
		}
		if len(h.Addresses) > 1 && !l.IPv6 {
			notes = append(notes, fmt.Sprintf("%v leaves the IPv6 address unused", l))
		}
	}
	for _, s := range h.Servers {
		if a, why := serverAddress(s); why == "" && !a.IsValid() {
			notes = append(notes, fmt.Sprintf("%s is given by name: the machine finds it only while a DNS server answers", s))
		}
	}
	return notes
}

// Patience returns how long the local disk waits at most for a boot server when none is there, for a machine with that many
// cards that the host may try. A server that refuses takes less: a second for each try.
func (h Host) Patience(cards int) time.Duration {
	if h.MAC != nil || h.Card != "" {
		cards = 1
	}
	h = h.withDefaults()
	asks := time.Duration(h.Tries * len(h.Servers))
	return time.Duration(min(cards, maxCards))*(linkWait+asks*h.Timeout+time.Duration(h.Tries)*time.Second) + h.Pause
}

func (h Host) withDefaults() Host {
	h.Tries = cmp.Or(h.Tries, DefaultTries)
	h.Timeout = cmp.Or(h.Timeout, DefaultTimeout)
	h.Pause = cmp.Or(h.Pause, DefaultPause)
	return h
}

// Script returns the script of the host, which the given loaders are to run: one for each way to boot that its ISO has.
//
// The machine finds its card, sets its address, and asks each server in turn, /redirect with the identity as Identify sends it
// and host=NAME. What it gets is run. When that ends, in whatever way, and when no server answers, the local disk boots. The
// screen says which host it is, its address, whom it asks, and what failed, for as long as Pause says.
//
// The error is, joined, a *FieldError for each value that cannot be, and an *Incapable for each loader that cannot do what the
// host needs; or that the script is longer than MaxHostScript.
func (h Host) Script(loaders ...Loader) ([]byte, error) {
	var errs []error
	for _, e := range h.Check() {
		errs = append(errs, e)
	}
	for _, e := range h.Needs(loaders...) {
		errs = append(errs, e)
	}
	if len(loaders) == 0 {
		errs = append(errs, fmt.Errorf("%s: there is no loader that could run the script", h.Name))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	script := h.write(loaders)
	if len(script) > MaxHostScript {
		return nil, fmt.Errorf("%s: the script has %d bytes, and its place in the ISO %d: name fewer or shorter servers, DNS servers or search domains",
			h.Name, len(script), MaxHostScript)
	}
	return script, nil
}

// write writes the script of a host that was checked.
//
//   - A machine that has several cards is told by nothing else which of them iPXE calls net0, hence the walk over them.
//     ${net0/mac} is in lower case with colons (src/core/settings.c), and iseq compares bytes.
//   - The cards are walked by an int32, which inc counts up; ${net${idx}/mac} is expanded from the inside out.
//   - vcreate gives the card of VLAN 5 on net0 the name net0-5 (src/net/vlan.c).
//   - A list of addresses is stored as raw bytes: the text of an address setting holds one alone (src/core/settings.c). So is
//     a list of search domains (RFC 3397); one domain alone may be a text.
//   - Fetched and run apart, so that a script that fails is not fetched again; that could cost a second order.
//   - imgexec without --replace, unlike Identify: it comes back here when the served script ends, and the local disk boots
//     then whether it ended well or not. BIOS firmware that gets control back from an ISO tries the floppy, and UEFI
//     firmware stops in its setup menu after an exit without a status.
//   - exit 1 is how a script sends UEFI machines to their disk, so that error is none to show.
//   - errno is that of the last command that failed, and iseq fails too; hence why.
func (h Host) write(loaders []Loader) []byte {
	h = h.withDefaults()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line("%secho", magic)
	line("echo Host %s%s", h.Name, h.place())
	for i, s := range h.Servers {
		line("set srv%d %s", i, base(s))
	}
	fixed := h.MAC != nil || h.Card != ""
	first, _ := strconv.Atoi(strings.TrimPrefix(h.Card, "net"))
	line("set what no card %s in this machine", cmp.Or(h.MAC.String(), h.Card, "with a link"))
	line("set idx:int32 %d\n:card", first)
	line("isset ${net${idx}/mac} || goto down")
	if h.MAC != nil {
		line("iseq ${net${idx}/mac} %v && goto found ||", h.MAC)
		line("inc idx\niseq ${idx} %d || goto card\ngoto down\n:found", maxCards)
	}
	line("set nic net${idx}\nset dev ${nic}")
	if h.VLAN != 0 {
		line("set dev ${nic}-%d\nset what no VLAN %d on ${nic}", h.VLAN, h.VLAN)
		line("vcreate --tag %d ${nic} || goto next", h.VLAN)
	}
	for _, p := range h.Addresses {
		gateway, has := h.gateway(p.Addr())
		if p.Addr().Is4() {
			line("set ${dev}/ip %v\nset ${dev}/netmask %v", p.Addr(), net.IP(net.CIDRMask(p.Bits(), 32)))
			if has {
				line("set ${dev}/gateway %v", gateway)
			}
			continue
		}
		line("set ${dev}/ip6 %v ||\nset ${dev}/len6 %d ||", p.Addr(), p.Bits())
		if has {
			line("set ${dev}/gateway6 %v ||", gateway)
		}
	}
	h.resolver(line)
	line("set what ${dev} cannot be opened\nifopen ${dev} || goto next")
	line("set what no script from a boot server")
	if slices.ContainsFunc(loaders, func(l Loader) bool { return l.LinkWait }) {
		line("iflinkwait --timeout %d ${dev} ||", linkWait.Milliseconds())
	}
	b.WriteString(identity)
	line("set q ${q}&host=%s", h.Name)
	if h.Query != "" {
		line("set q ${q}&%s", h.Query)
	}
	line("set try:int32 0\nset s:int32 0\n:ask")
	line("echo %s: asking ${srv${s}} by ${dev}, try ${try}", h.Name)
	line("imgfetch --name served --timeout %d ${srv${s}}%s?${q}&try=${try} && goto run ||", h.Timeout.Milliseconds(), Path)
	line("set why${s} ${errno}\ninc try")
	line("iseq ${try} %d && goto next ||", h.Tries*len(h.Servers))
	if len(h.Servers) > 1 {
		line("inc s\nisset ${srv${s}} && goto ask ||\nset s:int32 0")
	}
	line("sleep 1\ngoto ask\n:next")
	if fixed {
		line("goto down")
	} else {
		// What the card was told must not lead the next one's packets to it.
		line("ifclose ${dev} ||")
		for _, setting := range h.settings() {
			line("clear ${dev}/%s ||", setting)
		}
		line("inc idx\niseq ${idx} %d || goto card\ngoto down", maxCards)
	}
	line(":run\nimgexec --autofree served && goto local ||\nset why ${errno}")
	line("iseq ${why} 0x1 && goto local ||")
	line("echo\necho %s: the boot script of ${srv${s}} ended with error ${why}\ngoto show", h.Name)
	line(":down\necho\necho %s: NO BOOT SCRIPT, ${what}", h.Name)
	for i := range h.Servers {
		line("isset ${why%d} && echo ${srv%d}: error ${why%d} ||", i, i, i)
	}
	line(":show\necho Host %s%s\nsleep %d\n:local", h.Name, h.place(), int(h.Pause.Seconds()))
	b.WriteString(local)
	return []byte(b.String())
}

// place says where the host is, for the screen.
func (h Host) place() string {
	var b strings.Builder
	for _, p := range h.Addresses {
		fmt.Fprintf(&b, ", %v", p)
	}
	for _, g := range h.Gateways {
		fmt.Fprintf(&b, ", gateway %v", g)
	}
	if h.VLAN != 0 {
		fmt.Fprintf(&b, ", VLAN %d", h.VLAN)
	}
	if h.MAC != nil {
		fmt.Fprintf(&b, ", card %v", h.MAC)
	}
	return b.String()
}

// resolver sets the DNS servers and the search domains.
func (h Host) resolver(line func(string, ...any)) {
	var four, six []byte
	for _, d := range h.DNS {
		if d.Is4() {
			four = append(four, d.AsSlice()...)
		} else {
			six = append(six, d.AsSlice()...)
		}
	}
	if four != nil {
		line("set ${dev}/dns:hexraw %x", four)
	}
	if six != nil {
		line("set ${dev}/dns6:hexraw %x ||", six)
	}
	switch {
	case len(h.Search) == 1:
		line("set ${dev}/domain %s", h.Search[0])
	case len(h.Search) > 1:
		var list []byte
		for _, s := range h.Search {
			for label := range strings.SplitSeq(s, ".") {
				list = append(append(list, byte(len(label))), label...)
			}
			list = append(list, 0)
		}
		line("set ${dev}/dnssl:hexraw %x", list)
	}
}

// settings are those that the script gives a card.
func (h Host) settings() (all []string) {
	for _, p := range h.Addresses {
		if p.Addr().Is4() {
			all = append(all, "ip", "netmask", "gateway", "dns")
		} else {
			all = append(all, "ip6", "len6", "gateway6", "dns6")
		}
	}
	return all
}
