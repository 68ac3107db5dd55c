package dhcp

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestRefused(t *testing.T) {
	good := Options{URL: "http://192.0.2.10:4567"}
	with := func(change func(*Options)) Options {
		o := good
		change(&o)
		return o
	}
	network := func(subnet, from, router string, dns ...string) Options {
		return with(func(o *Options) {
			o.Subnet, o.Range, o.Router, o.DNS = subnet, from, router, dns
		})
	}
	at := func(url string) Options {
		return with(func(o *Options) { o.URL, o.TFTP = url, "192.0.2.10" })
	}
	for _, test := range []struct {
		o    Options
		want string // in the error
	}{
		{at(""), "--url is missing"},
		{at("boot.example:4567"), "no URL"},
		{at("192.0.2.10:4567"), "no URL"},
		{at("http://"), "no URL"},
		{at("http:boot.example"), "no URL"},
		{at("https://"), "no URL"},
		{at("https://u:p@boot.example"), "only a host and a port"},
		{at("tftp://boot.example"), "http://"},
		{at("http://u:p@boot.example"), "only a host and a port"},
		{at("http://boot.example/?a=b"), "only a host and a port"},
		{at("http://boot.example/#x"), "only a host and a port"},
		{at("http://boot.example?"), "only a host and a port"},
		{at("http://boot.example/#"), "only a host and a port"},
		{at("http://boot.example/redirect"), "leave /redirect away"},
		{at("http://boot.example//"), "leave // away"},
		{at("http://boot.example:"), "port"},
		{at("http://boot.example:0"), "port"},
		{at("http://boot.example:65536"), "port"},
		{at("http://boot.example:x"), "no URL"},
		{at("http://192.0.2.300:4567"), "ends in a number"},
		{at("http://10.1:4567"), "ends in a number"},
		{at("http://[fe80::1%25eth0]:4567"), "zone"},
		{at("http://127.0.0.1:4567"), "no machine reaches"},
		{at("http://[::1]:4567"), "no machine reaches"},
		{at("http://0.0.0.0:4567"), "no machine reaches"},
		{at("http://localhost:4567"), "localhost"},
		{at(`http://boot"example:4567`), "no host name"},
		{at("http://boot'example:4567"), "no host name"},
		{at("http://boot;example:4567"), "no host name"},
		{at("http://boot,example:4567"), "no host name"},
		{at("http://boot\nexample:4567"), "no URL"},
		{at("http://boot%0aexample:4567"), "no URL"},
		{at("http://boot example:4567"), "no URL"},
		{at("http://-boot:4567"), "no host name"},
		{at("http://boot..example:4567"), "no host name"},
		{at("http://b\u00f6ot.example:4567"), "no host name"},
		{at("http://" + strings.Repeat("a.", 130) + "example"), "longer than 253"},
		{at("http://" + strings.Repeat("abcdefghi.", 11) + "example:4567"), "holds 127"},
		{Options{URL: "http://boot.example:4567"}, "--tftp is missing"},
		{Options{URL: "http://[2001:db8::1]:4567"}, "--tftp is missing"},
		{with(func(o *Options) { o.TFTP = "boot.example" }), "--tftp"},
		{with(func(o *Options) { o.TFTP = "2001:db8::1" }), "--tftp"},
		{with(func(o *Options) { o.TFTP = "192.0.2.10;" }), "--tftp"},
		{with(func(o *Options) { o.Range = "192.0.2.20-192.0.2.30" }), "belong to a --subnet"},
		{network("192.0.2.0", "192.0.2.20-192.0.2.30", ""), "--subnet"},
		{network("2001:db8::/64", "", ""), "--subnet"},
		{network("192.0.2.0/31", "", ""), "--subnet"},
		{network("192.0.2.7/24", "192.0.2.20-192.0.2.30", ""),
			"in 192.0.2.0/24; write the network"},
		{network("192.0.2.0/24", "", ""), "--range"},
		{network("192.0.2.0/24", "192.0.2.20", ""), "--range"},
		{network("192.0.2.0/24", "192.0.2.20-30", ""), "--range"},
		{network("192.0.2.0/24", "192.0.2.30-192.0.2.20", ""), "comes after"},
		{network("192.0.2.0/24", "192.0.2.30-192.0.3.20", ""), "not all addresses"},
		{network("192.0.2.0/24", "192.0.2.0-192.0.2.9", ""), "not all addresses"},
		{network("192.0.2.0/24", "192.0.2.20-192.0.2.255", ""), "not all addresses"},
		{network("192.0.2.0/24", "192.0.2.5-192.0.2.20", ""),
			"give out 192.0.2.10, which is taken"},
		{network("192.0.2.0/24", "192.0.2.20-192.0.2.30", "192.0.3.1"), "--router"},
		{network("192.0.2.0/24", "192.0.2.20-192.0.2.30", "x\n"), "--router"},
		{network("192.0.2.0/24", "192.0.2.20-192.0.2.30", "192.0.2.25"), "which is taken"},
		{network("192.0.2.0/24", "192.0.2.20-192.0.2.30", "", "192.0.2.2", `9.9.9.9";`), "--dns"},
		{network("192.0.2.0/24", "192.0.2.20-192.0.2.30", "", "192.0.2.21"), "which is taken"},
		{with(func(o *Options) { o.Command = "pxesrv\nevil" }), "one line"},
		{with(func(o *Options) { o.Missing, o.Where = []string{"ipxe.efi"}, "/usr\nevil" }),
			"one line"},
	} {
		for _, kind := range []string{"isc", "kea", "dnsmasq"} {
			text, err := Print(kind, test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) || text != nil {
				t.Errorf("%s of %+v: %v, want an error that says %q", kind, test.o, err, test.want)
			}
		}
	}
	if _, err := Print("dhcpcd", good); err == nil ||
		!strings.Contains(err.Error(), "isc, kea, dnsmasq") {
		t.Errorf("an unknown server: %v", err)
	}
	if _, err := Print("dnsmasq-proxy", network("192.0.2.0/24", "192.0.2.20-192.0.2.30",
		"")); err == nil {
		t.Error("a proxyDHCP server with a range is accepted")
	}
}

// The URL is written in one way, however it was given.
func TestURL(t *testing.T) {
	for _, test := range []struct{ given, want string }{
		{"http://192.0.2.10:4567", "http://192.0.2.10:4567"},
		{"http://192.0.2.10:4567/", "http://192.0.2.10:4567"},
		{"HTTP://boot.example", "http://boot.example"},
		{"HTTPS://boot.example:4568/", "https://boot.example:4568"},
		{"https://192.0.2.10", "https://192.0.2.10"},
		{"http://boot:080", "http://boot:080"},
		{"http://[2001:DB8:0::1]:4567/", "http://[2001:db8::1]:4567"},
		{"http://[2001:db8::1]", "http://[2001:db8::1]"},
	} {
		if base, _, err := parseURL(test.given); base != test.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", test.given, base, err, test.want)
		}
	}
}

// variants are the texts that the servers' own checkers read.
func variants() map[string]Options {
	all := map[string]Options{}
	for where, o := range map[string]Options{
		"address": {URL: "http://192.0.2.10:4567"},
		"name":    {URL: "http://boot.example", TFTP: "192.0.2.10"},
		"short":   {URL: "http://boot:4567", TFTP: "192.0.2.10"},
		"HTTPS":   {URL: "https://boot.example:4568", TFTP: "192.0.2.10"},
		"IPv6":    {URL: "http://[2001:db8::10]:4567", TFTP: "192.0.2.10"},
	} {
		o.Command = "pxesrv dhcp … // \" ' */ <?"
		all[where] = o
		o.Missing, o.Where = o.Files(), "/usr/lib/ipxe, /srv/pxesrv/ipxe // \" ' */ <?"
		all[where+", missing"] = o
		o.Missing = nil
		o.Shims = []string{"ipxe-shim.efi", "snponly-shim.efi"}
		all[where+", shim"] = o
		o.Subnet, o.Range, o.Router, o.DNS = "192.0.2.0/25", "192.0.2.50-192.0.2.60", "192.0.2.1",
			[]string{"192.0.2.2", "9.9.9.9"}
		all[where+", shim, subnet"] = o
		o.Router, o.Shims = "", nil
		all[where+", no router"] = o
		o.DNS = nil
		all[where+", bare subnet"] = o
		o.Shims = []string{"shimx64.efi"}
		all[where+", other shim"] = o
	}
	return all
}

// forKind leaves away what a proxyDHCP server is not told.
func forKind(kind string, o Options) Options {
	if kind == "dnsmasq-proxy" {
		o.Range, o.Router, o.DNS = "", "", nil
	}
	return o
}

var shellLines = regexp.MustCompile(`(?m)^\s*(//|#).*$`)

// Whatever is printed can be read by a person on a page, and Kea's is JSON but
// for its comments.
func TestForm(t *testing.T) {
	for name, o := range variants() {
		for _, kind := range Kinds {
			text, err := Print(kind, forKind(kind, o))
			if err != nil {
				t.Fatalf("%s, %s: %v", kind, name, err)
			}
			for _, line := range strings.Split(string(text), "\n") {
				if len(line) > 130 || strings.TrimRight(line, " \t") != line {
					t.Errorf("%s, %s: too long, or blanks at the end: %q", kind, name, line)
				}
			}
			if bytes.Contains(text, []byte("\n\n\n")) || !bytes.HasSuffix(text, []byte("\n")) ||
				bytes.HasSuffix(text, []byte("\n\n")) {
				t.Errorf("%s, %s: empty lines where none belong\n%s", kind, name, text)
			}
			if kind == "kea" && !json.Valid(shellLines.ReplaceAll(text, nil)) {
				t.Errorf("%s: this is not JSON:\n%s", name, text)
			}
			if shim := bytes.Contains(text, []byte("shim")); shim != strings.Contains(name,
				"shim") {
				t.Errorf("%s, %s: shims are handed out: %v", kind, name, shim)
			}
		}
	}
}

// With an https:// URL every address in the lines is one, and their head says
// what machines need for it; else it says nothing.
func TestHTTPS(t *testing.T) {
	for _, kind := range Kinds {
		for url, want := range map[string]int{"https://boot.example:4568": 1,
			"http://boot.example:4567": 0} {
			o := Options{URL: url, TFTP: "192.0.2.10"}
			text, err := Print(kind, o)
			if err != nil {
				t.Fatal(err)
			}
			head, _, _ := bytes.Cut(text, []byte("\n\n"))
			for _, note := range append(slices.Clone(trust),
				"certificate of the server has to name boot.example ") {
				if bytes.Count(head, []byte(note)) != want {
					t.Errorf("%s, %s: not %d times: %s", kind, url, want, note)
				}
			}
			for _, path := range []string{"/redirect", "/ipxe.efi", "/ipxe-arm64.efi"} {
				if !bytes.Contains(text, []byte(url+path)) {
					t.Errorf("%s: no %s%s", kind, url, path)
				}
			}
		}
	}
}

// The head says what has to be on, which files are not there and where they
// come from, and who gets nothing.
func TestHead(t *testing.T) {
	for _, kind := range Kinds {
		for _, test := range []struct {
			o    Options
			want []string
			not  []string
		}{
			{Options{}, []string{`tftp: [":69"] in /etc/pxesrv/pxesrv.yaml`, "pxesrv serve --tftp",
				"UEFI of 32 bits (6, 10)",
				"RISC-V (25 to 30)", "LoongArch (37 to 40)"}, []string{"MISSING", "Looked for"}},
			{Options{Missing: []string{"ipxe-arm64.efi", "not-handed-out.efi"},
				Where: "/usr/lib/ipxe, /boot"},
				[]string{"MISSING: ipxe-arm64.efi. It is in the package ipxe of Debian 13 " +
					"(not of 12)",
					"on this computer in /usr/lib/ipxe, /boot."},
				[]string{"not-handed-out", "MISSING: ipxe.efi"}},
			{Options{Missing: []string{"undionly.kpxe", "snponly.efi", "ipxe.efi"},
				Shims: []string{"ipxe-shim.efi"}, Where: "/x"},
				[]string{"MISSING: undionly.kpxe."},
				[]string{"MISSING: snponly.efi", "MISSING: ipxe.efi"}},
			{Options{Missing: []string{"ipxe-shim.efi"}, Shims: []string{"ipxe-shim.efi"},
				Where: "/x"},
				[]string{"MISSING: ipxe-shim.efi. It is in the releases of iPXE."}, nil},
			{Options{Missing: []string{"not-handed-out.efi"}, Where: "/x"}, nil,
				[]string{"MISSING", "/x"}},
		} {
			test.o.URL = "http://192.0.2.10:4567"
			text, err := Print(kind, test.o)
			if err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(string(text), "\n\n")
			for _, want := range test.want {
				if strings.Count(head, want) != 1 {
					t.Errorf("%s, %q: the head does not say once: %s\n%s", kind,
						test.o.Missing, want, head)
				}
			}
			for _, not := range test.not {
				if strings.Contains(head, not) {
					t.Errorf("%s, %q: the head says %s\n%s", kind, test.o.Missing, not, head)
				}
			}
		}
	}
	want := []string{"undionly.kpxe", "snponly.efi", "ipxe-arm64.efi", "ipxe.efi"}
	if got := (Options{}).Files(); !slices.Equal(got, want) {
		t.Errorf("handed out are %q, want %q", got, want)
	}
}

// Nobody is told nothing and not named: each architecture of IANA's list that
// firmware has today gets a file, or stands in the head.
func TestNobody(t *testing.T) {
	given := map[int]bool{}
	for _, l := range (Options{}).loaders("") {
		for _, a := range l.Arch {
			given[a] = true
		}
	}
	named := map[int]bool{}
	for _, m := range regexp.MustCompile(`[(,] ?([0-9]+)(?: to ([0-9]+))?`).FindAllStringSubmatch(
		strings.Join(nobody, " "), -1) {
		from, _ := strconv.Atoi(m[1])
		to, _ := strconv.Atoi(m[2])
		for a := from; a <= max(from, to); a++ {
			named[a] = true
		}
	}
	for _, a := range []int{0, 6, 7, 9, 10, 11, 15, 16, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29,
		30, 37, 38, 39, 40, 41} {
		if given[a] == named[a] {
			t.Errorf("architecture %d: gets a file %v, is named as one that gets none %v", a,
				given[a], named[a])
		}
	}
}

// Each of the shims alone stands for the others.
func TestOneShim(t *testing.T) {
	for _, test := range []struct {
		shims      []string
		tftp, http string
		note       string
	}{
		{nil, "snponly.efi", "/ipxe.efi", ""},
		{[]string{"ipxe-shim.efi"}, "ipxe-shim.efi", "/ipxe-shim.efi", "of their name"},
		{[]string{"snponly-shim.efi"}, "snponly-shim.efi", "/snponly-shim.efi", "of their name"},
		{[]string{"ipxe-shim.efi", "snponly-shim.efi", "shimx64.efi"}, "snponly-shim.efi",
			"/ipxe-shim.efi", "of their name"},
		{[]string{"ipxe-shim.efi", "shimx64.efi"}, "ipxe-shim.efi", "/ipxe-shim.efi",
			"of their name"},
		{[]string{"shimx64.efi"}, "shimx64.efi", "/shimx64.efi",
			"shimx64.efi has to be the shim of iPXE"},
	} {
		o := Options{Shims: test.shims}
		if note := strings.Join(o.shimNotes(), " "); !strings.Contains(note, test.note) ||
			(note == "") != (test.note == "") {
			t.Errorf("%q: %q is said", test.shims, note)
		}
		for _, l := range o.loaders("") {
			if l.Tag == "efi64" && l.File != test.tftp || l.Tag == "http" && l.File != test.http {
				t.Errorf("%+v: %s gets %s", test, l.Tag, l.File)
			}
		}
	}
}

// What the file of a shim says goes before what its name lets expect.
func TestShimNotes(t *testing.T) {
	o := Options{Shims: []string{"shimx64.efi"},
		ShimNotes: map[string]string{"shimx64.efi": "It starts grubx64.efi.",
			"ipxe-shim.efi": "Not handed out."}}
	if notes := o.shimNotes(); !slices.Equal(notes,
		[]string{"It starts grubx64.efi.", "A shim does so with Secure Boot off, too."}) {
		t.Errorf("%q", notes)
	}
	o.Shims = []string{"ipxe-shim.efi", "snponly-shim.efi"}
	o.ShimNotes["ipxe-shim.efi"] = "This starts ipxe.efi."
	if notes := o.shimNotes(); len(notes) != 3 ||
		!strings.HasPrefix(notes[0],
			"The shims load the iPXE of their name, on some firmware ipxe.efi: ") ||
		notes[1] != "This starts ipxe.efi." {
		t.Errorf("%q", notes)
	}
}

// examples/dhcp holds what the commands in the heads of its files print.
// PXESRV_TEST_UPDATE=1 writes the files anew.
func TestExamples(t *testing.T) {
	for kind, name := range map[string]string{"isc": "dhcpd.conf", "kea": "kea-dhcp4.conf",
		"dnsmasq": "dnsmasq.conf", "dnsmasq-proxy": "dnsmasq-proxy.conf"} {
		o := forKind(kind, Options{URL: "http://192.0.2.10:4567", Subnet: "192.0.2.0/24",
			Range:  "192.0.2.100-192.0.2.199",
			Router: "192.0.2.1", DNS: []string{"192.0.2.1"}})
		o.Command = "pxesrv dhcp " + kind + " --url " + o.URL + " --subnet " + o.Subnet
		if kind != "dnsmasq-proxy" {
			o.Command += " --range " + o.Range + " --router " + o.Router + " --dns " + o.DNS[0]
		}
		text, err := Print(kind, o)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("../../examples/dhcp", name)
		if os.Getenv("PXESRV_TEST_UPDATE") != "" {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := os.ReadFile(file); err != nil || !bytes.Equal(there, text) {
			t.Errorf("%s is not what is printed (%v); PXESRV_TEST_UPDATE=1 writes it anew. It "+
				"should be:\n%s", file, err, text)
		}
	}
}
