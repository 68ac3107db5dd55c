package httpd

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestConn_NotStuck: net/http ends its listening by a limit in the past, over TLS by one that another goroutine is just about to take away.
func TestConn_NotStuck(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused := httptest.NewUnstartedServer(nil)
	unused.StartTLS()
	entrance := &Entrance{TLS: unused.TLS.Clone()}
	entrance.TLS.NextProtos = []string{"http/1.1"}
	unused.Close()
	var n atomic.Int64
	idle := make(chan bool, 1)
	server := &http.Server{
		ConnContext: ConnContext,
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
	go server.Serve(entrance.Listener(new(Gate).Listener(plain)))
	defer server.Close()
	c, err := tls.Dial("tcp", plain.Addr().String(), &tls.Config{InsecureSkipVerify: true})
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
