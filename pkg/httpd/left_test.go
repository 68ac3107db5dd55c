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
	"sync/atomic"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/conn"
)

// TestLeft_NoOtherScript: a client that closes its half and hears still is told
// no script that leaves its order out, however quickly.
func TestLeft_NoOtherScript(t *testing.T) {
	t.Parallel()
	l, _ := gated(t, conn.Limits{})
	begun := make(chan bool)
	s := &Server{Log: slog.New(slog.DiscardHandler),
		Site: slow{resolve: func(ctx context.Context) (boot.Answer, error) {
			begun <- true
			<-ctx.Done() // an order is passed over then
			return script, nil
		}}}
	server := started(l, s)
	defer server.Close()
	c := dialed(t, l)
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
	l, limiter := gated(t, conn.Limits{})
	s := &Server{Log: slog.New(slog.DiscardHandler), FileSlots: make(chan struct{}),
		Deadline: time.Minute,
		Site:     slow{open: func() (*os.File, error) { return nil, os.ErrNotExist }}}
	server := started(l, s)
	defer server.CloseClientConnections()
	for range 10 {
		c := dialed(t, l)
		fmt.Fprint(c, "GET /f HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(10 * time.Millisecond)
		c.Close()
	}
	for end := time.Now().Add(3 * time.Second); limiter.Open() > 0; time.Sleep(
		5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections wait, of which each was closed", limiter.Open())
		}
	}
}

// claimed is a grant that counts how it ended.
type claimed struct{ back, confirmed atomic.Int32 }

func (*claimed) ID() string        { return "claim" }
func (c *claimed) GiveBack(string) { c.back.Add(1) }
func (c *claimed) Confirm(bool)    { c.confirmed.Add(1) }

// TestLeft_NothingClaimed: for a client that leaves while its decision hangs
// nothing is claimed when the disk is back. One look at the socket knows so
// also before net/http does. What was claimed in the same moment is given back.
func TestLeft_NothingClaimed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		leaves string // when the client does
		unseen bool   // by net/http
	}{
		"before the decision": {"before", false}, "before it, unseen": {"before", true},
		"while it hangs":   {"meanwhile", false},
		"behind the claim": {"behind", false}, "behind it, unseen": {"behind", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log book
			l, _ := gated(t, conn.Limits{})
			begun, disk, claims, grant := make(chan bool, 1), make(chan bool),
				atomic.Int32{}, &claimed{}
			s := &Server{Log: slog.New(slog.NewTextHandler(&log, nil)), Deadline: time.Minute,
				Site: slow{resolve: func(ctx context.Context) (boot.Answer, error) {
					if test.leaves != "behind" {
						begun <- true
						<-disk
					}
					if ctx.Err() != nil {
						return script, nil // the order is passed over
					}
					claims.Add(1)
					if test.leaves == "behind" {
						begun <- true
						<-disk
					}
					a := script
					a.Grant = grant
					return a, nil
				}}}
			left := make(chan bool)
			server := &httptest.Server{Listener: l, Config: &http.Server{ConnContext: conn.Context,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if test.leaves == "before" {
						<-left
						for !conn.Gone(r.Context()) {
							time.Sleep(time.Millisecond)
						}
					}
					if test.unseen {
						r = r.WithContext(context.WithoutCancel(r.Context()))
					}
					s.ServeHTTP(w, r)
				})}}
			server.Start()
			defer server.Close()
			c := dialed(t, l)
			defer c.Close()
			fmt.Fprint(c, "GET /redirect HTTP/1.1\r\nHost: a\r\n\r\n")
			if test.leaves != "before" {
				<-begun
			}
			c.Close()
			if test.leaves == "before" {
				close(left)
			} else {
				time.Sleep(50 * time.Millisecond)
			}
			close(disk)
			line := log.wait(t, 1)[0]
			s.Wait()
			if n := claims.Load(); n != 0 && test.leaves != "behind" {
				t.Errorf("%d orders were claimed", n)
			}
			if back := grant.back.Load(); back != claims.Load() || grant.confirmed.Load() != 0 {
				t.Errorf("%d of %d are given back, %d confirmed", back, claims.Load(),
					grant.confirmed.Load())
			}
			if !strings.Contains(line, "level=WARN msg=redirect ") ||
				!strings.Contains(line, "client went away") &&
					!strings.Contains(line, "client gone") {
				t.Error(line)
			}
		})
	}
}

// TestLeft_StillCounts: a client that asks and leaves, while the disk is slow,
// counts for its address as long as the work for it goes on, and not among what
// is stuck: that is for what the deadline has passed of, and stops everybody.
func TestLeft_StillCounts(t *testing.T) {
	t.Parallel()
	l, limiter := gated(t, conn.Limits{})
	begun, disk := make(chan bool), make(chan bool)
	s := &Server{Log: slog.New(slog.DiscardHandler), Deadline: time.Minute,
		Site: slow{resolve: func(context.Context) (boot.Answer, error) {
			begun <- true
			<-disk
			return script, nil
		}}}
	server := started(l, s)
	defer server.CloseClientConnections()
	c := dialed(t, l)
	fmt.Fprint(c, "GET /redirect HTTP/1.1\r\nHost: a\r\n\r\n")
	<-begun
	c.Close()
	time.Sleep(200 * time.Millisecond) // net/http hears of it
	if n, stuck := limiter.Open(), s.decisions.Count(); n != 1 || stuck != 0 {
		t.Errorf("%d connections and %d stuck while the work goes on, want 1 and 0", n, stuck)
	}
	close(disk)
	for end := time.Now().Add(3 * time.Second); limiter.Open() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the connection stays when the work has ended")
		}
	}
}
