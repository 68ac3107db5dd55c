//go:build linux

package main

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
	"pxesrv/pkg/lab/netns"
)

// The units of systemd/, without a systemd that runs: its own tools judge them,
// and the daemon runs as they say in a mount namespace that is made of them.

// unitDir is where the units are.
const unitDir = "../../systemd"

// tools demands programs that make deps installs.
func tools(t *testing.T, names ...string) {
	t.Helper()
	lab.Slow(t)
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("there is no %s here: run 'make deps'", name)
		}
	}
}

// writeFile writes a file and makes its folders.
func writeFile(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, []byte(text), mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// units installs the units into a folder that looks like a machine, with
// drop-ins of the service: name and text.
func units(t *testing.T, dropIns map[string]string) (root string, names []string) {
	t.Helper()
	root = t.TempDir()
	files, err := filepath.Glob(unitDir + "/*.s*e*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if ext := filepath.Ext(f); ext == ".service" || ext == ".socket" {
			names = append(names, filepath.Base(f))
			writeFile(t, filepath.Join(root, "etc/systemd/system", filepath.Base(f)),
				lab.ReadFile(t, f), 0o644)
		}
	}
	targets, err := filepath.Glob("/usr/lib/systemd/system/*.target")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range targets {
		writeFile(t, filepath.Join(root, f), lab.ReadFile(t, f), 0o644)
	}
	for name, text := range dropIns {
		writeFile(t, filepath.Join(root, "etc/systemd/system/pxesrv.service.d", name), text, 0o644)
	}
	writeFile(t, filepath.Join(root, "usr/bin/pxesrv"), "#!/bin/sh\n", 0o755)
	writeFile(t, filepath.Join(root, "bin/kill"), "#!/bin/sh\n", 0o755)
	return root, names
}

// allCredentials is the drop-in of credentials with everything that it shows.
func allCredentials(t *testing.T) string {
	text := lab.ReadFile(t, unitDir+"/credentials.conf")
	used := regexp.MustCompile(`(?m)^#([A-Z])`).ReplaceAllString(text, "$1")
	if strings.Count(used, "\nLoadCredential=") < 2 {
		t.Fatalf("the drop-in shows no credentials:\n%s", text)
	}
	return used
}

func TestUnits_Verify(t *testing.T) {
	t.Parallel()
	tools(t, "systemd-analyze")
	for name, dropIns := range map[string]map[string]string{
		"as they are": nil,
		"sockets":     {"sockets.conf": lab.ReadFile(t, unitDir+"/sockets.conf")},
		"credentials": {"credentials.conf": allCredentials(t)},
		"unused":      {"credentials.conf": lab.ReadFile(t, unitDir+"/credentials.conf")},
	} {
		root, all := units(t, dropIns)
		if len(all) != 4 {
			t.Errorf("the units are %q", all)
		}
		for _, unit := range all {
			out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--root="+root,
				unit).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%s, %s: %v\n%s", name, unit, err, out)
			}
		}
	}
}

// The exposure that systemd-analyze finds: 0 is none, 10 is a service without
// any confinement.
func TestUnits_Exposure(t *testing.T) {
	t.Parallel()
	tools(t, "systemd-analyze")
	figure := regexp.MustCompile(`Overall exposure level for pxesrv.service: ([0-9.]+)`)
	for name, test := range map[string]struct {
		most    float64
		dropIns map[string]string
	}{
		"own ports": {1.5, map[string]string{"credentials.conf": allCredentials(t)}},
		"sockets":   {1.2, map[string]string{"sockets.conf": lab.ReadFile(t, unitDir+"/sockets.conf")}},
	} {
		root, _ := units(t, test.dropIns)
		out := lab.Output(t, exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager",
			"--root="+root, "pxesrv.service"))
		found := figure.FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("%s: no figure in\n%s", name, out)
		}
		exposure, err := strconv.ParseFloat(found[1], 64)
		if err != nil || exposure > test.most {
			t.Errorf("%s: the exposure is %s, and may be %v\n%s", name, found[1], test.most, out)
		}
		t.Logf("%s: exposure %v", name, exposure)
	}
}

// The user and the folders, into an empty machine; and once more, when somebody
// has given the folders other rights.
func TestUnits_UserAndFolders(t *testing.T) {
	t.Parallel()
	tools(t, "systemd-sysusers", "systemd-tmpfiles")
	if os.Getuid() != 0 {
		t.Skip("needs root, which gives folders to others")
	}
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n", 0o644)
	writeFile(t, filepath.Join(root, "etc/group"), "root:x:0:\n", 0o644)
	from, err := filepath.Abs(unitDir)
	if err != nil {
		t.Fatal(err)
	}
	install := func() {
		lab.Output(t, exec.Command("systemd-sysusers", "--root="+root, from+"/pxesrv.sysusers.conf"))
		lab.Output(t, exec.Command("systemd-tmpfiles", "--root="+root, "--create",
			from+"/pxesrv.tmpfiles.conf"))
	}
	install()
	user := regexp.MustCompile(
		`(?m)^pxesrv:x:(\d+):(\d+):[^:]*:/var/lib/pxesrv:/\S*nologin$`).FindStringSubmatch(
		lab.ReadFile(t, filepath.Join(root, "etc/passwd")))
	if user == nil {
		t.Fatalf("no such user:\n%s", lab.ReadFile(t, filepath.Join(root, "etc/passwd")))
	}
	rights := func(name string) string {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		return fmt.Sprintf("%o %d %d", st.Mode&0o7777, st.Uid, st.Gid)
	}
	for name, want := range map[string]string{
		"srv/pxesrv":      "755 0 0",
		"srv/pxesrv/once": "2775 0 " + user[2],
		"var/lib/pxesrv":  "750 " + user[1] + " " + user[2],
		"var/log/pxesrv":  "750 " + user[1] + " " + user[2],
	} {
		if got := rights(name); got != want {
			t.Errorf("%s: mode, owner and group are %s, not %s", name, got, want)
		}
	}
	once := filepath.Join(root, "srv/pxesrv/once")
	if err := os.Chown(once, 0, 4711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(once, 0o770|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	install()
	if got := rights("srv/pxesrv/once"); got != "2770 0 4711" {
		t.Errorf("the rights that an administrator gave are now %s", got)
	}
}

// service is what pxesrv.service says: the values of each setting, in order.
func service(t *testing.T) map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(lab.ReadFile(t, unitDir+"/pxesrv.service")) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok &&
			!strings.HasPrefix(key, "#") {
			all[key] = append(all[key], value)
		}
	}
	return all
}

// filter is what SystemCallFilter= allows and, of all that systemd knows,
// forbids.
func filter(t *testing.T, lines []string) (allowed map[string]bool, forbidden []string) {
	t.Helper()
	list, err := exec.Command("systemd-analyze", "--no-pager", "syscall-filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	sets, set := map[string][]string{}, ""
	for line := range strings.Lines(string(list)) {
		switch word := strings.TrimSpace(line); {
		case word == "" || word[0] == '#':
		case line[0] == '@':
			set = word
		default:
			sets[set] = append(sets[set], word)
		}
	}
	var members func(name string) []string
	members = func(name string) (all []string) {
		if name[0] != '@' {
			return []string{name}
		}
		if sets[name] == nil {
			t.Fatalf("systemd knows no set %s of system calls", name)
		}
		for _, m := range sets[name] {
			all = append(all, members(m)...)
		}
		return all
	}
	allowed = map[string]bool{}
	for _, line := range lines {
		line, takes := strings.CutPrefix(line, "~")
		for _, name := range strings.Fields(line) {
			for _, m := range members(name) {
				allowed[m] = !takes
			}
		}
	}
	for _, m := range members("@known") {
		if !allowed[m] {
			forbidden = append(forbidden, m)
		}
	}
	return allowed, forbidden
}

// A notifySocket is what systemd listens at for news of its services.
type notifySocket struct {
	t    *testing.T
	path string
	mu   sync.Mutex
	said []string

	gone atomic.Bool // the service has ended: there will be no more
}

func listenNotify(t *testing.T, path string) *notifySocket {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	n := &notifySocket{t: t, path: path}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			size, err := conn.Read(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.said = append(n.said, string(buf[:size]))
			n.mu.Unlock()
		}
	}()
	return n
}

// count is how many messages there were so far.
func (n *notifySocket) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.said)
}

// expect waits for a message after the first ones that matches a pattern, and
// returns how many there were up to it.
func (n *notifySocket) expect(first int, pattern string) int {
	n.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(2 * processPatience); ; time.Sleep(5 * time.Millisecond) {
		n.mu.Lock()
		i := slices.IndexFunc(n.said[first:], re.MatchString)
		n.mu.Unlock()
		if i >= 0 {
			return first + i + 1
		}
		if n.gone.Load() || time.Now().After(end) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.t.Fatalf("no message matches %q:\n%q", pattern, n.said)
		}
	}
}

// buildDaemon makes pxesrv as it is installed, where every user may run it: the
// program of the tests is another one, which asks other things of the kernel.
func buildDaemon(t *testing.T) string {
	t.Helper()
	built := filepath.Join(openTemp(t), "pxesrv")
	lab.Build(t, "pxesrv/cmd/pxesrv", built)
	return built
}

// openTemp is a folder that every user may look into; that of a test is for its
// own user.
func openTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pxesrv-systemd")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// confinement makes of the whole machine, in a mount namespace of its own, what
// a service sees under ProtectSystem=strict, ProtectHome=, PrivateTmp=,
// PrivateDevices=, ProtectProc=invisible and ProcSubset=pid, and runs a program
// there as the user of the service, with these capabilities. Nothing is written
// outside: all changes go to memory.
//
// Arguments: an empty folder, one with what is to be installed, what may be
// written, the umask, capabilities as setpriv writes them, and the program.
const confinement = `
at=$1 from=$2 writable=$3 mask=$4 capabilities=$5; shift 5
umask 022
mount -t tmpfs -o mode=755 tmpfs "$at"
mkdir "$at/upper" "$at/work" "$at/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$at/upper,workdir=$at/work" "$at/all"
all=$at/all
rm -rf "$all/srv/pxesrv" "$all/var/lib/pxesrv" "$all/etc/pxesrv"
systemd-sysusers --root="$all" "$from/pxesrv.sysusers.conf"
systemd-tmpfiles --root="$all" --create "$from/pxesrv.tmpfiles.conf"
cp "$from/pxesrv" "$all/usr/bin/pxesrv"
mkdir -p "$all/etc/pxesrv" "$all/run/pxesrv"
cp "$from"/etc/* "$all/etc/pxesrv/"
cp -rP "$from/tree/." "$all/srv/pxesrv/"
mount --bind "$from/out" "$all/var/log/pxesrv"
mount -t proc -o hidepid=invisible,subset=pid proc "$all/proc"
mount -t sysfs -o ro sysfs "$all/sys"
mount -t tmpfs -o mode=755 tmpfs "$all/dev"
for device in null zero full random urandom tty; do : >"$all/dev/$device"; mount --bind "/dev/$device" "$all/dev/$device"; done
for home in home root; do mount -t tmpfs -o ro,mode=000 tmpfs "$all/$home"; done
for temporary in tmp var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$all/$temporary"; done
for folder in $writable; do [ ! -e "$all$folder" ] || mount --bind "$all$folder" "$all$folder"; done
mount -o remount,bind,ro "$all"
cd "$all"
pivot_root . .
umount -l .
cd /
umask "$mask"
exec setpriv --reuid=pxesrv --regid=pxesrv --clear-groups --no-new-privs \
	"--inh-caps=$capabilities" "--ambient-caps=$capabilities" "--bounding-set=$capabilities" "$@"
`

// TestUnits_Confined runs the daemon by the command line of its unit, as its
// user, in such a namespace, with everything at work that it does. strace
// refuses it the system calls that the filter does, and openat2, which
// RestrictSUIDSGID= refuses: nothing that the daemon needs is among them. What
// strace cannot be told is looked up in its record: memory that could be
// written and executed, and families of sockets.
func TestUnits_Confined(t *testing.T) {
	tools(t, "systemd-analyze", "systemd-sysusers", "systemd-tmpfiles", "strace", "setpriv",
		"unshare", "curl")
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces")
	}
	if out, err := exec.Command("unshare", "-m", "sh", "-c",
		"mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/a && "+
			"mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/a").CombinedOutput(); err != nil {
		t.Skipf("this kernel mounts no overlay here: %s", out)
	}
	built := buildDaemon(t)
	t.Run("own ports", func(t *testing.T) {
		net := netns.NewNetwork(t)
		c := confined{t: t, built: built, capabilities: "-all,+net_bind_service",
			inside:   net.Inside(),
			settings: "port: 80\ntftp: [\":69\"]\n", http: "127.0.0.1", tftp: "127.0.0.1"}
		c.run(func(status string) {
			for _, want := range []string{"CapEff:\t0000000000000400\n",
				"CapBnd:\t0000000000000400\n"} {
				if !strings.Contains(status, want) {
					t.Errorf("it is no %q:\n%s", want, status)
				}
			}
			// ProcSubset=pid hides the length of this queue, which Go would
			// look up.
			if queue := strings.Fields(lab.Output(t, net.Command("ss", "-ltnH", "sport = :80"))); len(
				queue) < 3 || queue[2] != "4096" {
				t.Errorf("as many connections may wait: %q", queue)
			}
		})
	})
	t.Run("sockets", func(t *testing.T) {
		stream, http := streamSocket(t)
		datagrams, tftp := datagramSocket(t)
		c := confined{t: t, built: built, capabilities: "-all",
			sockets: []*os.File{stream, datagrams}, http: http, tftp: tftp,
			// PrivateUsers=yes: only this user is known, and all rights that a
			// new namespace gives are gone again.
			first: strings.Fields("unshare --user --map-current-user --keep-caps setpriv " +
				"--inh-caps=-all --ambient-caps=-all --bounding-set=-all"),
			// systemd says the number of the process after it has made it.
			last: []string{"sh", "-c",
				`export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:tftp; exec "$@"`, "sh"},
		}
		c.run(func(status string) {
			for _, want := range []string{"CapEff:\t0000000000000000\n",
				"CapBnd:\t0000000000000000\n"} {
				if !strings.Contains(status, want) {
					t.Errorf("it is no %q:\n%s", want, status)
				}
			}
		})
	})
}

// confined is one way to run the service.
type confined struct {
	t            *testing.T
	built        string
	settings     string
	capabilities string
	sockets      []*os.File
	http, tftp   string   // where it answers
	inside       []string // what runs a command where it can be asked
	first, last  []string // what comes before strace, and before the program
}

// run runs the service, asks it for everything, and has look look at its
// /proc/PID/status meanwhile.
func (c *confined) run(look func(status string)) {
	t := c.t
	t.Helper()
	unit := service(t)
	from, at := t.TempDir(), t.TempDir()
	lab.Output(t, exec.Command("cp", c.built, unitDir+"/pxesrv.sysusers.conf",
		unitDir+"/pxesrv.tmpfiles.conf", from))
	writeFile(t, filepath.Join(from, "etc/pxesrv.yaml"), "root: /srv/pxesrv\n"+c.settings+
		"url: http://10.0.0.1\niso:\n  hosts: /etc/pxesrv/hosts.csv\n  allow-partial: on\n", 0o644)
	writeFile(t, filepath.Join(from, "etc/hosts.csv"),
		"name,mac,address,gateway\nweb1,52:54:00:12:34:56,10.0.0.7/24,10.0.0.1\n", 0o644)
	tree := filepath.Join(from, "tree")
	writeFile(t, filepath.Join(tree, "default"), defaultScript, 0o644)
	writeFile(t, filepath.Join(tree, "install.ipxe"), "#!ipxe\necho install\n", 0o644)
	writeFile(t, filepath.Join(tree, "images/kernel"), strings.Repeat("kernel\n", 100_000), 0o644)
	writeFile(t, filepath.Join(tree, "once/README.md"), "orders\n", 0o644)
	if err := os.Symlink("../install.ipxe", filepath.Join(tree, "once/127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(from, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(out, 0o777); err != nil {
		t.Fatal(err)
	}
	manager := listenNotify(t, filepath.Join(out, "notify"))

	var writable []string
	for _, line := range unit["ReadWritePaths"] {
		writable = append(writable, strings.Fields(strings.ReplaceAll(" "+line, " -", " "))...)
	}
	writable = append(writable, "/var/lib/"+unit["StateDirectory"][0],
		"/run/"+unit["RuntimeDirectory"][0])
	allowed, forbidden := filter(t, unit["SystemCallFilter"])
	refused := ""
	for _, name := range forbidden {
		refused += ",?" + name // "?": strace need not know it
	}
	line := slices.Concat(c.inside, []string{"unshare", "-m", "--propagation", "private", "sh",
		"-eu", "-c", confinement, "sh",
		at, from, strings.Join(writable, " "), unit["UMask"][0], c.capabilities}, c.first,
		[]string{"strace", "-f", "-qq", "-s", "64", "-o", "/var/log/pxesrv/trace",
			"-e", "inject=" + refused[1:] + ":error=EPERM", "-e", "inject=openat2:error=ENOSYS",
			"env", "NOTIFY_SOCKET=/var/log/pxesrv/notify", "WATCHDOG_USEC=1000000"}, c.last,
		strings.Fields(unit["ExecStart"][0]))
	server := exec.Command(line[0], line[1:]...)
	server.Env, server.ExtraFiles = environ(), c.sockets
	var said lockedBuffer
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait(); manager.gone.Store(true) }()
	t.Cleanup(func() {
		server.Process.Kill() // strace's end is that of the daemon
		if t.Failed() {
			t.Logf("it said:\n%s", &said)
		}
	})
	manager.expect(0, `^READY=1\nSTATUS=serving /srv/pxesrv: `)

	get := func(url string) string {
		t.Helper()
		line := append(slices.Clone(c.inside), "curl", "-sS", "--fail", "--max-time", "60", url)
		return lab.Output(t, exec.Command(line[0], line[1:]...))
	}
	for _, ask := range []struct{ url, want string }{
		{"http://" + c.http + "/redirect", "#!ipxe\necho install\n"},
		{"http://" + c.http + "/redirect", defaultScript},
		{"http://" + c.http + "/readyz", "ready\n"},
		{"tftp://" + c.tftp + "/install.ipxe", "#!ipxe\necho install\n"},
	} {
		if got := get(ask.url); got != ask.want {
			t.Errorf("%s: %q", ask.url, got)
		}
	}
	for path, size := range map[string]int{
		"/images/kernel": 700_000, "/metrics": 1000, "/boot.ipxe": 100,
		"/ipxe/undionly.kpxe": 10_000, "/ipxe.efi": 100_000, "/iso/web1.iso": 500_000,
	} {
		if got := get("http://" + c.http + path); len(got) < size {
			t.Errorf("%s: only %d bytes", path, len(got))
		}
	}
	if got := get("tftp://" + c.tftp + "/undionly.kpxe"); len(got) < 10_000 {
		t.Errorf("by TFTP: only %d bytes", len(got))
	}

	children := strings.Fields(lab.ReadFile(t, fmt.Sprintf("/proc/%d/task/%[1]d/children",
		server.Process.Pid)))
	if len(children) != 1 {
		t.Fatalf("the children of strace are %q", children)
	}
	pid, err := strconv.Atoi(children[0])
	if err != nil {
		t.Fatal(err)
	}
	status := lab.ReadFile(t, fmt.Sprintf("/proc/%d/status", pid))
	for _, want := range []string{"Name:\tpxesrv\n", "NoNewPrivs:\t1\n", "Umask:\t" +
		unit["UMask"][0] + "\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("it is no %q:\n%s", want, status)
		}
	}
	look(status)
	inside := fmt.Sprintf("/proc/%d/root", pid)
	// As once/ is. Under RestrictSUIDSGID=, which nothing stands for here, it
	// stays as the umask makes it: 2770.
	if info, err := os.Stat(inside + "/srv/pxesrv/once/.served"); err != nil ||
		info.Mode().Perm() != 0o775 || info.Mode()&fs.ModeSetgid == 0 {
		t.Errorf("the journal: %v, %v", info, err)
	}
	before := manager.count()
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	manager.expect(before, `^RELOADING=1\nMONOTONIC_USEC=\d+$`)
	manager.expect(manager.expect(before, `^READY=1\n`), `^WATCHDOG=1`)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	manager.expect(before, `^STOPPING=1\nSTATUS=stopping`)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with: %v", err)
		}
	case <-time.After(processPatience):
		t.Fatal("it does not end")
	}

	call := regexp.MustCompile(`^\d+\s+([a-z_0-9]+)\((.*)`)
	used := map[string]int{}
	for line := range strings.Lines(lab.ReadFile(t, filepath.Join(out, "trace"))) {
		found := call.FindStringSubmatch(strings.TrimSpace(line))
		if found == nil {
			continue
		}
		name, rest := found[1], found[2]
		used[name]++
		if !allowed[name] {
			t.Errorf("SystemCallFilter= forbids %s", line)
		}
		if strings.Contains(rest, "PROT_WRITE") && strings.Contains(rest, "PROT_EXEC") {
			t.Errorf("MemoryDenyWriteExecute= forbids %s", line)
		}
		if family := strings.SplitN(rest, ",", 2)[0]; name == "socket" &&
			!slices.Contains(strings.Fields(unit["RestrictAddressFamilies"][0]), family) {
			t.Errorf("RestrictAddressFamilies= forbids %s", line)
		}
	}
	for _, name := range []string{"openat2", "sendfile", "renameat", "symlinkat", "accept4",
		"recvmsg"} {
		if used[name] == 0 {
			t.Errorf("the daemon has not used %s, so this was no busy daemon: %q", name,
				slices.Sorted(maps.Keys(used)))
		}
	}
	t.Logf("%d kinds of system calls, none of %d that are forbidden", len(used), len(forbidden))
}

// TestOnce_Sticky: the daemon's own links could be moved in a folder with the
// sticky bit, and those of the people who place orders could not. It says so
// when it starts, unless the folder is its own. A folder that its group may not
// write is said as well.
func TestOnce_Sticky(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, which starts the daemon as somebody else")
	}
	const daemon = 61234
	built := buildDaemon(t)
	for _, test := range []struct {
		owner, group int
		mode         fs.FileMode
		want, not    string
	}{
		{0, daemon, 0o775 | fs.ModeSetgid | fs.ModeSticky, "orders that others placed cannot be " +
			"granted, the sticky bit of ONCE forbids the daemon to take them away: chmod -t ONCE",
			""},
		{daemon, daemon, 0o775 | fs.ModeSticky, "", "cannot be granted"},
		{0, daemon, 0o775 | fs.ModeSetgid, "", "cannot be granted"},
		{0, 0, 0o775, "permission denied; it has to belong to a group of the daemon that may " +
			"write there: chgrp GROUP ONCE && chmod 2775 ONCE", ""},
	} {
		root := openTemp(t)
		once := filepath.Join(root, "once")
		writeFile(t, filepath.Join(root, "default"), defaultScript, 0o644)
		err := os.Mkdir(once, 0o755)
		if err == nil {
			err = os.Chown(once, test.owner, test.group)
		}
		if err == nil {
			err = os.Chmod(once, test.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		addr, port := freeAddr(t)
		cmd := exec.Command(built, "serve", "--root", root, "--state", "/nonexistent", "-o",
			"127.0.0.1", "-p", port)
		cmd.Env, cmd.SysProcAttr = environ(),
			&syscall.SysProcAttr{Credential: &syscall.Credential{Uid: daemon, Gid: daemon}}
		var said lockedBuffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		var got string
		for end := time.Now().Add(processPatience); got != defaultScript &&
			time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			got, _ = fresh("http://" + addr + "/redirect")
		}
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v", err)
		}
		want, log := strings.ReplaceAll(test.want, "ONCE", once), said.String()
		if !strings.Contains(log, want) || test.not != "" && strings.Contains(log, test.not) {
			t.Errorf("%v of %d:%d: not %q, or %q:\n%s", test.mode, test.owner, test.group, want,
				test.not, log)
		}
	}
}

// activated starts pxesrv as systemd does, with open sockets that have names.
// env comes on top, and may name another process.
func activated(t *testing.T, sockets []*os.File, names string, env []string,
	args ...string) (*exec.Cmd, *lockedBuffer) {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `export LISTEN_PID=${FOR:-$$}; exec "$@"`, "sh",
		"pxesrv"}, args...)...)
	cmd.Env = environ(append([]string{fmt.Sprintf("LISTEN_FDS=%d", len(sockets)),
		"LISTEN_FDNAMES=" + names}, env...)...)
	cmd.ExtraFiles = sockets
	var said lockedBuffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		if t.Failed() {
			t.Logf("pxesrv said:\n%s", &said)
		}
	})
	return cmd, &said
}

// socketFile is the descriptor of a socket that this process opens and keeps.
func socketFile(t *testing.T, s interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func streamSocket(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return socketFile(t, l.(*net.TCPListener)), l.Addr().String()
}

func datagramSocket(t *testing.T) (*os.File, string) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return socketFile(t, c.(*net.UDPConn)), c.LocalAddr().String()
}

// ask asks by a connection of its own.
func fresh(url string) (string, error) {
	client := http.Client{Timeout: 2 * processPatience,
		Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %q", resp.Status, body)
	}
	return string(body), err
}

// TestActivation_Restart restarts the daemon under load, over and over, as
// systemctl restart does: the sockets stay. Whoever connects is answered, by
// one daemon or the next; nobody is refused, reset, or answered in part.
func TestActivation_Restart(t *testing.T) {
	lab.Slow(t)
	const restarts, clients = 12, 8
	file := strings.Repeat("a line of a file\n", 40_000)
	root := bootTree(t, map[string]string{"default": defaultScript, "file": file})
	stream, addr := streamSocket(t)
	datagrams, tftp := datagramSocket(t)
	var answers atomic.Int64
	var stop atomic.Bool
	var group sync.WaitGroup
	failed := make(chan error, clients)
	for i := range clients {
		path, want := "/redirect", defaultScript
		if i == 0 {
			path, want = "/file", file
		}
		group.Go(func() {
			for !stop.Load() {
				got, err := fresh("http://" + addr + path)
				if err == nil && got != want {
					err = fmt.Errorf("%s: %d bytes, not %d: %.60q", path, len(got), len(want), got)
				}
				if err != nil {
					failed <- err
					return
				}
				answers.Add(1)
			}
		})
	}
	for n := range restarts {
		cmd, said := activated(t, []*os.File{stream, datagrams}, "http:tftp", nil, "serve",
			"--root", root, "--state", t.TempDir(), "--log", "/dev/null")
		before := answers.Load()
		for end := time.Now().Add(processPatience); answers.Load() < before+200 &&
			len(failed) == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("start %d: only %d answers", n, answers.Load()-before)
			}
		}
		if n == restarts-1 {
			if out, err := exec.Command("curl", "-sS", "--max-time", "30", "tftp://"+tftp+
				"/default").CombinedOutput(); err != nil || string(out) != defaultScript {
				t.Errorf("by TFTP: %v %q", err, out)
			}
			stop.Store(true)
			group.Wait()
		}
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("end %d: %v\n%s", n, err, said)
		}
	}
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	t.Logf("%d answers over %d restarts", answers.Load(), restarts)
}

// TestActivation_Story is a service of Type=notify behind a socket, by
// systemd's own program for trying one.
func TestActivation_Story(t *testing.T) {
	t.Parallel()
	tools(t, "systemd-socket-activate")
	manager := listenNotify(t, filepath.Join(t.TempDir(), "notify"))
	root := bootTree(t, map[string]string{"default": defaultScript, "once/README.md": "orders"})
	settings := filepath.Join(t.TempDir(), "pxesrv.yaml")
	// a port that nobody here may open: it is not opened
	writeFile(t, settings, "root: "+root+"\nport: 1\n", 0o644)
	addr, _ := freeAddr(t)
	cmd := exec.Command("systemd-socket-activate", "--listen="+addr, "--fdname=http", "-E",
		"NOTIFY_SOCKET="+manager.path, "-E", "WATCHDOG_USEC=600000",
		"-E", "PATH", "pxesrv", "serve", "--config", settings, "--state", t.TempDir())
	cmd.Env = environ()
	var said lockedBuffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); manager.gone.Store(true) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		if t.Failed() {
			t.Logf("it said:\n%s", &said)
		}
	})
	says := func(what string) {
		t.Helper()
		for end := time.Now().Add(processPatience); !strings.Contains(said.String(),
			what); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it does not say %q", what)
			}
		}
	}
	says("Listening on")
	// The first connection starts the daemon, and is its first.
	if got, err := fresh("http://" + addr + "/redirect"); err != nil || got != defaultScript {
		t.Fatalf("%v %q", err, got)
	}
	says(`msg="systemd has opened the addresses of HTTP; those of the configuration are not used" addresses=[` + addr + `]`)
	quoted := regexp.QuoteMeta(root)
	n := manager.expect(0, `^READY=1\nSTATUS=serving `+quoted+`: \d answers, 0 orders wait$`)
	n = max(n, manager.expect(0, `^(READY|WATCHDOG)=1\nSTATUS=serving `+quoted+
		`: 1 answers, 0 orders wait$`))
	n = manager.expect(n, `^WATCHDOG=1$`)

	reload := func() {
		n = manager.count()
		cmd.Process.Signal(syscall.SIGHUP)
		n = manager.expect(n, `^RELOADING=1\nMONOTONIC_USEC=[1-9]\d*$`)
	}
	reload()
	n = manager.expect(n, `^READY=1\nSTATUS=serving `+quoted+`: 1 answers, 0 orders wait$`)
	says("msg=reloaded")
	writeFile(t, settings, "rood: "+root+"\n", 0o644)
	reload()
	n = manager.expect(n,
		`^READY=1\nSTATUS=serving .*; the configuration was not reloaded, the old one stays: .*rood.*$`)
	if got, err := fresh("http://" + addr + "/redirect"); err != nil || got != defaultScript {
		t.Errorf("after a reload that failed: %v %q", err, got)
	}
	writeFile(t, settings, "root: "+root+"\nport: 1\n", 0o644)
	reload()
	n = manager.expect(n, `^READY=1\nSTATUS=serving `+quoted+`: 2 answers, 0 orders wait$`)
	if strings.Contains(said.String(), "waits until the daemon is started again") {
		t.Error("it says that the address has changed")
	}

	cmd.Process.Signal(syscall.SIGTERM)
	manager.expect(n, `^STOPPING=1\nSTATUS=stopping: .*\nEXTEND_TIMEOUT_USEC=[1-9]\d{7}$`)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with: %v", err)
		}
	case <-time.After(processPatience):
		t.Error("it does not end")
	}
}

// A Unix socket that systemd opened is trusted, as one that the daemon opens;
// its file stays when the daemon ends.
func TestActivation_UnixSocket(t *testing.T) {
	t.Parallel()
	lab.Needs(t, "curl")
	root := bootTree(t, map[string]string{"default": defaultScript,
		"static/10.1.2.3": "#!ipxe\necho static\n"})
	name := filepath.Join(t.TempDir(), "http.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	f := socketFile(t, l)
	l.Close()
	for range 2 {
		cmd, said := activated(t, []*os.File{f}, "http", nil, "serve", "--root", root, "--state",
			t.TempDir())
		out, err := exec.Command("curl", "-sS", "--max-time", "60", "--unix-socket", name, "-H",
			"X-Forwarded-For: 10.1.2.3", "http://x/redirect").CombinedOutput()
		if err != nil || string(out) != "#!ipxe\necho static\n" {
			t.Errorf("%v %q", err, out)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, said)
		}
	}
}

// What cannot be used is said in words of the unit that is to be changed, and
// nothing is served half.
func TestActivation_Refused(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript})
	stream, addr := streamSocket(t)
	datagrams, _ := datagramSocket(t)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	connection := socketFile(t, conn.(*net.TCPConn))
	file, err := os.Open(filepath.Join(root, "default"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, test := range []struct {
		file *os.File
		name string
		want string
	}{
		{stream, "web",
			`the socket "web" (descriptor 3) that systemd passed cannot be used: its name says nothing here; write FileDescriptorName=http, https or tftp into its socket unit`},
		{stream, "", `the socket "LISTEN_FD_3" (descriptor 3) that systemd passed cannot be used: its name says nothing here; write FileDescriptorName=`},
		{datagrams, "http", "HTTP needs a stream socket, and this is udp; write ListenStream= " +
			"into its socket unit"},
		{stream, "tftp", "TFTP needs a datagram socket, and this is tcp; write ListenDatagram= " +
			"into its socket unit"},
		{connection, "http",
			"it is one connection and takes none; write Accept=no into its socket unit"},
		{file, "http", "it is no socket of a kind that is known here"},
		{stream, "https", "systemd passed a socket for HTTPS, and no certificate is configured; " +
			"systemctl disable --now pxesrv-https.socket takes it away"},
	} {
		cmd, said := activated(t, []*os.File{test.file}, test.name, nil, "serve", "--root", root,
			"--state", t.TempDir())
		err := cmd.Wait()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), test.want) {
			t.Errorf("%s: %v, and not %q:\n%s", test.name, err, test.want, said)
		}
	}
}

// Sockets for another process are left alone, and the daemon listens where it
// is told to.
func TestActivation_OtherProcess(t *testing.T) {
	t.Parallel()
	root := bootTree(t, map[string]string{"default": defaultScript})
	stream, _ := streamSocket(t)
	addr, port := freeAddr(t)
	cmd, said := activated(t, []*os.File{stream}, "http", []string{"FOR=1"}, "serve", "--root",
		root, "--state", t.TempDir(), "-o", "127.0.0.1", "-p", port)
	var got string
	var err error
	for end := time.Now().Add(processPatience); got != defaultScript &&
		time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		got, err = fresh("http://" + addr + "/redirect")
	}
	if got != defaultScript {
		t.Errorf("%v %q", err, got)
	}
	want := fmt.Sprintf(
		`msg="the sockets of systemd are for another process and not used: a script between systemd and pxesrv has to start it with exec" LISTEN_PID=1 pid=%d`, cmd.Process.Pid)
	if !strings.Contains(said.String(), want) {
		t.Errorf("not said: %s", want)
	}
}

// TestWatchdog_DiskHangs: a daemon whose disk hangs lives, and says what is the
// matter. One that starts on such a disk is ready after a while, since it would
// only be started again.
func TestWatchdog_DiskHangs(t *testing.T) {
	t.Parallel()
	faults := faultfs.Mount(t,
		bootTree(t, map[string]string{"default": defaultScript, "once/README.md": "orders"}))
	faults.Set(faultfs.Hang(0))
	manager := listenNotify(t, filepath.Join(t.TempDir(), "notify"))
	addr, port := freeAddr(t)
	d := runDaemon(t, addr, "", []string{"NOTIFY_SOCKET=" + manager.path, "WATCHDOG_USEC=900000"},
		"--root", faults.Dir, "--state", t.TempDir(), "-o", "127.0.0.1", "-p", port)
	t.Cleanup(func() { faults.Set() }) // before the daemon is killed, which waits for its disk
	n := manager.expect(0, `^READY=1\nSTATUS=not ready: the tree was not looked at yet; serving `)
	faults.Set()
	n = manager.expect(n, `^WATCHDOG=1\nSTATUS=serving `)
	faults.Set(faultfs.Hang(0))
	n = manager.expect(n,
		`^WATCHDOG=1\nSTATUS=not ready: the disk hangs: the last look at the tree ended \d+s ago; serving `)
	for range 5 {
		n = manager.expect(n, `^WATCHDOG=1`)
	}
	faults.Set()
	manager.expect(n, `^WATCHDOG=1\nSTATUS=serving `)
	d.cmd.Process.Signal(syscall.SIGTERM)
	d.ends(processPatience)
}
