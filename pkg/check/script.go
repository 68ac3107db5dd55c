package check

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/httpd"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/tree"
)

// loaded is what came of loading a script.
type loaded struct {
	from string
	err  error
}

// real is the place of a file that a link text leads to, as findings name it.
func (l *lint) real(dir, text string) string {
	if !filepath.IsAbs(text) {
		if dir == "once" {
			dir = l.site.Orders().Dir
		} else {
			dir = filepath.Join(l.root, dir)
		}
		text = filepath.Join(dir, text)
	}
	if real, err := filepath.EvalSymlinks(text); err == nil {
		text = real
	}
	return l.shown(text)
}

// load loads a script once for all the links with the same text in the same
// directory, and checks it once for all of them.
func (l *lint) load(dir, text string) loaded {
	key := [2]string{dir, text}
	if got, again := l.loaded[key]; again {
		return got
	}
	var script boot.Script
	var err error
	if dir == "once" {
		script, err = l.site.Orders().Load(l.ctx, &boot.Machine{}, text)
	} else {
		script, err = l.site.LoadScript(l.ctx, &boot.Machine{}, dir, text)
	}
	got := loaded{script.From, err}
	if l.ctx.Err() == nil {
		l.loaded[key] = got
	}
	if err == nil {
		l.script(script)
	}
	return got
}

// servedAs notes that clients may fetch the script from by another path.
func (l *lint) servedAs(from, name string) {
	if dir := path.Dir(name); from != name && !slices.Contains(l.aliases[from], dir) {
		l.aliases[from] = append(l.aliases[from], dir)
	}
}

// reference is a file that a script wants and that was not found where it was
// looked for first.
type reference struct {
	script  string
	problem ipxe.Problem
}

// script checks a script, unless it was checked before.
//
// A relative path in it is relative to the root for a machine that got it from
// /redirect, and to the script's own path for one that fetched it by that. So a
// file is missing only when it is in neither place.
func (l *lint) script(s boot.Script) {
	if l.scripts[s.From] != nil {
		return
	}
	report := ipxe.Examine(s.Body, func(name string) bool { return l.serves(name, s.From) == nil })
	l.scripts[s.From] = &script{leads: report.Leads}
	for _, p := range report.Problems {
		switch {
		case p.Code == ipxe.NoFile:
			l.missing = append(l.missing, reference{s.From, p})
		case p.On != 0 || p.Code == ipxe.NoBoot:
			l.scripts[s.From].open = append(l.scripts[s.From].open, p)
		default:
			l.add(s.From, p.Line, level(p.Level), p.Code, p.Text, p.Do)
		}
	}
}

func level(of ipxe.Level) Level {
	switch of {
	case ipxe.Error:
		return Error
	case ipxe.Warning:
		return Warning
	}
	return Note
}

// serves returns nil when the server answers the path name of the script from,
// and else what it says to the first try.
func (l *lint) serves(name, from string) error {
	err := l.open(path.Clean("/" + name))
	if err == nil || path.IsAbs(name) {
		return err
	}
	for _, dir := range append([]string{path.Dir(from)}, l.aliases[from]...) {
		if l.open(path.Clean("/"+dir+"/"+name)) == nil {
			return nil
		}
	}
	return err
}

// open asks for a path as a client would, once. A script that it finds there is
// checked later.
func (l *lint) open(name string) error {
	if httpd.Owns(name) {
		return nil
	}
	if err, asked := l.served[name]; asked {
		return err
	}
	f, err := l.site.Open(name)
	if err == nil {
		defer f.Close()
		var head [7]byte
		if n, _ := f.Read(head[:]); boot.CheckScript(head[:n]) == nil {
			l.queue = append(l.queue, strings.TrimPrefix(name, "/"))
		}
	}
	if errors.Is(err, fs.ErrNotExist) && ipxe.Instead(name) != nil {
		err = nil
	}
	l.served[name] = err
	return err
}

// follow checks the scripts that others lead to.
func (l *lint) follow() error {
	for len(l.queue) > 0 {
		name := l.queue[0]
		l.queue = l.queue[1:]
		if err := l.tick(name); err != nil {
			return err
		}
		// What cannot be loaded was found by another step, or is being written.
		if got := l.load(".", name); got.err == nil {
			l.servedAs(got.from, name)
		}
	}
	return nil
}

// references reports the files that scripts want and that are not served under
// any of the paths of the script.
func (l *lint) references() error {
	var lost []reference
	for _, r := range l.missing {
		if l.serves(r.problem.File, r.script) != nil {
			lost = append(lost, r)
		}
	}
	var paths []string
	for _, r := range lost {
		paths = append(paths, strings.TrimPrefix(path.Clean("/"+r.problem.File), "/"))
	}
	ignored := ignoredByGit(l.ctx, l.root, paths)
	for i, r := range lost {
		p := r.problem
		code, lv := p.Code, level(p.Level)
		var refused *tree.Refusal
		err := l.open("/" + paths[i])
		switch {
		case errors.As(err, &refused) && refused.Kind != tree.Missing:
			code, p.Text, p.Do = Unserved,
				fmt.Sprintf("%s is not given out, so the script does not get it: %v", p.File,
					refused), "name a file that is served"
		case !errors.As(err, &refused):
			if l.unread[paths[i]] != nil {
				continue // is said of the file
			}
			code, p.Text, p.Do = Unreadable, fmt.Sprintf("%s cannot be read: %v", p.File, err),
				"let the daemon read it"
		case ignored[paths[i]]:
			code, lv = OnlyServer, Note
			p.Text, p.Do = p.File+" is not here; Git ignores it", "see to it that the server has it"
		}
		l.add(r.script, p.Line, lv, code, p.Text, p.Do)
	}
	return nil
}
