package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHealthAnswers has servers that are well, and that behave badly, on the
// loopback and on a Unix socket.
func TestHealthAnswers(t *testing.T) {
	for what, c := range map[string]struct{ answer, want, err string }{
		"well": {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", "ok", ""},
		"unwell": {"HTTP/1.1 503 No\r\nContent-Length: 14\r\n\r\nnot ready: x\ny", "",
			"not ready: x; y"},
		"elsewhere": {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nno", "", "no"},
		"cut": {"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nok\n", "",
			"the answer broke off: unexpected EOF"},
		"not HTTP": {"SSH-2.0-x\r\n\r\n", "", "no daemon answers: "},
		"hangs":    {"", "", "no answer within 3s"},
		"hangs later": {"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n", "",
			"the answer broke off: "},
	} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(what+" "+network, func(t *testing.T) {
				at := "127.0.0.1:0"
				if network == "unix" {
					at = filepath.Join(t.TempDir(), "s")
				}
				l, err := net.Listen(network, at)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				done := make(chan struct{})
				defer close(done)
				go func() {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					conn.Read(make([]byte, 4096))
					io.WriteString(conn, c.answer)
					if strings.HasPrefix(what, "hangs") {
						<-done
					}
				}()
				patience := 30 * time.Second
				if strings.HasPrefix(what, "hangs") {
					patience = 200 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				addr := l.Addr().String()
				if network == "unix" {
					addr = "unix:" + addr
				}
				got, err := health(ctx, addr, false, false)
				switch {
				case c.err == "" && err != nil:
					t.Error(err)
				case c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)):
					t.Errorf("error %v, want %q", err, c.err)
				case got != c.want:
					t.Errorf("%q, want %q", got, c.want)
				}
			})
		}
	}
}

// TestHealthHTTPS asks a server whose certificate is for another name.
func TestHealthHTTPS(t *testing.T) {
	s := httptest.NewTLSServer(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w,
				r.URL.Path+"\n")
		}))
	defer s.Close()
	addr := s.Listener.Addr().String()
	if got, err := health(t.Context(), addr, true, true); err != nil || got != "/readyz" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := health(t.Context(), addr, false, false); err == nil {
		t.Errorf("without TLS it is %q", got)
	}
}
