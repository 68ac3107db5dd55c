//go:build linux

package tftpd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/faultfs"
)

// patience is for what takes a moment, on a loaded computer.
const patience = 60 * time.Second

var discard = slog.New(slog.DiscardHandler)

// folder is a site that is one folder of files.
type folder string

func (f folder) Open(name string) (*os.File, error) {
	if strings.Contains(name, "/panic") {
		panic("a mistake")
	}
	file, err := os.Open(filepath.Join(string(f), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist
	}
	return file, err
}

// tally is an Observer that counts.
type tally struct {
	mu   sync.Mutex
	by   map[Result]int
	sent int64
}

func (o *tally) Transfer(r Result, sent int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.by[r]++
	o.sent += sent
}

func (o *tally) count(r Result) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.by[r]
}

// journal is a log that tests read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// A lair is a server with its root, on a port of its own.
type lair struct {
	t    testing.TB
	root string
	s    *Server
	l    *Listener
	port int
	seen *tally
	log  *journal
}

// serve starts a server at host. change may set its fields.
func serve(t testing.TB, host string, change func(*Server)) *lair {
	t.Helper()
	r := &lair{t: t, root: t.TempDir(), seen: &tally{by: map[Result]int{}}, log: &journal{}}
	r.s = &Server{Site: folder(r.root), Observe: r.seen,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(r.s)
	}
	l, err := Listen(net.JoinHostPort(host, "0"), func() *Server { return r.s })
	if err != nil {
		t.Fatal(err)
	}
	r.l, r.port = l, l.Addr().(*net.UDPAddr).Port
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil {
			t.Errorf("the server does not stop: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%.5000s", r.log)
		}
	})
	return r
}

func (r *lair) write(name string, size int) []byte {
	r.t.Helper()
	body := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(body)
	if err := os.WriteFile(filepath.Join(r.root, name), body, 0o644); err != nil {
		r.t.Fatal(err)
	}
	return body
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// A client speaks TFTP by hand.
type client struct {
	t    testing.TB
	conn *net.UDPConn
	to   *net.UDPAddr
}

// dial makes a client with a source address of its own, "" for any.
func (r *lair) dial(from, to string) *client {
	r.t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)})
	if err != nil {
		r.t.Fatal(err)
	}
	c := &client{r.t, conn, &net.UDPAddr{IP: net.ParseIP(to), Port: r.port}}
	r.t.Cleanup(func() { conn.Close() })
	return c
}

func request(op byte, words ...string) []byte {
	return append([]byte{0, op}, strings.Join(words, "\x00")+"\x00"...)
}

func (c *client) send(to *net.UDPAddr, packet []byte) {
	c.t.Helper()
	if _, err := c.conn.WriteToUDP(packet, to); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next packet and where it comes from; nil after patience.
func (c *client) next(wait time.Duration) ([]byte, *net.UDPAddr) {
	c.t.Helper()
	b := make([]byte, 65536)
	c.conn.SetReadDeadline(time.Now().Add(wait))
	n, from, err := c.conn.ReadFromUDP(b)
	if err != nil {
		return nil, nil
	}
	return b[:n], from
}

// get reads a whole file, without options.
func (c *client) get(name string, words ...string) ([]byte, error) {
	c.t.Helper()
	ask := request(1, append([]string{name, "octet"}, words...)...)
	c.send(c.to, ask)
	var body []byte
	for block := uint16(1); ; {
		p, from := c.next(time.Second)
		for end := time.Now().Add(patience); p == nil && block == 1 &&
			time.Now().Before(end); p, from = c.next(time.Second) {
			c.send(c.to, ask) // as clients do whose packet was lost
		}
		if p == nil {
			p, from = c.next(patience)
		}
		switch {
		case len(p) < 4:
			return body, fmt.Errorf("no answer to block %d", block)
		case p[1] == 5:
			return body, errors.New(strings.TrimRight(string(p[4:]), "\x00"))
		case p[1] == 3 && binary.BigEndian.Uint16(p[2:]) == block:
			body = append(body, p[4:]...)
			c.send(from, []byte{0, 4, p[2], p[3]})
			if block++; len(p) < 516 {
				return body, nil
			}
		case p[1] == 3:
			c.send(from, []byte{0, 4, p[2], p[3]})
		default:
			return body, fmt.Errorf("packet %q", p)
		}
	}
}

// get reads a whole file as a client of its own.
func (r *lair) get(from, to, name string) ([]byte, error) {
	r.t.Helper()
	c := r.dial(from, to)
	defer c.conn.Close()
	return c.get(name)
}

// TestPaths: every form of a path that loaders use leads to the same file, and
// nothing leads out.
func TestPaths(t *testing.T) {
	r := serve(t, "127.0.0.1", nil)
	must(t, os.Mkdir(filepath.Join(r.root, "boot"), 0o755))
	must(t, os.WriteFile(filepath.Join(r.root, "../secret"), []byte("secret"), 0o644))
	want := r.write("boot/x", 700)
	for _, name := range []string{"boot/x", "/boot/x", "//boot//x", `boot\x`, `\boot\x`,
		"./boot/./x", `\\boot\x`} {
		if got, err := r.get("", "127.0.0.1", name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes, error %v", name, len(got), err)
		}
	}
	for _, name := range []string{"", "/", ".", "boot", "boot/", `boot\`, "boot/x/", "boot/x/y",
		"nothing", "../secret", "boot/../boot/x",
		`..\secret`, `boot\..\..\secret`, "/../secret", "....//secret", strings.Repeat("a", 400)} {
		got, err := r.get("", "127.0.0.1", name)
		if err == nil || err.Error() != errNotFound.Error() && err.Error() != errDisk.Error() ||
			len(got) > 0 {
			t.Errorf("%q: %d bytes, error %v", name, len(got), err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "/") {
			t.Errorf("%q: the error tells a path: %v", name, err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestWrite: nothing is written, under no name.
func TestWrite(t *testing.T) {
	r := serve(t, "127.0.0.1", nil)
	want := r.write("there", 10)
	for _, name := range []string{"new", "there", "../new"} {
		c := r.dial("", "127.0.0.1")
		c.send(c.to, request(2, name, "octet"))
		if p, _ := c.next(patience); len(p) < 5 || p[1] != 5 ||
			string(p[4:len(p)-1]) != errReadOnly.Error() {
			t.Errorf("%s: answer %q", name, p)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(r.root, "there")); !bytes.Equal(got, want) {
		t.Error("the file was changed")
	}
	if all, _ := os.ReadDir(r.root); len(all) != 1 {
		t.Errorf("%d files", len(all))
	}
	if r.seen.count(Refused) != 3 {
		t.Errorf("counted: %v", r.seen.by)
	}
}

// TestAddress: a script names the address at which its own client asked, on a
// server that has two, and of both kinds.
func TestAddress(t *testing.T) {
	r := serve(t, "", func(s *Server) {
		s.Base = func(a netip.Addr) string {
			return "http://" + netip.AddrPortFrom(a, 4567).String()
		}
	})
	for _, a := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		want := " http://" + net.JoinHostPort(a, "4567") + "/redirect?"
		for _, name := range []string{"autoexec.ipxe", "/boot.ipxe", "boot.ipxe.0",
			"ipxe/autoexec.ipxe", "efi/x/autoexec.ipxe"} {
			if body, err := r.get("", a, name); err != nil || !bytes.Contains(body, []byte(want)) {
				t.Errorf("%s at %s: error %v, %q", name, a, err, body)
			}
		}
		if body, err := r.get("", a, "pxelinux.cfg/default"); err != nil ||
			!bytes.Contains(body, []byte("http://"+net.JoinHostPort(a, "4567")+"/ipxe.lkrn")) {
			t.Errorf("PXELINUX at %s: error %v, %q", a, err, body)
		}
	}
	must(t, os.Mkdir(filepath.Join(r.root, "ipxe"), 0o755))
	must(t, os.Mkdir(filepath.Join(r.root, "pxelinux.cfg"), 0o755))
	for _, name := range []string{"ipxe/autoexec.ipxe", "pxelinux.cfg/default", "grub.cfg"} {
		want := r.write(name, 99)
		if body, err := r.get("", "127.0.0.1", name); err != nil || !bytes.Equal(body, want) {
			t.Errorf("the file %s does not win: error %v, %q", name, err, body)
		}
	}
	r.write("autoexec.ipxe", 99)
	if body, err := r.get("", "127.0.0.1", "autoexec.ipxe"); err != nil ||
		!bytes.HasPrefix(body, []byte("#!ipxe\n")) {
		t.Errorf("a file hides the script: error %v, %q", err, body)
	}
}

// TestNoBase: without an address of the HTTP server there is no script that
// leads to it, and the log says why.
func TestNoBase(t *testing.T) {
	r := serve(t, "127.0.0.1", nil)
	for _, name := range []string{"autoexec.ipxe", "pxelinux.cfg/default"} {
		if _, err := r.get("", "127.0.0.1", name); err == nil ||
			err.Error() != errNotFound.Error() {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := r.get("", "127.0.0.1", "local.ipxe"); err != nil {
		t.Error(err)
	}
	eventually(t, "the log", func() bool { return strings.Contains(r.log.String(), "set url") })
}

// TestClients: clients.allow holds.
func TestClients(t *testing.T) {
	r := serve(t, "127.0.0.1", func(s *Server) {
		s.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	})
	r.write("x", 10)
	if _, err := r.get("127.0.0.2", "127.0.0.1", "x"); err != nil {
		t.Error(err)
	}
	if _, err := r.get("127.0.0.3", "127.0.0.1", "x"); err == nil ||
		err.Error() != errRefused.Error() {
		t.Errorf("error %v", err)
	}
}

// TestPanic: a mistake in one request is told to nobody but the log, and ends
// nothing.
func TestPanic(t *testing.T) {
	r := serve(t, "127.0.0.1", nil)
	want := r.write("x", 10)
	if _, err := r.get("", "127.0.0.1", "panic"); err == nil || err.Error() != errPanic.Error() {
		t.Errorf("error %v", err)
	}
	if got, err := r.get("", "127.0.0.1", "x"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("afterwards: error %v", err)
	}
	eventually(t, "the log", func() bool { return strings.Contains(r.log.String(), "a mistake") })
	if n := r.s.counts().Open(); n != 0 {
		eventually(t, "no transfer is under way", func() bool { return r.s.counts().Open() == 0 })
	}
}

// TestAmplification: a request with a false sender brings at most 8 packets and
// 4 KiB on whom it names, whatever it asks for.
func TestAmplification(t *testing.T) {
	lab.Slow(t)
	t.Parallel()
	r := serve(t, "127.0.0.1", nil)
	r.write("big", 1<<20)
	var all sync.WaitGroup // at the same time, since each waits for what does not come any more
	for name, words := range map[string][]string{
		"plain": {"big", "octet"}, "with options": {"big", "octet", "blksize", "65464",
			"tsize", "0"},
		"nothing": {"nothing", "octet"}, "upper-case option": {"big", "octet", "BLKSIZE", "1428"},
	} {
		c := r.dial("", "127.0.0.1")
		c.send(c.to, request(1, words...))
		all.Go(func() {
			packets, size := 0, 0
			for {
				// An answer to be repeated comes again within a second.
				p, _ := c.next(8 * timeout)
				if p == nil {
					break
				}
				packets, size = packets+1, size+len(p)
			}
			if packets == 0 || packets > 8 || size > 4096 {
				t.Errorf("%s: %d packets, %d bytes", name, packets, size)
			}
		})
	}
	all.Wait()
}

// TestDead: 600 readers that fall silent keep nobody else from being served,
// and everything they held comes back.
func TestDead(t *testing.T) {
	lab.Slow(t)
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	t.Run("served", func(t *testing.T) {
		r := serve(t, "127.0.0.1", nil)
		want := r.write("big", 100_000)
		var dead []*client
		for i := range 600 {
			c := r.dial(fmt.Sprintf("127.1.%d.%d", i/250, 1+i%250), "127.0.0.1")
			c.send(c.to, request(1, "big", "octet"))
			dead = append(dead, c)
		}
		for _, c := range dead {
			p, _ := c.next(time.Second)
			for end := time.Now().Add(patience); p == nil &&
				time.Now().Before(end); p, _ = c.next(time.Second) {
				c.send(c.to, request(1, "big", "octet")) // the packet was lost
			}
			if len(p) != 516 {
				t.Fatalf("answer %.50q", p)
			}
		}
		if got, err := r.get("127.2.0.1", "127.0.0.1", "big"); err != nil ||
			!bytes.Equal(got, want) {
			t.Errorf("somebody else, with %d transfers under way: error %v",
				r.s.counts().Open(), err)
		}
		eventually(t, "all are given up", func() bool { return r.s.counts().Open() == 0 })
		if n := r.seen.count(Unanswered); n < 600 {
			t.Errorf("%d unanswered", n)
		}
	})
	eventually(t, "goroutines and descriptors are back", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors(t) <= files
	})
}

func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(all)
}

// opened reports whether this process has a file below dir open.
func opened(t testing.TB, dir string) bool {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range all {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, dir+"/") {
			return true
		}
	}
	return false
}

// TestTransfers: there are so many transfers and no more, and whoever is too
// many is told so.
func TestTransfers(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	r := serve(t, "127.0.0.1", func(s *Server) { s.Transfers = 3 })
	r.write("big", 10_000)
	for i := range 5 {
		c := r.dial(fmt.Sprintf("127.1.0.%d", 1+i), "127.0.0.1")
		c.send(c.to, request(1, "big", "octet"))
		if p, _ := c.next(patience); i < 3 && len(p) != 516 ||
			i >= 3 && (len(p) < 5 || p[1] != 5 || string(p[4:len(p)-1]) != errBusy.Error()) {
			t.Errorf("request %d: %.60q", i, p)
		}
	}
}

// TestPerAddress: one address gets its share and no more, and others are served
// at once.
func TestPerAddress(t *testing.T) {
	t.Parallel()
	lab.Slow(t)
	r := serve(t, "127.0.0.1", func(s *Server) { s.PerAddress = 3 })
	want := r.write("big", 10_000)
	for i := range 5 {
		c := r.dial("127.0.0.9", "127.0.0.1")
		c.send(c.to, request(1, "big", "octet"))
		if p, _ := c.next(patience); len(p) < 4 || (p[1] == 5) != (i >= 3) {
			t.Errorf("request %d: %.60q", i, p)
		}
	}
	if got, err := r.get("127.0.0.8", "127.0.0.1", "big"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("another address: error %v", err)
	}
}

// TestJunk: packets that are none end nothing.
func TestJunk(t *testing.T) {
	r := serve(t, "127.0.0.1", nil)
	want := r.write("x", 5000)
	c := r.dial("127.0.0.4", "127.0.0.1")
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		p := make([]byte, i%600)
		for j := range p {
			p[j] = byte(noise.Uint32())
		}
		if len(p) > 1 && i%3 > 0 {
			p[0], p[1] = 0, byte(i%8)
		}
		c.send(c.to, p)
	}
	c.send(c.to, request(1, append([]string{"x", "octet"},
		strings.Split(strings.Repeat("blksize,-1,", 20), ",")...)...))
	if got, err := r.get("", "127.0.0.1", "x"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("error %v", err)
	}
	if n := r.seen.count(Malformed); n == 0 {
		t.Error("nothing was counted")
	}
}

// TestOptions: the block size is the one that was asked for, within what the
// network carries; values without sense are ignored.
func TestOptions(t *testing.T) {
	r := serve(t, "127.0.0.1", nil)
	r.write("x", 100_000)
	for asked, want := range map[string]string{"1428": "1428", "512": "512", "65464": "65464",
		"8": "", "0": "", "-1": "", "abc": "", "99999999999999999999": ""} {
		c := r.dial("", "127.0.0.1")
		c.send(c.to, request(1, "x", "octet", "blksize", asked, "tsize", "0"))
		p, from := c.next(patience)
		if len(p) < 2 || p[1] != 6 {
			t.Fatalf("%s: answer %.40q", asked, p)
		}
		words := strings.Split(string(p[2:]), "\x00")
		got := map[string]string{}
		for i := 0; i+1 < len(words); i += 2 {
			got[words[i]] = words[i+1]
		}
		if got["blksize"] != want || got["tsize"] != "100000" {
			t.Errorf("%s: %v", asked, got)
		}
		// as firmware does that wanted to know the size
		c.send(from, append([]byte{0, 5, 0, 8}, "no\x00"...))
	}
	eventually(t, "all are over", func() bool { return r.s.counts().Open() == 0 })
	if n := r.seen.count(Aborted); n != 8 {
		t.Errorf("counted: %v", r.seen.by)
	}
}

// TestReplaced: a file that is replaced during a transfer is sent as it was;
// one that is cut is never sent as if that were all.
func TestReplaced(t *testing.T) {
	r := serve(t, "127.0.0.1", nil)
	const size = 300_000
	begin := func(name string) (*client, *net.UDPAddr) {
		c := r.dial("", "127.0.0.1")
		c.send(c.to, request(1, name, "octet"))
		p, from := c.next(patience)
		if len(p) != 516 {
			t.Fatalf("answer %.40q", p)
		}
		return c, from
	}
	finish := func(c *client, from *net.UDPAddr, body []byte) ([]byte, error) {
		for block := 1; ; block++ {
			c.send(from, []byte{0, 4, byte(block >> 8), byte(block)})
			p, _ := c.next(patience)
			if len(p) < 4 || p[1] == 5 {
				return body, fmt.Errorf("%q", p)
			}
			if body = append(body, p[4:]...); len(p) < 516 {
				c.send(from, []byte{0, 4, p[2], p[3]})
				return body, nil
			}
		}
	}
	want := r.write("replaced", size)
	c, from := begin("replaced")
	must(t, os.WriteFile(filepath.Join(r.root, "new"), bytes.Repeat([]byte("new"), size/3), 0o644))
	must(t, os.Rename(filepath.Join(r.root, "new"), filepath.Join(r.root, "replaced")))
	if got, err := finish(c, from, want[:512:512]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("replaced: %d bytes, error %v", len(got), err)
	}
	r.write("cut", size)
	c, from = begin("cut")
	must(t, os.Truncate(filepath.Join(r.root, "cut"), size/2))
	if got, err := finish(c, from, want[:512:512]); err == nil ||
		!strings.Contains(err.Error(), errDisk.Error()) {
		t.Errorf("cut: %d bytes, error %v", len(got), err)
	}
	r.write("grown", size)
	c, from = begin("grown")
	f, err := os.OpenFile(filepath.Join(r.root, "grown"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = io.WriteString(f, "more")
	must(t, err)
	must(t, f.Close())
	if got, err := finish(c, from, want[:512:512]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("grown: %d bytes, error %v", len(got), err)
	}
}

// TestHangingDisk: a disk that hangs, at the opening or in the middle, is an
// error for those who ask for its files, and for nobody else; what hangs is
// bounded, and it comes back with the disk.
func TestHangingDisk(t *testing.T) {
	source := t.TempDir()
	disk := faultfs.Mount(t, source)
	r := serve(t, "127.0.0.1", func(s *Server) {
		s.Site = folder(disk.Dir)
		s.Deadline, s.MaxStuck = 200*time.Millisecond, 5
		s.Base = func(netip.Addr) string { return "http://boot.example" }
	})
	r.root = source
	want := r.write("big", 300_000)

	c := r.dial("", "127.0.0.1")
	c.send(c.to, request(1, "big", "octet"))
	p, from := c.next(patience)
	if len(p) != 516 {
		t.Fatalf("answer %.40q", p)
	}
	disk.Set(faultfs.Hang(0))
	for block := 1; ; block++ {
		c.send(from, []byte{0, 4, byte(block >> 8), byte(block)})
		if p, _ = c.next(patience); len(p) < 4 || p[1] == 5 || block > 600 {
			break
		}
	}
	if len(p) < 5 || string(p[4:len(p)-1]) != errDisk.Error() {
		t.Errorf("in the middle: %.60q", p)
	}
	for i := range 20 {
		if _, err := r.get("", "127.0.0.1", fmt.Sprintf("big%d", i)); err == nil ||
			err.Error() != errDisk.Error() {
			t.Fatalf("at the opening: error %v", err)
		}
	}
	if n := r.s.counts().stuck.Count(); n != 5 {
		t.Errorf("%d hang, want 5", n)
	}
	if _, err := r.get("", "127.0.0.1", "boot.ipxe"); err != nil {
		t.Errorf("a script of our own: %v", err)
	}
	disk.Set()
	eventually(t, "all that hung is back", func() bool { return r.s.counts().stuck.Count() == 0 })
	if got, err := r.get("", "127.0.0.1", "big"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("afterwards: %d bytes, error %v", len(got), err)
	}
	eventually(t, "every file is closed", func() bool { return !opened(t, disk.Dir) })
}

// TestShutdown: the end waits for a transfer that goes on, and not for a client
// that is dead.
func TestShutdown(t *testing.T) {
	lab.Slow(t)
	for _, dead := range []bool{false, true} {
		t.Run(fmt.Sprintf("dead=%v", dead), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			must(t, os.WriteFile(filepath.Join(root, "x"), make([]byte, 1000), 0o644))
			s := &Server{Site: folder(root), Log: slog.New(slog.DiscardHandler)}
			l, err := Listen("127.0.0.1:0", func() *Server { return s })
			must(t, err)
			served := make(chan error, 1)
			go func() { served <- l.Serve() }()
			r := &lair{t: t, port: l.Addr().(*net.UDPAddr).Port}
			c := r.dial("", "127.0.0.1")
			c.send(c.to, request(1, "x", "octet"))
			p, from := c.next(patience)
			if len(p) != 516 {
				t.Fatalf("answer %.40q", p)
			}
			limit := patience
			if dead {
				limit = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			stopped := make(chan error, 1)
			go func() { stopped <- l.Shutdown(ctx) }()
			if !dead {
				c.send(from, []byte{0, 4, 0, 1})
				if p, _ := c.next(patience); len(p) < 4 || p[1] != 3 {
					t.Errorf("the rest: %.40q", p)
				}
				c.send(from, []byte{0, 4, 0, 2})
			}
			select {
			case err := <-stopped:
				if dead != errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			case <-time.After(patience):
				t.Fatal("the server does not stop")
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
			eventually(t, "the transfer has ended", func() bool { return s.counts().Open() == 0 })
		})
	}
}

// FuzzRequest: whatever a request is, the path that is opened lies below the
// root and has one form, and no packet ends the server or brings more than a
// small answer.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{"x", "/x", `\x`, "../x", `..\x`, "a//b/./c", "....//x",
		"%2e%2e/x", "\xff\xfe", "x\x00octet\x00blksize\x001428", "/", ""} {
		f.Add(byte(1), seed)
	}
	f.Add(byte(2), "x\x00octet\x00")
	f.Add(byte(5), "\x00\x00\x00")
	asked := make(chan string, 1000)
	s := &Server{Log: slog.New(slog.DiscardHandler), Site: opener(asked)}
	l, err := Listen("127.0.0.1:0", func() *Server { return s })
	if err != nil {
		f.Fatal(err)
	}
	go l.Serve()
	f.Cleanup(func() { l.Shutdown(context.Background()) })
	conn, err := net.DialUDP("udp", nil, l.Addr().(*net.UDPAddr))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, op byte, text string) {
		if name, ok := clean(text); ok {
			again, ok := clean(name)
			if !ok || again != name || !strings.HasPrefix(name, "/") ||
				strings.ContainsAny(name, "\\\x00") || strings.Contains(name, "//") {
				t.Errorf("%q -> %q -> %q", text, name, again)
			}
			for part := range strings.SplitSeq(name, "/") {
				if part == ".." || part == "." {
					t.Errorf("%q -> %q", text, name)
				}
			}
		}
		conn.Write(append([]byte{0, op}, text...)) // too long for a packet: nothing arrives
		for len(asked) > 0 {
			name := <-asked
			if got, ok := clean(name); !ok || got != name {
				t.Errorf("opened %q", name)
			}
		}
	})
}

// opener is a site that tells what was opened, and has nothing.
type opener chan string

func (o opener) Open(name string) (*os.File, error) {
	select {
	case o <- name:
	default:
	}
	return nil, fs.ErrNotExist
}
