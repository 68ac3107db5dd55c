package media

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"pxesrv/pkg/iso"
)

// SumsFile is the list of checksums that Write keeps, for sha256sum -c.
const SumsFile = "SHA256SUMS"

// asidePrefix begins the name of the folder, within that of the images, where a
// run writes files before it renames them.
const asidePrefix = ".pxesrv-iso-"

// WriteOptions is how Write works.
type WriteOptions struct {
	Sums     bool           // keep SHA256SUMS
	Progress func(done int) // called with how many images are done, never concurrently; may be nil
	Waiting  func()         // called when this run waits for another one; may be nil
}

// Written is what Write did.
type Written struct {
	New, Changed, Unchanged int
}

// Total is how many images there were.
func (w Written) Total() int { return w.New + w.Changed + w.Unchanged }

// Write writes images into a folder, and makes the folder if need be. It leaves
// a file alone that has the right bytes; the others are written aside, synced
// together, and renamed. So no file of the folder is ever half-written. An
// error before the renames leaves the folder as it was; each error says what it
// left. Files of other names stay, and so do their lines in SHA256SUMS.
//
// Concurrent runs into one folder wait for each other. Where the file system
// has no locks (flock) they do not; each image is then that of one of the runs.
func Write(ctx context.Context, dir string, images iter.Seq2[string, *iso.Image],
	o WriteOptions) (Written, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return Written{}, fmt.Errorf("the folder for the images cannot be made: %w", err)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return Written{}, fmt.Errorf("the folder for the images cannot be opened: %w", err)
	}
	defer folder.Close() // and gives back the lock
	locked, err := lock(ctx, folder, o.Waiting)
	if err != nil {
		return Written{}, err
	}
	if locked {
		// The runs that made these are dead: a living one would hold the lock.
		left, _ := filepath.Glob(filepath.Join(escapeGlob(dir), asidePrefix+"*"))
		for _, path := range left {
			os.RemoveAll(path)
		}
	}
	aside, err := os.MkdirTemp(dir, asidePrefix)
	if err != nil {
		return Written{}, fmt.Errorf("nothing was changed: %w", explain(dir, err))
	}
	defer os.RemoveAll(aside)

	b := &batch{dir: dir, aside: aside, o: o}
	if err := b.prepare(ctx, images); err != nil {
		return Written{}, fmt.Errorf("nothing was changed: %w", explain(dir, err))
	}
	if err := b.publish(folder); err != nil {
		return Written{}, explain(dir, err)
	}
	return b.done, nil
}

// explain says what a full disk means.
func explain(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("no room in %s: new images stand beside the old ones until all are "+
			"written; make room, or write fewer at once: %w", dir, err)
	}
	return err
}

// escapeGlob makes a pattern that matches the path itself.
func escapeGlob(path string) string {
	if runtime.GOOS == "windows" { // where a backslash escapes nothing
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// written is an image of a batch.
type written struct {
	name string
	sum  [sha256.Size]byte
	same bool // the file has these bytes already
	old  bool // there is a file of that name
}

type batch struct {
	dir, aside string
	o          WriteOptions
	all        []written
	done       Written
}

// prepare writes new and changed images aside and syncs them: several at a
// time, since each waits for the disk.
func (b *batch) prepare(ctx context.Context, images iter.Seq2[string, *iso.Image]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type job struct {
		name  string
		image *iso.Image
	}
	jobs := make(chan job)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range min(4, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for j := range jobs {
				if ctx.Err() != nil {
					continue
				}
				w, err := b.one(j.name, j.image)
				if err != nil {
					cancel(err)
					continue
				}
				mu.Lock()
				b.all = append(b.all, w)
				if b.o.Progress != nil {
					b.o.Progress(len(b.all))
				}
				mu.Unlock()
			}
		})
	}
	for name, image := range images {
		if ctx.Err() != nil {
			break
		}
		jobs <- job{name, image}
	}
	close(jobs)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	slices.SortFunc(b.all, func(x, y written) int { return cmp.Compare(x.name, y.name) })
	var fresh []string
	for i, w := range b.all {
		if i > 0 && w.name == b.all[i-1].name {
			return fmt.Errorf("two images are called %s", w.name)
		}
		switch {
		case w.same:
			b.done.Unchanged++
			continue
		case w.old:
			b.done.Changed++
		default:
			b.done.New++
		}
		fresh = append(fresh, filepath.Join(b.aside, w.name))
	}
	if b.o.Sums {
		lists, err := b.prepareSums()
		if err != nil {
			return err
		}
		fresh = append(fresh, lists...)
	}
	return syncFiles(b.aside, fresh)
}

// one writes an image aside, unless its file has these bytes already.
func (b *batch) one(name string, m *iso.Image) (w written, err error) {
	w.name = name
	path := filepath.Join(b.dir, name)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return w, err
	case !info.Mode().IsRegular():
		return w, fmt.Errorf(
			"%s is no plain file, and an image takes the place of a plain file only", path)
	default:
		w.old = true
		if w.same, err = same(path, info, m); err != nil {
			return w, err
		}
	}
	w.sum = m.SHA256()
	if w.same {
		return w, nil
	}
	f, err := os.OpenFile(filepath.Join(b.aside, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return w, err
	}
	_, err = m.WriteTo(f)
	return w, errors.Join(err, f.Close())
}

// same reports whether a file has the bytes of an image.
func same(path string, info os.FileInfo, m *iso.Image) (bool, error) {
	if info.Size() != m.Size() {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var file, image [128 << 10]byte
	for at := int64(0); at < m.Size(); {
		n, err := m.ReadAt(image[:], at)
		if err != nil && err != io.EOF {
			return false, err
		}
		if _, err := io.ReadFull(f, file[:n]); err == io.EOF || err == io.ErrUnexpectedEOF {
			return false, nil // it became shorter
		} else if err != nil {
			return false, err
		}
		if !bytes.Equal(file[:n], image[:n]) {
			return false, nil
		}
		at += int64(n)
	}
	return true, nil
}

// The lists of checksums that prepare writes aside: one for while images are
// renamed, and one for afterwards.
const (
	sumsMeanwhile = SumsFile + ".meanwhile"
	sumsAfter     = SumsFile
)

// publish renames the images. The lines of what changes are taken out of
// SHA256SUMS before and put back afterwards: if the program is killed in
// between, each line of the list is still right.
func (b *batch) publish(folder *os.File) error {
	sums := filepath.Join(b.dir, SumsFile)
	if err := b.place(sumsMeanwhile, sums); err != nil {
		return fmt.Errorf("no image was changed: %w", err)
	}
	renamed := 0
	for _, w := range b.all {
		if w.same {
			continue
		}
		if err := os.Rename(filepath.Join(b.aside, w.name),
			filepath.Join(b.dir, w.name)); err != nil {
			return fmt.Errorf("%d of %d images are in their place, the others are as they were: %w",
				renamed, b.done.New+b.done.Changed, err)
		}
		renamed++
	}
	if err := b.place(sumsAfter, sums); err != nil {
		return fmt.Errorf("the images are in their place, but not all of them in %s: %w",
			SumsFile, err)
	}
	if err := syncFolder(folder); err != nil {
		return fmt.Errorf("the images are in their place, but the disk does not say that it has "+
			"their names: %w", err)
	}
	return nil
}

// place moves a list into its place, if prepare wrote one.
func (b *batch) place(list, path string) error {
	err := os.Rename(filepath.Join(b.aside, list), path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// prepareSums writes the lists that differ from the present one, and returns
// their paths.
func (b *batch) prepareSums() (paths []string, err error) {
	now, err := os.ReadFile(filepath.Join(b.dir, SumsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, l := range []struct {
		name string
		in   func(written) bool
	}{
		{sumsMeanwhile, func(w written) bool { return w.same }},
		{sumsAfter, func(written) bool { return true }},
	} {
		list := b.sums(now, l.in)
		if bytes.Equal(list, now) {
			continue
		}
		path := filepath.Join(b.aside, l.name)
		if err := os.WriteFile(path, list, 0o666); err != nil {
			return nil, err
		}
		paths, now = append(paths, path), list
	}
	return paths, nil
}

// sums returns a list of the images that are in, with the lines of other files
// that still exist.
func (b *batch) sums(old []byte, in func(written) bool) []byte {
	ours := map[string]bool{}
	lines := map[string]string{} // by name
	for _, w := range b.all {
		ours[w.name] = true
		if in(w) {
			lines[w.name] = fmt.Sprintf("%x  %s\n", w.sum, w.name)
		}
	}
	for line := range strings.Lines(string(old)) {
		line = strings.TrimRight(line, "\r\n")
		_, name, _ := strings.Cut(line, "  ")
		if name == "" || ours[name] {
			continue
		}
		if _, err := os.Lstat(filepath.Join(b.dir, name)); err == nil {
			lines[name] = line + "\n"
		}
	}
	var list bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		list.WriteString(lines[name])
	}
	return list.Bytes()
}
