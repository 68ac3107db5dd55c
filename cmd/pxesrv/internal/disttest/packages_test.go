//go:build linux

package disttest

import (
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/chroot"
	"pxesrv/pkg/lab/netns"
	"pxesrv/pkg/lab/qemu"
	"pxesrv/pkg/lab/servers"
)

// oldVersion is what the packages are upgraded from: the same source with
// another configuration file.
const oldVersion = "0.0.1"

// buildPackage runs make deb or make rpm, with more for make, in a copy of the
// repository, and returns the package. An old one has oldVersion.
func buildPackage(t *testing.T, kind string, old bool, more ...string) string {
	t.Helper()
	lab.Slow(t)
	dir := filepath.Join(t.TempDir(), "source")
	if err := copyRepository(repository, dir); err != nil {
		t.Fatal(err)
	}
	edit := func(name, pattern, with string) {
		t.Helper()
		name = filepath.Join(dir, name)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		now := regexp.MustCompile(pattern).ReplaceAllString(string(text), with)
		if now == string(text) {
			t.Fatalf("%s has no %s", name, pattern)
		}
		if err := os.WriteFile(name, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if old {
		edit("debian/changelog", `^pxesrv \([^)]*\)`, "pxesrv ("+oldVersion+")")
		edit("debian/pxesrv.yaml", `^# pxesrv on this machine`, "# the old pxesrv on this machine")
	}
	cmd := exec.Command("make", append([]string{kind}, more...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v (run 'make deps')\n%s", kind, err, out)
	}
	made, _ := filepath.Glob(filepath.Join(dir, "dist", "*."+kind))
	if len(made) != 1 {
		t.Fatalf("make %s made %q in dist/", kind, made)
	}
	return made[0]
}

// outside runs a program of this computer and returns what it prints.
func outside(t *testing.T, name string, args ...string) string {
	t.Helper()
	return lab.Output(t, exec.Command(name, args...))
}

// A computer is a small Debian in a network of its own, on which packages are
// tried. Nothing leads out of that network.
type computer struct {
	chroot.Root
	t       *testing.T
	network *netns.Network
}

func newComputer(t *testing.T, system string) *computer {
	t.Helper()
	n := netns.NewNetwork(t)
	return &computer{chroot.New(t, system).In(&n.Namespace), t, n}
}

// bring copies a file of the test to /tmp/NAME.
func (c *computer) bring(file, name string) {
	c.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	c.Write("/tmp/"+name, string(data), 0o644)
}

// has fails the test when a file is not there, and hasNot when it is; names may
// be patterns.
func (c *computer) has(names ...string) {
	c.t.Helper()
	for _, name := range names {
		if at, _ := filepath.Glob(c.Path(name)); len(at) == 0 {
			c.t.Errorf("there is no %s", name)
		}
	}
}

func (c *computer) hasNot(names ...string) {
	c.t.Helper()
	for _, name := range names {
		if at, _ := filepath.Glob(c.Path(name)); len(at) > 0 {
			c.t.Errorf("%s is there", name)
		}
	}
}

// picture is all that can be seen of a folder: names, rights, owners, links and
// contents.
func (c *computer) picture(dir string) string {
	c.t.Helper()
	var all strings.Builder
	top := c.Path(dir)
	err := filepath.WalkDir(top, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := ""
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			what = fmt.Sprintf("%x", sha256.Sum256(text))
		case info.Mode().Type() == fs.ModeSymlink:
			if what, err = os.Readlink(at); err != nil {
				return err
			}
		}
		owner := info.Sys().(*syscall.Stat_t)
		fmt.Fprintln(&all, strings.TrimPrefix(at, top), info.Mode(), owner.Uid, owner.Gid, what)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all.String()
}

// rights compares who may do what with some files: lines of mode, owner, group
// and name, as ls shows them.
func (c *computer) rights(want string) {
	c.t.Helper()
	want = strings.TrimLeft(want, "\n")
	args := []string{"-c", "%A %U %G %n"}
	for line := range strings.Lines(want) {
		args = append(args, strings.Fields(line)[3])
	}
	if got := c.Run("stat", args...); got != want {
		c.t.Errorf("rights are\n%swant\n%s", got, want)
	}
}

// unitLine is a line of an installed unit.
func (c *computer) unitLine(key string) string {
	c.t.Helper()
	line := regexp.MustCompile(`(?m)^` + key +
		`=(.+)$`).FindStringSubmatch(c.Read("/usr/lib/systemd/system/pxesrv.service"))
	if line == nil {
		c.t.Fatalf("pxesrv.service has no %s=", key)
	}
	return line[1]
}

// serve starts the daemon as systemd would: the unit's command line, as its
// user and with its umask.
func (c *computer) serve() *netns.Server {
	c.t.Helper()
	line := append([]string{"-c", "umask " + c.unitLine("UMask") + `; exec "$@"`, "sh"},
		strings.Fields(c.unitLine("ExecStart"))...)
	d := c.As(c.unitLine("User")).Start("sh", line...)
	c.t.Cleanup(func() { d.Stop() })
	return d
}

// get asks the daemon, from the network.
func (c *computer) get(path string) string {
	c.t.Helper()
	out, err := c.network.Command("curl", "-sS", "--retry-connrefused", "--retry", "60",
		"--retry-delay", "1", daemonURL+path).Output()
	if err != nil {
		c.t.Fatalf("curl %s: %v", path, err)
	}
	return string(out)
}

// systemctl puts one into the computer that only writes down what it is asked
// to do, and says that systemd runs and that everything is enabled. It returns
// what was asked since the last call.
func (c *computer) systemctl() (asked func() string) {
	c.t.Helper()
	c.Write("/usr/bin/systemctl", `#!/bin/sh
case "$*" in
*is-enabled*) echo enabled ;;
*is-active*) ;;
*) echo "$*" >>/tmp/systemctl.log ;;
esac
`, 0o755)
	c.Run("mkdir", "-p", "/run/systemd/system")
	return func() string {
		return c.Run("sh", "-c",
			"touch /tmp/systemctl.log; cat /tmp/systemctl.log; rm /tmp/systemctl.log")
	}
}

// rightsOfInstalled is what is there after an installation.
const rightsOfInstalled = `
-rwxr-xr-x root root /usr/bin/pxesrv
-rw-r--r-- root root /etc/pxesrv/pxesrv.yaml
-rw-r--r-- root root /etc/logrotate.d/pxesrv
drwxr-xr-x root root /srv/pxesrv
-rw-r--r-- root root /srv/pxesrv/default
drwxrwsr-x root pxesrv /srv/pxesrv/once
-rw-r--r-- root pxesrv /srv/pxesrv/once/.gitignore
drwxr-xr-x root root /srv/pxesrv/static
drwxr-x--- pxesrv pxesrv /var/lib/pxesrv
drwxr-x--- pxesrv pxesrv /var/log/pxesrv
`

// The machine that gets an order, and the daemon as it sees it.
const (
	machineMAC = "52:54:00:ab:cd:01"
	daemonURL  = "http://" + netns.NetworkAddr + ":4567"
)

// answer is a script that says its name and asks again.
func answer(name string) string {
	return "#!ipxe\necho ANSWER-" + name + ".\n:again\nsleep 1\n" +
		"chain --replace --autofree --timeout 8000 /redirect?${q}&try=0 || goto again\n"
}

// use is what people do with an installed daemon: it serves, an administrator
// places an order, and a real machine gets it. Then they make the place their
// own. It returns a picture of their tree.
func (c *computer) use() string {
	c.t.Helper()
	c.Run("diff", "-r", "/usr/share/pxesrv/example", "/srv/pxesrv")
	c.rights(rightsOfInstalled)
	c.has("/usr/lib/systemd/system/pxesrv-http.socket",
		"/usr/lib/systemd/system/pxesrv-https.socket",
		"/usr/lib/systemd/system/pxesrv-tftp.socket", "/usr/share/man/man8/pxesrv.8*",
		"/usr/share/bash-completion/completions/pxesrv",
		"/usr/share/zsh/*/_pxesrv", "/usr/share/fish/vendor_completions.d/pxesrv.fish")
	for _, name := range []string{"README.md", "libraries.txt", "docs/install.md",
		"examples/pxesrv.yaml", "examples/systemd/sockets.conf"} {
		c.has("/usr/share/doc/pxesrv/" + name)
	}
	if version := c.Run("pxesrv", "version"); !strings.HasPrefix(version,
		"pxesrv "+oldVersion+", ") {
		c.t.Errorf("the version is %s", version)
	}
	if group := c.Run("id", "-nG", "pxesrv"); group != "pxesrv\n" {
		c.t.Errorf("the daemon's groups are %q", group)
	}
	c.Write("/srv/pxesrv/default", answer("default"), 0o644)
	c.Write("/srv/pxesrv/install/test.ipxe", answer("order"), 0o644)
	c.Run("useradd", "--groups", "pxesrv", "alice")
	alice := c.As("alice")

	d := c.serve()
	d.Expect("msg=listening", patience)
	if out := alice.Run("pxesrv", "once", "place", machineMAC,
		"install/test.ipxe"); !strings.Contains(out, "-> ../install/test.ipxe\n") {
		c.t.Errorf("once place says %q", out)
	}
	lines := c.Run("pxesrv", "dhcp", "dnsmasq", "--url", daemonURL, "--subnet", "10.77.0.0/24",
		"--range", "10.77.0.100-10.77.0.199")
	dhcp := servers.StartDHCP(c.t, "dnsmasq", c.network.Inside(), "br0", []byte(lines))
	m := qemu.Start(c.t, qemu.VM{Network: c.network, Kernel: lab.IPXE(c.t, "ipxe.lkrn"),
		MAC: machineMAC})
	m.Expect(`ANSWER-order\.`, patience)
	m.Expect(`ANSWER-default\.`, patience)
	m.Stop()
	dhcp.Stop()
	if out := alice.Run("pxesrv", "once",
		"list"); !regexp.MustCompile(`(?m)^served +52-54-00-ab-cd-01 `).MatchString(out) {
		c.t.Errorf("once list says\n%s", out)
	}
	if ended := d.Stop(); ended != "exit status 0" {
		c.t.Errorf("the daemon ends with %s", ended)
	}

	alice.Run("pxesrv", "once", "place", "52:54:00:00:00:09", "install/debian-12.ipxe")
	c.Write("/srv/pxesrv/static/10.77.0.77", "#!ipxe\necho of ours\n", 0o640)
	c.Write("/etc/pxesrv/pxesrv.yaml", c.Read("/etc/pxesrv/pxesrv.yaml")+
		"\nlog: /var/log/pxesrv/pxesrv.log\n", 0o644)
	c.As("pxesrv").Run("sh", "-c", "echo secret >/var/lib/pxesrv/some.keys")
	return c.picture("/srv/pxesrv")
}

// useUpgraded is use after the upgrade to another version: all is as people
// left it, and the daemon goes on. It returns a picture of their tree.
func (c *computer) useUpgraded(tree string) string {
	c.t.Helper()
	if now := c.picture("/srv/pxesrv"); now != tree {
		c.t.Errorf("after the upgrade the tree is\n%swas\n%s", now, tree)
	}
	if conf := c.Read("/etc/pxesrv/pxesrv.yaml"); !strings.HasPrefix(conf, "# the old") ||
		!strings.HasSuffix(conf, "pxesrv.log\n") {
		c.t.Errorf("the upgrade changed the configuration:\n%s", conf)
	}
	if text := c.Read("/var/lib/pxesrv/some.keys"); text != "secret\n" {
		c.t.Errorf("after the upgrade the state is %q", text)
	}
	d := c.serve()
	if got := c.get("/redirect?mac=52:54:00:00:00:09"); !strings.Contains(got,
		"The Debian installer") {
		c.t.Errorf("the order from before the upgrade is not given: %q", got)
	}
	if got := c.get("/redirect?mac=52:54:00:00:00:09"); got != answer("default") {
		c.t.Errorf("after the order the machine gets %q", got)
	}

	// The log is a file now. Without systemd nobody tells the daemon that it
	// was turned over, so the test does.
	c.Run("logrotate", "--force", "/etc/logrotate.d/pxesrv")
	c.has("/var/log/pxesrv/pxesrv.log.1")
	d.Signal(syscall.SIGHUP)
	c.Run("sh", "-c", "for i in `seq 600`; do [ ! -e /var/log/pxesrv/pxesrv.log ] || exit 0; "+
		"sleep 0.1; done; exit 1")
	c.rights("-rw-r----- pxesrv pxesrv /var/log/pxesrv/pxesrv.log\n-rw-r----- pxesrv pxesrv " +
		"/var/log/pxesrv/pxesrv.log.1\n")
	if ended := d.Stop(); ended != "exit status 0" {
		c.t.Errorf("the daemon ends with %s", ended)
	}
	return c.picture("/srv/pxesrv")
}

// TestDebianPackage takes the Debian package through its life: built, checked
// by lintian, installed on a Debian 12, used with a real machine, upgraded,
// removed, purged, and installed again over a tree that is somebody's. Then
// installed on a Debian 13.
func TestDebianPackage(t *testing.T) {
	t.Parallel()
	old, now := buildPackage(t, "deb", true), buildPackage(t, "deb", false)
	if out, err := exec.Command("lintian", "--allow-root", "--fail-on=error,warning",
		now).CombinedOutput(); err != nil {
		t.Errorf("lintian: %v (run 'make deps')\n%s", err, out)
	}
	c := newComputer(t, chroot.Debian12)
	c.bring(old, "old.deb")
	c.bring(now, "new.deb")
	install := func(file string) {
		t.Helper()
		c.Run("apt-get", "-y", "-o", "Dpkg::Options::=--force-confold", "--no-install-recommends",
			"install", file)
	}

	install("/tmp/old.deb")
	const enabled = "/etc/systemd/system/multi-user.target.wants/pxesrv.service"
	c.has(enabled)
	c.hasNot("/etc/systemd/system/sockets.target.wants/pxesrv*")
	tree := c.use()

	install("/tmp/new.deb")
	if version := c.Run("dpkg-query", "-Wf", "${Version}", "pxesrv"); version == oldVersion {
		t.Errorf("after the upgrade the version is %s", version)
	}
	c.has(enabled, "/etc/pxesrv/pxesrv.yaml.dpkg-dist")
	tree = c.useUpgraded(tree)

	// Who disabled the daemon has it disabled after an upgrade, too.
	if err := os.Remove(c.Path(enabled)); err != nil {
		t.Fatal(err)
	}
	c.Run("dpkg", "-i", "/tmp/new.deb")
	c.hasNot(enabled)

	c.Run("apt-get", "-y", "remove", "pxesrv")
	c.hasNot("/usr/bin/pxesrv", "/usr/lib/systemd/system/pxesrv*")
	c.has("/etc/pxesrv/pxesrv.yaml", "/var/lib/pxesrv/some.keys", "/var/log/pxesrv/pxesrv.log")

	said := c.Run("apt-get", "-y", "purge", "pxesrv")
	if !strings.Contains(said, "stays where it is: /srv/pxesrv") {
		t.Errorf("purge does not say where the tree is:\n%s", said)
	}
	c.hasNot("/etc/pxesrv", "/etc/logrotate.d/pxesrv", "/var/lib/pxesrv",
		"/var/log/pxesrv", enabled,
		"/var/lib/systemd/deb-systemd-helper-*/*pxesrv*")
	c.Run("id", "pxesrv")

	// From here on with a systemd that would start it.
	asked := c.systemctl()
	install("/tmp/new.deb")
	if picture := c.picture("/srv/pxesrv"); picture != tree {
		t.Errorf("after purge and installation the tree is\n%swas\n%s", picture, tree)
	}
	if log := asked(); !strings.Contains(log, "start pxesrv.service") ||
		strings.Contains(log, "socket") {
		t.Errorf("the installation asked systemctl for\n%s", log)
	}
	c.Run("dpkg", "-i", "/tmp/new.deb")
	if log := asked(); !strings.Contains(log, "restart pxesrv.service") ||
		strings.Contains(log, "socket") || strings.Contains(log, "stop") {
		t.Errorf("the upgrade asked systemctl for\n%s", log)
	}
	c.Run("apt-get", "-y", "purge", "pxesrv")
	if log := asked(); !regexp.MustCompile(
		`(?s)stop.* pxesrv-http\.socket.*stop.* pxesrv\.service`).MatchString(log) {
		t.Errorf("the removal asked systemctl for\n%s", log)
	}

	// An empty folder is filled. A link, even one that leads nowhere, is
	// somebody's.
	c.Run("sh", "-c", "rm -r /srv/pxesrv && mkdir /srv/pxesrv")
	install("/tmp/new.deb")
	c.rights(rightsOfInstalled)
	c.Run("apt-get", "-y", "purge", "pxesrv")
	c.Run("sh", "-c", "rm -r /srv/pxesrv && ln -s /data/not-mounted /srv/pxesrv")
	install("/tmp/new.deb")
	if to, err := os.Readlink(c.Path("/srv/pxesrv")); to != "/data/not-mounted" {
		t.Errorf("the link that was /srv/pxesrv leads to %q, %v", to, err)
	}
	c.hasNot("/data")

	// A folder in which root may not write, as on NFS, is no reason to fail. A
	// new file system with nothing in it is filled.
	c.Run("apt-get", "-y", "purge", "pxesrv")
	c.Run("sh", "-c",
		"rm /srv/pxesrv && mkdir /srv/pxesrv && mount -t tmpfs -o ro none /srv/pxesrv")
	install("/tmp/new.deb")
	c.Run("apt-get", "-y", "purge", "pxesrv")
	c.Run("sh", "-c", "umount /srv/pxesrv && mkdir /srv/pxesrv/lost+found")
	install("/tmp/new.deb")
	c.rights(rightsOfInstalled)

	// A newer Debian.
	c = newComputer(t, chroot.Debian13)
	c.bring(now, "new.deb")
	install("/tmp/new.deb")
	c.has(enabled)
	c.rights(rightsOfInstalled)
	d := c.serve()
	if got := c.get("/redirect"); !strings.HasPrefix(got, "#!ipxe\n") {
		t.Errorf("on Debian 13 the answer is %q", got)
	}
	d.Stop()
	c.Run("apt-get", "-y", "purge", "pxesrv")
}

// TestRPM does the same with the RPM. It is installed on a Debian, too, on
// which rpm from outside runs its scripts; the dependencies, which Debian's
// packages have under other names, are looked at and not followed.
func TestRPM(t *testing.T) {
	lab.OnlyReal(t)
	t.Parallel()
	old, now := buildPackage(t, "rpm", true), buildPackage(t, "rpm", false)
	config := map[string]bool{}
	for line := range strings.Lines(outside(t, "rpm", "-qp", "--qf",
		"[%{FILEFLAGS:fflags} %{FILENAMES}\n]", now)) {
		if flags, name, _ := strings.Cut(strings.TrimRight(line, "\n"),
			" "); strings.Contains(flags, "c") {
			config[name] = strings.Contains(flags, "n")
		}
	}
	if len(config) != 2 || !config["/etc/pxesrv/pxesrv.yaml"] ||
		!config["/etc/logrotate.d/pxesrv"] {
		t.Errorf("configuration files that are not replaced: %v", config)
	}
	common := regexp.MustCompile(
		`^(rpmlib\(.*|config\(pxesrv\)|/bin/sh|/usr/bin/(getent|kill)|/usr/sbin/(user|group)add)$`)
	for line := range strings.Lines(outside(t, "rpm", "-qp", "--requires", now)) {
		if need := strings.Fields(line)[0]; !common.MatchString(need) {
			t.Errorf("the package needs %s", need)
		}
	}
	c := newComputer(t, chroot.Debian12)
	asked := c.systemctl()
	rpm := func(args ...string) {
		t.Helper()
		c.From("rpm", append([]string{"--root", "{}", "--dbpath", "/var/lib/rpm", "--nodeps",
			"--force-debian"}, args...)...)
	}

	rpm("--install", old)
	if log := asked(); log != "--no-reload preset pxesrv.service\n" {
		t.Errorf("the installation asked systemctl for\n%s", log)
	}
	tree := c.use()

	rpm("--upgrade", now)
	if log := asked(); log != "daemon-reload\ntry-restart pxesrv.service\n" {
		t.Errorf("the upgrade asked systemctl for\n%s", log)
	}
	c.has("/etc/pxesrv/pxesrv.yaml.rpmnew")
	tree = c.useUpgraded(tree)
	if log := asked(); !strings.HasPrefix(log, "kill ") ||
		!strings.HasSuffix(log, " HUP pxesrv.service\n") {
		t.Errorf("logrotate asked systemctl for\n%s", log)
	}

	rpm("--erase", "pxesrv")
	if log := asked(); !regexp.MustCompile(
		`^--no-reload disable .*pxesrv\.service\nstop .*socket.* pxesrv\.service\n$`).MatchString(
		log) {
		t.Errorf("the removal asked systemctl for\n%s", log)
	}
	c.hasNot("/usr/bin/pxesrv", "/usr/lib/systemd/system/pxesrv*", "/usr/share/pxesrv",
		"/etc/pxesrv/pxesrv.yaml",
		"/etc/logrotate.d/pxesrv")
	c.has("/etc/pxesrv/pxesrv.yaml.rpmsave", "/var/lib/pxesrv/some.keys",
		"/var/log/pxesrv/pxesrv.log")

	rpm("--install", now)
	if picture := c.picture("/srv/pxesrv"); picture != tree {
		t.Errorf("after removal and installation the tree is\n%swas\n%s", picture, tree)
	}
}

// TestPackagesARM64 makes the packages for another processor, with its program
// in them.
func TestPackagesARM64(t *testing.T) {
	lab.OnlyReal(t)
	deb, rpm, dir := buildPackage(t, "deb", false, "ARCH=arm64"),
		buildPackage(t, "rpm", false, "ARCH=arm64"), t.TempDir()
	if arch := outside(t, "dpkg-deb", "-f", deb, "Architecture"); arch != "arm64\n" {
		t.Errorf("the Debian package is for %s", arch)
	}
	if arch := outside(t, "rpm", "-qp", "--qf", "%{ARCH}", rpm); arch != "aarch64" {
		t.Errorf("the RPM is for %s", arch)
	}
	outside(t, "dpkg-deb", "-x", deb, dir+"/deb")
	outside(t, "sh", "-ec", `rpm2archive "$2"; mkdir "$1"; tar -xzf "$2.tgz" -C "$1"`, "sh",
		dir+"/rpm", rpm)
	for _, kind := range []string{"deb", "rpm"} {
		program, err := elf.Open(filepath.Join(dir, kind, "usr/bin/pxesrv"))
		if err != nil {
			t.Fatal(err)
		}
		if program.Machine != elf.EM_AARCH64 {
			t.Errorf("%s: the program is for %v", kind, program.Machine)
		}
		program.Close()
		if pages, _ := filepath.Glob(filepath.Join(dir, kind, "usr/share/man/man8/pxesrv.8*")); len(
			pages) != 1 {
			t.Errorf("%s: manual pages: %q", kind, pages)
		}
	}
}

// TestPackagedConfiguration reads the configuration that the packages install.
func TestPackagedConfiguration(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(repository + "/debian/pxesrv.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	if _, err := c.YAML("pxesrv.yaml", text); err != nil {
		t.Fatal(err)
	}
	if c.Root != "/srv/pxesrv" || c.State != "/var/lib/pxesrv" {
		t.Errorf("root %s, state %s", c.Root, c.State)
	}
	// What is commented out can be used as it stands there.
	whole := regexp.MustCompile(`(?m)^#([a-z]|  )`).ReplaceAll(text, []byte("$1"))
	if _, err := c.YAML("pxesrv.yaml", whole); err != nil {
		t.Fatalf("%v\n%s", err, whole)
	}
	if c.Log != "/var/log/pxesrv/pxesrv.log" || len(c.Clients) != 2 ||
		!slices.Equal(c.TFTP, []string{":69"}) {
		t.Errorf("log %s, clients %v, tftp %v", c.Log, c.Clients, c.TFTP)
	}
}
