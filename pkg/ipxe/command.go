package ipxe

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

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
		c.addOn(OnBIOS, l.number, Warning, RareCommand, fmt.Sprintf("BIOS builds of iPXE such as "+
			"Debian 12's have no command %s, and the script ends here on them", name),
			"put || and what to do then behind the command, or test ${platform} before it")
	case !handled && build == newer && at != nowhere:
		c.addOn(at, l.number, Warning, RareCommand, fmt.Sprintf("iPXE of 2019 and 2020, as "+
			"Debian 12 has it, knows no command %s, and the script ends here on it", name),
			"put || behind the command")
	case !handled && build == optional && at != nowhere:
		c.addOn(at, l.number, Warning, RareCommand, fmt.Sprintf("only builds of iPXE that were "+
			"made for it have the command %s; the script ends here on all others", name),
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
				c.add(l.number, level, NoLabel,
					fmt.Sprintf("there is no label :%s in this script", label),
					fmt.Sprintf("write a line \":%s\" where it is to go on, or correct the name",
						label))
			}
		}
	case "exit":
		if status := strings.Join(words[1:], ""); at&OnUEFI != 0 && isZero(status) {
			c.addOn(OnUEFI, l.number, Warning, ExitsWell, fmt.Sprintf("after %q the firmware of "+
				"UEFI machines believes that something was booted, and stops in its setup menu",
				strings.Join(words, " ")),
				"write exit 1, or chain /local.ipxe, which boots the local disk everywhere")
		}
	case "kernel", "imgselect", "imgload":
		again := len(c.problems) > 0 && c.problems[len(c.problems)-1].Code == NoBoot &&
			c.problems[len(c.problems)-1].Line == l.number
		if n.toWell != nowhere && len(words) > 1 && !again &&
			(n.well < 0 || !c.boots[n.well][straight]) {
			c.add(l.number, Warning, NoBoot,
				"the kernel is loaded, and no boot follows, so the machine boots nothing",
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
	c.add(l.number, level, NoCommand,
		fmt.Sprintf("%q is no command of stock iPXE, and the script ends here where it is not known", name), do)
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

// distance counts the letters to add, take away, change or swap with their
// neighbour that make the command b of a. Where that are surely more than most,
// it does not count.
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
	lead := Lead{Replace: hasFlag(words, args, "replace", 'r'), Boots: n.well >= 0 &&
		n.toWell != nowhere && c.boots[n.well][chosen]}
	text := args[0]
	if from, image := c.images[text]; image {
		text = from
	}
	in := n.in
	if commands := c.lines[n.line].commands; n.cmd == 2 && commands[1].join == "&&" &&
		commands[2].join == "||" {
		// "iseq ${platform} efi && chain A || chain B" means the one or the
		// other, though B follows a failure of A, too.
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
			// Perhaps this server by its address: then the path is one of the
			// tree.
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
		if last := len(c.leads) - 1; who == OnUEFI && last >= 0 && c.leads[last].File == one.File &&
			in&(OnBIOS|stray) != 0 {
			c.leads[last].On |= who
			continue
		}
		c.leads = append(c.leads, one)
	}
}

// hasFlag reports whether the options before args have a flag, by its long name
// or its letter, perhaps joined with others.
func hasFlag(words, args []string, name string, letter byte) bool {
	if len(words) == 0 {
		return false
	}
	for _, w := range words[1 : len(words)-len(args)] {
		if w == "--"+name || len(w) > 1 && w[0] == '-' && w[1] != '-' &&
			strings.IndexByte(w, letter) > 0 {
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

// build says which stock builds of iPXE from 2019 to 2026 have a command.
type build int

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
