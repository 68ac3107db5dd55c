package reread

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// watched is a file whose value is its text, and how often that was worked out.
type watched struct {
	*Value[string]
	name   string
	parsed atomic.Int32
}

func watch(t *testing.T, text string) *watched {
	t.Helper()
	w := &watched{name: filepath.Join(t.TempDir(), "file")}
	w.Value = File(w.name, 100, func(text []byte, _ fs.FileInfo) (string, error) {
		w.parsed.Add(1)
		if strings.HasPrefix(string(text), "bad") {
			return "", errors.New(string(text))
		}
		return string(text), nil
	})
	w.write(t, text, time.Hour)
	return w
}

// write writes the file, which was changed so long ago.
func (w *watched) write(t *testing.T, text string, ago time.Duration) {
	t.Helper()
	if err := os.WriteFile(w.name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	w.touch(t, ago)
}

func (w *watched) touch(t *testing.T, ago time.Duration) {
	t.Helper()
	if err := os.Chtimes(w.name, time.Time{}, time.Now().Add(-ago)); err != nil {
		t.Fatal(err)
	}
}

func (w *watched) want(t *testing.T, value, why string, parsed int32) {
	t.Helper()
	s := w.Get()
	if s.Value != value || (s.Err == nil) != (why == "") ||
		s.Err != nil && !strings.Contains(s.Err.Error(), why) {
		t.Errorf("%+v, want %q and the error %q", s, value, why)
	}
	if n := w.parsed.Load(); n != parsed {
		t.Errorf("worked out %d times, want %d", n, parsed)
	}
}

// TestFile goes through what happens to a file.
func TestFile(t *testing.T) {
	t.Parallel()
	w := watch(t, "one")
	w.want(t, "one", "", 1)
	w.want(t, "one", "", 1) // at rest, it is not even read
	w.write(t, "two", time.Minute)
	w.want(t, "two", "", 2)
	w.touch(t, time.Second*30)
	w.want(t, "two", "", 2) // the same text
	w.write(t, "bad", time.Minute)
	w.want(t, "two", "bad", 3)
	w.want(t, "two", "bad", 3)
	if err := os.Remove(w.name); err != nil {
		t.Fatal(err)
	}
	w.want(t, "two", "no such file", 3)
	w.want(t, "two", "no such file", 3)
	w.write(t, "two", time.Minute)
	w.want(t, "two", "", 4)
	w.write(t, strings.Repeat("x", 101), time.Minute)
	w.want(t, "two", "is too large", 4)
	w.write(t, strings.Repeat("x", 100), time.Minute)
	w.want(t, strings.Repeat("x", 100), "", 5)
	if err := os.Chmod(w.name, 0o600); err != nil {
		t.Fatal(err)
	}
	w.want(t, strings.Repeat("x", 100), "", 6) // what comes of it may depend on that
}

// TestFile_AtRest: a file that has just changed may change again without a new
// time; once it is at rest, its time tells.
func TestFile_AtRest(t *testing.T) {
	t.Parallel()
	w := watch(t, "one")
	soon := time.Now().Add(time.Hour) // it never comes to rest
	again := func(text string) {
		t.Helper()
		if err := os.WriteFile(w.name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(w.name, time.Time{}, soon); err != nil {
			t.Fatal(err)
		}
	}
	again("one")
	w.want(t, "one", "", 1)
	again("two") // the same length and time
	w.want(t, "two", "", 2)

	w.write(t, "one", time.Hour)
	w.want(t, "one", "", 3)
	info, err := os.Stat(w.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.name, []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(w.name, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	w.want(t, "one", "", 3)
}

// TestSame compares looks at files.
func TestSame(t *testing.T) {
	t.Parallel()
	w := watch(t, "one")
	stat := func() fs.FileInfo {
		info, err := os.Stat(w.name)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before := stat()
	if !Same(before, stat()) || !Same(nil, nil) || Same(before, nil) || Same(nil, before) {
		t.Error("what is the same is not, or none is the same as one")
	}
	w.touch(t, time.Minute)
	if Same(before, stat()) {
		t.Error("another time")
	}
	before = stat()
	if err := os.Chmod(w.name, 0o600); err != nil {
		t.Fatal(err)
	}
	if Same(before, stat()) {
		t.Error("other rights")
	}
}
