package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// How an error is told. It is for the person who can act:
//
//	pxesrv: there is no command "srve"
//	hint: did you mean serve?
//
//   - The first line says what is wrong, and where. It makes sense alone.
//   - What to do stands on a line of its own, one line for each thing that can
//     be done. Where nothing can be done, there is no such line.
//   - No hint destroys anything. A doubt is asked about; the hint names the
//     flag that says it is meant.
//
// An error of another package knows its remedy by a method Hint() string.

// hinted is an error that knows what to do.
type hinted struct {
	error
	hints []string
}

func (e *hinted) Unwrap() error { return e.error }

// Hint is what to do, a line for each thing that can be done.
func (e *hinted) Hint() string { return strings.Join(e.hints, "\n") }

// withHint adds what to do to an error; empty hints say nothing.
func withHint(err error, hints ...string) error { return &hinted{err, hints} }

// report tells an error and what to do.
func report(w io.Writer, err error) {
	fmt.Fprintf(w, "pxesrv: %v\n", err)
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		hint(w, h.Hint())
	}
}

// hint tells what to do.
func hint(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintf(w, "hint: %s\n", line)
		}
	}
}
