package reread

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// File returns the value that parse makes of a file's text, of at most so many
// bytes.
func File[T any](
	name string, most int64, parse func(text []byte, info fs.FileInfo) (T, error),
) *Value[T] {
	var (
		seen    fs.FileInfo       // of the file when it was read; nil: it could not be opened
		settled bool              // it was at rest then: a later change shows in its time
		sum     [sha256.Size]byte // of its text; zero: it could not be read
		missing bool
	)
	return New(func() func() (T, error) {
		info, err := os.Stat(name)
		if err == nil && settled && Same(info, seen) || missing && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		before, began := seen, time.Now()
		text, info, err := ReadFile(name, most)
		missing = errors.Is(err, fs.ErrNotExist)
		// What failed for another reason than the file itself is tried again.
		lasts := err == nil || errors.Is(err, ErrNotRegular) || errors.Is(err, ErrTooLarge)
		seen, settled = info, lasts && info != nil && began.Sub(info.ModTime()) > restAfter
		if err != nil {
			sum = [sha256.Size]byte{}
			return func() (value T, _ error) { return value, err }
		}
		last := sum
		if sum = sha256.Sum256(text); sum == last && info.Mode() == before.Mode() {
			return nil // the same text again, and the same comes of it
		}
		value, err := parse(text, info)
		return func() (T, error) { return value, err }
	})
}

// restAfter is how long after a change another may leave the time of the file
// as it is.
const restAfter = 2 * time.Second

// Same reports whether two looks found the same file unchanged, or both none:
// nil.
func Same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) &&
		a.Mode() == b.Mode()
}

// Why a file is not read.
var (
	ErrNotRegular = errors.New("is no regular file")
	ErrTooLarge   = errors.New("is too large")
)

// Open opens a regular file, through links. The information is that of the very
// file: its name may lead to another one at any time. It is there with
// ErrNotRegular, too.
func Open(name string) (*os.File, fs.FileInfo, error) {
	// Without O_NONBLOCK the opening of a pipe waits for its other end.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, info, err
	}
	return f, info, nil
}

// ReadFile reads a regular file of at most so many bytes. The information is as
// that of Open.
func ReadFile(name string, most int64) ([]byte, fs.FileInfo, error) {
	f, info, err := Open(name)
	if err != nil {
		return nil, info, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = &fs.PathError{Op: "read", Path: name, Err: ErrTooLarge}
	}
	if err != nil {
		return nil, info, err
	}
	return text, info, nil
}
