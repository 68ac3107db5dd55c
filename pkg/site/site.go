// Package site ties a configuration to the rules of the decision, once, for the
// daemon and for every command: what explain says is what the daemon does,
// because it is the same code.
package site

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/cert"
	"pxesrv/pkg/config"
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

// New ties a checked configuration. Nothing is opened yet except the list of
// placeholders.
func New(c config.Config) (*Site, error) {
	s := &Site{config: c, tree: &tree.Tree{
		Path: c.Root, Allow: c.Allow, Show: c.Show, Hidden: hidden(c.PublicEntries),
	}}
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
		Dir: onceDir, ResendWithin: c.OnceResendWithin, MaxPerDay: c.OnceMaxPerDay,
		Keep: c.OnceKeep, KeepMax: c.OnceKeepMax,
		Load: func(ctx context.Context, m *boot.Machine, text string) (boot.Script, error) {
			return s.LoadScript(ctx, m, onceFrom, text)
		},
	}
	s.keyring, s.images = images(c)
	s.known = sync.OnceValue(s.readKnown)
	for _, step := range boot.Steps() {
		s.rules = append(s.rules, s.rule(step))
	}
	return s, nil
}

// rule is the rule of a step.
func (s *Site) rule(step boot.Step) boot.Rule {
	switch step {
	case boot.Protect:
		return &protect{index: tree.Index{Tree: s.tree, Dir: "protect", Keys: boot.Spellings}}
	case boot.Resend:
		return s.orders.Resend()
	case boot.Once:
		return s.orders.Once()
	case boot.Static:
		return static{s}
	case boot.Default:
		return fallback{s}
	}
	panic("site: no rule for the step " + string(step))
}

// Identify returns the machine that makes these claims from a source address.
// It ignores a host= that lacks the signature that iso.sign asks for.
func (s *Site) Identify(claims boot.Claims, addr netip.Addr) boot.Machine {
	if claims.Host == "" {
		return boot.Identify(claims, addr, s.policy)
	}
	return s.identifyHost(claims, addr)
}

// Resolve decides what m boots. See boot.Resolve.
func (s *Site) Resolve(ctx context.Context, m *boot.Machine, take bool) (boot.Answer, error) {
	ctx, release := s.tree.Snapshot(ctx)
	defer release()
	return boot.Resolve(ctx, m, s.rules, take)
}

// SetClock gives the tree another clock, see tree.Clock; nil is this machine's.
func (s *Site) SetClock(c tree.Clock) { s.tree.Clock = c }

// Orders are the one-time orders of the site.
func (s *Site) Orders() *order.Store { return s.orders }

// Warnings says what will not work as people expect, beside what Orders().Check
// says.
func (s *Site) Warnings() []string {
	var all []string
	if info, err := os.Lstat(s.tree.Path); err == nil && info.Mode()&os.ModeSymlink != 0 &&
		s.config.OnceDir == "" {
		all = append(all, fmt.Sprintf("the root %s is a link and once/ lies inside it: when the "+
			"link is swapped, orders and their journal "+
			"stay behind; set once.dir to a directory outside", s.tree.Path))
	}
	if _, err := os.Stat(filepath.Join(s.tree.Path, "default")); errors.Is(err, os.ErrNotExist) {
		all = append(all,
			fmt.Sprintf("there is no %s/default: a machine that nothing names gets no answer",
				s.tree.Path))
	}
	return all
}

// CertificateFiles says where the files of TLS are, as a configuration has it.
func CertificateFiles(c config.Config) cert.Files {
	return cert.Files{Cert: c.TLSCert, Key: c.TLSKey, CA: c.TLSClientCA}
}
