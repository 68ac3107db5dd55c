// Package httpd answers over HTTP: /redirect with a machine's boot script, a
// few scripts of our own, and the files of the tree.
//
// /redirect is always answered with status 200 and the whole script, complete
// in memory before the first byte, or with an error that has no script. iPXE
// waits for a connection to close after a 204 or 304 without a length, follows
// redirects without a limit, and repeats a request by itself, for ever, when an
// error carries Retry-After: none of these is ever sent.
package httpd

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/bounded"
)

// Site is what the server asks.
type Site interface {
	Identify(claims boot.Claims, addr netip.Addr) boot.Machine
	Resolve(ctx context.Context, m *boot.Machine, take bool) (boot.Answer, error)
	// Open opens a file that anybody may have, by the decoded path. Not-there
	// and not-given-out are fs.ErrNotExist.
	Open(name string) (*os.File, error)
}

// Server is the HTTP handler. Set the fields before use; the zero value of a
// field means its documented default.
type Server struct {
	Site     Site
	Log      *slog.Logger
	Identify bool           // iPXE without a query gets the identification script
	Trusted  []netip.Prefix // proxies whose X-Forwarded-For counts; none
	Allow    []netip.Prefix // clients that are answered at all; empty means everyone
	Confirm  time.Duration  // how long to wait for the acknowledgement of an order; 0 means 2 s
	Deadline time.Duration  // how long a decision may take; 0 means 5 s

	// MaxStuck is how many decisions, and how many looks for files, may be
	// stuck on a disk before no new one is begun; 0 means 256.
	MaxStuck int

	// URL is where clients reach this server, if not at the address where their
	// connection arrives.
	URL string

	// FileSlots has room for as many files as may be sent at once; one more
	// waits, for at most Deadline. nil: no limit.
	FileSlots chan struct{}

	// Image returns the boot image with a path below /iso/, when the tree has
	// no file there. Not there is fs.ErrNotExist. It looks at the disk for a
	// bounded time only. nil: there are none.
	Image func(name string) (Image, error)

	// Clear deletes what GRUB has for the machine that asks; nil: there is no
	// such route. ClearByGet: a GET does so as well.
	Clear      Clearer
	ClearByGet bool

	// Handlers answer at paths of Routes that are others' business, by the
	// path.
	Handlers map[string]http.Handler

	// Access gets a line of the access log in each Write, which does not wait.
	// nil: none is written.
	Access io.Writer
	// Observe is told of every answer; nil: nobody is.
	Observe Observer

	// Pending counts what outlives its request: deliveries that wait to be
	// confirmed, and decisions that give back what they claim too late. Servers
	// that follow each other share one; nil: the server has its own.
	Pending *bounded.Pending
	own     bounded.Pending

	// What is stuck, by kind: a disk with files must not keep machines from
	// their scripts.
	decisions, opens bounded.Stuck
}

// Observer is told of everything that was answered. Its methods do not wait.
type Observer interface {
	// Redirect: an answer of /redirect; result is script, nothing, unsure or
	// identification, m is nil for the last.
	Redirect(a *boot.Answer, m *boot.Machine, result string, took time.Duration)
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

func (s *Server) pending() *bounded.Pending {
	if s.Pending != nil {
		return s.Pending
	}
	return &s.own
}

// Wait returns when no delivery waits for its confirmation any more, and no
// order that was claimed too late to be given back. On a disk that hangs that
// may be never.
func (s *Server) Wait() {
	s.pending().Wait()
}

// request is a request, and who makes it.
type request struct {
	*http.Request
	site   Site
	peer   netip.Addr // the other end of the connection
	source netip.Addr // the client for which that speaks; invalid when nobody knows
}

func (s *Server) newRequest(r *http.Request) *request {
	peer, source := s.source(r)
	return &request{r, s.Site, peer, source}
}

// machine is the machine that asks.
func (q *request) machine() boot.Machine {
	return q.site.Identify(boot.ParseQuery(q.URL.RawQuery), q.source)
}

// ServeHTTP answers, and has the access log written. A defect of this program
// costs the client its connection, and nobody else anything.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := s.newRequest(r)
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				s.logDefect(append(requestAttrs(q), slog.String("path", redact(r.URL.Path))), p)
			}
			panic(http.ErrAbortHandler)
		}
	}()
	if s.Access != nil {
		s.access(w, q)
		return
	}
	s.answer(w, q)
}

// answer finds the route by the decoded path. Doubled slashes are one slash,
// without a redirect, which firmware does not survive.
func (s *Server) answer(w http.ResponseWriter, q *request) {
	name, ok := decodedPath(q.URL)
	route, rest := s.route(q.Method, name, q.URL.Path)
	switch {
	case len(q.TransferEncoding) > 0 && (route == nil || !route.Chunked):
		// Nobody who boots sends a body in chunks. With a length beside it, it
		// may be two requests to somebody in between.
		w.Header().Set("Connection", "close")
		fail(w, http.StatusBadRequest, "a body in chunks is not taken here")
		return
	case !s.admits(q):
		s.refuse(w, q, http.StatusForbidden, "this address is not answered here")
		return
	case !ok:
		notFound(w)
		return
	case route == nil:
		s.notAllowed(w, q, name)
		return
	}
	if route.MaxBody > 0 {
		if q.ContentLength > route.MaxBody {
			s.refuse(w, q, http.StatusRequestEntityTooLarge, "the body is too long")
			return
		}
		q.Body = http.MaxBytesReader(w, q.Body, route.MaxBody)
	}
	switch {
	case route == &files:
		s.file(w, q, name)
	case route.serve == nil:
		s.serveHandler(w, q, route)
	default:
		route.serve(s, w, q, rest)
	}
}

func (s *Server) refuse(w http.ResponseWriter, q *request, status int, text string) {
	s.log(slog.LevelWarn, "refused", append(requestAttrs(q),
		slog.String("path", redact(q.URL.Path)), slog.Int("status", status)))
	fail(w, status, text)
}

const textPlain = "text/plain; charset=utf-8"

const nothingThere = "there is nothing under this name"

func notFound(w http.ResponseWriter) { fail(w, http.StatusNotFound, nothingThere) }

// fail answers with one line of text, never with the words of an error or a
// path of this machine.
func fail(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", textPlain)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

// send writes a whole script.
func (s *Server) send(w http.ResponseWriter, q *request, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", textPlain)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if q.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}
