//go:build linux

package disttest

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/chroot"
	"pxesrv/pkg/lab/netns"
)

// No container engine runs in these tests, and none has built the image for
// them. BuildKit, the builder of Docker, says what it would do
// (.ci/tools/dockerfile), and the test does that in root folders of Debian:
// every RUN, COPY and WORKDIR in its order. What differs from a real build:
//
//   - the base images are not those of the registry, but minimal Debians of the
//     same release (chroot.New), the one of golang with this computer's Go and
//     make;
//   - layers and the pull of the base images are not tested, nor an engine's
//     own rules of confinement (seccomp, user namespaces).

// containerImage is the configuration of an image, as the OCI image
// specification and Docker's health check have it.
type containerImage struct {
	Config struct {
		User, WorkingDir, StopSignal string
		Env, Entrypoint, Cmd         []string
		Volumes, ExposedPorts        map[string]struct{}
		Labels                       map[string]string
		Healthcheck                  struct{ Test []string }
	} `json:"config"`
}

// built is what BuildKit says about the Dockerfile.
type built struct {
	Warnings []string       `json:"warnings"`
	Files    []string       `json:"files"`
	Steps    []buildStep    `json:"steps"`
	Image    containerImage `json:"image"`
}

// A buildStep is an operation of BuildKit. What is not known here is a mistake,
// not something to leave out.
type buildStep struct {
	Digest string          `json:"digest"`
	Op     json.RawMessage `json:"op"`
}

type buildOp struct {
	Inputs   []struct{ Digest string }
	Platform any
	Source   *struct {
		Identifier string
		Attrs      any
	}
	Exec *struct {
		Meta struct {
			Args, Env                 []string
			Cwd                       string
			RemoveMountStubsRecursive bool
		}
		Mounts []struct {
			Input int64 `json:",string"`
			Dest  string
		}
	}
	File *struct {
		Actions []struct {
			Input, SecondaryInput, Output int64 `json:",string"`

			Mkdir *struct {
				Path        string
				Mode        int
				MakeParents bool
				Owner       *struct{ User, Group struct{ ByID int } }
				Timestamp   string
			}
			Copy *struct {
				Src, Dest                                                     string
				Mode                                                          int
				FollowSymlink, DirCopyContents, CreateDestPath, AllowWildcard bool
				AllowEmptyWildcard                                            bool
				Timestamp                                                     string
			}
		}
	}
	Constraints any
}

// buildTool builds a program of .ci/tools.
func buildTool(t *testing.T, name string) (program string) {
	t.Helper()
	lab.Slow(t)
	program = filepath.Join(t.TempDir(), name)
	build := exec.Command("go", "build", "-o", program, "./"+name)
	build.Dir = repository + "/.ci/tools"
	lab.Output(t, build)
	return program
}

// askBuildKit asks about the Dockerfile in a folder.
func askBuildKit(t *testing.T, folder string, args ...string) (b built) {
	t.Helper()
	lab.Slow(t)
	var wrong bytes.Buffer
	cmd := exec.Command(buildTool(t, "dockerfile"), append([]string{folder}, args...)...)
	cmd.Stderr = &wrong
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &b)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, wrong.Bytes())
	}
	return b
}

// TestDockerfileChecks has the checks of docker build --check find nothing, and
// shows that they find something.
func TestDockerfileChecks(t *testing.T) {
	b := askBuildKit(t, repository, "VERSION=1.2.3")
	for _, w := range b.Warnings {
		t.Error(w)
	}
	for _, f := range b.Files {
		if strings.HasPrefix(f, ".") || strings.HasPrefix(f, "docs/") ||
			strings.HasSuffix(f, "_test.go") || strings.Contains(f, "testdata/") {
			t.Errorf("the builder is sent %s, which no image needs", f)
		}
	}
	if b.Image.Config.User != "4567:4567" ||
		b.Image.Config.Labels["org.opencontainers.image.version"] != "1.2.3" ||
		!slices.Equal(b.Image.Config.Entrypoint, []string{"/usr/bin/pxesrv"}) ||
		!slices.Equal(b.Image.Config.Cmd, []string{"serve"}) ||
		b.Image.Config.StopSignal != "SIGTERM" {
		t.Errorf("the image is %+v", b.Image.Config)
	}
	bad := t.TempDir()
	text := "FROM debian:13-slim as one\nENV a b\nENTRYPOINT pxesrv serve\n"
	for name, text := range map[string]string{"Dockerfile": text, ".dockerignore": "*\n"} {
		if err := os.WriteFile(filepath.Join(bad, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all := strings.Join(askBuildKit(t, bad).Warnings, "\n")
	for _, rule := range []string{"Dockerfile:1: FromAsCasing",
		"Dockerfile:2: LegacyKeyValueFormat", "Dockerfile:3: JSONArgsRecommended"} {
		if !strings.Contains(all, rule) {
			t.Errorf("the checks do not find %s, but\n%s", rule, all)
		}
	}
}

// TestContainer builds the image and runs what it says, as the user it says,
// with a root folder that nobody can write to; then the examples of
// examples/container, with the volumes and variables that they say.
func TestContainer(t *testing.T) {
	t.Parallel()
	b := askBuildKit(t, repository, "VERSION=1.2.3", "COMMIT=0123456789ab",
		"SOURCE_DATE_EPOCH=1795308000")
	began := time.Now()
	r := buildImage(t, b)
	t.Logf("every stage was run in %.0f s", time.Since(began).Seconds())
	program, err := elf.Open(r.Path("/usr/bin/pxesrv"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool {
		return p.Type == elf.PT_INTERP
	}) {
		t.Error("the program is not static")
	}
	t.Run("image", func(t *testing.T) { testImage(t, r, b.Image) })
	t.Run("no rights", func(t *testing.T) { testNoRights(t, r, b.Image) })
	t.Run("compose", func(t *testing.T) { testCompose(t, r, b.Image) })
	t.Run("kubernetes", func(t *testing.T) { testKubernetes(t, r, b.Image) })
}

// buildImage does what BuildKit would do, and returns the image's root folder.
func buildImage(t *testing.T, b built) chroot.Root {
	t.Helper()
	steps := map[string]buildOp{}
	for _, s := range b.Steps {
		var op buildOp
		d := json.NewDecoder(bytes.NewReader(s.Op))
		d.DisallowUnknownFields()
		if err := d.Decode(&op); err != nil {
			t.Fatalf("the Dockerfile does something that this test cannot do: %v\n%s", err, s.Op)
		}
		steps[s.Digest] = op
	}
	context := buildContext(t, b.Files)
	roots := map[string]*chroot.Root{} // nil: the context
	taken := map[string]bool{}         // changed by a later step: there are no layers here
	var do func(digest string) *chroot.Root
	do = func(digest string) *chroot.Root {
		if r, done := roots[digest]; done {
			return r
		}
		op, known := steps[digest]
		if !known {
			t.Fatalf("no step %s", digest)
		}
		// base is the input that the step changes.
		base := func(i int64) *chroot.Root {
			if i < 0 {
				t.Fatal("a stage begins with nothing, which this test has no use for")
			}
			from := op.Inputs[i].Digest
			r := do(from)
			if taken[from] {
				t.Fatal("two stages go on from one, which this test cannot do")
			}
			taken[from] = true
			return r
		}
		var r *chroot.Root
		switch {
		case op.Source != nil && strings.HasPrefix(op.Source.Identifier, "local://"):
		case op.Source != nil:
			s := source(t, op.Source.Identifier)
			r = &s
		case op.Exec != nil:
			if len(op.Exec.Mounts) != 1 || op.Exec.Mounts[0].Dest != "/" {
				t.Fatal("a RUN has mounts, which this test cannot do")
			}
			r = base(op.Exec.Mounts[0].Input)
			m := op.Exec.Meta
			r.With(m.Env...).Run("sh", append([]string{"-c", `cd "$0" && exec "$@"`, m.Cwd},
				m.Args...)...)
		case op.File != nil:
			for i, a := range op.File.Actions {
				if i == 0 {
					r = base(a.Input)
				} else if int(a.Input) != len(op.Inputs)+i-1 {
					t.Fatal("the actions of a step are no chain, which this test cannot do")
				}
				switch {
				case a.Mkdir != nil:
					r.Run("mkdir", "-p", "-m", fmt.Sprintf("%o", a.Mkdir.Mode), a.Mkdir.Path)
				case a.Copy != nil && a.Copy.Mode == -1:
					from := do(op.Inputs[a.SecondaryInput].Digest)
					src := filepath.Join(context, a.Copy.Src)
					if from != nil {
						src = from.Path(a.Copy.Src)
					}
					copyInto(t, *r, src, a.Copy.Dest)
				default:
					t.Fatal("a step is neither COPY nor WORKDIR")
				}
			}
		default: // the last one only names the result
			r = base(0)
		}
		roots[digest] = r
		return r
	}
	return *do(b.Steps[len(b.Steps)-1].Digest)
}

// source is what stands for an image of the registry.
func source(t *testing.T, identifier string) chroot.Root {
	t.Helper()
	switch name, _, _ := strings.Cut(strings.TrimPrefix(identifier,
		"docker-image://docker.io/library/"), "@"); name {
	case "debian:13-slim":
		return chroot.New(t, chroot.Debian13)
	case "golang:1.26-bookworm":
		r := chroot.New(t, chroot.Debian12)
		out, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
		if err != nil {
			t.Fatal(err)
		}
		env := strings.Fields(string(out))
		r.Mount(env[0], "/usr/local/go", "ro")
		r.Mount(env[1], "/go/pkg/mod", "rw")
		r.Mount(env[2], "/.cache/go-build", "rw") // $HOME is /
		r.Mount("/usr/bin/make", "/usr/bin/make", "ro")
		r.Mount("/etc/ssl/certs", "/etc/ssl/certs", "ro")
		return r
	default:
		t.Fatalf("nothing stands for the image %s in this test", name)
		panic("")
	}
}

// buildContext is a folder with the files that a builder is sent.
func buildContext(t *testing.T, files []string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(repository, f))
		if err == nil {
			err = os.MkdirAll(filepath.Join(dir, filepath.Dir(f)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f), text, 0o600) // the rights of a strange umask
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// copyInto copies a file to a name, or into a folder, or what is in a folder
// into a folder, as COPY does.
func copyInto(t *testing.T, r chroot.Root, src, dest string) {
	t.Helper()
	info, err := os.Stat(src)
	if err != nil {
		t.Fatal(err)
	}
	to := r.Path(dest)
	dir := to
	switch {
	case info.IsDir():
		src += "/."
	case !strings.HasSuffix(dest, "/"):
		dir = path.Dir(to)
	default:
		to += "/"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", src, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
}

// container is a fresh root folder with what is special about the image: an
// engine would give each container its layers.
func container(t *testing.T, from chroot.Root) chroot.Root {
	t.Helper()
	r := chroot.New(t, chroot.Debian13)
	for _, name := range []string{"/usr/bin/pxesrv", "/usr/lib/ipxe", "/usr/lib/ISOLINUX",
		"/usr/lib/syslinux", "/srv/pxesrv", "/var/lib/pxesrv"} {
		copyInto(t, r, from.Path(name), name)
	}
	return r
}

// volume is a folder of this computer with what the image has at a place, as an
// engine fills a new volume.
func volume(t *testing.T, from chroot.Root, name string) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "volume")
	if out, err := exec.Command("cp", "-a", from.Path(name), at).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	return at
}

// ask asks for the script of the computer at this end of the network.
func ask(t *testing.T, from *netns.Namespace, url string) string {
	t.Helper()
	out, err := from.Command("curl", "-sS", "--max-time", "60", url).CombinedOutput()
	if err != nil {
		t.Fatalf("curl %s: %v\n%s", url, err, out)
	}
	return string(out)
}

// wantOnce places an order and wants one machine to get it once, from whichever
// of the servers.
func wantOnce(t *testing.T, in chroot.Root, from *netns.Namespace, name string, urls ...string) {
	t.Helper()
	const target = "install/debian-12.ipxe"
	in.Run("/usr/bin/pxesrv", "once", "place", name, target)
	script := in.Run("cat", "/srv/pxesrv/"+target)
	got := 0
	for range 2 {
		for _, url := range urls {
			if ask(t, from, url+"/redirect") == script {
				got++
			}
		}
	}
	if got != 1 {
		t.Errorf("the order was given %d times, not once", got)
	}
	if list := in.Run("/usr/bin/pxesrv", "once", "list"); !strings.Contains(list, "served") ||
		!strings.Contains(list, name) {
		t.Errorf("the order is not in the journal:\n%s", list)
	}
}

// lowPorts lets every user of a network have ports below 1024, as Docker does
// in a container's own network.
func lowPorts(t *testing.T, n *netns.Namespace) {
	t.Helper()
	if out, err := n.Command("sh", "-c",
		"echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// containerPatience is how long a daemon may take to come up.
const containerPatience = time.Minute

func testImage(t *testing.T, built chroot.Root, im containerImage) {
	n := netns.NewNetwork(t)
	machine := n.Host("10.77.0.9")
	lowPorts(t, &n.Namespace)
	r := container(t, built)
	for name := range im.Config.Volumes {
		r.Mount(volume(t, built, name), name, "rw")
	}
	r.ReadOnly()
	in := r.As(im.Config.User).In(&n.Namespace).With(im.Config.Env...)
	command := append(slices.Clone(im.Config.Entrypoint), im.Config.Cmd...)
	health := im.Config.Healthcheck.Test[1:]

	if out, err := in.Try(health[0], health[1:]...); err == nil ||
		!strings.Contains(out, "no daemon answers") {
		t.Errorf("without a daemon its health is %v: %s", err, out)
	}
	d := in.With("PXESRV_TFTP=:69").Start(command[0], command[1:]...)
	d.Expect("msg=listening.*4567", containerPatience)
	d.Expect("msg=listening.*udp", containerPatience)
	const url = "http://" + netns.NetworkAddr + ":4567"

	status := in.Run("sh", "-c",
		"cat /proc/$(grep -lx pxesrv /proc/[0-9]*/comm | cut -d/ -f3)/status")
	for _, want := range []string{
		"Uid:\t4567\t4567\t4567\t4567", "Gid:\t4567\t4567\t4567\t4567",
		"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("the daemon has not %q but\n%s", want, status)
		}
	}
	if out, err := r.Try("touch", "/etc/new", "/usr/bin/new"); err == nil ||
		!strings.Contains(out, "Read-only file system") {
		t.Errorf("the root folder is not read-only: %v, %s", err, out)
	}
	if out, err := in.Try("touch", "/srv/pxesrv/default"); err == nil {
		t.Errorf("the daemon may change the tree: %s", out)
	}
	example, err := os.ReadFile(repository + "/public/default")
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, machine, url+"/redirect"); got != string(example) {
		t.Errorf("a machine gets %q", got)
	}
	if got := ask(t, machine, "tftp://"+netns.NetworkAddr+"/autoexec.ipxe"); !strings.HasPrefix(got,
		"#!ipxe\n") || !strings.Contains(got, url) {
		t.Errorf("by TFTP it gets %q", got)
	}
	for _, name := range []string{"ipxe.efi", "snponly.efi", "undionly.kpxe", "ipxe.lkrn"} {
		for _, u := range []string{url + "/ipxe/" + name, "tftp://" + netns.NetworkAddr +
			"/" + name} {
			if got := ask(t, machine, u); got != r.Read("/usr/lib/ipxe/"+name) {
				t.Errorf("%s is not the distribution's, but %d bytes", u, len(got))
			}
		}
	}
	if out := in.Run("/usr/bin/pxesrv", "iso", "check-loaders"); !strings.Contains(out,
		"BIOS  ISOs boot from CD and from USB stick") ||
		!strings.Contains(out, "UEFI  ISOs boot from CD and from USB stick") {
		t.Errorf("the image does not make boot images:\n%s", out)
	}
	if out := in.Run("/usr/bin/pxesrv", "version"); !strings.HasPrefix(out,
		"pxesrv 1.2.3, commit 0123456789ab of 2026-11-22T") {
		t.Errorf("the build arguments make %q", out)
	}
	if out := in.Run(health[0], health[1:]...); !strings.HasSuffix(out, ": ok\n") {
		t.Errorf("its health is %q", out)
	}
	eventually(t, "ready, without a warning", func() bool {
		out, err := in.Try(health[0], append(slices.Clone(health[1:]), "--ready")...)
		return err == nil && strings.HasSuffix(out, ": ready\n")
	})
	wantOnce(t, in, machine, "10.77.0.9", url)
	in.Run("sh", "-c", "echo >/var/lib/pxesrv/new")
	if ended := d.Stop(); ended != "exit status 0" {
		t.Errorf("after SIGTERM: %s", ended)
	}
}

// testNoRights has a tree of the host whose once/ was not given to the
// container's group: nobody gets another answer than without it, the order
// stays, and who looks is told.
func testNoRights(t *testing.T, built chroot.Root, im containerImage) {
	n := netns.NewNetwork(t)
	machine := n.Host("10.77.0.9")
	r := container(t, built)
	tree := volume(t, built, "/srv/pxesrv")
	lab.Files{"default": "#!ipxe\necho default\n",
		"once/10.77.0.9": "-> ../install/debian-12.ipxe"}.Grow(t, tree)
	if out, err := exec.Command("sh", "-c", `chown -R 1000:1000 "$1" && chmod 755 "$1"/once`, "sh",
		tree).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.Mount(tree, "/srv/pxesrv", "rw")
	r.ReadOnly()
	in := r.As(im.Config.User).In(&n.Namespace).With(im.Config.Env...)
	d := in.Start(im.Config.Entrypoint[0], im.Config.Cmd...)
	d.Expect("msg=listening", containerPatience)
	d.Expect("level=WARN msg=\"?once", containerPatience)
	if got := ask(t, machine, "http://"+netns.NetworkAddr+
		":4567/redirect"); got != "#!ipxe\necho default\n" {
		t.Errorf("a machine gets %q", got)
	}
	if _, err := os.Lstat(filepath.Join(tree, "once/10.77.0.9")); err != nil {
		t.Errorf("the order is gone: %v", err)
	}
	eventually(t, "ready, with a warning", func() bool {
		out, err := in.Try("/usr/bin/pxesrv", "health", "--ready")
		return err == nil && strings.Contains(out, ": ready; warning: orders cannot be granted")
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(containerPatience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", containerPatience, what)
		}
	}
}

// compose is what the example has of the Compose specification, and what this
// test runs.
type compose struct {
	Services map[string]composeService
	Volumes  map[string]struct{}
}

type composeService struct {
	Image, Build string
	NetworkMode  string `yaml:"network_mode"`
	Environment  map[string]string
	Volumes      []string
	ReadOnly     bool     `yaml:"read_only"`
	CapDrop      []string `yaml:"cap_drop"`
	SecurityOpt  []string `yaml:"security_opt"`
	Restart      string
	StopGrace    time.Duration `yaml:"stop_grace_period"`
}

// optional are the lines of an example that show a setting without being one.
var optional = regexp.MustCompile(`(?m)^( *)#: `)

func readExample(t *testing.T, name string) string {
	t.Helper()
	return lab.ReadFile(t, filepath.Join(repository, "examples/container", name))
}

func testCompose(t *testing.T, built chroot.Root, im containerImage) {
	text := readExample(t, "compose.yaml")
	for what, text := range map[string]string{"as it is": text,
		"with every setting": optional.ReplaceAllString(text, "$1")} {
		t.Run(what, func(t *testing.T) {
			var c compose
			d := yaml.NewDecoder(strings.NewReader(text))
			d.KnownFields(true)
			if err := d.Decode(&c); err != nil {
				t.Fatal(err)
			}
			s := c.Services["pxesrv"]
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
				!slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) ||
				s.NetworkMode != "host" || s.Restart != "unless-stopped" ||
				s.StopGrace < 31*time.Second || len(c.Services) != 1 {
				t.Errorf("the service is %+v", s)
			}
			if _, err := os.Stat(filepath.Join(repository, "examples/container", s.Build,
				"Dockerfile")); err != nil {
				t.Error(err)
			}
			n := netns.NewNetwork(t)
			machine := n.Host("192.0.2.9")
			if out, err := n.Command("ip", "addr", "add", "192.0.2.1/24", "dev",
				"br0").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if s.Environment["PXESRV_TFTP"] != "" {
				lowPorts(t, &n.Namespace)
			}
			r := container(t, built)
			// The tree of somebody else, of which once/ was given to the
			// container as the comment says.
			tree := volume(t, built, "/srv/pxesrv")
			for _, line := range []string{"chown -R 1000:1000 .", "chmod 755 once",
				"chgrp 4567 once", "chmod 2775 once"} {
				cmd := exec.Command("sh", "-c", line)
				cmd.Dir = tree
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", line, err, out)
				}
			}
			for _, v := range s.Volumes {
				part := append(strings.Split(v, ":"), "rw")
				from := part[0]
				if named, ok := strings.CutPrefix(from, "./tree"); ok {
					from = filepath.Join(tree, named)
				} else if _, ok := c.Volumes[from]; ok {
					from = volume(t, built, part[1])
				} else {
					t.Fatalf("the volume %s is nowhere", v)
				}
				r.Mount(from, part[1], part[2])
			}
			r.ReadOnly()
			in := r.As(im.Config.User).In(&n.Namespace).With(im.Config.Env...)
			for name, value := range s.Environment {
				in = in.With(name + "=" + value)
			}
			d2 := in.Start(im.Config.Entrypoint[0], im.Config.Cmd...)
			d2.Expect(`"msg":"listening"`, containerPatience)
			const url = "http://192.0.2.1:4567"
			if got := ask(t, machine, url+"/redirect"); !strings.HasPrefix(got, "#!ipxe\n") {
				t.Errorf("a machine gets %q", got)
			}
			if s.Environment["PXESRV_TFTP"] != "" {
				if got := ask(t, machine, "tftp://192.0.2.1/autoexec.ipxe"); !strings.HasPrefix(got,
					"#!ipxe\n") {
					t.Errorf("by TFTP it gets %q", got)
				}
			}
			eventually(t, "ready, without a warning", func() bool {
				out, err := in.Try("/usr/bin/pxesrv", "health", "--ready")
				return err == nil && strings.HasSuffix(out, ": ready\n")
			})
			wantOnce(t, in, machine, "192.0.2.9", url)
			wantNoWarning(t, d2.Output())
		})
	}
}

// wantNoWarning wants a daemon to be content with its configuration. How many
// files it may open is up to this computer.
func wantNoWarning(t *testing.T, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		if strings.Contains(line, "ulimit -n") {
			continue
		}
		if strings.Contains(line, "WARN") || strings.Contains(line, "ERROR") ||
			strings.Contains(line, "warning") {
			t.Errorf("the daemon warns: %s", line)
		}
	}
}

// What this test needs to know of the objects of Kubernetes, as JSON; the tool
// has the rest.
type (
	kubeObject struct {
		Kind     string
		Metadata struct{ Name string }
		Data     map[string]string
		Spec     struct {
			Replicas              int
			Template              struct{ Spec kubePod }
			Ports                 []kubePort
			ExternalTrafficPolicy string
		}
	}
	kubePort struct {
		Name                string
		Port, ContainerPort int
		TargetPort          any
	}
	kubePod struct {
		TerminationGracePeriodSeconds int
		SecurityContext               struct {
			RunAsNonRoot                   bool
			RunAsUser, RunAsGroup, FSGroup int
		}
		InitContainers, Containers []kubeContainer
		Volumes                    []struct {
			Name      string
			ConfigMap *struct {
				Name  string
				Items []struct{ Key, Path string }
			}
			PersistentVolumeClaim *struct{ ClaimName string }
		}
	}
	kubeContainer struct {
		Command, Args                 []string
		Env                           []struct{ Name, Value string }
		Ports                         []kubePort
		LivenessProbe, ReadinessProbe struct {
			HTTPGet struct{ Path, Port string }
		}
		SecurityContext struct {
			ReadOnlyRootFilesystem, AllowPrivilegeEscalation bool
			Capabilities                                     struct{ Drop []string }
		}
		VolumeMounts []struct {
			Name, MountPath string
			ReadOnly        bool
		}
	}
)

// serviceVariable is what the daemon says of variables that Kubernetes sets
// beside a Service.
var serviceVariable = regexp.MustCompile(
	`(?m)^pxesrv: warning: PXESRV_(PORT|SERVICE_HOST|PORT_4567_TCP_PROTO)\b.* ignored.*\n`)

// kubeObjects reads a file of objects as strictly as the API server does.
func kubeObjects(t *testing.T, program, file string) (objects []kubeObject, err error) {
	t.Helper()
	out, err := exec.Command(program, file).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	if err := json.Unmarshal(out, &objects); err != nil {
		t.Fatal(err)
	}
	return objects, nil
}

// testKubernetes runs the pods of the example beside each other: with its
// ConfigMap as the kubelet lays it out, its shared volume, its variables, and
// those that a Service of the same name would add.
func testKubernetes(t *testing.T, built chroot.Root, im containerImage) {
	program := buildTool(t, "kubernetes")
	objects, err := kubeObjects(t, program, repository+"/examples/container/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"runAsNonRoot:": "runAsNonroot:", "containerPort: 4567": `containerPort: "x"`,
		"apps/v1":     "apps/v0",
		"replicas: 2": "replicas: 2\n  replicas: 3",
	} {
		bad := filepath.Join(t.TempDir(), "bad.yaml")
		if err := os.WriteFile(bad, []byte(strings.Replace(readExample(t, "kubernetes.yaml"), from,
			to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := kubeObjects(t, program, bad); err == nil {
			t.Errorf("with %q instead of %q nothing is wrong", to, from)
		}
	}

	of := map[string]kubeObject{}
	for _, o := range objects {
		of[o.Kind+" "+o.Metadata.Name] = o
	}
	deployment, service := of["Deployment pxesrv"].Spec, of["Service pxesrv"].Spec
	pod := deployment.Template.Spec
	c, sec := pod.Containers[0], pod.SecurityContext
	if !sec.RunAsNonRoot || fmt.Sprintf("%d:%d", sec.RunAsUser, sec.RunAsGroup) != im.Config.User ||
		sec.FSGroup != sec.RunAsGroup ||
		pod.TerminationGracePeriodSeconds < 31 || len(c.Command) > 0 ||
		service.ExternalTrafficPolicy != "Local" {
		t.Errorf("the pod is %+v", pod)
	}
	for _, c := range append(slices.Clone(pod.InitContainers), c) {
		if s := c.SecurityContext; !s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation ||
			!slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("a container may do %+v", s)
		}
	}
	port := c.Ports[0]
	if service.Ports[0].TargetPort != port.Name || c.LivenessProbe.HTTPGet.Port != port.Name ||
		c.ReadinessProbe.HTTPGet.Port != port.Name {
		t.Errorf("the Service and the probes do not lead to %+v", port)
	}

	shared := filepath.Join(t.TempDir(), "shared") // as a driver makes it with fsGroup
	if err := errors.Join(os.Mkdir(shared, 0o775), os.Chown(shared, 0, sec.FSGroup),
		os.Chmod(shared, 0o2775)); err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	swap := func(release string, change func(key, text string) string) {
		files := lab.Files{}
		for _, v := range pod.Volumes {
			if v.ConfigMap == nil {
				continue
			}
			data := of["ConfigMap "+v.ConfigMap.Name].Data
			for _, item := range v.ConfigMap.Items {
				text, is := data[item.Key]
				if !is {
					t.Fatalf("the ConfigMap has no key %s", item.Key)
				}
				files[path.Join(release, item.Path)] = change(item.Key, text)
				first, _, _ := strings.Cut(item.Path, "/")
				if _, err := os.Lstat(filepath.Join(tree, first)); err != nil {
					files[first] = "-> ..data/" + first
				}
			}
		}
		files.Grow(t, tree)
		lab.Swap(t, release, filepath.Join(tree, "..data"))
	}
	swap("..2026_11_22_10_00_00.1", func(_, text string) string { return text })

	n := netns.NewNetwork(t)
	machine := n.Host("10.77.0.9")
	var urls []string
	var pods []chroot.Root
	var servers []*netns.Server
	// start makes the root folder of a container of a pod.
	start := func(c kubeContainer, at *netns.Namespace) chroot.Root {
		r := chroot.New(t, chroot.Debian13)
		copyInto(t, r, built.Path("/usr/bin/pxesrv"), "/usr/bin/pxesrv")
		for _, m := range c.VolumeMounts {
			how := "rw"
			if m.ReadOnly {
				how = "ro"
			}
			for _, v := range pod.Volumes {
				switch {
				case v.Name != m.Name:
				case v.ConfigMap != nil:
					r.Mount(tree, m.MountPath, how)
				case of["PersistentVolumeClaim "+v.PersistentVolumeClaim.ClaimName].Kind != "":
					r.Mount(shared, m.MountPath, how)
				}
			}
		}
		r.ReadOnly()
		r = r.As(fmt.Sprintf("%d:%d", sec.RunAsUser, sec.RunAsGroup)).In(at).With(im.Config.Env...)
		for _, e := range c.Env {
			r = r.With(e.Name + "=" + e.Value)
		}
		return r
	}
	for i := range deployment.Replicas {
		addr := fmt.Sprintf("10.77.0.%d", 101+i)
		at := n.Host(addr)
		for _, first := range pod.InitContainers {
			start(first, at).Run(first.Command[0], first.Command[1:]...)
		}
		r := start(c, at)
		links := r.With("PXESRV_PORT=tcp://10.96.0.7:4567", "PXESRV_SERVICE_HOST=10.96.0.7",
			"PXESRV_PORT_4567_TCP_PROTO=tcp")
		s := links.Start(im.Config.Entrypoint[0], c.Args...)
		s.Expect(`"msg":"listening"`, containerPatience)
		pods, servers, urls = append(pods, r), append(servers, s),
			append(urls, fmt.Sprintf("http://%s:%d", addr, port.ContainerPort))
	}
	const mac = "?mac=52:54:00:12:34:56"
	for i, url := range urls {
		if got := ask(t, machine, url+"/redirect"+mac); !strings.Contains(got, "web1") {
			t.Errorf("web1 gets %q", got)
		}
		if got := ask(t, machine, url+c.LivenessProbe.HTTPGet.Path); got != "ok\n" {
			t.Errorf("alive: %q", got)
		}
		eventually(t, "ready, without a warning", func() bool {
			return ask(t, machine, url+c.ReadinessProbe.HTTPGet.Path) == "ready\n"
		})
		pods[i].Run("/usr/bin/pxesrv", "health")
	}
	wantOnce(t, pods[0], machine, "10.77.0.9", urls...)

	swap("..2026_11_22_10_01_00.2", func(key, text string) string {
		return strings.ReplaceAll(text, "web1 boots", "changed")
	})
	for _, url := range urls {
		if got := ask(t, machine, url+"/redirect"+mac); !strings.Contains(got, "changed") {
			t.Errorf("after a change of the ConfigMap web1 gets %q", got)
		}
	}
	for _, s := range servers {
		if ended := s.Stop(); ended != "exit status 0" {
			t.Errorf("after SIGTERM: %s", ended)
		}
		wantNoWarning(t, serviceVariable.ReplaceAllString(s.Output(), ""))
		if strings.Count(s.Output(), "is ignored") != 3 {
			t.Errorf("the variables of a Service are not named:\n%s", s.Output())
		}
	}
}
