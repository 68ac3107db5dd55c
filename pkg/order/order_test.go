package order

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/tree"
)

// The clock of these tests begins here.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// load answers with a script that names the text of the link. A text with
// "missing" in it leads nowhere, one with "sick" to a disk that fails.
func load(_ context.Context, _ *boot.Machine, text string) (boot.Script, error) {
	switch {
	case strings.Contains(text, "missing"):
		return boot.Script{}, &boot.Unservable{Code: boot.Missing, Why: text + " is not there"}
	case strings.Contains(text, "sick"):
		return boot.Script{}, errors.New("input/output error")
	}
	return boot.Script{Body: scriptOf(text), From: text}, nil
}

func scriptOf(text string) []byte { return []byte("#!ipxe\n# " + text + "\n") }

// newStore is a store on dir with a clock of its own.
func newStore(dir string) (*Store, *clock) {
	c := &clock{now: start}
	return &Store{Dir: dir, Load: load, Replica: "test", ResendWithin: time.Minute, Now: c.Now}, c
}

// fallback is what machines get here that have no order.
type fallback struct{}

func (fallback) Step() boot.Step { return boot.Default }
func (fallback) Find(context.Context, *boot.Machine) ([]boot.Entry, error) {
	return []boot.Entry{fallback{}}, nil
}
func (fallback) Info() boot.Info { return boot.Info{Path: "default"} }
func (fallback) Load(context.Context, *boot.Machine) (boot.Script, error) {
	return boot.Script{Body: scriptOf("default")}, nil
}

func client(addr string, try int, names ...string) *boot.Machine {
	c := &boot.Machine{Addr: netip.MustParseAddr(addr), Claims: boot.Claims{Try: try}}
	for _, n := range names {
		c.Names = append(c.Names, boot.Name{Text: n, Kind: boot.Serial})
	}
	return c
}

// ask lets a machine ask.
func (s *Store) ask(ctx context.Context, c *boot.Machine) (boot.Answer, error) {
	return boot.Resolve(ctx, c, []boot.Rule{s.Resend(), s.Once(), fallback{}}, true)
}

// asks lets a machine ask that must get the script of the text.
func asks(t *testing.T, s *Store, c *boot.Machine, text string) boot.Answer {
	t.Helper()
	a, err := s.ask(t.Context(), c)
	if err != nil {
		t.Fatalf("asking: %v", err)
	}
	if got := string(a.Script.Body); got != string(scriptOf(text)) {
		t.Fatalf("answered %q, want that of %s; found: %+v", got, text, a.Trace.Findings)
	}
	if (a.Grant != nil) != (text != "default") {
		t.Fatalf("grant %v with the answer %s", a.Grant, text)
	}
	return a
}

// A place is where an order is found: pending, open, or in the journal of those
// that ended, with its end.
type place struct {
	state string // "pending", "open", "served", else the End
	claim Record
}

// places reads the directory as anybody could, by the text of the links.
func places(t testing.TB, dir string) map[string][]place {
	t.Helper()
	all := map[string][]place{}
	for _, journal := range []string{".", claimedDir, servedDir} {
		files, err := os.ReadDir(filepath.Join(dir, journal))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Type()&os.ModeSymlink == 0 {
				continue
			}
			text, err := os.Readlink(filepath.Join(dir, journal, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if journal == "." {
				if !strings.HasPrefix(f.Name(), temporary) {
					all[text] = append(all[text], place{"pending", Record{Name: f.Name()}})
				}
				continue
			}
			c, ok := ParseRecord(f.Name())
			if !ok {
				t.Fatalf("%s/%s is no claim", journal, f.Name())
			}
			p := place{string(c.End), c}
			if journal == claimedDir {
				p.state = "open"
			} else if c.End == Arrived {
				p.state = "served"
			}
			all[text] = append(all[text], p)
		}
	}
	return all
}

// wantPlaces fails unless the texts are where they should be: "text state"
// each, sorted.
func wantPlaces(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	for text, all := range places(t, dir) {
		for _, p := range all {
			got = append(got, text+" "+p.state)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("orders: %q\nwant:   %q", got, want)
	}
}

func place1(t *testing.T, s *Store, name, text string) {
	t.Helper()
	if _, err := s.Place(name, text, "alice"); err != nil {
		t.Fatal(err)
	}
}

func TestClaimNames(t *testing.T) {
	at := time.Date(2026, 12, 31, 23, 59, 59, 1, time.UTC)
	for _, c := range []Record{
		{Name: "10.0.0.7", Time: at, Replica: "r-1.example", Random: "abcdefgh",
			Addr: netip.MustParseAddr("10.0.0.7")},
		{Name: "2001:db8::1", Time: at, Replica: "r", Random: "x",
			Addr: netip.MustParseAddr("2001:db8::1")},
		{Name: "52-54-00-12-34-56", Time: at, Replica: "r", Random: "x", End: Canceled},
		{Name: "m1", Time: at, Replica: "r", Actor: "alice", Random: "x", End: Canceled},
		{Name: "m1", Time: at, Replica: "r", Actor: "alice@corp.example", Random: "x",
			Addr: netip.MustParseAddr("::1"), End: Dismissed},
		{Name: "A_b.c:d-e", Time: at.Truncate(time.Second), Replica: "r", Random: "x",
			Addr: netip.MustParseAddr("::1"), End: Superseded},
		{Name: strings.Repeat("n", 128), Time: at, Replica: "r", Random: "x",
			Addr: netip.MustParseAddr("10.0.0.7"), End: Resent},
	} {
		file := c.String()
		if got, ok := ParseRecord(file); !ok || got != c {
			t.Errorf("%s was read as %+v, %v; want %+v", file, got, ok, c)
		}
	}
	for _, file := range []string{
		// too few
		"", "README", "~", "~~~~", "a~b~c~d~e", ".gitignore", "n~20261231T235959.000000001Z~r~x",
		"n~20261231T235959.000000001Z~r~x~10.0.0.7~canceled~more",
		".n~20261231T235959.000000001Z~r~x~-",
		"n~20261231T235959.000000001Z~r~x~10.0.0", "n~yesterday~r~x~-",
		"n~20261231T235959.000000001Z~~x~-", "n~20261231T235959.000000001Z~r~~-",
		temporary + Record{Name: "n", Time: at, Replica: "r", Random: "x"}.String(),
	} {
		if c, ok := ParseRecord(file); ok {
			t.Errorf("%q was read as the claim %+v", file, c)
		}
	}

	// No name is longer than file systems allow, and no two are the same.
	s := &Store{Replica: "a/b~c " + strings.Repeat("long", 30)}
	longest := s.newRecord(strings.Repeat("n", 128),
		netip.MustParseAddr("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"))
	longest.End = Superseded
	if n := len(temporary + longest.String()); n > 255 {
		t.Errorf("a claim's name may have %d bytes", n)
	}
	if got, ok := ParseRecord(longest.String()); !ok || got.Replica != longest.Replica ||
		strings.ContainsAny(got.Replica, "/~ ") {
		t.Errorf("the replica became %q", got.Replica)
	}
	longest = longest.endedBy(strings.Repeat("a/~é ", 20), Superseded)
	if n := len(tree.Aside + longest.String()); n != 255 {
		t.Errorf("a claim's name that a person ended may have %d bytes", n)
	}
	if got, ok := ParseRecord(longest.String()); !ok || got != longest {
		t.Errorf("%s was read as %+v", longest, got)
	}
	if (&Store{Replica: "~~"}).replica() == "" {
		t.Error("a replica without a name")
	}
	if a, b := s.newRecord("n", netip.Addr{}),
		s.newRecord("n", netip.Addr{}); a.Random == b.Random {
		t.Error("two claims have one name")
	}
}

// TestActor: the journal and the events tell who did what, and a version that
// knows no actor still reads the journal.
func TestActor(t *testing.T) {
	dir := t.TempDir()
	s, _ := newStore(dir)
	var events []string
	s.Event = func(e Event) {
		events = append(events, fmt.Sprintf("%s %s by %s", e.Kind, e.Record.Name, e.Record.Actor))
	}
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(s.Place("m1", "../a", "alice"))
	do(s.Cancel("m1", "bob"))
	do(s.Place("m2", "../b", `CORP\carol`))
	asks(t, s, client("10.0.0.2", 0, "m2"), "../b").Grant.Confirm(false)
	do(s.Retry("m2", "dave"))
	asks(t, s, client("10.0.0.2", 0, "m2"), "../b").Grant.Confirm(false)
	do(s.Cancel("m2", "erin@corp.example"))
	do(nil, s.Release("m2", "fr/ed~"))
	do(s.Place("m3", "../c", ""))
	do(s.Cancel("m3", ""))
	want := []string{
		"placed m1 by alice", "canceled m1 by bob", `placed m2 by CORP\carol`, "granted m2 by ",
		"open m2 by ", "retried m2 by dave",
		"granted m2 by ", "open m2 by ", "dismissed m2 by erin@corp.example",
		"released m2 by fr_ed_", "placed m3 by ", "canceled m3 by ",
	}
	if !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
	l, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range l.Served {
		got = append(got, fmt.Sprintf("%s %s by %s on %s", c.End, c.Name, c.Actor, c.Replica))
		fields := strings.Split(c.String(), "~")
		_, wrong := time.Parse(timeForm, fields[1])
		_, noAddress := netip.ParseAddr(fields[4])
		if len(fields) != 6 || fields[0] != c.Name || wrong != nil || fields[2] == "" ||
			fields[3] != c.Random ||
			fields[4] != "-" && noAddress != nil || fields[5] != string(c.End) {
			t.Errorf("a version without actors cannot read %s", c)
		}
	}
	slices.Sort(got)
	want = []string{
		"canceled m1 by bob on test", "canceled m3 by  on test",
		"dismissed m2 by erin@corp.example on test",
		"released m2 by fr_ed_ on test", "retried m2 by dave on test",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the journal has %q, want %q", got, want)
	}
}

func TestGrantAndSettle(t *testing.T) {
	dir := t.TempDir()
	s, _ := newStore(dir)
	var events []string
	s.Event = func(e Event) { events = append(events, string(e.Kind)+" "+e.Record.Name) }
	place1(t, s, "m1", "../a.ipxe")
	place1(t, s, "m2", "../b.ipxe")
	place1(t, s, "m3", "../c.ipxe")

	asks(t, s, client("10.0.0.1", 0, "other"), "default")
	asks(t, s, client("10.0.0.1", 0, "other", "m1"), "../a.ipxe").Grant.Confirm(true)
	asks(t, s, client("10.0.0.1", 0, "m1"), "default")
	asks(t, s, client("10.0.0.2", 0, "m2"), "../b.ipxe").Grant.Confirm(false)
	g := asks(t, s, client("10.0.0.3", 0, "m3"), "../c.ipxe").Grant
	g.GiveBack("nobody is there")
	g.Confirm(true) // ended already: nothing happens
	wantPlaces(t, dir, "../a.ipxe served", "../b.ipxe open", "../c.ipxe pending")

	want := []string{"placed m1", "placed m2", "placed m3", "granted m1", "served m1", "granted m2",
		"open m2", "granted m3", "given back m3"}
	if !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
	for _, p := range places(t, dir)["../a.ipxe"] {
		if p.claim.Addr != netip.MustParseAddr("10.0.0.1") || p.claim.Replica != "test" ||
			!p.claim.Time.Equal(start) {
			t.Errorf("the journal has %+v", p.claim)
		}
	}

	// The strongest name's order comes first, and the other one stays.
	place1(t, s, "m1", "../d.ipxe")
	asks(t, s, client("10.0.0.3", 0, "m3", "m1"), "../c.ipxe").Grant.Confirm(true)
	wantPlaces(t, dir, "../a.ipxe served", "../b.ipxe open", "../c.ipxe served",
		"../d.ipxe pending")
}

func TestLookingTakesNothing(t *testing.T) {
	dir := t.TempDir()
	s, _ := newStore(dir)
	place1(t, s, "m1", "../a.ipxe")
	rules := []boot.Rule{s.Resend(), s.Once(), fallback{}}
	a, err := boot.Resolve(t.Context(), client("10.0.0.1", 0, "m1"), rules, false)
	if err != nil || a.Entry.Step != boot.Once || a.Entry.Target != "../a.ipxe" ||
		a.Entry.Path != "once/m1" || !a.Entry.Order || a.Grant != nil {
		t.Errorf("%+v, %v", a, err)
	}
	for _, c := range []*boot.Machine{
		{Names: []boot.Name{{Text: "m1"}}, Conflict: "two machines at once"},
		{Names: []boot.Name{{Text: "m1"}}, NoOrders: "only looking"},
	} {
		asks(t, s, c, "default")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if a, err := s.ask(gone, client("10.0.0.1", 0, "m1")); err != nil || a.Grant != nil {
		t.Errorf("a client that went away: %+v, %v", a, err)
	}
	wantPlaces(t, dir, "../a.ipxe pending")
}

func TestUnservableOrders(t *testing.T) {
	dir := t.TempDir()
	s, _ := newStore(dir)
	place1(t, s, "m1", "../missing.ipxe")
	place1(t, s, "m2", "../sick.ipxe")
	os.WriteFile(filepath.Join(dir, "m3"), []byte("#!ipxe\n"), 0o644)
	os.Mkdir(filepath.Join(dir, "m4"), 0o755)
	for name, code := range map[string]boot.Code{"m1": boot.Missing, "m3": boot.NoLink,
		"m4": boot.NoLink} {
		a := asks(t, s, client("10.0.0.1", 0, name), "default")
		if f := a.Trace.Findings[0]; f.Code != code || f.Outcome != boot.Skipped || !f.Order {
			t.Errorf("%s: %+v, want %s", name, f, code)
		}
	}
	if _, err := s.ask(t.Context(), client("10.0.0.1", 0, "m2")); !errors.Is(err, boot.ErrUnsure) {
		t.Errorf("a disk that fails: %v", err)
	}
	wantPlaces(t, dir, "../missing.ipxe pending", "../sick.ipxe pending")

	none, _ := newStore(filepath.Join(dir, "nowhere"))
	asks(t, none, client("10.0.0.1", 1, "m1"), "default")
	file, _ := newStore(filepath.Join(dir, "m3"))
	if _, err := file.ask(t.Context(), client("10.0.0.1", 1, "m1")); !errors.Is(err,
		boot.ErrUnsure) {
		t.Errorf("a file in the place of the directory of orders: %v", err)
	}
}

func TestPlace(t *testing.T) {
	dir := t.TempDir()
	s, _ := newStore(dir)
	if old, err := s.Place("m1", "../a", "alice"); old != "" || err != nil {
		t.Fatal(old, err)
	}
	if old, err := s.Place("m1", "../b", "alice"); old != "../a" || err != nil {
		t.Fatal(old, err)
	}
	wantPlaces(t, dir, "../b pending")

	// There is no moment without an order while one is replaced.
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			if _, err := s.Place("m1", fmt.Sprint("../", i), "alice"); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for looks := 0; ; looks++ {
		if _, err := os.Readlink(filepath.Join(dir, "m1")); err != nil {
			t.Fatalf("look %d: %v", looks, err)
		}
		select {
		case <-done:
			wantPlaces(t, dir, "../299 pending")
		default:
			continue
		}
		break
	}

	// What is no order is not touched.
	file := filepath.Join(dir, "m2")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Place("m2", "../a", "alice"); err == nil ||
		!strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a file was replaced: %v", err)
	}
	if _, err := s.Cancel("m2", "alice"); err == nil ||
		!strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a file was canceled: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "mine" {
		t.Error("the file is gone")
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".new*")); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
	nowhere, _ := newStore(filepath.Join(dir, "nowhere"))
	if _, err := nowhere.Place("m1", "../a", "alice"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

func TestCancel(t *testing.T) {
	dir := t.TempDir()
	s, c := newStore(dir)
	if _, err := s.Cancel("m1", "alice"); !errors.Is(err, ErrNone) {
		t.Errorf("nothing to cancel: %v", err)
	}
	place1(t, s, "m1", "../a")
	asks(t, s, client("10.0.0.1", 0, "m1"), "../a").Grant.Confirm(false)
	place1(t, s, "m1", "../b")
	// The pending one first, then the open ones.
	if got, err := s.Cancel("m1", "alice"); err != nil || len(got) != 1 ||
		got[0].Target != "../b" || got[0].End != Canceled {
		t.Errorf("%+v, %v", got, err)
	}
	wantPlaces(t, dir, "../a open", "../b canceled")
	c.add(time.Second)
	if got, err := s.Cancel("m1", "alice"); err != nil || len(got) != 1 || got[0].Name != "m1" ||
		got[0].End != Dismissed {
		t.Errorf("%+v, %v", got, err)
	}
	wantPlaces(t, dir, "../a dismissed", "../b canceled")
	if _, err := s.Cancel("m1", "alice"); !errors.Is(err, ErrNone) {
		t.Errorf("nothing is left to cancel: %v", err)
	}
	asks(t, s, client("10.0.0.1", 1, "m1"), "default")

	// A delivery that is confirmed after its order was dismissed changes
	// nothing.
	place1(t, s, "m2", "../c")
	g := asks(t, s, client("10.0.0.1", 0, "m2"), "../c").Grant
	if _, err := s.Cancel("m2", "alice"); err != nil {
		t.Fatal(err)
	}
	g.Confirm(true)
	wantPlaces(t, dir, "../a dismissed", "../b canceled", "../c dismissed")
}

func TestRetry(t *testing.T) {
	dir := t.TempDir()
	s, c := newStore(dir)
	if _, err := s.Retry("m1", "alice"); !errors.Is(err, ErrNone) {
		t.Errorf("nothing is open: %v", err)
	}
	for _, text := range []string{"../a", "../b"} {
		place1(t, s, "m1", text)
		asks(t, s, client("10.0.0.1", 0, "m1"), text).Grant.Confirm(false)
		c.add(time.Hour)
	}
	if got, err := s.Retry("m1", "alice"); err != nil || got.Target != "../b" {
		t.Fatalf("%+v, %v", got, err)
	}
	wantPlaces(t, dir, "../a retried", "../b retried", "../b pending")
	asks(t, s, client("10.0.0.1", 0, "m1"), "../b").Grant.Confirm(false)

	// A pending order is not replaced.
	place1(t, s, "m1", "../c")
	if _, err := s.Retry("m1", "alice"); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("with an order pending: %v", err)
	}
	wantPlaces(t, dir, "../a retried", "../b retried", "../b open", "../c pending")

	place1(t, s, "m2", "../d")
	asks(t, s, client("10.0.0.1", 0, "m2"), "../d").Grant.Confirm(true)
	if _, err := s.Retry("m2", "alice"); !errors.Is(err, ErrNone) {
		t.Errorf("what arrived is not placed again: %v", err)
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	s, c := newStore(dir)
	s.MaxPerDay = 2
	for i := range 3 {
		place1(t, s, "m1", fmt.Sprint("../", i))
		if i < 2 {
			asks(t, s, client("10.0.0.1", 0, "m1"), fmt.Sprint("../", i)).Grant.Confirm(i == 0)
		}
		c.add(time.Minute)
	}
	const mac = "52:54:00:AB:CD:EF"
	for _, name := range []string{mac, "10.0.0.9"} {
		if err := os.Symlink("../x", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(filepath.Join(dir, "README"), nil, 0o644)
	os.Symlink("../x", filepath.Join(dir, ".hidden"))
	l, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	problems := map[string]string{}
	for _, p := range l.Pending {
		problems[p.Name] = p.Problem
		if p.Placed.IsZero() {
			t.Errorf("%s: nobody knows when it was placed", p.Name)
		}
	}
	if len(problems) != 3 || problems["10.0.0.9"] != "" || !strings.Contains(problems[mac],
		"52-54-00-ab-cd-ef") || !strings.HasPrefix(problems["m1"], "held") {
		t.Errorf("pending: %q", problems)
	}
	if len(l.Open) != 1 || l.Open[0].Target != "../1" || len(l.Served) != 1 ||
		l.Served[0].Target != "../0" {
		t.Errorf("open %+v, served %+v", l.Open, l.Served)
	}
	if of := l.Of("m1"); len(of.Pending) != 1 || len(of.Open) != 1 || len(of.Served) != 1 {
		t.Errorf("of m1: %+v", of)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s, c := newStore(dir)
	s.Keep, s.KeepMax = 10*day, 3
	served := func(n int, text string) {
		for i := range n {
			place1(t, s, "m1", fmt.Sprint(text, i))
			asks(t, s, client("10.0.0.1", 0, "m1"), fmt.Sprint(text, i)).Grant.Confirm(true)
			c.add(time.Second)
		}
	}
	sweep := func(want Stats) {
		t.Helper()
		want.Oldest = time.Time{}
		got, err := s.Sweep()
		oldest := got.Oldest
		got.Oldest = time.Time{}
		if err != nil || got != want || oldest.IsZero() != (want.Open == 0) {
			t.Errorf("%+v (oldest %v), %v; want %+v", got, oldest, err, want)
		}
	}
	none, _ := newStore(filepath.Join(dir, "nowhere"))
	if st, err := none.Sweep(); err != nil || st != (Stats{}) {
		t.Errorf("without a directory: %+v, %v", st, err)
	}
	served(5, "old")
	sweep(Stats{Served: 5}) // the last 24 h stay, however many
	c.add(day + time.Minute)
	sweep(Stats{Served: 3, Pruned: 2})
	served(4, "new")
	sweep(Stats{Served: 4, Pruned: 3}) // of those older than a day none is among the newest three
	wantPlaces(t, dir, "new0 served", "new1 served", "new2 served", "new3 served")

	place1(t, s, "m2", "../open")
	asks(t, s, client("10.0.0.1", 0, "m2"), "../open").Grant.Confirm(false)
	place1(t, s, "m3", "../pending")
	sweep(Stats{Pending: 1, Served: 4}) // what was sent just now is on its way
	c.add(2 * time.Minute)
	sweep(Stats{Pending: 1, Open: 1, Served: 4})

	// What a killed command left behind goes, after an hour.
	left := filepath.Join(dir, temporary+s.newRecord("m4", netip.Addr{}).String())
	if err := os.Symlink("../x", left); err != nil {
		t.Fatal(err)
	}
	sweep(Stats{Pending: 1, Open: 1, Served: 4})
	if _, err := os.Lstat(left); err != nil {
		t.Error("the order that is just being placed was taken away")
	}
	c.add(11 * day)
	sweep(Stats{Pending: 1, Open: 1, Pruned: 4}) // an open order stays for ever
	if _, err := os.Lstat(left); err == nil {
		t.Error("what was left behind is there still")
	}
	wantPlaces(t, dir, "../open open", "../pending pending")
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	s, _ := newStore(dir)
	if p := s.Check(); len(p) > 0 {
		t.Errorf("a good directory: %q", p)
	}
	for _, journal := range []string{claimedDir, servedDir, "."} {
		if info, err := os.Stat(filepath.Join(dir, journal)); err != nil || !info.IsDir() {
			t.Errorf("%s was not made: %v", journal, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, journal, "*~*")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
	nowhere, _ := newStore(filepath.Join(dir, "nowhere"))
	if p := nowhere.Check(); len(p) != 1 || !strings.Contains(p[0], "mkdir") {
		t.Errorf("without a directory: %q", p)
	}
	for _, journal := range []string{claimedDir, servedDir} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, journal), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		bad, _ := newStore(dir)
		bad.Label = "orders"
		if p := bad.Check(); len(p) != 1 || !strings.HasPrefix(p[0], "orders: ") {
			t.Errorf("%s is a file: %q", journal, p)
		}
	}
}

func TestBrake(t *testing.T) {
	dir := t.TempDir()
	s, c := newStore(dir)
	s.MaxPerDay = 5
	var repeats int
	s.Event = func(e Event) {
		if e.Kind == Repeats {
			repeats++
		}
	}
	grant := func(s *Store, text string) {
		t.Helper()
		asks(t, s, client("10.0.0.1", 0, "m1"), text).Grant.Confirm(true)
	}
	for i := range 5 {
		place1(t, s, "m1", fmt.Sprint("../", i))
		grant(s, fmt.Sprint("../", i))
		c.add(2 * time.Minute)
	}
	if repeats != 2 {
		t.Errorf("%d warnings about 5 grants, want those of the 4th and 5th", repeats)
	}
	held := func(s *Store) {
		t.Helper()
		a := asks(t, s, client("10.0.0.1", 0, "m1"), "default")
		if f := a.Trace.Findings[0]; f.Code != boot.Held ||
			!strings.Contains(f.Why, "pxesrv order release m1") {
			t.Errorf("%+v", f)
		}
	}
	place1(t, s, "m1", "../held")
	held(s)
	place1(t, s, "m2", "../other")
	asks(t, s, client("10.0.0.1", 0, "m2"), "../other").Grant.Confirm(true)

	// Another daemon counts the same, a new one at once and an old one within
	// the minute.
	other, oc := newStore(dir)
	other.MaxPerDay, other.Now = 5, c.Now
	held(other)
	wantPlaces(t, dir, "../0 served", "../1 served", "../2 served", "../3 served", "../4 served",
		"../other served", "../held pending")

	c.add(time.Second)
	if err := other.Release("m1", "alice"); err != nil {
		t.Fatal(err)
	}
	c.add(time.Second)
	grant(s, "../held") // s sees it without waiting
	for i := range 4 {
		place1(t, s, "m1", fmt.Sprint("../again", i))
		grant(s, fmt.Sprint("../again", i))
	}
	c.add(countsAge)
	place1(t, s, "m1", "../held2")
	held(other)
	held(s)

	// A day later it is forgotten.
	c.add(day + time.Second)
	grant(other, "../held2")
	_ = oc

	// What was given back was no grant, whether or not the store has counted
	// before.
	for i := range 20 {
		fresh, _ := newStore(dir)
		fresh.MaxPerDay, fresh.Now = 5, c.Now
		text := fmt.Sprint("../back", i)
		place1(t, fresh, "m3", text)
		asks(t, fresh, client("10.0.0.1", 0, "m3"), text).Grant.GiveBack("")
	}
	if n, err := s.grants("m3"); n != 0 || err != nil {
		t.Errorf("%d grants counted that were given back, %v", n, err)
	}
	s.counts = counts{}
	s.counts.remove("m3", start) // before anything was counted
}

// An entry that moves from open to served while the journal is read is one
// grant.
func TestCountsOnce(t *testing.T) {
	dir := t.TempDir()
	s, _ := newStore(dir)
	place1(t, s, "m1", "../a")
	g := asks(t, s, client("10.0.0.1", 0, "m1"), "../a").Grant
	if err := os.Mkdir(filepath.Join(dir, servedDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../a", filepath.Join(dir, servedDir, g.ID())); err != nil {
		t.Fatal(err)
	}
	if all, err := s.count(); err != nil || len(all["m1"]) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestResend(t *testing.T) {
	dir := t.TempDir()
	s, c := newStore(dir)
	place1(t, s, "m1", "../a")
	asks(t, s, client("10.0.0.1", 0, "m1"), "../a").Grant.Confirm(false)
	place1(t, s, "m1", "../b")

	// Nobody else, and nobody who does not say that it asks again.
	other, _ := newStore(dir)
	for _, ask := range []*boot.Machine{
		client("10.0.0.1", 0, "other"), client("10.0.0.1", 1, "other"),
		client("10.0.0.2", 1, "other"),
	} {
		asks(t, s, ask, "default")
	}
	rules := []boot.Rule{s.Resend(), fallback{}}
	for name, ask := range map[string]*boot.Machine{
		"try=0": client("10.0.0.1", 0, "m1"), "another address": client("10.0.0.2", 1, "m1"),
		"no address": {Names: client("10.0.0.1", 1, "m1").Names, Claims: boot.Claims{Try: 1}},
		"a conflict": {Names: client("10.0.0.1", 1, "m1").Names,
			Addr: netip.MustParseAddr("10.0.0.1"), Claims: boot.Claims{Try: 1},
			Conflict: "two at once"},
		"only looking": {Names: client("10.0.0.1", 1, "m1").Names,
			Addr: netip.MustParseAddr("10.0.0.1"), Claims: boot.Claims{Try: 1},
			NoOrders: "looking"},
	} {
		if a, err := boot.Resolve(t.Context(), ask, rules, true); err != nil || a.Grant != nil {
			t.Errorf("%s: got %s, %v", name, a.Script.Body, err)
		}
	}
	// The same again, from any daemon, as often as it asks, and before a newer
	// order; nothing is claimed.
	for try := range 3 {
		asks(t, s, client("10.0.0.1", try+1, "x", "m1"), "../a").Grant.Confirm(false)
		asks(t, other, client("10.0.0.1", try+1, "m1"), "../a").Grant.GiveBack("") // stays open
		wantPlaces(t, dir, "../a open", "../b pending")
	}
	l, err := s.List()
	if err != nil || len(l.Open) != 1 || l.Open[0].End != Resent || l.Open[0].Target != "../a" {
		t.Errorf("%+v, %v", l, err)
	}
	c.add(59 * time.Second)
	a := asks(t, s, client("10.0.0.1", 1, "m1"), "../a")
	if a.Entry.Step != boot.Resend || a.Entry.Target != "../a" ||
		!strings.Contains(a.Entry.Path, a.Grant.ID()) {
		t.Errorf("the trace says %+v", a.Entry)
	}
	// Once confirmed, never again.
	a.Grant.Confirm(true)
	wantPlaces(t, dir, "../a served", "../b pending")
	asks(t, s, client("10.0.0.1", 1, "m1"), "../b").Grant.Confirm(false)
	// Nor when it is older than Regrant, or dismissed.
	c.add(61 * time.Second)
	asks(t, s, client("10.0.0.1", 1, "m1"), "default")
	place1(t, s, "m2", "../c")
	asks(t, s, client("10.0.0.1", 0, "m2"), "../c").Grant.Confirm(false)
	off, _ := newStore(dir)
	off.ResendWithin, off.Now = 0, c.Now
	asks(t, off, client("10.0.0.1", 1, "m2"), "default")
	if _, err := s.Cancel("m2", "alice"); err != nil {
		t.Fatal(err)
	}
	asks(t, s, client("10.0.0.1", 1, "m2"), "default")

	// A script that cannot be served any more is skipped.
	place1(t, s, "m3", "../gone")
	asks(t, s, client("10.0.0.1", 0, "m3"), "../gone").Grant.Confirm(false)
	s.Load = func(context.Context, *boot.Machine, string) (boot.Script, error) {
		return boot.Script{}, &boot.Unservable{Code: boot.Missing, Why: "gone"}
	}
	asks(t, s, client("10.0.0.1", 1, "m3"), "default")
	wantPlaces(t, dir, "../a served", "../b open", "../c dismissed", "../gone open")
}

// A machine that gave up waiting asks again while its first request still
// prepares the answer. Whatever becomes of the first request then, the order
// was sent and is not put back.
func TestResendWhileFirstRequestHangs(t *testing.T) {
	for _, step := range []string{"claimed", "read", "synced", "give back"} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			s, _ := newStore(dir)
			other, _ := newStore(dir)
			place1(t, s, "m1", "../a")
			ctx, cancel := context.WithCancel(t.Context())
			s.step = func(at string) {
				if at == "claimed" {
					defer cancel()
				}
				if at == step {
					asks(t, other, client("10.0.0.1", 1, "m1"), "../a").Grant.Confirm(false)
				}
			}
			var events []EventKind
			s.Event = func(e Event) { events = append(events, e.Kind) }
			if a, err := s.ask(ctx, client("10.0.0.1", 0, "m1")); err != nil || a.Grant != nil {
				t.Errorf("the first request: %+v, %v", a, err)
			}
			wantPlaces(t, dir, "../a open")
			if !slices.Equal(events, []EventKind{Open}) {
				t.Errorf("events %q", events)
			}
			asks(t, other, client("10.0.0.1", 0, "m1"), "default")
			asks(t, other, client("10.0.0.1", 2, "m1"), "../a").Grant.Confirm(true)
			wantPlaces(t, dir, "../a served")
		})
	}
}

// A machine that asks again twice at the same time is sent the same both times.
func TestResendsAtOnce(t *testing.T) {
	for _, step := range []string{"find", "resend", "resent"} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			s, _ := newStore(dir)
			other, _ := newStore(dir)
			place1(t, s, "m1", "../a")
			first := asks(t, s, client("10.0.0.1", 0, "m1"), "../a").Grant
			meanwhile := func() {
				asks(t, other, client("10.0.0.1", 1, "m1"), "../a").Grant.Confirm(false)
			}
			s.step = func(at string) {
				if at == step {
					meanwhile()
				}
			}
			c := client("10.0.0.1", 1, "m1")
			if step == "find" {
				entries, err := s.Resend().Find(t.Context(), c)
				if err != nil || len(entries) != 1 {
					t.Fatal(entries, err)
				}
				meanwhile()
				if script, err := entries[0].Load(t.Context(), c); err != nil ||
					string(script.Body) != string(scriptOf("../a")) {
					t.Errorf("%s, %v", script.Body, err)
				}
			} else {
				asks(t, s, c, "../a").Grant.Confirm(false)
			}
			wantPlaces(t, dir, "../a open")
			s.step = nil
			first.Confirm(true) // the first delivery is confirmed after all
			wantPlaces(t, dir, "../a served")
			asks(t, s, c, "default")
		})
	}
}

func TestOneWinner(t *testing.T) {
	dir := t.TempDir()
	var stores []*Store
	for range 3 {
		s, _ := newStore(dir)
		stores = append(stores, s)
	}
	for i := range 30 {
		name, text := fmt.Sprint("m", i), fmt.Sprint("../", i)
		place1(t, stores[0], name, text)
		var wg sync.WaitGroup
		var mu sync.Mutex
		wins := 0
		for j := range 24 {
			wg.Go(func() {
				a, err := stores[j%3].ask(t.Context(), client("10.0.0.1", 0, name))
				if err != nil {
					t.Error(err)
				}
				if a.Grant != nil {
					a.Grant.Confirm(true)
					mu.Lock()
					wins++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if wins != 1 {
			t.Fatalf("%s was granted %d times", name, wins)
		}
	}
}

// TestBrakeWithoutAddress counts what was sent to clients that have no address,
// as behind a Unix socket.
func TestBrakeWithoutAddress(t *testing.T) {
	s, _ := newStore(t.TempDir())
	s.MaxPerDay = 2
	c := client("10.0.0.1", 0, "m1")
	c.Addr = netip.Addr{}
	for range 2 {
		place1(t, s, "m1", "../a")
		asks(t, s, c, "../a").Grant.Confirm(true)
	}
	place1(t, s, "m1", "../a")
	asks(t, s, c, "default")
	other, _ := newStore(s.Dir) // and another daemon reads the same from the journal
	other.MaxPerDay = 2
	asks(t, other, c, "default")
}
