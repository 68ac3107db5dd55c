//go:build linux

package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
)

// Bad inputs of somebody who means harm; other faults are in faults_test.go.

// canary is in every file that nobody may get.
const canary = "canary-7f3a"

// exchange sends bytes on a connection of its own, whatever the server says
// meanwhile, and returns all that came back until the server closed. A reset
// counts as a close.
func (c *client) exchange(text string) (back string, err error) {
	conn, err := c.connect()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	go io.WriteString(conn, text)
	b, err := io.ReadAll(conn)
	if errors.Is(err, syscall.ECONNRESET) {
		err = nil
	}
	return string(b), err
}

// wantRefused sends bytes that are no good request: the answer is one of the
// statuses, once, or a close without a word.
func (c *client) wantRefused(text string, statuses ...int) {
	c.t.Helper()
	back, err := c.exchange(text)
	if err != nil {
		c.t.Errorf("%.60q: %v", text, err)
		return
	}
	if back == "" {
		return
	}
	want := false
	for _, s := range statuses {
		want = want || strings.HasPrefix(back, fmt.Sprintf("HTTP/1.1 %d ", s)) ||
			strings.HasPrefix(back, fmt.Sprintf("HTTP/1.0 %d ", s))
	}
	if !want || strings.Count(back, "HTTP/1.") != 1 {
		c.t.Errorf("%.60q is answered by %.200q, want one of %v", text, back, statuses)
	}
}

// snapshot says what lies below a directory, and when it was changed.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		fmt.Fprintln(&all, path, info.Mode(), info.Size(), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestHostile_Traversal(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{
		"default": say("default"), "../secret": canary, "../root-evil/secret": canary,
		"sub/deep/file": "text",
		"folder":        "-> sub/deep", "out": "-> ../secret", "outdir": "-> ..",
		"abs": "-> $ROOT/../secret",
	})
	for _, path := range []string{
		"/../secret", "/sub/../../secret", "/./../secret", "//../secret", "///../../secret",
		"/sub//../../secret", "/sub/./../../secret",
		"/%2e%2e/secret", "/%2E%2E/secret", "/%2e./secret", "/.%2e/secret",
		"/sub/%2e%2e/%2e%2e/secret", "/%2e%2e%2fsecret", "/..%2fsecret", "/..%2Fsecret",
		"/%252e%252e/secret", "/%252e%252e%252fsecret", "/%25252e%25252e/secret",
		"/..\\secret", "/..%5csecret", "/..%5Csecret", "/%2e%2e%5csecret", "/sub\\..\\..\\secret",
		"/..%255csecret",
		"/%c0%ae%c0%ae/secret", "/%e0%80%ae%e0%80%ae/secret", "/%f0%80%80%ae%f0%80%80%ae/secret",
		"/..%c0%afsecret", "/..%c1%9csecret", "/\xc0\xae\xc0\xae/secret",
		"/%uff0e%uff0e/secret", "/．．/secret", "/%ef%bc%8e%ef%bc%8e/secret", "/..%u2216secret",
		"/....//secret", "/....//....//secret", "/.../secret", "/....\\/secret", "/..;/secret",
		"/sub/..;/..;/secret", "/..%00/secret", "/..%0d%0a/secret", "/..%20/secret",
		"/%20../secret",
		"/folder/../../secret", "/folder/../../../secret", "/out", "/outdir/secret",
		"/outdir/root-evil/secret", "/abs", "/../root-evil/secret", "/sub/../../root-evil/secret",
		"/" + strings.Repeat("../", 100) + "etc/passwd", "/" + strings.Repeat("%2e%2e/", 100) +
			"etc/passwd", "/sub/" + strings.Repeat("..%2f", 30) + "etc/passwd",
		"//etc/passwd", "/%2fetc/passwd", "/etc/passwd", "/proc/self/environ",
		"/sub/deep/file/../../../../secret",
		"http://boot.example/../secret", "http://boot.example/%2e%2e/secret",
		"http://boot.example//../secret", "file:///etc/passwd", "*", "../secret", "secret", "/..",
		"/../", "..",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := c.ask(method, path)
			if a.status < 400 || a.status > 499 || strings.Contains(a.body, canary) ||
				strings.Contains(a.body, "root:") {
				t.Errorf("%s %.80q: status %d, %.80q", method, path, a.status, a.body)
			}
		}
	}
	// an absolute URL and a link inside are no attack
	c.wantBody(c.ask("GET", "http://boot.example/folder/file"), "text")
	if strings.Contains(c.log.String(), canary) {
		t.Error("the log has a line of the file")
	}
}

func TestHostile_HiddenNames(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{
		"default": say("default"), ".git/config": canary, ".git/HEAD": canary,
		".GIT/config": canary, "sub/.git/config": canary, ".gitignore": canary,
		".env": canary, ".git": "",
		"file": "-> .git/config", "folder": "-> .git", "two": "-> file", "sub/up": "-> ../.git",
		".treeinfo": "shown", "private/x": canary, "into": "-> private/x",
		"ONCE/x": canary, "Static/x": canary, "PROTECT/x": canary, "Private/x": canary,
		"once/127.0.0.9": "-> ../default", "static/127.0.0.9": canary, "protect/x": canary,
		"a.tmpl": canary, "A.TMPL": canary,
		"hosts/x.yaml": canary,
	}.without(".git"))
	for _, path := range []string{
		"/.git/config", "/.git/HEAD", "/%2egit/config", "/%2Egit/config", "/.gi%74/config",
		"/.GIT/config", "/.Git/config", "/%2eGIT/config", "/.git%2fconfig", "/.git%5cconfig",
		"/.git//config", "//.git/config",
		"/./.git/config", "/sub/../.git/config", "/.git/../.git/config", "/sub/.git/config",
		"/.gitignore", "/.env", "/.git", "/.git/", "/.git/.", "/.git%20/config", "/.git./config",
		"/.git::$INDEX_ALLOCATION/config",
		"/file", "/folder/config", "/folder/", "/folder", "/two", "/sub/up/config", "/into",
		"/private/x", "/Private/x", "/PRIVATE/x",
		"/once/127.0.0.9", "/ONCE/x", "/Once/127.0.0.9", "/static/127.0.0.9", "/Static/x",
		"/STATIC/x", "/protect/x", "/PROTECT/x", "/%6fnce/127.0.0.9", "/once/.claimed",
		"/once/.claimed/", "/sub/../once/127.0.0.9",
		"/a.tmpl", "/A.TMPL", "/a.tmpl/", "/a.%74mpl", "/hosts/x.yaml", "/", "/sub", "/sub/",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := c.ask(method, path)
			if a.status != 404 || strings.Contains(a.body, canary) {
				t.Errorf("%s %s: status %d, %.80q", method, path, a.status, a.body)
			}
		}
	}
	c.wantBody(c.ask("GET", "/.treeinfo"), "shown")
}

// without is the tree without an entry.
func (files tree) without(name string) tree {
	delete(files, name)
	return files
}

func TestHostile_TooLongAndNUL(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/file": "text"})
	for _, path := range []string{
		"/%00", "/default%00", "/default%00.txt", "/sub%00/file", "/sub/%00file", "/redirect%00",
		"/" + strings.Repeat("n", 256), "/" + strings.Repeat("n", 300),
		"/sub/" + strings.Repeat("n", 300),
		"/" + strings.Repeat("long/", 1200), "/" + strings.Repeat("long/", 1200) + "x",
		"/" + strings.Repeat("n", 6000), "/" + strings.Repeat("d/", 40) + "x", "/%ff", "/%01",
		"/%7f", "/%zz", "/%", "/sub/file/more",
	} {
		if a := c.ask("GET", path); a.status < 400 || a.status > 499 {
			t.Errorf("%.40q: status %d", path, a.status)
		}
	}
	c.wantRefused("GET /def\x00ault HTTP/1.1\r\nHost: x\r\n\r\n", 400, 404)
	c.wantRefused("GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, 404)
	for _, key := range []string{"serial", "uuid", "mac", "macs", "host", "asset", "manufacturer",
		"serialx", "try", "nothing"} {
		// As much as goes into a head: no name comes of it, and nobody else's
		// answer.
		c.wantBody(c.redirectQuery("?"+key+"="+strings.Repeat("a1", 7500)), say("default"))
		c.wantRefused(request("GET", "/redirect?"+key+"="+strings.Repeat("a1", 10<<10)),
			400, 414, 431)
	}
	c.wantScript("default")
}

// attacks are values that a machine, or who claims to be one, may send for a
// name, as they are after the query is decoded.
func attacks() []string {
	return []string{
		"../../x", "..", ".", "/", "/etc/passwd", "../../../../etc/passwd", "..\\..\\x", ".claimed",
		".served", ".claimed/x", "*", "?", "[a-z]", "~", "~root", "-rf", "--", ".new~x",
		"a~b~c~d~e", "default", "once", "static",
		"😀", "é", "\xff\xfe", "\xc0\xae\xc0\xae/x", "\xed\xa0\x80", "127.0.0.9", "::1", "[::1]",
		"::ffff:127.0.0.9", "0x7f.1", "2130706441",
		"x\nchain http://evil.example/", "x\r\nSet-Cookie: a=b", "x\r\n\r\n#!ipxe\nshell",
		"${uuid}", "${net0/mac}", "a && reboot", "a || shell", "# a", "\x1b[31mred\x1b[0m",
		"a\x00b", "\u2028", "\u202e", "\u0085", "\b\b\b",
		`" msg=order state=served`, `","msg":"order"`, "x level=ERROR msg=order",
		"<script>alert(1)</script>", "'; DROP TABLE x; --", "$(reboot)", "`reboot`", "%n%s%x",
		"%00", "%2e%2e", "a b", "\t", strings.Repeat("A", 5000), strings.Repeat("\n", 3000),
		"{{.}}", "{{7*7}}", "{{ range . }}", `{{ template "x" }}`, "<%= 7*7 %>", "#{7*7}", "${7*7}",
		"{% include 'x' %}", "{{printf \"%s\" .Env}}",
	}
}

// escaped writes every byte of a value as %XX.
func escaped(value string) string {
	var s strings.Builder
	for i := range len(value) {
		fmt.Fprintf(&s, "%%%02X", value[i])
	}
	return s.String()
}

// keys are all parameters that become names, or are read at all.
var keys = []string{"uuid", "serial", "asset", "mac", "macs", "host", "manufacturer", "product",
	"board", "hostname", "arch", "platform", "try"}

func TestHostile_Names(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{
		"default": say("default"), "../x": say(canary), "x/y": say(canary),
		"install": say("install"), "static/.keep": "", "protect/.keep": "",
		"once/127.0.0.9": "-> ../install", "static/127.0.0.9": say("other"),
		"once/.claimed/": "", "once/.served/": "", "static/.claimed": say(canary),
	})
	c.rest()
	before := snapshot(t, filepath.Dir(c.root))
	for _, value := range attacks() {
		for _, query := range []string{
			"?serial=" + escaped(value), "?serialx=" + fmt.Sprintf("%x", value),
			"?host=" + escaped(value), "?uuid=" + escaped(value) + "&mac=" + escaped(value) +
				"&asset=" + escaped(value), "?manufacturer=" + escaped(value) + "&serial=" +
				escaped(value),
		} {
			if len(query) < 15000 {
				c.wantBody(c.redirectQuery(query), say("default"))
			}
		}
	}
	if after := snapshot(t, filepath.Dir(c.root)); after != before {
		t.Errorf("files were touched:\n%s\nwere\n%s", after, before)
	}
	c.stop()
	named := regexp.MustCompile(`names=(\S*) duration_ms=`)
	for line := range strings.Lines(c.log.String()) {
		if m := named.FindStringSubmatch(line); m != nil {
			for _, name := range strings.Split(strings.Trim(m[1], `"`), ",") {
				if !boot.IsName(name) {
					t.Errorf("%q became a name", name)
				}
			}
		} else if strings.Contains(line, "msg=redirect") {
			t.Errorf("no names in %.200q", line)
		}
	}
}

func TestFiles_NotAPlainFile(t *testing.T) {
	c := serve(t, tree{"default": say("default"), "sub/": ""})
	made := []string{"/sub", "/sub/fifo", "/sub/socket", "/link"}
	for name, mode := range map[string]uint32{"sub/fifo": unix.S_IFIFO,
		"sub/socket": unix.S_IFSOCK} {
		if err := unix.Mknod(filepath.Join(c.root, name), mode|0o644, 0); err != nil {
			t.Fatal(err)
		}
	}
	c.put("link", "-> sub/fifo")
	if unix.Mknod(filepath.Join(c.root, "sub/zero"), unix.S_IFCHR|0o644,
		int(unix.Mkdev(1, 5))) == nil {
		made = append(made, "/sub/zero")
	}
	if unix.Mknod(filepath.Join(c.root, "sub/disk"), unix.S_IFBLK|0o644,
		int(unix.Mkdev(7, 99))) == nil {
		made = append(made, "/sub/disk")
	}
	for _, path := range made {
		for _, method := range []string{"GET", "HEAD"} {
			for range 5 {
				c.wantStatus(c.ask(method, path), 404)
			}
		}
	}
	if !eventually(func() bool { return working() == 0 }) {
		t.Errorf("%d goroutines are left", working())
	}
}

// A right that is missing, as a file system tells it: this test may run as
// root, who has them all.
func TestFiles_NoPermission(t *testing.T) {
	faults := faultfs.Mount(t,
		plant(t, tree{"default": say("default"), "sub/file": canary,
			"static/127.0.0.2": say("static")}))
	c := serveAt(t, faults.Dir)
	c.rest()
	faults.Set(faultfs.Fault{Under: "sub/file", Err: unix.EACCES},
		faultfs.Fault{Under: "static", Err: unix.EACCES})
	for range 5 {
		a := c.ask("GET", "/sub/file")
		c.wantStatus(a, 403)
		if strings.Contains(a.body, "sub") || strings.Contains(a.body, faults.Dir) {
			t.Errorf("the answer names the file: %q", a.body)
		}
	}
	c.wantLog("msg=file", "path=/sub/file", "status=403")
	// Nobody can know whether static/ has something for this machine: nothing
	// is guessed.
	c.wantStatus(c.as("127.0.0.2").redirect(), 503)
	faults.Set()
	c.wantBody(c.ask("GET", "/sub/file"), canary)
	if !eventually(func() bool { return working() == 0 }) {
		t.Errorf("%d goroutines are left", working())
	}
}

// begin asks for a file and reads its first bytes; what comes then waits in the
// buffers.
func (c *client) begin(path string) (body io.Reader, length int64) {
	c.t.Helper()
	conn := c.dial()
	io.WriteString(conn, request("GET", path, "Connection: close"))
	r := bufio.NewReaderSize(conn, 512)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if n, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
		if line == "\r\n" {
			return r, length
		}
	}
}

// onlyOf fails at the first byte that is another one.
type onlyOf struct {
	n     int64
	byte  byte
	mixed bool
}

func (o *onlyOf) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != o.byte {
			o.mixed = true
			return 0, fmt.Errorf("%q after %d bytes of %q", b, o.n, o.byte)
		}
		o.n++
	}
	return len(p), nil
}

func TestFiles_ReplacedWhileSent(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	root := plant(t, tree{"default": say("default"), "x.iso": strings.Repeat("A", size)})
	c := serveAt(t, root)
	body, length := c.begin("/x.iso")
	put(t, root, "new", strings.Repeat("B", size+1))
	if err := os.Rename(filepath.Join(root, "new"), filepath.Join(root, "x.iso")); err != nil {
		t.Fatal(err)
	}
	old := &onlyOf{byte: 'A'}
	if _, err := io.Copy(old, body); err != nil || old.n != size || length != size {
		t.Errorf("%d of %d bytes of the old version: %v", old.n, length, err)
	}
	body, length = c.begin("/x.iso")
	now := &onlyOf{byte: 'B'}
	if _, err := io.Copy(now, body); err != nil || now.n != size+1 || length != size+1 {
		t.Errorf("%d of %d bytes of the new version: %v", now.n, length, err)
	}
}

func TestFiles_TruncatedWhileSent(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	c := serve(t, tree{"default": say("default"), "x.iso": ""})
	c.sparse("x.iso", size)
	body, length := c.begin("/x.iso")
	if err := os.Truncate(filepath.Join(c.root, "x.iso"), 1); err != nil {
		t.Fatal(err)
	}
	// No error but the end: the connection is closed, and the client has the
	// length to see it by.
	if n, err := io.Copy(io.Discard, body); err != nil || n >= size || length != size {
		t.Errorf("%d of %d bytes came, then %v", n, length, err)
	}
	c.wantLog("msg=file", "path=/x.iso", "status=200")
	c.wantBody(c.ask("GET", "/x.iso"), "\x00")
	c.wantScript("default")
}

// slowly opens n connections of each of four kinds that never come to their
// end, and asks beside them.
func slowly(t *testing.T, n int, set ...func(*config.Config)) {
	c := serve(t, tree{"default": say("default")}, set...)
	c.rest()
	kinds := []string{"", "GET /redi", "GET /redirect HTTP/1.1\r\nHost: x\r\nX-A: b",
		"POST /redirect HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nbody"}
	var open atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for i := range n * len(kinds) {
		conn, err := c.as(host(i)).connect()
		if err != nil {
			t.Fatal(err)
		}
		kind := kinds[i%len(kinds)]
		io.WriteString(conn, kind)
		open.Add(1)
		all.Go(func() { // what the server says, until it closes
			defer conn.Close()
			defer open.Add(-1)
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a connection with %q was not closed in %v", kind, patience)
			}
		})
		if kind != "" {
			all.Go(func() { // one byte more each half second
				for _, err := conn.Write([]byte("x")); err == nil; _, err = conn.Write(
					[]byte("x")) {
					time.Sleep(500 * time.Millisecond)
				}
			})
		}
	}
	most := open.Load()
	var took []time.Duration
	for open.Load() > 0 && time.Since(began) < patience {
		a := c.wantScript("default")
		took = append(took, a.took)
		time.Sleep(10 * time.Millisecond)
	}
	gone := time.Since(began)
	all.Wait()
	p99 := percentile(took, 99)
	t.Logf("%d slow connections of %d were open at once, and gone after %v; %d requests beside "+
		"them: p50 %v, p99 %v", most, n*len(kinds), gone, len(took), percentile(took, 50), p99)
	if p99 > 5*time.Second {
		t.Errorf("others waited %v", p99)
	}
	if !eventually(func() bool {
		return strings.Contains(c.ask("GET", "/metrics").body, "\npxesrv_connections 1\n")
	}) {
		t.Error("connections are left")
	}
}

func TestHostile_SlowConnections(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	slowly(t, 100, func(c *config.Config) {
		c.Limits.HeaderTimeout, c.Limits.ReadTimeout, c.Limits.IdleTimeout = time.Second,
			3*time.Second, time.Second
	})
}

func TestSoakSlowConnections(t *testing.T) {
	soak(t)
	slowly(t, 500)
}

func TestHostile_BigHead(t *testing.T) {
	c := serve(t, tree{"default": say("default")})
	flat(t, 64<<20, func() {
		c.wantRefused(request("GET", "/redirect", "X-A: "+strings.Repeat("a", 64<<10)), 431)
		c.wantRefused(request("GET", "/redirect", "X-A: "+strings.Repeat("a", 2<<20)), 431)
		c.wantRefused(request("GET", "/redirect", strings.Split(strings.Repeat("X-A: a\n", 300000),
			"\n")[:299999]...), 431)
		c.wantRefused(request("GET", "/"+strings.Repeat("a", 64<<10)), 431, 414, 400)
		c.wantRefused(strings.Repeat("G", 1<<20), 431, 414, 400)
	})
	c.wantScript("default")
}

func TestHostile_TwoMeanings(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "file": "text"})
	inner := "GET /file HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, head := range []string{
		"Host: a\r\nHost: b", "Host: x\r\nContent-Length: 4\r\nContent-Length: 5",
		"Host: x\r\nContent-Length: 4, 5", "Host: x\r\nContent-Length: -1",
		"Host: x\r\nContent-Length: +4", "Host: x\r\nContent-Length: 0x4",
		"Host: x\r\nContent-Length: 99999999999999999999",
		"Host: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked",
		"Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4",
		"Host: x\r\nTransfer-Encoding: chunked",
		"Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
		"Host: x\r\nTransfer-Encoding: xchunked", "Host: x\r\nTransfer-Encoding : chunked",
		"Host: x\r\nX-A: a\x00b", "Host: x\r\nX-\x00: a", "Host : x", "Host: x\r\nno colon",
		"Host: a/../b?c", "Host: x\r\n: empty", "Host: x\r\nX-A: a\rX-B: b",
	} {
		for _, method := range []string{"GET", "POST"} {
			c.wantRefused(method+" /redirect HTTP/1.1\r\n"+head+"\r\n\r\n0\r\n\r\n"+inner, 400, 501)
		}
	}
	for _, line := range []string{"GET /redirect HTTP/1.1 HTTP/1.1", "GET  /redirect HTTP/1.1",
		"GET /redirect", " GET /redirect HTTP/1.1", "GET\t/redirect\tHTTP/1.1",
		"GET /redirect HTTP/9.9", "GET /redirect HTTP/-1", "/redirect", "G\x00T /redirect HTTP/1.1",
		"GET /redi rect HTTP/1.1"} {
		c.wantRefused(line+"\r\nHost: x\r\n\r\n", 400, 505)
	}
	c.wantScript("default")
}

func TestHostile_TooMuch(t *testing.T) {
	lab.Slow(t)
	c := serve(t, tree{"default": say("default"), "static/.keep": "", "protect/.keep": "",
		"file": strings.Repeat("0123456789abcdef", 1<<16)})
	c.rest()
	whole := 1 << 20
	for _, ranges := range []string{strings.Repeat("0-0,", 999) + "0-0",
		strings.Repeat("0-,", 999) + "0-", strings.Repeat("5-,", 999) + "-1",
		strings.Repeat("0-9,", 3000) + "0-0"} {
		a := c.ask("GET", "/file", "Range: bytes="+ranges)
		if a.status != 206 && a.status != 200 && a.status != 416 || len(a.body) > whole+(1<<20) {
			t.Errorf("%.20q…: status %d with %d bytes", ranges, a.status, len(a.body))
		}
	}
	flat(t, 64<<20, func() {
		for _, method := range []string{"POST", "PUT", "GET"} {
			a := c.ask(method, "/file", "Content-Length: 100000000000", "Expect: 100-continue")
			if a.status < 200 || a.status > 499 || !a.close {
				t.Errorf("%s with 100 GB announced: %+v", method, a)
			}
		}
	})
	conn := c.dial()
	go io.WriteString(conn, strings.Repeat(request("GET", "/redirect"), 300))
	r := bufio.NewReader(conn)
	for i := range 300 {
		a, err := read(r, "GET")
		if err != nil || a.body != say("default") {
			t.Fatalf("answer %d of 300 pipelined requests: status %d, %v", i+1, a.status, err)
		}
	}
}

func TestHostile_OtherProtocols(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default")}, func(c *config.Config) {
		c.Limits.HeaderTimeout, c.Limits.ReadTimeout = time.Second, 2*time.Second
	})
	hello := "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + strings.Repeat("\x5a", 32) +
		"\x00\x00\x04\x13\x01\x13\x02\x01\x00\x00\x97" + strings.Repeat("\x00", 151)
	for _, text := range []string{
		hello, hello + "\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "SSH-2.0-x\r\n\r\n",
		"\r\n\r\n\r\n", "\x05\x01\x00", "\x00\x01default\x00octet\x00",
		"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\nConnection: close\r\n\r\n",
		"HELP\r\n\r\n", "{\"a\":1}\r\n\r\n", "*1\r\n$4\r\nPING\r\n\r\n",
	} {
		c.wantRefused(text, 400, 404, 405, 505)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all sync.WaitGroup
	for range 100 {
		noise := make([]byte, 1+random.IntN(64<<10))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		all.Go(func() { c.wantRefused(string(noise)+"\r\n\r\n", 400, 431) })
	}
	all.Wait()
	c.wantScript("default")
}

// books runs a daemon that logs in both forms at once.
func books(t *testing.T, files tree) (c *client, inJSON *logBook) {
	t.Helper()
	cfg := config.Default()
	cfg.Root, cfg.Listen = plant(t, files), []string{"127.0.0.1:0"}
	inJSON = &logBook{}
	return start(t, cfg, func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
		return run(ctx, cfg,
			slog.New(slog.NewMultiHandler(log.Handler(), slog.NewJSONHandler(inJSON, nil))))
	}), inJSON
}

// wantOwnLines wants lines of the daemon and no other, as many about requests
// as there were, and none that does something to a terminal.
func (c *client) wantOwnLines(inJSON *logBook, requests int) {
	c.t.Helper()
	const kinds = "redirect|file|identification|local boot"
	line := regexp.MustCompile(`^time=\S+ level=(INFO|WARN|ERROR) msg=("[a-z][^"]*"|[a-z]+) `)
	about := regexp.MustCompile(`^time=\S+ level=\S+ msg="?(` + kinds + `)"? peer=`)
	n := 0
	for l := range strings.Lines(c.log.String()) {
		if !line.MatchString(l) || len(l) > 8<<10 ||
			strings.ContainsFunc(strings.TrimSuffix(l, "\n"), func(r rune) bool {
				return !unicode.IsPrint(r)
			}) {
			c.t.Errorf("a line of the log is %.300q", l)
		}
		if about.MatchString(l) {
			n++
		}
	}
	inJ := 0
	for l := range strings.Lines(inJSON.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(l), &fields); err != nil ||
			strings.ContainsAny(l, "\x00\x1b\r\u2028\u2029") || len(l) > 8<<10 {
			c.t.Errorf("a line of the log in JSON is %.300q: %v", l, err)
		}
		if msg, _ := fields["msg"].(string); strings.Contains("|"+kinds+"|", "|"+msg+"|") {
			inJ++
		}
	}
	if n != requests || inJ != requests {
		c.t.Errorf("%d lines of text and %d of JSON about %d requests", n, inJ, requests)
	}
}

func TestHostile_Values(t *testing.T) {
	t.Parallel()
	c, inJSON := books(t, tree{"default": say("default"), "static/.keep": "", "protect/.keep": ""})
	c.rest()
	plain := c.wantScript("default")
	n := 1
	for _, value := range attacks() {
		for _, key := range keys {
			query := "?" + key + "=" + escaped(value)
			if len(query) > 15000 {
				query = query[:14998]
			}
			a := c.redirectQuery(query)
			n++
			c.wantBody(a, say("default"))
			for name, values := range a.header {
				if name != "Date" && strings.Join(values, "\n") != strings.Join(plain.header[name],
					"\n") {
					t.Errorf("%q for %s changes the header %s to %q", value, key, name, values)
				}
			}
			if len(a.header) != len(plain.header) {
				t.Errorf("%q for %s adds a header: %v", value, key, a.header)
			}
		}
		if value = escaped(value); len(value) < 12000 {
			a := c.ask("GET", "/"+value)
			if a.status < 400 || a.status > 499 {
				if a.status != 200 || a.body != say("default") { // the file of that name
					t.Errorf("/%.60s: status %d", value, a.status)
				}
			}
		}
	}
	c.stop()
	// Not each path becomes a line: those that are refused before a file is
	// looked for do not.
	files := len(regexp.MustCompile(`(?m)^time=\S+ level=\S+ msg=file `).FindAllString(
		c.log.String(), -1))
	c.wantOwnLines(inJSON, n+files)
}

func TestHostile_TemplatesAreText(t *testing.T) {
	t.Parallel()
	script := say("{{7*7}} <%= 7*7 %> ${7*7} #{7*7} {{.Env}}")
	c, inJSON := books(t, tree{"default": script, "static/.keep": "", "protect/.keep": "",
		"file": script})
	c.rest()
	c.wantBody(c.redirect(), script)
	c.wantBody(c.ask("GET", "/file"), script)
	values := []string{"{{7*7}}", "{{.}}", "{{ .Env }}", "<%= 7*7 %>", "#{7*7}", "{% raw %}",
		"{{template \"x\"}}", "{{define \"x\"}}"}
	for _, v := range values {
		c.wantBody(c.redirectQuery("?serial="+escaped(v)+"&host="+escaped(v)), script)
	}
	c.stop()
	c.wantOwnLines(inJSON, 2+len(values))
}

func TestHostile_NothingIsReflected(t *testing.T) {
	t.Parallel()
	c, inJSON := books(t, tree{"default": say("default"), "file": "text", "static/.keep": "",
		"protect/.keep": ""})
	paths := []string{"/redirect", "/redirect?serial=" + canary, "/boot.ipxe", "/local.ipxe",
		"/file", "/nothing", "/nothing/" + canary, "/healthz", "/readyz", "/metrics",
		"/../" + canary, "/%zz" + canary}
	c.rest()
	for _, path := range paths {
		for _, h := range []string{
			"X-Forwarded-For: " + canary, "X-Forwarded-Host: " + canary, "X-Forwarded-Proto: " +
				canary, "X-Forwarded-Prefix: /" + canary, "Forwarded: host=" + canary,
			"X-Original-URL: /" + canary, "X-Rewrite-URL: /" + canary, "X-Real-IP: " + canary,
			"User-Agent: " + canary, "User-Agent: iPXE/" + canary, "User-Agent: \x1b[31m" + canary,
			"Referer: http://" + canary, "Cookie: a=" + canary, "Accept: " + canary,
			"Origin: http://" + canary, "Range: " + canary, "If-None-Match: \"" + canary + "\"",
			"X-HTTP-Method-Override: DELETE", "Authorization: Basic " + canary,
			"Accept-Encoding: gzip, " + canary, "Upgrade: " + canary + "\r\nConnection: Upgrade",
			"TE: " + canary, "X-Forwarded-For: " + strings.Repeat(canary+",", 500),
		} {
			back, err := c.exchange(request("GET", path, h, "Connection: close"))
			if err != nil || strings.Contains(strings.ToLower(back), canary) {
				t.Errorf("%s with %q is answered by %q, %v", path, h, back, err)
			}
		}
		for _, host := range []string{canary, canary + ":99999", canary + ".example", "user@" +
			canary, canary + "/../x", "<" + canary + ">", "[" + canary + "]", canary + "\t"} {
			back, err := c.exchange("GET " + path + " HTTP/1.1\r\nConnection: close\r\nHost: " +
				host + "\r\n\r\n")
			if err != nil || strings.Contains(strings.ToLower(back), canary) ||
				strings.HasPrefix(back, "HTTP/1.1 500") {
				t.Errorf("%s with Host %q is answered by %q, %v", path, host, back, err)
			}
		}
	}
	c.stop()
	lines := regexp.MustCompile(
		`(?m)^time=\S+ level=\S+ msg=(redirect|file|identification|"local boot") `).FindAllString(
		c.log.String(), -1)
	c.wantOwnLines(inJSON, len(lines))
}

func TestHostile_InventedMachines(t *testing.T) {
	lab.Slow(t)
	cfg := config.Default()
	cfg.Root, cfg.Listen = plant(t, tree{"default": say("default"), "static/.keep": "",
		"protect/.keep": ""}), []string{"127.0.0.1:0"}
	c := start(t, cfg, func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
		return run(ctx, cfg, slog.New(&first{Handler: log.Handler()}))
	})
	c.rest()
	conn := c.dial()
	r := bufio.NewReader(conn)
	strangers := func(from, to int) {
		for i := from; i < to; i += 50 {
			text := ""
			for j := i; j < i+50; j++ {
				text += request("GET",
					fmt.Sprintf("/redirect?uuid=%08x-1111-4111-8111-%012x&serial=S%d&mac=02:00:00:00:%02x:%02x&host=h%d", j, j, j, j/256, j%256, j))
			}
			go io.WriteString(conn, text)
			for range 50 {
				if a, err := read(r, "GET"); err != nil || a.body != say("default") {
					t.Fatalf("status %d, %v", a.status, err)
				}
			}
		}
	}
	state := func() (series int, heap uint64) {
		for line := range strings.Lines(c.ask("GET", "/metrics").body) {
			if line[0] != '#' {
				series++
			}
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return series, m.HeapAlloc
	}
	strangers(0, 500)
	disk, threads := snapshot(t, c.root), runtime.NumGoroutine()
	series, heap := state()
	strangers(500, 5500)
	seriesNow, heapNow := state()
	if seriesNow != series {
		t.Errorf("%d series of metrics, %d before 5000 strangers", seriesNow, series)
	}
	if heapNow > heap+4<<20 {
		t.Errorf("%d bytes of heap, %d before 5000 strangers", heapNow, heap)
	}
	if now := snapshot(t, c.root); now != disk {
		t.Errorf("files after 5000 strangers:\n%s\nbefore\n%s", now, disk)
	}
	if !eventually(func() bool { return runtime.NumGoroutine() <= threads+5 }) {
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), threads)
	}
	t.Logf("%d series; heap %+d bytes", seriesNow, int64(heapNow)-int64(heap))
}

// first passes the first lines on, and only formats the others.
type first struct {
	slog.Handler
	n atomic.Int64
}

func (f *first) Handle(ctx context.Context, r slog.Record) error {
	if f.n.Add(1) <= 10 {
		return f.Handler.Handle(ctx, r)
	}
	return slog.NewTextHandler(io.Discard, nil).Handle(ctx, r)
}

// wantNoOrders wants a daemon that says that it cannot grant orders, and
// answers all else.
func (c *client) wantNoOrders(why string, said ...string) {
	c.t.Helper()
	c.wantLog(append([]string{"level=WARN", "orders cannot be " + why}, said...)...)
	var ready answer
	if !eventually(func() bool {
		ready = c.ask("GET", "/readyz")
		return ready.status == 200 && strings.Contains(ready.body, "warning: ")
	}) {
		c.t.Errorf("/readyz says %d %q", ready.status, ready.body)
	}
	if strings.Contains(ready.body, c.root) {
		c.t.Errorf("/readyz names the root: %q", ready.body)
	}
	c.wantBody(c.ask("GET", "/install"), say("install"))
	c.as("127.0.0.2").wantScript("static")
}

// wantNoLitter wants nothing of the look at the start left behind.
func (c *client) wantNoLitter() {
	c.t.Helper()
	for _, dir := range []string{"once", "once/.claimed", "once/.served"} {
		names, _ := filepath.Glob(filepath.Join(c.root, dir, ".new*"))
		if len(names) > 0 {
			c.t.Errorf("left behind: %q", names)
		}
	}
}

func withStatic() tree {
	files := installOrder()
	files["static/127.0.0.2"] = say("static")
	return files
}

func TestNoOrders_OtherFileSystem(t *testing.T) {
	needRoot(t)
	root := plant(t, withStatic())
	claimed := filepath.Join(root, "once/.claimed")
	if err := os.MkdirAll(claimed, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", claimed, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(claimed, unix.MNT_DETACH) })
	c := serveAt(t, root)
	c.wantNoOrders("granted", "another file system?", "cross-device link")
	c.wantKept("default", "skipped", "could not be claimed and stays", "cross-device link")
	c.wantNoLitter()
	if err := unix.Unmount(claimed, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	c.wantScript("install") // without a new start
	c.wantOrder(me, "served")
}

func TestNoOrders_Unwritable(t *testing.T) {
	needRoot(t)
	root := plant(t, withStatic())
	once := filepath.Join(root, "once")
	if err := unix.Mount(once, once, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(once, unix.MNT_DETACH) })
	if err := unix.Mount("", once, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY,
		""); err != nil {
		t.Fatal(err)
	}
	c := serveAt(t, root)
	c.wantNoOrders("granted", "read-only file system")
	c.wantKept("default", "skipped", "read-only file system")
}

// In a sticky directory of somebody else the daemon can make links, and cannot
// move those of others. As the file system tells it: the daemon's own trial is
// refused like an order.
func TestNoOrders_Sticky(t *testing.T) {
	faults := faultfs.Mount(t, plant(t, withStatic()))
	faults.Set(faultfs.Fault{Ops: faultfs.OpRename, Err: unix.EPERM})
	c := serveAt(t, faults.Dir)
	c.wantNoOrders("granted", "operation not permitted")
	c.wantKept("default", "skipped", "could not be claimed and stays", "operation not permitted")
	c.wantNoLitter()
	faults.Set()
	c.wantScript("install")
	c.wantOrder(me, "served")
}

// A stop while a large file is sent and a hundred orders are claimed: the
// daemon ends within its limits, and each order is in one place; what a machine
// got is open or served.
func TestStop_UnderLoad(t *testing.T) {
	t.Parallel()
	const orders = 100
	files := tree{"default": say("default"), "install": say("install"), "static/.keep": "",
		"protect/.keep": ""}
	for i := range orders {
		files[fmt.Sprintf("once/S%d", i)] = "-> ../install"
	}
	root := plant(t, files)
	p := launch(t, root, []string{"--limits-stop", "2s"})
	p.sparse("x.iso", 4<<30)
	p.rest()
	body, _ := p.begin("/x.iso")
	if _, err := io.CopyN(io.Discard, body, 1<<20); err != nil {
		t.Fatal(err)
	}
	got := make([]bool, orders)
	var answered atomic.Int64
	var began time.Time
	each(orders, 8, func(i int) error {
		a, err := p.as(host(i)).try(request("GET", fmt.Sprintf("/redirect?serial=S%d", i)))
		got[i] = err == nil && a.body == say("install")
		if err == nil && !got[i] {
			t.Errorf("order %d is answered by %d %.40q", i, a.status, a.body)
		}
		if answered.Add(1) == orders/3 {
			began = time.Now()
			p.terminate()
		}
		return nil
	})
	p.stop() // waits, and wants status 0
	t.Logf("the program ended %v after the signal", time.Since(began))
	if conn, err := p.connect(); err == nil {
		conn.Close()
		t.Error("somebody listens yet")
	}
	if n, _ := io.Copy(io.Discard, body); n >= 4<<30 {
		t.Error("the large file came whole, so it was no test")
	}
	count := map[string]int{}
	for i := range orders {
		state := p.order(fmt.Sprintf("S%d", i))
		count[state]++
		switch state {
		case "open", "served":
		case "pending":
			if got[i] {
				t.Errorf("order %d was sent and is pending", i)
			}
		default:
			t.Errorf("order %d is %q", i, state)
		}
	}
	t.Logf("orders: %v", count)
}

// What is nearly sent is finished.
func TestStop_DownloadIsFinished(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	p := launch(t, plant(t, tree{"default": say("default"), "x.iso": strings.Repeat("A", size)}),
		nil)
	body, _ := p.begin("/x.iso")
	p.terminate()
	p.wantLog("stopping")
	whole := &onlyOf{byte: 'A'}
	if _, err := io.Copy(whole, body); err != nil || whole.n != size {
		t.Errorf("%d bytes: %v", whole.n, err)
	}
	p.stop()
}

// cpu is the processor time that the program has used.
func (p *program) cpu() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(after)
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * time.Second / 100 // the kernel's USER_HZ
}

// crowd opens more connections than the daemon can hold, waits, and lets go.
func (p *program) crowd(meanwhile func()) {
	p.t.Helper()
	var conns []net.Conn
	for i := range 100 {
		conn, err := p.as(host(i)).connect()
		if err != nil {
			p.t.Fatal(err)
		}
		conns = append(conns, conn)
		io.WriteString(conn, "GET /redirect HTTP/1.1\r\n") // the rest comes never
	}
	before, began := p.cpu(), time.Now()
	meanwhile()
	time.Sleep(2 * time.Second)
	if used, waited := p.cpu()-before, time.Since(began); used > waited/2 {
		p.t.Errorf("%v of processor time in %v of waiting", used, waited)
	}
	for _, c := range conns {
		c.Close()
	}
}

func (p *program) wantAllWell() {
	p.t.Helper()
	for i := range 50 {
		a, err := p.as(host(i)).try(request("GET", "/redirect"))
		if err != nil || a.body != say("default") {
			p.t.Errorf("afterwards: status %d, %v", a.status, err)
		}
	}
	p.wantBody(p.ask("GET", "/file"), "text")
}

func TestDescriptors_Few(t *testing.T) {
	t.Parallel()
	p := launch(t, plant(t, tree{"default": say("default"), "file": "text"}),
		[]string{"--limits-header-timeout", "1m", "--limits-read-timeout", "1m"},
		"sh", "-c", `ulimit -n 64; exec "$0" "$@"`)
	p.wantLog("level=WARN", "the process may open too few files", "limits.connections=12000")
	p.rest()
	p.crowd(func() {})
	p.wantAllWell()
}

// The limit falls below what is open, so that not even one connection more can
// be accepted.
func TestDescriptors_None(t *testing.T) {
	t.Parallel()
	p := launch(t, plant(t, tree{"default": say("default"), "file": "text"}),
		[]string{"--limits-header-timeout", "1m", "--limits-read-timeout", "1m"})
	p.rest()
	held := p.dial() // asks while there is none
	if !eventually(func() bool { return p.mustUse().connections >= 2 }) {
		t.Fatal("the connection is not there")
	}
	var old unix.Rlimit
	if err := unix.Prlimit(p.process.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(p.process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: old.Max},
		nil); err != nil {
		t.Fatal(err)
	}
	p.crowd(func() {
		io.WriteString(held, request("GET", "/redirect")+request("GET", "/healthz")+
			request("GET", "/file"))
		r := bufio.NewReader(held)
		for _, want := range []int{503, 200, 503} { // nobody can know; alive; not now
			if a, err := read(r, "GET"); err != nil || a.status != want {
				t.Errorf("without a descriptor: status %d, %v, want %d", a.status, err, want)
			}
		}
	})
	if err := unix.Prlimit(p.process.Pid, unix.RLIMIT_NOFILE, &old, nil); err != nil {
		t.Fatal(err)
	}
	p.wantAllWell()
}
