//go:build linux

package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
)

// TestLimits_WriteProgress asks for a file that no socket buffer swallows: who
// reads nothing is cut off after the time limit, who reads slowly but steadily
// is not.
func TestLimits_WriteProgress(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	root := plant(t, tree{"default": say("default")})
	if err := os.WriteFile(filepath.Join(root, "big"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	if err := os.Truncate(filepath.Join(root, "big"), size); err != nil {
		t.Fatal(err)
	}
	c := serveAt(t, root, func(c *config.Config) { c.Limits.WriteTimeout = time.Second })
	silent, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	io.WriteString(silent, request("GET", "/big"))
	c.wantLog("msg=file", "path=/big", "status=200")

	slow, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	io.WriteString(slow, request("GET", "/big", "Connection: close"))
	var n int64
	for range 20 { // two seconds, twice the limit, with more than 60 KiB in each
		got, err := io.CopyN(io.Discard, slow, 1<<20)
		if n += got; err != nil {
			t.Fatalf("a slow reader was cut off after %d bytes: %v", n, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	rest, err := io.Copy(io.Discard, slow)
	if n += rest; err != nil || n < size {
		t.Errorf("a slow reader got %d bytes, %v", n, err)
	}
}

// TestLimits_Connections holds all connections that there may be: one more
// waits, and is served when there is room.
func TestLimits_Connections(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default")}, func(c *config.Config) {
		c.Limits.Connections = 5
	})
	var held []net.Conn
	for range 5 {
		conn, err := c.connect()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held = append(held, conn)
		io.WriteString(conn, "GET /redirect HTTP/1.1\r\n")
	}
	answered := make(chan error, 1)
	go func() {
		a, err := c.try(request("GET", "/redirect"))
		if err == nil && a.body != say("default") {
			err = errors.New(a.body)
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("a sixth connection was served beside five: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	held[0].Close()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the connection that waited was not served when there was room")
	}
}

// TestLimits_Clients answers only the networks of clients.allow; a trusted
// proxy is judged by whom it speaks for.
func TestLimits_Clients(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "file": "text"}, func(c *config.Config) {
		c.Clients = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	for _, path := range []string{"/redirect", "/file", "/local.ipxe", "/metrics", "/nothing"} {
		c.wantStatus(c.ask("GET", path), 403)
	}
	c.wantStatus(c.ask("GET", "/redirect", "X-Forwarded-For: 10.1.2.3"), 200)
	c.wantStatus(c.ask("GET", "/redirect", "X-Forwarded-For: 192.0.2.1"), 403)
	c.wantStatus(c.ask("GET", "/redirect", "X-Forwarded-For: rubbish"), 403)
}

// TestMetrics counts what happened, and nothing that a client sends makes a
// label.
func TestMetrics(t *testing.T) {
	t.Parallel()
	c := serve(t, tree{"default": say("default"), "static/10.0.0.1": "no script",
		"install":        say("install"),
		"once/127.0.0.1": "-> ../install"}, func(c *config.Config) {
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	c.wantScript("install")
	c.wantScript("default")
	c.wantScript("default", "X-Forwarded-For: 10.0.0.1")
	c.redirectQuery("?uuid=00000000-0000-0000-0000-000000000000&serial=evil%0Alabel%7B%7D")
	c.redirectQuery("?uuid=a&uuid=b")
	c.ask("GET", "/redirect", "User-Agent: iPXE/1")
	c.ask("GET", "/nothing-evil")
	c.ask("GET", "/install")
	c.wantOrder("127.0.0.1", "served")
	text := c.ask("GET", "/metrics").body
	for _, want := range []string{
		`pxesrv_answers_total{result="script",step="once"} 1`,
		`pxesrv_answers_total{result="script",step="default"} 4`,
		`pxesrv_answers_total{result="identification",step=""} 1`,
		`pxesrv_answers_total{result="unsure",step=""} 0`,
		`pxesrv_skipped_total{reason="no-script",step="static"} 1`,
		`pxesrv_placeholders_total 1`,
		`pxesrv_conflicts_total 1`,
		`pxesrv_order_events_total{event="served"} 1`,
		`pxesrv_files_total{status="404"} 1`,
		`pxesrv_files_total{status="200"} 1`,
		`pxesrv_decision_seconds_count 6`,
		`pxesrv_log_dropped_total 0`,
		`pxesrv_build_info{commit="0123456789ab",goversion="` + runtime.Version() +
			`",version="1.2.3"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("/metrics has not: %s", want)
		}
	}
	if strings.Contains(text, "evil") {
		t.Error("/metrics has a text that a client sent")
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestReload replaces the configuration at SIGHUP, whole, and keeps the old one
// when the new one is wrong.
func TestReload(t *testing.T) {
	t.Parallel()
	one, two := plant(t, tree{"default": say("one")}), plant(t, tree{"default": say("two")})
	var mu sync.Mutex
	next, wrong := config.Default(), error(nil)
	next.Root, next.Listen = two, []string{"127.0.0.1:0"}
	hangup := make(chan os.Signal)
	cfg := config.Default()
	cfg.Root, cfg.Listen = one, []string{"127.0.0.1:0"}
	c := start(t, cfg, func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
		return (&Daemon{Config: cfg, Log: log, Hangup: hangup,
			Reload: func() (config.Config, error) {
				mu.Lock()
				defer mu.Unlock()
				return next, wrong
			}}).Run(ctx)
	})
	c.wantScript("one")
	hangup <- nil
	c.wantLog("msg=reloaded", "root="+two)
	c.wantScript("two")

	mu.Lock()
	wrong = errors.New("file:3: prot is no setting")
	mu.Unlock()
	hangup <- nil
	c.wantLog("level=ERROR", "the old one stays", "prot is no setting")
	c.wantScript("two")

	mu.Lock()
	wrong, next.Placeholders = nil, "/no/such/file"
	mu.Unlock()
	hangup <- nil
	c.wantLog("level=ERROR", "the old one stays", "the list of placeholders")
	c.wantScript("two")
	if text := c.ask("GET", "/metrics").body; !strings.Contains(text,
		`pxesrv_reloads_total{result="refused"} 2`) {
		t.Error("two refused reloads are not counted")
	}
}

// TestHealth: alive at once, ready when the tree can be read, with the reason
// when it cannot.
func TestHealth(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	c := serve(t, tree{"default": say("default"), "once/.keep": ""})
	c.wantStatus(c.ask("GET", "/healthz"), 200)
	if !eventually(func() bool { return c.ask("GET", "/readyz").status == 200 }) {
		t.Errorf("never ready: %s", c.ask("GET", "/readyz").body)
	}
	if err := os.Rename(c.root, c.root+".away"); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { return c.ask("GET", "/readyz").status == 503 }) {
		t.Error("ready without a root")
	}
	if body := c.ask("GET", "/readyz").body; !strings.Contains(body,
		"the document root cannot be read") || strings.Contains(body, c.root) {
		t.Errorf("/readyz says %q", body)
	}
	c.wantStatus(c.ask("GET", "/healthz"), 200)
	os.Rename(c.root+".away", c.root)
}

// TestUnixSocket listens on a Unix socket, also where a killed daemon left one
// behind; a daemon that runs is not pushed away.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "http.sock")
	left, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	serve(t, tree{"default": say("default")}, func(c *config.Config) {
		c.Listen = append(c.Listen, "unix:"+socket)
	})
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string,
		string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
	defer client.CloseIdleConnections()
	var body string
	if !eventually(func() bool {
		resp, err := client.Get("http://pxesrv/redirect")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		body = string(b)
		return true
	}) || body != say("default") {
		t.Errorf("the socket answers %q", body)
	}
	second := config.Default()
	second.Root, second.Listen = t.TempDir(), []string{"unix:" + socket}
	if err := run(t.Context(), second, (&logBook{}).logger()); err == nil ||
		!strings.Contains(err.Error(), "another program does already") {
		t.Errorf("a second daemon on the socket: %v", err)
	}
}
