package tree

import (
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Clean checks the path of a request and returns it relative to the root, or a
// Refusal. It takes a decoded path.
func (t *Tree) Clean(name string) (string, error) {
	name = strings.TrimLeft(name, "/")
	switch {
	case strings.HasSuffix(name, "/"):
		return "", refuse(NoFile, "%q names a directory", name)
	case len(name) > 4096:
		return "", refuse(Missing, "the path is longer than 4096 bytes")
	case !utf8.ValidString(name) ||
		strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return "", refuse(Hidden, "%q has bytes that no path here has", name)
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			if len(parts) == 0 {
				return "", refuse(Outside, "%q leads out of the root", name)
			}
			parts = parts[:len(parts)-1]
			continue
		case len(part) > 255:
			return "", refuse(Missing, "a name in the path is longer than 255 bytes")
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "", refuse(NoFile, "the root is a directory")
	}
	if len(parts) > 32 {
		return "", refuse(Missing, "the path is deeper than 32 directories")
	}
	if why := t.hiddenRequest(parts); why != "" {
		return "", refuse(Hidden, "%q %s", name, why)
	}
	return strings.Join(parts, "/"), nil
}

// hiddenRequest says why a requested path is not served as a file.
func (t *Tree) hiddenRequest(parts []string) string {
	for _, p := range parts {
		if p[0] == '.' && !t.shown(p) {
			return "has a name that begins with a dot"
		}
	}
	return t.hidden(parts, Request)
}

// hiddenReal says why a file is not given out for the place where it really
// lies.
func (t *Tree) hiddenReal(parts []string, use Use) string {
	for _, p := range parts {
		if p[0] == '.' && !strings.HasPrefix(p, "..") && !t.shown(p) {
			return "lies behind a name that begins with a dot"
		}
	}
	return t.hidden(parts, use)
}

func (t *Tree) hidden(parts []string, use Use) string {
	if t.Hidden == nil {
		return ""
	}
	return t.Hidden(parts, use)
}

func (t *Tree) shown(name string) bool { return slices.Contains(t.Show, name) }

// judge decides by the real path of an opened object whether it may be given
// out, and returns that path relative to the root where it lies below it.
func (t *Tree) judge(root, real string, use Use) (string, error) {
	deny := t.Deny
	if use == Serve && len(t.Hide) > 0 {
		deny = slices.Concat(deny, t.Hide)
	}
	for _, dir := range deny {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil {
			dir = resolved
		}
		if Below(real, dir) {
			return "", refuse(Hidden, "leads into %s, which the daemon keeps for itself", dir)
		}
	}
	if Below(real, root) {
		rel := strings.TrimPrefix(strings.TrimPrefix(real, root), "/")
		if why := t.hiddenReal(strings.Split(rel, "/"), use); why != "" {
			return "", refuse(Hidden, "%s %s", rel, why)
		}
		return rel, nil
	}
	for _, dir := range t.Allow {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil && Below(real, resolved) {
			parts := strings.Split(strings.TrimPrefix(real, "/"), "/")
			if why := t.hiddenReal(parts, use); why != "" {
				return "", refuse(Hidden, "%s %s", real, why)
			}
			return real, nil
		}
	}
	return "", refuse(Outside, "leads out of the root, to %s", real)
}

// Below reports whether a clean path lies below a directory.
func Below(name, dir string) bool {
	dir = strings.TrimSuffix(dir, "/")
	return strings.HasPrefix(name, dir+"/")
}
