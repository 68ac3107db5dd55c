package conn

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
)

// TestRemote: a connection speaks for its other end, or for whom a header of
// the PROXY protocol names, and a Unix socket for nobody.
func TestRemote(t *testing.T) {
	t.Parallel()
	localV2 := "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	for name, test := range map[string]struct {
		network, header string
		want            string
	}{
		"plain": {"tcp", "", "127.0.0.1 127.0.0.1 true"},
		"a proxy": {"tcp", "PROXY TCP4 192.0.2.7 192.0.2.1 40000 80\r\n",
			"127.0.0.1 192.0.2.7 true"},
		"unknown":        {"tcp", "PROXY UNKNOWN\r\n", "127.0.0.1 invalid IP true"},
		"a health check": {"tcp", localV2, "127.0.0.1 127.0.0.1 true"},
		"a Unix socket":  {"unix", "", "invalid IP invalid IP false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := "127.0.0.1:0"
			if test.network == "unix" {
				address = filepath.Join(t.TempDir(), "socket")
			}
			plain, err := net.Listen(test.network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			var h Handshaker
			if test.header != "" {
				h.Proxies = netip.Addr.IsLoopback
			}
			l := h.Listener(new(Limiter).Listener(plain))
			defer l.Close()
			other, err := net.Dial(test.network, plain.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			io.WriteString(other, test.header)
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			peer, client, ok := Remote(Context(context.Background(), c))
			if got := fmt.Sprint(peer, client, ok); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
	if _, _, ok := Remote(context.Background()); ok || Gone(context.Background()) ||
		Watch(context.Background()).Arrived(0) {
		t.Error("something is known of no connection")
	}
}
