//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"pxesrv/pkg/lab"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestShells types at real shells, each on a terminal of its own: a tab
// completes, and the line that comes of it is run. The pxesrv of these shells
// tells its arguments, and asks the real one only for completion.
func TestShells(t *testing.T) {
	bin := t.TempDir()
	lab.Build(t, "pxesrv/cmd/pxesrv", filepath.Join(bin, "real"))
	fake := "#!/bin/sh\ncase $1 in\n__complete) exec " + bin +
		"/real \"$@\" ;;\nesac\nprintf 'ARGS'\nprintf '|%s' \"$@\"\nprintf '|\\n'\n"
	if err := os.WriteFile(filepath.Join(bin, "pxesrv"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	scripts := t.TempDir()
	for shell, name := range map[string]string{"bash": "pxesrv", "zsh": "_pxesrv",
		"fish": "pxesrv.fish"} {
		text, err := exec.Command(filepath.Join(bin, "real"), "completion", shell).Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(scripts, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, shell := range []struct {
		name  string
		start []string
		setup string
	}{
		{"bash", []string{"bash", "--norc", "--noprofile", "-i"},
			"source /usr/share/bash-completion/bash_completion; source " + scripts +
				"/pxesrv; PS1=rea; PS1+='dy> '"},
		// As packages have it, in a directory of $fpath, and as people have it,
		// by source.
		{"zsh", []string{"zsh", "-f", "-i"}, "fpath=(" + scripts +
			" $fpath); autoload -U compinit; compinit -u -D; PS1=rea; PS1+='dy> '"},
		{"zsh", []string{"zsh", "-f", "-i"}, "autoload -U compinit; compinit -u -D; source " +
			scripts + "/_pxesrv; PS1=rea; PS1+='dy> '"},
		{"fish", []string{"fish", "--no-config", "-i"}, "source " + scripts +
			"/pxesrv.fish; function fish_prompt; echo -n rea; echo -n 'dy> '; end"},
	} {
		t.Run(shell.name, func(t *testing.T) {
			if _, err := exec.LookPath(shell.name); err != nil {
				t.Fatalf("%v; make deps installs it", err)
			}
			dir := completionTree(t)
			s := startShell(t, dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"),
				"HOME="+dir, "TERM=dumb",
				"PXESRV_ROOT="+dir+"/root", "PXESRV_STATE="+dir+"/state"), shell.start...)
			s.write(shell.setup + "\n")
			for _, row := range []struct{ typed, want string }{
				{"vers\t", "version"},
				{"comp\tz\t", "completion|zsh"},
				{"dhcp ke\t", "dhcp|kea"},
				{"ord\tcan\t52\t", "order|cancel|52-54-00-12-34-56"},
				{"order cancel fd00:\t", "order|cancel|fd00::7"},
				{"once cancel fd00:\t", "once|cancel|fd00::7"},
				{"once place x ins\tdeb\t", "once|place|x|install/debian.ipxe"},
				{"serve --log-f\tj\t", "serve|--log-format|json"},
				{"serve --identify=of\t", "serve|--identify=off"},
				{"check ro\t", "check|root"},
				{"serve --config con\t", "serve|--config|conf.yaml"},
				{"serve --config=con\t", "serve|--config=conf.yaml"},
				{"serve --config with\t", "serve|--config|with blank.yaml"},
				{"serve --root=ro\t", "serve|--root=root"},
			} {
				s.wait("ready> ")
				s.write("pxesrv " + row.typed + "\n")
				line := s.wait("ARGS|")
				got := strings.TrimSuffix(strings.TrimSpace(line), "|")
				// zsh takes it off a directory when the line ends
				got = strings.TrimSuffix(got, "/")
				if got != row.want {
					t.Errorf("%q: %s, want %s", row.typed, got, row.want)
				}
			}
		})
	}
}

// shell is a shell on a terminal.
type shell struct {
	t        *testing.T
	terminal *os.File

	mu   sync.Mutex
	text []byte // what it printed and nobody waited for
	all  []byte
}

// shellPatience is how long a shell may take for one line.
const shellPatience = time.Minute

func startShell(t *testing.T, dir string, env []string, args ...string) *shell {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	n, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ,
			&unix.Winsize{Row: 50, Col: 500})
	}
	if err != nil {
		t.Fatal(err)
	}
	side, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = side, side, side
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, terminal: terminal}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := terminal.Read(buf)
			s.mu.Lock()
			s.text, s.all = append(s.text, buf[:n]...), append(s.all, buf[:n]...)
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *shell) write(text string) {
	if _, err := fmt.Fprint(s.terminal, text); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits for a text, and returns the rest of its line if it is a line that
// a program prints.
func (s *shell) wait(text string) string {
	s.t.Helper()
	for end := time.Now().Add(shellPatience); time.Now().Before(end); time.Sleep(
		2 * time.Millisecond) {
		s.mu.Lock()
		_, after, found := bytes.Cut(s.text, []byte(text))
		line, rest := after, after
		if found && strings.HasSuffix(text, "|") {
			line, rest, found = bytes.Cut(after, []byte("\n"))
		}
		if found {
			s.text = rest
			s.mu.Unlock()
			return string(line)
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.Fatalf("the shell does not print %q; it printed\n%s", text, s.all)
	return ""
}
