//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/netns"
	"pxesrv/pkg/lab/qemu"
	"pxesrv/pkg/lab/servers"
)

// hall is a network with a daemon that answers HTTP and TFTP on it, and a DHCP
// server with the lines that pxesrv prints: what a machine meets that is
// switched on.
type hall struct {
	t       *testing.T
	network *netns.Network
	root    string
	daemon  *netns.Server
}

// hallURL is the daemon in every hall.
const hallURL = "http://" + netns.NetworkAddr + ":4567"

// newHall makes one with these files in the tree. The loaders are those of
// Debian 13, found as on a Debian server.
func newHall(t *testing.T, files map[string]string) *hall {
	t.Helper()
	h := &hall{t: t, network: netns.NewNetwork(t)}
	all := map[string]string{"once/.gitignore": "", "default": answer("default")}
	for name, text := range files {
		all[name] = text
	}
	h.root = bootTree(t, all)
	h.daemon = h.network.Start("pxesrv", "serve", "--root", h.root, "--listen",
		strings.TrimPrefix(hallURL, "http://"),
		"--tftp="+netns.NetworkAddr+":69", "--loaders-dirs",
		filepath.Dir(lab.IPXE(t, "undionly.kpxe")))
	h.daemon.Expect(`msg=listening address=`+netns.NetworkAddr+`:4567`, patience)
	return h
}

// copyIn puts a program that the tests need into the tree.
func (h *hall) copyIn(from, name string) {
	h.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		h.t.Fatalf("%v (run 'make deps')", err)
	}
	if err := os.WriteFile(filepath.Join(h.root, name), data, 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// dhcp starts a DHCP server of this kind with the lines that pxesrv prints for
// it, and more lines for the test. The proxy runs beside pxesrv; the addresses
// then come from another computer, whose server knows nothing of booting.
func (h *hall) dhcp(kind, more string) {
	h.t.Helper()
	args := []string{"dhcp", kind, "--url", hallURL, "--subnet", "10.77.0.0/24"}
	if kind == "dnsmasq-proxy" {
		servers.StartDHCP(h.t, "dnsmasq", h.network.Host("10.77.0.2").Inside(), "eth0",
			[]byte("port=0\ndhcp-range=10.77.0.100,10.77.0.199,255.255.255.0,1h\n"))
	} else {
		args = append(args, "--range", "10.77.0.100-10.77.0.199")
	}
	lines, err := exec.Command("pxesrv", args...).Output()
	if err != nil {
		h.t.Fatalf("pxesrv %s: %v", strings.Join(args, " "), err)
	}
	servers.StartDHCP(h.t, kind, h.network.Inside(), "br0", append(lines, more...))
}

// The machines. Their identity is the same everywhere.
const (
	hallUUID = "12345678-9abc-def0-1122-aabbccddeeff"
	hallMAC  = "52:54:00:ab:cd:01"
)

func (h *hall) machine() qemu.VM {
	return qemu.VM{Network: h.network, UUID: hallUUID, MAC: hallMAC, Serial: "S42",
		Disk: qemu.Disk(h.t)}
}

// nicROM is a BIOS machine whose network card has the iPXE of 2019 in it, as
// QEMU's cards do.
func (h *hall) nicROM() qemu.VM {
	vm := h.machine()
	vm.NICROM = true
	return vm
}

// biosPXE is a BIOS machine whose network card has a plain PXE in it. QEMU has
// none that is not iPXE: so it is an iPXE that does not say so. It asks DHCP
// with another user class, fetches the boot file by TFTP, and runs it as any
// PXE would, with the programming interface of PXE below it. The proxy's
// dnsmasq does not say the boot file at once, but asks to choose from a menu:
// 1408 is the one item of it for a BIOS, type 0x8005, in the byte order that
// this iPXE has. What it sends as option 175 is iPXE's own, and the lines do
// not look at it.
func (h *hall) biosPXE() qemu.VM {
	vm := h.machine()
	vm.Kernel = lab.IPXE(h.t, "ipxe.lkrn")
	vm.Initrd = filepath.Join(h.t.TempDir(), "pxe")
	script := `#!ipxe
set net0/user-class PXE
dhcp net0 || goto end
isset ${filename} || pxebs net0 1408 || goto end
set server ${pxebs/next-server}
isset ${server} || set server ${next-server}
clear net0/user-class
echo PLAIN-PXE ${filename} from ${server}
chain tftp://${server}/${filename} || goto end
:end
prompt PXE ended
`
	if err := os.WriteFile(vm.Initrd, []byte(script), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return vm
}

// uefiPXE is a UEFI machine that boots by PXE, and uefiHTTP one that boots by
// HTTP.
func (h *hall) uefiPXE() qemu.VM {
	vm := h.machine()
	vm.UEFI, vm.NetBoot = true, true
	return vm
}

func (h *hall) uefiHTTP() qemu.VM {
	vm := h.uefiPXE()
	vm.Args = []string{"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=no"}
	return vm
}

// protect leaves the machine nothing to boot but its own disk.
func (h *hall) protect() {
	h.t.Helper()
	dir := filepath.Join(h.root, "protect")
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, hallUUID), nil, 0o644)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// asked fails the test when the daemon's log has not these requests; a line of
// it may be late. The words of one stand in a line, in this order, and are
// regular expressions.
func (h *hall) asked(requests ...string) {
	h.t.Helper()
	for _, r := range requests {
		h.daemon.Expect("(?m)^.*"+strings.Join(strings.Fields(r), ".*")+".*$", patience)
	}
}

// byTFTP is a request for a file that was sent whole.
func byTFTP(name string) string { return `msg=tftp path=\S*` + name + ` result=done` }

// TestFirmware switches machines on, one of each kind of firmware, and each
// gets to its answer with nothing but pxesrv and a DHCP server that has the
// lines of 'pxesrv dhcp'. Between them the kinds of DHCP server take turns;
// TestSoakDHCP has every pairing.
func TestFirmware(t *testing.T) {
	identified := map[string]string{"static/" + hallUUID: answer("uuid")}

	t.Run("BIOS, iPXE in the card, Kea", func(t *testing.T) {
		t.Parallel()
		h := newHall(t, identified)
		h.dhcp("kea", "")
		m := qemu.Start(t, h.nicROM())
		m.Expect(`ANSWER-uuid\.`, patience)
		h.asked("msg=identification path=/redirect ", "msg=redirect "+hallUUID)
	})

	t.Run("BIOS, PXE, dnsmasq", func(t *testing.T) {
		t.Parallel()
		h := newHall(t, identified)
		h.dhcp("dnsmasq", "")
		m := qemu.Start(t, h.biosPXE())
		m.Expect(`PLAIN-PXE undionly.kpxe from 10.77.0.1`, patience)
		m.Expect(`ANSWER-uuid\.`, patience)
		h.asked(byTFTP("undionly.kpxe"), "msg=identification path=/redirect ",
			"msg=redirect "+hallUUID)

		// The machine goes on asking, and in the end boots its own disk.
		h.protect()
		m.Expect(qemu.BootedBIOS, patience)
	})

	t.Run("BIOS, PXE, dnsmasq beside a DHCP server", func(t *testing.T) {
		t.Parallel()
		h := newHall(t, identified)
		h.dhcp("dnsmasq-proxy", "")
		m := qemu.Start(t, h.biosPXE())
		m.Expect(`PLAIN-PXE undionly.kpxe from 10.77.0.1`, patience)
		m.Expect(`ANSWER-uuid\.`, patience)
		h.asked(byTFTP("undionly.kpxe"), "msg=redirect "+hallUUID)
	})

	// PXELINUX with HTTP and without: the same configuration, which nobody
	// wrote. A machine that has a configuration of its own in the tree gets
	// that.
	for _, program := range []string{"lpxelinux.0", "pxelinux.0"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			h := newHall(t, identified)
			h.copyIn("/usr/lib/PXELINUX/"+program, program)
			h.copyIn("/usr/lib/syslinux/modules/bios/ldlinux.c32", "ldlinux.c32")
			h.dhcp("dnsmasq", "dhcp-boot=tag:!ipxe,"+program+"\n")
			m := qemu.Start(t, h.biosPXE())
			m.Expect(`PLAIN-PXE `+program, patience)
			m.Expect(`PXELINUX`, patience)
			m.Expect(`ANSWER-uuid\.`, patience)
			h.asked(byTFTP("pxelinux.cfg/default"), byTFTP("boot.ipxe"), "msg=redirect "+hallUUID)
		})
	}

	// The answer of this machine is its own disk.
	t.Run("UEFI, PXE, Kea", func(t *testing.T) {
		t.Parallel()
		h := newHall(t,
			map[string]string{"static/" +
				hallUUID: "#!ipxe\necho ANSWER-uuid.\nchain --replace --autofree /local.ipxe\n"})
		h.dhcp("kea", "")
		m := qemu.Start(t, h.uefiPXE())
		m.Expect(`ANSWER-uuid\.`, patience)
		m.Expect("Booting the local disk", patience)
		m.Expect(qemu.BootedUEFI, patience)
		if strings.Contains(m.Console(), "UiApp") {
			t.Errorf("the setup menu appeared")
		}
		h.asked(byTFTP("snponly.efi"), byTFTP("autoexec.ipxe"), "msg=redirect "+hallUUID)
	})

	t.Run("UEFI, HTTP Boot, dnsmasq", func(t *testing.T) {
		t.Parallel()
		h := newHall(t, identified)
		h.dhcp("dnsmasq", "")
		m := qemu.Start(t, h.uefiHTTP())
		m.Expect(`ANSWER-uuid\.`, patience)
		h.asked("method=HEAD path=/ipxe.efi ", "method=GET path=/ipxe.efi ",
			"msg=identification path=/autoexec.ipxe ", "msg=redirect "+hallUUID)
	})

	// A GRUB of the network, as grub-mknetdir makes one, with a configuration
	// that nobody wrote.
	t.Run("UEFI, GRUB, dnsmasq", func(t *testing.T) {
		t.Parallel()
		h := newHall(t, identified)
		h.copyIn(lab.GRUB(t), "core.efi")
		h.dhcp("dnsmasq", "dhcp-boot=tag:!ipxe,core.efi\n")
		m := qemu.Start(t, h.uefiPXE())
		m.Expect(`ANSWER-uuid\.`, patience)
		h.asked(byTFTP("core.efi"), byTFTP("grub.cfg"), byTFTP("snponly.efi"),
			"msg=redirect "+hallUUID)

		// iPXE comes back to GRUB, which boots the disk.
		h.protect()
		m.Expect(qemu.BootedUEFI, patience)
	})
}

// TestTwoMachines switches two machines on at the same time that differ in
// nothing but their cards: each has an address of its own and gets the answer
// for that.
func TestTwoMachines(t *testing.T) {
	t.Parallel()
	h := newHall(t, map[string]string{"static/10.77.0.11": answer("eleven"),
		"static/10.77.0.12": answer("twelve")})
	h.dhcp("dnsmasq",
		"dhcp-host=52:54:00:ab:cd:11,10.77.0.11\ndhcp-host=52:54:00:ab:cd:12,10.77.0.12\n")
	one, two := h.nicROM(), h.nicROM()
	one.MAC, two.MAC = "52:54:00:ab:cd:11", "52:54:00:ab:cd:12"
	first, second := qemu.Start(t, one), qemu.Start(t, two)
	first.Expect(`ANSWER-eleven\.`, patience)
	second.Expect(`ANSWER-twelve\.`, patience)
	for m, other := range map[*qemu.Machine]string{first: "ANSWER-twelve.",
		second: "ANSWER-eleven."} {
		if strings.Contains(m.Console(), other) {
			t.Errorf("a machine got %s", other)
		}
	}
}

// TestSoakDHCP has every kind of DHCP server boot every kind of firmware.
func TestSoakDHCP(t *testing.T) {
	lab.OnlySoak(t)
	for _, kind := range []string{"isc", "kea", "dnsmasq", "dnsmasq-proxy"} {
		for firmware, vm := range map[string]func(h *hall) qemu.VM{
			"iPXE in the card": (*hall).nicROM, "BIOS PXE": (*hall).biosPXE,
			"UEFI PXE": (*hall).uefiPXE, "UEFI HTTP Boot": (*hall).uefiHTTP,
		} {
			t.Run(fmt.Sprintf("%s, %s", kind, firmware), func(t *testing.T) {
				t.Parallel()
				h := newHall(t, map[string]string{"static/" + hallUUID: answer("uuid")})
				h.dhcp(kind, "")
				qemu.Start(t, vm(h)).Expect(`ANSWER-uuid\.`, patience)
			})
		}
	}
}
