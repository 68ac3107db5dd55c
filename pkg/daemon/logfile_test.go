package daemon

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stopped is a writer that hangs until it is released.
type stopped struct{ hangs, release chan struct{} }

func (s stopped) Write(p []byte) (int, error) {
	s.hangs <- struct{}{}
	<-s.release
	return len(p), nil
}

// TestLogNeverWaits writes to something that hangs: the writer goes on, and
// what is lost is counted.
func TestLogNeverWaits(t *testing.T) {
	out := stopped{make(chan struct{}, 2), make(chan struct{})}
	w, err := OpenLog("", out)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(w, "the line that hangs")
	<-out.hangs
	line := strings.Repeat("x", 1023) + "\n"
	const more = 50
	for range logBytes/len(line) + more {
		fmt.Fprint(w, line)
	}
	if d := w.Dropped(); d != more {
		t.Errorf("%d lines dropped, want %d", d, more)
	}
	close(out.release)
	w.Close()
	fmt.Fprintln(w, "after the end")
	if d := w.Dropped(); d != more {
		t.Errorf("%d lines dropped after the end, want %d", d, more)
	}
}

// short is a disk that is full after so many bytes.
type short int

func (s short) Write(p []byte) (int, error) { return int(s), io.ErrShortWrite }

// TestLogCountsLost counts the lines that a full disk did not take, also those
// of which it took a part.
func TestLogCountsLost(t *testing.T) {
	w, err := OpenLog("", short(6))
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("first\nsecond\nthird\n"))
	w.Close()
	if d := w.Dropped(); d != 2 {
		t.Errorf("%d lines dropped, want 2", d)
	}
}

func TestLogReopen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w, err := OpenLog(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(w, "one")
	if !eventually(func() bool {
		b, _ := os.ReadFile(name)
		return strings.Contains(string(b), "one")
	}) {
		t.Fatal("the first line was not written")
	}
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	w.Reopen()
	if !eventually(func() bool { _, err := os.Stat(name); return err == nil }) {
		t.Fatal("the file was not opened again")
	}
	fmt.Fprintln(w, "two")
	w.Close()
	if b, _ := os.ReadFile(name); string(b) != "two\n" {
		t.Errorf("the new file has %q", b)
	}
	if b, _ := os.ReadFile(name + ".1"); string(b) != "one\n" {
		t.Errorf("the old file has %q", b)
	}
}

func TestLogRefused(t *testing.T) {
	if _, err := OpenLog(filepath.Join(t.TempDir(), "no", "log"), nil); err == nil {
		t.Error("a file that cannot be made was opened")
	}
}
