package httpd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/boot"
)

// TestLeft_NoOtherScript: a client that closes its half and hears still is told no script that leaves its order out, however quickly.
func TestLeft_NoOtherScript(t *testing.T) {
	t.Parallel()
	l, _ := gated(t, GateLimits{})
	begun := make(chan bool)
	s := &Server{Log: slog.New(slog.DiscardHandler), Site: slow{resolve: func(ctx context.Context) (boot.Answer, error) {
		begun <- true
		for !left(ctx.(*deadline).Context) {
			time.Sleep(100 * time.Microsecond)
		}
		ctx.Err() // as before an order is claimed, which is passed over then
		return script, nil
	}}}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: s, ConnContext: ConnContext}}
	server.Start()
	defer server.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /redirect HTTP/1.1\r\nHost: a\r\n\r\n")
	<-begun
	c.(*net.TCPConn).CloseWrite()
	got, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(got), "HTTP/1.1 503 ") {
		t.Errorf("%q", got)
	}
}

// TestLeft_Slots: who waits for a slot and hangs up waits no more.
func TestLeft_Slots(t *testing.T) {
	t.Parallel()
	l, gate := gated(t, GateLimits{})
	s := &Server{Log: slog.New(slog.DiscardHandler), FileSlots: make(chan struct{}), Deadline: time.Minute,
		Site: slow{open: func() (*os.File, error) { return nil, os.ErrNotExist }}}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: s, ConnContext: ConnContext}}
	server.Start()
	defer server.CloseClientConnections()
	for range 10 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "GET /f HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(10 * time.Millisecond)
		c.Close()
	}
	for end := time.Now().Add(3 * time.Second); gate.Open() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections wait, of which each was closed", gate.Open())
		}
	}
}
