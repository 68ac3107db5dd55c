//go:build linux

// Package netns makes networks of their own for the tests, in which programs
// run and into which machines are plugged.
package netns

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/internal/process"
)

// The addresses of a Network.
const (
	NetworkAddr  = "10.77.0.1" // of the computer that all tests' servers run on
	NetworkAddr6 = "fd77::1"
)

// Namespace is a computer of its own as far as the network goes: its own cards,
// addresses and ports. It has no name and no file, and belongs to a process of
// this test: it goes away with the test, however that ends, and any number of
// test runs do not meet.
type Namespace struct {
	t      testing.TB
	holder *process.Process
}

// Network is a namespace with a bridge br0 (10.77.0.1/24, fd77::1/64) to which
// machines and other computers are plugged in, each with an address of its own.
// The servers under test run in it.
type Network struct {
	Namespace
	mu   sync.Mutex
	taps int
	more int // hosts
}

// NewNetwork makes a network for the test. It needs root; without, the test is
// skipped.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	lab.Slow(t)
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network of its own")
	}
	n := &Network{Namespace: newNamespace(t)}
	n.ip("link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
	n.ip("addr", "add", NetworkAddr+"/24", "dev", "br0")
	n.ip("-6", "addr", "add", NetworkAddr6+"/64", "dev", "br0", "nodad")
	n.ip("link", "set", "br0", "up")
	return n
}

// Host plugs one more computer into the network, with the card eth0 and this
// IPv4 address (10.77.0.0/24).
func (n *Network) Host(addr string) *Namespace {
	n.t.Helper()
	h := newNamespace(n.t)
	n.mu.Lock()
	n.more++
	plug := fmt.Sprintf("host%d", n.more)
	n.mu.Unlock()
	n.ip("link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns",
		fmt.Sprint(h.holder.Cmd.Process.Pid))
	n.ip("link", "set", plug, "master", "br0", "up")
	h.ip("addr", "add", addr+"/24", "dev", "eth0")
	h.ip("link", "set", "eth0", "up")
	return &h
}

// Tap makes a plug for one machine's card.
func (n *Network) Tap() string {
	n.t.Helper()
	n.mu.Lock()
	n.taps++
	name := fmt.Sprintf("tap%d", n.taps)
	n.mu.Unlock()
	n.ip("tuntap", "add", "dev", name, "mode", "tap")
	n.ip("link", "set", name, "master", "br0", "up")
	return name
}

func newNamespace(t testing.TB) Namespace {
	t.Helper()
	cmd := exec.Command("sleep", "infinity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatalf("lab: no network namespace: %v", err)
	}
	t.Cleanup(p.Kill)
	n := Namespace{t, p}
	n.ip("link", "set", "lo", "up")
	return n
}

// Inside is the command that runs the one behind it inside.
func (n *Namespace) Inside() []string {
	return []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", n.holder.Cmd.Process.Pid), "--"}
}

// Command is exec.Command for a program that runs inside.
func (n *Namespace) Command(name string, args ...string) *exec.Cmd {
	line := append(append(n.Inside(), name), args...)
	return exec.Command(line[0], line[1:]...)
}

func (n *Namespace) ip(args ...string) {
	n.t.Helper()
	if out, err := n.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("lab: ip %s: %v: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
}

// Server is a program that runs inside a namespace until the test ends.
type Server struct {
	t    testing.TB
	name string
	proc *process.Process
	said process.Output

	// Forks says that the command is nsenter --pid, which waits for the
	// program: signals are then for its child.
	Forks bool
}

// Start starts a program inside. It must stay in the foreground. A failed test
// shows what it printed.
func (n *Namespace) Start(name string, args ...string) *Server {
	n.t.Helper()
	return Serve(n.t, name, n.Command(name, args...))
}

// Serve runs a command until the test ends. A failed test shows what it
// printed.
func Serve(t testing.TB, name string, cmd *exec.Cmd) *Server {
	t.Helper()
	s := &Server{t: t, name: name}
	cmd.Stdout = &s.said
	cmd.Stderr = cmd.Stdout
	var err error
	if s.proc, err = process.Start(cmd); err != nil {
		t.Fatalf("lab: %s: %v", name, err)
	}
	t.Cleanup(func() {
		s.Stop()
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", name, s.Output())
		}
	})
	return s
}

// Output returns what the server printed so far, on both of its streams.
func (s *Server) Output() string {
	return s.said.String()
}

// Expect waits until pattern (a regexp) stands in the output. After timeout, or
// when the server ended without it, the test fails.
func (s *Server) Expect(pattern string, timeout time.Duration) {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	if !s.proc.Wait(timeout, func() bool { return re.MatchString(s.Output()) }) {
		s.t.Fatalf("lab: %s has not said %q, and %v; waited at most %v", s.name, pattern,
			s.proc.State(), timeout)
	}
}

// Signal sends a signal to the server, if it still runs.
func (s *Server) Signal(sig syscall.Signal) {
	if pid := s.proc.Cmd.Process.Pid; s.Forks && !s.proc.Ended() {
		syscall.Kill(forked(pid), sig)
	} else {
		s.proc.Cmd.Process.Signal(sig)
	}
}

// Stop asks the server to end, and ends it when it does not within ten seconds.
// It returns how it ended, as in "exit status 0". Calling it again does
// nothing.
func (s *Server) Stop() string {
	s.Signal(syscall.SIGTERM)
	select {
	case <-s.proc.Gone:
	case <-time.After(10 * time.Second):
		s.Signal(syscall.SIGKILL)
		s.proc.Kill()
	}
	return s.proc.Cmd.ProcessState.String()
}

// forked is the process that nsenter --pid started and waits for, as it is
// numbered outside; before that it is nsenter.
func forked(nsenter int) int {
	child := nsenter
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", nsenter,
		nsenter)); err == nil {
		fmt.Sscan(string(text), &child)
	}
	return child
}
