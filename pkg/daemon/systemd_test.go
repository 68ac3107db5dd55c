package daemon

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/config"
)

// hears is a manager and what it is told, a message at a time.
func hears(t *testing.T, watchdog time.Duration) (*sdNotify,
	func(within time.Duration) (string, bool)) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	m := &sdNotify{socket: name, watchdog: watchdog, status: func() string { return "two\nlines" },
		log: slog.New(slog.DiscardHandler)}
	return m, func(within time.Duration) (string, bool) {
		conn.SetReadDeadline(time.Now().Add(within))
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		return string(buf[:n]), err == nil
	}
}

// A daemon that cannot take its own locks any more does not say that it lives.
func TestWatchdog_Stuck(t *testing.T) {
	t.Parallel()
	m, next := hears(t, 30*time.Millisecond)
	stuck, asked := make(chan struct{}), make(chan struct{}, 1)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	beats := 0
	go func() {
		defer close(ended)
		m.keep(ctx, func() {
			if beats++; beats == 3 {
				asked <- struct{}{}
				<-stuck
			}
		})
	}()
	want := func(wanted string) {
		t.Helper()
		if got, ok := next(patience); !ok || got != wanted {
			t.Fatalf("%q, not %q", got, wanted)
		}
	}
	want("READY=1\nSTATUS=two lines")
	want("WATCHDOG=1")
	want("WATCHDOG=1")
	<-asked
	if got, ok := next(300 * time.Millisecond); ok {
		t.Errorf("a stuck daemon says %q", got)
	}
	close(stuck)
	want("WATCHDOG=1")
	cancel()
	<-ended
}

// A manager that reads nothing any more keeps neither a reload nor a stop
// waiting.
func TestManagerReadsNothing(t *testing.T) {
	t.Parallel()
	m, _ := hears(t, 0)
	full := make(chan struct{})
	go func() {
		defer close(full)
		for !m.failed.Load() {
			m.tell("STATUS=x")
		}
	}()
	select {
	case <-full:
	case <-time.After(patience):
		t.Error("the daemon waits for the manager")
	}
}

// What is for this process alone does not go on to programs that it starts.
func TestManagerEnvironment(t *testing.T) {
	m, next := hears(t, 0)
	for name, value := range map[string]string{
		"NOTIFY_SOCKET": m.socket, "WATCHDOG_USEC": "3000000",
		"WATCHDOG_PID": strconv.Itoa(os.Getpid()),
		"LISTEN_PID":   strconv.Itoa(os.Getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": "http",
	} {
		t.Setenv(name, value)
	}
	m = newSDNotify(slog.New(slog.DiscardHandler), m.status)
	if _, err := activatedSockets(m.log); err != nil {
		t.Fatal(err)
	}
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "LISTEN_") ||
			strings.HasPrefix(name, "WATCHDOG_") || name == "NOTIFY_SOCKET" {
			t.Errorf("left in the environment: %s", e)
		}
	}
	if m.watchdog != 3*time.Second {
		t.Errorf("the watchdog waits for %v", m.watchdog)
	}
	m.tell("X=1")
	if got, ok := next(patience); !ok || got != "X=1" {
		t.Errorf("it tells %q", got)
	}
}

// A connection that was let in before the stop, and only then asks, is
// answered; so is one whose request has no end yet. Those that were answered
// are closed.
func TestStop_AnswersWhoWasLetIn(t *testing.T) {
	c := serve(t, tree{"default": say("default")}, func(c *config.Config) {
		c.Limits.HeaderTimeout = patience
	})
	const request = "GET /redirect HTTP/1.1\r\nHost: x\r\n\r\n"
	type asked struct {
		conn net.Conn
		read *bufio.Reader
		rest string // of its request
	}
	begin := func(sent int) asked {
		conn := c.dial()
		io.WriteString(conn, request[:sent])
		return asked{conn, bufio.NewReader(conn), request[sent:]}
	}
	answered := func(a asked) *http.Response {
		t.Helper()
		resp, err := http.ReadResponse(a.read, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != say("default") ||
			resp.StatusCode != http.StatusOK {
			t.Errorf("%v %s %q", err, resp.Status, body)
		}
		return resp
	}
	late := []asked{begin(0), begin(1), begin(len(request) - 1)}
	idle := begin(len(request))
	answered(idle)
	// with this one
	if !eventually(func() bool {
		return strings.Contains(c.ask("GET", "/metrics").body, "\npxesrv_connections 5\n")
	}) {
		t.Fatal("not all are let in")
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); c.stop() }()
	if !eventually(func() bool {
		conn, err := c.connect()
		if err == nil {
			conn.Close()
		}
		return err != nil
	}) {
		t.Fatal("it goes on to let people in")
	}
	if _, err := idle.read.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection: %v", err)
	}
	for _, a := range late {
		io.WriteString(a.conn, a.rest)
		if resp := answered(a); !resp.Close {
			t.Error("the answer does not say that the connection ends")
		}
	}
	<-stopped
}
