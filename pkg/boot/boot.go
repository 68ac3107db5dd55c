// Package boot is the subject of the program: a machine is asking, what should
// it boot?
//
// A request brings [Claims]: what the query says of the machine, as iPXE sent
// it. [Identify] turns them and the source address into a [Machine] with at
// most 16 names, strongest first. [Resolve] asks the [Rule]s of a site, step by
// step, for entries under those names; the first entry that can be served is
// the [Answer], and its [Trace] says why.
//
//	claims := boot.ParseQuery(r.URL.RawQuery)
//	machine := boot.Identify(claims, peer, policy)
//	answer, err := boot.Resolve(ctx, &machine, rules, true)
//
// The package reads no file, no clock and no network, and it logs nothing:
// rules do that, and they live elsewhere.
package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Step is one stage of the decision; Steps has their order.
type Step string

const (
	Protect Step = "protect" // this machine is only ever told to boot its own disk
	Resend  Step = "resend"  // an order that was sent to this machine and did not arrive
	Once    Step = "once"    // a one-time order
	Static  Step = "static"  // what this machine always boots
	Default Step = "default" // what a machine boots that nothing else names
)

// Steps returns every step, in the order in which a site asks them.
func Steps() []Step { return []Step{Protect, Resend, Once, Static, Default} }

// MaxScript is the largest boot script in bytes that is served. iPXE 2019 ran
// 200 kB and failed on 4 MB.
const MaxScript = 1 << 20

// Script is a boot script, whole.
type Script struct {
	Body []byte
	// the file it came from, relative to the root where it lies below it;
	// "built in" for ours
	From string
}

// CheckScript says what keeps body from being a boot script, or returns nil.
//
// A script begins with "#!ipxe" or "#!gpxe" and a white-space byte. Nothing
// else may ever be answered with status 200: BIOS builds of iPXE (2019 and 2026
// alike) run any other body as raw machine code, a byte order mark included.
func CheckScript(body []byte) error {
	switch {
	case len(body) == 0:
		return &Unservable{Code: Empty, Why: "the file is empty"}
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf#!")):
		return &Unservable{Code: NoScript,
			Why: "a byte order mark stands before #!ipxe: save the file without one"}
	case len(body) < 7 || string(body[:6]) != "#!ipxe" && string(body[:6]) != "#!gpxe":
		return &Unservable{Code: NoScript, Why: "the first line is not #!ipxe"}
	}
	switch body[6] {
	case ' ', '\t', '\n', '\v', '\f', '\r':
		return nil
	}
	return &Unservable{Code: NoScript, Why: fmt.Sprintf("the first line is not #!ipxe: %.40q",
		firstLine(body))}
}

func firstLine(b []byte) []byte {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return line
}

// Info is what can be said of an entry without opening it.
type Info struct {
	Path   string `json:"path"`             // the entry in the tree, "static/10.0.0.7"
	Name   Name   `json:"name,omitzero"`    // the name of the machine that led to it
	Target string `json:"target,omitempty"` // the text of the link, when it is one
}

// A Rule is one step of a site's decision.
type Rule interface {
	Step() Step
	// Find returns the entries that exist under the machine's names, the
	// strongest name first. It has no side effect. After an error it is unknown
	// what exists (see ErrUnsure).
	Find(ctx context.Context, m *Machine) ([]Entry, error)
}

// An Entry is a file or link of the tree that names what to boot.
type Entry interface {
	Info() Info
	// Load returns the script for m, read and rendered whole, without side
	// effect. Errors are *Unservable; after any other error the script is
	// unknown (ErrUnsure).
	Load(ctx context.Context, m *Machine) (Script, error)
}

// An Order is an entry that is used up when it is the answer.
type Order interface {
	Entry
	// Allowed returns the reason for which this order would not be granted now
	// (*Unservable), or nil. It has no side effect.
	Allowed(ctx context.Context) error
	// Claim claims the order for m and returns the script of what was claimed,
	// which differs from loaded if somebody replaced the order meanwhile. After
	// an error nothing is claimed.
	Claim(ctx context.Context, m *Machine, loaded Script) (Grant, Script, error)
}

// A Grant is an order that was claimed for one request. It must be ended
// exactly once, by one of its methods.
type Grant interface {
	// ID is the name under which the journal keeps this grant.
	ID() string
	// GiveBack puts the order back: no byte of the answer was sent.
	GiveBack(why string)
	// Confirm ends a grant after at least one byte of the answer was sent.
	// arrived says that the client's TCP acknowledged all of it.
	Confirm(arrived bool)
}

// ErrUnsure marks errors after which it is unknown what the tree says: an I/O
// error, a missing right, a stale handle, a timeout. The decision stops there:
// a later step could wipe a machine that an unreadable file protects.
var ErrUnsure = errors.New("cannot know")

// ErrNothing is returned by Resolve when no rule has an answer, not even the
// default.
var ErrNothing = errors.New("nothing to boot: there is no default")

// Code names a kind of trouble in metrics and machine-readable output.
type Code string

const (
	Missing  Code = "missing"   // a dangling link, or gone in between
	Outside  Code = "outside"   // leads out of the root
	Hidden   Code = "hidden"    // leads to a name that is never served
	NoFile   Code = "not-file"  // directory, FIFO, socket, device
	NoLink   Code = "not-link"  // an order that is no symbolic link
	Empty    Code = "empty"     // no bytes
	NoScript Code = "no-script" // does not begin with #!ipxe
	TooLarge Code = "too-large" // over MaxScript
	Changing Code = "changing"  // was written while it was read
	Taken    Code = "taken"     // another request was quicker
	Failed   Code = "failed"    // the claim failed
	Held     Code = "held"      // granted too often
	Conflict Code = "conflict"  // who is asking is not certain
	NoOrder  Code = "no-order"  // a request of a kind that takes no order
	Canceled Code = "canceled"  // the client had gone
)

// Unservable is the reason why an entry that exists was not the answer. The
// next entry or step is asked.
type Unservable struct {
	Code Code
	Why  string // a sentence for the person who can mend it
}

func (u *Unservable) Error() string { return u.Why }

// Outcome says what became of an entry.
type Outcome string

const (
	Answered Outcome = "answer"  // it is the answer
	Skipped  Outcome = "skipped" // seen, but cannot be served, or could not be claimed
	// an order that stays where it is, because the machine is protected
	Waiting Outcome = "waits"
	Behind  Outcome = "behind" // would have been asked had an earlier entry not answered
	Unsure  Outcome = "unsure" // cannot be known, the decision stopped here
)

// Finding is one entry that was found, and what became of it.
type Finding struct {
	Step Step `json:"step"`
	Info
	Outcome Outcome `json:"outcome"`
	Code    Code    `json:"code,omitempty"`
	Why     string  `json:"why,omitempty"`
	Order   bool    `json:"order,omitempty"` // answering it uses it up
}

// Trace is the way to an answer: which steps were asked, in order, and every
// entry that was found.
type Trace struct {
	Steps    []Step    `json:"steps"`
	Findings []Finding `json:"findings"`
}

func (t *Trace) add(s Step, i Info, o Outcome, err error) *Finding {
	f := Finding{Step: s, Info: i, Outcome: o}
	if err != nil {
		f.Why = err.Error()
	}
	var u *Unservable
	if errors.As(err, &u) {
		f.Code = u.Code
	}
	t.Findings = append(t.Findings, f)
	return &t.Findings[len(t.Findings)-1]
}

// Answer is what a machine gets.
type Answer struct {
	Script Script
	Entry  Finding // the entry that answered
	Grant  Grant   // set when an order was claimed; the caller must end it
	Trace  Trace
}

// Resolve decides. It asks the rules in order, each for all names of the
// machine, and the first entry that can be served is the answer. With take,
// orders are claimed on the way, and the Grant of the answer must be ended.
// Without take nothing is used up, and the trace also lists the entries behind
// the answer.
//
// Errors are ErrNothing and ErrUnsure; the Answer carries the trace with both.
func Resolve(ctx context.Context, m *Machine, rules []Rule, take bool) (Answer, error) {
	var a Answer
	if m.Unsure != "" {
		return a, fmt.Errorf("%w: %s", ErrUnsure, m.Unsure)
	}
	a.Trace = Trace{make([]Step, 0, len(rules)), make([]Finding, 0, 2)}
	for i, r := range rules {
		a.Trace.Steps = append(a.Trace.Steps, r.Step())
		entries, err := r.Find(ctx, m)
		if err != nil {
			return a, unsure(&a.Trace, r.Step(), Info{Path: string(r.Step())}, err)
		}
		for j, e := range entries {
			found, err := a.try(ctx, m, r.Step(), e, take)
			if err != nil {
				return a, err
			}
			if !found {
				continue
			}
			behind(ctx, m, &a, r.Step(), entries[j+1:], take)
			for _, later := range rules[i+1:] {
				if take && a.Entry.Step != Protect {
					break
				}
				// Entries behind the answer are only reported, so their errors
				// do not matter.
				if entries, err := later.Find(ctx, m); err == nil {
					behind(ctx, m, &a, later.Step(), entries, take)
				}
			}
			return a, nil
		}
	}
	return a, ErrNothing
}

// try asks one entry and reports whether it is the answer.
func (a *Answer) try(ctx context.Context, m *Machine, step Step, e Entry, take bool) (bool, error) {
	order, isOrder := e.(Order)
	skip := func(err error) (bool, error) {
		// Any other error is a disk or a right that fails: the answer is
		// unknown.
		if u := (*Unservable)(nil); !errors.As(err, &u) {
			return false, unsure(&a.Trace, step, e.Info(), err)
		}
		a.Trace.add(step, e.Info(), Skipped, err).Order = isOrder
		return false, nil
	}
	if isOrder && m.Conflict != "" {
		return skip(&Unservable{Code: Conflict, Why: "no order is granted: " + m.Conflict})
	}
	if isOrder && m.NoOrders != "" {
		return skip(&Unservable{Code: NoOrder, Why: "no order is granted: " + m.NoOrders})
	}
	script, err := e.Load(ctx, m)
	if err != nil {
		return skip(err)
	}
	if isOrder {
		if err := order.Allowed(ctx); err != nil {
			return skip(err)
		}
	}
	if isOrder && take {
		if ctx.Err() != nil {
			return skip(&Unservable{Code: Canceled,
				Why: "the client went away before the order was claimed"})
		}
		grant, claimed, err := order.Claim(ctx, m, script)
		if err != nil {
			// A claim that failed leaves the order where it was, and the
			// machine gets what it would get without it.
			a.Trace.add(step, e.Info(), Skipped, err).Order = true
			return false, nil
		}
		a.Grant, script = grant, claimed
	}
	a.Script = script
	f := a.Trace.add(step, e.Info(), Answered, nil)
	f.Order = isOrder
	a.Entry = *f
	return true, nil
}

// behind notes entries that were not asked: all of them for people who look,
// only the waiting orders for a machine.
func behind(ctx context.Context, m *Machine, a *Answer, step Step, entries []Entry, take bool) {
	for _, e := range entries {
		_, isOrder := e.(Order)
		outcome := Behind
		if isOrder && a.Entry.Step == Protect {
			outcome = Waiting
		}
		if take && outcome != Waiting {
			continue
		}
		var err error
		if !take {
			_, err = e.Load(ctx, m)
		}
		a.Trace.add(step, e.Info(), outcome, err).Order = isOrder
	}
}

func unsure(t *Trace, s Step, i Info, err error) error {
	t.add(s, i, Unsure, err)
	if !errors.Is(err, ErrUnsure) {
		err = fmt.Errorf("%w: %w", ErrUnsure, err)
	}
	return fmt.Errorf("%s: %w", i.Path, err)
}
