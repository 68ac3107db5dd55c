package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/tree"
)

// meaning is whom the name of an entry means.
type meaning struct {
	entry string
	key   string // the same for all entries that mean the same machine
	// the names of the machine that lead to this entry, in lower case; none:
	// nothing does
	names []string
	right string // the right spelling, where that is another one
	cards bool   // a card that names nobody, and is guarded all the same
	fault fault  // what is wrong with the name
}

// fault is what is wrong with a name: a sentence without a subject, and what to
// do.
type fault struct {
	level    Level
	code     string
	what, do string
}

// mean says whom an entry called name means, and what is wrong with the name.
// dir is for the advice.
func (l *lint) mean(dir, name string) meaning {
	m := meaning{entry: name, key: strings.ToLower(name)}
	doubt, doubted := l.site.DoubtfulEntry(name)
	if doubted && doubt.File {
		m.right = doubt.Right
		m.fault = fault{Warning, Extension, doubt.What, rename(dir, name, doubt.Right) +
			", or take it away"}
		return m
	}
	n, err := boot.Canonical(name)
	if meant, merr := boot.Meant(name); err != nil && merr == nil {
		m.right = meant.Text
		m.fault = fault{Error, Misspelt, fmt.Sprintf("matches no machine: %s is written %s",
			meant.Kind.This(), meant.Text), rename(dir, name, meant.Text)}
		return m
	}
	if doubted && (err != nil || n.Text != name) {
		m.right = doubt.Right
		m.fault = fault{Error, Misspelt, strings.Replace(doubt.What, "is taken for a serial",
			"matches no machine", 1), l.correct(dir, name, doubt)}
		return m
	}
	if err != nil {
		m.fault = fault{Error, NoName, "names no machine: the name " + err.Error(),
			"call it like a machine, or take it away"}
		return m
	}
	m.key = strings.ToLower(n.Text)
	client, _ := l.site.MachineNamed(n.Text)
	if len(client.Dropped) > 0 {
		d := client.Dropped[0]
		m.cards = len(client.OtherMACs) > 0
		m.fault = fault{Error, NoName, "names no machine: " + d.Value + " " + d.Why,
			"call it by another name of the machine"}
		if d.Placeholder {
			m.fault = fault{Warning, Placeholder, "is a value that boards carry when nobody " +
				"filled in the real one; many machines have it, so it names none",
				"call it by another name of the machine"}
		}
		return m
	}
	for _, n := range client.Names {
		m.names = append(m.names, strings.ToLower(n.Text))
		// a uuid in the other byte order, a card on InfiniBand
		m.key = min(m.key, strings.ToLower(n.Text))
	}
	switch {
	case n.Text != name:
		m.names, m.right = nil, n.Text
		m.fault = fault{Error, Misspelt, fmt.Sprintf("matches no machine: %s is written %s",
			n.Kind.This(), n.Text), rename(dir, name, n.Text)}
	case n.Kind != boot.Typed:
	case doubted:
		m.right = doubt.Right
		m.fault = fault{Warning, LooksLike, doubt.What, l.correct(dir, name, doubt)}
	}
	return m
}

// correct is what to do about a doubtful name.
func (l *lint) correct(dir, name string, d boot.Doubt) string {
	if d.Right == "" || strings.HasSuffix(d.Do, "?") { // a question is no advice to rename anything
		return d.Do
	}
	_, condition, has := strings.Cut(d.Do, ", if ")
	if has {
		condition = ", if " + condition
	}
	return rename(dir, name, d.Right) + condition
}

// quote is a path for a command to paste. One that begins with a hyphen would
// be an option there.
func quote(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return tree.Quote(path)
}

func rename(dir, from, to string) string {
	return fmt.Sprintf("mv %s %s", tree.Quote(dir+"/"+from), tree.Quote(dir+"/"+to))
}

// unclash takes back the advice to rename an entry where something has that
// name already, or where another entry is to be renamed so as well: a mv would
// put one in place of the other without a question.
func (l *lint) unclash(dir string, all []meaning) {
	want := map[string][]string{}
	for _, m := range all {
		if m.right != "" {
			want[m.right] = append(want[m.right], dir+"/"+m.entry)
		}
	}
	at := filepath.Join(l.root, dir)
	if dir == "once" {
		at = l.site.Orders().Dir
	}
	for i, m := range all {
		if m.right == "" || m.right == m.entry || !strings.HasPrefix(m.fault.do, "mv ") {
			continue
		}
		own, err := os.Lstat(filepath.Join(at, m.entry))
		if err != nil {
			continue // gone meanwhile
		}
		there, err := os.Lstat(filepath.Join(at, m.right))
		others := slices.DeleteFunc(slices.Clone(want[m.right]), func(name string) bool {
			return name == dir+"/"+m.entry
		})
		switch {
		case err == nil && !os.SameFile(own, there): // the same: a file system that knows no capitals
			all[i].fault.do = dir + "/" + m.right +
				" is there as well: compare the two, and remove one of them"
		case err == nil:
		case !errors.Is(err, fs.ErrNotExist):
			all[i].fault.do = "call it " + dir + "/" + m.right + ", where nothing has that name"
		case len(others) > 0:
			all[i].fault.do = fmt.Sprintf("%s is meant for %s/%s as well: compare them, remove "+
				"all but one, and call that so", others[0], dir, m.right)
		}
	}
}

// protect checks the names in protect/, where any spelling counts, and keeps
// them for the entries that they hide.
func (l *lint) protect() error {
	var all []meaning
	for _, e := range l.list("protect") {
		if err := l.tick("protect"); err != nil {
			return err
		}
		for _, s := range boot.Spellings(e.Name()) {
			l.guards[s] = e.Name()
		}
		all = append(all, l.mean("protect", e.Name()))
	}
	l.unclash("protect", all)
	for _, m := range all {
		spellings := boot.Spellings(m.entry)
		file := "protect/" + m.entry
		switch {
		case m.fault.code == "":
		case m.cards:
			l.add(file, 0, Warning, Placeholder,
				"guards every machine that shows this card, and many do",
				"call it by another name of the machine")
		case m.right != "" && slices.Contains(spellings, strings.ToLower(m.right)):
			l.add(file, 0, Note, Misspelt, "guards its machine, and is usually written "+
				m.right, m.fault.do)
		case m.fault.code == LooksLike:
			l.add(file, 0, Warning, LooksLike, strings.Replace(m.fault.what,
				"is taken for a serial", "guards only a machine of this serial", 1), m.fault.do)
		default:
			l.add(file, 0, Warning, m.fault.code, "guards nobody: "+m.fault.what, m.fault.do)
		}
	}
	return nil
}

// names checks the names of the entries of static/ or once/, each by itself and
// all together.
func (l *lint) names(dir string, entries []fs.DirEntry) {
	all := make([]meaning, len(entries))
	same := map[string][]int{}
	for i, e := range entries {
		all[i] = l.mean(strings.TrimSuffix(l.place(dir), "/"), e.Name())
		same[all[i].key] = append(same[all[i].key], i)
	}
	l.unclash(dir, all)
	for i, m := range all {
		file := dir + "/" + m.entry
		twins := same[m.key]
		first := slices.IndexFunc(twins, func(t int) bool { return len(all[t].names) > 0 })
		switch {
		case len(twins) > 1 && first >= 0 && twins[first] != i && m.fault.code == Misspelt:
			l.add(file, 0, Warning, Twice, "means the same machine as "+dir+"/"+
				all[twins[first]].entry+", which is spelt right and counts", "remove one of them")
		case m.fault.code != "":
			l.add(file, 0, m.fault.level, m.fault.code, m.fault.what, m.fault.do)
		case len(twins) > 1 && first >= 0 && twins[first] != i:
			other := all[twins[first]].entry
			what := "differs from " + dir + "/" + other +
				" in capitals only, and a machine has one of the names"
			if !strings.EqualFold(other, m.entry) {
				what = "is another form of " + dir + "/" + other +
					": both lead to the same machine, and one of them counts"
			}
			l.add(file, 0, Warning, Twice, what,
				"remove the one that pxesrv explain does not show first")
		}
		for _, n := range m.names {
			if guard, ok := l.guards[n]; ok {
				what := "is not asked"
				if dir == "once" {
					what = "waits"
				}
				l.add(file, 0, Note, Protected, what+": the machine is protected by protect/"+guard,
					"remove protect/"+guard+" when the machine is to boot this")
				break
			}
		}
	}
}
