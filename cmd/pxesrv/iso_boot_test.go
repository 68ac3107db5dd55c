//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/loader"
)

// Hosts without DHCP, from the CSV to the disk: the command makes their images, real machines boot from them, and the daemon
// answers.

// isoCSV are hosts with the wanted one of their two cards second. Those without a server get the daemon.
const isoCSV = `name,mac,interface,address,gateway,dns,server
web1,52:54:00:00:00:02,,10.0.2.15/24,10.0.2.2,10.0.2.3,
gone1,,net1,10.0.2.16/24,10.0.2.2,,http://10.0.2.77:4567
card1,52:54:00:00:00:03,,10.0.2.17/24,10.0.2.2,,
`

// isos makes the images of a list of hosts, by the distribution's iPXE of 2019 or by that of 2025, and returns their folder.
func (r *room) isos(csv string, old bool) string {
	r.t.Helper()
	dir := r.t.TempDir()
	list, out := filepath.Join(dir, "hosts.csv"), filepath.Join(dir, "isos")
	if err := os.WriteFile(list, []byte(csv), 0o644); err != nil {
		r.t.Fatal(err)
	}
	args := []string{"iso", "--csv", list, "--out", out, "--server", r.seen(), "--allow-partial"}
	if !old {
		args = append(args, "--lkrn", lab.IPXE(r.t, "ipxe.lkrn"), "--efi", lab.IPXE(r.t, "ipxe.efi"))
	}
	if said, err := exec.Command("pxesrv", args...).CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s", err, said)
	}
	return out
}

// streams lets the daemon serve the images of a list of hosts, by iPXE of 2025, and returns the address of one. With signed, the
// name of a host counts only with its signature.
func (r *room) streams(csv, host string, signed bool) string {
	r.t.Helper()
	dir := r.t.TempDir()
	list, state := filepath.Join(dir, "hosts.csv"), filepath.Join(dir, "state")
	err := os.WriteFile(list, []byte(csv), 0o644)
	if err == nil {
		err = os.Mkdir(state, 0o700)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	settings := []string{"--root", r.root, "--state", state, "--iso-hosts", list, "--iso-server", r.seen(), "--url", "http://" + r.addr,
		"--iso-lkrn", lab.IPXE(r.t, "ipxe.lkrn"), "--iso-efi", lab.IPXE(r.t, "ipxe.efi")}
	command := func(args ...string) string {
		out, err := exec.Command("pxesrv", append(args, settings...)...).CombinedOutput()
		if err != nil {
			r.t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if signed {
		command("iso", "keygen")
	}
	r.stop(syscall.SIGTERM)
	r.args = settings
	r.start()
	return command("iso", "url", host)
}

// TestISOOldEFI: the ipxe.efi of Debian 12 would ask DHCP, so no image is made with it.
func TestISOOldEFI(t *testing.T) {
	const file = "/usr/lib/ipxe/ipxe.efi"
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run 'make deps'", err)
	}
	if v := loader.Inspect(body).Version; !strings.HasPrefix(v, "1.0.0+") {
		t.Skipf("%s of this machine is not that of Debian 12 but iPXE %s", file, v)
	}
	out := filepath.Join(t.TempDir(), "web1.iso")
	said, err := exec.Command("pxesrv", "iso", "--name", "web1", "--address", "10.0.2.15/24", "--server", "http://10.0.2.2:4567",
		"--lkrn", lab.IPXE(t, "ipxe.lkrn"), "--efi", file, "-o", out).CombinedOutput()
	if err == nil || !strings.Contains(string(said), "no boot by UEFI: "+file+" is iPXE 1.0.0") ||
		!strings.Contains(string(said), "does not read autoexec.ipxe and would ask DHCP instead") {
		t.Errorf("%v\n%s", err, said)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("it made an image all the same")
	}
}

// seen is the address of the daemon as a machine sees it.
func (r *room) seen() string {
	_, port, _ := net.SplitHostPort(r.addr)
	return "http://" + net.JoinHostPort(lab.Gateway, port)
}

// logged waits for a line of the daemon's log.
func (r *room) logged(pattern string) {
	r.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	for end := time.Now().Add(patience); !re.MatchString(r.log.String()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("the daemon's log has no line %s", pattern)
		}
	}
}

const bootedLocal = lab.BootedBIOS + "|" + lab.BootedUEFI

// TestISOBoots takes a machine that always boots from its image through an order, through ordinary days and through a day
// without a boot script, by each firmware and medium, with iPXE of 2019 and of 2025.
func TestISOBoots(t *testing.T) {
	for _, c := range []struct {
		name      string
		old, uefi bool
		medium    string
		ordinary  string // how the script of ordinary days ends
		lost      string // why there is no script in the end
	}{
		{"BIOS 2019 CD", true, false, "CD", "exit", "server down"},
		{"BIOS 2019 USB", true, false, "USB", "chain --replace --autofree local.ipxe", "404"},
		{"BIOS 2025 CD over HTTP, signed", false, false, "signed", "chain --replace --autofree local.ipxe", "404"},
		{"BIOS 2025 USB", false, false, "USB", "exit", "server down"},
		{"UEFI 2025 CD over HTTP", false, true, "HTTP", "chain --replace --autofree local.ipxe", "404"},
		{"UEFI 2025 USB", false, true, "USB", "exit", "server down"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			r.write("default", "#!ipxe\necho AN-ORDINARY-DAY OF ${${dev}/ip} ${${dev}/netmask} ${${dev}/gateway} ${${dev}/dns}\n"+c.ordinary+"\n")
			r.write("scripts/install.ipxe", "#!ipxe\necho INSTALLS-web1\nsleep 2\nreboot\n")
			if out, err := exec.Command("pxesrv", "once", "place", "--root", r.root, "web1", "scripts/install.ipxe").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			vm := lab.VM{UEFI: c.uefi, MAC: "52:54:00:00:00:01", MAC2: "52:54:00:00:00:02", Disk: lab.Disk(t),
				Args: []string{"-action", "reboot=reset"}}
			switch c.medium {
			case "CD":
				vm.CD = filepath.Join(r.isos(isoCSV, c.old), "web1.iso")
			case "USB":
				vm.USB = filepath.Join(r.isos(isoCSV, c.old), "web1.iso")
			default:
				vm.CD = r.streams(isoCSV, "web1", c.medium == "signed")
			}
			m := lab.Start(t, vm)
			defer m.Stop()

			// The first boot gets the order, the second is an ordinary one.
			m.Expect("web1: asking http://10.0.2.2:[0-9]+ by net1, try 0", patience)
			m.Expect("INSTALLS-web1", patience)
			r.logged(`msg=redirect .*names=([^ ]+,)?web1[, ].* step=once entry=once/web1 `)
			m.Expect("web1: asking http://10.0.2.2:[0-9]+ by net1, try 0", patience)
			m.Expect("AN-ORDINARY-DAY OF 10.0.2.15 255.255.255.0 10.0.2.2 10.0.2.3", patience)
			m.Expect("Booting the local disk", patience)
			m.Expect(bootedLocal, patience)
			r.logged(`msg=redirect .*names=([^ ]+,)?web1[, ].* step=default`)
			if claimed, served := r.journal("web1"); claimed+served != 1 {
				t.Errorf("the order has %d entries in .claimed and %d in .served, want one in all", claimed, served)
			}

			if c.lost == "404" {
				r.remove("default")
			} else {
				r.stop(syscall.SIGTERM)
			}
			m.Reset()
			r.fallsBack(m, "web1", c.name+", "+c.lost, `no script from a boot server\nhttp://10.0.2.2:[0-9]+: error 0x`)
			if strings.Count(m.Console(), "INSTALLS-web1") != 1 {
				t.Error("the order was not run once")
			}
		})
	}
}

// fallsBack waits until a machine shows why it has no script and boots its disk, and prints how long that took.
func (r *room) fallsBack(m *lab.Machine, name, what, shows string) {
	r.t.Helper()
	m.Expect("Host "+name+", ", patience)
	began := time.Now()
	m.Expect(name+": NO BOOT SCRIPT, "+shows, patience)
	m.Expect("Host "+name+", ", patience)
	m.Expect("Booting the local disk", patience)
	m.Expect(bootedLocal, patience)
	fmt.Printf("lab: %s: the local disk boots %.0f s after the image's script began\n", what, time.Since(began).Seconds())
}

// TestISOFallsBack: images that can never work, from a stick, which a BIOS calls its first disk: the second one boots.
func TestISOFallsBack(t *testing.T) {
	for _, c := range []struct {
		name, host string
		old        bool
		shows      string
	}{
		{"BIOS 2019 USB, dead address", "gone1", true, `no script from a boot server\nhttp://10.0.2.77:4567: error 0x`},
		{"BIOS 2025 USB, wrong MAC", "card1", false, "no card 52:54:00:00:00:03 in this machine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			m := lab.Start(t, lab.VM{MAC: "52:54:00:00:00:01", MAC2: "52:54:00:00:00:02", Disk: lab.Disk(t),
				USB: filepath.Join(r.isos(isoCSV, c.old), c.host+".iso")})
			defer m.Stop()
			r.fallsBack(m, c.host, c.name, c.shows)
		})
	}
}
