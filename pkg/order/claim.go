package order

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"

	"pxesrv/pkg/tree"
)

// A claim is made by renaming an entry to a name that nobody else uses:
//
//	move           moves it, and finds out whether that was done
//	Dir.Proven     returns the text of what was moved
//
// Nothing is concluded from the error of a rename: a file server that lost the
// first reply carries the rename out and answers the repeated call with
// "there is no such file". Whether the unique name is there says the truth.
// And no text that was read before counts as that of what was moved.

// staleTries is how often a rename is tried again after a file server called
// the handle of a directory or of the entry stale, and did nothing.
const staleTries = 4

// move moves an entry to a name that nobody else uses. The error is that of the
// rename, where it was not carried out.
func move(from *tree.Dir, name string, to *tree.Dir, toName string) error {
	for stale := 0; ; stale++ {
		err := from.Rename(name, to, toName)
		if err == nil || isThere(to, toName) {
			return nil
		}
		if !errors.Is(err, syscall.ESTALE) || stale == staleTries {
			return err
		}
		time.Sleep(time.Duration(stale) * time.Millisecond)
	}
}

// isThere reports whether a name is there, to which an entry may have been
// moved. An error is looked at again, since much depends on the answer.
func isThere(d *tree.Dir, name string) bool {
	for i := range 5 {
		if i > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if there, err := d.Holds(name); err == nil {
			return there
		}
	}
	return false
}

// leftOf returns the names of a claim that the listing of .claimed has, also of
// the folder in which it is looked at alone: a rename that did not find it
// tells less.
func leftOf(claimed *tree.Dir, c Record) ([]string, error) {
	names, err := claimed.Names()
	return slices.DeleteFunc(names, func(n string) bool {
		is, ok := ParseRecord(strings.TrimPrefix(n, tree.Aside))
		return !ok || is.Name != c.Name || is.Random != c.Random
	}), err
}
