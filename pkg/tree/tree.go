// Package tree is the root on disk: it opens what a name leads to, and nothing
// else. It knows nothing of booting: its user decides what is hidden.
//
// The path rule (pathrule.go) judges the object that was opened, not the text
// that led to it: a name is opened without touching the object (O_PATH on
// Linux: nothing blocks, no device is woken), its real path is asked of the
// kernel, and only a regular file below the root, or below an allowed
// directory, is opened again for reading, as that very object. So links may be
// absolute or relative, the root may be a link that is swapped, and there is no
// moment between look and open. A plain file of the root goes a shorter way
// (plain_linux.go): the kernel is told to follow no link and to stay below the
// root while it opens it (openat2).
//
// Every request asks where the root's name leads: a swapped release link, a new
// checkout or a ConfigMap is in force at once.
package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
)

// Tree is a root and its rules. It remembers only which names a directory at
// rest does not have, and keeps the root open for a second: create one and keep
// it.
type Tree struct {
	Path  string   // the root as configured
	Allow []string // directories outside the root that links may lead to
	Deny  []string // directories that nothing is read from, wherever they lie
	Hide  []string // directories whose files are boot answers, but are not served as files
	Show  []string // dot names that are served as files all the same

	// Shared are directories that every decision looks at, relative to the root
	// or absolute: decisions that begin together share one stat of each.
	Shared []string

	// Hidden says why a file is not given out for a use, as a sentence without
	// its subject, or "". It is asked for the parts of a path, of which there
	// is one at least: relative to the root, or absolute below one of Allow.
	// Nil hides nothing.
	Hidden func(parts []string, use Use) string

	Clock Clock // of which an edit is recent or not; nil: this machine's

	absences sync.Map // directory → *AbsentCache
	rests    rests    // of directories by their path, of files by their real one
	roots    roots
	views    flight[struct{}, *view]
	texts    flight[plainText, Text]
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

// A Refusal says that a file is not there, or is there and not given out. After
// every other error of this package the answer is unknown: an I/O error, a
// missing right, a stale handle.
type Refusal struct {
	Kind   Kind
	Circle bool // Missing because links lead in a circle
	// for the person who can mend it; names files of this machine, never show
	// it to a client
	Why string
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

// Absent reports whether a system call's error means that nothing is there;
// after every other error the answer is unknown.
func Absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENAMETOOLONG)
}

// StaleTries is how often what a file server calls stale is tried again.
const StaleTries = 4

// Is makes every refusal an fs.ErrNotExist: a client cannot tell a hidden file
// from a missing one.
func (r *Refusal) Is(target error) bool { return target == fs.ErrNotExist }
