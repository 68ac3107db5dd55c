//go:build linux

package tftpd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/lab"
)

// tools are real clients: how each is told to get a file in blocks of some
// size; 0 leaves the size to it.
var tools = map[string]func(host string, port, blksize int, name, to string) []string{
	"tftp-hpa": func(host string, port, blksize int, name, to string) []string {
		// has no option for the size
		return []string{"tftp", "-m", "binary", host, strconv.Itoa(port), "-c", "get", name, to}
	},
	"atftp": func(host string, port, blksize int, name, to string) []string {
		args := []string{"atftp", "--get", "--remote-file", name, "--local-file", to}
		if blksize > 0 {
			args = append(args, "--option", fmt.Sprintf("blksize %d", blksize))
		}
		return append(args, host, strconv.Itoa(port))
	},
	"curl": func(host string, port, blksize int, name, to string) []string {
		args := []string{"curl", "-sS", "-o", to}
		if blksize > 0 {
			args = append(args, "--tftp-blksize", strconv.Itoa(blksize))
		}
		return append(args, fmt.Sprintf("tftp://%s:%d/%s", host, port, name))
	},
}

// fetch gets a file with a real client and compares it.
func (r *lair) fetch(tool string, blksize int, name string, want []byte) {
	r.t.Helper()
	to := filepath.Join(r.t.TempDir(), "got")
	args := tools[tool]("127.0.0.1", r.port, blksize, name, to)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = r.t.TempDir()
	said, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Errorf("%s, blksize %d, %s: %v (run 'make deps')\n%s", tool, blksize, name, err, said)
		return
	}
	// curl makes no file when there is nothing to write.
	if got, err := os.ReadFile(to); !bytes.Equal(got, want) || err != nil && len(want) > 0 {
		r.t.Errorf("%s, blksize %d, %s: %d of %d bytes, error %v\n%s", tool, blksize, name,
			len(got), len(want), err, said)
	}
}

// TestTools: real clients get every size at which something begins, and files
// with more blocks than there are numbers for.
func TestTools(t *testing.T) {
	lab.Slow(t)
	t.Parallel()
	r := serve(t, "127.0.0.1", nil)
	bodies := map[string][]byte{}
	for _, size := range []int{0, 511, 512, 513, 1427, 1428, 1429, 65535*512 + 1000, 64 << 20} {
		name := strconv.Itoa(size)
		bodies[name] = r.write(name, size)
	}
	for tool := range tools {
		t.Run(tool, func(t *testing.T) {
			r := &lair{t: t, port: r.port}
			for name, body := range bodies {
				r.fetch(tool, 0, name, body)
				if tool != "tftp-hpa" && len(body) <= 1<<20 || len(body) == 64<<20 {
					r.fetch(tool, 1428, name, body)
				}
			}
		})
	}
}

// TestLoss: 256 KiB arrive although each tenth packet, of either direction,
// does not.
func TestLoss(t *testing.T) {
	lab.Slow(t)
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a network with losses of its own needs root")
	}
	done := make(chan struct{})
	go func() { // its thread ends with it, and the network with the thread
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("no network of its own: %v", err)
			return
		}
		for _, args := range [][]string{
			{"ip", "link", "set", "lo", "up"},
			{"nft", "add table inet lossy; add chain inet lossy in { type filter hook input " +
				"priority 0; }; " +
				"add rule inet lossy in meta l4proto udp numgen random mod 10 == 0 counter drop"},
		} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%q: %v\n%s", args, err, out)
				return
			}
		}
		// Sockets belong to the network in which they are made; the library
		// makes one for each request, on other threads. So the server is a
		// process that starts in here, as the client does.
		root := t.TempDir()
		body := (&lair{t: t, root: root}).write("x", 256<<10)
		server := exec.Command(os.Args[0], "-test.run=^$")
		server.Env = append(os.Environ(), serveEnv+"="+root)
		server.Stderr = os.Stderr
		if err := server.Start(); err != nil {
			t.Error(err)
			return
		}
		defer func() { server.Process.Kill(); server.Wait() }()
		r := &lair{t: t, port: 69}
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(
			50 * time.Millisecond) {
			if out, _ := exec.Command("ss", "-Hlun", "sport = :69").Output(); len(out) > 0 {
				break
			}
		}
		// Not atftp: it acknowledges a repeated block only once, and waits for
		// ever when that is lost as well.
		r.fetch("curl", 1428, "x", body)
		out, err := exec.Command("nft", "list chain inet lossy in").Output()
		if err != nil || !bytes.Contains(out, []byte("counter packets")) ||
			bytes.Contains(out, []byte("packets 0 ")) {
			t.Errorf("nothing was lost: error %v\n%s", err, out)
		}
	}()
	<-done
}

// serveEnv makes the test program a server of the folder that it names, on port
// 69.
const serveEnv = "PXESRV_TEST_TFTP_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(serveEnv); root != "" {
		s := &Server{Site: folder(root)}
		s.Log = discard
		l, err := Listen("127.0.0.1:69", func() *Server { return s })
		if err == nil {
			err = l.Serve()
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
