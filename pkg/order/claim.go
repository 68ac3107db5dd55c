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

// A claim is made by renaming an entry to a name that nobody else uses:
//
//	move           moves it, and finds out whether that was done
//	Dir.Proven     returns the text of what was moved
//
// Nothing is concluded from the error of a rename: a file server that lost the
// first reply carries the rename out and answers the repeated call with
// "there is no such file". Whether the unique name is there says the truth.
// And no text that was read before counts as that of what was moved.

type onceRule struct{ s *Store }

func (r onceRule) Step() boot.Step { return boot.Once }

func (r onceRule) Find(ctx context.Context, m *boot.Machine) ([]boot.Entry, error) {
	found, err := r.s.absent.Find(ctx, r.s.Dir, m.Texts())
	if unseen := (*tree.Unseen)(nil); errors.As(err, &unseen) {
		if once, open := tree.OpenDir(r.s.Dir); open == nil {
			once.Recall(unseen.Name)
			once.Close()
		}
		found, err = r.s.absent.Find(ctx, r.s.Dir, m.Texts())
	}
	if err != nil {
		return nil, err
	}
	var all []boot.Entry
	for _, e := range found {
		all = append(all, &pending{r.s, m.Name(e.Name), e})
	}
	return all, nil
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
		return boot.Script{}, &boot.Unservable{Code: boot.NoLink,
			Why: "an order must be a symbolic link: move this away, and use pxesrv order place"}
	}
	return p.s.Load(ctx, m, p.entry.Link)
}

// Claim moves the order to the open ones, see above.
func (p *pending) Claim(
	ctx context.Context, m *boot.Machine, loaded boot.Script,
) (boot.Grant, boot.Script, error) {
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
	if err := move(once, p.name.Text, claimed, file); tree.Absent(err) {
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
		// Somebody replaced the order after it was read. The answer is what was
		// claimed.
		if loaded, err = s.Load(ctx, m, text); err != nil {
			g.GiveBack("the order was replaced while it was claimed, and the new one cannot be " +
				"served")
			return fail(boot.Failed, "the order was replaced while it was claimed, and the new "+
				"one cannot be served: %v", err)
		}
	}
	s.at("read")
	// A power failure must not bring the order back to life after the machine
	// got it.
	if err := errors.Join(claimed.Sync(), once.Sync()); err != nil {
		g.GiveBack("the claim cannot be made to last: " + err.Error())
		return fail(boot.Failed, "the claim cannot be made to last, the order was given back: %v",
			err)
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
		case slices.ContainsFunc(left, func(n string) bool {
			return strings.HasSuffix(n, g.claim.as(Resent))
		}):
			return Open, nil // a retry was sent it meanwhile
		case len(left) > 0:
			return Lost, fmt.Errorf("it is in %s/%s, and comes back to the journal by itself",
				claimedDir, left[0])
		default:
			return GivenBack, nil // a replayed rename was carried out all the same
		}
		// Some network file systems know no exclusive rename; making a link is
		// exclusive everywhere. The claim is marked as given up first: no
		// request is sent again what is about to be pending, even if this
		// daemon is killed here.
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
			if err := claimed.Remove(file); err != nil && !tree.Absent(err) {
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

// Confirm moves the claim to the served ones if the answer arrived. Otherwise
// it stays open.
func (g *grant) Confirm(arrived bool) {
	g.end.Do(func() {
		if !arrived {
			g.s.event(Open, g.claim, nil)
			return
		}
		g.s.at("settle")
		if err := g.s.finish(g.file, g.claim, Arrived); err != nil && !tree.Absent(err) {
			g.s.event(Lost, g.claim, err)
			return
		}
		g.s.event(Served, g.claim, nil)
	})
}

// finish moves an entry of .claimed to .served with its end. A missing entry
// was finished by somebody else.
func (s *Store) finish(file string, c Record, end Outcome) error {
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
		if tree.Absent(err) && end == Arrived {
			err = move(claimed, c.as(Resent), served, to) // a retry was sent it, too
		}
		if !tree.Absent(err) {
			return err
		}
		left, look := leftOf(claimed, c)
		if look == nil && len(left) == 0 {
			return err
		}
		if slices.Contains(left, file) {
			claimed.Recall(file)
		}
		// Another daemon may have it aside, to prove its text for a resend.
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the file server does not find what it lists in " + claimedDir)
}

// move moves an entry to a name that nobody else uses. The error is that of the
// rename, where it was not carried out. A rename is tried again after a file
// server called the directory or the entry stale, and did nothing.
func move(from *tree.Dir, name string, to *tree.Dir, toName string) error {
	for stale := 0; ; stale++ {
		err := from.Rename(name, to, toName)
		if err == nil || isThere(to, toName) {
			return nil
		}
		if !errors.Is(err, syscall.ESTALE) || stale == tree.StaleTries {
			return err
		}
		time.Sleep(time.Duration(stale) * time.Millisecond)
	}
}

// isThere reports whether an entry was moved to a name. It tries again after an
// error, since much depends on the answer.
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

// leftOf returns the names that the listing of .claimed has of a claim, also
// while it is aside. A rename that did not find the claim tells less.
func leftOf(claimed *tree.Dir, c Record) ([]string, error) {
	names, err := claimed.Names()
	return slices.DeleteFunc(names, func(n string) bool {
		is, ok := ParseRecord(strings.TrimPrefix(n, tree.Aside))
		return !ok || is.Name != c.Name || is.Random != c.Random
	}), err
}
