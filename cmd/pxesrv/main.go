// Command pxesrv answers the question of a machine that starts: what should I boot? Plain files say it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
	"pxesrv/pkg/dhcp"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// subcommand is one of the things pxesrv does. Its help, the manual page and the completion of shells are made from it.
type subcommand struct {
	name, args, about string
	synopsis          []string     // how it is called, without pxesrv; empty: by name, flags and args
	notes             string       // what else its help says
	commands          []subcommand // what it does when the next word is the rest of a name of these

	// prepare makes the flags, and what is done once they are parsed; nil: only its commands do something.
	prepare func(io streams) (*pflag.FlagSet, action)
}

// action does what a command is there for. words is everything on the command line behind the command.
type action func(ctx context.Context, words []string) error

type streams struct{ out, err io.Writer }

func commands() []subcommand {
	return []subcommand{
		{name: "serve", about: "the daemon; what pxesrv without a command does", prepare: serve},
		{name: "explain", args: "NAME…", about: "what a machine would get, and why; uses nothing up", notes: explainNotes, prepare: explain},
		{name: "check", args: "[DIR]", about: "find what is wrong with the tree; for CI and pre-commit", notes: checkNotes, prepare: checkTree},
		{name: "once", args: "COMMAND …", about: "place, list, cancel, retry, release one-time orders", notes: onceNotes, commands: onceCommands()},
		{name: "iso", args: "…", about: "make boot media for machines without DHCP; inspect, check-loaders",
			synopsis: isoSynopsis, notes: isoNotes, commands: isoCommands(), prepare: isoMake},
		{name: "dhcp", args: "SERVER", about: "print the lines for a DHCP server: isc, kea, dnsmasq, dnsmasq-proxy",
			synopsis: []string{"dhcp [flags] " + strings.Join(dhcp.Kinds, "|")}, notes: dhcpNotes, prepare: dhcpLines},
		{name: "health", about: "ask the daemon here how it is; exit status 1 when it is not well", notes: healthNotes, prepare: healthOf},
		{name: "completion", args: "SHELL", about: "print the completion of a shell: bash, zsh, fish", notes: completionNotes, prepare: completion},
		{name: "man", about: "print the manual page", notes: manNotes, prepare: man},
		{name: "version", about: "print the version", prepare: version},
	}
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errQuiet ends the program with status 1 after everything was said.
var errQuiet = errors.New("")

// run is the program with its own arguments and streams. It returns the exit status: 0 done, 1 failed, 2 called wrongly.
func run(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	go func() { <-ctx.Done(); stop() }()

	err := dispatch(ctx, streams{out, errOut}, args)
	var usage usageError
	switch {
	case err == nil || errors.Is(err, pflag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "pxesrv: %v\n", err)
		return 2
	case err != errQuiet:
		fmt.Fprintf(errOut, "pxesrv: %v\n", err)
	}
	return 1
}

func dispatch(ctx context.Context, io streams, args []string) error {
	all := commands()
	if len(args) > 0 {
		switch args[0] {
		case "help", "--help", "-h":
			help(io)
			return nil
		case "--version":
			args = []string{"version"}
		case completing:
			return complete(io, args[1:])
		}
		for _, c := range all {
			if c.name == args[0] {
				return c.run(ctx, io, args[1:])
			}
		}
		if !strings.HasPrefix(args[0], "-") {
			return usagef("there is no command %q; pxesrv help lists them", args[0])
		}
	}
	return all[0].run(ctx, io, args)
}

func help(io streams) {
	fmt.Fprint(io.out, "pxesrv tells machines what to boot, as plain files say it.\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(io.out, "  pxesrv %-22s %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
	}
	fmt.Fprint(io.out, "\npxesrv COMMAND --help lists the flags of a command.\n")
}

// run parses the words behind the command, and does what they say.
func (c *subcommand) run(ctx context.Context, io streams, words []string) error {
	if len(c.commands) > 0 {
		switch {
		case len(words) == 0 || slices.Contains([]string{"help", "--help", "-h"}, words[0]):
			fmt.Fprint(io.out, c.help())
			return nil
		case !strings.HasPrefix(words[0], "-"):
			for _, sub := range c.commands {
				if sub.word() == words[0] {
					return sub.run(ctx, io, words[1:])
				}
			}
			return usagef("there is no command \"%s %s\"; pxesrv %s --help lists them", c.name, words[0], c.name)
		case c.prepare == nil:
			return usagef("flags come after the command: pxesrv %s COMMAND %s …", c.name, words[0])
		}
	}
	f, do := c.prepare(io)
	f.Usage = func() { fmt.Fprint(io.out, c.help()) }
	if err := f.Parse(words); errors.Is(err, pflag.ErrHelp) {
		return err
	} else if err != nil {
		return usagef("%v; see pxesrv %s --help", err, c.name)
	}
	return do(ctx, words)
}

// help says how the command is called, its commands or its flags, and its notes.
func (c *subcommand) help() string {
	var text strings.Builder
	for i, line := range c.calls() {
		fmt.Fprintf(&text, "%-6s pxesrv %s\n", []string{"Usage:", ""}[min(i, 1)], line)
	}
	text.WriteByte('\n')
	flags := ""
	if c.prepare != nil {
		f, _ := c.prepare(streams{})
		flags = f.FlagUsages()
	}
	if len(c.commands) == 0 {
		return text.String() + flags + c.notes
	}
	width := 0
	for _, sub := range c.commands {
		width = max(width, utf8.RuneCountInString(sub.called()))
	}
	for _, sub := range c.commands {
		fmt.Fprintf(&text, "  %-*s   %s\n", width, sub.called(), sub.about)
	}
	return text.String() + c.notes + flags
}

// calls are the ways to call the command.
func (c *subcommand) calls() []string {
	switch {
	case len(c.synopsis) > 0:
		return c.synopsis
	case c.prepare == nil:
		return []string{c.name + " COMMAND [flags]"}
	}
	call := c.name
	if f, _ := c.prepare(streams{}); f.HasFlags() {
		call += " [flags]"
	}
	return []string{strings.TrimSpace(call + " " + c.args)}
}

// word is the word that calls the command, behind that of the command that it belongs to.
func (c *subcommand) word() string { return c.name[strings.Index(c.name, " ")+1:] }

// called is that word with its arguments.
func (c *subcommand) called() string { return strings.TrimSpace(c.word() + " " + c.args) }

// layers is where a configuration comes from: the defaults, then the file, the environment and the flags, each stronger.
type layers struct {
	file  *string
	given map[string][]string // what each flag was given, in order
}

// flags makes the flags of a command. With layers, every setting that the command needs is among them.
func flags(l *layers, daemon bool) *pflag.FlagSet {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.SortFlags = false
	if l != nil {
		l.given = map[string][]string{}
		l.file = new(string)
		fileFlag(f, l.file, "config", "", "file", "configuration file, YAML ["+config.FileEnv+"]")
		trial := config.Default()
		for _, s := range trial.Settings() {
			if s.FileOnly || s.Serve && !daemon {
				continue
			}
			flag := f.VarPF(&settingFlag{s.Value, s.Key, l}, s.Flag(), s.Short, s.Help+" ["+s.Env()+"]")
			flag.NoOptDefVal = bare(s.Value)
			if s.Was != "" {
				old := config.Setting{Key: s.Was}
				f.VarPF(&settingFlag{s.Value, s.Was, l}, old.Flag(), "", "").Hidden = true
			}
		}
	}
	return f
}

// fileFlag adds a flag for the name of a file or of a directory; kind is file or dir.
func fileFlag(f *pflag.FlagSet, to *string, name, short, kind, about string) {
	f.VarP(&nameFlag{to, kind}, name, short, about)
}

// nameFlag is a text of a kind, which shells complete.
type nameFlag struct {
	to   *string
	kind string
}

func (f *nameFlag) Set(s string) error { *f.to = s; return nil }
func (f *nameFlag) String() string     { return *f.to }
func (f *nameFlag) Type() string       { return f.kind }

// bare is what the flag of a setting means without a value, or "" when it needs one.
func bare(v config.Value) string {
	if v, ok := v.(interface{ Bare() string }); ok {
		return v.Bare()
	}
	return ""
}

// settingFlag checks a value at once, and keeps it until the weaker sources are read.
type settingFlag struct {
	config.Value
	key string
	l   *layers
}

func (f *settingFlag) Set(text string) error {
	f.l.given[f.key] = append(f.l.given[f.key], text)
	return f.Value.Set(text)
}

// read is load for a person, who sees the warnings.
func (l *layers) read(io streams) (config.Config, error) {
	c, err := l.merged(io)
	if err == nil {
		err = c.Check()
	}
	return c, err
}

// merged is what the layers say, with warnings for a person. Nothing is looked at that they name: the disk of the tree may hang.
func (l *layers) merged(io streams) (config.Config, error) {
	c, warnings, err := l.merge()
	for _, w := range warnings {
		fmt.Fprintf(io.err, "pxesrv: warning: %s\n", w)
	}
	return c, err
}

// load reads all layers anew, and checks what they say.
func (l *layers) load() (c config.Config, warnings []string, err error) {
	if c, warnings, err = l.merge(); err == nil {
		err = c.Check()
	}
	return c, warnings, err
}

// merge puts the layers over each other.
func (l *layers) merge() (c config.Config, warnings []string, err error) {
	if file := cmp.Or(*l.file, os.Getenv(config.FileEnv)); file != "" {
		c, warnings, err = fromFile(file)
	} else {
		c, warnings, err = l.fromSystem()
	}
	if err != nil {
		return c, warnings, err
	}
	more, err := c.Environ(os.Environ())
	if warnings = append(warnings, more...); err != nil {
		return c, warnings, usageError{err}
	}
	more, err = c.Flags(l.given)
	if warnings = append(warnings, more...); err != nil {
		return c, warnings, usageError{err}
	}
	return c, warnings, nil
}

// fromFile is the defaults, and over them what a configuration file says.
func fromFile(name string) (c config.Config, warnings []string, err error) {
	c = config.Default()
	text, err := os.ReadFile(name)
	if err != nil {
		return c, nil, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	warnings, err = c.YAML(name, text)
	return c, warnings, err
}

// systemFile is config.SystemFile, but in tests.
var systemFile = config.SystemFile

// fromSystem is what the system's file says to a command that is told no other file. It is about one tree: a command that is told no
// root means that tree, and one that is told its root does as well. Who names another root, as that of a checkout, is not surprised
// by what holds for the daemon here.
func (l *layers) fromSystem() (config.Config, []string, error) {
	c, warnings, err := fromFile(systemFile)
	root, named := l.root()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case !named:
		return c, warnings, err
	case err != nil:
		return config.Default(), []string{fmt.Sprintf("%v; nothing in it counts here, though it may be about the root %s", err, root)}, nil
	case config.SameDir(root, c.Root):
		return c, warnings, nil
	}
	return config.Default(), nil, nil
}

// root is the document root that the command is told, by flag or environment.
func (l *layers) root() (root string, named bool) {
	if given := l.given["root"]; len(given) > 0 {
		return given[len(given)-1], true
	}
	root = os.Getenv(rootEnv)
	return root, root != ""
}

// rootEnv is the variable of the document root.
const rootEnv = "PXESRV_ROOT"
