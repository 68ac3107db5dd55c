package httpd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pxesrv/pkg/boot"
)

// book keeps what is written to it, by Write.
type book struct {
	mu    sync.Mutex
	lines []string
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(p))
	return len(p), nil
}

// wait waits for so many lines.
func (b *book) wait(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		lines := b.lines
		b.mu.Unlock()
		if len(lines) >= n || time.Now().After(end) {
			if len(lines) != n {
				t.Fatalf("%d lines, want %d: %q", len(lines), n, lines)
			}
			return lines
		}
	}
}

// folder is a site that has the files of a directory, and nothing to boot.
type folder string

func (folder) Identify(boot.Claims, netip.Addr) boot.Machine { return boot.Machine{} }

func (folder) Resolve(context.Context, *boot.Machine, bool) (boot.Answer, error) {
	return boot.Answer{}, boot.ErrNothing
}

func (f folder) Open(name string) (*os.File, error) {
	return os.Open(filepath.Join(string(f), name))
}

// TestAccess_HostileLines: whatever a client sends, a line has its words,
// printable ASCII, and no secret in it.
func TestAccess_HostileLines(t *testing.T) {
	var log book
	server := httptest.NewServer(&Server{Site: folder(t.TempDir()),
		Log: slog.New(slog.DiscardHandler), Access: &log})
	defer server.Close()
	long := strings.Repeat("x", 5000)
	for i, test := range []struct{ line, want string }{
		{`GET /a"b HTTP/1.1`, `"GET /a\x22b HTTP/1.1" 404 33`},
		{`GET /a\b HTTP/1.1`, `"GET /a\x5Cb HTTP/1.1" 404 33`},
		{"GET /\x80\xff\u2028 HTTP/1.1", `"GET /\x80\xFF\xE2\x80\xA8 HTTP/1.1" 404 33`},
		{`GET /%22%0a%1b[31m HTTP/1.1`, `"GET /%22%0a%1b[31m HTTP/1.1" 404 33`},
		{`GET /x?q="%20- HTTP/1.0`, `"GET /x?q=\x22%20- HTTP/1.0" 404 33`},
		{`GET http://evil.example/a" HTTP/1.1`, `"GET http://evil.example/a\x22 HTTP/1.1" 404 33`},
		{`GET /y?` + long + ` HTTP/1.1`, `"GET /y?` + long[:lineBytes-3] + `... HTTP/1.1" 404 33`},
		{strings.Repeat("M", 2000) + ` / HTTP/1.1`, `"` + strings.Repeat("M", lineBytes) +
			`... / HTTP/1.1" 405 36`},
		{`GET /iso/0123456789abcdef0123456789abcdef/web1.iso?x=0123456789abcdef0 HTTP/1.1`,
			`"GET /iso/0123.../web1.iso?x=0123... HTTP/1.1" 404 33`},
		{`GET /%69so/%30123456789abcdef0123456789abcdef/web1.iso HTTP/1.1`,
			`"GET /iso/0123.../web1.iso HTTP/1.1" 404 33`},
		{`GET /redirect?host=web1&hostsig=0123456789abcdef&uuid=1 HTTP/1.1`,
			`"GET /redirect?host=web1&hostsig=...&uuid=1 HTTP/1.1" 404 57`},
		{`GET /redirect?HOSTSIG=abc HTTP/1.1`, `"GET /redirect?HOSTSIG=... HTTP/1.1" 404 57`},
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s\r\nHost: x\r\nX-Forwarded-For: 10.0.0.7\r\nConnection: close\r\n\r\n",
			test.line)
		io.Copy(io.Discard, conn)
		conn.Close()
		got := log.wait(t, i+1)[i]
		if !regexp.MustCompile(`^127\.0\.0\.1 - - \[[^]]+\] ` + regexp.QuoteMeta(test.want) +
			` \d+\.\d{4}\n$`).MatchString(got) {
			t.Errorf("%.80s: %.300s", test.line, got)
		}
		if len(got) > 3*lineBytes+200 {
			t.Errorf("%.80s: %d bytes", test.line, len(got))
		}
		for _, c := range []byte(strings.TrimSuffix(got, "\n")) {
			if c < ' ' || c > 0x7e {
				t.Errorf("%.80s: byte %#x in %.300q", test.line, c, got)
			}
		}
	}
}

// TestAccess_NoAnswerNoLine: a client that goes away before its file can be
// opened gets no answer, and so no line. What was sent of a file that was not
// sent whole is what the line says.
func TestAccess_NoAnswerNoLine(t *testing.T) {
	var log book
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat([]byte("A"), 64<<20),
		0o644); err != nil {
		t.Fatal(err)
	}
	busy := httptest.NewServer(&Server{ // no file can be sent: one waits
		Site: folder(dir), Log: slog.New(slog.DiscardHandler), Access: &log,
		FileSlots: make(chan struct{}), Deadline: time.Minute,
	})
	defer busy.Close()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	r, _ := http.NewRequestWithContext(ctx, "GET", busy.URL+"/big", nil)
	if _, err := http.DefaultClient.Do(r); err == nil {
		t.Fatal("it was answered")
	}
	server := httptest.NewServer(&Server{Site: folder(dir), Log: slog.New(slog.DiscardHandler),
		Access: &log})
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadFull(bufio.NewReader(conn), make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	line := log.wait(t, 1)[0]
	var sent int
	if _, err := fmt.Sscanf(line[strings.Index(line, `" 200 `):], `" 200 %d `, &sent); err != nil ||
		sent <= 0 || sent >= 64<<20 {
		t.Errorf("%d bytes of a file that was cut off: %s", sent, line)
	}
}

func TestEscaped(t *testing.T) {
	var all strings.Builder
	for c := range 256 {
		all.WriteByte(byte(c))
	}
	got := escaped(all.String())
	for _, c := range []byte(got) {
		if c <= ' ' || c > 0x7e || c == '"' {
			t.Errorf("byte %#x in %s", c, got)
		}
	}
	if escaped("/redirect?mac=52:54:00:12:34:56&x=%20") != "/redirect?mac=52:54:00:12:34:56&x=%20" {
		t.Error("a plain text is not left alone")
	}
	if !strings.Contains(got, `\x20!\x22#`) || !strings.Contains(got, `[\x5C]`) ||
		!strings.HasSuffix(got, `}~\x7F`+nonASCII()) {
		t.Error(got)
	}
}

func nonASCII() (text string) {
	for c := 0x80; c < 256; c++ {
		text += fmt.Sprintf(`\x%02X`, c)
	}
	return text
}
