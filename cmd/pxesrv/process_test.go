//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The process, its options and its logs.

// processPatience ends what hangs.
const processPatience = 30 * time.Second

// bootTree makes a document root.
func bootTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, isLink := strings.CutPrefix(text, "-> "); isLink {
			err = os.Symlink(target, at)
		} else {
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// A daemonProcess is pxesrv as a service manager runs it.
type daemonProcess struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	mu   sync.Mutex
	said bytes.Buffer
	done chan error
}

func (d *daemonProcess) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.said.Write(p)
}

func (d *daemonProcess) output() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.said.String()
}

// environ is the environment without settings, and with these.
func environ(more ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PXESRV_") {
			env = append(env, e)
		}
	}
	return append(env, more...)
}

// runDaemon starts pxesrv and waits until it answers at addr. An empty dir is
// this one.
func runDaemon(t *testing.T, addr, dir string, env []string, args ...string) *daemonProcess {
	t.Helper()
	d := &daemonProcess{t: t, cmd: exec.Command("pxesrv", args...), addr: addr,
		done: make(chan error, 1)}
	d.cmd.Dir, d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr = dir, environ(env...), d, d
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.done <- d.cmd.Wait() }()
	t.Cleanup(func() {
		d.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("pxesrv said:\n%s", d.output())
		}
	})
	d.eventually("it answers at "+addr, func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	return d
}

func (d *daemonProcess) eventually(what string, is func() bool) {
	d.t.Helper()
	for end := time.Now().Add(processPatience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("not within %v: %s", processPatience, what)
		}
	}
}

// get asks for a path and returns the body.
func (d *daemonProcess) get(path string) string {
	d.t.Helper()
	client := http.Client{Timeout: processPatience,
		Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + d.addr + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(body)
}

// ends wants the process to end, with status 0.
func (d *daemonProcess) ends(within time.Duration) {
	d.t.Helper()
	select {
	case err := <-d.done:
		if err != nil {
			d.t.Errorf("pxesrv ended with: %v", err)
		}
	case <-time.After(within):
		d.t.Fatalf("pxesrv is still there after %v", within)
	}
}

func freeAddr(t *testing.T) (addr, port string) {
	t.Helper()
	addr, err := freeLoopbackAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = strings.Cut(addr, ":")
	return addr, port
}

// wantFailure runs pxesrv, which must end with one line of words and perhaps
// one with a hint, without a trace of its insides.
func wantFailure(t *testing.T, env []string, want string, args ...string) {
	t.Helper()
	cmd := exec.Command("pxesrv", args...)
	cmd.Env = environ(env...)
	out, err := cmd.CombinedOutput()
	first, hint, _ := strings.Cut(string(out), "\n")
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), want) ||
		!strings.HasPrefix(first, "pxesrv: ") ||
		hint != "" && (!strings.HasPrefix(hint, "hint: ") || strings.Count(hint, "\n") != 1) ||
		strings.Contains(string(out), "goroutine") {
		t.Errorf("%q %q: %v\n%s", env, args, err, out)
	}
}

const defaultScript = "#!ipxe\necho default\n"

func TestServe_NoRoot(t *testing.T) {
	t.Parallel()
	wantFailure(t, nil, "no document root\nhint: name it with --root DIR or PXESRV_ROOT=DIR\n")
	wantFailure(t, []string{"PXESRV_ROOT=" + filepath.Join(t.TempDir(), "nothing")},
		"the document root cannot be used")
	wantFailure(t, []string{"PXESRV_ROOT=" + os.Args[0]}, "is not a directory")
}

func TestServe_LogFile(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript})
	wantFailure(t, []string{"PXESRV_ROOT=" + root, "PXESRV_LOG=" + root + "/no/such/log"},
		"the log cannot be written")
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	addr, port := freeAddr(t)
	d := runDaemon(t, addr, "", []string{"PXESRV_ROOT=" + root, "PXESRV_LOG=" + log}, "-p", port)
	d.get("/redirect")
	d.eventually("the request is logged after what was there", func() bool {
		text, _ := os.ReadFile(log)
		return strings.HasPrefix(string(text), "before\n") &&
			strings.Contains(string(text), "msg=redirect")
	})
}

func TestServe_DefaultPort(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("pxesrv", "serve", "--help").CombinedOutput()
	if err != nil || !regexp.MustCompile(`-p, --port .*PXESRV_PORT.*4567`).Match(out) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestServe_PortAndAddress(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript})
	_, port := freeAddr(t)
	d := runDaemon(t, "127.0.0.2:"+port, "", []string{"PXESRV_ROOT=" + root}, "-p", port, "-o",
		"127.0.0.2")
	if got := d.get("/redirect"); got != defaultScript {
		t.Errorf("%q", got)
	}
	if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		c.Close()
		t.Error("-o 127.0.0.2 listens on 127.0.0.1, too")
	}
}

func TestServe_StartIsLogged(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript})
	addr, port := freeAddr(t)
	d := runDaemon(t, addr, "", nil, "--root", root, "-o", "127.0.0.1", "-p", port)
	want := "msg=listening address=" + addr + " root=" + root
	d.eventually("it says "+want, func() bool { return strings.Contains(d.output(), want) })
}

// The access log has a line for each answer, whatever answers, and is opened
// again at SIGHUP as the log is.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript,
		"install": "#!ipxe\necho install\n", "once/127.0.0.1": "-> ../install",
		"file": "0123456789"})
	addr, port := freeAddr(t)
	log := filepath.Join(t.TempDir(), "access.log")
	d := runDaemon(t, addr, "", nil, "--root", root, "-o", "127.0.0.1", "-p", port, "--access-log",
		log, "--proxies-trusted", "127.0.0.1")
	now := time.Now()
	ask := func(method, path string, headers ...string) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	ask("GET", "/redirect")
	ask("GET", "/redirect?serial=a%20b", "X-Forwarded-For", "10.1.2.3")
	ask("HEAD", "/redirect")
	ask("GET", "/file", "Range", "bytes=2-4")
	ask("GET", "/file", "If-Modified-Since", now.Add(time.Hour).UTC().Format(http.TimeFormat))
	ask("GET", "/nothing")
	ask("HEAD", "/nothing")
	ask("PUT", "/file")
	ask("POST", "/grub/clear/2")
	ask("GET", "/healthz")
	want := []string{
		`127.0.0.1 "GET /redirect HTTP/1.1" 200 20`,
		`10.1.2.3 "GET /redirect?serial=a%20b HTTP/1.1" 200 20`, // the machine, as its proxy says
		`127.0.0.1 "HEAD /redirect HTTP/1.1" 200 -`,
		`127.0.0.1 "GET /file HTTP/1.1" 206 3`,
		`127.0.0.1 "GET /file HTTP/1.1" 304 -`,
		`127.0.0.1 "GET /nothing HTTP/1.1" 404 33`,
		`127.0.0.1 "HEAD /nothing HTTP/1.1" 404 -`,
		`127.0.0.1 "PUT /file HTTP/1.1" 405 36`,
		`127.0.0.1 "POST /grub/clear/2 HTTP/1.1" 404 39`,
		`127.0.0.1 "GET /healthz HTTP/1.1" 200 3`,
	}
	line := regexp.MustCompile(`^(\S+) - - \[([^]]+)\] (".*" \d+ \S+) (\d+\.\d{4})\n$`)
	read := func(name string) (got []string) {
		text, _ := os.ReadFile(name)
		for l := range strings.Lines(string(text)) {
			m := line.FindStringSubmatch(l)
			if m == nil {
				t.Fatalf("not a line of an access log: %q", l)
			}
			if at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[2]); err != nil ||
				at.Before(now.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
				t.Errorf("the time is not that of the answer: %q, %v", l, err)
			}
			got = append(got, m[1]+" "+m[3])
		}
		return got
	}
	d.eventually("all lines are there", func() bool { return len(read(log)) == len(want) })
	for i, got := range read(log) {
		if got != want[i] {
			t.Errorf("%s, want %s", got, want[i])
		}
	}
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	d.cmd.Process.Signal(syscall.SIGHUP)
	d.eventually("the access log is there again", func() bool {
		_, err := os.Stat(log)
		return err == nil
	})
	ask("GET", "/file")
	d.eventually("the new file has the new line", func() bool { return len(read(log)) == 1 })
	if old := read(log + ".1"); len(old) != len(want) {
		t.Errorf("the old file was written to: %d lines", len(old))
	}
	wantFailure(t, nil, "the access log cannot be written: ", "--root", root, "--access-log",
		filepath.Join(root, "no/such/folder"))
}

// An access log that cannot be written to keeps nobody from an answer, and what
// is lost is counted.
func TestAccessLog_DiskFull(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript})
	addr, port := freeAddr(t)
	d := runDaemon(t, addr, "", nil, "--root", root, "-o", "127.0.0.1", "-p", port, "--access-log",
		"/dev/full")
	for range 10 {
		if got := d.get("/redirect"); got != defaultScript {
			t.Errorf("%q", got)
		}
	}
	d.eventually("ten lines are counted as lost", func() bool {
		lost := regexp.MustCompile(`(?m)^pxesrv_log_dropped_total (\d{2,})$`)
		return lost.MatchString(d.get("/metrics"))
	})
}

// One line tells who asked, what was decided and why, what was sent, and how
// the delivery ended.
func TestLog_DecisionIsOneLine(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript,
		"install": "#!ipxe\necho install\n", "once/127.0.0.1": "-> ../install"})
	addr, port := freeAddr(t)
	log := filepath.Join(t.TempDir(), "log")
	d := runDaemon(t, addr, "", nil, "--root", root, "-o", "127.0.0.1", "-p", port, "--log", log)
	d.get("/redirect")
	d.get("/redirect")
	line := regexp.MustCompile(
		`(?m)^time=\S+ level=INFO msg=redirect peer=127.0.0.1 method=GET names=127.0.0.1 duration_ms=[0-9.]+ step=once entry=once/127.0.0.1 target=../install file=install bytes=20 status=200 order=\S+ delivery=acknowledged$`)
	plain := regexp.MustCompile(
		`(?m)^time=\S+ level=INFO msg=redirect peer=127.0.0.1 method=GET names=127.0.0.1 duration_ms=[0-9.]+ step=default entry=default file=default bytes=20 status=200$`)
	d.eventually("both decisions are in the log file", func() bool {
		text, _ := os.ReadFile(log)
		return line.Match(text) && plain.Match(text)
	})
}

// The true peer is in the line also when a proxy is believed.
func TestLog_PeerAndSource(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript})
	addr, port := freeAddr(t)
	d := runDaemon(t, addr, "", nil, "--root", root, "-o", "127.0.0.1", "-p", port,
		"--proxies-trusted", "127.0.0.1")
	r, err := http.NewRequest("GET", "http://"+addr+"/redirect", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "10.1.2.3")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	d.eventually("peer and source are said", func() bool {
		return strings.Contains(d.output(), "msg=redirect peer=127.0.0.1 source=10.1.2.3 ")
	})
}

// An error is one line, not a backtrace.
func TestLog_NoBacktrace(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": "-> nowhere", "static/127.0.0.1": "-> .",
		"sub/file": "text"})
	addr, port := freeAddr(t)
	d := runDaemon(t, addr, "", nil, "--root", root, "-o", "127.0.0.1", "-p", port)
	for _, path := range []string{"/redirect", "/sub", "/sub/nothing", "/%00"} {
		if body := d.get(path); strings.Count(body, "\n") != 1 || strings.Contains(body, root) ||
			strings.Contains(body, "goroutine") {
			t.Errorf("%s: %q", path, body)
		}
	}
	d.eventually("the skipped entries are said", func() bool {
		return strings.Contains(d.output(), "msg=redirect")
	})
	for line := range strings.Lines(d.output()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("not a line of the log: %q", line)
		}
	}
}

func TestLog_ReopenedAtSIGHUP(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript})
	log := filepath.Join(t.TempDir(), "log")
	addr, port := freeAddr(t)
	d := runDaemon(t, addr, "", nil, "--root", root, "-o", "127.0.0.1", "-p", port, "--log", log)
	d.get("/redirect")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	d.cmd.Process.Signal(syscall.SIGHUP)
	d.eventually("the log is there again", func() bool {
		_, err := os.Stat(log)
		return err == nil
	})
	d.get("/redirect?serial=after")
	d.eventually("the new file has the new line", func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), `names=after,`)
	})
	if old, _ := os.ReadFile(log + ".1"); strings.Contains(string(old), "after,") {
		t.Error("the old file was written to")
	}
}

// SIGTERM and SIGINT end the daemon, also while somebody never reads, and a
// FIFO is in the tree.
func TestStop_HasADeadline(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		root := bootTree(t, map[string]string{"default": defaultScript, "static/.keep": ""})
		if err := syscall.Mkfifo(filepath.Join(root, "static/127.0.0.1"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "x.iso"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(root, "x.iso"), 1<<30); err != nil {
			t.Fatal(err)
		}
		addr, port := freeAddr(t)
		d := runDaemon(t, addr, "", nil, "--root", root, "-o", "127.0.0.1", "-p", port,
			"--limits-stop", "1s")
		if got := d.get("/redirect"); got != defaultScript {
			t.Errorf("beside a FIFO: %q", got)
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /x.iso HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		d.cmd.Process.Signal(signal)
		d.ends(processPatience)
		if !strings.Contains(d.output(), "stopped with downloads under way") {
			t.Errorf("%v: not said that a download was cut", signal)
		}
	}
}

// As under a service manager that starts it in /: links mean the same, and no
// header leads out.
func TestServe_AnyWorkingDirectory(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript,
		"sub/install": "#!ipxe\necho install\n", "once/127.0.0.1": "-> ../sub/install"})
	addr, port := freeAddr(t)
	d := runDaemon(t, addr, "/", nil, "--root", root, "-o", "127.0.0.1", "-p", port)
	if got := d.get("/redirect"); got != "#!ipxe\necho install\n" {
		t.Errorf("%q", got)
	}
	for _, path := range []string{"/etc/hostname", "/../etc/hostname", "/%2e%2e/etc/hostname"} {
		if got := d.get(path); strings.Count(got, "\n") != 1 ||
			!strings.Contains(got, "nothing under this name") {
			t.Errorf("%s: %q", path, got)
		}
	}
}
