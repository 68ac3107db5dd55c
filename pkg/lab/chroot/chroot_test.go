//go:build linux

package chroot_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/lab/chroot"
	"pxesrv/pkg/lab/netns"
)

// patience is for one step on a loaded computer.
const patience = 3 * time.Minute

// TestRoot runs programs in a root folder: as another user, in a network of its
// own, with a volume, then read-only. What is changed in it is not in another
// one, and nothing of it is seen outside.
func TestRoot(t *testing.T) {
	for _, system := range []string{chroot.Debian12, chroot.Debian13} {
		t.Run(system, func(t *testing.T) {
			r := chroot.New(t, system)
			if version := r.Read("/etc/debian_version"); !strings.HasPrefix(version,
				system[len("debian-"):]+".") {
				t.Errorf("debian_version is %q", version)
			}
			if out := r.Run("sh", "-c", "id -u; pwd; cat /proc/1/comm"); out != "0\n/\nsh\n" {
				t.Errorf("root sees %q", out)
			}
			r.Run("useradd", "--system", "guest")
			id := r.As("guest").Run("sh", "-c",
				"id -un; grep -E 'Cap(Eff|Prm|Bnd)|NoNewPrivs' /proc/self/status")
			const none = "0000000000000000"
			if want := "guest\nCapPrm:\t" + none + "\nCapEff:\t" + none + "\nCapBnd:\t" + none +
				"\nNoNewPrivs:\t1\n"; id != want {
				t.Errorf("a user is %q, want %q", id, want)
			}
			if out := r.As("4567:4568").With("A=b c").Run("sh", "-c",
				`id -u; id -G; echo "$A"; echo x >/dev/null; echo y | cat /dev/stdin`); out != "4567\n4568\nb c\ny\n" {
				t.Errorf("a numbered user with a variable sees %q", out)
			}
			if out, err := r.Try("sh", "-c", "echo no; exit 3"); err == nil ||
				err.Error() != "exit status 3" || out != "no\n" {
				t.Errorf("exit 3 is %v, %q", err, out)
			}
			if out, err := r.Within(time.Second).Try("sh", "-c",
				"trap '' TERM; sleep 1000"); err == nil || err.Error() != "not done after 1s" {
				t.Errorf("what takes too long ends with %v: %s", err, out)
			}

			n := netns.NewNetwork(t)
			if out := r.In(&n.Namespace).Run("cat", "/proc/self/net/dev"); !strings.Contains(out,
				"br0") {
				t.Errorf("in the network there is no br0:\n%s", out)
			}
			if out := r.Run("cat", "/proc/self/net/dev"); strings.Contains(out, "br0") {
				t.Error("the network is not the test's own")
			}

			volume := t.TempDir()
			r.Mount(volume, "/srv/some/volume", "rw")
			r.Mount("/etc/passwd", "/srv/passwd", "ro")
			r.ReadOnly()
			r.Run("sh", "-c", "echo in >/srv/some/volume/file; touch /tmp/a /run/b")
			if text, err := os.ReadFile(filepath.Join(volume, "file")); string(text) != "in\n" {
				t.Errorf("the volume has %q, %v", text, err)
			}
			for _, at := range []string{"/etc/passwd", "/srv/passwd", "/new"} {
				if out, err := r.Try("sh", "-c", "echo >>"+at); err == nil ||
					!strings.Contains(out, "Read-only file system") {
					t.Errorf("writing to %s ends with %v: %s", at, err, out)
				}
			}

			s := r.Start("sh", "-c", "trap 'echo again' HUP; trap 'echo stopping; exit 7' TERM; "+
				"echo up; while :; do sleep 0.1; done")
			s.Expect("up", patience)
			s.Signal(syscall.SIGHUP)
			s.Expect("again", patience)
			if ended := s.Stop(); ended != "exit status 7" ||
				!strings.Contains(s.Output(), "stopping") {
				t.Errorf("the server ended with %s and said %q", ended, s.Output())
			}

			if other := chroot.New(t, system).Run("cat", "/etc/passwd"); strings.Contains(other,
				"guest") {
				t.Error("one root folder's user is in another")
			}
			if outside := mounts(t); strings.Contains(outside, filepath.Dir(volume)) {
				t.Errorf("outside there are mounts of the test:\n%s", outside)
			}
		})
	}
}

// TestRootLeaves ends a root folder in which somebody has left a process
// behind.
func TestRootLeaves(t *testing.T) {
	var file string
	t.Run("leaves", func(t *testing.T) {
		r := chroot.New(t, chroot.Debian12)
		r.Run("sh", "-c", "(sh -c 'true &') & sleep 0.3")
		if out := r.Run("sh", "-c",
			"for p in /proc/[0-9]*; do sed -n 's/^State://p' $p/status; done"); strings.Contains(
			out, "Z") {
			t.Errorf("the ended are not adopted:%s", out)
		}
		r.Run("sh", "-c", "setsid sleep 4242424 >/dev/null 2>&1 </dev/null &")
		file = r.Path("/etc/passwd")
		if !running("4242424") {
			t.Error("nobody was left behind, so this test proves nothing")
		}
	})
	if _, err := os.Stat(file); err == nil {
		t.Errorf("%s is still there", file)
	}
	if running("4242424") {
		t.Error("the process left behind still runs")
	}
}

// running says whether any process has this argument.
func running(argument string) bool {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		if line, err := os.ReadFile(file); err == nil &&
			strings.Contains(string(line), "\x00"+argument+"\x00") {
			return true
		}
	}
	return false
}

func mounts(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
