package check

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"pxesrv/pkg/tree"
)

// unread is a file or a directory that somebody cannot read.
type unread struct {
	err     error    // what whoever runs the check was told
	why     string   // or why the daemon cannot
	do      string   // and what lets it
	level   Level    // 0: an error
	entries []string // the entries that lead to it
}

// cannotRead notes that whoever runs the check cannot read a file, and the
// entry that leads to it, or "". Each file is named once.
func (l *lint) cannotRead(file string, err error, entry string) {
	u := l.noteUnread(file, entry)
	u.err = cmp.Or(u.err, err)
}

func (l *lint) noteUnread(file, entry string) *unread {
	u := l.unread[file]
	if u == nil {
		u = &unread{}
		l.unread[file] = u
	}
	if entry != "" && entry != file && !slices.Contains(u.entries, entry) {
		u.entries = append(u.entries, entry)
	}
	return u
}

// reportUnread names each file that cannot be read once, and of a directory
// that nobody gets into only that.
func (l *lint) reportUnread() {
	for _, file := range slices.Sorted(maps.Keys(l.unread)) {
		for dir := path.Dir(file); dir != "." && dir != "/"; dir = path.Dir(dir) {
			if l.unread[dir] != nil {
				for _, entry := range l.unread[file].entries {
					l.noteUnread(dir, entry)
				}
				delete(l.unread, file)
				break
			}
		}
	}
	for file, u := range l.unread {
		at := file
		if !filepath.IsAbs(at) {
			at = filepath.Join(l.root, file)
		}
		info, err := os.Stat(at)
		if u.why == "" && errors.Is(u.err, fs.ErrPermission) && err == nil &&
			!l.daemon.may(at, info, mayRead) {
			l.noteRights(at, info.IsDir(), "") // not even the daemon can
		}
		what, do, level := u.why, u.do, cmp.Or(u.level, Error)
		if what == "" {
			what, do = fmt.Sprintf("cannot be read: %v", cause(u.err)), "look after the disk"
			if errors.Is(u.err, fs.ErrPermission) {
				do = "let the daemon read it"
				if l.daemon != nil && l.daemon.other() {
					what = fmt.Sprintf(
						"was not checked, since whoever runs the check cannot read it: %v",
						cause(u.err))
					level, do = Note, "run the check as root, or as the daemon's user"
				}
			}
		}
		if level != Note {
			switch n := len(u.entries); {
			case n == 1:
				what += "; " + u.entries[0] + ", which leads to it, gives its machine no answer"
			case n > 1:
				what += fmt.Sprintf(
					"; %s and %d more, which lead to it, give their machines no answer",
					u.entries[0], n-1)
			}
		}
		l.add(file, 0, level, Unreadable, what, do)
	}
}

// cause is an error of a file without the path, which stands before it.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// look notes a file that whoever runs the check can read, and the daemon
// cannot: root reads everything. name is as findings have it.
func (l *lint) look(name, entry string) {
	if file, known := l.looked[name]; known {
		if file != "" {
			l.noteUnread(file, entry)
		}
		return
	}
	l.looked[name] = ""
	at := name
	if !filepath.IsAbs(at) {
		at = filepath.Join(l.root, name)
	}
	if at, err := filepath.EvalSymlinks(at); err == nil {
		if dir := l.keptOut(filepath.Dir(at)); dir != "" {
			l.noteRights(dir, true, entry)
			l.looked[name] = l.shown(dir)
		} else if info, err := os.Stat(at); err == nil && !l.daemon.may(at, info, mayRead) {
			l.noteRights(at, false, entry)
			l.looked[name] = l.shown(at)
		}
	}
}

// keptOut returns the directory of the tree that keeps the daemon from the
// files of dir, or "".
func (l *lint) keptOut(dir string) string {
	if at, known := l.blocked[dir]; known {
		return at
	}
	at := ""
	switch rel, err := filepath.Rel(l.root, dir); {
	case err != nil || !filepath.IsLocal(rel):
		return "" // paths.allow; those above it are not looked at
	case rel != ".":
		at = l.keptOut(filepath.Dir(dir))
	}
	if at == "" {
		if info, err := os.Stat(dir); err == nil && !l.daemon.may(dir, info, mayEnter) {
			at = dir
		}
	}
	l.blocked[dir] = at
	return at
}

// noteRights notes that the daemon may not read a file, or enter a directory.
func (l *lint) noteRights(at string, dir bool, entry string) {
	u := l.noteUnread(l.shown(at), entry)
	if u.why != "" {
		return
	}
	info, err := os.Stat(at)
	if err != nil {
		return
	}
	verb, bits := "read it", "r"
	if dir {
		verb, bits = "go into it", "rx"
	}
	u.why = fmt.Sprintf("%s may not %s: its mode is %04o, its owner %s", l.daemon.subject(), verb,
		info.Mode().Perm(), owner(info))
	if l.daemon.guess() {
		u.level = Warning
	}
	if group := l.daemon.group(); group != "" && ofRoot(info) { // nobody else has it by its group
		u.do = fmt.Sprintf("chgrp %s %s && chmod g+%s %[2]s", tree.Quote(group),
			quote(l.shown(at)), bits)
	} else {
		u.do = fmt.Sprintf("chmod a+%s %s", bits, quote(l.shown(at)))
	}
}

// rootRights checks that the daemon comes to the root and can list what it has
// to. What is above the root it need not pass: a container has the tree
// elsewhere.
func (l *lint) rootRights() error {
	for dir := filepath.Dir(l.root); !l.daemon.guess(); dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && !l.daemon.may(dir, info, mayEnter) {
			l.noteRights(dir, true, "")
			l.unread[l.shown(dir)].level = Warning
			break
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, name := range []string{"static", "protect"} {
		at, err := filepath.EvalSymlinks(filepath.Join(l.root, name))
		if err != nil {
			continue
		}
		if info, err := os.Stat(at); err == nil && info.IsDir() &&
			!l.daemon.may(at, info, mayRead|mayEnter) {
			l.noteRights(at, true, "")
		}
	}
	return nil
}

// orders checks that the daemon may take orders away. Whether it may write
// their journal is asked of package order.
func (l *lint) orders() error {
	dir := l.site.Orders().Dir
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() || l.daemon.guess() ||
		l.daemon.may(dir, info, mayRead|mayWrite|mayEnter) {
		return nil
	}
	do := "chmod u+rwx " + tree.Quote(dir)
	if group := l.daemon.group(); group != "" {
		do = fmt.Sprintf("chgrp %s %s && chmod 2775 %[2]s", tree.Quote(group), tree.Quote(dir))
	}
	l.add("once", 0, Error, Rights, fmt.Sprintf("%s may not take orders away here, so they wait "+
		"for ever: its mode is %04o, its owner %s",
		l.daemon.subject(), info.Mode().Perm(), owner(info)), do)
	return nil
}
