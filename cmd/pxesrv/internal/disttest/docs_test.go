//go:build unix

package disttest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/lab"
)

// TestDocs runs every command of README.md and docs/*.md and compares what it
// prints.
//
// A fenced block marked "console" is a piece of a shell session. A line "$
// COMMAND" is a command; it goes on in the next line after a backslash at its
// end, and in lines "> MORE" that follow it, as a here-document does. The lines
// up to the next command are what it prints, to either stream; trailing blanks
// do not count, "…" stands for any text within a line, and a line "…" for any
// number of lines. A command has to succeed; one that shows a failure says so
// in its text, as in "pxesrv check || echo exit $?". A command that ends in "&"
// runs until the end of the file; one that serves or runs pxesrv has to answer
// on its port (4567 unless it names another with -p, --listen or PORT=) before
// the next begins.
//
// The console blocks of one file are one session of bash, in a fresh copy of
// the repository with pxesrv in PATH and, for root on Linux, in a network of
// its own. All other blocks that look like commands are mistakes, unless the
// line before the block says why it is not run: "<!-- not run: REASON -->".
func TestDocs(t *testing.T) {
	t.Parallel()
	if os.Getenv(insideDocs) != "" {
		t.Skip("the documentation runs the tests: not once more")
	}
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	lab.Build(t, "pxesrv/cmd/pxesrv", filepath.Join(bin, "pxesrv"))
	for _, file := range append([]string{filepath.Join(root, "README.md")}, files...) {
		name, _ := filepath.Rel(root, file)
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			doc, problems := parseDoc(name, string(text))
			if len(doc.commands) > 0 {
				wd := filepath.Join(t.TempDir(), "pxesrv")
				if err := copyRepository(root, wd); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				problems = append(problems, doc.run(ctx, wd, docEnv(t, bin))...)
			}
			for _, p := range problems {
				t.Error(p)
			}
			t.Logf("%s: %d commands run, %d blocks not run", name, len(doc.commands),
				len(doc.notRun))
			for _, reason := range doc.notRun {
				t.Log(reason)
			}
		})
	}
}

// insideDocs is set for commands of the documentation.
const insideDocs = "INSIDE_DOCS_TEST"

// A docFile is what a Markdown file asks to be run.
type docFile struct {
	name     string
	commands []docCommand
	notRun   []string // "file:line: reason"
}

// A docCommand is a command of a console block.
type docCommand struct {
	line       int
	text       string
	want       string
	background bool
}

var (
	docFence      = regexp.MustCompile("^( *)(```+|~~~+) *([^\\s`]*)[^`]*$")
	docNotRun     = regexp.MustCompile(`^\s*<!-- not run: *(.*\S) *-->\s*$`)
	docIndented   = regexp.MustCompile(`^(\t| {4,})\$ \S`)
	docBackground = regexp.MustCompile(`[^&]&\s*$`)

	// A line of a block without a mark that looks like a command.
	docSuspect = regexp.MustCompile(
		`^\s*(\$ |# |> |sudo |(pxesrv|curl|wget|make|go|git|docker|podman|kubectl|helm|systemctl|` +
			`journalctl|apt|apt-get|dpkg|dnf|ansible|ansible-playbook|cd|ls|ln|cp|mv|rm|cat|echo|mkdir|touch|tar|export|` +
			`qemu-system-\S+|ipmitool|dd|ip|chmod|chown|install|bash|sh)( |$))`)
)

// parseDoc finds the commands of a Markdown text, and what is wrong with its
// blocks.
func parseDoc(name, text string) (d docFile, problems []error) {
	d.name = name
	problem := func(line int, format string, args ...any) {
		problems = append(problems,
			fmt.Errorf("%s:%d: %s", name, line, fmt.Sprintf(format, args...)))
	}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		open := docFence.FindStringSubmatch(lines[i])
		if open == nil {
			if docIndented.MatchString(lines[i]) {
				problem(i+1, "an indented command is not run: use a block marked console")
			}
			continue
		}
		start, indent, mark, info := i, len(open[1]), open[2], open[3]
		var body []string
		for i++; ; i++ {
			if i == len(lines) {
				problem(start+1, "the block has no end")
				return d, problems
			}
			line := lines[i]
			if end := strings.TrimSpace(line); len(end) >= len(mark) &&
				strings.Trim(end, mark[:1]) == "" {
				break
			}
			blanks := len(line) - len(strings.TrimLeft(line, " "))
			body = append(body, line[min(indent, blanks):])
		}

		if start > 0 {
			if reason := docNotRun.FindStringSubmatch(lines[start-1]); reason != nil {
				d.notRun = append(d.notRun,
					fmt.Sprintf("%s:%d: not run: %s", name, start+1, reason[1]))
				continue
			}
		}
		if info == "console" {
			commands, err := parseConsole(start+2, body)
			if err != nil {
				problem(start+1, "%v", err)
			}
			d.commands = append(d.commands, commands...)
			continue
		}
		for n, line := range body {
			var suspect bool
			switch info {
			case "sh", "bash", "shell":
				suspect = strings.TrimSpace(line) != ""
			case "":
				suspect = docSuspect.MatchString(line)
			default:
				suspect = strings.HasPrefix(line, "$ ")
			}
			if suspect {
				problem(start+n+2,
					"%q looks like a command that is not run: mark the block console, or write "+
						"<!-- not run: REASON --> in the line before it", line)
				break
			}
		}
	}
	return d, problems
}

// parseConsole takes a console block apart; first is the number of its first
// line in the file.
func parseConsole(first int, body []string) (commands []docCommand, err error) {
	for i := 0; i < len(body); {
		text, ok := strings.CutPrefix(body[i], "$ ")
		if !ok {
			if strings.TrimSpace(body[i]) != "" {
				err = fmt.Errorf("%q comes before the first command", body[i])
			}
			i++
			continue
		}
		c := docCommand{line: first + i}
		for i++; i < len(body); i++ {
			more, prompt := strings.CutPrefix(body[i], "> ")
			if body[i] == ">" {
				more, prompt = "", true
			}
			if !prompt && !strings.HasSuffix(text, `\`) {
				break
			}
			text += "\n" + more
		}
		c.text, c.background = text, docBackground.MatchString(text)
		var want []string
		for ; i < len(body) && !strings.HasPrefix(body[i], "$ "); i++ {
			want = append(want, body[i])
		}
		c.want = strings.Join(want, "\n")
		commands = append(commands, c)
	}
	return commands, err
}

// trimOutput removes what does not count when outputs are compared: blanks at
// the end of lines and of the whole.
func trimOutput(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\r")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// outputMatches reports whether a command printed what the documentation says.
func outputMatches(want, got string) bool {
	var pattern strings.Builder
	for line := range strings.SplitSeq(trimOutput(want), "\n") {
		if strings.TrimSpace(line) == "…" {
			pattern.WriteString(`(?:[^\n]*\n)*`)
			continue
		}
		for i, part := range strings.Split(line, "…") {
			if i > 0 {
				pattern.WriteString(`[^\n]*`)
			}
			pattern.WriteString(regexp.QuoteMeta(part))
		}
		pattern.WriteString(`\n`)
	}
	return regexp.MustCompile(`\A` + pattern.String() + `\z`).MatchString(trimOutput(got) + "\n")
}

// run runs the commands in one session of bash in the directory dir and says
// which did not do as the document says.
func (d docFile) run(ctx context.Context, dir string, env []string) (problems []error) {
	s, err := startDocSession(ctx, dir, env)
	if err != nil {
		return []error{fmt.Errorf("%s: %w", d.name, err)}
	}
	for _, c := range d.commands {
		got, err := s.run(c)
		switch {
		case err != nil:
		case !outputMatches(c.want, got):
			err = errors.New("it printed something else")
		default:
			continue
		}
		problems = append(problems,
			fmt.Errorf("%s:%d: %s: %w\n--- expected\n%s\n--- actual\n%s\n---",
				d.name, c.line, c.text, err, trimOutput(c.want), trimOutput(got)))
		if errors.Is(err, errDocEnded) {
			break
		}
	}
	if err := s.end(); err != nil {
		problems = append(problems, fmt.Errorf("%s: %w", d.name, err))
	}
	return problems
}

// A docSession is a running bash. It leads a process group to which all that it
// starts belongs.
type docSession struct {
	ctx     context.Context
	bash    *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader // of bash itself; commands print into files
	outputs string        // the folder of these files
	count   int
}

var errDocEnded = errors.New("the session has ended")

func startDocSession(ctx context.Context, dir string, env []string) (*docSession, error) {
	outputs, err := os.MkdirTemp("", "docs-output")
	if err != nil {
		return nil, err
	}
	args := []string{"bash", "--noprofile", "--norc"}
	if ownNetwork := []string{"unshare", "-n", "sh", "-c", `ip link set lo up && exec "$@"`,
		"sh"}; os.Getuid() == 0 &&
		exec.Command(ownNetwork[0], append(ownNetwork[1:], "true")...).Run() == nil {
		args = append(ownNetwork, args...)
	}
	s := &docSession{ctx: ctx, outputs: outputs,
		bash: exec.CommandContext(ctx, args[0], args[1:]...)}
	s.bash.Dir, s.bash.Env = dir, env
	s.bash.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.bash.Cancel, s.bash.WaitDelay = s.kill, time.Second
	if s.in, err = s.bash.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.bash.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.answers = bufio.NewReader(out)
	return s, s.bash.Start()
}

// kill ends bash and all that it started.
func (s *docSession) kill() error { return syscall.Kill(-s.bash.Process.Pid, syscall.SIGKILL) }

// ask lets bash itself execute something that prints one line.
func (s *docSession) ask(script string) (string, error) {
	_, err := io.WriteString(s.in, script+"\n")
	if err == nil {
		var line string
		if line, err = s.answers.ReadString('\n'); err == nil {
			return strings.TrimSpace(line), nil
		}
	}
	if s.ctx.Err() != nil {
		return "", fmt.Errorf("%w: the time is over", errDocEnded)
	}
	return "", errDocEnded
}

// run runs one command and returns what it printed.
func (s *docSession) run(c docCommand) (string, error) {
	s.count++
	name := filepath.Join(s.outputs, fmt.Sprint(s.count))
	output := func() string {
		b, _ := os.ReadFile(name)
		return string(b)
	}
	port := ""
	if c.background {
		port = servedPort(c.text)
	}
	if port != "" { // an earlier server may need a moment to end
		answer, err := s.ask(fmt.Sprintf(`for _ in {1..100}; do
			if ! (: </dev/tcp/127.0.0.1/%[1]s) 2>/dev/null; then echo free; break; fi
			sleep 0.1
		done | grep . || echo "port %[1]s is taken"`, port))
		if err == nil && answer != "free" {
			err = errors.New(answer)
		}
		if err != nil {
			return "", err
		}
	}
	status, err := s.ask(fmt.Sprintf("eval %s </dev/null >%s 2>&1; echo $?", shellQuote(c.text),
		shellQuote(name)))
	if err != nil {
		return output(), err
	}
	if status != "0" {
		return output(), fmt.Errorf("exit status %s", status)
	}
	if !c.background {
		return output(), nil
	}
	if port != "" {
		answer, err := s.ask(fmt.Sprintf(`for _ in {1..600}; do
			if (: </dev/tcp/127.0.0.1/%[1]s) 2>/dev/null; then echo up; break; fi
			if ! kill -0 $! 2>/dev/null; then echo "it has ended before it answered on port %[1]s"; break; fi
			sleep 0.1
		done | grep . || echo "no answer on port %[1]s within a minute"`, port))
		if err == nil && answer != "up" {
			err = errors.New(answer)
		}
		if err != nil {
			return output(), err
		}
	}
	// What it prints may come a little later.
	for end := time.Now().Add(5 * time.Second); !outputMatches(c.want, output()) &&
		time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	return output(), nil
}

var (
	docServes = regexp.MustCompile(`\b(serve|run|pxesrv)\b`)
	docPort   = regexp.MustCompile(
		`(?:-p|--port|--listen|PORT|PXESRV_LISTEN)[ =]?\S*?(\d+)(?:\s|$)`)
)

// servedPort is the TCP port on which a command in the background is going to
// answer, "" if it is no server.
func servedPort(text string) string {
	if !docServes.MatchString(text) {
		return ""
	}
	if m := docPort.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return "4567"
}

// end ends what still runs, and waits for it.
func (s *docSession) end() error {
	defer os.RemoveAll(s.outputs)
	defer func() {
		// What a page puts into /tmp has the number of its shell in its name.
		left, _ := filepath.Glob(fmt.Sprintf("/tmp/*.%d*", s.bash.Process.Pid))
		for _, name := range left {
			os.RemoveAll(name)
		}
	}()
	defer s.kill() // what has not listened
	overdue := time.AfterFunc(20*time.Second, func() { s.kill() })
	_, err := io.WriteString(s.in, "trap : TERM; kill -TERM 0; wait; exit 0\n")
	s.in.Close()
	io.Copy(io.Discard, s.answers)
	werr := s.bash.Wait()
	switch {
	case !overdue.Stop():
		return errors.New("a background command was still there 20 s after SIGTERM")
	case err != nil: // it had ended before, which the command that did it was told
		return nil
	}
	return werr
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// docEnv is the environment of the commands: a reader's, who has just logged
// in, with our pxesrv, our Go caches, and what make deps fetched.
func docEnv(t *testing.T, bin string) []string {
	t.Helper()
	home := t.TempDir()
	fetched := os.Getenv("PXESRV_CACHE")
	if dir, err := os.UserCacheDir(); err == nil && fetched == "" {
		fetched = filepath.Join(dir, "pxesrv")
	}
	if err := os.Mkdir(filepath.Join(home, ".cache"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(fetched, filepath.Join(home, ".cache", "pxesrv")); err != nil {
		t.Fatal(err)
	}
	env := []string{
		insideDocs + "=1",
		"HOME=" + home,
		"LANG=C.UTF-8",
		"PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"TMPDIR=" + os.TempDir(),
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY", "GOSUMDB",
		"GOTOOLCHAIN"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatalf("go env %s: %v", name, err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return env
}

// copyRepository copies what git tracks and what it would track; all files
// where there is no git.
func copyRepository(from, to string) error {
	git := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	git.Dir = from
	out, err := git.Output()
	names := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	if err != nil {
		names = nil
		err = filepath.WalkDir(from, func(name string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir() && e.Name() == ".git":
				return fs.SkipDir
			case e.IsDir():
				return nil
			}
			name, err = filepath.Rel(from, name)
			names = append(names, name)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, name := range names {
		err := copyEntry(filepath.Join(from, name), filepath.Join(to, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted, and git not told yet
			return err
		}
	}
	return nil
}

// copyEntry copies a file or a link, with the folders above it.
func copyEntry(from, to string) error {
	st, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	switch {
	case st.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case st.Mode().IsRegular():
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, st.Mode().Perm())
	}
	return nil // a submodule, a socket
}

func TestParseDoc(t *testing.T) {
	const ticks = "```"
	text := strings.ReplaceAll(`# Title
'''console
$ pxesrv version
pxesrv …

$ curl -s \
    http://localhost/
a
$ cat <<EOF
> one
>
> > two
> EOF
$ make run &
'''
1. In a list:

   ~~~~ console title="x"
   $ ls
     indented
   ~~~
   ~~~~

<!-- not run: needs a real machine -->
'''sh
reboot
'''
'''yaml
a: 1
'''
'''
state/   where orders are kept
'''
`, "'''", ticks)
	d, problems := parseDoc("x.md", text)
	if len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
	want := []docCommand{
		{3, "pxesrv version", "pxesrv …", false},
		{6, "curl -s \\\n    http://localhost/", "a", false},
		{9, "cat <<EOF\none\n\n> two\nEOF", "", false},
		{14, "make run &", "", true},
		{19, "ls", "  indented\n~~~", false},
	}
	for i := range d.commands {
		d.commands[i].want = trimOutput(d.commands[i].want)
	}
	if !slices.Equal(d.commands, want) {
		t.Errorf("commands\n%+v\nwant\n%+v", d.commands, want)
	}
	if got := fmt.Sprint(d.notRun); got != "[x.md:25: not run: needs a real machine]" {
		t.Errorf("not run: %s", got)
	}

	for block, want := range map[string]string{
		"'''sh\n\npxesrv check\n'''":              `x.md:3: "pxesrv check" looks like a command`,
		"'''bash\nfoo\n'''":                       `x.md:2: "foo" looks like`,
		"'''shell\n  foo\n'''":                    `x.md:2: "  foo" looks like`,
		"'''\n$ foo\n'''":                         `x.md:2: "$ foo" looks like`,
		"text\n'''\nsudo pxesrv serve\n'''":       `x.md:3: "sudo pxesrv serve" looks like`,
		"'''text\n$ foo\n'''":                     `x.md:2: "$ foo" looks like`,
		"<!-- not run: -->\n'''sh\nfoo\n'''":      `x.md:3: "foo" looks like`,
		"<!-- not run: why -->\n\n'''sh\na\n'''":  `x.md:4: "a" looks like`,
		"'''console\nfoo\n$ bar\n'''":             `x.md:1: "foo" comes before the first command`,
		"'''console\n$ bar\n":                     `x.md:1: the block has no end`,
		"Text:\n\n    $ pxesrv serve\n":           `x.md:3: an indented command is not run`,
		"'''console\n$ a\n'''\n'''sh\na\n":        `x.md:4: the block has no end`,
		"'''json\n{}\n'''\n'''text\n# a\n'''\nok": "",
	} {
		_, problems := parseDoc("x.md", strings.ReplaceAll(block, "'''", ticks))
		if got := errors.Join(problems...); want == "" && got != nil ||
			want != "" && (got == nil || !strings.HasPrefix(got.Error(), want)) {
			t.Errorf("%s\nproblems: %v\nwant: %s", block, got, want)
		}
	}
}

func TestOutputMatches(t *testing.T) {
	for _, c := range []struct {
		want, got string
		match     bool
	}{
		{"", "", true},
		{"", "\n \n", true},
		{"", "a", false},
		{"a", "", false},
		{"a  \n\n", "a\n", true},
		{" a", "a", false},
		{"a\nb", "a\nb\n", true},
		{"a\nb", "b\na\n", false},
		{"a.c", "abc", false},
		{"a … c", "a b b c", true},
		{"a…c", "ac", true},
		{"a…c", "a\nc", false},
		{"…:4567", "http://x:4567", true},
		{"…", "", true},
		{"…", "a\nb\n", true},
		{"a\n…\nd", "a\nb\nc\nd\n", true},
		{"a\n…\nd", "a\nd\n", true},
		{"a\n…\nd", "a\nb\n", false},
		{"…\nd\n…", "a\nd\n", true},
		{"…\nd\n…", "a\n", false},
		{"...", "a", false},
	} {
		if got := outputMatches(c.want, c.got); got != c.match {
			t.Errorf("outputMatches(%q, %q) is %v", c.want, c.got, got)
		}
	}
}

// TestRunDoc runs sessions without pxesrv: what is kept between commands, what
// is found, what is ended.
func TestRunDoc(t *testing.T) {
	lab.Slow(t)
	run := func(t *testing.T, text string) (string, time.Duration) {
		t.Helper()
		d, problems := parseDoc("x.md", strings.ReplaceAll(text, "'''", "```"))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		problems = append(problems,
			d.run(ctx, t.TempDir(), []string{"PATH=" + os.Getenv("PATH")})...)
		if len(problems) == 0 {
			return "", time.Since(start)
		}
		return errors.Join(problems...).Error(), time.Since(start)
	}

	t.Run("good", func(t *testing.T) {
		got, took := run(t, `
'''console
$ mkdir d; cd d
$ export GREETING="it's" NAME='a "name"'
$ for i in 1 2; do
>   echo $i
> done
1
2
'''
Text.
'''console
$ pwd; echo "$GREETING $NAME"; echo to stderr >&2
/…/d
it's a "name"
to stderr
$ false || echo "exit $?"
exit 1
$ cat; read line || echo nothing to read
nothing to read
$ sleep 1000 &
$ (echo started; exec sleep 1000) &
started
$ kill %1; wait %1; echo $?
143
'''
`)
		if got != "" {
			t.Error(got)
		}
		if took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})

	t.Run("server", func(t *testing.T) {
		if _, err := exec.LookPath("python3"); err != nil {
			t.Fatal("there is no python3 here: run 'make deps'")
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		text := strings.ReplaceAll(`
'''console
$ echo hello >file
$ { sleep 0.3; python3 -m http.server --bind 127.0.0.1 PORT >/dev/null 2>&1; } & # serve -p PORT &
$ curl -s http://127.0.0.1:PORT/file
hello
$ ps -o pid= -o args= -g 0 --ppid $! >children; grep -c http.server children
1
'''
`, "PORT", port)
		if got, _ := run(t, text); got != "" {
			t.Error(got)
		}
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			t.Error("the server is still there")
		}
	})

	for _, c := range []struct{ name, text, want string }{
		{"wrong output", "'''console\n$ echo a\na\n$ echo one; echo two\none\nthree\n'''",
			"x.md:4: echo one; echo two: it printed something else\n--- " +
				"expected\none\nthree\n--- actual\none\ntwo\n---"},
		{"output not told", "'''console\n$ echo a\n'''",
			"x.md:2: echo a: it printed something else\n--- expected\n\n--- actual\na\n---"},
		{"failure", "'''console\n$ echo a; (exit 3)\na\n$ echo b\nc\n'''",
			"x.md:2: echo a; (exit 3): exit status 3\n--- expected\na\n--- actual\na\n---\n" +
				"x.md:4: echo b: it printed something else\n--- expected\nc\n--- actual\nb\n---"},
		{"end", "'''console\n$ exit\n$ echo a\nb\n'''",
			"x.md:2: exit: the session has ended\n--- expected\n\n--- actual\n\n---"},
		{"no server", "'''console\n$ (echo run; exit 1) &\n'''",
			"x.md:2: (echo run; exit 1) &: it has ended before it answered on port 4567\n--- " +
				"expected\n\n--- actual\nrun\n---"},
		{"syntax", "'''console\n$ if then\n…\n'''", "x.md:2: if then: exit status"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _ := run(t, c.text); got != c.want && (c.name != "syntax" ||
				!strings.HasPrefix(got, c.want)) {
				t.Errorf("found\n%s\nwant\n%s", got, c.want)
			}
		})
	}

	t.Run("time", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		d := docFile{"x.md", []docCommand{{line: 7, text: "sleep 1000"}}, nil}
		got := errors.Join(d.run(ctx, t.TempDir(), []string{"PATH=" + os.Getenv("PATH")})...)
		if got == nil || !strings.HasPrefix(got.Error(),
			"x.md:7: sleep 1000: the session has ended: the time is over") {
			t.Errorf("found %v", got)
		}
	})
}

func TestServedPort(t *testing.T) {
	for text, want := range map[string]string{
		"make run &":                           "4567",
		"pxesrv &":                             "4567",
		"pxesrv serve --root public -p 8080 &": "8080",
		"pxesrv serve --listen=127.0.0.1:81 &": "81",
		"pxesrv serve --listen :8081 --x 9 &":  "8081",
		"make run PORT=82 &":                   "82",
		"tail -f /var/log/syslog &":            "",
	} {
		if got := servedPort(text); got != want {
			t.Errorf("servedPort(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestCopyRepository(t *testing.T) {
	from := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a": 0o644, "sub/run": 0o755,
		".git/config": 0o644} {
		os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o755)
		os.WriteFile(filepath.Join(from, name), []byte(name), mode)
	}
	os.Symlink("nowhere", filepath.Join(from, "sub/link"))
	to := filepath.Join(t.TempDir(), "copy")
	if err := copyRepository(from, to); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	filepath.WalkDir(to, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			st, _ := e.Info()
			name, _ = filepath.Rel(to, name)
			fmt.Fprintln(&got, st.Mode(), name)
		}
		return err
	})
	if want := "-rw-r--r-- a\nLrwxrwxrwx sub/link\n-rwxr-xr-x sub/run\n"; got.String() != want {
		t.Errorf("copied\n%swant\n%s", &got, want)
	}
}
