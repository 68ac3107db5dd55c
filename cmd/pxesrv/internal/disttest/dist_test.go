//go:build linux

package disttest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/lab"
)

// TestDist: make dist in two folders gives the same bytes, and they are what an
// administrator needs.
func TestDist(t *testing.T) {
	lab.Slow(t)
	t.Parallel()
	source := t.TempDir()
	if err := copyRepository(repository, source); err != nil {
		t.Fatal(err)
	}
	// One commit of what is here now, whatever the checkout is.
	command(t, source, "git", "init", "-q")
	command(t, source, "git", "add", "-A")
	command(t, source, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit",
		"-q", "-m", "test",
		"--date=2026-11-22T04:00:00Z")
	commit := command(t, source, "git", "rev-parse", "--short=12", "HEAD")
	var folders []string
	for _, name := range []string{"one", "another/and deeper"} {
		dir := filepath.Join(t.TempDir(), name)
		command(t, source, "git", "clone", "-q", source, dir)
		// What lies about stays out.
		for _, stray := range []string{"public/once/.claimed", "public/static"} {
			if err := os.MkdirAll(filepath.Join(dir, stray), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "public/static/stray"), []byte("#!ipxe\n"),
			0o600); err != nil {
			t.Fatal(err)
		}
		// an old checkout
		if err := os.Chtimes(filepath.Join(dir, "README.md"), time.Time{},
			time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		command(t, dir, "make", "source", "VERSION=1.2.3")
		command(t, dir, "make", "dist", "VERSION=1.2.3")
		folders = append(folders, dir)
	}
	sums := command(t, folders[0], "cat", "dist/SHA256SUMS")
	if other := command(t, folders[1], "cat", "dist/SHA256SUMS"); sums != other {
		t.Errorf("two folders, different bytes:\n%s\n%s", sums, other)
	}
	command(t, filepath.Join(folders[0], "dist"), "sha256sum", "-c", "--strict", "SHA256SUMS")
	// The source, which packages are built from, is still there, and has what
	// Git knows.
	const tarball = "dist/pxesrv-1.2.3.tar.gz"
	if one, other := command(t, folders[0], "cat", tarball),
		command(t, folders[1], "cat", tarball); one != other {
		t.Errorf("two folders, different sources")
	}
	have := slices.Sorted(maps.Keys(unpack(t, filepath.Join(folders[0], tarball), "pxesrv-1.2.3")))
	if want := strings.Split(command(t, folders[0], "git", "ls-files"),
		"\n"); !slices.Equal(have, want) {
		t.Errorf("the source has\n%q, and Git\n%q", have, want)
	}
	if n := strings.Count(sums+"\n", ".tar.gz\n"); n != 2 {
		t.Errorf("SHA256SUMS has %d lines:\n%s", n, sums)
	}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64,
		"arm64": elf.EM_AARCH64} {
		name := "pxesrv-1.2.3-linux-" + arch
		files := unpack(t, filepath.Join(folders[0], "dist", name+".tar.gz"), name)
		for _, want := range []string{"README.md", "LICENSE", "pxesrv.8", "completions/pxesrv",
			"completions/_pxesrv", "completions/pxesrv.fish", "libraries.txt",
			"docs/settings.md", "examples/pxesrv.yaml", "public/default"} {
			if len(files[want]) == 0 {
				t.Errorf("%s lacks %s", name, want)
			}
		}
		for have := range files {
			if strings.Contains(have, "stray") || strings.Contains(have, ".claimed") {
				t.Errorf("%s has %s, which is not in Git", name, have)
			}
		}
		if files["pxesrv.8"] != "" && !strings.Contains(files["pxesrv.8"], `"pxesrv 1.2.3"`) {
			t.Errorf("the manual page is of another version")
		}
		program := []byte(files["pxesrv"])
		for _, dir := range folders {
			if bytes.Contains(program, []byte(dir)) {
				t.Errorf("%s knows the folder it was built in", name)
			}
		}
		f, err := elf.NewFile(bytes.NewReader(program))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine {
			t.Errorf("%s is for %v", name, f.Machine)
		}
		if libs, err := f.ImportedLibraries(); err != nil || len(libs) > 0 ||
			slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool {
				return p.Type == elf.PT_INTERP
			}) {
			t.Errorf("%s is not static: %v %v", name, libs, err)
		}
		path := filepath.Join(t.TempDir(), "pxesrv")
		if err := os.WriteFile(path, program, 0o755); err != nil {
			t.Fatal(err)
		}
		run := []string{path}
		if arch != runtime.GOARCH {
			run = []string{map[string]string{"arm64": "qemu-aarch64-static",
				"amd64": "qemu-x86_64-static"}[arch], path}
		}
		want := "pxesrv 1.2.3, commit " + commit + " of 2026-11-22T04:00:00Z, " +
			runtime.Version() + " linux/" + arch
		if got := command(t, ".", append(run, "version")...); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// command runs a command and returns what it prints.
func command(t *testing.T, dir string, words ...string) string {
	t.Helper()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GIT_COMMITTER_DATE=2026-11-22T04:00:00Z", "MAKEFLAGS=")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v (make deps installs what is missing)\n%s%s", strings.Join(words, " "), err,
			&out, &errOut)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// unpack reads an archive whose entries all lie below name, belong to root and
// have the time of the commit. Directories are empty.
func unpack(t *testing.T, archive, name string) map[string]string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if !z.ModTime.IsZero() {
		t.Errorf("%s: gzip has the time %v", archive, z.ModTime)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		below, ok := strings.CutPrefix(h.Name, name+"/")
		if !ok || h.Uid != 0 || h.Gid != 0 || h.Uname != "" ||
			h.ModTime.UTC().Format("2006-01-02T15:04:05Z") != "2026-11-22T04:00:00Z" {
			t.Errorf("%s: %s of %d:%d (%s) at %v", archive, h.Name, h.Uid, h.Gid,
				h.Uname, h.ModTime)
		}
		if bits := h.FileInfo().Mode().Perm(); h.Typeflag != tar.TypeSymlink && bits != 0o644 &&
			bits != 0o755 {
			t.Errorf("%s: %s may be %v", archive, h.Name, bits)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if files[below] = string(text); h.Typeflag == tar.TypeSymlink {
			files[below] = h.Linkname
		}
	}
}

// TestReproducibleSoak builds the program and the packages with caches of its
// own, so that nothing of the first build is in the second.
func TestReproducibleSoak(t *testing.T) {
	lab.OnlySoak(t)
	sums := map[string]string{}
	for range 2 {
		dir := t.TempDir()
		if err := copyRepository(repository, filepath.Join(dir, "source")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("GOCACHE", filepath.Join(dir, "cache"))
		command(t, filepath.Join(dir, "source"), "make", "build", "deb", "rpm", "COMMIT=0",
			"SOURCE_DATE_EPOCH=1700000000")
		for _, pattern := range []string{"bin/pxesrv", "dist/*.tar.gz", "dist/*.deb",
			"dist/*.rpm"} {
			files, _ := filepath.Glob(filepath.Join(dir, "source", pattern))
			if len(files) != 1 {
				t.Fatalf("%s: %q", pattern, files)
			}
			text, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			sum := fmt.Sprintf("%x", sha256.Sum256(text))
			if first, again := sums[pattern]; again && first != sum {
				t.Errorf("%s: %s and %s", pattern, first, sum)
			}
			sums[pattern] = sum
		}
	}
}
