//go:build linux

package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/config"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
)

// What the Ruby PXESrv does, seen from outside: what people rely on is kept,
// what hurt them is done better. A comment says where that is a difference on
// purpose.

const me = "127.0.0.1"

// The decision.

func TestRedirect_OnlyDefault(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default")})
	c.wantScript("default")
}

func TestOnce_AbsoluteLink(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> $ROOT/install"})
	if a := c.wantScript("install"); !a.close {
		t.Error("no Connection: close on the answer that uses an order up")
	}
	c.wantOrder(me, "served")
	if a := c.wantScript("default"); a.close {
		t.Error("Connection: close on the default")
	}
}

// Ruby looked a relative target up in its working directory, after it had
// removed the link.
func TestOnce_RelativeLink(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/A": say("A"),
		"once/127.0.0.1": "-> ../sub/A"})
	c.wantScript("A")
	c.wantOrder(me, "served")
}

// Not parallel: it changes the working directory.
func TestOnce_NotRelativeToWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("install", []byte(say("wrong")), 0o644); err != nil {
		t.Fatal(err)
	}
	c := serve(t, tree{"default": say("default"), "once/127.0.0.1": "-> install"})
	c.wantKept("default", "install is not there")
}

func TestOnce_DanglingLink(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/127.0.0.1": say("static"),
		"once/127.0.0.1": "-> $ROOT/nowhere"})
	c.wantKept("static", "nowhere is not there")
	c.remove("static/127.0.0.1")
	c.wantKept("default", "nowhere is not there")
	c.put("nowhere", say("mended"))
	c.wantScript("mended")
	c.wantOrder(me, "served")
}

// As in Ruby a file is no order; here the log says so.
func TestOnce_RegularFile(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "once/127.0.0.1": say("file")})
	c.wantScript("default")
	c.wantLog("skipped", "once/127.0.0.1: an order must be a symbolic link")
	if _, err := os.Lstat(filepath.Join(c.root, "once/127.0.0.1")); err != nil {
		t.Error(err)
	}
}

func TestOnce_Directory(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/A": say("A"),
		"once/127.0.0.1": "-> $ROOT/sub"})
	c.wantKept("default", "is a directory")
}

func TestOnce_LinkToLink(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/A": say("A"), "link": "-> sub/A",
		"once/127.0.0.1": "-> ../link"})
	c.wantScript("A")
	c.wantOrder(me, "served")
	if _, err := os.Lstat(filepath.Join(c.root, "link")); err != nil {
		t.Error("the link behind the order is gone:", err)
	}
}

// Ruby served whatever a link led to. Here it takes the setting paths.allow.
func TestOnce_OutsideRoot(t *testing.T) {
	t.Parallel()
	files := tree{"default": say("default"), "../other/A": say("A"),
		"once/127.0.0.1": "-> $ROOT/../other/A"}
	c := serve(t, files)
	c.wantKept("default", "leads out of the root")
	c.stop()
	c = serveAt(t, c.root, func(cfg *config.Config) {
		cfg.Allow = []string{filepath.Join(c.root, "../other")}
	})
	c.wantScript("A")
	c.wantOrder(me, "served")
}

func TestStatic_File(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/127.0.0.1": say("static"),
		"static/127.0.0.2": say("other")})
	c.wantScript("static")
	c.wantScript("static")
	c.as("127.0.0.2").wantScript("other")
	c.as("127.0.0.3").wantScript("default")
}

func TestStatic_RelativeLink(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/A": say("A"),
		"static/127.0.0.1": "-> ../sub/A"})
	c.wantScript("A")
	if _, err := os.Lstat(filepath.Join(c.root, "static/127.0.0.1")); err != nil {
		t.Error(err)
	}
}

func TestStatic_DanglingLink(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/127.0.0.1": "-> ../nowhere"})
	c.wantScript("default")
	c.wantLog("skipped", "static/127.0.0.1 ", "../nowhere is not there")
}

func TestStatic_Directory(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/127.0.0.1/": ""})
	c.wantScript("default")
	c.wantLog("skipped", "static/127.0.0.1", "is a directory")
}

// An empty 200 makes iPXE fail with an exec format error; Ruby sent one.
func TestStatic_Empty(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/127.0.0.1": ""})
	c.wantScript("default")
	c.wantLog("skipped", "static/127.0.0.1", "is empty")
}

func TestStatic_FIFO(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/": ""})
	if err := unix.Mkfifo(filepath.Join(c.root, "static/127.0.0.1"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 10 { // Ruby had five threads, and lost one for each
		c.wantScript("default")
	}
	c.wantLog("skipped", "static/127.0.0.1", "is a FIFO")
}

func TestRedirect_OnceStaticDefault(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"static/127.0.0.1": say("static"), "once/127.0.0.1": "-> ../install"})
	c.wantScript("install")
	c.wantScript("static")
	c.remove("static/127.0.0.1")
	c.wantScript("default")
}

func TestDefault_Missing(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{})
	a := c.redirect()
	c.wantStatus(a, 404)
	// Ruby said "The requested route is not available".
	if a.body != "nothing is set for this machine, and there is no default\n" {
		t.Errorf("body is %q", a.body)
	}
}

func TestDefault_LinkAndDirectory(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": "-> sub/A", "sub/A": say("A")})
	c.wantScript("A")
	c.remove("default")
	c.put("default/", "")
	c.wantStatus(c.redirect(), 404)
	c.wantLog("skipped", "default is a directory")
}

func TestRedirect_ChangeIsSeen(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("one")})
	for _, name := range []string{"one", "two", "three"} {
		c.put("default", say(name))
		c.wantScript(name)
	}
	c.put("static/127.0.0.1", say("static"))
	c.wantScript("static")
	c.remove("static/127.0.0.1")
	c.wantScript("three")
}

// Methods, headers, forms of the URL.

func TestRedirect_HEADUsesNothingUp(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"})
	a := c.ask("HEAD", "/redirect")
	if a.status != 200 || a.body != "" ||
		a.header.Get("Content-Length") != fmt.Sprint(len(say("install"))) || a.close {
		t.Errorf("HEAD: %+v", a)
	}
	c.wantOrder(me, "pending")
	c.wantScript("install")
	c.wantOrder(me, "served")
}

// wantBehind asks with headers that no machine sends which boots. It gets what
// stands behind the order, whole.
func wantBehind(t *testing.T, headers ...string) {
	t.Helper()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"})
	if a := c.wantScript("default", headers...); a.close || a.header.Get("Content-Range") != "" {
		t.Errorf("answer with %q: %+v", headers, a)
	}
	c.wantOrder(me, "pending")
	c.wantLog("skipped", "once/127.0.0.1 ", "no order is granted")
	c.wantScript("install")
}

func TestRedirect_RangeUsesNothingUp(t *testing.T) {
	t.Parallel()
	wantBehind(t, "Range: bytes=0-4")
}

// On a file this is 416, as in Ruby. On /redirect a Range is ignored on
// purpose: a boot script is answered whole or not.
func TestRange_Unsatisfiable(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default")})
	a := c.ask("GET", "/default", "Range: bytes=9999-")
	c.wantStatus(a, 416)
	if got, want := a.header.Get("Content-Range"),
		fmt.Sprintf("bytes */%d", len(say("default"))); got != want {
		t.Errorf("Content-Range is %q, want %q", got, want)
	}
	c.wantScript("default", "Range: bytes=9999-")
}

// Ruby answered /redirect in parts that no client could tell apart. On a file
// the parts are right, on /redirect there are none.
func TestRange_Two(t *testing.T) {
	t.Parallel()
	wantBehind(t, "Range: bytes=0-1,4-5")
	c := serve(t, tree{"default": say("default")})
	a := c.ask("GET", "/default", "Range: bytes=0-1,4-5")
	c.wantStatus(a, 206)
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind,
		"multipart/byteranges; boundary=") {
		t.Errorf("Content-Type is %q", kind)
	}
}

func TestRedirect_ConditionUsesNothingUp(t *testing.T) {
	t.Parallel()
	then := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"})
	for _, name := range []string{"default", "install"} {
		if err := os.Chtimes(filepath.Join(c.root, name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	c.wantScript("default", "If-Modified-Since: "+then.Format(http.TimeFormat))
	c.wantOrder(me, "pending")
	for _, h := range []string{"If-None-Match: *", `If-None-Match: "x"`, "If-Match: *",
		`If-Range: "x"`, "If-Unmodified-Since: " + then.Format(http.TimeFormat)} {
		c.wantScript("default", h)
		c.wantOrder(me, "pending")
	}
	c.wantScript("install")
}

func TestRedirect_ConditionWithOtherDate(t *testing.T) {
	t.Parallel()
	wantBehind(t, "If-Modified-Since: Mon, 06 May 2024 07:08:09 GMT")
}

// Ruby said 404.
func TestRedirect_OtherMethods(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"})
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO", "get"} {
		a := c.ask(method, "/redirect", "Content-Length: 0")
		if a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d with Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
	c.wantOrder(me, "pending")
}

func TestRedirect_UnknownQuery(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/127.0.0.1": say("static")})
	for _, q := range []string{"?x=1&mac=aa:bb", "?", "?&&=&", "?%zz=%", "?serial="} {
		c.wantBody(c.redirectQuery(q), say("static"))
	}
}

func TestRedirect_OnlyThatPath(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"})
	for _, path := range []string{"/redirect/", "/REDIRECT", "/redirect.ipxe", "/redirect/x"} {
		c.wantStatus(c.ask("GET", path), 404)
	}
	c.wantOrder(me, "pending")
}

func TestRedirect_PathOtherwiseWritten(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default")})
	for _, path := range []string{"//redirect", "/%72edirect", "///redirect", "/./redirect",
		"/sub/../redirect", "http://boot.example/redirect"} {
		// Not by a redirect: firmware does not follow one.
		c.wantBody(c.ask("GET", path), say("default"))
	}
}

// HTTP/1.1 without Host is 400, which RFC 9112 demands; so is a Host with bytes
// that no name has. Ruby answered both. iPXE and firmware always send one.
func TestRedirect_OldAndOddRequests(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default")})
	a := c.raw("GET /redirect HTTP/1.0\r\n\r\n")
	c.wantBody(a, say("default"))
	if a.proto != "HTTP/1.0" {
		t.Errorf("HTTP/1.0 is answered as %s", a.proto)
	}
	for _, host := range []string{"", "..", "x:99999", "[::1]:4567", "*", "a,b", "%00"} {
		c.wantBody(c.raw("GET /redirect HTTP/1.1\r\nHost: "+host+"\r\n\r\n"), say("default"))
	}
	c.wantStatus(c.raw("GET /redirect HTTP/1.1\r\n\r\n"), 400)
}

func TestRoute_UnknownPaths(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/A": say("A")})
	for _, path := range []string{"/nothing", "/", "/sub", "/sub/", "/sub/nothing", "/sub/A/"} {
		a := c.ask("GET", path)
		if a.status != 404 || a.header.Get("Content-Type") != "text/plain; charset=utf-8" ||
			a.body != "there is nothing under this name\n" {
			t.Errorf("%s: %d %q %q", path, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
}

// Ruby sent Last-Modified; here an answer is never to be kept or asked about
// again.
func TestRedirect_Headers(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"static/": "", "x.json": say("x"), "x.html": say("x"), "x.ipxe": say("x"),
		"x.efi": say("x")})
	for _, name := range []string{"x.json", "x.html", "x.ipxe", "x.efi"} {
		c.put("static/127.0.0.1", "-> ../"+name)
		a := c.wantScript("x")
		want := http.Header{
			"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"},
			"Content-Length": {fmt.Sprint(len(say("x")))}, "Cache-Control": {"no-store"},
			"Date": a.header["Date"],
		}
		if fmt.Sprint(a.header) != fmt.Sprint(want) {
			t.Errorf("headers for %s are %v, want %v", name, a.header, want)
		}
	}
}

// Who is asking.

func trusting(networks ...string) func(*config.Config) {
	return func(cfg *config.Config) {
		for _, n := range networks {
			cfg.Trusted = append(cfg.Trusted, netip.MustParsePrefix(n))
		}
	}
}

func TestMachine_PeerAddress(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/127.0.0.1": say("one"),
		"static/127.0.0.77": say("two")})
	c.wantScript("one")
	c.as("127.0.0.77").wantScript("two")
	c.wantLog("msg=redirect", "peer=127.0.0.77", "names=127.0.0.77")
}

func TestMachine_ForwardedForIsNotBelieved(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/10.1.2.3": say("other")})
	c.wantScript("default", "X-Forwarded-For: 10.1.2.3")
	if c.log.find("names=10.1.2.3") != "" {
		t.Error("the header gave a name")
	}
}

// Ruby believed every private address. Here a proxy is named.
func TestMachine_OnlyNamedProxies(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/10.1.2.3": say("other")},
		trusting("127.0.0.9/32", "10.0.0.0/8"))
	const header = "X-Forwarded-For: 10.1.2.3"
	c.wantScript("default", header)
	c.as("127.0.0.8").wantScript("default", header)
	c.as("127.0.0.9").wantScript("other", header)
	c.wantLog("msg=redirect", "peer=127.0.0.9", "source=10.1.2.3") // the true peer stays in the log
}

func TestMachine_SeveralHops(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/10.1.2.3": say("right"),
		"static/10.6.6.6": say("forged"), "static/127.0.0.5": say("proxy")},
		trusting("127.0.0.0/8"))
	for _, headers := range [][]string{
		{"X-Forwarded-For: 10.1.2.3"},
		{"X-Forwarded-For: 10.6.6.6, 10.1.2.3"},
		{"X-Forwarded-For: 10.6.6.6, 10.1.2.3, 127.0.0.5"},
		{"X-Forwarded-For: 10.6.6.6", "X-Forwarded-For: 10.1.2.3", "X-Forwarded-For: 127.0.0.5"},
		{"X-Forwarded-For: 10.6.6.6, 10.1.2.3, ::ffff:127.0.0.5"},
		{"X-Forwarded-For: garbage, 10.1.2.3 ,, 127.0.0.5,"},
	} {
		c.wantScript("right", headers...)
	}
	c.wantScript("proxy", "X-Forwarded-For: 127.0.0.5, 127.0.0.6")
}

func TestMachine_NoOrderOfAnother(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/10.5.5.5": "-> ../install"})
	c.wantScript("default", "X-Forwarded-For: 10.5.5.5")
	c.wantOrder("10.5.5.5", "pending")
}

// hostile are values that name a path where a client names itself.
var hostile = []string{"../../secret", "../secret", "../../../../etc/hostname", "../victim",
	"/etc/hostname", "..", ".", ".claimed", "*", "\xff", "10.0.0.1/../../secret"}

func TestMachine_NoPathFromHeader(t *testing.T) {
	t.Parallel()
	files := tree{"default": say("default"), "static/127.0.0.1": say("peer"),
		"../secret": say("secret"), "secret": say("secret")}
	// From a proxy such a value names nobody, not even the proxy. From anybody
	// else it is not looked at.
	for want, set := range map[string]func(*config.Config){
		"peer": trusting(), "default": trusting("127.0.0.0/8")} {
		c := serve(t, files, set)
		for _, value := range hostile {
			c.wantScript(want, "X-Forwarded-For: "+value)
		}
		c.wantBody(c.redirectQuery(
			"?host=../../secret&serial=../secret&asset=%2e%2e%2fsecret&uuid=/etc/hostname&mac=../secret"), say("peer"))
	}
}

func TestMachine_NoLinkRemovedByHeader(t *testing.T) {
	t.Parallel()
	for _, set := range []func(*config.Config){trusting(), trusting("127.0.0.0/8")} {
		c := serve(t, tree{"default": say("default"), "install": say("install"),
			"victim": "-> install", "static/": ""}, set)
		for _, value := range hostile {
			c.wantScript("default", "X-Forwarded-For: "+value)
		}
		c.wantBody(c.redirectQuery("?serial=../victim&host=../victim"), say("default"))
		if _, err := os.Readlink(filepath.Join(c.root, "victim")); err != nil {
			t.Error(err)
		}
	}
}

func TestMachine_OtherHeaders(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/10.1.2.3": say("other"),
		"static/127.0.0.1": say("static")}, trusting("127.0.0.0/8"))
	for _, header := range []string{"Forwarded: for=10.1.2.3", "X-Real-IP: 10.1.2.3",
		"Client-IP: 10.1.2.3", "True-Client-IP: 10.1.2.3", "CF-Connecting-IP: 10.1.2.3"} {
		c.wantScript("static", header)
	}
}

// Ruby listened on 0.0.0.0, whatever it was told.
func TestListen_IPv6AndAddress(t *testing.T) {
	t.Parallel()
	files := tree{"default": say("default"), "static/::1": say("six"),
		"static/127.0.0.1": say("four")}
	free := func(ip string) func(*config.Config) {
		return func(cfg *config.Config) { cfg.Listen, cfg.Address, cfg.Port = nil, ip, 0 }
	}
	six := serve(t, files, free("::1")).as("::1")
	six.wantScript("six")
	six.as("").wantScript("six")

	one := serve(t, files, free("127.0.0.2"))
	if host, _, _ := net.SplitHostPort(one.addr); host != "127.0.0.2" {
		t.Errorf("-o 127.0.0.2 listens on %s", one.addr)
	}
	one.wantScript("four")
	_, port, _ := net.SplitHostPort(one.addr)
	if conn, err := net.DialTimeout("tcp", "127.0.0.3:"+port, time.Second); err == nil {
		conn.Close()
		t.Error("-o 127.0.0.2 answers on 127.0.0.3 as well")
	}

	both := serve(t, files, func(cfg *config.Config) {
		cfg.Listen = []string{"127.0.0.1:0", "[::1]:0"}
	})
	both.wantScript("four")
	_, addr, _ := strings.Cut(both.wantLog("listening", "[::1]"), "address=")
	both.addr, _, _ = strings.Cut(addr, " ")
	both.as("::1").wantScript("six")
}

// Without -o one socket takes both families, and an IPv4 client keeps its IPv4
// name. In a network of its own, so that nobody else is asked in.
func TestListen_EveryAddress(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network of its own")
	}
	root := plant(t, tree{"default": say("default"), "static/::1": say("six"),
		"static/127.0.0.1": say("four")})
	network := newNetwork(t)
	cfg := config.Default()
	cfg.Root, cfg.Port = root, 0
	c := start(t, cfg, func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
		if err := network.enter(); err != nil {
			return err
		}
		return run(ctx, cfg, log) // it listens in this goroutine
	})
	_, port, err := net.SplitHostPort(c.addr)
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{"127.0.0.1": "four", "::1": "six",
		"127.0.0.2": "default"} {
		c := c.as(from)
		c.addr = net.JoinHostPort(from, port)
		answers := make(chan answer, 1)
		go func() {
			err := network.enter()
			var a answer
			if err == nil {
				a, err = c.try(request("GET", "/redirect"))
			}
			if err != nil {
				t.Error(err)
			}
			answers <- a
		}()
		c.wantBody(<-answers, say(want))
		c.wantLog("msg=redirect", "peer="+from+" ")
	}
}

// A network is one of its own, with a loopback and nothing else.
type network struct{ ns *os.File }

func newNetwork(t *testing.T) network {
	t.Helper()
	made := make(chan network)
	go func() {
		defer close(made)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = loopbackUp()
		}
		var ns *os.File
		if err == nil {
			ns, err = os.Open("/proc/thread-self/ns/net")
		}
		if err != nil {
			t.Errorf("no network of its own: %v", err)
			return
		}
		made <- network{ns}
	}()
	n, ok := <-made
	if !ok {
		t.FailNow()
	}
	t.Cleanup(func() { n.ns.Close() })
	return n
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

// enter takes the calling goroutine, for the rest of its life, into the
// network.
func (n network) enter() error {
	runtime.LockOSThread()
	return unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET)
}

func TestMachine_CanonicalAddress(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/2001:db8::1": say("six"),
		"static/203.0.113.9": say("four")}, trusting("127.0.0.0/8"))
	for value, want := range map[string]string{
		"2001:db8::1": "six", "[2001:db8::1]:1234": "six", "[2001:db8::1]": "six",
		"2001:0DB8:0:0::0001": "six", "2001:db8::1%eth0": "six",
		"203.0.113.9:555": "four", "203.0.113.9": "four", "::ffff:203.0.113.9": "four",
		"[::ffff:cb00:7109]:80": "four",
		"203.0.113.09":          "default", "3405803785": "default",
	} {
		c.wantScript(want, "X-Forwarded-For: "+value)
	}
}

// Many at once.

func TestOnce_OneWinner(t *testing.T) {
	lab.Slow(t)
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"static/127.0.0.1": say("static"), "protect/": ""},
		func(cfg *config.Config) { cfg.OnceMaxPerDay = 0 })
	c.rest()
	const rounds, clients = 20, 50
	for round := range rounds {
		c.put("once/127.0.0.1", "-> ../install")
		got := make(chan string, clients)
		var start, all sync.WaitGroup
		start.Add(1)
		for range clients {
			all.Go(func() {
				start.Wait()
				a, err := c.try(request("GET", "/redirect"))
				if err == nil && a.status != 200 {
					err = fmt.Errorf("status %d", a.status)
				}
				if err == nil {
					err = a.sound()
				}
				if err != nil {
					a.body = err.Error()
				}
				got <- a.body
			})
		}
		start.Done()
		all.Wait()
		close(got)
		count := map[string]int{}
		for body := range got {
			count[body]++
		}
		if count[say("install")] != 1 || count[say("static")] != clients-1 {
			t.Fatalf("round %d: %v", round, count)
		}
	}
	if !eventually(func() bool { return len(strings.Fields(c.order(me))) == rounds }) {
		t.Errorf("the journal has %q, want %d orders", c.order(me), rounds)
	}
	if got := c.order(me); strings.Contains(got, "pending") {
		t.Errorf("the journal has %q", got)
	}
}

func TestOnce_LogSaysWhatWasUsedUp(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"})
	c.wantScript("install")
	line := c.wantLog("msg=redirect", "peer=127.0.0.1", "step=once", "entry=once/127.0.0.1",
		"target=../install", "file=install", "status=200", "order=127.0.0.1~")
	_, name, _ := strings.Cut(line, "order=")
	name, _, _ = strings.Cut(name, " ")
	c.wantLog("msg=order", "state=granted", "order="+strings.TrimSpace(name))
	c.wantLog("msg=order", "state=served", "order="+strings.TrimSpace(name))
	claimed, err := os.Readlink(filepath.Join(c.root, "once/.served", strings.TrimSpace(name)))
	if err != nil || claimed != "../install" {
		t.Errorf("the journal's entry leads to %q: %v", claimed, err)
	}
}

// sparse makes a file of zeros that takes no room on the disk.
func (c *client) sparse(name string, size int64) {
	c.t.Helper()
	f, err := os.Create(filepath.Join(c.root, name))
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// wantPrompt asks ten times and wants an answer each time.
func (c *client) wantPrompt() {
	c.t.Helper()
	for range 10 {
		// Ruby gave none for 8 s and more. A loaded test machine may take its
		// time, but not for ever.
		if a := c.wantScript("default"); a.took > 5*time.Second {
			c.t.Errorf("/redirect took %v", a.took)
		}
	}
}

func TestMany_SlowDownloads(t *testing.T) {
	lab.Slow(t)
	c := serve(t, tree{"default": say("default"), "static/": "", "protect/": ""})
	c.sparse("big", 60<<20)
	c.rest()
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 5 {
		conn := c.dial()
		io.WriteString(conn, request("GET", "/big"))
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil ||
			!strings.Contains(line, " 200 ") {
			t.Fatalf("%q %v", line, err)
		}
		all.Go(func() {
			for part := make([]byte, 10_000); ; {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond): // 100 kB/s
				}
				if _, err := io.ReadFull(conn, part); err != nil {
					t.Errorf("a slow download ended: %v", err)
					return
				}
			}
		})
	}
	c.wantPrompt()
	close(stop)
	all.Wait()
}

func TestMany_IdleAndHalfSent(t *testing.T) {
	lab.Slow(t)
	c := serve(t, tree{"default": say("default"), "static/": "", "protect/": ""})
	c.rest()
	for range 20 {
		c.dial()
		io.WriteString(c.dial(), "GET /redirect HTTP/1.1\r\nHost: x\r\nUser-")
	}
	c.wantPrompt()
}

func TestMany_SilentReaders(t *testing.T) {
	lab.Slow(t)
	c := serve(t, tree{"default": say("default"), "static/": "", "protect/": ""})
	c.sparse("big", 60<<20)
	c.rest()
	for range 5 {
		conn := c.dial()
		io.WriteString(conn, request("GET", "/big"))
		if _, err := conn.Read(make([]byte, 1)); err != nil { // it has begun
			t.Fatal(err)
		}
	}
	c.wantPrompt()
}

func TestMany_MemoryOfDownloads(t *testing.T) {
	lab.Slow(t)
	const size = 256 << 20
	c := serve(t, tree{})
	c.sparse("big", size)
	flat(t, 64<<20, func() {
		var all sync.WaitGroup
		for range 4 {
			conn := c.dial()
			all.Go(func() {
				io.WriteString(conn, request("GET", "/big"))
				r, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body,
					make([]byte, 1<<20)); n != size || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
		all.Wait()
	})
}

// flat runs do, which may allocate at most limit bytes in all, garbage
// included: what was never allocated is no memory that is held. Only for tests
// that are not parallel.
func flat(t *testing.T, limit uint64, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > limit {
		t.Errorf("%d MiB were allocated, want at most %d", got>>20, limit>>20)
	}
}

// What the files of the Ruby PXESrv promised.

func TestPromise_OnceIsUsedUpByTheRequest(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"static/127.0.0.1": say("static"), "once/127.0.0.1": "-> ../install"})
	c.wantScript("install")
	if _, err := os.Lstat(filepath.Join(c.root, "once/127.0.0.1")); !os.IsNotExist(err) {
		t.Errorf("the link is still there: %v", err)
	}
	c.wantScript("static")
}

func TestPromise_ClientsShareAFileByLinks(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{
		"default": say("default"), "rack": say("rack"), "static/shared": say("shared"),
		"static/127.0.0.1": "-> ../rack", "static/127.0.0.2": "-> ../rack",
		"static/127.0.0.3": "-> shared",
		"once/127.0.0.4":   "-> ../rack", "once/127.0.0.5": "-> ../rack",
		"once/127.0.0.6": "-> ../static/shared",
	})
	for from, want := range map[string]string{
		"127.0.0.1": "rack", "127.0.0.2": "rack", "127.0.0.3": "shared", "127.0.0.4": "rack",
		"127.0.0.5": "rack", "127.0.0.6": "shared",
	} {
		c.as(from).wantScript(want)
	}
}

// iPXE resolves what a script names against the URL of the script.
func TestPromise_PathsInScriptsAreRelativeToTheRoot(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "centos/7/default": say("centos"),
		"static/127.0.0.1": "#!ipxe\nchain ../centos/7/default\n"})
	a := c.redirect()
	_, path, _ := strings.Cut(strings.TrimSpace(a.body), "chain ")
	base, _ := url.Parse("http://boot.example:4567/redirect")
	ref, err := base.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	c.wantBody(c.ask("GET", ref.Path), say("centos"))
	c.wantBody(c.ask("GET", "/centos/7/default"), say("centos"))
}

// The notes of the Ruby project showed a link to a folder, which never worked.
// It does no harm here.
func TestPromise_LinkToFolder(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "centos/default": say("centos"),
		"once/127.0.0.1": "-> $ROOT/centos"})
	c.wantKept("default", "is a directory")
}

// DHCP says filename "http://server:4567/redirect".
func TestPromise_PortAndPath(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	if got := cfg.Addresses(); !slices.Equal(got, []string{":4567"}) {
		t.Errorf("it listens on %q", got)
	}
	c := serve(t, tree{"default": say("default")})
	c.wantBody(c.ask("GET", "/redirect"), say("default"))
}

// What is new: the routes and their answers

func TestRoute_PlainIPXEIsAskedWhoItIs(t *testing.T) {
	t.Parallel()
	files := tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install"}
	const iPXE = "User-Agent: iPXE/1.0.0+git-20190125.36a4c85-5.1"
	c := serve(t, files)
	if a := c.redirect(iPXE); a.body != string(ipxe.Identify()) || a.close {
		t.Errorf("iPXE without a query: %+v", a)
	}
	c.wantOrder(me, "pending")
	c.wantBody(c.redirectQuery("?uuid=&serialx=&try=0", iPXE), say("install")) // never asked twice
	c.put("once/127.0.0.1", "-> ../install")
	c.wantScript("install", "User-Agent: curl/7.88.1") // answered by its address

	c = serve(t, files, func(cfg *config.Config) { cfg.Identify = false })
	c.wantScript("install", iPXE)
}

func TestRoute_FirmwareUsesNothingUp(t *testing.T) {
	t.Parallel()
	wantBehind(t, "User-Agent: UefiHttpBoot/1.0", "Accept: */*")
}

func TestRoute_OwnScripts(t *testing.T) {
	t.Parallel()
	// Files of those names do not hide the routes, except below ipxe/.
	c := serve(t, tree{"default": say("default"), "redirect": say("hidden"),
		"boot.ipxe": say("hidden"), "local.ipxe": say("hidden")})
	c.wantScript("default")
	identify, local := string(ipxe.Identify()), string(ipxe.Local())
	for path, want := range map[string]string{
		"/boot.ipxe": identify, "/boot.ipxe.0": identify, "/autoexec.ipxe": identify,
		"/ipxe/autoexec.ipxe": identify, "//ipxe//autoexec.ipxe": identify,
		"/local.ipxe": local, "//local.ipxe": local, "/local.ipxe?x=1": local,
	} {
		a := c.ask("GET", path)
		c.wantBody(a, want)
		if err := a.sound(); err != nil || a.close {
			t.Errorf("%s: %v, close %v", path, err, a.close)
		}
		if a := c.ask("HEAD", path); a.status != 200 ||
			a.header.Get("Content-Length") != fmt.Sprint(len(want)) {
			t.Errorf("HEAD %s: %+v", path, a)
		}
	}
	c.put("ipxe/autoexec.ipxe", say("mine"))
	c.wantBody(c.ask("GET", "/ipxe/autoexec.ipxe"), say("mine"))
}

func TestRoute_Files(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/vmlinuz": "0123456789", "sub/x.json": "{}",
		"link": "-> sub/vmlinuz", "../other/x": "secret", "out": "-> ../other/x"})
	for path, kind := range map[string]string{
		"/sub/vmlinuz": "application/octet-stream", "//sub//vmlinuz": "application/octet-stream",
		"/link":               "application/octet-stream",
		"/sub/../sub/vmlinuz": "application/octet-stream", "/sub/x.json": "application/json",
	} {
		a := c.ask("GET", path)
		if a.status != 200 || a.header.Get("Content-Type") != kind ||
			a.header.Get("Content-Length") != fmt.Sprint(len(a.body)) || a.close {
			t.Errorf("%s: %+v", path, a)
		}
	}
	a := c.ask("GET", "/sub/vmlinuz", "Range: bytes=2-4")
	if a.status != 206 || a.body != "234" || a.header.Get("Content-Length") != "3" ||
		a.header.Get("Content-Range") != "bytes 2-4/10" ||
		a.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("a range: %+v", a)
	}
	if a := c.ask("GET", "/sub/vmlinuz", "If-Modified-Since: "+
		c.ask("GET", "/sub/vmlinuz").header.Get("Last-Modified")); a.status != 304 {
		t.Errorf("not modified: %+v", a)
	}
	if a := c.ask("HEAD", "/sub/vmlinuz"); a.status != 200 ||
		a.header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: %+v", a)
	}
	if a := c.ask("POST", "/sub/vmlinuz", "Content-Length: 0"); a.status != 405 ||
		a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %+v", a)
	}
	c.wantStatus(c.ask("GET", "/out"), 404)
}

func TestRoute_NeverServed(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{
		"default": say("default"), "x": say("x"), "once/10.0.0.1": "-> ../x",
		"static/10.0.0.1": say("x"), "protect/10.0.0.1": say("x"), "private/x": say("x"),
		"until-done/10.0.0.1": "-> ../x", ".hidden": say("x"), "sub/.hidden": say("x"),
		".git/config": "x", "link": "-> .git/config", "x.tmpl": say("x"),
		"STATIC/10.0.0.2": say("x"), "hosts/a.yaml": "x", ".treeinfo": "shown",
		"../secret": say("secret"),
	})
	for _, path := range []string{
		"/once/10.0.0.1", "/static/10.0.0.1", "/protect/10.0.0.1", "/private/x",
		"/until-done/10.0.0.1", "/STATIC/10.0.0.2", "//static/10.0.0.1", "/x/../static/10.0.0.1",
		"/%73tatic/10.0.0.1", "/.hidden", "/%2ehidden", "/sub/.hidden", "/.git/config",
		"/.GIT/config", "/link", "/x.tmpl", "/hosts/a.yaml", "/once/.claimed", "/once/", "/once",
		"/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret", "/sub%2f.hidden",
		"/..%5csecret", "/....//secret", "/%00", "/%ff", "/%252e%252e/secret",
	} {
		if a := c.ask("GET", path); a.status != 404 ||
			a.body != "there is nothing under this name\n" {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
	c.wantBody(c.ask("GET", "/.treeinfo"), "shown")
	c.wantOrder("10.0.0.1", "pending")
}

// The connection goes on after every answer except one that uses an order up.
func TestRoute_KeepAlive(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"), "file": "x",
		"once/127.0.0.1": "-> ../install"})
	conn := c.dial()
	in := bufio.NewReader(conn)
	for _, step := range []struct{ method, path, body string }{
		{"HEAD", "/redirect", ""}, {"GET", "/local.ipxe", string(ipxe.Local())},
		{"GET", "/file", "x"}, {"GET", "/boot.ipxe", string(ipxe.Identify())},
		{"GET", "/nothing", "there is nothing under this name\n"},
		{"GET", "/redirect", say("install")},
	} {
		io.WriteString(conn, request(step.method, step.path))
		a, err := read(in, step.method)
		if last := step.body == say("install"); err != nil || a.body != step.body ||
			a.close != last {
			t.Fatalf("%s %s: %+v %v", step.method, step.path, a, err)
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after the order: %v, want the end of the connection", err)
	}
}

// protect/ counts by existence; orders wait.
func TestRoute_Protect(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install", "protect/127.0.0.1": "-> nowhere"})
	c.wantBody(c.redirect(), string(ipxe.Local()))
	c.wantOrder(me, "pending")
	c.wantLog("msg=redirect", "step=protect", "waits", "once/127.0.0.1")
}
