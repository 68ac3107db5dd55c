//go:build linux

package site_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
)

// TestProtectCards: protect/ counts under every MAC that is sent, also those
// that name nobody.
func TestProtectCards(t *testing.T) {
	many := "&macs="
	for i := range 40 {
		many += fmt.Sprintf("52-54-00-00-01-%02x.", i)
	}
	tests := []struct{ query, entry, name, root string }{
		{"mac=00-e0-4c-68-00-07&bus=USB", "00-e0-4c-68-00-07", "00-e0-4c-68-00-07", ""},
		{"mac=00-e0-4c-68-00-07&bus=USB", "00:E0:4C:68:00:07", "00-e0-4c-68-00-07", ""},
		{"mac=52-54-00-ab-cd-01&macs=52-54-00-ab-cd-01.be-3a-f2-b6-05-9f......",
			"be:3a:f2:b6:05:9f", "be-3a-f2-b6-05-9f", ""},
		{"mac=52-54-00-ab-cd-01" + many, "52-54-00-00-01-27", "52-54-00-00-01-27", ""},
		{"mac=52-54-00-ab-cd-01&macs=52-54-00-ab-cd-01.b8-ce-f6-31-33-3e&bus=PCI.USB",
			"b8-ce-f6-03-00-31-33-3e", "b8-ce-f6-31-33-3e", ""},
	}
	for i := range tests {
		tests[i].root = armed.With(lab.Files{"protect/" + tests[i].entry: ""}).Grow(t, t.TempDir())
	}
	rest()
	for _, test := range tests {
		for _, take := range []bool{false, true} {
			a, err := resolve(t, newSite(t, test.root), test.query, address, take)
			if err != nil || a.Entry.Path != "protect/"+test.entry ||
				a.Entry.Name != (boot.Name{Text: test.name, Kind: boot.MAC}) {
				t.Errorf("%.60s: answered by %q as %v, error %v", test.query, a.Entry.Path,
					a.Entry.Name, err)
			}
		}
		isThere(t, filepath.Join(test.root, "once/10.0.0.7"))
	}
}

// TestCardsThatNameNobody: entries and orders under them are nobody's.
func TestCardsThatNameNobody(t *testing.T) {
	root := lab.Files{
		"default": script("default"), "install": script("install"),
		"static/00-e0-4c-68-00-07": script("wrong"), "once/00-e0-4c-68-00-07": "-> ../install",
		"static/be-3a-f2-b6-05-9f": script("wrong"), "once/be-3a-f2-b6-05-9f": "-> ../install",
		"static/MB123": script("board"),
	}.Grow(t, t.TempDir())
	rest()
	s := newSite(t, root)
	for query, want := range map[string]string{
		"mac=00-e0-4c-68-00-07&bus=USB":                             "default",
		"mac=be:3a:f2:b6:05:9f":                                     "default",
		"macs=be-3a-f2-b6-05-9f.00-e0-4c-68-00-07&bus=USB.USB":      "default",
		"mac=be:3a:f2:b6:05:9f&serial=Default%20string&board=MB123": "static/MB123",
		"mac=00-e0-4c-68-00-08&serial=S1&board=MB123":               "default",
	} {
		if a, err := resolve(t, s, query, address, true); err != nil || a.Entry.Path != want {
			t.Errorf("%s: answered by %q, error %v", query, a.Entry.Path, err)
		}
	}
	isThere(t, filepath.Join(root, "once/00-e0-4c-68-00-07"))
	isThere(t, filepath.Join(root, "once/be-3a-f2-b6-05-9f"))
}

// TestInfiniBand: an entry under any form of a card meets the machine that
// sends it in any form.
func TestInfiniBand(t *testing.T) {
	const six, eight, twenty = "b8-ce-f6-31-33-3e", "b8-ce-f6-03-00-31-33-3e", "80-00-02-08-fe-80-00-00-00-00-00-00-b8-ce-f6-03-00-31-33-3e"
	sent := []string{six, eight, twenty, "20:b8:ce:f6:03:00:31:33:3e", "20-" + twenty}
	tests := []struct {
		entry string
		meets []string
		root  string
	}{
		{"static/" + six, sent, ""},
		{"static/" + eight, sent, ""},
		// the first bytes of which nobody can know
		{"static/" + twenty, []string{twenty, "20-" + twenty}, ""},
		{"protect/" + six, sent, ""},
		{"protect/" + eight, sent, ""},
		{"protect/" + twenty, sent, ""},
		{"protect/20:B8:CE:F6:03:00:31:33:3E", sent, ""},
	}
	for i := range tests {
		tests[i].root = lab.Files{"default": script("default"),
			tests[i].entry: script("entry")}.Grow(t, t.TempDir())
	}
	rest()
	for _, test := range tests {
		s := newSite(t, test.root)
		for _, mac := range test.meets {
			if a, err := resolve(t, s, "mac="+mac, address, true); err != nil ||
				a.Entry.Path != test.entry {
				t.Errorf("%s: a machine that sends %s is answered by %q, error %v", test.entry, mac,
					a.Entry.Path, err)
			}
		}
		// Another card of the same maker.
		if a, err := resolve(t, s, "mac=b8-ce-f6-03-00-31-33-3f", address, true); err != nil ||
			a.Entry.Path != "default" {
			t.Errorf("%s: another card is answered by %q, error %v", test.entry, a.Entry.Path, err)
		}
	}
	// What a person types is placed under a name that each form leads to.
	s := newSite(t, lab.Files{"default": script("default")}.Grow(t, t.TempDir()))
	for _, typed := range sent {
		c, err := s.MachineNamed(typed)
		if err != nil ||
			!slices.ContainsFunc(c.Names, func(n boot.Name) bool { return n.Text == six }) ||
			!slices.ContainsFunc(c.Names, func(n boot.Name) bool { return n.Text == eight }) {
			t.Errorf("%s is %v, error %v", typed, c.Names, err)
		}
	}
}

// TestNothingRemembered: what a request says names its sender for this request
// alone.
func TestNothingRemembered(t *testing.T) {
	root := lab.Files{
		"default": script("default"), "install": script("install"), "static/S1": script("serial"),
		"static/52-54-00-ab-cd-01": script("card"), "once/web1": "-> ../install",
	}.Grow(t, t.TempDir())
	rest()
	s := newSite(t, root)
	for range 2 {
		for _, step := range []struct{ query, want string }{
			{"serial=S1&mac=52-54-00-ab-cd-01&uuid=12345678-9abc-def0-1122-aabbccddeeff",
				"static/S1"},
			{"", "default"},
			{"try=1", "default"},
			{"uuid=12345678-9abc-def0-1122-aabbccddeeff", "default"},
			{"mac=52-54-00-ab-cd-01", "static/52-54-00-ab-cd-01"},
			{"mac=52-54-00-ab-cd-01&bus=USB", "default"},
			{"mac=52-54-00-ab-cd-01", "static/52-54-00-ab-cd-01"},
			{"hostname=web1", "default"},
		} {
			if a, err := resolve(t, s, step.query, address, true); err != nil ||
				a.Entry.Path != step.want {
				t.Errorf("%q: answered by %q, want %q, error %v", step.query, a.Entry.Path,
					step.want, err)
			}
		}
	}
	isThere(t, filepath.Join(root, "once/web1"))
}

// TestListedCardOnUSB: a card that names nobody is the host's all the same
// where the list of hosts has it, and another host's where the list says so.
func TestListedCardOnUSB(t *testing.T) {
	root := lab.Files{
		"tree/default": script("default"), "tree/install": script("install"),
		"tree/once/web1": "-> ../install",
		"hosts.csv": "name,mac,address,gateway,server\n" +
			"web1,00:e0:4c:68:00:07,10.0.0.7/24,10.0.0.1,http://10.0.0.5\n" +
			"web2,00:e0:4c:68:00:08,10.0.0.8/24,10.0.0.1,http://10.0.0.5\n",
	}.Grow(t, t.TempDir())
	rest()
	s := newSite(t, filepath.Join(root, "tree"), func(c *config.Config) {
		c.ISOHosts = filepath.Join(root, "hosts.csv")
	})
	for _, test := range []struct {
		query    string
		conflict bool
	}{
		{"host=web1&mac=00-e0-4c-68-00-07&macs=00-e0-4c-68-00-07.52-54-00-ab-cd-01&bus=USB.PCI",
			false},
		{"host=web1&mac=00-e0-4c-68-00-08&macs=00-e0-4c-68-00-08.52-54-00-ab-cd-01&bus=USB.PCI",
			true},
		{"host=web1&mac=52-54-00-ab-cd-01&bus=PCI", true},
	} {
		if c := s.Identify(boot.ParseQuery(test.query),
			address); (c.Conflict != "") != test.conflict {
			t.Errorf("%s: conflict %q", test.query, c.Conflict)
		}
	}
}
