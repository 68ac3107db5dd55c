// Package tree is the root on disk: it opens what a name leads to, and nothing else.
//
// The path rule judges the object that was opened, not the text that led to it: a name is opened without touching the
// object (O_PATH on Linux: nothing blocks, no device is woken), its real path is asked of the kernel, and only a regular
// file below the root, or below an allowed directory, is opened again for reading, as that very object. So links may be
// absolute or relative, the root may be a link that is swapped, and there is no moment between look and open. A plain file of the
// root goes a shorter way: the kernel is told to follow no link and to stay below the root while it opens it (openat2).
//
// Every request asks where the root's name leads: a swapped release link, a new checkout or a ConfigMap is in force at once.
//
// The package knows nothing of booting.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"
)

// Tree is a root and its rules. Between two questions it knows nothing but which names a directory at rest does not have, and
// keeps the root open for a second: create one and keep it.
type Tree struct {
	Path  string   // the root as configured
	Allow []string // directories outside the root that links may lead to
	Deny  []string // directories that nothing is read from, wherever they lie
	Hide  []string // directories whose files are boot answers, but are not served as files
	Show  []string // dot names that are served as files all the same

	// Shared are directories that every decision looks at, relative to the root or absolute: decisions that begin together share the
	// looks.
	Shared []string

	// Hidden says why a file is not given out for a use, as a sentence without
	// its subject, or "". It is asked for the parts of a path, of which there is
	// one at least: relative to the root, or absolute below one of Allow. Nil
	// hides nothing.
	Hidden func(parts []string, use Use) string

	Clock Clock // of which an edit is recent or not; nil: this machine's

	known  sync.Map // directory → *Known
	rests  rests    // of directories by their path, of files by their real one
	roots  roots
	sights together[struct{}, *sight]
	texts  together[plainText, Text]
}

// Use is what a file is opened for. The rules about hidden names differ.
type Use int

const (
	Serve   Use = iota // as a file for anybody, by the place where it really lies
	Answer             // as the text of a boot answer, by the same
	Request            // as a file for anybody, by the path that was asked for
	Delete             // to be taken away, by the place where it really lies
)

// Kind is the reason of a Refusal.
type Kind string

const (
	Missing  Kind = "missing"  // no such file, or a link that dangles or loops
	Outside  Kind = "outside"  // leads out of the root
	Hidden   Kind = "hidden"   // a name that is never served
	NoFile   Kind = "not-file" // directory, FIFO, socket, device
	TooLarge Kind = "too-large"
	Changing Kind = "changing" // was written while it was read
	Empty    Kind = "empty"
)

// Refusal is the error for what is there but is not given out, or is not there. All other errors of this package mean that
// nobody can know: an I/O error, a missing right, a stale handle.
type Refusal struct {
	Kind   Kind
	Circle bool   // Missing because links lead in a circle
	Why    string // for the person who can mend it; names files of this machine, never show it to a client
}

func (r *Refusal) Error() string { return r.Why }

func refuse(k Kind, format string, args ...any) error {
	return &Refusal{Kind: k, Why: fmt.Sprintf(format, args...)}
}

// IsMissing reports whether err says that nothing is there.
func IsMissing(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Kind == Missing
}

// absent reports whether a system call's error means that nothing is there.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENAMETOOLONG)
}

// Clean checks the path of a request and returns it relative to the root, or a Refusal. It takes a decoded path.
func (t *Tree) Clean(name string) (string, error) {
	name = strings.TrimLeft(name, "/")
	switch {
	case strings.HasSuffix(name, "/"):
		return "", refuse(NoFile, "%q names a directory", name)
	case len(name) > 4096:
		return "", refuse(Missing, "the path is longer than 4096 bytes")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return "", refuse(Hidden, "%q has bytes that no path here has", name)
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			if len(parts) == 0 {
				return "", refuse(Outside, "%q leads out of the root", name)
			}
			parts = parts[:len(parts)-1]
			continue
		case len(part) > 255:
			return "", refuse(Missing, "a name in the path is longer than 255 bytes")
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "", refuse(NoFile, "the root is a directory")
	}
	if len(parts) > 32 {
		return "", refuse(Missing, "the path is deeper than 32 directories")
	}
	if why := t.hiddenRequest(parts); why != "" {
		return "", refuse(Hidden, "%q %s", name, why)
	}
	return strings.Join(parts, "/"), nil
}

// hiddenRequest says why a path is not served as a file under the name it was
// asked by.
func (t *Tree) hiddenRequest(parts []string) string {
	for _, p := range parts {
		if p[0] == '.' && !t.shown(p) {
			return "has a name that begins with a dot"
		}
	}
	return t.hidden(parts, Request)
}

// hiddenReal says why a file is not given out because of the place where it
// really lies.
func (t *Tree) hiddenReal(parts []string, use Use) string {
	for _, p := range parts {
		if p[0] == '.' && !strings.HasPrefix(p, "..") && !t.shown(p) {
			return "lies behind a name that begins with a dot"
		}
	}
	return t.hidden(parts, use)
}

func (t *Tree) hidden(parts []string, use Use) string {
	if t.Hidden == nil {
		return ""
	}
	return t.Hidden(parts, use)
}

func (t *Tree) shown(name string) bool { return slices.Contains(t.Show, name) }

// judge decides by the real path of an opened object whether it may be given out, and returns that path relative to the
// root where it lies below it.
func (t *Tree) judge(root, real string, use Use) (string, error) {
	deny := t.Deny
	if use == Serve && len(t.Hide) > 0 {
		deny = slices.Concat(deny, t.Hide)
	}
	for _, dir := range deny {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil {
			dir = resolved
		}
		if below(real, dir) {
			return "", refuse(Hidden, "leads into %s, which the daemon keeps for itself", dir)
		}
	}
	if below(real, root) {
		rel := strings.TrimPrefix(strings.TrimPrefix(real, root), "/")
		if why := t.hiddenReal(strings.Split(rel, "/"), use); why != "" {
			return "", refuse(Hidden, "%s %s", rel, why)
		}
		return rel, nil
	}
	for _, dir := range t.Allow {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil && below(real, resolved) {
			if why := t.hiddenReal(strings.Split(strings.TrimPrefix(real, "/"), "/"), use); why != "" {
				return "", refuse(Hidden, "%s %s", real, why)
			}
			return real, nil
		}
	}
	return "", refuse(Outside, "leads out of the root, to %s", real)
}

func below(name, dir string) bool {
	dir = strings.TrimSuffix(dir, "/")
	return strings.HasPrefix(name, dir+"/")
}

// visit is the root, opened once.
type visit struct {
	tree *Tree
	root *root
	real string    // where it really lies, once somebody asked
	seen []glimpse // of the directories of Shared, in their order; nil once time has passed
	kept bool      // by Visit, until the end of the decision
}

// sight is the root as it was when decisions began, and what they have seen since.
type sight struct {
	root *root
	seen []glimpse
}

// glimpse is what statOptional said of a directory to the first who asked. A directory that hangs keeps only those who need it.
type glimpse struct {
	once  sync.Once
	now   state
	there bool
	err   error
}

// statOptional is Dir.statOptional of a directory at an absolute path, by what the visit of ctx has seen if it can.
func statOptional(ctx context.Context, dir string) (now state, there bool, err error) {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok && v != nil {
		return v.statOptional(dir)
	}
	return here.statOptional(dir)
}

type visitKey struct{}

// Visit opens the root for all that one goroutine does under the returned context, until it calls leave: the steps of a
// decision see one root. What has to be looked at again is looked up by the root's name anew.
func (t *Tree) Visit(ctx context.Context) (in context.Context, leave func()) {
	s, err := t.sights.do(struct{}{}, t.see)
	if err != nil {
		return ctx, func() {} // whoever looks will say it
	}
	return context.WithValue(ctx, visitKey{}, &visit{tree: t, root: s.root, seen: s.seen, kept: true}), func() { t.roots.leave(s.root) }
}

// see looks at the root for so many visits, each of which leaves it.
func (t *Tree) see(visits int) (*sight, error) {
	root, err := t.roots.enter(t.Path, visits)
	if err != nil {
		return nil, err
	}
	return &sight{root, make([]glimpse, len(t.Shared))}, nil
}

// statOptional is Dir.statOptional of the root, by what the visit has seen if it can.
func (v *visit) statOptional(dir string) (now state, there bool, err error) {
	if i := slices.Index(v.tree.Shared, dir); i >= 0 && v.seen != nil {
		g := &v.seen[i]
		g.once.Do(func() {
			g.err = errBroken // for the others, if it panics
			g.now, g.there, g.err = v.root.statOptional(dir)
		})
		return g.now, g.there, g.err
	}
	return v.root.statOptional(dir)
}

// anew is ctx outside of its visit, whose sight is of the past now.
func anew(ctx context.Context) context.Context {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok && v != nil {
		v.seen = nil
	}
	return context.WithValue(ctx, visitKey{}, nil)
}

// enter returns the visit of ctx, or opens the root.
func (t *Tree) enter(ctx context.Context) (*visit, error) {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok && v.tree == t {
		return v, nil
	}
	root, err := t.roots.enter(t.Path, 1)
	return &visit{tree: t, root: root}, err
}

func (v *visit) leave() {
	if !v.kept {
		v.tree.roots.leave(v.root)
	}
}

// Open opens the file that name leads to, for Serve or Answer. name is relative to the root and clean. The caller closes it.
func (t *Tree) Open(name string, use Use) (*os.File, error) {
	f, err := t.open(context.Background(), ".", name, use)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.reopen()
}

// Remove takes an entry away: a file, or a link wherever it leads. It has to lie
// really below the root, and the path rule holds for the directory and the name
// in it, for Serve and for Delete. name is relative to the root and clean.
// Nothing is taken away once ctx has ended, however long the disk takes.
func (t *Tree) Remove(ctx context.Context, name string) error {
	v, err := t.enter(ctx)
	if err != nil {
		return err
	}
	defer v.leave()
	root, err := v.root.real()
	if err != nil {
		return err
	}
	parent, last := path.Split(name)
	dir, err := v.root.dir(path.Clean(parent))
	if absent(err) {
		return refuse(Missing, "there is no directory %s", path.Clean(parent))
	} else if err != nil {
		return err
	}
	defer dir.Close()
	real, err := dir.real()
	if err != nil {
		return err
	}
	entry := strings.TrimSuffix(real, "/") + "/" + last
	if !below(entry, root) {
		return refuse(Outside, "%s leads out of the root, to %s", name, real)
	}
	rel, err := t.judge(root, entry, Serve)
	if err != nil {
		return err
	}
	if why := t.hidden(strings.Split(rel, "/"), Delete); why != "" {
		return refuse(Hidden, "%s leads to %s, which %s", name, rel, why)
	}
	switch e, err := dir.Entry(last); {
	case absent(err):
		return refuse(Missing, "%s is not there", name)
	case err != nil:
		return err
	case e.Dir:
		return refuse(NoFile, "%s is a directory", name)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if err := dir.Remove(last); absent(err) {
		return refuse(Missing, "%s is not there any more", name)
	} else if err != nil {
		return err
	}
	return dir.Sync()
}

// Text is the content of a small file, and where it really was. Several may share one Body: nobody writes to it.
type Text struct {
	Body []byte
	Real string // relative to the root where the file lies below it
}

// Waiting times for a half-written edit. Measured: a git checkout shows every file missing, then empty, then whole.
const (
	recent  = 2 * time.Second        // an edit younger than this may be half-written
	quiet   = 20 * time.Millisecond  // a file that nobody touched for so long is whole
	settle  = 300 * time.Millisecond // how long a half-written edit is looked at again
	between = 5 * time.Millisecond
)

// Read returns the text of the file that the link text leads to, seen from the directory dir of the root ("." is the root
// itself, an absolute dir may lie elsewhere); text may be a plain name. A text larger than limit bytes is refused.
//
// What changed within the last 2 s and is missing, empty, or does not end with a line end is looked at again for up to 300 ms,
// and so is what a file server calls stale, because it was replaced while it was read.
func (t *Tree) Read(ctx context.Context, dir, text string, limit int64) (Text, error) {
	for waited := time.Duration(0); ; waited += between {
		got, age, err := t.readOnce(ctx, dir, text, limit)
		var r *Refusal
		switch {
		case err == nil && (age >= recent || age >= quiet && got.Body[len(got.Body)-1] == '\n'):
			return got, nil
		case err != nil && !errors.As(err, &r) && !errors.Is(err, syscall.ESTALE):
			return got, err
		case r != nil && r.Kind != Missing && r.Kind != Empty && r.Kind != Changing:
			return got, err
		case r != nil && r.Kind == Missing && t.wayAge(dir, text) >= recent:
			return got, err
		case r != nil && r.Kind == Empty && age >= recent:
			return got, err
		case waited >= settle:
			return got, err
		}
		if err := sleep(ctx, between); err != nil {
			return got, err
		}
		ctx = anew(ctx)
	}
}

// ReadEntry reads what an entry of dir leads to, which Find has just returned.
func (t *Tree) ReadEntry(ctx context.Context, dir string, e Entry, limit int64) (Text, error) {
	text := e.Link
	if text == "" {
		text = e.Name
	}
	if got, ok := t.readPlain(ctx, dir, text, limit); ok {
		return got, nil
	}
	return t.Read(ctx, ".", path.Join(dir, e.Name), limit)
}

// readOnce reads the text whole, and how long nobody has changed it.
func (t *Tree) readOnce(ctx context.Context, dir, text string, limit int64) (Text, time.Duration, error) {
	f, err := t.open(ctx, dir, text, Answer)
	if err != nil {
		return Text{}, 0, err
	}
	defer f.close()
	if f.size > limit {
		return Text{}, 0, refuse(TooLarge, "%s has %d bytes; a script has at most %d", f.real, f.size, limit)
	}
	age := t.rests.age(t.Clock, f.real, f.state, f.local)
	file, err := f.reopen()
	if err != nil {
		return Text{}, 0, err
	}
	defer file.Close()
	// A byte more than the file had, to see that it did not grow.
	body := make([]byte, f.size+1)
	n, err := io.ReadFull(file, body)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return Text{}, 0, err
	}
	body = body[:n]
	after, err := file.Stat()
	if err != nil {
		return Text{}, 0, err
	}
	switch {
	case int64(len(body)) != f.size || after.Size() != f.size || !after.ModTime().Equal(f.mtime):
		return Text{}, 0, refuse(Changing, "%s was changed while it was read", f.real)
	case len(body) == 0:
		return Text{}, age, refuse(Empty, "%s is empty", f.real)
	}
	return Text{body, f.real}, age, nil
}

// wayAge is how long nothing has changed on the way from dir by text, as far
// as the way exists: where a directory on it has just changed, what is missing
// may be about to come.
func (t *Tree) wayAge(dir, text string) time.Duration {
	youngest := time.Duration(math.MaxInt64)
	at := inRoot(t.Path, dir)
	name := text
	for range 8 {
		if !filepath.IsAbs(name) {
			name = filepath.Join(at, name)
		}
		for at = filepath.Dir(name); ; at = filepath.Dir(at) {
			if now, err := here.stat(at); err == nil {
				youngest = min(youngest, t.rests.age(t.Clock, at, now, localAt(at)))
				break
			} else if !absent(err) || at == filepath.Dir(at) {
				return youngest
			}
		}
		link, err := os.Readlink(name)
		if err != nil {
			return youngest
		}
		if now, err := here.lstat(name); err == nil {
			youngest = min(youngest, t.rests.age(t.Clock, name, now, localAt(at)))
		}
		name = link
	}
	return youngest
}

// localAt is Dir.local of a directory by its path.
func localAt(path string) func() bool {
	return func() bool {
		d, err := OpenDir(path)
		if err != nil {
			return false
		}
		defer d.Close()
		return d.local()
	}
}

// inRoot is the path of a directory that is named relative to the root, or absolute in the configuration.
func inRoot(root, dir string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(root, dir)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Entry is a name in a directory of the root.
type Entry struct {
	Name string
	Link string // the text of the link, when it is one
	Dir  bool   // it is a directory, not a link to one
}

// Names lists the directory, in no order.
func (d *Dir) Names() (names []string, err error) {
	err = retry(func() error {
		f, err := d.open()
		if err != nil {
			return err
		}
		defer f.Close()
		names, err = f.Readdirnames(-1)
		return err
	})
	return names, err
}

// Find returns those of the names that exist in the directory dir of the root, in their order, whatever they are. Names
// contain no slash. When the directory changed within the last 2 s and the first name is not there, it is looked at again
// for up to 300 ms.
func (t *Tree) Find(ctx context.Context, dir string, names []string) ([]Entry, error) {
	if len(names) == 0 {
		return nil, nil
	}
	k, ok := t.known.Load(dir)
	if !ok {
		k, _ = t.known.LoadOrStore(dir, &Known{Clock: t.Clock})
	}
	var found []Entry
	err := t.patient(ctx, dir, func(root *Dir, now state) (bool, state, error) {
		seen, vain, err := k.(*Known).look(root, dir, now, names)
		if err != nil {
			return false, now, err
		}
		found = merge(names, seen, found)
		if len(found) > 0 && found[0].Name == names[0] {
			return true, now, nil
		}
		if vain > 0 { // it may have gone away since now
			now, err = root.stat(dir)
		}
		return false, now, err
	})
	return found, err
}

// merge adds to seen what an earlier look saw: it may be away for the moment in which an edit replaces it.
func merge(names []string, seen, earlier []Entry) []Entry {
	if len(earlier) == 0 {
		return seen
	}
	var all []Entry
	for _, name := range names {
		is := func(e Entry) bool { return e.Name == name }
		if i := slices.IndexFunc(seen, is); i >= 0 {
			all = append(all, seen[i])
		} else if i := slices.IndexFunc(earlier, is); i >= 0 {
			all = append(all, earlier[i])
		}
	}
	return all
}

// patient runs look on the directory dir of the root until it is satisfied, the directory is at rest, or settle is over. look is told
// the state of the directory, and returns a later one when it has looked at the disk and not found everything: with many requests at
// once the two are apart, and an edit may have begun in between.
func (t *Tree) patient(ctx context.Context, dir string, look func(root *Dir, now state) (bool, state, error)) error {
	for waited := time.Duration(0); ; waited += between {
		done, age, err := t.glance(ctx, dir, look)
		if wrong := (*NoDirectory)(nil); done || err != nil && !absent(err) && !errors.As(err, &wrong) {
			return err
		}
		if waited >= settle || age >= recent {
			return err
		}
		if err := sleep(ctx, between); err != nil {
			return err
		}
		ctx = anew(ctx)
	}
}

// glance runs look once, if the directory is there. It also returns how long the directory is at rest or, where there is none, the root.
func (t *Tree) glance(ctx context.Context, dir string, look func(*Dir, state) (bool, state, error)) (done bool, age time.Duration, err error) {
	v, err := t.enter(ctx)
	if err != nil {
		return false, 0, err
	}
	defer v.leave()
	now, there, err := v.statOptional(dir)
	if there {
		switch done, now, err = look(v.root.Dir, now); {
		case done:
			return true, 0, nil
		case absent(err): // it went away under our hands
			return false, 0, err
		}
		path := inRoot(t.Path, dir)
		return false, t.rests.age(t.Clock, path, now, localAt(path)), err
	}
	root, rootErr := v.root.stat("")
	if rootErr != nil {
		return false, 0, rootErr
	}
	return false, t.rests.age(t.Clock, t.Path, root, v.root.Dir.local), err
}

// NoDirectory is the error for a name under which a directory is expected, and something else is: a file, or a link to a
// place that is not there, as on a file server that is not mounted. Nobody can know what the directory would say.
type NoDirectory struct{ Path string }

func (e *NoDirectory) Error() string {
	return e.Path + " is there, but is no directory or leads to none"
}

// statOptional is stat for a directory that need not exist: there is false when nothing has its name.
func (d *Dir) statOptional(name string) (now state, there bool, err error) {
	// The second look is for a directory, or a link to one, that came between the two questions.
	for range 2 {
		if now, err = d.stat(name); err == nil || !absent(err) {
			return now, err == nil, err
		}
		if _, err = d.Entry(name); absent(err) {
			return now, false, nil
		} else if err != nil {
			return now, false, err
		}
	}
	return now, false, &NoDirectory{inRoot(d.name, name)}
}

// Is makes what is not there and what is not given out the same to whoever asks from outside.
func (r *Refusal) Is(target error) bool { return target == fs.ErrNotExist }
