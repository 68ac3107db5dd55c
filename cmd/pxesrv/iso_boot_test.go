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
	"pxesrv/pkg/lab/netns"
	"pxesrv/pkg/lab/pki"
	"pxesrv/pkg/lab/qemu"
	"pxesrv/pkg/loader"
)

// Hosts without DHCP, from the CSV to the disk: the command makes their images,
// real machines boot from them, and the daemon answers.

// isoCSV are hosts with the wanted one of their two cards second. Those without
// a server get the daemon.
const isoCSV = `name,mac,interface,address,gateway,dns,server
web1,52:54:00:00:00:02,,10.0.2.15/24,10.0.2.2,10.0.2.3,
gone1,,net1,10.0.2.16/24,10.0.2.2,,http://10.0.2.77:4567
card1,52:54:00:00:00:03,,10.0.2.17/24,10.0.2.2,,
`

// isoLoaders are the flags that name a build of iPXE, none for that of the
// distribution, which is of 2019.
func isoLoaders(t testing.TB, build string) []string {
	find := map[string]func(testing.TB, string) string{"2025": lab.IPXE, "2.0": lab.IPXE2}[build]
	if find == nil {
		return nil
	}
	return []string{"--lkrn", find(t, "ipxe.lkrn"), "--efi", find(t, "ipxe.efi")}
}

// isos makes the images of a list of hosts, by iPXE of 2019, of 2025 or 2.0,
// and returns their folder.
func (r *room) isos(csv, build string) string {
	r.t.Helper()
	dir := r.t.TempDir()
	list, out := filepath.Join(dir, "hosts.csv"), filepath.Join(dir, "isos")
	if err := os.WriteFile(list, []byte(csv), 0o644); err != nil {
		r.t.Fatal(err)
	}
	args := append([]string{"iso", "--csv", list, "--out", out, "--server", r.seen(),
		"--allow-partial"}, isoLoaders(r.t, build)...)
	if said, err := exec.Command("pxesrv", args...).CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s", err, said)
	}
	return out
}

// streams lets the daemon serve the images of a list of hosts, by iPXE of 2025,
// and returns the address of one. With signed, the name of a host counts only
// with its signature.
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
	settings := []string{"--root", r.root, "--state", state, "--iso-hosts", list, "--iso-server",
		r.seen(), "--url", "http://" + r.addr,
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

// TestISOOldEFI: the ipxe.efi of Debian 12 would ask DHCP, so no image is made
// with it.
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
	said, err := exec.Command("pxesrv", "iso", "--name", "web1", "--address", "10.0.2.15/24",
		"--server", "http://10.0.2.2:4567",
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
	return "http://" + net.JoinHostPort(qemu.Gateway, port)
}

// logged waits for a line of the daemon's log.
func (r *room) logged(pattern string) {
	r.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	for end := time.Now().Add(patience); !re.MatchString(r.log.String()); time.Sleep(
		20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("the daemon's log has no line %s", pattern)
		}
	}
}

const bootedLocal = qemu.BootedBIOS + "|" + qemu.BootedUEFI

// isoBoot is a machine that always boots from its image: its iPXE, its firmware
// and its medium.
type isoBoot struct {
	build    string
	uefi     bool
	medium   string
	ordinary string // how the script of ordinary days ends
	lost     string // why there is no script in the end
}

const endsByDisk = "chain --replace --autofree local.ipxe"

// TestISOBoots takes a machine that always boots from its image through an
// order, through ordinary days and through a day without a boot script, by each
// firmware and medium, with iPXE of 2019, of 2025 and 2.0. TestSoakISOBoots has
// the rest.
func TestISOBoots(t *testing.T) {
	bootISOs(t, []isoBoot{
		{"2019", false, "CD", "exit", "server down"},
		{"2019", false, "USB", endsByDisk, "404"},
		{"2025", false, "CD over HTTP, signed", endsByDisk, "404"},
		{"2.0", false, "USB", "exit", "server down"},
		{"2025", true, "CD over HTTP", endsByDisk, "404"},
		{"2.0", true, "USB", "exit", "server down"},
	})
}

func TestSoakISOBoots(t *testing.T) {
	lab.OnlySoak(t)
	var all []isoBoot
	for _, build := range []string{"2025", "2.0"} {
		for _, uefi := range []bool{false, true} {
			all = append(all, isoBoot{build, uefi, "CD", endsByDisk, "server down"},
				isoBoot{build, uefi, "USB", "exit", "404"})
		}
	}
	bootISOs(t, all)
}

func bootISOs(t *testing.T, all []isoBoot) {
	for _, c := range all {
		name := map[bool]string{false: "BIOS ", true: "UEFI "}[c.uefi] + c.build + " " + c.medium
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			r.write("default", "#!ipxe\necho AN-ORDINARY-DAY OF ${${dev}/ip} ${${dev}/netmask} "+
				"${${dev}/gateway} ${${dev}/dns}\n"+c.ordinary+"\n")
			r.write("scripts/install.ipxe", "#!ipxe\necho INSTALLS-web1\nsleep 2\nreboot\n")
			if out, err := exec.Command("pxesrv", "once", "place", "--root", r.root, "web1",
				"scripts/install.ipxe").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			vm := qemu.VM{UEFI: c.uefi, MAC: "52:54:00:00:00:01", MAC2: "52:54:00:00:00:02",
				Disk: qemu.Disk(t),
				Args: []string{"-action", "reboot=reset"}}
			switch c.medium {
			case "CD":
				vm.CD = filepath.Join(r.isos(isoCSV, c.build), "web1.iso")
			case "USB":
				vm.USB = filepath.Join(r.isos(isoCSV, c.build), "web1.iso")
			default:
				vm.CD = r.streams(isoCSV, "web1", strings.HasSuffix(c.medium, "signed"))
			}
			m := qemu.Start(t, vm)
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
				t.Errorf("the order has %d entries in .claimed and %d in .served, want one in all",
					claimed, served)
			}

			if c.lost == "404" {
				r.remove("default")
			} else {
				r.stop(syscall.SIGTERM)
			}
			m.Reset()
			r.fallsBack(m, "web1", name+", "+c.lost,
				`no script from a boot server\nhttp://10.0.2.2:[0-9]+: error 0x`)
			if strings.Count(m.Console(), "INSTALLS-web1") != 1 {
				t.Error("the order was not run once")
			}
		})
	}
}

// fallsBack waits until a machine shows why it has no script and boots its
// disk, and prints how long that took.
func (r *room) fallsBack(m *qemu.Machine, name, what, shows string) {
	r.t.Helper()
	m.Expect("Host "+name+", ", patience)
	began := time.Now()
	m.Expect(name+": NO BOOT SCRIPT, "+shows, patience)
	m.Expect("Host "+name+", ", patience)
	m.Expect("Booting the local disk", patience)
	m.Expect(bootedLocal, patience)
	fmt.Printf("lab: %s: the local disk boots %.0f s after the image's script began\n", what,
		time.Since(began).Seconds())
}

// TestISOFallsBack: images that can never work, from a stick, which a BIOS
// calls its first disk: the second one boots.
func TestISOFallsBack(t *testing.T) {
	for _, c := range []struct {
		name, host string
		build      string
		shows      string
	}{
		{"BIOS 2019 USB, dead address", "gone1", "2019",
			`no script from a boot server\nhttp://10.0.2.77:4567: error 0x`},
		{"BIOS 2025 USB, wrong MAC", "card1", "2025", "no card 52:54:00:00:00:03 in this machine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			m := qemu.Start(t, qemu.VM{MAC: "52:54:00:00:00:01", MAC2: "52:54:00:00:00:02",
				Disk: qemu.Disk(t),
				USB:  filepath.Join(r.isos(isoCSV, c.build), c.host+".iso")})
			defer m.Stop()
			r.fallsBack(m, c.host, c.name, c.shows)
		})
	}
}

// isoNeeds are hosts that need of iPXE what the BIOS builds of 2019 have not: a
// VLAN, HTTPS, and IPv6 alone. all1 needs the three.
const isoNeeds = `name,address,vlan,server
all1,fd77::11/64,5,https://[fd77::1]:4568 http://[fd77::1]:4567
vlan1,10.77.0.12/24,5,http://10.77.0.1:4567
https1,10.77.0.13/24,,https://10.77.0.1:4568 http://10.77.0.1:4567
six1,fd77::14/64,,http://[fd77::1]:4567
`

// TestISONeeds boots a host in a VLAN that has IPv6 alone and asks by HTTPS, by
// the BIOS builds of Debian 13 and of iPXE 2.0. A BIOS build trusts no CA of
// ours, and nobody can give it one: so the first server shows that it speaks
// TLS, and the second, by HTTP, has the script.
func TestISONeeds(t *testing.T) {
	bootNeeds(t, []string{"2025", "2.0"}, []string{"all1"}, []bool{false})
}

// TestSoakISONeeds has each need alone, by each firmware.
func TestSoakISONeeds(t *testing.T) {
	lab.OnlySoak(t)
	bootNeeds(t, []string{"2025", "2.0"}, []string{"vlan1", "https1", "six1"}, []bool{false, true})
}

func bootNeeds(t *testing.T, builds, names []string, firmware []bool) {
	lab.Slow(t)
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network of its own")
	}
	dir := t.TempDir()
	list := filepath.Join(dir, "hosts.csv")
	if err := os.WriteFile(list, []byte(isoNeeds), 0o644); err != nil {
		t.Fatal(err)
	}
	cert, key := pki.NewCA(t,
		"site CA").Files(pki.Certificate{Hosts: []string{netns.NetworkAddr6, netns.NetworkAddr}})
	for _, build := range builds {
		isos := filepath.Join(dir, build)
		args := append([]string{"iso", "--csv", list, "--out", isos, "--tries", "1"},
			isoLoaders(t, build)...)
		if said, err := exec.Command("pxesrv", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		for _, name := range names {
			for _, uefi := range firmware {
				t.Run(map[bool]string{false: "BIOS ", true: "UEFI "}[uefi]+build+" "+
					name, func(t *testing.T) {
					t.Parallel()
					n := netns.NewNetwork(t)
					root := bootTree(t, map[string]string{"once/.gitignore": "",
						"default":         "#!ipxe\necho AN-ORDINARY-DAY\nexit\n",
						"scripts/install": "#!ipxe\necho INSTALLS-" + name + "\nsleep 1\nreboot\n"})
					if err := os.Symlink("../scripts/install",
						filepath.Join(root, "once", name)); err != nil {
						t.Fatal(err)
					}
					daemon := n.Start("pxesrv", "serve", "--root", root, "--listen", ":4567",
						"--tls-listen", ":4568", "--tls-cert", cert, "--tls-key", key)
					daemon.Expect(`msg=listening .* speaks=https`, patience)
					m := qemu.Start(t, qemu.VM{UEFI: uefi, Network: n,
						VLAN: map[string]int{"all1": 5, "vlan1": 5}[name],
						CD:   filepath.Join(isos, name+".iso"), Disk: qemu.Disk(t),
						Args: []string{"-action", "reboot=reset"}})
					defer m.Stop()
					if name == "all1" || name == "https1" {
						m.Expect(name+": asking https://", patience)
						m.Expect(`Permission denied \(https?://ipxe.org/0216eb`, patience)
						daemon.Expect(`reason=closed-in-handshake`, patience)
					}
					m.Expect(name+": asking http://", patience)
					m.Expect("INSTALLS-"+name, patience)
					peer := map[string]string{"all1": "fd77::11", "vlan1": "10.77.0.12",
						"https1": "10.77.0.13", "six1": "fd77::14"}[name]
					daemon.Expect(`msg=redirect .*peer=`+peer+` .* entry=once/`+name+` `, patience)
					m.Expect("AN-ORDINARY-DAY", patience)
					m.Expect(bootedLocal, patience)
				})
			}
		}
	}
}

// TestISOSecureBoot: with Secure Boot on, Debian's shim starts the iPXE beside
// it when both are signed. The firmware here has a key of tests, which signs
// the shim as well. TestSoakISOSecureBoot has what is refused.
func TestISOSecureBoot(t *testing.T) {
	bootSecure(t, "shim and iPXE signed", true, true, `SECURELY-BOOTED`)
}

func TestSoakISOSecureBoot(t *testing.T) {
	lab.OnlySoak(t)
	bootSecure(t, "iPXE signed, no shim", false, true, `SECURELY-BOOTED`)
	bootSecure(t, "iPXE not signed", false, false, `Access Denied`)
}

func bootSecure(t *testing.T, name string, withShim, signed bool, shows string) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		r := newRoom(t)
		r.write("default", "#!ipxe\necho SECURELY-BOOTED\nexit 1\n")
		efi := lab.IPXE2(t, "ipxe.efi")
		if signed {
			efi = qemu.Sign(t, efi)
		}
		iso := filepath.Join(t.TempDir(), "web1.iso")
		args := []string{"iso", "--name", "web1", "--address", "10.0.2.15/24", "--server", r.seen(),
			"--efi", efi, "--lkrn", lab.IPXE2(t, "ipxe.lkrn"), "-o", iso}
		if withShim {
			args = append(args, "--shim", qemu.Sign(t, "/usr/lib/shim/shimx64.efi"))
		}
		if said, err := exec.Command("pxesrv", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		m := qemu.Start(t, qemu.VM{UEFI: true, SecureBoot: true, CD: iso})
		defer m.Stop()
		m.Expect(shows, patience)
	})
}
