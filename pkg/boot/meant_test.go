package boot

import (
	"slices"
	"strings"
	"testing"
)

// meantTable is what people type for the card 52-54-00-ab-cd-01, in the
// spellings of their tools.
var meantTable = []string{
	"52:54:00:ab:cd:01", "52-54-00-AB-CD-01", "5254.00ab.cd01", "5254.00AB.CD01",
	"5254-00ab-cd01", "5254-00AB-CD01", "5254:00ab:cd01", "5254_00ab_cd01", "5254 00AB CD01",
	"525400-abcd01", "525400-ABCD01", "525400.abcd01", "525400:abcd01", "525400 abcd01",
	"525400_abcd01",
	"52.54.00.ab.cd.01", "52.54.00.AB.CD.01", "52_54_00_ab_cd_01", "52 54 00 ab cd 01",
	"52 54 00 AB CD 01",
	"0x525400abcd01", "0X525400ABCD01", "0x5254.00ab.cd01",
	"01-52-54-00-ab-cd-01", "01:52:54:00:AB:CD:01", "01.52.54.00.ab.cd.01", "01 52 54 00 ab cd 01",
	"01_52_54_00_ab_cd_01",
	"52:54-00:ab-cd:01", "52,54,00,ab,cd,01", "52;54;00;AB;CD;01", " 5254-00ab-cd01\n",
	"\t525400-abcd01 ",
	"52\u201154\u201100\u2011ab\u2011cd\u201101", "52–54–00–AB–CD–01", "5254\u00a000ab\u00a0cd01",
	"52：54：00：ab：cd：01", "525400−abcd01",
}

func TestMeant(t *testing.T) {
	const mac = "52-54-00-ab-cd-01"
	check := func(text string, want Name) {
		t.Helper()
		got, err := Meant(text)
		if got != want || err != nil {
			t.Errorf("Meant(%q) = %q (%s), error %v, want %q (%s)", text, got, got.Kind, err,
				want, want.Kind)
		}
		if d, doubted := Doubtful(text); doubted {
			t.Errorf("%q %s", text, d.What)
		}
		if !slices.Contains(Spellings(text), strings.ToLower(want.Text)) {
			t.Errorf("protect/%q does not guard %s", text, want)
		}
		if want.Kind == MAC {
			if m, ok := HasMAC(text); !ok || m != want.Text {
				t.Errorf("HasMAC(%q) = %q, %v", text, m, ok)
			}
		}
	}
	for _, text := range meantTable {
		check(text, Name{mac, MAC})
	}
	for text, want := range map[string]Name{
		// Without leading zeros.
		"0:1:a:2b:3:4":     {"00-01-0a-2b-03-04", MAC},
		"8:0:20:1:2:3":     {"08-00-20-01-02-03", MAC},
		"52:54:0:ab:cd:1":  {"52-54-00-ab-cd-01", MAC},
		"52:54:0:AB:CD:E":  {"52-54-00-ab-cd-0e", MAC},
		"0:50:56:ab:cd:11": {"00-50-56-ab-cd-11", MAC},
		// Longer ones.
		"52_54_00_ab_cd_01_02_03": {"52-54-00-ab-cd-01-02-03", MAC},
		"52 54 00 ab cd 01 02 03": {"52-54-00-ab-cd-01-02-03", MAC},
		// What is none of them stays what it was.
		"10.0.0.7": {"10.0.0.7", Address}, "::1": {"::1", Address}, "52::54:0:12": {"52::54:0:12",
			Address}, "2001:DB8::7": {"2001:db8::7", Address}, "fe80::1%eth0": {"fe80::1", Address},
		"12345678-9ABC-DEF0-1122-AABBCCDDEEFF": {"12345678-9abc-def0-1122-aabbccddeeff", UUID},
	} {
		check(text, want)
	}
	for text := range canonicalTable {
		n, err := Canonical(text)
		if m, merr := Meant(text); err == nil && m != n {
			t.Errorf("Meant(%q) = %q (%s), error %v, and Canonical says %q", text, m,
				m.Kind, merr, n)
		}
	}
}

// TestSpellingsTyped: what people call a guard, and the machine that it guards.
func TestSpellingsTyped(t *testing.T) {
	const uuid, mac = "12345678-9abc-def0-1122-aabbccddeeff", "52-54-00-ab-cd-01"
	for entry, want := range map[string]string{
		"52:54:00:ab:cd:1": mac, "52:54:00:ab:cd:01:": mac, "52:54:00:abcd01": mac,
		"52--54-00-ab-cd-01": mac, "525400ABCD01": mac, "5-2-5-4-0-1": "05-02-05-04-00-01",
		"10.0.0.7.": "10.0.0.7", "10.0.0.07 ": "10.0.0.7", "10.O.0.7": "10.0.0.7",
		"10,0,0,7":                             "10.0.0.7",
		"12345678_9ABC_def0_1122_aabbccddeeff": uuid,
		"12 34 56 78 9a bc de f0-11 22 aa bb cc dd ee ff": uuid,
	} {
		if got := Spellings(entry); !slices.Contains(got, want) {
			t.Errorf("%q guards %q, but not %q", entry, got, want)
		}
	}
	for entry, not := range map[string]string{"10.0.0.7.off": "10.0.0.7", "10.0.0.7-24": "10.0.0.7",
		"10.0.0": "10.0.0.0", "52-54-00-ab-cd-01.bak": mac} {
		if got := Spellings(entry); slices.Contains(got, not) {
			t.Errorf("%q guards %q", entry, got)
		}
	}
}

// TestDoubtfulEntry: a file is asked about in every spelling that a serial may
// have, and not in the one that machines look for.
func TestDoubtfulEntry(t *testing.T) {
	const mac = "52-54-00-ab-cd-01"
	for _, name := range meantTable {
		d, doubted := DoubtfulEntry(name)
		n, err := Canonical(name)
		if serial := err == nil && n.Kind == Typed; doubted != serial || serial && d.Right != mac {
			t.Errorf("%q: %+v", name, d)
		}
	}
	for name, want := range map[string]bool{mac: false, "10.0.0.7": false, "S-N-42": false,
		"10.0.0.777": true, "525400abcd01": true, "525400-abcd01": true, "x.bak": true} {
		if _, doubted := DoubtfulEntry(name); doubted != want {
			t.Errorf("%q: %v", name, doubted)
		}
	}
}

// TestSerials: what is a serial, asset tag or host name, and nothing else. None
// of them is asked about.
func TestSerials(t *testing.T) {
	for _, text := range []string{
		"S/N 42&é", "C02XK0AAJG5H", "MXQ12345678", "SN20231117A", "J1012345", "IT-004711",
		"00123987", "5CG1234XYZ", "PF0ABCDE",
		"VMware-56 4d 3a 11 22 33 44 55-9a bc de f0 11 22 33 44", "Parallels-52 54 00 AB CD",
		"7783-7084-3265-9085-8269-3286-77",
		"ACME-Inc.-S-N-42", "web1", "Web1.example.org", "srv-01", "db.7", "rack12-u4", "a--b",
		"node-1.2", "x1.10", "10g-switch",
		"0123456789ABCDEF", "1234567890123", "52540012345", "123-456-789", "123-456-789-012",
		"ABCD-1234-EFGH", "ABCD-1234-567X-89YZ",
		"1234-5678-9012-3456", "A1-B2-C3-D4", "12-34-56-78", "2023-11-17", "0xCAFE", "GX-7.1.2",
		"v1.2.3", "CN-0ABCDE-12345-67A-0001-A00",
		"Dell Inc.", "s", "7", "42.7-rev", "PC-10", "ip-10-0-0-7", "10-0-0-7", "host:1",
		"KVM:guest:7", "2023-11-28-1230", "12-3456-789012", "1-2-3-4-5", "com.example.host",
		"be:ef", "dead-beef", "HP-UX", "cab-fee-bed-ace-add-dad", "NVMe-1234-5678-9",
		"urn:serial:42",
	} {
		if d, doubted := Doubtful(text); doubted {
			t.Errorf("%q %s; %s", text, d.What, d.Do)
		}
		if n, err := Meant(text); err != nil || n.Kind != Typed {
			t.Errorf("Meant(%q) = %q (%s), error %v", text, n, n.Kind, err)
		}
	}
}

// TestDoubtful: names that cannot be what they seem, and what was likely meant.
func TestDoubtful(t *testing.T) {
	const uuid = "12345678-9abc-def0-1122-aabbccddeeff"
	for _, group := range []struct {
		what  string // what it is no, or is written
		right map[string]string
	}{
		{"address", map[string]string{
			"10.0.0.777": "", "256.0.0.1": "", "10.0.0": "", "192.168": "", "10.0": "",
			"10.0.0.7.8": "", "1.2.3.4.5.6.7": "", "10.0.0.": "", "1000.0.0.1": "",
			"10.0.0.3x": "", "10.0.x.3": "", "a10.0.0.3": "", "10.0.0.b": "",
			"10.0.0.l77": "10.0.0.177", "10.20.30.400": "",
			"10.0.0.36.": "10.0.0.36", ".10.0.0.36": "10.0.0.36", "10.0.0..36": "10.0.0.36",
			"10..0.0.36": "10.0.0.36",
			"10.0.0.035": "10.0.0.35", "010.0.0.7": "10.0.0.7", "010.000.000.007": "10.0.0.7",
			"10.00.0.7":   "10.0.0.7",
			"10.0.0.7/24": "10.0.0.7", "10.0.0.7/255.255.255.0": "10.0.0.7",
			"10.0.0.7-24": "10.0.0.7", "10.0.0.7_24": "10.0.0.7", "10.0.0.7:4567": "10.0.0.7",
			"[2001:db8::7]:80": "2001:db8::7", "2001:db8::7/64": "2001:db8::7",
			"2001:db8::7-64": "2001:db8::7", "10.0.0.7/": "10.0.0.7", "(10.0.0.7)": "10.0.0.7",
			"10.O.0.7": "10.0.0.7", "1O.0.0.7": "10.0.0.7", "l0.0.0.7": "10.0.0.7",
			"10,0,0,7": "10.0.0.7", "10 0 0 7": "10.0.0.7", "10_0_0_7": "10.0.0.7",
			"eth0 10.0.0.7": "10.0.0.7", "ip=10.0.0.7": "10.0.0.7", "10.0.0.7;": "10.0.0.7",
			"10.0.0.*": "", "10.0.0.?": "", "::ffff:10.0.0.777": "", "10.0.0.7:": "10.0.0.7",
			"10.0.0.7:http": "10.0.0.7", "10.0.0.7-": "10.0.0.7", "2001:db8::7.": "2001:db8::7",
			"10.0.0.7\u200b": "10.0.0.7",
			"2001:db8:::7":   "", "2001:db8::7::1": "", "2001:db8::g": "",
			"2001:db8:0:0:0:0:0:0:7": "", "2001:db8:1:2:3:4:5": "", "2001:db8::12345": "",
			"fe80:::1": "", "2001:db8::10.0.0": "",
			"2001:db8:::7-64": "",
		}},
		{"MAC", map[string]string{
			"525400abcd01": "52-54-00-ab-cd-01", "525400ABCD01": "52-54-00-ab-cd-01",
			"123456789012":     "12-34-56-78-90-12",
			"52:54:00:12:34:5": "", "52-54-00-12-34-5": "", "52:54:00:12:34": "",
			"52:54:00:12:34:56:78": "", "52 54 00 12 34 5": "", "52.54.00.12.34.5": "",
			"52_54_00_12_34_5": "",
			"52:54:10:12:34:5": "", "52:54:0:12:34:56": "52-54-00-12-34-56",
			"5:54:00:12:34:56":  "05-54-00-12-34-56",
			"52:54:00:12:34:5g": "", "52-54-00-12-34-5g": "", "5Z:54:00:12:34:56": "",
			"52-54-O0-12-34-56": "", "52.54.00.12.34.5x": "",
			"52-54-00-12-34-567": "", "52:54:00:12:34:567": "", "521-54-00-12-34-56": "",
			"5254-0012-345": "", "5254.0012.345": "", "5254-0012-34567": "", "525-0012-3456": "",
			"5254.0012.345g": "", "5254:0012:345": "",
			"52:54:00": "", "52:54:00:12": "", "0x52:0x54:0x00:0x12:0x34:0x56": "52-54-00-12-34-56",
			"0x52 0x54 0x00 0x12 0x34 0x56": "52-54-00-12-34-56", "525400-12345": "",
			"525400-1234567": "", "52540-123456": "", "0x52540012345": "", "0x5254001234567": "",
			"52:54:00:12:34:56:": "52-54-00-12-34-56", "52-54-00-12-34-56-": "52-54-00-12-34-56",
			"52::54:00:12:34:5g": "", "52--54-00-12-34-56": "52-54-00-12-34-56",
			"52 - 54 - 00 - 12 - 34 - 56": "52-54-00-12-34-56",
			"52:54:00:12:3456":            "52-54-00-12-34-56",
			"5254-00-12-34-56":            "52-54-00-12-34-56",
			"52-54-0-12-34-56":            "52-54-00-12-34-56",
			"52:54:00:12:34:56/eth0":      "52-54-00-12-34-56",
			"eth0 52:54:00:12:34:56":      "52-54-00-12-34-56",
			"mac=52-54-00-12-34-56":       "52-54-00-12-34-56",
			"\"52:54:00:12:34:56\"":       "52-54-00-12-34-56",
		}},
		{"reserved", map[string]string{"52::54:00:12:34:56": "52-54-00-12-34-56",
			"52:54::00:12:34:56": "52-54-00-12-34-56"}},
		{"uuid", map[string]string{
			"12345678-9abc-def0-1122-aabbccddeef": "", "12345678-9abc-def0-1122": "",
			"12345678-9abc-def0-1122-": "", "12345678-9abc-def0-1122-aabb": "",
			"12345678-9abc-def0-1122-aabbccddeeff0": "", "12345678-9abc-def0-1122-aabbccddeefg": "",
			"1234567-9abc-def0-1122-aabbccddeeff": "", "123456789abcdef01122aabbccddeef": "",
			"123456789abcdef01122aabbccddeefff": "", "123456789abcdef01122aabbccddeefg": "",
			"123456789abc-def0-1122-aabbccddeeff":             uuid,
			"12345678_9abc_def0_1122_aabbccddeeff":            uuid,
			"12345678 9ABC DEF0 1122 AABBCCDDEEFF":            uuid,
			"12 34 56 78 9a bc de f0-11 22 aa bb cc dd ee ff": uuid,
			"0x123456789abcdef01122aabbccddeeff":              uuid, "uuid=" + uuid: uuid,
			"{12345678-9abc-def0-1122-aabbccddeef}": "",
		}},
		{"called so", map[string]string{
			"http://10.0.0.7/": "", "http://boot:4567/redirect?mac=52-54-00-12-34-56": "",
			"tftp://10.0.0.5/x":                    "",
			"once/10.0.0.7":                        "10.0.0.7",
			"/srv/pxesrv/static/52:54:00:AB:CD:01": "52-54-00-ab-cd-01", "protect/S-N-42": "S-N-42",
			"10.0.0.7.ipxe": "10.0.0.7", "52-54-00-ab-cd-01.ipxe": "52-54-00-ab-cd-01",
			"10.0.0.7~": "10.0.0.7", "srv-01.iso": "srv-01", "10.0.0.7.bak": "10.0.0.7",
		}},
		{"more than one name", map[string]string{"10.0.0.7,10.0.0.8": "",
			"10.0.0.7 52:54:00:12:34:56": ""}},
	} {
		for text, right := range group.right {
			d, doubted := Doubtful(text)
			if !doubted {
				t.Errorf("%q is not asked about", text)
				continue
			}
			if !strings.Contains(d.What, group.what) || d.Right != right || d.Do == "" ||
				right != "" && !strings.Contains(d.Do, right) {
				t.Errorf("%q %s; %s (right: %q), want %q and %s", text, d.What, d.Do, d.Right,
					right, group.what)
			}
			if n, err := Meant(text); err == nil && n.Kind != Typed && group.what != "reserved" {
				t.Errorf("Meant(%q) = %q (%s)", text, n, n.Kind)
			}
			if n, err := Meant(right); right != "" && (err != nil || n.Text != right) {
				t.Errorf("%q: %q is not spelt right", text, right)
			}
		}
	}
}
