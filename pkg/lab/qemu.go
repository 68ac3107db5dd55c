//go:build linux

// Package lab runs real boot clients for the tests: QEMU machines with SeaBIOS or OVMF and iPXE of 2019 or of
// today, a local disk that says when it is booted, and a proxy that cuts connections.  Only tests import it.
// README.md beside it says how to run one machine by hand.
package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Gateway is the address under which a machine reaches 127.0.0.1 of this one.
const Gateway = "10.0.2.2"

// VM describes a client.  The zero value is a BIOS machine with one network card and nothing to boot.
// Boot order: Kernel, CD or Stick or USB, network card, Disk.
type VM struct {
	UEFI       bool // OVMF instead of SeaBIOS
	SecureBoot bool // UEFI only: what it starts has to be signed, as Sign does it

	Network *Network // where its first card is plugged in; a network of its own when nil
	VLAN    int      // with Network: the plug takes and gives only frames with this tag

	BootFile string // URL that DHCP hands out; not with Network, which has DHCP servers of the test
	NICROM   bool   // boot by the iPXE of 2019 in QEMU's network card; otherwise the cards have no ROM
	NetBoot  bool   // UEFI only: the firmware boots from the card by itself, by PXE and then by HTTP Boot, over IPv4
	MAC      string // of net0; default 52:54:00:12:34:56
	MAC2     string // of a second card, net1, in a network of its own; none when empty

	Kernel string // program QEMU loads itself, such as IPXE(t, "ipxe.lkrn"); BIOS only
	Initrd string // with Kernel: the script iPXE runs instead of asking DHCP
	Stick  string // folder shown as a read-only USB stick with a FAT file system; UEFI only
	CD     string // image in the CD drive, a file or an http:// address
	USB    string // raw image of a read-only USB stick; not together with Stick
	Disk   string // raw image of the local disk, as Disk makes one; what is written to it is thrown away

	// SMBIOS values; an empty one is QEMU's default.
	UUID, Manufacturer, Product, Serial, Asset, BoardSerial string

	Args []string // more arguments for QEMU
}

// Machine is a running VM.
type Machine struct {
	t    testing.TB
	qemu func() *exec.Cmd
	done sync.Once

	mu  sync.Mutex
	raw bytes.Buffer // the serial port
	err bytes.Buffer // what QEMU itself says

	proc    *process
	monitor monitor
	pos     int // Expect goes on here in Console()
}

// slots lets two machines run at a time: more only make each other late.
var slots = make(chan struct{}, 2)

// restarts counts machines of this test run that were started twice.
var restarts atomic.Int32

// silence is how long a machine may print nothing before it is started once more.  SeaBIOS takes 1 s, OVMF 8 s.
const silence = 60 * time.Second

// Start starts vm and returns when its firmware has printed something.  The test ends it; Stop ends it sooner.
// It waits while two other machines run, so a test must not start a third before it stopped one.
//
// A machine whose firmware stays silent for a minute says nothing about our server: it is ended, started once
// more, and the restart is printed.  After the first character there is no second chance.
func Start(t testing.TB, vm VM) *Machine {
	t.Helper()
	args, err := vm.args(t)
	if err != nil {
		t.Fatal(err)
	}
	slots <- struct{}{}
	m := &Machine{t: t, qemu: func() *exec.Cmd { return exec.Command("qemu-system-x86_64", args...) }}
	if vm.Network != nil {
		m.qemu = func() *exec.Cmd { return vm.Network.Command("qemu-system-x86_64", args...) }
	}
	t.Cleanup(m.Stop)
	for try := 0; ; try++ {
		if err := m.launch(); err != nil {
			t.Fatalf("lab: %v (run 'make deps')\n%s", err, m.qemuSays())
		}
		if m.proc.wait(silence, func() bool { return m.Console() != "" }) {
			return m
		}
		if m.proc.ended() || try > 0 {
			t.Fatalf("lab: the machine's firmware printed nothing\n%s", m.qemuSays())
		}
		m.proc.kill()
		m.monitor.Close()
		fmt.Fprintf(os.Stderr, "lab: VM restarted after %v without output (%s, restart %d)\n", silence, t.Name(), restarts.Add(1))
	}
}

// Expect waits until pattern (a regexp) stands on the console behind what earlier calls matched, and returns
// the match.  After timeout, or when QEMU ended, the test fails with the console's last lines.  A BIOS console
// is 80 columns wide, so patterns should be short.
func (m *Machine) Expect(pattern string, timeout time.Duration) string {
	m.t.Helper()
	re := regexp.MustCompile(pattern)
	var match string
	found := m.proc.wait(timeout, func() bool {
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

// escapes are the terminal's control sequences, also one that is not complete yet, and carriage returns.
var escapes = regexp.MustCompile(`\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|c|\[[0-9;?=]*$|[()]?$)|[\r\x00]`)

// Console returns all that the machine printed so far, without control sequences.
func (m *Machine) Console() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(escapes.ReplaceAll(m.raw.Bytes(), nil))
}

// Stop ends the machine.  Calling it again does nothing.
func (m *Machine) Stop() {
	m.done.Do(func() {
		if m.proc != nil {
			m.proc.kill()
			m.monitor.Close()
		}
		<-slots
	})
}

func (m *Machine) qemuSays() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := ""
	if m.proc != nil && m.proc.ended() {
		s = "QEMU " + m.proc.state() + "\n"
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
	cmd.Stdout = locked{&m.mu, &m.raw}
	cmd.Stderr = locked{&m.mu, &m.err}
	cmd.ExtraFiles = []*os.File{theirs}
	p, err := start(cmd)
	if err != nil {
		ours.Close()
		return err
	}
	m.proc, m.monitor = p, ours
	return ours.do("qmp_capabilities", nil)
}

// locked is a buffer shared between QEMU's output and the test.
type locked struct {
	mu  *sync.Mutex
	buf *bytes.Buffer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// process is a child that dies with this process, however this one ends.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
}

// start runs cmd.  The kernel ends the child when the *thread* that started it ends, so that thread is kept
// for as long as the child lives.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd, make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(p.gone)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// state says whether it runs, or how it ended.
func (p *process) state() string {
	if p.ended() {
		return "ended: " + p.cmd.ProcessState.String()
	}
	return "runs"
}

// wait asks ok every 50 ms until it is true, the time is over, or the process has ended.
func (p *process) wait(timeout time.Duration, ok func() bool) bool {
	end := time.Now().Add(timeout)
	for {
		over := p.ended() || time.Now().After(end) // before ok, so that the last output counts
		if ok() {
			return true
		}
		if over {
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.gone
}

// args returns QEMU's arguments.  Emulation without KVM: a nested KVM is slower here, and often absent.
func (vm VM) args(t testing.TB) ([]string, error) {
	t.Helper()
	a := []string{"-machine", "pc,graphics=off", "-accel", "tcg", "-m", "512", "-nodefaults", "-no-reboot",
		"-display", "none", "-vga", "none", "-serial", "stdio",
		"-chardev", "socket,id=monitor,fd=3", "-mon", "chardev=monitor,mode=control"}

	if vm.UEFI {
		code, vars, err := ovmf(t.TempDir(), vm.SecureBoot)
		if err != nil {
			return nil, err
		}
		if vm.SecureBoot { // the firmware keeps its keys in memory that only it can write, which takes another chip set
			a[1] = "q35,graphics=off,smm=on"
			a = append(a, "-m", "1024", "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")
		}
		a = append(a, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+comma(code),
			"-drive", "if=pflash,unit=1,format=raw,file="+comma(vars))
	}
	if vm.NetBoot {
		a = append(a, "-m", "1024", // HTTP Boot does not do with less
			"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no") // it tries that first, for minutes
	}

	for i, mac := range []string{or(vm.MAC, "52:54:00:12:34:56"), vm.MAC2} {
		if mac == "" {
			continue
		}
		netdev := fmt.Sprintf("user,id=net%d", i)
		if vm.Network != nil && i == 0 && vm.VLAN != 0 {
			netdev = "stream,id=net0,server=off,addr.type=unix,addr.path=" + comma(vm.Network.trunk(vm.VLAN))
		} else if vm.Network != nil && i == 0 {
			netdev = "tap,id=net0,script=no,downscript=no,ifname=" + vm.Network.tap()
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
		a = append(a, "-drive", "if=none,id=cd,media=cdrom,format=raw,readonly=on,file="+comma(vm.CD),
			"-device", "ide-cd,bus=ide.1,drive=cd,bootindex=1")
	}
	stick := comma(vm.USB)
	if vm.Stick != "" {
		stick = "fat:" + comma(vm.Stick)
	}
	if stick != "" {
		a = append(a, "-drive", "if=none,id=stick,format=raw,readonly=on,file="+stick,
			"-device", "qemu-xhci,id=usb", "-device", "usb-storage,bus=usb.0,drive=stick,bootindex=1")
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

	a = smbios(a, 1, "uuid", vm.UUID, "manufacturer", vm.Manufacturer, "product", vm.Product, "serial", vm.Serial)
	a = smbios(a, 2, "serial", vm.BoardSerial)
	a = smbios(a, 3, "asset", vm.Asset)
	return append(a, vm.Args...), nil
}

// smbios appends the -smbios option for a table type with the non-empty ones of the name, value pairs.
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

// IPXE returns the path of a file of today's iPXE (ipxe.lkrn, ipxe.efi, undionly.kpxe, ...): from the folder
// PXESRV_TEST_IPXE, else from the one 'make deps' filled.  The test fails when it is not there.
func IPXE(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("PXESRV_TEST_IPXE")
	if dir == "" {
		dir = cached(t, "ipxe-13")
	}
	return below(t, dir, name)
}

// IPXE2 is IPXE for the iPXE of Debian's testing, a version 2.  PXESRV_TEST_IPXE stands for that one, too.
func IPXE2(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("PXESRV_TEST_IPXE")
	if dir == "" {
		dir = cached(t, "ipxe-14")
	}
	return below(t, dir, name)
}

func below(t testing.TB, dir, name string) string {
	t.Helper()
	for _, sub := range []string{"", "usr/lib/ipxe", "boot"} {
		if path := filepath.Join(dir, sub, name); exists(path) {
			return path
		}
	}
	t.Fatalf("lab: no %s below %s: run 'make deps', or set PXESRV_TEST_IPXE to a folder that has it", name, dir)
	return ""
}

// GRUB makes a GRUB for UEFI that boots from the network, and returns its path. It looks for its configuration in /grub of the
// TFTP server that it came from. The modules are those of Debian 13, from the folder that 'make deps' filled, or of this machine
// when it is as new: a GRUB without the module peimage does not let go of the network card when it starts another program.
func GRUB(t testing.TB) string {
	t.Helper()
	for _, root := range []string{cached(t, "grub-13"), "/"} {
		modules := filepath.Join(root, "usr/lib/grub/x86_64-efi")
		if !exists(filepath.Join(modules, "peimage.mod")) {
			continue
		}
		core := filepath.Join(t.TempDir(), "core.efi")
		cmd := exec.Command("grub-mkimage", "-O", "x86_64-efi", "-d", modules, "-p", "(tftp)/grub", "-o", core,
			"chain", "configfile", "echo", "efinet", "fat", "net", "normal", "part_msdos", "peimage", "search", "test", "tftp")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("lab: grub-mkimage: %v: %s", err, out)
		}
		return core
	}
	t.Fatalf("lab: no GRUB of Debian 13: run 'make deps'")
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
