//go:build linux

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/lab"
)

// TestTFTPLeadsBack: the script that a machine gets by TFTP leads to the
// address that it asked, to the one of --url, or is not there when there is
// none.
func TestTFTPLeadsBack(t *testing.T) {
	lab.Slow(t)
	addr, err := freeLoopbackAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "default"), []byte("#!ipxe\nexit 1\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	fetch := func(host string) string {
		out, _ := exec.Command("curl", "-sS", "--max-time", "10",
			"tftp://"+net.JoinHostPort(host, port)+"/autoexec.ipxe").CombinedOutput()
		return string(out)
	}
	for _, test := range []struct {
		name string
		args []string
		want map[string]string // what is in the script, by the address that was asked
		says string
	}{
		{"two addresses", []string{"--listen", "0.0.0.0:" + port},
			map[string]string{"127.0.0.1": "http://127.0.0.1:" + port + "/redirect?",
				"127.0.0.2": "http://127.0.0.2:" + port + "/redirect?"}, ""},
		{"url", []string{"--listen", "0.0.0.0:" + port, "--url", "http://boot.example"},
			map[string]string{"127.0.0.1": "http://boot.example/redirect?",
				"127.0.0.2": "http://boot.example/redirect?"}, ""},
		{"socket", []string{"--listen", "unix:" + filepath.Join(t.TempDir(), "socket")},
			// 68: no such file
			map[string]string{"127.0.0.1": "curl: (68)"},
			"answers plain HTTP on no TCP port: set url"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log lockedBuffer
			cmd := exec.Command("pxesrv",
				append([]string{"serve", "--root", root, "--tftp=0.0.0.0:" + port},
					test.args...)...)
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				cmd.Process.Signal(syscall.SIGTERM)
				if err := cmd.Wait(); err != nil {
					t.Errorf("%v\n%s", err, &log)
				}
			})
			for asked, want := range test.want {
				var got string
				for end := time.Now().Add(patience); !strings.Contains(got, want); {
					if got = fetch(asked); time.Now().After(end) {
						t.Fatalf("at %s: no %q in %q", asked, want, got)
					}
				}
			}
			if !strings.Contains(log.String(), test.says) {
				t.Errorf("the log does not say %q:\n%s", test.says, &log)
			}
		})
	}
}
