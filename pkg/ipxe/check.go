package ipxe

import (
	"bytes"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Problem is something in a script that will not do what its author wants.
type Problem struct {
	Line  int // counted from 1; where a command goes on over several lines, the first of them
	Level Level
	Code  string // names the kind of problem for programs
	Text  string // what is wrong
	Do    string // what to do
	File  string // the file that is missing, as the script names it without its query
}

// Level says how bad a problem is.
type Level int

const (
	Note    Level = iota // worth knowing: the script itself says what happens then
	Warning              // fails on some machines, or is likely not what was meant
	Error                // fails wherever the script gets there
)

// What kinds of problems Check knows.
const (
	NoMagic     = "no-magic"     // iPXE does not take it for a script
	TooLong     = "too-long"     // over maxScript
	NoEnd       = "no-end"       // the last line is cut, or seems to be
	NoLabel     = "no-label"     // goto leads nowhere
	SameLabel   = "same-label"   // a label is there twice
	NoCommand   = "no-command"   // stock iPXE knows no such command
	RareCommand = "rare-command" // not every stock iPXE knows the command or the kind of address
	NoFile      = "no-file"      // a file that is to be fetched is not there
	ExitsWell   = "exits-well"   // ends in the setup menu under UEFI
)

// maxScript is the longest script in bytes that is served. iPXE 2019 ran 200 kB and failed on 4 MB.
const maxScript = 1 << 20

// Check reads a script as iPXE does and says what is wrong with it, in the order of its lines. Nothing is run.
//
// exists reports whether the server has the file that the script names by a path: "images/linux", or "/images/linux" when the
// script begins it with a slash; without the query, and decoded. A nil exists asks for no file. Addresses with a scheme, and
// every word with a setting in it, ${…}, are not judged: only the machine knows what they become.
//
// It follows the tests of ${platform} from line to line, so that what only UEFI machines get to is not measured by what BIOS
// builds can, and the other way round. A command whose failure the script handles, by || behind it, may fail.
func Check(script []byte, exists func(path string) bool) []Problem {
	c := &checker{exists: exists, labels: map[string]int{}, images: map[string]bool{}, missing: map[string]int{}}
	body := script
	if rest, marked := bytes.CutPrefix(script, []byte("\xef\xbb\xbf")); marked {
		c.add(1, Error, NoMagic, "a byte order mark stands before the first line, so iPXE does not see a script",
			"save the file as UTF-8 without a byte order mark")
		body = rest
	} else if !isScript(script) {
		c.add(1, Error, NoMagic, "the first line is not #!ipxe, so iPXE does not see a script",
			`begin the file with a line "#!ipxe"`)
	}
	if len(script) > maxScript {
		c.add(1, Error, TooLong, fmt.Sprintf("the script has %d bytes, and no script over %d is served", len(script), maxScript),
			"chain the parts of it from a short one")
		return c.problems
	}
	lines, last := splitLines(body)
	for _, l := range lines {
		c.collect(l)
	}
	here := anywhere
	for _, l := range lines {
		if l.blank {
			c.add(l.number, Warning, NoEnd, "blanks stand behind the backslash, so the command does not go on in the next line",
				"take the blanks away")
		}
		if l.label != "" {
			here = anywhere // goto leads here from wherever it stands
		}
		here = c.line(l, here)
	}
	switch {
	case len(lines) > 0 && lines[len(lines)-1].cut:
		c.add(last, Error, NoEnd, `the script ends with a backslash, so iPXE does not run its last line`,
			"write the rest of the line, or take the backslash away")
	case isScript(body) && body[len(body)-1] != '\n':
		c.add(last, Warning, NoEnd, "the last line has no line end: perhaps the rest of the file is missing",
			"look whether the file is whole, and end it with a line end")
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return a.Line - b.Line })
	return c.problems
}

// isScript reports whether iPXE takes body for a script (src/image/script.c, script_probe).
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

// command is one command of a line: its words, and by what it is joined to the one before it.
type command struct {
	join  string // "" for the first, "&&", "||" or ";"
	words []string
}

// splitLines cuts a script as iPXE does (process_script and system in its source). It also returns the number of the last line.
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
		// The word is left alone in a comment, and in a text that really ends with a backslash.
		l.blank = len(l.commands) > 0 && slices.Contains(lastWords(l), `\`) && strings.HasSuffix(strings.TrimRight(text, " \t"), `\`)
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

// platforms are the kinds of firmware that can get to a place of a script.
type platforms int

const (
	nowhere  platforms = 0
	bios     platforms = 1
	uefi     platforms = 2
	anywhere           = bios | uefi
)

type checker struct {
	exists   func(string) bool
	labels   map[string]int  // the line of each label
	images   map[string]bool // names by which the script finds what it has fetched
	missing  map[string]int  // where in problems a missing file is
	unnamed  bool            // what was fetched has a name that only the machine knows
	problems []Problem
}

func (c *checker) add(line int, level Level, code, text, do string) {
	c.problems = append(c.problems, Problem{Line: line, Level: level, Code: code, Text: text, Do: do})
}

// collect notes the labels and images of a line, which may be used before it.
func (c *checker) collect(l line) {
	if l.label != "" {
		if first, twice := c.labels[l.label]; twice {
			c.add(l.number, Error, SameLabel, fmt.Sprintf("the label :%s is in line %d already, and goto leads only there", l.label, first),
				"give one of them another name")
		} else {
			c.labels[l.label] = l.number
		}
	}
	for _, cmd := range l.commands {
		if len(cmd.words) == 0 {
			continue
		}
		f, fetches := fetchers[cmd.words[0]]
		if !fetches {
			continue
		}
		args, name := f.parse(cmd.words[1:])
		if name == "" && len(args) > 0 {
			p, _, _ := strings.Cut(args[0], "?")
			name = path.Base(p)
		}
		if strings.Contains(name, "${") {
			c.unnamed = true
		} else if name != "" && (f.downloads || strings.Contains(strings.Join(args, ""), "/")) {
			c.images[name] = true
		}
	}
}

// line checks a line that the platforms of here get to, and returns which of them go on to the next line.
//
// after and failed are where the line stands once its commands so far succeeded, or failed.
func (c *checker) line(l line, here platforms) platforms {
	after, failed := here, nowhere
	for i, cmd := range l.commands {
		at := here
		switch cmd.join {
		case "&&":
			at = after
		case "||":
			at = failed
		case ";":
			at = after | failed
		}
		well, ill := c.command(l, i, at)
		switch cmd.join {
		case "&&":
			after, failed = well, failed|ill
		case "||":
			after, failed = after|well, ill
		default:
			after, failed = well, ill
		}
	}
	return after
}

// handled reports whether the script says what happens when the i-th command of the line fails.
func (l line) handled(i int) bool {
	for _, later := range l.commands[i+1:] {
		switch later.join {
		case "||", ";":
			return true
		}
	}
	return false
}

// command checks the i-th command of a line, to which the platforms at get, and returns where it succeeds and where it fails.
func (c *checker) command(l line, i int, at platforms) (well, ill platforms) {
	words := l.commands[i].words
	if len(words) == 0 {
		return at, nowhere
	}
	name := words[0]
	if at == nowhere || strings.Contains(name, "${") {
		return at, at
	}
	handled := l.handled(i)
	level := Error
	if handled {
		level = Warning
	}
	switch build, known := commands[name]; {
	case !known:
		c.add(l.number, Warning, NoCommand, fmt.Sprintf("%q is no command of stock iPXE, and the script ends here where it is not known", name),
			"correct the spelling; if your own build has it, add || behind the command for the others")
	case !handled && build == notBIOS && at&bios != 0:
		c.add(l.number, Warning, RareCommand, fmt.Sprintf("stock BIOS builds of iPXE have no command %s, and the script ends here on them", name),
			"put || and what to do then behind the command, or test ${platform} before it")
	case !handled && build == newer:
		c.add(l.number, Warning, RareCommand, fmt.Sprintf("iPXE of 2019 and 2020, as Debian 12 has it, knows no command %s, and the script ends here on it", name),
			"put || behind the command")
	case !handled && build == optional:
		c.add(l.number, Warning, RareCommand, fmt.Sprintf("only builds of iPXE that were made for it have the command %s; the script ends here on all others", name),
			"put || behind the command")
	}
	if f, fetches := fetchers[name]; fetches {
		args, _ := f.parse(words[1:])
		for n, arg := range args {
			if n < f.files {
				c.file(l, f, arg, at, handled)
			}
		}
	}
	switch name {
	case "goto":
		if len(words) == 1 {
			c.add(l.number, level, NoLabel, "goto without a label", "name the label")
		} else if label := words[1]; !strings.Contains(label, "${") {
			if _, ok := c.labels[label]; !ok {
				c.add(l.number, level, NoLabel, fmt.Sprintf("there is no label :%s in this script", label),
					fmt.Sprintf("write a line \":%s\" where it is to go on, or correct the name", label))
				return nowhere, at
			}
		}
		return nowhere, nowhere
	case "exit":
		if status := strings.Join(words[1:], ""); at&uefi != 0 && isZero(status) {
			c.add(l.number, Warning, ExitsWell, fmt.Sprintf("after %q the firmware of UEFI machines believes that something was booted, and stops in its setup menu",
				strings.Join(words, " ")), "write exit 1, or chain /local.ipxe, which boots the local disk everywhere")
		}
		return nowhere, nowhere
	case "reboot", "poweroff":
		return nowhere, at
	case "iseq":
		if len(words) == 3 {
			test, value := words[1], words[2]
			if value == "${platform}" {
				test, value = value, test
			}
			if test == "${platform}" {
				switch value {
				case "efi":
					return at & uefi, at & bios
				case "pcbios":
					return at & bios, at & uefi
				}
			}
		}
	}
	return at, at
}

// isZero reports whether the status of exit is the one for success.
func isZero(status string) bool {
	if status == "" {
		return true
	}
	n, err := strconv.ParseUint(status, 0, 32)
	return err == nil && n == 0
}

// file checks an address that a command fetches.
func (c *checker) file(l line, f fetcher, arg string, at platforms, handled bool) {
	if strings.HasPrefix(arg, "https://") && at&bios != 0 && !handled {
		c.add(l.number, Warning, RareCommand, "stock BIOS builds of iPXE cannot do https, and the script ends here on them",
			"serve the file over http, or put || and what to do then behind the command")
	}
	name, _, _ := strings.Cut(arg, "#")
	name, _, _ = strings.Cut(name, "?")
	if c.exists == nil || name == "" || strings.Contains(name, "${") || strings.Contains(name, ":") {
		return
	}
	if !f.downloads && (c.images[name] || c.unnamed && !strings.Contains(name, "/")) {
		return // an image that was fetched before, by its name
	}
	decoded, err := url.PathUnescape(name)
	if err != nil {
		decoded = name
	}
	if c.exists(decoded) {
		return
	}
	p := Problem{Line: l.number, Level: Error, Code: NoFile, File: decoded, Text: decoded + " is not there, and the script ends here"}
	p.Do = "put the file there, or correct the name"
	if handled {
		p.Level, p.Text = Note, decoded+" is not there; the script says what happens then"
		if path.Ext(decoded) == ".ipxe" {
			p.Level = Warning // a script of one's own is rather misspelt than left out on purpose
		}
	}
	if first, again := c.missing[decoded]; !again {
		c.missing[decoded] = len(c.problems)
		c.problems = append(c.problems, p)
	} else if c.problems[first].Level < p.Level {
		c.problems[first] = p
	}
}

// fetcher says how a command that fetches files is written.
type fetcher struct {
	files     int    // how many of its arguments are addresses; what follows are arguments for the image
	downloads bool   // it takes an address only; the others look first for an image of that name
	value     string // the options that take a value, by their letters
}

// long are the names of the options that take a value.
var long = map[string]byte{"name": 'n', "timeout": 't', "signer": 's', "drive": 'd', "filename": 'f', "extra": 'e',
	"label": 'l', "uuid": 'u', "picture": 'p', "subject": 's'}

// fetchers are the commands that fetch files. getopt of iPXE stops at the first word that is no option.
var fetchers = map[string]fetcher{
	"imgfetch": {1, true, "nt"}, "module": {1, true, "nt"}, "initrd": {1, true, "nt"},
	"imgselect": {1, false, "nt"}, "imgload": {1, false, "nt"}, "kernel": {1, false, "nt"},
	"imgexec": {1, false, "nt"}, "chain": {1, false, "nt"}, "boot": {1, false, "nt"}, "imgargs": {1, false, "nt"},
	"imgextract": {1, false, "nt"}, "imgverify": {2, false, "st"}, "imgdecrypt": {2, false, "nt"},
	"shim": {1, false, "t"}, "fdt": {1, false, "t"}, "sanboot": {1, true, "dfelu"}, "sanhook": {1, true, "dfelu"},
}

// parse returns the arguments behind the options, and the name that an option gives the image.
func (f fetcher) parse(words []string) (args []string, name string) {
	for len(words) > 0 && len(words[0]) > 1 && words[0][0] == '-' {
		option := words[0]
		words = words[1:]
		if option == "--" {
			break
		}
		letter, value, given := f.option(option)
		if letter != 0 && !given && len(words) > 0 {
			value, words = words[0], words[1:]
		}
		if letter == 'n' {
			name = value
		}
	}
	return words, name
}

// option returns the letter of the option that takes a value, with the value when it stands in the same word, or 0.
func (f fetcher) option(word string) (letter byte, value string, given bool) {
	if text, isLong := strings.CutPrefix(word, "--"); isLong {
		text, value, given = strings.Cut(text, "=")
		if letter = long[text]; strings.IndexByte(f.value, letter) < 0 {
			letter = 0
		}
		return letter, value, given
	}
	for i := 1; i < len(word); i++ { // flags may be joined: -ar, -an NAME
		if strings.IndexByte(f.value, word[i]) >= 0 {
			return word[i], word[i+1:], i+1 < len(word)
		}
	}
	return 0, "", false
}

// build says which stock builds of iPXE from 2019 to 2026 have a command.
type build int

const (
	always   build = iota
	notBIOS        // no BIOS build (src/config/general.h), and under UEFI not those of 2019
	newer          // later than v1.21.1 of 2020
	optional       // in no stock build; somebody has to ask for it
)

// commands are those of the source of iPXE from 2019 to 2026.
var commands = func() map[string]build {
	all := map[string]build{}
	for b, names := range map[build]string{
		always: `autoboot ifopen ifclose ifstat ifconf iwstat iwlist ibstat fcstat fcels route config show set clear read inc
			imgfetch module initrd imgselect imgload kernel imgexec chain boot imgargs imgstat imgfree dhcp pxebs
			sanboot sanhook sanunhook menu item choose login sync shell echo exit isset iseq goto prompt sleep help
			reboot poweroff cpuid`,
		notBIOS: `vcreate vdestroy params param ntp console colour cpair certstat certstore certfree pciscan usbscan
			md4sum md5sum sha1sum sha224sum sha256sum sha384sum sha512sum`,
		newer: `iflinkwait imgextract imgset shim form present`,
		optional: `imgtrust imgverify imgdecrypt imgmem ipstat nstat lotest nslookup ping profstat startpxe stoppxe time
			gdbstub fdt`,
	} {
		for name := range strings.FieldsSeq(names) {
			all[name] = b
		}
	}
	return all
}()
