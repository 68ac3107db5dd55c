package servers_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"pxesrv/pkg/lab/servers"
)

// TestCutProxy checks what a client sees of each way to be cut.
func TestCutProxy(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", 5000)+"CUT"+strings.Repeat("y", 4997))
	}))
	t.Cleanup(s.Close)
	p := servers.NewCutProxy(t, s.Listener.Addr().String())
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func() (int, error) {
		resp, err := client.Get("http://" + p.Addr())
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return len(b), err
	}

	p.Cut(1, "CUT", servers.FIN)
	if n, err := get(); n != 5000 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("FIN: %d bytes, %v", n, err)
	}
	p.Cut(1, "HTTP/", servers.RST)
	if n, err := get(); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("RST: %d bytes, %v", n, err)
	}
	p.Cut(1, "not in it", servers.RST)
	if n, err := get(); n != 10000 || err != nil {
		t.Errorf("uncut: %d bytes, %v", n, err)
	}
	if p.Cuts() != 2 {
		t.Errorf("%d cuts, want 2", p.Cuts())
	}
}
