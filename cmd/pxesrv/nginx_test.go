//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/lab/pki"
	"pxesrv/pkg/lab/servers"
)

// nginxRoom is a tree that two daemons serve behind an nginx with one of the
// example files.
type nginxRoom struct {
	t       *testing.T
	root    string
	url     string // of nginx
	secure  string // of nginx, by TLS
	direct  string // of the first daemon, beside nginx
	ca      *pki.CA
	daemons [2]*exec.Cmd
	logs    [2]lockedBuffer
}

// newNginxRoom starts all three. The addresses of the file become free ports of
// this machine; in the arguments of each daemon HTTP and HTTPS stand for its
// own.
func newNginxRoom(t *testing.T, file string, files map[string]string, args ...string) *nginxRoom {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../examples/nginx", file))
	if err != nil {
		t.Fatal(err)
	}
	r := &nginxRoom{t: t, root: bootTree(t, files), ca: pki.NewCA(t, "site")}
	cert, key := r.ca.Files(pki.Certificate{})
	var pairs []string
	free := map[string]string{}
	for _, addr := range []string{"10.0.0.10:80", "10.0.0.10:443", "10.0.0.11:4567",
		"10.0.0.11:4568", "10.0.0.12:4567", "10.0.0.12:4568"} {
		if free[addr], err = freeLoopbackAddr(); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, addr, free[addr])
	}
	r.url, r.secure, r.direct = "http://"+free["10.0.0.10:80"], "https://"+free["10.0.0.10:443"],
		free["10.0.0.11:4567"]
	for i, host := range []string{"10.0.0.11", "10.0.0.12"} {
		its := strings.NewReplacer("HTTPS", free[host+":4568"], "HTTP", free[host+":4567"], "CERT",
			cert, "KEY", key)
		all := []string{"serve", "--root", r.root, "--proxies-trusted", "127.0.0.1"}
		for _, a := range args {
			all = append(all, its.Replace(a))
		}
		cmd := exec.Command("pxesrv", all...)
		cmd.Stderr = &r.logs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r.daemons[i] = cmd
		t.Cleanup(func() {
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
			if t.Failed() {
				t.Logf("daemon %d:\n%s", i+1, r.logs[i].String())
			}
		})
	}
	for i := range r.logs {
		r.logged(i, "msg=listening")
	}
	servers.StartNginx(t, strings.NewReplacer(pairs...).Replace(string(text)))
	return r
}

// logged waits for a line of a daemon's log that has all these words.
func (r *nginxRoom) logged(daemon int, words ...string) {
	r.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	lines:
		for line := range strings.Lines(r.logs[daemon].String()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return
		}
	}
	r.t.Errorf("daemon %d has logged nothing with %q", daemon+1, words)
}

// from is a client with an address of its own, which uses each connection once,
// as machines do.
func (r *nginxRoom) from(addr string) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: patience}
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: r.ca.Pool()},
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			return d.DialContext(ctx, network, to)
		},
	}}
}

// get asks once.
func (r *nginxRoom) get(client *http.Client, url string, header ...string) (int, string, error) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return 0, "", err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// boots asks as the script of iPXE does: again, with try=, when there is no
// answer.
func (r *nginxRoom) boots(client *http.Client) (body string, err error) {
	for try := range 3 {
		status, body, err := r.get(client, fmt.Sprintf("%s/redirect?try=%d", r.url, try))
		if err == nil && status == 200 {
			return body, nil
		}
	}
	return "", fmt.Errorf("no answer in three tries: %v", err)
}

// TestNginx runs the examples: two daemons on one tree behind nginx, which says
// by a header of HTTP, or by the PROXY protocol, who asks.
func TestNginx(t *testing.T) {
	const clients = 12
	script := func(name string) string { return "#!ipxe\necho " + name + "\n" }
	for _, test := range []struct {
		file string
		args []string
		tls  bool
	}{
		{"pxesrv.conf", []string{"--listen", "HTTP"}, false},
		{"pxesrv-stream.conf", []string{"--listen", "HTTP", "--tls-listen", "HTTPS", "--tls-cert",
			"CERT", "--tls-key", "KEY", "--proxies-protocol", "HTTP,HTTPS"}, true},
	} {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"once/.gitignore": "", "default": script("default"),
				"install": script("install"), "file": strings.Repeat("x", 3<<20),
				"static/127.0.0.1": script("the proxy")}
			addr := func(i int) string { return fmt.Sprintf("127.0.77.%d", i+1) }
			for i := range clients {
				files["static/"+addr(i)] = script("static " + addr(i))
			}
			r := newNginxRoom(t, test.file, files, test.args...)
			urls := []string{r.url}
			if test.tls {
				text, _ := os.ReadFile("../../examples/nginx/" + test.file)
				if !strings.Contains(string(text), "listen 10.0.0.10:443;") {
					t.Fatal("there is no HTTPS in the example")
				}
				urls = append(urls, r.secure)
			}

			// Everyone is who he is, at both daemons; what a client itself
			// writes into the header counts for nothing.
			for _, url := range urls {
				for i := range clients {
					for _, header := range [][]string{nil,
						{"X-Forwarded-For", addr((i + 1) % clients)},
						{"X-Real-IP", addr((i + 1) % clients)}} {
						if status, body, err := r.get(r.from(addr(i)), url+"/redirect",
							header...); err != nil || body != script("static "+addr(i)) {
							t.Errorf("%s at %s with %q: %d %q %v", addr(i), url, header,
								status, body, err)
						}
					}
				}
			}
			for i := range r.daemons {
				r.logged(i, "msg=redirect", "peer=127.0.0.1", "source=127.0.77.")
			}
			if test.tls {
				// Nobody but the proxy gets in beside it, whatever he says;
				// here everybody on 127.0.0.2.
				if _, body, err := r.get(r.from("127.0.0.2"), "http://"+r.direct+
					"/redirect"); err == nil {
					t.Errorf("a client beside the proxy got %q", body)
				}
			}

			// An order is granted once, however many ask at the same time, and
			// at both daemons.
			for i := range clients {
				if err := os.Symlink("../install",
					filepath.Join(r.root, "once", addr(i))); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]int, clients)
			var mu sync.Mutex
			var all sync.WaitGroup
			for i := range clients {
				for range 4 {
					all.Go(func() {
						status, body, err := r.get(r.from(addr(i)), urls[i%len(urls)]+"/redirect")
						mu.Lock()
						defer mu.Unlock()
						switch {
						case err == nil && body == script("install"):
							got[i]++
						case err != nil || body != script("static "+addr(i)):
							t.Errorf("%s: %d %q %v", addr(i), status, body, err)
						}
					})
				}
			}
			all.Wait()
			for i, n := range got {
				if n != 1 {
					t.Errorf("the order of %s was given %d times", addr(i), n)
				}
			}
			served := func() int {
				names, _ := filepath.Glob(filepath.Join(r.root, "once/.served/127.0.77.*"))
				return len(names)
			}
			for end := time.Now().Add(patience); served() != clients &&
				time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			}
			if n := served(); n != clients {
				t.Errorf("%d of %d orders are confirmed", n, clients)
			}

			// One daemon is gone: everybody gets an answer, and files come
			// whole.
			r.daemons[0].Process.Kill()
			r.daemons[0].Wait()
			for i := range clients {
				if body, err := r.boots(r.from(addr(i))); err != nil ||
					body != script("static "+addr(i)) {
					t.Errorf("%s with one daemon: %q %v", addr(i), body, err)
				}
				if status, body, err := r.get(r.from(addr(i)), r.url+"/file"); err != nil ||
					len(body) != 3<<20 {
					t.Errorf("a file with one daemon: %d, %d bytes, %v", status, len(body), err)
				}
			}
		})
	}
}
