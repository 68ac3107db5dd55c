//go:build linux

package order

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/tree"
)

// TestJournalIsMadeForAll: a command of root, with the umask of root, makes the
// journal before the daemon first runs. It is for the same people as the
// directory of the orders.
func TestJournalIsMadeForAll(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to a group that it is not in")
	}
	for _, once := range []rights{{0, 4321, 0o2775}, {4320, 4321, 0o755}, {4320, 4321, 0o2770},
		{0, 0, 0o700}} {
		dir := t.TempDir()
		once.give(t, dir)
		s, _ := newStore(dir)
		place1(t, s, "m1", "../good")
		umask(t, 0o077, func() {
			if _, err := s.Cancel("m1", "alice"); err != nil {
				t.Fatal(err)
			}
			if p := s.Check(); len(p) > 0 {
				t.Errorf("%v: %q", once, p)
			}
		})
		for _, j := range journals {
			if is := rightsAt(t, filepath.Join(dir, j.dir)); is != once {
				t.Errorf("%s is %v, the directory of the orders %v", j.dir, is, once)
			}
		}
	}
}

// TestJournalRights: a journal that fewer may write than the directory of the
// orders is told of by whoever looks, and mended by whoever may.
func TestJournalRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to others")
	}
	for _, test := range []struct {
		once, served rights
		narrower     bool
	}{
		{rights{0, 4321, 0o2775}, rights{0, 4321, 0o2755}, true}, // made by root, cut by its umask
		{rights{0, 4321, 0o775}, rights{0, 0, 0o775}, true},      // of another group
		{rights{4320, 4321, 0o755}, rights{0, 4321, 0o755}, true},
		{rights{0, 0, 0o777}, rights{0, 0, 0o775}, true},
		// the daemon can, its group cannot take orders back
		{rights{0, 4321, 0o2775}, rights{4320, 4321, 0o2755}, true},
		{rights{0, 4321, 0o2775}, rights{4320, 4321, 0o2775}, false},
		{rights{0, 4321, 0o2775}, rights{0, 4321, 0o775}, false},
		{rights{0, 4321, 0o2775}, rights{0, 4321, 0o777}, false},
		{rights{4320, 4321, 0o755}, rights{4320, 0, 0o700}, false},
		{rights{0, 0, 0o755}, rights{4320, 0, 0o755}, false}, // root may all
	} {
		t.Run(fmt.Sprint(test.once, " ", test.served), func(t *testing.T) {
			dir := t.TempDir()
			served := filepath.Join(dir, servedDir)
			for path, r := range map[string]rights{dir: test.once, served: test.served} {
				os.MkdirAll(path, 0o755)
				r.give(t, path)
			}
			s, _ := newStore(dir)
			said := s.JournalRights()
			if len(said) > 0 != test.narrower {
				t.Fatalf("%v", said)
			}
			if again := rightsAt(t, served); again != test.served {
				t.Errorf("looking made it %v", again)
			}
			if !test.narrower {
				return
			}
			if sure := test.served.owner == 0; said[0].Sure != sure {
				t.Errorf("sure: %v", said[0].Sure)
			}
			do := fmt.Sprintf("chmod %04o %s", test.once.mode, tree.Quote(served))
			if said[0].Where != "once/.served" || !strings.HasSuffix(said[0].Do, do) ||
				!strings.Contains(said[0].What, "stay open") {
				t.Errorf("said %q, want %q", said[0], do)
			}
			if p := s.Check(); len(p) > 0 {
				t.Errorf("root could not mend it: %q", p)
			}
			if is := rightsAt(t, served); is != test.once {
				t.Errorf("mended it is %v", is)
			}
		})
	}
}

type rights struct {
	owner, group int
	mode         uint32
}

func (r rights) give(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Chown(dir, r.owner, r.group); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chmod(dir, r.mode); err != nil {
		t.Fatal(err)
	}
}

func rightsAt(t *testing.T, dir string) rights {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return rights{int(st.Uid), int(st.Gid), st.Mode & 0o7777}
}

func umask(t *testing.T, mask int, do func()) {
	t.Helper()
	defer unix.Umask(unix.Umask(mask))
	do()
}

// TestJournalIsNoDirectory: a file or a link in the place of the journal is
// told of, and stays.
func TestJournalIsNoDirectory(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"file": func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"link": func(path string) error { return os.Symlink(t.TempDir(), path) },
		"loop": func(path string) error { return os.Symlink(servedDir, path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			served := filepath.Join(dir, servedDir)
			if err := put(served); err != nil {
				t.Fatal(err)
			}
			s, _ := newStore(dir)
			if said := s.JournalRights(); len(said) != 1 || said[0].Where != "once" ||
				!said[0].Sure || !strings.Contains(said[0].What, served) {
				t.Errorf("said %v", said)
			}
			if p := s.Check(); len(p) != 1 {
				t.Errorf("the daemon says %q", p)
			}
			if _, err := os.Lstat(served); err != nil {
				t.Error(err)
			}
		})
	}
}
