//go:build linux

package daemon

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/pki"
)

// speaks is the address of the listener where that is spoken.
func (c *client) speaks(what string) string {
	c.t.Helper()
	line := c.wantLog("msg=listening", "speaks="+what)
	_, addr, _ := strings.Cut(line, "address=")
	addr, _, _ = strings.Cut(addr, " ")
	return addr
}

// https is the same daemon asked by TLS, by clients that are set like this.
type https struct {
	*client
	tls *tls.Config
}

// serveTLS runs a daemon that answers HTTPS as well, with a certificate of the
// CA.
func serveTLS(t *testing.T, ca *pki.CA, files tree, set ...func(*config.Config)) *https {
	t.Helper()
	cert, key := ca.Files(pki.Certificate{})
	c := serve(t, files, append([]func(*config.Config){func(cfg *config.Config) {
		cfg.TLSListen, cfg.TLSCert, cfg.TLSKey = []string{"127.0.0.1:0"}, cert, key
	}}, set...)...)
	other := *c
	other.addr = c.speaks("https")
	return &https{&other, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"}}
}

// with is the same client with another configuration of TLS.
func (h *https) with(set func(*tls.Config)) *https {
	config := h.tls.Clone()
	set(config)
	return &https{h.client, config}
}

// shake connects and shakes hands.
func (h *https) shake() (*tls.Conn, error) {
	conn, err := h.connect()
	if err != nil {
		return nil, err
	}
	c := tls.Client(conn, h.tls)
	if err := c.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// get asks once, on a connection of its own that is thrown away as soon as the
// answer is complete.
func (h *https) get(path string, headers ...string) (answer, error) {
	conn, err := h.shake()
	if err != nil {
		return answer{}, err
	}
	defer conn.NetConn().Close()
	io.WriteString(conn, request("GET", path, headers...))
	return read(bufio.NewReader(conn), "GET")
}

func (h *https) wantGet(path, body string, headers ...string) {
	h.t.Helper()
	a, err := h.get(path, headers...)
	if err != nil {
		h.t.Errorf("%s: %v", path, err)
		return
	}
	h.wantBody(a, body)
}

// TestTLS_Clients: old iPXE (TLS 1.2 without elliptic curves), iPXE of today,
// TLS 1.3, openssl and curl. None gets HTTP/2.
func TestTLS_Clients(t *testing.T) {
	t.Parallel()
	lab.Needs(t, "curl", "openssl")
	ca := pki.NewCA(t, "site")
	h := serveTLS(t, ca, tree{"default": say("default"), "file": strings.Repeat("x", 1<<20)})
	for _, suite := range []uint16{
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	} {
		h.with(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite}
		}).wantGet("/redirect", say("default"))
	}
	h.with(func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }).wantGet("/redirect",
		say("default"))
	h.wantGet("/file", strings.Repeat("x", 1<<20))
	if conn, err := h.with(func(c *tls.Config) {
		c.MaxVersion = tls.VersionTLS11
		c.MinVersion = tls.VersionTLS10
	}).shake(); err == nil {
		t.Errorf("TLS 1.1 is spoken: %x", conn.ConnectionState().Version)
	}
	h.wantLog("before its first request", "reason=nothing-in-common")

	// The best is taken of what both have.
	conn, err := h.with(func(c *tls.Config) {
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	}).shake()
	if err != nil ||
		conn.ConnectionState().CipherSuite != tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 {
		t.Errorf("a suite without forward secrecy was taken: %v", err)
	}
	// HTTP/2 is not offered.
	conn, err = h.with(func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }).shake()
	if err != nil || conn.ConnectionState().NegotiatedProtocol != "http/1.1" {
		t.Errorf("not HTTP/1.1: %v", err)
	}

	for name, args := range map[string][]string{
		"openssl 1.2 RSA": {"openssl", "s_client", "-quiet", "-CAfile", ca.File(),
			"-verify_return_error", "-tls1_2", "-cipher", "AES128-SHA256", "-connect", h.addr},
		"openssl 1.3": {"openssl", "s_client", "-quiet", "-CAfile", ca.File(),
			"-verify_return_error", "-tls1_3", "-connect", h.addr},
		"curl": {"curl", "-sS", "--cacert", ca.File(), "https://" + h.addr +
			"/redirect"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		if args[0] == "openssl" {
			cmd.Stdin = strings.NewReader(request("GET", "/redirect", "Connection: close"))
		}
		if out, err := cmd.CombinedOutput(); err != nil ||
			!strings.Contains(string(out), say("default")) {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	// Who takes the port for HTTP is told so.
	if a := h.ask("GET", "/redirect"); a.status != 400 ||
		a.body != "this port answers https:// only\n" {
		t.Errorf("HTTP at the port of HTTPS: %d %q", a.status, a.body)
	}
	h.wantLog("before its first request", "reason=not-tls", "peer=127.0.0.1")
	// A client that does not trust the CA says so, or closes.
	if _, err := h.with(func(c *tls.Config) {
		c.RootCAs = x509.NewCertPool()
	}).shake(); err == nil {
		t.Error("an unknown CA is trusted")
	}
	h.wantLog("before its first request", "reason=refused-by-client", "bad certificate")
	if metrics := h.metrics(); !strings.Contains(metrics,
		`pxesrv_connections_failed_total{reason="not-tls"} 1`) {
		t.Error("what fails is not counted")
	}
}

// metrics asks by TLS, as every client in here does.
func (h *https) metrics() string {
	h.t.Helper()
	a, err := h.get("/metrics")
	if err != nil {
		h.t.Error(err)
	}
	return a.body
}

// TestTLS_Order: an order is confirmed by the TCP connection below TLS. A
// client that throws the connection away as soon as it has all of the script
// has got it, although the good-bye of TLS comes too late for it.
func TestTLS_Order(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	const clients = 30
	files := tree{"default": say("default"), "install": say("install"), "long": long()}
	for i := range clients {
		target := "install"
		if i%3 == 0 {
			target = "long"
		}
		files[fmt.Sprintf("once/127.0.1.%d", i+1)] = "-> ../" + target
	}
	files["once/127.0.2.1"] = "-> ../long"
	h := serveTLS(t, pki.NewCA(t, "site"), files)
	for i := range clients {
		name := fmt.Sprintf("127.0.1.%d", i+1)
		one := (&https{h.as(name), h.tls}).with(func(c *tls.Config) {
			if i%2 == 0 {
				c.MaxVersion = tls.VersionTLS12
			}
		})
		want := say("install")
		if i%3 == 0 {
			want = long()
		}
		one.wantGet("/redirect", want)
		one.wantOrder(name, "served")
		one.wantGet("/redirect", say("default"))
	}
	// One that goes away in the middle has not got it.
	cut := &https{h.as("127.0.2.1"), h.tls}
	raw := cut.small()
	conn := tls.Client(raw, cut.tls)
	io.WriteString(conn, request("GET", "/redirect"))
	if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	raw.SetLinger(0)
	raw.Close()
	cut.wantOrder("127.0.2.1", "open")
}

// TestTLS_Renewed replaces the certificate in the middle of a download, which
// goes on. Others get the new one. A pair that does not fit changes nothing,
// and is told of.
func TestTLS_Renewed(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	ca := pki.NewCA(t, "site")
	root := plant(t, tree{"default": say("default")})
	const size = 64 << 20
	body := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	if err := os.WriteFile(filepath.Join(root, "big"), body, 0o644); err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Files(pki.Certificate{Name: "first"})
	cfg := config.Default()
	cfg.Root, cfg.Listen, cfg.State = root, []string{"127.0.0.1:0"}, t.TempDir()
	cfg.TLSListen, cfg.TLSCert, cfg.TLSKey = []string{"127.0.0.1:0"}, cert, key
	cfg.Limits.WriteTimeout = time.Hour // the download stands still meanwhile
	hangup := make(chan os.Signal)
	c := start(t, cfg, func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
		return (&Daemon{Config: cfg, Log: log, Hangup: hangup,
			Reload: func() (config.Config, error) { return cfg, nil }}).Run(ctx)
	})
	c.addr = c.speaks("https")
	h := &https{c, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"}}
	serverName := func() string {
		conn, err := h.shake()
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	transfer, err := h.shake()
	if err != nil {
		t.Fatal(err)
	}
	defer transfer.Close()
	io.WriteString(transfer, request("GET", "/big", "Connection: close"))
	from := bufio.NewReader(transfer)
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<20)
	if _, err := io.ReadFull(resp.Body, got); err != nil {
		t.Fatal(err)
	}

	replace := func(want pki.Certificate, both bool) {
		newCert, newKey := ca.Issue(want)
		for name, text := range map[string][]byte{cert: newCert, key: newKey} {
			if name == key && !both {
				continue
			}
			err := os.WriteFile(name+".new", text, 0o600)
			if err == nil {
				err = os.Rename(name+".new", name)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	replace(pki.Certificate{Name: "second"}, true)
	if !eventually(func() bool { return serverName() == "second" }) {
		t.Errorf("the new certificate is not taken: %s", serverName())
	}
	c.wantLog("the certificate is in force", "subject=\"CN=second\"")
	replace(pki.Certificate{Name: "third", ECDSA: true}, false)
	hangup <- nil
	c.wantLog("level=ERROR", "the old one stays", "does not belong to the certificate")
	if name := serverName(); name != "second" {
		t.Errorf("a certificate without its key: %s", name)
	}
	replace(pki.Certificate{Name: "fourth", ECDSA: true, Ends: 10 * 24 * time.Hour}, true)
	hangup <- nil
	if !eventually(func() bool { return serverName() == "fourth" }) {
		t.Errorf("SIGHUP does not take the new certificate: %s", serverName())
	}
	c.wantLog("level=WARN", "ends in 9 days")
	c.wantLog("level=WARN", "many builds of iPXE")
	a, err := h.get("/metrics")
	ends := regexp.MustCompile(
		`(?m)^pxesrv_tls_certificate_expires_seconds (\S+)$`).FindStringSubmatch(a.body)
	var at float64
	if ends != nil {
		fmt.Sscan(ends[1], &at)
	}
	if in := time.Until(time.Unix(int64(at), 0)); err != nil || in < 9*24*time.Hour ||
		in > 10*24*time.Hour {
		t.Errorf("the metric says that the certificate ends in %v: %v", in, err)
	}

	rest, err := io.ReadAll(resp.Body)
	if got = append(got, rest...); err != nil || !bytes.Equal(got, body) {
		t.Errorf("the download got %d bytes of %d, or others: %v", len(got), size, err)
	}
}

// TestTLS_ClientCertificates: on addresses of their own they are demanded. The
// log names whoever asks, whatever the name is.
func TestTLS_ClientCertificates(t *testing.T) {
	t.Parallel()
	ca, clients, strangers := pki.NewCA(t, "site"), pki.NewCA(t, "clients"),
		pki.NewCA(t, "strangers")
	h := serveTLS(t, ca, tree{"default": say("default")}, func(c *config.Config) {
		c.TLSClientListen, c.TLSClientCA = []string{"127.0.0.1:0"}, clients.File()
	})
	demands := *h.client
	demands.addr = h.speaks(`"https, client certificates"`)
	at := &https{&demands, h.tls}
	with := func(ca *pki.CA, want pki.Certificate) *https {
		cert, key := ca.Issue(want)
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return at.with(func(c *tls.Config) {
			// Whatever the server says it takes.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &pair, nil
			}
		})
	}
	hostile := "rack-7\nlevel=ERROR \"quoted\"\x1b[2J" + strings.Repeat("long", 200)
	with(clients, pki.Certificate{Name: hostile, Client: true}).wantGet("/redirect", say("default"))
	line := at.wantLog("msg=redirect", "certificate=", "rack-7", " serial ")
	if len(line) > 1500 || strings.ContainsAny(line, "\x1b") || at.log.find("level=ERROR") != "" &&
		!strings.Contains(at.log.find("level=ERROR"), "rack-7") {
		t.Errorf("a certificate writes into the log: %q", line)
	}
	for _, test := range []struct {
		client *https
		reason string
		why    []string
	}{
		{at, "no-client-certificate", []string{"this port demands one"}},
		{with(strangers, pki.Certificate{Name: "stranger", Client: true}), "unknown-client-ca",
			[]string{"from no CA of tls.client-ca", "CN=stranger"}},
		{with(clients, pki.Certificate{Name: "old", Client: true, Ends: -time.Hour}),
			"client-certificate-expired", []string{"has expired", "CN=old"}},
		{with(clients, pki.Certificate{Name: "early", Client: true, Begins: time.Hour}),
			"client-certificate-expired", []string{"not valid yet", "CN=early"}},
		{with(clients, pki.Certificate{Name: "made-for-servers"}), "bad-client-certificate",
			[]string{"CN=made-for-servers"}},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			one := test.client.with(func(c *tls.Config) {
				c.MinVersion, c.MaxVersion = version, version
			})
			if a, err := one.get("/redirect"); err == nil {
				t.Errorf("%s: answered with %d", test.reason, a.status)
			}
		}
		at.wantLog(append([]string{"before its first request", "reason=" + test.reason,
			"peer=127.0.0.1"}, test.why...)...)
		want := fmt.Sprintf(`pxesrv_connections_failed_total{reason="%s"} `, test.reason)
		if !eventually(func() bool {
			m := h.metrics()
			return strings.Contains(m, want+"2\n") || strings.Contains(m, want+"4\n")
		}) {
			t.Errorf("%s is not counted", test.reason)
		}
	}
	// The other port asks nobody: iPXE from before 2025 would end the
	// handshake.
	asked := false
	h.with(func(c *tls.Config) {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return &tls.Certificate{}, nil
		}
	}).wantGet("/redirect", say("default"))
	if asked {
		t.Error("a client was asked for a certificate where none is demanded")
	}
}

// TestTLS_HalfOpen: five hundred who connect and say nothing, or half of a
// hello, keep nobody from an answer, and do not fill the log.
func TestTLS_HalfOpen(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	h := serveTLS(t, pki.NewCA(t, "site"), tree{"default": say("default")}, func(c *config.Config) {
		c.Limits.Handshake = 8 * time.Second
	})
	const all = 500
	for i := range all {
		conn := h.dial()
		if i%2 == 0 {
			conn.Write([]byte{22, 3, 1, 2, 0, 1, 0}) // the beginning of a hello
		}
	}
	for range 20 {
		h.wantGet("/redirect", say("default"))
	}
	if !eventually(func() bool {
		return strings.Contains(h.metrics(), fmt.Sprintf(`{reason="timeout"} %d`+"\n", all))
	}) {
		t.Errorf("those who said nothing are not closed")
	}
	if n := strings.Count(h.log.String(), "before its first request"); n == 0 ||
		n > 2*linesPerMinute {
		t.Errorf("%d lines of the log", n)
	}
	if !eventually(func() bool {
		return regexp.MustCompile(`(?m)^pxesrv_connections \d$`).MatchString(h.metrics())
	}) {
		t.Error("closed connections are still counted")
	}
}

// TestTLS_Stop ends a daemon that has connections in the middle of a handshake.
func TestTLS_Stop(t *testing.T) {
	t.Parallel()
	h := serveTLS(t, pki.NewCA(t, "site"), tree{"default": say("default")}, func(c *config.Config) {
		c.Limits.Handshake = time.Hour
	})
	silent := h.dial()
	h.wantGet("/redirect", say("default"))
	h.stop()
	if _, err := silent.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the connection is open: %v", err)
	}
}

// TestTLS_Start: what cannot be used ends the start, with words. An expired
// certificate is used.
func TestTLS_Start(t *testing.T) {
	t.Parallel()
	ca := pki.NewCA(t, "site")
	cert, key := ca.Files(pki.Certificate{})
	_, other := ca.Files(pki.Certificate{ECDSA: true})
	for want, set := range map[string]func(*config.Config){
		"there is no such file": func(c *config.Config) {
			c.TLSCert, c.TLSKey = "/no/such/cert", key
		},
		"the wrong one": func(c *config.Config) {
			c.TLSCert, c.TLSKey = cert, other
		},
		"are two files mixed up?": func(c *config.Config) {
			c.TLSCert, c.TLSKey = key, cert
		},
		"the list of CAs /no/such/ca: there is": func(c *config.Config) {
			c.TLSCert, c.TLSKey, c.TLSClientCA = cert, key, "/no/such/ca"
		},
	} {
		cfg := config.Default()
		cfg.Root, cfg.Listen, cfg.TLSListen, cfg.State = plant(t, tree{}), []string{"127.0.0.1:0"},
			[]string{"127.0.0.1:0"}, t.TempDir()
		set(&cfg)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := run(ctx, cfg, (&logBook{}).logger()); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		cancel()
	}
	expired, expiredKey := ca.Files(pki.Certificate{Ends: -time.Hour})
	h := serveTLS(t, ca, tree{"default": say("default")}, func(c *config.Config) {
		c.TLSCert, c.TLSKey = expired, expiredKey
	})
	h.wantLog("level=ERROR", "expired on ", "clients refuse it")
	h.with(func(c *tls.Config) { c.InsecureSkipVerify = true }).wantGet("/redirect", say("default"))
	if _, err := h.get("/redirect"); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a client that looks at the time: %v", err)
	}
}

// TestSeldom: so many lines a minute, and the next one says how many were left
// out.
func TestSeldom(t *testing.T) {
	var s rateLimit
	now := time.Now()
	for i := range linesPerMinute + 5 {
		if left, ok := s.say(now); ok != (i < linesPerMinute) || left != 0 {
			t.Errorf("line %d: %v, %d left out", i, ok, left)
		}
	}
	if left, ok := s.say(now.Add(time.Minute)); !ok || left != 5 {
		t.Errorf("after a minute: %v, %d left out", ok, left)
	}
}

// serveProxied runs a daemon that listens for everyone at one address, and for
// the proxy 127.0.0.1 at another.
func serveProxied(t *testing.T, files tree, set ...func(*config.Config)) (everyone, proxy *client) {
	t.Helper()
	everyone = serve(t, files, append([]func(*config.Config){func(c *config.Config) {
		c.Listen, c.Protocol = []string{"127.0.0.1:0", "127.0.0.2:0"}, []string{"127.0.0.2:0"}
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"),
			netip.MustParsePrefix("10.9.0.0/16")}
	}}, set...)...)
	other := *everyone
	other.addr = everyone.speaks(`"PROXY protocol"`)
	return everyone, &other
}

// v2 is a header of version 2: command and family as written there, and what
// follows.
func v2(command, family byte, payload string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family, byte(len(payload) >> 8),
		byte(len(payload))}) + payload
}

// between is the payload of a connection from one address to another.
func between(from, to string) string {
	a, b := netip.MustParseAddr(from), netip.MustParseAddr(to)
	return string(a.AsSlice()) + string(b.AsSlice()) + "\x30\x39\x11\xd7"
}

// TestProxy: whom a proxy speaks for, in both versions, beside X-Forwarded-For.
func TestProxy(t *testing.T) {
	t.Parallel()
	files := tree{"default": say("default"), "static/10.0.0.7": say("seven"),
		"static/10.0.0.8": say("eight"), "static/2001-db8--7": "",
		"static/2001:db8::7": say("six"), "static/127.0.0.1": say("the proxy"),
		"static/10.9.0.1": say("inner proxy"), "static/0.0.0.0": say("nobody")}
	delete(files, "static/2001-db8--7")
	everyone, proxy := serveProxied(t, files)
	ask := request("GET", "/redirect")
	forwarded := func(by string) string {
		return request("GET", "/redirect", "X-Forwarded-For: "+by)
	}
	for _, test := range []struct{ name, header, request, want string }{
		{"v1", "PROXY TCP4 10.0.0.7 192.0.2.1 12345 4567\r\n", ask, "seven"},
		{"v1 IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 12345 4567\r\n", ask, "six"},
		{"v1 somebody", "PROXY UNKNOWN\r\n", ask, "default"},
		{"v1 somebody with addresses", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ask, "default"},
		{"v2", v2(1, 0x11, between("10.0.0.7", "192.0.2.1")), ask, "seven"},
		{"v2 IPv6", v2(1, 0x21, between("2001:db8::7", "2001:db8::1")), ask, "six"},
		{"v2 IPv4 in IPv6", v2(1, 0x21, between("::ffff:10.0.0.7", "::1")), ask, "seven"},
		{"v2 more behind the addresses",
			v2(1, 0x11, between("10.0.0.7", "192.0.2.1")+"\x04\x00\x02zz"), ask, "seven"},
		{"v2 the proxy's own", v2(0, 0, ""), ask, "the proxy"},
		{"v2 the proxy's own, with addresses", v2(0, 0x11, between("10.0.0.7", "192.0.2.1")), ask,
			"the proxy"},
		{"v2 Unix socket", v2(1, 0x31, strings.Repeat("\x00", 216)), ask, "default"},
		{"nobody's address", "PROXY TCP4 0.0.0.0 192.0.2.1 12345 4567\r\n", ask, "default"},
		// X-Forwarded-For counts when the header names a trusted proxy, and not
		// when it names a client.
		{"a client says more", "PROXY TCP4 10.0.0.7 192.0.2.1 12345 4567\r\n",
			forwarded("10.0.0.8"), "seven"},
		{"a proxy says more", "PROXY TCP4 10.9.0.1 192.0.2.1 12345 4567\r\n",
			forwarded("10.0.0.8"), "eight"},
		{"a proxy says nothing", "PROXY TCP4 10.9.0.1 192.0.2.1 12345 4567\r\n", ask,
			"inner proxy"},
		{"somebody says more", "PROXY UNKNOWN\r\n", forwarded("10.0.0.8"), "default"},
		{"the proxy's own, and more", v2(0, 0, ""), forwarded("10.0.0.8"), "eight"},
	} {
		proxy.wantBody(proxy.raw(test.header+test.request), say(test.want))
		if t.Failed() {
			t.Fatalf("%s", test.name)
		}
	}
	proxy.wantLog("msg=redirect", "peer=127.0.0.1", "source=10.0.0.7", "step=static")

	// Two requests on one connection, the first in pieces of its own behind the
	// header.
	conn := proxy.dial()
	io.WriteString(conn, "PROXY TCP4 10.0.0.7 192.0.2.1 12345 4567\r\nGET /redi")
	io.WriteString(conn, "rect HTTP/1.1\r\nHost: x\r\n\r\n")
	from := bufio.NewReader(conn)
	for range 2 {
		a, err := read(from, "GET")
		if err != nil || a.body != say("seven") {
			t.Errorf("%v: %q", err, a.body)
		}
		io.WriteString(conn, ask)
	}
	// Elsewhere the header is no HTTP, and nobody is who it says.
	if a := everyone.raw("PROXY TCP4 10.0.0.7 192.0.2.1 12345 4567\r\n" + ask); a.status != 400 {
		t.Errorf("a header where there are none is answered: %d %q", a.status, a.body)
	}
	everyone.wantBody(everyone.raw(forwarded("10.0.0.8")), say("eight"))
}

// TestProxy_Hostile: whoever is no trusted proxy gets in nowhere, and what is
// no header ends the connection.
func TestProxy_Hostile(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	_, proxy := serveProxied(t, tree{"default": say("default"), "static/10.0.0.7": say("seven")},
		func(c *config.Config) {
			c.Limits.HeaderTimeout = 3 * time.Second
		})
	good, ask := "PROXY TCP4 10.0.0.7 192.0.2.1 12345 4567\r\n", request("GET", "/redirect")
	for _, test := range []struct{ from, text, reason string }{
		{"127.0.0.3", good + ask, "no-trusted-proxy"},
		{"127.0.0.3", v2(1, 0x11, between("10.0.0.7", "192.0.2.1")) + ask, "no-trusted-proxy"},
		{"127.0.0.3", ask, "no-trusted-proxy"},
		{"127.0.0.1", ask, "no-proxy-header"},
		{"127.0.0.1", "PROXY TCP4 10.0.0.7 192.0.2.1 12345\r\n" + ask, "bad-proxy-header"},
		{"127.0.0.1", "PROXY TCP4 10.0.0.7 192.0.2.1 12345 4567\n" + ask, "bad-proxy-header"},
		{"127.0.0.1", "PROXY TCP4 010.0.0.7 192.0.2.1 12345 4567\r\n" + ask, "bad-proxy-header"},
		{"127.0.0.1", "PROXY TCP4 fe80::1%eth0 192.0.2.1 12345 4567\r\n" + ask, "bad-proxy-header"},
		{"127.0.0.1", "PROXY TCP4 ../../etc/passwd 192.0.2.1 12345 4567\r\n" + ask,
			"bad-proxy-header"},
		{"127.0.0.1", "PROXY " + strings.Repeat("A", 9000) + "\r\n" + ask, "bad-proxy-header"},
		{"127.0.0.1", v2(1, 0x11, "short") + ask, "bad-proxy-header"},
		{"127.0.0.1", v2(1, 0x13, between("10.0.0.7", "192.0.2.1")) + ask, "bad-proxy-header"},
		{"127.0.0.1", v2(7, 0x11, between("10.0.0.7", "192.0.2.1")) + ask, "bad-proxy-header"},
		{"127.0.0.1", v2(1, 0x11, strings.Repeat("x", 60000)) + ask, "bad-proxy-header"},
		{"127.0.0.1", "PROX", "timeout"},
		{"127.0.0.1", v2(1, 0x11, between("10.0.0.7", "192.0.2.1"))[:20], "timeout"},
	} {
		if a, err := proxy.as(test.from).try(test.text); err == nil {
			t.Errorf("%.60q from %s is answered: %d %q", test.text, test.from, a.status, a.body)
		}
		proxy.wantLog("before its first request", "reason="+test.reason, "peer="+test.from)
	}
	// A header twice is a request that is none.
	if a, err := proxy.try(good + good + ask); err == nil && a.status != 400 {
		t.Errorf("a second header is answered: %d %q", a.status, a.body)
	}
	if line := proxy.log.find("msg=redirect"); line != "" {
		t.Errorf("somebody was answered: %s", line)
	}
}

// TestProxy_Order: an order through a proxy goes to whom it speaks for, and is
// confirmed, with TLS behind the header as well.
func TestProxy_Order(t *testing.T) {
	t.Parallel()
	ca := pki.NewCA(t, "site")
	cert, key := ca.Files(pki.Certificate{})
	_, proxy := serveProxied(t, tree{"default": say("default"), "install": say("install"),
		"long":          long(),
		"once/10.0.0.7": "-> ../install", "once/10.0.0.8": "-> ../long"}, func(c *config.Config) {
		c.TLSListen, c.TLSCert, c.TLSKey = []string{"127.0.0.4:0"}, cert, key
		c.Protocol = append(c.Protocol, "127.0.0.4:0")
	})
	proxy.wantBody(proxy.raw("PROXY TCP4 10.0.0.7 192.0.2.1 12345 4567\r\n"+
		request("GET", "/redirect")), say("install"))
	proxy.wantOrder("10.0.0.7", "served")

	overTLS := *proxy
	overTLS.addr = proxy.speaks(`"https, PROXY protocol"`)
	conn := overTLS.dial()
	io.WriteString(conn, "PROXY TCP4 10.0.0.8 192.0.2.1 12345 4567\r\n")
	c := tls.Client(conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"})
	io.WriteString(c, request("GET", "/redirect"))
	a, err := read(bufio.NewReader(c), "GET")
	if err != nil {
		t.Fatal(err)
	}
	proxy.wantBody(a, long())
	proxy.wantOrder("10.0.0.8", "served")
}

// TestProxy_Limits: behind a proxy connections count for whom it speaks for,
// one by one.
func TestProxy_Limits(t *testing.T) {
	t.Parallel()
	_, proxy := serveProxied(t, tree{"default": say("default")}, func(c *config.Config) {
		c.Limits.PerAddress = 3
	})
	begin := func(client string) net.Conn {
		conn := proxy.dial()
		io.WriteString(conn, "PROXY TCP4 "+client+" 192.0.2.1 12345 4567\r\n"+
			request("GET", "/redirect"))
		return conn
	}
	answered := func(conn net.Conn) bool {
		_, err := read(bufio.NewReader(conn), "GET")
		return err == nil
	}
	var held []net.Conn
	for range 3 {
		conn := begin("10.0.0.7")
		if held = append(held, conn); !answered(conn) {
			t.Fatal("one of three is not answered")
		}
	}
	if answered(begin("10.0.0.7")) {
		t.Error("a fourth connection of one client is answered")
	}
	proxy.wantLog("reason=too-many", "source=10.0.0.7")
	for i := range 10 {
		if !answered(begin(fmt.Sprintf("10.0.1.%d", i))) {
			t.Error("another client is not answered")
		}
	}
	held[0].Close()
	if !eventually(func() bool { return answered(begin("10.0.0.7")) }) {
		t.Error("no room after a connection was closed")
	}
	var all sync.WaitGroup
	for range 20 { // closed in the middle of the header
		all.Go(func() {
			conn := proxy.dial()
			io.WriteString(conn, "PROXY TCP4 10.0.0.9 192.0.2.1 12345 4567\r\n")
			conn.SetLinger(0)
			conn.Close()
		})
	}
	all.Wait()
	if !eventually(func() bool { return answered(begin("10.0.0.9")) }) {
		t.Error("connections that were closed still count")
	}
}

// TestProxy_Allow: clients.allow is about whom a proxy speaks for; nobody, and
// the proxy itself, are not in it by themselves.
func TestProxy_Allow(t *testing.T) {
	t.Parallel()
	_, proxy := serveProxied(t, tree{"default": say("default")}, func(c *config.Config) {
		c.Clients = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	for header, status := range map[string]int{
		"PROXY TCP4 10.0.0.7 192.0.2.1 1 2\r\n": 200, "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n": 403,
		"PROXY UNKNOWN\r\n": 403, v2(0, 0, ""): 403,
	} {
		if a := proxy.raw(header + request("GET", "/redirect")); a.status != status {
			t.Errorf("%q: %d, want %d", header, a.status, status)
		}
	}
}
