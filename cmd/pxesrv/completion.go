package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
	"pxesrv/pkg/dhcp"
	"pxesrv/pkg/site"
)

// completing is the command by which the shells ask. It is not in the help.
const completing = "__complete"

//go:embed completion.bash completion.zsh completion.fish
var shells embed.FS

var shellNames = []string{"bash", "zsh", "fish"}

const completionNotes = `
For this shell alone, and where a package manager puts it for everybody:
  bash  source <(pxesrv completion bash)     /usr/share/bash-completion/completions/pxesrv
  zsh   source <(pxesrv completion zsh)      _pxesrv in a directory of $fpath
  fish  pxesrv completion fish | source      /usr/share/fish/vendor_completions.d/pxesrv.fish
`

func completion(io streams) (*pflag.FlagSet, action) {
	f := flags(nil, false)
	return f, func(context.Context, []string) error {
		if f.NArg() != 1 || !slices.Contains(shellNames, f.Arg(0)) {
			return usagef("say which shell: pxesrv completion %s", strings.Join(shellNames, "|"))
		}
		text, err := shells.ReadFile("completion." + f.Arg(0))
		if err != nil {
			return err
		}
		_, err = io.out.Write(text)
		return err
	}
}

// complete prints what the last of the words may become: a candidate a line, with a tab and a description where there is one. A
// line that begins with a colon is for the shell: it completes names of files (:files) or of directories (:dirs) by itself, and
// puts no blank behind a candidate that may go on (:open). What cannot be known is left out; nobody reads an error here. So is a name
// from the tree that a shell would take for more than a word: bash puts it on the line as it is.
func complete(io streams, words []string) error {
	if len(words) == 0 {
		return nil
	}
	for _, line := range candidates(words[:len(words)-1], words[len(words)-1]) {
		if word, _, _ := strings.Cut(line, "\t"); !strings.ContainsFunc(word, meant) {
			fmt.Fprintln(io.out, line)
		}
	}
	return nil
}

// meant reports whether a character means something to a shell, or to a terminal.
func meant(r rune) bool {
	return !unicode.IsGraphic(r) || strings.ContainsRune(" \"'`$\\&;|<>()*?[]{}!#~^", r)
}

// candidates are the lines of complete for the word that comes behind others.
func candidates(words []string, last string) []string {
	c, all := subcommand{}, commands()
	c.commands = all
	for len(words) > 0 && len(c.commands) > 0 {
		i := slices.IndexFunc(c.commands, func(sub subcommand) bool { return sub.word() == words[0] })
		if i < 0 {
			break
		}
		c, words = c.commands[i], words[1:]
	}
	var found []string
	if len(words) == 0 && !strings.HasPrefix(last, "-") {
		for _, sub := range c.commands {
			found = append(found, sub.word()+"\t"+sub.about)
		}
	}
	if c.name == "" {
		c = all[0] // flags of serve, whose name need not be said
	}
	if c.prepare == nil {
		return matching(found, last)
	}
	f, _ := c.prepare(streams{})
	flagOf := func(word string) *pflag.Flag {
		switch {
		case strings.HasPrefix(word, "--"):
			return f.Lookup(word[2:])
		case len(word) == 2 && word[0] == '-' && word[1] != '-':
			return f.ShorthandLookup(word[1:])
		}
		return nil
	}
	if len(words) > 0 {
		if flag := flagOf(words[len(words)-1]); flag != nil && flag.NoOptDefVal == "" {
			return matching(valuesOf(flag), last)
		}
	}
	if name, _, given := strings.Cut(last, "="); given && flagOf(name) != nil {
		values := valuesOf(flagOf(name))
		for i, v := range values {
			if v[0] != ':' {
				values[i] = name + "=" + v
			}
		}
		return matching(values, last)
	}
	if strings.HasPrefix(last, "-") {
		f.VisitAll(func(flag *pflag.Flag) {
			if !flag.Hidden {
				found = append(found, "--"+flag.Name+"\t"+flag.Usage)
			}
		})
		return matching(append(found, "--help\twhat it does, and its flags"), last)
	}
	f.Parse(words) // for the root and the like; flags that are wrong are their command's business
	return matching(append(found, argument(&c, f, last)...), last)
}

// matching returns the candidates that begin with a text, and what is said to the shell.
func matching(all []string, begin string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, begin) && s[0] != ':' })
}

// valuesOf are the values of a flag, by its type.
func valuesOf(f *pflag.Flag) []string {
	switch kind := f.Value.Type(); {
	case strings.Contains(kind, "|"):
		return strings.Split(kind, "|")
	case kind == "file":
		return []string{":files"}
	case kind == "dir":
		return []string{":dirs"}
	}
	return nil
}

// argument are the candidates for what comes next behind the arguments that were parsed.
func argument(c *subcommand, f *pflag.FlagSet, begin string) []string {
	places := strings.Fields(c.args)
	at := f.NArg()
	if len(places) > 0 && strings.HasSuffix(places[len(places)-1], "…") {
		at = min(at, len(places)-1)
	}
	if at >= len(places) {
		return nil
	}
	switch strings.Trim(places[at], "[]…") {
	case "DIR":
		return []string{":dirs"}
	case "FILE":
		return []string{":files"}
	case "SERVER":
		return slices.Clone(dhcp.Kinds)
	case "SHELL":
		return slices.Clone(shellNames)
	case "NAME":
		return namesFor(c, settings(f))
	case "SCRIPT":
		return scripts(settings(f).Root, begin)
	}
	return nil
}

// settings is the configuration as the flags, the environment and the file have it, as far as that can be known.
func settings(f *pflag.FlagSet) config.Config {
	l := layers{file: new(string), given: map[string][]string{}}
	if file := f.Lookup("config"); file != nil {
		*l.file = file.Value.String()
	}
	f.Visit(func(flag *pflag.Flag) {
		if s, ok := flag.Value.(*settingFlag); ok {
			l.given[s.key] = s.l.given[s.key]
		}
	})
	c, _, _ := l.load()
	return c
}

// namesFor are names of machines: those with orders, and for commands that are about more than orders those with another entry.
func namesFor(c *subcommand, with config.Config) []string {
	s, err := site.New(with)
	if err != nil {
		return nil
	}
	var names []string
	orders, _ := s.Orders().List()
	for _, p := range orders.Pending {
		names = append(names, p.Name)
	}
	for _, o := range orders.Open {
		names = append(names, o.Name)
	}
	if !strings.HasPrefix(c.name, "once ") || c.word() == "place" {
		for _, dir := range []string{"static", "protect"} {
			entries, _ := os.ReadDir(filepath.Join(with.Root, dir))
			for _, e := range entries {
				if e.Name()[0] != '.' {
					names = append(names, e.Name())
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// scripts are the files of the root, and its directories, in the directory that begin is in.
func scripts(root, begin string) []string {
	if root == "" || strings.HasPrefix(begin, "/") || strings.HasPrefix(begin, ".") {
		return []string{":files"}
	}
	dir, _ := path.Split(begin)
	entries, _ := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
	found := []string{":open"}
	for _, e := range entries {
		if e.Name()[0] == '.' {
			continue
		}
		name := dir + e.Name()
		if info, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err == nil && info.IsDir() {
			name += "/"
		}
		found = append(found, name)
	}
	return found
}
