//go:build linux

package qemu_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/qemu"
)

// patience is for one step of one machine on a loaded computer; the steps take
// some seconds on an idle one.
const patience = 3 * time.Minute

// server is a stub: it asks a client without a query who it is, and gives one
// with a query the answer.
type server struct {
	*httptest.Server
	asked chan url.Values // queries, in order
	plain chan bool       // requests without one
}

func newServer(t *testing.T, answer string) *server {
	t.Helper()
	s := &server{asked: make(chan url.Values, 100), plain: make(chan bool, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Logf("GET %s", r.URL)
		switch {
		case r.URL.Path != ipxe.Path:
			http.NotFound(w, r)
		case r.URL.RawQuery == "":
			s.plain <- true
			w.Write(ipxe.Identify())
		default:
			s.asked <- r.URL.Query()
			io.WriteString(w, answer)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// bootFile is the URL of /redirect as a machine sees it, for a server at addr
// ("127.0.0.1:port").
func bootFile(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return "http://" + net.JoinHostPort(qemu.Gateway, port) + ipxe.Path
}

func (s *server) addr() string { return s.Listener.Addr().String() }

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// stick makes a USB stick that boots today's iPXE.
func stick(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	boot := filepath.Join(dir, "EFI", "BOOT")
	program, err := os.ReadFile(lab.IPXE(t, "ipxe.efi"))
	if err == nil {
		err = os.MkdirAll(boot, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(boot, "BOOTX64.EFI"), program, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestIdentify boots each client with awkward SMBIOS values and two cards: the
// server learns them exactly, and the script it serves may itself ask /redirect
// again.
func TestIdentify(t *testing.T) {
	for _, test := range []struct {
		name, platform, version string
		vm                      func(t *testing.T) qemu.VM
	}{
		{"BIOS 2019", "pcbios", "1.0.0", func(t *testing.T) qemu.VM {
			return qemu.VM{NICROM: true}
		}},
		{"BIOS today", "pcbios", "1.21", func(t *testing.T) qemu.VM {
			return qemu.VM{Kernel: lab.IPXE(t, "ipxe.lkrn")}
		}},
		{"UEFI today", "efi", "1.21", func(t *testing.T) qemu.VM {
			return qemu.VM{UEFI: true, Stick: stick(t)}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "#!ipxe\n"+
				"isset ${again} && goto second ||\n"+
				"set again yes\n"+
				"chain --replace /redirect?again=yes\n"+
				":second\n"+
				"echo SERVED-SCRIPT-RAN\n"+
				"prompt\n") // stay here: what follows an end is another test
			vm := test.vm(t)
			vm.BootFile = bootFile(s.addr())
			vm.MAC, vm.MAC2 = "52:54:00:ab:cd:01", "52:54:00:ab:cd:02"
			vm.UUID = "12345678-9abc-def0-1122-aabbccddeeff"
			vm.Manufacturer, vm.Product, vm.Serial = "ACME, Inc.", "X 1", "S/N 42&é"
			vm.Asset, vm.BoardSerial = "A%7+b?c", "B,1"
			m := qemu.Start(t, vm)

			q := receive(t, s.asked, "identified request")
			want := map[string]string{
				"uuid": vm.UUID, "mac": "52-54-00-ab-cd-01",
				"macs": "52-54-00-ab-cd-01.52-54-00-ab-cd-02......", "bus": "PCI.PCI......",
				"platform": test.platform, "try": "0", "hostnamex": "",
				"manufacturerx": fmt.Sprintf("%x", vm.Manufacturer),
				"productx":      fmt.Sprintf("%x", vm.Product),
				"serialx":       fmt.Sprintf("%x", vm.Serial),
				"assetx":        fmt.Sprintf("%x", vm.Asset),
				"boardx":        fmt.Sprintf("%x", vm.BoardSerial),
			}
			for name, value := range want {
				if q.Get(name) != value {
					t.Errorf("%s=%q, want %q", name, q.Get(name), value)
				}
			}
			if v := q.Get("version"); !strings.HasPrefix(v, test.version) {
				t.Errorf("version=%q, want %q", v, test.version)
			}
			if arch := q.Get("arch"); arch != "i386" && arch != "x86_64" {
				t.Errorf("arch=%q", arch)
			}
			if q := receive(t, s.asked, "request by the served script"); q.Get("again") != "yes" {
				t.Errorf("the served script asked %v", q)
			}
			m.Expect("SERVED-SCRIPT-RAN", patience)
			if n := len(s.plain); n != 1 {
				t.Errorf("%d requests without a query, want 1", n)
			}
		})
	}
}
