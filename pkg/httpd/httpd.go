// Package httpd answers over HTTP: /redirect with a machine's boot script, a few scripts of our own, and the files of the tree.
//
// /redirect is always answered with status 200 and the whole script, complete in memory before the first byte, or with an
// error that has no script. iPXE waits for a connection to close after a 204 or 304 without a length, follows redirects
// without a limit, and repeats a request by itself, for ever, when an error carries Retry-After: none of these is ever sent.
package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/bounded"
	"pxesrv/pkg/conn"
	"pxesrv/pkg/ipxe"
)

// Site is what the server asks.
type Site interface {
	Identify(claims boot.Claims, addr netip.Addr) boot.Machine
	Resolve(ctx context.Context, c *boot.Machine, take bool) (boot.Answer, error)
	// Open opens a file that anybody may have, by the decoded path. Not-there and not-given-out are fs.ErrNotExist.
	Open(name string) (*os.File, error)
}

// Server is the HTTP handler. Fill in the fields; the zero value of each is given.
type Server struct {
	Site     Site
	Log      *slog.Logger
	Identify bool           // iPXE without a query gets the identification script
	Trusted  []netip.Prefix // proxies whose X-Forwarded-For counts; none
	Clients  []netip.Prefix // who is answered at all; empty means everyone
	URL      string         // where clients reach this server, if not at the address where a connection arrives
	Confirm  time.Duration  // how long to wait for the acknowledgement of an order; 0 means 2 s
	Deadline time.Duration  // how long a decision may take; 0 means 5 s
	Hanging  int            // how many decisions may be stuck on a disk before no new one is begun; 0 means 256

	// FileSlots has room for as many files as may be sent at once; one more waits, for at most Deadline. nil: no limit.
	FileSlots chan struct{}

	// Image returns the boot image with a path below /iso/, when the tree has no file there. Not there is fs.ErrNotExist. It looks
	// at the disk for a bounded time only. nil: there are none.
	Image func(name string) (Image, error)

	// Clear deletes what GRUB has for the machine that asks; nil: there is no such route. ClearByGet: a GET does so as well.
	Clear      Clearer
	ClearByGet bool

	Routes  map[string]http.Handler // more exact paths
	Access  io.Writer               // gets a line of the access log in each Write, and does not wait; nil: none is written
	Observe Observer                // told of every answer; nil: nobody

	// Pending counts what outlives its request: deliveries that wait to be confirmed, and work that was left behind and gives
	// back what it claims. Servers that follow each other share one; nil: the server has its own.
	Pending *bounded.Pending
	own     bounded.Pending

	decisions, opens bounded.Stuck // by what hangs: a disk with files must not keep machines from their scripts
}

func (s *Server) pending() *bounded.Pending {
	if s.Pending != nil {
		return s.Pending
	}
	return &s.own
}

// Observer is told of everything that was answered. Its methods do not wait.
type Observer interface {
	// Redirect: an answer of /redirect; result is script, nothing, unsure or identification, c is nil for the last.
	Redirect(a *boot.Answer, c *boot.Machine, result string, took time.Duration)
	// File: a file was asked for, and so many bytes of it were sent.
	File(status int, sent int64)
}

type nobody struct{}

func (nobody) Redirect(*boot.Answer, *boot.Machine, string, time.Duration) {}
func (nobody) File(int, int64)                                             {}

func (s *Server) observe() Observer {
	if s.Observe != nil {
		return s.Observe
	}
	return nobody{}
}

const textPlain = "text/plain; charset=utf-8"

// Values of headers that every script has. They are never written to.
var ofText, ofNoStore, ofNoSniff = []string{textPlain}, []string{"no-store"}, []string{"nosniff"}

// Wait returns when no delivery waits for its confirmation any more, and no order that was claimed too late to be given
// back. On a disk that hangs that may be never.
func (s *Server) Wait() {
	s.pending().Wait()
}

// ServeHTTP answers, and has the access log written. A defect of this program costs the client its connection, and nobody else anything.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				s.defect(append(s.client(r), slog.String("path", shown(r.URL.Path))), p)
			}
			panic(http.ErrAbortHandler)
		}
	}()
	if s.Access != nil {
		s.access(w, r)
		return
	}
	s.answer(w, r)
}

// defect says with what, and where, this program has panicked. It is called by who recovers.
func (s *Server) defect(line []slog.Attr, p any) {
	s.say(slog.LevelError, "defect", append(line, slog.String("error", fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))))
}

const redirect = "/redirect"

// answer routes by the decoded path. Doubled slashes are one slash, without a redirect, which firmware does not survive.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 {
		// Nobody who boots sends a body in chunks. With a length beside it, it may be two requests to somebody in between.
		w.Header().Set("Connection", "close")
		fail(w, http.StatusBadRequest, "a body in chunks is not taken here")
		return
	}
	if !s.admits(r) {
		s.refuse(w, r, http.StatusForbidden, "this address is not answered here")
		return
	}
	name, ok := decodedPath(r.URL)
	if !ok {
		notFound(w)
		return
	}
	if version, ok := clears(name, r.URL.Path); ok && s.Clear != nil {
		s.clear(w, r, version)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		s.refuse(w, r, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
		return
	}
	switch name {
	case redirect:
		s.redirect(w, r)
	default:
		if v := ipxe.Exact(name); v != nil {
			s.virtual(w, r, v)
			return
		}
		if h := s.Routes[name]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
		s.file(w, r, name)
	}
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	s.say(slog.LevelWarn, "refused", append(s.client(r), slog.String("path", shown(r.URL.Path)), slog.Int("status", status)))
	fail(w, status, text)
}

// admits reports whether the client is answered at all. A Unix socket without X-Forwarded-For admits everyone: its file's
// rights decide.
func (s *Server) admits(r *http.Request) bool {
	if len(s.Clients) == 0 {
		return true
	}
	peer, source := s.source(r)
	if !peer.IsValid() && len(r.Header["X-Forwarded-For"]) == 0 {
		return true
	}
	return source.IsValid() && contains(s.Clients, source)
}

// decodedPath returns the path of a request with "." and ".." and doubled slashes resolved. It is false for a path that
// leaves the root, and for one that hides dots or slashes behind escapes.
func decodedPath(u *url.URL) (string, bool) {
	if u.Path == redirect && u.RawPath == "" {
		return redirect, true // what is asked most needs no look
	}
	raw := u.EscapedPath()
	if !strings.HasPrefix(raw, "/") {
		return "", false
	}
	depth := 0
	for part := range strings.SplitSeq(raw, "/") {
		decoded, err := url.PathUnescape(part)
		if err != nil || strings.ContainsAny(decoded, "/\\\x00") || decoded != part && (decoded == "." || decoded == "..") {
			return "", false
		}
		switch decoded {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return "", false
			}
		default:
			depth++
		}
	}
	name := path.Clean(u.Path)
	if strings.HasSuffix(u.Path, "/") && name != "/" {
		name += "/" // a directory, which is never a file
	}
	return name, true
}

const nothingThere = "there is nothing under this name"

func notFound(w http.ResponseWriter) { fail(w, http.StatusNotFound, nothingThere) }

// fail answers with one line of text, never with the words of an error or a path of this machine.
func fail(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", textPlain)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

// redirect answers what this machine boots.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	_, source := s.source(r)
	if s.Identify && r.URL.RawQuery == "" && strings.HasPrefix(r.UserAgent(), "iPXE/") {
		// A plain DHCP boot says nothing of the machine. The script asks again with all that SMBIOS knows.
		s.observe().Redirect(&boot.Answer{}, nil, "identification", time.Since(began))
		s.script(w, r, "identification", ipxe.Identify())
		return
	}
	m := s.Site.Identify(boot.ParseQuery(r.URL.RawQuery), source)
	take, why := mayClaim(r)
	if why != "" {
		m.NoOrders = why
	}
	a, err := bounded.Do(r.Context(), s.limits(&s.decisions), func(ctx context.Context) (boot.Answer, error) {
		// net/http ends ctx when the client leaves, but a moment later.
		if clientGone(ctx) {
			return boot.Answer{}, context.Canceled
		}
		return s.Site.Resolve(ctx, &m, take)
	}, giveBack)
	if err != nil && !errors.Is(err, boot.ErrNothing) && !errors.Is(err, boot.ErrUnsure) {
		err = fmt.Errorf("%w: %w", boot.ErrUnsure, err)
	}
	s.reply(w, r, &m, &a, time.Since(began), err)
}

// mayClaim reports whether a request uses up an order that is its answer, and
// why no order may be its answer at all. HEAD is told what a GET would get.
func mayClaim(r *http.Request) (take bool, why string) {
	switch h := r.Header; {
	case strings.HasPrefix(r.UserAgent(), "UefiHttpBoot/"):
		why = "firmware asks for a loader, not for a script"
	case said(h, "Range", "If-Range"):
		why = "the request is for a part of the answer"
	case said(h, "If-Modified-Since", "If-None-Match", "If-Unmodified-Since", "If-Match"):
		why = "the request is conditional"
	}
	return r.Method == http.MethodGet, why
}

// giveBack undoes a decision that came too late.
func giveBack(a boot.Answer) {
	if a.Grant != nil {
		a.Grant.GiveBack("the answer came too late")
	}
}

// reply says what was decided, to the machine and to the log.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, m *boot.Machine, a *boot.Answer, took time.Duration, err error) {
	if err != nil && !errors.Is(err, boot.ErrNothing) {
		s.unsure(w, r, m, a, took, err)
		return
	}
	status := http.StatusOK
	if err != nil {
		status = http.StatusNotFound
	}
	level, line := s.account(r, m, a, took, status)
	if err != nil {
		s.observe().Redirect(a, m, "nothing", took)
		s.say(slog.LevelWarn, "redirect", line)
		fail(w, http.StatusNotFound, "nothing is set for this machine, and there is no default")
		return
	}
	s.observe().Redirect(a, m, "script", took)
	if a.Grant == nil {
		s.say(level, "redirect", line)
		s.send(w, r, a.Script.Body)
		return
	}
	line = append(line, slog.String("order", a.Grant.ID()))
	if clientGone(r.Context()) {
		a.Grant.GiveBack("the client went away before the first byte")
		s.say(slog.LevelWarn, "redirect", append(line, slog.String("delivery", "client gone, given back")))
		panic(http.ErrAbortHandler) // not an empty answer with status 200
	}
	s.deliver(w, r, a, line)
}

// said reports whether a request has one of these headers, in the spelling of net/http, with something in it.
func said(h http.Header, names ...string) bool {
	for _, name := range names {
		for _, value := range h[name] {
			if value != "" {
				return true
			}
		}
	}
	return false
}

// unsure answers that nobody can know what a machine boots.
func (s *Server) unsure(w http.ResponseWriter, r *http.Request, c *boot.Machine, a *boot.Answer, took time.Duration, err error) {
	s.observe().Redirect(a, c, "unsure", took)
	level, why := slog.LevelError, short(err.Error())
	if errors.Is(err, context.Canceled) {
		level, why = slog.LevelWarn, "the client went away before its answer was found"
	}
	_, line := s.account(r, c, a, took, http.StatusServiceUnavailable)
	s.say(level, "redirect", append(line, slog.String("error", why)))
	fail(w, http.StatusServiceUnavailable, "the boot server cannot tell at the moment what this machine boots")
}

// account is the log line of a decision, and its level: who asked, what was
// found, the answer, if there is one, and the status with which it is sent.
func (s *Server) account(r *http.Request, c *boot.Machine, a *boot.Answer, took time.Duration, status int) (slog.Level, []slog.Attr) {
	line := append(s.client(r), slog.String("names", names(c)), milliseconds(took))
	if c.Try > 0 {
		line = append(line, slog.Int("try", c.Try))
	}
	if c.Conflict != "" {
		line = append(line, slog.String("conflict", short(c.Conflict)))
	}
	if len(c.Dropped) > 0 {
		line = append(line, slog.String("dropped", dropped(c.Dropped)))
	}
	level := slog.LevelInfo
	for _, f := range a.Trace.Findings {
		if f.Outcome == boot.Answered {
			continue
		}
		what := f.Path
		if f.Target != "" {
			what += " -> " + f.Target
		}
		if f.Why != "" {
			what += ": " + f.Why
		}
		if line = also(line, string(f.Outcome), short(what)); f.Outcome == boot.Skipped {
			level = slog.LevelWarn // somebody has to mend it
		}
	}
	if a.Entry.Step != "" {
		line = append(line, slog.String("step", string(a.Entry.Step)), slog.String("entry", a.Entry.Path))
		if a.Entry.Target != "" {
			line = append(line, slog.String("target", short(a.Entry.Target)))
		}
		line = append(line, slog.String("file", a.Script.From))
		if status == http.StatusOK {
			line = append(line, slog.Int("bytes", len(a.Script.Body)))
		}
	}
	return level, append(line, slog.Int("status", status))
}

// milliseconds is how long something took. A slog.Duration would be 1.5ms in
// text and 1500000, without a unit, in JSON.
func milliseconds(took time.Duration) slog.Attr {
	if took >= 1000*time.Second {
		return slog.Int64("duration_ms", took.Milliseconds()) // else it would be 1e+06 in text
	}
	return slog.Float64("duration_ms", float64(took.Round(time.Microsecond))/float64(time.Millisecond))
}

// also adds a value to a line. A key stands there once, with a list when it has
// several values: of a key that is repeated readers of JSON keep the last one.
func also(line []slog.Attr, key, value string) []slog.Attr {
	for i := range line {
		if line[i].Key != key {
			continue
		}
		all, ok := line[i].Value.Any().(several)
		if !ok {
			all = several{line[i].Value.String()}
		}
		line[i].Value = slog.AnyValue(append(all, value))
		return line
	}
	return append(line, slog.String(key, value))
}

// several are values of one key: a list in JSON, and in text one after the other.
type several []string

func (all several) MarshalText() ([]byte, error) { return []byte(strings.Join(all, "; ")), nil }

func (all several) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // "->" is to be read by people
	err := e.Encode([]string(all))
	return b.Bytes(), err
}

// say writes a line of the log. Unlike the methods of slog.Logger it does not look up where in this program it was called.
func (s *Server) say(level slog.Level, what string, line []slog.Attr) {
	h, ctx := s.Log.Handler(), context.Background()
	if !h.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(time.Now(), level, what, 0)
	record.AddAttrs(line...)
	h.Handle(ctx, record)
}

// addrText is an address in the log; of one that nobody knows, nothing.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// client begins a log line: who asked, and how.
func (s *Server) client(r *http.Request) []slog.Attr {
	peer, source := s.source(r)
	line := append(make([]slog.Attr, 0, 12), slog.String("peer", addrText(peer)))
	if source != peer {
		line = append(line, slog.String("source", addrText(source)))
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		line = append(line, slog.String("certificate", conn.CertificateText(r.TLS.PeerCertificates[0])))
	}
	return append(line, slog.String("method", short(r.Method)))
}

// deliver sends an order, settles it when the client's TCP has acknowledged it, or has not, and writes the log line then.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, a *boot.Answer, line []slog.Attr) {
	watch := conn.Watch(r.Context())
	w.Header().Set("Connection", "close")
	err := s.send(w, r, a.Script.Body)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	limit := s.Confirm
	if limit == 0 {
		limit = 2 * time.Second
	}
	settled := make(chan struct{})
	if r.TLS != nil {
		// What crypto/tls says when the connection is closed comes after the script. A client that has all of the script and is gone
		// by then resets the connection, as one does that has not.
		defer func() { <-settled }()
	}
	s.pending().Go(func() {
		defer close(settled)
		defer watch.Close()
		if err == nil && watch.Arrived(limit) {
			a.Grant.Confirm(true)
			s.say(slog.LevelInfo, "redirect", append(line, slog.String("delivery", "acknowledged")))
		} else {
			a.Grant.Confirm(false)
			s.say(slog.LevelWarn, "redirect", append(line, slog.String("delivery", "not acknowledged, the order is open")))
		}
	})
}

// virtual answers with a file of our own. iPXE knows the address that it came from. Loaders that hand it on as an initrd lose
// it, so it stands in what they get: the address where this connection arrived, never the Host header.
func (s *Server) virtual(w http.ResponseWriter, r *http.Request, v *ipxe.Virtual) {
	base := ""
	if agent := r.UserAgent(); strings.HasPrefix(agent, "Syslinux/") || strings.HasPrefix(agent, "GRUB") {
		base = s.URL
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && base == "" {
			at := local.AddrPort()
			scheme := "http://"
			if r.TLS != nil {
				scheme = "https://"
			}
			base = scheme + netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()).String()
		}
	}
	s.script(w, r, v.What, v.Text(base))
}

// script answers with a script of our own.
func (s *Server) script(w http.ResponseWriter, r *http.Request, what string, body []byte) {
	s.say(slog.LevelInfo, what, append(s.client(r), slog.String("path", shown(r.URL.Path)), slog.Int("bytes", len(body)),
		slog.Int("status", http.StatusOK)))
	s.send(w, r, body)
}

// send writes a whole script.
func (s *Server) send(w http.ResponseWriter, r *http.Request, body []byte) error {
	h := w.Header()
	// Without Set, which looks at the spelling of each name.
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = ofText, ofNoStore, ofNoSniff
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}

// types are the content types that a client looks at. Everything else is bytes: nothing is guessed from what a file contains.
var types = map[string]string{
	".efi": "application/efi", ".iso": "application/vnd.efi.iso", ".img": "application/vnd.efi.img",
	".json": "application/json", ".txt": textPlain, ".cfg": textPlain, ".ks": textPlain,
}

// file answers with a file of the tree.
func (s *Server) file(w http.ResponseWriter, r *http.Request, name string) {
	if s.FileSlots != nil {
		switch err := s.slot(r.Context()); {
		case err == nil:
			defer func() { <-s.FileSlots }()
		case errors.Is(err, context.Canceled):
			panic(http.ErrAbortHandler)
		default:
			s.observe().File(http.StatusServiceUnavailable, 0)
			s.refuse(w, r, http.StatusServiceUnavailable, "too many files are being sent")
			return
		}
	}
	// Nothing is used up by it: a client that has closed its half of the connection gets its file.
	f, err := bounded.Do(context.WithoutCancel(r.Context()), s.limits(&s.opens), func(context.Context) (*os.File, error) {
		return s.Site.Open(name)
	}, closeFile)
	var info fs.FileInfo
	if err == nil {
		defer f.Close()
		info, err = f.Stat()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && ipxe.Instead(name) != nil:
		s.virtual(w, r, ipxe.Instead(name))
		return
	case errors.Is(err, fs.ErrNotExist) && s.Image != nil && strings.HasPrefix(name, below):
		s.image(w, r, name)
		return
	case err != nil:
		status, text, level := http.StatusServiceUnavailable, "the boot server cannot read this file at the moment", slog.LevelError
		switch {
		case errors.Is(err, fs.ErrNotExist):
			status, text, level = http.StatusNotFound, nothingThere, slog.LevelInfo
		case errors.Is(err, fs.ErrPermission):
			status, text, level = http.StatusForbidden, "the boot server may not read this file", slog.LevelWarn
		}
		s.observe().File(status, 0)
		s.say(level, "file", append(s.client(r), slog.String("path", shown(name)), slog.Int("status", status), slog.String("error", shownIn(err, name))))
		fail(w, status, text)
		return
	}
	kind := types[strings.ToLower(path.Ext(name))]
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// No inode in it: a download goes on at another server with the same file.
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	began, rec := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}
	http.ServeContent(rec, r, "", info.ModTime(), f)
	s.observe().File(rec.status, rec.sent)
	s.sent(r, "file", name, info.Size(), rec, began)
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// slot waits for a place among the files that are sent, for at most Deadline and as long as the client is there.
func (s *Server) slot(ctx context.Context) error {
	select {
	case s.FileSlots <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(s.deadline())
	defer late.Stop()
	select {
	case s.FileSlots <- struct{}{}:
		return nil
	case <-late.C:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return context.Canceled
	}
}

// sent says how much of a file went out.
func (s *Server) sent(r *http.Request, what, name string, size int64, rec *recorder, began time.Time) {
	s.say(slog.LevelInfo, what, append(s.client(r), slog.String("path", shown(name)), slog.Int64("size_bytes", size),
		slog.Int("status", rec.status), slog.Int64("bytes", rec.sent), milliseconds(time.Since(began))))
}

// recorder keeps the status and the bytes of an answer. ReadFrom passes the file on, and with it sendfile.
type recorder struct {
	http.ResponseWriter
	status int
	sent   int64
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the answer be flushed.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) Write(p []byte) (int, error) {
	r.begin()
	n, err := r.ResponseWriter.Write(p)
	r.sent += int64(n)
	return n, err
}

func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.begin()
	n, err := io.Copy(r.ResponseWriter, src)
	r.sent += n
	return n, err
}

// begin keeps the status of an answer that names none.
func (r *recorder) begin() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
}

// source returns the peer of the connection and the client that it speaks for: the peer itself or whom it names in a header of the
// PROXY protocol. When that one is a trusted proxy, or comes by a Unix socket, which only those can reach that its file's rights
// let, it is the right-most address of X-Forwarded-For that is no trusted proxy. An unreadable address there names nobody.
// Forwarded, X-Real-IP and Client-IP never count.
func (s *Server) source(r *http.Request) (peer, source netip.Addr) {
	peer, source, ok := conn.Remote(r.Context())
	switch {
	case !ok:
		if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			peer = ap.Addr().Unmap().WithZone("")
		}
		source = peer
	case !source.IsValid():
		return peer, source
	}
	if source.IsValid() && !s.trusts(source) {
		return peer, source
	}
	if len(r.Header["X-Forwarded-For"]) == 0 {
		return peer, source
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if hop == "" {
			continue
		}
		a, err := parseHop(hop)
		if err != nil {
			return peer, netip.Addr{}
		}
		if source = a; !s.trusts(a) {
			break
		}
	}
	return peer, source
}

// parseHop reads an address as proxies write it: bare, with a port, or in brackets.
func parseHop(hop string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(hop); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	if host, _, err := net.SplitHostPort(hop); err == nil {
		hop = host
	}
	a, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	return a.Unmap().WithZone(""), err
}

func (s *Server) trusts(a netip.Addr) bool { return contains(s.Trusted, a) }

func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// names are the names of a client in the log, with commas between them, so that they need no quotes and can be given to explain.
func names(c *boot.Machine) string {
	return strings.Join(c.Texts(), ",")
}

// dropped says which claims became no name, within a line.
func dropped(all []boot.Dropped) string {
	var b strings.Builder
	for i, d := range all {
		if b.Len() > 512 {
			fmt.Fprintf(&b, "; and %d more", len(all)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s %q %s", d.Kind, short(d.Value), d.Why)
	}
	return b.String()
}

// short cuts what came from outside, so that a log line stays one that people can read.
func short(text string) string {
	if len(text) > 256 {
		return text[:256] + "…"
	}
	return text
}
