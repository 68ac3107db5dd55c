//go:build linux

package dhcp

import (
	"net"
	"os"
	"strings"
	"testing"

	"pxesrv/pkg/lab/servers"
)

// The lines that docs/dhcp.md has for an iPXE that is built in and cannot run
// Linux give it a whole iPXE, and that one, and every other machine, what they
// got without them.
func TestBuiltIn(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	doc, err := os.ReadFile("../../docs/dhcp.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(begin string) string {
		_, rest, ok := strings.Cut(string(doc), "```text\n"+begin)
		text, _, _ := strings.Cut(begin+rest, "```")
		if !ok {
			t.Fatalf("docs/dhcp.md has no block that begins with %s", begin)
		}
		return text
	}
	for kind, places := range map[string][][2]string{ // where each block goes
		"isc": {{"if exists user-class and option user-class = \"iPXE\" {\n",
			block("option space ipxe")}},
		"kea": {{"  // Option 77 is", block(`"option-def"`) + "  // Option 77 is"},
			{"    // iPXE, whatever loaded it", block(`{ "name": "pxesrv-small"`) +
				"    // iPXE, whatever loaded it"}},
	} {
		t.Run(kind, func(t *testing.T) {
			printed, err := Print(kind, Options{URL: "http://192.0.2.10:4567",
				Subnet: "192.0.2.0/24", Range: "192.0.2.100-192.0.2.199"})
			if err != nil {
				t.Fatal(err)
			}
			text := string(printed)
			for _, p := range places {
				if strings.Count(text, p[0]) != 1 {
					t.Fatalf("there is no place %q in\n%s", p[0], text)
				}
				text = strings.Replace(text, p[0], p[1], 1)
			}
			servers.CheckDHCP(t, kind, []byte(text))
			lan := newLAN(t)
			servers.StartDHCP(t, kind, nil, serverNIC, []byte(text))
			iPXE := []byte("iPXE")
			small, whole := []byte{177, 5, 1, 0x10, 0xec, 0x81, 0x39, 19, 1, 1},
				[]byte{19, 1, 1, 24, 1, 1, 177, 5, 1, 0x10, 0xec, 0x81, 0x39}
			for i, test := range []struct {
				name string
				arch uint16
				more map[byte][]byte
				want string
			}{
				{"BIOS", 0, nil, "undionly.kpxe"},
				{"FlexBoot, which does not say that it is iPXE", 0, map[byte][]byte{175: small},
					"undionly.kpxe"},
				{"an iPXE without bzImage", 0, map[byte][]byte{77: iPXE, 175: small},
					"undionly.kpxe"},
				{"an iPXE that says nothing of itself", 0, map[byte][]byte{77: iPXE},
					"undionly.kpxe"},
				{"undionly.kpxe", 0, map[byte][]byte{77: iPXE, 175: whole},
					"http://192.0.2.10:4567/redirect"},
				{"snponly.efi, which has no bzImage", 7, map[byte][]byte{77: iPXE, 175: small},
					"http://192.0.2.10:4567/redirect"},
				{"UEFI", 7, nil, "snponly.efi"},
			} {
				mac := net.HardwareAddr{2, 0, 0, 0, 2, byte(i)}
				got, _ := lan.ask(t, client{name: test.name, arch: test.arch, file: test.want}, mac,
					1, 0x2000+uint32(i), frame{}, test.more)
				if got.file != test.want {
					t.Errorf("%s is told to boot %q, want %q", test.name, got.file, test.want)
				}
			}
		})
	}
}
