//go:build linux

package daemon

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
)

// The routes of GRUB and PXELINUX.

const grubHere = "grub/2/grub.cfg-7F000001" // of 127.0.0.1

// has reports whether a name is in the tree, wherever it leads.
func (c *client) has(name string) bool {
	_, err := os.Lstat(filepath.Join(c.root, name))
	return err == nil
}

// clear asks that the configuration of GRUB goes away, by every kind of POST
// that clients send.
func (c *client) clear(version string, status int, headers ...string) answer {
	c.t.Helper()
	a := c.raw(request("POST", "/grub/clear/"+version,
		append([]string{"Content-Length: 0"}, headers...)...))
	c.wantStatus(a, status)
	if strings.Contains(a.body, c.root) || strings.Contains(a.body, "grub.cfg") ||
		strings.Count(a.body, "\n") != 1 {
		c.t.Errorf("clear %s: %q", version, a.body)
	}
	return a
}

func TestGRUBClear_ItsOwn(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), grubHere: "mine",
		"grub/2/grub.cfg-7F000002": "not mine", "grub/3/grub.cfg-7F000001": "other version",
		"grub/2/grub.cfg": "all"})
	if a := c.ask("GET", "/grub/clear/2"); a.status != 405 || a.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", a.status, a.header.Get("Allow"))
	}
	for _, method := range []string{"HEAD", "PUT", "DELETE"} {
		c.wantStatus(c.ask(method, "/grub/clear/2", "Content-Length: 0"), 405)
	}
	if !c.has(grubHere) {
		t.Fatal("something else than POST cleared it")
	}
	c.wantBody(c.clear("2", 200), "cleared\n")
	if c.has(grubHere) {
		t.Error("it is still there")
	}
	c.wantLog("msg=clear", "peer=127.0.0.1", "path=/grub/clear/2", "status=200")
	c.as("127.0.0.2").clear("3", 404)
	for _, others := range []string{"grub/2/grub.cfg-7F000002", "grub/3/grub.cfg-7F000001",
		"grub/2/grub.cfg"} {
		if !c.has(others) {
			t.Errorf("%s is gone", others)
		}
	}
}

// A disk that hangs answers when nobody waits any more. What lies there then
// may be new.
func TestGRUBClear_TooLate(t *testing.T) {
	faults := faultfs.Mount(t, plant(t, tree{"default": say("default"), grubHere: "mine"}))
	c := serveWithin(t, faults.Dir, time.Second)
	faults.Set(faultfs.Fault{Under: "grub", Hang: true})
	c.clear("2", 503)
	faults.Set()
	if !eventually(func() bool { return working() == 0 }) {
		t.Fatal("the look did not end")
	}
	if !c.has(grubHere) {
		t.Error("it was cleared after the answer that it cannot be")
	}
}

// Every POST that boots send clears, and its body counts for nothing.
func TestGRUBClear_Posts(t *testing.T) {
	t.Parallel()
	lab.Needs(t, "curl")
	c := serve(t, tree{"default": say("default")})
	for name, text := range map[string]string{
		"no length": "POST /grub/clear/2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP/1.0":  "POST /grub/clear/2 HTTP/1.0\r\n\r\n",
		"empty":     "POST /grub/clear/2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"iPXE's params": "POST /grub/clear/2 HTTP/1.1\r\nHost: x\r\nUser-Agent: " +
			"iPXE/1.21.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
			"24\r\n\r\nip=10.0.0.7&file=default",
		"a form": "POST /grub/clear/2?ip=10.0.0.7 HTTP/1.1\r\nHost: x\r\nContent-Type: " +
			"multipart/form-data; boundary=x\r\nContent-Length: 3\r\n\r\nabc",
		"expecting": "POST /grub/clear/2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: " +
			"100-continue\r\n\r\n",
		"more comes": "POST /grub/clear/2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\nabc",
	} {
		c.put(grubHere, "mine")
		c.wantStatus(c.raw(text), 200)
		if c.has(grubHere) {
			t.Errorf("%s: it is still there", name)
		}
	}
	for _, args := range [][]string{{"-X", "POST"}, {"-d", ""}, {"-d", "x=1"}, {"-F", "x=1"}} {
		c.put(grubHere, "mine")
		out, err := exec.Command("curl", append(args, "-sS", "--fail", "-m", "30", "--interface",
			"127.0.0.1", "http://"+c.addr+"/grub/clear/2")...).CombinedOutput()
		if err != nil || string(out) != "cleared\n" || c.has(grubHere) {
			t.Errorf("curl %v: %v, %s", args, err, out)
		}
	}
	c.put(grubHere, "mine")
	c.wantStatus(
		c.raw("POST /grub/clear/2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "+
			"chunked\r\n\r\n0\r\n\r\n"), 400)
	if !c.has(grubHere) {
		t.Error("a body in chunks cleared it")
	}
}

// TestGRUBClear_ByGet: as the Ruby PXESrv did, where a site asks for it.
func TestGRUBClear_ByGet(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), grubHere: "mine"}, func(c *config.Config) {
		c.CompatGet = true
	})
	if a := c.ask("HEAD", "/grub/clear/2"); a.status != 405 ||
		a.header.Get("Allow") != "GET, POST" || !c.has(grubHere) {
		t.Errorf("HEAD: %d, Allow %q", a.status, a.header.Get("Allow"))
	}
	c.wantBody(c.ask("GET", "/grub/clear/2"), "cleared\n")
	if c.has(grubHere) {
		t.Error("it is still there")
	}
	c.put(grubHere, "mine")
	c.clear("2", 200)
}

// TestGRUBClear_TrueClient: it is the file of the machine that asks, whatever
// headers say, and of the one that a trusted proxy names.
func TestGRUBClear_TrueClient(t *testing.T) {
	t.Parallel()
	files := tree{"default": say("default"), grubHere: "mine",
		"grub/2/grub.cfg-0A000007": "of 10.0.0.7"}
	c := serve(t, files)
	c.clear("2", 200, "X-Forwarded-For: 10.0.0.7")
	if c.has(grubHere) || !c.has("grub/2/grub.cfg-0A000007") {
		t.Error("a header that nobody trusts counted")
	}
	c = serve(t, files, func(c *config.Config) {
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	c.clear("2", 200, "X-Forwarded-For: 10.0.0.7")
	if !c.has(grubHere) || c.has("grub/2/grub.cfg-0A000007") {
		t.Error("the header of a trusted proxy did not count")
	}
	c.clear("2", 400, "X-Forwarded-For: rubbish")
	// Behind NAT an address is nobody's: it would clear the file of another
	// machine.
	c = serve(t, files, func(c *config.Config) {
		c.NoAddress = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	c.clear("2", 404)
	c.wantLog("msg=clear", "status=404", "identity.no-ip")
	if !c.has(grubHere) {
		t.Error("an address that names no machine cleared a file")
	}
	c = serve(t, files, func(c *config.Config) {
		c.Clients = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	c.clear("2", 403)
	if !c.has(grubHere) {
		t.Error("who is not answered cleared a file")
	}
}

func TestGRUBClear_NothingThere(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "grub/2/grub.cfg": "all",
		"grub/3/grub.cfg-7F000001/": ""})
	c.clear("2", 404)
	c.clear("7", 404) // no such version
	c.clear("3", 404) // a directory
	if !c.has("grub/3/grub.cfg-7F000001") {
		t.Error("a directory is gone")
	}
	c.wantStatus(serve(t, tree{"default": say("default")}).clear("2", 404), 404)
}

func TestGRUBClear_VersionIsAPlainName(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{
		"default": say("default"), "other/grub.cfg-7F000001": "kept", "grub.cfg-7F000001": "kept",
		"grub/grub.cfg-7F000001":     "kept",
		"grub/2/x/grub.cfg-7F000001": "kept", "../grub.cfg-7F000001": "kept",
		"grub/.2/grub.cfg-7F000001": "kept", "grub/x y/grub.cfg-7F000001": "kept",
	})
	for _, version := range []string{
		"", "/", ".", "..", "../..", "%2e%2e", "..%2fother", "%2e%2e%2fother", "../other", "2/x",
		"2%2fx", "2/", "2//x", ".2", "x%20y", "2%00", "%ff", "-2", "*",
		"2%5c..%5cother", "..;/other", strings.Repeat("2", 65), "2%0a",
	} {
		c.clear(version, 404)
	}
	for _, name := range []string{"other/grub.cfg-7F000001", "grub.cfg-7F000001",
		"grub/grub.cfg-7F000001", "grub/2/x/grub.cfg-7F000001", "../grub.cfg-7F000001",
		"grub/.2/grub.cfg-7F000001", "grub/x y/grub.cfg-7F000001"} {
		if !c.has(name) {
			t.Errorf("%s is gone", name)
		}
	}
}

// TestGRUBClear_Links: a link in the place of the file goes away, and what it
// leads to stays; a link in the place of a directory is followed only to where
// anybody may read.
func TestGRUBClear_Links(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	put(t, outside, "grub.cfg-7F000001", "kept")
	c := serve(t, tree{
		"default": say("default"), grubHere: "-> ../../precious", "precious": "kept",
		"grub/dangling/grub.cfg-7F000001": "-> nowhere",
		"releases/5/grub.cfg-7F000001":    "mine", "grub/linked": "-> ../releases/5",
		"grub/out":               "-> " + outside,
		"once/grub.cfg-7F000001": "-> ../precious", "grub/once": "-> ../once",
		"private/grub.cfg-7F000001": "kept", "grub/private": "-> ../private",
		".git/grub.cfg-7F000001": "kept", "grub/git": "-> ../.git", "grub/root": "-> ..",
		"grub.cfg-7F000001": "mine", "grub/file": "text",
		"protect/grub.cfg-7F000001": "", "grub/protect": "-> ../protect", "grub/up": "-> ../..",
	}, func(c *config.Config) { c.Allow = []string{outside} })
	for version, status := range map[string]int{
		"2": 200, "dangling": 200, "linked": 200, "root": 200, "out": 404, "once": 404,
		"private": 404, "git": 404, "file": 404, "protect": 404, "up": 404,
	} {
		c.clear(version, status)
	}
	for _, gone := range []string{grubHere, "grub/dangling/grub.cfg-7F000001",
		"releases/5/grub.cfg-7F000001", "grub.cfg-7F000001"} {
		if c.has(gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, kept := range []string{"precious", "once/grub.cfg-7F000001", "private/grub.cfg-7F000001",
		".git/grub.cfg-7F000001", "grub/linked", "grub/out", "protect/grub.cfg-7F000001"} {
		if !c.has(kept) {
			t.Errorf("%s is gone", kept)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "grub.cfg-7F000001")); err != nil {
		t.Error("a file outside the root is gone")
	}
}

func TestGRUBClear_IPv6(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "grub/2/grub.cfg-00000001": "kept",
		"grub/2/grub.cfg-00000000000000000000000000000001": "kept"}, func(c *config.Config) {
		c.Listen = []string{"[::1]:0"}
	}).as("::1")
	if a := c.clear("2", 400); a.body != "only a machine with an IPv4 address has such a file\n" {
		t.Errorf("%q", a.body)
	}
	for _, name := range []string{"grub/2/grub.cfg-00000001",
		"grub/2/grub.cfg-00000000000000000000000000000001"} {
		if !c.has(name) {
			t.Errorf("%s is gone", name)
		}
	}
}

// Where the tree may not be written to, the log says so.
func TestGRUBClear_ReadOnlyTree(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), grubHere: "mine"})
	dir := filepath.Join(c.root, "grub/2")
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("a read-only file system cannot be made here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY,
		""); err != nil {
		t.Fatal(err)
	}
	c.clear("2", 503)
	c.wantLog("level=ERROR", "msg=clear", "status=503", "read-only file system")
	if !c.has(grubHere) {
		t.Error("it is gone")
	}
}

// TestPxelinux_Default: the file of the tree, and without one what starts iPXE.
func TestPxelinux_Default(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default")})
	if a := c.ask("GET", "/pxelinux.cfg/default"); a.status != 200 ||
		!strings.Contains(a.body, "ipxe.lkrn") {
		t.Errorf("without a file: %d %q", a.status, a.body)
	}
	c.put("pxelinux.cfg/default", "DEFAULT linux\n")
	c.wantBody(c.ask("GET", "/pxelinux.cfg/default"), "DEFAULT linux\n")
}

// TestPxelinux_Missing: a name that is not there is 404, so PXELINUX asks for
// its next one.
func TestPxelinux_Missing(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "pxelinux.cfg/7F000001": "DEFAULT linux\n"})
	for _, name := range []string{"01-52-54-00-12-34-56", "7F00000", "", "x/default/y"} {
		c.wantStatus(c.ask("GET", "/pxelinux.cfg/"+name), 404)
	}
}

func TestPxelinux_File(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "pxelinux.cfg/7F000001": "DEFAULT linux\n",
		"pxelinux.cfg/01-52-54-00-12-34-56": "-> 7F000001"})
	for _, name := range []string{"7F000001", "01-52-54-00-12-34-56"} {
		c.wantBody(c.ask("GET", "/pxelinux.cfg/"+name), "DEFAULT linux\n")
	}
}

// TestFiles_PublicEntries: static/ is read by its path where a site asks for
// it, and nothing else of machines is.
func TestFiles_PublicEntries(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{
		"default": say("default"), "install": say("install"), "static/10.0.0.8": say("eight"),
		"static/10.0.0.9": "-> ../install", "static/secret": "-> ../private/x",
		"static/.hidden": canary, "static/x.tmpl": canary, "static/out": "-> /etc/hostname",
		"static/journal": "-> ../once/.claimed/x",
		"once/127.0.0.1": "-> ../install", "once/.claimed/x": canary, "protect/10.0.0.7": canary,
		"private/x": canary, "until-done/x": canary,
		"hosts/a.yaml": canary, "Static/x": canary,
	}, func(c *config.Config) { c.PublicEntries = true })
	c.wantBody(c.ask("GET", "/static/10.0.0.8"), say("eight"))
	c.wantBody(c.ask("GET", "/static/10.0.0.9"), say("install"))
	c.wantBody(c.ask("GET", "/default"), say("default"))
	for _, path := range []string{
		"/static/secret", "/static/.hidden", "/static/x.tmpl", "/static/out", "/static/journal",
		"/static", "/static/", "/once/127.0.0.1", "/once/.claimed/x",
		"/protect/10.0.0.7", "/private/x", "/until-done/x", "/hosts/a.yaml", "/Static/x",
		"/static/../once/127.0.0.1", "/static/nobody",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			c.wantStatus(c.ask(method, path), 404)
		}
	}
	c.wantOrder(me, "pending")
}
