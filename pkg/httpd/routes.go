package httpd

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/ipxe"
)

// Route is a path that the server answers itself, whatever the tree has there.
// Which clients are answered, and which paths are hostile, is decided before.
type Route struct {
	Method  string // with GET comes HEAD, but for a GET that changes something
	Path    string // with a slash at its end it is everything below
	MaxBody int64  // how long a body may be; 0: it is not looked at
	Chunked bool   // a body may come in chunks, without a length

	// serve answers; nil: the handler that Server.Handlers has for the path
	// does, and without one the path is like any other. rest is what follows
	// Path.
	serve func(s *Server, w http.ResponseWriter, q *request, rest string)
	// on reports whether a server has the route; nil: each has.
	on func(s *Server) bool
	// does is what a route does that changes something, for a client that came
	// with another method; "": it answers.
	does string
}

// Routes are all there are. Everything else is a file of the tree.
var Routes = append([]Route{
	{Method: http.MethodGet, Path: ipxe.Path, serve: (*Server).redirect},
	{Method: http.MethodGet, Path: "/healthz"},
	{Method: http.MethodGet, Path: "/readyz"},
	{Method: http.MethodGet, Path: "/metrics"},
	{Method: http.MethodPost, Path: clearPath, does: "clears",
		serve: (*Server).clear, on: (*Server).clears},
	{Method: http.MethodGet, Path: clearPath, does: "clears",
		serve: (*Server).clear, on: (*Server).clearsByGet},
}, virtualRoutes()...)

func virtualRoutes() (all []Route) {
	for _, name := range ipxe.ExactPaths() {
		v := ipxe.Exact(name)
		all = append(all, Route{
			Method: http.MethodGet, Path: name,
			serve: func(s *Server, w http.ResponseWriter, q *request, _ string) {
				s.virtual(w, q,
					v)
			},
		})
	}
	return all
}

// Owns reports whether the server answers a clean path itself, so that a file
// of the tree with that path is never sent.
func Owns(name string) bool {
	return slices.ContainsFunc(Routes, func(r Route) bool {
		_, ok := r.match(name, name)
		return ok
	})
}

// match reports whether a route has a path, clean and as it was asked for, and
// returns what follows the route's own. A path whose dots lead out of the route
// is the route's, with nothing behind it.
func (r *Route) match(name, asked string) (rest string, ok bool) {
	if !strings.HasSuffix(r.Path, "/") {
		return "", name == r.Path
	}
	if rest, ok = strings.CutPrefix(name, r.Path); ok {
		return rest, true
	}
	return "", strings.HasPrefix(asked, r.Path)
}

// methods are those that a route is for.
func (r *Route) methods() []string {
	if r.Method == http.MethodGet && r.does == "" {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{r.Method}
}

func (r *Route) takes(method string) bool {
	return method == r.Method ||
		method == http.MethodHead && r.Method == http.MethodGet && r.does == ""
}

// has reports whether a server has a route.
func (s *Server) has(r *Route) bool {
	if r.serve == nil {
		return s.Handlers[r.Path] != nil
	}
	return r.on == nil || r.on(s)
}

// files is the route of everything that no other has.
var files = Route{Method: http.MethodGet, Path: "/"}

// route finds the route of a request, and what follows its path. It is nil when
// routes have the path for other methods only.
func (s *Server) route(method, name, asked string) (route *Route, rest string) {
	other := false
	for i := range Routes {
		r := &Routes[i]
		rest, ok := r.match(name, asked)
		if !ok || !s.has(r) {
			continue
		}
		if r.takes(method) {
			return r, rest
		}
		other = true
	}
	if other || !files.takes(method) {
		return nil, ""
	}
	return &files, name
}

// notAllowed answers a request whose method no route of its path takes.
func (s *Server) notAllowed(w http.ResponseWriter, q *request, name string) {
	var methods []string
	does := ""
	for _, r := range Routes {
		if _, ok := r.match(name, q.URL.Path); ok && s.has(&r) {
			methods, does = append(methods, r.methods()...), r.does
		}
	}
	if methods == nil {
		methods = files.methods()
	}
	if does == "" {
		does = "are answered here"
	}
	slices.Sort(methods)
	w.Header().Set("Allow", strings.Join(methods, ", "))
	s.refuse(w, q, http.StatusMethodNotAllowed, "only "+strings.Join(methods, " and ")+" "+does)
}

type requestKey struct{}

// serveHandler has a handler of others answer.
func (s *Server) serveHandler(w http.ResponseWriter, q *request, r *Route) {
	ctx := context.WithValue(q.Context(), requestKey{}, q)
	s.Handlers[r.Path].ServeHTTP(w, q.WithContext(ctx))
}

// Remote returns, for a handler of Server.Handlers, the other end of the
// connection and the client for which that speaks, which is invalid when nobody
// knows it.
func Remote(r *http.Request) (peer, source netip.Addr) {
	q := r.Context().Value(requestKey{}).(*request)
	return q.peer, q.source
}

// Machine returns, for a handler of Server.Handlers, the machine that asks, as
// /redirect would know it by the same query.
func Machine(r *http.Request) boot.Machine {
	return r.Context().Value(requestKey{}).(*request).machine()
}
