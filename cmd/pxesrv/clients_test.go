//go:build linux

package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/qemu"
	"pxesrv/pkg/lab/servers"
)

// patience is for one step of a real client on a loaded computer; an idle one
// needs seconds.
const patience = 3 * time.Minute

// room is a document root with a daemon that serves it and a proxy in front,
// through which the clients come.
type room struct {
	t     *testing.T
	root  string
	args  []string // more for the daemon
	addr  string   // of the daemon, the same after a restart
	proxy *servers.CutProxy
	cmd   *exec.Cmd
	log   lockedBuffer
}

func newRoom(t *testing.T) *room {
	t.Helper()
	lab.Slow(t)
	addr, err := freeLoopbackAddr()
	if err != nil {
		t.Fatal(err)
	}
	r := &room{t: t, root: t.TempDir(), addr: addr, proxy: servers.NewCutProxy(t, addr)}
	for _, dir := range []string{"once", "static", "protect", "scripts"} {
		if err := os.Mkdir(filepath.Join(r.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		r.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", r.log.String())
		}
	})
	r.start()
	return r
}

func (r *room) start() {
	r.t.Helper()
	r.cmd = exec.Command("pxesrv", append([]string{"serve", "--root", r.root, "--listen", r.addr},
		r.args...)...)
	r.cmd.Stderr = &r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	for range 600 {
		if c, err := net.Dial("tcp", r.addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.t.Fatalf("the daemon does not answer:\n%s", r.log.String())
}

func (r *room) stop(signal os.Signal) {
	if r.cmd != nil {
		r.cmd.Process.Signal(signal)
		r.cmd.Wait()
		r.cmd = nil
	}
}

// write writes a file of the tree, at once and whole.
func (r *room) write(name, text string) {
	r.t.Helper()
	temp := filepath.Join(r.root, ".writing")
	if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(temp, filepath.Join(r.root, name)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) link(text, name string) {
	r.t.Helper()
	if err := os.Symlink(text, filepath.Join(r.root, name)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) remove(name string) {
	r.t.Helper()
	if err := os.Remove(filepath.Join(r.root, name)); err != nil {
		r.t.Fatal(err)
	}
}

// journal is how many entries a name has in once/.claimed and once/.served.
func (r *room) journal(name string) (claimed, served int) {
	for dir, n := range map[string]*int{".claimed": &claimed, ".served": &served} {
		files, _ := filepath.Glob(filepath.Join(r.root, "once", dir, name+"~*"))
		*n = len(files)
	}
	return claimed, served
}

// url is the address of /redirect as a client sees it.
func (r *room) url() string {
	_, port, _ := net.SplitHostPort(r.proxy.Addr())
	return "http://" + net.JoinHostPort(qemu.Gateway, port) + "/redirect"
}

// lockedBuffer is what a child prints, readable while it runs.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// answer is a script that says its name on the console and asks again after a
// second, and so on for ever: one boot gives many answers. It asks as the
// identification script does: try=1 when the first request fails.
func answer(name string) string {
	return "#!ipxe\necho ANSWER-" + name + ".\n" +
		":again\n" +
		"sleep 1\n" +
		"chain --replace --autofree --timeout 8000 /redirect?${q}&try=0 ||\n" +
		"chain --replace --autofree --timeout 8000 /redirect?${q}&try=1 ||\n" +
		"goto again\n"
}

// TestClientsBIOS takes a machine with awkward SMBIOS values through everything
// that a tree can say, in one boot: with the iPXE of 2019 in QEMU's network
// card, and with the one of Debian 13.
func TestClientsBIOS(t *testing.T) {
	for _, test := range []struct {
		name string
		vm   func(t *testing.T) qemu.VM
	}{
		{"iPXE 2019", func(t *testing.T) qemu.VM { return qemu.VM{NICROM: true} }},
		{"iPXE 2025", func(t *testing.T) qemu.VM {
			return qemu.VM{Kernel: lab.IPXE(t, "ipxe.lkrn")}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			r.write("default", answer("default"))
			vm := test.vm(t)
			vm.BootFile, vm.Disk = r.url(), qemu.Disk(t)
			vm.MAC, vm.MAC2 = "52:54:00:ab:cd:01", "52:54:00:ab:cd:02"
			vm.UUID = "12345678-9abc-def0-1122-aabbccddeeff"
			vm.Manufacturer, vm.Product, vm.Serial, vm.Asset = "ACME, Inc.", "X 1",
				"S/N 42&é", "A%7+b?c"
			m := qemu.Start(t, vm)
			gets := func(name string) {
				t.Helper()
				m.Expect(`ANSWER-`+name+`\.`, patience)
			}
			gets("default")
			if !strings.Contains(r.log.String(), "msg=identification") {
				t.Errorf("the machine was not asked who it is")
			}

			// The weakest name first: each stronger one takes over.
			names := []struct{ kind, name string }{
				{"ip", "127.0.0.1"},
				{"mac2", "52-54-00-ab-cd-02"},
				{"asset", "A-7-b-c"},
				{"serial", "S-N-42"},
				{"maker-serial", "ACME-Inc.-S-N-42"},
				{"uuid", vm.UUID},
			}
			for _, n := range names {
				r.write("static/"+n.name, answer("static-"+n.kind))
				gets("static-" + n.kind)
			}
			for _, n := range names {
				r.write("scripts/"+n.kind+".ipxe", answer("once-"+n.kind))
				r.link("../scripts/"+n.kind+".ipxe", "once/"+n.name)
				gets("once-" + n.kind)
				gets("static-uuid")
				if claimed, served := r.journal(n.name); claimed+served != 1 {
					t.Errorf("order by %s: %d entries in .claimed and %d in .served, want one in all", n.kind, claimed, served)
				}
			}

			// What cannot be served is skipped, and an order skipped stays.
			r.write("scripts/noscript.ipxe", "echo not a script\n")
			r.link("../scripts/noscript.ipxe", "once/"+vm.UUID)
			r.remove("static/" + vm.UUID)
			r.link("../scripts/nothing-there.ipxe", "static/"+vm.UUID)
			gets("static-maker-serial")
			if _, err := os.Readlink(filepath.Join(r.root, "once", vm.UUID)); err != nil {
				t.Errorf("a broken order did not stay: %v", err)
			}
			r.remove("once/" + vm.UUID)

			// A connection that is cut in the middle of an order: the machine
			// asks again and gets the same order. Most of the script is in no
			// socket buffer of the proxy when it is cut, so it is not
			// acknowledged.
			r.write("scripts/long.ipxe", answer("once-cut")+strings.Repeat("# padding\n", 300)+
				"# CUT-HERE\n"+
				strings.Repeat("# padding that no socket buffer swallows\n", 5000))
			r.write("scripts/before.ipxe", answer("once-before"))
			r.proxy.Cut(1, "CUT-HERE", servers.RST)
			r.link("../scripts/long.ipxe", "once/S-N-42")
			gets("once-cut")
			gets("static-maker-serial")
			if n := r.proxy.Cuts(); n != 1 {
				t.Errorf("%d connections were cut, want 1", n)
			}
			if !strings.Contains(r.log.String(), "step=resend") {
				t.Errorf("the order was not sent again by the step retry")
			}
			// the earlier one, and this
			if claimed, served := r.journal("S-N-42"); claimed+served != 2 {
				t.Errorf("order over a cut connection: %d in .claimed and %d in .served, want "+
					"two in all", claimed, served)
			}

			// The daemon is restarted between two requests, and knows nothing
			// but the tree.
			r.stop(syscall.SIGTERM)
			r.write("static/ACME-Inc.-S-N-42", answer("after-restart"))
			r.start()
			gets("after-restart")

			// Protected, in a spelling of its own: the local disk boots, and
			// the order waits.
			r.link("../scripts/before.ipxe", "once/S-N-42")
			gets("once-before")
			gets("after-restart")
			r.write("protect/52:54:00:AB:CD:02", "")
			m.Expect("Booting the local disk", patience)
			r.link("../scripts/uuid.ipxe", "once/"+vm.UUID)
			m.Expect(qemu.BootedBIOS, patience)
			if claimed, served := r.journal(vm.UUID); claimed+served != 1 {
				t.Errorf("the order of a protected machine was used: %d, %d", claimed, served)
			}

			for _, n := range names {
				if got := strings.Count(m.Console(), "ANSWER-once-"+n.kind+"."); got != 1 {
					t.Errorf("the order by %s was answered %d times", n.kind, got)
				}
			}
			if got := strings.Count(m.Console(), "ANSWER-once-cut."); got != 1 {
				t.Errorf("the order over a cut connection ran %d times", got)
			}
		})
	}
}

// stick makes a USB stick that boots the iPXE of Debian 13 under UEFI.
func stick(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program, err := os.ReadFile(lab.IPXE(t, "ipxe.efi"))
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "EFI", "BOOT"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "EFI", "BOOT", "BOOTX64.EFI"), program, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestClientsUEFI boots the local disk of a UEFI machine by /local.ipxe, and
// when the server is killed after it asked the machine who it is. The disk's
// own program must run, and no setup menu appear.
func TestClientsUEFI(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(map[bool]string{false: "local.ipxe", true: "server killed"}[killed],
			func(t *testing.T) {
				t.Parallel()
				r := newRoom(t)
				r.write("default",
					"#!ipxe\necho ANSWER-default.\nchain --replace --autofree local.ipxe\n")
				if killed {
					r.proxy.Cut(1<<20, "ANSWER-default", servers.RST)
				}
				m := qemu.Start(t, qemu.VM{UEFI: true, Stick: stick(t), BootFile: r.url(),
					Disk: qemu.Disk(t)})
				if killed {
					for end := time.Now().Add(patience); r.proxy.Cuts() == 0; time.Sleep(
						10 * time.Millisecond) {
						if time.Now().After(end) {
							t.Fatalf("no identified request within %v\n%s", patience, m.Console())
						}
					}
					r.stop(syscall.SIGKILL)
					m.Expect("NO BOOT SCRIPT", patience)
				} else {
					m.Expect(`ANSWER-default\.`, patience)
				}
				m.Expect("Booting the local disk", patience)
				m.Expect(qemu.BootedUEFI, patience)
				if strings.Contains(m.Console(), "UiApp") {
					t.Errorf("the setup menu appeared")
				}
			})
	}
}

// TestClientsExampleTree boots the example tree: the menu's time runs out, and
// the local disk boots.
func TestClientsExampleTree(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.stop(syscall.SIGTERM)
	r.root = filepath.Join(t.TempDir(), "public")
	if out, err := exec.Command("cp", "-r", "../../public", r.root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.start()
	m := qemu.Start(t, qemu.VM{NICROM: true, BootFile: r.url(), Disk: qemu.Disk(t)})
	m.Expect("nothing is set for this machine", patience)
	m.Expect(qemu.BootedBIOS, patience)

	// Every script of the tree is one, and is served.
	err := filepath.WalkDir(r.root, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".ipxe" && d.Name() != "default" {
			return err
		}
		body, err := os.ReadFile(name)
		if err == nil {
			err = boot.CheckScript(body)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		rel, _ := filepath.Rel(r.root, name)
		resp, err := http.Get("http://" + r.addr + "/" + rel)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s: status %d", rel, resp.StatusCode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
