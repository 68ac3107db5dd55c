package tree

import (
	"fmt"
	"strings"
	"unicode"
)

// plain are the characters that mean nothing to a shell.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-/"

// Quote is a name or path as a shell takes it, for commands that people are
// told to paste.
func Quote(name string) string {
	switch {
	case name != "" && strings.Trim(name, plain) == "":
		return name
	case strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0:
		// In one line, as bash, ksh and zsh read it.
		var b strings.Builder
		for i := range len(name) {
			switch c := name[i]; {
			case c == '\'' || c == '\\':
				b.WriteString("\\" + string(c))
			case c < ' ' || c > '~':
				fmt.Fprintf(&b, `\x%02x`, c)
			default:
				b.WriteByte(c)
			}
		}
		return "$'" + b.String() + "'"
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
