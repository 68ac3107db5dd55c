package httpd

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"pxesrv/pkg/conn"
)

// source returns the peer of the connection and the client that it speaks for:
// the peer itself or whom it names in a header of the PROXY protocol. When that
// one is a trusted proxy, or comes by a Unix socket, which only those can reach
// that its file's rights let, it is the right-most address of X-Forwarded-For
// that is no trusted proxy. An unreadable address there names nobody.
// Forwarded, X-Real-IP and Client-IP never count.
func (s *Server) source(r *http.Request) (peer, source netip.Addr) {
	peer, source, ok := conn.Remote(r.Context())
	switch {
	case !ok:
		if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			peer = ap.Addr().Unmap().WithZone("")
		}
		source = peer
	case !source.IsValid():
		return peer, source
	}
	if source.IsValid() && !s.trusts(source) {
		return peer, source
	}
	if len(r.Header["X-Forwarded-For"]) == 0 {
		return peer, source
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if hop == "" {
			continue
		}
		a, err := parseHop(hop)
		if err != nil {
			return peer, netip.Addr{}
		}
		if source = a; !s.trusts(a) {
			break
		}
	}
	return peer, source
}

// parseHop reads an address as proxies write it: bare, with a port, or in
// brackets.
func parseHop(hop string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(hop); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	if host, _, err := net.SplitHostPort(hop); err == nil {
		hop = host
	}
	a, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	return a.Unmap().WithZone(""), err
}

func (s *Server) trusts(a netip.Addr) bool { return contains(s.Trusted, a) }

// admits reports whether the client is answered at all. A Unix socket without
// X-Forwarded-For admits everyone: its file's rights decide.
func (s *Server) admits(q *request) bool {
	switch {
	case len(s.Allow) == 0:
		return true
	case !q.peer.IsValid() && len(q.Header["X-Forwarded-For"]) == 0:
		return true
	}
	return q.source.IsValid() && contains(s.Allow, q.source)
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}
