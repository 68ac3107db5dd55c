package site

import (
	"strings"
	"testing"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/tree"
)

// TestMaxScript: what is served and what the check of scripts lets pass is of
// the same length.
func TestMaxScript(t *testing.T) {
	if boot.MaxScript != ipxe.MaxScript {
		t.Errorf("%d bytes are served at most, and %d pass", boot.MaxScript, ipxe.MaxScript)
	}
}

// FuzzClean: whatever is asked for, nothing of machines and nothing private is.
func FuzzClean(f *testing.F) {
	for _, name := range []string{"once/x", "ONCE/x", "./static/x", "d/../protect/x",
		"//until-done//x", "private/ks", "x/once/y", "hosts/a.yaml", "x.tmpl"} {
		f.Add(name)
	}
	t := &tree.Tree{Path: "/srv", Hidden: hidden(false)}
	f.Fuzz(func(test *testing.T, name string) {
		clean, err := t.Clean(name)
		top, _, _ := strings.Cut(clean, "/")
		for _, hidden := range []string{"once", "static", "until-done", "protect", "private"} {
			if err == nil && strings.EqualFold(top, hidden) {
				test.Errorf("%q is served", clean)
			}
		}
	})
}
