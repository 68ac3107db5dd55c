package main

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
)

const manNotes = `
To read it: pxesrv man | man -l -
`

//go:embed pxesrv.8.tmpl
var manTemplate string

// man prints the manual page. Its commands, flags and settings are those of the program.
func man(io streams) (*pflag.FlagSet, action) {
	f := flags(nil, false)
	return f, func(context.Context, []string) error {
		if f.NArg() > 0 {
			return usagef("man takes no arguments")
		}
		page, err := template.New("pxesrv.8").Funcs(template.FuncMap{"roff": roff, "lines": roffLines, "called": roffCall}).Parse(manTemplate)
		if err != nil {
			return err
		}
		b := thisBuild()
		return page.Execute(io.out, struct {
			Version, Date string
			Commands      []manCommand
			Settings      []manSetting
		}{b.version, b.date[:min(len(b.date), len("2006-01-02"))], manCommands(commands()), manSettings()})
	}
}

// manCommand is a command in the page, manFlag a flag of its own, and manSetting a setting. Flag is a flag with what it takes.
type (
	manCommand struct {
		Calls        []string
		About, Notes string
		Flags        []manFlag
	}
	manFlag    struct{ Flag, About string }
	manSetting struct {
		Flag, About, Default, Env, Key string
		Serve                          bool
	}
)

// manCommands are commands, each followed by those that belong to it.
func manCommands(all []subcommand) (page []manCommand) {
	for _, c := range all {
		m := manCommand{Calls: c.calls(), About: c.about, Notes: c.notes}
		if c.prepare != nil {
			f, _ := c.prepare(streams{})
			f.VisitAll(func(flag *pflag.Flag) {
				if _, setting := flag.Value.(*settingFlag); !setting && flag.Name != "config" {
					kind, about := pflag.UnquoteUsage(flag)
					kind = strings.TrimSuffix(kind, "Array")
					m.Flags = append(m.Flags, manFlag{roffFlag(flag.Name, flag.Shorthand, kind, flag.NoOptDefVal != ""), about})
				}
			})
		}
		page = append(append(page, m), manCommands(c.commands)...)
	}
	return page
}

func manSettings() (page []manSetting) {
	c := config.Default()
	for _, s := range c.Settings() {
		page = append(page, manSetting{roffFlag(s.Flag(), s.Short, s.Value.Type(), bare(s.Value) != ""), s.Help, s.Value.String(), s.Env(), s.Key, s.Serve})
	}
	return page
}

// roff writes a text as roff shows it: signs that mean something to roff are escaped, and what is not ASCII is named.
func roff(text string) string {
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

// roffLines writes lines as paragraphs of prose, and those that begin with a blank as they are.
func roffLines(text string) string {
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
		b.WriteString(roff(line) + "\n")
	}
	if asIs {
		b.WriteString(".fi\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// roffCall is a line that calls pxesrv: words as they are typed are bold, words that stand for others are in italics.
func roffCall(line string) string {
	words := strings.Fields("pxesrv " + line)
	for i, w := range words {
		font := `\fB`
		switch bare := strings.Trim(w, "[]…"); {
		case bare == "flags" || bare == "" || bare == strings.ToUpper(bare) && !strings.HasPrefix(bare, "-"):
			font = `\fI`
		}
		words[i] = font + roff(w) + `\fR`
	}
	return strings.Join(words, " ")
}

// roffFlag is a flag with what it takes; optional: it may stand alone.
func roffFlag(name, short, kind string, optional bool) string {
	text := `\fB\-\-` + roff(name) + `\fR`
	if short != "" {
		text = `\fB\-` + short + `\fR, ` + text
	}
	switch {
	case kind == "":
	case optional:
		text += `[=\fI` + roff(kind) + `\fR]`
	default:
		text += ` \fI` + roff(kind) + `\fR`
	}
	return text
}
