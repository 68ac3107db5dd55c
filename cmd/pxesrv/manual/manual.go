// Package manual writes the manual page. Only make man needs it: it is no part
// of the program that is installed.
//
// cobra/doc writes a page for each command, without the settings, files and
// signals, and with hyphens that no shell takes when they are copied.
package manual

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
)

//go:embed pxesrv.8.tmpl
var page string

// Page is the manual page of a program.
type Page struct {
	Version, Date string
	Root          *cobra.Command
	Usage         func(*cobra.Command) []string // the ways to call a command
	IsSetting     func(*pflag.Flag) bool        // whether it is described as a setting
}

// Write writes the page. Its commands, flags and settings are those of the
// program.
func (p Page) Write(w io.Writer) error {
	funcs := template.FuncMap{"roff": Roff, "lines": lines, "call": call}
	t, err := template.New("pxesrv.8").Funcs(funcs).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, struct {
		Version, Date string
		Commands      []command
		Settings      []setting
	}{p.Version, p.Date, p.commands(p.Root), settings()})
}

type (
	// command is a command with the flags of its own.
	command struct {
		Usage       []string
		Short, Long string
		Flags       []flagOf
	}
	// flagOf is a flag, with what it takes.
	flagOf struct{ Flag, About string }
	// setting is a setting.
	setting struct {
		Flag, About, Default, Env, Key string
		Serve                          bool
	}
)

// commands are the commands below one, each followed by those below it.
func (p Page) commands(of *cobra.Command) (all []command) {
	for _, c := range of.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		m := command{Usage: p.Usage(c), Short: c.Short, Long: c.Long}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !p.IsSetting(f) && f.Name != "config" && f.Name != "help" {
				kind, about := pflag.UnquoteUsage(f)
				kind = strings.TrimSuffix(kind, "Array")
				m.Flags = append(m.Flags,
					flagOf{flag(f.Name, f.Shorthand, kind, f.NoOptDefVal != ""), about})
			}
		})
		all = append(append(all, m), p.commands(c)...)
	}
	return all
}

func settings() (all []setting) {
	c := config.Default()
	for _, s := range c.Settings() {
		b, mayStandAlone := s.Value.(interface{ Bare() string })
		alone := mayStandAlone && b.Bare() != ""
		text := flag(s.Flag(), s.Short, s.Value.Type(), alone)
		all = append(all, setting{text, s.Help, s.Value.String(), s.Env(), s.Key, s.Serve})
	}
	return all
}

// Roff writes a text as roff shows it: signs that mean something to roff are
// escaped, and what is not ASCII is named.
func Roff(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`) // else it is a typographic hyphen, which no shell takes
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r == '.' && (i == 0 || text[i-1] == '\n'):
			b.WriteString(`\&.`)
		case r > 0x7e:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// lines writes lines as paragraphs of prose, and those that begin with a blank
// as they are.
func lines(text string) string {
	var b strings.Builder
	asIs := false
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		line = strings.TrimSuffix(line, "\n")
		if example := strings.HasPrefix(line, " "); example != asIs {
			b.WriteString(map[bool]string{true: ".PP\n.nf\n", false: ".fi\n.PP\n"}[example])
			asIs = example
		}
		if line == "" {
			b.WriteString(".PP\n")
			continue
		}
		b.WriteString(Roff(line) + "\n")
	}
	if asIs {
		b.WriteString(".fi\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// call is a line that calls pxesrv: words as they are typed are bold, words
// that stand for others are in italics.
func call(line string) string {
	words := strings.Fields(line)
	for i, w := range words {
		font := `\fB`
		switch bare := strings.Trim(w, "[]…"); {
		case bare == "flags" || bare == "" || bare == strings.ToUpper(bare) &&
			!strings.HasPrefix(bare, "-"):
			font = `\fI`
		}
		words[i] = font + Roff(w) + `\fR`
	}
	return strings.Join(words, " ")
}

// flag is a flag with what it takes; optional: it may stand alone.
func flag(name, short, kind string, optional bool) string {
	text := `\fB\-\-` + Roff(name) + `\fR`
	if short != "" {
		text = `\fB\-` + short + `\fR, ` + text
	}
	switch {
	case kind == "":
	case optional:
		text += `[=\fI` + Roff(kind) + `\fR]`
	default:
		text += ` \fI` + Roff(kind) + `\fR`
	}
	return text
}
