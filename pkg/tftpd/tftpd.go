// Package tftpd answers over TFTP, read only (RFC 1350, with the options blksize of RFC 2348 and tsize of RFC 2349): the files
// of the tree, boot loaders, and the few files that the server writes itself. The protocol is that of github.com/pin/tftp;
// docs/tftp.md says what that does not do.
package tftpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pin/tftp/v3"

	"pxesrv/pkg/bounded"
	"pxesrv/pkg/ipxe"
)

// Site is what the server asks.
type Site interface {
	// Open opens a file that anybody may have, by an absolute path. Not-there and not-given-out are fs.ErrNotExist.
	Open(name string) (*os.File, error)
}

// Server answers read requests. Fill in the fields; the zero value of each is given.
type Server struct {
	Site Site
	Log  *slog.Logger

	// Spelled returns the path that is meant by one that Site has no file for, where case does not count, as for the loaders of
	// Windows. None is fs.ErrNotExist; an error with more to it, which is that as well, is for the log. nil: case counts.
	Spelled func(name string) (string, error)

	Allow []netip.Prefix // clients that are answered at all; empty means everyone

	// Base returns where a client that asked at this address, which may be unknown, reaches the HTTP server: without a slash
	// at the end, or "" when it does not. nil: nowhere.
	Base func(local netip.Addr) string

	Transfers  int           // at the same time; 0 means 2048
	PerAddress int           // to one address; 0 means 8
	Deadline   time.Duration // for opening a file, and for reading the next part of it; 0 means 5 s
	MaxStuck   int           // how many of these may be stuck on a disk before no file is opened; 0 means 256
	Observe    Observer      // told of every transfer; nil: nobody

	// Counts is what is under way. Servers that follow each other share one; nil: the server has its own.
	Counts *Counts
	own    Counts
}

// Counts counts transfers, and what is stuck on the disk. The zero value counts none.
type Counts struct {
	mu    sync.Mutex
	all   int
	by    map[netip.Addr]int
	stuck bounded.Stuck
}

// Open is how many transfers are under way.
func (c *Counts) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// begin counts a transfer to a. It is false when there are too many already.
func (c *Counts) begin(a netip.Addr, all, each int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= all || c.by[a] >= each {
		return false
	}
	if c.by == nil {
		c.by = map[netip.Addr]int{}
	}
	c.all++
	c.by[a]++
	return true
}

func (c *Counts) end(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.by[a]--; c.by[a] == 0 {
		delete(c.by, a)
	}
}

// Result is how a request ended.
type Result string

const (
	Done       Result = "done"       // the client has acknowledged the last block
	Aborted    Result = "aborted"    // the client ended it; firmware does so when it only wants the size
	Unanswered Result = "unanswered" // the client fell silent
	NotFound   Result = "not-found"
	Refused    Result = "refused" // by clients.allow, by a limit, or because it was to write
	Failed     Result = "failed"  // the disk, or the network of this machine
	Malformed  Result = "malformed"
)

// Results are all there are.
var Results = []Result{Done, Aborted, Unanswered, NotFound, Refused, Failed, Malformed}

// Observer is told of every request. It does not wait.
type Observer interface {
	Transfer(r Result, sent int64)
}

// What clients are told. The library sends the text of an error with code 1, so each is made for them.
var (
	errNotFound = errors.New("there is nothing under this name")
	errRefused  = errors.New("this address is not answered here")
	errBusy     = errors.New("too many transfers at the moment")
	errReadOnly = errors.New("this server is read only")
	errDisk     = errors.New("the boot server cannot read this file at the moment")
	errStopping = errors.New("the boot server is stopping")
	errPanic    = errors.New("the boot server has made a mistake")
)

// An unanswered block is sent again as often, after so long each time. A request with a false sender so brings at most 7
// packets on whom it names: 6 blocks of 516 bytes, as no larger ones are sent unasked, and an error.
const (
	retries = 5
	timeout = time.Second
)

// readAhead is how many bytes of a file are read at a time, so that not every block is a look at the disk. Each transfer has as many.
const readAhead = 16 << 10

// Listener answers at one address.
type Listener struct {
	conn     *net.UDPConn
	lib      *tftp.Server
	current  func() *Server
	stopping atomic.Bool
}

// Listen opens a UDP address, "host:port". Each request is answered by the server that current returns then.
func Listen(address string, current func() *Server) (*Listener, error) {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	conn.SetReadBuffer(1 << 20) // for the requests of a whole hall at once; the kernel gives what it may
	return On(conn, current), nil
}

// On answers at a socket that is open already. Each request is answered by the server that current returns then.
func On(conn *net.UDPConn, current func() *Server) *Listener {
	l := &Listener{conn: conn, current: current}
	l.lib = tftp.NewServer(l.read, l.write)
	l.lib.SetTimeout(timeout)
	l.lib.SetRetries(retries)
	l.lib.SetBackoff(func(int) time.Duration { return 0 })
	l.lib.SetHook(l)
	return l
}

// Addr is the address that was opened.
func (l *Listener) Addr() net.Addr { return l.conn.LocalAddr() }

// Serve answers until Shutdown.
func (l *Listener) Serve() error { return l.lib.Serve(l.conn) }

// Close closes a listener that does not serve yet.
func (l *Listener) Close() error { return l.conn.Close() }

// Shutdown takes no more requests and waits for the transfers under way until ctx ends. Those that then still go on end with
// the next block, and those that wait for a dead client within seconds.
func (l *Listener) Shutdown(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { l.lib.Shutdown(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		l.stopping.Store(true)
		return ctx.Err()
	}
}

// OnSuccess implements tftp.Hook.
func (l *Listener) OnSuccess(tftp.TransferStats) {}

// OnFailure implements tftp.Hook. Failures of transfers are seen where they end. What names no file was no request, or one for
// which no socket could be opened.
func (l *Listener) OnFailure(t tftp.TransferStats, err error) {
	if t.RemoteAddr != nil {
		return
	}
	s := l.current()
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		s.observe(Failed, 0)
		s.Log.Error("tftp: a request cannot be answered", "error", short(err.Error()))
		return
	}
	s.observe(Malformed, 0)
	s.Log.Debug("tftp: not a request", "error", short(err.Error()))
}

// write refuses to be written to.
func (l *Listener) write(name string, from io.WriterTo) error {
	s := l.current()
	s.observe(Refused, 0)
	s.Log.Warn("tftp", "peer", peer(from), "path", short(name), "result", Refused, "error", errReadOnly.Error())
	return errReadOnly
}

// read answers a read request. The library sends the error to the client, if it has not sent one already.
func (l *Listener) read(name string, to io.ReaderFrom) (err error) {
	s := l.current()
	t := transfer{s: s, l: l, to: to, asked: name, peer: peer(to), began: time.Now(), size: -1}
	defer func() {
		if p := recover(); p != nil {
			t.sent(0, Failed, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			err = errPanic
		}
	}()
	if len(s.Allow) > 0 && !contains(s.Allow, t.peer) {
		return t.refuse(Refused, errRefused, nil)
	}
	c := s.counts()
	if !c.begin(t.peer, or(s.Transfers, 2048), or(s.PerAddress, 8)) {
		return t.refuse(Refused, errBusy, nil)
	}
	defer c.end(t.peer)
	return t.run()
}

func (s *Server) counts() *Counts {
	if s.Counts != nil {
		return s.Counts
	}
	return &s.own
}

func (s *Server) observe(r Result, sent int64) {
	if s.Observe != nil {
		s.Observe.Transfer(r, sent)
	}
}

// transfer is one read request.
type transfer struct {
	s     *Server
	l     *Listener
	to    io.ReaderFrom
	asked string
	file  string // what was found for it under another name; "": that very name
	peer  netip.Addr
	began time.Time
	size  int64 // of the file; -1: nothing was opened
}

// run finds the file and sends it.
func (t *transfer) run() error {
	v, f, size, err := t.find()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err == fs.ErrNotExist {
			err = nil // the client's words say it
		}
		return t.refuse(NotFound, errNotFound, err)
	case err != nil:
		return t.refuse(Failed, errDisk, err)
	case v != nil:
		return t.virtual(v)
	}
	r := &reader{t: t, file: f, left: size, buffer: make([]byte, min(size, readAhead))}
	defer r.close()
	return t.send(r, size)
}

// find finds a file of our own or one of the site. Where nothing has the name
// that was asked for, it looks for what was meant:
//
//   - the name without the bytes FF at its end: old firmware takes the end of a
//     DHCP packet's options for a part of the boot file's name.
//   - the name in other case: to the loaders of Windows that is the same.
func (t *transfer) find() (v *ipxe.Virtual, f *os.File, size int64, err error) {
	name, ok := clean(t.asked)
	if ok {
		if v, f, size, err = t.s.look(name); !errors.Is(err, fs.ErrNotExist) {
			return v, f, size, err
		}
	}
	asked := t.asked
	for strings.HasSuffix(asked, "\xff") {
		asked = asked[:len(asked)-1]
	}
	if asked != t.asked {
		if name, ok = clean(asked); ok {
			t.file = name
			if v, f, size, err = t.s.look(name); !errors.Is(err, fs.ErrNotExist) {
				return v, f, size, err
			}
		}
	}
	t.file = ""
	if !ok || t.s.Spelled == nil {
		return nil, nil, 0, fs.ErrNotExist
	}
	there, err := bounded.Do(context.Background(), t.s.limits(), func(context.Context) (string, error) {
		return t.s.Spelled(name)
	}, func(string) {})
	if err != nil {
		return nil, nil, 0, err
	}
	t.file = there
	if v, f, size, err = t.s.look(there); errors.Is(err, fs.ErrNotExist) {
		t.file, err = "", fs.ErrNotExist // its error is about another name
	}
	return v, f, size, err
}

// look finds what has a clean name: a file of our own, or one of the site.
func (s *Server) look(name string) (v *ipxe.Virtual, f *os.File, size int64, err error) {
	if v := ipxe.Exact(name); v != nil {
		return v, nil, 0, nil
	}
	f, size, err = s.open(name)
	if v := ipxe.Instead(name); v != nil && errors.Is(err, fs.ErrNotExist) {
		return v, nil, 0, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fs.ErrNotExist
	}
	return nil, f, size, err
}

// virtual sends a file of our own.
func (t *transfer) virtual(v *ipxe.Virtual) error {
	base := ""
	if t.s.Base != nil {
		base = t.s.Base(local(t.to))
	}
	if base == "" && v.Names {
		return t.refuse(NotFound, errNotFound, errors.New("clients of this address cannot reach the HTTP server; set url"))
	}
	body := v.Text(base)
	return t.send(bytes.NewReader(body), int64(len(body)))
}

// send sends what r has and says how it ended.
func (t *transfer) send(r io.Reader, size int64) error {
	t.size = size
	t.to.(tftp.OutgoingTransfer).SetSize(size)
	n, err := t.to.ReadFrom(r)
	var timedOut net.Error
	var network *net.OpError
	disk, _ := r.(*reader)
	switch {
	case err == nil:
		t.sent(n, Done, nil)
	case disk != nil && disk.failure != nil:
		t.sent(n, Failed, disk.failure)
	case errors.As(err, &timedOut) && timedOut.Timeout():
		t.sent(n, Unanswered, nil)
	case errors.As(err, &network):
		t.sent(n, Failed, err)
	default:
		t.sent(n, Aborted, nil)
	}
	return err
}

// refuse ends a transfer before its first block. err is for the client, why for the log.
func (t *transfer) refuse(r Result, err, why error) error {
	if why == nil {
		why = err
	}
	t.sent(0, r, why)
	return err
}

// sent says how a transfer ended.
func (t *transfer) sent(n int64, r Result, why error) {
	t.s.observe(r, n)
	line := []any{"peer", t.peer, "path", short(t.asked), "result", r, "bytes", n,
		"duration_ms", float64(time.Since(t.began).Round(time.Microsecond)) / float64(time.Millisecond)}
	if t.size >= 0 {
		line = append(line, "size_bytes", t.size)
	}
	if t.file != "" {
		line = append(line, "file", t.file)
	}
	level := slog.LevelInfo
	switch r {
	case Failed:
		level = slog.LevelError
	case Refused, Unanswered:
		level = slog.LevelWarn
	}
	if why != nil {
		line = append(line, "error", long(why.Error()))
	}
	t.s.Log.Log(context.Background(), level, "tftp", line...)
}

// open opens a file and looks how long it is, for at most Deadline.
func (s *Server) open(name string) (*os.File, int64, error) {
	type opened struct {
		f    *os.File
		size int64
	}
	o, err := bounded.Do(context.Background(), s.limits(), func(context.Context) (opened, error) {
		f, err := s.Site.Open(name)
		if err != nil {
			return opened{}, err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fs.ErrNotExist
		}
		if err != nil {
			f.Close()
			return opened{}, err
		}
		return opened{f, info.Size()}, nil
	}, func(o opened) {
		if o.f != nil {
			o.f.Close()
		}
	})
	return o.f, o.size, err
}

// limits are those of work that may hang on the disk.
func (s *Server) limits() bounded.Limits {
	return bounded.Limits{
		Deadline: s.Deadline, Stuck: &s.counts().stuck, MaxStuck: s.MaxStuck,
		Panicked: func(p *bounded.Panic) { s.Log.Error("defect", "error", long(fmt.Sprintf("panic: %v", p))) },
	}
}

// reader reads a file in parts that are larger than a block, each within the deadline, and ends where the file ended when it was
// opened. A file that has become shorter is an error: a client that was told the size, or not, must not take a part for it all.
type reader struct {
	t       *transfer
	file    *os.File // nil when a read that hangs has it
	left    int64    // bytes that were not read yet
	buffer  []byte
	ready   []byte // the part of buffer that was read and not sent
	failure error  // for the log
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	if r.t.l.stopping.Load() {
		r.failure = errStopping
		return 0, errStopping
	}
	if len(r.ready) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if r.failure = r.fill(); r.failure != nil {
			return 0, errDisk
		}
	}
	n := copy(b, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// fill reads the next part.
func (r *reader) fill() error {
	part, f := r.buffer[:min(int64(len(r.buffer)), r.left)], r.file
	_, err := bounded.Do(context.Background(), r.t.s.limits(), func(context.Context) (int, error) {
		return io.ReadFull(f, part)
	}, func(int) { f.Close() })
	if late := (*bounded.TimeoutError)(nil); errors.As(err, &late) {
		r.file = nil
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the file has become shorter while it was sent")
	} else if err != nil {
		return err
	}
	r.ready = part
	r.left -= int64(len(part))
	return nil
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// clean returns the absolute path that a client means: with or without a slash before it, with the backslashes of Windows'
// loaders, with doubled slashes. A path with ".." is none.
func clean(asked string) (string, bool) {
	if len(asked) > 512 || strings.ContainsRune(asked, 0) {
		return "", false
	}
	var b strings.Builder
	for part := range strings.SplitSeq(strings.ReplaceAll(asked, `\`, "/"), "/") {
		switch part {
		case "", ".":
		case "..":
			return "", false
		default:
			b.WriteString("/" + part)
		}
	}
	if b.Len() == 0 || strings.HasSuffix(asked, "/") || strings.HasSuffix(asked, `\`) {
		return "", false // a folder
	}
	return b.String(), true
}

// peer is whom a transfer goes to.
func peer(t any) netip.Addr {
	out, ok := t.(interface{ RemoteAddr() net.UDPAddr })
	if !ok {
		return netip.Addr{}
	}
	a := out.RemoteAddr()
	return a.AddrPort().Addr().Unmap().WithZone("")
}

// local is the address that was asked, or the zero value when nobody knows it.
func local(t any) netip.Addr {
	info, ok := t.(tftp.RequestPacketInfo)
	if !ok {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(info.LocalIP())
	return a.Unmap()
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// short cuts what came from outside, so that a log line stays one that people can read.
func short(text string) string { return cut(text, 256) }

// long leaves room for a stack.
func long(text string) string { return cut(text, 4096) }

func cut(text string, most int) string {
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
