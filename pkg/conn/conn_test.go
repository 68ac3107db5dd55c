package conn

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pxesrv/pkg/lab"
)

// gated listens, until the test ends, with a limiter that has these limits.
func gated(t *testing.T, limits Limits) (net.Listener, *Limiter) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close() })
	limiter := new(Limiter)
	limiter.Set(limits)
	return limiter.Listener(plain), limiter
}

// connected returns both ends of a connection, until the test ends, and the
// limiter that it came through, which has these limits.
func connected(t *testing.T, limits Limits) (c *tcpConn, other net.Conn, limiter *Limiter) {
	t.Helper()
	l, limiter := gated(t, limits)
	other, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return accepted.(*tcpConn), other, limiter
}

// TestConn_SlowReader: what does not come from a file, an image or several
// ranges, reaches a slow reader whole, although the time limit for writes ends
// in the middle of it several times.
func TestConn_SlowReader(t *testing.T) {
	t.Parallel()
	want := make([]byte, 6<<20)
	for i := 0; i < len(want); i += 4 {
		binary.BigEndian.PutUint32(want[i:], uint32(i))
	}
	l, _ := gated(t, Limits{Write: time.Second})
	sent := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
			c.(*tcpConn).SetWriteBuffer(64 << 10)
			_, err = c.(*tcpConn).ReadFrom(io.LimitReader(bytes.NewReader(want), int64(len(want))))
		}
		sent <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(64 << 10)
	got := make([]byte, 0, len(want))
	for part := make([]byte, 256<<10); ; {
		// 2.5 MiB/s: the limit ends twice meanwhile, and there is always
		// progress
		time.Sleep(100 * time.Millisecond)
		n, err := io.ReadFull(c, part)
		got = append(got, part[:n]...)
		if err != nil {
			break
		}
	}
	if err := <-sent; err != nil {
		t.Errorf("it was not all sent: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes arrived, or others", len(got), len(want))
	}
}

// TestConn_FileLongerThanItsLimit: a file that takes far longer than the time
// limit for writes reaches a reader that never stops, whole, wherever in it the
// limit ends.
func TestConn_FileLongerThanItsLimit(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	const size = 2 << 30
	f, err := os.Create(filepath.Join(t.TempDir(), "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	l, _ := gated(t, Limits{Write: 500 * time.Millisecond})
	go func() {
		got, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return
		}
		defer got.Close()
		for buf := make([]byte, 256<<10); err == nil; {
			_, err = got.Read(buf)
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for sent := int64(0); sent < size; {
		n, err := c.(*tcpConn).ReadFrom(io.LimitReader(f, size-sent))
		sent += n
		// A reader that did not get to read for so long is no fault of ours.
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || err == nil && sent < size {
			t.Fatalf("%d bytes of %d, error %v", sent, int64(size), err)
		}
	}
}

// TestConn_ClientLeaves: the context of a request ends when its client closes
// the connection, or its half of it, or throws it away; also behind a header of
// the PROXY protocol, and over TLS.
func TestConn_ClientLeaves(t *testing.T) {
	t.Parallel()
	unused := httptest.NewUnstartedServer(nil)
	unused.StartTLS()
	unused.Close()
	const proxied = "PROXY TCP4 192.0.2.7 192.0.2.1 40000 80\r\n"
	for way, e := range map[string]*Handshaker{
		"plain": {}, "PROXY": {Proxies: netip.Addr.IsLoopback}, "TLS": {TLS: unused.TLS},
		"PROXY, TLS": {Proxies: netip.Addr.IsLoopback, TLS: unused.TLS},
	} {
		for how, leave := range map[string]func(*net.TCPConn, net.Conn){
			"closed":      func(_ *net.TCPConn, c net.Conn) { c.Close() },
			"half closed": func(c *net.TCPConn, _ net.Conn) { c.CloseWrite() },
			"said good-bye": func(_ *net.TCPConn, c net.Conn) {
				c.(interface{ CloseWrite() error }).CloseWrite()
			},
			"thrown away": func(c *net.TCPConn, _ net.Conn) { c.SetLinger(0); c.Close() },
		} {
			t.Run(way+", "+how, func(t *testing.T) {
				t.Parallel()
				l, _ := gated(t, Limits{})
				working, left := make(chan context.Context, 1), make(chan struct{})
				server := &http.Server{
					ConnContext: Context,
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if Gone(r.Context()) {
							t.Error("a client that waits has left")
						}
						working <- r.Context()
						<-left
					}),
				}
				go server.Serve(e.Listener(l))
				defer server.Close()
				raw, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer raw.Close()
				if e.Proxies != nil {
					io.WriteString(raw, proxied)
				}
				c := raw
				if e.TLS != nil {
					c = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
				}
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				ctx := <-working
				time.Sleep(20 * time.Millisecond)
				if ctx.Err() != nil {
					t.Error("a client that waits has left")
				}
				leave(raw.(*net.TCPConn), c)
				select {
				case <-ctx.Done():
				case <-time.After(30 * time.Second):
					t.Error("a client that has left waits")
				}
				close(left)
			})
		}
	}
}

// TestConn_HangsUp: one look at the socket knows that a client has closed the
// connection, or its half of it, or has thrown it away.
func TestConn_HangsUp(t *testing.T) {
	t.Parallel()
	for _, close := range []func(*net.TCPConn){
		func(c *net.TCPConn) { c.Close() }, func(c *net.TCPConn) { c.CloseWrite() },
		func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
	} {
		c, other, _ := connected(t, Limits{})
		for _, says := range []string{"", "x"} {
			if io.WriteString(other, says); c.hungUp() {
				t.Error("a client that waits has left")
			}
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			c.Read(make([]byte, 1))
		}
		close(other.(*net.TCPConn))
		for end := time.Now().Add(30 * time.Second); !c.hungUp(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("a client that has left waits")
			}
		}
	}
}

// TestConn_KeptAlive: requests that are sent in one piece, in many, or slowly
// are all read whole while net/http listens for a client that leaves.
func TestConn_KeptAlive(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	l, _ := gated(t, Limits{})
	working, goOn := make(chan context.Context), make(chan struct{})
	server := &http.Server{
		ConnContext: Context, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				working <- r.Context()
				<-goOn
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			io.WriteString(w, r.Header.Get("Name")+string(body))
		}),
	}
	go server.Serve(l)
	defer server.Close()
	dial := func(pause time.Duration, parts ...string) (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range parts {
			if i > 0 {
				time.Sleep(pause)
			}
			io.WriteString(c, p)
		}
		return c, bufio.NewReader(c)
	}
	answer := func(from *bufio.Reader, want string) {
		t.Helper()
		got, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(got.Body); string(body) != want {
			t.Fatalf("%q, want %q", body, want)
		}
	}

	// Pipelined, and more of it while the first is answered.
	c, from := dial(0, "GET /wait HTTP/1.1\r\nHost: a\r\nName: 1\r\n\r\nG")
	ctx := <-working
	io.WriteString(c, "ET / HTTP/1.1\r\nHost: a\r\nName: 2\r\n\r\nGET /wait HTTP/1.1\r\nHost: "+
		"a\r\nName: 3\r\n\r\n")
	time.Sleep(50 * time.Millisecond)
	if Gone(ctx) {
		t.Error("a client that says more has left")
	}
	goOn <- struct{}{}
	answer(from, "1")
	answer(from, "2")
	<-working
	goOn <- struct{}{}
	answer(from, "3")
	began := time.Now()
	if _, err := from.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection ends with %v", err)
	}
	if took := time.Since(began); took < 100*time.Millisecond || took > 30*time.Second {
		t.Errorf("an idle connection ended after %v", took)
	}

	// A line of a header of which all but a byte has come that the server's
	// buffer has room for.
	const begin = "GET / HTTP/1.1\r\nHost: a\r\n"
	name := strings.Repeat("n", 6000)
	line := "Name: " + name + "\r\n\r\n"
	_, from = dial(100*time.Millisecond, begin+line[:3000], line[3000:4095], line[4095:])
	answer(from, name)

	// A body that takes longer than a header may, and a request right behind
	// it.
	parts := []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n"}
	for range 7 {
		parts = append(parts, "b")
	}
	_, from = dial(700*time.Millisecond,
		append(parts, "bGET / HTTP/1.1\r\nHost: a\r\nName: q\r\n\r\n")...)
	answer(from, "bbbbbbbb")
	answer(from, "q")
}

// TestConn_Limits: a time limit that was set last is in force.
func TestConn_Limits(t *testing.T) {
	const limit = 100 * time.Millisecond
	for name, try := range map[string]func(t *testing.T, limiter *Limiter, c *tcpConn,
		other net.Conn){
		"a limit for writes that a new configuration takes away": func(t *testing.T,
			limiter *Limiter, c *tcpConn, _ net.Conn) {
			io.WriteString(c, "x")
			limiter.Set(Limits{})
			time.Sleep(2 * limit)
			if _, err := io.WriteString(c, "x"); err != nil {
				t.Error(err)
			}
		},
		"a limit for writes of somebody else that is over, where the limiter has none": func(t *testing.T, limiter *Limiter, c *tcpConn, _ net.Conn) {
			limiter.Set(Limits{})
			c.SetWriteDeadline(time.Now().Add(limit))
			c.SetWriteDeadline(time.Time{})
			time.Sleep(2 * limit)
			if _, err := io.WriteString(c, "x"); err != nil {
				t.Error(err)
			}
		},
		"a limit for all": func(t *testing.T, _ *Limiter, c *tcpConn, other net.Conn) {
			c.SetReadDeadline(time.Time{})
			c.SetDeadline(time.Now().Add(limit))
			defer time.AfterFunc(30*time.Second, func() { other.Close() }).Stop()
			if _, err := c.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			if _, err := c.Write(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
		},
		"a limit for reads counts for the next read, and ends one that has begun": func(t *testing.T, _ *Limiter, c *tcpConn, other net.Conn) {
			defer time.AfterFunc(30*time.Second, func() { other.Close() }).Stop()
			c.SetReadDeadline(time.Now().Add(limit))
			if _, err := c.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			c.SetReadDeadline(time.Time{})
			time.AfterFunc(limit, func() { c.SetReadDeadline(time.Unix(1, 0)) })
			if _, err := c.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
		},
		"a read of one byte gets it": func(t *testing.T, _ *Limiter, c *tcpConn, other net.Conn) {
			io.WriteString(other, "ab")
			c.SetReadDeadline(time.Time{})
			for i := range 2 {
				if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
					t.Errorf("read %d: %d bytes, %v", i, n, err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, other, limiter := connected(t, Limits{Write: limit})
			try(t, limiter, c, other)
		})
	}
}

// TestConn_ShortWrites: each short answer has the whole time limit for itself,
// also after a pause.
func TestConn_ShortWrites(t *testing.T) {
	t.Parallel()
	const limit = 400 * time.Millisecond
	c, _, _ := connected(t, Limits{Write: limit})
	answer := make([]byte, 1<<10)
	for _, pause := range []time.Duration{0, limit / 8, 2 * limit, limit / 2} {
		time.Sleep(pause)
		if _, err := c.Write(answer); err != nil {
			t.Fatalf("after %v: %v", pause, err)
		}
	}
	for {
		began := time.Now()
		if _, err := c.Write(answer); err == nil {
			continue
		} else if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) ||
			took < limit-5*time.Millisecond {
			t.Errorf("after %v: %v", took, err)
		}
		break
	}
}

// TestConn_NotStuck: net/http ends its listening by a limit in the past, over
// TLS by one that another goroutine is just about to take away.
func TestConn_NotStuck(t *testing.T) {
	l, _ := gated(t, Limits{})
	unused := httptest.NewUnstartedServer(nil)
	unused.StartTLS()
	handshaker := &Handshaker{TLS: unused.TLS.Clone()}
	handshaker.TLS.NextProtos = []string{"http/1.1"}
	unused.Close()
	var n atomic.Int64
	idle := make(chan bool, 1)
	server := &http.Server{
		ConnContext: Context,
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			for i := n.Add(1) % 500; i > 0; i-- {
				n.Load()
			}
		}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateIdle {
				idle <- true
			}
		},
	}
	go server.Serve(handshaker.Listener(l))
	defer server.Close()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	from := bufio.NewReader(c)
	for i, end := 0, time.Now().Add(2*time.Second); time.Now().Before(end); i++ {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, err := http.ReadResponse(from, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-idle:
		case <-time.After(5 * time.Second):
			t.Fatalf("request %d is answered, and the server does not come back from it", i)
		}
	}
}
