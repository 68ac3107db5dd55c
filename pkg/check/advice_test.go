//go:build linux

package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pxesrv/pkg/tree"
)

// finding returns what is said of a file, and fails when that is not one thing.
func (r *room) finding(file string) Finding {
	r.Helper()
	all, err := Tree(r.Context(), r.config, Options{Loaders: []string{}})
	r.must(err)
	var found []Finding
	for _, f := range all {
		if f.File == file {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		r.Fatalf("%d findings for %s: %+v", len(found), file, found)
	}
	return found[0]
}

// TestAdviceSpares: nobody loses a file by pasting all the advice, whatever
// names are there already.
func TestAdviceSpares(t *testing.T) {
	for name, files := range map[string][]string{
		"backup and live":          {"static/10.0.0.33~", "static/10.0.0.33"},
		"backup alone":             {"static/10.0.0.33~"},
		"two backups":              {"static/10.0.0.33~", "static/10.0.0.33.bak"},
		"zeros and live":           {"static/10.0.0.033", "static/10.0.0.33"},
		"zeros, two ways":          {"static/10.0.0.033", "static/010.0.0.33"},
		"twelve digits and live":   {"static/525400123456", "static/52-54-00-12-34-56"},
		"twelve digits and colons": {"static/525400123456", "static/52:54:00:12:34:56"},
		"capitals and live":        {"static/52-54-00-AB-34-56", "static/52-54-00-ab-34-56"},
		"three of one": {"static/5254.00ab.3456", "static/52:54:00:ab:34:56",
			"static/01-52-54-00-ab-34-56"},
		"serial":           {"static/S N 4", "static/S-N-4"},
		"serial, two ways": {"static/S N 4", "static/S_N 4", "static/S/../S+N 4"},
		"uuid": {"static/12345678-9ABC-DEF0-1122-AABBCCDDEEFF",
			"static/12345678-9abc-def0-1122-aabbccddeeff"},
		"IPv6": {"static/2001:DB8:0::7", "static/2001:db8::7",
			"static/2001:db8:0:0::7"},
		"protect": {"protect/525400123456", "protect/52-54-00-12-34-56",
			"protect/10.0.0.7.txt", "protect/10.0.0.7"},
		"look-alikes":     {"Static/10.0.0.7", "static/10.0.0.7", "statics/10.0.0.7"},
		"two look-alikes": {"Protect/10.0.0.7", "protected/10.0.0.8"},
		"readme":          {"static/README.MD.txt", "static/readme"},
		"hostile names": {"static/-rf.bak", "static/a'b c", "static/$(touch x)",
			"static/a\nb", "static/;rm *", "static/~.old"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			r.write("default", good)
			for i, file := range files {
				r.write(file, fmt.Sprintf("#!ipxe\necho %d\nexit 1\n", i))
			}
			if strings.HasPrefix(name, "two look") {
				r.must(os.Remove(r.path("protect")))
			}
			before := r.contents()
			all, err := Tree(t.Context(), r.config, Options{Loaders: []string{}})
			r.must(err)
			for _, f := range all {
				t.Logf("%q: %s; %s", f.File, f.What, f.Do)
				if strings.ContainsAny(f.Do, "\n\r\x1b") {
					t.Errorf("more than a line: %q", f.Do)
				}
				command, _, _ := strings.Cut(f.Do, ", or ")
				command, _, _ = strings.Cut(command, ", if ")
				if strings.HasPrefix(command, "mv ") {
					cmd := exec.Command("bash", "-c", command)
					cmd.Dir = r.root
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Errorf("%s: %s", command, out)
					}
				}
			}
			if after := r.contents(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// contents is what the files of the room have in them, by whatever name.
func (r *room) contents() string {
	r.Helper()
	out, err := exec.Command("sh", "-c", `find "$1" -type f -exec cat {} + | sort`, "sh",
		r.root).Output()
	r.must(err)
	return string(out)
}

// TestTwinsAreNamed: where the right name is taken the advice names it, and
// leaves the choice to a person.
func TestTwinsAreNamed(t *testing.T) {
	for _, names := range [][2]string{{"static/10.0.0.33~", "static/10.0.0.33"},
		{"static/10.0.0.033", "static/10.0.0.33"},
		{"static/525400123456", "static/52-54-00-12-34-56"}, {"once/S N", "once/S-N"},
		{"protect/525400123456", "protect/52-54-00-12-34-56"}} {
		r := newRoom(t)
		r.write("default", good)
		for _, n := range names {
			if strings.HasPrefix(n, "once/") {
				r.link(n, "../default")
			} else {
				r.write(n, good)
			}
		}
		f := r.finding(names[0])
		if !strings.Contains(f.What+f.Do, names[1]) || strings.Contains(f.Do, "mv ") ||
			!strings.Contains(f.Do, "remove one of them") {
			t.Errorf("%s: %s; %s", names[0], f.What, f.Do)
		}
	}
}

// TestLinkFromTheRoot: a link that was written as if it lay elsewhere is told
// its right text, which is then right.
func TestLinkFromTheRoot(t *testing.T) {
	for link, texts := range map[string][]string{
		"static/10.0.0.30": {"install/x.ipxe", "/install/x.ipxe", "./install/x.ipxe",
			"../../install/x.ipxe", "root/install/x.ipxe"},
		"once/10.0.0.30": {"install/x.ipxe", "root/install/x.ipxe"},
		"default":        {"../install/x.ipxe", "root/install/x.ipxe"},
	} {
		for _, text := range texts {
			r := newRoom(t)
			r.write("install/x.ipxe", good)
			if link != "default" {
				r.write("default", good)
			}
			r.link(link, text)
			f := r.finding(link)
			_, command, found := strings.Cut(f.Do, " is there: ")
			if !found || !strings.HasPrefix(command, "ln -sfn ") {
				t.Errorf("%s -> %s: %s; %s", link, text, f.What, f.Do)
				continue
			}
			cmd := exec.Command("sh", "-c", command)
			cmd.Dir = r.root
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s", command, out)
			}
			if got := r.check(Options{}); len(got) > 0 {
				t.Errorf("%s -> %s: %s, and then: %s", link, text, command, got)
			}
		}
	}
	// What is nowhere, and what leads to something, is left alone.
	r := newRoom(t)
	r.write("default", good)
	r.write("x/y.ipxe", "no script\n")
	for name, text := range map[string]string{"10.0.0.1": "x/z.ipxe", "10.0.0.2": "x/y.ipxe",
		"10.0.0.3": "/etc/hostname", "10.0.0.4": "10.0.0.4"} {
		r.link("static/"+name, text)
		if f := r.finding("static/" + name); strings.Contains(f.Do, "ln ") {
			t.Errorf("static/%s -> %s: %s", name, text, f.Do)
		}
	}
}

// TestLookalikes: a directory that somebody made for the names of machines, and
// that nobody looks into.
func TestLookalikes(t *testing.T) {
	for name, right := range map[string]string{"Static": "static", "statics": "static",
		"static ": "static", "STATIC": "static", "_static": "static",
		"sttaic": "static", "staic": "static", "Once": "once", "onces": "once", "once-": "once",
		"protected": "protect", "Protect": "protect",
		"protection": "protect", "protec": "protect", "Private": "private", "privat": "private",
		"static": "", "states": "", "statistics": "", "one": "", "nonce": "", "ounce": "",
		"projects": "", "static2": "", "images": "", ".static": ""} {
		if got := resembles(name); got != right {
			t.Errorf("%s: %q, want %q", name, got, right)
		}
	}
	r := newRoom(t)
	r.write("default", good)
	r.write("Static/10.0.0.7", good)
	r.write("statics", "a file\n")
	r.must(os.Remove(r.path("protect")))
	r.write("protected/10.0.0.7", "")
	r.link("Once", "once")
	r.expect(r.check(Options{}),
		[]string{"Static:0 warning misspelt", "protected:0 warning misspelt"})
	if do := r.finding("protected").Do; do != "mv protected protect" {
		t.Error(do)
	}
	r.write("Protection/10.0.0.8", "")
	r.must(os.Remove(r.path("once")))
	r.write("-once/10.0.0.9", good)
	for name, do := range map[string]string{"Protection": "mv Protection protect",
		"-once":     "mv ./-once once",
		"protected": "Protection/ is meant for protect/ as well: put into it what is missing there"} {
		if got := r.finding(name).Do; got != do {
			t.Errorf("%s: %s", name, got)
		}
	}
	if do := r.finding("Static").Do; strings.Contains(do, "mv ") ||
		!strings.Contains(do, "static/ is there") {
		t.Error(do)
	}
}

// TestQuote: a shell reads back what was quoted.
func TestQuote(t *testing.T) {
	for _, name := range []string{"static/a", "a b", "it's", `back\slash`, "$HOME", "`x`", "!!",
		"*", "-x", "~", "#", "", "a\nb", "\x1b[31m'\\", "\xff\xfe", "é"} {
		word := tree.Quote(name)
		out, err := exec.Command("bash", "-c", "printf %s "+word).Output()
		if err != nil || string(out) != name || strings.ContainsAny(word, "\n\x1b") {
			t.Errorf("%q: %s, %q, %v", name, word, out, err)
		}
	}
}

// TestOtherOnce: advice about orders names the directory where they are.
func TestOtherOnce(t *testing.T) {
	r := newRoom(t)
	r.write("default", good)
	r.config.OnceDir = t.TempDir()
	rel, err := filepath.Rel(r.config.OnceDir, r.path("default"))
	r.must(err)
	r.must(os.Symlink(rel, filepath.Join(r.config.OnceDir, "AA:BB:CC:00:00:01")))
	want := fmt.Sprintf("mv %s/AA:BB:CC:00:00:01 %[1]s/aa-bb-cc-00-00-01", r.config.OnceDir)
	if do := r.finding("once/AA:BB:CC:00:00:01").Do; do != want {
		t.Errorf("%s, want %s", do, want)
	}
}
