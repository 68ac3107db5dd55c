package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"pxesrv/pkg/httpd"
	"pxesrv/pkg/ipxe"
)

// script is a script that was checked, and how machines come to run it.
type script struct {
	leads []ipxe.Lead
	open  []ipxe.Problem // what is wrong only if the script is run in some way

	// who runs it as the first script, or in place of it: the firmware gets its
	// exit status
	first   ipxe.Reach
	chained ipxe.Reach // who runs it from another script, which gets the exit status
	entry   string     // an entry that makes it the first
	boots   bool       // a script that runs it may boot what it selects
}

// entry is an entry of the tree and the script that it leads to.
type entry struct{ name, from string }

// visit is a script that machines come to.
type visit struct {
	from    string // the script
	dir     string // where its relative addresses lead to
	first   ipxe.Reach
	chained ipxe.Reach
	entry   string
	boots   bool
}

// reach finds out how each script is run, and says what is wrong with it then.
//
// What a machine gets from /redirect is its first script, and so is what takes
// the place of that by chain --replace or imgexec --replace: its exit status is
// for the firmware. The exit status of what is plainly chained is for the
// script that chains it, which goes on after exit 0 and takes its || after
// exit 1 (tried with iPXE of 2019).
func (l *lint) reach() error {
	// some script chains what only the machine knows; and boots what that
	// selects
	unknown, boots := false, false
	var todo []visit
	seen := map[[2]string]visit{}
	come := func(v visit) {
		key := [2]string{v.from, v.dir}
		before, again := seen[key]
		now := before
		now.first |= v.first
		now.chained |= v.chained
		now.boots = now.boots || v.boots
		if now.entry == "" {
			now.entry = v.entry
		}
		if again && now.first == before.first && now.chained == before.chained &&
			now.boots == before.boots {
			return
		}
		now.from, now.dir = v.from, v.dir
		seen[key] = now
		todo = append(todo, now)
	}
	for _, e := range l.entries {
		come(visit{from: e.from, dir: ".", first: ipxe.Anywhere, entry: e.name})
	}
	walk := func() error {
		for len(todo) > 0 {
			if err := l.ctx.Err(); err != nil {
				return err
			}
			v := todo[0]
			todo = todo[1:]
			s := l.scripts[v.from]
			if s == nil {
				continue // could not be loaded any more
			}
			s.first |= v.first
			s.chained |= v.chained
			s.boots = s.boots || v.boots
			if s.entry == "" && v.first != 0 {
				s.entry = v.entry
			}
			for _, lead := range s.leads {
				if lead.File == "" {
					unknown = unknown || !lead.Replace
					boots = boots || lead.Boots
					continue
				}
				name, from := l.resolve(lead.File, v)
				if from == "" {
					continue
				}
				next := visit{from: from, dir: path.Dir(name),
					chained: (v.first | v.chained) & lead.On, boots: lead.Boots ||
						v.boots && v.chained != 0}
				if lead.Replace {
					next.first, next.chained, next.entry = v.first&lead.On,
						v.chained&lead.On, v.entry
				}
				if next.first|next.chained != 0 {
					come(next)
				}
			}
		}
		return nil
	}
	if err := walk(); err != nil {
		return err
	}
	// What no entry leads to may lead to other scripts all the same.
	var rest []string
	for from, s := range l.scripts {
		if s.first|s.chained == 0 {
			rest = append(rest, from)
		}
	}
	slices.Sort(rest)
	for _, from := range rest {
		for _, lead := range l.scripts[from].leads {
			if lead.File == "" {
				unknown, boots = unknown || !lead.Replace, boots || lead.Boots
				continue
			}
			if _, to := l.resolve(lead.File, visit{from: from, dir: path.Dir(from)}); to != "" &&
				to != from && l.scripts[to] != nil {
				l.scripts[to].boots = l.scripts[to].boots || lead.Boots
				if !lead.Replace {
					l.scripts[to].chained |= lead.On
				}
			}
		}
	}
	for from, s := range l.scripts {
		for _, p := range s.open {
			if p, holds := s.judge(p, unknown, boots); holds {
				l.add(from, p.Line, level(p.Level), p.Code, p.Text, p.Do)
			}
		}
	}
	return nil
}

// judge says whether a problem of the script is one in the way that machines
// come to it, and changes what is said of it.
func (s *script) judge(p ipxe.Problem, unknown, boots bool) (ipxe.Problem, bool) {
	known := s.first|s.chained != 0
	if known && p.On != 0 && p.On&(s.first|s.chained) == 0 {
		return p, false // those on whom it goes wrong do not come here
	}
	switch p.Code {
	case ipxe.ExitsWell:
		switch {
		case s.first&p.On != 0 && s.chained != 0:
			p.Text += fmt.Sprintf(" (%s leads here as the first script; for those that chain "+
				"this one the status is right)", s.entry)
			p.Do = "let " + s.entry +
				" lead to a script of its own that chains this one and ends with exit 1"
		case s.first&p.On != 0:
		case s.chained != 0 || unknown:
			return p, false
		default:
			p.Level = ipxe.Note
			p.Text = "no entry leads to this script; where it is the first one that a machine runs, " + p.Text
			p.Do = "if it is, " + p.Do + "; in a script that another one chains it is right"
		}
	case ipxe.NoBoot:
		if s.first == 0 && (s.boots || !known && unknown && boots) {
			return p, false
		}
	}
	return p, true
}

// resolve returns the path and the script that an address of another script
// leads to, or "": relative to where machines got that one, as iPXE does it,
// else relative to the other places where it is served.
func (l *lint) resolve(file string, v visit) (name, from string) {
	names := []string{path.Clean("/" + v.dir + "/" + file)}
	if path.IsAbs(file) {
		names[0] = path.Clean(file)
	} else {
		names = append(names, path.Clean("/"+file), path.Clean("/"+path.Dir(v.from)+"/"+file))
		for _, dir := range l.aliases[v.from] {
			names = append(names, path.Clean("/"+dir+"/"+file))
		}
	}
	for _, name := range names {
		if httpd.Owns(name) {
			return "", ""
		}
		name = strings.TrimPrefix(name, "/")
		if l.open("/"+name) != nil {
			continue
		}
		if got := l.load(".", name); got.err == nil {
			return name, got.from
		}
		return "", ""
	}
	return "", ""
}
