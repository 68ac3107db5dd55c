package httpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"pxesrv/pkg/boot"
)

// TestRoutes_AreDocumented: docs/http.md names each path that the server
// answers itself.
func TestRoutes_AreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(text), "\n\n## ")
	for _, r := range Routes {
		row := "`" + r.Path + "`"
		if strings.HasSuffix(r.Path, "/") {
			row = r.Path + "<"
		}
		if !strings.Contains(table, row) && !strings.Contains(table, "`"+r.Method+" "+r.Path) {
			t.Errorf("docs/http.md does not name %s %s", r.Method, r.Path)
		}
		if !Owns(r.Path) || !strings.HasSuffix(r.Path, "/") && Owns(r.Path+"x") {
			t.Errorf("%s is not the server's, or more is", r.Path)
		}
	}
}

// empty is a site with nothing in it, which knows machines by their serial
// number.
type empty struct{ folder }

func (empty) Identify(c boot.Claims, addr netip.Addr) boot.Machine {
	return boot.Machine{Claims: c, Addr: addr}
}

func (empty) Open(string) (*os.File, error) { return nil, fs.ErrNotExist }

// TestRoutes_Methods: each path is answered for its own methods only, and says
// which those are; a path that a server has no handler for is like a file.
func TestRoutes_Methods(t *testing.T) {
	t.Parallel()
	clear := func(context.Context, string, netip.Addr) error { return nil }
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	for _, test := range []struct {
		server       *Server
		method, path string
		status       int
		allow, body  string
	}{
		{&Server{}, "GET", "/local.ipxe", 200, "", "#!ipxe"},
		{&Server{}, "HEAD", "/local.ipxe", 200, "", ""},
		{&Server{}, "POST", "/local.ipxe", 405, "GET, HEAD",
			"only GET and HEAD are answered here\n"},
		{&Server{}, "DELETE", "/redirect", 405, "GET, HEAD",
			"only GET and HEAD are answered here\n"},
		{&Server{}, "GET", "/redirect", 404, "", "nothing is set"},
		{&Server{}, "GET", "/x", 404, "", "there is nothing under this name\n"},
		{&Server{}, "PUT", "/x", 405, "GET, HEAD", "only GET and HEAD are answered here\n"},
		{&Server{}, "GET", "/healthz", 404, "", "there is nothing under this name\n"},
		{&Server{}, "POST", "/healthz", 405, "GET, HEAD", "only GET and HEAD are answered here\n"},
		{&Server{Handlers: map[string]http.Handler{"/healthz": ok}}, "GET", "//healthz",
			200, "", "ok"},
		{&Server{Handlers: map[string]http.Handler{"/healthz": ok}}, "HEAD", "/healthz",
			200, "", ""},
		{&Server{Handlers: map[string]http.Handler{"/healthz": ok}}, "POST", "/healthz", 405,
			"GET, HEAD", "only GET and HEAD are answered here\n"},
		{&Server{Handlers: map[string]http.Handler{"/healthz": ok}}, "GET", "/healthz/", 404, "",
			"there is nothing under this name\n"},
		{&Server{}, "POST", "/grub/clear/9", 405, "GET, HEAD",
			"only GET and HEAD are answered here\n"},
		{&Server{Clear: clear}, "POST", "/grub/clear/9", 200, "", "cleared\n"},
		{&Server{Clear: clear}, "GET", "/grub/clear/9", 405, "POST", "only POST clears\n"},
		{&Server{Clear: clear}, "HEAD", "/grub/clear/9", 405, "POST", ""},
		{&Server{Clear: clear, ClearByGet: true}, "GET", "/grub/clear/9", 200, "", "cleared\n"},
		{&Server{Clear: clear, ClearByGet: true}, "HEAD", "/grub/clear/9", 405, "GET, POST", ""},
		{&Server{Clear: clear}, "POST", "/grub/clear/../../x", 404, "",
			"there is nothing under this name\n"},
		{&Server{Clear: clear}, "POST", "/grub/clear/../x", 404, "",
			"there is nothing under this name\n"},
	} {
		s := test.server
		s.Site, s.Log = empty{}, slog.New(slog.DiscardHandler)
		server := httptest.NewServer(s)
		r, _ := http.NewRequest(test.method, server.URL, nil)
		r.URL.Path = test.path
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if allow := answer.Header.Get("Allow"); answer.StatusCode != test.status ||
			allow != test.allow ||
			!strings.HasPrefix(string(body), test.body) || test.body == "" &&
			test.method != "HEAD" {
			t.Errorf("%s %s: %d, Allow %q, %q", test.method, test.path, answer.StatusCode,
				allow, body)
		}
		server.Close()
	}
}

// TestRoutes_Bodies: a route takes a body of its length, and in chunks where it
// says so; a handler of others gets what it needs to know who asks. What is
// refused before any route is refused here, too.
func TestRoutes_Bodies(t *testing.T) {
	defer func(all []Route) { Routes = all }(slices.Clone(Routes))
	Routes = append(Routes,
		Route{Method: "POST", Path: "/report", MaxBody: 10},
		Route{Method: "POST", Path: "/done", MaxBody: 10, Chunked: true})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if long := (*http.MaxBytesError)(nil); errors.As(err, &long) {
			body = []byte("too long")
		}
		peer, source := Remote(r)
		m := Machine(r)
		fmt.Fprintf(w, "%s %s %s %s %s", body, peer, source, m.Serial, m.Addr)
	})
	var log book
	s := &Server{
		Site: empty{}, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Trusted:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Allow:    []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Handlers: map[string]http.Handler{"/report": handler, "/done": handler},
	}
	server := httptest.NewServer(s)
	defer server.Close()
	const known = " 127.0.0.1 10.0.0.7 s1 10.0.0.7"
	for _, test := range []struct {
		path, from, body string
		chunked          bool
		status           int
		want             string
	}{
		{"/report?serial=s1", "10.0.0.7", "0123456789", false, 200, "0123456789" + known},
		{"/report?serial=s1", "10.0.0.7", "", false, 200, known},
		{"/report?serial=s1", "10.0.0.7", "0123456789a", false, 413, "the body is too long\n"},
		{"/report?serial=s1", "10.0.0.7", "0123", true, 400,
			"a body in chunks is not taken here\n"},
		{"/report?serial=s1", "192.0.2.1", "0123", false, 403,
			"this address is not answered here\n"},
		{"/done?serial=s1", "10.0.0.7", "0123", true, 200, "0123" + known},
		{"/done?serial=s1", "10.0.0.7", "0123456789a", true, 200, "too long" + known},
		{"/done?serial=s1", "192.0.2.1", "0123", true, 403, "this address is not answered here\n"},
		{"/x", "10.0.0.7", "0123", true, 400, "a body in chunks is not taken here\n"},
	} {
		var body io.Reader = strings.NewReader(test.body)
		if test.chunked {
			body = io.MultiReader(body) // whose length nobody knows
		}
		r, _ := http.NewRequest("POST", server.URL+test.path, body)
		r.Header.Set("X-Forwarded-For", test.from)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != test.status || string(got) != test.want {
			t.Errorf("%s from %s, %q: %d, %q", test.path, test.from, test.body,
				answer.StatusCode, got)
		}
	}
}
