//go:build linux

package netns_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/lab/netns"
)

// patience is for one step on a loaded computer.
const patience = 3 * time.Minute

// TestNetwork has two networks with the same address and port: what runs in one
// is not seen in the other, nor outside, and another computer asks from its own
// address.
func TestNetwork(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		n := netns.NewNetwork(t)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "name"), []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		server := n.Start("dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground",
			"--log-facility=-", "--user=root", "--port=0",
			"--interface=br0", "--bind-interfaces", "--enable-tftp", "--tftp-root="+dir)
		server.Expect("TFTP root is", patience)
		out, err := n.Host("10.77.0.9").Command("curl", "-sS", "--max-time", "60",
			"tftp://"+netns.NetworkAddr+"/name").CombinedOutput()
		if err != nil || string(out) != name+"\n" {
			t.Errorf("network %s: %v, %q", name, err, out)
		}
		server.Expect(`name to 10\.77\.0\.9`, patience)
		if out, err := n.Command("ip", "-brief", "link").Output(); err != nil ||
			strings.Count(string(out), "\n") != 3 {
			t.Errorf("network %s has not just lo, br0 and host1: %v\n%s", name, err, out)
		}
	}
}
