package daemon

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLogNeverWaits writes to a reader that does not read: the writer goes on, and what is lost is counted.
func TestLogNeverWaits(t *testing.T) {
	r, pipe := io.Pipe()
	w, err := OpenLog("", pipe)
	if err != nil {
		t.Fatal(err)
	}
	const more = 50
	for i := range logQueue + more {
		fmt.Fprintf(w, "line %d\n", i)
	}
	// One line may be in the hands of the goroutine that writes.
	if d := w.Dropped(); d != more && d != more-1 {
		t.Errorf("%d lines dropped, want %d or one less", d, more)
	}
	go io.Copy(io.Discard, r)
	w.Close()
	fmt.Fprintln(w, "after the end")
}

func TestLogReopen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w, err := OpenLog(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(w, "one")
	if !eventually(func() bool { b, _ := os.ReadFile(name); return strings.Contains(string(b), "one") }) {
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
