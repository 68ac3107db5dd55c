//go:build linux

package site_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
	"pxesrv/pkg/site"
)

// clock is that of every site here; these tests run one after the other.
var clock lab.Clock

// rest lets time pass until no tree that was made so far counts as recently
// changed: then no answer waits for a half-written edit.
func rest() { clock.Pass(2100 * time.Millisecond) }

// script is a boot script that says what it is.
func script(what string) string { return "#!ipxe\necho " + what + "\n" }

func newSite(t testing.TB, root string, set ...func(*config.Config)) *site.Site {
	t.Helper()
	c := config.Default()
	c.Root = root
	c.State = t.TempDir() // this machine may have a daemon with keys
	for _, f := range set {
		f(&c)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	s, err := site.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.SetClock(clock.At)
	return s
}

// The machine of these tests, with a name of every kind.
const machine = "uuid=12345678-9abc-def0-1122-aabbccddeeff&manufacturer=ACME,%20Inc.&serial=S/N%2042&asset=A-7" +
	"&mac=52-54-00-ab-cd-01&host=Web1"

var address = netip.MustParseAddr("10.0.0.7")

func resolve(t testing.TB, s *site.Site, query string, addr netip.Addr,
	take bool) (boot.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := s.Identify(boot.ParseQuery(query), addr)
	a, err := s.Resolve(ctx, &c, take)
	if a.Grant != nil {
		a.Grant.Confirm(true)
	}
	return a, err
}

// armed is a tree in which the machine would be wiped by each step after
// "protect".
var armed = lab.Files{
	"once/10.0.0.7":   "-> ../install",
	"static/10.0.0.7": script("WIPE by static"),
	"default":         script("WIPE by default"),
	"install":         script("WIPE by once"),
}

func isThere(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the order is gone: %v", err)
	}
}

// TestProtect: an entry counts by existence, whatever it is and however its
// name is spelt.
func TestProtect(t *testing.T) {
	roots := map[string]string{}
	for name, tree := range map[string]lab.Files{
		"file":             {"protect/10.0.0.7": "because\n"},
		"empty file":       {"protect/10.0.0.7": ""},
		"script":           {"protect/10.0.0.7": script("WIPE by protect")},
		"dangling link":    {"protect/10.0.0.7": "-> nowhere"},
		"link out":         {"protect/10.0.0.7": "-> /etc/passwd"},
		"loop":             {"protect/10.0.0.7": "-> 10.0.0.7"},
		"directory":        {"protect/10.0.0.7/": ""},
		"FIFO":             {"protect/10.0.0.7": "|"},
		"folder is a link": {"protect": "-> guards", "guards/10.0.0.7": ""},
		"among others": {"protect/10.0.0.70": "", "protect/10.0.0.7": "",
			"protect/.keep": ""},
		"uuid":                 {"protect/12345678-9abc-def0-1122-aabbccddeeff": ""},
		"uuid swapped":         {"protect/78563412-bc9a-f0de-1122-aabbccddeeff": ""},
		"uuid upper case":      {"protect/12345678-9ABC-DEF0-1122-AABBCCDDEEFF": ""},
		"uuid swapped upper":   {"protect/78563412-BC9A-F0DE-1122-AABBCCDDEEFF": ""},
		"uuid in braces":       {"protect/{12345678-9ABC-DEF0-1122-AABBCCDDEEFF}": ""},
		"uuid bare":            {"protect/123456789abcdef01122aabbccddeeff": ""},
		"manufacturer-serial":  {"protect/ACME-Inc.-S-N-42": ""},
		"serial":               {"protect/S-N-42": ""},
		"serial lower case":    {"protect/s-n-42": ""},
		"serial with blanks":   {"protect/S N 42": ""},
		"serial escaped":       {"protect/S%2FN%2042": ""},
		"asset":                {"protect/A-7": ""},
		"host":                 {"protect/Web1": ""},
		"host upper case":      {"protect/WEB1": ""},
		"MAC":                  {"protect/52-54-00-ab-cd-01": ""},
		"MAC with colons":      {"protect/52:54:00:ab:cd:01": ""},
		"MAC upper case":       {"protect/52-54-00-AB-CD-01": ""},
		"MAC colons and upper": {"protect/52:54:00:AB:CD:01": ""},
		"MAC dotted":           {"protect/5254.00AB.CD01": ""},
		"MAC bare":             {"protect/525400ABCD01": ""},
		"MAC of PXELINUX":      {"protect/01-52-54-00-ab-cd-01": ""},
		"mapped address":       {"protect/::ffff:10.0.0.7": ""},
		"mapped address upper": {"protect/::FFFF:10.0.0.7": ""},
		"address in brackets":  {"protect/[10.0.0.7]": ""},
		"blank before":         {"protect/ 10.0.0.7": ""},
		"blank behind":         {"protect/10.0.0.7 ": ""},
		"line end behind":      {"protect/10.0.0.7\r": ""},
		"blank beside serial":  {"protect/ S-N-42 ": ""},
	} {
		roots[name] = armed.With(tree).Grow(t, t.TempDir())
	}
	rest()
	for name, root := range roots {
		t.Run(name, func(t *testing.T) {
			for _, take := range []bool{false, true} {
				a, err := resolve(t, newSite(t, root), machine, address, take)
				if err != nil {
					t.Fatal(err)
				}
				if a.Entry.Step != boot.Protect || !bytes.Equal(a.Script.Body, ipxe.Local()) ||
					a.Grant != nil {
					t.Errorf("take %v: answered by %s, %q", take, a.Entry.Path, a.Script.Body)
				}
				waits := slices.ContainsFunc(a.Trace.Findings, func(f boot.Finding) bool {
					return f.Path == "once/10.0.0.7" && f.Outcome == boot.Waiting && f.Order &&
						f.Target == "../install"
				})
				if !waits {
					t.Errorf("take %v: the order behind is not reported as waiting: %+v", take,
						a.Trace.Findings)
				}
			}
			isThere(t, filepath.Join(root, "once/10.0.0.7"))
		})
	}
}

// TestProtectIPv6: zones and long spellings of IPv6 addresses guard, too.
func TestProtectIPv6(t *testing.T) {
	roots := map[string]string{}
	for _, entry := range []string{"2001:db8::7", "2001:DB8::7", "2001:0db8:0:0:0:0:0:7",
		"[2001:db8::7]", "2001:db8::7%eth0"} {
		roots[entry] = armed.With(lab.Files{"protect/" + entry: ""}).Grow(t, t.TempDir())
	}
	rest()
	for entry, root := range roots {
		t.Run(entry, func(t *testing.T) {
			s := newSite(t, root)
			if a, err := resolve(t, s, "", netip.MustParseAddr("2001:db8::7"), true); err != nil ||
				a.Entry.Step != boot.Protect {
				t.Errorf("answered by %q, error %v", a.Entry.Path, err)
			}
		})
	}
}

// TestProtectOthers: what is near but somebody else's guards nobody else.
func TestProtectOthers(t *testing.T) {
	root := lab.Files{
		"static/10.0.0.7": script("static"), "protect/10.0.0.70": "", "protect/10.0.0": "",
		"protect/52-54-00-ab-cd-02": "",
		"protect/S-N-421":           "", "protect/README.txt": "", "protect/.10.0.0.7.swp": "",
	}.Grow(t, t.TempDir())
	if a, err := resolve(t, newSite(t, root), machine, address, true); err != nil ||
		a.Entry.Path != "static/10.0.0.7" {
		t.Errorf("answered by %q, error %v", a.Entry.Path, err)
	}
}

// unsure checks that nobody can know what the machine gets, and that the
// decision ended at this step.
func unsure(t *testing.T, a boot.Answer, err error, step boot.Step) {
	t.Helper()
	if !errors.Is(err, boot.ErrUnsure) {
		t.Errorf("error %v, answer %q by %q, want: cannot know", err, a.Script.Body, a.Entry.Path)
	}
	if n := len(a.Trace.Steps); n == 0 || a.Trace.Steps[n-1] != step {
		t.Errorf("asked %v, want the end at %s", a.Trace.Steps, step)
	}
	if n := len(a.Trace.Findings); n == 0 || a.Trace.Findings[n-1].Outcome != boot.Unsure {
		t.Errorf("the trace does not say so: %+v", a.Trace.Findings)
	}
	if a.Grant != nil {
		t.Error("an order was claimed")
	}
}

// TestProtectBroken: a folder protect/ that is there but cannot be looked into
// protects everybody: no answer.
func TestProtectBroken(t *testing.T) {
	roots := map[string]string{}
	for name, tree := range map[string]lab.Files{
		"file":              {"protect": "10.0.0.7\n"},
		"empty file":        {"protect": ""},
		"FIFO":              {"protect": "|"},
		"dangling link":     {"protect": "-> nowhere"},
		"link to a file":    {"protect": "-> install"},
		"link to itself":    {"protect": "-> protect"},
		"link through file": {"protect": "-> install/protect"},
		"link to /dev/null": {"protect": "-> /dev/null"},
	} {
		roots[name] = armed.With(tree).Grow(t, t.TempDir())
	}
	rest()
	for name, root := range roots {
		t.Run(name, func(t *testing.T) {
			for _, take := range []bool{false, true} {
				a, err := resolve(t, newSite(t, root), machine, address, take)
				unsure(t, a, err, boot.Protect)
			}
			isThere(t, filepath.Join(root, "once/10.0.0.7"))
		})
	}
}

const unreadable = "PXESRV_TEST_UNREADABLE"

// TestNoRights: folders and files without the right to read them answer nobody.
// Root may read everything, so as root the test runs itself as another user.
func TestNoRights(t *testing.T) {
	locked := map[string]struct {
		tree lab.Files
		lock string
		mode os.FileMode
		step boot.Step
	}{
		"protect":            {lab.Files{"protect/10.0.0.7": ""}, "protect", 0o700, boot.Protect},
		"protect, no search": {lab.Files{"protect/10.0.0.7": ""}, "protect", 0o000, boot.Protect},
		"behind a link": {lab.Files{"protect": "-> closed/guards",
			"closed/guards/10.0.0.7": ""}, "closed", 0o700, boot.Protect},
		"once":           {nil, "once", 0o700, boot.Once},
		"order's script": {nil, "install", 0o600, boot.Once},
		"static":         {lab.Files{"once/10.0.0.7": ""}, "static", 0o700, boot.Static},
		"static's file": {lab.Files{"once/10.0.0.7": ""}, "static/10.0.0.7", 0o600,
			boot.Static},
	}
	if root := os.Getenv(unreadable); root != "" {
		for name, test := range locked {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				at := filepath.Join(root, name)
				if f, err := os.ReadDir(filepath.Join(at, test.lock)); err == nil {
					t.Fatalf("%s can be read: %v", test.lock, f)
				}
				a, err := resolve(t, newSite(t, at), machine, address, true)
				unsure(t, a, err, test.step)
			})
		}
		return
	}
	dir, err := os.MkdirTemp("", "pxesrv")
	if err != nil {
		t.Fatal(err)
	}
	unlock := func() {
		for name, test := range locked {
			os.Chmod(filepath.Join(dir, name, test.lock), 0o700)
		}
	}
	t.Cleanup(func() { unlock(); os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	me := os.Getuid()
	for name, test := range locked {
		at := armed.With(test.tree).Grow(t, filepath.Join(dir, name))
		mode := test.mode
		if me != 0 {
			mode = 0
		}
		if err := os.Chmod(filepath.Join(at, test.lock), mode); err != nil {
			t.Fatal(err)
		}
	}
	self := filepath.Join(dir, "test")
	if exe, err := os.ReadFile("/proc/self/exe"); err != nil {
		t.Fatal(err)
	} else if err := os.WriteFile(self, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestNoRights$", "-test.v")
	cmd.Env = append(os.Environ(), unreadable+"="+dir)
	cmd.Dir = "/"
	if me == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534,
			Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as another user: %v\n%s", err, out)
	}
	if n := bytes.Count(out, []byte("    --- PASS: TestNoRights/")); n != len(locked) {
		t.Errorf("%d of %d cases ran\n%s", n, len(locked), out)
	}
}

// TestHang: a folder that hangs, as one of a file server that is away, keeps
// nobody waiting who is answered by a step before it.
func TestHang(t *testing.T) {
	faults := faultfs.Mount(t, armed.With(lab.Files{"static/10.0.0.8": script("static")}).Grow(t,
		t.TempDir()))
	rest()
	s := newSite(t, faults.Dir)
	for addr, test := range map[string]struct{ hangs, want string }{
		"10.0.0.7": {"static", "once/10.0.0.7"}, "10.0.0.8": {"default", "static/10.0.0.8"},
	} {
		faults.Set(faultfs.Fault{Under: test.hangs, Hang: true})
		got := make(chan string)
		go func() {
			a, err := resolve(t, s, "", netip.MustParseAddr(addr), true)
			got <- fmt.Sprint(a.Entry.Path, err)
		}()
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			select {
			case is := <-got:
				if is != test.want+"<nil>" {
					t.Errorf("%s: %s, want %s", addr, is, test.want)
				}
			default:
				if faults.Hanging() == 0 && time.Now().Before(end) {
					continue
				}
				t.Errorf("%s waits for %s/", addr, test.hangs)
				faults.Set()
				<-got
			}
			break
		}
	}
}

// TestEIO: an input/output error at any step ends the decision there; nothing
// is claimed.
func TestEIO(t *testing.T) {
	source := armed.With(lab.Files{
		"protect/10.9.9.9": "", "profiles/p": script("profile"), "orders/p": script("order"),
		"static/10.0.0.8": "-> ../profiles/p", "once/10.0.0.9": "-> ../orders/p",
		"static/10.0.0.9": script("WIPE"),
	}).Grow(t, t.TempDir())
	faults := faultfs.Mount(t, source)
	rest()
	s := newSite(t, faults.Dir)
	for name, test := range map[string]struct {
		fault faultfs.Fault
		addr  string
		step  boot.Step
	}{
		"protect": {faultfs.EIOUnder("protect"), "10.0.0.7", boot.Protect},
		"open of protect": {faultfs.Fault{Ops: faultfs.OpOpendir, Under: "protect",
			Err: syscall.EIO}, "10.0.0.7", boot.Protect},
		"listing of protect": {faultfs.Fault{Ops: faultfs.OpReaddir, Under: "protect",
			Err: syscall.EIO}, "10.0.0.7", boot.Protect},
		"stale protect": {faultfs.Fault{Under: "protect", Err: syscall.ESTALE}, "10.0.0.7",
			boot.Protect},
		"no right on protect": {faultfs.Fault{Under: "protect", Err: syscall.EACCES}, "10.0.0.7",
			boot.Protect},
		"protect timed out": {faultfs.Fault{Under: "protect", Err: syscall.ETIMEDOUT},
			"10.0.0.7", boot.Protect},
		"everything": {faultfs.EIOUnder(""), "10.0.0.7", boot.Protect},
		"once":       {faultfs.EIOUnder("once"), "10.0.0.7", boot.Once},
		"the order":  {faultfs.EIOUnder("once/10.0.0.7"), "10.0.0.7", boot.Once},
		"the order's text": {faultfs.Fault{Ops: faultfs.OpReadlink, Under: "once/10.0.0.7",
			Err: syscall.EIO}, "10.0.0.7", boot.Once},
		"the order's script": {faultfs.EIOUnder("install"), "10.0.0.7", boot.Once},
		"its folder":         {faultfs.EIOUnder("orders"), "10.0.0.9", boot.Once},
		"read of its script": {faultfs.Fault{Ops: faultfs.OpRead, Under: "install",
			Err: syscall.EIO}, "10.0.0.7", boot.Once},
		"open of its script": {faultfs.Fault{Ops: faultfs.OpOpen, Under: "install",
			Err: syscall.EIO}, "10.0.0.7", boot.Once},
		"static":             {faultfs.EIOUnder("static"), "10.0.0.8", boot.Static},
		"the static entry":   {faultfs.EIOUnder("static/10.0.0.8"), "10.0.0.8", boot.Static},
		"its profile":        {faultfs.EIOUnder("profiles/p"), "10.0.0.8", boot.Static},
		"folder of profiles": {faultfs.EIOUnder("profiles"), "10.0.0.8", boot.Static},
		"read of the profile": {faultfs.Fault{Ops: faultfs.OpRead, Err: syscall.EIO}, "10.0.0.8",
			boot.Static},
		"static of a stranger": {faultfs.EIOUnder("static"), "10.0.0.99", boot.Static},
		"default":              {faultfs.EIOUnder("default"), "10.0.0.99", boot.Default},
		"read of the default": {faultfs.Fault{Ops: faultfs.OpRead, Under: "default",
			Err: syscall.EIO}, "10.0.0.99", boot.Default},
	} {
		t.Run(name, func(t *testing.T) {
			s := s
			if strings.Contains(name, "protect") {
				s = newSite(t, faults.Dir) // one that has not listed the folder yet
			}
			faults.Set(test.fault)
			defer faults.Set()
			a, err := resolve(t, s, "", netip.MustParseAddr(test.addr), true)
			unsure(t, a, err, test.step)
			isThere(t, filepath.Join(source, "once/10.0.0.7"))
			isThere(t, filepath.Join(source, "once/10.0.0.9"))
		})
	}
	// With the faults gone everything is as before, without a restart.
	for addr, want := range map[string]string{"10.9.9.9": "protect/10.9.9.9",
		"10.0.0.7": "once/10.0.0.7",
		"10.0.0.8": "static/10.0.0.8", "10.0.0.99": "default"} {
		if a, err := resolve(t, s, "", netip.MustParseAddr(addr), true); err != nil ||
			a.Entry.Path != want {
			t.Errorf("afterwards %s: answered by %q, error %v, want %s", addr,
				a.Entry.Path, err, want)
		}
	}
}

// TestSteps: the files of a tree as the steps of the decision.
func TestSteps(t *testing.T) {
	outside := lab.Files{"script": script("OUTSIDE")}.Grow(t, t.TempDir())
	tests := map[string]struct {
		tree  lab.Files
		entry string // that answers
		from  string // the file that the script came from
		skips []string
	}{
		"default": {lab.Files{"default": script("d")}, "default", "default", nil},
		"default is a link": {lab.Files{"default": "-> profiles/d", "profiles/d": script("d")},
			"default", "profiles/d", nil},
		"static": {lab.Files{"default": script("d"), "static/10.0.0.7": script("s")},
			"static/10.0.0.7", "static/10.0.0.7", nil},
		"strongest name": {lab.Files{"static/10.0.0.7": script("s"),
			"static/S-N-42": script("t")}, "static/S-N-42", "static/S-N-42", nil},
		"once": {lab.Files{"static/10.0.0.7": script("s"), "once/S-N-42": "-> ../i",
			"i": script("i")}, "once/S-N-42", "i", nil},
		"once -> static": {lab.Files{"static/10.0.0.7": script("s"),
			"once/10.0.0.7": "-> ../static/10.0.0.7"}, "once/10.0.0.7", "static/10.0.0.7", nil},
		"step before name": {lab.Files{"static/S-N-42": script("s"), "once/10.0.0.7": "-> ../i",
			"i": script("i")}, "once/10.0.0.7", "i", nil},
		"order is a file": {lab.Files{"once/10.0.0.7": script("o"), "default": script("d")},
			"default", "default", []string{"once/10.0.0.7 not-link"}},
		"dangling order": {lab.Files{"once/10.0.0.7": "-> ../i", "default": script("d")},
			"default", "default", []string{"once/10.0.0.7 missing"}},
		"order to directory": {lab.Files{"once/10.0.0.7": "-> ../i", "i/": "",
			"default": script("d")}, "default", "default", []string{"once/10.0.0.7 not-file"}},
		"order to FIFO": {lab.Files{"once/10.0.0.7": "-> ../i", "i": "|",
			"default": script("d")}, "default", "default", []string{"once/10.0.0.7 not-file"}},
		"order to itself": {lab.Files{"once/10.0.0.7": "-> 10.0.0.7", "default": script("d")},
			"default", "default", []string{"once/10.0.0.7 missing"}},
		"order to /dev/zero": {lab.Files{"once/10.0.0.7": "-> /dev/zero", "default": script("d")},
			"default", "default", []string{"once/10.0.0.7 not-file"}},
		"order out": {lab.Files{"once/10.0.0.7": "-> " + outside + "/script",
			"default": script("d")}, "default", "default", []string{"once/10.0.0.7 outside"}},
		"order to private": {lab.Files{"once/10.0.0.7": "-> ../private/i",
			"private/i": script("i"), "default": script("d")}, "default", "default",
			[]string{"once/10.0.0.7 hidden"}},
		"order to .git": {lab.Files{"once/10.0.0.7": "-> ../.git/i", ".git/i": script("i"),
			"default": script("d")}, "default", "default", []string{"once/10.0.0.7 hidden"}},
		"order is HTML": {lab.Files{"once/10.0.0.7": "-> ../i", "i": "<html>\n",
			"default": script("d")}, "default", "default", []string{"once/10.0.0.7 no-script"}},
		"order is empty": {lab.Files{"once/10.0.0.7": "-> ../i", "i": "",
			"default": script("d")}, "default", "default", []string{"once/10.0.0.7 empty"}},
		"order is large": {lab.Files{"once/10.0.0.7": "-> ../i",
			"i": script(strings.Repeat("x", boot.MaxScript)), "default": script("d")}, "default",
			"default", []string{"once/10.0.0.7 too-large"}},
		"static directory": {lab.Files{"static/10.0.0.7/": "", "default": script("d")}, "default",
			"default", []string{"static/10.0.0.7 not-file"}},
		"static next name": {lab.Files{"static/S-N-42": "<html>\n",
			"static/10.0.0.7": script("s")}, "static/10.0.0.7", "static/10.0.0.7",
			[]string{"static/S-N-42 no-script"}},
		"static out": {lab.Files{"static/10.0.0.7": "-> " + outside + "/script",
			"default": script("d")}, "default", "default", []string{"static/10.0.0.7 outside"}},
		"ConfigMap": {lab.Files{"default": "-> ..data/default",
			"..data": "-> ..2026_11_21", "..2026_11_21/default": script("d")}, "default",
			"..2026_11_21/default", nil},
	}
	roots := map[string]string{}
	for name, test := range tests {
		roots[name] = test.tree.Grow(t, t.TempDir())
	}
	rest()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := roots[name]
			a, err := resolve(t, newSite(t, root), machine, address, true)
			if err != nil || a.Entry.Path != test.entry || a.Script.From != test.from {
				t.Errorf("answered by %q from %q, error %v", a.Entry.Path, a.Script.From, err)
			}
			var skips []string
			for _, f := range a.Trace.Findings {
				if f.Outcome == boot.Skipped {
					skips = append(skips, f.Path+" "+string(f.Code))
				}
			}
			if !slices.Equal(skips, test.skips) {
				t.Errorf("skipped %q, want %q", skips, test.skips)
			}
			for name := range test.tree {
				if strings.HasPrefix(name, "once/") && test.entry != name {
					isThere(t, filepath.Join(root, name)) // an order that was skipped stays
				}
			}
			if strings.HasPrefix(test.entry, "once/") {
				if _, err := os.Lstat(filepath.Join(root, test.entry)); !errors.Is(err,
					os.ErrNotExist) {
					t.Errorf("the order is still there: %v", err)
				}
			}
		})
	}
}

// TestNothing: a tree without a default has nothing for a stranger; a root that
// is not there knows nothing.
func TestNothing(t *testing.T) {
	root := lab.Files{"static/10.0.0.8": script("s")}.Grow(t, t.TempDir())
	s := newSite(t, root)
	if _, err := resolve(t, s, "", address, true); !errors.Is(err, boot.ErrNothing) {
		t.Errorf("error %v, want: nothing to boot", err)
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	a, err := resolve(t, s, "", address, true)
	unsure(t, a, err, boot.Protect)
}

// TestOnceElsewhere: orders in a directory of their own, with links relative to
// it and absolute ones.
func TestOnceElsewhere(t *testing.T) {
	dir := t.TempDir()
	lab.Files{
		"srv/default": script("d"), "srv/install": script("i"),
		"srv/once/10.0.0.7": "-> ../default", "secret": script("OUTSIDE"),
		"orders/10.0.0.7": "-> ../srv/install", "orders/10.0.0.8": "-> " + dir + "/srv/install",
		"orders/10.0.0.9": "-> ../secret",
	}.Grow(t, dir)
	s := newSite(t, filepath.Join(dir, "srv"), func(c *config.Config) {
		c.OnceDir = filepath.Join(dir, "orders")
	})
	for addr, want := range map[string]string{"10.0.0.7": "install", "10.0.0.8": "install",
		"10.0.0.9": "default"} {
		a, err := resolve(t, s, "", netip.MustParseAddr(addr), true)
		if err != nil || a.Script.From != want {
			t.Errorf("%s: from %q, error %v, want %s", addr, a.Script.From, err, want)
		}
	}
	// the directory in the root is not asked then
	isThere(t, filepath.Join(dir, "srv/once/10.0.0.7"))
	if left, _ := filepath.Glob(filepath.Join(dir, "orders/.served/*")); len(left) != 2 {
		t.Errorf("the journal has %q, want two served orders", left)
	}
}

// TestTarget: what people type becomes the text of a link that is right from
// where the link lies.
func TestTarget(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	lab.Files{
		"current": "-> releases/1", "releases/1/once/": "",
		"releases/1/debian/install.ipxe": script("1"),
		"releases/1/debian/stable":       "-> install.ipxe", "releases/1/page": "<html>\n",
		"releases/2/once/": "", "releases/2/debian/install.ipxe": script("2"), "orders/": "",
		"secret": script("OUTSIDE"),
	}.Grow(t, dir)
	inside := func(*config.Config) {}
	elsewhere := func(c *config.Config) { c.OnceDir = filepath.Join(dir, "orders") }
	t.Chdir(filepath.Join(dir, "releases/1/debian"))
	for _, test := range []struct {
		root   string
		set    func(*config.Config)
		script string
		text   string // "" = refused
	}{
		{"releases/1", inside, "debian/install.ipxe", "../debian/install.ipxe"},
		{"releases/1", inside, dir + "/releases/1/debian/install.ipxe", "../debian/install.ipxe"},
		{"releases/1", inside, dir + "/current/debian/install.ipxe", "../debian/install.ipxe"},
		// from the working directory
		{"releases/1", inside, "install.ipxe", "../debian/install.ipxe"},
		{"releases/1", inside, "./install.ipxe", "../debian/install.ipxe"},
		{"releases/1", inside, "debian/stable", "../debian/stable"}, // a link on purpose stays one
		{"current", inside, "debian/install.ipxe", "../debian/install.ipxe"},
		{"current", inside, dir + "/current/debian/install.ipxe", "../debian/install.ipxe"},
		{"current", inside, dir + "/releases/1/debian/install.ipxe", "../debian/install.ipxe"},
		{"releases/1", elsewhere, "debian/install.ipxe", "../releases/1/debian/install.ipxe"},
		// Through the root's own link, or the order would lead out of the root
		// as soon as the link is swapped.
		{"current", elsewhere, "debian/install.ipxe", "../current/debian/install.ipxe"},
		{"current", elsewhere, dir + "/releases/1/debian/install.ipxe",
			"../current/debian/install.ipxe"},
		{"current", elsewhere, "install.ipxe", "../current/debian/install.ipxe"},
		{"current", inside, "debian/missing.ipxe", ""},
		{"current", inside, "debian", ""},
		{"current", inside, "page", ""},
		{"current", inside, dir + "/secret", ""},
		{"current", elsewhere, "../../secret", ""},
	} {
		text, err := newSite(t, filepath.Join(dir, test.root), test.set).LinkTarget(t.Context(),
			&boot.Machine{}, test.script)
		if err == nil && text != test.text || err != nil && test.text != "" {
			t.Errorf("root %s, script %s: %q, error %v, want %q", test.root, test.script, text,
				err, test.text)
		}
	}

	// An order outside survives a new release.
	s := newSite(t, filepath.Join(dir, "current"), elsewhere)
	text, err := s.LinkTarget(t.Context(), &boot.Machine{}, "debian/install.ipxe")
	if err != nil {
		t.Fatal(err)
	}
	lab.Files{"orders/10.0.0.7": "-> " + text}.Grow(t, dir)
	lab.Swap(t, "releases/2", filepath.Join(dir, "current"))
	if a, err := resolve(t, s, "", address, true); err != nil ||
		string(a.Script.Body) != script("2") {
		t.Errorf("after a new release: %q, error %v", a.Script.Body, err)
	}
}

// TestWarnings: start-up says what will not work as people expect.
func TestWarnings(t *testing.T) {
	dir := lab.Files{"current": "-> 1", "1/once/": "", "orders/": ""}.Grow(t, t.TempDir())
	for _, test := range []struct {
		root, once string
		want       []string
	}{
		{"1", "", []string{"there is no"}},
		{"current", "", []string{"is a link and once/ lies inside it", "there is no"}},
		{"current", "orders", []string{"there is no"}},
	} {
		s := newSite(t, filepath.Join(dir, test.root), func(c *config.Config) {
			if test.once != "" {
				c.OnceDir = filepath.Join(dir, test.once)
			}
		})
		got := strings.Join(s.Warnings(), "\n")
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("root %s, orders %q: %q does not say %q", test.root, test.once, got, want)
			}
		}
		if test.root != "current" || test.once != "" {
			if strings.Contains(got, "is a link") {
				t.Errorf("root %s, orders %q: %q", test.root, test.once, got)
			}
		}
	}
}

// TestRootRemovedReclonedSwapped: the root goes, comes back, and is swapped;
// the next request is right each time, without a restart.
func TestRootRemovedReclonedSwapped(t *testing.T) {
	lab.Slow(t)
	dir := t.TempDir()
	release := func(n string) lab.Files {
		return lab.Files{
			n + "/default": script("default " + n), n + "/static/10.0.0.7": script("static " + n),
			n + "/static/10.0.0.8": "-> ../profiles/p",
			n + "/profiles/p":      script("profile " + n), n + "/protect": "-> ../guards",
			n + "/once/": "",
		}
	}
	ask := func(t *testing.T, s *site.Site, n string) {
		t.Helper()
		for addr, want := range map[string]string{"10.0.0.7": script("static " + n),
			"10.0.0.8": script("profile " + n),
			"10.0.0.9": string(ipxe.Local()), "10.0.0.99": script("default " + n)} {
			if a, err := resolve(t, s, "", netip.MustParseAddr(addr), true); err != nil ||
				string(a.Script.Body) != want {
				t.Errorf("release %s, %s: %q, error %v", n, addr, a.Script.Body, err)
			}
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root")
	// All releases share their guards, in a folder that is soon at rest: a
	// folder that just came is looked at for a while.
	lab.Files{"guards/10.0.0.9": ""}.Grow(t, dir)
	s := newSite(t, release("1").Grow(t, dir)+"/1", func(c *config.Config) {
		c.Root = root
		os.Mkdir(root, 0o755)
	})
	must(t, os.Remove(root))

	t.Run("removed and made again", func(t *testing.T) {
		must(t, os.Rename(filepath.Join(dir, "1"), root))
		ask(t, s, "1")
		must(t, os.RemoveAll(root))
		a, err := resolve(t, s, "", address, true)
		unsure(t, a, err, boot.Protect)
		release("2").Grow(t, dir)
		must(t, os.Rename(filepath.Join(dir, "2"), root))
		ask(t, s, "2")
		must(t, os.RemoveAll(root))
		release("root").Grow(t, dir) // file by file, as a clone does
		ask(t, s, "root")
	})
	t.Run("link swapped", func(t *testing.T) {
		must(t, os.RemoveAll(root))
		release("3").Grow(t, dir)
		release("4").Grow(t, dir)
		must(t, os.Symlink("3", root))
		ask(t, s, "3")
		lab.Swap(t, "4", root)
		ask(t, s, "4")
		lab.Swap(t, filepath.Join(dir, "3"), root)
		ask(t, s, "3")
	})
	t.Run("link swapped under load", func(t *testing.T) {
		// Releases are made anew and the old ones removed while machines ask.
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		var answers atomic.Int64
		for i := range 8 {
			group.Go(func() {
				for ctx.Err() == nil {
					addr, kind := "10.0.0.7", "static"
					if i%2 == 1 {
						addr, kind = "10.0.0.8", "profile"
					}
					a, err := resolve(t, s, "", netip.MustParseAddr(addr), true)
					if err != nil ||
						!strings.HasPrefix(string(a.Script.Body), "#!ipxe\necho "+kind+" ") {
						t.Errorf("%s: %q, error %v\n%+v", addr, a.Script.Body, err,
							a.Trace.Findings)
						return
					}
					answers.Add(1)
				}
			})
		}
		old := "3"
		for i := range 60 {
			next := fmt.Sprint("r", i)
			release(next).Grow(t, dir)
			lab.Swap(t, next, root)
			must(t, os.RemoveAll(filepath.Join(dir, old)))
			old = next
			time.Sleep(5 * time.Millisecond)
		}
		stop()
		group.Wait()
		t.Logf("%d answers during 60 releases", answers.Load())
		ask(t, s, "r59")
	})
}

// git runs git in dir, without anybody's configuration.
func git(t testing.TB, dir string, stdin io.Reader, args ...string) {
	t.Helper()
	path, err := exec.LookPath("git")
	if err != nil {
		t.Fatal("this test needs git: install the package git (make deps does)")
	}
	cmd := exec.Command(path, append([]string{"-c", "gc.auto=0", "-c", "core.autocrlf=false", "-c",
		"advice.detachedHead=false"}, args...)...)
	cmd.Dir, cmd.Stdin = dir, stdin
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GIT_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// marked is a script whose every line says which file and revision it is of,
// from 200 bytes to 20 kB, the size by the name.
func marked(name, rev string) string {
	sum := 0
	for _, b := range []byte(name) {
		sum = sum*31 + int(b)
	}
	size := 200 + sum%19800
	if rev == "B" {
		size = 200 + (sum*7+5000)%19800
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#!ipxe\n# first line of %s in %s\n", name, rev)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "echo %s %s %d\n", name, rev, i)
	}
	fmt.Fprintf(&b, "# last line of %s in %s\n", name, rev)
	return b.String()
}

// TestGitCheckoutUnderLoad: while git checks out one revision and the other of
// 10 000 files, every machine gets the script of one of them, whole. A machine
// with a static entry in both never gets the default.
//
// Git updates file by file, and this program promises nothing about several
// files at once: a machine whose link leads to a profile may get the profile of
// one revision through the link of the other.
func TestGitCheckoutUnderLoad(t *testing.T) {
	lab.Slow(t)
	type host struct {
		query string
		addr  netip.Addr
		want  []string // every answer that is right at any time
		after map[string]string
	}
	trees := map[string]lab.Files{"A": {}, "B": {}}
	var hosts []host
	for rev, tree := range trees {
		for i := range 9500 {
			version := rev
			if i%4 != 0 {
				version = "both"
			}
			tree[fmt.Sprintf("files/%02d/%04d", i%50, i)] = fmt.Sprintf("file %d in %s\n", i,
				version)
		}
		for i := range 20 {
			name := fmt.Sprintf("profiles/p%d", i)
			tree[name] = marked(name, rev)
		}
		tree["protect/10.255.0.1"] = ""
		tree["default"] = marked("default", rev)
	}
	for i := range 400 {
		h := host{addr: netip.AddrFrom4([4]byte{10, 1, byte(i / 200), byte(i % 200)}),
			after: map[string]string{}}
		entry := "static/" + h.addr.String()
		switch {
		case i%20 == 19: // the address is the weakest of its names
			h.query = fmt.Sprintf("uuid=12345678-9abc-def0-1122-aabbccdd%04x&serial=S%%20%d", i, i)
		case i%4 == 3:
			h.query = fmt.Sprintf("mac=52:54:00:00:%02x:%02x", i/200, i%200)
			entry = fmt.Sprintf("static/52-54-00-00-%02x-%02x", i/200, i%200)
		}
		for rev, tree := range trees {
			profile := fmt.Sprintf("profiles/p%d", (i+len(rev)+int(rev[0]))%20)
			switch {
			case i%10 == 0, i%10 == 1 && rev == "A", i%10 == 2 && rev == "B": // a link, or one in this revision only
				tree[entry] = "-> ../" + profile
				h.want = append(h.want, marked(profile, "A"), marked(profile, "B"))
				h.after[rev] = marked(profile, rev)
			case i%50 == 5 && rev == "B": // none in this revision
				h.want = append(h.want, marked("default", "A"), marked("default", "B"))
				h.after[rev] = marked("default", rev)
			default:
				tree[entry] = marked(entry, rev)
				h.want = append(h.want, tree[entry])
				h.after[rev] = tree[entry]
			}
		}
		hosts = append(hosts, h)
	}
	hosts = append(hosts, host{addr: netip.MustParseAddr("10.2.0.1"),
		want:  []string{marked("default", "A"), marked("default", "B")},
		after: map[string]string{"A": marked("default", "A"), "B": marked("default", "B")}})
	if n := len(trees["A"]); n < 9900 {
		t.Fatalf("%d files", n)
	}

	root := t.TempDir()
	git(t, root, nil, "init", "-q")
	var history bytes.Buffer
	for _, rev := range []string{"A", "B"} {
		fmt.Fprintf(&history, "commit refs/heads/%s\ncommitter T <t@example.org> 1 +0000\ndata 0\n",
			rev)
		for _, name := range slices.Sorted(maps.Keys(trees[rev])) {
			mode, text := "100644", trees[rev][name]
			if link, isLink := strings.CutPrefix(text, "-> "); isLink {
				mode, text = "120000", link
			}
			fmt.Fprintf(&history, "M %s inline %s\ndata %d\n%s\n", mode, name, len(text), text)
		}
	}
	git(t, root, &history, "fast-import", "--quiet")
	git(t, root, nil, "checkout", "-q", "A")
	// as is, in a tree that is some days old, what does not differ: the folder
	// protect/ among it
	rest()

	s := newSite(t, root)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	var answers atomic.Int64
	for g := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 20))
			for ctx.Err() == nil {
				h := hosts[random.IntN(len(hosts))]
				a, err := resolve(t, s, h.query, h.addr, true)
				if err != nil {
					t.Errorf("%s: %v", h.addr, err)
				} else if !slices.Contains(h.want, string(a.Script.Body)) {
					t.Errorf("%s: answered by %s, %d bytes, which no revision has: %.60q … "+
						"%.60q\n%+v", h.addr, a.Entry.Path,
						len(a.Script.Body), a.Script.Body,
						a.Script.Body[max(0, len(a.Script.Body)-60):], a.Trace.Findings)
				}
				answers.Add(1)
			}
		})
	}
	during := int64(0)
	rev := "A"
	for range 8 {
		rev = map[string]string{"A": "B", "B": "A"}[rev]
		before := answers.Load()
		git(t, root, nil, "checkout", "-q", rev)
		during += answers.Load() - before
	}
	stop()
	group.Wait()
	t.Logf("%d answers during 8 checkouts", during)
	// What was checked out is in force at once.
	for _, h := range hosts {
		if len(h.query) > 30 {
			continue // it takes its time, and needs no other way
		}
		if a, err := resolve(t, s, h.query, h.addr, true); err != nil ||
			string(a.Script.Body) != h.after[rev] {
			t.Errorf("afterwards %s: %d bytes by %s, error %v", h.addr, len(a.Script.Body),
				a.Entry.Path, err)
		}
	}
}

// TestWhyMissing: an end of a link that is not there, and links that lead in a
// circle, are told apart.
func TestWhyMissing(t *testing.T) {
	for link, why := range map[string]string{"../gone": "../gone is not there",
		"10.0.0.7": "10.0.0.7 leads in a circle", "../a": "../a leads in a circle"} {
		root := lab.Files{"static/10.0.0.7": "-> " + link, "a": "-> b", "b": "-> a",
			"default": "#!ipxe\n"}.Grow(t, t.TempDir())
		a, err := resolve(t, newSite(t, root), machine, address, true)
		if err != nil || len(a.Trace.Findings) == 0 || a.Trace.Findings[0].Why != why ||
			a.Trace.Findings[0].Code != boot.Missing {
			t.Errorf("%s: %+v, error %v, want %q", link, a.Trace.Findings, err, why)
		}
	}
}
