package site

import (
	"context"
	"errors"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/tree"
)

// protect is the rule of protect/<name>: whatever has that name in any
// spelling, the machine boots its own disk. That holds for its cards that name
// nobody, too.
type protect struct{ index tree.Index }

func (*protect) Step() boot.Step { return boot.Protect }

func (r *protect) Find(ctx context.Context, m *boot.Machine) ([]boot.Entry, error) {
	texts := m.Guards()
	entry, at, ok, err := r.index.Find(ctx, texts)
	if err != nil || !ok {
		return nil, err
	}
	name := boot.Name{Text: texts[at], Kind: boot.MAC}
	if at < len(m.Names) {
		name = m.Names[at]
	}
	return []boot.Entry{guard{boot.Info{Path: "protect/" + entry, Name: name}}}, nil
}

// guard is an entry of protect/. Its existence is enough, so Load cannot fail.
type guard struct{ info boot.Info }

func (g guard) Info() boot.Info { return g.info }

func (guard) Load(context.Context, *boot.Machine) (boot.Script, error) {
	return boot.Script{Body: ipxe.Local(), From: "built in"}, nil
}

// static is the rule of static/<name>: what this machine always boots.
type static struct{ s *Site }

func (static) Step() boot.Step { return boot.Static }

func (r static) Find(ctx context.Context, m *boot.Machine) ([]boot.Entry, error) {
	found, err := r.s.tree.Find(ctx, "static", m.Texts())
	if err != nil {
		return nil, err
	}
	var all []boot.Entry
	for _, e := range found {
		info := boot.Info{Path: "static/" + e.Name, Name: m.Name(e.Name), Target: e.Link}
		all = append(all, file{r.s, info, "static", e})
	}
	return all, nil
}

// fallback is the rule of default: what a machine boots that nothing else
// names.
type fallback struct{ s *Site }

func (fallback) Step() boot.Step { return boot.Default }

func (r fallback) Find(ctx context.Context, m *boot.Machine) ([]boot.Entry, error) {
	found, err := r.s.tree.Find(ctx, ".", []string{"default"})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return []boot.Entry{file{r.s, boot.Info{Path: "default", Target: found[0].Link}, ".",
		found[0]}}, nil
}

// file is an entry of the tree that answers every time.
type file struct {
	s     *Site
	info  boot.Info
	dir   string
	entry tree.Entry
}

func (f file) Info() boot.Info { return f.info }

func (f file) Load(ctx context.Context, _ *boot.Machine) (boot.Script, error) {
	text, err := f.s.tree.ReadEntry(ctx, f.dir, f.entry, boot.MaxScript)
	if r := (*tree.Refusal)(nil); f.info.Target != "" && errors.As(err, &r) &&
		r.Kind == tree.Missing {
		// The entry was just seen, so it is the target of its link that is
		// missing.
		why := f.info.Target + " is not there"
		if r.Circle {
			why = f.info.Target + " leads in a circle"
		}
		err = &tree.Refusal{Kind: tree.Missing, Why: why}
	}
	return script(text, err)
}
