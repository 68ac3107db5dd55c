//go:build linux

package daemon

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pxesrv/pkg/config"
	"pxesrv/pkg/hosts"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/media"
)

const isoHosts = `name,mac,address,server
web1,52:54:00:00:00:01,10.0.0.1/24,http://10.0.0.5:4567
web2,52:54:00:00:00:02,10.0.0.2/24,http://10.0.0.5:4567
Web-3.example,,10.0.0.3/24,http://10.0.0.5:4567
`

// withISOs serves the images of the hosts in hosts.csv beside the root, and
// signs with the key in state/iso.keys when there is one.
func withISOs(t testing.TB, root string) func(*config.Config) {
	lkrn, efi := lab.IPXE(t, "ipxe.lkrn"), lab.IPXE(t, "ipxe.efi")
	return func(c *config.Config) {
		c.ISOHosts, c.State = filepath.Join(root, "../hosts.csv"), filepath.Join(root, "../state")
		c.ISOLKRN, c.ISOEFI = lkrn, efi
	}
}

// serveISOs runs a daemon with these hosts.
func serveISOs(t *testing.T, files tree, set ...func(*config.Config)) *client {
	t.Helper()
	if _, ok := files["../hosts.csv"]; !ok {
		files["../hosts.csv"] = isoHosts
	}
	root := plant(t, files)
	return serveAt(t, root, append([]func(*config.Config){withISOs(t, root)}, set...)...)
}

// isoFile is the image of a host as pxesrv iso writes it.
func (c *client) isoFile(name string, keys *media.Keys) []byte {
	c.t.Helper()
	cfg := config.Default()
	withISOs(c.t, c.root)(&cfg)
	kit, err := media.Open(media.LoaderPaths{LKRN: cfg.ISOLKRN, EFI: cfg.ISOEFI})
	if err != nil {
		c.t.Fatalf("%v: run 'make deps'", err)
	}
	text, err := os.ReadFile(cfg.ISOHosts)
	if err != nil {
		c.t.Fatal(err)
	}
	rows, _, err := hosts.ReadCSV(bytes.NewReader(text), hosts.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, r := range rows {
		if r.Host.Name != name {
			continue
		}
		if keys != nil {
			r.Host.Query = keys.Query(name)
		}
		m, _, err := kit.Image(r.Host, false)
		if err != nil {
			c.t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			c.t.Fatal(err)
		}
		return b.Bytes()
	}
	c.t.Fatalf("no host %s", name)
	return nil
}

// TestISO_Answers: whole, head, ranges and conditions, as for a file.
func TestISO_Answers(t *testing.T) {
	t.Parallel()
	c := serveISOs(t, tree{"default": say("default")})
	want := c.isoFile("web1", nil)
	size := len(want)
	whole := c.ask("GET", "/iso/web1.iso")
	c.wantBody(whole, string(want))
	etag := whole.header.Get("ETag")
	if whole.header.Get("Content-Type") != "application/vnd.efi.iso" ||
		whole.header.Get("Content-Length") != strconv.Itoa(size) ||
		whole.header.Get("Accept-Ranges") != "bytes" || !strings.HasPrefix(etag, `"`) ||
		len(etag) < 10 {
		t.Errorf("%v", whole.header)
	}
	if h := c.ask("HEAD", "/iso/web1.iso"); h.status != 200 || h.body != "" ||
		h.header.Get("Content-Length") != strconv.Itoa(size) ||
		h.header.Get("ETag") != etag || h.header.Get("Content-Type") != "application/vnd.efi.iso" {
		t.Errorf("HEAD: %+v", h)
	}
	if other := c.ask("HEAD", "/iso/web2.iso").header.Get("ETag"); other == etag || other == "" {
		t.Errorf("two hosts with the ETag %s and %s", etag, other)
	}
	for _, row := range []struct {
		ask        string // header lines, separated by |
		status     int
		from, till int // the bytes that are to come
	}{
		{"Range: bytes=0-0", 206, 0, 1},
		{"Range: bytes=0-511", 206, 0, 512},
		{"Range: bytes=32768-34815", 206, 32768, 34816},
		{fmt.Sprintf("Range: bytes=%d-", size-1), 206, size - 1, size},
		{fmt.Sprintf("Range: bytes=%d-%d", size-10, size+99), 206, size - 10, size},
		{"Range: bytes=-2048", 206, size - 2048, size},
		{fmt.Sprintf("Range: bytes=-%d", size+5), 206, 0, size},
		{"Range: bytes=0-", 206, 0, size},
		{"Range: lines=0-5", 416, 0, 0},
		{"Range: bytes=5-2", 416, 0, 0},
		{fmt.Sprintf("Range: bytes=%d-", size), 416, 0, 0},
		{"Range: bytes=4-7|If-Range: " + etag, 206, 4, 8},
		{`Range: bytes=4-7|If-Range: "other"`, 200, 0, size},
		{"Range: bytes=4-7|If-Range: W/" + etag, 200, 0, size},
		{"Range: bytes=4-7|If-Range: Mon, 06 May 2024 07:08:09 GMT", 200, 0, size},
		{"Range: bytes=4-7|If-Match: " + etag, 206, 4, 8},
		{`Range: bytes=4-7|If-Match: "other"`, 412, 0, 0},
		{"If-None-Match: " + etag, 304, 0, 0},
		{`If-None-Match: "other"`, 200, 0, size},
		{"If-Modified-Since: Mon, 06 May 2024 07:08:09 GMT", 200, 0, size},
	} {
		a := c.ask("GET", "/iso/web1.iso", strings.Split(row.ask, "|")...)
		if a.status != row.status {
			t.Errorf("%s: status %d, want %d", row.ask, a.status, row.status)
			continue
		}
		if row.till == 0 {
			continue
		}
		if a.body != string(want[row.from:row.till]) {
			t.Errorf("%s: %d other bytes", row.ask, len(a.body))
		}
		if at := fmt.Sprintf("bytes %d-%d/%d", row.from, row.till-1, size); row.status == 206 &&
			a.header.Get("Content-Range") != at {
			t.Errorf("%s: Content-Range %q", row.ask, a.header.Get("Content-Range"))
		}
	}
	a := c.ask("GET", "/iso/web1.iso", fmt.Sprintf("Range: bytes=0-15,32768-32799,-16,%d-", size))
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if a.status != 206 || kind != "multipart/byteranges" || err != nil {
		t.Fatalf("several ranges: %d, %v", a.status, a.header)
	}
	r := multipart.NewReader(strings.NewReader(a.body), params["boundary"])
	for _, part := range [][2]int{{0, 16}, {32768, 32800}, {size - 16, size}} {
		p, err := r.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(p); !bytes.Equal(b, want[part[0]:part[1]]) ||
			p.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", part[0],
				part[1]-1, size) {
			t.Errorf("part %v: %v, %d bytes", part, p.Header, len(b))
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		c.wantStatus(c.ask(method, "/iso/web1.iso"), 405)
	}
}

// TestISO_Names: a host is found by its name in any case and by its MAC in any
// spelling; nothing else leads to an image, and nothing out of the tree. A file
// of the tree wins.
func TestISO_Names(t *testing.T) {
	t.Parallel()
	c := serveISOs(t, tree{"default": say("default"), "iso/web2.iso": "a file",
		"iso/sub/x.iso": "another", "../secret.iso": canary})
	first := string(c.isoFile("web1", nil))
	third := string(c.isoFile("Web-3.example", nil))
	for path, want := range map[string]string{
		"/iso/web1.iso": first, "/iso/WEB1.iso": first, "/iso/%77eb1.iso": first,
		"//iso//web1.iso": first, "/iso/./web1.iso": first, "/x/../iso/web1.iso": first,
		"/iso/52-54-00-00-00-01.iso": first, "/iso/52:54:00:00:00:01.iso": first,
		"/iso/52-54-00-00-00-01.ISO": "", "/iso/52-54-00-00-00-01.iso/": "",
		"/iso/5254.0000.0001.iso": first, "/iso/01-52-54-00-00-00-01.iso": first,
		"/iso/52-54-00-00-00-02.iso": "", "/iso/52-54-00-00-00-09.iso": "",
		"/iso/Web-3.example.iso": third, "/iso/web-3.example.iso": third, "/iso/Web-3.example": "",
		"/iso/web2.iso": "a file", "/iso/sub/x.iso": "another",
		"/iso/": "", "/iso": "", "/iso/.iso": "", "/iso/web1": "", "/iso/web1.img": "",
		"/iso/web1.iso.iso": "", "/iso/sub/web1.iso": "", "/iso/sub/../web1.iso": first,
		"/web1.iso": "", "/iso/10.0.0.1.iso": "", "/iso/*.iso": "", "/iso/web%00.iso": "",
		"/iso/..%2fweb1.iso": "", "/iso/%2e%2e/web1.iso": "", "/iso/../../secret.iso": "",
		"/iso/" + strings.Repeat("a", 5000) + ".iso": "", "/iso/web1%0a.iso": "",
		"/iso/web1%20.iso": "", "/iso/%ff%fe.iso": "", "/iso/" + strings.Repeat("0/", 500) +
			"web1.iso": "",
	} {
		a := c.ask("GET", path)
		switch {
		case path == "/iso/52-54-00-00-00-02.iso": // the tree has the name, not the MAC
			c.wantBody(a, string(c.isoFile("web2", nil)))
		case want != "":
			if a.status != 200 || a.body != want {
				t.Errorf("%.80s: %d with %d bytes", path, a.status, len(a.body))
			}
		case a.status != 404 || strings.Contains(a.body, canary) ||
			strings.Contains(a.body, c.root):
			t.Errorf("%.80s: %d %.80q", path, a.status, a.body)
		}
	}
}

// TestISO_200Ranges: so many requests at once get the bytes of the file.
func TestISO_200Ranges(t *testing.T) {
	c := serveISOs(t, tree{"default": say("default")})
	want := c.isoFile("web1", nil)
	path := filepath.Join(t.TempDir(), "web1.iso")
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const requests = 200
	step := len(want)/requests + 1
	random := rand.New(rand.NewPCG(1, 2))
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range requests {
		// Together they cover the image; each goes on into what the next ones
		// ask for.
		from := i * step
		till := min(len(want), from+step+random.IntN(3*step))
		all.Go(func() {
			<-begin
			a, err := c.try(request("GET", "/iso/web1.iso",
				fmt.Sprintf("Range: bytes=%d-%d", from, till-1)))
			part := make([]byte, till-from)
			if _, rerr := file.ReadAt(part, int64(from)); err != nil || rerr != nil {
				t.Error(err, rerr)
				return
			}
			if a.status != 206 || a.body != string(part) {
				t.Errorf("%d to %d: status %d, %d bytes that differ", from, till, a.status,
					len(a.body))
			}
		})
	}
	close(begin)
	all.Wait()
}

// TestISO_Readers: hundreds of readers that stand in the middle of an image
// hold a buffer each, and no copy of it.
func TestISO_Readers(t *testing.T) {
	lab.Slow(t)
	const readers = 500
	if n := descriptors(); n > 0 && n < 16*readers {
		t.Skipf("the process may open %d files, and %d readers need %d: raise it with ulimit -n", n,
			readers, 16*readers)
	}
	c := serveISOs(t, tree{"default": say("default")})
	want := c.isoFile("web1", nil)
	sum := sha256.Sum256(want[:64<<10])
	time.Sleep(2100 * time.Millisecond) // a list that was just edited is read at each request
	c.ask("HEAD", "/iso/web1.iso")      // the template is made once
	flat(t, readers*128<<10, func() {
		var begun, all sync.WaitGroup
		begun.Add(readers)
		for range readers {
			conn := c.dial()
			all.Go(func() {
				defer conn.Close()
				in := bufio.NewReaderSize(conn, 4096)
				io.WriteString(conn, request("GET", "/iso/web1.iso"))
				r, err := http.ReadResponse(in, nil)
				begun.Done()
				begun.Wait() // all of them are being answered now
				if err != nil || r.StatusCode != 200 || r.ContentLength != int64(len(want)) {
					t.Errorf("%v, %v", err, r)
					return
				}
				h := sha256.New()
				if n, err := io.CopyN(h, r.Body, 64<<10); err != nil ||
					[sha256.Size]byte(h.Sum(nil)) != sum {
					t.Errorf("%d bytes that differ, or %v", n, err)
				}
			})
		}
		all.Wait()
	})
}

// TestISO_BrokenList: a list that is broken as a whole leaves the last good one
// in force; rows that are wrong cost only their own hosts; a change counts at
// the next request. Each is said once.
func TestISO_BrokenList(t *testing.T) {
	t.Parallel()
	c := serveISOs(t, tree{"default": say("default")})
	has := func(names ...string) {
		t.Helper()
		for _, name := range []string{"web1", "web2", "Web-3.example", "web4"} {
			want := 404
			if strings.Contains(" "+strings.Join(names, " ")+" ", " "+name+" ") {
				want = 200
			}
			if a := c.ask("HEAD", "/iso/"+name+".iso"); a.status != want {
				t.Errorf("%s: status %d, want %d", name, a.status, want)
			}
		}
	}
	c.wantReady(func(text string) bool { return text == "ready\n" })
	has("web1", "web2", "Web-3.example")
	for _, broken := range []string{"", "nonsense\n", "name,colour\nweb4,red\n",
		"\xff\xfen\x00a\x00", "name,address\nweb4,10.0.0.4/24\n"} {
		c.put("../hosts.csv", broken)
		has("web1", "web2", "Web-3.example")
	}
	c.wantLog("level=WARN", "the list of hosts", "no column",
		"3 hosts that were read before stay in force")
	c.wantReady(func(text string) bool {
		return strings.HasPrefix(text, "ready\nwarning: a list") && !strings.Contains(text, c.root)
	})
	c.put("../hosts.csv",
		isoHosts+"web4,52:54:00:00:00:04,10.0.0.4/24,http://10.0.0.5:4567\nbad,xx,10.0.0.9/33,\n")
	has("web1", "web2", "Web-3.example", "web4")
	c.wantLog("level=WARN", "line 6: ", "mac", "xx")
	c.remove("../hosts.csv")
	has("web1", "web2", "Web-3.example", "web4")
	c.wantLog("level=WARN", "the list of hosts", "no such file")
	c.put("../hosts.csv",
		"name,mac,address,server\nweb2,52:54:00:00:00:02,10.0.0.2/24,http://10.0.0.5:4567\n")
	has("web2")
	c.wantReady(func(text string) bool { return text == "ready\n" })
	if n := strings.Count(c.log.String(), "line 6: mac"); n != 1 {
		t.Errorf("the wrong row was said %d times", n)
	}
}

// wantReady waits until /readyz says something.
func (c *client) wantReady(is func(string) bool) {
	c.t.Helper()
	var a answer
	if !eventually(func() bool { a = c.ask("GET", "/readyz"); return is(a.body) }) {
		c.t.Errorf("/readyz says %q", a.body)
	}
}

// newKeys makes or rotates the keys of a daemon, and returns them.
func (c *client) newKeys(rotate bool) *media.Keys {
	c.t.Helper()
	file := filepath.Join(c.root, "../state/iso.keys")
	if err := media.NewKey(file, rotate); err != nil {
		c.t.Fatal(err)
	}
	k, err := media.OpenKeys(file)
	if err != nil {
		c.t.Fatal(err)
	}
	return k
}

// TestISO_Signed: with a key, an image is at its capability only, and host=
// counts with its own signature only. Keys are rotated without a pause.
func TestISO_Signed(t *testing.T) {
	t.Parallel()
	c := serveISOs(t, tree{"default": say("default"), "static/web1": say("web1"),
		"static/web2": say("web2"), "static/10.0.0.9": say("address")})
	asks := func(query, want string) {
		t.Helper()
		if a := c.redirectQuery("?" + query); a.body != say(want) {
			t.Errorf("%s: %q, want %s", query, a.body, want)
		}
	}
	asks("host=web1", "web1") // nothing is signed yet

	old := c.newKeys(false) // seen at the next request
	sig := "host=web1&hostsig=" + old.Sign("web1")
	asks(sig, "web1")
	asks("host=web1&hostsig="+strings.ToUpper(old.Sign("web1")), "web1")
	for _, query := range []string{
		"host=web1", "host=web1&hostsig=", "host=web1&hostsig=00000000000000000000000000000000",
		"host=web2&hostsig=" + old.Sign("web1"),
		"host=web1&hostsig=" + old.Sign("web1")[:31], "host=web1&hostsig=" + old.Sign("web1") +
			"00", "host=web1&hostsig=" + old.Capability("web1"),
		"host=WEB1&hostsig=" + old.Sign("web1"), "host=web1!&hostsig=" + old.Sign("web1"),
		"host=web1&hostsig=x&hostsig=" + old.Sign("web1"),
		"host=web1&hostsig=" + strings.Repeat("0", 10000),
	} {
		asks(query, "default")
	}
	c.wantLog("msg=redirect", `host \"web1\" is not signed`)
	c.wantLog("msg=redirect", `is not signed with a key of this server`)
	asks("host=web1&mac=52-54-00-00-00-01&serial=web2", "web2") // it goes on with its other names

	want := string(c.isoFile("web1", old))
	at := func(k *media.Keys, host string) string { return "/iso/" + k.Capability(host) + "/" }
	c.wantBody(c.ask("GET", at(old, "web1")+"web1.iso"), want)
	c.wantBody(c.ask("GET", at(old, "web1")+"52-54-00-00-00-01.iso"), want)
	if !strings.Contains(want, "&hostsig="+old.Sign("web1")+"\n") {
		t.Error("the image has no signature")
	}
	for _, path := range []string{
		"/iso/web1.iso", at(old, "web2") + "web1.iso", at(old, "web1")[:36] + "/web1.iso",
		"/iso/" + old.Sign("web1") + "/web1.iso", at(old, "web1") + "web2.iso",
		at(old, "web1") + "x/web1.iso", at(old, "web1") + "nobody.iso",
		"/iso/x" + at(old, "web1") + "web1.iso",
	} {
		c.wantStatus(c.ask("GET", path), 404)
	}

	next := c.newKeys(true)
	if next.Len() != 2 || next.Sign("web1") == old.Sign("web1") {
		t.Fatal("nothing was rotated")
	}
	asks(sig, "web1")
	asks("host=web1&hostsig="+next.Sign("web1"), "web1")
	// the old address, the new signature
	c.wantBody(c.ask("GET", at(old, "web1")+"web1.iso"), string(c.isoFile("web1", next)))
	c.wantBody(c.ask("GET", at(next, "web1")+"web1.iso"), string(c.isoFile("web1", next)))

	// Without the old key what it signed is over.
	file := filepath.Join(c.root, "../state/iso.keys")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(file, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asks(sig, "default")
	asks("host=web1&hostsig="+next.Sign("web1"), "web1")
	c.wantStatus(c.ask("GET", at(old, "web1")+"web1.iso"), 404)

	// A file that others can read, or that is gone, changes nothing and is
	// reported.
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	asks("host=web1&hostsig="+next.Sign("web1"), "web1")
	asks("host=web1", "default")
	c.wantLog("level=WARN", "iso.keys", "0644")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	asks("host=web1&hostsig="+next.Sign("web1"), "web1")
	asks("host=web1", "default")

	text2 := c.log.String()
	for what, secret := range map[string]string{"key": first, "signature": old.Sign("web1"),
		"new signature": next.Sign("web1"), "capability": old.Capability("web1"),
		"new capability": next.Capability("web1")} {
		if strings.Contains(strings.ToLower(text2), secret[:12]) {
			t.Errorf("the log has the %s", what)
		}
	}
	c.wantLog("msg=image", "path=/iso/"+old.Capability("web1")[:4]+"…/web1.iso")
}

// TestISO_Clone: a machine with the medium of another host gets no order,
// neither that host's nor its own; what is no order it gets.
func TestISO_Clone(t *testing.T) {
	t.Parallel()
	c := serveISOs(t, tree{"default": say("default"), "wipe": say("wipe"),
		"once/web1": "-> ../wipe", "once/web2": "-> ../wipe",
		"once/52-54-00-00-00-09": "-> ../wipe",
		"once/Web-3.example":     "-> ../wipe", "static/web2": say("static")})
	for query, why := range map[string]string{
		"host=web1&mac=52-54-00-00-00-09&macs=52-54-00-00-00-09.": "has not its card 52-54-00-00-00-01",
		"host=web1&mac=52-54-00-00-00-02":                         "has the card 52-54-00-00-00-02 of the host web2",
		"host=WEB1&mac=52-54-00-00-00-09":                         "has not its card",
		"host=web1&macs=52-54-00-00-00-01.52-54-00-00-00-02":      "has the card 52-54-00-00-00-02 of the host web2",
		"host=Web-3.example&mac=52-54-00-00-00-01":                "of the host web1",
		"host=nobody&mac=52-54-00-00-00-01":                       "of the host web1",
	} {
		if a := c.redirectQuery("?" + query); a.body != say("default") {
			t.Errorf("%s: %q", query, a.body)
		}
		c.wantLog("msg=redirect", "conflict=", why)
	}
	for _, name := range []string{"web1", "web2", "52-54-00-00-00-09", "Web-3.example"} {
		c.wantOrder(name, "pending")
	}
	if a := c.redirectQuery("?host=web2&mac=52-54-00-00-00-09"); a.body != say("static") {
		t.Errorf("what is no order: %q", a.body)
	}
	for query, name := range map[string]string{"host=web1&mac=52:54:00:00:00:01&macs=52-54-00-00-00-07.52-54-00-00-00-01": "web1", "host=Web-3.example&mac=52-54-00-00-00-07": "Web-3.example"} {
		if a := c.redirectQuery("?" + query); a.body != say("wipe") {
			t.Errorf("%s: %q", query, a.body)
		}
		c.wantOrder(name, "served")
	}
}

// TestISO_NoList: while the list was never readable, nobody can tell a clone,
// so a host gets no order.
func TestISO_NoList(t *testing.T) {
	t.Parallel()
	c := serveISOs(t, tree{"default": say("default"), "wipe": say("wipe"),
		"once/web1": "-> ../wipe", "../hosts.csv": "nonsense\n"})
	if a := c.redirectQuery("?host=web1&mac=52-54-00-00-00-01"); a.body != say("default") {
		t.Errorf("%q", a.body)
	}
	c.wantOrder("web1", "pending")
	a := c.ask("GET", "/iso/web1.iso")
	if a.status != 503 || strings.Contains(a.body, "/") {
		t.Errorf("%d %q", a.status, a.body)
	}
	c.put("../hosts.csv", isoHosts)
	c.wantStatus(c.ask("HEAD", "/iso/web1.iso"), 200)
	if a := c.redirectQuery("?host=web1&mac=52-54-00-00-00-01"); a.body != say("wipe") {
		t.Errorf("%q", a.body)
	}
}
