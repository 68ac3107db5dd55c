package httpd

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// TestConn_SlowReader: what does not come from a file, an image or several ranges, reaches a slow reader whole, although the time
// limit for writes ends in the middle of it several times.
func TestConn_SlowReader(t *testing.T) {
	t.Parallel()
	want := make([]byte, 6<<20)
	for i := 0; i < len(want); i += 4 {
		binary.BigEndian.PutUint32(want[i:], uint32(i))
	}
	var g Gate
	g.Set(GateLimits{Write: time.Second})
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := g.Listener(plain)
	defer l.Close()
	sent := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
			c.(*conn).SetWriteBuffer(64 << 10)
			_, err = c.(*conn).ReadFrom(io.LimitReader(bytes.NewReader(want), int64(len(want))))
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
		time.Sleep(100 * time.Millisecond) // 2.5 MiB/s: the limit ends twice meanwhile, and there is always progress
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
