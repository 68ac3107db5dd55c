package ipxe

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// TestScripts checks what every script of ours must be, whatever it does.
func TestScripts(t *testing.T) {
	for name, script := range map[string][]byte{"Identify": Identify(), "Local": Local()} {
		t.Run(name, func(t *testing.T) {
			if !bytes.HasPrefix(script, []byte("#!ipxe\n")) {
				t.Error("does not begin with the line by which iPXE knows a script")
			}
			if len(script) >= 4096 {
				t.Errorf("%d bytes, must stay below 4096", len(script))
			}
			for _, c := range script {
				if c != '\n' && (c < ' ' || c > '~') {
					t.Fatalf("byte %#x: only printable ASCII shows on every console", c)
				}
			}
			if bytes.Contains(script, []byte("://")) {
				t.Error("names a host: behind another name or port it would not work")
			}
			if !bytes.HasSuffix(script, []byte(local)) {
				t.Error("does not end in the local boot")
			}
		})
	}
}

// TestIdentifyGotos checks that every goto has its label: iPXE finds out only
// when it gets there.
func TestIdentifyGotos(t *testing.T) {
	script := string(Identify())
	for _, m := range regexp.MustCompile(`goto (\w+)`).FindAllStringSubmatch(script, -1) {
		if !strings.Contains(script, "\n:"+m[1]+"\n") {
			t.Errorf("goto %s has no label", m[1])
		}
	}
}

// TestIdentifyQuery checks the one request of the script: path-absolute, with
// every name the server reads.
func TestIdentifyQuery(t *testing.T) {
	script := string(Identify())
	if n := strings.Count(script, "imgfetch"); n != 1 {
		t.Fatalf("%d fetches, want one in a loop", n)
	}
	if !strings.Contains(script, " /redirect?${q}&try=${try} ") {
		t.Error("does not ask /redirect?${q}&try=${try}")
	}
	for _, name := range []string{"uuid", "mac", "macs", "bus", "arch", "platform", "version",
		"serialx", "manufacturerx", "productx", "assetx", "boardx", "hostnamex"} {
		if !regexp.MustCompile(`[ &]` + name + `=\$`).MatchString(script) {
			t.Errorf("does not send %s", name)
		}
	}
	for i := range 8 {
		if mac := "${net" + string(rune('0'+i)) + "/mac:hexhyp}"; !strings.Contains(script, mac) {
			t.Errorf("does not send %s", mac)
		}
		if bus := "${net" + string(rune('0'+i)) + "/bustype}"; !strings.Contains(script, bus) {
			t.Errorf("does not send %s", bus)
		}
	}
}
