//go:build linux

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/lab/faultfs"
)

// TestCheck_Hangs: a disk that does not answer is told after a moment, with its
// name, and when it answers again.
func TestCheck_Hangs(t *testing.T) {
	defer func(d time.Duration) { answersWithin = d }(answersWithin)
	answersWithin = 100 * time.Millisecond
	source := t.TempDir()
	if err := os.Mkdir(filepath.Join(source, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	disk := faultfs.Mount(t, source)
	for what, c := range map[string]Config{
		"the document root " + disk.Dir + " does not answer": {Root: disk.Dir},
		"or of the state directory, does not answer": {Root: t.TempDir(),
			State: disk.Dir + "/sub"},
	} {
		disk.Set(faultfs.Hang(0))
		// nothing ends a process that waits for such a disk
		over := time.AfterFunc(time.Minute, func() { disk.Set() })
		var hangs *Hangs
		if err := c.Check(); !errors.As(err, &hangs) || !strings.Contains(err.Error(), what) {
			t.Fatalf("%v, want %s", err, what)
		}
		if SameDir(disk.Dir, c.Root+"/.") != (c.Root == disk.Dir) {
			t.Errorf("two paths to %s", c.Root)
		}
		if SameDir(disk.Dir+"/sub", source+"/sub") {
			t.Error("what hangs is something that is known")
		}
		select {
		case <-hangs.Ended:
			t.Error("it has answered")
		default:
		}
		over.Stop()
		disk.Set()
		<-hangs.Ended
		answersWithin = time.Minute
		if err := c.Check(); err != nil {
			t.Error(err)
		}
		answersWithin = 100 * time.Millisecond
	}
}
