package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Template is a configuration file that has every setting, with what it does
// and its default, commented out: it sets nothing.
func Template() []byte {
	var b bytes.Buffer
	b.WriteString(`# The configuration of pxesrv: every setting with its default. To change one,
# remove its #. A flag wins over the environment, that over this file, and that
# over the default. A running daemon reads the file again when it gets SIGHUP.
`)
	c := Default()
	section := ""
	for _, s := range c.Settings() {
		in, name, nested := strings.Cut(s.Key, ".")
		indent := "  "
		if !nested {
			in, name, indent = "", s.Key, ""
		}
		if nested && in != section {
			fmt.Fprintf(&b, "\n%s:", in)
		}
		section = in
		about := s.Help
		if s.Restart {
			about += "; needs a new start"
		}
		fmt.Fprintf(&b, "\n%s\n%s#%s: %s\n", comment(indent, about), indent, name, inYAML(s.Value))
	}
	return b.Bytes()
}

// comment wraps a text into lines of a comment.
func comment(indent, text string) string {
	lines := []string{indent + "#"}
	for _, word := range strings.Fields(text) {
		if last := lines[len(lines)-1]; len(last)+1+len(word) > 80 {
			lines = append(lines, indent+"#")
		}
		lines[len(lines)-1] += " " + word
	}
	return strings.Join(lines, "\n")
}

// plain matches the values that YAML needs no quotes for.
var plain = regexp.MustCompile(`^[A-Za-z0-9./][A-Za-z0-9./_-]*$`)

// inYAML is a value as it stands in the file.
func inYAML(v Value) string {
	quote := func(s string) string {
		if plain.MatchString(s) {
			return s
		}
		return strconv.Quote(s)
	}
	switch text := v.String(); v.(type) {
	case mapping:
		return "{}"
	case several:
		var items []string
		for one := range strings.SplitSeq(text, ",") {
			if one != "" {
				items = append(items, quote(one))
			}
		}
		return "[" + strings.Join(items, ", ") + "]"
	default:
		return quote(text)
	}
}
