package ipxe

import (
	"slices"
	"strings"
)

// Reach are the kinds of firmware that get to a place of a script.
type Reach int

// The kinds of firmware, as ${platform} tells them.
const (
	OnBIOS Reach = 1 << iota
	OnUEFI
	// stray marks a place of which it is not known who comes there: one that no
	// goto of the script leads to, behind a label, perhaps by one that is
	// misspelt elsewhere; or one behind a command that most do not come back
	// from.
	stray

	nowhere  Reach = 0
	Anywhere       = OnBIOS | OnUEFI
	all            = Anywhere | stray
)

// platformNames are the values of ${platform}.
var platformNames = map[Reach]string{OnBIOS: "pcbios", OnUEFI: "efi"}

// onlyUEFI are the values of ${buildarch} that no BIOS build has.
var onlyUEFI = []string{"arm32", "arm64", "riscv32", "riscv64", "loong64"}

// Where a command leads when it is no other command.
const (
	ends  = -1 // the script is over, and ended well
	fails = -2 // the script is over with an error
)

// node is a command of a script, or the many labels that one goto ${...}
// leads to.
type node struct {
	line, cmd int   // the command, by its line and its place in it
	fan       []int // or the nodes of the labels
	in        Reach // who gets here
	well, ill int   // where it goes on after success and after failure
	toWell    Reach // who goes on after success, after failure, and by goto
	toIll     Reach
	toJump    map[int]Reach
}

// flow follows the commands of a script as iPXE runs them (process_script and
// system in its source): && and || by what the command before them came to,
// goto to the first label of the name, and the next line otherwise.
//
// Each place knows which platforms get there. A platform never turns into
// another one, so what was found for all of them holds for each alone.
type flow struct {
	lines  []line
	labels map[string]int // the line of each label, the first where there are several
	first  []int          // the first node at or behind each line
	nodes  []node
	fans   map[string]int // the node of what a goto ${...} may mean
	values *values        // what is known of settings; nil at first
}

// maxFans is how many different goto ${...} a script may have before they are
// taken for the same one, which leads to each label.
const maxFans = 16

func newFlow(lines []line, labels map[string]int) *flow {
	f := &flow{lines: lines, labels: labels, first: make([]int, len(lines)+1)}
	for n, l := range lines {
		f.first[n] = len(f.nodes)
		for c := range l.commands {
			f.nodes = append(f.nodes, node{line: n, cmd: c})
		}
	}
	f.first[len(lines)] = ends
	next := ends
	for n := len(lines) - 1; n >= 0; n-- {
		count := len(lines[n].commands)
		if count == 0 {
			f.first[n] = next
			continue
		}
		at := f.first[n]
		f.nodes[at+count-1].well, f.nodes[at+count-1].ill = next, fails
		for c := count - 2; c >= 0; c-- {
			here, then := &f.nodes[at+c], f.nodes[at+c+1]
			here.well, here.ill = at+c+1, at+c+1
			switch lines[n].commands[c+1].join {
			case "&&":
				here.ill = then.ill
			case "||":
				here.well = then.well
			}
		}
		next = at
	}
	// First with nothing known of settings, which says who sets them to what;
	// then with that.
	f.run()
	f.values = f.read()
	f.run()
	return f
}

// run finds out who gets where.
func (f *flow) run() {
	f.fans = map[string]int{}
	f.nodes = slices.DeleteFunc(f.nodes, func(n node) bool { return n.fan != nil })
	for i := range f.nodes {
		f.nodes[i].in = nowhere
	}
	if len(f.nodes) == 0 {
		return
	}
	f.spread(0, Anywhere)
	for n, l := range f.lines {
		if at := f.first[n]; l.label != "" && at >= 0 && f.nodes[at].in == nowhere {
			f.spread(at, stray)
		}
	}
}

// spread lets the platforms come to a node, and to all that follows from it.
func (f *flow) spread(at int, who Reach) {
	type arrival struct {
		at  int
		who Reach
	}
	todo := []arrival{{at, who}}
	for len(todo) > 0 {
		a := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if a.at < 0 || f.nodes[a.at].in|a.who == f.nodes[a.at].in {
			continue
		}
		f.nodes[a.at].in |= a.who
		f.step(a.at)
		n := f.nodes[a.at]
		for _, label := range n.fan {
			todo = append(todo, arrival{label, n.in})
		}
		for label, who := range n.toJump {
			todo = append(todo, arrival{label, who})
		}
		todo = append(todo, arrival{n.well, n.toWell}, arrival{n.ill, n.toIll})
	}
}

// step says who goes on from a node, and where to.
func (f *flow) step(at int) {
	n := f.nodes[at]
	if n.fan != nil {
		return
	}
	n.toWell, n.toIll, n.toJump = n.in, n.in, nil
	words := f.lines[n.line].commands[n.cmd].words
	if len(words) == 0 {
		n.toIll = nowhere // an empty command succeeds
		f.nodes[at] = n
		return
	}
	switch words[0] {
	case "set", "clear", "echo", "menu", "item", "imgfree":
		n.toIll = nowhere // does not fail as people write it
	case "goto":
		n.toWell, n.toJump = nowhere, map[int]Reach{}
		if len(words) < 2 {
			break
		}
		if label := words[1]; !dynamic(label) {
			if to, there := f.labels[label]; there {
				n.toIll = nowhere
				n.toJump[f.first[to]] = n.in
			}
			break
		}
		for _, who := range []Reach{OnBIOS, OnUEFI, stray} {
			if n.in&who != 0 {
				to, sure := f.fan(words[1], who)
				n.toJump[to] |= who
				if sure {
					n.toIll &^= who
				}
			}
		}
	case "exit":
		n.toWell, n.toIll = nowhere, nowhere
	case "reboot", "poweroff":
		n.toWell = nowhere
	case "sanboot":
		n.toWell = stray // what was booted does not come back
	case "chain", "imgexec", "boot":
		if args, _ := fetchers[words[0]].parse(words[1:]); hasFlag(words, args, "replace", 'r') {
			// the other script takes the place of this one (imgexec in its
			// source)
			n.toWell = nowhere
		}
	case "iseq":
		if len(words) != 3 {
			break
		}
		test, value := words[1], words[2]
		if dynamic(value) && !dynamic(test) {
			test, value = value, test
		}
		switch {
		case test == "${platform}" && value == "efi":
			n.toWell, n.toIll = n.in&^OnBIOS, n.in&^OnUEFI
		case test == "${platform}" && value == "pcbios":
			n.toWell, n.toIll = n.in&^OnUEFI, n.in&^OnBIOS
		case test == "${buildarch}" && slices.Contains(onlyUEFI, value):
			n.toWell = n.in &^ OnBIOS
		default:
			n.toWell = f.values.narrow(able(n.in, test, value), test, value)
			n.toIll = f.values.narrowElse(n.in, test, value)
		}
	case "isset":
		if len(words) == 2 {
			n.toWell = f.values.narrowSet(n.in, words[1])
		}
	}
	if commands[words[0]] == notBIOS && n.toWell&OnBIOS != 0 {
		// Which build had it is not known, and it has what goes with it, as
		// param goes with params.
		n.toWell = n.toWell&^OnBIOS | stray
	}
	f.nodes[at] = n
}

// fan returns the node of the labels that goto TEXT leads a platform to, where
// TEXT has settings in it. It is sure when ${platform} is the only one and the
// label is there.
func (f *flow) fan(text string, who Reach) (at int, sure bool) {
	pattern := strings.ReplaceAll(text, "${platform}", platformNames[who])
	if who == stray {
		pattern = text
	}
	key := pattern
	if setting := onlySetting(pattern); setting != "" {
		key += " " + platformNames[who] // what a setting has been given may differ
	}
	_, sure = f.labels[pattern]
	if at, known := f.fans[key]; known {
		return at, sure
	}
	if len(f.fans) >= maxFans {
		pattern, key = "${}", "${}"
		if at, known := f.fans[key]; known {
			return at, sure
		}
	}
	parts := literals(pattern)
	fan := []int{}
	for label, n := range f.labels {
		if matches(parts, label) && f.values.may(who, onlySetting(pattern), label) &&
			f.first[n] >= 0 {
			fan = append(fan, f.first[n])
		}
	}
	slices.Sort(fan)
	f.nodes = append(f.nodes, node{fan: fan, well: ends, ill: fails})
	f.fans[key] = len(f.nodes) - 1
	return f.fans[key], sure
}

// values is what a script gives its settings, and which platforms do it.
type values struct {
	given   map[string]map[string]Reach // setting, value: by set
	set     map[string]Reach            // setting: by any command
	unknown map[string]bool             // settings with a value that only the machine knows
	chosen  map[string]bool             // settings that choose sets, to the name of an item
	// the items of menus; nil: what they are called is not known
	items map[string]Reach
}

// read gathers what is known of settings, from where the platforms get.
func (f *flow) read() *values {
	v := &values{given: map[string]map[string]Reach{}, set: map[string]Reach{},
		unknown: map[string]bool{},
		chosen:  map[string]bool{}, items: map[string]Reach{}}
	for _, n := range f.nodes {
		if n.fan != nil || n.in == nowhere {
			continue
		}
		words := f.lines[n.line].commands[n.cmd].words
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "set":
			name, value := settingName(words[1]), strings.Join(words[2:], " ")
			v.set[name] |= n.in
			if dynamic(value) {
				v.unknown[name] = true
				continue
			}
			if v.given[name] == nil {
				v.given[name] = map[string]Reach{}
			}
			v.given[name][value] |= n.in
		case "read", "inc":
			v.set[settingName(words[1])] |= n.in
			v.unknown[settingName(words[1])] = true
		case "choose":
			name := settingName(words[len(words)-1])
			v.set[name] |= n.in
			v.chosen[name] = true
		case "item":
			args, _ := fetcher{value: "mk"}.parse(words[1:])
			switch {
			case len(args) == 0 || slices.Contains(words, "--gap"):
			case v.items == nil:
			case dynamic(strings.ReplaceAll(args[0], "${platform}", "")):
				v.items = nil
			case !dynamic(args[0]):
				v.items[args[0]] |= n.in
			default:
				for who, platform := range platformNames {
					v.items[strings.ReplaceAll(args[0], "${platform}",
						platform)] |= n.in & (who | stray)
				}
			}
		}
	}
	if len(v.items) == 0 {
		v.items = nil // another script has made the menu
	}
	return v
}

// settingName is the name of a setting without its type: "x:int32" is x.
func settingName(text string) string {
	name, _, _ := strings.Cut(text, ":")
	return name
}

// onlySetting returns the name of the setting that is all of the text, or "".
func onlySetting(text string) string {
	if !strings.HasPrefix(text, "${") || !strings.HasSuffix(text, "}") {
		return ""
	}
	name := text[len("${") : len(text)-len("}")]
	if strings.ContainsAny(name, "${}") {
		return ""
	}
	return settingName(name)
}

// of returns which platforms may have given the setting this value, and
// whether the script says all that there is to say: a value that comes from
// elsewhere, from DHCP or from the script before, is not known.
func (v *values) of(setting, value string) (who Reach, known bool) {
	if v == nil || setting == "" || v.unknown[setting] || v.set[setting] == nowhere ||
		v.chosen[setting] && v.items == nil {
		return all, false
	}
	who = v.given[setting][value]
	if v.chosen[setting] {
		who |= v.items[value]
	}
	return who, true
}

// may reports whether goto ${setting} can lead a platform to this label.
func (v *values) may(platform Reach, setting, label string) bool {
	who, known := v.of(setting, label)
	return !known || who&platform != 0
}

// narrow returns which of the platforms can find the value in the setting. Of
// a value that the script never gives it nothing is known.
func (v *values) narrow(in Reach, test, value string) Reach {
	if who, known := v.of(onlySetting(test), value); known && who != nowhere {
		return in & who
	}
	return in
}

// able returns which of the platforms can find the value in a text with
// ${platform} in it: ${platform}-${buildarch}.
func able(in Reach, test, value string) Reach {
	if dynamic(value) || !strings.Contains(test, "${platform}") {
		return in
	}
	for who, platform := range platformNames {
		if !matches(literals(strings.ReplaceAll(test, "${platform}", platform)), value) {
			in &^= who
		}
	}
	return in
}

// narrowElse returns which of the platforms can find another value in the
// setting. Of one that gives it no other nobody knows, since it may come here
// before it does.
func (v *values) narrowElse(in Reach, test, value string) Reach {
	setting := onlySetting(test)
	if who, known := v.of(setting, value); !known || who == nowhere || v.chosen[setting] {
		return in
	}
	for who := range platformNames {
		other := false
		for given, by := range v.given[setting] {
			if other = given != value && by&who != 0; other {
				break
			}
		}
		if !other && v.given[setting][value]&who != 0 && in&who != 0 {
			in = in&^who | stray
		}
	}
	return in
}

// narrowSet does the same for isset.
func (v *values) narrowSet(in Reach, test string) Reach {
	if v != nil && v.set[onlySetting(test)] != nowhere {
		return in & v.set[onlySetting(test)]
	}
	return in
}

// dynamic reports whether the text has a setting in it, so that only the
// machine knows what it becomes.
func dynamic(text string) bool { return strings.Contains(text, "${") }

// literals returns what stands before, between and behind the settings.
func literals(text string) []string {
	var parts []string
	depth, from := 0, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '$' && i+1 < len(text) && text[i+1] == '{':
			if depth == 0 {
				parts = append(parts, text[from:i])
			}
			depth++
			i++
		case text[i] == '}' && depth > 0:
			if depth--; depth == 0 {
				from = i + 1
			}
		}
	}
	if depth > 0 {
		return append(parts, "")
	}
	return append(parts, text[from:])
}

// matches reports whether the text is made of the parts with anything between
// them.
func matches(parts []string, text string) bool {
	if len(parts) == 1 {
		return text == parts[0]
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, p)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, last)
}

// How far a person's choice is behind the kernel, while the way to its boot is
// followed.
const (
	straight = iota // the lines that follow
	jumped          // behind a goto, where another kernel may take its place
	chosen          // behind a menu, where another script may be chosen
	ways
)

// booting reports for each node whether a boot may follow of what was selected
// before it, for each of the ways.
func (f *flow) booting() [][ways]bool {
	type place struct{ at, way int }
	// the nodes that lead to a node; way is that of the edge: straight or
	// jumped
	before := make([][]place, len(f.nodes))
	for i, n := range f.nodes {
		if n.in == nowhere {
			continue
		}
		edge := func(to, way int) {
			if to >= 0 {
				before[to] = append(before[to], place{i, way})
			}
		}
		if n.toWell != nowhere && n.fan == nil {
			edge(n.well, straight)
		}
		if n.toIll != nowhere && n.fan == nil {
			edge(n.ill, straight)
		}
		for to := range n.toJump {
			edge(to, jumped)
		}
		for _, to := range n.fan {
			edge(to, jumped)
		}
	}
	can := make([][ways]bool, len(f.nodes))
	var todo []place
	mark := func(at, way int) {
		if !can[at][way] {
			can[at][way] = true
			todo = append(todo, place{at, way})
		}
	}
	for i, n := range f.nodes {
		if n.in == nowhere || n.fan != nil {
			continue
		}
		for way := range ways {
			if f.boots(n, way) {
				mark(i, way)
			}
		}
	}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, b := range before[p.at] {
			n, name := f.nodes[b.at], ""
			if n.fan == nil {
				if words := f.lines[n.line].commands[n.cmd].words; len(words) > 0 {
					name = words[0]
				}
			}
			for way := range ways {
				// From b by this way one comes to p by another one.
				then := max(way, b.way)
				if name == "choose" {
					then = chosen
				}
				if then != p.way || way != straight &&
					(name == "imgfree" || selects[name] && p.at == n.well) {
					continue
				}
				mark(b.at, way)
			}
		}
	}
	return can
}

// selects are the commands that select what boot boots.
var selects = map[string]bool{"kernel": true, "imgselect": true, "imgload": true}

// boots reports whether a command boots what was selected, or may do so: a
// script that it runs, a person at the shell, a command that nobody knows.
func (f *flow) boots(n node, way int) bool {
	words := f.lines[n.line].commands[n.cmd].words
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "boot", "imgexec":
		return true
	case "chain", "shell", "autoboot", "sanboot", "pxebs", "startpxe":
		return way != chosen
	case "goto":
		_, there := f.labels[strings.Join(words[1:], " ")]
		return !there && !dynamic(strings.Join(words[1:], " ")) // which is meant is not known
	}
	_, known := commands[words[0]]
	return !known
}
