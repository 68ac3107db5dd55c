package daemon

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/order"
)

// The tests of this package ask a daemon that runs on a free port of this
// machine, as a client would, with raw bytes and without following redirects:
//
//	c := serve(t, tree{"default": say("default"), "once/127.0.0.1": "-> ../install"})
//	c.wantScript("install")
//	c.wantOrder("127.0.0.1", "served")

// TestMain lets the parallel tests sleep together: most of their time is the
// 300 ms in which a tree that was made just now could be half-written.
func TestMain(m *testing.M) {
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		flag.Set("test.parallel", "8")
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what must happen. It ends what hangs
// and measures nothing.
const patience = 30 * time.Second

// A tree is a root as a literal: a path and its text, "-> target" for a link. A
// path that ends in a slash is a directory. $ROOT in a text is the path of the
// root, and paths may lie beside it: "../outside/x".
type tree map[string]string

// say is a script that can be told from others.
func say(name string) string { return "#!ipxe\necho " + name + "\n" }

// plant makes the tree and returns its root.
func plant(t testing.TB, files tree) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, ok := files["once/"]; !ok {
		files["once/"] = ""
	}
	for name, text := range files {
		put(t, root, name, text)
	}
	return root
}

// put makes one entry of a tree, or replaces it.
func put(t testing.TB, root, name, text string) {
	t.Helper()
	at := filepath.Join(root, name)
	text = strings.ReplaceAll(text, "$ROOT", root)
	dir := filepath.Dir(at)
	if strings.HasSuffix(name, "/") {
		dir = at
	}
	err := os.MkdirAll(dir, 0o755)
	if target, isLink := strings.CutPrefix(text, "-> "); isLink && err == nil {
		os.Remove(at)
		err = os.Symlink(target, at)
	} else if !strings.HasSuffix(name, "/") && err == nil {
		err = os.WriteFile(at, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A client asks one daemon.
type client struct {
	t    *testing.T
	root string
	addr string // of the daemon
	from string // the client's own address
	log  *logBook
	stop func() // ends the daemon, and waits

	clock *lab.Clock // of its tree; nil: this machine's
}

// serve runs a daemon on a new tree until the end of the test.
func serve(t *testing.T, files tree, set ...func(*config.Config)) *client {
	t.Helper()
	return serveAt(t, plant(t, files), set...)
}

// serveAt runs a daemon on a tree that is there.
func serveAt(t *testing.T, root string, set ...func(*config.Config)) *client {
	t.Helper()
	cfg := config.Default()
	cfg.Root, cfg.Listen = root, []string{"127.0.0.1:0"}
	cfg.State = t.TempDir() // this machine may have a daemon with keys
	for _, f := range set {
		f(&cfg)
	}
	var clock lab.Clock
	c := start(t, cfg, func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
		d := newDaemon(cfg, log)
		d.clock = clock.At
		return d.Run(ctx)
	})
	c.clock = &clock
	return c
}

func run(ctx context.Context, c config.Config, log *slog.Logger) error {
	return newDaemon(c, log).Run(ctx)
}

func newDaemon(c config.Config, log *slog.Logger) *Daemon {
	return &Daemon{Config: c, Build: Build{"1.2.3", "0123456789ab"}, Log: log}
}

func start(t *testing.T, cfg config.Config,
	run func(context.Context, config.Config, *slog.Logger) error) *client {
	t.Helper()
	c := &client{t: t, root: cfg.Root, from: "127.0.0.1", log: &logBook{check: lab.NewLogCheck()}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, cfg, c.log.logger()) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the daemon ended with: %v", err)
			}
		case <-time.After(cfg.Limits.Stop + patience):
			t.Error("the daemon did not stop")
		}
	})
	t.Cleanup(func() {
		c.stop()
		for _, fault := range c.log.check.Faults() {
			t.Errorf("a line of the log in JSON: %s", fault)
		}
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", c.log)
		}
	})
	line := c.wantLog("listening")
	_, addr, _ := strings.Cut(line, "address=")
	c.addr, _, _ = strings.Cut(addr, " ")
	return c
}

// serveWithin runs a daemon with another deadline for its decisions.
func serveWithin(t *testing.T, root string, deadline time.Duration) *client {
	t.Helper()
	return serveAt(t, root, func(c *config.Config) { c.Limits.Decision = deadline })
}

// as is the same daemon asked from another address.
func (c *client) as(from string) *client {
	other := *c
	other.from = from
	return &other
}

func (c *client) put(name, text string) { c.t.Helper(); put(c.t, c.root, name, text) }

func (c *client) remove(name string) {
	c.t.Helper()
	if err := os.Remove(filepath.Join(c.root, name)); err != nil {
		c.t.Fatal(err)
	}
}

// rest waits until nothing in the tree counts as just edited, so that answers
// are immediate.
func (c *client) rest() {
	const rest = 2100 * time.Millisecond
	if c.clock == nil {
		time.Sleep(rest)
		return
	}
	c.clock.Pass(rest)
}

// dial opens a connection, closed at the end of the test at the latest.
func (c *client) dial() *net.TCPConn {
	c.t.Helper()
	conn, err := c.connect()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

func (c *client) connect() (*net.TCPConn, error) {
	d := net.Dialer{Timeout: patience}
	if c.from != "" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.from), 0))
	}
	conn, err := d.Dial("tcp", c.addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn), nil
}

// An answer is one response, read whole.
type answer struct {
	status int
	proto  string
	header http.Header
	body   string
	close  bool // the server says that it closes the connection
	took   time.Duration
}

// request is the text of a request as curl sends it.
func request(method, path string, headers ...string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: boot.example:4567\r\n" +
		strings.Join(append(headers, "", ""), "\r\n")
}

// ask sends one request on a connection of its own; headers are whole lines.
func (c *client) ask(method, path string, headers ...string) answer {
	c.t.Helper()
	return c.raw(request(method, path, headers...))
}

// raw sends bytes and reads one answer.
func (c *client) raw(text string) answer {
	c.t.Helper()
	a, err := c.try(text)
	if err != nil {
		c.t.Fatalf("%.60q: %v", text, err)
	}
	return a
}

// try is raw for goroutines, which must not end the test.
func (c *client) try(text string) (answer, error) {
	began := time.Now()
	conn, err := c.connect()
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return answer{}, err
	}
	method, _, _ := strings.Cut(text, " ")
	a, err := read(bufio.NewReader(conn), method)
	a.took = time.Since(began)
	return a, err
}

func read(from *bufio.Reader, method string) (answer, error) {
	r, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return answer{status: r.StatusCode, proto: r.Proto, header: r.Header, body: string(body),
		close: r.Close}, err
}

// redirect asks what to boot and checks what holds for every answer.
func (c *client) redirect(headers ...string) answer {
	c.t.Helper()
	return c.redirectQuery("", headers...)
}

func (c *client) redirectQuery(query string, headers ...string) answer {
	c.t.Helper()
	a := c.ask("GET", "/redirect"+query, headers...)
	if err := a.sound(); err != nil {
		c.t.Errorf("GET /redirect%s: %v", query, err)
	}
	return a
}

// sound says what is wrong with an answer to GET /redirect, whatever it is.
func (a answer) sound() error {
	if got := a.header.Get("Content-Length"); got != fmt.Sprint(len(a.body)) {
		return fmt.Errorf("Content-Length is %q for %d bytes", got, len(a.body))
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		return fmt.Errorf("Cache-Control is %q", got)
	}
	for _, h := range []string{"Location", "Retry-After", "Transfer-Encoding", "Content-Encoding",
		"Set-Cookie"} {
		if a.header.Get(h) != "" {
			return fmt.Errorf("it has %s: %s, which iPXE does something with", h, a.header.Get(h))
		}
	}
	if isScript := strings.HasPrefix(a.body, "#!ipxe"); isScript != (a.status == 200) {
		return fmt.Errorf("status %d with the body %.40q", a.status, a.body)
	}
	return nil
}

// wantStatus is a failure of the test when the answer has another status.
func (c *client) wantStatus(a answer, status int) {
	c.t.Helper()
	if a.status != status {
		c.t.Errorf("status %d with %.60q, want %d", a.status, a.body, status)
	}
}

// wantScript asks what to boot, as a client that sends these headers, and wants
// the script say(name).
func (c *client) wantScript(name string, headers ...string) answer {
	c.t.Helper()
	a := c.redirect(headers...)
	c.wantBody(a, say(name))
	return a
}

func (c *client) wantBody(a answer, body string) {
	c.t.Helper()
	if a.status != 200 || a.body != body {
		c.t.Errorf("answer is %d %.80q, want 200 %.80q", a.status, a.body, body)
	}
}

// wantKept wants the script say(name) from a later step, the order of this
// client still pending, and a log line that has the order and all of why in it.
func (c *client) wantKept(name string, why ...string) {
	c.t.Helper()
	a := c.wantScript(name)
	if a.close {
		c.t.Error("Connection: close on an answer that uses nothing up")
	}
	c.wantOrder(c.from, "pending")
	c.wantLog(append([]string{"msg=redirect", "once/" + c.from}, why...)...)
}

// wantOrder waits until the order of a name is in these states and no other:
// open, pending, served, in this order.
func (c *client) wantOrder(name string, states ...string) {
	c.t.Helper()
	want := strings.Join(states, " ")
	var got string
	if !eventually(func() bool { got = c.order(name); return got == want }) {
		c.t.Errorf("the order for %s is %q, want %q", name, got, want)
	}
}

func (c *client) order(name string) string {
	var states []string
	if info, err := os.Lstat(filepath.Join(c.root, "once", name)); err == nil &&
		info.Mode()&fs.ModeSymlink != 0 {
		states = append(states, "pending")
	}
	for journal, state := range map[string]string{".claimed": "open", ".served": "served"} {
		entries, _ := os.ReadDir(filepath.Join(c.root, "once", journal))
		for _, e := range entries {
			if claim, ok := order.ParseRecord(e.Name()); ok && claim.Name == name {
				if claim.End != order.Arrived {
					state = string(claim.End)
				}
				states = append(states, state)
			}
		}
	}
	slices.Sort(states)
	return strings.Join(states, " ")
}

// wantLog waits for a log line that has all the parts in it, and returns it.
func (c *client) wantLog(parts ...string) (line string) {
	c.t.Helper()
	if !eventually(func() bool { line = c.log.find(parts...); return line != "" }) {
		c.t.Errorf("no log line has all of %q", parts)
	}
	return line
}

// eventually waits until something is so, for at most patience.
func eventually(is func() bool) bool {
	for end := time.Now().Add(patience); ; {
		if is() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A logBook keeps what was logged.
type logBook struct {
	mu    sync.Mutex
	text  bytes.Buffer
	check *lab.LogCheck // looks at each line in JSON; nil: nobody does
}

func (b *logBook) logger() *slog.Logger {
	text := slog.NewTextHandler(b, nil)
	if b.check == nil {
		return slog.New(text)
	}
	return slog.New(slog.NewMultiHandler(text, b.check))
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBook) find(parts ...string) string {
	for line := range strings.Lines(b.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return line
		}
	}
	return ""
}
