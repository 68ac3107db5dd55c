//go:build linux

package daemon

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/httpd"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
)

// Bad inputs and faults. Mostly static or default answers, the order stays,
// and the log says why.

func TestOrder_OnlyGETUsesItUp(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"})
	if a := c.ask("HEAD", "/redirect"); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %+v", a)
	}
	c.wantOrder(me, "pending")
	for _, method := range []string{"OPTIONS", "POST", "PUT", "DELETE"} {
		a := c.ask(method, "/redirect", "Content-Length: 4", "", "text")
		c.wantStatus(a, 405)
		c.wantOrder(me, "pending")
	}
	c.wantScript("install")
}

func TestRedirect_RangeAndConditionsAreIgnored(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"})
	for _, h := range []string{"Range: bytes=0-0", "Range: garbage", "If-Modified-Since: " +
		"Mon, 06 May 2099 07:08:09 GMT", "If-None-Match: *"} {
		c.wantScript("default", h)
		c.wantOrder(me, "pending")
	}
}

func TestRedirect_NoListingsNoEntries(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install", "static/127.0.0.1": say("static"), "sub/x": "x"})
	for _, path := range []string{"/once/127.0.0.1", "/static/127.0.0.1", "/once", "/once/",
		"/static", "/static/", "/", "/sub", "/sub/", "/once/.claimed/", "/once/.served"} {
		for _, method := range []string{"GET", "HEAD"} {
			c.wantStatus(c.ask(method, path), 404)
		}
	}
	c.wantOrder(me, "pending")
}

func TestOrder_Dangling(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "once/127.0.0.1": "-> ../nowhere"})
	c.wantKept("default", "skipped", "../nowhere is not there")
}

func TestOrder_LeadsToNoFile(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/": "", "loop/a": "-> b", "loop/b": "-> a"})
	if err := unix.Mkfifo(filepath.Join(c.root, "sub/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(filepath.Join(c.root, "sub/socket"), unix.S_IFSOCK|0o644, 0); err != nil {
		t.Fatal(err)
	}
	for target, why := range map[string]string{
		"../sub": "../sub is a directory", "..": ".. is a directory", ".": ": . is a directory",
		"../sub/fifo": "is a FIFO", "../sub/socket": "is a socket",
		"../loop/a": "../loop/a leads in a circle", "127.0.0.1": "127.0.0.1 leads in a circle",
	} {
		c.put("once/127.0.0.1", "-> "+target)
		c.wantKept("default", "skipped", why)
	}
}

func TestOrder_LeadsToTooMuch(t *testing.T) {
	c := serve(t, tree{"default": say("default"), "static/": "", "protect/": "",
		"zero": "-> /dev/zero"},
		func(cfg *config.Config) { cfg.Allow = []string{"/dev"} })
	c.sparse("large", 8<<30)
	c.sparse("over", boot.MaxScript+1)
	for target, why := range map[string]string{
		"../large": "large has 8589934592 bytes", "../over": "over has 1048577 bytes",
		"/dev/zero": "/dev/zero is a device", "../zero": "../zero is a device",
		"/dev/full": "is a device",
	} {
		c.put("once/127.0.0.1", "-> "+target)
		flat(t, 32<<20, func() { c.wantKept("default", "skipped", why) })
	}
}

func TestOrder_LeadsOut(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "../root-evil/x": say("evil"),
		"../x": say("evil"), "link": "-> ../x", "dir": "-> ..", ".git/x": say("evil"),
		"private/x": say("evil")})
	for target, why := range map[string]string{
		"../../x": "leads out of the root", "$ROOT/../x": "leads out of the root",
		"$ROOT-evil/x": "leads out of the root", "../link": "leads out of the root",
		"../dir/x": "leads out of the root", "/proc/self/environ": "leads out of the root",
		"/etc/hostname": "leads out of the root",
		"../.git/x":     "begins with a dot", "../private/x": "lies in private/",
	} {
		c.put("once/127.0.0.1", "-> "+target)
		c.wantKept("default", "skipped", why)
	}
}

func TestOrder_AbsoluteNameOfTheRoot(t *testing.T) {
	t.Parallel()
	real := plant(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> $ROOT/install"})
	link := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	c := serveAt(t, link)
	c.wantScript("install")
	c.put("once/127.0.0.1", "-> "+link+"/install")
	c.wantScript("install")
	c.wantOrder(me, "served", "served")
}

func TestOrder_IsAFile(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/127.0.0.1": say("static"),
		"once/127.0.0.1": say("file")})
	for range 3 {
		c.wantScript("static")
	}
	c.wantLog("msg=redirect", "skipped", "once/127.0.0.1: an order must be a symbolic link")
	if _, err := os.Lstat(filepath.Join(c.root, "once/127.0.0.1")); err != nil {
		t.Error(err)
	}
}

// The order cannot be claimed, and is served after the repair.

func installOrder() tree {
	return tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"}
}

func needRoot(t *testing.T) {
	t.Helper()
	lab.Slow(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func TestClaim_ReadOnlyMount(t *testing.T) {
	needRoot(t)
	c := serve(t, installOrder())
	once := filepath.Join(c.root, "once")
	if err := unix.Mount(once, once, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(once, unix.MNT_DETACH) })
	if err := unix.Mount("", once, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY,
		""); err != nil {
		t.Fatal(err)
	}
	c.wantKept("default", "skipped", "could not be claimed and stays", "read-only file system")
	if err := unix.Mount("", once, "", unix.MS_REMOUNT|unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	c.wantScript("install")
	c.wantOrder(me, "served")
}

func TestClaim_ImmutableDirectory(t *testing.T) {
	needRoot(t)
	const immutable = 0x10 // FS_IMMUTABLE_FL
	c := serve(t, installOrder())
	d, err := os.Open(filepath.Join(c.root, "once"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	flags, err := unix.IoctlGetInt(int(d.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, flags|immutable)
	}
	if err != nil {
		t.Skipf("the file system of %s has no immutable directories: %v", d.Name(), err)
	}
	repair := func() { unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, flags) }
	defer repair()
	c.wantKept("default", "skipped", "could not be claimed and stays", "operation not permitted")
	repair()
	c.wantScript("install")
	c.wantOrder(me, "served")
}

func TestClaim_FullDisk(t *testing.T) {
	needRoot(t)
	root := plant(t, installOrder())
	once := filepath.Join(root, "once")
	if err := unix.Mount("tmpfs", once, "tmpfs", 0, "size=64k,nr_inodes=16"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(once, unix.MNT_DETACH) })
	put(t, root, "once/127.0.0.1", "-> ../install")
	var fill []string
	for i := 0; ; i++ {
		name := filepath.Join(once, fmt.Sprint("fill", i))
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			if i == 0 {
				t.Fatal(err)
			}
			break
		}
		fill = append(fill, name)
	}
	c := serveAt(t, root)
	c.wantLog("level=WARN", "orders cannot be granted", "no space left on device")
	c.wantKept("default", "skipped", "the journal cannot be opened, the order stays",
		"no space left on device")
	for _, name := range fill {
		os.Remove(name)
	}
	c.wantScript("install")
	c.wantOrder(me, "served")
}

func TestClaim_NoRoom(t *testing.T) {
	faults := faultfs.Mount(t, plant(t, installOrder()))
	c := serveAt(t, faults.Dir)
	c.wantLog("listening")
	faults.Set(faultfs.NoSpace(1))
	c.wantKept("default", "skipped", "could not be claimed and stays", "no space left on device")
	faults.Set(faultfs.ReadOnly())
	c.wantKept("default", "skipped", "could not be claimed and stays", "read-only file system")
	faults.Set()
	c.wantScript("install")
	c.wantOrder(me, "served")
}

// The file server hangs.

// working is the number of decisions and look-ups that have not come back.
func working() int {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return strings.Count(string(buf[:n]), "pxesrv/pkg/bounded.run[...](")
		}
		buf = make([]byte, 2*len(buf))
	}
}

func TestHang_FileServer(t *testing.T) {
	faults := faultfs.Mount(t, plant(t, installOrder()))
	c := serveWithin(t, faults.Dir, time.Second)
	c.rest()
	faults.Set(faultfs.Hang(0))
	for range 2 {
		for _, path := range []string{"/redirect", "/default"} {
			a := c.ask("GET", path)
			c.wantStatus(a, 503)
			if a.header.Get("Retry-After") != "" || strings.Contains(a.body, "#!") {
				t.Errorf("%s: %+v", path, a)
			}
			if a.took > 5*time.Second {
				t.Errorf("%s took %v", path, a.took)
			}
		}
		c.wantBody(c.ask("GET", "/local.ipxe"), string(ipxe.Local()))
		c.wantBody(c.ask("GET", "/boot.ipxe"), string(ipxe.Identify()))
	}
	c.wantLog("msg=redirect", "level=ERROR", "status=503")
	if n := working(); n != 4 {
		t.Errorf("%d goroutines wait for the disk, want 4", n)
	}
	faults.Set()
	if !eventually(func() bool { return working() == 0 }) {
		t.Errorf("%d goroutines are left", working())
	}
	c.wantOrder(me, "pending")
	c.wantInTheEnd("install")
}

// wantInTheEnd asks until the answer is no 503: on a loaded machine a short
// deadline may well pass.
func (c *client) wantInTheEnd(name string) {
	c.t.Helper()
	var a answer
	eventually(func() bool { a = c.redirect(); return a.status != 503 })
	c.wantBody(a, say(name))
	c.wantOrder(me, "served")
}

func TestHang_LateClaimIsGivenBack(t *testing.T) {
	faults := faultfs.Mount(t, plant(t, installOrder()))
	c := serveWithin(t, faults.Dir, 2*time.Second)
	c.rest() // so that the decision comes to its claim at once
	for _, op := range []faultfs.Op{faultfs.OpRename, faultfs.OpFsyncDir} {
		faults.Set(faultfs.Hang(op))
		c.wantStatus(c.redirect(), 503)
		if faults.Hanging() != 1 {
			t.Fatalf("%d operations hang, want the claim's", faults.Hanging())
		}
		faults.Set()
		if !eventually(func() bool { return working() == 0 }) {
			t.Fatal("the claim did not end")
		}
		c.wantOrder(me, "pending")
	}
	c.wantLog("msg=order", `state="given back"`, "the time for the answer was over")
	c.wantInTheEnd("install")
}

// A stop that is shorter than a decision may be waits for a claim all the same,
// for as long as the confirmation of an order takes.
func TestHang_StopWaitsForTheClaim(t *testing.T) {
	faults := faultfs.Mount(t, plant(t, installOrder()))
	c := serveAt(t, faults.Dir, func(cfg *config.Config) {
		cfg.Limits.Decision, cfg.Limits.Stop = 20*time.Second, 300*time.Millisecond
	})
	c.rest()
	faults.Set(faultfs.Hang(faultfs.OpRename))
	asked := c.dial()
	defer asked.Close()
	io.WriteString(asked, "GET /redirect HTTP/1.1\r\nHost: x\r\n\r\n")
	if !eventually(func() bool { return faults.Hanging() > 0 }) {
		t.Fatal("nothing is claimed")
	}
	over := time.AfterFunc(time.Second, func() { faults.Set() })
	defer over.Stop()
	c.stop()
	c.wantLog("msg=order", `state="given back"`)
	c.wantOrder(me, "pending")
}

// stuck is a site whose disk never answers until it is released.
type stuck chan struct{}

func (s stuck) Identify(boot.Claims, netip.Addr) boot.Machine { return boot.Machine{} }
func (s stuck) Open(string) (*os.File, error)                 { <-s; return nil, os.ErrNotExist }
func (s stuck) Resolve(context.Context, *boot.Machine, bool) (boot.Answer, error) {
	<-s
	return boot.Answer{Script: boot.Script{Body: []byte(say("late"))}}, nil
}

// ends counts how a grant ends.
type ends struct{ givenBack, settled atomic.Int32 }

func (*ends) ID() string        { return "trace" }
func (e *ends) GiveBack(string) { e.givenBack.Add(1) }
func (e *ends) Confirm(bool)    { e.settled.Add(1) }

// late is a site whose disk carries a claim out, but too late.
type late struct {
	stuck
	grant *ends
}

func (s late) Resolve(ctx context.Context, c *boot.Machine, take bool) (boot.Answer, error) {
	a, err := s.stuck.Resolve(ctx, c, take)
	a.Grant = s.grant
	return a, err
}

// statusOf serves with a handler, and returns what asks it for /redirect.
func statusOf(t *testing.T, handler http.Handler) func() int {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return func() int {
		answer, err := http.Get(server.URL + "/redirect")
		if err != nil {
			t.Error(err)
			return 0
		}
		answer.Body.Close()
		return answer.StatusCode
	}
}

func TestHang_LateGrantIsGivenBack(t *testing.T) {
	site := late{make(stuck), &ends{}}
	server := &httpd.Server{Site: site, Log: (&logBook{}).logger(), Deadline: 50 * time.Millisecond}
	if code := statusOf(t, server)(); code != 503 {
		t.Errorf("status %d", code)
	}
	close(site.stuck)
	server.Wait()
	if back, settled := site.grant.givenBack.Load(), site.grant.settled.Load(); back != 1 ||
		settled != 0 {
		t.Errorf("given back %d times and settled %d times", back, settled)
	}
}

func TestHang_StuckRequestsAreBounded(t *testing.T) {
	disk := make(stuck)
	book := &logBook{}
	server := &httpd.Server{Site: disk, Log: book.logger(), Deadline: 50 * time.Millisecond}
	ask := statusOf(t, server)
	const most = 256
	var all sync.WaitGroup
	for range most {
		all.Go(func() {
			if code := ask(); code != 503 {
				t.Errorf("status %d", code)
			}
		})
	}
	all.Wait()
	server.Deadline = time.Hour
	for range 100 {
		if code := ask(); code != 503 { // at once, or this test takes an hour
			t.Errorf("status %d", code)
		}
	}
	if n := working(); n != most {
		t.Errorf("%d goroutines wait for the disk, want %d", n, most)
	}
	close(disk)
	if !eventually(func() bool { return working() == 0 }) {
		t.Errorf("%d goroutines are left", working())
	}
	if code := ask(); code != 200 {
		t.Errorf("status %d when the disk is back", code)
	}
}

// The root is another one.

func TestRoot_Swapped(t *testing.T) {
	t.Parallel()
	one, two := plant(t, tree{"default": say("one"), "static/127.0.0.2": say("static")}),
		plant(t, tree{"default": say("two"), "static/": ""})
	link := filepath.Join(t.TempDir(), "current")
	orders := t.TempDir() // outside, so that a swap makes no old order new
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	c := serveAt(t, link, func(cfg *config.Config) { cfg.OnceDir = orders })
	c.wantScript("one")
	for _, root := range []string{two, one, two} {
		if err := os.Symlink(root, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
		if root == one {
			c.wantScript("one")
			c.as("127.0.0.2").wantScript("static")
			c.wantBody(c.ask("GET", "/default"), say("one"))
		} else {
			c.wantScript("two")
			c.as("127.0.0.2").wantScript("two")
			c.wantBody(c.ask("GET", "/default"), say("two"))
		}
	}
}

func TestRoot_RemovedAndClonedAgain(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("one"), "static/127.0.0.2": say("static"),
		"protect/127.0.0.3": ""})
	c.wantScript("one")
	if err := os.RemoveAll(c.root); err != nil {
		t.Fatal(err)
	}
	c.wantStatus(c.redirect(), 503) // nobody can know, so nobody is told to boot something else
	if a := c.ask("GET", "/default"); a.status == 200 {
		t.Errorf("a file of a root that is gone: %+v", a)
	}
	c.wantBody(c.ask("GET", "/local.ipxe"), string(ipxe.Local()))
	for name, text := range installOrder() {
		c.put(name, text)
	}
	c.wantScript("install")
	c.wantOrder(me, "served")
	c.as("127.0.0.2").wantScript("default")
	c.as("127.0.0.3").wantScript("default")
}

// Who is asking.

func TestMachine_ForwardedByAStranger(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"static/10.1.2.3": say("other"), "once/10.1.2.3": "-> ../install", "static/": ""},
		trusting("127.0.0.9/32"))
	for _, h := range []string{"X-Forwarded-For: 10.1.2.3", "Forwarded: for=10.1.2.3",
		"X-Real-IP: 10.1.2.3", "X-Forwarded-For: 10.1.2.3, 127.0.0.9"} {
		c.wantScript("default", h)
	}
	for _, line := range []string{"PROXY TCP4 10.1.2.3 127.0.0.1 1234 80\r\n", "PROXY UNKNOWN\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x02\x03\x7f\x00\x00\x01\x04\xd2\x00\x50"} {
		a := c.raw(line + request("GET", "/redirect"))
		c.wantStatus(a, 400)
	}
	c.wantOrder("10.1.2.3", "pending")
	if strings.Contains(c.log.String(), "names=10.1.2.3") {
		t.Error("a stranger's header gave a name")
	}
}

func TestMachine_ParameterTwice(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"static/A1": say("first"), "static/B1": say("second"), "once/A1": "-> ../install",
		"once/B1": "-> ../install"})
	c.wantBody(c.redirectQuery("?serial=A1&serial=B1"), say("first"))
	c.wantLog("msg=redirect", "conflict", "the request says serial twice")
	c.wantOrder("A1", "pending") // who is asking is not certain: no order is granted
	c.wantOrder("B1", "pending")
	c.wantBody(c.redirectQuery("?serial=A1&serial=A1"), say("install"))
	c.wantOrder("A1", "served")
}

func TestMachine_Placeholders(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{
		"default": say("default"), "install": say("install"), "static/127.0.0.1": say("address"),
		"static/To-Be-Filled-By-O.E.M": say("wrong"), "static/To-Be-Filled-By-O.E.M.": say("wrong"),
		"static/00000000-0000-0000-0000-000000000000": say("wrong"),
		"once/03000200-0400-0500-0006-000700080009":   "-> ../install",
		"static/00020003-0004-0005-0006-000700080009": say("wrong"),
		"static/SYS-1234567890":                       say("wrong"),
		"once/SerNum0":                                "-> ../install",
		"once/be-3a-f2-b6-05-9f":                      "-> ../install",
		"once/00-e0-4c-68-00-07":                      "-> ../install",
		"static/ACME-S1":                              say("machine"),
	})
	for _, q := range []string{
		"?serial=To%20Be%20Filled%20By%20O.E.M.", "?serial=to%20be%20FILLED%20by%20oem",
		"?serialx=546f2042652046696c6c6564204279204f2e452e4d2e",
		"?uuid=00000000-0000-0000-0000-000000000000", "?uuid=03000200-0400-0500-0006-000700080009",
		"?uuid=00020003-0004-0005-0006-000700080009",
		"?serial=SYS-1234567890", "?serialx=" + fmt.Sprintf("%x", "SYS-1234567890"),
		"?serial=Default%20string&board=SerNum0",
		"?asset=SYS-1234567890&uuid=4c4c4544-0000-2010-8020-80c04f202020",
		"?mac=be-3a-f2-b6-05-9f",
		"?mac=00-e0-4c-68-00-07&macs=.00-e0-4c-68-00-07.be-3a-f2-b6-05-9f&bus=.USB.USB",
	} {
		c.wantBody(c.redirectQuery(q), say("address"))
	}
	c.wantLog("msg=redirect", "dropped", "serial", "is a placeholder")
	c.wantLog("msg=redirect", "dropped", "uuid", "is a placeholder")
	for _, name := range []string{"03000200-0400-0500-0006-000700080009", "SerNum0",
		"be-3a-f2-b6-05-9f", "00-e0-4c-68-00-07"} {
		c.wantOrder(name, "pending")
	}
	c.wantBody(c.redirectQuery(
		"?uuid=00000000-0000-0000-0000-000000000000&manufacturer=ACME&serial=S1"), say("machine"))
}
