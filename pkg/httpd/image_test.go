//go:build linux

package httpd_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pxesrv/pkg/httpd"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/media"
	"pxesrv/pkg/site"
)

// oneFile is a site whose tree has nothing but a file, under every name that
// ends in .img.
type oneFile struct {
	*site.Site
	path string
}

func (s oneFile) Open(name string) (*os.File, error) {
	if !strings.HasSuffix(name, ".img") {
		return nil, fs.ErrNotExist
	}
	return os.Open(s.path)
}

// images answers for one image and its file, which have the same bytes.
func images(t testing.TB, log io.Writer) (s *httpd.Server, content []byte) {
	t.Helper()
	kit, err := media.Open(media.LoaderPaths{LKRN: lab.IPXE(t, "ipxe.lkrn"),
		EFI: lab.IPXE(t, "ipxe.efi")})
	if err != nil {
		t.Fatalf("%v: run 'make deps'", err)
	}
	m, _, err := kit.Image(ipxe.Host{Name: "web1",
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/24")},
		Servers:   []string{"http://10.0.0.5"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "web1.img")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return &httpd.Server{
		Site: oneFile{path: path}, Log: slog.New(slog.NewTextHandler(log, nil)),
		Image: func(name string) (httpd.Image, error) {
			if !strings.HasSuffix(name, ".iso") {
				return nil, fs.ErrNotExist
			} else if strings.HasSuffix(name, "broken.iso") {
				return nil, errors.New("/etc/secret: broken under " + name)
			}
			return m, nil
		},
	}, b.Bytes()
}

// FuzzImageRange asks for parts of an image and of the file with the same
// bytes: the answers are the same.
func FuzzImageRange(f *testing.F) {
	for _, seed := range []string{
		"", "bytes=0-0", "bytes=0-", "bytes=-1", "bytes=-0", "bytes=5-2", "bytes=1048570-1048600",
		"bytes=99999999999-", "bytes=0-1,5-9,-7", "bytes=0-99,50-60",
		"bytes=0-,0-", "bytes= 1-2 , 3-4", "bytes=,,1-1", "bytes=-99999999999999999999",
		"bytes=9223372036854775807-", "BYTES=0-1", "bytes=1-1;q", "lines=1-2", "bytes=-2097152,0-1",
	} {
		for match := range byte(4) {
			f.Add(seed, match)
		}
	}
	s, content := images(f, io.Discard)
	f.Fuzz(func(t *testing.T, ranges string, match byte) {
		ask := func(path string) (*httptest.ResponseRecorder, string) {
			etag := ""
			if match%4 > 0 {
				head := httptest.NewRecorder()
				s.ServeHTTP(head, httptest.NewRequest("HEAD", path, nil))
				etag = head.Header().Get("ETag")
			}
			r := httptest.NewRequest("GET", path, nil)
			r.Header["Range"] = []string{ranges}
			switch match % 4 {
			case 1:
				r.Header.Set("If-Range", etag)
			case 2:
				r.Header.Set("If-Range", `"other"`)
			case 3:
				r.Header.Set("If-Match", etag)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			body := w.Body.String()
			if kind, params, err := mime.ParseMediaType(
				w.Header().Get("Content-Type")); err == nil && kind == "multipart/byteranges" {
				body = strings.ReplaceAll(body, params["boundary"], "boundary")
				body = strings.ReplaceAll(body, "application/vnd.efi.img",
					"application/vnd.efi.iso")
			}
			return w, body
		}
		image, got := ask("/iso/web1.iso")
		file, want := ask("/web1.img")
		if image.Code != file.Code || got != want {
			t.Fatalf("%q: status %d and %d bytes, the file has %d and %d", ranges, image.Code,
				len(got), file.Code, len(want))
		}
		for _, h := range []string{"Content-Range", "Content-Length", "Accept-Ranges"} {
			if a, b := image.Header().Get(h), file.Header().Get(h); a != b {
				t.Errorf("%q: %s is %q, of the file %q", ranges, h, a, b)
			}
		}
		if image.Code == http.StatusOK && got != string(content) {
			t.Errorf("%q: another image", ranges)
		}
	})
}

// TestImageLog: neither the log nor an answer has a capability, and no answer
// has the words of an error.
func TestImageLog(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	var log bytes.Buffer
	s, _ := images(t, &log)
	s.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // httptest asks from there
	for _, row := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/iso/" + secret + "/web1.iso", 200}, {"HEAD", "/iso/" + secret + "/web1.iso", 200},
		{"GET", "/iso/" + secret + "/x", 404}, {"GET", "/iso/" + secret, 404},
		{"GET", "/iso/" + strings.ToUpper(secret) + "/x", 404}, {"GET", "//iso//" + secret + "/x",
			404}, {"GET", "/iso/x/" + secret + "/x", 404}, {"GET", "/iso/" + secret + "z/x", 404},
		{"POST", "/iso/" + secret + "/web1.iso", 405}, {"GET", "/iso/" + secret + "/broken.iso",
			503}, {"GET", "/iso/" + secret + "/autoexec.ipxe", 200},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(row.method, row.path, nil))
		if w.Code != row.status || w.Code >= 400 && strings.ContainsAny(w.Body.String(), "/0") {
			t.Errorf("%s %s: %d %.60q", row.method, row.path, w.Code, w.Body)
		}
	}
	s.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/iso/"+secret+"/web1.iso", nil))
	if text := strings.ToLower(log.String()); strings.Contains(text, secret[:8]) ||
		!strings.Contains(text, "path=/iso/0123…/web1.iso") ||
		!strings.Contains(text, "status=403") {
		t.Errorf("the log is\n%s", text)
	}
}
