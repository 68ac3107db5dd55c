package httpd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pxesrv/pkg/boot"
)

// FuzzForwarded holds that a stranger's headers count for nothing, and that a
// trusted proxy can only name an address that is in its header, behind which
// there are trusted proxies only.
func FuzzForwarded(f *testing.F) {
	for _, text := range []string{
		"10.1.2.3", "10.1.2.3, 192.0.2.1", "192.0.2.9:555", "[2001:db8::1]:1234", "2001:db8::1",
		"::ffff:10.1.2.3", "fe80::1%eth0", "rubbish", "../../x", "", ",", " , ,10.0.0.1",
		"10.0.0.1,10.0.0.2", "1.2.3.4:x", "[[1.2.3.4]]", "unknown", "_hidden", "1.2.3.4\n5.6.7.8",
	} {
		f.Add("10.0.0.1:80", text, "")
		f.Add("192.0.2.1:80", text, "10.9.9.9")
		f.Add("[::1]:80", "203.0.113.7", text)
	}
	s := &Server{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("::1/128")}}
	f.Fuzz(func(t *testing.T, remote, first, second string) {
		r := &http.Request{RemoteAddr: remote,
			Header: http.Header{"X-Forwarded-For": {first, second},
				"Forwarded": {"for=203.0.113.99"}, "X-Real-Ip": {"203.0.113.99"}}}
		peer, source := s.source(r)
		want, err := netip.ParseAddrPort(remote)
		if err != nil && peer.IsValid() || err == nil && peer != want.Addr().Unmap().WithZone("") {
			t.Fatalf("the peer of %q is %v", remote, peer)
		}
		// Who comes by a Unix socket has no address, and was let in by the
		// rights of its file.
		trusted := !peer.IsValid() || s.trusts(peer)
		if source == peer || !source.IsValid() && trusted {
			return
		}
		if !trusted {
			t.Fatalf("%v, whom nobody trusts, speaks for %v", peer, source)
		}
		if source.Zone() != "" || source.Is4In6() {
			t.Fatalf("%v is not canonical", source)
		}
		hops := strings.Split(first+","+second, ",")
		at := -1
		for i, hop := range hops {
			if slices.Contains(readings(hop), source) {
				at = i
			}
		}
		if at < 0 {
			t.Fatalf("%v is in none of %q", source, hops)
		}
		for _, hop := range hops[at+1:] {
			if strings.TrimSpace(hop) != "" && !slices.ContainsFunc(readings(hop), s.trusts) {
				t.Fatalf("%v stands before %q, whom nobody trusts", source, hop)
			}
		}
	})
}

// readings are all addresses that a hop can be read as.
func readings(hop string) (all []netip.Addr) {
	hop = strings.TrimSpace(hop)
	texts := []string{hop}
	if i := strings.LastIndexByte(hop, ':'); i >= 0 {
		texts = append(texts, hop[:i])
	}
	for _, text := range texts {
		if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
			all = append(all, a.Unmap().WithZone(""))
		}
	}
	return all
}

// oneFile is a site with one file under every name.
type oneFile string

func (oneFile) Identify(boot.Claims, netip.Addr) boot.Machine { return boot.Machine{} }
func (oneFile) Resolve(context.Context, *boot.Machine, bool) (boot.Answer, error) {
	return boot.Answer{}, boot.ErrNothing
}
func (f oneFile) Open(string) (*os.File, error) { return os.Open(string(f)) }

// FuzzRange holds that whatever part of a file is asked for, what comes is that
// part, as its header says.
func FuzzRange(f *testing.F) {
	for _, text := range []string{
		"bytes=0-9", "bytes=5-", "bytes=-5", "bytes=0-0,2-3", "bytes=0-0,-1", "bytes=9999-",
		"bytes=3-1", "bytes=-0", "bytes=0-99999999999999999999", "lines=1-2", "bytes=", "bytes=,,,",
		"bytes=0-,0-,0-", "bytes=99-99,0-1", "bytes= 1 - 2 ", "bytes=+1-2", "",
	} {
		f.Add(text)
	}
	whole := make([]byte, 1000)
	for i := range whole {
		whole[i] = byte(i * 7)
	}
	name := filepath.Join(f.TempDir(), "file")
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		f.Fatal(err)
	}
	s := &Server{Site: oneFile(name), Log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest("GET", "/file", nil)
		r.Header.Set("Range", text)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		body := w.Body.Bytes()
		part := func(at string, body []byte) {
			var from, to, size int
			if n, err := fmt.Sscanf(at, "bytes %d-%d/%d", &from, &to, &size); n != 3 ||
				err != nil || size != len(whole) || from < 0 || from > to+1 || to >= size ||
				string(body) != string(whole[from:to+1]) {
				t.Fatalf("%q: %d bytes as %q", text, len(body), at)
			}
		}
		switch kind, params, _ := mime.ParseMediaType(w.Header().Get("Content-Type")); {
		case w.Code == 200:
			if string(body) != string(whole) {
				t.Fatalf("%q: 200 with %d bytes", text, len(body))
			}
		case w.Code == 206 && kind == "multipart/byteranges":
			parts := multipart.NewReader(w.Body, params["boundary"])
			total := 0
			for {
				p, err := parts.NextPart()
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				b, err := io.ReadAll(p)
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				part(p.Header.Get("Content-Range"), b)
				total += len(b)
			}
			if total > len(whole) {
				t.Fatalf("%q: %d bytes of %d", text, total, len(whole))
			}
		case w.Code == 206:
			part(w.Header().Get("Content-Range"), body)
		case w.Code != 416:
			t.Fatalf("%q: status %d", text, w.Code)
		}
	})
}
