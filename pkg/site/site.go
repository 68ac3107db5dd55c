// Package site ties a configuration to the rules of the decision, once, for the daemon and for every command: what explain
// says is what the daemon does, because it is the same code.
package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/cert"
	"pxesrv/pkg/config"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/loader"
	"pxesrv/pkg/media"
	"pxesrv/pkg/order"
	"pxesrv/pkg/tree"
)

// Site is one document root with its rules. It is safe for concurrent use.
type Site struct {
	tree    *tree.Tree
	orders  *order.Store
	policy  boot.NamePolicy
	rules   []boot.Rule
	config  config.Config
	keyring *media.Keyring // the keys that sign host=
	images  *media.Images  // the images of hosts; nil: none
	known   func() *known  // the hosts as they were when a command first asked
}

// New ties a checked configuration. Nothing is opened yet except the list of placeholders.
func New(c config.Config) (*Site, error) {
	s := &Site{config: c, tree: &tree.Tree{Path: c.Root, Allow: c.Allow, Show: c.Show, Hidden: hidden(c.PublicEntries)}}
	s.policy.NoAddress = c.NoAddress
	if c.Placeholders != "" {
		text, err := os.ReadFile(c.Placeholders)
		if err != nil {
			return nil, fmt.Errorf("the list of placeholders: %w", err)
		}
		s.policy.Placeholders = s.policy.Placeholders.With(string(text))
	}
	onceDir, onceFrom := c.OnceDir, c.OnceDir
	if onceDir != "" {
		s.tree.Hide = []string{onceDir}
	}
	if onceDir == "" {
		onceDir, onceFrom = filepath.Join(c.Root, "once"), "once"
	}
	s.tree.Shared = []string{"protect", onceDir, "static", "."}
	s.orders = &order.Store{
		Dir: onceDir, ResendWithin: c.OnceRegrant, MaxPerDay: c.OnceMaxPerDay, Keep: c.OnceKeep, KeepMax: c.OnceKeepMax,
		Load: func(ctx context.Context, m *boot.Machine, text string) (boot.Script, error) {
			return s.LoadScript(ctx, m, onceFrom, text)
		},
	}
	s.keyring, s.images = images(c)
	s.known = sync.OnceValue(s.readKnown)
	s.rules = []boot.Rule{
		&protect{index: tree.Index{Tree: s.tree, Dir: "protect", Keys: boot.Spellings}},
		s.orders.Resend(),
		s.orders.Once(),
		static{s},
		fallback{s},
	}
	return s, nil
}

// Identify returns the machine that makes these claims from a source address. A
// host= that must be signed and is not is no claim; see iso.sign.
func (s *Site) Identify(claims boot.Claims, addr netip.Addr) boot.Machine {
	if claims.Host == "" {
		return boot.Identify(claims, addr, s.policy)
	}
	return s.identifyHost(claims, addr)
}

// Resolve decides what m boots. See boot.Resolve.
func (s *Site) Resolve(ctx context.Context, m *boot.Machine, take bool) (boot.Answer, error) {
	ctx, leave := s.tree.Visit(ctx)
	defer leave()
	return boot.Resolve(ctx, m, s.rules, take)
}

// Open opens a file that anybody may have, by the decoded path of a request: a file of the tree, or a boot loader, which may
// also lie in loaders.dirs. Not-there and not-given-out are fs.ErrNotExist.
func (s *Site) Open(name string) (*os.File, error) {
	if l := loader.Name(name); l != "" {
		return loader.Open(l, s.config.LoaderDirs, s.open)
	}
	return s.open(name)
}

// open opens a file of the tree.
func (s *Site) open(name string) (*os.File, error) {
	clean, err := s.tree.Clean(name)
	if err != nil {
		return nil, err
	}
	return s.tree.Open(clean, tree.Serve)
}

// ClearGRUB deletes grub/VERSION/grub.cfg-ADDRESS, the address in hexadecimal as GRUB asks for it, which has to be IPv4. Not-there is
// fs.ErrNotExist, and so is a machine that its address does not name.
func (s *Site) ClearGRUB(ctx context.Context, version string, client netip.Addr) error {
	for _, p := range s.config.NoAddress {
		if p.Contains(client) {
			return fmt.Errorf("addresses in %s name no machine (identity.no-ip): %w", p, fs.ErrNotExist)
		}
	}
	a := client.As4()
	name, err := s.tree.Clean(fmt.Sprintf("grub/%s/grub.cfg-%X", version, a[:]))
	if err != nil {
		return err
	}
	return s.tree.Remove(ctx, name)
}

// Orders are the one-time orders of the site.
func (s *Site) Orders() *order.Store { return s.orders }

// LinkTarget is the text of a link in the directory of the orders that leads to a
// script, which a person named relative to the root, or by a path. The script is
// loaded for m, to see that it can be served.
func (s *Site) LinkTarget(ctx context.Context, m *boot.Machine, script string) (text string, err error) {
	name := script
	if !filepath.IsAbs(name) {
		name = filepath.Join(s.tree.Path, script)
		if _, err := os.Lstat(name); err != nil {
			if _, here := os.Lstat(script); here == nil {
				if name, err = filepath.Abs(script); err != nil {
					return "", err
				}
			}
		}
	}
	// Both ends as they really are, since ".." behind a link is somewhere else; the last name may be a link on purpose.
	from, err := filepath.EvalSymlinks(s.orders.Dir)
	if err != nil {
		return "", err
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
		name = filepath.Join(dir, filepath.Base(name))
	}
	// From outside the root the way leads through the root's own name: when that is a link and is swapped, the order means
	// the script of the new release, and does not lead out of the root.
	if root, err := filepath.EvalSymlinks(s.tree.Path); err == nil && !within(root, from) && within(root, name) {
		name = s.tree.Path + strings.TrimPrefix(name, root)
	}
	if text, err = filepath.Rel(from, name); err != nil {
		return "", err
	}
	_, err = s.orders.Load(ctx, m, text)
	return text, err
}

func within(dir, name string) bool { return strings.HasPrefix(name+"/", dir+"/") }

// Warnings says what will not work as people expect, beside what Orders().Check says.
func (s *Site) Warnings() []string {
	var all []string
	if info, err := os.Lstat(s.tree.Path); err == nil && info.Mode()&os.ModeSymlink != 0 && s.config.OnceDir == "" {
		all = append(all, fmt.Sprintf("the root %s is a link and once/ lies inside it: when the link is swapped, orders and their journal "+
			"stay behind; set once.dir to a directory outside", s.tree.Path))
	}
	if _, err := os.Stat(filepath.Join(s.tree.Path, "default")); errors.Is(err, os.ErrNotExist) {
		all = append(all, fmt.Sprintf("there is no %s/default: a machine that nothing names gets no answer", s.tree.Path))
	}
	return all
}

// CertificateFiles says where the files of TLS are, as a configuration has it.
func CertificateFiles(c config.Config) cert.Files {
	return cert.Files{Cert: c.TLSCert, Key: c.TLSKey, CA: c.TLSClientCA}
}

// script is a text of the tree as a boot script.
func script(t tree.Text, err error) (boot.Script, error) {
	var r *tree.Refusal
	switch {
	case errors.As(err, &r):
		return boot.Script{}, &boot.Unservable{Code: boot.Code(r.Kind), Why: r.Why}
	case err != nil:
		return boot.Script{}, fmt.Errorf("%w: %w", boot.ErrUnsure, err)
	}
	if err := boot.CheckScript(t.Body); err != nil {
		return boot.Script{}, err
	}
	return boot.Script{Body: t.Body, From: t.Real}, nil
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
	if r := (*tree.Refusal)(nil); f.info.Target != "" && errors.As(err, &r) && r.Kind == tree.Missing {
		// The entry was just seen: it is the end of its link that is missing.
		why := f.info.Target + " is not there"
		if r.Circle {
			why = f.info.Target + " leads in a circle"
		}
		err = &tree.Refusal{Kind: tree.Missing, Why: why}
	}
	return script(text, err)
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
	at := 0
	for _, e := range found {
		for m.Names[at].Text != e.Name {
			at++
		}
		all = append(all, file{r.s, boot.Info{Path: "static/" + e.Name, Name: m.Names[at], Target: e.Link}, "static", e})
	}
	return all, nil
}

// fallback is the rule of default: what a machine boots that nothing else names.
type fallback struct{ s *Site }

func (fallback) Step() boot.Step { return boot.Default }

func (r fallback) Find(ctx context.Context, m *boot.Machine) ([]boot.Entry, error) {
	found, err := r.s.tree.Find(ctx, ".", []string{"default"})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return []boot.Entry{file{r.s, boot.Info{Path: "default", Target: found[0].Link}, ".", found[0]}}, nil
}

// protect is the rule of protect/<name>: whatever has that name in any spelling, the machine boots its own disk. Cards that name
// nobody guard it as well.
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

// guard is an entry of protect/. It counts by existence: nothing about it can fail.
type guard struct{ info boot.Info }

func (g guard) Info() boot.Info { return g.info }

func (guard) Load(context.Context, *boot.Machine) (boot.Script, error) {
	return boot.Script{Body: ipxe.Local(), From: "built in"}, nil
}
