package ipxe

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Incapable is a loader that cannot do what the host needs, so that no ISO may
// have it for this host.
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
	return fmt.Sprintf("%s: no boot by %v: %v %s%s", e.Host, e.Loader.Platform, e.Loader,
		strings.Join(e.Lacks, ", and "), known)
}

// Needs returns, for each of the loaders that cannot do what the host needs,
// what it lacks.
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

// Notes returns what people should know of the host although its ISO works: DNS
// servers and addresses that a loader leaves unused, and boot servers that only
// DNS leads to.
func (h Host) Notes(loaders ...Loader) (notes []string) {
	for _, l := range loaders {
		if n := len(h.DNS); n > l.DNS {
			notes = append(notes, fmt.Sprintf("%v asks only the first %d of %d DNS servers",
				l, l.DNS, n))
		}
		if len(h.Addresses) > 1 && !l.IPv6 {
			notes = append(notes, fmt.Sprintf("%v leaves the IPv6 address unused", l))
		}
	}
	for _, s := range h.Servers {
		if a, why := serverAddress(s); why == "" && !a.IsValid() {
			notes = append(notes,
				fmt.Sprintf("%s is given by name: the machine finds it only while a DNS server answers", s))
		}
	}
	return notes
}
