package media_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pxesrv/pkg/hosts"
	"pxesrv/pkg/media"
)

const listText = `name,mac,address,server
web1,52:54:00:00:00:01,10.0.0.1/24,http://10.0.0.5
a:b,,10.0.0.2/24,http://10.0.0.5
c:d:e,,10.0.0.3/24,http://10.0.0.5
c-d:e,,10.0.0.4/24,http://10.0.0.5
52-54-00-00-00-07,52:54:00:00:00:07,10.0.0.7/24,http://10.0.0.5
`

func newList(t *testing.T, text string) (*media.List, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hosts.csv")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return media.OpenList(file, hosts.Options{}), file
}

// TestList_Find: a name leads to one host or to none.
func TestList_Find(t *testing.T) {
	l, _ := newList(t, listText)
	for name, want := range map[string]string{
		"web1": "web1", "WEB1": "web1", "52-54-00-00-00-01": "web1", "52:54:00:00:00:01": "web1",
		"5254.0000.0001": "web1", "a:b": "a:b", "a-b": "a:b",
		"c:d:e": "c:d:e", "c-d:e": "c-d:e", "52-54-00-00-00-07": "52-54-00-00-00-07",
		"52:54:00:00:00:07": "52-54-00-00-00-07",
		"c-d-e":             "", // would be the file of two hosts
		"525400000001":      "", "web": "", "web11": "", "": "", "10.0.0.1": "", "../web1": "",
		"52-54-00-00-00-0": "",
	} {
		h, err := l.Find(name)
		if h.Name != want || (want == "") != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q leads to %q, %v; want %q", name, h.Name, err, want)
		}
	}
}

// TestList_Changes: what people do to a file while it is in use, and what is
// known then.
func TestList_Changes(t *testing.T) {
	l, file := newList(t, "nonsense\n")
	if _, err := l.Find("web1"); !errors.Is(err, media.ErrNoList) ||
		errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), file) != 1 {
		t.Errorf("never read: %v", err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(listText)
	if st := l.State(); st.Hosts != 5 || len(st.Bad) != 0 || st.Err != nil {
		t.Errorf("good: %+v", st)
	}
	write("name;address\n")
	if st := l.State(); st.Hosts != 5 || st.Err == nil || !strings.Contains(st.Err.Error(), file) {
		t.Errorf("broken: %+v", st)
	}
	// The same size, at once: no clock of a file system tells them apart.
	write(strings.Replace(listText, "web1", "web2", 1))
	if h, err := l.Find("web2"); h.Name != "web2" || err != nil {
		t.Errorf("%v %v", h.Name, err)
	}
	write(strings.Replace(listText, "web1", "web3", 1))
	if h, err := l.Find("web3"); h.Name != "web3" || err != nil {
		t.Errorf("%v %v", h.Name, err)
	}
	aside := file + ".new"
	if err := os.WriteFile(aside, []byte(listText+"bad,,10.0.0.300/24,http://10.0.0.5\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, file); err != nil {
		t.Fatal(err)
	}
	if st := l.State(); st.Hosts != 5 || len(st.Bad) == 0 || st.Bad[0].Line != 7 || st.Err != nil {
		t.Errorf("one bad row: %+v", st)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if st := l.State(); st.Hosts != 5 || st.Err == nil {
		t.Errorf("a directory: %+v", st)
	}
}

// TestList_Contradiction: who has another's cards is not certainly that host.
func TestList_Contradiction(t *testing.T) {
	l, _ := newList(t, listText)
	const one, seven, nine = "52-54-00-00-00-01", "52-54-00-00-00-07", "52-54-00-00-00-09"
	for _, row := range []struct {
		name string
		macs []string
		why  string
	}{
		{"web1", nil, ""},
		{"web1", []string{one}, ""},
		{"WEB1", []string{nine, one}, ""},
		{"a:b", []string{nine}, ""},
		{"nobody", []string{nine}, ""},
		{"web1", []string{nine}, "has not its card " + one},
		{"web1", []string{one, seven}, "has the card " + seven + " of the host " + seven},
		{"a:b", []string{one}, "of the host web1"},
		{"nobody", []string{one}, "of the host web1"},
	} {
		if why := l.Contradiction(row.name, row.macs); (row.why == "") != (why == "") ||
			!strings.Contains(why, row.why) {
			t.Errorf("%s with %v: %q, want %q", row.name, row.macs, why, row.why)
		}
	}
	broken, _ := newList(t, "nonsense\n")
	if broken.Contradiction("web1", []string{one}) == "" {
		t.Error("certain without a list")
	}
}
