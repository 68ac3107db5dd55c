package ipxe

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxHostScript is how many bytes the script of a host may have: the size of
// its place in the ISO.
const MaxHostScript = 4096

// linkWait is how long a card may take to find its link. A port that talks to
// its switch first takes some seconds.
const linkWait = 10 * time.Second

// Patience returns how long the local disk waits at most for a boot server when
// none is there, for a machine with that many cards that the host may try. A
// server that refuses takes less: a second for each try.
func (h Host) Patience(cards int) time.Duration {
	if h.MAC != nil || h.Card != "" {
		cards = 1
	}
	h = h.withDefaults()
	asks := time.Duration(h.Tries * len(h.Servers))
	return time.Duration(min(cards, maxCards))*(linkWait+asks*h.Timeout+
		time.Duration(h.Tries)*time.Second) + h.Pause
}

func (h Host) withDefaults() Host {
	h.Tries = cmp.Or(h.Tries, DefaultTries)
	h.Timeout = cmp.Or(h.Timeout, DefaultTimeout)
	h.Pause = cmp.Or(h.Pause, DefaultPause)
	return h
}

// Script returns the script of the host, which the given loaders are to run:
// one for each way to boot that its ISO has.
//
// The machine finds its card, sets its address, and asks each server in turn,
// /redirect with the identity as Identify sends it and host=NAME. What it gets
// is run. When that ends, in whatever way, and when no server answers, the
// local disk boots. The screen says which host it is, its address, whom it
// asks, and what failed, for as long as Pause says.
//
// The error is, joined, a *FieldError for each value that cannot be, and an
// *Incapable for each loader that cannot do what the host needs; or that the
// script is longer than MaxHostScript.
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
		return nil, fmt.Errorf("%s: the script has %d bytes, and its place in the ISO %d: name "+
			"fewer or shorter servers, DNS servers or search domains",
			h.Name, len(script), MaxHostScript)
	}
	return script, nil
}

// write writes the script of a host that was checked.
//
//   - A machine that has several cards is told by nothing else which of them
//     iPXE calls net0, hence the walk over them. ${net0/mac} is in lower case
//     with colons (src/core/settings.c), and iseq compares bytes.
//   - The cards are walked by an int32, which inc counts up; ${net${idx}/mac}
//     is expanded from the inside out.
//   - vcreate gives the card of VLAN 5 on net0 the name net0-5
//     (src/net/vlan.c).
//   - A list of addresses is stored as raw bytes: the text of an address
//     setting holds one alone (src/core/settings.c). So is a list of search
//     domains (RFC 3397); one domain alone may be a text.
//   - Fetched and run apart, so that a script that fails is not fetched again;
//     that could cost a second order.
//   - imgexec without --replace, unlike Identify: it comes back here when the
//     served script ends, and the local disk boots then whether it ended well
//     or not. BIOS firmware that gets control back from an ISO tries the
//     floppy, and UEFI firmware stops in its setup menu after an exit without a
//     status.
//   - exit 1 is how a script sends UEFI machines to their disk, so that error
//     is none to show.
//   - errno is that of the last command that failed, and iseq fails too; hence
//     why.
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
			line("set ${dev}/ip %v\nset ${dev}/netmask %v", p.Addr(),
				net.IP(net.CIDRMask(p.Bits(), 32)))
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
	line("imgfetch --name served --timeout %d ${srv${s}}%s?${q}&try=${try} && goto run ||",
		h.Timeout.Milliseconds(), Path)
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
