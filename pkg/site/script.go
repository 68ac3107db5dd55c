package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/tree"
)

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

// LinkTarget returns the text of a link in the directory of the orders that
// leads to script, which is relative to the root or a path. It loads the script
// for m, to see that it can be served.
func (s *Site) LinkTarget(ctx context.Context, m *boot.Machine, script string) (text string,
	err error) {
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
	// Both ends as they really are, since ".." behind a link is somewhere else;
	// the last name may be a link on purpose.
	from, err := filepath.EvalSymlinks(s.orders.Dir)
	if err != nil {
		return "", err
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
		name = filepath.Join(dir, filepath.Base(name))
	}
	// From outside the root the way leads through the root's own name: when
	// that is a link and is swapped, the order means the script of the new
	// release, and does not lead out of the root.
	if root, err := filepath.EvalSymlinks(s.tree.Path); err == nil && from != root &&
		!tree.Below(from, root) && tree.Below(name, root) {
		name = s.tree.Path + strings.TrimPrefix(name, root)
	}
	if text, err = filepath.Rel(from, name); err != nil {
		return "", err
	}
	_, err = s.orders.Load(ctx, m, text)
	return text, err
}

// LoadScript loads the script for m that text leads to, seen from the directory
// dir of the root ("." is the root itself), exactly as an entry of the tree
// there would. text is the text of a link, or a plain name. Errors are those of
// boot.Entry.Load.
func (s *Site) LoadScript(
	ctx context.Context, _ *boot.Machine, dir, text string,
) (boot.Script, error) {
	return script(s.tree.Read(ctx, dir, text, boot.MaxScript))
}

// Missing returns the files that a script boots and that the server does not
// have.
func (s *Site) Missing(script boot.Script) []string {
	return ipxe.Missing(script.Body, func(name string) bool {
		name = path.Clean("/" + name)
		if name == ipxe.Path || ipxe.Exact(name) != nil {
			return true
		}
		f, err := s.Open(name)
		if err == nil {
			f.Close()
		}
		return !errors.Is(err, fs.ErrNotExist) || ipxe.Instead(name) != nil
	})
}
