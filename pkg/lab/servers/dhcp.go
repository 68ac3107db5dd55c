//go:build linux

// Real DHCP servers: dnsmasq of the system, isc-dhcp and Kea from the cache
// folder, where 'make deps' unpacks them.

package servers

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pxesrv/pkg/lab"
)

// dhcpKind is a DHCP server, by the name that 'pxesrv dhcp' has for it.
type dhcpKind struct {
	program string
	check   []string // checks the configuration file that comes behind
	ready   string   // what it says when it answers
}

var dhcpKinds = map[string]dhcpKind{
	"isc":           {"dhcpd", []string{"-t", "-cf"}, "Server starting service"},
	"kea":           {"kea-dhcp4", []string{"-t"}, "DHCP4_STARTED"},
	"dnsmasq":       {"dnsmasq", []string{"--test", "-C"}, "DHCP, IP range"},
	"dnsmasq-proxy": {"dnsmasq", []string{"--test", "-C"}, "DHCP, proxy on subnet"},
}

// DHCPCommand returns the command that runs a DHCP server (isc, kea, dnsmasq,
// dnsmasq-proxy) with these arguments. Its environment leads to the libraries
// beside it, and Kea's lock and pid files to a folder of the test. Nothing is
// started.
func DHCPCommand(t testing.TB, kind string, args ...string) *exec.Cmd {
	t.Helper()
	lab.Slow(t)
	k, known := dhcpKinds[kind]
	if !known {
		t.Fatalf("lab: no DHCP server is called %q", kind)
	}
	unpacked := lab.Cached(t, "dhcp-servers")
	for _, dir := range []string{filepath.Join(unpacked, "usr/sbin"), "/usr/sbin",
		"/usr/local/sbin"} {
		program := filepath.Join(dir, k.program)
		if !lab.Exists(program) {
			continue
		}
		libraries, _ := filepath.Glob(filepath.Join(unpacked, "usr/lib/*-linux-gnu*"))
		state := t.TempDir()
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"),
			"KEA_LOCKFILE_DIR="+state,
			"KEA_PIDFILE_DIR="+state, "KEA_LOGGER_DESTINATION=stdout")
		return cmd
	}
	t.Fatalf("lab: no %s in %s or the system: run 'make deps'", k.program, unpacked)
	return nil
}

// CheckDHCP lets a DHCP server's own checker read a configuration. The test
// fails with what the checker says.
func CheckDHCP(t testing.TB, kind string, config []byte) {
	t.Helper()
	file := dhcpFile(t, config)
	cmd := DHCPCommand(t, kind, append(slices.Clone(dhcpKinds[kind].check), file)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s does not take the configuration: %v\n%s\n%s", cmd.Path, err, out, config)
	}
}

// DHCPServer is one that runs.
type DHCPServer struct {
	proc *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// StartDHCP runs a DHCP server with this configuration on one network
// interface, in the foreground, and returns when it answers. The test ends it.
// Inside is the command that runs another in a network of the test's, as ip
// netns exec NAME; without it the network is the one of the calling thread. The
// interface must be up and have an address in the configuration's network. Kea
// takes its interfaces from the configuration alone.
//
// Leases are kept in the test's folder; Kea's in memory, for which its
// configuration has to say "type": "memfile". dhcpd and dnsmasq are told not to
// ping an address before they give it out.
func StartDHCP(t testing.TB, kind string, inside []string, nic string, config []byte) *DHCPServer {
	t.Helper()
	dir := t.TempDir()
	var args []string
	switch kind {
	case "isc":
		leases := filepath.Join(dir, "leases")
		if err := os.WriteFile(leases, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		// which takes a second for each address
		config = append([]byte("ping-check false;\n"), config...)
		args = []string{"-4", "-f", "-d", "--no-pid", "-lf", leases, "-cf",
			dhcpFile(t, config), nic}
	case "kea":
		const leases = `"type": "memfile"`
		if !bytes.Contains(config, []byte(leases)) {
			t.Fatalf("lab: Kea's configuration has no %s", leases)
		}
		config = bytes.Replace(config, []byte(leases), []byte(leases+`, "persist": false`), 1)
		args = []string{"-c", dhcpFile(t, config)}
	default:
		args = []string{"--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--user=root",
			"--group=", "--pid-file", "--no-ping",
			"--no-resolv", "--no-hosts", "--bind-interfaces", "--interface=" + nic,
			"--except-interface=lo",
			"--dhcp-leasefile=" + filepath.Join(dir, "leases"), "--conf-file=" +
				dhcpFile(t, config)}
	}
	cmd := DHCPCommand(t, kind, args...)
	if len(inside) > 0 {
		environ := cmd.Env
		cmd = exec.Command(inside[0],
			append(slices.Clone(inside[1:]), append([]string{cmd.Path}, args...)...)...)
		cmd.Env = environ
	}
	s := &DHCPServer{proc: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = s, s
	if err := cmd.Start(); err != nil {
		t.Fatalf("lab: %v", err)
	}
	go func() { cmd.Wait(); close(s.done) }()
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", kind, s.Log())
		}
	})
	for end := time.Now().Add(time.Minute); !strings.Contains(s.Log(),
		dhcpKinds[kind].ready); time.Sleep(10 * time.Millisecond) {
		select {
		case <-s.done:
			t.Fatalf("lab: %s has ended", kind)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("lab: %s did not say %q within a minute", kind, dhcpKinds[kind].ready)
		}
	}
	return s
}

// Stop ends the server. Calling it again does nothing.
func (s *DHCPServer) Stop() {
	s.proc.Process.Kill()
	<-s.done
}

// Log returns what the server said so far.
func (s *DHCPServer) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Write takes what the server says.
func (s *DHCPServer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

var _ io.Writer = (*DHCPServer)(nil)

// dhcpFile writes a configuration into a folder of the test.
func dhcpFile(t testing.TB, config []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dhcp.conf")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
