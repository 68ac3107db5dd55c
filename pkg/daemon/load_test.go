//go:build linux

package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/order"
)

// Load from outside: the server is the real program in a process of its own,
// and says of itself what it uses.

// binary builds the program, once, and returns a path to run it by: the file is
// gone, but held open by this process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pxesrv-test")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("go", "build", "-o", dir+"/pxesrv",
		"pxesrv/cmd/pxesrv").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	fd, err := unix.Open(dir+"/pxesrv", unix.O_PATH|unix.O_CLOEXEC, 0)
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), err
})

// A program is the real pxesrv in a process of its own, and a client of it.
type program struct {
	*client
	process   *os.Process
	terminate func() // tells it to stop; a second time would end it at once
}

// launch runs the program on a tree until the end of the test. before is what
// runs it instead of this process: a shell or strace.
func launch(t *testing.T, root string, flags []string, before ...string) *program {
	t.Helper()
	lab.Slow(t)
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(before), bin, "serve", "--root", root, "--listen", "127.0.0.1:0")
	args = append(args, flags...)
	cmd := exec.Command(args[0], args[1:]...)
	c := &client{t: t, root: root, from: "127.0.0.1", log: &logBook{}}
	cmd.Stderr = &head{to: c.log, room: 1 << 20}
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "PXESRV_")
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminate := sync.OnceFunc(func() { cmd.Process.Signal(syscall.SIGTERM) })
	c.stop = sync.OnceFunc(func() {
		terminate()
		dead := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
		defer dead.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program ended with: %v", err)
		}
	})
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("the program's log begins:\n%.20000s", c.log)
		}
	})
	line := c.wantLog("listening")
	_, addr, _ := strings.Cut(line, "address=")
	c.addr, _, _ = strings.Cut(addr, " ")
	if c.addr == "" {
		t.FailNow()
	}
	return &program{c, cmd.Process, terminate}
}

// head keeps the beginning of what is written.
type head struct {
	to   io.Writer
	room int
}

func (h *head) Write(p []byte) (int, error) {
	if keep := min(len(p), h.room); keep > 0 {
		h.to.Write(p[:keep])
		h.room -= keep
	}
	return len(p), nil
}

// usage is what the program says of itself.
//
// live is what the heap may grow to before it is collected, a fixed multiple of
// what the last collection left: unlike resident and heap it does not go up and
// down between two collections.
type usage struct{ goroutines, files, resident, heap, live, stacks, connections float64 }

func (u usage) String() string {
	return fmt.Sprintf("%.0f goroutines, %.0f descriptors, %.1f MiB resident, %.1f MiB heap (to "+
		"%.1f), %.1f MiB stacks, %.0f connections",
		u.goroutines, u.files, u.resident/(1<<20), u.heap/(1<<20), u.live/(1<<20), u.stacks/(1<<20),
		u.connections)
}

func (p *program) usage() (u usage, err error) {
	a, err := p.try(request("GET", "/metrics", "Connection: close"))
	if err != nil {
		return u, err
	}
	wanted := map[string]*float64{
		"go_goroutines": &u.goroutines, "process_open_fds": &u.files,
		"process_resident_memory_bytes": &u.resident,
		"go_memstats_heap_inuse_bytes":  &u.heap, "go_memstats_stack_inuse_bytes": &u.stacks,
		"go_memstats_next_gc_bytes": &u.live, "pxesrv_connections": &u.connections,
	}
	for line := range strings.Lines(a.body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if to := wanted[name]; to != nil {
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return u, err
			}
			delete(wanted, name)
		}
	}
	if len(wanted) > 0 {
		err = fmt.Errorf("/metrics is not whole: status %d, %d bytes", a.status, len(a.body))
	}
	return u, err
}

func (p *program) mustUse() usage {
	p.t.Helper()
	u, err := p.usage()
	if err != nil {
		p.t.Fatal(err)
	}
	return u
}

// wantBack waits until goroutines and descriptors are what they were.
func (p *program) wantBack(start usage) usage {
	p.t.Helper()
	var now usage
	if !eventually(func() bool {
		now = p.mustUse()
		return now.goroutines <= start.goroutines+20 && now.files <= start.files+20 &&
			now.connections <= 3
	}) {
		p.t.Errorf("not given back: %v; at the start %v", now, start)
	}
	return now
}

// host is one of 20 loopback addresses: each has its own ports, and so no test
// runs out of them.
func host(i int) string { return fmt.Sprintf("127.0.1.%d", 1+i%20) }

// each runs do for the numbers below n, some at a time, and returns the errors.
func each(n, atOnce int, do func(i int) error) (errs []error) {
	var mu sync.Mutex
	var next atomic.Int64
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return errs
}

// percentile of durations, which it sorts.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)*p/100, len(all)-1)]
}

// heldAndFresh holds connections that have had an answer, and asks on as many
// new ones as well. Two rounds: what the second needs more than the first was
// not given back.
func heldAndFresh(t *testing.T, held, fresh int) {
	const beside = 1000 // what both processes need beside the connections
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if int(limit.Cur) < held+beside {
		t.Skipf("a process may open only %d files here, and this needs %d", limit.Cur, held+beside)
	}
	t.Logf("%d descriptors for each process", limit.Cur)
	p := launch(t,
		plant(t, tree{"default": say("default"), "static/.keep": "", "protect/.keep": ""}),
		[]string{"--limits-idle-timeout", "10m", "--limits-connections", fmt.Sprint(held + 500)})
	p.rest()
	start := p.mustUse()
	t.Logf("start: %v", start)
	ask := func(i int) error {
		a, err := p.as(host(i)).try(request("GET", "/redirect"))
		if err == nil && a.body != say("default") {
			err = fmt.Errorf("status %d, %.40q", a.status, a.body)
		}
		return err
	}
	var after [2]usage
	// what the heap may have grown to before it was collected, and the stacks
	// beside it
	var most float64
	for round := range after {
		conns := make([]net.Conn, held)
		errs := each(held, 64, func(i int) error {
			conn, err := p.as(host(i)).connect()
			if err != nil {
				return err
			}
			conns[i] = conn
			if _, err := io.WriteString(conn, request("GET", "/redirect")); err != nil {
				return err
			}
			a, err := read(bufio.NewReaderSize(conn, 512), "GET")
			if err == nil && a.body != say("default") {
				err = fmt.Errorf("status %d, %.40q", a.status, a.body)
			}
			return err
		})
		took := make([]time.Duration, fresh)
		errs = append(errs, each(fresh, 64, func(i int) error {
			began := time.Now()
			defer func() { took[i] = time.Since(began) }()
			return ask(i)
		})...)
		full := p.mustUse()
		if full.connections < float64(held) {
			t.Errorf("only %v connections were held", full.connections)
		}
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
		if len(errs) > 0 {
			t.Errorf("%d of %d requests failed; the first: %v", len(errs), held+fresh, errs[0])
		}
		after[round] = p.wantBack(start)
		most = max(most, full.live+full.stacks)
		t.Logf("round %d: p50 %v, p99 %v; full: %v; after: %v", round+1, percentile(took, 50),
			percentile(took, 99), full, after[round])
		if full.resident > 400<<20 {
			t.Errorf("%.0f MiB resident", full.resident/(1<<20))
		}
	}
	// Whether the heap is collected while it is largest, or a moment later, is
	// chance.
	if a, b := after[0].resident, after[1].resident; b > max(a*5/4, start.resident+most)+16<<20 {
		t.Errorf("resident memory grew from %.1f to %.1f MiB from the first to the second round",
			a/(1<<20), b/(1<<20))
	}
	if held < 10000 {
		return
	}
	// The daemon looks each minute.
	var last usage
	back := func() bool { last = p.mustUse(); return last.resident < start.resident+40<<20 }
	for began := time.Now(); !back() && time.Since(began) < 4*time.Minute; {
		time.Sleep(5 * time.Second)
	}
	t.Logf("minutes later: %v", last)
	if !back() {
		t.Errorf("%.1f MiB resident, %.1f at the start", last.resident/(1<<20),
			start.resident/(1<<20))
	}
}

func TestLoad_2000HeldAnd2000Fresh(t *testing.T) {
	lab.Slow(t)
	heldAndFresh(t, 2000, 2000)
}

func soak(t *testing.T) {
	t.Helper()
	lab.OnlySoak(t)
}

func TestSoakLoad(t *testing.T) {
	soak(t)
	heldAndFresh(t, 10000, 10000)
}

// TestSoakHalfHour asks 500 times a second while people edit static/, Git
// checks out one revision and the other, and orders are placed and used up.
// Nothing may fail, nothing may grow, and every order is accounted for.
func TestSoakHalfHour(t *testing.T) {
	soak(t)
	length := 30 * time.Minute
	if text := os.Getenv("PXESRV_TEST_SOAK_TIME"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	const rate, machines, orderEach = 500, 200, time.Second
	files := tree{"default": whole("default"), "install": whole("install"),
		"kernel": strings.Repeat("kernel\n", 10000), "protect/.keep": ""}
	for i := range machines {
		files["static/machine-"+strconv.Itoa(i)] = whole("one")
	}
	root := plant(t, files)
	git := func(args ...string) error {
		cmd := exec.Command("git",
			append([]string{"-C", root, "-c", "user.name=x", "-c", "user.email=x@example.org", "-c",
				"gc.auto=0"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w\n%s", args[0], err, out)
		}
		return nil
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put(t, root, ".gitignore", "once/\nstatic/edited-*\n")
	must(git("init", "-q", "-b", "one"))
	must(git("add", "."))
	must(git("commit", "-q", "-m", "one"))
	must(git("checkout", "-q", "-b", "two"))
	for i := range machines {
		put(t, root, "static/machine-"+strconv.Itoa(i), whole("two"))
	}
	must(git("commit", "-q", "-a", "-m", "two"))

	p := launch(t, root, nil)
	var failures failed
	var asked atomic.Int64
	ended := make(chan struct{})
	var all sync.WaitGroup
	every := func(d time.Duration, do func(i int)) {
		all.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-ended:
					return
				case <-tick.C:
					do(i)
				}
			}
		})
	}

	// The machines.
	var mu sync.Mutex
	var took []time.Duration
	work := make(chan int, rate)
	for w := range 128 { // what static/ does not name waits 300 ms after each edit of it
		all.Go(func() {
			c := &steady{program: p, from: host(w)}
			defer c.close()
			for i := range work {
				began := time.Now()
				err := c.ask(i, machines)
				failures.note(err)
				asked.Add(1)
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	all.Go(func() {
		defer close(work)
		began := time.Now()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; {
			select {
			case <-ended:
				return
			case <-tick.C:
				for due := int(time.Since(began).Seconds() * rate); i < due; i++ {
					work <- i
				}
			}
		}
	})
	// The people, each edit as an editor or a careful script makes it, and Git.
	every(5*time.Second, func(i int) {
		at := filepath.Join(root, "static", "edited-"+strconv.Itoa(i%20))
		if i%5 == 4 {
			if err := os.Remove(at); !errors.Is(err, fs.ErrNotExist) {
				failures.note(err)
			}
			return
		}
		failures.note(os.WriteFile(at+".new", []byte(whole("edited")), 0o644))
		failures.note(os.Rename(at+".new", at))
	})
	every(20*time.Second, func(i int) {
		failures.note(git("checkout", "-q", []string{"one", "two"}[i%2]))
	})
	// Orders: placed, asked for twice, and sent at most once.
	var placed, got atomic.Int64
	every(orderEach, func(i int) {
		name := "order-" + strconv.Itoa(i)
		failures.note(os.Symlink("../install", filepath.Join(root, "once", name)))
		placed.Add(1)
		for range 2 {
			a, err := p.try(request("GET", "/redirect?serial="+name))
			failures.note(err)
			switch {
			case err == nil && a.body == whole("install"):
				got.Add(1)
			case err == nil && a.body != whole("default"):
				failures.note(fmt.Errorf("order: status %d, %.40q", a.status, a.body))
			}
		}
	})

	// A line each minute, a look each second. The first sixth warms up, and is
	// compared from its end on with the last.
	var looks []usage
	for began, minute := time.Now(), 1; time.Since(began) < length; {
		time.Sleep(time.Second)
		u, err := p.usage()
		failures.note(err)
		if err == nil {
			looks = append(looks, u)
		}
		if time.Since(began) >= time.Duration(minute)*time.Minute {
			mu.Lock()
			t.Logf("minute %d: %d asked, p50 %v, p99 %v; %v; %d orders placed, %d sent; %v",
				minute, asked.Load(), percentile(took, 50).Round(time.Microsecond),
				percentile(took, 99).Round(time.Microsecond), u, placed.Load(),
				got.Load(), &failures)
			took = took[:0]
			mu.Unlock()
			minute++
		}
	}
	close(ended)
	all.Wait()
	if n := failures.count(); n > 0 {
		t.Error(&failures)
	}
	if n, want := asked.Load(), int64(length.Seconds()*rate*0.9); n < want {
		t.Errorf("only %d requests were made, and %d were wanted: this machine is too slow to "+
			"say anything", n, want)
	}
	n := len(looks)
	early, late := medians(looks[n/6:n/3]), medians(looks[n-n/6:])
	t.Logf("early: %v\nlate:  %v", early, late)
	for _, x := range []struct {
		what             string
		early, late, add float64
	}{
		{"goroutines", early.goroutines, late.goroutines, 20},
		{"descriptors", early.files, late.files, 20},
		{"live bytes", early.live, late.live, 4 << 20},
		{"bytes of stacks", early.stacks, late.stacks, 4 << 20},
		// between two collections it changes by as much
		{"resident bytes", early.resident, late.resident, 16 << 20},
	} {
		if x.late > max(x.early*1.05, x.early+x.add) {
			t.Errorf("%s grew from %.0f to %.0f", x.what, x.early, x.late)
		}
	}
	// The accounts.
	var pending, open, served int64
	if !eventually(func() bool {
		l, err := (&order.Store{Dir: filepath.Join(root, "once")}).List()
		must(err)
		pending, open, served = int64(len(l.Pending)), int64(len(l.Open)), int64(len(l.Served))
		return served >= got.Load()
	}) || pending+open+served != placed.Load() || got.Load() > open+served {
		t.Errorf("%d orders placed and %d sent: %d are pending, %d open, %d served", placed.Load(),
			got.Load(), pending, open, served)
	}
	t.Logf("%d orders placed, %d sent, %d pending, %d open, %d served", placed.Load(), got.Load(),
		pending, open, served)
}

// whole is a script whose end can be told.
func whole(name string) string { return say(name) + strings.Repeat("# filler\n", 50) + "# end\n" }

// steady asks on one connection for as long as it may, as a fleet of machines
// and a proxy do.
type steady struct {
	*program
	from string
	conn *net.TCPConn
	buf  *bufio.Reader
	used int
}

func (s *steady) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// ask sends the request number i and judges the answer.
func (s *steady) ask(i, machines int) (err error) {
	text, judge := request("GET", "/redirect"), func(a answer) bool {
		return a.body == whole("default")
	}
	oneOf := func(names ...string) func(answer) bool {
		return func(a answer) bool {
			return a.status == 200 && slices.ContainsFunc(names, func(n string) bool {
				return a.body == whole(n)
			})
		}
	}
	switch i % 10 {
	case 0, 1, 2: // a machine that Git names; while it changes it may be named by nobody for a moment
		text = request("GET", "/redirect?serial=machine-"+strconv.Itoa(rand.IntN(machines)))
		judge = oneOf("one", "two", "default")
	case 3: // one that people edit
		text = request("GET", "/redirect?serial=edited-"+strconv.Itoa(rand.IntN(20)))
		judge = oneOf("edited", "default")
	case 4, 5: // a stranger
		text = request("GET",
			fmt.Sprintf("/redirect?uuid=%08x-0000-4000-8000-%012x&mac=02:00:00:%02x:%02x:%02x",
				rand.Uint32(), rand.Uint32(), i%256, i/256%256, i/65536%256))
	case 6:
		text = request("GET", "/kernel")
		judge = func(a answer) bool { return a.status == 200 && len(a.body) == 70000 }
	case 7:
		text = request("GET", "/kernel", "Range: bytes=7-13")
		judge = func(a answer) bool { return a.status == 206 && a.body == "kernel\n" }
	case 8:
		text = request("GET", "/not/there")
		judge = func(a answer) bool { return a.status == 404 }
	}
	if s.conn == nil || s.used >= 20 {
		s.close()
		if s.conn, err = s.as(s.from).connect(); err != nil {
			return err
		}
		s.buf, s.used = bufio.NewReader(s.conn), 0
	}
	s.used++
	s.conn.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(s.conn, text)
	var a answer
	if err == nil {
		a, err = read(s.buf, "GET")
	}
	if err == nil && !judge(a) {
		err = fmt.Errorf("%.60q: status %d, %.40q", text, a.status, a.body)
	}
	if err != nil {
		s.close()
	}
	return err
}

// failed counts errors and keeps the first.
type failed struct {
	mu    sync.Mutex
	n     int
	first error
}

func (f *failed) note(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.n == 1 {
		f.first = err
	}
}

func (f *failed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *failed) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		return "0 errors"
	}
	return fmt.Sprintf("%d errors, the first: %v", f.n, f.first)
}

// medians of what was looked at.
func medians(looks []usage) usage {
	median := func(of func(usage) float64) float64 {
		if len(looks) == 0 {
			return 0
		}
		var all []float64
		for _, u := range looks {
			all = append(all, of(u))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return usage{
		goroutines:  median(func(u usage) float64 { return u.goroutines }),
		files:       median(func(u usage) float64 { return u.files }),
		resident:    median(func(u usage) float64 { return u.resident }),
		heap:        median(func(u usage) float64 { return u.heap }),
		live:        median(func(u usage) float64 { return u.live }),
		stacks:      median(func(u usage) float64 { return u.stacks }),
		connections: median(func(u usage) float64 { return u.connections }),
	}
}
