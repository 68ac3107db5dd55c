package site

import (
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/hosts"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/iso"
	"pxesrv/pkg/media"
)

// images opens what the settings of boot images name. Images is nil if no list
// of hosts is set; the keys count even then, for images that were made
// elsewhere.
func images(c config.Config) (*media.Keyring, *media.Images) {
	keyring := media.OpenKeyring(c.KeyFile(), media.Signing(c.ISOSign))
	if c.ISOHosts == "" {
		return keyring, nil
	}
	list := media.OpenList(c.ISOHosts, hosts.Options{Servers: c.ISOURLs(), DNS: c.ISODNS})
	return keyring, media.NewImages(list, keyring, LoaderPaths(c), c.ISOPartial)
}

// known is what commands know of the hosts of the list.
type known struct {
	list     bool // one is set
	names    *hosts.Names
	machines map[string]ipxe.Host // by name, card and address
	err      error                // why it cannot be read
}

// readKnown reads the list.
func (s *Site) readKnown() *known {
	k := &known{list: s.images != nil, machines: map[string]ipxe.Host{}}
	var all []ipxe.Host
	if k.list {
		all, k.err = s.images.List.Hosts()
	}
	var names []string
	for _, h := range slices.Backward(all) {
		for _, p := range h.Addresses {
			k.machines[p.Addr().Unmap().String()] = h
		}
		if h.MAC != nil {
			k.machines[strings.ReplaceAll(h.MAC.String(), ":", "-")] = h
		}
	}
	for _, h := range all {
		k.machines[h.Name] = h
		names = append(names, h.Name)
	}
	k.names = hosts.NewNames(names)
	return k
}

// LoaderPaths says where the loader files of boot images are, as a
// configuration has it.
func LoaderPaths(c config.Config) media.LoaderPaths {
	return media.LoaderPaths{LKRN: c.ISOLKRN, EFI: c.ISOEFI, EFIARM64: c.ISOARM64, Shim: c.ISOShim,
		Dirs: c.LoaderDirs}
}

// identifyHost is Identify for a machine that says which host it is.
//
// If media are signed, a host= without the right signature is dropped before
// there are names. If the list gives a host other cards than the machine has,
// there is a conflict: the medium, or a copy of it, is in another machine.
func (s *Site) identifyHost(claims boot.Claims, addr netip.Addr) boot.Machine {
	said, why := claims.Host, ""
	switch keys, err := s.keyring.Keys(); {
	case err != nil:
		// Without the name that it may well have, the machine would get what is
		// for others.
		c := boot.Identify(claims, addr, s.policy)
		c.Unsure = "the key that signs host= cannot be read"
		return c
	case keys == nil:
	case claims.HostSig == "":
		why = "is not signed"
	case !keys.Verify(said, claims.HostSig):
		why = "is not signed with a key of this server"
	}
	if why != "" {
		claims.Host = ""
		c := boot.Identify(claims, addr, s.policy)
		c.Dropped = slices.Insert(c.Dropped, 0,
			boot.Dropped{Kind: boot.Host, Value: said, Why: why})
		return c
	}
	c := boot.Identify(claims, addr, s.policy)
	name, err := boot.FreeForm(said)
	if s.images == nil || err != nil {
		return c
	}
	if conflict := s.images.List.Contradiction(name, c.AllMACs()); conflict != "" &&
		c.Conflict == "" {
		c.Conflict = conflict
	}
	return c
}

// Sign returns the signature of a host's name, or "" if media are not signed or
// the keys cannot be read.
func (s *Site) Sign(host string) string {
	keys, err := s.keyring.Keys()
	if err != nil || keys == nil {
		return ""
	}
	return keys.Sign(host)
}

// Images is the images of hosts; nil where iso.hosts is not set.
func (s *Site) Images() *media.Images { return s.images }

// Keyring is the keys that sign host=.
func (s *Site) Keyring() *media.Keyring { return s.keyring }

// Image returns the boot image that has a path below /iso/. Errors are
// fs.ErrNotExist, or say why it cannot be made.
func (s *Site) Image(name string) (*iso.Image, error) {
	if s.images == nil {
		return nil, fs.ErrNotExist
	}
	return s.images.Image(name)
}

// ISOProblems says what is wrong with keys, hosts and loaders of boot images:
// one line for each list, file and row, up to 20 rows.
func (s *Site) ISOProblems() (all []string) {
	if s.images == nil {
		if err := s.keyring.Err(); err != nil {
			all = append(all, err.Error())
		}
		return all
	}
	all = s.images.Problems()
	const rows = 20
	for i, bad := range s.images.List.Known().Bad {
		if i == rows {
			return append(all, s.config.ISOHosts+
				": more rows are wrong; pxesrv check names all of them")
		}
		all = append(all, s.config.ISOHosts+": "+bad.Error())
	}
	return all
}
