package main

import (
	"bytes"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"pxesrv/cmd/pxesrv/manual"
	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
)

// manSource is the source of the manual page.
func manSource(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	page := manual.Page{
		Version: "dev", Root: rootCommand(streams{io.Discard, io.Discard}, nil),
		Usage: usageLines, IsSetting: isSetting,
	}
	if err := page.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestManCommand: the build that make man uses writes the page, and the program
// itself has nothing to do with it.
func TestManCommand(t *testing.T) {
	page, err := exec.Command("go", "run", "-tags", "man", ".", "man").Output()
	if err != nil {
		t.Fatal(err)
	}
	dated := regexp.MustCompile(`(?m)^\.TH PXESRV 8 .*$`)
	if got, want := dated.ReplaceAllString(string(page), ""),
		dated.ReplaceAllString(manSource(t), ""); got != want {
		t.Errorf("the page of the build with the tag man is another one:\n%s", got)
	}
	var out, said bytes.Buffer
	if status := run([]string{"man"}, &out, &said); status != 2 ||
		!strings.Contains(said.String(), `there is no command "man"`) {
		t.Errorf("status %d: %s", status, &said)
	}
	parts, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil || strings.Contains(string(parts), "pxesrv/manual") {
		t.Error("the program has the package manual in it")
	}
}

// TestMan: man(1) shows the page without a warning, with every command, flag
// and setting.
func TestMan(t *testing.T) {
	lab.Needs(t, "man")
	page := manSource(t)
	// As lintian does it.
	cmd := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-")
	cmd.Stdin = strings.NewReader(page)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=200", "MANROFFOPT=-c",
		"MANPAGER=cat", "MAN_KEEP_FORMATTING=")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil || errOut.Len() > 0 {
		t.Fatalf("man: %v (make deps installs it)\n%s", err, &errOut)
	}
	// bold and italics of a teletype
	shown := regexp.MustCompile(`.\x08`).ReplaceAllString(out.String(), "")
	flat := strings.Join(strings.Fields(shown), " ")
	for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "SETTINGS",
		"ENVIRONMENT", "SIGNALS", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"} {
		if !strings.Contains(shown, "\n"+section+"\n") {
			t.Errorf("there is no section %s", section)
		}
	}
	for _, c := range commandTree(rootCommand(streams{io.Discard, io.Discard}, nil))[1:] {
		if c.IsAdditionalHelpTopicCommand() {
			continue
		}
		for _, line := range usageLines(c) {
			if c.Name() != "serve" && !strings.Contains(shown, "\n       "+line+"\n") {
				t.Errorf("SYNOPSIS lacks %s", line)
			}
		}
		if !strings.Contains(flat,
			strings.Join(strings.Fields(usageLines(c)[0]+" "+c.Short+"."), " ")) {
			t.Errorf("COMMANDS lacks %s, or what it does", c.CommandPath())
		}
		c.Flags().VisitAll(func(flag *pflag.Flag) {
			if flag.Hidden {
				return // an old name
			}
			if !regexp.MustCompile(`(?m)^       (-., )?--` + flag.Name +
				`([ =[]|$)`).MatchString(shown) {
				t.Errorf("the flag --%s of %s is missing", flag.Name, c.CommandPath())
			}
		})
	}
	c := config.Default()
	for _, s := range c.Settings() {
		if !strings.Contains(flat, "Also "+s.Env()+", and "+s.Key+" in the file.") {
			t.Errorf("the setting %s is missing, or its variable", s.Key)
		}
	}
	// Lines that are typed come out as they are.
	for _, typed := range []string{"pxesrv explain --query " +
		"'uuid=12345678-9abc-def0-1122-aabbccddeeff&serial=S/N%2042' --ip 10.0.0.7", "NAME…",
		".claimed"} {
		if !strings.Contains(shown, typed) {
			t.Errorf("%s is missing", typed)
		}
	}
}

// TestRoff: no text is taken for a request of roff, and shells take what is
// copied.
func TestRoff(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"--tftp", `\-\-tftp`},
		{".claimed\n.served", "\\&.claimed\n\\&.served"},
		{"'tis", `\(aqtis`},
		{`a\b`, `a\eb`},
		{"NAME…", `NAME\[u2026]`},
		{"~`^\"", `\(ti\(ga\(ha\(dq`},
	} {
		if got := manual.Roff(test.text); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
	for i, line := range strings.Split(manSource(t), "\n") {
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
