//go:build linux

// Package chroot makes root folders of small Debians for the tests.
package chroot

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/internal/process"
	"pxesrv/pkg/lab/netns"
)

// The systems that make deps keeps root folders of: Debian's essential
// packages, apt, and what deps.sh names.
const (
	Debian12 = "debian-12"
	Debian13 = "debian-13"
)

// Root is the root folder of a small Debian for one test, in which programs run
// as on a computer of their own: with its own users, packages, /proc, /dev,
// /run and /tmp, and no process but theirs. The test may change it as it likes;
// the folder that make deps made stays as it is.
//
// Mounts and processes are in namespaces that belong to a process of this test.
// They go away with the test, however that ends, and outside nothing of them is
// ever seen.
type Root struct {
	*root
	user    string
	env     []string
	network *netns.Namespace
	limit   time.Duration
}

type root struct {
	t      testing.TB
	holder *process.Process
	outer  string // where it is mounted, for who enters the mount namespace but not the root
}

// holdRoot mounts the root folder and stays in it as the first process of its
// namespaces: it adopts what others leave behind. Changes lie in memory, so it
// does not matter what kind of file system the cache and /tmp are on.
const holdRoot = `set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 changes "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" root "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t tmpfs -o mode=755 dev dev
for d in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
	n=${d%%:*} r=${d#*:}
	mknod -m 666 "dev/$n" c "${r%:*}" "${r#*:}"
done
ln -s /proc/self/fd dev/fd; ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mkdir -m 755 dev/pts; mkdir -m 1777 dev/shm
mount -t devpts -o newinstance,ptmxmode=666 pts dev/pts; ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
exec chroot . /bin/sh -c 'sleep infinity & echo ready; exec >&-; while kill -0 $!; do wait; done'`

// New makes a root folder of Debian12 or Debian13 for the test. It needs root;
// without, the test is skipped. apt-get works in it as it does on this
// computer: from the same mirror, through the same proxy.
func New(t testing.TB, system string) Root {
	t.Helper()
	lab.Slow(t)
	if os.Getuid() != 0 {
		t.Skip("needs root, for a root folder of its own")
	}
	base := filepath.Join(lab.Cached(t, system), "root")
	if _, err := os.Stat(filepath.Join(base, "bin/sh")); err != nil {
		t.Fatalf("lab: there is no root folder of %s: %v; run 'make deps'", system, err)
	}
	work := t.TempDir()
	cmd := exec.Command("sh", "-c", holdRoot, "sh", base, work)
	cmd.SysProcAttr =
		&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatalf("lab: no mount namespace: %v", err)
	}
	t.Cleanup(p.Kill)
	if line, _ := bufio.NewReader(said).ReadString('\n'); line != "ready\n" {
		p.Kill()
		t.Fatalf("lab: the root folder of %s cannot be mounted: %s", system, wrong.Bytes())
	}
	r := Root{root: &root{t, p, filepath.Join(work, "root")}, limit: 10 * time.Minute}
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if text, err := os.ReadFile(name); err == nil {
			r.Write(name, string(text), 0o644)
		}
	}
	// What apt is told here about proxies and clocks holds for the same mirror
	// there.
	if conf, err := exec.Command("apt-config", "dump").Output(); err == nil {
		var same strings.Builder
		for line := range strings.Lines(string(conf)) {
			for _, key := range []string{"Acquire::http", "Acquire::Check-", "Acquire::Retries"} {
				if strings.HasPrefix(line, key) {
					same.WriteString(line)
				}
			}
		}
		r.Write("/etc/apt/apt.conf.d/90as-outside", same.String(), 0o644)
	}
	return r
}

// As is the root folder for programs that run as this user, "name" or
// "uid:gid", with no capabilities and no way to get any. The default is root.
func (r Root) As(user string) Root { r.user = user; return r }

// With is the root folder for programs with these variables, NAME=value, beside
// PATH and HOME. Nothing of the test's own environment comes in.
func (r Root) With(env ...string) Root {
	r.env = append(append([]string{}, r.env...), env...)
	return r
}

// In is the root folder for programs that run in this network. The default is
// this computer's.
func (r Root) In(n *netns.Namespace) Root { r.network = n; return r }

// Within is the root folder for programs that Run or Try ends after d. The
// default is ten minutes.
func (r Root) Within(d time.Duration) Root { r.limit = d; return r }

// Path is the name that a file of the root folder has for the test. Absolute
// symbolic links on the way lead outside.
func (r Root) Path(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", r.holder.Cmd.Process.Pid), name)
}

// Read returns a file of the root folder.
func (r Root) Read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.Path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// Write writes a file of the root folder, and makes the folders above it.
func (r Root) Write(name, text string, mode os.FileMode) {
	r.t.Helper()
	at := r.Path(name)
	err := os.MkdirAll(filepath.Dir(at), 0o755)
	if err == nil {
		err = os.WriteFile(at, []byte(text), mode)
	}
	if err == nil {
		err = os.Chmod(at, mode)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// Mount shows a folder or file of this computer at a place in the root folder,
// as a volume. Options are those of mount, as "ro" or "rw".
func (r Root) Mount(outside, inside, options string) {
	r.t.Helper()
	place := `mkdir -p "$2"`
	if info, err := os.Stat(outside); err == nil && !info.IsDir() {
		place = `mkdir -p "${2%/*}"; touch "$2"`
	}
	r.arrange(place+`; mount --bind "$1" "$2"; mount -o "remount,bind,$3" "$2"`, outside,
		filepath.Join(r.outer, inside), options)
}

// ReadOnly lets nobody write to the root folder any more, except to what is
// mounted in it: /run, /tmp, /dev and volumes.
func (r Root) ReadOnly() {
	r.t.Helper()
	r.arrange(`mount -o remount,ro "$1"`, r.outer)
}

// arrange runs a shell script that sees this computer's files and the mounts of
// the root folder.
func (r Root) arrange(script string, args ...string) {
	r.t.Helper()
	line := append([]string{fmt.Sprintf("--mount=/proc/%d/ns/mnt", r.holder.Cmd.Process.Pid), "--",
		"sh", "-ec", script, "sh"}, args...)
	if out, err := exec.Command("nsenter", line...).CombinedOutput(); err != nil {
		r.t.Fatalf("lab: %s %q: %v: %s", script, args, err, bytes.TrimSpace(out))
	}
}

// command is the command line, outside, of a program that runs inside.
func (r Root) command(name string, args []string) []string {
	inside := fmt.Sprintf("/proc/%d/root", r.holder.Cmd.Process.Pid)
	line := []string{"nsenter", fmt.Sprintf("--target=%d", r.holder.Cmd.Process.Pid), "--mount",
		"--pid", "--ipc"}
	if r.network != nil {
		line = append(line, r.network.Inside()[1])
	}
	line = append(line, "--root="+inside, "--wd="+inside, "--", "/usr/bin/env", "-i",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/",
		"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	line = append(line, r.env...)
	if r.user != "" {
		line = append(line, "setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
		if uid, gid, numbers := strings.Cut(r.user, ":"); numbers {
			line = append(line, "--reuid="+uid, "--regid="+gid, "--clear-groups")
		} else {
			line = append(line, "--reuid="+uid, "--regid="+uid, "--init-groups")
		}
	}
	return append(append(line, name), args...)
}

// Try runs a program inside to its end and returns what it printed on both
// streams.
func (r Root) Try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.limit)
	defer cancel()
	line := r.command(name, args)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("not done after %v", r.limit)
	}
	return string(out), err
}

// Run is Try for what must succeed.
func (r Root) Run(name string, args ...string) string {
	r.t.Helper()
	out, err := r.Try(name, args...)
	if err != nil {
		r.t.Fatalf("lab: %s: %v\n%s", strings.Join(append([]string{name}, args...), " "), err, out)
	}
	return out
}

// From runs a program of this computer to its end, on the root folder, and
// returns what it printed: an argument "{}" is the name that the root folder
// has for it, as in From("rpm", "--root", "{}", ...). It must succeed.
func (r Root) From(name string, args ...string) string {
	r.t.Helper()
	line := []string{fmt.Sprintf("--mount=/proc/%d/ns/mnt", r.holder.Cmd.Process.Pid), "--", name}
	for _, a := range args {
		if a == "{}" {
			a = r.outer
		}
		line = append(line, a)
	}
	out, err := exec.Command("nsenter", line...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("lab: %s: %v\n%s", strings.Join(line[2:], " "), err, out)
	}
	return string(out)
}

// Start starts a program inside that runs until the test ends. It must stay in
// the foreground. A failed test shows what it printed.
func (r Root) Start(name string, args ...string) *netns.Server {
	r.t.Helper()
	line := r.command(name, args)
	s := netns.Serve(r.t, name, exec.Command(line[0], line[1:]...))
	s.Forks = true
	return s
}
