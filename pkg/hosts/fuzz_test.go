package hosts

import (
	"bytes"
	"strings"
	"testing"

	"pxesrv/pkg/ipxe"
)

// FuzzReadCSV: whatever the rows are, each gives a host or an error, never
// both. A host can be written and is read again as the same, and its script has
// no line that comes from a value.
func FuzzReadCSV(f *testing.F) {
	for _, seed := range []string{"web1,52:54:00:12:34:56,,10.0.0.7/24,,10.0.0.1,5,10.0.0.2,a.example,http://10.0.0.5:4567",
		"a,,net1,\"10.0.0.7/24, 2001:db8::7/64\",,fe80::1,,,,http://boot https://[2001:db8::5]/x",
		"x,\"", ",,,,,,,,,", "a,,0,10.0.0.7,255.255.255.0,,,,,",
		"web1,,,10.0.0.8/24,,,,,,\rweb1,,,10.0.0.8/24,,,,,,", "#\n\x00,${x}\n a b,||,&&,;,\\",
		"é,\xff,,::ffff:10.0.0.1/100,,,,,,"} {
		f.Add(seed)
	}
	all := ipxe.Loader{Platform: ipxe.UEFI, Features: ipxe.Features{Autoexec: true, VLAN: true,
		IPv6: true, HTTPS: true, LinkWait: true, DNS: ipxe.ManyDNS}}
	plain, err := ipxe.Host{Name: "plain", Addresses: nil}.Script(all)
	if plain != nil || err == nil {
		f.Fatal("a script for a host without an address")
	}
	f.Fuzz(func(t *testing.T, text string) {
		head := strings.Join(columns, ",") + "\n"
		rows, bad, err := ReadCSV(strings.NewReader(head+text), server)
		if err != nil {
			t.Skip(err) // the file as a whole
		}
		state := map[int]string{}
		for _, r := range rows {
			if r.Line < 2 || state[r.Line] != "" {
				t.Fatalf("line %d is there twice", r.Line)
			}
			state[r.Line] = "right"
		}
		for _, e := range bad {
			if e.Line < 2 || state[e.Line] == "right" || e.Why == "" {
				t.Fatalf("%+v of a line that is right, or of none", e)
			}
			state[e.Line] = "wrong"
		}
		number := 1
		for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r",
			"\n").Replace(text), "\n") {
			number++
			comment := strings.HasPrefix(strings.TrimSpace(line), "#")
			if !comment && state[number] == "" &&
				strings.ContainsAny(line, "abcdefghijklmnopqrstuvwxyz0123456789") {
				t.Fatalf("line %d, %q, gives neither a host nor an error", number, line)
			}
		}
		for _, r := range rows {
			var b bytes.Buffer
			if err := WriteCSV(&b, []ipxe.Host{r.Host}); err != nil {
				t.Fatal(err)
			}
			again, bad, err := ReadCSV(&b, Options{})
			if err != nil || len(bad) != 0 || len(again) != 1 || !same(again[0].Host, r.Host) {
				t.Fatalf("%+v is read again as %+v %v %v", r.Host, again, bad, err)
			}
			script, err := r.Host.Script(all)
			if err != nil {
				if !strings.Contains(err.Error(), "bytes, and its place in the ISO") {
					t.Fatal(err)
				}
				continue
			}
			for _, p := range ipxe.Check(script, nil) {
				if p.Code != ipxe.RareCommand {
					t.Fatalf("%+v\n%s", p, script)
				}
			}
			if !bytes.HasSuffix(script, ipxe.Local()[len("#!ipxe\n"):]) {
				t.Fatalf("%s", script)
			}
		}
	})
}
