package ipxe

import (
	"bytes"
	"fmt"
	"path"
	"slices"
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
	File string // as the script names it, without query and server; "": only the machine knows
	// it takes the place of this script, and its exit status is for whoever
	// runs this one
	Replace bool
	On      Reach // who gets there
	Boots   bool  // what it selects may be booted when it comes back
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
	TooLong     = "too-long"     // over MaxScript
	NoEnd       = "no-end"       // the last line is cut, or seems to be
	NoLabel     = "no-label"     // goto leads nowhere
	SameLabel   = "same-label"   // a label is there twice
	NoCommand   = "no-command"   // stock iPXE knows no such command
	RareCommand = "rare-command" // not every stock iPXE knows the command or the kind of address
	NoFile      = "no-file"      // a file that is to be fetched is not there
	// ends in the setup menu under UEFI, unless another script runs this one
	ExitsWell = "exits-well"
	NoBoot    = "no-boot" // a kernel is selected, and nothing boots it
	Colon     = "colon"   // iPXE before 2022 takes what stands before a colon for a scheme
)

// MaxScript is the longest script in bytes that is served: that of boot, which
// this package may not import; a test of pkg/site compares them.
const MaxScript = 1 << 20

// Check reads a script as iPXE does and says what is wrong with it, in the
// order of its lines. Nothing is run. It is judged as the first script that a
// machine runs.
//
// exists reports whether the server has the file that the script names by a
// path: "images/linux", or "/images/linux" when the script begins it with a
// slash; without the query, and decoded. A nil exists asks for no file.
// Addresses with a scheme, and every word with a setting in it, ${…}, are not
// judged: only the machine knows what they become.
//
// Labels are reached by the platforms of the gotos that name them and by those
// that fall into them, so that what only UEFI machines get to is not measured
// by what BIOS builds can, and the other way round. A command whose failure the
// script handles, by || behind it, may fail.
func Check(script []byte, exists func(path string) bool) []Problem {
	return Examine(script, exists).Problems
}

// Examine does what Check does, and says as well what the script leads to.
// Whether the firmware ever sees its exit status, and whether the script that
// runs it boots its kernel, is for the caller to know: ExitsWell and NoBoot
// hold for the first script of a machine.
func Examine(script []byte, exists func(path string) bool) Report {
	c := &checker{exists: exists, labels: map[string]int{}, images: map[string]string{},
		missing: map[string]int{}}
	body := script
	if rest, marked := bytes.CutPrefix(script, []byte("\xef\xbb\xbf")); marked {
		c.add(1, Error, NoMagic,
			"a byte order mark stands before the first line, so iPXE does not see a script",
			"save the file as UTF-8 without a byte order mark")
		body = rest
	} else if !isScript(script) {
		c.add(1, Error, NoMagic, "the first line is not #!ipxe, so iPXE does not see a script",
			`begin the file with a line "#!ipxe"`)
	}
	if len(script) > MaxScript {
		c.add(1, Error, TooLong,
			fmt.Sprintf("the script has %d bytes, and no script over %d is served",
				len(script), MaxScript),
			"chain the parts of it from a short one")
		return Report{Problems: c.problems}
	}
	lines, last := splitLines(body)
	c.lines = lines
	for n, l := range lines {
		c.collect(n, l)
		if l.blank {
			c.add(l.number, Warning, NoEnd, "blanks stand behind the backslash, so the command "+
				"does not go on in the next line",
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
		c.add(last, Error, NoEnd,
			`the script ends with a backslash, so iPXE does not run its last line`,
			"write the rest of the line, or take the backslash away")
	case c.cut:
		c.add(last, Warning, NoEnd,
			"the last line stops in the middle of a command: the rest of the file is missing",
			"put the whole file there")
	case !ended:
		c.add(last, Note, NoEnd, "the last line has no line end; iPXE runs it all the same",
			"end it with a line end, so that a line that is added does not become a part of it")
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return a.Line - b.Line })
	return Report{c.problems, c.leads}
}

type checker struct {
	exists func(string) bool
	lines  []line
	labels map[string]int // the index of the line of each label
	// names by which the script finds what it has fetched, and from where
	images   map[string]string
	missing  map[string]int // where in problems a missing file is
	unnamed  bool           // what was fetched has a name that only the machine knows
	cut      bool           // the last line is not whole
	flow     *flow
	boots    [][ways]bool
	problems []Problem
	leads    []Lead
}

func (c *checker) add(line int, level Level, code, text, do string) {
	c.problems = append(c.problems, Problem{Line: line, Level: level, Code: code,
		Text: text, Do: do})
}

// addOn is add for what goes wrong on some platforms only.
func (c *checker) addOn(on Reach, line int, level Level, code, text, do string) {
	c.problems = append(c.problems, Problem{Line: line, Level: level, Code: code, Text: text,
		Do: do, On: on})
}

// collect notes the labels and images of the n-th line, which may be used
// before it.
func (c *checker) collect(n int, l line) {
	if l.label != "" {
		if first, twice := c.labels[l.label]; twice {
			c.add(l.number, Error, SameLabel,
				fmt.Sprintf("the label :%s is in line %d already, and goto leads only there",
					l.label, c.lines[first].number),
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
		} else if name != "" && name != "." && (named || f.downloads ||
			strings.Contains(strings.Join(args, ""), "/")) {
			c.images[name] = address
		}
	}
}

const (
	always build = iota
	// no BIOS build of the project itself (src/config/general.h), though Debian
	// 13's; and under UEFI not those of 2019
	notBIOS
	newer    // later than v1.21.1 of 2020
	optional // in no stock build; somebody has to ask for it
)
