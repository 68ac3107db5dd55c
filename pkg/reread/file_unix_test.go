//go:build unix

package reread

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadFile_NotRegular: a pipe that nobody writes to keeps nobody waiting.
func TestReadFile_NotRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, pipe} {
		_, info, err := ReadFile(name, 10)
		if !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), name) || info == nil ||
			info.Mode().IsRegular() {
			t.Errorf("%v, %v", info, err)
		}
	}
	if _, _, err := ReadFile(filepath.Join(dir, "nothing"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
