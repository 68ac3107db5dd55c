package hosts

import "strings"

// Names finds the host that a misspelt name was meant for. It is made once for
// a list, and then asked for any number of names.
type Names struct {
	exact map[string]bool
	alike map[string]string // by what a hasty eye sees of a name
	short map[string]string // by each name with a letter left out
}

// maxNear is how many names are also compared letter by letter: the index of a
// larger list would be larger than the list by far.
const maxNear = 20_000

// NewNames makes the index of the names of hosts.
func NewNames(names []string) *Names {
	n := &Names{map[string]bool{}, map[string]string{}, map[string]string{}}
	note := func(m map[string]string, key, name string) {
		if _, taken := m[key]; !taken {
			m[key] = name
		}
	}
	for _, name := range names {
		n.exact[name] = true
		note(n.alike, alike(name), name)
		if label, _, has := strings.Cut(name, "."); has {
			note(n.alike, alike(label), name)
		}
		if len(names) <= maxNear {
			for _, s := range shortened(strings.ToLower(name)) {
				note(n.short, s, name)
			}
		}
	}
	return n
}

// Has reports whether a host has exactly this name.
func (n *Names) Has(name string) bool { return n.exact[name] }

// Near returns the host whose name differs from one that nobody has by no more
// than a slip: capitals, o for 0, a sign between its parts, zeros before a
// number, the domain, or one letter. Names that differ in the value of a number
// are those of two hosts. "" is none.
func (n *Names) Near(name string) string {
	if n.exact[name] {
		return ""
	}
	label, _, _ := strings.Cut(name, ".")
	for _, key := range []string{alike(name), alike(label)} {
		if found := n.alike[key]; found != "" && len(key) > 1 {
			return found
		}
	}
	lower := strings.ToLower(name)
	if len(lower) < 4 {
		return "" // so short ones are all alike
	}
	for _, s := range append([]string{lower}, shortened(lower)...) {
		for _, found := range []string{n.short[s], n.alike[alike(s)]} {
			if found != "" && letters(found) != letters(lower) {
				return found
			}
		}
	}
	return ""
}

// alike is a name without what is easily taken for something else. A sign
// between two numbers stays: rack1-11 is not rack11-1.
func alike(name string) string {
	name = looks.Replace(strings.ToLower(name))
	var out strings.Builder
	digit := false
	for i := range len(name) {
		isDigit := '0' <= name[i] && name[i] <= '9'
		next := i+1 < len(name) && '0' <= name[i+1] && name[i+1] <= '9'
		switch {
		case name[i] == '0' && !digit && next:
			continue // a zero before a number
		case name[i] == '-' && !(digit && next):
			continue
		}
		out.WriteByte(name[i])
		digit = isDigit
	}
	return out.String()
}

var looks = strings.NewReplacer("o", "0", "i", "1", "l", "1", "_", "-", ".", "-", ":", "-")

// letters is a name without its digits.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// shortened is a name without each of its letters in turn. Two names have one
// of these in common, or one is among those of the other, when a letter was
// changed, left out, put in, or changed places with its neighbour.
func shortened(name string) (all []string) {
	for i := range len(name) {
		all = append(all, name[:i]+name[i+1:])
	}
	return all
}
