package site

import (
	"errors"
	"io/fs"
	"strings"

	"pxesrv/pkg/loader"
	"pxesrv/pkg/tree"
)

// Spelled returns the path under which Open finds the file that is meant by a
// path where case does not count, after Open has found none. It is
// fs.ErrNotExist where there is none, and an error that says why, and is
// fs.ErrNotExist as well, where nobody can tell which one is meant.
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
