package lab

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestClock: what was written before time passed is older by that much, and
// what is written afterwards is new.
func TestClock(t *testing.T) {
	var c Clock
	dir := t.TempDir()
	age := func(name string) time.Duration {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return c.At(time.Now()).Sub(c.At(info.ModTime()))
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := age(name); got < 0 || got >= time.Hour {
			t.Errorf("%s was made just now, and is %v old", name, got)
		}
		c.Pass(time.Hour)
	}
	for name, want := range map[string]time.Duration{"a": 3 * time.Hour, "b": 2 * time.Hour,
		"c": time.Hour} {
		if got := age(name); got < want || got >= want+time.Hour {
			t.Errorf("%s is %v old, want %v", name, got, want)
		}
	}
}
