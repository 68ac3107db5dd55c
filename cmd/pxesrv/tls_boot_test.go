//go:build linux

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/netns"
	"pxesrv/pkg/lab/pki"
	"pxesrv/pkg/lab/qemu"
	"pxesrv/pkg/lab/servers"
)

// hasLogged waits for a line of the daemon's log that matches.
func (r *room) hasLogged(pattern string) {
	r.t.Helper()
	re := regexp.MustCompile("(?m)^.*" + pattern)
	for end := time.Now().Add(patience); !re.MatchString(r.log.String()); time.Sleep(
		20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("the daemon has logged nothing with %q", pattern)
		}
	}
}

// newTLSRoom is a room whose daemon answers HTTPS as well, at the address of
// /redirect that is returned.
func newTLSRoom(t *testing.T, ca *pki.CA) (r *room, url string) {
	t.Helper()
	r = newRoom(t)
	r.stop(os.Interrupt)
	at, err := freeLoopbackAddr()
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Files(pki.Certificate{Hosts: []string{qemu.Gateway}})
	r.args = []string{"--tls-listen", at, "--tls-cert", cert, "--tls-key", key}
	r.start()
	_, port, _ := net.SplitHostPort(at)
	return r, "https://" + net.JoinHostPort(qemu.Gateway, port) + "/redirect"
}

// TestTLSBoot boots the iPXE of Debian 13 over HTTPS, under a UEFI firmware
// that trusts the site's own CA: who the machine is, an order, and what it
// always boots. Then it asks servers that it cannot trust; what it says of each
// stands in docs/tls.md.
func TestTLSBoot(t *testing.T) {
	t.Parallel()
	ca, stranger := pki.NewCA(t, "site CA"), pki.NewCA(t, "another CA")
	here := []string{qemu.Gateway, "127.0.0.1"}

	// Servers that are wrong, each in its way.
	wrong := func(from *pki.CA, want pki.Certificate, auth tls.ClientAuthType) string {
		t.Helper()
		cert, key := from.Issue(want)
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0",
			&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: auth,
				ClientCAs: ca.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{ErrorLog: log.New(io.Discard, "", 0),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "#!ipxe\necho WAS-TRUSTED\n")
			})}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return "https://" + net.JoinHostPort(qemu.Gateway, port) + "/"
	}
	year := 365 * 24 * time.Hour
	servers := []struct{ name, url, says string }{
		{"unknown", wrong(stranger, pki.Certificate{Hosts: here}, 0),
			`Permission denied \(https://ipxe.org/0216eb8f\)`},
		{"expired", wrong(ca, pki.Certificate{Hosts: here, Begins: -2 * year, Ends: -year}, 0),
			`Permission denied \(https://ipxe.org/0216e48f\)`},
		{"early", wrong(ca, pki.Certificate{Hosts: here, Begins: year, Ends: 2 * year}, 0),
			`Permission denied \(https://ipxe.org/0216e48f\)`},
		{"name", wrong(ca, pki.Certificate{Hosts: []string{"boot.example"}}, 0),
			`Permission denied \(https://ipxe.org/0216ea8f\)`},
		{"ecdsa", wrong(ca, pki.Certificate{Hosts: here, ECDSA: true}, 0),
			`Operation not permitted \(https://ipxe.org/410de18f\)`},
		{"client", wrong(ca, pki.Certificate{Hosts: here}, tls.RequireAndVerifyClientCert),
			`Operation not permitted \(https://ipxe.org/410de18f\)`},
	}
	ask := "#!ipxe\necho ANSWER-static.\n"
	for _, s := range servers {
		ask += fmt.Sprintf("echo ASKS-%s\nchain --timeout 20000 %s || echo %s ENDED\n", s.name,
			s.url, s.name)
	}
	ask += "echo ALL-ASKED\nprompt\n"

	r, url := newTLSRoom(t, ca)
	const uuid = "12345678-9abc-def0-1122-aabbccddeeff"
	r.write("static/"+uuid, ask)
	r.write("scripts/install",
		"#!ipxe\necho ANSWER-once.\nchain --replace --autofree /redirect?${q}&try=0\n")
	if err := os.Symlink("../scripts/install", filepath.Join(r.root, "once", uuid)); err != nil {
		t.Fatal(err)
	}
	m := qemu.Start(t, qemu.VM{UEFI: true, Stick: stick(t), UUID: uuid, BootFile: url,
		Args: ca.EnrollArgs()})
	m.Expect(`ANSWER-once\.`, patience)
	m.Expect(`ANSWER-static\.`, patience)
	r.hasLogged(`msg=identification .*peer=127.0.0.1`)
	r.hasLogged(`msg=redirect .*once/` + uuid + ` .*delivery=acknowledged`)
	for _, s := range servers {
		m.Expect("ASKS-"+s.name, patience)
		m.Expect(s.says+`\n`+s.name+" ENDED", patience)
	}
	m.Expect("ALL-ASKED", patience)
	if strings.Contains(m.Console(), "WAS-TRUSTED") {
		t.Error("a server was trusted")
	}
}

// TestTLSBootBIOS: the iPXE of Debian 13 for a BIOS speaks TLS, and does not
// trust a site's own CA, which nobody can give it.
func TestTLSBootBIOS(t *testing.T) {
	t.Parallel()
	r, url := newTLSRoom(t, pki.NewCA(t, "site CA"))
	m := qemu.Start(t, qemu.VM{Kernel: lab.IPXE(t, "ipxe.lkrn"), BootFile: url})
	m.Expect(`Permission denied \(https://ipxe.org/0216eb3c\)`, patience)
	r.hasLogged(`reason=closed-in-handshake`)
}

// TestTLSFirmware switches on a UEFI machine that trusts the site's CA: it
// boots over HTTPS from its first request to its answer, and the server has no
// other port open. The lines of DHCP are those for an https:// URL.
func TestTLSFirmware(t *testing.T) {
	t.Parallel()
	ca := pki.NewCA(t, "site CA")
	h := &hall{t: t, network: netns.NewNetwork(t)}
	h.root = bootTree(t, map[string]string{"once/.gitignore": "", "default": answer("default"),
		"static/" + hallUUID: answer("uuid")})
	cert, key := ca.Files(pki.Certificate{Hosts: []string{netns.NetworkAddr}})
	const at = netns.NetworkAddr + ":4567"
	h.daemon = h.network.Start("pxesrv", "serve", "--root", h.root, "--listen", "127.0.0.1:4567",
		"--tls-listen", at, "--tls-cert", cert, "--tls-key", key,
		"--loaders-dirs", filepath.Dir(lab.IPXE(t, "undionly.kpxe")))
	h.daemon.Expect(`msg=listening address=`+at+` .* speaks=https`, patience)
	lines, err := exec.Command("pxesrv", "dhcp", "dnsmasq", "--url", "https://"+at, "--subnet",
		"10.77.0.0/24", "--range", "10.77.0.100-10.77.0.199").Output()
	if err != nil {
		t.Fatal(err)
	}
	servers.StartDHCP(t, "dnsmasq", h.network.Inside(), "br0", lines)
	vm := h.uefiHTTP()
	vm.Args = append(vm.Args, ca.EnrollArgs()...)
	m := qemu.Start(t, vm)
	m.Expect(`URI: https://10.77.0.1:4567/ipxe.efi`, patience)
	m.Expect(`ANSWER-uuid\.`, patience)
	h.asked("msg=file method=GET path=/ipxe.efi status=200",
		"msg=identification path=/autoexec.ipxe", "msg=redirect "+hallUUID)
}
