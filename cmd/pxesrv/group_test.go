//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMayWrite: who may not give orders is told the group that may.
func TestMayWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "once")
	for mode, want := range map[os.FileMode]string{0o775: "members of the group ",
		0o755: "no group may write to " + dir, 0: "no group may"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if got := mayWrite(dir); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %q", mode, got)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := mayWrite(dir); got != "" {
		t.Errorf("not there: %q", got)
	}
}
