package main

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
	"pxesrv/pkg/site"
)

var shellNames = []string{"bash", "zsh", "fish"}

const completionLong = `
For this shell alone, and where a package manager puts it for everybody:
  bash  source <(pxesrv completion bash)     /usr/share/bash-completion/completions/pxesrv
  zsh   source <(pxesrv completion zsh)      _pxesrv in a directory of $fpath
  fish  pxesrv completion fish | source      /usr/share/fish/vendor_completions.d/pxesrv.fish

bash needs the package bash-completion.
`

func completionCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "print the completion of a shell: bash, zsh, fish",
		Long:      completionLong,
		ValidArgs: shellNames,
		RunE: func(c *cobra.Command, args []string) error {
			switch strings.Join(args, " ") {
			case "bash":
				return c.Root().GenBashCompletionV2(std.out, true)
			case "zsh":
				return c.Root().GenZshCompletion(std.out)
			case "fish":
				return c.Root().GenFishCompletion(std.out, true)
			}
			return withHint(usagef("say which shell"), "pxesrv completion "+
				strings.Join(shellNames, "|"))
		},
	}
}

// completeFlags prepares a tree of commands for completion: shells are told the
// values of flags, and a flag that is wrong is no reason to tell them nothing.
func completeFlags(root *cobra.Command) {
	for _, c := range commandTree(root) {
		c.FParseErrWhitelist.UnknownFlags = true
		c.Flags().VisitAll(func(f *pflag.Flag) {
			// Commands share flags of settings, which are registered once.
			_ = c.RegisterFlagCompletionFunc(f.Name, valuesOf(f))
		})
	}
}

// valuesOf completes the values of a flag, by its type.
func valuesOf(f *pflag.Flag) completer {
	switch kind := f.Value.Type(); {
	case kind == "file":
		return files
	case kind == "dir":
		return directories
	case strings.Contains(kind, "|"):
		return words(strings.Split(kind, "|"))
	}
	return words(nil)
}

// words completes one of a few words.
func words(all []string) completer {
	return func(_ *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
		return matching(all, begin), cobra.ShellCompDirectiveNoFileComp
	}
}

// matching returns the words that begin with a text and are no more than words
// to a shell.
func matching(words []string, begin string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(s string) bool {
		word, _, _ := strings.Cut(s, "\t")
		return !strings.HasPrefix(word, begin) || strings.ContainsFunc(word, meant)
	})
}

// meant reports whether a character means something to a shell, or to a
// terminal. Names in the tree are whatever people and programs put there.
func meant(r rune) bool {
	return !unicode.IsGraphic(r) || strings.ContainsRune(" \"'`$\\&;|<>()*?[]{}!#~^", r)
}

// completer completes an argument, or the value of a flag.
type completer = cobra.CompletionFunc

// completeArgs completes each argument in its own way.
func completeArgs(each ...completer) completer {
	return func(c *cobra.Command, args []string, begin string) ([]string,
		cobra.ShellCompDirective) {
		if len(args) >= len(each) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return each[len(args)](c, args, begin)
	}
}

// directories has the shell complete directories.
func directories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// files has the shell complete files.
func files(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// machineNames completes names of machines: those with orders, and with entries
// those that another directory of the tree names as well.
func machineNames(src *sources, entries bool) completer {
	return func(_ *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
		c, _, _ := src.load() // as far as it can be known
		names := orderNames(c)
		if entries {
			names = append(names, entryNames(c.Root)...)
		}
		slices.Sort(names)
		return matching(slices.Compact(names), begin), cobra.ShellCompDirectiveNoFileComp
	}
}

// orderNames are the names that have an order, pending or open.
func orderNames(c config.Config) (names []string) {
	s, err := site.New(c)
	if err != nil {
		return nil
	}
	orders, _ := s.Orders().List()
	for _, p := range orders.Pending {
		names = append(names, p.Name)
	}
	for _, o := range orders.Open {
		names = append(names, o.Name)
	}
	return names
}

// entryNames are the names of static/ and protect/.
func entryNames(root string) (names []string) {
	if root == "" {
		return nil
	}
	for _, dir := range []string{"static", "protect"} {
		entries, _ := os.ReadDir(filepath.Join(root, dir))
		for _, e := range entries {
			if e.Name()[0] != '.' {
				names = append(names, e.Name())
			}
		}
	}
	return names
}

// scripts completes the files of the root, and its directories, in the
// directory that begin is in.
func scripts(src *sources) completer {
	return func(_ *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
		c, _, _ := src.load()
		if c.Root == "" || strings.HasPrefix(begin, "/") || strings.HasPrefix(begin, ".") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		dir, _ := path.Split(begin)
		entries, _ := os.ReadDir(filepath.Join(c.Root, filepath.FromSlash(dir)))
		var found []string
		for _, e := range entries {
			if e.Name()[0] == '.' {
				continue
			}
			name := dir + e.Name()
			info, err := os.Stat(filepath.Join(c.Root, filepath.FromSlash(name)))
			if err == nil && info.IsDir() {
				name += "/"
			}
			found = append(found, name)
		}
		const directive = cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		return matching(found, begin), directive
	}
}
