//go:build linux

package tree

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzClean: what passes is relative, plain, and lies below the root when it is
// joined to it.
func FuzzClean(f *testing.F) {
	for name := range cleanTable {
		f.Add(name)
	}
	tree := &Tree{Path: "/srv", Show: []string{".treeinfo"}, Hidden: hidden}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := tree.Clean(name)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) || clean != "" {
				t.Errorf("%q and error %v", clean, err)
			}
			return
		}
		if !fs.ValidPath(clean) || clean == "." || !utf8.ValidString(clean) {
			t.Errorf("%q is no clean path", clean)
		}
		parts := strings.Split(clean, "/")
		for _, p := range parts {
			if p[0] == '.' && p != ".treeinfo" || len(p) > 255 {
				t.Errorf("%q has the name %q", clean, p)
			}
		}
		if strings.ContainsFunc(clean, func(r rune) bool {
			return r < ' ' || r == 0x7f || r == '\\'
		}) {
			t.Errorf("%q has a byte that no path here has", clean)
		}
		if joined := path.Join("/srv", clean); !strings.HasPrefix(joined, "/srv/") ||
			joined != "/srv/"+clean {
			t.Errorf("%q leads to %q", clean, joined)
		}
		if why := hidden(parts, Request); why != "" {
			t.Errorf("%q is served, and %s", clean, why)
		}
		if again, err := tree.Clean(clean); err != nil || again != clean {
			t.Errorf("%q becomes %q, error %v", clean, again, err)
		}
	})
}
