package ipxe

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	poor = Loader{Platform: BIOS, Version: "1.0.0+git-20190125",
		Features: Features{IPv6: true, Replace: true, DNS: 1}}
	rich = Loader{Platform: UEFI, Version: "1.21.1+git20250501",
		Features: Features{Autoexec: true, VLAN: true, IPv6: true, HTTPS: true, LinkWait: true,
			Replace: true, DNS: ManyDNS}}
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

func mac(text string) net.HardwareAddr {
	m, err := net.ParseMAC(text)
	if err != nil {
		panic(err)
	}
	return m
}

// plain is a host as most are.
func plain() Host {
	return Host{Name: "web1", MAC: mac("52:54:00:12:34:56"), Addresses: prefixes("10.0.0.7/24"),
		Gateways: addrs("10.0.0.1"),
		DNS:      addrs("10.0.0.2"), Servers: []string{"http://10.0.0.5:4567"}}
}

// full is a host that uses everything, with long values.
func full() Host {
	h := Host{Name: strings.Repeat("n", 128), VLAN: 4094, Addresses: prefixes("100.100.100.100/22",
		"2001:db8:1111:2222:3333:4444:5555:6666/64"),
		Gateways: addrs("100.100.100.101", "2001:db8:1111:2222:3333:4444:5555:7777"),
		DNS: addrs("192.168.100.101", "192.168.100.102",
			"2001:db8:1111:2222:3333:4444:5555:8888"),
		Search: []string{"datacentre-one.example.org", "example.org"}, Query: "sig=" +
			strings.Repeat("a", 64),
		Tries: 20, Timeout: time.Minute, Pause: 10 * time.Minute}
	for _, n := range []string{"1", "2", "3", "4"} {
		h.Servers = append(h.Servers, "https://bootserver-"+n+
			".datacentre-one.example.org:14567/pxe/production")
	}
	return h
}

// TestHostScript checks the scripts of many kinds of hosts as TestScripts does,
// and with the eyes of Check.
func TestHostScript(t *testing.T) {
	number := plain()
	number.MAC, number.Card = nil, "net3"
	each := plain()
	each.MAC = nil
	six := Host{Name: "six", Addresses: prefixes("2001:db8::7/64"), Gateways: addrs("fe80::1"),
		Servers: []string{"http://[2001:db8::5]:4567/"}}
	for name, h := range map[string]Host{"plain": plain(), "number": number, "each": each,
		"six": six, "full": full()} {
		t.Run(name, func(t *testing.T) {
			if h.VLAN == 0 {
				if _, err := h.Script(poor, rich); err != nil {
					t.Fatal(err)
				}
			}
			script, err := h.Script(rich)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes", len(script))
			for _, p := range Check(script, nil) {
				if !(p.Code == RareCommand && strings.Contains(p.Text, "https")) {
					t.Errorf("%+v", p)
				}
			}
			if !strings.HasPrefix(string(script), magic) || !strings.HasSuffix(string(script),
				"\n:local\n"+local) || !strings.Contains(string(script), identity) {
				t.Errorf("%s", script)
			}
			for _, c := range script {
				if c != '\n' && (c < ' ' || c > '~') {
					t.Fatalf("byte %#x", c)
				}
			}
			if want := "&host=" + h.Name; !strings.Contains(string(script), want) {
				t.Errorf("no %s", want)
			}
		})
	}
}

// TestHostHostile: nothing gets out of its word into the script, in whatever
// value it comes.
func TestHostHostile(t *testing.T) {
	for _, evil := range []string{"a b", "a\nexit", "a\rexit", "${uuid}", "a${x}", "#", "#x", "a#b",
		"a&&b", "a||b", "a;b", "&&", "||", "a\tb", "a\x00b",
		"a\\", "é", "", " ", "-x", `"a"`, "a'b", "a<b", "a>b", "$", "{", "a`b"} {
		for field, set := range map[string]func(*Host){
			"name":      func(h *Host) { h.Name = evil },
			"interface": func(h *Host) { h.MAC, h.Card = nil, "net0"+evil+"0" },
			"server":    func(h *Host) { h.Servers = []string{"http://10.0.0.5:4567/" + evil} },
			"search":    func(h *Host) { h.Search = []string{evil} },
			"query":     func(h *Host) { h.Query = "a=" + evil },
			"dns": func(h *Host) {
				h.DNS = []netip.Addr{netip.MustParseAddr("fe80::1").WithZone("x" + evil)}
			},
			"gateway": func(h *Host) {
				h.Gateways = []netip.Addr{netip.MustParseAddr("fe80::1").WithZone("x" + evil)}
			},
		} {
			if harmless := evil == "" || evil == "-x"; harmless &&
				(field == "server" || field == "query") {
				continue
			}
			h := plain()
			h.Addresses = append(h.Addresses, prefixes("2001:db8::7/64")...)
			set(&h)
			_, err := h.Script(rich)
			var bad *FieldError
			if !errors.As(err, &bad) || bad.Field != field {
				t.Errorf("%s %q: %v", field, evil, err)
			}
		}
	}
}

// TestHostCheck has a value for everything that cannot be.
func TestHostCheck(t *testing.T) {
	for _, c := range []struct {
		field, value string
		set          func(*Host)
	}{
		{"name", strings.Repeat("a", 129), func(h *Host) { h.Name = strings.Repeat("a", 129) }},
		{"name", ".a", func(h *Host) { h.Name = ".a" }},
		{"interface", "net0", func(h *Host) { h.Card = "net0" }},
		{"interface", "net16", func(h *Host) { h.MAC, h.Card = nil, "net16" }},
		{"mac", "52:54:00:12:34:56:00:01", func(h *Host) {
			h.MAC = mac("52:54:00:12:34:56:00:01")
		}},
		{"mac", "ff:ff:ff:ff:ff:ff", func(h *Host) { h.MAC = mac("ff:ff:ff:ff:ff:ff") }},
		{"mac", "00:00:00:00:00:00", func(h *Host) { h.MAC = mac("00:00:00:00:00:00") }},
		{"vlan", "4095", func(h *Host) { h.VLAN = 4095 }},
		{"vlan", "-1", func(h *Host) { h.VLAN = -1 }},
		{"address", "", func(h *Host) { h.Addresses = nil }},
		{"address", "10.0.0.8/24", func(h *Host) {
			h.Addresses = prefixes("10.0.0.7/24", "10.0.0.8/24")
		}},
		{"address", "10.0.0.0/24", func(h *Host) { h.Addresses = prefixes("10.0.0.0/24") }},
		{"address", "10.0.0.255/24", func(h *Host) { h.Addresses = prefixes("10.0.0.255/24") }},
		{"address", "10.0.1.255/23", func(h *Host) { h.Addresses = prefixes("10.0.1.255/23") }},
		{"address", "0.0.0.0/24", func(h *Host) { h.Addresses = prefixes("0.0.0.0/24") }},
		{"address", "127.0.0.1/8", func(h *Host) { h.Addresses = prefixes("127.0.0.1/8") }},
		{"address", "224.0.0.1/24", func(h *Host) { h.Addresses = prefixes("224.0.0.1/24") }},
		{"address", "10.0.0.7/0", func(h *Host) { h.Addresses = prefixes("10.0.0.7/0") }},
		{"address", "fe80::7/64", func(h *Host) {
			h.Addresses = prefixes("10.0.0.7/24", "fe80::7/64")
		}},
		{"address", "2001:db8::/64", func(h *Host) {
			h.Addresses = prefixes("10.0.0.7/24", "2001:db8::/64")
		}},
		{"address", "::ffff:10.0.0.7/120", func(h *Host) {
			h.Addresses = prefixes("::ffff:10.0.0.7/120")
		}},
		{"gateway", "10.0.1.1", func(h *Host) { h.Gateways = addrs("10.0.1.1") }},
		{"gateway", "10.0.0.7", func(h *Host) { h.Gateways = addrs("10.0.0.7") }},
		{"gateway", "10.0.0.255", func(h *Host) { h.Gateways = addrs("10.0.0.255") }},
		{"gateway", "10.0.0.2", func(h *Host) { h.Gateways = addrs("10.0.0.1", "10.0.0.2") }},
		{"gateway", "fe80::1", func(h *Host) { h.Gateways = addrs("fe80::1") }},
		{"dns", "10.0.9.9", func(h *Host) { h.Gateways, h.DNS = nil, addrs("10.0.9.9") }},
		{"dns", "10.0.0.2", func(h *Host) { h.DNS = addrs("10.0.0.2", "10.0.0.2") }},
		{"dns", "2001:db8::1", func(h *Host) { h.DNS = addrs("2001:db8::1") }},
		{"search", "a..b", func(h *Host) { h.Search = []string{"a..b"} }},
		{"server", "", func(h *Host) { h.Servers = nil }},
		{"server", "ftp://10.0.0.5", func(h *Host) { h.Servers = []string{"ftp://10.0.0.5"} }},
		{"server", "10.0.0.5:4567", func(h *Host) { h.Servers = []string{"10.0.0.5:4567"} }},
		{"server", "http://10.0.0.5:70000", func(h *Host) {
			h.Servers = []string{"http://10.0.0.5:70000"}
		}},
		{"server", "http://10.0.0.5:", func(h *Host) { h.Servers = []string{"http://10.0.0.5:"} }},
		{"server", "http://10.0.0.500", func(h *Host) {
			h.Servers = []string{"http://10.0.0.500"}
		}},
		{"server", "http://u@10.0.0.5", func(h *Host) {
			h.Servers = []string{"http://u@10.0.0.5"}
		}},
		{"server", "http://10.0.0.5/?a=b", func(h *Host) {
			h.Servers = []string{"http://10.0.0.5/?a=b"}
		}},
		{"server", "http://10.0.0.7", func(h *Host) { h.Servers = []string{"http://10.0.0.7"} }},
		{"server", "http://[2001:db8::5]", func(h *Host) {
			h.Servers = []string{"http://[2001:db8::5]"}
		}},
		{"server", "http://127.0.0.1", func(h *Host) { h.Servers = []string{"http://127.0.0.1"} }},
		{"server", "http://10.9.9.9", func(h *Host) {
			h.Gateways, h.Servers = nil, []string{"http://10.9.9.9"}
		}},
		{"server", "http://boot", func(h *Host) {
			h.DNS, h.Servers = nil, []string{"http://boot"}
		}},
		{"server", "http://10.0.0.5/", func(h *Host) {
			h.Servers = []string{"http://10.0.0.5", "http://10.0.0.5/"}
		}},
		{"tries", "21", func(h *Host) { h.Tries = 21 }},
		{"timeout", "1ms", func(h *Host) { h.Timeout = time.Millisecond }},
		{"pause", "1h0m0s", func(h *Host) { h.Pause = time.Hour }},
	} {
		h := plain()
		c.set(&h)
		all := h.Check()
		if len(all) != 1 || all[0].Field != c.field || all[0].Value != c.value || all[0].Why == "" {
			t.Errorf("%s %s: %v", c.field, c.value, all)
		}
	}
	// A server that ends in what the host asks for, and what to write instead.
	for server, write := range map[string]string{
		"http://10.0.0.5:4567/redirect":          "http://10.0.0.5:4567",
		"http://10.0.0.5:4567/redirect/":         "http://10.0.0.5:4567",
		"http://10.0.0.5:4567//redirect//":       "http://10.0.0.5:4567",
		"http://10.0.0.5:4567/redirect?":         "http://10.0.0.5:4567",
		"http://10.0.0.5:4567/redirect?uuid=x":   "http://10.0.0.5:4567",
		"http://10.0.0.5:4567/redirect#":         "http://10.0.0.5:4567",
		"http://10.0.0.5:4567/redirect#top":      "http://10.0.0.5:4567",
		"http://10.0.0.5/redirect/redirect":      "http://10.0.0.5",
		"http://10.0.0.5/Redirect":               "http://10.0.0.5",
		"http://10.0.0.5/%72edirect":             "http://10.0.0.5",
		"http://10.0.0.5/pxe/./redirect":         "http://10.0.0.5/pxe",
		"http://10.0.0.5/a/b/redirect/":          "http://10.0.0.5/a/b",
		"https://boot.example.org/redirect":      "https://boot.example.org",
		"http://10.0.0.5:4567/boot.ipxe":         "http://10.0.0.5:4567",
		"http://10.0.0.5:4567/pxe/autoexec.ipxe": "http://10.0.0.5:4567/pxe",
	} {
		h := plain()
		h.Servers = []string{server}
		all := h.Check()
		if len(all) != 1 || all[0].Field != "server" ||
			!strings.HasSuffix(all[0].Why, ": write "+write) {
			t.Errorf("%s: %v, want: write %s", server, all, write)
			continue
		}
		h.Servers[0] = write
		if all := h.Check(); len(all) != 0 {
			t.Errorf("%s is what to write instead of %s, and is wrong too: %v", write, server, all)
		}
	}
	for name, set := range map[string]func(*Host){
		"redirect in the path": func(h *Host) {
			h.Servers = []string{"http://10.0.0.5/redirect/pxe"}
		},
		"a path like redirect": func(h *Host) {
			h.Servers = []string{"http://10.0.0.5/pxe-redirect"}
		},
		"a host of the name": func(h *Host) { h.Servers = []string{"http://redirect"} },
		"as it is":           func(h *Host) {},
		"no gateway":         func(h *Host) { h.Gateways = nil },
		"two of a network": func(h *Host) {
			h.Addresses, h.Gateways = prefixes("10.0.0.0/31"), addrs("10.0.0.1")
		},
		"by name": func(h *Host) {
			h.Servers = []string{"https://boot.example.org", "http://boot"}
		},
		"with a path": func(h *Host) { h.Servers = []string{"http://10.0.0.5/pxe/"} },
		"link-local gateway": func(h *Host) {
			h.Addresses, h.Gateways = prefixes("10.0.0.7/24", "2001:db8::7/64"),
				addrs("10.0.0.1", "fe80::1")
		},
	} {
		h := plain()
		set(&h)
		if all := h.Check(); len(all) != 0 {
			t.Errorf("%s: %v", name, all)
		}
	}
}

// TestHostNeeds: a loader that cannot do what the host needs is named with what
// it lacks, and the others are not.
func TestHostNeeds(t *testing.T) {
	old := rich
	old.Autoexec = false
	bare := Loader{Platform: BIOS, Assumed: true, Features: Features{DNS: 1}}
	for name, c := range map[string]struct {
		set     func(*Host)
		loaders []Loader
		want    string // what stands in the error; "" for none
	}{
		"plain": {func(h *Host) {}, []Loader{bare, rich}, ""},
		"VLAN": {func(h *Host) { h.VLAN = 5 }, []Loader{poor, rich},
			"no boot by BIOS: iPXE 1.0.0+git-20190125 for BIOS knows no VLANs, and the host is " +
				"in VLAN 5"},
		"VLAN on what has it": {func(h *Host) { h.VLAN = 5 }, []Loader{rich}, ""},
		"HTTPS": {func(h *Host) { h.Servers = []string{"https://10.0.0.5"} },
			[]Loader{poor, rich}, "knows no HTTPS"},
		"IPv6 alone": {func(h *Host) {
			*h = Host{Name: "x", Addresses: prefixes("2001:db8::7/64"),
				Servers: []string{"http://[2001:db8::5]"}}
		}, []Loader{bare, poor},
			"knows no IPv6, and the host has no other address (nothing is known"},
		"IPv6 server": {func(h *Host) {
			h.Addresses = prefixes("10.0.0.7/24", "2001:db8::7/64")
			h.Servers = []string{"http://[2001:db8::5]"}
		}, []Loader{bare, poor}, "a boot server is http://[2001:db8::5]"},
		"both kinds, but IPv4": {func(h *Host) {
			h.Addresses = prefixes("10.0.0.7/24", "2001:db8::7/64")
		}, []Loader{bare}, ""},
		"no autoexec.ipxe": {func(h *Host) {}, []Loader{poor, old},
			"no boot by UEFI: iPXE 1.21.1+git20250501 for UEFI does not read autoexec.ipxe"},
	} {
		h := plain()
		c.set(&h)
		script, err := h.Script(c.loaders...)
		if c.want == "" {
			if err != nil || script == nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var unfit *Incapable
		if !errors.As(err, &unfit) || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "\n") || script != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := plain().Script(); err == nil {
		t.Error("a script for no loader")
	}
}

// TestHostNotes: what an ISO that works leaves unused is said.
func TestHostNotes(t *testing.T) {
	h := plain()
	if notes := h.Notes(poor, rich); len(notes) != 0 {
		t.Errorf("%q", notes)
	}
	h.DNS = addrs("10.0.0.2", "10.0.0.3")
	h.Servers = append(h.Servers, "http://boot.example.org")
	h.Addresses = append(h.Addresses, prefixes("2001:db8::7/64")...)
	bare := Loader{Platform: BIOS, Features: Features{DNS: 2}}
	notes := strings.Join(h.Notes(poor, rich, bare), "\n")
	want := "iPXE 1.0.0+git-20190125 for BIOS asks only the first 1 of 2 DNS servers\n" +
		"iPXE for BIOS leaves the IPv6 address unused\n" +
		"http://boot.example.org is given by name: the machine finds it only while a DNS server " +
		"answers"
	if notes != want {
		t.Errorf("%s", notes)
	}
}

// TestHostTooLong: a script that has no room in the ISO is refused, one with
// long values has room.
func TestHostTooLong(t *testing.T) {
	h := full()
	for i := range 4 {
		h.Servers = append(h.Servers, "https://"+strings.Repeat("long-name.", 20)+"example.org/"+
			strings.Repeat("x", i))
	}
	if script, err := h.Script(rich); err == nil || !strings.Contains(err.Error(), "4096") ||
		script != nil {
		t.Errorf("%d bytes, %v", len(script), err)
	}
}

// TestHostPatience: the time is the sum of what the script may wait for.
func TestHostPatience(t *testing.T) {
	h := plain()
	if got := h.Patience(4); got != 38*time.Second {
		t.Errorf("one card, one server: %v", got)
	}
	h.MAC, h.Servers, h.Pause = nil, []string{"http://10.0.0.5", "http://10.0.0.6"}, time.Second
	if got := h.Patience(2); got != 87*time.Second {
		t.Errorf("two cards, two servers: %v", got)
	}
}
