package site

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"

	"pxesrv/pkg/boot"
)

// Look loads the script that text leads to, seen from the directory dir of the root ("." is the root itself), exactly as an
// entry of the tree there would. text is the text of a link, or a plain name. Errors are those of boot.Entry.Load.
func (s *Site) Look(ctx context.Context, dir, text string) (boot.Script, error) {
	return s.load(ctx, dir, text)
}

// Named returns the client that a person means by a name: by the same rules as a machine that sends it, so a uuid has its
// twin in the other byte order, and a placeholder names nobody (see Dropped). It is an error when no machine can have the name.
func (s *Site) Named(text string) (boot.Client, error) {
	n, err := boot.Canonical(text)
	if err != nil {
		return boot.Client{}, fmt.Errorf("%q %w, so no machine has this name", text, err)
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

var bareMAC = regexp.MustCompile(`^[0-9A-Fa-f]{12}$`)

// LooksLike says what a name that is taken for a serial could have been meant for, or "".
func LooksLike(name string) string {
	if !bareMAC.MatchString(name) {
		return ""
	}
	m, _ := boot.Canonical(name[0:2] + "-" + name[2:4] + "-" + name[4:6] + "-" + name[6:8] + "-" + name[8:10] + "-" + name[10:12])
	return m.Text
}
