package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
)

// more are commands that only some builds have (man.go).
var more []func(streams) *cobra.Command

// Commands and flags are listed in the order in which they are added.
func init() { cobra.EnableCommandSorting = false }

// rootCommand is the program. Its help, its manual page and the completion of
// shells are made from this tree of commands.
func rootCommand(std streams, args []string) *cobra.Command {
	src := newSources()
	serve := serveCommand(std, src)
	root := &cobra.Command{
		Use:   "pxesrv",
		Short: "tells machines what to boot, as plain files say it",
		// Without a command it serves, as the Ruby original does. A word that
		// is no command is a mistake: nothing is served then.
		Args:          noCommand,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	showVersion := root.Flags().Bool("version", false, "print the version")
	root.RunE = func(c *cobra.Command, args []string) error {
		if *showVersion {
			return printVersion(std)
		}
		return serve.RunE(c, args)
	}
	root.AddCommand(
		serve,
		explainCommand(std, src),
		checkCommand(std, src),
		orderCommand(std, src),
		isoCommand(std, src),
		dhcpCommand(std, args),
		healthCommand(std, src),
		configCommand(std),
		completionCommand(std),
		versionCommand(std),
		settingsTopic(std),
	)
	for _, command := range more {
		root.AddCommand(command(std))
	}
	root.SetHelpCommand(helpCommand())
	addFlags(root, serve.Flags())
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetArgs(append([]string{}, args...)) // nil would mean those of the process
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { fmt.Fprint(std.out, helpText(c)) })
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		completeFlags(root)
	}
	return root
}

// addFlags adds flags behind those that a command has.
func addFlags(c *cobra.Command, more *pflag.FlagSet) {
	c.Flags().SortFlags = false
	c.Flags().AddFlagSet(more)
}

// group makes a command that only has commands: alone it shows its help.
func group(c *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	c.Args = noCommand
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(commands...)
	return c
}

// noCommand refuses a word where only a command can stand.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	list := "pxesrv help lists the commands"
	if c.HasParent() {
		list = c.CommandPath() + " --help lists the commands"
	}
	c.SuggestionsMinimumDistance = 2
	near := slices.DeleteFunc(c.SuggestionsFor(args[0]),
		func(name string) bool { return name == args[0] }) // behind --
	err := usagef("there is no command %q", typed(c, args[0]))
	return withHint(err, didYouMean(near), list)
}

// noArgs refuses arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("%s takes no arguments, and %q is one", typed(c), args[0])
}

// typed is a command as it is typed behind pxesrv, with what follows it.
func typed(c *cobra.Command, more ...string) string {
	words := append(strings.Fields(c.CommandPath())[1:], more...)
	return strings.Join(words, " ")
}

// flagError says what is wrong with a flag, and which one may have been meant.
func flagError(c *cobra.Command, err error) error {
	list := c.CommandPath() + " --help lists the flags"
	if !c.HasParent() {
		list = "pxesrv serve --help lists the flags"
	}
	if _, settings := ownFlags(c); settings > 0 {
		list += ", and pxesrv help settings the settings"
	}
	if c.HasSubCommands() && c.Flags().Lookup("config") == nil { // its commands have the flags
		list = "flags come after the command: " + c.CommandPath() + " COMMAND --help lists them"
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return withHint(usageError{err}, list)
	}
	name := unknown.GetSpecifiedName()
	all := c.Root().Flags()
	of := all.Lookup(name)
	if len(name) == 1 {
		of = all.ShorthandLookup(name)
	}
	switch {
	case of != nil && isSetting(of):
		return withHint(usageError{err}, "it is a flag of pxesrv serve", list)
	case len(name) == 1: // which is near to every flag
		return withHint(usageError{err}, list)
	}
	// It is cobra that measures how far two words are apart, and it does so for
	// names of commands.
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	near := names.SuggestionsFor(name)
	for i, name := range near {
		near[i] = "--" + name
	}
	return withHint(usageError{err}, didYouMean(near), list)
}

// didYouMean asks for one of a few words.
func didYouMean(words []string) string {
	if len(words) == 0 || len(words) > 4 {
		return ""
	}
	return "did you mean " + strings.Join(words, " or ") + "?"
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "help [COMMAND]",
		Short:             "say how a command is called; help settings lists the settings",
		ValidArgsFunction: completeHelp,
		RunE: func(c *cobra.Command, args []string) error {
			of, rest, _ := c.Root().Find(args)
			if len(rest) > 0 {
				return noCommand(of, rest)
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// completeHelp completes what there is help for.
func completeHelp(c *cobra.Command, args []string, begin string) ([]string,
	cobra.ShellCompDirective) {
	var found []string
	if of, rest, err := c.Root().Find(args); err == nil && len(rest) == 0 {
		for _, sub := range of.Commands() {
			if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
				found = append(found, cobra.CompletionWithDesc(sub.Name(), sub.Short))
			}
		}
	}
	return matching(found, begin), cobra.ShellCompDirectiveNoFileComp
}

// usageKey is the annotation of a command that is called in several ways, a
// line for each.
const usageKey = "usage"

// usageLines are the ways to call a command.
func usageLines(c *cobra.Command) []string {
	if text := c.Annotations[usageKey]; text != "" {
		return strings.Split(text, "\n")
	}
	return []string{c.UseLine()}
}

// helpText says how a command is called: its own commands and flags first.
func helpText(c *cobra.Command) string {
	var text strings.Builder
	if !c.HasParent() {
		fmt.Fprintf(&text, "pxesrv %s.\n\nCommands:\n", c.Short)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&text, "  pxesrv %-22s %s\n", sub.Use, sub.Short)
			}
		}
		text.WriteString("\npxesrv COMMAND --help lists the flags of a command, pxesrv help " +
			"settings the settings.\n")
		return text.String()
	}
	for i, line := range usageLines(c) {
		fmt.Fprintf(&text, "%-6s %s\n", []string{"Usage:", ""}[min(i, 1)], line)
	}
	fmt.Fprintf(&text, "\n%s%s.\n", strings.ToUpper(c.Short[:1]), c.Short[1:])
	if c.HasAvailableSubCommands() {
		width := 0
		for _, sub := range c.Commands() {
			width = max(width, utf8.RuneCountInString(sub.Use))
		}
		text.WriteString("\nCommands:\n")
		for _, sub := range c.Commands() {
			fmt.Fprintf(&text, "  %-*s   %s\n", width, sub.Use, sub.Short)
		}
	}
	own, rest := ownFlags(c)
	if own.HasAvailableFlags() {
		fmt.Fprintf(&text, "\nFlags:\n%s", own.FlagUsages())
	}
	if rest > 0 {
		fmt.Fprintf(&text, "\n%d more settings are flags, too: pxesrv help settings\n", rest)
	}
	return text.String() + c.Long
}

// ownFlags are the flags of a command without the settings, but for the
// document root and those with a letter of their own; rest counts the others.
func ownFlags(c *cobra.Command) (own *pflag.FlagSet, rest int) {
	own = newFlags()
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if isSetting(f) && f.Shorthand == "" && f.Name != "root" {
			rest++
		} else {
			own.AddFlag(f)
		}
	})
	return own, rest
}

// settingsTopic is no command but a text: what can be set.
func settingsTopic(std streams) *cobra.Command {
	c := &cobra.Command{Use: "settings", Short: "what can be set by flag, environment and " +
		"configuration file"}
	c.SetHelpFunc(func(*cobra.Command, []string) {
		fmt.Fprint(std.out, settingsIntro)
		f := newFlags()
		trial := config.Default()
		for _, set := range trial.Settings() {
			if set.FileOnly {
				continue
			}
			about := set.Help + " [" + set.Env() + "]"
			if set.Serve {
				about += " (serve)"
			}
			f.VarPF(set.Value, set.Flag(), set.Short, about).NoOptDefVal = bare(set.Value)
		}
		fmt.Fprint(std.out, f.FlagUsages())
	})
	return c
}

const settingsIntro = `Every setting is a flag, a variable and a key of the configuration file. A flag
wins over its variable, that over the file, and that over the default:
--once-max-per-day 3 is PXESRV_ONCE_MAX_PER_DAY=3, and in the file
  once:
    max-per-day: 3
pxesrv config init writes a file with all of them. Settings that say (serve)
are flags of pxesrv serve alone.

`

// commandTree is a command and all below it.
func commandTree(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = slices.Concat(all, commandTree(sub))
	}
	return all
}
