package ipxe

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
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

	// On are the platforms on which it goes wrong, where only a test of
	// ${platform} or the way to the script keeps it from that; 0: anywhere.
	On Reach
}

// Report is what Examine finds in a script.
type Report struct {
	Problems []Problem // in the order of the lines
	Leads    []Lead    // the scripts and programs that it runs
}

// Lead is a command that runs another file.
type Lead struct {
	File    string // as the script names it, without query and server; "": only the machine knows
	Replace bool   // it takes the place of this script, and its exit status is for whoever runs this one
	On      Reach  // who gets there
	Boots   bool   // what it selects may be booted when it comes back
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
	ExitsWell   = "exits-well"   // ends in the setup menu under UEFI, unless another script runs this one
	NoBoot      = "no-boot"      // a kernel is selected, and nothing boots it
	Colon       = "colon"        // iPXE before 2022 takes what stands before a colon for a scheme
)

// maxScript is the longest script in bytes that is served. iPXE 2019 ran 200 kB and failed on 4 MB.
const maxScript = 1 << 20

// Check reads a script as iPXE does and says what is wrong with it, in the order of its lines. Nothing is run. It is judged as the
// first script that a machine runs.
//
// exists reports whether the server has the file that the script names by a path: "images/linux", or "/images/linux" when the
// script begins it with a slash; without the query, and decoded. A nil exists asks for no file. Addresses with a scheme, and
// every word with a setting in it, ${…}, are not judged: only the machine knows what they become.
//
// Labels are reached by the platforms of the gotos that name them and by those that fall into them, so that what only UEFI
// machines get to is not measured by what BIOS builds can, and the other way round. A command whose failure the script
// handles, by || behind it, may fail.
func Check(script []byte, exists func(path string) bool) []Problem {
	return Examine(script, exists).Problems
}

// Examine does what Check does, and says as well what the script leads to. Whether the firmware ever sees its exit status,
// and whether the script that runs it boots its kernel, is for the caller to know: ExitsWell and NoBoot hold for the first
// script of a machine.
func Examine(script []byte, exists func(path string) bool) Report {
	c := &checker{exists: exists, labels: map[string]int{}, images: map[string]string{}, missing: map[string]int{}}
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
		return Report{Problems: c.problems}
	}
	lines, last := splitLines(body)
	c.lines = lines
	for n, l := range lines {
		c.collect(n, l)
		if l.blank {
			c.add(l.number, Warning, NoEnd, "blanks stand behind the backslash, so the command does not go on in the next line",
				"take the blanks away")
		}
	}
	ended := !isScript(body) || body[len(body)-1] == '\n'
	if !ended {
		c.cut = wordCut(lines[len(lines)-1])
	}
	c.flow = newFlow(lines, c.labels)
	c.boots = c.flow.booting()
	for _, n := range c.flow.nodes {
		if n.fan == nil {
			c.command(n)
		}
	}
	switch {
	case len(lines) > 0 && lines[len(lines)-1].cut:
		c.add(last, Error, NoEnd, `the script ends with a backslash, so iPXE does not run its last line`,
			"write the rest of the line, or take the backslash away")
	case c.cut:
		c.add(last, Warning, NoEnd, "the last line stops in the middle of a command: the rest of the file is missing",
			"put the whole file there")
	case !ended:
		c.add(last, Note, NoEnd, "the last line has no line end; iPXE runs it all the same",
			"end it with a line end, so that a line that is added does not become a part of it")
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return a.Line - b.Line })
	return Report{c.problems, c.leads}
}

// wordCut reports whether a line without a line end is surely not all of what it was: its last command is the beginning of
// one, or a setting in it has no end.
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

type checker struct {
	exists   func(string) bool
	lines    []line
	labels   map[string]int    // the index of the line of each label
	images   map[string]string // names by which the script finds what it has fetched, and from where
	missing  map[string]int    // where in problems a missing file is
	unnamed  bool              // what was fetched has a name that only the machine knows
	cut      bool              // the last line is not whole
	flow     *flow
	boots    [][ways]bool
	problems []Problem
	leads    []Lead
}

func (c *checker) add(line int, level Level, code, text, do string) {
	c.problems = append(c.problems, Problem{Line: line, Level: level, Code: code, Text: text, Do: do})
}

// addOn is add for what goes wrong on some platforms only.
func (c *checker) addOn(on Reach, line int, level Level, code, text, do string) {
	c.problems = append(c.problems, Problem{Line: line, Level: level, Code: code, Text: text, Do: do, On: on})
}

// collect notes the labels and images of the n-th line, which may be used before it.
func (c *checker) collect(n int, l line) {
	if l.label != "" {
		if first, twice := c.labels[l.label]; twice {
			c.add(l.number, Error, SameLabel, fmt.Sprintf("the label :%s is in line %d already, and goto leads only there", l.label, c.lines[first].number),
				"give one of them another name")
		} else {
			c.labels[l.label] = n
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
		address, named := "", name != ""
		if len(args) > 0 {
			address = args[0]
		}
		if !named {
			p, _, _ := strings.Cut(address, "?")
			name = path.Base(p)
		}
		if dynamic(name) {
			c.unnamed = true
		} else if name != "" && name != "." && (named || f.downloads || strings.Contains(strings.Join(args, ""), "/")) {
			c.images[name] = address
		}
	}
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

// command checks a command of the script.
func (c *checker) command(n node) {
	l := c.lines[n.line]
	words := l.commands[n.cmd].words
	if len(words) == 0 || n.in == nowhere || dynamic(words[0]) {
		return
	}
	name, at := words[0], n.in&Anywhere
	handled := l.handled(n.cmd)
	level := Error
	if handled {
		level = Warning
	}
	switch build, known := commands[name]; {
	case !known:
		c.unknown(l, n, name, level)
	case !handled && build == notBIOS && at&OnBIOS != 0:
		c.addOn(OnBIOS, l.number, Warning, RareCommand, fmt.Sprintf("BIOS builds of iPXE such as Debian 12's have no command %s, and the script ends here on them", name),
			"put || and what to do then behind the command, or test ${platform} before it")
	case !handled && build == newer && at != nowhere:
		c.addOn(at, l.number, Warning, RareCommand, fmt.Sprintf("iPXE of 2019 and 2020, as Debian 12 has it, knows no command %s, and the script ends here on it", name),
			"put || behind the command")
	case !handled && build == optional && at != nowhere:
		c.addOn(at, l.number, Warning, RareCommand, fmt.Sprintf("only builds of iPXE that were made for it have the command %s; the script ends here on all others", name),
			"put || behind the command")
	}
	if f, fetches := fetchers[name]; fetches {
		args, _ := f.parse(words[1:])
		for i, arg := range args {
			if i < f.files {
				c.file(l, f, arg, at, handled)
			}
		}
		c.lead(n, name, words, args)
	}
	switch name {
	case "goto":
		if len(words) == 1 {
			c.add(l.number, level, NoLabel, "goto without a label", "name the label")
		} else if label := words[1]; !dynamic(label) {
			if _, ok := c.labels[label]; !ok {
				c.add(l.number, level, NoLabel, fmt.Sprintf("there is no label :%s in this script", label),
					fmt.Sprintf("write a line \":%s\" where it is to go on, or correct the name", label))
			}
		}
	case "exit":
		if status := strings.Join(words[1:], ""); at&OnUEFI != 0 && isZero(status) {
			c.addOn(OnUEFI, l.number, Warning, ExitsWell, fmt.Sprintf("after %q the firmware of UEFI machines believes that something was booted, and stops in its setup menu",
				strings.Join(words, " ")), "write exit 1, or chain /local.ipxe, which boots the local disk everywhere")
		}
	case "kernel", "imgselect", "imgload":
		again := len(c.problems) > 0 && c.problems[len(c.problems)-1].Code == NoBoot && c.problems[len(c.problems)-1].Line == l.number
		if n.toWell != nowhere && len(words) > 1 && !again && (n.well < 0 || !c.boots[n.well][straight]) {
			c.add(l.number, Warning, NoBoot, "the kernel is loaded, and no boot follows, so the machine boots nothing",
				`write a line "boot" behind the lines of the kernel and its initrd`)
		}
	}
}

// unknown reports a command that stock iPXE does not know.
func (c *checker) unknown(l line, n node, name string, level Level) {
	if c.cut && n.line == len(c.lines)-1 && n.cmd == len(l.commands)-1 {
		return // the rest of the word is missing
	}
	do := "correct the spelling; if your own build has it, add || behind the command for the others"
	if label, colon := strings.CutSuffix(name, ":"); colon && label != "" {
		do = fmt.Sprintf("a label is written :%s", label)
	} else if meant := nearest(name); meant != "" {
		do = fmt.Sprintf("did you mean %s?", meant)
	} else {
		level = Warning // a build of one's own may have it
	}
	c.add(l.number, level, NoCommand, fmt.Sprintf("%q is no command of stock iPXE, and the script ends here where it is not known", name), do)
}

// nearest returns the command that a misspelt one was meant for, or "".
func nearest(name string) string {
	if name == "imgboot" {
		return "imgexec"
	}
	allowed := 1
	if len(name) > 5 {
		allowed = 2
	}
	best, least := "", 2*allowed+2
	for _, known := range commandNames {
		if strings.EqualFold(known, name) {
			return known
		}
		if len(known) < 4 {
			continue // everything short is near to one of these
		}
		d := distance(name, known, allowed)
		if d > allowed {
			continue
		}
		far := 2 * d
		if name[0] != known[0] {
			far++ // the first letter is seldom the wrong one
		}
		if far < least {
			best, least = known, far
		}
	}
	return best
}

var commandNames = slices.Sorted(maps.Keys(commands))

// longest is more letters than a command has.
const longest = 24

// distance counts the letters to add, take away, change or swap with their neighbour that make the command b of a. Where that
// are surely more than most, it does not count.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most || len(a) >= longest {
		return most + 1
	}
	var before, last, row [longest + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// lead notes what a command runs.
func (c *checker) lead(n node, name string, words, args []string) {
	switch name {
	case "chain", "imgexec", "boot":
	case "kernel", "imgselect", "imgload":
		words = nil // boot may run it, and a script like any other
	default:
		return
	}
	if len(args) == 0 {
		return
	}
	lead := Lead{Replace: hasFlag(words, args, "replace", 'r'), Boots: n.well >= 0 && n.toWell != nowhere && c.boots[n.well][chosen]}
	text := args[0]
	if from, image := c.images[text]; image {
		text = from
	}
	in := n.in
	if commands := c.lines[n.line].commands; n.cmd == 2 && commands[1].join == "&&" && commands[2].join == "||" {
		// "iseq ${platform} efi && chain A || chain B" means the one or the other, though B follows a failure of A, too.
		in &= c.flow.nodes[c.flow.first[n.line]].toIll
	}
	for _, who := range []Reach{OnBIOS, OnUEFI} {
		if in&(who|stray) == 0 {
			continue
		}
		one := lead
		one.On = who
		one.File = strings.ReplaceAll(text, "${platform}", platformNames[who])
		one.File, _, _ = strings.Cut(one.File, "#")
		one.File, _, _ = strings.Cut(one.File, "?")
		switch scheme(one.File) {
		case "http", "https", "tftp":
			// Perhaps this server by its address: then the path is one of the tree.
			_, rest, _ := strings.Cut(one.File, "://")
			_, rest, _ = strings.Cut(rest, "/")
			one.File = "/" + rest
		}
		switch {
		case dynamic(one.File):
			one.File = ""
		case one.File == "" || one.File == "/" || scheme(one.File) != "":
			continue
		default:
			one.File = unescape(one.File)
		}
		if last := len(c.leads) - 1; who == OnUEFI && last >= 0 && c.leads[last].File == one.File && in&(OnBIOS|stray) != 0 {
			c.leads[last].On |= who
			continue
		}
		c.leads = append(c.leads, one)
	}
}

// hasFlag reports whether the options before args have a flag, by its long name or its letter, perhaps joined with others.
func hasFlag(words, args []string, name string, letter byte) bool {
	if len(words) == 0 {
		return false
	}
	for _, w := range words[1 : len(words)-len(args)] {
		if w == "--"+name || len(w) > 1 && w[0] == '-' && w[1] != '-' && strings.IndexByte(w, letter) > 0 {
			return true
		}
	}
	return false
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
func (c *checker) file(l line, f fetcher, arg string, at Reach, handled bool) {
	if strings.HasPrefix(arg, "https://") && at&OnBIOS != 0 && !handled {
		c.addOn(OnBIOS, l.number, Warning, RareCommand, "BIOS builds of iPXE such as Debian 12's cannot do https, and the script ends here on them",
			"serve the file over http, or put || and what to do then behind the command")
	}
	if scheme(arg) != "" {
		return
	}
	if _, fetched := c.images[arg]; fetched && !f.downloads {
		return // an image that was fetched before, by its name
	}
	if before, _, found := strings.Cut(arg, ":"); found && !strings.ContainsAny(before, "$#") {
		c.add(l.number, Warning, Colon, fmt.Sprintf("iPXE before 2022, as Debian 12 has it, takes %q before the colon for a scheme such as http, and fetches nothing", before),
			"call the file by a name without colons (${net0/mac:hexhyp} is a MAC with hyphens), or write the whole address, http://SERVER:4567/…")
	}
	if mac := plainMAC.FindString(arg); mac != "" && !strings.HasPrefix(arg, "${") {
		c.add(l.number, Note, Colon, fmt.Sprintf("%s has colons, and iPXE before 2022, as Debian 12 has it, takes what stands before the first for a scheme such as http", mac),
			"write "+strings.TrimSuffix(mac, "}")+":hexhyp}, which is the MAC with hyphens, or the whole address, http://SERVER:4567/…")
	}
	name, _, _ := strings.Cut(arg, "#")
	name, _, _ = strings.Cut(name, "?")
	if c.exists == nil || name == "" || dynamic(name) || c.cut && l.number == c.lines[len(c.lines)-1].number {
		return
	}
	if !f.downloads && c.unnamed && !strings.Contains(name, "/") {
		return
	}
	decoded := unescape(name)
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

// plainMAC is a MAC as iPXE writes it by itself.
var plainMAC = regexp.MustCompile(`\$\{(net[0-9X]+/)?mac\}`)

// scheme returns the scheme of an address, as iPXE since 2022 tells it from a path with a colon in it (parse_uri): letters,
// hyphens and underscores up to the colon.
func scheme(address string) string {
	before, _, found := strings.Cut(address, ":")
	if !found || strings.Trim(before, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_") != "" {
		return ""
	}
	return before
}

// unescape is a path without its percent signs, or as it stands when they are none of an address.
func unescape(name string) string {
	if decoded, err := url.PathUnescape(name); err == nil {
		return decoded
	}
	return name
}

// fetcher says how a command that fetches files is written.
type fetcher struct {
	files     int    // how many of its arguments are addresses; what follows are arguments for the image
	downloads bool   // it takes an address only; the others look first for an image of that name
	value     string // the options that take a value, by their letters
}

// long are the names of the options that take a value.
var long = map[string]byte{"name": 'n', "timeout": 't', "signer": 's', "drive": 'd', "filename": 'f', "extra": 'e',
	"label": 'l', "uuid": 'u', "picture": 'p', "subject": 's', "menu": 'm', "key": 'k'}

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
	notBIOS        // no BIOS build of the project itself (src/config/general.h), though Debian 13's; and under UEFI not those of 2019
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
