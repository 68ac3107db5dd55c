package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/pflag"

	"pxesrv/pkg/check"
)

const checkNotes = `
DIR is the document root; without it, --root or PXESRV_ROOT is. The status is 1 when there are errors, and 0 when there
are only warnings and notes.
`

// checkTree says what is wrong with a tree, for people, for CI and for a hook of Git. It needs no daemon and writes nothing.
func checkTree(io streams) (*pflag.FlagSet, action) {
	var l layers
	f := flags(&l, false)
	asJSON := f.Bool("json", false, "print what is found as JSON")
	quiet := f.Bool("quiet", false, "leave out notes, and the summary when nothing else is found")
	strict := f.Bool("strict", false, "end with status 1 on warnings, too")
	user := f.String("user", "", "the user as whom the daemon runs (default: whoever once/ belongs to, by user or group)")
	return f, func(ctx context.Context, _ []string) error {
		switch f.NArg() {
		case 0:
		case 1:
			// It is --root by another name.
			if err := f.Set("root", f.Arg(0)); err != nil {
				return err
			}
		default:
			return usagef("check takes one directory, and %d are given", f.NArg())
		}
		c, err := l.read(io)
		if err != nil {
			return err
		}
		o := check.Options{User: *user}
		clear := func() {}
		if isTerminal(io.err) {
			o.Progress = func(what string, done int) { fmt.Fprintf(io.err, "\r\x1b[K%d: %.60s", done, what) }
			clear = func() { fmt.Fprint(io.err, "\r\x1b[K") }
		}
		all, err := check.Tree(ctx, c, o)
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
			err = checkJSON(io, c.Root, shown, count)
		} else {
			err = checkText(io, shown)
		}
		if err != nil {
			return err
		}
		if !*quiet || len(shown) > 0 {
			fmt.Fprintf(io.err, "pxesrv: %s, %s, %s in %s\n", counted(count[check.Error], "error"), counted(count[check.Warning], "warning"),
				counted(count[check.Note], "note"), c.Root)
		}
		if count[check.Error] > 0 || *strict && count[check.Warning] > 0 {
			return errQuiet
		}
		return nil
	}
}

// checkText prints a line for each finding, in the form that editors and CI know from compilers. Names of files and links have
// whatever people and other programs put there; nothing of that ends a line, or speaks to the terminal.
func checkText(io streams, all []check.Finding) error {
	for _, f := range all {
		at := f.File
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		if _, err := fmt.Fprintln(io.out, plain(fmt.Sprintf("%s: %s: %s; %s", at, f.Level, f.What, f.Do))); err != nil {
			return err
		}
	}
	return nil
}

// plain is a text in one line, in which a sign that cannot be seen is a question mark.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func checkJSON(io streams, root string, all []check.Finding, count map[check.Level]int) error {
	e := json.NewEncoder(io.out)
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
