package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCheckScript(t *testing.T) {
	for body, want := range map[string]Code{
		"#!ipxe\n":                         "",
		"#!ipxe\necho\n":                   "",
		"#!ipxe\r\necho\r\n":               "",
		"#!ipxe ":                          "",
		"#!ipxe\t# x\n":                    "",
		"#!ipxe\v":                         "",
		"#!ipxe\f":                         "",
		"#!gpxe\n":                         "",
		"#!gpxe\r\n":                       "",
		"":                                 Empty,
		"#!ipxe":                           NoScript,
		"#!gpxe":                           NoScript,
		"#!ipxe2\n":                        NoScript,
		"#!ipxe\x00":                       NoScript,
		"#!ipxe\xa0":                       NoScript,
		"#!ipxeecho":                       NoScript,
		"#!IPXE\n":                         NoScript,
		"#!bpxe\n":                         NoScript,
		"#! ipxe\n":                        NoScript,
		"#!/usr/bin/ipxe\n":                NoScript,
		" #!ipxe\n":                        NoScript,
		"\n#!ipxe\n":                       NoScript,
		"\xef\xbb\xbf#!ipxe\n":             NoScript,
		"\xff\xfe#\x00!\x00i\x00p\x00":     NoScript,
		"<!DOCTYPE html>\n":                NoScript,
		"<html>":                           NoScript,
		"\x1f\x8b\x08\x00\x00\x00\x00\x00": NoScript,
		"\x7fELF":                          NoScript,
		"MZ\x90\x00":                       NoScript,
		"not found":                        NoScript,
		"\n":                               NoScript,
		"#":                                NoScript,
	} {
		err := CheckScript([]byte(body))
		var u *Unservable
		switch {
		case err == nil && want != "":
			t.Errorf("%q passes", body)
		case err != nil && (!errors.As(err, &u) || u.Code != want || u.Why == ""):
			t.Errorf("%q: %v, want %q", body, err, want)
		}
	}
	if err := CheckScript([]byte("\xef\xbb\xbf#!ipxe\n")); !strings.Contains(err.Error(),
		"byte order mark") {
		t.Errorf("the message does not name the byte order mark: %v", err)
	}
}

// A world is what the rules of these tests find: entries by step, and errors of
// Find.
type world struct {
	entries map[Step][]Entry
	faults  map[Step]error
	asked   []string // Find and Load, May and Take of each entry, in order
}

type fakeRule struct {
	w    *world
	step Step
}

func (r fakeRule) Step() Step { return r.step }

func (r fakeRule) Find(_ context.Context, c *Machine) ([]Entry, error) {
	r.w.asked = append(r.w.asked, "find "+string(r.step))
	return r.w.entries[r.step], r.w.faults[r.step]
}

// fake is an entry that answers with its path, or with an error.
type fake struct {
	w    *world
	path string
	load error
}

func (f *fake) Info() Info { return Info{Path: f.path, Target: "to " + f.path} }

func (f *fake) Load(context.Context, *Machine) (Script, error) {
	f.w.asked = append(f.w.asked, "load "+f.path)
	if f.load != nil {
		return Script{}, f.load
	}
	return Script{[]byte("#!ipxe\n# " + f.path + "\n"), f.path}, nil
}

type fakeOrder struct {
	fake
	may, take error
	replaced  string // the script of what was really claimed
	onLoad    func()
}

func (f *fakeOrder) Load(ctx context.Context, m *Machine) (Script, error) {
	if f.onLoad != nil {
		f.onLoad()
	}
	return f.fake.Load(ctx, m)
}

func (f *fakeOrder) Allowed(context.Context) error {
	f.w.asked = append(f.w.asked, "may "+f.path)
	return f.may
}

func (f *fakeOrder) Claim(_ context.Context, _ *Machine, loaded Script) (Grant, Script, error) {
	f.w.asked = append(f.w.asked, "take "+f.path)
	if f.take != nil {
		return nil, Script{}, f.take
	}
	if f.replaced != "" {
		loaded = Script{[]byte(f.replaced), "replaced"}
	}
	return fakeGrant(f.path), loaded, nil
}

type fakeGrant string

func (g fakeGrant) ID() string    { return string(g) }
func (fakeGrant) GiveBack(string) {}
func (fakeGrant) Confirm(bool)    {}

var steps = []Step{Protect, Resend, Once, Static, Default}

// decide builds a world in the words of a line and resolves in it. Each word is
// "step/name" for an entry, with "+" before an order and a letter behind it for
// what is wrong: ":u" unservable, ":e" an error that is none of ours, ":s"
// unsure, ":h" held, ":t" taken by another, ":f" a claim that fails with an
// error of the disk, ":r" replaced meanwhile. "!step" is an error of Find.
func decide(line string, c *Machine, take bool) (Answer, *world, error) {
	w := &world{entries: map[Step][]Entry{}, faults: map[Step]error{}}
	disk := errors.New("input/output error")
	for word := range strings.FieldsSeq(line) {
		if step, ok := strings.CutPrefix(word, "!"); ok {
			w.faults[Step(step)] = disk
			continue
		}
		word, what, _ := strings.Cut(word, ":")
		path, isOrder := strings.CutPrefix(word, "+")
		step, _, _ := strings.Cut(path, "/")
		f := fake{w: w, path: path}
		switch what {
		case "u":
			f.load = &Unservable{Missing, "dangles"}
		case "e":
			f.load = disk
		case "s":
			f.load = fmt.Errorf("read: %w", ErrUnsure)
		}
		if !isOrder {
			w.entries[Step(step)] = append(w.entries[Step(step)], &f)
			continue
		}
		o := &fakeOrder{fake: f}
		switch what {
		case "h":
			o.may = &Unservable{Held, "too often"}
		case "t":
			o.take = &Unservable{Taken, "another was quicker"}
		case "f":
			o.take = disk
		case "r":
			o.replaced = "#!ipxe\n# another\n"
		}
		w.entries[Step(step)] = append(w.entries[Step(step)], o)
	}
	var rules []Rule
	for _, s := range steps {
		rules = append(rules, fakeRule{w, s})
	}
	a, err := Resolve(context.Background(), c, rules, take)
	return a, w, err
}

// said is a trace in words.
func said(t Trace) string {
	var all []string
	for _, f := range t.Findings {
		s := string(f.Outcome) + " " + f.Path
		if f.Order {
			s = string(f.Outcome) + " +" + f.Path
		}
		if f.Code != "" {
			s += " (" + string(f.Code) + ")"
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

// TestResolve: what is there, what answers, and what the trace says of each
// entry. "404" is ErrNothing, "503" ErrUnsure.
func TestResolve(t *testing.T) {
	for _, test := range []struct {
		there  string
		answer string
		trace  string // of a request that takes orders
		looked string // of one that only looks; "" = the same
	}{
		{"", "404", "", ""},
		{"default/d", "default/d", "answer default/d", ""},
		{"static/s default/d", "static/s", "answer static/s", "answer static/s, behind default/d"},

		// The steps in order, whatever the order of the names.
		{"protect/p +resend/r +once/o static/s default/d", "protect/p",
			"answer protect/p, waits +resend/r, waits +once/o",
			"answer protect/p, waits +resend/r, waits +once/o, behind static/s, behind default/d"},
		{"+resend/r +once/o static/s default/d", "resend/r", "answer +resend/r",
			"answer +resend/r, behind +once/o, behind static/s, behind default/d"},
		{"+once/o static/s default/d", "once/o", "answer +once/o",
			"answer +once/o, behind static/s, behind default/d"},

		// All names at each step, strongest first.
		{"static/a static/b default/d", "static/a", "answer static/a",
			"answer static/a, behind static/b, behind default/d"},
		{"+once/a +once/b static/a", "once/a", "answer +once/a",
			"answer +once/a, behind +once/b, behind static/a"},
		{"protect/a protect/b +once/a", "protect/a", "answer protect/a, waits +once/a",
			"answer protect/a, behind protect/b, waits +once/a"},

		// What cannot be served is skipped: the next name, then the next step.
		{"static/a:u static/b default/d", "static/b", "skipped static/a (missing), answer static/b",
			"skipped static/a (missing), answer static/b, behind default/d"},
		{"static/a:u default/d", "default/d", "skipped static/a (missing), answer default/d", ""},
		{"+once/a:u +once/b", "once/b", "skipped +once/a (missing), answer +once/b", ""},
		{"+once/a:u static/s", "static/s", "skipped +once/a (missing), answer static/s", ""},
		{"once/a:u static/s", "static/s", "skipped once/a (missing), answer static/s", ""},
		{"+once/a:h static/s", "static/s", "skipped +once/a (held), answer static/s", ""},
		{"static/s:u default/d:u", "404", "skipped static/s (missing), skipped default/d (missing)",
			""},

		// Nobody can know: the decision ends there.
		{"!protect +once/o static/s default/d", "503", "unsure protect", ""},
		{"!resend static/s default/d", "503", "unsure resend", ""},
		{"!once static/s default/d", "503", "unsure once", ""},
		{"!static default/d", "503", "unsure static", ""},
		{"!default", "503", "unsure default", ""},
		{"static/s:e default/d", "503", "unsure static/s", ""},
		{"static/s:s default/d", "503", "unsure static/s", ""},
		{"static/a:u static/b:e static/c default/d", "503",
			"skipped static/a (missing), unsure static/b", ""},
		{"+once/a:e +once/b static/s", "503", "unsure once/a", ""},
		{"+resend/a:s +once/b static/s", "503", "unsure resend/a", ""},
		{"default/d:e", "503", "unsure default/d", ""},

		// A claim that fails leaves the order, and the machine gets what it
		// would get without it.
		{"+once/a:t +once/b static/s", "once/b", "skipped +once/a (taken), answer +once/b",
			"answer +once/a, behind +once/b, behind static/s"},
		{"+once/a:t static/s", "static/s", "skipped +once/a (taken), answer static/s",
			"answer +once/a, behind static/s"},
		{"+once/a:f static/s", "static/s", "skipped +once/a, answer static/s",
			"answer +once/a, behind static/s"},
		{"+once/a:f", "404", "skipped +once/a", "answer +once/a"},

		// Trouble behind the answer is no trouble of the answer.
		{"static/s default/d:e", "static/s", "answer static/s",
			"answer static/s, behind default/d"},
		{"static/s default/d:u", "static/s", "answer static/s",
			"answer static/s, behind default/d (missing)"},
		{"static/s !default", "static/s", "answer static/s", ""},
		{"protect/p !once !static default/d", "protect/p", "answer protect/p",
			"answer protect/p, behind default/d"},
		{"protect/p +once/o:u", "protect/p", "answer protect/p, waits +once/o",
			"answer protect/p, waits +once/o (missing)"},
	} {
		for _, take := range []bool{true, false} {
			a, w, err := decide(test.there, &Machine{}, take)
			want, trace := test.answer, test.trace
			if !take && test.looked != "" {
				trace = test.looked
				want = strings.TrimPrefix(
					strings.Fields(strings.SplitN(trace[strings.Index(trace, "answer "):], ",",
						2)[0])[1], "+")
			}
			switch got := a.Entry.Path; {
			case want == "404":
				if !errors.Is(err, ErrNothing) || errors.Is(err, ErrUnsure) {
					t.Errorf("%q: error %v, want: nothing", test.there, err)
				}
			case want == "503":
				if !errors.Is(err, ErrUnsure) || errors.Is(err, ErrNothing) {
					t.Errorf("%q: error %v, want: unsure", test.there, err)
				}
			case err != nil || got != want || string(a.Script.Body) != "#!ipxe\n# "+want+"\n":
				t.Errorf("%q, take %v: answered by %q with %q, error %v, want %q", test.there, take,
					got, a.Script.Body, err, want)
			}
			if got := said(a.Trace); got != trace {
				t.Errorf("%q, take %v:\n got trace %s\nwant       %s", test.there, take, got, trace)
			}
			if err != nil && (a.Script.Body != nil || a.Grant != nil) {
				t.Errorf("%q: an error and an answer", test.there)
			}
			taken := slices.ContainsFunc(w.asked, func(s string) bool {
				return strings.HasPrefix(s, "take ")
			})
			if !take && (taken || a.Grant != nil) {
				t.Errorf("%q: somebody who only looked took an order", test.there)
			}
			if take && (a.Grant != nil) != (err == nil && a.Entry.Order) {
				t.Errorf("%q: grant %v of %q", test.there, a.Grant, a.Entry.Path)
			}
			if a.Grant != nil && a.Grant.ID() != want {
				t.Errorf("%q: the grant is of %q", test.there, a.Grant.ID())
			}
		}
	}
}

// TestResolveTrace: the trace names the steps that were asked, and says of each
// entry where it leads, and why not.
func TestResolveTrace(t *testing.T) {
	a, w, _ := decide("+once/a:u +once/b:h static/s default/d", &Machine{}, true)
	if want := []Step{Protect, Resend, Once, Static}; !slices.Equal(a.Trace.Steps, want) {
		t.Errorf("asked %v, want %v", a.Trace.Steps, want)
	}
	want := []Finding{
		{Once, Info{Path: "once/a", Target: "to once/a"}, Skipped, Missing, "dangles", true},
		{Once, Info{Path: "once/b", Target: "to once/b"}, Skipped, Held, "too often", true},
		{Static, Info{Path: "static/s", Target: "to static/s"}, Answered, "", "", false},
	}
	if !slices.Equal(a.Trace.Findings, want) {
		t.Errorf("got  %+v\nwant %+v", a.Trace.Findings, want)
	}
	if a.Entry != want[2] {
		t.Errorf("the entry that answered is %+v", a.Entry)
	}
	asked := []string{"find protect", "find resend", "find once", "load once/a", "load once/b",
		"may once/b", "find static", "load static/s"}
	if !slices.Equal(w.asked, asked) {
		t.Errorf("asked %q, want %q", w.asked, asked)
	}
	// A script is loaded before its order is taken, and nothing is asked once
	// there is an answer.
	_, w, _ = decide("+once/a static/s", &Machine{}, true)
	asked = []string{"find protect", "find resend", "find once", "load once/a", "may once/a",
		"take once/a"}
	if !slices.Equal(w.asked, asked) {
		t.Errorf("asked %q, want %q", w.asked, asked)
	}
	a, _, err := decide("static/s:e", &Machine{}, true)
	if f := a.Trace.Findings[0]; f.Why != "input/output error" ||
		!strings.HasPrefix(err.Error(), "static/s: ") {
		t.Errorf("finding %+v, error %v", f, err)
	}
}

// TestResolveNoOrders: who is not certain, or asks in a way that takes no
// order, gets none, and everything else.
func TestResolveNoOrders(t *testing.T) {
	for _, test := range []struct {
		client Machine
		code   Code
	}{{Machine{Conflict: "two hosts"}, Conflict}, {Machine{NoOrders: "HEAD"}, NoOrder},
		{Machine{Conflict: "two hosts", NoOrders: "HEAD"}, Conflict}} {
		for _, take := range []bool{true, false} {
			code := string(test.code)
			a, w, err := decide("+resend/r +once/a +once/b:e static/s", &test.client, take)
			if err != nil || a.Entry.Path != "static/s" || a.Grant != nil {
				t.Errorf("%s: answered by %q, error %v", code, a.Entry.Path, err)
			}
			if got, want := said(a.Trace), "skipped +resend/r ("+code+"), skipped +once/a ("+code+
				"), skipped +once/b ("+code+"), answer static/s"; got != want {
				t.Errorf("%s: %s, want %s", code, got, want)
			}
			if !strings.Contains(a.Trace.Findings[0].Why, "no order is granted: ") {
				t.Errorf("the reason is %q", a.Trace.Findings[0].Why)
			}
			for _, s := range w.asked {
				if strings.Contains(s, "once/") || strings.Contains(s, "resend/") {
					t.Errorf("%s: %s", code, s)
				}
			}
			if a, _, err := decide("protect/p +once/a", &test.client, take); err != nil ||
				said(a.Trace) != "answer protect/p, waits +once/a" {
				t.Errorf("%s: %s, error %v", code, said(a.Trace), err)
			}
		}
	}
}

// TestResolveWho: while nobody can know who is asking, there is no answer, not
// even the default, and nothing is asked.
func TestResolveWho(t *testing.T) {
	a, w, err := decide("protect/p +once/a static/s default/d", &Machine{Unsure: "no key"}, true)
	if !errors.Is(err, ErrUnsure) || !strings.Contains(err.Error(), "no key") ||
		a.Entry.Path != "" || len(w.asked) > 0 {
		t.Errorf("answered by %q, asked %q, error %v", a.Entry.Path, w.asked, err)
	}
}

// TestResolveReplaced: the answer is the script of what was claimed.
func TestResolveReplaced(t *testing.T) {
	a, _, err := decide("+once/a:r", &Machine{}, true)
	if err != nil || !bytes.Equal(a.Script.Body, []byte("#!ipxe\n# another\n")) ||
		a.Script.From != "replaced" || a.Grant == nil {
		t.Errorf("%q from %q, error %v", a.Script.Body, a.Script.From, err)
	}
}

// TestResolveCanceled: for a client that has gone no order is taken.
func TestResolveCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{entries: map[Step][]Entry{}}
	w.entries[Once] = []Entry{&fakeOrder{fake: fake{w: w, path: "once/a"}, onLoad: cancel}}
	w.entries[Static] = []Entry{&fake{w: w, path: "static/s"}}
	a, err := Resolve(ctx, &Machine{}, []Rule{fakeRule{w, Once}, fakeRule{w, Static}}, true)
	if err != nil || said(a.Trace) != "skipped +once/a (canceled), answer static/s" ||
		slices.Contains(w.asked, "take once/a") {
		t.Errorf("%s, asked %q, error %v", said(a.Trace), w.asked, err)
	}
}
