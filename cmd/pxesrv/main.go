// Command pxesrv answers the question of a machine that starts: what should I boot? Plain files say it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// subcommand is one of the things pxesrv does.
type subcommand struct {
	name, args, about string
	run               func(ctx context.Context, io streams, args []string) error
}

type streams struct{ out, err io.Writer }

func commands() []subcommand {
	return []subcommand{
		{"serve", "", "the daemon; what pxesrv without a command does", runServe},
		{"explain", "NAME…", "what a machine would get, and why; uses nothing up", runExplain},
		{"check", "[DIR]", "find what is wrong with the tree; for CI and pre-commit", runCheck},
		{"once", "COMMAND …", "place, list, cancel, retry, release one-time orders", runOnce},
		{"iso", "…", "make boot media for machines without DHCP; inspect, check-loaders", runISO},
		{"dhcp", "SERVER", "print the lines for a DHCP server: isc, kea, dnsmasq, dnsmasq-proxy", runDHCP},
		{"health", "", "ask the daemon here how it is; exit status 1 when it is not well", runHealth},
		{"version", "", "print the version", runVersion},
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
	if len(args) > 0 {
		switch args[0] {
		case "help", "--help", "-h":
			help(io)
			return nil
		case "--version":
			return runVersion(ctx, io, nil)
		}
		for _, c := range commands() {
			if c.name == args[0] {
				return c.run(ctx, io, args[1:])
			}
		}
		if !strings.HasPrefix(args[0], "-") {
			return usagef("there is no command %q; pxesrv help lists them", args[0])
		}
	}
	return runServe(ctx, io, args)
}

func help(io streams) {
	fmt.Fprint(io.out, "pxesrv tells machines what to boot, as plain files say it.\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(io.out, "  pxesrv %-22s %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
	}
	fmt.Fprint(io.out, "\npxesrv COMMAND --help lists the flags of a command.\n")
}

// layers is where a configuration comes from: the defaults, then the file, the environment and the flags, each stronger.
type layers struct {
	file  *string
	given map[string][]string // what each flag was given, in order
}

// flags makes the flags of a command. With layers, every setting that the command needs is among them.
func flags(io streams, name, args string, l *layers, daemon bool) *pflag.FlagSet {
	f := pflag.NewFlagSet("pxesrv "+name, pflag.ContinueOnError)
	f.SortFlags = false
	f.SetOutput(io.err)
	if l != nil {
		l.given = map[string][]string{}
		l.file = f.String("config", "", "configuration file, YAML ["+config.FileEnv+"]")
		trial := config.Default()
		for _, s := range trial.Settings() {
			if s.Serve && !daemon {
				continue
			}
			flag := f.VarPF(&settingFlag{s.Value, s.Key, l}, s.Flag(), s.Short, s.Help+" ["+s.Env()+"]")
			if v, ok := s.Value.(interface{ Bare() string }); ok {
				flag.NoOptDefVal = v.Bare()
			}
		}
	}
	f.Usage = func() {
		fmt.Fprintf(io.out, "Usage: pxesrv %s [flags] %s\n\n%s", name, args, f.FlagUsages())
	}
	return f
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

// parse reads the flags and returns the whole configuration, checked.
func parse(io streams, f *pflag.FlagSet, l *layers, args []string) (config.Config, error) {
	if err := f.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return config.Config{}, err
	} else if err != nil {
		return config.Config{}, usagef("%v; see %s --help", err, f.Name())
	}
	return l.read(io)
}

// read is load for a person, who sees the warnings.
func (l *layers) read(io streams) (config.Config, error) {
	c, warnings, err := l.load()
	for _, w := range warnings {
		fmt.Fprintf(io.err, "pxesrv: warning: %s\n", w)
	}
	return c, err
}

// load reads all layers anew.
func (l *layers) load() (c config.Config, warnings []string, err error) {
	c = config.Default()
	file := *l.file
	if file == "" {
		file = os.Getenv(config.FileEnv)
	}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return c, nil, fmt.Errorf("the configuration cannot be read: %w", err)
		}
		if err := c.YAML(file, text); err != nil {
			return c, nil, err
		}
	}
	if warnings, err = c.Environ(os.Environ()); err != nil {
		return c, warnings, usageError{err}
	}
	for _, s := range c.Settings() {
		for _, text := range l.given[s.Key] {
			if err := s.Value.Set(text); err != nil {
				return c, warnings, usagef("--%s: %v", s.Flag(), err)
			}
		}
	}
	return c, warnings, c.Check()
}
