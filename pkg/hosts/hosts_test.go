package hosts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
)

var server = Options{Servers: []string{"http://10.0.0.5:4567"}}

// read reads a CSV and fails when the whole of it cannot be read.
func read(t *testing.T, text string, o Options) ([]Row, []*RowError) {
	t.Helper()
	rows, bad, err := ReadCSV(strings.NewReader(text), o)
	if err != nil {
		t.Fatalf("%v\n%q", err, text)
	}
	return rows, bad
}

// show is a host as a line of WriteCSV.
func show(t *testing.T, h ipxe.Host) string {
	t.Helper()
	var b strings.Builder
	if err := WriteCSV(&b, []ipxe.Host{h}); err != nil {
		t.Fatal(err)
	}
	return strings.Split(b.String(), "\n")[1]
}

// TestReadCSV has every way in which a list may be written. The last line of
// each is a host.
func TestReadCSV(t *testing.T) {
	const want = "web1,52:54:00:12:34:56,,10.0.0.7/24,10.0.0.1,5,10.0.0.2 " +
		"10.0.0.3,a.example,http://10.0.0.5:4567"
	const head, row = "name,mac,address,gateway,vlan,dns,search\n", "web1,52:54:00:12:34:56,10.0.0.7/24,10.0.0.1,5,10.0.0.2 10.0.0.3,a.example\n"
	for name, text := range map[string]string{
		"plain":           head + row,
		"no line end":     head + strings.TrimSpace(row),
		"CRLF":            strings.ReplaceAll(head+row, "\n", "\r\n"),
		"CR":              strings.ReplaceAll(head+row, "\n", "\r"),
		"byte order mark": "\xef\xbb\xbf" + head + row,
		"semicolons":      strings.ReplaceAll(head+row, ",", ";"),
		"sep=":            "sep=;\r\n" + strings.ReplaceAll(head+row, ",", ";"),
		"tabs":            strings.ReplaceAll(head+row, ",", "\t"),
		"blanks":          strings.ReplaceAll(head+row, ",", " , "),
		"capitals":        strings.ToUpper(head) + row,
		"comments":        "# hosts\n\n" + head + "# of rack 1\n  \n" + row,
		"empty row":       head + ",,,,,,\n" + row,
		"trailing":        strings.ReplaceAll(head+row, "\n", ",,\n"),
		"quotes": head +
			`"web1","52:54:00:12:34:56","10.0.0.7/24","10.0.0.1","5","10.0.0.2,10.0.0.3","a.example"` + "\n",
		"quotes, blanks": strings.ReplaceAll(head, ",", ", ") +
			`web1, "52:54:00:12:34:56", 10.0.0.7/24, "10.0.0.1", 5, "10.0.0.2 10.0.0.3", a.example` + "\n",
		"quotes with ;": strings.ReplaceAll(head, ",", ";") +
			`web1;52:54:00:12:34:56;10.0.0.7/24;10.0.0.1;5;"10.0.0.2;10.0.0.3";a.example` + "\n",
		"MAC with hyphens": head + strings.Replace(row, "52:54:00:12:34:56",
			"52-54-00-12-34-56", 1),
		"MAC dotted": head + strings.Replace(row, "52:54:00:12:34:56", "5254.0012.3456", 1),
		"MAC bare":   head + strings.Replace(row, "52:54:00:12:34:56", "525400123456", 1),
		"MAC of PXELINUX": head + strings.Replace(row, "52:54:00:12:34:56",
			"01-52-54-00-12-34-56", 1),
		"MAC of HPE":   head + strings.Replace(row, "52:54:00:12:34:56", "5254-0012-3456", 1),
		"MAC of Aruba": head + strings.Replace(row, "52:54:00:12:34:56", "525400-123456", 1),
		"MAC with dots": head + strings.Replace(row, "52:54:00:12:34:56",
			"52.54.00.12.34.56", 1),
		"MAC with 0x": head + strings.Replace(row, "52:54:00:12:34:56", "0x525400123456", 1),
		"MAC with blanks": head + strings.Replace(row, "52:54:00:12:34:56",
			"52 54 00 12 34 56", 1),
		"MAC with dashes": head + strings.Replace(row, "52:54:00:12:34:56",
			"52–54–00–12–34–56", 1),
		"MAC in capitals": head + strings.Replace(row, "52:54:00:12:34:56",
			"	52:54:00:12:34:56 ", 1),
		"mask": head + strings.Replace(row, "/24", "/255.255.255.0", 1),
		"netmask": strings.Replace(head, "address", "address,netmask", 1) +
			strings.Replace(row, "/24", ",255.255.255.0", 1),
		"netmask as bits": strings.Replace(head, "address", "address,netmask", 1) +
			strings.Replace(row, "/24", ",/24", 1),
		"netmask twice": strings.Replace(head, "address", "address,netmask", 1) +
			strings.Replace(row, "/24", "/24,24", 1),
	} {
		t.Run(name, func(t *testing.T) {
			rows, bad := read(t, text, server)
			if len(bad) != 0 || len(rows) != 1 {
				t.Fatalf("%v %v", rows, bad)
			}
			if got := show(t, rows[0].Host); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestOptions: a row has what is given for all rows where it says nothing
// itself.
func TestOptions(t *testing.T) {
	o := Options{Servers: []string{"http://boot1", "http://boot2"},
		DNS: []netip.Addr{netip.MustParseAddr("10.0.0.9")}, Search: []string{"b.example"}}
	rows, bad := read(t, "name,interface,address,dns,search,server\n"+
		"a,2,10.0.0.7/24,,,\n"+
		"b,net0,10.0.0.8/24 2001:db8::8/64,2001:db8::9,a.example,http://[2001:db8::5]\n", o)
	if len(bad) != 0 {
		t.Fatal(bad)
	}
	for i, want := range []string{"a,,net2,10.0.0.7/24,,,10.0.0.9,b.example,http://boot1 http://boot2",
		"b,,net0,10.0.0.8/24 2001:db8::8/64,,,2001:db8::9,a.example,http://[2001:db8::5]"} {
		if got := show(t, rows[i].Host); got != want || rows[i].Line != i+2 {
			t.Errorf("line %d\ngot  %s\nwant %s", rows[i].Line, got, want)
		}
	}
}

// TestBadRows has a row for everything that can be wrong in one. The rows
// around it are read.
func TestBadRows(t *testing.T) {
	const head = "name,mac,interface,address,netmask,gateway,vlan,dns,search,server\n"
	const long = "0123456789012345678901234567890123456789"
	for _, c := range []struct{ row, want string }{
		{",,,10.0.0.7/24,,,,,,", "name is missing"},
		{"a b,,,10.0.0.7/24,,,,,,", `name "a b" is no name`},
		{"a/b,,,10.0.0.7/24,,,,,,", `name "a/b" is no name`},
		{"${uuid},,,10.0.0.7/24,,,,,,", `name "${uuid}" is no name`},
		{long + long + long + long + ",,,10.0.0.7/24,,,,,,", "…\" is no name"},
		{"10.0.0.9,,,10.0.0.7/24,,,,,,",
			`name "10.0.0.9" would not be known to the server: it looks like an address`},
		{"52-54-00-12-34-56,,,10.0.0.7/24,,,,,,",
			`name "52-54-00-12-34-56" would not be known to the server: it looks like a MAC address`},
		{"None,,,10.0.0.7/24,,,,,,",
			`name "None" would not be known to the server: it is a placeholder`},
		{"web1-,,,10.0.0.7/24,,,,,,",
			`name "web1-" would not be known to the server: it ends with a hyphen`},
		{"xy,,,fe80::7%eth0/64,,,,,,", `address "fe80::7%eth0/64" is no address`},
		{"m\xfcnchen,,,10.0.0.7/24,,,,,,", `name "m\xfcnchen" is no name`},
		{"xy,52:54:00:12:34,,10.0.0.7/24,,,,,,", `mac "52:54:00:12:34" is no MAC address`},
		{"xy,52:54:00:12:34:5,,10.0.0.7/24,,,,,,", `mac "52:54:00:12:34:5" is no MAC address`},
		{"xy,52:54:0:12:34:56,,10.0.0.7/24,,,,,,", `mac "52:54:0:12:34:56" is no MAC address`},
		{"xy,5254-0012-345,,10.0.0.7/24,,,,,,", `mac "5254-0012-345" is no MAC address`},
		{"xy,525400-1234567,,10.0.0.7/24,,,,,,", `mac "525400-1234567" is no MAC address`},
		{"xy,52540012345,,10.0.0.7/24,,,,,,", `mac "52540012345" is no MAC address`},
		{"xy,5.2540012E+11,,10.0.0.7/24,,,,,,", `mac "5.2540012E+11" is no MAC address`},
		{"xy,00-11-22-33-44-55-66-77,,10.0.0.7/24,,,,,,",
			`mac "00-11-22-33-44-55-66-77" is no MAC address`},
		{"xy,52:54:00:12:34:5g,,10.0.0.7/24,,,,,,", `mac "52:54:00:12:34:5g" is no MAC address`},
		{"xy,01:00:5e:00:00:01,,10.0.0.7/24,,,,,,",
			`mac "01:00:5e:00:00:01" is the address of no single card`},
		{"xy,,eth0,10.0.0.7/24,,,,,,", `interface "eth0" is no card of iPXE`},
		{"xy,,99,10.0.0.7/24,,,,,,", `interface "net99" is no card of iPXE`},
		{"xy,52:54:00:12:34:56,1,10.0.0.7/24,,,,,,", `interface "net1" cannot stand beside a mac`},
		{"xy,,,,,,,,,", "address is missing"},
		{"xy,,,10.0.0.7,,,,,,",
			`address "10.0.0.7" has no length of its prefix, as in 10.0.0.7/24, and there is no netmask`},
		{"xy,,,2001:db8::7,,,,,,",
			`address "2001:db8::7" has no length of its prefix, as in 2001:db8::7/64`},
		{"xy,,,10.0.0.700/24,,,,,,", `address "10.0.0.700/24" is no address`},
		{"xy,,,10.0.0.7/33,,,,,,", `address "10.0.0.7/33" has no valid length`},
		{"xy,,,10.0.0.7/255.0.255.0,,,,,,", `address "10.0.0.7/255.0.255.0" has no valid length`},
		{"xy,,,10.0.0.0/24,,,,,,", `address "10.0.0.0/24" is the address of the network itself`},
		{"xy,,,10.0.0.255/24,,,,,,", `address "10.0.0.255/24" is the broadcast address`},
		{"xy,,,10.0.0.7/24 10.0.0.9/24,,,,,,", `address "10.0.0.9/24" is one too many`},
		{"xy,,,10.0.0.7/24 2001:db8::z/64,,2001:db8::1,,2001:db8::2,,http://[2001:db8::5]",
			`address "2001:db8::z/64" is no address`},
		{"xy,,,10.0.0.7,255.0.255.0,,,,,",
			`netmask "255.0.255.0" is no netmask, as in 255.255.255.0; address "10.0.0.7" has no netmask that can be read`},
		{"xy,,,10.0.0.7/24,255.255.0.0,,,,,",
			`address "10.0.0.7/24" says another length of the prefix than the netmask 255.255.0.0`},
		{"xy,,,2001:db8::7/64,255.255.0.0,,,,,http://[2001:db8::5]",
			`netmask "255.255.0.0" belongs to no IPv4 address`},
		{"xy,,,10.0.0.7/24,,10.0.1.1,,,,",
			`gateway "10.0.1.1" is not in 10.0.0.0/24, the network of the host`},
		{"xy,,,10.0.0.7/24,,10.0.0.1.1,,,,", `gateway "10.0.0.1.1" is no address`},
		{"xy,,,10.0.0.7/24,,10.0.0.7,,,,", `gateway "10.0.0.7" is the address of the host itself`},
		{"xy,,,10.0.0.7/24,,,0,,,", `vlan "0" is no VLAN`},
		{"xy,,,10.0.0.7/24,,,4095,,,", `vlan "4095" is no VLAN`},
		{"xy,,,10.0.0.7/24,,,five,,,", `vlan "five" is no VLAN`},
		{"xy,,,10.0.0.7/24,,,,ns1,,", `dns "ns1" is no address`},
		{"xy,,,10.0.0.7/24,,,,10.0.9.9,,",
			`dns "10.0.9.9" cannot be reached: it is not in 10.0.0.0/24, and there is no gateway`},
		{"xy,,,10.0.0.7/24,,,,,a..b,", `search "a..b" is no domain name`},
		{"xy,,,10.0.0.7/24,,,,,,http://10.0.0.5:4567/redirect/",
			`server "http://10.0.0.5:4567/redirect/" ends in /redirect, ` +
				`but the host adds what it asks for: write http://10.0.0.5:4567`},
		{"xy,,,10.0.0.7/24,,,,,,tftp://10.0.0.5",
			`server "tftp://10.0.0.5" is no address of a boot server`},
		{"xy,,,10.0.0.7/24,,,,,,http://boot",
			`server "http://boot" is given by name, and there is no DNS server`},
		{"xy,,,10.0.0.7/24,,,,,,http://10.9.9.9", `server "http://10.9.9.9" cannot be reached`},
		{"xy,,,10.0.0.7/24,,,,,,http://10.0.0.5/#x",
			`server "http://10.0.0.5/#x" is no address of a boot server`},
		{"xy,,,10.0.0.7/24", "has 4 cells, and the first line names 10 columns"},
		{"xy,,,10.0.0.7/24,,,,,,,more", "has 11 cells, and the first line names 10 columns"},
		{`xy,"`, "has a quote that is not closed"},
		{`xy,a"b,,10.0.0.7/24,,,,,,`, "has a quote within a cell that is not quoted"},
		{"xy," + strings.Repeat("a", MaxLine), fmt.Sprintf("is longer than %d bytes", MaxLine)},
		{"Before,,,10.0.0.7/24,,,,,,",
			`name "before" is in line 2 as well, and only one host can have it`},
		{"xy,,,10.0.0.101/24,,,,,,", `address "10.0.0.101" is in line 2 as well`},
		{"xy,52:54:00:00:00:01,,10.0.0.7/24,,,,,,", `mac "52:54:00:00:00:01" is in line 2 as well`},
		{"x y,zz,,nowhere,,,,,,",
			`name "x y" is no name: up to 128 letters, digits and . _ : - that begin with a letter or digit; mac "zz" is no MAC address, as in 52:54:00:12:34:56; address "nowhere" is no address`},
	} {
		before, after := "before,52:54:00:00:00:01,,10.0.0.101/24,,,,,,\n",
			"after,,,10.0.0.102/24,,,,,,\n"
		rows, bad := read(t, head+before+c.row+"\n"+after, server)
		var texts []string
		other := 0
		for _, e := range bad {
			if e.Line == 2 && strings.Contains(e.Why, "is in line 3 as well") {
				other++ // the row before has the same
				continue
			}
			text, ours := strings.CutPrefix(e.Error(), "line 3: ")
			if !ours {
				t.Errorf("%.100s: %v", c.row, e)
			}
			texts = append(texts, text)
		}
		if got := strings.Join(texts, "; "); !strings.Contains(got, c.want) ||
			len(texts) != 1+strings.Count(c.want, "; ") || len(got) > 600 {
			t.Errorf("%.100s\ngot  %.600s\nwant %s", c.row, got, c.want)
		}
		if len(rows) != 2-other || rows[len(rows)-1].Host.Name != "after" {
			t.Errorf("%.100s: the rows around it are %v", c.row, rows)
		}
	}
}

// TestBadFile: what is wrong with a file as a whole.
func TestBadFile(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "no first line",
		"\n# x\n":                       "no first line",
		"\xff\xfen\x00a\x00":            "UTF-16",
		"\xfe\xff\x00n\x00a":            "UTF-16",
		"n\x00a\x00m\x00":               "UTF-16",
		"name,adress\n":                 `line 1: the column "adress" is unknown; did you mean "address"? Known are name, mac,`,
		"Hostname;address\n":            `did you mean "name"?`,
		"\n\nname,address,colour\n":     `line 3: the column "colour" is unknown. Known are`,
		"name,address,Name\n":           `the column "Name" is there twice`,
		"name,,address\n":               "column 2 has no name",
		"name,server\n":                 `no column "address"`,
		"10.0.0.7/24,web1\n":            `the column "10.0.0.7/24" is unknown`,
		"address,server\n":              `no column "name"`,
		"name,\"address\n":              "a quote that is not closed",
		strings.Repeat("a", MaxLine+1):  "line 1: is longer",
		"name,address\nweb,10.0.0.7/24": `no column "server"`,
	} {
		if _, _, err := ReadCSV(strings.NewReader(text), Options{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	broken := io.MultiReader(strings.NewReader("name,address\n"), errReader{})
	if _, _, err := ReadCSV(broken, server); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if _, _, err := ReadJSON(errReader{}, server); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

var errBroken = errors.New("broken disk")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

// TestMaxRows: a list without an end is refused.
func TestMaxRows(t *testing.T) {
	lab.Slow(t)
	endless := io.MultiReader(strings.NewReader("name,address\n"),
		strings.NewReader(strings.Repeat("x\n", MaxRows+1)))
	if _, _, err := ReadCSV(endless, server); err == nil ||
		!strings.Contains(err.Error(), "more than 200000 rows") {
		t.Error(err)
	}
	if _, _, err := ReadJSON(strings.NewReader(strings.Repeat("x\n", MaxRows+1)),
		server); err == nil || !strings.Contains(err.Error(), "more than 200000 rows") {
		t.Error(err)
	}
}

// TestThousand: of a thousand rows with twenty bad ones, 980 are right and
// twenty lines are named.
func TestThousand(t *testing.T) {
	var b strings.Builder
	b.WriteString("name;address;gateway\n")
	for i := range 1000 {
		gateway := "10.0.0.1"
		if i%50 == 7 {
			gateway = "10.9.9.9"
		}
		fmt.Fprintf(&b, "host%d;10.0.%d.%d/16;%s\n", i, 1+i/250, 1+i%250, gateway)
	}
	rows, bad := read(t, b.String(), server)
	if len(rows) != 980 || len(bad) != 20 {
		t.Errorf("%d rows, %d errors", len(rows), len(bad))
	}
}

// TestOwnNames: a host may be called by its own MAC or address.
func TestOwnNames(t *testing.T) {
	rows, bad := read(t,
		"name,mac,address\n52-54-00-12-34-56,52:54:00:12:34:56,10.0.0.7/24\n10.0.0.8,,10.0.0.8/24\n", server)
	if len(rows) != 2 || len(bad) != 0 {
		t.Error(rows, bad)
	}
}

// TestReadJSON reads what databases write, line by line.
func TestReadJSON(t *testing.T) {
	rows, bad, err := ReadJSON(
		strings.NewReader(
			`{"name":"a","mac":"52-54-00-12-34-56","address":["10.0.0.7/24","2001:db8::7/64"],"vlan":5,"dns":["10.0.0.2"],"search":null}`+"\n\r\n"+
				`{"name": "b", "interface": 1, "address": "10.0.0.8/24", "server": ["http://10.0.0.5", "http://10.0.0.6"]}`), server)
	if err != nil || len(bad) != 0 || len(rows) != 2 {
		t.Fatal(rows, bad, err)
	}
	for i, want := range []string{"a,52:54:00:12:34:56,,10.0.0.7/24 2001:db8::7/64,,5,10.0.0.2,,http://10.0.0.5:4567",
		"b,,net1,10.0.0.8/24,,,,,http://10.0.0.5 http://10.0.0.6"} {
		if got := show(t, rows[i].Host); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for text, want := range map[string]string{
		`{"name":"xy","adress":"10.0.0.7/24"}`:             `line 1: the key "adress" is unknown; did you mean "address"?`,
		`{"name":"xy","name":"y","address":"10.0.0.7/24"}`: `the key "name" is there twice`,
		`{"name":{"a":1},"address":"10.0.0.7/24"}`:         `name "{\"a\":1}" is no text, number, or array of texts`,
		`{"name":true,"address":"10.0.0.7/24"}`:            `name "true" is no text`,
		`{"name":"xy","address":["10.0.0.7/24",5]}`:        `is no text, number, or array of texts`,
		`["x"]`:        "is no JSON object",
		`{"name":"xy"`: "is no JSON",
		`{"name":"xy","address":"10.0.0.7/24"} {}`:          "has something behind its object",
		`{"name":"xy","address":"10.0.0.7/24","vlan":1.5}`:  `vlan "1.5" is no VLAN`,
		`{"name":"xy","address":"10.0.0.7/24\nexit"}`:       `address "10.0.0.7/24\nexit" has no valid length`,
		strings.Repeat(" ", MaxLine) + "{}":                 "is longer than",
		`{"name":"x y","address":"10.0.0.7/24","vlan":"7"}`: `name "x y" is no name`,
	} {
		rows, bad, err := ReadJSON(strings.NewReader(text+"\n"+
			`{"name":"after","address":"10.0.0.8/24"}`), server)
		if want, _ := strings.CutPrefix(want, "line 1: "); err != nil || len(bad) == 0 ||
			bad[0].Line != 1 || !strings.Contains(bad[0].Error(), want) {
			t.Errorf("%.80s: %v %v", text, bad, err)
		}
		if len(rows) != 1 || rows[0].Host.Name != "after" || rows[0].Line != 2 {
			t.Errorf("%.80s: %v", text, rows)
		}
	}
}

// TestWriteCSV: what is written is read as the same hosts.
func TestWriteCSV(t *testing.T) {
	mac, _ := net.ParseMAC("52:54:00:12:34:56")
	want := []ipxe.Host{
		{Name: "a", MAC: mac, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/24")},
			VLAN: 7, Servers: []string{"http://10.0.0.5"}},
		{Name: "b", Card: "net3", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.8/24"),
			netip.MustParsePrefix("2001:db8::8/64")},
			Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1")},
			Search:   []string{"a.example", "b.example"},
			DNS: []netip.Addr{netip.MustParseAddr("10.0.0.2"),
				netip.MustParseAddr("2001:db8::2")},
			Servers: []string{"http://boot1", "http://boot2/pxe"}},
	}
	var b bytes.Buffer
	if err := WriteCSV(&b, want); err != nil {
		t.Fatal(err)
	}
	rows, bad := read(t, b.String(), Options{})
	if len(bad) != 0 || len(rows) != 2 {
		t.Fatal(rows, bad)
	}
	for i, r := range rows {
		if !same(r.Host, want[i]) {
			t.Errorf("got  %+v\nwant %+v", r.Host, want[i])
		}
	}
	if err := WriteCSV(errWriter{}, want); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

type errWriter struct{}

func (errWriter) Write([]byte) (int, error) { return 0, errBroken }

// same compares hosts; an empty list is as good as none.
func same(a, b ipxe.Host) bool {
	return reflect.DeepEqual(tidy(a), tidy(b))
}

func tidy(h ipxe.Host) ipxe.Host {
	h.Timeout, h.Pause = time.Duration(0), 0
	if len(h.DNS) == 0 {
		h.DNS = nil
	}
	if len(h.Search) == 0 {
		h.Search = nil
	}
	if len(h.Gateways) == 0 {
		h.Gateways = nil
	}
	return h
}

// TestDocs: the lists of docs/hosts-csv.md are read, its errors are those that
// its bad list gives, and its table has every column.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/hosts-csv.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string][]string{}
	for i, part := range strings.Split(string(text), "\n```") {
		if kind, body, ok := strings.Cut(part, "\n"); ok && i%2 == 1 {
			blocks[kind] = append(blocks[kind], body+"\n")
		}
	}
	if len(blocks["csv"]) != 2 || len(blocks["json"]) != 1 || len(blocks["text"]) != 1 {
		t.Fatalf("%q", blocks)
	}
	if rows, bad := read(t, blocks["csv"][0], Options{}); len(rows) != 3 || len(bad) != 0 {
		t.Error(rows, bad)
	}
	if rows, bad, err := ReadJSON(strings.NewReader(blocks["json"][0]),
		Options{}); len(rows) != 1 || len(bad) != 0 || err != nil {
		t.Error(rows, bad, err)
	}
	rows, bad := read(t, blocks["csv"][1], Options{})
	var said strings.Builder
	for _, e := range bad {
		fmt.Fprintln(&said, e)
	}
	if said.String() != blocks["text"][0] || len(rows) != 1 || rows[0].Host.Name != "web1" {
		t.Errorf("%v\n%s", rows, &said)
	}
	for _, c := range columns {
		if !strings.Contains(string(text), "| `"+c+"` |") {
			t.Errorf("no column %s", c)
		}
	}
}
