//go:build linux

package site_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/site"
)

// TestMachine: whom a person means, with and without a list of hosts.
func TestMachine(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "hosts.csv")
	if err := os.WriteFile(list, []byte("name,mac,address,server\n"+
		"srv-01,525400-aa0001,10.1.0.11/24 2001:db8::11/64,http://10.1.0.5\n"+
		"srv-02,,10.1.0.12/24,http://10.1.0.5\n"+
		"5254-00aa-0003,,10.1.0.13/24,http://10.1.0.5\n"+
		"52-54-00-aa-00-04,5254.00aa.0004,192.168.0.14/24,http://192.168.0.5\n"+
		"10.0.0.777,,10.1.0.15/24,http://10.1.0.5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, dir)
	listed := newSite(t, dir, func(c *config.Config) {
		c.ISOHosts = list
		c.NoAddress = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}
	})
	const uuid, swapped = "12345678-9abc-def0-1122-aabbccddeeff", "78563412-bc9a-f0de-1122-aabbccddeeff"
	for text, want := range map[string][2]string{ // names without the list, and with it
		"srv-01":   {"srv-01", "52-54-00-aa-00-01 srv-01 10.1.0.11 2001:db8::11"},
		" srv-01 ": {"srv-01", "52-54-00-aa-00-01 srv-01 10.1.0.11 2001:db8::11"},
		"52:54:00:AA:00:01": {"52-54-00-aa-00-01",
			"52-54-00-aa-00-01 srv-01 10.1.0.11 2001:db8::11"},
		"5254-00AA-0001": {"52-54-00-aa-00-01",
			"52-54-00-aa-00-01 srv-01 10.1.0.11 2001:db8::11"},
		"10.1.0.11":      {"10.1.0.11", "52-54-00-aa-00-01 srv-01 10.1.0.11 2001:db8::11"},
		"2001:DB8:0::11": {"2001:db8::11", "52-54-00-aa-00-01 srv-01 10.1.0.11 2001:db8::11"},
		"srv-02":         {"srv-02", "srv-02 10.1.0.12"},
		"SRV-01":         {"SRV-01", "SRV-01"},
		"srv-03":         {"srv-03", "srv-03"},
		"5254-00aa-0003": {"52-54-00-aa-00-03", "5254-00aa-0003 10.1.0.13"},
		"525400-aa0004":  {"52-54-00-aa-00-04", "52-54-00-aa-00-04"}, // behind NAT
		"10.0.0.777":     {"10.0.0.777", "10.0.0.777 10.1.0.15"},
		"10.1.0.99":      {"10.1.0.99", "10.1.0.99"},
		uuid:             {uuid + " " + swapped, uuid + " " + swapped},
		"Default string": {"", ""},
	} {
		for i, s := range []*site.Site{s, listed} {
			m, err := s.MachineMeant(text)
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			if got := strings.Join(m.Texts(), " "); got != want[i] {
				t.Errorf("%q, list %d: %q, want %q", text, i, got, want[i])
			}
			if !slices.Contains(m.Texts(), m.Name.Text) && want[i] != "" {
				t.Errorf("%q: its name %s is not among its names", text, m.Name)
			}
		}
	}
	if _, err := listed.MachineMeant("///"); err == nil {
		t.Error("a machine is called ///")
	}
	for text, want := range map[string]string{"10.0.0.777": "", "5254-00aa-0003": "",
		"srv-o1": "srv-01", "SRV-01": "srv-01", "srv-01": "", "10.0.0.778": "-", "srv-03": ""} {
		d, doubted := listed.Doubtful(text)
		if doubted != (want != "") || want != "-" && d.Right != want {
			t.Errorf("%q: %+v", text, d)
		}
	}
	if _, doubted := s.Doubtful("srv-o1"); doubted {
		t.Error("a host is asked about without a list")
	}
}

// TestMisread: entries that are called like a machine and do not lead to it.
func TestMisread(t *testing.T) {
	root := t.TempDir()
	lab.Files{
		"static/52:54:00:AB:CD:01": "", "static/52-54-00-ab-cd-01": "",
		"static/52-54-00-ab-cd-02": "", "static/52:54:00:AB:CD:02": "", "static/525400-abcd01": "",
		"static/10.0.0.007": "", "static/s-n-42": "", "static/S-N-42": "", "static/S-N-421": "",
		"static/.x": "", "once/10.0.0.7.": "-> ../x", "once/10.0.0.8": "-> ../x",
		"static/52-54-00-ab-cd-01.ipxe": "", "static/52-54-00-ab-cd-02.ipxe": "",
		"once/10.0.0.7-24": "-> ../x",
	}.Grow(t, root)
	s := newSite(t, root)
	all, err := s.Misread([]boot.Name{{Text: "S-N-42", Kind: boot.Serial},
		{Text: "52-54-00-ab-cd-01", Kind: boot.MAC}, {Text: "10.0.0.7", Kind: boot.Address}})
	if err != nil {
		t.Fatal(err)
	}
	want := []site.Misread{
		{Path: "once/10.0.0.7-24",
			Why: "is for a machine of this serial: this address is written 10.0.0.7"},
		{Path: "once/10.0.0.7.",
			Why: "is for a machine of this serial: this address is written 10.0.0.7"},
		{Path: "static/10.0.0.007",
			Why: "is for a machine of this serial: this address is written 10.0.0.7"},
		{Path: "static/52-54-00-ab-cd-01.ipxe",
			Why: `ends in ".ipxe", and no machine is called so`},
		{Path: "static/525400-abcd01",
			Why: "is for a machine of this serial: this MAC is written 52-54-00-ab-cd-01"},
		{Path: "static/52:54:00:AB:CD:01",
			Why: "matches no machine: this MAC is written 52-54-00-ab-cd-01"},
		{Path: "static/s-n-42",
			Why: "is for another machine, since capitals count: this one is S-N-42"},
	}
	if !slices.Equal(all, want) {
		t.Errorf("got  %q\nwant %q", all, want)
	}
	if all, err := newSite(t, t.TempDir()).Misread([]boot.Name{{Text: "x", Kind: boot.Typed}}); len(
		all) != 0 || err != nil {
		t.Errorf("%v %v", all, err)
	}
}
