package site

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pxesrv/pkg/boot"
)

// MachineNamed returns the machine that has the name of an entry: by the same
// rules as a machine that sends it, so a uuid has its twin in the other byte
// order, and a placeholder names nobody (see Dropped). It is an error when no
// machine can have the name.
func (s *Site) MachineNamed(text string) (boot.Machine, error) {
	n, err := boot.Canonical(text)
	if err != nil {
		return boot.Machine{}, fmt.Errorf("%q %w, so no machine has this name", text, err)
	}
	switch n.Kind {
	case boot.UUID:
		return s.Identify(boot.Claims{UUID: n.Text}, netip.Addr{}), nil
	case boot.MAC:
		return s.Identify(boot.Claims{MACs: []string{n.Text}}, netip.Addr{}), nil
	case boot.Address:
		return s.Identify(boot.Claims{}, netip.MustParseAddr(n.Text)), nil
	}
	c := s.Identify(boot.Claims{Serial: text}, netip.Addr{})
	for i := range c.Names {
		c.Names[i].Kind = n.Kind
	}
	return c, nil
}

// MeantMachine is the machine that a person means.
type MeantMachine struct {
	boot.Machine
	Name   boot.Name // in its canonical spelling
	Listed string    // its name in the list of hosts; "": it is not there
}

// MachineMeant returns the machine that a person means by a name. One that the
// list of hosts knows has all the names with which it would come by its own
// medium: its card's, its host's and its addresses'. So protection under any of
// them is seen. It is an error when no machine can have the name.
func (s *Site) MachineMeant(text string) (MeantMachine, error) {
	text = strings.TrimSpace(text)
	k := s.known()
	n, err := boot.Meant(text)
	if free, ferr := boot.FreeForm(text); ferr == nil && free == text && k.names.Has(text) {
		n, err = boot.Name{Text: text, Kind: boot.Host}, nil
	}
	if err != nil {
		return MeantMachine{}, fmt.Errorf("%q %w, so no machine has this name", text, err)
	}
	m := MeantMachine{Name: n}
	h, listed := k.machines[n.Text]
	if !listed {
		if n.Kind == boot.Typed {
			m.Machine, err = s.MachineNamed(text)
		} else {
			m.Machine, err = s.MachineNamed(n.Text)
		}
		return m, err
	}
	m.Listed = h.Name
	claims := boot.Claims{Host: h.Name}
	if h.MAC != nil {
		claims.MACs = []string{h.MAC.String()}
	}
	// No signature is asked for: the host's own medium has it.
	for i, p := range h.Addresses {
		c := boot.Identify(claims, p.Addr(), s.policy)
		if i == 0 {
			m.Machine = c
			continue
		}
		for _, more := range c.Names {
			if !slices.Contains(m.Names, more) {
				m.Names = append(m.Names, more)
			}
		}
	}
	m.Dropped = slices.DeleteFunc(m.Dropped, func(d boot.Dropped) bool {
		return d.Kind == boot.Host
	})
	return m, nil
}

// Doubtful says why a name that a person typed is likely not the one that was
// meant: see boot.Doubtful. Where there is a list of hosts, so is a name that
// is almost that of a host.
func (s *Site) Doubtful(text string) (boot.Doubt, bool) {
	return s.doubtful(text, boot.Meant, boot.Doubtful)
}

// DoubtfulEntry is Doubtful for the name of an entry.
func (s *Site) DoubtfulEntry(name string) (boot.Doubt, bool) {
	return s.doubtful(name, boot.Canonical, boot.DoubtfulEntry)
}

func (s *Site) doubtful(
	text string, meant func(string) (boot.Name, error),
	doubtful func(string) (boot.Doubt, bool),
) (boot.Doubt, bool) {
	k := s.known()
	if k.names.Has(strings.TrimSpace(text)) {
		return boot.Doubt{}, false
	}
	if d, doubted := doubtful(text); doubted {
		return d, true
	}
	n, err := meant(text)
	if err != nil || n.Kind != boot.Typed {
		return boot.Doubt{}, false
	}
	near := k.names.Near(n.Text)
	if near == "" {
		return boot.Doubt{}, false
	}
	d := boot.Doubt{What: "is no host of " + s.config.ISOHosts, Right: near,
		Do: "did you mean " + near + "?"}
	if strings.EqualFold(near, n.Text) {
		d.What = fmt.Sprintf("is written %s in %s, and capitals count", near, s.config.ISOHosts)
	}
	return d, true
}

// Unlisted says that a list of hosts is set and has no host for a name that
// could be one: nothing but a serial or an asset tag leads to it. It is an
// error when the list cannot be read.
func (s *Site) Unlisted(m MeantMachine) (bool, error) {
	k := s.known()
	return k.err == nil && k.list && m.Listed == "" && m.Name.Kind == boot.Typed, k.err
}

// Misread is an entry that was likely meant for a machine and does not lead to
// it.
type Misread struct {
	Path string `json:"path"`
	Why  string `json:"why"` // a sentence without its subject
}

// Misread returns the entries of static/ and once/ that are called like a
// machine with these names in a spelling that no machine looks for. In protect/
// every spelling counts.
func (s *Site) Misread(names []boot.Name) (all []Misread, err error) {
	meant := map[string]boot.Name{}
	for _, n := range slices.Backward(names) {
		meant[strings.ToLower(n.Text)] = n
	}
	for shown, dir := range map[string]string{"static": filepath.Join(s.tree.Path, "static"),
		"once": s.orders.Dir} {
		entries, lerr := os.ReadDir(dir)
		if lerr != nil && !errors.Is(lerr, fs.ErrNotExist) {
			err = lerr
		}
		for _, e := range entries {
			name := e.Name()
			own, cerr := boot.Canonical(name)
			right := cerr == nil && own.Text == name
			if name[0] == '.' || right && own.Kind != boot.Typed ||
				slices.ContainsFunc(names, func(n boot.Name) bool { return n.Text == name }) {
				continue
			}
			spellings, doubt := boot.Spellings(name), boot.Doubt{}
			if d, doubted := boot.DoubtfulEntry(name); doubted && d.Right != "" {
				doubt = d
				spellings = append(spellings, strings.ToLower(d.Right))
			}
			for _, spelling := range spellings {
				n, ok := meant[spelling]
				if !ok {
					continue
				}
				why := fmt.Sprintf("matches no machine: %s is written %s", n.Kind.This(), n.Text)
				switch {
				case doubt.File:
					why = doubt.What
				case right && strings.EqualFold(n.Text, name):
					why = fmt.Sprintf(
						"is for another machine, since capitals count: this one is %s", n.Text)
				case right:
					why = fmt.Sprintf("is for a machine of this serial: %s is written %s",
						n.Kind.This(), n.Text)
				}
				all = append(all, Misread{shown + "/" + name, why})
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b Misread) int { return strings.Compare(a.Path, b.Path) })
	return all, err
}
