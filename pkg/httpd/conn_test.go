package httpd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
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

// TestConn_FileLongerThanItsLimit: a file that takes far longer than the time limit for writes reaches a reader that never stops, whole,
// wherever in it the limit ends.
func TestConn_FileLongerThanItsLimit(t *testing.T) {
	t.Parallel()
	const size = 2 << 30
	f, err := os.Create(filepath.Join(t.TempDir(), "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	var g Gate
	g.Set(GateLimits{Write: 250 * time.Millisecond})
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := g.Listener(plain)
	defer l.Close()
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
		n, err := c.(*conn).ReadFrom(io.LimitReader(f, size-sent))
		sent += n
		// A reader that did not get to read for so long is no fault of ours.
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || err == nil && sent < size {
			t.Fatalf("%d bytes of %d, error %v", sent, int64(size), err)
		}
	}
}
