package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/tree"
)

// entry checks that an entry of static/, once/ or the root can be served, and
// the script it leads to.
func (l *lint) entry(dir string, e fs.DirEntry) error {
	name := path.Join(dir, e.Name())
	if err := l.tick(name); err != nil {
		return err
	}
	text, from := e.Name(), name
	switch {
	case e.Type()&fs.ModeSymlink != 0:
		at := filepath.Join(l.root, filepath.FromSlash(name))
		if dir == "once" {
			at = filepath.Join(l.site.Orders().Dir, e.Name())
		}
		target, err := os.Readlink(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // taken meanwhile
		} else if err != nil {
			l.add(name, 0, Error, Unreadable, err.Error(), "let the daemon read it")
			return nil
		}
		text, from = target, ""
	case !e.Type().IsRegular():
		l.add(name, 0, Error, string(boot.NoFile), "is "+kind(e.Type())+", and is skipped",
			"put a script or a link to one in its place")
		return nil
	}
	got := l.load(dir, text)
	var u *boot.Unservable
	switch {
	case got.err == nil:
		l.entries = append(l.entries, entry{name, got.from})
		l.look(got.from, name)
		return nil
	case l.ctx.Err() != nil:
		return l.ctx.Err()
	case !errors.As(got.err, &u):
		if from == "" {
			from = l.real(dir, text)
		}
		if filepath.IsAbs(from) {
			from = name
		}
		l.cannotRead(from, got.err, name)
		return nil
	case content(u.Code):
		if from == "" {
			from = l.real(dir, text)
		}
		l.breaks(from, u, name)
		return nil
	}
	what, do := "is skipped: "+u.Why, repairs[u.Code]
	if from == "" {
		if rest, ok := strings.CutPrefix(u.Why, text+" "); ok {
			what = fmt.Sprintf("leads to %s, which %s, and is skipped", text, rest)
		} else {
			what = fmt.Sprintf("leads to %s and is skipped: %s", text, u.Why)
		}
		if right := l.meantFor(dir, text); right != "" {
			do = fmt.Sprintf("%s is there: ln -sfn %s %s", right, tree.Quote(right),
				tree.Quote(l.place(dir)+e.Name()))
		}
	}
	l.add(name, 0, Error, string(u.Code), what, do)
	return nil
}

// place is how a directory of entries is called in advice for a shell in the
// root, with a slash at its end.
func (l *lint) place(dir string) string {
	switch {
	case dir == ".":
		return ""
	case dir == "once" && l.config.OnceDir != "":
		return l.config.OnceDir + "/"
	}
	return dir + "/"
}

// meantFor returns the text that a link in dir should have, when it leads
// nowhere because it was made as if it lay elsewhere: in the root, or in a
// directory above it (tree/x), or as an address of the server (/x). It is ""
// when nothing is found there.
func (l *lint) meantFor(dir, text string) string {
	at := filepath.Join(l.root, dir)
	if dir == "once" {
		at = l.site.Orders().Dir
	}
	at, err := filepath.EvalSymlinks(at)
	if err != nil {
		return ""
	}
	leads := text
	if !filepath.IsAbs(leads) {
		leads = filepath.Join(at, leads)
	}
	if _, err := os.Lstat(leads); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	plain := text
	for strings.HasPrefix(plain, "../") {
		plain = plain[len("../"):]
	}
	tried := []string{filepath.Join(l.root, plain)}
	if !filepath.IsAbs(text) {
		for above := filepath.Dir(l.root); ; above = filepath.Dir(above) {
			tried = append(tried, filepath.Join(above, plain))
			if above == filepath.Dir(above) {
				break
			}
		}
	}
	for _, file := range tried {
		if inside, err := filepath.Rel(l.root, file); err != nil || !filepath.IsLocal(inside) ||
			inside == "." {
			continue
		}
		if right, err := filepath.Rel(at, file); err == nil && right != text &&
			l.load(dir, right).err == nil {
			return right
		}
	}
	return ""
}

// repairs says what to do about entries that cannot be served.
var repairs = map[boot.Code]string{
	boot.Missing:  "make the file, or let the link lead to one that is there",
	boot.Outside:  "let the link lead to a file below the root, or allow the directory with paths.allow",
	boot.Hidden:   "let the link lead to a file that may be given out",
	boot.NoFile:   "let the link lead to a script",
	boot.Changing: "check again when nobody writes it",
	boot.Empty:    "write the script",
	boot.NoScript: `begin the file with a line "#!ipxe"`,
	boot.TooLarge: "chain the parts of it from a short script",
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// content reports whether what is wrong is in the file itself, whichever entry
// leads to it.
func content(c boot.Code) bool {
	return c == boot.Empty || c == boot.NoScript || c == boot.TooLarge
}

// broken is a file that should be a script.
type broken struct {
	reason  *boot.Unservable
	entries []string
}

// breaks notes that file cannot be served, and the entry that leads to it,
// which is the file itself for plain ones.
func (l *lint) breaks(file string, u *boot.Unservable, entry string) {
	b := l.broken[file]
	if b == nil {
		b = &broken{reason: u}
		l.broken[file] = b
	}
	if entry != file && entry != "" {
		b.entries = append(b.entries, entry)
	}
}

func (l *lint) reportBroken() {
	for file, b := range l.broken {
		what := "is no boot script"
		switch n := len(b.entries); {
		case n == 1:
			what += ", so " + b.entries[0] + ", which leads to it, is skipped"
		case n > 1:
			what += fmt.Sprintf(", so %s and %d more, which lead to it, are skipped",
				b.entries[0], n-1)
		}
		l.add(file, 0, Error, string(b.reason.Code), what+": "+b.reason.Why, repairs[b.reason.Code])
	}
}
