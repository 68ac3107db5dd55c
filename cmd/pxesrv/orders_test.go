//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/order"
	"pxesrv/pkg/tree"
)

// One-time orders with real daemons: several processes on one directory, killed
// and started again.

// yard is a root with several daemons, and the book of what was ordered and
// answered. The text of each order's link and its script have a number of their
// own, so that each answer tells which order it was.
type yard struct {
	*testing.T
	root    string
	once    string
	daemons []*yardDaemon

	mu       sync.Mutex
	orders   int                 // the number of the newest order
	written  int                 // the scripts up to this number are there
	replaced map[string]bool     // orders that were taken away by a newer one
	answers  map[string][]string // whole answers with an order, by its text: who got it
	asked    atomic.Int64
	defaults atomic.Int64
}

func newYard(t *testing.T, daemons int, args ...string) *yard {
	lab.Slow(t)
	y := &yard{T: t, root: t.TempDir(), replaced: map[string]bool{}, answers: map[string][]string{}}
	y.once = filepath.Join(y.root, "once")
	for _, dir := range []string{"once", "static", "protect", "scripts"} {
		if err := os.Mkdir(filepath.Join(y.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	y.file("default", "#!ipxe\n# default\nexit\n")
	for i := range daemons {
		d := &yardDaemon{y: y, log: filepath.Join(t.TempDir(), "log")}
		d.args = append([]string{"serve", "--root", y.root, "--once-max-per-day", "0"}, args...)
		y.daemons = append(y.daemons, d)
		d.start()
		t.Cleanup(func() {
			d.kill()
			text, _ := os.ReadFile(d.log)
			if bytes.Contains(text, []byte("DATA RACE")) ||
				bytes.Contains(text, []byte("panic:")) ||
				bytes.Contains(text, []byte("not moved")) {
				t.Errorf("daemon %d said:\n%.20000s", i, text)
			} else if t.Failed() {
				t.Logf("the last words of daemon %d:\n%s", i, text[max(0, len(text)-4000):])
			}
		})
	}
	return y
}

func (y *yard) file(name, text string) {
	if err := os.WriteFile(filepath.Join(y.root, name), []byte(text), 0o644); err != nil {
		y.Error(err)
	}
}

// yardDaemon is one pxesrv serve.
type yardDaemon struct {
	y    *yard
	log  string
	args []string
	run  []string // what runs it: nothing, or ip netns exec NAME
	host string   // where it listens, "" = 127.0.0.1

	mu    sync.Mutex
	addr  string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // valid after ended
}

// start starts the daemon on a free port and waits until it listens.
func (d *yardDaemon) start() {
	program, err := exec.LookPath("pxesrv") // put there by testscript.Main
	if err != nil {
		d.y.Error(err)
		return
	}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		d.y.Error(err)
		return
	}
	defer log.Close()
	for range 10 { // another process may have taken the free port
		addr, err := freeLoopbackAddr()
		if err != nil {
			d.y.Error(err)
			return
		}
		if d.host != "" {
			_, port, _ := net.SplitHostPort(addr)
			addr = net.JoinHostPort(d.host, port)
		}
		from, _ := log.Seek(0, io.SeekEnd)
		args := slices.Concat(d.run, []string{program}, d.args, []string{"--listen", addr})
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			d.y.Error(err)
			return
		}
		ended := make(chan struct{})
		go func() { d.err = cmd.Wait(); close(ended) }()
		if d.listens(from, ended) {
			d.mu.Lock()
			d.addr, d.cmd, d.ended = addr, cmd, ended
			d.mu.Unlock()
			return
		}
		cmd.Process.Kill()
		<-ended
	}
	text, _ := os.ReadFile(d.log)
	d.y.Errorf("pxesrv serve does not start:\n%s", text[max(0, len(text)-4000):])
}

// listens waits until the log, from an offset on, says that the daemon listens.
func (d *yardDaemon) listens(from int64, ended <-chan struct{}) bool {
	for begin := time.Now(); time.Since(begin) < scriptPatience; {
		if text, err := os.ReadFile(d.log); err == nil &&
			bytes.Contains(text[from:], []byte("msg=listening")) {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return false
}

func (d *yardDaemon) where() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.addr
}

// kill is kill -9.
func (d *yardDaemon) kill() {
	if d.cmd != nil {
		d.cmd.Process.Kill()
		<-d.ended
	}
}

// stop ends the daemon in order, after everything that is under way.
func (d *yardDaemon) stop() {
	d.y.Helper()
	d.cmd.Process.Signal(syscall.SIGTERM)
	overdue := time.AfterFunc(2*scriptPatience, func() { d.cmd.Process.Kill() })
	<-d.ended
	if !overdue.Stop() || d.err != nil {
		text, _ := os.ReadFile(d.log)
		d.y.Errorf("pxesrv serve, after SIGTERM: %v\n%s", d.err, text[max(0, len(text)-4000):])
	}
}

func (y *yard) stop() {
	for _, d := range y.daemons {
		d.stop()
	}
}

// write makes the script of the next order and returns the text of its link. A
// script that was written just now is not answered at once, so many are written
// ahead.
func (y *yard) write() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.orders++
	for y.written < y.orders+200 {
		y.written++
		id := fmt.Sprintf("scripts/%d", y.written)
		y.file(id, "#!ipxe\n# "+id+"\nexit\n")
	}
	return fmt.Sprintf("../scripts/%d", y.orders)
}

// writeLong makes it 500 kB.
func (y *yard) writeLong() string {
	text := y.write()
	y.file(text[3:], "#!ipxe\n# "+text[3:]+"\n"+strings.Repeat("# "+strings.Repeat("x", 97)+
		"\n", 5000))
	return text
}

// place orders something new for a machine. With replace it takes the place of
// an order that waits, else it waits until that is gone.
func (y *yard) place(name string, replace bool) string { return y.link(name, y.write(), replace) }

func (y *yard) link(name, text string, replace bool) string {
	for begin := time.Now(); ; {
		err := os.Symlink(text, filepath.Join(y.once, name))
		if err == nil {
			return text
		}
		if !errors.Is(err, os.ErrExist) {
			y.Error(err)
			return ""
		}
		if !replace && time.Since(begin) < scriptPatience {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		// An exchange tells which order it was that this one took the place of.
		temp := filepath.Join(y.once, ".new~"+name+"~"+filepath.Base(text))
		if err := os.Symlink(text, temp); err != nil {
			y.Error(err)
			return ""
		}
		err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, filepath.Join(y.once, name),
			unix.RENAME_EXCHANGE)
		old, rerr := os.Readlink(temp)
		os.Remove(temp)
		switch {
		case err == nil && rerr == nil:
			y.mu.Lock()
			y.replaced[old] = true
			y.mu.Unlock()
			return text
		case !errors.Is(err, os.ErrNotExist):
			y.Errorf("exchange: %v, %v", err, rerr)
			return ""
		}
	}
}

// reply is what one request got: an order's text, "default", or "local disk".
type reply struct {
	text string
	err  error
}

var errNoAnswer = errors.New("503 Service Unavailable")

var yardClient = &http.Client{Timeout: time.Minute,
	Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}

// ask asks one daemon once.
func (y *yard) ask(d *yardDaemon, name string, try int) reply {
	y.asked.Add(1)
	url := "http://" + d.where() + "/redirect?serial=" + name
	if try > 0 {
		url += "&try=" + strconv.Itoa(try)
	}
	resp, err := yardClient.Get(url)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{err: err}
	}
	if resp.StatusCode == http.StatusServiceUnavailable {
		// the machine is busy: a decision took longer than its deadline
		return reply{err: errNoAnswer}
	}
	if bytes.Equal(body, ipxe.Local()) {
		return reply{text: "local disk"}
	}
	lines := strings.SplitN(string(body), "\n", 3)
	if resp.StatusCode != 200 || len(lines) != 3 || lines[0] != "#!ipxe" ||
		!strings.HasPrefix(lines[1], "# ") {
		y.Errorf("%s answered %s %q", url, resp.Status, body)
		return reply{err: errors.New(resp.Status)}
	}
	got := strings.TrimPrefix(lines[1], "# ")
	if got == "default" {
		y.defaults.Add(1)
		return reply{text: got}
	}
	got = "../" + got
	y.mu.Lock()
	y.answers[got] = append(y.answers[got], fmt.Sprintf("%s try %d", name, try))
	y.mu.Unlock()
	return reply{text: got}
}

// insists asks until some daemon answers, as a new boot each time.
func (y *yard) insists(first int, name string) reply {
	for i := first; ; i++ {
		r := y.ask(y.daemons[i%len(y.daemons)], name, 0)
		if r.err == nil || i > first+2000 {
			if r.err != nil {
				y.Errorf("%s gets no answer: %v", name, r.err)
			}
			return r
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// figures are the accounts at the end.
type figures struct {
	orders, answered, pending, open, served, replaced, superseded, arrivedUnread int
	// granted twice; without a trace
	twice, lost int
}

// balance checks the accounts, when no daemon is at work any more: no order was
// answered twice, each answered one has its one entry and waits no more, and
// each order is somewhere, at exactly one place.
func (y *yard) balance(twice bool) (f figures) {
	y.Helper()
	where := map[string][]string{}
	// Where a daemon was killed while it gave an order back, a record says that
	// it was not sent, and the order may wait again beside that.
	givenUp := map[string]bool{}
	dirs := []string{".", ".claimed", ".served"}
	// by who was killed, until the next sweep
	aside, _ := filepath.Glob(filepath.Join(y.once, ".claimed", tree.Aside+"*"))
	for _, dir := range aside {
		dirs = append(dirs, ".claimed/"+filepath.Base(dir))
	}
	for _, dir := range dirs {
		files, err := os.ReadDir(filepath.Join(y.once, dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			y.Fatal(err)
		}
		for _, file := range files {
			if file.Type()&os.ModeSymlink == 0 {
				continue
			}
			text, err := os.Readlink(filepath.Join(y.once, dir, file.Name()))
			if err != nil {
				y.Fatal(err)
			}
			claim, ok := order.ParseRecord(file.Name())
			if strings.HasPrefix(file.Name(), ".new~") {
				// the daemon's trial of its rights, killed in the middle; it is
				// swept after an hour
				continue
			}
			switch state := ""; {
			case dir == ".":
				where[text] = append(where[text], "pending")
			case !ok:
				y.Errorf("%s/%s is no claim", dir, file.Name())
			case strings.HasPrefix(dir, ".claimed") && claim.End == order.GivenUp:
				givenUp[text] = true
			case strings.HasPrefix(dir, ".claimed"):
				where[text] = append(where[text], "open")
			default:
				if state = string(claim.End); state == "" {
					state = "served"
				}
				where[text] = append(where[text], state)
			}
		}
	}
	f.orders, f.replaced = y.orders, len(y.replaced)
	for i := 1; i <= y.orders; i++ {
		text := fmt.Sprintf("../scripts/%d", i)
		at, got := where[text], y.answers[text]
		if y.replaced[text] {
			at = append(at, "replaced")
		}
		if len(at) == 0 && givenUp[text] {
			at = []string{"open"}
		}
		if len(got) > 0 {
			f.answered++
		}
		if len(got) > 1 {
			f.twice++
		}
		if len(at) == 0 || len(got) > 0 && !slices.Contains(at, "open") &&
			!slices.Contains(at, "served") {
			f.lost++
		}
		switch {
		case len(at) != 1:
			y.Errorf("%s is at %d places: %q; it was answered to %q", text, len(at), at, got)
			continue
		case len(got) > 1 && !twice:
			y.Errorf("%s was granted twice: %q", text, got)
		case len(got) > 0 && at[0] != "open" && at[0] != "served":
			y.Errorf("%s was answered to %q, and is %s", text, got, at[0])
		}
		switch at[0] {
		case "pending":
			f.pending++
		case "open":
			f.open++
		case "served":
			f.served++
			if len(got) == 0 {
				f.arrivedUnread++
			}
		case "superseded":
			f.superseded++
		case "replaced":
		default:
			y.Errorf("%s ended as %s", text, at[0])
		}
	}
	return f
}

func (y *yard) report(kills int, f figures) {
	line := fmt.Sprintf("orders: %s: %d daemons, %d requests, %d orders, %d answered, %d kills; "+
		"%d served, %d open, %d pending, %d replaced, %d superseded",
		y.Name(), len(y.daemons), y.asked.Load(), f.orders, f.answered, kills, f.served, f.open,
		f.pending, f.replaced, f.superseded)
	y.Log(line)
	fmt.Println(line)
}

// runOrders lets three contenders fight for each order over three daemons,
// while links are made anew and daemons are killed.
func runOrders(t *testing.T, orders, kills int) {
	y := newYard(t, 3, "--once-confirm", "1s")
	turns := make(chan int, orders) // which order is next; so many for each kill
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for k := range kills {
			for i := k * orders / kills; i < (k+1)*orders/kills; i++ {
				turns <- i
			}
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
			d := y.daemons[rand.IntN(len(y.daemons))]
			d.kill()
			d.start()
		}
		close(turns)
	}()
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for i := range turns {
				if t.Failed() {
					continue
				}
				// An order for a machine of its own, and now and then a newer
				// one while the first is fought for.
				name := fmt.Sprintf("w%d-%d", w, i%10)
				y.place(name, true)
				var contenders sync.WaitGroup
				for c := range 3 {
					contenders.Go(func() { y.insists(i+c, name) })
				}
				if i%3 == 0 {
					contenders.Go(func() { y.place(name, i%2 == 0) })
					contenders.Go(func() { y.insists(i+3, name) })
				}
				if i%3 == 0 && i%2 != 0 {
					// place waits until the link is gone; somebody must take
					// it.
					contenders.Go(func() { y.insists(i+4, name) })
				}
				contenders.Wait()
			}
		})
	}
	workers.Wait()
	<-killed
	// In the end, with no more kills, everything that waits is granted.
	for w := range 4 {
		for n := range 10 {
			name := fmt.Sprintf("w%d-%d", w, n)
			for range 2 {
				y.insists(n, name)
			}
		}
	}
	y.stop()
	f := y.balance(false)
	y.report(kills, f)
	if f.pending > 0 || f.answered < orders/2 || f.served < orders/2 {
		t.Errorf("%+v", f)
	}
}

func TestOrdersThreeDaemons(t *testing.T) { runOrders(t, 2000, 50) }

func TestSoakOrders(t *testing.T) {
	lab.OnlySoak(t)
	runOrders(t, 100_000, 1000)
}

// 24 clients ask three daemons for one order at the same moment.
func TestOrder_24Clients3Daemons(t *testing.T) {
	y := newYard(t, 3)
	for round := range 20 {
		name := fmt.Sprint("m", round)
		text := y.place(name, false)
		var wg sync.WaitGroup
		var winners, losers atomic.Int32
		ready := make(chan struct{})
		for i := range 24 {
			wg.Go(func() {
				<-ready
				switch r := y.ask(y.daemons[i%3], name, 0); {
				case r.err != nil:
					t.Error(r.err)
				case r.text == text:
					winners.Add(1)
				case r.text == "default":
					losers.Add(1)
				}
			})
		}
		close(ready)
		wg.Wait()
		if winners.Load() != 1 || losers.Load() != 23 {
			t.Errorf("%d winners and %d who got the default, want 1 and 23", winners.Load(),
				losers.Load())
		}
	}
	y.stop()
	f := y.balance(false)
	y.report(0, f)
	if f.served != 20 {
		t.Errorf("deliveries to clients that read everything were not all confirmed: %+v", f)
	}
}

// One link is made anew 3000 times while it is asked for, some of the times
// while it waits, most while it is claimed.
func TestOrder_PlacedAgainWhileClaimed(t *testing.T) {
	y := newYard(t, 3, "--once-confirm", "1s")
	placed := make(chan struct{})
	go func() {
		defer close(placed)
		for i := range 3000 {
			y.place("m1", i%3 == 0)
		}
	}()
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			for {
				y.insists(i, "m1")
				select {
				case <-placed:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
	y.insists(0, "m1")
	y.stop()
	f := y.balance(false)
	y.report(0, f)
	if f.pending > 0 || f.answered < 1000 || f.answered+f.replaced != f.orders {
		t.Errorf("%+v", f)
	}
}

// One daemon is killed 50 times under load. Its clients ask again, as a machine
// does, until they have an answer; each gets what was ordered for it, even if
// its first request was killed after the claim.
func TestOrder_Kill9UnderLoad(t *testing.T) {
	const kills, machines = 50, 8
	y := newYard(t, 1, "--once-confirm", "1s", "--once-resend-within", "1h")
	d := y.daemons[0]
	over := make(chan struct{})
	var retried, missed atomic.Int32
	var wg sync.WaitGroup
	for m := range machines {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				name := fmt.Sprintf("m%d-%d", m, i)
				text := y.place(name, false)
				try := 0
				r := y.ask(d, name, try)
				for begin := time.Now(); r.err != nil && time.Since(begin) < 2*scriptPatience; {
					time.Sleep(5 * time.Millisecond)
					try++
					r = y.ask(d, name, min(try, 255))
				}
				switch {
				case r.err != nil:
					t.Errorf("%s gets no answer: %v", name, r.err)
					return
				case r.text == text && try > 0:
					retried.Add(1)
				case r.text == "default":
					missed.Add(1) // it had arrived, and the client lost it with the connection
				case r.text != text:
					t.Errorf("%s was sent %s, want %s", name, r.text, text)
				}
			}
		})
	}
	for range kills {
		time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond)
		d.kill()
		d.start()
	}
	close(over)
	wg.Wait()
	y.stop()
	f := y.balance(true) // a retry is sent the same order
	for text, who := range y.answers {
		if len(who) > 1 {
			t.Errorf("%s was answered whole more than once: %q", text, who)
		}
	}
	y.report(kills, f)
	t.Logf("%d machines had to ask again; %d of them got the default", retried.Load(),
		missed.Load())
	if f.pending > 0 || retried.Load() == 0 || int(missed.Load()) > f.arrivedUnread {
		t.Errorf("%+v, %d missed", f, missed.Load())
	}
}

// A client that reads everything has its delivery confirmed, and a slow reader
// of a long script, too.
func TestDeliveryConfirmed(t *testing.T) {
	y := newYard(t, 1, "--once-confirm", "20s")
	d := y.daemons[0]
	for i := range 5 {
		name := fmt.Sprint("m", i)
		text := y.place(name, false)
		if r := y.ask(d, name, 0); r.text != text {
			t.Errorf("%s was sent %+v", name, r)
		}
	}
	for i := range 3 {
		name := fmt.Sprint("long", i)
		y.link(name, y.writeLong(), false)
		c := y.connect(d.where(), name, 8<<10)
		if body, err := io.ReadAll(&slow{r: c, pause: time.Millisecond}); err != nil ||
			!bytes.HasSuffix(body, []byte("x\n")) {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		c.Close()
	}
	y.stop()
	if f := y.balance(false); f.served != 8 {
		t.Errorf("%+v", f)
	}
}

type slow struct {
	r     io.Reader
	pause time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(s.pause)
	return s.r.Read(p[:min(len(p), 16<<10)])
}

// connect sends a request for an order over a connection of its own, with a
// receive buffer of some size (0: as usual).
func (y *yard) connect(addr, name string, buffer int) *net.TCPConn {
	y.Helper()
	dialer := net.Dialer{Timeout: scriptPatience,
		Control: func(_, _ string, raw syscall.RawConn) error {
			if buffer == 0 {
				return nil
			}
			var serr error
			err := raw.Control(func(fd uintptr) {
				serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
			})
			return errors.Join(err, serr)
		}}
	c, err := dialer.Dial("tcp", addr)
	if err != nil {
		y.Fatal(err)
	}
	y.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "GET /redirect?serial=%s HTTP/1.1\r\nHost: x\r\n\r\n",
		name); err != nil {
		y.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// claimed waits until the order of a name is claimed.
func (y *yard) claimed(name string) {
	y.Helper()
	for begin := time.Now(); time.Since(begin) < scriptPatience; time.Sleep(5 * time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(y.once, ".claimed", name+"~*")); len(found) > 0 {
			return
		}
	}
	y.Fatalf("the order of %s is not claimed", name)
}

// The client resets right after its request, closes in the middle, falls
// silent.
func TestOrder_ClientGone(t *testing.T) {
	t.Run("reset", func(t *testing.T) {
		y := newYard(t, 1, "--once-confirm", "300ms")
		for i := range 40 {
			y.place(fmt.Sprint("m", i), false)
		}
		// after that nothing is looked at twice for having changed just now
		time.Sleep(2100 * time.Millisecond)
		for i := range 40 {
			c := y.connect(y.daemons[0].where(), fmt.Sprint("m", i), 0)
			c.SetLinger(0)
			if i%2 == 0 {
				time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond)
			}
			c.Close()
		}
		y.stop()
		// What arrived in the client's kernel before the reset is served, the
		// rest is open or was never sent.
		f := y.balance(false)
		y.report(0, f)
		if f.open+f.pending+f.served != 40 {
			t.Errorf("%+v", f)
		}
	})
	t.Run("reset before the daemon looks", func(t *testing.T) {
		y := newYard(t, 1, "--once-confirm", "300ms")
		d := y.daemons[0]
		for i := range 10 {
			y.place(fmt.Sprint("m", i), false)
		}
		d.cmd.Process.Signal(syscall.SIGSTOP)
		for i := range 10 {
			c := y.connect(d.where(), fmt.Sprint("m", i), 0)
			c.SetLinger(0)
			c.Close()
		}
		d.cmd.Process.Signal(syscall.SIGCONT)
		y.stop()
		f := y.balance(false)
		y.report(0, f)
		if f.served > 0 || f.open+f.pending != 10 {
			t.Errorf("%+v", f)
		}
	})
	t.Run("closes after 100 bytes", func(t *testing.T) {
		y := newYard(t, 1, "--once-confirm", "300ms")
		for i := range 5 {
			name := fmt.Sprint("m", i)
			y.link(name, y.writeLong(), false)
			c := y.connect(y.daemons[0].where(), name, 8<<10)
			if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
				t.Error(err)
			}
			c.Close()
		}
		y.stop()
		if f := y.balance(false); f.open != 5 {
			t.Errorf("%+v", f)
		}
	})
	t.Run("silent", func(t *testing.T) {
		y := newYard(t, 1, "--once-confirm", "300ms")
		var clients []*net.TCPConn
		for i := range 5 {
			name := fmt.Sprint("m", i)
			y.link(name, y.writeLong(), false)
			clients = append(clients, y.connect(y.daemons[0].where(), name, 4<<10))
		}
		for i := range clients {
			y.claimed(fmt.Sprint("m", i))
		}
		time.Sleep(time.Second) // longer than a confirmation takes
		if f := y.balance(false); f.open != 5 {
			t.Errorf("while nobody reads: %+v", f)
		}
		// Others are answered meanwhile.
		text := y.place("other", false)
		if r := y.ask(y.daemons[0], "other", 0); r.text != text {
			t.Errorf("%+v", r)
		}
		for _, c := range clients {
			c.Close()
		}
		y.stop()
		if f := y.balance(false); f.open != 5 || f.served != 1 {
			t.Errorf("%+v", f)
		}
	})
}

// The power is cut: the client's network is gone before the answer comes, and
// nobody resets anything. The daemon's writes succeed, and only the missing
// acknowledgement tells.
func TestOrder_CableOut(t *testing.T) {
	lab.Slow(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces")
	}
	id := strconv.Itoa(os.Getpid())
	server, clientNS := "pxesrv-s-"+id, "pxesrv-c-"+id
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	for _, ns := range []string{server, clientNS} {
		ip("netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		ip("-n", ns, "link", "set", "lo", "up")
	}
	ip("-n", server, "link", "add", "s0", "type", "veth", "peer", "name", "c0", "netns", clientNS)
	ip("-n", server, "addr", "add", "10.123.0.1/24", "dev", "s0")
	ip("-n", clientNS, "addr", "add", "10.123.0.2/24", "dev", "c0")
	ip("-n", server, "link", "set", "s0", "up")
	ip("-n", clientNS, "link", "set", "c0", "up")

	y := newYard(t, 0)
	d := &yardDaemon{y: y, log: filepath.Join(t.TempDir(), "log"),
		run: []string{"ip", "netns", "exec", server}, host: "10.123.0.1",
		args: []string{"serve", "--root", y.root, "--once-max-per-day", "0",
			"--once-confirm", "500ms"}}
	y.daemons = append(y.daemons, d)
	d.start()
	t.Cleanup(d.kill)
	if t.Failed() {
		return
	}

	// inside runs do in the client's network.
	inside := func(do func()) {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			ns, err := os.Open("/run/netns/" + clientNS)
			if err == nil {
				err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
				ns.Close()
			}
			if err == nil {
				do()
			}
			done <- err
		}()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	send := func(name string) (c net.Conn) {
		inside(func() {
			// The socket is made in this thread, as the address needs no
			// look-up.
			var err error
			if c, err = net.DialTimeout("tcp4", d.where(), scriptPatience); err == nil {
				_, err = fmt.Fprintf(c, "GET /redirect?serial=%s HTTP/1.1\r\nHost: x\r\n\r\n", name)
			}
			if err != nil {
				t.Error(err)
			}
		})
		return c
	}

	// With the cable in, a delivery is confirmed.
	y.place("well", false)
	c := send("well")
	if t.Failed() {
		return
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil ||
		!bytes.Contains(body, []byte("scripts/1")) {
		t.Fatalf("%q, %v", body, err)
	}
	c.Close()

	// The kernel of the server takes the request; the daemon sees it when the
	// cable is out.
	var names []string
	for i := range 3 {
		names = append(names, fmt.Sprint("m", i))
		y.place(names[i], false)
	}
	d.cmd.Process.Signal(syscall.SIGSTOP)
	for _, name := range names {
		if c := send(name); c != nil {
			defer c.Close()
		}
	}
	ip("-n", clientNS, "link", "set", "c0", "down")
	d.cmd.Process.Signal(syscall.SIGCONT)
	for _, name := range names {
		y.claimed(name)
	}
	y.stop()
	f := y.balance(false)
	y.report(0, f)
	if f.open != 3 || f.served != 1 {
		t.Errorf("%+v", f)
	}
}
