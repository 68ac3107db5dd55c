package tree

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Waiting times for a half-written edit. Measured: a git checkout shows every
// file missing, then empty, then whole.
const (
	recent    = 2 * time.Second        // an edit younger than this may be half-written
	quiet     = 20 * time.Millisecond  // a file that nobody touched for so long is whole
	pollFor   = 300 * time.Millisecond // how long a half-written edit is looked at again
	pollEvery = 5 * time.Millisecond
)

// Open opens the file that name leads to, for Serve or Answer. name is relative
// to the root and clean. The caller closes it.
func (t *Tree) Open(name string, use Use) (*os.File, error) {
	f, err := t.open(context.Background(), ".", name, use)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.reopen()
}

// Remove takes an entry away: a file, or a link wherever it leads. It has to
// lie really below the root, and the path rule holds for the directory and the
// name in it, for Serve and for Delete. name is relative to the root and clean.
// Nothing is taken away once ctx has ended, however long the disk takes.
func (t *Tree) Remove(ctx context.Context, name string) error {
	s, err := t.snapshot(ctx)
	if err != nil {
		return err
	}
	defer s.release()
	root, err := s.root.real()
	if err != nil {
		return err
	}
	parent, last := path.Split(name)
	dir, err := s.root.dir(path.Clean(parent))
	if Absent(err) {
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
	if !Below(entry, root) {
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
	case Absent(err):
		return refuse(Missing, "%s is not there", name)
	case err != nil:
		return err
	case e.Dir:
		return refuse(NoFile, "%s is a directory", name)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if err := dir.Remove(last); Absent(err) {
		return refuse(Missing, "%s is not there any more", name)
	} else if err != nil {
		return err
	}
	return dir.Sync()
}

// Text is the content of a small file, and where it really was. Several may
// share one Body: nobody writes to it.
type Text struct {
	Body []byte
	Real string // relative to the root where the file lies below it
}

// Read returns the text of the file that the link text leads to, seen from the
// directory dir of the root ("." is the root itself, an absolute dir may lie
// elsewhere); text may be a plain name. A text larger than limit bytes is
// refused.
//
// What changed within the last 2 s and is missing, empty, or does not end with
// a line end is looked at again for up to 300 ms, and so is what a file server
// calls stale, because it was replaced while it was read.
func (t *Tree) Read(ctx context.Context, dir, text string, limit int64) (Text, error) {
	for waited := time.Duration(0); ; waited += pollEvery {
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
		case waited >= pollFor:
			return got, err
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return got, err
		}
		ctx = fresh(ctx)
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
func (t *Tree) readOnce(
	ctx context.Context, dir, text string, limit int64,
) (Text, time.Duration, error) {
	f, err := t.open(ctx, dir, text, Answer)
	if err != nil {
		return Text{}, 0, err
	}
	defer f.close()
	if f.size > limit {
		return Text{}, 0, refuse(TooLarge, "%s has %d bytes; a script has at most %d",
			f.real, f.size, limit)
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

// wayAge is the age of the last change on the path along which text leads from
// dir, as far as the path exists: where a directory has just changed, what is
// missing may be about to appear.
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
			} else if !Absent(err) || at == filepath.Dir(at) {
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

// inRoot is the path of a directory that is named relative to the root, or
// absolute in the configuration.
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
