package main

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
)

// manPage is the source of the manual page.
func manPage(t *testing.T) string {
	t.Helper()
	var out, errOut bytes.Buffer
	if status := run([]string{"man"}, &out, &errOut); status != 0 {
		t.Fatalf("status %d: %s", status, &errOut)
	}
	return out.String()
}

// TestMan: man(1) shows the page without a warning, with every command, flag and setting.
func TestMan(t *testing.T) {
	page := manPage(t)
	// As lintian does it.
	cmd := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-")
	cmd.Stdin = strings.NewReader(page)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=200", "MANROFFOPT=-c", "MANPAGER=cat", "MAN_KEEP_FORMATTING=")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil || errOut.Len() > 0 {
		t.Fatalf("man: %v (make deps installs it)\n%s", err, &errOut)
	}
	shown := regexp.MustCompile(`.\x08`).ReplaceAllString(out.String(), "") // bold and italics of a teletype
	flat := strings.Join(strings.Fields(shown), " ")
	for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "SETTINGS", "ENVIRONMENT", "SIGNALS", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"} {
		if !strings.Contains(shown, "\n"+section+"\n") {
			t.Errorf("there is no section %s", section)
		}
	}
	var all func([]subcommand)
	all = func(commands []subcommand) {
		for _, c := range commands {
			all(c.commands)
			for _, call := range c.calls() {
				if call != "serve [flags]" && !strings.Contains(shown, "\n       pxesrv "+call+"\n") {
					t.Errorf("SYNOPSIS lacks pxesrv %s", call)
				}
			}
			if !strings.Contains(flat, strings.Join(strings.Fields("pxesrv "+c.calls()[0]+" "+c.about+"."), " ")) {
				t.Errorf("COMMANDS lacks pxesrv %s, or what it does", c.name)
			}
			if c.prepare == nil {
				continue
			}
			f, _ := c.prepare(streams{})
			f.VisitAll(func(flag *pflag.Flag) {
				if flag.Hidden {
					return // an old name
				}
				if !regexp.MustCompile(`(?m)^       (-., )?--` + flag.Name + `([ =[]|$)`).MatchString(shown) {
					t.Errorf("the flag --%s of %s is missing", flag.Name, c.name)
				}
			})
		}
	}
	all(commands())
	c := config.Default()
	for _, s := range c.Settings() {
		if !strings.Contains(flat, "Also "+s.Env()+", and "+s.Key+" in the file.") {
			t.Errorf("the setting %s is missing, or its variable", s.Key)
		}
	}
	// Lines that are typed come out as they are.
	for _, typed := range []string{"pxesrv explain --query 'uuid=12345678-9abc-def0-1122-aabbccddeeff&serial=S/N%2042' --ip 10.0.0.7", "NAME…", ".claimed"} {
		if !strings.Contains(shown, typed) {
			t.Errorf("%s is missing", typed)
		}
	}
}

// TestRoff: no text is taken for a request of roff, and shells take what is copied.
func TestRoff(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"--tftp", `\-\-tftp`},
		{".claimed\n.served", "\\&.claimed\n\\&.served"},
		{"'tis", `\(aqtis`},
		{`a\b`, `a\eb`},
		{"NAME…", `NAME\[u2026]`},
		{"~`^\"", `\(ti\(ga\(ha\(dq`},
	} {
		if got := roff(test.text); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
	for i, line := range strings.Split(manPage(t), "\n") {
		if strings.HasPrefix(line, "'") {
			t.Errorf("line %d begins with an apostrophe: %s", i+1, line)
		}
		if regexp.MustCompile(`(^|[^\\])--|^-`).MatchString(line) {
			t.Errorf("line %d has a hyphen that no shell takes: %s", i+1, line)
		}
		for _, r := range line {
			if r > 0x7e {
				t.Errorf("line %d has %q", i+1, r)
			}
		}
	}
}
