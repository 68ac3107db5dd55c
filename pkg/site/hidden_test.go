//go:build linux

package site_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
)

// TestHidden: what is asked for by its path, what lies there, and what is given
// out for it: as a file, and as the text of a boot answer. "-" is nothing.
func TestHidden(t *testing.T) {
	const secret, text = "#!ipxe\necho SECRET\n", "#!ipxe\necho text\n"
	top := t.TempDir()
	tests := []struct{ name, what, file, answer string }{
		{"once/x", text, "-", text},
		{"ONCE/x", text, "-", text},
		{"./once/x", "", "-", text},
		{"d/../once/x", "", "-", text},
		{"//once//x", "", "-", text},
		{"once", "", "-", "-"},
		{"once/.served/x", secret, "-", "-"},
		{"static/x", text, "-", text},
		{"Static/x", text, "-", text},
		{"until-done/x", text, "-", text},
		{"protect/x", text, "-", text},
		{"x/once/y", text, text, text},
		{"statics/x", text, text, text},
		{"hidden/static", "-> ../static/x", text, text}, // who links it there wants it so
		{"private/ks", secret, "-", "-"},
		{"Private/ks", secret, "-", "-"},
		{"hidden/ks", "-> ../private/ks", "-", "-"},
		{"not/private/ks", text, text, text},
		{"x.tmpl", text, "-", text},
		{"d/x.TmPl", text, "-", text},
		{"t/x.tmpl", text, "-", text},
		{"t/x.TMPL", text, "-", text},
		{"t/link", "-> x.tmpl", "-", text},
		{"hosts/a.yaml", secret, "-", "-"},
		{"hosts/a.yml", secret, "-", "-"},
		{"hosts/A.YAML", secret, "-", "-"},
		{"HOSTS/a.YML", secret, "-", "-"},
		{"hosts/a.csv", secret, "-", "-"},
		{"hosts/deep/a.yaml", secret, "-", "-"},
		{"hosts/d/a.csv", secret, "-", "-"},
		{"groups/g.yaml", secret, "-", "-"},
		{"hosts/readme", text, text, text},
		{"hosts", "", "-", "-"},
		{"hosts/x", text, text, text},
		{"groups/g.csv", text, text, text},
		{"x/a.yaml", text, text, text},
		{"hidden/host", "-> ../hosts/a.yaml", "-", "-"},
		{"allow/source", "-> " + top + "/allowed/x.tmpl", "-", text},
	}
	root, lies := filepath.Join(top, "root"), lab.Files{"allowed/x.tmpl": text}
	for _, test := range tests {
		if test.what != "" {
			lies["root/"+test.name] = test.what
		}
	}
	lies.Grow(t, top)
	rest()
	s := newSite(t, root, func(c *config.Config) {
		c.Allow = []string{filepath.Join(top, "allowed")}
	})
	for _, test := range tests {
		file, answer := "-", "-"
		if f, err := s.Open(test.name); err == nil {
			body, err := io.ReadAll(f)
			if file = string(body); err != nil {
				file = err.Error()
			}
			f.Close()
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v is another answer than that nothing is there", test.name, err)
		}
		if got, err := s.LoadScript(t.Context(), &boot.Machine{}, ".",
			strings.TrimLeft(test.name, "/")); err == nil {
			answer = string(got.Body)
		}
		if file != test.file || answer != test.answer {
			t.Errorf("%s: the file is %q, want %q; the answer %q, want %q", test.name, file,
				test.file, answer, test.answer)
		}
	}
	// Nor is there another case of what is hidden.
	for _, name := range []string{"PROTECT/x", "Protect/X", "OncE/X", "StaTic/X", "PRIVATE/ks",
		"HOSTS/A.YAML"} {
		if got, err := s.Spelled("/" + name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is %s, error %v", name, got, err)
		}
	}
	public := newSite(t, root, func(c *config.Config) { c.PublicEntries = true })
	for name, want := range map[string]bool{"static/x": true, "Static/x": false, "once/x": false,
		"protect/x": false} {
		f, err := public.Open(name)
		if err == nil {
			f.Close()
		}
		if (err == nil) != want {
			t.Errorf("with public entries, %s: error %v", name, err)
		}
	}
}

// TestHiddenIsNotDeleted: what belongs to machines is not taken away, also
// where GRUB's folder leads there.
func TestHiddenIsNotDeleted(t *testing.T) {
	for _, dir := range []string{"static", "once", "protect", "until-done", "private", "Static"} {
		root := lab.Files{dir + "/grub.cfg-0A000007": "x", "grub/2": "-> ../" + dir}.Grow(t,
			t.TempDir())
		if err := newSite(t, root).ClearGRUB(t.Context(), "2", address); !errors.Is(err,
			fs.ErrNotExist) {
			t.Errorf("%s: %v", dir, err)
		}
		isThere(t, filepath.Join(root, dir, "grub.cfg-0A000007"))
	}
	root := lab.Files{"menus/grub.cfg-0A000007": "x", "grub/2": "-> ../menus"}.Grow(t, t.TempDir())
	if err := newSite(t, root).ClearGRUB(t.Context(), "2", address); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(root, "menus/grub.cfg-0A000007")); !errors.Is(err,
		fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
