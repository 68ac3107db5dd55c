package conn

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/pires/go-proxyproto"
)

// readProxyHeader reads the header of the PROXY protocol, version 1 or 2, at
// most 4 KiB. From then on the connection counts for the client that it names.
// A health check of the proxy (LOCAL) is the proxy's own; behind UNKNOWN, and
// behind addresses that are none of IP, stands somebody whom nobody knows, and
// who counts for no address: for the proxy's it would be without a limit as
// well.
func (c *tcpConn) readProxyHeader(within time.Duration) (Reason, error) {
	if within > 0 {
		c.SetReadDeadline(time.Now().Add(within))
	}
	buffer := bufio.NewReader(c)
	h, err := proxyproto.Read(buffer)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Late, errors.New("no header of the PROXY protocol came in time")
	case !c.heard:
		return Silent, errors.New("closed without a byte")
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
		return NoHeader, errors.New("it does not begin with a header of the PROXY protocol: " +
			"the proxy has to send one to this port")
	default:
		return BadHeader, fmt.Errorf("the header of the PROXY protocol is wrong: %w", err)
	}
	c.SetReadDeadline(time.Time{})
	c.ahead = buffer
	if h.Version == 2 && h.Command.IsLocal() {
		return "", nil
	}
	client := netip.Addr{}
	if t, ok := h.SourceAddr.(*net.TCPAddr); ok && !t.IP.IsUnspecified() {
		client = addrOf(t)
	}
	c.proxied, c.client = true, client
	if !c.limiter.reassign(c, client) {
		return TooMany, errors.New("this client has too many connections through the proxy already")
	}
	return "", nil
}
