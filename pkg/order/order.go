// Package order keeps one-time orders: a symbolic link once/<name> makes that
// machine boot the link's target one time.
//
// An order is granted at most once, by any number of requests and of daemons on
// one shared directory, and never lost without a trace. The way of an order:
//
//	once/NAME -> target      pending
//	once/.claimed/NAME~…     open: moved to a name of its own, sent, arrival not known
//	once/.served/NAME~…      served: the client's TCP acknowledged all of it
//
// A rename has one winner, and a unique new name lets the winner find out that
// it won even when a network file system gives a false error. What was claimed
// is read again under its new name: an order that somebody replaced in between
// is answered with its own text or not at all. On a network file system it is
// proven first that the text is that of the link which was moved (claim.go).
// After the first byte was sent nothing is ever put back.
//
// Clocks are used for names and ages, never to decide who wins.
package order

import (
	"context"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/tree"
)

// Load reads the script for m that the text of a link leads to, seen from the
// directory of the orders. Its errors are those of boot.Entry.Load.
type Load func(ctx context.Context, m *boot.Machine, text string) (boot.Script, error)

// Store is a directory of one-time orders with its journal. Fill in the fields
// and keep it; it is safe for concurrent use.
type Store struct {
	Dir     string // the directory, opened anew for each request
	Label   string // what traces call it; "" means "once"
	Load    Load
	Replica string // this daemon's name in the journal; "" means the host's name

	// how long an unconfirmed order is sent again to the address that it was
	// sent to; 0: never
	ResendWithin time.Duration
	// a name granted so often in 24 h is held until a person releases it; 0:
	// never held
	MaxPerDay int
	Keep      time.Duration // how long served orders stay in the journal; 0: for ever
	KeepMax   int           // how many of them; 0: all

	Now   func() time.Time // nil: time.Now
	Event func(Event)      // told of everything that happens to an order; nil: nobody

	step   func(name string) // tests stop here between two steps of a claim
	counts counts
	absent tree.AbsentCache // of Dir
}

// Event is something that happened to an order.
type Event struct {
	Kind   EventKind
	Record Record
	Err    error // why, for Failed and GivenBack
}

// EventKind is a kind of event. What people do has its Outcome as kind.
type EventKind string

const (
	Granted   EventKind = "granted"    // claimed, about to be sent
	Served    EventKind = "served"     // confirmed
	Open      EventKind = "open"       // sent, arrival not confirmed
	GivenBack EventKind = "given back" // pending again, nothing was sent
	Replaced  EventKind = "superseded" // could not be given back, a newer order is there
	// the journal could not be written; the entry stays where it is
	Lost    EventKind = "not moved"
	Repeats EventKind = "repeats" // granted more than WarnRepeats times in 24 h
)

// WarnRepeats is the number of grants of one name in 24 h over which an order
// is suspected to come from Git or a configuration management that puts it
// back.
const WarnRepeats = 3

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Store) event(w EventKind, c Record, err error) {
	if s.Event != nil {
		s.Event(Event{w, c, err})
	}
}

func (s *Store) at(step string) {
	if s.step != nil {
		s.step(step)
	}
}

func (s *Store) label() string {
	if s.Label != "" {
		return s.Label
	}
	return "once"
}

// Once is the rule of the step "once".
func (s *Store) Once() boot.Rule { return onceRule{s} }

// Resend is the rule of the step "resend": an order that was sent to this very
// address within ResendWithin, is not confirmed, and whose machine says that it
// asks again (try=1 and more) is sent again. Nothing is claimed, and nobody
// else gets it.
func (s *Store) Resend() boot.Rule { return resendRule{s} }

// temporary is the beginning of names that are no orders yet.
const temporary = ".new~"
