//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/qemu"
)

// Orders and protection on a real NFS: the kernel's server and three mounts of
// it with caches of their own, in a whole Debian. The tests here boot it and
// run themselves in it; there, this variable has the mount options.
const insideNFS = "PXESRV_TEST_NFS_INSIDE"

// TestNFSOrders makes orders anew while they are claimed, with the mount option
// under which a client trusts its cache most.
func TestNFSOrders(t *testing.T) {
	t.Parallel()
	onNFS(t, 300, false, "lookupcache=positive")
}

// TestSoakNFSOrders does it for long, with each set of mount options, while
// daemons are killed and the NFS server is stopped.
func TestSoakNFSOrders(t *testing.T) {
	if _, inside := os.LookupEnv(insideNFS); !inside {
		lab.OnlySoak(t)
	}
	onNFS(t, 10_000, true, "", "actimeo=1", "lookupcache=positive,actimeo=1", "noac",
		"lookupcache=none,actimeo=1")
}

// onNFS boots a Debian for each of the sets of mount options, and runs
// nfsOrders in it.
func onNFS(t *testing.T, orders int, chaos bool, sets ...string) {
	lab.Slow(t)
	if options, inside := os.LookupEnv(insideNFS); inside {
		nfsOrders(t, options, orders, chaos)
		return
	}
	// Without the race detector, which the machine is too slow for, and without
	// libraries of this computer.
	program := filepath.Join(t.TempDir(), "pxesrv.test")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	for _, options := range sets {
		t.Run("options "+options, func(t *testing.T) {
			test, _, _ := strings.Cut(t.Name(), "/")
			out := qemu.Debian{
				Files: map[string]string{"pxesrv.test": program},
				Limit: nfsPatience(orders) + 5*time.Minute,
				Script: fmt.Sprintf("mkdir /srv/shared\nTMPDIR=/srv/shared %s='%s' ./pxesrv.test "+
					"-test.v -test.timeout 0 -test.run '^%s$'\n",
					insideNFS, options, test),
			}.Run(t)
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, "orders: ") {
					fmt.Print(line)
				}
			}
		})
	}
}

// nfsOrders runs in the machine: three daemons, each on a mount of its own.
// Orders for a few machines are made anew on the server's own disk the moment
// they are claimed, and now and then while they wait; clients ask. After that
// they ask for another machine, which is protected and set free again.
func nfsOrders(t *testing.T, options string, orders int, chaos bool) {
	y := newYard(t, 0)
	if options == "" {
		// with the default options, a journal that is too long for what a
		// client asks for with a listing
		y.leaveOpen(1200)
	}
	y.share(options)
	began := time.Now()

	var makers, others sync.WaitGroup
	placed, over := make(chan struct{}), make(chan struct{})
	var ignored atomic.Int64
	machines, clients := 2, 8
	if chaos { // much waits for a daemon or the server that is away
		machines, clients = 12, 32
	}
	for m := range machines {
		makers.Go(func() {
			ignored.Add(int64(y.makeAnew(fmt.Sprint("m", m), orders/machines,
				began.Add(nfsPatience(orders)))))
		})
	}
	g := &guard{y: y}
	stats := make([]nfsStats, clients)
	for i := range stats {
		others.Go(func() {
			for n := i; !closed(over); n++ {
				d := y.daemons[rand.IntN(len(y.daemons))]
				if closed(placed) {
					stats[i].count(func() reply { return g.ask(d) })
				} else {
					stats[i].count(func() reply { return y.ask(d, fmt.Sprint("m", n%machines), 0) })
				}
			}
		})
	}
	others.Go(func() { // so that who looks at a machine that hangs sees since when
		for !closed(over) {
			y.mu.Lock()
			fmt.Printf("after %.0f s: %d orders, %d answered, %d requests, protected %d times\n",
				time.Since(began).Seconds(), y.orders, len(y.answers), y.asked.Load(),
				g.times.Load())
			y.mu.Unlock()
			time.Sleep(5 * time.Second)
		}
	})
	kills := 0
	if chaos {
		others.Go(func() { kills = y.havoc(over) })
	}
	makers.Wait()
	close(placed)
	g.toggle(12 + orders/100)
	close(over)
	others.Wait()

	// In the end, everything that waits is granted.
	time.Sleep(time.Second)
	for m := range machines {
		for i := range 2 * len(y.daemons) {
			y.insists(i, fmt.Sprint("m", m))
		}
	}
	for i := range 2 * len(y.daemons) {
		y.insists(i, guarded)
	}
	y.stop()
	f := y.balance(false)
	y.report(kills, f)
	var all nfsStats
	for _, s := range stats {
		all.times = append(all.times, s.times...)
		all.unanswered += s.unanswered
		all.failed += s.failed
	}
	slices.Sort(all.times)
	fmt.Printf("orders: NFS %q: %d orders in %.0f s: %d granted twice, %d without a trace, %d "+
		"confirmed that nobody got, %d ignored for 3 s; %d × 503, %d failed; p50 %v, p99 %v; "+
		"protected %d times: %d of %d late, unseen for at most %v; the daemons said: %s\n",
		options, f.orders, time.Since(began).Seconds(), f.twice, f.lost, f.arrivedUnread,
		ignored.Load(), all.unanswered, all.failed, all.at(50), all.at(99),
		g.times.Load(), g.late.Load(), g.asked.Load(),
		time.Duration(g.unseen.Load()).Round(time.Millisecond), y.complaints())
	fewest := orders / 2
	if chaos {
		fewest = orders / 10 // many are replaced while their daemon or the server is away
	}
	if f.pending > 0 || f.answered < fewest || g.asked.Load() == 0 {
		t.Errorf("%+v; %d asked for the protected", f, g.asked.Load())
	}
	if !chaos && (f.arrivedUnread > 0 || all.failed > 0) {
		t.Errorf("%d confirmed that nobody got, %d requests failed", f.arrivedUnread, all.failed)
	}
}

// nfsPatience is how long orders are made on NFS at most. It takes a twentieth
// of a second for one on an idle computer.
func nfsPatience(orders int) time.Duration {
	return 5*time.Minute + time.Duration(orders)*300*time.Millisecond
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// share shares the yard by NFS and starts three daemons on mounts of it: two by
// version 4.2, one by version 3.
func (y *yard) share(options string) {
	y.Helper()
	// After a restart the server waits for old clients of version 4, 90 s
	// unless it is told otherwise.
	y.must(os.WriteFile("/etc/nfs.conf.d/lab.conf",
		[]byte("[nfsd]\ngrace-time=10\nlease-time=10\n"), 0o644))
	y.must(os.WriteFile("/etc/exports",
		[]byte(y.root+" 127.0.0.1(rw,sync,no_root_squash,no_subtree_check,fsid=1)\n"), 0o644))
	y.command("systemctl", "restart", "nfs-server")
	for i, version := range []string{"4.2", "4.2", "3"} {
		mount := filepath.Join("/mnt", fmt.Sprint(i))
		y.must(os.MkdirAll(mount, 0o755))
		how := strings.TrimSuffix("nosharecache,vers="+version+","+options, ",")
		y.command("mount", "-t", "nfs", "-o", how, "127.0.0.1:"+y.root, mount)
		y.daemons = append(y.daemons, &yardDaemon{y: y, log: filepath.Join(y.TempDir(), "log"),
			args: []string{"serve", "--root", mount, "--once-max-per-day", "0",
				"--once-confirm", "1s"}})
	}
	for _, d := range y.daemons {
		if !y.Failed() {
			d.start()
			y.Cleanup(d.kill)
		}
	}
	if y.Failed() {
		y.FailNow()
	}
}

// leaveOpen fills the journal with orders that were never confirmed.
func (y *yard) leaveOpen(orders int) {
	y.must(os.Mkdir(filepath.Join(y.once, ".claimed"), 0o775))
	for i := range orders {
		name := fmt.Sprintf("old%d~20260101T000000.000000000Z~other~a%d~10.0.0.1", i, i)
		y.must(os.Symlink("../scripts/old", filepath.Join(y.once, ".claimed", name)))
	}
}

func (y *yard) must(err error) {
	y.Helper()
	if err != nil {
		y.Error(err)
	}
}

func (y *yard) command(name string, args ...string) {
	y.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		y.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// makeAnew makes so many orders for a machine, one after the other, until the
// deadline. Most come the moment that the one before is claimed; the others
// replace one that waits, as ln -sfn of today does it and as that of long ago.
// An order that nobody claims for 3 s is replaced, too, and counted.
func (y *yard) makeAnew(name string, orders int, deadline time.Time) (ignored int) {
	at := filepath.Join(y.once, name)
	for i := range orders {
		if time.Now().After(deadline) {
			break
		}
		if i%8 == 7 {
			y.takeAway(name)
		} else if i%8 != 6 {
			began := time.Now()
			for y.waits(at) && time.Since(began) < 3*time.Second {
				time.Sleep(100 * time.Microsecond)
			}
			if y.waits(at) {
				ignored++
			}
		}
		y.place(name, true)
	}
	return ignored
}

func (y *yard) waits(at string) bool {
	_, err := os.Lstat(at)
	return err == nil
}

// takeAway unlinks the order that waits, if there is one, and notes which one
// it was.
func (y *yard) takeAway(name string) {
	at := filepath.Join(y.once, name)
	// so we can tell afterwards whether it was this one
	held, err := os.OpenFile(at, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer held.Close()
	text, err := os.Readlink(at)
	if err != nil || os.Remove(at) != nil {
		return
	}
	var st unix.Stat_t
	if y.must(unix.Fstat(int(held.Fd()), &st)); st.Nlink > 0 {
		y.Errorf("%s: the order that was unlinked is not the one that was opened", name)
	}
	y.mu.Lock()
	y.replaced[text] = true
	y.mu.Unlock()
}

// nfsStats are what one client saw.
type nfsStats struct {
	times              []time.Duration
	unanswered, failed int
}

func (s *nfsStats) count(ask func() reply) {
	began := time.Now()
	switch r := ask(); r.err {
	case nil:
		s.times = append(s.times, time.Since(began))
	case errNoAnswer:
		s.unanswered++
	default:
		s.failed++
		time.Sleep(20 * time.Millisecond) // the daemon was killed
	}
}

func (s *nfsStats) at(percent int) time.Duration {
	if len(s.times) == 0 {
		return 0
	}
	return s.times[len(s.times)*percent/100].Round(time.Millisecond)
}

// guarded is the machine that is protected now and then. An order always waits
// for it.
const guarded = "g"

// grace is how long a daemon may take to see a new entry of protect/ on the
// server: NFS 3 tells changes of a directory apart by time stamps, which are as
// coarse as the server's clock.
const grace = 100 * time.Millisecond

// guard protects a machine and sets it free again, and knows what its requests
// may be answered.
type guard struct {
	y     *yard
	mu    sync.Mutex
	since time.Time // when the entry was there; zero while it is not, or is about to go
	times atomic.Int64

	asked, late, unseen atomic.Int64
}

func (g *guard) toggle(times int) {
	at := filepath.Join(g.y.root, "protect")
	for i := range times {
		g.times.Add(1)
		g.y.place(guarded, true)
		if i%2 == 0 { // two changes in one tick of the server's clock
			g.y.must(os.WriteFile(filepath.Join(at, fmt.Sprint("other", i)), nil, 0o644))
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		}
		g.y.must(os.WriteFile(filepath.Join(at, guarded), nil, 0o644))
		g.mu.Lock()
		g.since = time.Now()
		g.mu.Unlock()
		// an answer takes long with some options
		time.Sleep(time.Second + time.Duration(rand.IntN(1000))*time.Millisecond)
		g.mu.Lock()
		g.since = time.Time{}
		g.mu.Unlock()
		g.y.must(os.Remove(filepath.Join(at, guarded)))
		time.Sleep(100*time.Millisecond + time.Duration(rand.IntN(200))*time.Millisecond)
		if i%4 == 3 {
			time.Sleep(2500 * time.Millisecond) // until the directory counts as being at rest
		}
	}
}

// ask asks for the guarded machine, and sees whether it may have the answer.
func (g *guard) ask(d *yardDaemon) reply {
	protected := func() (since time.Time) { g.mu.Lock(); defer g.mu.Unlock(); return g.since }
	since, began := protected(), time.Now()
	r := g.y.ask(d, guarded, 0)
	if since.IsZero() || protected() != since || r.err != nil {
		return r
	}
	age := began.Sub(since)
	if age > grace {
		g.asked.Add(1)
	}
	if r.text == "local disk" {
		return r
	}
	for old := g.unseen.Load(); int64(age) > old &&
		!g.unseen.CompareAndSwap(old, int64(age)); old = g.unseen.Load() {
	}
	if age > grace {
		g.late.Add(1)
		g.y.Errorf("a request begun %v after protect/%s was there was answered with %s by %s", age,
			guarded, r.text, strings.Join(d.args[:3], " "))
	}
	return r
}

// havoc kills daemons and stops the NFS server, until it is over.
func (y *yard) havoc(over <-chan struct{}) (kills int) {
	for ; !closed(over); kills++ {
		time.Sleep(500*time.Millisecond + time.Duration(rand.IntN(1500))*time.Millisecond)
		if kills%100 == 50 {
			y.command("systemctl", "stop", "nfs-server")
			time.Sleep(2 * time.Second)
			y.command("systemctl", "start", "nfs-server")
		}
		d := y.daemons[rand.IntN(len(y.daemons))]
		d.kill()
		d.start()
	}
	return kills
}

// complaints are what the daemons gave as the reasons of their 503s, without
// what differs between two of a kind.
func (y *yard) complaints() string {
	numbers := regexp.MustCompile(`[0-9a-z.-]*~[^ "]*|[0-9]{2,}`)
	reason := regexp.MustCompile(`status=503 .*(?:why|error|err)=("(?:[^"\\]|\\.)*"|\S+)`)
	count := map[string]int{}
	for _, d := range y.daemons {
		text, _ := os.ReadFile(d.log)
		for line := range bytes.Lines(text) {
			if m := reason.FindSubmatch(line); m != nil {
				count[string(numbers.ReplaceAll(m[1], []byte("…")))]++
			}
		}
	}
	var all []string
	for why, n := range count {
		all = append(all, fmt.Sprintf("%d × %s", n, why))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
