//go:build linux

package servers

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/internal/process"
)

// StartNginx runs nginx with this text as its configuration of http (in http {
// }) or, when the text begins a stream { }, beside it, and returns when all its
// addresses take connections. It is the system's nginx or the one that 'make
// deps' unpacked. The test ends it.
func StartNginx(t testing.TB, text string) {
	t.Helper()
	lab.Slow(t)
	unpacked := lab.Cached(t, "nginx")
	find := func(names ...string) string {
		for _, name := range names {
			for _, root := range []string{unpacked, "/"} {
				if path := filepath.Join(root, name); lab.Exists(path) {
					return path
				}
			}
		}
		t.Fatalf("lab: no %s in %s or the system: run 'make deps'", names[0], unpacked)
		return ""
	}
	program := find("usr/sbin/nginx")
	dir := t.TempDir()
	var conf bytes.Buffer
	isStream := regexp.MustCompile(`(?m)^stream \{`).MatchString(text)
	if isStream {
		fmt.Fprintf(&conf, "load_module %s;\n", find("usr/lib/nginx/modules/ngx_stream_module.so"))
	}
	fmt.Fprintf(&conf,
		"daemon off; worker_processes 2; pid %s/pid; error_log stderr info; events { }\n", dir)
	if os.Getuid() == 0 {
		conf.WriteString("user root;\n")
	}
	if isStream {
		conf.WriteString(text)
	} else {
		conf.WriteString("http {\naccess_log off;\n")
		for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			fmt.Fprintf(&conf, "%s_temp_path %s/%[1]s;\n", temp, dir)
		}
		conf.WriteString(text + "}\n")
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, conf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	var said process.Output
	cmd := exec.Command(program, "-p", dir, "-e", "stderr", "-c", file)
	libraries, _ := filepath.Glob(filepath.Join(unpacked, "usr/lib/*-linux-gnu*"))
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	cmd.Stderr = &said
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatalf("lab: nginx: %v", err)
	}
	t.Cleanup(func() {
		p.Cmd.Process.Signal(syscall.SIGTERM) // its workers end with it
		select {
		case <-p.Gone:
		case <-time.After(10 * time.Second):
			p.Kill()
		}
		if t.Failed() {
			t.Logf("nginx said:\n%s", said.String())
		}
	})
	for _, m := range regexp.MustCompile(`(?m)^\s*listen ([0-9.]+:[0-9]+)`).FindAllStringSubmatch(
		text, -1) {
		if !p.Wait(time.Minute, func() bool {
			c, err := net.Dial("tcp", m[1])
			if err == nil {
				c.Close()
			}
			return err == nil
		}) {
			t.Fatalf("lab: nginx does not listen on %s, and %s:\n%s", m[1], p.State(),
				strings.TrimSpace(said.String()))
		}
	}
}
