// Package check is the lint of a tree: it says what will not do what its authors want, before a machine finds out.
//
// It looks through the eyes of the daemon: whether an entry can be served, whom a name means and what a path of a script
// leads to are asked of package site, so that nothing here can differ from what is served. It writes nothing, uses nothing
// up, and needs no daemon.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/site"
	"pxesrv/pkg/tree"
)

// Level says how bad a finding is.
type Level string

const (
	Error   Level = "error"   // a machine that gets there does not boot what the tree seems to say
	Warning Level = "warning" // works for some machines only, or is likely not what was meant
	Note    Level = "note"    // worth knowing
)

// Finding is one thing found in a tree.
type Finding struct {
	File  string `json:"file"`           // relative to the root where it lies below it
	Line  int    `json:"line,omitempty"` // of a script, counted from 1; 0: the file as a whole
	Level Level  `json:"level"`
	Code  string `json:"code"` // names the kind of finding for programs
	What  string `json:"what"`
	Do    string `json:"do"`
}

// Codes of findings. Entries that cannot be served have the codes of package boot (missing, outside, hidden, not-file,
// not-link, empty, no-script, too-large, changing), problems in scripts those of package ipxe.
const (
	Unreadable  = "unreadable"  // cannot be read: machines get status 503
	NoDefault   = "no-default"  // there is no default
	Misspelt    = "misspelt"    // the name is written otherwise
	NoName      = "no-name"     // no machine can have this name
	Extension   = "extension"   // the name has the ending of a file
	LooksLike   = "looks-like"  // taken for a serial, and looks like something else
	Placeholder = "placeholder" // many machines have this name, so it names none
	Twice       = "twice"       // another entry means the same machine
	Protected   = "protected"   // the machine is protected
	Tracked     = "tracked"     // an order is in Git
	Old         = "old-order"   // an order nobody came for
	Route       = "route"       // hidden by an address that the server answers itself
	RootLink    = "root-link"   // a swap of the root leaves the orders behind
	Sticky      = "sticky"      // the daemon cannot take orders away
	NoOnce      = "no-once"     // there is no directory for orders
	Rights      = "rights"      // the daemon may not write the directory of the orders, or its journal
	Secret      = "secret"      // everybody on the network can read a password or key
	Readable    = "readable"    // everybody on this machine can read what is private
	Loader      = "loader"      // a boot loader, and what it can do
	OnlyServer  = "not-in-git"  // a file that a script wants is not here, and Git ignores it
	Certificate = "certificate" // of TLS, its key, and the CAs of clients
	Hosts       = "iso-hosts"   // the list of hosts for boot images, or a row of it
	Unserved    = "not-served"  // a file that a script wants is there, and is not given out
	oldAfter    = 30 * 24 * time.Hour
	reportEvery = 500
)

// Options are what a check may be told. The zero value is the usual way.
type Options struct {
	// Loaders are the directories besides ipxe/ of the root in which boot loaders are looked for; nil: loaders.dirs of the configuration.
	Loaders []string
	// Progress is told now and then what is looked at and how many files and entries were; nil: nobody.
	Progress func(what string, done int)
	// User is the user as whom the daemon runs, by name or number; "": whoever the directory of the orders and its journal
	// belong to, by user or group.
	User string
	// Now is the time by which orders are old; nil: time.Now.
	Now func() time.Time
}

// Tree checks the tree of a checked configuration. It returns what it found, sorted by file and line; an error means that
// the check could not be made, or was ended by ctx.
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
		l.rootRights, l.protect, l.fallback, l.static, l.once, l.orders, l.lookalikes, l.files, l.follow, l.reach, l.references, l.loaders, l.images, l.certificate,
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
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Code, b.Code), cmp.Compare(a.What, b.What))
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

	daemon  *eyes              // whose rights count besides those of whoever runs the check; nil: not known
	unread  map[string]*unread // files and directories that cannot be read, by somebody
	looked  map[string]string  // the files that were looked at for the daemon, and what keeps it from them
	blocked map[string]string  // for each directory: the one above it, or itself, that keeps the daemon out, or ""
}

// loaded is what came of loading a script.
type loaded struct {
	from string
	err  error
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

// list returns the entries of a directory of the root in the order of their names, without what people and Git put there as
// a text for people. A directory that is not there has none.
func (l *lint) list(dir string) []fs.DirEntry {
	at := dir
	if !filepath.IsAbs(at) {
		at = filepath.Join(l.root, dir)
	}
	entries, err := os.ReadDir(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, lerr := os.Lstat(at); lerr == nil {
			l.add(dir, 0, Error, Unreadable, "leads to no directory, so no machine gets an answer", "make "+dir+" a directory")
		}
		return nil
	case err != nil:
		l.add(dir, 0, Error, Unreadable, fmt.Sprintf("cannot be listed: %v", err), "make it a directory that the daemon may read")
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
		l.add("default", 0, Warning, NoDefault, "is not there, so a machine that nothing else names gets no answer",
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
	if info, err := os.Lstat(l.config.Root); err == nil && info.Mode()&fs.ModeSymlink != 0 && l.config.OnceDir == "" {
		l.add("once", 0, Warning, RootLink, "the root is a link and the orders lie inside it: when the link is swapped, they and their journal stay behind",
			"set once.dir to a directory outside")
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		l.add("once", 0, Note, NoOnce, "there is no directory for one-time orders, so none can be placed", "mkdir "+tree.Quote(dir))
		return nil
	}
	if err == nil && info.Mode()&fs.ModeSticky != 0 {
		l.add("once", 0, Warning, Sticky, "has the sticky bit, so the daemon cannot take away orders that others placed", "chmod -t "+tree.Quote(dir))
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
				"move it out of once/, and let a link lead to it: pxesrv once place "+tree.Quote(e.Name())+" SCRIPT")
			continue
		}
		if err := l.entry("once", e); err != nil {
			return err
		}
		if tracked[e.Name()] {
			l.add(name, 0, Warning, Tracked, "is in Git: each checkout that puts it back gives the order again",
				"git rm --cached "+tree.Quote(name)+", and keep orders out with a .gitignore in once/")
		}
		if info, err := e.Info(); err == nil && l.options.Now().Sub(info.ModTime()) > oldAfter {
			l.add(name, 0, Warning, Old, fmt.Sprintf("waits since %s: the machine never came for it, or it is not called so",
				info.ModTime().Format(time.DateOnly)), "look with pxesrv explain "+tree.Quote(e.Name())+", or take it back: pxesrv once cancel "+tree.Quote(e.Name()))
		}
	}
	return nil
}

// shown is a path as findings name it: relative to the root where it lies below it.
func (l *lint) shown(name string) string {
	if rel, err := filepath.Rel(l.root, name); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return name
}

// entry checks that an entry of static/, once/ or the root can be served, and the script it leads to.
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
		l.add(name, 0, Error, string(boot.NoFile), "is "+kind(e.Type())+", and is skipped", "put a script or a link to one in its place")
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
			do = fmt.Sprintf("%s is there: ln -sfn %s %s", right, tree.Quote(right), tree.Quote(l.place(dir)+e.Name()))
		}
	}
	l.add(name, 0, Error, string(u.Code), what, do)
	return nil
}

// place is how a directory of entries is called in advice for a shell in the root, with a slash at its end.
func (l *lint) place(dir string) string {
	switch {
	case dir == ".":
		return ""
	case dir == "once" && l.config.OnceDir != "":
		return l.config.OnceDir + "/"
	}
	return dir + "/"
}

// meantFor returns the text that a link in dir should have, when it leads nowhere because it was made as if it lay elsewhere: in
// the root, or in a directory above it (tree/x), or as an address of the server (/x). It is "" when nothing is found there.
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
		if inside, err := filepath.Rel(l.root, file); err != nil || !filepath.IsLocal(inside) || inside == "." {
			continue
		}
		if right, err := filepath.Rel(at, file); err == nil && right != text && l.load(dir, right).err == nil {
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

// content reports whether what is wrong is in the file itself, whichever entry leads to it.
func content(c boot.Code) bool { return c == boot.Empty || c == boot.NoScript || c == boot.TooLarge }

// broken is a file that should be a script.
type broken struct {
	reason  *boot.Unservable
	entries []string
}

// breaks notes that file cannot be served, and the entry that leads to it, which is the file itself for plain ones.
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
			what += fmt.Sprintf(", so %s and %d more, which lead to it, are skipped", b.entries[0], n-1)
		}
		l.add(file, 0, Error, string(b.reason.Code), what+": "+b.reason.Why, repairs[b.reason.Code])
	}
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

// load loads a script once for all the links with the same text in the same directory, and checks it once for all of them.
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

// reference is a file that a script wants and that was not found where it was looked for first.
type reference struct {
	script  string
	problem ipxe.Problem
}

// script checks a script, unless it was checked before.
//
// A relative path in it is relative to the root for a machine that got it from /redirect, and to the script's own path for
// one that fetched it by that. So a file is missing only when it is in neither place.
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

// serves returns nil when the server answers the path name of the script from, and else what it says to the first try.
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

// route reports whether the server answers this path itself, whatever the tree has there.
func route(name string) bool {
	return name == ipxe.Path || ipxe.Exact(name) != nil || name == "/healthz" || name == "/readyz" || name == "/metrics"
}

// open asks for a path as a client would, once. A script that it finds there is checked later.
func (l *lint) open(name string) error {
	if route(name) {
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

// references reports the files that scripts want and that are not served under any of the paths of the script.
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
			code, p.Text, p.Do = Unserved, fmt.Sprintf("%s is not given out, so the script does not get it: %v", p.File, refused), "name a file that is served"
		case !errors.As(err, &refused):
			if l.unread[paths[i]] != nil {
				continue // is said of the file
			}
			code, p.Text, p.Do = Unreadable, fmt.Sprintf("%s cannot be read: %v", p.File, err), "let the daemon read it"
		case ignored[paths[i]]:
			code, lv = OnlyServer, Note
			p.Text, p.Do = p.File+" is not here; Git ignores it", "see to it that the server has it"
		}
		l.add(r.script, p.Line, lv, code, p.Text, p.Do)
	}
	return nil
}
