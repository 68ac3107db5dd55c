package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completionTree is a root with an order, two other machines and a script.
func completionTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"root/once", "root/static", "root/protect", "root/install",
		"root/.git"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"root/install/debian.ipxe": "#!ipxe\n", "root/default": "#!ipxe\n",
		"root/static/web1": "#!ipxe\n", "root/protect/db1": "",
		"conf.yaml": "", "with blank.yaml": "",
		// What a shell would run or take for two words when somebody accepts
		// it, and what would speak to it.
		"root/static/$(reboot)": "", "root/static/a\n:dirs": "", "root/install/x;reboot": "",
		"root/install/with blank": "", "root/`reboot`": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"52-54-00-12-34-56", "fd00::7"} {
		if err := os.Symlink("../install/debian.ipxe",
			filepath.Join(dir, "root/once", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestComplete: what the shells are told. The last word is the one that is
// completed. Before the candidates stands what the shell does besides: :files
// and :dirs let it complete names of files and of directories, :open has it put
// no blank behind a candidate.
func TestComplete(t *testing.T) {
	dir := completionTree(t)
	t.Setenv("PXESRV_ROOT", filepath.Join(dir, "root"))
	t.Setenv("PXESRV_STATE", filepath.Join(dir, "state"))
	for _, test := range []struct {
		words []string
		want  string // without descriptions, blanks between
	}{
		{[]string{"ver"}, "version"},
		{[]string{"o"}, "order"},
		{[]string{""}, "serve explain check order iso dhcp health config completion version help"},
		{[]string{"--log"}, "--log --log-format"}, // of serve, which need not be said
		{[]string{"help", "o"}, "order"},
		{[]string{"help", "set"}, "settings"},
		{[]string{"help", "order", "pl"}, "place"},
		{[]string{"serve", "--log-format", ""}, "text json"},
		{[]string{"serve", "--log-format", "j"}, "json"},
		{[]string{"serve", "--log-format=t"}, "text"},
		{[]string{"serve", "--identify=o"}, "on off"},
		{[]string{"serve", "--config", ""}, ":files"},
		{[]string{"serve", "--config=x"}, ":files"},
		{[]string{"serve", "--root", ""}, ":dirs"},
		{[]string{"serve", "--port", ""}, ""},
		{[]string{"serve", "--tftp", "--ur"}, "--url"}, // --tftp may stand alone
		{[]string{"serve", "x"}, ""},
		{[]string{"explain", "--roo"}, "--root"},
		{[]string{"explain", "--tftp"}, ""}, // only the daemon answers
		{[]string{"explain", ""}, "52-54-00-12-34-56 db1 fd00::7 web1"},
		{[]string{"explain", "db1", "w"}, "web1"},
		{[]string{"check", ""}, ":dirs"},
		{[]string{"check", "root", ""}, ""},
		{[]string{"order", ""}, "place list cancel retry release"},
		{[]string{"order", "cancel", ""}, "52-54-00-12-34-56 fd00::7"},
		{[]string{"once", ""}, "place list cancel retry release"},
		{[]string{"once", "cancel", ""}, "52-54-00-12-34-56 fd00::7"},
		{[]string{"once", "cancel", "--root", dir, ""}, ""}, // there are no orders
		{[]string{"once", "cancel", "--log-format=bad", "5"}, "52-54-00-12-34-56"},
		{[]string{"once", "cancel", "fd00:"}, "fd00::7"},
		{[]string{"once", "place", "x", "i"}, ":open install/"},
		{[]string{"once", "place", "x", "install/"}, ":open install/debian.ipxe"},
		{[]string{"once", "place", "--force", "x", "/etc/"}, ":files"},
		{[]string{"once", "place", "x", "y", ""}, ""},
		{[]string{"order", "--"}, "--help"},
		{[]string{"iso", "ins"}, "inspect"},
		{[]string{"iso", "inspect", "a.iso", ""}, ":files"},
		{[]string{"iso", "--c"}, "--csv --config"},
		{[]string{"iso", "--out", ""}, ":dirs"},
		{[]string{"iso", "-o", ""}, ":files"},
		{[]string{"dhcp", "dns"}, "dnsmasq dnsmasq-proxy"},
		{[]string{"completion", ""}, "bash zsh fish"},
		{[]string{"nothing", ""}, ""},
		{[]string{"--nothing", ""}, ":files"}, // its value may be a file
	} {
		var out, trace bytes.Buffer
		if status := run(append([]string{cobra.ShellCompRequestCmd}, test.words...), &out,
			&trace); status != 0 {
			t.Errorf("%q: status %d", test.words, status)
		}
		got := told(t, out.String())
		if g := strings.Join(got, " "); g != test.want {
			t.Errorf("%q: %s, want %s", test.words, g, test.want)
		}
	}
}

// told is what cobra's scripts are told, without descriptions.
func told(t *testing.T, text string) (words []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	last := lines[len(lines)-1]
	n, err := strconv.Atoi(strings.TrimPrefix(last, ":"))
	if err != nil || last[0] != ':' {
		t.Fatalf("no directive at the end of\n%s", text)
	}
	directive := cobra.ShellCompDirective(n)
	if directive&cobra.ShellCompDirectiveNoSpace != 0 {
		words = append(words, ":open")
	}
	if directive&cobra.ShellCompDirectiveFilterDirs != 0 {
		words = append(words, ":dirs")
	} else if directive&cobra.ShellCompDirectiveNoFileComp == 0 {
		words = append(words, ":files")
	}
	for _, line := range lines[:len(lines)-1] {
		word, _, _ := strings.Cut(line, "\t")
		words = append(words, word)
	}
	return words
}

// TestCompleteFlags: a word -- leads to every flag of each command, and --help.
func TestCompleteFlags(t *testing.T) {
	for _, c := range commandTree(rootCommand(streams{io.Discard, io.Discard}, nil)) {
		if c.IsAdditionalHelpTopicCommand() {
			continue
		}
		var out, trace bytes.Buffer
		words := append([]string{cobra.ShellCompRequestCmd}, strings.Fields(c.CommandPath())[1:]...)
		run(append(words, "--"), &out, &trace)
		got := strings.Split(out.String(), "\n")
		n := 0
		c.InitDefaultHelpFlag()
		c.Flags().VisitAll(func(flag *pflag.Flag) {
			if flag.Hidden {
				return // an old name
			}
			n++
			if !slices.Contains(got, "--"+flag.Name+"\t"+flag.Usage) {
				t.Errorf("%s: --%s is missing", c.CommandPath(), flag.Name)
			}
		})
		if len(got) != n+2 { // and the directive
			t.Errorf("%s: %d lines, %d flags", c.CommandPath(), len(got), n)
		}
	}
}
