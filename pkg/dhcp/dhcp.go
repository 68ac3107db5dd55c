// Package dhcp prints the configuration of a DHCP server that brings every kind
// of machine to pxesrv: firmware gets the iPXE that is made for it, and iPXE
// gets the address of /redirect, so that no machine loads iPXE twice.
package dhcp

import (
	"bytes"
	"embed"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// Kinds are the servers that Print knows: isc-dhcp, Kea, dnsmasq, and dnsmasq
// beside another DHCP server that stays as it is.
var Kinds = []string{"isc", "kea", "dnsmasq", "dnsmasq-proxy"}

// Options say where the machines find what they boot, and of which network the
// server gives out addresses. The texts are those that a person gave; Print
// checks them.
type Options struct {
	URL  string // where machines reach pxesrv by HTTP or HTTPS, such as http://192.0.2.10:4567
	TFTP string // IPv4 address of pxesrv's TFTP; empty: the host of URL, when that is one

	// The network, in IPv4. Without Subnet an example of documentation
	// addresses is printed, commented out.
	Subnet string   // such as 192.0.2.0/24
	Range  string   // the addresses to give out, FIRST-LAST; proxyDHCP has none
	Router string   // the machines' way out; empty: none
	DNS    []string // name servers; empty: none

	// The shims of Secure Boot that are there: X-shim.efi is handed out instead
	// of X.efi, and the first one where there is none for it.
	Shims []string
	// What the files of shims say of themselves, by their names; one line each.
	ShimNotes map[string]string

	// Missing are the loaders that were looked for where pxesrv takes them
	// from, and are not there. Where says where that was. What nobody looked
	// for is not missing.
	Missing []string
	Where   string

	Command string // how the lines were printed, for their head; one line
}

// Files are the loaders that the lines hand out, without the address of the
// server.
func (o Options) Files() (all []string) {
	for _, l := range o.loaders("") {
		if name := strings.TrimPrefix(l.File, "/"); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// sources say who has the loaders.
var sources = map[string]string{
	"undionly.kpxe":  "the package ipxe of Debian and Ubuntu, and ipxe-bootimgs-x86 of Fedora",
	"snponly.efi":    "the package ipxe of Debian and Ubuntu, and ipxe-bootimgs-x86 of Fedora",
	"ipxe.efi":       "the package ipxe of Debian and Ubuntu, and ipxe-bootimgs-x86 of Fedora",
	"ipxe-arm64.efi": "the package ipxe of Debian 13 (not of 12), and ipxe-bootimgs-aarch64 of Fedora",
}

// missing says which files are not there, and who has them.
func (o Options) missing() (notes []string) {
	for _, name := range o.Files() {
		if !slices.Contains(o.Missing, name) {
			continue
		}
		from := sources[name]
		if from == "" {
			from = "the releases of iPXE"
		}
		notes = append(notes, "MISSING: "+name+". It is in "+from+".")
	}
	if len(notes) > 0 {
		notes = append(notes, "Looked for on this computer in "+o.Where+".",
			"Where pxesrv runs it has to be in such a folder, or in ipxe/ of the root.")
	}
	return notes
}

// nobody names those that get no boot file, by the list at IANA.
var nobody = []string{
	"No boot file, since pxesrv has no iPXE for it, gets: UEFI of 32 bits (6, 10), U-Boot of 32 " +
		"bits (21) and by HTTP (23, 24),",
	"HTTP Boot on 32-bit ARM (18), RISC-V (25 to 30), LoongArch (37 to 40), a Raspberry Pi that " +
		"says so (41), and any other.",
}

// A loader is an iPXE for firmware of one kind.
type loader struct {
	Tag  string // its name in the configuration
	Arch []int  // DHCP option 93, by the list of processor architecture types at IANA
	What string // the firmware, for the comment
	Why  string // the loader, for the comment
	File string // the boot file: a name for TFTP, a URL for HTTP Boot
	// UEFI HTTP Boot: takes only answers whose option 60 is HTTPClient (UEFI
	// specification, 24.7)
	HTTP bool
}

// page is what the templates print.
type page struct {
	Command  string
	Notes    []string // what has to be true outside of this server
	Redirect string   // what iPXE boots
	TFTP     netip.Addr
	Loaders  []loader
	Shims    []string // what to know of the shims that are handed out, in lines
	Net      network
	// begins each line of the network: empty, or a comment sign when nobody
	// gave a network
	Example string
	DotLess bool // the host of the URL has no dot
}

type network struct {
	Subnet      netip.Prefix
	First, Last netip.Addr
	Router      netip.Addr
	DNS         []netip.Addr
}

func (n network) Mask() string {
	mask := uint32(0xffffffff) << (32 - n.Subnet.Bits())
	return netip.AddrFrom4([4]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8),
		byte(mask)}).String()
}

func (n network) Network() netip.Addr { return n.Subnet.Addr() }

// documentation is the network of the example, from the addresses that are for
// documentation (RFC 5737).
var documentation = network{
	Subnet: netip.MustParsePrefix("192.0.2.0/24"),
	First:  netip.MustParseAddr("192.0.2.100"),
	Last:   netip.MustParseAddr("192.0.2.199"),
	Router: netip.MustParseAddr("192.0.2.1"),
}

//go:embed *.tmpl
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"hex": func(n int) string { return fmt.Sprintf("0x%04x", n) },
	// as isc-dhcp writes it
	"pair": func(n int) string { return fmt.Sprintf("%02x:%02x", n>>8, n&0xff) },
	"join": func(all []netip.Addr, by string) string {
		var texts []string
		for _, a := range all {
			texts = append(texts, a.String())
		}
		return strings.Join(texts, by)
	},
}).ParseFS(files, "*.tmpl"))

// Print returns the configuration for a server of that kind. An error says
// which option is wrong and what to write instead. No text of an option gets
// into the configuration as it was given: each is read as an address, a network
// or a host name and written anew, so that none can end a quotation or a line.
func Print(kind string, o Options) ([]byte, error) {
	base, host, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	p := page{Redirect: base + "/redirect", Command: o.Command}
	if p.TFTP, err = o.tftp(host); err != nil {
		return nil, err
	}
	switch kind {
	case "isc", "kea", "dnsmasq":
		err = o.network(&p, true)
	case "dnsmasq-proxy":
		err = o.network(&p, false)
		// dnsmasq takes a boot file without a dot for a name that is yet to get
		// ".0" at its end (its function dhcp_reply).
		if !strings.Contains(p.Redirect, ".") {
			p.Redirect, p.DotLess = base+"/boot.ipxe", true
		}
	default:
		return nil, fmt.Errorf("there are no lines for %q: the servers are %s", kind,
			strings.Join(Kinds, ", "))
	}
	if err != nil {
		return nil, err
	}
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if strings.ContainsFunc(p.Command, control) {
		return nil, fmt.Errorf("the command %q is more than one line", p.Command)
	}
	if strings.ContainsFunc(o.Where, control) {
		return nil, fmt.Errorf("the folders of the loaders %q are more than one line", o.Where)
	}
	p.Loaders, p.Shims = o.loaders(base), o.shimNotes()
	for _, l := range p.Loaders {
		// A DHCP packet has 128 bytes for the name, and a zero at its end (RFC
		// 2131, 2).
		if len(l.File) > 127 {
			return nil, fmt.Errorf(
				"--url: %s has %d characters, and a DHCP answer holds 127: use a shorter name",
				l.File, len(l.File))
		}
	}
	p.Notes = append(p.Notes,
		`TFTP has to be on in pxesrv, and is off by default: tftp: [":69"] in /etc/pxesrv/pxesrv.yaml, or pxesrv serve --tftp.`)
	p.Notes = append(p.Notes, o.missing()...)
	p.Notes = append(p.Notes, nobody...)
	if strings.HasPrefix(base, "https:") {
		p.Notes = append(p.Notes, trust...)
		p.Notes = append(p.Notes, "The certificate of the server has to name "+host+
			" (subjectAltName).")
	}
	if addr, err := netip.ParseAddr(host); err != nil {
		p.Notes = append(p.Notes, "Machines have to find the name "+host+
			": they need a name server that knows it.")
	} else if addr.Is6() {
		p.Notes = append(p.Notes, "The URL is IPv6, which neither iPXE for a BIOS nor HTTP Boot "+
			"over IPv4 speaks: such machines need one of IPv4.")
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, kind+".tmpl", p); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// trust is what has to be true of machines for an https:// URL.
var trust = []string{
	"By https:// a machine boots that trusts the certificate of the server: firmware (HTTP Boot) " +
		"by the CAs enrolled in its setup;",
	"iPXE for UEFI by the same list if it is of 2025-03 or later, else by what was built into it " +
		"(HTTPS, TRUST=). iPXE for a BIOS",
	"trusts only what was built into it. Machines of which none of this is true need lines with " +
		"http://.",
}

// loaders is who gets which iPXE. By TFTP that is snponly.efi, which drives the
// network card through the firmware that has just loaded it by that card; by
// HTTP Boot it is ipxe.efi, which brings its own drivers.
func (o Options) loaders(base string) []loader {
	snponly, ipxe := o.shim("snponly"), o.shim("ipxe")
	return []loader{
		{Tag: "bios", Arch: []int{0}, File: "undionly.kpxe",
			What: "BIOS", Why: "undionly.kpxe uses the card through the BIOS that loaded it"},
		{Tag: "efi64", Arch: []int{7, 9}, File: snponly,
			What: "UEFI on x86-64: firmware says 7 or 9, and means the same",
			Why:  "snponly.efi uses the card through the firmware"},
		// U-Boot says 11 when it is to run what it loads as UEFI does, but some
		// boards' own scripts run it (bootefi) after 22.
		{Tag: "arm64", Arch: []int{11, 22}, File: "ipxe-arm64.efi",
			What: "UEFI on 64-bit ARM (11), and U-Boot on it (22)",
			Why:  "there is one iPXE for it, with drivers of its own"},
		{Tag: "http", Arch: []int{15, 16}, File: base + "/" + ipxe, HTTP: true,
			What: "UEFI HTTP Boot on x86-64 (15 is for 32 bits, but others say it too)",
			Why:  "it wants a URL, and HTTPClient repeated"},
		{Tag: "httparm", Arch: []int{19}, File: base + "/ipxe-arm64.efi", HTTP: true,
			What: "UEFI HTTP Boot on 64-bit ARM", Why: "the same, with the iPXE for ARM"},
	}
}

// ofItsName is how the name of a shim ends that loads the program without it.
const ofItsName = "-shim.efi"

// shim is the boot file that brings a machine to that iPXE, or to another one
// where only that has a shim.
func (o Options) shim(iPXE string) string {
	switch own := iPXE + ofItsName; {
	case len(o.Shims) == 0:
		return iPXE + ".efi"
	case slices.Contains(o.Shims, own):
		return own
	}
	return o.Shims[0]
}

// shimNotes says what to know of the shims that are handed out, a line each.
func (o Options) shimNotes() []string {
	if len(o.Shims) == 0 {
		return nil
	}
	handed, notes := []string{o.shim("snponly"), o.shim("ipxe")}, []string{}
	for _, name := range slices.Compact(handed) {
		note := o.ShimNotes[name]
		switch {
		case note != "":
		case strings.HasSuffix(name, ofItsName):
			note = "The shims load the iPXE of their name, on some firmware ipxe.efi: put both, " +
				"signed, beside them."
		default:
			note = name + " has to be the shim of iPXE, which loads ipxe.efi; that of a " +
				"distribution loads grubx64.efi."
		}
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	return append(notes, "A shim does so with Secure Boot off, too.")
}

// parseURL returns the URL without a slash at its end, written anew from its
// checked parts, and its host.
func parseURL(text string) (base, host string, err error) {
	bad := func(format string, args ...any) (string, string, error) {
		return "", "", fmt.Errorf("--url %q: %s", text, fmt.Sprintf(format, args...))
	}
	if text == "" {
		return "", "", fmt.Errorf("--url is missing: the address where machines reach pxesrv, " +
			"such as --url http://192.0.2.10:4567; " +
			"also url in the configuration, or PXESRV_URL")
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return bad("this is no URL; write one such as http://192.0.2.10:4567")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return bad("it has to begin with http://, or with https:// for machines that trust the " +
			"certificate of the server")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" ||
		strings.HasSuffix(text, "#") {
		return bad("only a host and a port belong there")
	}
	if u.Path != "" && u.Path != "/" {
		return bad("leave %s away: pxesrv answers at the top of its host, and the lines add what "+
			"machines ask for", u.EscapedPath())
	}
	port := u.Port()
	if n, err := strconv.Atoi(port); strings.HasSuffix(u.Host, ":") ||
		port != "" && (err != nil || n < 1 || n > 65535) {
		return bad("the port has to be a number from 1 to 65535")
	}
	host = u.Hostname()
	written := host
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return bad("an address with a zone means something else on every machine")
		}
		if addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast() {
			return bad("no machine reaches pxesrv at %s", addr)
		}
		host = addr.String()
		if written = host; addr.Is6() {
			written = "[" + host + "]"
		}
	} else if err := checkHost(host); err != nil {
		return bad("%v", err)
	}
	if port != "" {
		written += ":" + port
	}
	return u.Scheme + "://" + written, host, nil
}

// checkHost checks a host name by RFC 1123, 2.1.
func checkHost(name string) error {
	if len(name) > 253 {
		return fmt.Errorf("the host name is longer than 253 characters")
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		ok := len(label) >= 1 && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
		for _, c := range []byte(label) {
			ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
				c >= '0' && c <= '9' || c == '-')
		}
		if !ok {
			return fmt.Errorf("%q is no host name and no address", name)
		}
	}
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil {
		return fmt.Errorf("%q is no address, and no host name ends in a number", name)
	}
	if strings.EqualFold(name, "localhost") {
		return fmt.Errorf("a machine that boots is itself localhost")
	}
	return nil
}

// tftp returns the address that DHCP calls next-server: the protocol has four
// bytes for it.
func (o Options) tftp(host string) (netip.Addr, error) {
	if o.TFTP == "" {
		if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
			return addr, nil
		}
		return netip.Addr{}, fmt.Errorf("--tftp is missing: DHCP names the TFTP server by its "+
			"IPv4 address, and %s is none; "+
			"give the one of the computer where pxesrv serves TFTP", host)
	}
	return address("--tftp", o.TFTP)
}

func address(option, text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is4() || addr.IsUnspecified() || addr.IsLoopback() ||
		addr.IsMulticast() {
		return addr, fmt.Errorf("%s %q is not the IPv4 address of a computer on the network",
			option, text)
	}
	return addr, nil
}

// network fills in the network, or the example.
func (o Options) network(p *page, gives bool) error {
	if o.Subnet == "" {
		if o.Range != "" || o.Router != "" || len(o.DNS) > 0 {
			return fmt.Errorf(
				"--range, --router and --dns belong to a --subnet, such as 192.0.2.0/24")
		}
		p.Net, p.Example = documentation, "#"
		return nil
	}
	subnet, err := netip.ParsePrefix(o.Subnet)
	if err != nil || !subnet.Addr().Is4() || subnet.Bits() < 8 || subnet.Bits() > 30 {
		return fmt.Errorf(
			"--subnet %q is not an IPv4 network of 4 addresses or more, such as 192.0.2.0/24",
			o.Subnet)
	}
	if subnet != subnet.Masked() {
		return fmt.Errorf("--subnet %q: that is an address in %s; write the network", o.Subnet,
			subnet.Masked())
	}
	p.Net.Subnet = subnet
	if !gives {
		if o.Range != "" || o.Router != "" || len(o.DNS) > 0 {
			return fmt.Errorf("--range, --router and --dns are what the other DHCP server gives " +
				"out; leave them away")
		}
		return nil
	}
	first, last, ok := strings.Cut(o.Range, "-")
	if !ok {
		return fmt.Errorf("--range %q: write the first and the last address to give out, such as "+
			"192.0.2.100-192.0.2.199", o.Range)
	}
	if p.Net.First, err = address("--range", first); err != nil {
		return err
	}
	if p.Net.Last, err = address("--range", last); err != nil {
		return err
	}
	if p.Net.Last.Less(p.Net.First) {
		return fmt.Errorf("--range %q: the first address comes after the last", o.Range)
	}
	if !host(subnet, p.Net.First) || !host(subnet, p.Net.Last) {
		return fmt.Errorf("--range %q: these are not all addresses for computers in %s",
			o.Range, subnet)
	}
	if o.Router != "" {
		if p.Net.Router, err = address("--router", o.Router); err != nil {
			return err
		}
		if !host(subnet, p.Net.Router) {
			return fmt.Errorf("--router %q is not an address for a computer in %s",
				o.Router, subnet)
		}
	}
	for _, text := range o.DNS {
		addr, err := address("--dns", text)
		if err != nil {
			return err
		}
		p.Net.DNS = append(p.Net.DNS, addr)
	}
	for _, taken := range append([]netip.Addr{p.TFTP, p.Net.Router}, p.Net.DNS...) {
		if taken.IsValid() && !taken.Less(p.Net.First) && !p.Net.Last.Less(taken) {
			return fmt.Errorf("--range %q: it would give out %s, which is taken", o.Range, taken)
		}
	}
	return nil
}

// host reports whether a computer of the network can have the address: it is
// neither the first nor the last of it.
func host(subnet netip.Prefix, addr netip.Addr) bool {
	return subnet.Contains(addr) && addr != subnet.Addr() && subnet.Contains(addr.Next())
}
