//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"pxesrv/pkg/lab"
	"runtime"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// hookRepository is a Git repository with the hook of examples/git and a boot
// tree in boot/.
func hookRepository(t *testing.T) (write func(name, text string),
	git func(args ...string) (string, error)) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("there is no git here: run 'make deps'")
	}
	bin, repo := t.TempDir(), t.TempDir()
	lab.Build(t, "pxesrv/cmd/pxesrv", filepath.Join(bin, "pxesrv"))
	git = func(args ...string) (string, error) {
		cmd := exec.Command("git", args...)
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "HOME="+repo, "GIT_CONFIG_NOSYSTEM=1", "PATH="+bin+":"+
			os.Getenv("PATH"), "PXESRV_ROOT=",
			"GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@example.org", "GIT_COMMITTER_NAME=x",
			"GIT_COMMITTER_EMAIL=x@example.org")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	write = func(name, text string) {
		t.Helper()
		at := filepath.Join(repo, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := git("init", "-q"); err != nil {
		t.Fatal(out)
	}
	hook, err := os.ReadFile("../../examples/git/pre-commit")
	if err != nil {
		t.Fatal(err)
	}
	write(".git/hooks/pre-commit", string(hook))
	if err := os.Chmod(filepath.Join(repo, ".git/hooks/pre-commit"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := git("config", "pxesrv.root", "boot"); err != nil {
		t.Fatal(out)
	}
	return write, git
}

// TestHook commits with the hook of examples/git, as people do.
func TestHook(t *testing.T) {
	write, git := hookRepository(t)
	commit := func(want bool, say string) {
		t.Helper()
		if out, err := git("add", "--all"); err != nil {
			t.Fatal(out)
		}
		out, err := git("commit", "-qm", "x")
		if (err == nil) != want || !strings.Contains(out, say) {
			t.Errorf("committed is %v, want %v, and the words %q:\n%s", err == nil, want, say, out)
		}
	}
	write("boot/default", "#!ipxe\nkernel images/linux\nboot\n")
	write("boot/.gitignore", "/images/\n")
	write("boot/once/.gitignore", "*\n!.gitignore\n")
	commit(true, "") // the kernel is not in Git, and ignored

	write("boot/static/10.0.0.7", "#!ipxe\ngoto instal\n:install\n")
	commit(false, "static/10.0.0.7:2: error: there is no label :instal in this script")
	if out, err := git("log", "--format=%h"); err != nil || strings.Count(out, "\n") != 1 {
		t.Errorf("the refused commit is there: %s", out)
	}
	write("boot/static/10.0.0.7", "#!ipxe\ngoto install\n:install\nfrobnicate\n")
	commit(true, "warning") // is said, and does not refuse

	// A commit that leaves the tree alone is not held up by it.
	write("boot/static/10.0.0.8", "linux\n")
	write("notes", "x")
	if out, err := git("add", "notes"); err != nil {
		t.Fatal(out)
	}
	if out, err := git("commit", "-qm", "x"); err != nil {
		t.Error(out)
	}
}

// TestHookWithoutProgram: a colleague without pxesrv may commit, and is told.
func TestHookWithoutProgram(t *testing.T) {
	write, git := hookRepository(t)
	write("boot/default", "linux\n")
	if out, err := git("add", "--all"); err != nil {
		t.Fatal(out)
	}
	top, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		t.Fatal(top)
	}
	// All that the hook runs, and no pxesrv, be it installed here or not.
	bin := t.TempDir()
	for _, name := range []string{"sh", "git"} {
		at, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(at, filepath.Join(bin, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	cmd := exec.Command("sh", ".git/hooks/pre-commit")
	cmd.Dir = strings.TrimSpace(top)
	said, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "was not checked") {
		t.Errorf("%v: %s", err, said)
	}
}

// TestExampleJob: the CI job is YAML, and runs the check.
func TestExampleJob(t *testing.T) {
	text, err := os.ReadFile("../../examples/git/ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var jobs map[string]struct {
		Script []string `yaml:"script"`
	}
	if err := yaml.Unmarshal(text, &jobs); err != nil {
		t.Fatal(err)
	}
	script := strings.Join(jobs["check-boot-tree"].Script, "\n")
	if !strings.Contains(script, "pxesrv check --json") {
		t.Errorf("does not check: %s", script)
	}
}

// TestCheckWithoutProc: in a chroot or an image that is being built, what is
// missing is said once, and not of each file.
func TestCheckWithoutProc(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root can have a mount namespace without /proc")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "pxesrv")
	lab.Build(t, "pxesrv/cmd/pxesrv", program)
	for name, text := range map[string]string{"root/default": "#!ipxe\nexit 1\n",
		"root/static/10.0.0.7": "#!ipxe\nexit 1\n", "root/once/.keep": ""} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
		`mount -t tmpfs none /proc && exec "$0" check "$1"`,
		program, filepath.Join(dir, "root"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(string(out), "\n") != 1 ||
		!strings.Contains(string(out), "/proc is not mounted") {
		t.Errorf("%v: %s", err, out)
	}
}
