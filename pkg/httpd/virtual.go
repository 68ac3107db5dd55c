package httpd

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"pxesrv/pkg/ipxe"
)

// virtual answers with a file of our own. iPXE knows the address that it came
// from. Loaders that hand it on as an initrd lose it, so it stands in what they
// get: the address where this connection arrived, never the Host header.
func (s *Server) virtual(w http.ResponseWriter, q *request, v *ipxe.Virtual) {
	base := ""
	agent := q.UserAgent()
	if strings.HasPrefix(agent, "Syslinux/") || strings.HasPrefix(agent, "GRUB") {
		base = s.URL
		if local, ok := q.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok &&
			base == "" {
			at := local.AddrPort()
			scheme := "http://"
			if q.TLS != nil {
				scheme = "https://"
			}
			base = scheme + netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()).String()
		}
	}
	s.script(w, q, v.What, v.Text(base))
}

// script answers with a script of our own.
func (s *Server) script(w http.ResponseWriter, q *request, what string, body []byte) {
	s.log(slog.LevelInfo, what, append(requestAttrs(q), slog.String("path", redact(q.URL.Path)),
		slog.Int("bytes", len(body)), slog.Int("status", http.StatusOK)))
	s.send(w, q, body)
}
