package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"pxesrv/pkg/check"
)

const checkLong = `
DIR is the document root; without it, --root or PXESRV_ROOT is. The exit status
is 1 when there are errors, and 0 when there are only warnings and notes.
`

// checkCommand says what is wrong with a tree, for people, for CI and for a
// hook of Git. It needs no daemon and writes nothing.
func checkCommand(std streams, src *sources) *cobra.Command {
	c := &cobra.Command{
		Use:               "check [DIR]",
		Short:             "find what is wrong with the tree; for CI and pre-commit",
		Long:              checkLong,
		ValidArgsFunction: completeArgs(directories),
	}
	f := c.Flags()
	asJSON := f.Bool("json", false, "print what is found as JSON")
	quiet := f.Bool("quiet", false, "leave out notes, and the summary when nothing else is found")
	strict := f.Bool("strict", false, "end with status 1 on warnings, too")
	user := f.String("user", "", "the user as whom the daemon runs (default: whoever once/ "+
		"belongs to, by user or group)")
	addFlags(c, src.common)
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("check takes one directory, and %d are given", len(args))
		}
		return nil
	}
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 1 {
			// It is --root by another name.
			if err := f.Set("root", args[0]); err != nil {
				return err
			}
		}
		config, err := src.read(std)
		if err != nil {
			return err
		}
		o := check.Options{User: *user}
		clear := func() {}
		if isTerminal(std.err) {
			o.Progress = func(what string, done int) {
				fmt.Fprintf(std.err, "\r\x1b[K%d: %.60s", done, what)
			}
			clear = func() { fmt.Fprint(std.err, "\r\x1b[K") }
		}
		all, err := check.Tree(c.Context(), config, o)
		clear()
		if err != nil {
			return fmt.Errorf("the check was not finished: %w", err)
		}
		count := map[check.Level]int{}
		shown := make([]check.Finding, 0, len(all))
		for _, found := range all {
			count[found.Level]++
			if !*quiet || found.Level != check.Note {
				shown = append(shown, found)
			}
		}
		if *asJSON {
			err = checkJSON(std, config.Root, shown, count)
		} else {
			err = checkText(std, shown)
		}
		if err != nil {
			return err
		}
		if !*quiet || len(shown) > 0 {
			fmt.Fprintf(std.err, "pxesrv: %s, %s, %s in %s\n", counted(count[check.Error], "error"),
				counted(count[check.Warning], "warning"), counted(count[check.Note], "note"),
				config.Root)
		}
		if count[check.Error] > 0 || *strict && count[check.Warning] > 0 {
			return errQuiet
		}
		return nil
	}
	return c
}

// checkText prints a line for each finding, in the form that editors and CI
// know from compilers. Names of files and links have whatever people and other
// programs put there; nothing of that ends a line, or speaks to the terminal.
func checkText(std streams, all []check.Finding) error {
	for _, f := range all {
		at := f.File
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		line := plain(fmt.Sprintf("%s: %s: %s; %s", at, f.Level, f.What, f.Do))
		if _, err := fmt.Fprintln(std.out, line); err != nil {
			return err
		}
	}
	return nil
}

// plain is a text in one line, in which a sign that cannot be seen is a
// question mark.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func checkJSON(std streams, root string, all []check.Finding, count map[check.Level]int) error {
	e := json.NewEncoder(std.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Root     string          `json:"root"`
		Errors   int             `json:"errors"`
		Warnings int             `json:"warnings"`
		Notes    int             `json:"notes"`
		Findings []check.Finding `json:"findings"`
	}{root, count[check.Error], count[check.Warning], count[check.Note], all})
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// isTerminal reports whether somebody looks at what is written to w.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
