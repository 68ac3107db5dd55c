//go:build linux

package order

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/lab/faultfs"
	"pxesrv/pkg/tree"
)

// ledger is what the machines of a test say: how often each order was answered,
// by its text, and under which entry.
type ledger struct {
	mu      sync.Mutex
	placed  []string
	granted map[string][]string // text → entries
}

func (l *ledger) grant(a boot.Answer) {
	text := strings.TrimSuffix(strings.TrimPrefix(string(a.Script.Body), "#!ipxe\n# "), "\n")
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.granted == nil {
		l.granted = map[string][]string{}
	}
	l.granted[text] = append(l.granted[text], a.Grant.ID())
}

// balance checks the accounts: each order was answered at most once; each that
// was answered has exactly one entry in the journal that says so, the one that
// the answer named, and waits no more; each that was not is somewhere, too. It
// returns the number of orders by state, answered ones as "open" and "served",
// others as "pending" and "kept".
func (l *ledger) balance(t *testing.T, dir string) map[string]int {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := places(t, dir)
	sum := map[string]int{}
	for _, text := range l.placed {
		traces, found := l.granted[text], all[text]
		delete(all, text)
		var pending, sent []place
		for _, p := range found {
			switch {
			case p.state == "pending":
				pending = append(pending, p)
			case p.claim.sent():
				sent = append(sent, p)
			}
		}
		switch {
		case len(traces) > 1:
			t.Errorf("%s was granted %d times: %q", text, len(traces), traces)
		case len(traces) == 1 && (len(pending) > 0 || len(sent) != 1):
			t.Errorf("%s was granted as %s and is at %+v", text, traces[0], found)
		case len(traces) == 1:
			if id := sent[0].claim.as(Arrived); id != traces[0] {
				t.Errorf("%s was granted as %s, and the journal has %s", text, traces[0], id)
			}
			sum[sent[0].state]++
		case len(found) == 0:
			t.Errorf("%s is lost without a trace", text)
		case len(pending) > 1 || len(sent) > 1:
			t.Errorf("%s is at two places: %+v", text, found)
		case len(pending) == 1 && len(sent) == 1:
			t.Errorf("%s waits, and a retry would get it as well: %+v", text, found)
		case len(pending) == 1:
			sum["pending"]++
		default:
			sum["kept"]++
		}
	}
	for text, where := range all {
		t.Errorf("%s was never placed and is at %+v", text, where)
	}
	for text := range l.granted {
		if !slices.Contains(l.placed, text) {
			t.Errorf("%s was granted and never placed", text)
		}
	}
	return sum
}

// faulty is a directory of orders that is reached through a file system with
// faults.
type faulty struct {
	*testing.T
	*faultfs.Faults
	ledger
	source string // the directory itself
	s      *Store // on the mount, as all others
	events map[EventKind]int
	stores []*Store
}

func newFaulty(t *testing.T) *faulty {
	source := t.TempDir()
	return newFaultyOn(t, source, faultfs.Mount(t, source))
}

func newFaultyOn(t *testing.T, source string, mount *faultfs.Faults) *faulty {
	f := &faulty{T: t, source: source, Faults: mount, events: map[EventKind]int{}}
	var mu sync.Mutex
	for i := range 3 {
		s, _ := newStore(f.Dir)
		s.Replica = fmt.Sprint("r", i)
		s.Event = func(e Event) { mu.Lock(); defer mu.Unlock(); f.events[e.Kind]++ }
		f.stores = append(f.stores, s)
	}
	f.s = f.stores[0]
	if p := f.s.Check(); len(p) > 0 {
		t.Fatal(p)
	}
	return f
}

// place places an order directly, without faults. Its text is the name and a
// number.
func (f *faulty) place(name string) string {
	f.Helper()
	f.mu.Lock()
	text := fmt.Sprintf("../%s-%d", name, len(f.placed))
	f.placed = append(f.placed, text)
	f.mu.Unlock()
	if err := os.Symlink(text, filepath.Join(f.source, name)); err != nil {
		f.Fatal(err)
	}
	return text
}

// asks asks one store, and settles what is granted. ok: an order was granted.
func (f *faulty) asks(s *Store, c *boot.Machine, arrived bool) (a boot.Answer, granted bool) {
	a, err := s.ask(context.Background(), c)
	if err != nil || a.Grant == nil {
		return a, false
	}
	f.grant(a)
	a.Grant.Confirm(arrived)
	return a, true
}

// TestFaults lets three daemons with four requests each fight for each of many
// orders, on a file system that fails now and then, and checks the accounts.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []faultfs.Fault
	}{
		{"healthy", nil},
		{"replayed", []faultfs.Fault{faultfs.Replay(3)}},
		{"replayed always", []faultfs.Fault{faultfs.Replay(1)}},
		{"EIO", []faultfs.Fault{faultfs.EIO(7, 0)}},
		{"EIO late", []faultfs.Fault{{Every: 5, Err: unix.EIO, Late: true,
			Ops: faultfs.OpRename | faultfs.OpSymlink | faultfs.OpUnlink}}},
		{"ENOSPC", []faultfs.Fault{faultfs.NoSpace(3)}},
		{"fsync", []faultfs.Fault{faultfs.FsyncDirFails(4)}},
		{"fsync, no flags", []faultfs.Fault{faultfs.FsyncDirFails(3), faultfs.NoRenameFlags()}},
		{"all", []faultfs.Fault{faultfs.NoRenameFlags(), faultfs.Replay(5), faultfs.EIO(11, 0),
			faultfs.FsyncDirFails(3), faultfs.NoSpace(7)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFaulty(t)
			f.Set(c.faults...)
			for i := range 40 {
				name := fmt.Sprint("m", i)
				f.place(name)
				var wg sync.WaitGroup
				for j := range 12 {
					wg.Go(func() { f.asks(f.stores[j%3], client("10.0.0.1", 0, name), j%2 == 0) })
				}
				wg.Wait()
			}
			f.Set()
			t.Logf("%d faults: %v", f.Injected(), f.balance(t, f.source))
			if (f.Injected() > 0) != (c.faults != nil) {
				t.Errorf("%d faults were injected", f.Injected())
			}
			// What waits is granted now, once; what is open can be had by
			// nobody.
			for i := range 40 {
				f.asks(f.s, client("10.0.0.1", 0, fmt.Sprint("m", i)), true)
			}
			if sum := f.balance(t, f.source); sum["pending"] > 0 {
				t.Errorf("after the repair: %v", sum)
			}
		})
	}
}

// A reply was lost, and the repeated rename says that there is no such order.
// The winner finds out.
func TestReplayedRename(t *testing.T) {
	f := newFaulty(t)
	f.Set(faultfs.Replay(1))
	for i := range 20 {
		name := fmt.Sprint("m", i)
		text := f.place(name)
		if a, ok := f.asks(f.stores[i%3], client("10.0.0.1", 0, name), true); !ok ||
			a.Script.From != text {
			t.Fatalf("the winner was sent %q; %+v", a.Script.Body, a.Trace.Findings)
		}
		if a, ok := f.asks(f.stores[(i+1)%3], client("10.0.0.1", 0, name), true); ok {
			t.Fatalf("%s was granted again: %+v", name, a)
		}
	}
	if sum := f.balance(t, f.source); sum["served"] != 20 {
		t.Error(sum)
	}
	// The same for what people do, and for what is given back.
	if _, err := f.s.Place("m20", "../m20-20", "alice"); err != nil {
		t.Errorf("place: %v", err)
	}
	f.placed = append(f.placed, "../m20-20")
	a, err := f.s.ask(t.Context(), client("10.0.0.1", 0, "m20"))
	if err != nil || a.Grant == nil {
		t.Fatal(a, err)
	}
	a.Grant.GiveBack("")
	if f.events[GivenBack] != 1 {
		t.Errorf("events %v", f.events)
	}
	if sum := f.balance(t, f.source); sum["pending"] != 1 {
		t.Error(sum)
	}
	f.asks(f.s, client("10.0.0.1", 0, "m20"), false)
	if a, ok := f.asks0(f.s, client("10.0.0.1", 1, "m20")); !ok || a.Entry.Step != boot.Resend {
		t.Errorf("a retry: %+v", a)
	}
	if _, err := f.s.Retry("m20", "alice"); err != nil {
		t.Errorf("again: %v", err)
	}
	if got, err := f.s.Cancel("m20", "alice"); err != nil || len(got) != 1 {
		t.Errorf("cancel: %v, %v", got, err)
	}
}

// asks0 asks without an account, for retries.
func (f *faulty) asks0(s *Store, c *boot.Machine) (boot.Answer, bool) {
	a, err := s.ask(context.Background(), c)
	if err != nil || a.Grant == nil {
		return a, false
	}
	a.Grant.Confirm(false)
	return a, true
}

// Every 7th call of the file system fails.
func TestEIO(t *testing.T) {
	f := newFaulty(t)
	// Also at each single call of a whole way, one after the other.
	for nth := 1; nth <= 40; nth++ {
		name := fmt.Sprint("m", nth)
		f.place(name)
		f.Set(faultfs.EIO(nth, 0))
		f.asks(f.s, client("10.0.0.1", 0, name), true)
		f.Set()
	}
	f.balance(t, f.source)
	f.Set(faultfs.EIO(7, 0))
	for i := 100; i < 200; i++ {
		name := fmt.Sprint("m", i)
		f.place(name)
		for j := range 3 {
			f.asks(f.stores[j], client("10.0.0.1", 0, name), j == 0)
		}
	}
	f.Set()
	sum := f.balance(t, f.source)
	if sum["served"]+sum["open"] == 0 {
		t.Errorf("nothing was granted: %v", sum)
	}
	t.Log(sum)
}

// What cannot be made to last is not sent.
func TestFsyncFails(t *testing.T) {
	for _, flags := range []bool{true, false} {
		f := newFaulty(t)
		faults := []faultfs.Fault{faultfs.FsyncDirFails(1)}
		if !flags {
			faults = append(faults, faultfs.NoRenameFlags())
		}
		text := f.place("m1")
		f.Set(faults...)
		for range 3 {
			a, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true)
			if ok || a.Entry.Step != boot.Default || len(a.Trace.Findings) != 2 ||
				a.Trace.Findings[0].Code != boot.Failed {
				t.Fatalf("answered %+v", a)
			}
		}
		wantPlaces(t, f.source, text+" pending")
		if f.events[GivenBack] != 3 || f.events[Granted] != 0 {
			t.Errorf("events %v", f.events)
		}
		// And it cannot be given back either: then it is open, and sent to
		// nobody.
		f.Set(faultfs.FsyncDirFails(1), faultfs.Fault{Ops: faultfs.OpRename2 | faultfs.OpSymlink,
			Err: unix.EIO})
		if _, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true); ok {
			t.Error("granted, though nothing lasts")
		}
		f.Set()
		wantPlaces(t, f.source, text+" open")
		if f.events[Lost] != 1 {
			t.Errorf("events %v", f.events)
		}
		f.balance(t, f.source)
		// A retry cannot be made to last either.
		f.place("m2")
		f.asks(f.s, client("10.0.0.1", 0, "m2"), false)
		f.Set(faultfs.FsyncDirFails(1))
		if a, ok := f.asks0(f.s, client("10.0.0.1", 1, "m2")); ok {
			t.Errorf("sent again: %+v", a)
		}
		f.Set()
		if _, ok := f.asks0(f.s, client("10.0.0.1", 1, "m2")); !ok {
			t.Error("not sent again after the repair")
		}
		f.balance(t, f.source)
	}
}

// A disk that is full or read only keeps orders from being granted; the machine
// gets what it would get without, and the order is granted after the repair.
func TestFullAndReadOnly(t *testing.T) {
	for name, fault := range map[string]faultfs.Fault{
		"ENOSPC": faultfs.NoSpace(1), "EROFS": faultfs.ReadOnly(), "EACCES": {Ops: faultfs.OpModify,
			Err: unix.EACCES}, "EPERM": {Ops: faultfs.OpRename, Err: unix.EPERM},
		"ESTALE": {Ops: faultfs.OpRename, Err: unix.ESTALE},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFaulty(t)
			text := f.place("m1")
			f.Set(fault)
			a, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true)
			if ok || a.Entry.Step != boot.Default || a.Trace.Findings[0].Code != boot.Failed {
				t.Errorf("answered %+v", a)
			}
			wantPlaces(t, f.source, text+" pending")
			if problems := f.s.Check(); len(problems) == 0 {
				t.Error("check finds nothing wrong")
			}
			// What fails while a claim is under way leaves it open.
			f.Set()
			if a, err := f.s.ask(t.Context(), client("10.0.0.1", 0, "m1")); err != nil ||
				a.Grant == nil {
				t.Fatalf("after the repair: %+v, %v", a, err)
			} else {
				f.grant(a)
				f.Set(fault)
				a.Grant.Confirm(true)
			}
			wantPlaces(t, f.source, text+" open")
			if f.events[Lost] != 1 || f.events[Served] != 0 {
				t.Errorf("events %v", f.events)
			}
			f.Set()
			f.balance(t, f.source)
		})
	}
}

// A disk that cannot be read says nothing about who is protected or what is
// ordered.
func TestUnreadable(t *testing.T) {
	f := newFaulty(t)
	text := f.place("m1")
	f.Set(faultfs.EIOUnder("m1"))
	if a, err := f.s.ask(t.Context(), client("10.0.0.1", 0, "m1")); err == nil {
		t.Errorf("answered %+v", a)
	}
	f.Set(faultfs.EIOUnder(claimedDir))
	if a, err := f.s.ask(t.Context(), client("10.0.0.1", 1, "m1")); err == nil {
		t.Errorf("a retry was answered %+v", a)
	}
	if a, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true); ok || a.Entry.Step != boot.Default {
		t.Errorf("answered %+v", a)
	}
	wantPlaces(t, f.source, text+" pending")
}

// Nothing that is given back replaces a newer order, with flags for rename or
// without.
func TestSuperseded(t *testing.T) {
	for _, faults := range [][]faultfs.Fault{nil, {faultfs.NoRenameFlags()},
		{faultfs.NoRenameFlags(), faultfs.Replay(1)}} {
		f := newFaulty(t)
		f.Set(faults...)
		old := f.place("m1")
		a, err := f.s.ask(t.Context(), client("10.0.0.1", 0, "m1"))
		if err != nil || a.Grant == nil {
			t.Fatal(a, err)
		}
		newer := f.place("m1")
		a.Grant.GiveBack("the client went away")
		wantPlaces(t, f.source, old+" superseded", newer+" pending")
		if f.events[Replaced] != 1 || f.events[GivenBack] != 0 {
			t.Errorf("events %v", f.events)
		}
		if n, err := f.stores[1].grants("m1"); n != 0 || err != nil {
			t.Errorf("%d grants counted, %v", n, err)
		}
		if a, ok := f.asks(f.s, client("10.0.0.1", 1, "m1"), true); !ok || a.Script.From != newer {
			t.Errorf("answered %+v", a)
		}
		f.balance(t, f.source)
	}
}

// A daemon that dies while it gives an order back leaves nothing that a retry
// could be sent besides the order that waits.
func TestKilledWhileGivingBack(t *testing.T) {
	for _, step := range []string{"give back", "given up", "linked back"} {
		t.Run(step, func(t *testing.T) {
			f := newFaulty(t)
			f.Set(faultfs.NoRenameFlags())
			text := f.place("m1")
			a, err := f.s.ask(t.Context(), client("10.0.0.1", 0, "m1"))
			if err != nil || a.Grant == nil {
				t.Fatal(a, err)
			}
			f.s.step = func(at string) {
				if at == step {
					panic(killed)
				}
			}
			if !dies(func() { a.Grant.GiveBack("") }) {
				t.Fatal("was not killed")
			}
			f.s.step = nil
			f.balance(t, f.source)
			want := map[string]int{"give back": 1, "given up": 0, "linked back": 1}[step]
			got := 0
			for range 3 {
				if a, ok := f.asks0(f.stores[1], client("10.0.0.1", 1, "m1")); ok &&
					a.Script.From == text {
					if got++; a.Entry.Step == boot.Once {
						break // sent, and open: a retry gets it again
					}
				}
			}
			if (got > 0) != (want > 0) {
				t.Errorf("sent %d times", got)
			}
			if p := places(t, f.source)[text]; slices.ContainsFunc(p, func(p place) bool {
				return p.state == "pending"
			}) {
				t.Errorf("it was sent, and waits: %+v", p)
			}
		})
	}
}

// What was claimed is what is answered, whatever was read before.
func TestReplacedWhileClaimed(t *testing.T) {
	replace := func(f *faulty, text string) {
		f.placed = append(f.placed, text)
		if _, err := f.s.Place("m1", text, "alice"); err != nil {
			t.Error(err)
		}
	}
	t.Run("by another", func(t *testing.T) {
		f := newFaulty(t)
		f.place("m1")
		f.s.step = func(at string) {
			if at == "claim" {
				replace(f, "../newer")
			}
		}
		a, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true)
		if !ok || string(a.Script.Body) != string(scriptOf("../newer")) {
			t.Errorf("answered %q", a.Script.Body)
		}
		f.placed = f.placed[1:] // the first was replaced
		if sum := f.balance(t, f.source); sum["served"] != 1 {
			t.Error(sum)
		}
	})
	for _, text := range []string{"../missing", "../sick"} {
		t.Run("by "+text, func(t *testing.T) {
			f := newFaulty(t)
			f.place("m1")
			f.s.step = func(at string) {
				if at == "claim" {
					replace(f, text)
				}
			}
			a, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true)
			if ok || a.Entry.Step != boot.Default || f.events[GivenBack] != 1 {
				t.Errorf("answered %+v, events %v", a, f.events)
			}
			wantPlaces(t, f.source, text+" pending")
		})
	}
	t.Run("by a file", func(t *testing.T) {
		f := newFaulty(t)
		f.place("m1")
		path := filepath.Join(f.source, "m1")
		f.s.step = func(at string) {
			if at == "claim" {
				os.Remove(path)
				os.WriteFile(path, []byte("mine"), 0o644)
			}
		}
		if _, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true); ok {
			t.Error("a file was granted")
		}
		if b, err := os.ReadFile(path); string(b) != "mine" {
			t.Errorf("the file: %q, %v", b, err)
		}
	})
	t.Run("placed again after the claim", func(t *testing.T) {
		f := newFaulty(t)
		old := f.place("m1")
		f.s.step = func(at string) {
			if at == "claimed" {
				f.place("m1")
			}
		}
		if a, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true); !ok || a.Script.From != old {
			t.Errorf("answered %+v", a)
		}
		if sum := f.balance(t, f.source); sum["served"] != 1 || sum["pending"] != 1 {
			t.Error(sum)
		}
	})
	t.Run("taken by another", func(t *testing.T) {
		f := newFaulty(t)
		f.place("m1")
		f.s.step = func(at string) {
			if at == "claim" {
				f.asks(f.stores[1], client("10.0.0.2", 0, "m1"), true)
			}
		}
		a, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true)
		if ok || a.Trace.Findings[0].Code != boot.Taken {
			t.Errorf("answered %+v", a)
		}
		f.balance(t, f.source)
	})
}

// TestRememberedLink: this machine's kernel remembers the link of an order that
// another daemon has claimed since, and a person has placed another one under
// the name. The rename moves the new one on the server, and the kernel shows
// the old one's text under the new name, as NFS clients do. The old text is
// never sent again.
func TestRememberedLink(t *testing.T) {
	for _, test := range []struct {
		name   string
		heals  faultfs.Heals
		faults []faultfs.Fault
		sent   string // what the machine gets; "": no order
		event  EventKind
		places []string
	}{
		{"a listing tells", faultfs.ByListing, nil, "../newer", Served,
			[]string{"../newer served", "../older served"}},
		{"a listing of it alone tells", faultfs.BySmallListing, nil, "../newer", Served,
			[]string{"../newer served", "../older served"}},
		{"nothing tells", faultfs.ByNothing, nil, "", GivenBack,
			[]string{"../newer pending", "../older served"}},
		{"nothing tells, and it cannot be put back", faultfs.ByNothing,
			[]faultfs.Fault{faultfs.NoRenameFlags()}, "", Lost,
			[]string{"../newer open", "../older served"}},
		{"the rename is denied", faultfs.ByListing, []faultfs.Fault{faultfs.Replay(1)},
			"../newer", Served,
			[]string{"../newer served", "../older served"}},
		{"the text of the moment", faultfs.ByListing, []faultfs.Fault{faultfs.NoRenameFlags(),
			faultfs.FsyncDirFails(1)}, "", GivenBack,
			[]string{"../newer pending", "../older served"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := t.TempDir()
			f := newFaultyOn(t, source, faultfs.MountRemembering(t, source, test.heals))
			// What another daemon and a person do, on the server itself.
			link := func(text string) {
				if err := os.Symlink(text, filepath.Join(source, "m1")); err != nil {
					t.Fatal(err)
				}
			}
			other, _ := newStore(source)
			f.s.step = func(at string) {
				if at != "claim" {
					return
				}
				f.s.step = nil
				a, err := other.ask(context.Background(), client("10.0.0.1", 0, "m1"))
				if err != nil || a.Grant == nil || a.Script.From != "../older" {
					t.Fatalf("the other daemon answered %+v, error %v", a, err)
				}
				a.Grant.Confirm(true)
				link("../newer")
				f.Set(test.faults...)
			}
			// What is open makes the listing of the journal long.
			for i := range 3 {
				c := other.newRecord(fmt.Sprint("other", i), client("10.0.0.1", 0).Addr)
				if err := os.Symlink(fmt.Sprint("../open", i),
					filepath.Join(source, claimedDir, c.String())); err != nil {
					t.Fatal(err)
				}
				test.places = append(test.places, fmt.Sprintf("../open%d open", i))
			}
			link("../older")
			a, granted := f.asks(f.s, client("10.0.0.1", 0, "m1"), true)
			f.Set()
			if granted != (test.sent != "") || granted && a.Script.From != test.sent {
				t.Errorf("%v: sent %q, want %q; %+v", granted, a.Script.From, test.sent,
					a.Trace.Findings)
			}
			if f.events[test.event] == 0 {
				t.Errorf("events %v, want %q", f.events, test.event)
			}
			wantPlaces(t, source, test.places...)
			if left, _ := filepath.Glob(filepath.Join(source, "*", tree.Aside+"*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestKilledAside: a daemon was killed while it had a claim aside. The next
// sweep has it in the journal again, open.
func TestKilledAside(t *testing.T) {
	dir := t.TempDir()
	s, clock := newStore(dir)
	if p := s.Check(); len(p) > 0 {
		t.Fatal(p)
	}
	c := s.newRecord("m1", client("10.0.0.1", 0).Addr).String()
	folder := filepath.Join(dir, claimedDir, tree.Aside+c)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../m1", filepath.Join(folder, c)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{0, 1} {
		if st, err := s.Sweep(); err != nil || st.Open != want {
			t.Errorf("%d are open, want %d, error %v", st.Open, want, err)
		}
		clock.add(2 * openAfter)
	}
	wantPlaces(t, dir, "../m1 open")
	if _, err := os.Lstat(folder); err == nil {
		t.Error("its folder is left behind")
	}
}

// TestEmptyAside: a claim was moved on by others before it could be looked at
// alone, or was moved back before the folder was taken away. The next sweep
// takes it away.
func TestEmptyAside(t *testing.T) {
	dir := t.TempDir()
	s, clock := newStore(dir)
	place1(t, s, "m1", "../m1")
	g := asks(t, s, client("10.0.0.1", 0, "m1"), "../m1").Grant
	folder := filepath.Join(dir, claimedDir, tree.Aside+g.ID())
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	g.Confirm(true)
	clock.add(2 * openAfter)
	if _, err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	wantPlaces(t, dir, "../m1 served")
	if _, err := os.Lstat(folder); err == nil {
		t.Error("its folder is left behind")
	}
}

// TestSettledWhileAside: while another daemon looks at a claim alone, it cannot
// be moved to the served ones, and nobody says that it was.
func TestSettledWhileAside(t *testing.T) {
	dir := t.TempDir()
	s, clock := newStore(dir)
	var last EventKind
	s.Event = func(e Event) { last = e.Kind }
	place1(t, s, "m1", "../m1")
	g := asks(t, s, client("10.0.0.1", 0, "m1"), "../m1").Grant
	claimed := filepath.Join(dir, claimedDir)
	folder := filepath.Join(claimed, tree.Aside+g.ID())
	if err := errors.Join(os.Mkdir(folder, 0o755), os.Rename(filepath.Join(claimed, g.ID()),
		filepath.Join(folder, g.ID()))); err != nil {
		t.Fatal(err)
	}
	g.Confirm(true)
	if last != Lost {
		t.Errorf("said %q", last)
	}
	clock.add(2 * openAfter)
	if _, err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	wantPlaces(t, dir, "../m1 open")
}

// TestSettleOfAClaimBelievedAbsent: this machine believes that a claim is not
// there, as after a look aside whose way back was denied and carried out. It is
// not said to be served before it is.
func TestSettleOfAClaimBelievedAbsent(t *testing.T) {
	source := t.TempDir()
	f := newFaultyOn(t, source, faultfs.MountRemembering(t, source, faultfs.ByNothing))
	text := f.place("m1")
	a, err := f.s.ask(t.Context(), client("10.0.0.1", 0, "m1"))
	if err != nil || a.Grant == nil {
		t.Fatal(a, err)
	}
	f.grant(a)
	claimed, away := filepath.Join(claimedDir, a.Grant.ID()), filepath.Join(claimedDir, "away")
	if err := os.Rename(filepath.Join(f.Dir, claimed), filepath.Join(f.Dir, away)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(f.Dir, claimed)); err == nil {
		t.Fatal("the claim is not away")
	}
	if err := os.Rename(filepath.Join(source, away), filepath.Join(source, claimed)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(f.Dir, claimed)); err == nil {
		t.Fatal("the kernel remembers nothing, so that nothing is tried here")
	}
	a.Grant.Confirm(true)
	wantPlaces(t, source, text+" served")
	if f.events[Served] != 1 {
		t.Errorf("events %v", f.events)
	}
}

// TestResendOfARememberedLink: a daemon was killed between the rename and the
// look at what it had moved, and its kernel still shows the old text. What is
// sent to the machine that asks again is what was claimed.
func TestResendOfARememberedLink(t *testing.T) {
	source := t.TempDir()
	f := newFaultyOn(t, source, faultfs.MountRemembering(t, source, faultfs.ByListing))
	for _, step := range []string{"../older", "../newer"} {
		os.Remove(filepath.Join(source, "m1"))
		if err := os.Symlink(step, filepath.Join(source, "m1")); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Readlink(filepath.Join(f.Dir, "m1")); err != nil {
			t.Fatal(err)
		}
	}
	c := f.s.newRecord("m1", client("10.0.0.1", 1).Addr)
	if err := os.Rename(filepath.Join(f.Dir, "m1"),
		filepath.Join(f.Dir, claimedDir, c.String())); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.Readlink(filepath.Join(f.Dir, claimedDir, c.String())); text != "../older" {
		t.Fatalf("the kernel shows %q, so that nothing is tried here", text)
	}
	a, err := f.s.ask(context.Background(), client("10.0.0.1", 1, "m1"))
	if err != nil || a.Grant == nil || a.Script.From != "../newer" {
		t.Errorf("sent %q, error %v; %+v", a.Script.From, err, a.Trace.Findings)
	}
}

// TestStaleRename: a rename that the file server calls stale did nothing, and
// is tried again before the order is left where it is.
func TestStaleRename(t *testing.T) {
	f := newFaulty(t)
	text := f.place("m1")
	f.Set(faultfs.Fault{Ops: faultfs.OpRename, Times: 3, Err: unix.ESTALE})
	if a, ok := f.asks(f.s, client("10.0.0.1", 0, "m1"), true); !ok || a.Script.From != text {
		t.Errorf("sent %q; %+v", a.Script.From, a.Trace.Findings)
	}
	if f.Injected() == 0 {
		t.Error("nothing was stale")
	}
	f.balance(t, f.source)
}

// TestOrderBelievedAbsent: this machine remembers that there was no order, as
// a client of NFS 3 does for good when the directory changed twice within one
// tick of the server's clock. The listing tells, and the order is granted.
func TestOrderBelievedAbsent(t *testing.T) {
	source := t.TempDir()
	f := newFaultyOn(t, source, faultfs.MountRemembering(t, source, faultfs.ByNothing))
	c := client("10.0.0.1", 0, "m1")
	if _, ok := f.asks(f.s, c, true); ok {
		t.Fatal("granted what is not there")
	}
	text := f.place("m1")
	if _, ok := f.asks(f.s, c, true); ok {
		t.Fatal("the kernel remembers nothing, so that nothing is tried here")
	}
	for range 500 { // the directory has to be at rest, and is listed beside the requests
		if a, ok := f.asks(f.s, c, true); ok {
			if a.Script.From != text {
				t.Errorf("sent %q", a.Script.From)
			}
			f.balance(t, source)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the order is never seen")
}

// TestEmptyDirectory: where a daemon was killed while it made its kernel ask
// for a name, an empty directory is left, and an ln -s would go into it. It
// goes with the next sweep. What people have put into one stays.
func TestEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	s := &Store{Dir: dir, Load: load}
	old := time.Now().Add(-2 * openAfter)
	for _, name := range []string{"m1", "m2", "m3"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../x", filepath.Join(dir, "m2/m2")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"m1", "m2"} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"m1": false, "m2": true, "m2/m2": true, "m3": true} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want there: %v", name, err, want)
		}
	}
}
