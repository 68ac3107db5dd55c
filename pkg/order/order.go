// Package order keeps one-time orders: a symbolic link once/<name> makes that machine boot the link's target one time.
//
// An order is granted at most once, by any number of requests and of daemons on one shared directory, and never lost without
// a trace. The way of an order:
//
//	once/NAME -> target      pending
//	once/.claimed/NAME~…     open: claimed by rename to a name of its own, sent, arrival not known
//	once/.served/NAME~…      served: the client's TCP acknowledged all of it
//
// A rename has one winner, and a unique new name lets the winner find out that it won even when a network file system gives
// a false error. What was claimed is read again under its new name: an order that somebody replaced in between is answered
// with its own text or not at all. On a network file system it is proven first that the text is that of the link which was
// moved (claim.go). After the first byte was sent nothing is ever put back.
//
// Clocks are used for names and ages, never to decide who wins.
package order

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/tree"
)

// Load reads the script for m that the text of a link leads to, seen from the
// directory of the orders. Its errors are those of boot.Entry.Load.
type Load func(ctx context.Context, m *boot.Machine, text string) (boot.Script, error)

// Store is a directory of one-time orders with its journal. Fill in the fields and keep it; it is safe for concurrent use.
type Store struct {
	Dir     string // the directory, opened anew for each request
	Label   string // what traces call it; "" means "once"
	Load    Load
	Replica string // this daemon's name in the journal; "" means the host's name

	ResendWithin time.Duration // how long an unconfirmed order is sent again to the same address that retries; 0: never
	MaxPerDay    int           // a name granted so often in 24 h is held until a person releases it; 0: never held
	Keep         time.Duration // how long served orders stay in the journal; 0: for ever
	KeepMax      int           // how many of them; 0: all

	Now   func() time.Time // nil: time.Now
	Event func(Event)      // told of everything that happens to an order; nil: nobody

	step   func(name string) // tests stop here between two steps of a claim
	counts counts
	known  tree.Known // of Dir
}

// Event is something that happened to an order.
type Event struct {
	Kind   EventKind
	Record Record
	Err    error // why, for Failed and GivenBack
}

// EventKind kinds of events there are.
type EventKind string

const (
	Granted   EventKind = "granted"    // claimed, about to be sent
	Served    EventKind = "served"     // confirmed
	Open      EventKind = "open"       // sent, arrival not confirmed
	GivenBack EventKind = "given back" // pending again, nothing was sent
	Replaced  EventKind = "superseded" // could not be given back, a newer order is there
	Lost      EventKind = "not moved"  // the journal could not be written; the entry stays where it is
	Repeats   EventKind = "repeats"    // granted more than WarnRepeats times in 24 h
)

// WarnRepeats is the number of grants of one name in 24 h over which an order is suspected to come from Git or a
// configuration management that puts it back.
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

// Resend is the rule of the step "resend": an order that was sent to this very address within ResendWithin, is not confirmed, and
// whose machine says that it asks again (try=1 and more) is sent again. Nothing is claimed, and nobody else gets it.
func (s *Store) Resend() boot.Rule { return resendRule{s} }

type onceRule struct{ s *Store }

func (r onceRule) Step() boot.Step { return boot.Once }

func (r onceRule) Find(ctx context.Context, m *boot.Machine) ([]boot.Entry, error) {
	found, err := r.s.known.Look(ctx, r.s.Dir, m.Texts())
	if unseen := (*tree.Unseen)(nil); errors.As(err, &unseen) {
		if once, open := tree.OpenDir(r.s.Dir); open == nil {
			once.Recall(unseen.Name)
			once.Close()
		}
		found, err = r.s.known.Look(ctx, r.s.Dir, m.Texts())
	}
	if err != nil {
		return nil, err
	}
	var all []boot.Entry
	at := 0
	for _, e := range found {
		for m.Names[at].Text != e.Name {
			at++
		}
		all = append(all, &pending{r.s, m.Names[at], e})
	}
	return all, nil
}

// absent reports whether an error means that nothing is there; every other error means that nobody can know.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// pending is an order that waits under once/.
type pending struct {
	s     *Store
	name  boot.Name
	entry tree.Entry
}

func (p *pending) Info() boot.Info {
	return boot.Info{Path: p.s.label() + "/" + p.name.Text, Name: p.name, Target: p.entry.Link}
}

func (p *pending) Load(ctx context.Context, m *boot.Machine) (boot.Script, error) {
	if p.entry.Link == "" {
		return boot.Script{}, &boot.Unservable{Code: boot.NoLink, Why: "an order must be a symbolic link: move this away, and use pxesrv once place"}
	}
	return p.s.Load(ctx, m, p.entry.Link)
}

// May refuses an order whose name was granted too often.
func (p *pending) Allowed(context.Context) error {
	n, err := p.s.grants(p.name.Text)
	if err != nil {
		return &boot.Unservable{Code: boot.Failed, Why: "the journal cannot be read: " + err.Error()}
	}
	if p.s.MaxPerDay > 0 && n >= p.s.MaxPerDay {
		return &boot.Unservable{Code: boot.Held, Why: fmt.Sprintf(
			"held: granted %d times in 24 h, something puts it back; when it is right: pxesrv once release %s", n, p.name.Text)}
	}
	return nil
}

// Take claims the order.
func (p *pending) Claim(ctx context.Context, m *boot.Machine, loaded boot.Script) (boot.Grant, boot.Script, error) {
	s, none := p.s, boot.Script{}
	fail := func(code boot.Code, format string, args ...any) (boot.Grant, boot.Script, error) {
		return nil, none, &boot.Unservable{Code: code, Why: fmt.Sprintf(format, args...)}
	}
	once, claimed, err := s.open(claimedDir)
	if err != nil {
		return fail(boot.Failed, "the journal cannot be opened, the order stays: %v", err)
	}
	defer once.Close()
	defer claimed.Close()

	claim := s.newRecord(p.name.Text, m.Addr)
	file := claim.String()
	if ctx.Err() != nil {
		return fail(boot.Canceled, "the time for the answer was over before the order was claimed")
	}
	s.at("claim")
	if err := move(once, p.name.Text, claimed, file); absent(err) {
		return fail(boot.Taken, "another request took the order")
	} else if err != nil {
		return fail(boot.Failed, "the order could not be claimed and stays: %v", err)
	}
	s.counts.add(claim.Name, claim.Time)
	g := &grant{s: s, claim: claim, file: file}
	s.at("claimed")

	text, err := claimed.Proven(file)
	if err != nil {
		g.GiveBack("what was claimed cannot be read: " + err.Error())
		return fail(boot.Failed, "what was claimed cannot be read, and nothing was sent: %v", err)
	}
	g.text = text
	if text != p.entry.Link {
		// Somebody replaced the order after it was read. What was claimed is what is answered.
		if loaded, err = s.Load(ctx, m, text); err != nil {
			g.GiveBack("the order was replaced while it was claimed, and the new one cannot be served")
			return fail(boot.Failed, "the order was replaced while it was claimed, and the new one cannot be served: %v", err)
		}
	}
	s.at("read")
	// A power failure must not bring the order back to life after the machine got it.
	if err := errors.Join(claimed.Sync(), once.Sync()); err != nil {
		g.GiveBack("the claim cannot be made to last: " + err.Error())
		return fail(boot.Failed, "the claim cannot be made to last, the order was given back: %v", err)
	}
	s.at("synced")
	if ctx.Err() != nil {
		g.GiveBack("the time for the answer was over")
		return fail(boot.Canceled, "the time for the answer was over, the order was given back")
	}
	s.event(Granted, claim, nil)
	if n, err := s.grants(claim.Name); err == nil && n > WarnRepeats {
		s.event(Repeats, claim, fmt.Errorf("granted %d times in 24 h", n))
	}
	return g, loaded, nil
}

// open opens the directory of the orders and one of its journals, which is made when it is not there.
func (s *Store) open(journal string) (once, sub *tree.Dir, err error) {
	if once, err = tree.OpenDir(s.Dir); err != nil {
		return nil, nil, err
	}
	if sub, err = journalOf(once, journal); err != nil {
		once.Close()
		return nil, nil, err
	}
	return once, sub, nil
}

func journalOf(once *tree.Dir, journal string) (*tree.Dir, error) {
	sub, err := once.Sub(journal)
	if errors.Is(err, fs.ErrNotExist) {
		if err = once.Mkdir(journal); err == nil || errors.Is(err, fs.ErrExist) {
			sub, err = once.Sub(journal)
		}
	}
	return sub, err
}

// grant is a claim that was made for one request.
type grant struct {
	s     *Store
	claim Record
	file  string
	text  string
	again bool // sent before, and open since then
	end   sync.Once
}

func (g *grant) ID() string { return g.file }

// GiveBack puts the order back, unless a newer one has its place.
func (g *grant) GiveBack(why string) {
	g.end.Do(func() {
		if g.again {
			return // it stays open, as it was
		}
		what, err := g.giveBack()
		if err == nil {
			err = errors.New(why)
		}
		if what == GivenBack {
			g.s.counts.remove(g.claim.Name, g.claim.Time)
		}
		g.s.event(what, g.claim, err)
	})
}

func (g *grant) giveBack() (EventKind, error) {
	once, claimed, err := g.s.open(claimedDir)
	if err != nil {
		return Lost, err
	}
	defer once.Close()
	defer claimed.Close()
	g.s.at("give back")
	file := g.file
	err = claimed.RenameNew(file, once, g.claim.Name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		left, look := leftOf(claimed, g.claim)
		switch {
		case look != nil || slices.Contains(left, file):
		case slices.ContainsFunc(left, func(n string) bool { return strings.HasSuffix(n, g.claim.as(Resent)) }):
			return Open, nil // a retry was sent it meanwhile
		case len(left) > 0:
			return Lost, fmt.Errorf("it is in %s/%s, and comes back to the journal by itself", claimedDir, left[0])
		default:
			return GivenBack, nil // a replayed rename was carried out all the same
		}
		// Some network file systems know no exclusive rename; making a link is exclusive everywhere. The claim is marked as
		// given up first, so that no retry is sent what is about to be pending, even when we do not get to the end.
		up := g.claim.as(GivenUp)
		if err := move(claimed, file, claimed, up); err != nil {
			return Lost, err
		}
		file = up
		g.s.at("given up")
		text, rerr := claimed.Proven(file)
		if rerr != nil {
			return Lost, rerr // it stays in the journal, and is told of
		}
		if err = once.Symlink(text, g.claim.Name); err == nil {
			g.s.at("linked back")
			if err := claimed.Remove(file); err != nil && !absent(err) {
				return Lost, err
			}
		}
	}
	switch {
	case err == nil:
		return GivenBack, nil
	case errors.Is(err, fs.ErrExist):
		if err := g.s.finish(file, g.claim, Superseded); err != nil {
			return Lost, err
		}
		return Replaced, nil
	}
	return Lost, err
}

// Confirm moves the claim among the served ones when it arrived; else it stays open.
func (g *grant) Confirm(arrived bool) {
	g.end.Do(func() {
		if !arrived {
			g.s.event(Open, g.claim, nil)
			return
		}
		g.s.at("settle")
		if err := g.s.finish(g.file, g.claim, Arrived); err != nil && !absent(err) {
			g.s.event(Lost, g.claim, err)
			return
		}
		g.s.event(Served, g.claim, nil)
	})
}

// finish moves an entry of .claimed to .served with its end. A missing entry was finished by somebody else.
func (s *Store) finish(file string, c Record, end End) error {
	once, claimed, err := s.open(claimedDir)
	if err != nil {
		return err
	}
	defer once.Close()
	defer claimed.Close()
	served, err := journalOf(once, servedDir)
	if err != nil {
		return err
	}
	defer served.Close()
	to := c.as(end)
	for range 5 {
		err = move(claimed, file, served, to)
		if absent(err) && end == Arrived {
			err = move(claimed, c.as(Resent), served, to) // a retry was sent it, too
		}
		if !absent(err) {
			return err
		}
		left, look := leftOf(claimed, c)
		if look == nil && len(left) == 0 {
			return err
		}
		if slices.Contains(left, file) {
			claimed.Recall(file)
		}
		// Another daemon may be looking at it alone, for a retry.
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the file server does not find what it lists in " + claimedDir)
}

type resendRule struct{ s *Store }

func (r resendRule) Step() boot.Step { return boot.Resend }

func (r resendRule) Find(_ context.Context, m *boot.Machine) ([]boot.Entry, error) {
	if m.Try < 1 || r.s.ResendWithin <= 0 || !m.Addr.IsValid() {
		return nil, nil
	}
	claims, err := r.s.entries(claimedDir)
	if err != nil {
		return nil, err
	}
	var all []*resend
	for _, claim := range claims {
		i := slices.IndexFunc(m.Names, func(n boot.Name) bool { return n.Text == claim.Name })
		if i < 0 || claim.Addr != m.Addr || !claim.open() || claim.End == GivenUp || r.s.now().Sub(claim.Time).Abs() > r.s.ResendWithin {
			continue
		}
		all = append(all, &resend{s: r.s, name: m.Names[i], claim: claim})
	}
	slices.SortFunc(all, func(a, b *resend) int { return b.claim.Time.Compare(a.claim.Time) })
	entries := make([]boot.Entry, len(all))
	for i, e := range all {
		entries[i] = e
	}
	return entries, nil
}

// resend is an open order that its machine asks for again.
type resend struct {
	s     *Store
	name  boot.Name
	claim Record
}

func (e *resend) file() string { return e.claim.String() }

func (e *resend) text() (string, error) {
	once, claimed, err := e.s.open(claimedDir)
	if err != nil {
		return "", err
	}
	defer once.Close()
	defer claimed.Close()
	text, err := claimed.Proven(e.file())
	if absent(err) && e.claim.End != Resent {
		// Another retry of this machine may have been quicker.
		if text, err = claimed.Proven(e.claim.as(Resent)); err == nil {
			e.claim.End = Resent
		}
	}
	return text, err
}

func (e *resend) Info() boot.Info {
	target, _ := e.text()
	return boot.Info{Path: e.s.label() + "/" + claimedDir + "/" + e.file(), Name: e.name, Target: target}
}

func (e *resend) Load(ctx context.Context, m *boot.Machine) (boot.Script, error) {
	text, err := e.text()
	if absent(err) {
		return boot.Script{}, &boot.Unservable{Code: boot.Taken, Why: "the order was confirmed meanwhile"}
	} else if err != nil {
		return boot.Script{}, err
	}
	return e.s.Load(ctx, m, text)
}

func (e *resend) Allowed(context.Context) error { return nil }

// Take marks the claim as sent again: a request that still prepares its first answer cannot give it back from then on.
func (e *resend) Claim(ctx context.Context, _ *boot.Machine, loaded boot.Script) (boot.Grant, boot.Script, error) {
	fail := func(code boot.Code, why string, err error) (boot.Grant, boot.Script, error) {
		return nil, boot.Script{}, &boot.Unservable{Code: code, Why: fmt.Sprintf("%s: %v", why, err)}
	}
	once, claimed, err := e.s.open(claimedDir)
	if err != nil {
		return fail(boot.Failed, "the journal cannot be opened", err)
	}
	defer once.Close()
	defer claimed.Close()
	e.s.at("resend")
	from := e.file()
	e.claim.End = Resent
	if from != e.file() {
		err = move(claimed, from, claimed, e.file())
	} else if there, look := claimed.Holds(from); look != nil {
		err = look
	} else if !there {
		err = fs.ErrNotExist
	}
	if absent(err) {
		return fail(boot.Taken, "the order was confirmed or given back meanwhile", err)
	} else if err != nil {
		return fail(boot.Failed, "the order cannot be sent again", err)
	}
	e.s.at("resent")
	// The request that claimed it may not have come so far.
	if err := errors.Join(claimed.Sync(), once.Sync()); err != nil {
		return fail(boot.Failed, "the claim cannot be made to last", err)
	}
	if err := ctx.Err(); err != nil {
		return fail(boot.Canceled, "the time for the answer was over", err)
	}
	return &grant{s: e.s, claim: e.claim, file: e.file(), again: true}, loaded, nil
}

// entries lists a journal. Files that are no claims are left out.
func (s *Store) entries(journal string) ([]Record, error) {
	once, err := tree.OpenDir(s.Dir)
	if absent(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer once.Close()
	d, err := once.Sub(journal)
	if absent(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	claims := make([]Record, 0, len(names))
	for _, n := range names {
		if c, ok := ParseRecord(n); ok {
			claims = append(claims, c)
		}
	}
	return claims, nil
}

// temporary is the beginning of names that are no orders yet.
const temporary = ".new~"
