//go:build linux

package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
)

// rest lets time pass until nothing that was made so far counts as recently
// changed.
func rest(clock *lab.Clock) { clock.Pass(recent + 100*time.Millisecond) }

// mounted is the tree of a file system that is unmounted at the end of the
// test, and closes the root before that.
func mounted(t testing.TB, tree *Tree) *Tree {
	t.Cleanup(func() {
		tree.roots.mu.Lock()
		defer tree.roots.mu.Unlock()
		tree.roots.drop()
	})
	return tree
}

// memory is a directory on a memory disk, where there is one: a disk that is
// busy may hold up an edit for longer than a half-written one is waited for.
func memory(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "pxesrv")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// atOnce is a context in which nothing can wait: what needs to wait fails with
// context.Canceled.
func atOnce() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func patiently(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// outcome is the text that was read, or "!" and why not.
func outcome(body []byte, err error) string {
	var r *Refusal
	switch {
	case err == nil:
		return string(body)
	case errors.As(err, &r):
		return "!" + string(r.Kind)
	}
	return "!! " + err.Error()
}

func (t *Tree) serve(name string) string {
	f, err := t.Open(name, Serve)
	if err != nil {
		return outcome(nil, err)
	}
	defer f.Close()
	return outcome(io.ReadAll(f))
}

// TestPathRule is the rule as a table: what lies at a path, and what is given
// out for it, as a file and as the text of a boot answer.
func TestPathRule(t *testing.T) {
	var clock lab.Clock
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	real, named := filepath.Join(dir, "releases/1"), filepath.Join(dir, "root")
	long := strings.Repeat("n", 256)
	lab.Files{
		"root": "-> releases/1", "outside": "OUTSIDE\n", "releases/1-evil/f": "OUTSIDE\n",
		"releases/2/f": "OUTSIDE\n",
		"allowed/f":    "allowed\n", "allowed/.git/config": "HIDDEN\n", "allowed/x.src": "source\n",
		"allow": "-> allowed", "allowed-not/f": "OUTSIDE\n",
		"allowed/out": "-> ../outside", "fifo": "|",
	}.Grow(t, dir)
	os.MkdirAll(filepath.Join(dir, "journal"), 0o755)
	lab.Files{"f": "JOURNAL\n"}.Grow(t, filepath.Join(real, "state"))

	tests := []struct {
		name, what   string // what lies there; "" = see below
		serve, reply string // what is given out
	}{
		{"f", "text\n", "text\n", "text\n"},
		{"d/e/f", "deep\n", "deep\n", "deep\n"},
		{"links/name", "-> ../f", "text\n", "text\n"},
		{"links/chain", "-> name", "text\n", "text\n"},
		{"links/dir", "-> ../d", "!not-file", "!not-file"},
		{"links/real", "-> " + real + "/f", "text\n", "text\n"},
		{"links/named", "-> " + named + "/f", "text\n", "text\n"},
		{"links/parent", "-> ../../1/f", "text\n", "text\n"},
		{"links/far parent", "-> ../../../releases/1/f", "text\n", "text\n"},
		{"links/parent by name", "-> ../../../root/f", "text\n", "text\n"},
		{"links/dots", "-> ./.././links/../f", "text\n", "text\n"},
		{"linked", "-> d", "!not-file", "!not-file"},
		{"linked/e/f", "", "deep\n", "deep\n"},

		{"out/absolute", "-> " + dir + "/outside", "!outside", "!outside"},
		{"out/relative", "-> ../../../outside", "!outside", "!outside"},
		{"out/sibling", "-> ../../1-evil/f", "!outside", "!outside"},
		{"out/sibling absolute", "-> " + real + "-evil/f", "!outside", "!outside"},
		{"out/other release", "-> ../../2/f", "!outside", "!outside"},
		{"out/passwd", "-> /etc/passwd", "!outside", "!outside"},
		{"out/environ", "-> /proc/self/environ", "!outside", "!outside"},
		{"out/magic", "-> /proc/self/exe", "!outside", "!outside"},
		{"out/zero", "-> /dev/zero", "!not-file", "!not-file"},
		{"out/FIFO", "-> ../../../fifo", "!not-file", "!not-file"},
		{"out/root", "-> /", "!not-file", "!not-file"},
		{"out/self", "-> ..", "!not-file", "!not-file"},
		{"outdir", "-> ../..", "!not-file", "!not-file"},
		{"outdir/outside", "", "!outside", "!outside"},
		{"outdir/releases/1/f", "", "text\n", "text\n"},

		{"kinds/FIFO", "|", "!not-file", "!not-file"},
		{"kinds/to FIFO", "-> FIFO", "!not-file", "!not-file"},
		{"kinds/socket", "socket", "!not-file", "!not-file"},
		{"kinds/to socket", "-> socket", "!not-file", "!not-file"},
		{"kinds/dir/", "", "!not-file", "!not-file"},
		{"kinds/loop", "-> loop", "!missing", "!missing"},
		{"kinds/loop 1", "-> loop 2", "!missing", "!missing"},
		{"kinds/loop 2", "-> loop 1", "!missing", "!missing"},
		{"kinds/dangling", "-> nowhere", "!missing", "!missing"},
		{"kinds/dangling far", "-> ../no/where", "!missing", "!missing"},
		{"kinds/under a file", "-> ../f/x", "!missing", "!missing"},
		{"kinds/empty", "", "", "!empty"},
		{"nothing", "", "!missing", "!missing"},
		{"f/x", "", "!missing", "!missing"},
		{long, "", "!missing", "!missing"},
		{"d/" + long, "", "!missing", "!missing"},
		{strings.Repeat("abc/", 1500) + "f", "", "!missing", "!missing"},
		{"kinds/long", "-> " + long, "!missing", "!missing"},
		{"kinds/large", strings.Repeat("0123456789abcde\n", 1000),
			strings.Repeat("0123456789abcde\n", 1000), "!too-large"},

		{".git/config", "HIDDEN\n", "!hidden", "!hidden"},
		{"hidden/git", "-> ../.git/config", "!hidden", "!hidden"},
		{"hidden/gitdir", "-> ../.git", "!not-file", "!not-file"},
		{"hidden/gitdir/config", "", "!hidden", "!hidden"},
		{".GIT/config", "HIDDEN\n", "!hidden", "!hidden"},
		{"hidden/GIT", "-> ../.GIT/config", "!hidden", "!hidden"},
		{"hidden/.env", "HIDDEN\n", "!hidden", "!hidden"},
		{"hidden/env", "-> .env", "!hidden", "!hidden"},
		{".treeinfo", "tree\n", "tree\n", "tree\n"},
		{"hidden/treeinfo", "-> ../.treeinfo", "tree\n", "tree\n"},
		{".TreeInfo", "HIDDEN\n", "!hidden", "!hidden"},
		{"once/.served/x", "HIDDEN\n", "!hidden", "!hidden"},
		{"hidden/journal", "-> ../once/.served/x", "!hidden", "!hidden"},
		{"hidden/state", "-> ../state/f", "!hidden", "!hidden"},
		{"secret/ks", "SECRET\n", "!hidden", "!hidden"},
		{"hidden/ks", "-> ../secret/ks", "!hidden", "!hidden"},
		{"not/secret/ks", "text\n", "text\n", "text\n"},
		{"t/x.src", "source\n", "!hidden", "source\n"},
		{"t/link", "-> x.src", "!hidden", "source\n"},

		{"default", "-> ..data/default", "config\n", "config\n"},
		{"..data", "-> ..2026_11_21", "!not-file", "!not-file"},
		{"..2026_11_21/default", "config\n", "config\n", "config\n"},

		{"allow/link", "-> " + dir + "/allowed/f", "allowed\n", "allowed\n"},
		{"allow/relative", "-> ../../../allowed/f", "allowed\n", "allowed\n"},
		{"allow/by its link", "-> " + dir + "/allow/f", "allowed\n", "allowed\n"},
		{"allow/sibling", "-> " + dir + "/allowed-not/f", "!outside", "!outside"},
		{"allow/hidden", "-> " + dir + "/allowed/.git/config", "!hidden", "!hidden"},
		{"allow/source", "-> " + dir + "/allowed/x.src", "!hidden", "source\n"},
		{"allow/further", "-> " + dir + "/allowed/out", "!outside", "!outside"},
	}
	lies := lab.Files{}
	for _, test := range tests {
		if test.what != "" || strings.HasSuffix(test.name, "/") || test.name == "kinds/empty" {
			lies[test.name] = test.what
		}
	}
	lies.Grow(t, real)
	if os.Getuid() == 0 {
		if err := unix.Mknod(filepath.Join(real, "kinds/device"), unix.S_IFCHR|0o666,
			int(unix.Mkdev(1, 5))); err == nil {
			tests = append(tests, struct{ name, what, serve, reply string }{"kinds/device", "",
				"!not-file", "!not-file"})
		} else {
			t.Logf("no device here: %v", err) // a container without the right to make one
		}
	}
	rest(&clock)
	for _, root := range []string{real, named} {
		tree := &Tree{Clock: clock.At, Path: root, Allow: []string{filepath.Join(dir, "allow")},
			Deny: []string{filepath.Join(named, "state"), filepath.Join(dir, "not there")},
			Show: []string{".treeinfo"}, Hidden: hidden}
		for _, test := range tests {
			name := strings.TrimSuffix(test.name, "/")
			if got := tree.serve(name); got != test.serve {
				t.Errorf("root %s: Open(%.60q) gives %.80q, want %.80q", filepath.Base(root), name,
					got, test.serve)
			}
			got, err := tree.Read(atOnce(), ".", name, 10000)
			if got := outcome(got.Body, err); got != test.reply {
				t.Errorf("root %s: Read(%.60q) gives %.80q, want %.80q", filepath.Base(root), name,
					got, test.reply)
			}
		}
	}
	for name, want := range map[string]string{"links/chain": "f", "default": "..2026_11_21/default",
		"allow/link": dir + "/allowed/f"} {
		tree := &Tree{Clock: clock.At, Path: named, Allow: []string{filepath.Join(dir, "allowed")}}
		if got, err := tree.Read(atOnce(), ".", name, 10000); err != nil || got.Real != want {
			t.Errorf("%s really is %q, error %v, want %q", name, got.Real, err, want)
		}
	}
}

// TestReadFrom: the text of a link counts from the directory in which the link
// lies.
func TestReadFrom(t *testing.T) {
	var clock lab.Clock
	dir := t.TempDir()
	lab.Files{
		"root/once/": "", "root/orders": "-> once", "root/f": "f\n", "root/once/f": "once\n",
		"orders/": "", "root/deep/once/": "", "f": "OUTSIDE\n",
		"root/away": "-> deep/once", "root/deep/f": "deep\n",
	}.Grow(t, dir)
	tree := &Tree{Clock: clock.At, Path: filepath.Join(dir, "root")}
	rest(&clock)
	for _, test := range []struct{ from, text, want string }{
		{".", "f", "f\n"},
		{"once", "../f", "f\n"},
		{"once", "f", "once\n"},
		{"once", tree.Path + "/f", "f\n"},
		{"once", "../../f", "!outside"},
		{"orders", "../f", "f\n"}, // from where it really lies
		{"away", "../f", "deep\n"},
		{filepath.Join(dir, "orders"), "../root/f", "f\n"},
		{filepath.Join(dir, "orders"), "../f", "!outside"},
		{"gone", "../f", "!missing"},
		{"f", "../f", "!missing"},
	} {
		got, err := tree.Read(atOnce(), test.from, test.text, 100)
		if got := outcome(got.Body, err); got != test.want {
			t.Errorf("from %s: %q gives %q, want %q", test.from, test.text, got, test.want)
		}
	}
}

// TestNoRoot: without a root nobody can know anything; that is no refusal.
func TestNoRoot(t *testing.T) {
	dir := lab.Files{"file": "x\n", "dangling": "-> nowhere"}.Grow(t, t.TempDir())
	for _, root := range []string{"missing", "file", "dangling"} {
		tree := &Tree{Path: filepath.Join(dir, root)}
		var r *Refusal
		if _, err := tree.Open("f", Serve); err == nil || errors.As(err, &r) {
			t.Errorf("%s: Open says %v", root, err)
		}
		if _, err := tree.Read(patiently(t), ".", "f", 100); err == nil || errors.As(err, &r) {
			t.Errorf("%s: Read says %v", root, err)
		}
		if _, err := tree.Find(patiently(t), ".", []string{"f"}); err == nil || errors.As(err, &r) {
			t.Errorf("%s: Find says %v", root, err)
		}
		x := Index{Tree: tree, Dir: "protect", Keys: func(s string) []string { return []string{s} }}
		if _, _, _, err := x.Find(patiently(t), []string{"f"}); err == nil {
			t.Errorf("%s: the index found nothing, and no fault", root)
		}
	}
}

// cleanTable is what a request's decoded path becomes. "!" begins a refusal.
var cleanTable = map[string]string{
	"f":                             "f",
	"/f":                            "f",
	"//f":                           "f",
	"///d//e///f":                   "d/e/f",
	"d/./f":                         "d/f",
	"./f":                           "f",
	"d/../f":                        "f",
	"d/e/../../f":                   "f",
	"..f":                           "!hidden", // a dot name
	"f..":                           "f..",
	"f.":                            "f.",
	"a b+c,d;e=f&g":                 "a b+c,d;e=f&g",
	"é/ü":                           "é/ü",
	"C:/f":                          "C:/f",
	"http://host/f":                 "http:/host/f",
	"%2e%2e/f":                      "%2e%2e/f", // decoded already: this is a name
	"%00":                           "%00",
	"~root/f":                       "~root/f",
	"*":                             "*",
	".treeinfo":                     ".treeinfo",
	"os/.treeinfo":                  "os/.treeinfo",
	".disk/info":                    ".disk/info",
	"":                              "!not-file",
	"/":                             "!not-file",
	".":                             "!not-file",
	"d/..":                          "!not-file",
	"d/":                            "!not-file",
	"./":                            "!not-file",
	"../":                           "!not-file",
	"..":                            "!outside",
	"../f":                          "!outside",
	"/../f":                         "!outside",
	"d/../../f":                     "!outside",
	"../../../../etc/passwd":        "!outside",
	"....//f":                       "!hidden",
	"..\\..\\f":                     "!hidden",
	"d\\f":                          "!hidden",
	"f\x00":                         "!hidden",
	"f\x00.ipxe":                    "!hidden",
	"f\n":                           "!hidden",
	"f\rg":                          "!hidden",
	"\x1b[2J":                       "!hidden",
	"f\x7f":                         "!hidden",
	"f\xff":                         "!hidden",
	"\xc0\xae\xc0\xae/f":            "!hidden", // ".." in overlong UTF-8
	"\xed\xa0\x80":                  "!hidden",
	".git/config":                   "!hidden",
	".GIT/config":                   "!hidden",
	"d/.git/config":                 "!hidden",
	".env":                          "!hidden",
	".treeinfo/../.git/config":      "!hidden",
	"..data/default":                "!hidden",
	"...":                           "!hidden",
	"kept":                          "!hidden",
	"kept/x":                        "!hidden",
	"./kept/x":                      "!hidden",
	"d/../kept/x":                   "!hidden",
	"//kept//x":                     "!hidden",
	"kept/.served/x":                "!hidden",
	"x/kept/y":                      "x/kept/y",
	"x.src":                         "!hidden",
	strings.Repeat("n", 255):        strings.Repeat("n", 255),
	strings.Repeat("n", 256):        "!missing",
	strings.Repeat("é", 128):        "!missing",
	strings.Repeat("d/", 31) + "f":  strings.Repeat("d/", 31) + "f",
	strings.Repeat("d/", 32) + "f":  "!missing",
	strings.Repeat("//", 500) + "f": "f",
	strings.Repeat("abc/", 1500):    "!not-file",
	strings.Repeat("abcd", 1500):    "!missing",
}

func TestClean(t *testing.T) {
	tree := &Tree{Path: "/srv", Show: []string{".treeinfo", ".disk"}, Hidden: hidden}
	for name, want := range cleanTable {
		got, err := tree.Clean(name)
		if got := outcome([]byte(got), err); got != want {
			t.Errorf("Clean(%.60q) = %.80q, want %.80q", name, got, want)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Clean(%.60q): to whoever asks from outside, %v is not the same as a file "+
				"that is not there", name, err)
		}
	}
}

// TestSwapRace: a link is swapped between inside and outside as fast as
// possible while it is read. What is read is the object that was judged: not
// one byte comes from outside.
func TestSwapRace(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	lab.Files{"root/f": "inside\n", "root/a": "-> f", "root/d/f": "inside\n",
		"secret/f": "OUTSIDE\n"}.Grow(t, dir)
	tree := &Tree{Path: root}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	var swaps atomic.Int64
	group.Go(func() { // a link to a file, and a folder that is one and a link in turn
		for i := 0; ctx.Err() == nil; i++ {
			target, other := "f", filepath.Join(dir, "secret")
			if i%2 == 0 {
				target, other = "../secret/f", "d"
			}
			err := os.Symlink(target, root+"/new")
			if err == nil {
				err = os.Rename(root+"/new", root+"/a")
			}
			if err == nil {
				err = os.Symlink(other, root+"/new")
			}
			if err == nil {
				err = os.Rename(root+"/new", root+"/b")
			}
			if err != nil {
				t.Error(err)
				return
			}
			swaps.Add(1)
		}
	})
	var reads, inside atomic.Int64
	end := time.Now().Add(5 * time.Second)
	for g := range 2 {
		group.Go(func() {
			defer stop()
			for i := g; (i < 20000 || swaps.Load() < 5000) && time.Now().Before(end); i += 2 {
				got := tree.serve([]string{"a", "b/f"}[i/2%2])
				switch got {
				case "inside\n":
					inside.Add(1)
				case "!outside", "!missing":
				default:
					t.Errorf("read %q", got)
				}
				if i%8 == 0 {
					if text, _, err := tree.readOnce(t.Context(), ".", "a", 100); err == nil &&
						string(text.Body) != "inside\n" {
						t.Errorf("read %q", text.Body)
					}
				}
				reads.Add(1)
			}
		})
	}
	group.Wait()
	t.Logf("%d reads during %d swaps, %d of them inside", reads.Load(), swaps.Load(), inside.Load())
	if inside.Load() == 0 || inside.Load() == reads.Load() {
		t.Errorf("%d of %d reads were inside: this was no race", inside.Load(), reads.Load())
	}
}

// TestRootSwapped: the root may be swapped, removed and made again. It is
// looked up for each request.
func TestRootSwapped(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	lab.Files{"1/f": "1\n", "2/f": "2\n", "1/l": "-> " + root + "/f", "2/l": "-> " + root +
		"/f"}.Grow(t, dir)
	tree := &Tree{Path: root}
	want := func(text string) {
		t.Helper()
		for _, name := range []string{"f", "l"} {
			if got := tree.serve(name); got != text {
				t.Errorf("%s is %q, want %q", name, got, text)
			}
		}
	}
	lab.Swap(t, "1", root)
	want("1\n")
	lab.Swap(t, "2", root)
	want("2\n")
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Open("f", Serve); err == nil || errors.As(err, new(*Refusal)) {
		t.Errorf("without a root: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "1"), root); err != nil {
		t.Fatal(err)
	}
	want("1\n")
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	lab.Files{"root/f": "again\n", "root/l": "-> f"}.Grow(t, dir)
	want("again\n")
}

// whileSwapped calls look from several goroutines while change runs some
// hundred times. Each look gives a version.
func whileSwapped(t *testing.T, change func(i int), look func(i int) string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	var looks, began, ended atomic.Int64
	for range 4 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				before := ended.Load()
				got := look(i)
				// Each look is made a second time when a swap came into it.
				// When another came into that one, nothing is given out; never
				// is a part.
				nothing := got == "!missing" || got == "!outside" ||
					strings.HasPrefix(got, "!! open root")
				if twice := began.Load()-before > 1; !isVersion(got) && !(nothing && twice) {
					t.Errorf("%d bytes: %.80q", len(got), got)
					return
				}
				looks.Add(1)
			}
		})
	}
	for i := range 300 {
		began.Add(1)
		change(i)
		ended.Add(1)
		time.Sleep(time.Millisecond)
	}
	stop()
	group.Wait()
	t.Logf("%d looks during 300 changes", looks.Load())
}

// version is a text by which half of it, or halves of two, can be told.
func version(i int) string { return strings.Repeat(fmt.Sprintf("version %d\n", i), 500+i%7*300) }

func isVersion(s string) bool {
	var i int
	_, err := fmt.Sscanf(s, "version %d\n", &i)
	return err == nil && s == version(i)
}

// TestSwappedUnderLoad: whatever way an edit takes that is one step to the
// system is one step to a reader: the old text or the new one, whole, and never
// an error.
func TestSwappedUnderLoad(t *testing.T) {
	for name, test := range map[string]struct {
		before lab.Files
		change func(t *testing.T, dir string, i int)
	}{
		// As Kubernetes updates a ConfigMap: a new folder, the link ..data
		// renamed, the old folder removed.
		"ConfigMap": {lab.Files{"root/default": "-> ..data/default", "root/..data": "-> ..0",
			"root/..0/default": version(0)}, func(t *testing.T, dir string, i int) {
			lab.Files{fmt.Sprintf("root/..%d/default", i+1): version(i + 1)}.Grow(t, dir)
			lab.Swap(t, fmt.Sprintf("..%d", i+1), filepath.Join(dir, "root/..data"))
			os.RemoveAll(filepath.Join(dir, fmt.Sprintf("root/..%d", i)))
		}},
		"release": {lab.Files{"root": "-> 0", "0/default": version(0)},
			func(t *testing.T, dir string, i int) {
				lab.Files{fmt.Sprintf("%d/default", i+1): version(i + 1)}.Grow(t, dir)
				lab.Swap(t, fmt.Sprint(i+1), filepath.Join(dir, "root"))
				os.RemoveAll(filepath.Join(dir, fmt.Sprint(i)))
			}},
		"release with absolute links": {lab.Files{"root": "-> 0", "0/f": version(0),
			"0/default": "-> @/root/f"}, func(t *testing.T, dir string, i int) {
			lab.Files{fmt.Sprintf("%d/f", i+1): version(i + 1),
				fmt.Sprintf("%d/default", i+1): "-> " + dir + "/root/f"}.Grow(t, dir)
			lab.Swap(t, fmt.Sprint(i+1), filepath.Join(dir, "root"))
		}},
		"rename": {lab.Files{"root/default": version(0)}, func(t *testing.T, dir string, i int) {
			lab.Files{"root/new": version(i + 1)}.Grow(t, dir)
			if err := os.Rename(filepath.Join(dir, "root/new"),
				filepath.Join(dir, "root/default")); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range test.before {
				test.before[name] = strings.Replace(text, "@", dir, 1)
			}
			test.before.Grow(t, dir)
			tree := &Tree{Path: filepath.Join(dir, "root")}
			ctx := patiently(t)
			whileSwapped(t, func(i int) { test.change(t, dir, i) }, func(i int) string {
				if i%10 != 0 {
					return tree.serve("default")
				}
				// takes its time: the file has just changed
				text, err := tree.Read(ctx, ".", "default", 1<<20)
				return outcome(text.Body, err)
			})
		})
	}
}

// TestHalfWritten: what an edit takes away and brings back, or writes in
// pieces, within a tenth of a second is answered whole.
func TestHalfWritten(t *testing.T) {
	const whole = "#!ipxe\necho one\necho two\n"
	write := func(path string, pieces ...string) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for _, p := range pieces {
			// shorter than the time after which a file counts as written
			time.Sleep(15 * time.Millisecond)
			if _, err := f.WriteString(p); err != nil {
				t.Error(err)
			}
		}
	}
	for name, test := range map[string]struct {
		before lab.Files
		after  func(root string) // what the edit does after it was seen half-done
	}{
		"missing": {lab.Files{"x/": ""}, func(root string) {
			time.Sleep(60 * time.Millisecond)
			write(root+"/f", whole)
		}},
		"empty": {lab.Files{"f": ""}, func(root string) {
			time.Sleep(60 * time.Millisecond)
			write(root+"/f", whole)
		}},
		"cut in a line": {lab.Files{"f": "#!ipxe\necho o"}, func(root string) {
			time.Sleep(60 * time.Millisecond)
			write(root+"/f", whole)
		}},
		"in pieces": {lab.Files{"f": ""}, func(root string) {
			write(root+"/f", "#!ip", "xe\necho o", "ne\necho", " two\n")
		}},
		"dangling": {lab.Files{"f": "-> later"}, func(root string) {
			time.Sleep(60 * time.Millisecond)
			write(root+"/later", whole)
		}},
		"folder missing": {lab.Files{"f": "-> d/later"}, func(root string) {
			os.Mkdir(root+"/d", 0o755)
			write(root+"/d/later", whole)
		}},
		"directory gone": {lab.Files{"f": "-> d/later", "d/x": ""}, func(root string) {
			os.RemoveAll(root + "/d")
			os.Mkdir(root+"/d", 0o755)
			write(root+"/d/later", whole)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			root := memory(t)
			tree := &Tree{Path: root}
			test.before.Grow(t, root)
			var group sync.WaitGroup
			started := make(chan bool)
			group.Go(func() { <-started; test.after(root) })
			close(started)
			text, err := tree.Read(patiently(t), ".", "f", 1<<20)
			group.Wait()
			if err != nil || string(text.Body) != whole {
				t.Errorf("%q, error %v", text.Body, err)
			}
		})
	}
}

// TestAtRest: nothing waits for what nobody is about to write.
func TestAtRest(t *testing.T) {
	var clock lab.Clock
	root := lab.Files{
		"dangling": "-> nowhere", "far": "-> d/nowhere", "d/": "", "loop": "-> loop", "empty": "",
		"cut": "#!ipxe\necho", "f": "whole\n",
		"static/10.0.0.7": "x\n", "protect/10.0.0.7": "",
	}.Grow(t, t.TempDir())
	tree := &Tree{Clock: clock.At, Path: root}
	rest(&clock)
	for name, want := range map[string]string{"dangling": "!missing", "far": "!missing",
		"loop": "!missing", "empty": "!empty", "nothing": "!missing",
		"cut": "#!ipxe\necho", "f": "whole\n"} {
		text, err := tree.Read(atOnce(), ".", name, 100)
		if got := outcome(text.Body, err); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, dir := range []string{"static", "none"} {
		if found, err := tree.Find(atOnce(), dir, []string{"10.0.0.9"}); err != nil ||
			len(found) != 0 {
			t.Errorf("%s: found %v, error %v", dir, found, err)
		}
	}
	for _, dir := range []string{"protect", "none"} {
		x := Index{Tree: tree, Dir: dir, Keys: func(s string) []string { return []string{s} }}
		if _, _, ok, err := x.Find(atOnce(), []string{"10.0.0.9"}); err != nil || ok {
			t.Errorf("index of %s: found %v, error %v", dir, ok, err)
		}
	}
	// And while it is recent, who asks may go away.
	os.Remove(filepath.Join(root, "static/10.0.0.7"))
	if _, err := tree.Find(atOnce(), "static", []string{"10.0.0.7"}); !errors.Is(err,
		context.Canceled) {
		t.Errorf("an entry that just went: error %v, want to wait", err)
	}
}

// TestLimit: a file larger than the limit is refused by its size, without being
// read.
func TestLimit(t *testing.T) {
	root := lab.Files{"f": strings.Repeat("x", 99) + "\n"}.Grow(t, t.TempDir())
	tree := &Tree{Path: root}
	if err := os.Truncate(lab.Files{"huge": ""}.Grow(t, root)+"/huge", 8<<30); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		limit int64
		want  string
	}{{"f", 100, strings.Repeat("x", 99) + "\n"}, {"f", 99, "!too-large"},
		{"huge", 1 << 20, "!too-large"}} {
		text, err := tree.Read(patiently(t), ".", test.name, test.limit)
		if got := outcome(text.Body, err); got != test.want {
			t.Errorf("%s with at most %d bytes: %.80q", test.name, test.limit, got)
		}
	}
}

// TestChangedWhileRead: a file that is written over while it is read is read
// again.
func TestChangedWhileRead(t *testing.T) {
	old := strings.Repeat("old\n", 50000)
	for name, edit := range map[string]func(at string) (want string, err error){
		"longer": func(at string) (string, error) {
			want := strings.Repeat("longer\n", 50000)
			return want, os.WriteFile(at, []byte(want), 0o644)
		},
		"shorter": func(at string) (string, error) {
			return "new\n", os.WriteFile(at, []byte("new\n"), 0o644)
		},
		"as long": func(at string) (string, error) {
			want := strings.Repeat("new\n", 50000)
			return want, os.WriteFile(at, []byte(want), 0o644)
		},
		"as long, in place": func(at string) (string, error) {
			f, err := os.OpenFile(at, os.O_WRONLY, 0)
			if err != nil {
				return "", err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte("new\n"), 100000)
			return old[:100000] + "new\n" + old[100004:], err
		},
		"cut": func(at string) (string, error) { return "old\n", os.Truncate(at, 4) },
		// what was opened is whole
		"replaced": func(at string) (string, error) { return old, os.Rename(at+"2", at) },
	} {
		t.Run(name, func(t *testing.T) {
			source := lab.Files{"f": old, "f2": strings.Repeat("second\n", 50000)}.Grow(t,
				t.TempDir())
			faults := faultfs.Mount(t, source)
			tree := mounted(t, &Tree{Path: faults.Dir})
			// from here on it is seen to be at rest
			if _, err := tree.Read(patiently(t), ".", "f", 1<<20); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * quiet)
			// it stops in the middle
			faults.Set(faultfs.Fault{Ops: faultfs.OpRead, Every: 3, Hang: true})
			type result struct {
				text Text
				err  error
			}
			read := make(chan result)
			go func() {
				text, err := tree.Read(patiently(t), ".", "f", 1<<20)
				read <- result{text, err}
			}()
			for faults.Hanging() == 0 {
				time.Sleep(time.Millisecond)
			}
			want, err := edit(filepath.Join(source, "f"))
			if err != nil {
				t.Error(err)
			}
			faults.Set()
			if got := <-read; got.err != nil || string(got.text.Body) != want {
				t.Errorf("%d bytes, %.20q, error %v, want %d bytes, %.20q", len(got.text.Body),
					got.text.Body, got.err, len(want), want)
			}
		})
	}
}

// TestFind: entries in the order of the names, whatever they are.
func TestFind(t *testing.T) {
	var clock lab.Clock
	root := lab.Files{"static/a": "x", "static/b": "-> nowhere", "static/c/": "",
		"static/d": "-> c", "static/e": "|", "file": ""}.Grow(t, t.TempDir())
	tree := &Tree{Clock: clock.At, Path: root}
	rest(&clock)
	found, err := tree.Find(atOnce(), "static", []string{"z", "e", "d", "c", "b", "a", "y"})
	want := []Entry{{Name: "e"}, {Name: "d", Link: "c"}, {Name: "c", Dir: true},
		{Name: "b", Link: "nowhere"}, {Name: "a"}}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("found %+v, error %v", found, err)
	}
	if found, err := tree.Find(atOnce(), "none", []string{"a"}); err != nil || len(found) != 0 {
		t.Errorf("in none: found %v, error %v", found, err)
	}
	// What has the name of a directory and is none may be a file server that is
	// not mounted.
	for _, dir := range []string{"file", "static/b", "static/a"} {
		if found, err := tree.Find(atOnce(), dir, []string{"a"}); err == nil || len(found) != 0 {
			t.Errorf("in %s: found %v, error %v", dir, found, err)
		}
	}
}

// TestFindFlicker: an edit takes an entry away and brings it back all the time.
// A machine that has a stronger name, of which there is no entry, finds it all
// the same: it was there at one of the looks.
func TestFindFlicker(t *testing.T) {
	root := lab.Files{"static/": ""}.Grow(t, memory(t))
	tree := &Tree{Path: root}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var edits, group sync.WaitGroup
	edits.Go(func() {
		for at := filepath.Join(root, "static/weak"); ctx.Err() == nil; {
			os.WriteFile(at, nil, 0o644)
			time.Sleep(time.Duration(5+rand.IntN(10)) * time.Millisecond)
			os.Remove(at)
			time.Sleep(time.Duration(10+rand.IntN(20)) * time.Millisecond)
		}
	})
	for range 40 {
		time.Sleep(5 * time.Millisecond)
		group.Go(func() {
			found, err := tree.Find(patiently(t), "static", []string{"strong", "weak"})
			if err != nil || len(found) != 1 || found[0].Name != "weak" {
				t.Errorf("found %v, error %v", found, err)
			}
		})
	}
	group.Wait()
	stop()
	edits.Wait()
}

// TestEditAfterSight: several decisions share a look at the directories, and an
// edit takes an entry away between that look and the one for the entry. It may
// be about to come back, so that it is waited for.
func TestEditAfterSight(t *testing.T) {
	var clock lab.Clock
	root := lab.Files{"static/a": "x", "protect/a": ""}.Grow(t, memory(t))
	tree := &Tree{Clock: clock.At, Path: root, Shared: []string{"static", "protect"}}
	x := Index{Tree: tree, Dir: "protect", Keys: lower}
	rest(&clock)
	for dir, find := range map[string]func(context.Context) error{
		"static": func(ctx context.Context) error {
			_, err := tree.Find(ctx, "static", []string{"a"})
			return err
		},
		"protect": func(ctx context.Context) error {
			_, _, _, err := x.Find(ctx, []string{"a"})
			return err
		},
	} {
		ctx, leave := tree.Snapshot(atOnce())
		defer leave()
		// somebody else has come that far
		if _, there, err := statOptional(ctx, dir); !there || err != nil {
			t.Fatal(there, err)
		}
		if err := os.Remove(filepath.Join(root, dir, "a")); err != nil {
			t.Fatal(err)
		}
		if err := find(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s/a went away a moment ago, and that is it: error %v", dir, err)
		}
	}
}

// TestEditInListing: an edit begins while a directory is listed. The list has
// gaps, so that nothing rests on it.
func TestEditInListing(t *testing.T) {
	var clock lab.Clock
	source := lab.Files{"protect/a": "", "protect/b": "", "protect/c": ""}.Grow(t, memory(t))
	faults := faultfs.Mount(t, source)
	x := Index{Tree: mounted(t, &Tree{Clock: clock.At, Path: faults.Dir}), Dir: "protect",
		Keys: lower}
	for entry, list := range map[string]func() error{
		"a": func() error { _, _, _, err := x.Find(atOnce(), []string{"none"}); return err },
		"b": func() error {
			dir := faults.Dir + "/protect"
			if now, err := here.stat(dir); err != nil || newList(dir, now) == nil {
				return context.Canceled
			}
			return nil
		},
	} {
		rest(&clock)
		faults.Set(faultfs.Hang(faultfs.OpOpendir))
		ended := make(chan error)
		go func() { ended <- list() }()
		for faults.Hanging() == 0 {
			time.Sleep(time.Millisecond)
		}
		if err := os.Remove(filepath.Join(source, "protect", entry)); err != nil {
			t.Fatal(err)
		}
		faults.Set()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s went away while the directory was listed, and that is it: error %v", entry,
				err)
		}
	}
}

// TestClockOfTheServer: a file server's clock is an hour ahead or behind. What
// is half-written is waited for all the same, what is at rest is not, and an
// edit is seen at the next look.
func TestClockOfTheServer(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			var clock lab.Clock
			source := lab.Files{"static/old": "whole\n", "static/cut": "no line end",
				"protect/a": ""}.Grow(t, memory(t))
			faults := faultfs.Mount(t, source)
			faults.SetClock(ahead)
			tree := mounted(t, &Tree{Clock: clock.At, Path: faults.Dir})
			x := Index{Tree: tree, Dir: "protect", Keys: lower}
			read := func(ctx context.Context, name string) string {
				text, err := tree.Read(ctx, "static", name, 100)
				return outcome(text.Body, err)
			}
			for range 2 { // seen for the first time, and at rest
				if got := read(patiently(t), "old") +
					read(patiently(t), "cut"); got != "whole\nno line end" {
					t.Error(got)
				}
				if _, _, ok, err := x.Find(patiently(t), []string{"b"}); ok || err != nil {
					t.Errorf("b: %v, error %v", ok, err)
				}
				if found, err := tree.Find(patiently(t), "static",
					[]string{"none"}); len(found) > 0 || err != nil {
					t.Errorf("none: %v, error %v", found, err)
				}
				rest(&clock)
			}
			if got := read(atOnce(), "cut"); got != "no line end" {
				t.Errorf("a file at rest: %s", got)
			}
			if found, err := tree.Find(atOnce(), "static", []string{"none"}); len(found) > 0 ||
				err != nil {
				t.Errorf("a directory at rest: %v, error %v", found, err)
			}
			if !x.atRest {
				t.Error("a directory at rest is listed for each request")
			}

			name := filepath.Join(source, "static/new")
			if err := os.WriteFile(name, []byte("half"), 0o644); err != nil {
				t.Fatal(err)
			}
			edit := time.AfterFunc(pollFor/3,
				func() { os.WriteFile(name, []byte("half and half\n"), 0o644) })
			defer edit.Stop()
			if got := read(patiently(t), "new"); got != "half and half\n" {
				t.Errorf("a half-written file: %q", got)
			}
			if err := os.WriteFile(filepath.Join(source, "protect/b"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, _, ok, err := x.Find(atOnce(), []string{"b"}); !ok || err != nil {
				t.Errorf("b was made: %v, error %v", ok, err)
			}
			// An entry that is away for a moment, while an editor replaces it.
			gone := filepath.Join(source, "static/old")
			if err := os.Rename(gone, gone+"~"); err != nil {
				t.Fatal(err)
			}
			back := time.AfterFunc(pollFor/3, func() { os.Rename(gone+"~", gone) })
			defer back.Stop()
			if found, err := tree.Find(patiently(t), "static", []string{"old"}); len(found) != 1 ||
				err != nil {
				t.Errorf("an entry that is being replaced: %v, error %v", found, err)
			}
		})
	}
}

// TestStale: what a file server calls stale was replaced just now. It is looked
// at again, and only what stays so is an error.
func TestStale(t *testing.T) {
	source := lab.Files{"static/a": "-> ../scripts/a", "scripts/a": "text\n",
		"protect/a": ""}.Grow(t, memory(t))
	faults := faultfs.Mount(t, source)
	look := func() error {
		tree := mounted(t, &Tree{Path: faults.Dir})
		x := Index{Tree: tree, Dir: "protect", Keys: lower}
		ctx, leave := tree.Snapshot(patiently(t))
		defer leave()
		if entry, _, _, err := x.Find(ctx, []string{"a"}); err != nil || entry != "a" {
			return fmt.Errorf("protect: %q, error %w", entry, err)
		}
		found, err := tree.Find(ctx, "static", []string{"a"})
		if err != nil || len(found) != 1 {
			return fmt.Errorf("static: %v, error %w", found, err)
		}
		text, err := tree.ReadEntry(ctx, "static", found[0], 100)
		if err == nil && string(text.Body) != "text\n" {
			t.Errorf("read %q", text.Body)
		}
		return err
	}
	for kind, op := range map[string]faultfs.Op{"lookup": faultfs.OpLookup,
		"getattr": faultfs.OpGetattr, "readlink": faultfs.OpReadlink,
		"open": faultfs.OpOpen, "read": faultfs.OpRead, "opendir": faultfs.OpOpendir,
		"readdir": faultfs.OpReaddir} {
		for every := 1; every < 4; every++ {
			// the kernel itself looks twice
			faults.Set(faultfs.Fault{Ops: op, Every: every, Times: 3, Err: unix.ESTALE})
			if err := look(); err != nil {
				t.Errorf("%s is stale: %v", kind, err)
			}
			if faults.Injected() == 0 {
				t.Errorf("%s: nothing was stale", kind)
			}
		}
	}
	for _, under := range []string{"protect", "static/a", "scripts/a"} {
		faults.Set(faultfs.Fault{Under: under, Err: unix.ESTALE})
		if err := look(); !errors.Is(err, unix.ESTALE) {
			t.Errorf("%s is stale for good: error %v", under, err)
		}
	}
	faults.Set()
}

// lower is how the tests' index understands names.
func lower(entry string) []string {
	return []string{strings.ToLower(entry), strings.ToLower(strings.TrimSpace(entry))}
}

// TestIndex: entries are found by any of their keys, the first name first.
func TestIndex(t *testing.T) {
	var clock lab.Clock
	root := lab.Files{"protect/WEB1": "", "protect/ db1 ": "-> nowhere", "protect/x/": "",
		"linked": "-> protect"}.Grow(t, t.TempDir())
	rest(&clock)
	for _, dir := range []string{"protect", "linked"} {
		x := Index{Tree: &Tree{Clock: clock.At, Path: root}, Dir: dir, Keys: lower}
		for range 2 { // by a listing that was made, and by one that was kept
			for _, test := range []struct {
				names []string
				entry string
				name  int
			}{{[]string{"web1"}, "WEB1", 0}, {[]string{"none", "db1", "web1"}, " db1 ", 1},
				{[]string{"x"}, "x", 0}, {[]string{"", "Web1"}, "WEB1", 1},
				{[]string{"WEB2", ""}, "", 0}, {nil, "", 0}} {
				entry, name, ok, err := x.Find(atOnce(), test.names)
				if err != nil || entry != test.entry || name != test.name ||
					ok != (test.entry != "") {
					t.Errorf("%s: %q is entry %q by name %d, %v, error %v", dir, test.names, entry,
						name, ok, err)
				}
			}
		}
	}
}

// TestIndexChanges: each change is seen by the very next request, also when
// many come within one tick of the file system's clock.
func TestIndexChanges(t *testing.T) {
	var clock lab.Clock
	root := lab.Files{"protect/always": "", "protect/old": ""}.Grow(t, t.TempDir())
	x := Index{Tree: &Tree{Clock: clock.At, Path: root}, Dir: "protect", Keys: lower}
	at := filepath.Join(root, "protect/web1")
	find := func(want string) {
		t.Helper()
		// What is there for sure stands last: then nothing has to be waited
		// for.
		entry, _, _, err := x.Find(patiently(t), []string{"web1", "web2", "always"})
		if err != nil || entry != want {
			t.Fatalf("found %q, error %v, want %q", entry, err, want)
		}
	}
	rest(&clock)
	find("always") // a listing at rest, which is kept
	for range 500 {
		began := time.Now()
		if err := os.WriteFile(at, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		find("web1")
		if x.atRest && time.Since(began) < recent/2 {
			t.Fatal("the listing of a directory that has just changed is kept; the next change " +
				"may come within the same tick")
		}
		if err := os.Rename(at, at[:len(at)-1]+"2"); err != nil {
			t.Fatal(err)
		}
		find("web2")
		if err := os.Remove(at[:len(at)-1] + "2"); err != nil {
			t.Fatal(err)
		}
		find("always")
	}
	rest(&clock)
	find("always")
	if !x.atRest {
		t.Error("a directory at rest is listed for each request")
	}
	if err := os.WriteFile(at, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	find("web1")
	// Another directory in its place, with a name that is as old.
	rest(&clock)
	find("web1")
	lab.Files{"other/always": ""}.Grow(t, root)
	for _, move := range [][2]string{{"protect", "away"}, {"other", "protect"}} {
		if err := os.Rename(filepath.Join(root, move[0]),
			filepath.Join(root, move[1])); err != nil {
			t.Fatal(err)
		}
	}
	find("always")
}

// TestIndexBroken: what is no directory, or cannot be looked into, is an error
// and never an empty directory.
func TestIndexBroken(t *testing.T) {
	var clock lab.Clock
	roots := map[string]string{}
	for name, tree := range map[string]lab.Files{
		"file":           {"protect": "x"},
		"FIFO":           {"protect": "|"},
		"dangling link":  {"protect": "-> nowhere"},
		"loop":           {"protect": "-> protect"},
		"link to a file": {"protect": "-> f", "f": ""},
	} {
		roots[name] = tree.Grow(t, t.TempDir())
	}
	rest(&clock)
	for name, root := range roots {
		x := Index{Tree: &Tree{Clock: clock.At, Path: root}, Dir: "protect", Keys: lower}
		if _, _, ok, err := x.Find(atOnce(), []string{"web1"}); err == nil || ok {
			t.Errorf("%s: found %v, no error", name, ok)
		}
	}
}

// TestFaults: an error of the disk is told as it is, from every function, and
// never as "not there".
func TestFaults(t *testing.T) {
	var clock lab.Clock
	source := lab.Files{"protect/web1": "", "static/web1": "x\n", "d/f": "x\n",
		"l": "-> d/f"}.Grow(t, t.TempDir())
	faults := faultfs.Mount(t, source)
	tree := mounted(t, &Tree{Clock: clock.At, Path: faults.Dir})
	rest(&clock)
	index := func() error {
		x := Index{Tree: tree, Dir: "protect", Keys: lower}
		_, _, _, err := x.Find(atOnce(), []string{"web9"})
		return err
	}
	find := func() error { _, err := tree.Find(atOnce(), "static", []string{"web1"}); return err }
	read := func() error { _, err := tree.Read(atOnce(), ".", "l", 100); return err }
	open := func() error {
		f, err := tree.Open("l", Serve)
		if err == nil {
			defer f.Close()
			_, err = io.ReadAll(f)
		}
		return err
	}
	for _, test := range []struct {
		what  string
		fault faultfs.Fault
		calls []func() error
	}{
		{"everything", faultfs.EIOUnder(""), []func() error{index, find, read, open}},
		{"protect", faultfs.EIOUnder("protect"), []func() error{index}},
		{"listing", faultfs.Fault{Ops: faultfs.OpOpendir, Err: unix.EIO}, []func() error{index}},
		{"rest of the listing", faultfs.Fault{Ops: faultfs.OpReaddir, Err: unix.EIO},
			[]func() error{index}},
		{"static", faultfs.EIOUnder("static"), []func() error{find}},
		{"entry", faultfs.EIOUnder("static/web1"), []func() error{find}},
		{"link", faultfs.EIOUnder("l"), []func() error{read, open}},
		{"text of the link", faultfs.Fault{Ops: faultfs.OpReadlink, Err: unix.EIO}, []func() error{
			read, open}},
		{"folder behind", faultfs.EIOUnder("d"), []func() error{read, open}},
		{"file behind", faultfs.EIOUnder("d/f"), []func() error{read, open}},
		{"opening", faultfs.Fault{Ops: faultfs.OpOpen, Err: unix.EIO}, []func() error{read, open}},
		{"reading", faultfs.Fault{Ops: faultfs.OpRead, Err: unix.EIO}, []func() error{read, open}},
	} {
		faults.Set(test.fault)
		for i, call := range test.calls {
			if err := call(); !errors.Is(err, unix.EIO) || errors.As(err, new(*Refusal)) {
				t.Errorf("%s: call %d gives %v", test.what, i, err)
			}
		}
		faults.Set()
	}
	// A listing that was kept is no answer for a folder that cannot be reached.
	x := Index{Tree: tree, Dir: "protect", Keys: lower}
	for range 2 {
		if _, _, ok, err := x.Find(atOnce(), []string{"web1"}); !ok || err != nil {
			t.Fatalf("found %v, error %v", ok, err)
		}
	}
	faults.Set(faultfs.EIOUnder("protect"))
	if _, _, ok, err := x.Find(atOnce(), []string{"web1"}); ok || !errors.Is(err, unix.EIO) {
		t.Errorf("found %v in a folder with an error, %v", ok, err)
	}
	faults.Set()
}

// TestNoDescriptorLeft: whatever the answer, nothing stays open.
func TestNoDescriptorLeft(t *testing.T) {
	var clock lab.Clock
	root := lab.Files{"f": "x\n", "d/": "", "p": "|", "out": "-> /etc/passwd", "l": "-> nowhere",
		".git/x": "", "h": "-> .git/x", "big": "0123456789", "e": ""}.Grow(t, t.TempDir())
	tree := &Tree{Clock: clock.At, Path: root}
	rest(&clock)
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	before := count()
	for range 20 {
		for _, name := range []string{"f", "d", "p", "out", "l", "h", "big", "e", "none"} {
			tree.serve(name)
			tree.Read(atOnce(), ".", name, 5)
			tree.Read(atOnce(), "d", name, 5)
			tree.Find(atOnce(), name, []string{"x"})
			(&Index{Tree: tree, Dir: name, Keys: lower}).Find(atOnce(), []string{"x"})
		}
	}
	if after := count(); after > before+9 {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
