//go:build unix

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScript tells the stories of testdata/script: each a fresh folder $WORK
// with the files of the archive, $ROOT (which is $WORK/root unless the story
// sets it) as PXESRV_ROOT, the scriptVariables, and the commands of testscript
// with these besides:
//
//	serve [ARG...]   start "pxesrv serve ARG..." with the tree $ROOT on a free port of 127.0.0.1, wait until it answers, set
//	                 $ADDR (host:port) and $URL (http://host:port). SIGTERM ends it at the end of the story; then, and in
//	                 stopserve, any exit status but 0 is a failure. "! serve" expects that it ends by itself, with a failure.
//	                 stdout and stderr are then what it printed.
//	stopserve        end it now; stdout and stderr are what it printed
//	get [-head] [-X METHOD] [-A USERAGENT] [-H 'NAME: VALUE']... [-d BODY] PATH|URL
//	                 one request, no redirect followed; stdout is the body, stderr a line "STATUS 200" and "Name: value"
//	                 lines, sorted by name. "! get" expects that no answer comes.
func TestScript(t *testing.T) {
	stories, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(stories) == 0 {
		t.Fatal("no stories in testdata/script")
	}
	runScripts(t, stories...)
}

func runScripts(t *testing.T, files ...string) {
	testscript.Run(t, testscript.Params{
		Files: files,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ROOT", filepath.Join(e.WorkDir, "root"))
			e.Setenv("PXESRV_ROOT", e.Getenv("ROOT"))
			for name, value := range scriptVariables {
				e.Setenv(name, value(e.T().(testing.TB)))
			}
			d := &scriptDaemon{}
			e.Values[scriptDaemonKey{}] = d
			e.Defer(func() {
				if d.cmd == nil {
					return
				}
				t := e.T().(testing.TB)
				if err := d.end(); err != nil {
					t.Error(err)
				}
				t.Logf("[pxesrv serve]\n%s%s", &d.stdout, &d.stderr)
			})
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":     scriptServe,
			"stopserve": scriptStopServe,
			"get":       scriptGet,
		},
		RequireUniqueNames: true,
	})
}

// scriptVariables are variables of each story that a system has.
var scriptVariables = map[string]func(t testing.TB) string{}

// A scriptDaemon is the pxesrv of a story; nothing while it does not run.
type scriptDaemon struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
	ended  chan struct{} // closed when err is known
	err    error
}

type scriptDaemonKey struct{}

// scriptPatience is how long a daemon may take to answer, and to end.
const scriptPatience = 30 * time.Second

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	d := ts.Value(scriptDaemonKey{}).(*scriptDaemon)
	if d.cmd != nil {
		ts.Fatalf("the daemon runs already")
	}
	up := d.start(ts, args)
	for range 3 { // another process may have taken the free port
		if !up && d.cmd == nil && strings.Contains(d.stderr.String(), "address already in use") {
			up = d.start(ts, args)
		}
	}
	silent := !up && d.cmd != nil
	if silent || up && neg {
		d.end()
	}
	if d.cmd == nil { // else it still prints
		ts.Stdout().Write(d.stdout.Bytes())
		ts.Stderr().Write(d.stderr.Bytes())
	}
	switch {
	case silent:
		ts.Fatalf("pxesrv serve does not answer on %s", ts.Getenv("ADDR"))
	case up && neg:
		ts.Fatalf("pxesrv serve answers, though it was to fail")
	case !up && d.err == nil:
		ts.Fatalf("pxesrv serve ended by itself, without an error")
	case !up && !neg:
		ts.Fatalf("pxesrv serve ended by itself: %v", d.err)
	}
}

// start starts the daemon on a free port and waits until it answers or has
// ended.
func (d *scriptDaemon) start(ts *testscript.TestScript, args []string) (up bool) {
	addr, err := freeLoopbackAddr()
	ts.Check(err)
	program, err := exec.LookPath("pxesrv") // put there by testscript.Main
	ts.Check(err)
	// The environment of the story can be had from a program only.
	list := filepath.Join(ts.Getenv("WORK"), ".environ")
	ts.Check(ts.Exec("sh", "-c", `env -0 >"$WORK/.environ"`))
	env, err := os.ReadFile(list)
	ts.Check(errors.Join(err, os.Remove(list)))

	*d = scriptDaemon{ended: make(chan struct{})}
	cmd := exec.Command(program, append([]string{"serve", "--listen", addr}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(strings.Split(strings.TrimRight(string(env), "\x00"), "\x00"), "PXESRV_ROOT="+
		ts.Getenv("ROOT"))
	cmd.Stdout, cmd.Stderr = &d.stdout, &d.stderr
	ts.Check(cmd.Start())
	d.cmd = cmd
	go func() { d.err = cmd.Wait(); close(d.ended) }()
	ts.Setenv("ADDR", addr)
	ts.Setenv("URL", "http://"+addr)

	for begin := time.Now(); time.Since(begin) < scriptPatience; {
		select {
		case <-d.ended:
			d.cmd = nil
			return false
		case <-time.After(5 * time.Millisecond):
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return true
		}
	}
	return false
}

func scriptStopServe(ts *testscript.TestScript, neg bool, args []string) {
	d := ts.Value(scriptDaemonKey{}).(*scriptDaemon)
	if neg || len(args) > 0 {
		ts.Fatalf("usage: stopserve")
	}
	if d.cmd == nil {
		ts.Fatalf("no daemon runs")
	}
	err := d.end()
	ts.Stdout().Write(d.stdout.Bytes())
	ts.Stderr().Write(d.stderr.Bytes())
	ts.Check(err)
}

// end sends SIGTERM, waits, and says what was wrong with the end.
func (d *scriptDaemon) end() error {
	d.cmd.Process.Signal(syscall.SIGTERM)
	overdue := time.AfterFunc(scriptPatience, func() { d.cmd.Process.Kill() })
	<-d.ended
	inTime := overdue.Stop()
	d.cmd = nil
	switch {
	case !inTime:
		return fmt.Errorf("pxesrv serve was still there %v after SIGTERM", scriptPatience)
	case d.err != nil:
		return fmt.Errorf("pxesrv serve, after SIGTERM: %w", d.err)
	}
	return nil
}

// freeLoopbackAddr is an address of the loopback where nobody listens.
func freeLoopbackAddr() (string, error) {
	// Below the ports that connections are given, so that none of them takes it
	// before or between two starts.
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no port from 15000 on is free")
}

func scriptGet(ts *testscript.TestScript, neg bool, args []string) {
	header := http.Header{}
	flags := flag.NewFlagSet("get", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	head := flags.Bool("head", false, "")
	method := flags.String("X", http.MethodGet, "")
	agent := flags.String("A", "", "")
	body := flags.String("d", "", "")
	flags.Func("H", "", func(s string) error {
		name, value, ok := strings.Cut(s, ":")
		if !ok {
			return errors.New("a header is NAME: VALUE")
		}
		header.Add(name, strings.TrimSpace(value))
		return nil
	})
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		ts.Fatalf("usage: get [-head] [-X METHOD] [-A USERAGENT] [-H 'NAME: VALUE']... [-d BODY] "+
			"PATH|URL: %v", err)
	}
	if *head {
		*method = http.MethodHead
	}
	url := flags.Arg(0)
	if !strings.Contains(url, "://") {
		url = ts.Getenv("URL") + url
	}
	req, err := http.NewRequest(*method, url, strings.NewReader(*body))
	ts.Check(err)
	req.Header = header
	req.Host = header.Get("Host")
	header.Set("User-Agent", *agent) // "" sends none
	client := http.Client{
		Timeout:   scriptPatience,
		Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request,
			[]*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	resp, err := client.Do(req)
	if neg {
		if err == nil {
			resp.Body.Close()
			ts.Fatalf("an answer came: %s", resp.Status)
		}
		return
	}
	ts.Check(err)
	defer resp.Body.Close()
	fmt.Fprintf(ts.Stderr(), "STATUS %d\n", resp.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		for _, value := range resp.Header[name] {
			fmt.Fprintf(ts.Stderr(), "%s: %s\n", name, value)
		}
	}
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
}

// TestScriptCommands is about serve, stopserve and get themselves.
func TestScriptCommands(t *testing.T) {
	story := filepath.Join(t.TempDir(), "commands.txtar")
	if err := os.WriteFile(story, []byte(`
! serve --no-such-flag
stderr .
env ROOT=$WORK/tree
serve
get -A 'iPXE/1.21.1' -H 'Range: bytes=0-1' /sub/file
stdout '^hi$'
stderr '^STATUS 206$'
stderr '^Content-Length: 2$'
get -head $URL/sub/file
! stdout .
stderr '^STATUS 200$'
get /nowhere
stderr '^STATUS 404$'
stopserve
! get /sub/file
serve
get /sub/file
stdout hidden
-- tree/sub/file --
hidden
-- tree/default --
#!ipxe
exit
`), 0o644); err != nil {
		t.Fatal(err)
	}
	runScripts(t, story)
}
