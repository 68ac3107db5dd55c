package boot

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// acme is a machine whose firmware says awkward things.
var acme = Claims{
	UUID: "12345678-9abc-def0-1122-aabbccddeeff", Manufacturer: "ACME, Inc.", Product: "X 1",
	Serial: "S/N 42&é", Asset: "A%7+b?c",
	Board: "B,1", MACs: []string{"52-54-00-ab-cd-01", "52-54-00-ab-cd-01", "52:54:00:AB:CD:02"},
	Host: "Web 1", Hostname: "dhcp-name",
}

func texts(names []Name) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = n.Text
	}
	return all
}

// TestNames: all names of a machine, strongest first.
func TestNames(t *testing.T) {
	want := []Name{
		{"12345678-9abc-def0-1122-aabbccddeeff", UUID},
		{"78563412-bc9a-f0de-1122-aabbccddeeff", UUID},
		{"ACME-Inc.-S-N-42", ManufacturerSerial},
		{"S-N-42", Serial},
		{"A-7-b-c", Asset},
		{"52-54-00-ab-cd-01", MAC},
		{"52-54-00-ab-cd-02", MAC},
		{"Web-1", Host},
		{"10.0.0.7", Address},
	}
	c := Identify(acme, netip.MustParseAddr("10.0.0.7"), NamePolicy{})
	if !slices.Equal(c.Names, want) {
		t.Errorf("got  %v\nwant %v", c.Names, want)
	}
	if len(c.Dropped) != 0 || c.Conflict != "" || c.NoOrders != "" ||
		c.Addr != netip.MustParseAddr("10.0.0.7") {
		t.Errorf("%+v", c)
	}
}

// TestClient: claims, as a query, and the names they become.
func TestClient(t *testing.T) {
	const nat = "192.168.0.0/16"
	for _, test := range []struct {
		query, addr string
		names       string // with blanks between them
		dropped     string // kinds, "!" after a placeholder
	}{
		{"", "10.0.0.7", "10.0.0.7", ""},
		{"", "", "", ""},
		{"try=1", "10.0.0.7", "10.0.0.7", ""},

		// Addresses.
		{"", "::ffff:10.0.0.7", "10.0.0.7", ""},
		{"", "2001:db8:0:0:0:0:0:7", "2001:db8::7", ""},
		{"", "fe80::5054:ff:feab:cd01%eth0", "fe80::5054:ff:feab:cd01", ""},
		{"", "::1", "::1", ""},
		{"", "192.168.1.1", "", "ip"},
		{"", "::ffff:192.168.1.1", "", "ip"},
		{"", "fd00::7", "", "ip"},
		{"mac=52-54-00-ab-cd-01", "192.168.1.1", "52-54-00-ab-cd-01", "ip"},
		{"ip=10.0.0.9&addr=10.0.0.9", "10.0.0.7", "10.0.0.7", ""},

		// uuids.
		{"uuid=12345678-9ABC-DEF0-1122-AABBCCDDEEFF", "",
			"12345678-9abc-def0-1122-aabbccddeeff 78563412-bc9a-f0de-1122-aabbccddeeff", ""},
		{"uuid=123456789abcdef01122aabbccddeeff", "",
			"12345678-9abc-def0-1122-aabbccddeeff 78563412-bc9a-f0de-1122-aabbccddeeff", ""},
		{"uuid=%7B12345678-9abc-def0-1122-aabbccddeeff%7D", "",
			"12345678-9abc-def0-1122-aabbccddeeff 78563412-bc9a-f0de-1122-aabbccddeeff", ""},
		{"uuid=11111122-2222-3333-1122-aabbccddeeff", "",
			"11111122-2222-3333-1122-aabbccddeeff 22111111-2222-3333-1122-aabbccddeeff", ""},
		// swapped it is the same
		{"uuid=77777777-8888-9999-1122-aabbccddeeff", "", "77777777-8888-9999-1122-aabbccddeeff",
			""},
		{"uuid=12345678-9abc-def0-1122-aabbccddeef", "", "", "uuid"},
		{"uuid=12345678-9abc-def0-1122-aabbccddeefg", "", "", "uuid"},
		{"uuid=1234567-89abc-def0-1122-aabbccddeeff", "", "", "uuid"},
		{"uuid=../../etc/passwd", "", "", "uuid"},
		{"uuid=10.0.0.7", "10.0.0.8", "10.0.0.8", "uuid"},

		// Free-form texts.
		{"serial=S/N%2042", "", "S-N-42", ""},
		{"serial=%20%20a%20%20b%20%20", "", "a-b", ""},
		{"serial=a_b.c:d-e", "", "a_b.c:d-e", ""},
		{"serial=aBcD", "", "aBcD", ""},
		{"serial=.hidden", "", "hidden", ""},
		{"serial=../../y", "", "y", ""},
		{"serial=/etc/passwd", "", "etc-passwd", ""},
		{"serial=-y-", "", "y", ""},
		{"serial=*", "", "", "serial!"},
		{"serial=%F0%9F%92%A9", "", "", "serial"},
		{"serial=%C3%A9", "", "", "serial"},
		{"serial=a%00b%0ac%1bd", "", "a-b-c-d", ""},
		{"serial=$%7Bx%7D%26%26reboot", "", "x-reboot", ""},
		{"serial=n" + strings.Repeat("no", 63) + "p", "", "n" + strings.Repeat("no", 63) + "p", ""},
		{"serial=n" + strings.Repeat("no", 64), "", "", "serial"},
		{"serial=" + strings.Repeat("x12", 10000), "", "", "serial"},
		{"serial=" + strings.Repeat("%20", 300) + "a", "", "a", ""},
		{"manufacturer=" + strings.Repeat("mno", 33) + "&serial=" + strings.Repeat("stu", 33), "",
			strings.Repeat("stu", 33), "manufacturer-serial"},
		{"asset=7", "", "7", ""},
		{"asset=A&serial=A", "", "A", ""}, // one name once
		{"manufacturer=ACME", "", "", ""}, // alone it names nobody
		{"manufacturer=%C3%A9&serial=S1", "", "S1", ""},
		{"product=P&hostname=h&arch=i386&platform=efi&version=1.0.0%2B", "", "", ""},

		// Look-alikes: a text that could be taken for another machine's
		// address, MAC or uuid.
		{"serial=10.0.0.9", "10.0.0.7", "10.0.0.7", "serial"},
		{"serial=%2010.0.0.9%20", "", "", "serial"},
		{"serial=(10.0.0.9)", "", "", "serial"},
		{"serial=10.0.0.9/", "", "", "serial"},
		{"serial=::2", "", "", "serial"},
		{"serial=[2001:db8::7]", "", "", "serial"},
		{"serial=::ffff:10.0.0.9", "", "", "serial"},
		{"serial=fe80::1%25eth0", "", "", "serial"},
		{"asset=52:54:00:ab:cd:01", "", "", "asset"},
		{"asset=52-54-00-AB-CD-01", "", "", "asset"},
		{"asset=5254.00ab.cd01", "", "", "asset"},
		{"asset=52%2054%2000%20ab%20cd%2001", "", "", "asset"},
		{"asset=01-52-54-00-ab-cd-01", "", "", "asset"},
		{"host=12345678-9abc-def0-1122-aabbccddeeff", "", "", "host"},
		{"host=123456789abcdef01122aabbccddeeff", "", "", "host"},
		{"host=%7B12345678-9abc-def0-1122-aabbccddeeff%7D", "", "", "host"},
		{"manufacturer=52-54-00&serial=ab-cd-01", "", "ab-cd-01", "manufacturer-serial"},
		{"manufacturer=12345670&serial=9abc-def0-1122-aabbccddeeff", "",
			"9abc-def0-1122-aabbccddeeff", "manufacturer-serial"},
		// twelve digits are a serial number as good as any
		{"serial=525400abcd01", "", "525400abcd01", ""},
		{"serial=1.2.3", "", "1.2.3", ""},
		{"serial=10.0.0.256", "", "10.0.0.256", ""},

		// MACs.
		{"mac=52:54:00:AB:CD:01", "", "52-54-00-ab-cd-01", ""},
		{"mac=525400ABCD01", "", "52-54-00-ab-cd-01", ""},
		{"mac=5254.00ab.cd01", "", "52-54-00-ab-cd-01", ""},
		{"mac=01-52-54-00-ab-cd-01", "", "52-54-00-ab-cd-01", ""},
		{"mac=52-54-00-ab-cd-01-02-03", "", "52-54-00-ab-cd-01-02-03", ""},
		{"mac=80-00-02-08-fe-80-00-00-00-00-00-00-00-02-c9-03-00-00-10-39", "",
			"00-02-c9-03-00-00-10-39 00-02-c9-00-10-39 " +
				"80-00-02-08-fe-80-00-00-00-00-00-00-00-02-c9-03-00-00-10-39", ""},
		{"mac=52-54-00-ab-cd", "", "", "mac"},
		{"mac=52-54-00-ab-cd-0g", "", "", "mac"},
		{"mac=52-5400-ab-cd-01", "", "", "mac"},
		{"mac=10.0.0.9", "10.0.0.7", "10.0.0.7", "mac"},
		{"mac=52:54:00:ab:cd:01&macs=52-54-00-ab-cd-01.52-54-00-ab-cd-02......", "",
			"52-54-00-ab-cd-01 52-54-00-ab-cd-02", ""},

		// Placeholders: what boards carry when nobody filled in the real one.
		// They name nobody, and are counted.
		{"uuid=00000000-0000-0000-0000-000000000000", "10.0.0.7", "10.0.0.7", "uuid!"},
		{"uuid=FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "10.0.0.7", "10.0.0.7", "uuid!"},
		{"uuid=03000200-0400-0500-0006-000700080009", "10.0.0.7", "10.0.0.7", "uuid!"},
		// the same, swapped
		{"uuid=00020003-0004-0005-0006-000700080009", "10.0.0.7", "10.0.0.7", "uuid!"},
		{"serial=To%20Be%20Filled%20By%20O.E.M.", "10.0.0.7", "10.0.0.7", "serial!"},
		{"serial=to%20be%20filled%20by%20OEM&asset=To%20be%20filled%20by%20O.E.M.", "10.0.0.7",
			"10.0.0.7", "serial! asset!"},
		{"manufacturer=ACME&serial=System%20Serial%20Number", "10.0.0.7", "10.0.0.7", "serial!"},
		{"manufacturer=System%20manufacturer&serial=S1", "10.0.0.7", "S1 10.0.0.7", ""},
		{"serial=0123456789&asset=Default%20string&host=None", "", "", "serial! asset! host!"},
		{"serial=0&asset=00000000", "", "", "serial! asset!"},
		{"serial=Not%20Specified&asset=N/A", "", "", "serial! asset!"},
		{"serial=NONE&asset=unknown", "", "", "serial! asset!"},
		{"serial=xxxxxxxx&asset=XXX", "", "", "serial! asset!"},
		{"serial=...&asset=---", "", "", "serial! asset!"},
		{"serial=........................", "", "", "serial!"},
		{"mac=00-00-00-00-00-00", "", "", "mac!"},
		{"mac=ff:ff:ff:ff:ff:ff", "", "", "mac!"},
		// from the list of this site
		{"serial=House%20number%207", "", "", "serial!"},
		{"uuid=99999999-9999-9999-9999-999999999999", "", "", "uuid!"},      // 9...
		{"serial=Nonesuch&asset=None12345A", "", "Nonesuch None12345A", ""}, // only the whole value
		{"serial=10000000&asset=2222", "", "10000000 2222", ""},
		{"serial=0000a", "", "0000a", ""},
		{"serial=SYS-1234567890&asset=AssetTagNum0", "", "", "serial! asset!"},
		{"uuid=4c4c4544-0000-2010-8020-80c04f202020", "10.0.0.7", "10.0.0.7", "uuid!"},
		{"uuid=4c4c4544-0042-3510-8054-b4c04f564433", "",
			"4c4c4544-0042-3510-8054-b4c04f564433 44454c4c-4200-1035-8054-b4c04f564433", ""},
		// a maker, but no asset tag
		{"manufacturer=Amazon%20EC2&serial=ec2a1b2c&asset=Amazon%20EC2", "",
			"Amazon-EC2-ec2a1b2c ec2a1b2c", "asset!"},

		// The base board's serial where the system's own names nobody.
		{"serial=Default%20string&boardx=4d42313233", "10.0.0.7", "MB123 10.0.0.7", "serial!"},
		{"board=MB123&asset=A1", "", "MB123 A1", ""},
		{"serial=&board=MB123&manufacturer=ACME", "", "MB123", ""},
		{"serial=S1&board=MB123", "", "S1", ""},
		{"serial=10.0.0.9&board=MB123", "", "MB123", "serial"},
		{"serial=To%20be%20filled%20by%20O.E.M.&board=Default%20string", "10.0.0.7", "10.0.0.7",
			"serial! board!"},
		{"board=52:54:00:ab:cd:01", "10.0.0.7", "10.0.0.7", "board"},

		// Cards that name nobody: those that every board of a model shows, and
		// those on USB.
		{"mac=be:3a:f2:b6:05:9f", "10.0.0.7", "10.0.0.7", "mac!"},
		{"mac=52-54-00-ab-cd-01&macs=52-54-00-ab-cd-01.be-3a-f2-b6-05-9f......", "",
			"52-54-00-ab-cd-01", "mac!"},
		{"mac=00-e0-4c-68-00-07&bus=USB", "10.0.0.7", "10.0.0.7", "mac"},
		{"mac=52:54:00:ab:cd:02&macs=52-54-00-ab-cd-01.52-54-00-ab-cd-02......&bus=PCI.USB......",
			"", "52-54-00-ab-cd-01", "mac"},
		{"bus=.usb.&macs=.52-54-00-ab-cd-02.52-54-00-ab-cd-03", "", "52-54-00-ab-cd-03", "mac"},
		{"mac=52-54-00-ab-cd-01&macs=52-54-00-ab-cd-01.52-54-00-ab-cd-02......&bus=PCI.EFI......",
			"", "52-54-00-ab-cd-01 52-54-00-ab-cd-02", ""},
		// passed through by a dock
		{"macs=52-54-00-ab-cd-01.52-54-00-ab-cd-01......&bus=PCI.USB......", "",
			"52-54-00-ab-cd-01", ""},
		{"mac=52-54-00-ab-cd-01&bus=", "", "52-54-00-ab-cd-01", ""},
		// other addresses of one's own choice stay names
		{"mac=02-00-00-00-00-07", "", "02-00-00-00-00-07", ""},

		// InfiniBand: the GUID, and what else the card is called.
		{"mac=20:b8:ce:f6:03:00:31:33:3e", "", "b8-ce-f6-03-00-31-33-3e b8-ce-f6-31-33-3e", ""},
		{"mac=b8:ce:f6:03:00:31:33:3e", "", "b8-ce-f6-03-00-31-33-3e b8-ce-f6-31-33-3e", ""},
		{"mac=b8:ce:f6:31:33:3e", "",
			"b8-ce-f6-31-33-3e b8-ce-f6-03-00-31-33-3e b8-ce-f6-ff-fe-31-33-3e", ""},
		{"mac=52:54:00:ff:fe:31:33:3e", "", "52-54-00-ff-fe-31-33-3e 52-54-00-31-33-3e", ""},
		{"mac=20:80:00:02:08:fe:80:00:00:00:00:00:00:b8:ce:f6:03:00:31:33:3e", "",
			"b8-ce-f6-03-00-31-33-3e b8-ce-f6-31-33-3e " +
				"80-00-02-08-fe-80-00-00-00-00-00-00-b8-ce-f6-03-00-31-33-3e", ""},
		{"mac=b8:ce:f6:31:33:3e&macs=20:b8:ce:f6:03:00:31:33:3e", "",
			"b8-ce-f6-31-33-3e b8-ce-f6-03-00-31-33-3e b8-ce-f6-ff-fe-31-33-3e", ""},
	} {
		id := NamePolicy{
			NoAddress: []netip.Prefix{netip.MustParsePrefix(nat),
				netip.MustParsePrefix("fd00::/8")},
			Placeholders: Placeholders{}.With("# ours\nHouse Number 7\n9...\n"),
		}
		var addr netip.Addr
		if test.addr != "" {
			addr = netip.MustParseAddr(test.addr)
		}
		c := Identify(ParseQuery(test.query), addr, id)
		if got := strings.Join(texts(c.Names), " "); got != test.names {
			t.Errorf("%.80q from %s:\n got names %q\nwant       %q", test.query, test.addr,
				got, test.names)
		}
		var dropped []string
		for _, d := range c.Dropped {
			s := string(d.Kind)
			if d.Placeholder {
				s += "!"
			}
			dropped = append(dropped, s)
			if d.Value == "" || d.Why == "" {
				t.Errorf("%.80q: dropped without value or reason: %+v", test.query, d)
			}
		}
		if got := strings.Join(dropped, " "); got != test.dropped {
			t.Errorf("%.80q: got dropped %q, want %q", test.query, got, test.dropped)
		}
		for _, n := range c.Names {
			if !IsName(n.Text) {
				t.Errorf("%.80q: %q is no name", test.query, n.Text)
			}
		}
	}
}

// TestMaxNames: however much a machine claims, it has at most 16 names, and its
// address is one of them.
func TestMaxNames(t *testing.T) {
	c := acme
	c.MACs = nil
	for i := range 100 {
		c.MACs = append(c.MACs, fmt.Sprintf("52:54:00:00:00:%02x", i))
	}
	cl := Identify(c, netip.MustParseAddr("10.0.0.7"), NamePolicy{})
	got := texts(cl.Names)
	if len(got) > MaxNames || got[len(got)-1] != "10.0.0.7" || !slices.Contains(got, "Web-1") ||
		!slices.Contains(got, "52-54-00-00-00-00") {
		t.Errorf("%d names: %q", len(got), got)
	}
	if len(cl.Dropped) != maxDropped {
		t.Errorf("%d dropped cards are kept, want %d", len(cl.Dropped), maxDropped)
	}
	// The other cards are kept for protect/, each once.
	if want := len(c.MACs) - maxMACs; len(cl.OtherMACs) != want ||
		len(cl.Guards()) != len(cl.Names)+want || cl.OtherMACs[0] != "52-54-00-00-00-09" {
		t.Errorf("%d other cards, want %d: %q", len(cl.OtherMACs), want, cl.OtherMACs)
	}
	// A card that is named again is no card more.
	c.MACs = append(c.MACs[:maxMACs:maxMACs], "52-54-00-00-00-00", "52-54-00-00-00-01")
	if cl := Identify(c, netip.MustParseAddr("10.0.0.7"), NamePolicy{}); len(cl.Dropped) != 0 {
		t.Errorf("dropped %+v", cl.Dropped)
	}
}

// TestConflictTwice: who says two things of itself gets no order.
func TestConflictTwice(t *testing.T) {
	for query, conflict := range map[string]bool{
		"serial=a&serial=b": true, "uuid=a&uuid=b": true, "serial=a&serial=a": false,
		"serial=a&serialx=62": false, "mac=a&mac=b": false, "x=1&x=2": false,
	} {
		c := Identify(ParseQuery(query), netip.Addr{}, NamePolicy{})
		if (c.Conflict != "") != conflict {
			t.Errorf("%s: conflict %q", query, c.Conflict)
		}
	}
}

// canonicalTable is what people type, and the name that it is.
var canonicalTable = map[string]Name{
	"12345678-9ABC-def0-1122-aabbccddeeff":          {"12345678-9abc-def0-1122-aabbccddeeff", UUID},
	"123456789abcdef01122aabbccddeeff":              {"12345678-9abc-def0-1122-aabbccddeeff", UUID},
	"{12345678-9abc-def0-1122-aabbccddeeff}":        {"12345678-9abc-def0-1122-aabbccddeeff", UUID},
	"urn:uuid:12345678-9abc-def0-1122-aabbccddeeff": {"12345678-9abc-def0-1122-aabbccddeeff", UUID},
	"52:54:00:AB:CD:01":                             {"52-54-00-ab-cd-01", MAC},
	"52-54-00-ab-cd-01":                             {"52-54-00-ab-cd-01", MAC},
	" 52-54-00-ab-cd-01\n":                          {"52-54-00-ab-cd-01", MAC},
	"5254.00AB.cd01":                                {"52-54-00-ab-cd-01", MAC},
	"01-52-54-00-ab-cd-01":                          {"52-54-00-ab-cd-01", MAC},
	"52:54:00:ab:cd:01:02:03":                       {"52-54-00-ab-cd-01-02-03", MAC},
	"20:" + strings.Repeat("ab:", 19) + "cd":        {strings.Repeat("ab-", 7) + "cd", MAC},
	"20:b8:ce:f6:03:00:31:33:3e":                    {"b8-ce-f6-03-00-31-33-3e", MAC},
	"B8-CE-F6-03-00-31-33-3E":                       {"b8-ce-f6-03-00-31-33-3e", MAC},
	// eight bytes are a GUID that begins so
	"20:b8:ce:f6:03:00:31:33": {"20-b8-ce-f6-03-00-31-33", MAC},
	"10.0.0.7":                {"10.0.0.7", Address},
	"::ffff:10.0.0.7":         {"10.0.0.7", Address},
	"[2001:DB8:0::7]":         {"2001:db8::7", Address},
	"fe80::1%eth0":            {"fe80::1", Address},
	"::1":                     {"::1", Address},
	"::":                      {"::", Address},
	"10:20:30:40:50:60:70:80": {"10-20-30-40-50-60-70-80", MAC},
	// reserved, and its name would be taken for the card's
	"[10:20:30:40:50:60:70:80]": {"", Address},
	"0010:20:30:40:50:60:70:80": {"", Address},
	"1:20:30:40:50:60:70:80":    {"1:20:30:40:50:60:70:80", Address},
	"S/N 42&é":                  {"S-N-42", Typed},
	"web1":                      {"web1", Typed},
	"Web1.example.org":          {"Web1.example.org", Typed},
	// a serial, unless it is written as a MAC
	"525400abcd01":           {"525400abcd01", Typed},
	"a--b":                   {"a--b", Typed},
	"a- -b":                  {"a-b", Typed},
	"-_.x_":                  {"x_", Typed},
	"../../etc/passwd":       {"etc-passwd", Typed},
	"":                       {"", Typed},
	"*":                      {"", Typed},
	"é":                      {"", Typed},
	"52 54 00 ab cd 01":      {"", Typed},
	"(10.0.0.7)":             {"", Typed},
	strings.Repeat("n", 129): {"", Typed},
}

func TestCanonical(t *testing.T) {
	for text, want := range canonicalTable {
		got, err := Canonical(text)
		if got != want || (err != nil) != (want.Text == "") {
			t.Errorf("Canonical(%q) = %v (%s), error %v, want %v (%s)", text, got, got.Kind, err,
				want, want.Kind)
		}
		if err == nil && !IsName(got.Text) {
			t.Errorf("Canonical(%q) = %q, which is no name", text, got)
		}
	}
}

func TestIsName(t *testing.T) {
	for text, want := range map[string]bool{
		"a": true, "A.b_c:d-e": true, "0": true, "a..b": true, "::1": true, "::": true,
		strings.Repeat("n", 128): true,
		"":                       false, ".": false, "..": false, ".a": false, "-a": false,
		"_a": false, ":a": false,
		"a/b": false, "a b": false, "a\x00": false, "a\n": false, "é": false,
		"a\\b": false, "a~b": false, "*": false, "::0001": false, "fe80::1%eth0": false,
		strings.Repeat("n", 129): false,
	} {
		if got := IsName(text); got != want {
			t.Errorf("IsName(%q) = %v", text, got)
		}
	}
}

// TestSpellings: the machines that a file in protect/ guards, however its name
// is written.
func TestSpellings(t *testing.T) {
	const uuid, swapped, mac = "12345678-9abc-def0-1122-aabbccddeeff", "78563412-bc9a-f0de-1122-aabbccddeeff", "52-54-00-ab-cd-01"
	for entry, want := range map[string][]string{
		"10.0.0.7":                         {"10.0.0.7"},
		"10.0.0.7 ":                        {"10.0.0.7"},
		"10.0.0.7\r":                       {"10.0.0.7"},
		"[10.0.0.7]":                       {"10.0.0.7"},
		"::FFFF:10.0.0.7":                  {"10.0.0.7"},
		"2001:DB8:0:0::7":                  {"2001:db8::7"},
		"fe80::1%eth0":                     {"fe80::1"},
		"fe80::1%25eth0":                   {"fe80::1"},
		mac:                                {mac},
		"52:54:00:AB:CD:01":                {mac},
		"5254.00ab.cd01":                   {mac},
		"525400ABCD01":                     {mac, "525400abcd01"}, // a card, or a serial
		"01-52-54-00-AB-CD-01":             {mac},
		"525400-abcd01":                    {mac},
		"52_54_00_AB_CD_01":                {mac},
		"0x525400abcd01":                   {mac},
		"52-54-0-ab-cd-1":                  {mac},
		"010.000.000.007":                  {"10.0.0.7"},
		"52%3A54%3A00%3AAB%3Acd%3a01":      {mac},
		uuid:                               {uuid, swapped},
		strings.ToUpper(swapped):           {uuid, swapped},
		"{" + uuid + "}":                   {uuid, swapped},
		"123456789ABCDEF01122AABBCCDDEEFF": {uuid, swapped},
		"S-N-42":                           {"s-n-42"},
		"s/n 42&é":                         {"s-n-42"},
		"S%2FN%2042":                       {"s-n-42"},
		" ACME, Inc. S/N 42":               {"acme-inc.-s-n-42"},
		"_x_":                              {"x_"},
		"b8:ce:f6:03:00:31:33:3e":          {"b8-ce-f6-03-00-31-33-3e", "b8-ce-f6-31-33-3e"},
		"20:b8:ce:f6:03:00:31:33:3e":       {"b8-ce-f6-03-00-31-33-3e", "b8-ce-f6-31-33-3e"},
		"80-00-02-08-fe-80-00-00-00-00-00-00-b8-ce-f6-03-00-31-33-3e": {"b8-ce-f6-03-00-31-33-3e",
			"b8-ce-f6-31-33-3e"},
		"b8:ce:f6:31:33:3e": {"b8-ce-f6-03-00-31-33-3e", "b8-ce-f6-31-33-3e"},
	} {
		got := Spellings(entry)
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%q guards %q, but not %q", entry, got, w)
			}
		}
	}
	for entry, not := range map[string]string{
		"10.0.0.70": "10.0.0.7", "10.0.0": "10.0.0.7", "52-54-00-ab-cd-02": mac,
		"S-N-421": "s-n-42", "a.txt": "a", "": "", "README": "",
	} {
		if got := Spellings(entry)[1:]; slices.Contains(got, not) {
			t.Errorf("%q guards %q", entry, got)
		}
	}
	// Whatever name a machine has, the file of that name guards it.
	for _, n := range Identify(acme, netip.MustParseAddr("10.0.0.7"), NamePolicy{}).Names {
		for _, entry := range []string{n.Text, strings.ToUpper(n.Text), strings.ToLower(n.Text),
			" " + n.Text} {
			if !slices.Contains(Spellings(entry), strings.ToLower(n.Text)) {
				t.Errorf("%q does not guard %q", entry, n.Text)
			}
		}
	}
}
