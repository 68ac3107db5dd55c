package reread

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
)

// TestFile_ReadFailsOnce: a file at rest whose reading failed is read again,
// though nothing about it has changed.
func TestFile_ReadFailsOnce(t *testing.T) {
	t.Parallel()
	source := lab.Files{"file": "text"}.Grow(t, t.TempDir())
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(source, "file"), old, old); err != nil {
		t.Fatal(err)
	}
	faults := faultfs.Mount(t, source)
	v := File(filepath.Join(faults.Dir, "file"), 100,
		func(text []byte, _ fs.FileInfo) (string, error) { return string(text), nil })
	faults.Set(faultfs.EIO(1, faultfs.OpRead))
	if s := v.Get(); s.Err == nil {
		t.Fatalf("%+v, want an error", s)
	}
	faults.Set()
	if s := v.Get(); s.Err != nil || s.Value != "text" {
		t.Errorf("%+v when the disk is well again", s)
	}
}
