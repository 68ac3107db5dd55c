//go:build linux

package ipxe_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/qemu"
	"pxesrv/pkg/loader"
)

// patience is for one step of one machine on a loaded computer; the steps take
// some seconds on an idle one.
const patience = 3 * time.Minute

// away is an address in the machine's network where nobody is.
const away = "http://10.0.2.77:4567"

// bootServer answers /redirect with the script that answer gives for a query,
// or with 404 when it gives "".
func bootServer(t *testing.T, answer func(url.Values) string) (base string, asked chan url.Values) {
	t.Helper()
	asked = make(chan url.Values, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked <- q
		script := answer(q)
		if r.URL.Path != ipxe.Path || script == "" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, script)
	}))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return "http://" + net.JoinHostPort(qemu.Gateway, port), asked
}

// builds are the builds of iPXE that boot here, with the file of each.
var builds = map[string]func(t *testing.T) string{
	"BIOS 2019": func(t *testing.T) string {
		for _, file := range []string{"/usr/lib/ipxe/ipxe.lkrn", "/boot/ipxe.lkrn"} {
			if _, err := os.Stat(file); err == nil {
				return file
			}
		}
		t.Fatal("no ipxe.lkrn: run 'make deps'")
		return ""
	},
	"BIOS 2025": func(t *testing.T) string { return lab.IPXE(t, "ipxe.lkrn") },
	"UEFI 2025": func(t *testing.T) string { return lab.IPXE(t, "ipxe.efi") },
}

// start boots a machine with two cards and a local disk by the script of the
// host, as its ISO does.
func start(t *testing.T, build string, h ipxe.Host) *qemu.Machine {
	t.Helper()
	file := builds[build](t)
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b := loader.Inspect(body)
	script, err := h.Script(b.Loader)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v: %d bytes of script", b, len(script))
	dir := t.TempDir()
	vm := qemu.VM{MAC: "52:54:00:00:00:01", MAC2: "52:54:00:00:00:02", Disk: qemu.Disk(t)}
	put := func(name string, body []byte) string {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, body, 0o644); err != nil {
			t.Fatal(err)
		}
		return at
	}
	if b.Platform == ipxe.UEFI {
		put("EFI/BOOT/BOOTX64.EFI", body)
		put("autoexec.ipxe", script)
		vm.UEFI, vm.Stick = true, dir
	} else {
		vm.Kernel, vm.Initrd = file, put("script.ipxe", script)
	}
	return qemu.Start(t, vm)
}

// client is a host on the second card, which waits as little as it can.
func client(servers ...string) ipxe.Host {
	mac, _ := net.ParseMAC("52:54:00:00:00:02")
	return ipxe.Host{Name: "web1", MAC: mac,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.2.15/24")},
		Gateways:  []netip.Addr{netip.MustParseAddr("10.0.2.2")}, Servers: servers,
		Tries: 2, Timeout: time.Second, Pause: time.Second, Query: "more=yes"}
}

// TestHostBoots: without DHCP, on the second of two cards, the first server
// away: the served script runs, and when it ends with an error, the local disk
// boots. TestISOBoots of cmd/pxesrv has the other ends.
func TestHostBoots(t *testing.T) {
	for _, c := range []struct {
		build, served string
		shows         string // on the screen, after the served script
	}{
		{"BIOS 2019", "imgfetch /nothing\n",
			"script of http://10.0.2.2:[0-9]+ ended with error 0x"},
		{"UEFI 2025", "exit 1\n", ""},
	} {
		t.Run(c.build+" "+strings.TrimSpace(c.served), func(t *testing.T) {
			server, asked := bootServer(t, func(q url.Values) string {
				if q.Get("host") != "web1" {
					return ""
				}
				return "#!ipxe\necho SERVED-SCRIPT-RAN\n" + c.served
			})
			m := start(t, c.build, client(away, server))
			select {
			case q := <-asked:
				want := map[string]string{"host": "web1", "mac": "52-54-00-00-00-02", "try": "1",
					"more": "yes",
					"macs": "52-54-00-00-00-01.52-54-00-00-00-02......", "bus": "PCI.PCI......"}
				for name, value := range want {
					if q.Get(name) != value {
						t.Errorf("%s=%q, want %q", name, q.Get(name), value)
					}
				}
			case <-time.After(patience):
				t.Fatalf("nobody asked\n%s", m.Console())
			}
			m.Expect("SERVED-SCRIPT-RAN", patience)
			if c.shows != "" {
				m.Expect(c.shows, patience)
			}
			m.Expect("Booting the local disk", patience)
			m.Expect(qemu.BootedBIOS+"|"+qemu.BootedUEFI, patience)
			if c.shows == "" && strings.Contains(m.Console(), "ended with error") {
				t.Errorf("shows an error\n%s", m.Console())
			}
			m.Stop()
		})
	}
}

// TestHostBootsIPv6: a host that has nothing but an IPv6 address.
func TestHostBootsIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0") // QEMU's network leads fec0::2 there
	if err != nil {
		t.Skip("this computer has no IPv6: ", err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "#!ipxe\necho SERVED-TO-%s\nprompt\n", r.URL.Query().Get("host"))
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	h := client("http://" + net.JoinHostPort("fec0::2", port))
	h.Addresses, h.Gateways = []netip.Prefix{netip.MustParsePrefix("fec0::15/64")},
		[]netip.Addr{netip.MustParseAddr("fe80::2")}
	start(t, "BIOS 2019", h).Expect("SERVED-TO-web1", patience)
}

// TestHostFallsBack: whatever is wrong, the screen says what, and the local
// disk boots. TestISOBoots and TestISOFallsBack of cmd/pxesrv have what is
// wrong most often.
func TestHostFallsBack(t *testing.T) {
	for _, c := range []struct {
		name, build string
		host        func(t *testing.T) ipxe.Host
		asks        string // what is on the screen before it
		shows       string
	}{
		{"status 404 on each card", "UEFI 2025", func(t *testing.T) ipxe.Host {
			server, _ := bootServer(t, func(url.Values) string { return "" })
			h := client(server)
			h.MAC = nil
			return h
		}, "by net0, try 1(.|\n)*by net1, try 1",
			"no script from a boot server\nhttp://10.0.2.2:[0-9]+: error 0x2d0c61"},
		{"wrong number", "BIOS 2025", func(t *testing.T) ipxe.Host {
			h := client(away)
			h.MAC, h.Card = nil, "net2"
			return h
		}, "", "no card net2 in this machine"},
	} {
		t.Run(c.build+" "+c.name, func(t *testing.T) {
			h := c.host(t)
			m := start(t, c.build, h)
			m.Expect("Host web1, 10.0.2.15/24, gateway 10.0.2.2", patience)
			began := time.Now()
			m.Expect(c.asks, patience)
			m.Expect("NO BOOT SCRIPT, "+c.shows, patience)
			m.Expect("Host web1, 10.0.2.15/24, gateway 10.0.2.2", patience)
			m.Expect(qemu.BootedBIOS+"|"+qemu.BootedUEFI, patience)
			fmt.Printf("lab: %s: the local disk boots after %.1f s of at most %v\n", t.Name(),
				time.Since(began).Seconds(), h.Patience(2))
			m.Stop()
		})
	}
}
