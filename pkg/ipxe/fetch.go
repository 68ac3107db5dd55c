package ipxe

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// file checks an address that a command fetches.
func (c *checker) file(l line, f fetcher, arg string, at Reach, handled bool) {
	if strings.HasPrefix(arg, "https://") && at&OnBIOS != 0 && !handled {
		c.addOn(OnBIOS, l.number, Warning, RareCommand, "BIOS builds of iPXE such as Debian 12's "+
			"cannot do https, and the script ends here on them",
			"serve the file over http, or put || and what to do then behind the command")
	}
	if scheme(arg) != "" {
		return
	}
	if _, fetched := c.images[arg]; fetched && !f.downloads {
		return // an image that was fetched before, by its name
	}
	if before, _, found := strings.Cut(arg, ":"); found && !strings.ContainsAny(before, "$#") {
		c.add(l.number, Warning, Colon, fmt.Sprintf("iPXE before 2022, as Debian 12 has it, "+
			"takes %q before the colon for a scheme such as http, and fetches nothing", before),
			"call the file by a name without colons (${net0/mac:hexhyp} is a MAC with hyphens), "+
				"or write the whole address, http://SERVER:4567/…")
	}
	if mac := plainMAC.FindString(arg); mac != "" && !strings.HasPrefix(arg, "${") {
		c.add(l.number, Note, Colon, fmt.Sprintf("%s has colons, and iPXE before 2022, as Debian "+
			"12 has it, takes what stands before the first for a scheme such as http", mac),
			"write "+strings.TrimSuffix(mac, "}")+":hexhyp}, which is the MAC with hyphens, or "+
				"the whole address, http://SERVER:4567/…")
	}
	name, _, _ := strings.Cut(arg, "#")
	name, _, _ = strings.Cut(name, "?")
	if c.exists == nil || name == "" || dynamic(name) ||
		c.cut && l.number == c.lines[len(c.lines)-1].number {
		return
	}
	if !f.downloads && c.unnamed && !strings.Contains(name, "/") {
		return
	}
	decoded := unescape(name)
	if c.exists(decoded) {
		return
	}
	p := Problem{Line: l.number, Level: Error, Code: NoFile, File: decoded, Text: decoded +
		" is not there, and the script ends here"}
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

// scheme returns the scheme of an address, as iPXE since 2022 tells it from a
// path with a colon in it (parse_uri): letters, hyphens and underscores up to
// the colon.
func scheme(address string) string {
	before, _, found := strings.Cut(address, ":")
	if !found || strings.Trim(before,
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_") != "" {
		return ""
	}
	return before
}

// unescape is a path without its percent signs, or as it stands when they are
// none of an address.
func unescape(name string) string {
	if decoded, err := url.PathUnescape(name); err == nil {
		return decoded
	}
	return name
}

// fetcher says how a command that fetches files is written.
type fetcher struct {
	// how many of its arguments are addresses; what follows are arguments for
	// the image
	files     int
	downloads bool   // it takes an address only; the others look first for an image of that name
	value     string // the options that take a value, by their letters
}

// long are the names of the options that take a value.
var long = map[string]byte{"name": 'n', "timeout": 't', "signer": 's', "drive": 'd',
	"filename": 'f', "extra": 'e',
	"label": 'l', "uuid": 'u', "picture": 'p', "subject": 's', "menu": 'm', "key": 'k'}

// fetchers are the commands that fetch files. getopt of iPXE stops at the first
// word that is no option.
var fetchers = map[string]fetcher{
	"imgfetch": {1, true, "nt"}, "module": {1, true, "nt"}, "initrd": {1, true, "nt"},
	"imgselect": {1, false, "nt"}, "imgload": {1, false, "nt"}, "kernel": {1, false, "nt"},
	"imgexec": {1, false, "nt"}, "chain": {1, false, "nt"}, "boot": {1, false, "nt"},
	"imgargs":    {1, false, "nt"},
	"imgextract": {1, false, "nt"}, "imgverify": {2, false, "st"}, "imgdecrypt": {2, false, "nt"},
	"shim": {1, false, "t"}, "fdt": {1, false, "t"}, "sanboot": {1, true, "dfelu"},
	"sanhook": {1, true, "dfelu"},
}

// parse returns the arguments behind the options, and the name that an option
// gives the image.
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

// option returns the letter of the option that takes a value, with the value
// when it stands in the same word, or 0.
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
