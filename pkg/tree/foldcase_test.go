package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFold: what has the name wins, else the one entry that differs in case;
// and a name without its case leads nowhere where the exact one does not.
func TestFold(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	for name, link := range map[string]string{
		"boot/bcd": "", "boot/Fonts/wgl4_boot.ttf": "", "boot/two": "", "boot/Two": "",
		"Exact/x": "", "exact/y": "",
		"kept/web1": "", ".git/config": "", "Secret/key": "", "t/a.src": "", "a/.hidden/x": "",
		"Link": "boot", "out": "../outside", "../outside/file": "", "loop": "loop",
		"Dangling": "nowhere", "git": ".git",
		"1/2/3/4/5/6/7/x": "", "1/2/3/4/5/6/7/8/x": "", "many/.keep": "", "most/.keep": "",
	} {
		at := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if link != "" && err == nil {
			err = os.Symlink(link, at)
		} else if err == nil {
			err = os.WriteFile(at, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range foldEntries + 1 {
		if err := os.WriteFile(filepath.Join(root, "many", fmt.Sprint("f", i)), nil,
			0o644); err != nil {
			t.Fatal(err)
		}
		if i < 100 {
			if err := os.WriteFile(filepath.Join(root, "most", fmt.Sprint("f", i)), nil,
				0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	tr := &Tree{Path: root, Hidden: hidden}
	for _, test := range []struct {
		name, want string
		kind       Kind // of the refusal
	}{
		{"boot/bcd", "boot/bcd", ""},
		{"Boot/BCD", "boot/bcd", ""},
		{"BOOT/fonts/WGL4_Boot.TTF", "boot/Fonts/wgl4_boot.ttf", ""},
		{"link/BCD", "Link/bcd", ""},
		{"Exact/X", "Exact/x", ""},
		{"1/2/3/4/5/6/7/X", "1/2/3/4/5/6/7/x", ""},
		{"most/F1", "most/f1", ""},
		{"DANGLING", "Dangling", ""}, // to be opened, and not there then
		{"Exact/Y", "", Missing},     // the name that is there is the one that counts
		{"boot/other", "", Missing},
		{"boot/BCD2", "", Missing},
		{"Boot/bcd/x", "", Missing},
		{"loop/x", "", Missing},
		{"boot/TWO", "", Unclear},
		{"EXACT/x", "", Unclear},
		{"many/F1", "", Unclear},
		{"1/2/3/4/5/6/7/8/X", "", Missing},
		{"KEPT/web1", "", Hidden},
		{"Kept/WEB1", "", Hidden},
		{"secret/key", "", Hidden},
		{".GIT/config", "", Hidden},
		{"git/CONFIG", "", Hidden},
		{"GIT/config", "", Hidden},
		{"A/.HIDDEN/X", "", Hidden},
		{"T/A.SRC", "", Hidden},
		{"out/FILE", "", Outside},
		{"OUT/FILE", "", Outside},
	} {
		got, err := tr.Fold(test.name)
		var r *Refusal
		if errors.As(err, &r); got != test.want || (err != nil) != (test.kind != "") ||
			err != nil && (r == nil || r.Kind != test.kind) {
			t.Errorf("%s: %q, %v; want %q, %s", test.name, got, err, test.want, test.kind)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v is another answer than that nothing is there", test.name, err)
		}
	}
	if _, err := tr.Fold("boot/TWO"); err == nil ||
		!strings.Contains(err.Error(), "TWO may be Two or two") {
		t.Errorf("two that differ in case: %v", err)
	}
}
