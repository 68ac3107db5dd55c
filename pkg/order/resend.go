package order

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/tree"
)

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
		if i < 0 || claim.Addr != m.Addr || !claim.open() || claim.End == GivenUp ||
			r.s.now().Sub(claim.Time).Abs() > r.s.ResendWithin {
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
	if tree.Absent(err) && e.claim.End != Resent {
		// Another request of this machine may have been quicker.
		if text, err = claimed.Proven(e.claim.as(Resent)); err == nil {
			e.claim.End = Resent
		}
	}
	return text, err
}

func (e *resend) Info() boot.Info {
	target, _ := e.text()
	return boot.Info{Path: e.s.label() + "/" + claimedDir + "/" + e.file(), Name: e.name,
		Target: target}
}

func (e *resend) Load(ctx context.Context, m *boot.Machine) (boot.Script, error) {
	text, err := e.text()
	if tree.Absent(err) {
		return boot.Script{}, &boot.Unservable{Code: boot.Taken,
			Why: "the order was confirmed meanwhile"}
	} else if err != nil {
		return boot.Script{}, err
	}
	return e.s.Load(ctx, m, text)
}

func (e *resend) Allowed(context.Context) error { return nil }

// Claim marks the record as sent again: a request that still prepares its first
// answer cannot give it back from then on.
func (e *resend) Claim(
	ctx context.Context, _ *boot.Machine, loaded boot.Script,
) (boot.Grant, boot.Script, error) {
	fail := func(code boot.Code, why string, err error) (boot.Grant, boot.Script, error) {
		return nil, boot.Script{}, &boot.Unservable{Code: code,
			Why: fmt.Sprintf("%s: %v", why, err)}
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
	if tree.Absent(err) {
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
