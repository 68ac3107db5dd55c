package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"pxesrv/pkg/loader"
	"pxesrv/pkg/tree"
)

// Open opens a file that anybody may have, by the decoded path of a request: a
// file of the tree, or a boot loader, which may also lie in loaders.dirs.
// The error is fs.ErrNotExist for a file that is missing or hidden.
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

// Spelled returns the path of the file that differs from name only in case, for
// clients to which case means nothing, after Open has found none. The error is
// fs.ErrNotExist if there is no such file, or several, and then it names them.
func (s *Site) Spelled(name string) (string, error) {
	clean, err := s.tree.Clean(name)
	if err != nil {
		return "", fs.ErrNotExist
	}
	found, err := s.tree.Fold(clean)
	var r *tree.Refusal
	switch {
	case err == nil:
		return "/" + found, nil
	case !errors.As(err, &r) || r.Kind == tree.Unclear:
		return "", err
	}
	if lower := "/" + strings.ToLower(clean); loader.Name(lower) != "" {
		return lower, nil
	}
	return "", fs.ErrNotExist
}

// ClearGRUB deletes grub/VERSION/grub.cfg-ADDRESS, the address in hexadecimal
// as GRUB asks for it, which has to be IPv4. The error is fs.ErrNotExist if
// there is no such file, or if an address from this network names no machine.
func (s *Site) ClearGRUB(ctx context.Context, version string, client netip.Addr) error {
	for _, p := range s.config.NoAddress {
		if p.Contains(client) {
			return fmt.Errorf("addresses in %s name no machine (identity.no-ip): %w", p,
				fs.ErrNotExist)
		}
	}
	a := client.As4()
	name, err := s.tree.Clean(fmt.Sprintf("grub/%s/grub.cfg-%X", version, a[:]))
	if err != nil {
		return err
	}
	return s.tree.Remove(ctx, name)
}
