package config

import (
	"context"
	"errors"
	"time"

	"pxesrv/pkg/bounded"
)

// answersWithin is how long a disk may take before it counts as hanging: as
// long as a decision may.
var answersWithin = 5 * time.Second

// Hangs is the error of a disk that does not answer: a file server that is
// away, say. Then it is not known what is on it.
type Hangs struct {
	What  string          // what did not answer, for people
	Ended <-chan struct{} // closed when it does, or fails: then it may be tried again
}

func (h *Hangs) Error() string { return h.What + " does not answer: is its file server there?" }

// Bounded returns the error of work on a disk, or a *Hangs after a few seconds.
// The work then goes on, since nothing ends it, and what it writes to must not
// be read any more.
func Bounded(what string, work func() error) error {
	ended := make(chan struct{})
	_, err := bounded.Do(context.Background(), bounded.Limits{Deadline: answersWithin},
		func(context.Context) (none struct{}, err error) { return none, work() },
		func(struct{}) { close(ended) })
	if late := (*bounded.TimeoutError)(nil); errors.As(err, &late) {
		return &Hangs{what, ended}
	}
	return err
}
