//go:build linux

package daemon

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
)

// Files of the tree.

func TestFiles_Bytes(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/A": "a", "sub/B.ipxe": say("b"),
		"sub/blob.bin": "\x00\xff\r\n"})
	for path, body := range map[string]string{"/default": say("default"), "/sub/A": "a",
		"/sub/B.ipxe": say("b"), "/sub/blob.bin": "\x00\xff\r\n"} {
		a := c.ask("GET", path)
		c.wantBody(a, body)
		if kind := a.header.Get("Content-Type"); kind != "application/octet-stream" {
			t.Errorf("%s is %s", path, kind)
		}
		h := c.ask("HEAD", path)
		if h.status != 200 || h.body != "" ||
			h.header.Get("Content-Length") != strconv.Itoa(len(body)) ||
			h.header.Get("ETag") != a.header.Get("ETag") {
			t.Errorf("HEAD %s: %+v", path, h)
		}
	}
}

// Nothing is guessed from what is in a file, and nothing is a page that a
// browser would run.
func TestFiles_ContentTypes(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default")})
	for name, want := range map[string]string{
		"a.json": "application/json", "a.html": "application/octet-stream",
		"a.svg": "application/octet-stream", "a.js": "application/octet-stream",
		"boot.efi": "application/efi", "BOOTX64.EFI": "application/efi",
		"a.iso": "application/vnd.efi.iso", "a.img": "application/vnd.efi.img",
		"a.txt": "text/plain; charset=utf-8", "a.cfg": "text/plain; charset=utf-8",
		"a.ks":  "text/plain; charset=utf-8",
		"linux": "application/octet-stream", "initrd.gz": "application/octet-stream",
		"a.efi.sig": "application/octet-stream",
	} {
		c.put(name, "<html><script>alert(1)</script>")
		a := c.ask("GET", "/"+name)
		if a.status != 200 || a.header.Get("Content-Type") != want ||
			a.header.Get("X-Content-Type-Options") != "nosniff" ||
			a.header.Get("Content-Encoding") != "" {
			t.Errorf("%s: status %d, %v, want %s", name, a.status, a.header, want)
		}
	}
	if a := c.ask("GET", "/nothing"); a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("404: %v", a.header)
	}
}

func TestFiles_NoScriptOfAnotherMachine(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install", "once/10.0.0.9": "-> ../install",
		"static/10.0.0.8": canary, "protect/10.0.0.7": canary, "private/x": canary})
	for _, path := range []string{"/once/127.0.0.1", "/once/10.0.0.9", "/static/10.0.0.8",
		"/protect/10.0.0.7", "/private/x"} {
		for _, method := range []string{"GET", "HEAD"} {
			c.wantStatus(c.ask(method, path), 404)
		}
	}
	c.wantOrder(me, "pending")
	c.wantBody(c.ask("GET", "/install"), say("install")) // its own path is another thing
}

func TestFiles_DotNames(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), ".hidden": canary, "sub/.hidden": canary,
		".treeinfo": "shown", "sub/.disk/info": "shown"})
	c.wantStatus(c.ask("GET", "/.hidden"), 404)
	c.wantStatus(c.ask("GET", "/sub/.hidden"), 404)
	c.wantBody(c.ask("GET", "/.treeinfo"), "shown") // installers ask for these
	c.wantBody(c.ask("GET", "/sub/.disk/info"), "shown")
}

// A link that leads out is an option: paths.allow.
func TestFiles_LinkOut(t *testing.T) {
	t.Parallel()
	files := tree{"default": say("default"), "../outside/x": "text", "link": "-> ../outside/x",
		"folder": "-> $ROOT/../outside"}
	c := serve(t, files)
	c.wantStatus(c.ask("GET", "/link"), 404)
	c.wantStatus(c.ask("GET", "/folder/x"), 404)
	root := plant(t, files)
	c = serveAt(t, root, func(cfg *config.Config) {
		cfg.Allow = []string{filepath.Join(root, "../outside")}
	})
	c.wantBody(c.ask("GET", "/link"), "text")
	c.wantBody(c.ask("GET", "/folder/x"), "text")
}

func TestFiles_Folder(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/file": "text", "sub/index.html": "index",
		"index.html": "index"})
	for _, path := range []string{"/", "/sub", "/sub/", "/sub/.", "/sub/file/", "/sub/file/.."} {
		a := c.ask("GET", path)
		if a.status != 404 || strings.Contains(a.body, "file") ||
			strings.Contains(a.body, "index") || a.header.Get("Location") != "" {
			t.Errorf("%s: %d %v %q", path, a.status, a.header, a.body)
		}
	}
}

func TestFiles_OtherMethods(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "file": "text"})
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE",
		"PROPFIND"} {
		a := c.ask(method, "/file")
		if a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, %v", method, a.status, a.header)
		}
	}
	c.wantBody(c.ask("GET", "/file"), "text")
}

const digits = "0123456789"

func TestFiles_Ranges(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "file": digits, "empty": ""})
	for ask, want := range map[string]string{
		"bytes=0-3": "0123 bytes 0-3/10", "bytes=3-3": "3 bytes 3-3/10",
		"bytes=7-": "789 bytes 7-9/10", "bytes=-2": "89 bytes 8-9/10", "bytes=0-": digits +
			" bytes 0-9/10", "bytes=-99": digits + " bytes 0-9/10",
		"bytes=5-99": "56789 bytes 5-9/10", "bytes= 1-2 ": "12 bytes 1-2/10",
	} {
		a := c.ask("GET", "/file", "Range: "+ask)
		body, at, _ := strings.Cut(want, " ")
		if a.status != 206 || a.body != body || a.header.Get("Content-Range") != at ||
			a.header.Get("Content-Length") != strconv.Itoa(len(body)) ||
			a.header.Get("Accept-Ranges") != "bytes" || a.header.Get("Transfer-Encoding") != "" {
			t.Errorf("%s: %d, %v, %q", ask, a.status, a.header, a.body)
		}
		if h := c.ask("HEAD", "/file", "Range: "+ask); h.status != 206 || h.body != "" ||
			h.header.Get("Content-Length") != strconv.Itoa(len(body)) {
			t.Errorf("HEAD %s: %+v", ask, h)
		}
	}
	for _, ask := range []string{"bytes=10-", "bytes=99-100"} {
		a := c.ask("GET", "/file", "Range: "+ask)
		if a.status != 416 || a.header.Get("Content-Range") != "bytes */10" {
			t.Errorf("%s: %d, %v, %q", ask, a.status, a.header, a.body)
		}
	}
	for _, ask := range []string{"bytes=3-1", "bytes=a-b", "bytes=--1", "lines=1-2", "bytes",
		"bytes=1-2-3"} {
		if a := c.ask("GET", "/file", "Range: "+ask); a.status != 416 &&
			(a.status != 200 || a.body != digits) {
			t.Errorf("%s: %d, %q", ask, a.status, a.body)
		}
	}
	a := c.ask("GET", "/file", "Range: bytes=0-1,4-5,-1")
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if a.status != 206 || err != nil || kind != "multipart/byteranges" ||
		a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
		t.Fatalf("several ranges: %d, %v", a.status, a.header)
	}
	parts := multipart.NewReader(strings.NewReader(a.body), params["boundary"])
	for _, want := range []string{"01 bytes 0-1/10", "45 bytes 4-5/10", "9 bytes 9-9/10"} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(part)
		if got := string(body) + " " + part.Header.Get("Content-Range"); got != want {
			t.Errorf("a part is %q, want %q", got, want)
		}
	}
	if a := c.ask("GET", "/empty", "Range: bytes=0-"); a.body != "" || a.status != 416 &&
		a.status != 200 {
		t.Errorf("a range of an empty file: %d %q", a.status, a.body)
	}
}

// A part from far inside a file that is larger than 4 GiB, without the way
// there.
func TestFiles_RangeFarInside(t *testing.T) {
	c := serve(t, tree{"default": say("default")})
	c.sparse("x.iso", 6<<30)
	f, err := os.OpenFile(filepath.Join(c.root, "x.iso"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(digits), 5<<30); err != nil {
		t.Fatal(err)
	}
	f.Close()
	flat(t, 16<<20, func() {
		a := c.ask("GET", "/x.iso", "Range: bytes=5368709120-5368709129")
		if a.status != 206 || a.body != digits ||
			a.header.Get("Content-Range") != "bytes 5368709120-5368709129/6442450944" {
			t.Errorf("%d, %v, %.40q", a.status, a.header, a.body)
		}
		if a := c.ask("HEAD", "/x.iso"); a.header.Get("Content-Length") != "6442450944" {
			t.Errorf("HEAD: %v", a.header)
		}
	})
	c.wantLog("msg=file", "status=206", "bytes=10 ")
}

func TestFiles_Conditions(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "file": digits})
	then := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	at := filepath.Join(c.root, "file")
	if err := os.Chtimes(at, then, then); err != nil {
		t.Fatal(err)
	}
	a := c.ask("GET", "/file")
	date, tag := a.header.Get("Last-Modified"), a.header.Get("ETag")
	if date != "Sun, 01 Mar 2026 12:00:00 GMT" ||
		!regexp.MustCompile(`^"[0-9a-f-]+"$`).MatchString(tag) {
		t.Fatalf("Last-Modified %q, ETag %q", date, tag)
	}
	later, earlier, other := "Mon, 02 Mar 2026 12:00:00 GMT", "Sat, 28 Feb 2026 12:00:00 GMT",
		`"other"`
	for _, x := range []struct {
		status  int
		headers []string
	}{
		{304, []string{"If-Modified-Since: " + date}},
		{304, []string{"If-Modified-Since: " + later}},
		{200, []string{"If-Modified-Since: " + earlier}},
		{200, []string{"If-Modified-Since: rubbish"}},
		{304, []string{"If-None-Match: " + tag}}, {304, []string{"If-None-Match: W/" + tag}},
		{304, []string{"If-None-Match: " + other + ", " + tag}},
		{304, []string{"If-None-Match: *"}}, {200, []string{"If-None-Match: " + other}},
		{200, []string{"If-None-Match: " + other, "If-Modified-Since: " + date}}, // the tag counts
		{206, []string{"Range: bytes=0-1", "If-Range: " + tag}},
		{206, []string{"Range: bytes=0-1", "If-Range: " + date}},
		{200, []string{"Range: bytes=0-1", "If-Range: " + other}},
		{200, []string{"Range: bytes=0-1", "If-Range: " + earlier}},
		{200, []string{"Range: bytes=0-1", "If-Range: W/" + tag}},
		{412, []string{"If-Match: " + other}}, {200, []string{"If-Match: " + tag}},
		{412, []string{"If-Unmodified-Since: " + earlier}},
	} {
		got := c.ask("GET", "/file", x.headers...)
		want := map[int]string{200: digits, 206: "01"}[x.status]
		if got.status != x.status || got.body != want {
			t.Errorf("%q: %d %q, want %d %q", x.headers, got.status, got.body, x.status, want)
		}
	}
	// Another content has another tag, also of the same length within the same
	// second.
	c.put("file", "9876543210")
	if err := os.Chtimes(at, then, then.Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	if got := c.ask("GET", "/file", "If-None-Match: "+tag); got.status != 200 ||
		got.header.Get("ETag") == tag {
		t.Errorf("after a change: %d, ETag %s", got.status, got.header.Get("ETag"))
	}
}

func TestFiles_NoWayOut(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "../secret": canary, "sub/x": "x"})
	for _, path := range []string{"/../secret", "/sub/../../secret", "/%2e%2e/secret",
		"/..%2fsecret", "/%00", "/%ff", "/%zz"} {
		if a := c.ask("GET", path); a.status != 404 && a.status != 400 ||
			strings.Contains(a.body, canary) || strings.Contains(a.body, "<") {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
}

func TestFiles_InsideTheRoot(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "sub/A": "a"})
	for path, body := range map[string]string{"/sub/../default": say("default"),
		"/./default": say("default"), "//sub///A": "a", "/sub/./A": "a", "/sub/A?x=1": "a"} {
		c.wantBody(c.ask("GET", path), body)
	}
}

func TestFiles_CalledRedirect(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "redirect": canary, "healthz": canary,
		"metrics": canary, "local.ipxe": canary, "boot.ipxe": canary})
	c.wantScript("default")
	for _, path := range []string{"/healthz", "/metrics", "/local.ipxe", "/boot.ipxe",
		"/redirect"} {
		if a := c.ask("GET", path); strings.Contains(a.body, canary) {
			t.Errorf("%s is hidden by a file", path)
		}
	}
}

// TestFiles_Sendfile: the kernel sends the file; none of the wrappers around
// the connection, and not the access log, copies it through the program.
func TestFiles_Sendfile(t *testing.T) {
	t.Parallel()
	lab.Needs(t, "strace")
	calls := filepath.Join(t.TempDir(), "calls")
	if out, err := exec.Command("strace", "-f", "-o", calls, "true").CombinedOutput(); err != nil {
		t.Skipf("strace does not work here: %s", bytes.TrimSpace(out))
	}
	const size = 64 << 20
	p := launch(t, plant(t, tree{"default": say("default"), "x.iso": strings.Repeat("A", size)}),
		[]string{"--listen", "127.0.0.2:0",
			"--proxies-protocol", "127.0.0.2:0", "--proxies-trusted", "127.0.0.1", "--access-log",
			filepath.Join(t.TempDir(), "access")}, "strace", "-D", "-f", "-qq", "-e",
		"trace=sendfile", "-o", calls)
	body, _ := p.begin("/x.iso")
	got := &onlyOf{byte: 'A'}
	if _, err := io.Copy(got, body); err != nil || got.n != size {
		t.Fatalf("%d bytes: %v", got.n, err)
	}
	a := p.ask("GET", "/x.iso", "Range: bytes=1048576-34603007") // a part as well
	if len(a.body) != 32<<20 {
		t.Fatalf("%d bytes of a part", len(a.body))
	}
	behind := *p.client // and behind a proxy that says for whom it speaks
	behind.addr = p.speaks(`"PROXY protocol"`)
	if a = behind.raw("PROXY TCP4 10.0.0.7 192.0.2.1 1 2\r\n" +
		request("GET", "/x.iso")); len(a.body) != size {
		t.Fatalf("%d bytes behind a proxy", len(a.body))
	}
	p.stop()
	const total = 2*size + 32<<20
	done := regexp.MustCompile(`\) += (\d+)$`)
	var sent int
	if !eventually(func() bool { // strace may still write
		text, err := os.ReadFile(calls)
		if err != nil {
			t.Fatal(err)
		}
		sent = 0
		for line := range strings.Lines(string(text)) {
			if m := done.FindStringSubmatch(strings.TrimSpace(line)); m != nil &&
				strings.Contains(line, "sendfile") {
				n, _ := strconv.Atoi(m[1])
				sent += n
			}
		}
		return sent >= total*9/10
	}) {
		t.Errorf("sendfile carried %d of %d bytes", sent, total)
	}
	t.Logf("sendfile carried %d of %d bytes", sent, total)
}
