package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
)

// sources is where a configuration comes from: the defaults, then the file, the
// environment and the flags, each stronger.
type sources struct {
	file  string
	given map[string][]string // what each flag was given, in order

	daemon *pflag.FlagSet // a flag for each setting, and --config
	common *pflag.FlagSet // those that commands beside the daemon need
}

// newSources makes the flags, once for all commands: only one of them runs.
func newSources() *sources {
	s := &sources{given: map[string][]string{}, daemon: newFlags(), common: newFlags()}
	fileFlag(s.daemon, &s.file, "config", "", "file", "configuration file, YAML ["+
		config.FileEnv+"]")
	trial := config.Default()
	settings := trial.Settings()
	s.common.AddFlag(s.daemon.Lookup("config"))
	for _, set := range settings {
		if set.FileOnly {
			continue
		}
		about := set.Help + " [" + set.Env() + "]"
		flag := s.daemon.VarPF(&settingFlag{set.Value, set.Key, s}, set.Flag(), set.Short, about)
		flag.NoOptDefVal = bare(set.Value)
		both := []*pflag.Flag{flag}
		if set.Was != "" {
			name := config.Setting{Key: set.Was}.Flag()
			old := s.daemon.VarPF(&settingFlag{set.Value, set.Was, s}, name, "", "")
			old.Hidden = true
			both = append(both, old)
		}
		for _, f := range both {
			if !set.Serve {
				s.common.AddFlag(f)
			}
		}
	}
	return s
}

func newFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.SortFlags = false
	return f
}

// fileFlag adds a flag for the name of a file or of a directory; kind is file
// or dir.
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

// bare is what the flag of a setting means without a value, or "" when it needs
// one.
func bare(v config.Value) string {
	if v, ok := v.(interface{ Bare() string }); ok {
		return v.Bare()
	}
	return ""
}

// settingFlag checks a value at once, and keeps it until the weaker sources are
// read.
type settingFlag struct {
	config.Value
	key string
	s   *sources
}

func (f *settingFlag) Set(text string) error {
	f.s.given[f.key] = append(f.s.given[f.key], text)
	return f.Value.Set(text)
}

// isSetting reports whether a flag is that of a setting.
func isSetting(f *pflag.Flag) bool {
	_, is := f.Value.(*settingFlag)
	return is
}

// read is load for a person, who sees the warnings.
func (s *sources) read(std streams) (config.Config, error) {
	c, err := s.merged(std)
	if err == nil {
		err = c.Check()
	}
	return c, err
}

// merged is what the sources say, with warnings for a person. It looks at
// nothing that they name: the disk of the tree may hang.
func (s *sources) merged(std streams) (config.Config, error) {
	c, warnings, err := s.merge()
	for _, w := range warnings {
		fmt.Fprintf(std.err, "pxesrv: warning: %s\n", w)
	}
	return c, err
}

// load reads all sources anew, and checks what they say.
func (s *sources) load() (c config.Config, warnings []string, err error) {
	if c, warnings, err = s.merge(); err == nil {
		err = c.Check()
	}
	return c, warnings, err
}

// merge puts the sources over each other.
func (s *sources) merge() (c config.Config, warnings []string, err error) {
	if file := cmp.Or(s.file, os.Getenv(config.FileEnv)); file != "" {
		c, warnings, err = fromFile(file)
	} else {
		c, warnings, err = s.fromSystem()
	}
	if err != nil {
		return c, warnings, err
	}
	more, err := c.Environ(os.Environ())
	if warnings = append(warnings, more...); err != nil {
		return c, warnings, usageError{err}
	}
	more, err = c.Flags(s.given)
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

// fromSystem is what the system's file says to a command that is told no other
// file. It is about one tree: a command that is told no root means that tree,
// and one that is told its root does as well. Who names another root, as that
// of a checkout, is not surprised by what holds for the daemon here.
func (s *sources) fromSystem() (config.Config, []string, error) {
	c, warnings, err := fromFile(systemFile)
	root, named := s.root()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case !named:
		return c, warnings, err
	case err != nil:
		return config.Default(), []string{fmt.Sprintf("%v; nothing in it counts here, though it "+
			"may be about the root %s", err, root)}, nil
	case config.SameDir(root, c.Root):
		return c, warnings, nil
	}
	return config.Default(), nil, nil
}

// root is the document root that the command is told, by flag or environment.
func (s *sources) root() (root string, named bool) {
	if given := s.given["root"]; len(given) > 0 {
		return given[len(given)-1], true
	}
	root = os.Getenv(rootEnv)
	return root, root != ""
}

// rootEnv is the variable of the document root.
const rootEnv = "PXESRV_ROOT"
