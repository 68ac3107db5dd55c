//go:build linux

package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/site"
)

// room is a tree on disk that a test fills.
type room struct {
	*testing.T
	root   string
	config config.Config
}

func newRoom(t *testing.T) *room {
	t.Helper()
	r := &room{T: t, root: filepath.Join(t.TempDir(), "root"), config: config.Default()}
	r.config.Root = r.root
	for _, dir := range []string{"static", "once", "protect"} {
		if err := os.MkdirAll(filepath.Join(r.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *room) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *room) path(name string) string {
	r.Helper()
	at := filepath.Join(r.root, name)
	r.must(os.MkdirAll(filepath.Dir(at), 0o755))
	return at
}

// write makes a file that others cannot read.
func (r *room) write(name, body string) {
	r.Helper()
	r.must(os.WriteFile(r.path(name), []byte(body), 0o640))
}

func (r *room) link(name, text string) {
	r.Helper()
	r.must(os.Symlink(text, r.path(name)))
}

func (r *room) git(args ...string) {
	r.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "HOME="+r.TempDir(), "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// check returns "file:line level code" of each finding.
func (r *room) check(o Options) []string {
	r.Helper()
	if o.Loaders == nil {
		o.Loaders = []string{}
	}
	all, err := Tree(r.Context(), r.config, o)
	r.must(err)
	return r.short(all)
}

func (r *room) short(all []Finding) []string {
	r.Helper()
	var lines []string
	for _, f := range all {
		if f.What == "" || f.Do == "" || strings.Contains(f.What+f.Do, "\n") {
			r.Errorf("%+v does not say what and what to do, in one line", f)
		}
		r.Logf("%s:%d: %s: %s; %s", f.File, f.Line, f.Level, f.What, f.Do)
		lines = append(lines, fmt.Sprintf("%s:%d %s %s", f.File, f.Line, f.Level, f.Code))
	}
	return lines
}

func (r *room) expect(got, want []string) {
	r.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	for _, g := range got {
		if !slices.Contains(want, g) {
			r.Errorf("found, and not expected: %s", g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			r.Errorf("not found: %s", w)
		}
	}
	if len(got) != len(want) && !r.Failed() {
		r.Errorf("named more than once:\n%s", strings.Join(got, "\n"))
	}
}

const good = "#!ipxe\necho good\n"

// TestFaults has one of every fault in one tree. Each is named exactly once,
// and nothing else is.
func TestFaults(t *testing.T) {
	r := newRoom(t)
	r.config.Allow = []string{"/proc"}
	r.config.NoAddress = nil
	r.must(r.config.Settings()[slices.IndexFunc(r.config.Settings(), func(s config.Setting) bool {
		return s.Key == "identity.no-ip"
	})].Value.Set("192.0.2.0/24"))
	r.write("install/good.ipxe", good)
	r.write("default", "#!ipxe\nchain menu-without-ending ||\nexit 1\n")
	r.write("images/linux", "ELF")

	var want []string
	for _, row := range []struct {
		file, body, link string
		// findings: "FILE:LINE LEVEL CODE", "=" for "file:0", separated by "; "
		want string
	}{
		// Entries that cannot be served.
		{file: "static/dangling", link: "../gone.ipxe", want: "= error missing"},
		{file: "static/circle", link: "circle", want: "= error missing"},
		{file: "static/outside", link: "/etc/hostname", want: "= error outside"},
		{file: "static/hidden", link: "../.secret/x", want: "= error hidden"},
		{file: ".secret/x", body: good},
		{file: "static/to-private", link: "../private/closed/x.ipxe", want: "= error hidden"},
		{file: "private/closed/x.ipxe", body: good},
		{file: "static/to-directory", link: "../install", want: "= error not-file"},
		{file: "static/unreadable", link: "/proc/self/mem", want: "= error unreadable"},
		{file: "static/no-script", body: "just text\n", want: "= error no-script"},
		{file: "static/S-41", body: "", want: "= error empty"},
		{file: "static/large", body: good + strings.Repeat("#\n", 1<<19),
			want: "= error too-large"},
		{file: "static/marked", body: "\xef\xbb\xbf" + good, want: "= error no-script"},
		{file: "static/shared-1", link: "../install/broken.ipxe", want: ""},
		{file: "static/shared-2", link: "../install/broken.ipxe", want: ""},
		{file: "install/broken.ipxe", body: "linux\n", want: "= error no-script"},
		{file: "once/dangling", link: "../gone.ipxe", want: "= error missing"},
		{file: "once/outside", link: "/etc/hostname", want: "= error outside"},
		{file: "once/file", body: good, want: "= error not-link"},
		{file: "once/folder/x", body: good},
		{file: "once/README.md", body: "text"},
		{file: "once/.claimed/x", body: "text"},
		{file: "static/README.md", body: "text"},
		{file: "static/.gitkeep"},
		{file: "protect/README", body: "text"},

		// Names in static/ and once/.
		{file: "static/AA:BB:CC:00:00:01", body: good, want: "= error misspelt"},
		{file: "static/01-aa-bb-cc-00-00-02", body: good, want: "= error misspelt"},
		{file: "static/aabb.cc00.0003", body: good, want: "= error misspelt"},
		{file: "static/12345678-9ABC-DEF0-1122-AABBCCDDEE01", body: good, want: "= error misspelt"},
		{file: "static/123456789abcdef01122aabbccddee02", body: good, want: "= error misspelt"},
		{file: "static/S N 42", body: good, want: "= error misspelt"},
		{file: "static/2001:DB8:0::7", body: good, want: "= error misspelt"},
		{file: "static/::ffff:10.0.0.44", body: good, want: "= error misspelt"},
		{file: "once/AA-BB-CC-00-00-05", link: "../install/good.ipxe", want: "= error misspelt"},
		{file: "static/10.0.0.007", body: good, want: "= warning looks-like"},
		{file: "static/10.0.0.256", body: good, want: "= warning looks-like"},
		{file: "static/aabbcc000006", body: good, want: "= warning looks-like"},
		{file: "static/aa-bb-cc-00-0g-06", body: good, want: "= warning looks-like"},
		{file: "static/1234567-9abc-def0-1122-aabbccddeeff", body: good,
			want: "= warning looks-like"},
		{file: "static/aa-bb-cc-00-00-07.ipxe", body: good, want: "= warning extension"},
		{file: "static/S-43.bak", body: good, want: "= warning extension"},
		{file: "static/S-44~", body: good, want: "= warning extension"},
		{file: "static/???", body: good, want: "= error no-name"},
		{file: "static/192.0.2.7", body: good, want: "= error no-name"},
		{file: "static/" + strings.Repeat("x", 129), body: good, want: "= error no-name"},
		{file: "static/To-Be-Filled-By-O.E.M.", body: good, want: "= warning placeholder"},
		{file: "static/00-00-00-00-00-00", body: good, want: "= warning placeholder"},
		{file: "static/03000200-0400-0500-0006-000700080009", body: good,
			want: "= warning placeholder"},
		{file: "static/12345678-9abc-def0-1122-aabbccddee0f", body: good},
		{file: "static/78563412-bc9a-f0de-1122-aabbccddee0f", body: good, want: "= warning twice"},
		{file: "static/aa-bb-cc-00-00-08", body: good},
		{file: "static/AA-BB-CC-00-00-08", body: good, want: "= warning twice"},
		{file: "static/CN7", body: good},
		{file: "static/cn7", body: good, want: "= warning twice"},
		{file: "static/S-N-45", body: good},
		{file: "static/web1.example.org", body: good},

		// protect/: any spelling counts, and what counts for nothing is said.
		{file: "protect/AA:BB:CC:00:00:09", want: "= note misspelt"},
		{file: "protect/aabbcc00000a", want: "= note misspelt"},
		{file: "protect/s-n-99"},
		{file: "protect/10.0.0.008", want: "= note misspelt"},
		{file: "protect/10.0.0.800", want: "= warning looks-like"},
		{file: "protect/aa-bb-cc-00-00-0b.txt", want: "= warning extension"},
		{file: "protect/!!!", want: "= warning no-name"},
		{file: "protect/be:3a:f2:b6:05:9f", want: "= warning placeholder"},
		{file: "protect/Default string", want: "= warning placeholder"},
		{file: "static/aa-bb-cc-00-00-09", body: good, want: "= note protected"},
		{file: "once/S-N-99", link: "../install/good.ipxe", want: "= note protected"},
		{file: "protect/78563412-BC9A-F0DE-1122-AABBCCDDEE10", want: "= note misspelt"},
		{file: "static/12345678-9abc-def0-1122-aabbccddee10", body: good, want: "= note protected"},

		// What the server answers itself.
		{file: "redirect", body: good, want: "= warning route"},
		{file: "boot.ipxe", body: "frob\n", want: "= warning route"},
		{file: "boot.ipxe.0", body: good, want: "= warning route"},
		{file: "autoexec.ipxe", body: good, want: "= warning route"},
		{file: "local.ipxe", link: "install/good.ipxe", want: "= warning route"},
		{file: "metrics", body: "x", want: "= warning route"},
		{file: "healthz", body: "x", want: "= warning route"},
		{file: "readyz", body: "x", want: "= warning route"},
		{file: "ipxe/autoexec.ipxe", body: good},
		{file: "install/redirect", body: good},

		// Scripts, whoever leads to them.
		{file: "menu-without-ending", body: "#!ipxe\ngoto nowhere\n",
			want: "menu-without-ending:2 error no-label"},
		{file: "static/own", body: "#!ipxe\nfrob\n", want: "static/own:2 warning no-command"},
		{file: "static/by-link-1", link: "../install/labels", want: ""},
		{file: "static/by-link-2", link: "../install/labels", want: ""},
		{file: "once/by-link-3", link: "../install/labels", want: ""},
		{file: "install/labels", body: "#!ipxe\n:a\n:a\n",
			want: "install/labels:3 error same-label"},
		{file: "install/exit.ipxe", body: "#!ipxe\nexit\n",
			want: "install/exit.ipxe:2 note exits-well"},
		{file: "install/exit-first", body: "#!ipxe\nexit\n",
			want: "install/exit-first:2 warning exits-well"},
		{file: "static/10.0.0.45", link: "../install/exit-first"},
		{file: "install/vlan.ipxe", body: "#!ipxe\nvcreate --tag 5 net0\n",
			want: "install/vlan.ipxe:2 warning rare-command"},
		{file: "install/cut.ipxe", body: "#!ipxe\necho", want: "install/cut.ipxe:2 note no-end"},
		{file: "install/cut-off.ipxe", body: "#!ipxe\nimgfetch images/linux\nker",
			want: "install/cut-off.ipxe:3 warning no-end"},
		{file: "install/alias.ipxe", link: "cut.ipxe", want: ""},
		{file: "install/lost.ipxe", link: "gone.ipxe", want: "= warning missing"},
		{file: "install/files.ipxe", body: "#!ipxe\nkernel images/linux\nkernel " +
			"/images/linux\nkernel beside\ninitrd ../images/linux\n" +
			"chain redirect?${q}\nchain /local.ipxe\nchain ipxe/autoexec.ipxe\nkernel " +
			"/beside\nchain gone/x.ipxe || exit 1\nimgfetch gone/y || exit 1\n",
			want: "install/files.ipxe:9 error no-file; install/files.ipxe:10 warning no-file; " +
				"install/files.ipxe:11 note no-file"},
		{file: "install/beside", body: "x"},
		{file: "install/steals.ipxe", body: "#!ipxe\nchain /static/own\n",
			want: "install/steals.ipxe:2 error not-served"},
		{file: "install/ignored.ipxe", body: "#!ipxe\nimgfetch images/not-in-git\n",
			want: "install/ignored.ipxe:2 note not-in-git"},
		{file: ".gitignore", body: "/images/*\n"},
		{file: "elsewhere/near", body: "x"},
		{file: "elsewhere/alias.ipxe", link: "../install/near.ipxe"},
		{file: "install/near.ipxe", body: "#!ipxe\nkernel near\nboot\n"},
		{file: "install/no-boot.ipxe", body: "#!ipxe\nkernel images/linux\ninitrd images/linux\n",
			want: "install/no-boot.ipxe:2 warning no-boot"},

		// Secrets.
		{file: "files/a.ks", body: "lang en\nrootpw --plaintext geheim\n",
			want: "files/a.ks:2 warning secret"},
		{file: "files/b.ks", body: "rootpw --iscrypted $6$x\nrootpw --lock\n"},
		{file: "files/c.ks", body: "rootpw geheim\n", want: "files/c.ks:1 warning secret"},
		{file: "files/preseed.cfg", body: "d-i passwd/root-password password geheim\nd-i " +
			"passwd/root-password-crypted password $6$x\n",
			want: "files/preseed.cfg:1 warning secret"},
		{file: "files/user-data", body: "users:\n  - plain_text_passwd: geheim\n",
			want: "files/user-data:2 warning secret"},
		{file: "files/host_key", body: "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n",
			want: "files/host_key:1 warning secret"},
		{file: "files/host_key.pub", body: "-----BEGIN PUBLIC KEY-----\nx\n"},
		{file: "hosts/web.yaml", body: "plain_text_passwd: geheim\n"},
		{file: "files/a.ks.tmpl", body: "rootpw geheim\n"},
		{file: ".key", body: "-----BEGIN PRIVATE KEY-----\nx\n"},
		{file: ".ssh/key", body: "-----BEGIN RSA PRIVATE KEY-----\nx\n"},
		{file: "private/shut.ks", body: "rootpw geheim\n"},
		{file: "private/open.ks", body: "rootpw geheim\n", want: "= warning readable"},
	} {
		if row.link != "" {
			r.link(row.file, row.link)
		} else {
			r.write(row.file, row.body)
		}
		for one := range strings.SplitSeq(row.want, "; ") {
			if one = strings.ReplaceAll(one, "= ", row.file+":0 "); one != "" {
				want = append(want, one)
			}
		}
	}
	// What no row can say.
	r.must(syscall.Mkfifo(r.path("static/fifo"), 0o644))
	r.must(os.Mkdir(r.path("static/folder"), 0o755))
	r.must(os.Chmod(r.path("private/open.ks"), 0o644))
	r.must(os.Chmod(r.path("private/closed"), 0o700))
	r.must(os.Chmod(r.path("private/closed/x.ipxe"), 0o644))
	r.must(os.Chmod(r.path("once"), 0o777|os.ModeSticky))
	want = append(want, "static/fifo:0 error not-file", "static/folder:0 error not-file",
		"once/folder:0 error not-link", "once:0 warning sticky")
	rights := "error" // all may write once/, and not its journal
	if os.Geteuid() != 0 {
		rights = "warning" // the daemon may be who asks, the owner
	}
	want = append(want, "once/.claimed:0 "+rights+" rights")
	r.link("once/old", "../install/good.ipxe")
	long := unix.NsecToTimespec(time.Now().Add(-31 * 24 * time.Hour).UnixNano())
	r.must(unix.UtimesNanoAt(unix.AT_FDCWD, r.path("once/old"), []unix.Timespec{long, long},
		unix.AT_SYMLINK_NOFOLLOW))
	want = append(want, "once/old:0 warning old-order")
	if _, err := exec.LookPath("git"); err != nil {
		t.Log("there is no git here: nothing is said of what it tracks and ignores")
		want = slices.DeleteFunc(want, func(w string) bool {
			return strings.HasSuffix(w, "not-in-git")
		})
		want = append(want, "install/ignored.ipxe:2 error no-file")
	} else {
		r.link("once/tracked", "../install/good.ipxe")
		r.git("init", "-q")
		r.git("add", "-f", "once/tracked")
		want = append(want, "once/tracked:0 warning tracked")
	}
	r.write("ipxe/old.efi", pe+"iPXE initialising\x001.0.0+git-2019-5.1\x00")
	r.write("ipxe/new.efi", pe+"iPXE\x002.0.0+\x00autoexec.ipxe\x00")
	r.write("ipxe/wide.efi",
		pe+"iPXE\x001.21.1+ (g123)\x00a\x00u\x00t\x00o\x00e\x00x\x00e\x00c\x00.\x00i\x00p\x00x\x00e\x00")
	r.write("ipxe/grub.efi", pe+"2.0.0\x00")
	want = append(want, "ipxe:0 note loader", "ipxe:0 note loader", "ipxe:0 note loader")

	r.expect(r.check(Options{}), want)
}

// pe begins a program for UEFI.
var pe = "MZ" + strings.Repeat("\x00", 0x3a) + "\x40\x00\x00\x00PE\x00\x00\x64\x86\x00"

// TestRoot has what can be wrong with a tree as a whole.
func TestRoot(t *testing.T) {
	t.Run("empty", func(t *testing.T) {
		r := newRoom(t)
		r.must(os.RemoveAll(r.path("once")))
		r.must(os.RemoveAll(r.path("static")))
		r.must(os.RemoveAll(r.path("protect")))
		r.expect(r.check(Options{}), []string{"default:0 warning no-default",
			"once:0 note no-once"})
	})
	t.Run("clean", func(t *testing.T) {
		r := newRoom(t)
		r.write("default", "#!ipxe\nchain ipxe/autoexec.ipxe ||\nchain boot.ipxe\nchain "+
			"/redirect?x=y\nchain --replace local.ipxe\n")
		r.expect(r.check(Options{}), nil)
	})
	t.Run("default is a directory", func(t *testing.T) {
		r := newRoom(t)
		r.must(os.Mkdir(r.path("default"), 0o755))
		r.expect(r.check(Options{}), []string{"default:0 error not-file"})
	})
	t.Run("default is a dangling link", func(t *testing.T) {
		r := newRoom(t)
		r.link("default", "gone")
		r.expect(r.check(Options{}), []string{"default:0 error missing"})
	})
	t.Run("default is no script", func(t *testing.T) {
		r := newRoom(t)
		r.write("default", "linux\n")
		r.expect(r.check(Options{}), []string{"default:0 error no-script"})
	})
	t.Run("static is a file", func(t *testing.T) {
		r := newRoom(t)
		r.write("default", good)
		r.must(os.Remove(r.path("static")))
		r.write("static", "")
		r.expect(r.check(Options{}), []string{"static:0 error unreadable"})
	})
	t.Run("protect leads nowhere", func(t *testing.T) {
		r := newRoom(t)
		r.write("default", good)
		r.must(os.Remove(r.path("protect")))
		r.link("protect", "gone")
		r.expect(r.check(Options{}), []string{"protect:0 error unreadable"})
	})
	t.Run("root is a link", func(t *testing.T) {
		r := newRoom(t)
		r.write("default", good)
		r.link("../current", "root")
		r.config.Root = filepath.Join(filepath.Dir(r.root), "current")
		r.expect(r.check(Options{}), []string{"once:0 warning root-link"})
		r.config.OnceDir = t.TempDir()
		r.expect(r.check(Options{}), nil)
	})
	t.Run("orders elsewhere", func(t *testing.T) {
		r := newRoom(t)
		r.write("default", good)
		r.write("tools/x.ipxe", good)
		r.config.OnceDir = t.TempDir()
		r.must(os.Symlink(r.path("tools/x.ipxe"), filepath.Join(r.config.OnceDir, "10.0.0.7")))
		rel, err := filepath.Rel(r.config.OnceDir, r.path("tools/x.ipxe"))
		r.must(err)
		r.must(os.Symlink(rel, filepath.Join(r.config.OnceDir, "10.0.0.9")))
		r.must(os.Symlink(r.path("tools/y.ipxe"), filepath.Join(r.config.OnceDir, "10.0.0.8")))
		r.expect(r.check(Options{}), []string{"once/10.0.0.8:0 error missing"})
	})
	t.Run("a file link of a ConfigMap", func(t *testing.T) {
		r := newRoom(t)
		r.write("..2026/default", good)
		r.link("..data", "..2026")
		r.link("default", "..data/default")
		r.expect(r.check(Options{}), nil)
	})
	t.Run("no root", func(t *testing.T) {
		r := newRoom(t)
		r.config.Root += "/gone"
		if _, err := Tree(t.Context(), r.config, Options{}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("loaders of a distribution", func(t *testing.T) {
		r := newRoom(t)
		r.write("default", good)
		r.write("../lib/ipxe.efi", pe+"iPXE\x001.0.0+git-5.1\x00")
		r.link("../boot/ipxe.efi", "../lib/ipxe.efi")
		lib, boot := filepath.Join(r.root, "../lib"), filepath.Join(r.root, "../boot")
		r.expect(r.check(Options{Loaders: []string{lib, boot, "/nowhere"}}),
			[]string{lib + ":0 note loader"})
	})
}

// TestWords: what is said names the right spelling, the guard, the line of the
// label.
func TestWords(t *testing.T) {
	r := newRoom(t)
	r.write("default", good)
	r.write("static/AA:BB:CC:00:00:01", good)
	r.write("static/10.0.0.007", good)
	r.write("static/S N", good)
	r.link("static/x", "../gone")
	r.write("install/broken", "x\n")
	for i := range 3 {
		r.link(fmt.Sprintf("static/to-%d", i), "../install/broken")
	}
	all, err := Tree(t.Context(), r.config, Options{Loaders: []string{}})
	r.must(err)
	var text strings.Builder
	for _, f := range all {
		fmt.Fprintf(&text, "%s: %s; %s\n", f.File, f.What, f.Do)
	}
	for _, want := range []string{
		"static/AA:BB:CC:00:00:01: matches no machine: this MAC is written aa-bb-cc-00-00-01; mv " +
			"static/AA:BB:CC:00:00:01 static/aa-bb-cc-00-00-01\n",
		"an address is written 10.0.0.7; mv static/10.0.0.007 static/10.0.0.7\n",
		"mv 'static/S N' static/S-N\n",
		"static/x: leads to ../gone, which is not there, and is skipped; ",
		"install/broken: is no boot script, so static/to-0 and 2 more, which lead to it, are " +
			"skipped: the first line is not #!ipxe; ",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("does not say %q:\n%s", want, &text)
		}
	}
}

// TestAgree: an entry is found faulty exactly when the daemon would skip it.
func TestAgree(t *testing.T) {
	r := newRoom(t)
	r.write("default", good)
	r.write("ok", good)
	r.write("bad", "x\n")
	r.write("private/x", good)
	for name, text := range map[string]string{"10.0.0.1": "../ok", "10.0.0.2": "../bad",
		"10.0.0.3": "../gone", "10.0.0.4": "/etc/hostname",
		"10.0.0.5": "../private/x", "10.0.0.6": "..", "10.0.0.7": "../static/10.0.0.1",
		"10.0.0.8": r.path("ok"), "10.0.0.9": "10.0.0.9"} {
		r.link("static/"+name, text)
	}
	all, err := Tree(t.Context(), r.config, Options{Loaders: []string{}})
	r.must(err)
	s, err := site.New(r.config)
	r.must(err)
	for i := 1; i <= 9; i++ {
		name := fmt.Sprintf("10.0.0.%d", i)
		n, err := boot.Canonical(name)
		r.must(err)
		a, err := s.Resolve(t.Context(), &boot.Machine{Names: []boot.Name{n}}, false)
		r.must(err)
		faulty := slices.ContainsFunc(all, func(f Finding) bool {
			return f.Level == Error && (f.File == "static/"+name ||
				strings.Contains(f.What, "static/"+name+","))
		})
		if faulty != (a.Entry.Step == boot.Default) {
			t.Errorf("%s: check says faulty=%v, and the daemon answers with %s", name, faulty,
				a.Entry.Path)
		}
	}
}

// TestPublic: the example tree is without errors and warnings, in the
// repository and in a copy without Git and kernels.
func TestPublic(t *testing.T) {
	public, err := filepath.Abs("../../public")
	if err != nil {
		t.Fatal(err)
	}
	r := newRoom(t)
	bare := filepath.Join(t.TempDir(), "public")
	r.must(os.CopyFS(bare, os.DirFS(public)))
	for _, root := range []string{public, bare} {
		r.config.Root = root
		for _, line := range r.check(Options{}) {
			if !strings.Contains(line, " note ") {
				t.Errorf("%s: %s", root, line)
			}
		}
	}
}

// TestOwnScripts: what the server writes itself is without fault in any tree.
func TestOwnScripts(t *testing.T) {
	r := newRoom(t)
	r.write("default", string(ipxe.Identify()))
	r.write("static/10.0.0.7", string(ipxe.Local()))
	r.expect(r.check(Options{}), nil)
}

// TestReadsOnly: a check leaves the tree as it was, journals included.
func TestReadsOnly(t *testing.T) {
	r := newRoom(t)
	r.write("default", good)
	r.link("once/10.0.0.7", "../default")
	before := listing(t, r.root)
	r.check(Options{})
	if after := listing(t, r.root); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func listing(t *testing.T, root string) string {
	t.Helper()
	out, err := exec.Command("find", root, "-printf", "%p %y %l %T@ %C@\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(out, []byte("\n"))
	slices.SortFunc(lines, bytes.Compare)
	return string(bytes.Join(lines, []byte("\n")))
}

// TestGitHook: Git's variables for its hooks name another directory, and change
// nothing here.
func TestGitHook(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("there is no git here: run 'make deps'")
	}
	r := newRoom(t)
	r.write("default", "#!ipxe\nkernel big/linux\nboot\n")
	r.write(".gitignore", "/big\n")
	r.git("init", "-q")
	t.Setenv("GIT_DIR", "nowhere/.git")
	r.expect(r.check(Options{}), []string{"default:2 note not-in-git"})
}

// TestCanceled: a check ends when it is told to.
func TestCanceled(t *testing.T) {
	r := newRoom(t)
	r.write("default", good)
	for i := range 2000 {
		r.link(fmt.Sprintf("static/10.0.%d.%d", i/250, i%250), "../default")
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	_, err := Tree(ctx, r.config, Options{Loaders: []string{}, Progress: func(string, int) {
		told++
		cancel()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if told != 1 {
		t.Errorf("went on: told of its progress %d times", told)
	}
}

// TestMany: a hundred thousand entries, with one fault among them, and two
// scripts for all of them, each checked once.
func TestMany(t *testing.T) {
	lab.Slow(t)
	r := newRoom(t)
	r.write("default", good)
	r.write("a.ipxe", "#!ipxe\nfrob\n")
	r.write("b.ipxe", good)
	const n = 100_000
	name := func(i int) string {
		return fmt.Sprintf("static/52-54-00-%02x-%02x-%02x", i>>16, i>>8&0xff, i&0xff)
	}
	for i := range n {
		text := "../a.ipxe"
		if i%2 == 0 {
			text = "../b.ipxe"
		}
		if i == 4711 {
			text = "../c.ipxe"
		}
		r.must(os.Symlink(text, filepath.Join(r.root, name(i))))
	}
	last := 0
	// Time is bounded only so that a check that lists the directory for each
	// entry does not run for ever.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	all, err := Tree(ctx, r.config,
		Options{Loaders: []string{}, Progress: func(_ string, done int) { last = done }})
	r.must(err)
	r.expect(r.short(all), []string{"a.ipxe:2 warning no-command", name(4711) + ":0 error missing"})
	if last < n {
		t.Errorf("progress ended with %d", last)
	}
}
