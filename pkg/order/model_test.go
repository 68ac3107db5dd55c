package order

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/lab"
)

// killed stands for kill -9 between two steps.
const killed = "killed"

// dies reports whether do was killed.
func dies(do func()) (died bool) {
	defer func() {
		if r := recover(); r != nil {
			if r != any(killed) {
				panic(r)
			}
			died = true
		}
	}()
	do()
	return false
}

func TestModel(t *testing.T) { runModel(t, 4000) }

func TestSoakModel(t *testing.T) {
	lab.OnlySoak(t)
	runModel(t, 100_000)
}

// A model does random things to the orders of one directory and keeps book of
// what must be true then. Between any two steps of a claim, of a retry and of
// giving back something else may happen, by another daemon or a person, or the
// daemon dies. All chance comes from the seed; PXESRV_TEST_SEED repeats a run.
type model struct {
	*testing.T
	*clock
	*rand.Rand
	dir    string
	stores []*Store
	depth  int // how many things are under way, one within the other
	next   int
	texts  map[string]*modelOrder
	grants []*modelGrant // not ended, and their daemon lives
	sent   map[string]*modelEntry
	did    map[string]int
	log    []string
}

// modelOrder is what was ordered by one text of a link.
type modelOrder struct {
	name     string
	times    int  // how often a person ordered it: once, and each time it was placed again
	sent     int  // of these, how often a machine was sent it for the first time
	gone     int  // of these, how many were replaced, or forgotten by the journal
	unusable bool // cannot be served
}

// modelEntry is an entry of the journal that a machine was sent, by its name
// without the end.
type modelEntry struct {
	text    string
	addr    string
	at      time.Time
	arrived bool
	pruned  bool
}

type modelGrant struct {
	boot.Grant
	store *Store
	entry string
}

func (m *model) note(format string, args ...any) {
	m.log = append(m.log, strings.Repeat("  ", m.depth)+fmt.Sprintf(format, args...))
	if len(m.log) > 400 {
		m.log = m.log[200:]
	}
}

func (m *model) fatalf(format string, args ...any) {
	m.Helper()
	m.Fatalf("%s\nthe last things that happened:\n%s", fmt.Sprintf(format, args...),
		strings.Join(m.log[max(0, len(m.log)-60):], "\n"))
}

func runModel(t *testing.T, steps int) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PXESRV_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PXESRV_TEST_SEED=%d", seed)
	m := &model{
		T: t, clock: &clock{now: start}, Rand: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(),
		texts: map[string]*modelOrder{}, sent: map[string]*modelEntry{}, did: map[string]int{},
	}
	for i := range 3 {
		m.stores = append(m.stores, nil)
		m.boot(i)
	}
	for i := range steps {
		m.act()
		if i%5 == 0 || i < 200 {
			m.check()
		}
	}
	m.check()
	t.Logf("%d steps: %v; %d orders, %d entries sent", steps, m.did, m.next, len(m.sent))
	often := []string{"place", "replace", "granted", "killed", "sweep", "pruned", "gave back",
		"arrived", "open", "resent", "cancel", "cancel open", "again"}
	if steps >= 50_000 {
		often = append(often, "superseded", "replaced while claimed")
	}
	for _, what := range often {
		if m.did[what] == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
}

// boot starts a daemon, in the place of one that died.
func (m *model) boot(i int) {
	s := &Store{
		Dir: m.dir, Load: m.load, Replica: fmt.Sprint("r", i),
		ResendWithin: time.Minute, Now: m.Now,
		Keep: 5 * day, KeepMax: 30,
	}
	s.step = func(at string) { m.between(at) }
	s.Event = func(e Event) {
		m.note("event %s %s %v", e.Kind, e.Record, e.Err)
		switch e.Kind {
		case GivenBack:
			m.did["gave back"]++
		case Replaced:
			m.did["superseded"]++
		case Lost:
			m.fatalf("the journal could not be written: %v", e.Err)
		}
	}
	m.stores[i] = s
}

// key is a record without what it ends with, and who did that.
func key(c Record) string {
	c.Actor = ""
	return c.as(Arrived)
}

func (m *model) load(_ context.Context, _ *boot.Machine, text string) (boot.Script, error) {
	if m.texts[text].unusable {
		return boot.Script{}, &boot.Unservable{Code: boot.Missing, Why: "missing"}
	}
	return boot.Script{Body: scriptOf(text), From: text}, nil
}

// between is called between two steps of something.
func (m *model) between(at string) {
	if m.depth < 4 && m.IntN(4) == 0 {
		m.note("meanwhile, at %q:", at)
		m.act()
	}
	if m.IntN(40) == 0 {
		m.note("killed at %q", at)
		panic(killed)
	}
}

func (m *model) name() string { return fmt.Sprint("m", m.IntN(5)) }

// pending is the text of the order that waits under a name, or "".
func (m *model) pending(name string) string {
	text, _ := os.Readlink(filepath.Join(m.dir, name))
	return text
}

// act does one thing.
func (m *model) act() {
	m.depth++
	defer func() { m.depth-- }()
	i := m.IntN(len(m.stores))
	s, name := m.stores[i], m.name()
	switch n := m.IntN(100); {
	case n < 25:
		m.place(s, name)
	case n < 60:
		m.ask(i, name, 0)
	case n < 70:
		m.ask(i, name, 1)
	case n < 82:
		m.end(i)
	case n < 85:
		m.cancel(s, name)
	case n < 88:
		m.again(s, name)
	case n < 90:
		m.sweep(s)
	case n < 91:
		m.note("%s dies", s.Replica)
		m.reboot(i)
	case n < 93:
		text := m.pending(name)
		if o := m.texts[text]; o != nil {
			o.unusable = !o.unusable
			m.note("%s unusable: %v", text, o.unusable)
		}
	case n < 99:
		m.add(time.Duration(m.IntN(20_000)) * time.Millisecond)
	default:
		m.add(time.Duration(m.IntN(20)) * time.Hour)
	}
}

// reboot is the death of a daemon: nobody ends what it has granted.
func (m *model) reboot(i int) {
	m.did["killed"]++
	dead := m.stores[i]
	m.grants = slices.DeleteFunc(m.grants, func(g *modelGrant) bool { return g.store == dead })
	m.boot(i)
}

func (m *model) place(s *Store, name string) {
	m.next++
	text := fmt.Sprintf("../%s-%d", name, m.next)
	m.texts[text] = &modelOrder{name: name, times: 1, unusable: m.IntN(10) == 0}
	old := m.pending(name)
	replaced, err := s.Place(name, text, "alice")
	m.note("place %s, instead of %q", text, replaced)
	if err != nil || replaced != old || m.pending(name) != text {
		m.fatalf("placed %s instead of %q: %q, %v", text, old, replaced, err)
	}
	m.did["place"]++
	if old != "" {
		m.texts[old].gone++
		m.did["replace"]++
	}
}

func (m *model) ask(i int, name string, try int) {
	s, addr := m.stores[i], fmt.Sprint("10.0.0.", 1+m.IntN(2))
	ctx, cancel := context.WithCancel(m.Context())
	defer cancel()
	if m.IntN(12) == 0 {
		// The client goes away in the middle.
		step := s.step
		left := m.IntN(6)
		s.step = func(at string) {
			if left--; left == 0 {
				cancel()
			}
			step(at)
		}
		defer func() { s.step = step }()
	}
	names := []string{"unknown", name}
	if m.IntN(3) == 0 {
		names = append(names, m.name())
	}
	before := m.pending(name)
	m.note("%s: %s asks as %v, try %d", s.Replica, addr, names, try)
	var a boot.Answer
	var err error
	if dies(func() { a, err = s.ask(ctx, client(addr, try, names...)) }) {
		if m.stores[i] == s {
			m.reboot(i)
		}
		return
	}
	switch {
	case err != nil:
		m.fatalf("asking: %v", err)
	case a.Grant == nil:
		if string(a.Script.Body) != string(scriptOf("default")) {
			m.fatalf("an answer without a grant: %s", a.Script.Body)
		}
		return
	}
	// The answer is that of the entry that it names, and the machine gets it.
	claim, ok := ParseRecord(a.Grant.ID())
	if !ok {
		m.fatalf("the grant has the trace %q", a.Grant.ID())
	}
	text := strings.TrimSuffix(strings.TrimPrefix(string(a.Script.Body), "#!ipxe\n# "), "\n")
	o := m.texts[text]
	if o == nil || o.name != claim.Name {
		m.fatalf("%s was answered with %q", claim, text)
	}
	if m.IntN(12) == 0 && a.Entry.Step == boot.Once {
		// Not a byte of it is sent after all.
		m.note("%s gives back %s", s.Replica, text)
		if dies(func() { a.Grant.GiveBack("") }) && m.stores[i] == s {
			m.reboot(i)
		}
		return
	}
	key := key(claim)
	e := m.sent[key]
	m.note("%s: %s was sent %s by %s, entry %s", s.Replica, addr, text, a.Entry.Step, a.Grant.ID())
	switch {
	case a.Entry.Step == boot.Once && e != nil && claim.End == Arrived:
		// A retry was quicker than this answer; both were sent the same.
	case a.Entry.Step == boot.Resend && (claim.Addr.String() != addr || try == 0):
		m.fatalf("%s was sent %s again", addr, claim)
	case a.Entry.Step == boot.Resend && e != nil && e.arrived && e.at.Before(m.Now()):
		m.fatalf("%s was sent again after it had arrived", claim)
	}
	if e == nil {
		o.sent++
		m.sent[key] = &modelEntry{text: text, addr: addr, at: m.Now()}
	} else if e.text != text {
		m.fatalf("%s was sent as %s, and is sent now as %s", key, e.text, text)
	}
	if o.sent > o.times {
		m.fatalf("%s was ordered %d times and granted %d times", text, o.times, o.sent)
	}
	if a.Entry.Step == boot.Resend {
		m.did["resent"]++
	} else {
		m.did["granted"]++
		if before != "" && before != text && a.Entry.Name.Text == name {
			m.did["replaced while claimed"]++
		}
	}
	if m.stores[i] == s { // else the daemon died meanwhile
		m.grants = append(m.grants, &modelGrant{a.Grant, s, key})
	}
}

// end settles one of a daemon's grants.
func (m *model) end(i int) {
	s := m.stores[i]
	for n, g := range m.grants {
		if g.store != s {
			continue
		}
		m.grants = slices.Delete(m.grants, n, n+1)
		arrived := m.IntN(3) > 0
		m.note("%s settles %s: %v", s.Replica, g.entry, arrived)
		if dies(func() { g.Confirm(arrived) }) {
			if m.stores[i] == s {
				m.reboot(i)
			}
			return
		}
		if e := m.sent[g.entry]; arrived {
			m.did["arrived"]++
			e.arrived, e.at = true, m.Now()
			for _, open := range []Outcome{Arrived, Resent} {
				if _, err := os.Lstat(filepath.Join(m.dir, claimedDir,
					mustParse(g.entry).as(open))); err == nil {
					m.fatalf("%s arrived, and is open", g.entry)
				}
			}
		} else {
			m.did["open"]++
		}
		return
	}
}

func mustParse(file string) Record {
	c, ok := ParseRecord(file)
	if !ok {
		panic(file)
	}
	return c
}

func (m *model) cancel(s *Store, name string) {
	old := m.pending(name)
	got, err := s.Cancel(name, "alice")
	m.note("cancel %s: %v, %v", name, got, err)
	switch {
	case old != "":
		if err != nil || len(got) != 1 || got[0].Target != old || m.pending(name) != "" {
			m.fatalf("canceled %s: %+v, %v", old, got, err)
		}
		m.did["cancel"]++
	case err == nil:
		m.did["cancel open"]++
	case err != ErrNone:
		m.fatalf("cancel %s: %v", name, err)
	}
}

func (m *model) again(s *Store, name string) {
	old := m.pending(name)
	got, err := s.Retry(name, "alice")
	m.note("again %s: %+v, %v", name, got, err)
	switch {
	case err == nil:
		if old != "" || m.pending(name) != got.Target {
			m.fatalf("placed again: %+v instead of %q", got, old)
		}
		m.texts[got.Target].times++
		m.did["again"]++
	case m.pending(name) != old:
		m.fatalf("placed again in spite of %v", err)
	}
}

func (m *model) sweep(s *Store) {
	m.did["sweep"]++
	before := m.journal()
	st, err := s.Sweep()
	if err != nil {
		m.fatalf("sweep: %v", err)
	}
	after := m.journal()
	pruned := 0
	for file, text := range before {
		if _, stays := after[file]; stays {
			continue
		}
		pruned++
		c := mustParse(file[strings.Index(file, "/")+1:])
		if age := m.Now().Sub(c.Time); strings.HasPrefix(file, claimedDir) || age <= day {
			m.fatalf("the sweeper forgot %s, %v old", file, age)
		}
		m.texts[text].gone++
		if e := m.sent[key(c)]; e != nil {
			e.pruned = true
		}
	}
	if pruned != st.Pruned {
		m.fatalf("the sweeper says it pruned %d, and did %d", st.Pruned, pruned)
	}
	m.did["pruned"] += pruned
}

// journal is all of it: the path of each entry, and its text.
func (m *model) journal() map[string]string {
	all := map[string]string{}
	for text, where := range places(m.T, m.dir) {
		for _, p := range where {
			switch {
			case p.state == "open":
				all[claimedDir+"/"+p.claim.String()] = text
			case p.state != "pending":
				all[servedDir+"/"+p.claim.String()] = text
			}
		}
	}
	return all
}

// check compares the directory with the books.
func (m *model) check() {
	m.Helper()
	all := places(m.T, m.dir)
	found := map[string]int{} // entries of the journal, by name without end
	for text, where := range all {
		o := m.texts[text]
		if o == nil {
			m.fatalf("%s was never placed, and is at %+v", text, where)
		}
		pending := 0
		for _, p := range where {
			if p.state == "pending" {
				pending++
				continue
			}
			key := key(p.claim)
			found[key]++
			e := m.sent[key]
			switch {
			case p.state == "served" && (e == nil || e.text != text):
				m.fatalf("%s is said to have arrived, and was never sent", p.claim)
			case p.claim.End == Superseded && e != nil:
				m.fatalf("%s was sent, and is said to be superseded", p.claim)
			case p.state == "open" && e != nil && e.arrived:
				m.fatalf("%s arrived, and is open", p.claim)
			}
		}
		if pending > 0 && o.sent+pending > o.times {
			m.fatalf("%s was sent %d times, ordered %d times, and waits: %+v", text, o.sent,
				o.times, where)
		}
	}
	for text, o := range m.texts {
		if n := len(all[text]); n+o.gone != o.times {
			m.fatalf("%s was ordered %d times; %d are replaced or forgotten, and found are %+v",
				text, o.times, o.gone, all[text])
		}
		if o.gone == o.times && len(all[text]) == 0 {
			delete(m.texts, text) // nothing more can happen to it
		}
	}
	for key, e := range m.sent {
		if n := found[key]; n != 1 && !e.pruned {
			m.fatalf("%s was sent %s, and has %d entries", key, e.text, n)
		}
	}
}
