package ipxe

import (
	"bytes"
	"slices"
	"strings"
)

// wordCut reports whether a line without a line end is surely not all of what
// it was: its last command is the beginning of one, or a setting in it has no
// end.
func wordCut(l line) bool {
	if len(l.commands) == 0 || l.cut {
		return false
	}
	words := l.commands[len(l.commands)-1].words
	if len(words) == 0 {
		return false
	}
	if text := strings.Join(words, " "); strings.Count(text, "${") > strings.Count(text, "}") {
		return true
	}
	if _, known := commands[words[0]]; known || len(words) > 1 {
		return false
	}
	for name := range commands {
		if strings.HasPrefix(name, words[0]) {
			return true
		}
	}
	return false
}

// isScript reports whether iPXE takes body for a script (src/image/script.c,
// script_probe).
func isScript(body []byte) bool {
	if len(body) < 7 || string(body[:6]) != "#!ipxe" && string(body[:6]) != "#!gpxe" {
		return false
	}
	return isSpace(rune(body[6]))
}

// isSpace is what the C library of iPXE takes for white space.
func isSpace(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }

// line is a line of a script, with the lines that a backslash joins to it.
type line struct {
	number   int
	label    string // without the colon
	commands []command
	cut      bool // a backslash promises a next line, and there is none
	blank    bool // blanks stand behind a backslash that was to join the next line
}

// command is one command of a line: its words, and by what it is joined to the
// one before it.
type command struct {
	join  string // "" for the first, "&&", "||" or ";"
	words []string
}

// splitLines cuts a script as iPXE does (process_script and system in its
// source). It also returns the number of the last line.
func splitLines(body []byte) (lines []line, last int) {
	var joined strings.Builder
	first := 0
	for raw := range bytes.Lines(body) {
		last++
		if first == 0 {
			first = last
		}
		text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
		if more, goesOn := strings.CutSuffix(text, `\`); goesOn {
			joined.WriteString(more)
			continue
		}
		joined.WriteString(text)
		l := parseLine(first, joined.String())
		// The word is left alone in a comment, and in a text that really ends
		// with a backslash.
		l.blank = len(l.commands) > 0 && slices.Contains(lastWords(l), `\`) &&
			strings.HasSuffix(strings.TrimRight(text, " \t"), `\`)
		lines = append(lines, l)
		joined.Reset()
		first = 0
	}
	if first != 0 {
		l := parseLine(first, joined.String())
		l.cut = true
		lines = append(lines, l)
	}
	return lines, max(last, 1)
}

func lastWords(l line) []string {
	words := l.commands[len(l.commands)-1].words
	return words[max(0, len(words)-1):]
}

func parseLine(number int, text string) line {
	l := line{number: number}
	words := strings.FieldsFunc(text, isSpace)
	if len(words) > 0 && words[0][0] == ':' {
		l.label, words = words[0][1:], words[1:]
	}
	current := command{}
	for _, w := range words {
		if w[0] == '#' {
			break
		}
		if w == "&&" || w == "||" || w == ";" {
			l.commands = append(l.commands, current)
			current = command{join: w}
			continue
		}
		current.words = append(current.words, w)
	}
	if l.commands = append(l.commands, current); len(l.commands) == 1 && len(current.words) == 0 {
		l.commands = nil
	}
	return l
}

// handled reports whether the script says what happens when the i-th command of
// the line fails.
func (l line) handled(i int) bool {
	for _, later := range l.commands[i+1:] {
		switch later.join {
		case "||", ";":
			return true
		}
	}
	return false
}
