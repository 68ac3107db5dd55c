// Package check is the lint of a tree: it says what will not do what its
// authors want, before a machine finds out.
//
// It looks through the eyes of the daemon: whether an entry can be served, whom
// a name means and what a path of a script leads to are asked of package site,
// so that nothing here can differ from what is served. It writes nothing, uses
// nothing up, and needs no daemon.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/site"
	"pxesrv/pkg/tree"
)

// Options are what a check may be told. The zero value is the usual way.
type Options struct {
	// Loaders are the directories besides ipxe/ of the root in which boot
	// loaders are looked for; nil: loaders.dirs of the configuration.
	Loaders []string
	// Progress is told now and then what is looked at and how many files and
	// entries were; nil: nobody.
	Progress func(what string, done int)
	// User is the user as whom the daemon runs, by name or number; "": whoever
	// the directory of the orders and its journal belong to, by user or group.
	User string
	// Now is the time by which orders are old; nil: time.Now.
	Now func() time.Time
}

// Tree checks the tree of a checked configuration. It returns what it found,
// sorted by file and line; an error means that the check could not be made, or
// was ended by ctx.
func Tree(ctx context.Context, c config.Config, o Options) ([]Finding, error) {
	s, err := site.New(c)
	if err != nil {
		return nil, err
	}
	root, err := filepath.EvalSymlinks(c.Root)
	if err != nil {
		return nil, fmt.Errorf("the document root cannot be used: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Loaders == nil {
		o.Loaders = c.LoaderDirs
	}
	l := &lint{
		ctx: ctx, site: s, config: c, options: o, root: root,
		loaded: map[[2]string]loaded{}, scripts: map[string]*script{}, served: map[string]error{},
		guards: map[string]string{}, broken: map[string]*broken{}, aliases: map[string][]string{},
		unread: map[string]*unread{}, blocked: map[string]string{}, looked: map[string]string{},
	}
	if err := readable(); err != nil {
		return nil, err
	}
	if l.daemon, err = daemonUser(o.User, s.Orders().Dir); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		l.rootRights, l.protect, l.fallback, l.static, l.once, l.orders, l.lookalikes, l.files,
		l.follow, l.reach, l.references, l.loaders, l.images, l.certificate,
	} {
		if err := step(); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	l.reportBroken()
	l.reportUnread()
	slices.SortFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.What, b.What))
	})
	return l.findings, nil
}

// lint is one check under way.
type lint struct {
	ctx     context.Context
	site    *site.Site
	config  config.Config
	options Options
	root    string // as it really is

	findings []Finding
	done     int // files and entries looked at

	loaded  map[[2]string]loaded // what a link text leads to, seen from a directory
	scripts map[string]*script   // the scripts that were checked, by their real path
	entries []entry              // the scripts that machines run first
	queue   []string             // the scripts that others lead to
	served  map[string]error     // what became of a path of the server
	missing []reference          // files that scripts want and that were not found yet
	aliases map[string][]string  // other directories under which a script is served
	broken  map[string]*broken   // files that are no scripts and should be
	guards  map[string]string    // the spellings of the entries of protect/, and the entry

	// whose rights count besides those of whoever runs the check; nil: not
	// known
	daemon *userRights
	unread map[string]*unread // files and directories that cannot be read, by somebody
	// the files that were looked at for the daemon, and what keeps it from them
	looked map[string]string
	// for each directory: the one above it, or itself, that keeps the daemon
	// out, or ""
	blocked map[string]string
}

func (l *lint) add(file string, line int, level Level, code, what, do string) {
	l.findings = append(l.findings, Finding{file, line, level, code, what, do})
}

// tick counts one more file or entry.
func (l *lint) tick(what string) error {
	if l.done++; l.done%reportEvery == 0 && l.options.Progress != nil {
		l.options.Progress(what, l.done)
	}
	return l.ctx.Err()
}

// list returns the entries of a directory of the root in the order of their
// names, without what people and Git put there as a text for people. A
// directory that is not there has none.
func (l *lint) list(dir string) []fs.DirEntry {
	at := dir
	if !filepath.IsAbs(at) {
		at = filepath.Join(l.root, dir)
	}
	entries, err := os.ReadDir(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, lerr := os.Lstat(at); lerr == nil {
			l.add(dir, 0, Error, Unreadable, "leads to no directory, so no machine gets an answer",
				"make "+dir+" a directory")
		}
		return nil
	case err != nil:
		l.add(dir, 0, Error, Unreadable, fmt.Sprintf("cannot be listed: %v", err),
			"make it a directory that the daemon may read")
		return nil
	}
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return e.Name()[0] == '.' || strings.HasPrefix(strings.ToLower(e.Name()), "readme")
	})
}

// fallback checks default.
func (l *lint) fallback() error {
	info, err := os.Lstat(filepath.Join(l.root, "default"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.add("default", 0, Warning, NoDefault,
			"is not there, so a machine that nothing else names gets no answer",
			"make a script default; /local.ipxe boots the local disk: chain --replace local.ipxe")
		return nil
	case err != nil:
		l.add("default", 0, Error, Unreadable, err.Error(), "let the daemon read it")
		return nil
	}
	return l.entry(".", fs.FileInfoToDirEntry(info))
}

// static checks static/.
func (l *lint) static() error {
	entries := l.list("static")
	l.names("static", entries)
	for _, e := range entries {
		if err := l.entry("static", e); err != nil {
			return err
		}
	}
	return nil
}

// once checks the orders.
func (l *lint) once() error {
	dir := l.site.Orders().Dir
	if info, err := os.Lstat(l.config.Root); err == nil && info.Mode()&fs.ModeSymlink != 0 &&
		l.config.OnceDir == "" {
		l.add("once", 0, Warning, RootLink, "the root is a link and the orders lie inside it: "+
			"when the link is swapped, they and their journal stay behind",
			"set once.dir to a directory outside")
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		l.add("once", 0, Note, NoOnce,
			"there is no directory for one-time orders, so none can be placed",
			"mkdir "+tree.Quote(dir))
		return nil
	}
	if err == nil && info.Mode()&fs.ModeSticky != 0 {
		l.add("once", 0, Warning, Sticky,
			"has the sticky bit, so the daemon cannot take away orders that others placed",
			"chmod -t "+tree.Quote(dir))
	}
	for _, p := range l.site.Orders().JournalRights() {
		level := Warning
		if p.Sure {
			level = Error
		}
		l.add(p.Where, 0, level, Rights, p.What, p.Do)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	entries := l.list(l.shown(dir))
	l.names("once", entries)
	tracked := trackedByGit(l.ctx, dir)
	for _, e := range entries {
		name := "once/" + e.Name()
		if e.Type()&fs.ModeSymlink == 0 {
			if err := l.tick(name); err != nil {
				return err
			}
			l.add(name, 0, Error, string(boot.NoLink), "is no symbolic link, so it is no order",
				"move it out of once/, and let a link lead to it: pxesrv order place "+
					tree.Quote(e.Name())+" SCRIPT")
			continue
		}
		if err := l.entry("once", e); err != nil {
			return err
		}
		if tracked[e.Name()] {
			l.add(name, 0, Warning, Tracked,
				"is in Git: each checkout that puts it back gives the order again",
				"git rm --cached "+tree.Quote(name)+
					", and keep orders out with a .gitignore in once/")
		}
		if info, err := e.Info(); err == nil && l.options.Now().Sub(info.ModTime()) > oldAfter {
			l.add(name, 0, Warning, Old,
				fmt.Sprintf("waits since %s: the machine never came for it, or it is not called so",
					info.ModTime().Format(time.DateOnly)), "look with pxesrv explain "+
					tree.Quote(e.Name())+", or take it back: pxesrv order cancel "+
					tree.Quote(e.Name()))
		}
	}
	return nil
}

// shown is a path as findings name it: relative to the root where it lies below
// it.
func (l *lint) shown(name string) string {
	if rel, err := filepath.Rel(l.root, name); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return name
}
