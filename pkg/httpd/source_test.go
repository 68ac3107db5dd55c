package httpd

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// TestSource: whom a connection speaks for.
func TestSource(t *testing.T) {
	s := &Server{Trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"),
		netip.MustParsePrefix("fd00::/8")}}
	for _, test := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:7", "", "192.0.2.1"},
		{"192.0.2.1:7", "10.0.0.7", "192.0.2.1"}, // a stranger
		{"10.1.0.1:7", "", "10.1.0.1"},           // the proxy itself asks
		{"10.1.0.1:7", "10.0.0.7", "10.0.0.7"},
		{"10.1.0.1:7", "10.0.0.7, 192.0.2.9", "192.0.2.9"},
		{"10.1.0.1:7", "10.0.0.7, 10.1.0.2", "10.0.0.7"}, // two proxies
		{"10.1.0.1:7", "10.0.0.7:4711", "10.0.0.7"},
		{"[fd00::1]:7", "[2001:db8::7]:4711", "2001:db8::7"},
		{"[::ffff:10.1.0.1]:7", "::ffff:10.0.0.7", "10.0.0.7"},
		{"10.1.0.1:7", "../../etc/passwd", "invalid IP"},
		{"10.1.0.1:7", "10.0.0.7, unknown", "invalid IP"},
		{"@", "", "invalid IP"}, // a Unix socket
		{"@", "10.0.0.7", "10.0.0.7"},
		{"@", "rubbish", "invalid IP"},
	} {
		r := httptest.NewRequest("GET", "/redirect", nil)
		r.RemoteAddr = test.remote
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-For", test.forwarded)
		}
		if _, source := s.source(r); source.String() != test.want {
			t.Errorf("%s, X-Forwarded-For %q: %s, want %s", test.remote, test.forwarded,
				source, test.want)
		}
	}
}

// TestAdmits: clients.allow holds for whom a connection speaks for.
func TestAdmits(t *testing.T) {
	s := &Server{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, test := range []struct {
		remote, forwarded string
		want              bool
	}{
		{"10.0.0.7:7", "", true},
		{"192.0.2.1:7", "", false},
		{"192.0.2.1:7", "10.0.0.7", false},
		{"@", "", true},
		{"@", "10.0.0.7", true},
		{"@", "192.0.2.1", false},
		{"@", "rubbish", false},
		// The client has sent the first, empty, and the proxy put one of its
		// own behind it, as HAProxy does.
		{"@", "\n192.0.2.1", false},
		{"@", "\n10.0.0.7", true},
	} {
		r := httptest.NewRequest("GET", "/redirect", nil)
		r.RemoteAddr = test.remote
		if test.forwarded != "" {
			r.Header["X-Forwarded-For"] = strings.Split(test.forwarded, "\n")
		}
		if got := s.admits(s.newRequest(r)); got != test.want {
			t.Errorf("%s, X-Forwarded-For %q: %v", test.remote, test.forwarded, got)
		}
	}
}
