package boot

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// FuzzParseQuery: whatever comes, the values are made of bytes that came, and
// the names are names.
func FuzzParseQuery(f *testing.F) {
	for query := range queryTable {
		f.Add(query, []byte{10, 0, 0, 7})
	}
	for _, query := range []string{
		"serial=Default%20string&board=B1",
		"macs=52-54-00-12-34-56.be-3a-f2-b6-05-9f.b8-ce-f6-31-33-3e&bus=USB.PCI",
		"mac=20:80:00:02:08:fe:80:00:00:00:00:00:00:b8:ce:f6:03:00:31:33:3e&bus=USB&version=2.0.0+",
	} {
		f.Add(query, []byte{10, 0, 0, 7})
	}
	f.Add("serial=a", []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 7})
	f.Add("mac=10-20-30-40-50-60-70-80", []byte{0, 0x10, 0, 0x20, 0, 0x30, 0, 0x40, 0, 0x50, 0,
		0x60, 0, 0x70, 0, 0x80})
	f.Fuzz(func(t *testing.T, query string, from []byte) {
		c := ParseQuery(query)
		for _, value := range append([]string{c.UUID, c.Manufacturer, c.Product, c.Serial, c.Asset,
			c.Board, c.Host, c.Hostname, c.Arch, c.Platform, c.Version}, c.MACs...) {
			if strings.Trim(value, " \t\r\n\x00") != value {
				t.Errorf("%q has blanks at its ends", value)
			}
			// Each byte came as it is, as %XX, or as hex digits, which may be
			// escaped themselves.
			query := query + unescape(query)
			lower := strings.ToLower(query)
			for i := range len(value) {
				if !strings.Contains(query, value[i:i+1]) &&
					!strings.Contains(lower, hex.EncodeToString([]byte{value[i]})) {
					t.Fatalf("%q has %q, which is not in the query", value, value[i])
				}
			}
			if len(value) > len(query) {
				t.Errorf("%q is longer than the query", value)
			}
		}
		addr, _ := netip.AddrFromSlice(from)
		cl := Identify(c, addr, NamePolicy{})
		checkNames(t, cl)
		if text := addr.Unmap().String(); addr.IsValid() &&
			!slices.Contains(cl.Names, Name{text, Address}) {
			if _, err := parseMAC(text); err != nil {
				t.Errorf("the address %v is not among %v", addr, cl.Names)
			}
		}
		for _, m := range cl.OtherMACs {
			if n, err := Canonical(m); len(m) != len20 && (err != nil || n != (Name{m, MAC})) ||
				slices.Contains(cl.Names, Name{m, MAC}) {
				t.Errorf("the card %q that names nobody, error %v, among %v", m, err, cl.Names)
			}
		}
		if (len(c.Twice) > 0) != (cl.Conflict != "") {
			t.Errorf("twice %q, conflict %q", c.Twice, cl.Conflict)
		}
	})
}

func checkNames(t *testing.T, cl Machine) {
	t.Helper()
	if len(cl.Names) > MaxNames {
		t.Errorf("%d names", len(cl.Names))
	}
	seen := map[string]bool{}
	for _, n := range cl.Names {
		if !IsName(n.Text) {
			t.Errorf("%s %q is no name", n.Kind, n.Text)
		}
		if seen[n.Text] {
			t.Errorf("%q twice", n.Text)
		}
		seen[n.Text] = true
		again, err := Canonical(n.Text)
		kind := n.Kind
		switch kind {
		case ManufacturerSerial, Serial, Board, Asset, Host:
			kind = Typed // and not UUID, MAC or Address: no text is taken for another machine's
		}
		if len(n.Text) == len20 && kind == MAC {
			continue // as a card on InfiniBand sent it; its name is the GUID
		}
		if err != nil || again != (Name{n.Text, kind}) {
			t.Errorf("%s %q typed again is %s %q, error %v", n.Kind, n.Text, again.Kind, again, err)
		}
		if !slices.Contains(Spellings(n.Text), strings.ToLower(n.Text)) {
			t.Errorf("the file %q does not guard its machine", n.Text)
		}
	}
}

// FuzzCanonical: a canonical spelling is a name, is its own canonical spelling,
// and a file of either spelling guards it.
func FuzzCanonical(f *testing.F) {
	for text := range canonicalTable {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Canonical(text)
		if err != nil {
			if n.Text != "" {
				t.Errorf("%q and error %v", n.Text, err)
			}
			return
		}
		if !IsName(n.Text) {
			t.Errorf("%q is no name", n.Text)
		}
		if again, err := Canonical(n.Text); err != nil || again != n {
			t.Errorf("%s %q typed again is %s %q, error %v", n.Kind, n, again.Kind, again, err)
		}
		for _, entry := range []string{text, n.Text} {
			if !slices.Contains(Spellings(entry), strings.ToLower(n.Text)) {
				t.Errorf("protect/%q does not guard %s %q but %q", entry, n.Kind, n,
					Spellings(entry))
			}
		}
	})
}

// FuzzMeant: what a person means is a name in its canonical spelling, guarded
// by a file of the spelling that was typed, and what Doubtful proposes instead
// is such a name too. Nothing that is understood is asked about, but for a MAC
// with a colon too many, which is an address that nobody has.
func FuzzMeant(f *testing.F) {
	for text := range canonicalTable {
		f.Add(text)
	}
	for _, text := range meantTable {
		f.Add(text)
	}
	for _, text := range []string{"10.0.0.7/24", "10.0.0.036.", "http://x/", "52:54:00:12:34:5",
		"once/x.ipxe", "12345678 9abc", "0x", "::-1", "[10,0,0,7]:80", "52::54:00:12:34:56",
		"00:00:00:00:00::00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		canonical := func(n Name) {
			if again, err := Canonical(n.Text); err != nil || again != n {
				t.Errorf("%q: %s %q typed again is %s %q, error %v", text, n.Kind, n,
					again.Kind, again, err)
			}
		}
		n, err := Meant(text)
		d, doubted := Doubtful(text)
		if err == nil {
			canonical(n)
			if !slices.Contains(Spellings(text), strings.ToLower(n.Text)) {
				t.Errorf("protect/%q does not guard %s %q but %q", text, n.Kind, n, Spellings(text))
			}
			if _, colon := doubleColon(text); n.Kind != Typed && doubted &&
				!(n.Kind == Address && colon) {
				t.Errorf("%q is %s %q, and %s", text, n.Kind, n, d.What)
			}
		}
		if doubted && (d.What == "" || d.Do == "") {
			t.Errorf("%q: %+v", text, d)
		}
		if d.Right != "" {
			right, err := Canonical(d.Right)
			if err != nil {
				t.Errorf("%q: %q is no name: %v", text, d.Right, err)
			}
			canonical(right)
		}
	})
}

// FuzzFreeForm: what comes out is a name, and comes out again when it goes in.
func FuzzFreeForm(f *testing.F) {
	for text := range canonicalTable {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := FreeForm(text)
		if err != nil {
			return
		}
		if !IsName(name) {
			t.Errorf("%q is no name", name)
		}
		if again, err := FreeForm(name); err != nil || again != name {
			t.Errorf("%q becomes %q, error %v", name, again, err)
		}
		if n, err := Canonical(name); err != nil || n != (Name{name, Typed}) {
			t.Errorf("%q typed is %s %q, error %v", name, n.Kind, n, err)
		}
	})
}
