package httpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/conn"
)

// slow is a site whose disk answers as a test says.
type slow struct {
	resolve func(context.Context) (boot.Answer, error)
	open    func() (*os.File, error)
}

func (slow) Identify(boot.Claims, netip.Addr) boot.Machine { return boot.Machine{} }

func (s slow) Resolve(ctx context.Context, _ *boot.Machine, _ bool) (boot.Answer, error) {
	return s.resolve(ctx)
}

func (s slow) Open(string) (*os.File, error) { return s.open() }

// script is what slow answers with when it does.
var script = boot.Answer{Script: boot.Script{Body: []byte("#!ipxe\nexit\n")}}

// started serves on a listener, until it is closed.
func started(l net.Listener, s *Server) *httptest.Server {
	server := &httptest.Server{Listener: l,
		Config: &http.Server{Handler: s, ConnContext: conn.Context}}
	server.Start()
	return server
}

// dialed is a connection to a listener.
func dialed(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// gated listens, until the test ends, with a limiter that has these limits.
func gated(t *testing.T, limits conn.Limits) (net.Listener, *conn.Limiter) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close() })
	limiter := new(conn.Limiter)
	limiter.Set(limits)
	return limiter.Listener(plain), limiter
}

// speak serves over a listener, and returns what answers a request that is
// written as it stands: all until the connection is closed.
func speak(t *testing.T, s *Server, l net.Listener, overTLS bool) func(request string) string {
	server := &httptest.Server{Listener: l,
		Config: &http.Server{Handler: s, ConnContext: conn.Context}}
	if overTLS {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return func(request string) string {
		c, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if overTLS {
			c.Close()
			config := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			config.ServerName = "example.com" // whom httptest's certificate is for
			if c, err = tls.Dial("tcp", l.Addr().String(), config); err != nil {
				t.Fatal(err)
			}
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		fmt.Fprint(c, request)
		answer, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("%q: %v behind %q", request, err, answer)
		}
		return string(answer)
	}
}

// TestLate: a decision that hangs is answered for after the deadline, once,
// with a whole answer, over whatever the request came; and each log has its
// line then, not when the disk is back.
func TestLate(t *testing.T) {
	t.Parallel()
	const body = "the boot server cannot tell at the moment what this machine boots\n"
	want := []string{
		"Cache-Control: no-store", "Connection: close",
		fmt.Sprintf("Content-Length: %d", len(body)), "Content-Type: text/plain; charset=utf-8",
		"HTTP/1.1 503 Service Unavailable", "X-Content-Type-Options: nosniff",
	}
	for _, way := range []string{"tcp", "unix", "tls"} {
		for _, request := range []string{"GET /redirect HTTP/1.1",
			"GET /redirect?serial=1 HTTP/1.0", "HEAD /redirect HTTP/1.1"} {
			want := slices.Clone(want)
			if strings.HasSuffix(request, "1.0") {
				want[4] = strings.Replace(want[4], "1.1", "1.0", 1)
				want = slices.Delete(want, 1, 2) // it ends by itself
			}
			t.Run(way+" "+request, func(t *testing.T) {
				t.Parallel()
				var log, access book
				disk := make(chan struct{})
				s := &Server{
					Site: slow{resolve: func(context.Context) (boot.Answer, error) {
						<-disk
						return script, nil
					}},
					Log: slog.New(slog.NewTextHandler(&log, nil)), Access: &access,
					Deadline: 50 * time.Millisecond,
				}
				network, address := "tcp", "127.0.0.1:0"
				if way == "unix" {
					network, address = way, filepath.Join(t.TempDir(), "socket")
				}
				l, err := net.Listen(network, address)
				if err != nil {
					t.Fatal(err)
				}
				var g conn.Limiter
				got := speak(t, s, g.Listener(l), way == "tls")(request +
					"\r\nHost: x\r\nConnection: close\r\n\r\n")
				head, text, _ := strings.Cut(got, "\r\n\r\n")
				lines := strings.Split(head, "\r\n")
				lines = slices.DeleteFunc(lines, func(line string) bool {
					return strings.HasPrefix(line, "Date: ")
				})
				slices.Sort(lines)
				if !slices.Equal(lines, want) {
					t.Errorf("%q", lines)
				}
				if strings.HasPrefix(request, "HEAD") != (text == "") ||
					text != "" && text != body {
					t.Errorf("the body is %q", text)
				}
				if line := log.wait(t, 1)[0]; !strings.Contains(line,
					`level=ERROR msg=redirect `) ||
					!strings.Contains(line,
						`status=503 error="cannot know: the disk has not answered within 50ms"`) {
					t.Error(line)
				}
				if line := access.wait(t, 1)[0]; !strings.Contains(line, request+`" 503 `) {
					t.Error(line)
				}
				if n := s.decisions.Count(); n != 1 {
					t.Errorf("%d decisions hang", n)
				}
				close(disk)
				s.Wait()
				if n := s.decisions.Count(); n != 0 {
					t.Errorf("%d decisions hang still", n)
				}
				for end := time.Now().Add(30 * time.Second); g.Open() > 0 &&
					time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
				if g.Open() > 0 {
					t.Errorf("%d connections are left", g.Open())
				}
				log.wait(t, 1)
				access.wait(t, 1)
			})
		}
	}
}

// TestLate_OrInTime: decisions that take about as long as they may are answered
// by exactly one of the two, whole, and never by what they came to when there
// was no time left.
func TestLate_OrInTime(t *testing.T) {
	t.Parallel()
	const limit = 20 * time.Millisecond
	var turn atomic.Int64
	s := &Server{Log: slog.New(slog.DiscardHandler), Deadline: limit,
		Site: slow{resolve: func(ctx context.Context) (boot.Answer, error) {
			time.Sleep(limit + time.Duration(turn.Add(1)%41-20)*50*time.Microsecond)
			if ctx.Err() != nil {
				// Too late to claim an order: what stands behind it must not go
				// out in its place.
				return boot.Answer{Script: boot.Script{Body: []byte("#!ipxe\necho the default\n")}},
					nil
			}
			return script, nil
		}}}
	server := httptest.NewServer(s)
	defer server.Close()
	counts := map[string]int{}
	for range 200 {
		answer, err := http.Get(server.URL + "/redirect")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		counts[fmt.Sprint(answer.StatusCode, " ", string(body))]++
	}
	const late = "503 the boot server cannot tell at the moment what this machine boots\n"
	if len(counts) > 2 || counts[late]+counts["200 #!ipxe\nexit\n"] != 200 {
		t.Errorf("%v", counts)
	}
	s.Wait()
	if n := s.decisions.Count(); n != 0 {
		t.Errorf("%d decisions hang", n)
	}
}

// TestDefect: a defect of the program costs the request in which it shows its
// connection, and is said with the place; everybody else is answered, and
// nothing is left behind. That is so in a decision, in a file, and in a
// decision that is too late.
func TestDefect(t *testing.T) {
	t.Parallel()
	var log book
	var late atomic.Bool
	var s *Server
	s = &Server{Log: slog.New(slog.NewTextHandler(&log, nil)), Deadline: 50 * time.Millisecond,
		Site: slow{
			resolve: func(context.Context) (boot.Answer, error) {
				for late.Load() && s.decisions.Count() == 0 {
					time.Sleep(time.Millisecond)
				}
				panic("an index out of range")
			},
			open: func() (*os.File, error) { panic("a nil pointer") },
		}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ask := speak(t, s, l, false)
	for i, test := range []struct{ path, error, in string }{{"/redirect", "an index out of range",
		"httpd.TestDefect.func"}, {"/x", "a nil pointer", "httpd.TestDefect.func"}} {
		if got := ask("GET " + test.path + " HTTP/1.1\r\nHost: x\r\n\r\n"); got != "" {
			t.Errorf("%s: %q", test.path, got)
		}
		line := log.wait(t, i+1)[i]
		for _, part := range []string{"level=ERROR msg=defect peer=127.0.0.1 method=GET path=" +
			test.path, "panic: " + test.error, test.in} {
			if !strings.Contains(line, part) {
				t.Errorf("%s: no %q in %s", test.path, part, line)
			}
		}
	}
	late.Store(true)
	if got := ask(
		"GET /redirect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got,
		"HTTP/1.1 503 ") {
		t.Errorf("%q", got)
	}
	s.Wait()
	log.wait(t, 4) // the answer, and the defect
	if got := ask("GET /local.ipxe HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.0 200 ") {
		t.Errorf("%q", got)
	}
	if n := s.decisions.Count() + s.opens.Count(); n != 0 {
		t.Errorf("%d are counted as hanging", n)
	}
}

// TestLate_ClientGone: a client that does not wait for the deadline leaves
// nothing behind but the decision.
func TestLate_ClientGone(t *testing.T) {
	t.Parallel()
	disk := make(chan struct{})
	var log book
	s := &Server{
		Site: slow{resolve: func(context.Context) (boot.Answer, error) {
			<-disk
			return script, nil
		}},
		Log: slog.New(slog.NewTextHandler(&log, nil)), Deadline: 3 * time.Second,
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var g conn.Limiter
	server := started(g.Listener(l), s)
	defer server.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "GET /redirect HTTP/1.1\r\nHost: x\r\n\r\n")
	for g.Open() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	c.Close()
	if line := log.wait(t, 1)[0]; !strings.Contains(line, "level=WARN msg=redirect ") ||
		!strings.Contains(line, "the client went away before its answer was found") {
		t.Error(line)
	}
	close(disk)
	s.Wait()
	log.wait(t, 1)
	if got, err := http.Get(server.URL + "/redirect"); err != nil || got.StatusCode != 200 {
		t.Error(got, err)
	} else if text, err := bufio.NewReader(got.Body).ReadString('\n'); err != nil ||
		text != "#!ipxe\n" {
		t.Error(text, err)
	}
}
