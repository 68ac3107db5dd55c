//go:build linux

// Package qemu runs real boot clients for the tests: QEMU machines with SeaBIOS
// or OVMF and iPXE of 2019 or of today, a local disk that says when it is
// booted, and a whole Debian. README.md of pkg/lab says how to run one machine
// by hand.
package qemu

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/internal/process"
	"pxesrv/pkg/lab/netns"
)

// Gateway is the address under which a machine reaches 127.0.0.1 of this one.
const Gateway = "10.0.2.2"

// VM describes a client. The zero value is a BIOS machine with one network card
// and nothing to boot. Boot order: Kernel, CD or Stick or USB, network card,
// Disk.
type VM struct {
	UEFI       bool // OVMF instead of SeaBIOS
	SecureBoot bool // UEFI only: what it starts has to be signed, as Sign does it

	Network *netns.Network // where its first card is plugged in; a network of its own when nil
	VLAN    int            // with Network: the plug takes and gives only frames with this tag

	BootFile string // URL that DHCP hands out; not with Network, which has DHCP servers of the test
	// boot by the iPXE of 2019 in QEMU's network card; otherwise the cards have
	// no ROM
	NICROM bool
	// UEFI only: the firmware boots from the card by itself, by PXE and then by
	// HTTP Boot, over IPv4
	NetBoot bool
	MAC     string // of net0; default 52:54:00:12:34:56
	MAC2    string // of a second card, net1, in a network of its own; none when empty

	Kernel string // program QEMU loads itself, such as lab.IPXE(t, "ipxe.lkrn"); BIOS only
	Initrd string // with Kernel: the script iPXE runs instead of asking DHCP
	Stick  string // folder shown as a read-only USB stick with a FAT file system; UEFI only
	CD     string // image in the CD drive, a file or an http:// address
	USB    string // raw image of a read-only USB stick; not together with Stick
	// raw image of the local disk, as Disk makes one; what is written to it is
	// thrown away
	Disk string

	// SMBIOS values; an empty one is QEMU's default.
	UUID, Manufacturer, Product, Serial, Asset, BoardSerial string

	Args []string // more arguments for QEMU
}

// Machine is a running VM.
type Machine struct {
	t    testing.TB
	qemu func() *exec.Cmd
	done sync.Once

	raw process.Output // the serial port
	err process.Output // what QEMU itself says

	proc    *process.Process
	monitor monitor
	pos     int // Expect goes on here in Console()
}

// slots lets two machines run at a time: more only make each other late.
var slots = make(chan struct{}, 2)

// restarts counts machines of this test run that were started twice.
var restarts atomic.Int32

// silence is how long a machine may print nothing before it is started once
// more. SeaBIOS takes 1 s, OVMF 8 s.
const silence = 60 * time.Second

// Start starts vm and returns when its firmware has printed something. The test
// ends it; Stop ends it sooner. It waits while two other machines run, so a
// test must not start a third before it stopped one.
//
// A machine whose firmware stays silent for a minute says nothing about our
// server: it is ended, started once more, and the restart is printed. After the
// first character there is no second chance.
func Start(t testing.TB, vm VM) *Machine {
	t.Helper()
	lab.Slow(t)
	args, err := vm.args(t)
	if err != nil {
		t.Fatal(err)
	}
	slots <- struct{}{}
	m := &Machine{t: t, qemu: func() *exec.Cmd {
		return exec.Command("qemu-system-x86_64", args...)
	}}
	if vm.Network != nil {
		m.qemu = func() *exec.Cmd { return vm.Network.Command("qemu-system-x86_64", args...) }
	}
	t.Cleanup(m.Stop)
	for try := 0; ; try++ {
		if err := m.launch(); err != nil {
			t.Fatalf("lab: %v (run 'make deps')\n%s", err, m.qemuSays())
		}
		if m.proc.Wait(silence, func() bool { return m.Console() != "" }) {
			return m
		}
		if m.proc.Ended() || try > 0 {
			t.Fatalf("lab: the machine's firmware printed nothing\n%s", m.qemuSays())
		}
		m.proc.Kill()
		m.monitor.Close()
		fmt.Fprintf(os.Stderr, "lab: VM restarted after %v without output (%s, restart %d)\n",
			silence, t.Name(), restarts.Add(1))
	}
}

// Expect waits until pattern (a regexp) stands on the console behind what
// earlier calls matched, and returns the match. After timeout, or when QEMU
// ended, the test fails with the console's last lines. A BIOS console is 80
// columns wide, so patterns should be short.
func (m *Machine) Expect(pattern string, timeout time.Duration) string {
	m.t.Helper()
	re := regexp.MustCompile(pattern)
	var match string
	found := m.proc.Wait(timeout, func() bool {
		text := m.Console()
		at := re.FindStringIndex(text[m.pos:])
		if at == nil {
			return false
		}
		match = text[m.pos+at[0] : m.pos+at[1]]
		m.pos += at[1]
		return true
	})
	if !found {
		lines := strings.Split(m.Console(), "\n")
		m.t.Fatalf("lab: no %q on the console within %v\n%s--- last lines of the console:\n%s",
			pattern, timeout, m.qemuSays(), strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
	return match
}

// escapes are the terminal's control sequences, also one that is not complete
// yet, and carriage returns.
var escapes = regexp.MustCompile(
	`\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|c|\[[0-9;?=]*$|[()]?$)|[\r\x00]`)

// Console returns all that the machine printed so far, without control
// sequences.
func (m *Machine) Console() string {
	return string(escapes.ReplaceAll(m.raw.Bytes(), nil))
}

// Stop ends the machine.  Calling it again does nothing.
func (m *Machine) Stop() {
	m.done.Do(func() {
		if m.proc != nil {
			m.proc.Kill()
			m.monitor.Close()
		}
		<-slots
	})
}

func (m *Machine) qemuSays() string {
	s := ""
	if m.proc != nil && m.proc.Ended() {
		s = "QEMU " + m.proc.State() + "\n"
	}
	return s + m.err.String()
}

// launch starts QEMU with an empty console.
func (m *Machine) launch() error {
	m.raw.Reset()
	ours, theirs, err := newMonitor()
	if err != nil {
		return err
	}
	defer theirs.Close()
	cmd := m.qemu()
	cmd.Stdout = &m.raw
	cmd.Stderr = &m.err
	cmd.ExtraFiles = []*os.File{theirs}
	p, err := process.Start(cmd)
	if err != nil {
		ours.Close()
		return err
	}
	m.proc, m.monitor = p, ours
	return ours.do("qmp_capabilities", nil)
}

// args returns QEMU's arguments. Emulation without KVM: a nested KVM is slower
// here, and often absent.
func (vm VM) args(t testing.TB) ([]string, error) {
	t.Helper()
	a := []string{"-machine", "pc,graphics=off", "-accel", "tcg", "-m", "512", "-nodefaults",
		"-no-reboot",
		"-display", "none", "-vga", "none", "-serial", "stdio",
		"-chardev", "socket,id=monitor,fd=3", "-mon", "chardev=monitor,mode=control"}

	if vm.UEFI {
		code, vars, err := ovmf(t.TempDir(), vm.SecureBoot)
		if err != nil {
			return nil, err
		}
		// the firmware keeps its keys in memory that only it can write, which
		// takes another chip set
		if vm.SecureBoot {
			a[1] = "q35,graphics=off,smm=on"
			a = append(a, "-m", "1024", "-global", "driver=cfi.pflash01,property=secure,value=on",
				"-global", "ICH9-LPC.disable_s3=1")
		}
		a = append(a, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+comma(code),
			"-drive", "if=pflash,unit=1,format=raw,file="+comma(vars))
	}
	if vm.NetBoot {
		a = append(a, "-m", "1024", // HTTP Boot does not do with less
			// it tries that first, for minutes
			"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no")
	}

	for i, mac := range []string{or(vm.MAC, "52:54:00:12:34:56"), vm.MAC2} {
		if mac == "" {
			continue
		}
		netdev := fmt.Sprintf("user,id=net%d", i)
		if vm.Network != nil && i == 0 && vm.VLAN != 0 {
			netdev = "stream,id=net0,server=off,addr.type=unix,addr.path=" +
				comma(vm.Network.Trunk(vm.VLAN))
		} else if vm.Network != nil && i == 0 {
			netdev = "tap,id=net0,script=no,downscript=no,ifname=" + vm.Network.Tap()
		} else if vm.BootFile != "" {
			netdev += ",bootfile=" + comma(vm.BootFile)
		}
		model := "e1000"
		if vm.NetBoot {
			model = "virtio-net-pci" // OVMF has a driver for it
		}
		card := fmt.Sprintf("%s,netdev=net%d,mac=%s,addr=%#x,bootindex=%d", model, i, mac, 8+i, 2+i)
		if !vm.NICROM || i > 0 {
			card += ",romfile="
		}
		a = append(a, "-netdev", netdev, "-device", card)
	}

	if vm.CD != "" {
		a = append(a, "-drive", "if=none,id=cd,media=cdrom,format=raw,readonly=on,file="+
			comma(vm.CD),
			"-device", "ide-cd,bus=ide.1,drive=cd,bootindex=1")
	}
	stick := comma(vm.USB)
	if vm.Stick != "" {
		stick = "fat:" + comma(vm.Stick)
	}
	if stick != "" {
		a = append(a, "-drive", "if=none,id=stick,format=raw,readonly=on,file="+stick,
			"-device", "qemu-xhci,id=usb", "-device",
			"usb-storage,bus=usb.0,drive=stick,bootindex=1")
	}
	if vm.Disk != "" {
		a = append(a, "-drive", "if=none,id=disk,format=raw,snapshot=on,file="+comma(vm.Disk),
			"-device", "ide-hd,bus=ide.0,drive=disk,bootindex=9")
	}
	if vm.Kernel != "" {
		a = append(a, "-kernel", vm.Kernel)
	}
	if vm.Initrd != "" {
		a = append(a, "-initrd", vm.Initrd)
	}

	a = smbios(a, 1, "uuid", vm.UUID, "manufacturer", vm.Manufacturer, "product", vm.Product,
		"serial", vm.Serial)
	a = smbios(a, 2, "serial", vm.BoardSerial)
	a = smbios(a, 3, "asset", vm.Asset)
	return append(a, vm.Args...), nil
}

// smbios appends the -smbios option for a table type with the non-empty ones of
// the name, value pairs.
func smbios(args []string, table int, pairs ...string) []string {
	opt := ""
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			opt += "," + pairs[i] + "=" + comma(pairs[i+1])
		}
	}
	if opt == "" {
		return args
	}
	return append(args, "-smbios", fmt.Sprintf("type=%d%s", table, opt))
}

// comma doubles commas: that is how a value inside a QEMU option has one.
func comma(s string) string { return strings.ReplaceAll(s, ",", ",,") }

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// ovmf returns the UEFI firmware and a copy of its variable store in dir.
func ovmf(dir string, secure bool) (code, vars string, err error) {
	kind, keys := "", ""
	if secure {
		kind, keys = ".secboot", ".snakeoil"
	}
	for _, size := range []string{"_4M", ""} {
		code = "/usr/share/OVMF/OVMF_CODE" + size + kind + ".fd"
		store, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS" + size + keys + ".fd")
		if err != nil {
			continue
		}
		vars = filepath.Join(dir, "vars.fd")
		return code, vars, os.WriteFile(vars, store, 0o600)
	}
	return "", "", fmt.Errorf("lab: no OVMF in /usr/share/OVMF: run 'make deps'")
}
