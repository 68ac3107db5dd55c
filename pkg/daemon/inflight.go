package daemon

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// inflight tracks the connections whose request has not reached the handler
// yet: they were just accepted, or their request was just read.
// http.Server.Shutdown closes them without an answer. The zero value tracks
// none.
type inflight struct{ conns sync.Map } // of net.Conn to *atomic.Bool

type inflightKey struct{}

// on tracks the connections of a server.
func (a *inflight) on(server *http.Server) {
	before, handler := server.ConnContext, server.Handler
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if before != nil {
			ctx = before(ctx, c)
		}
		waiting := new(atomic.Bool)
		waiting.Store(true)
		a.conns.Store(c, waiting)
		return context.WithValue(ctx, inflightKey{}, waiting)
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateClosed, http.StateHijacked:
			a.conns.Delete(c)
		case http.StateActive, http.StateIdle:
			if waiting, ok := a.conns.Load(c); ok {
				waiting.(*atomic.Bool).Store(state == http.StateActive)
			}
		}
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(inflightKey{}).(*atomic.Bool).Store(false)
		handler.ServeHTTP(w, r)
	})
}

// wait returns when every request has reached the handler, or when ctx ends. No
// more connections may be accepted.
func (a *inflight) wait(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		some := false
		a.conns.Range(func(_, waiting any) bool {
			some = waiting.(*atomic.Bool).Load()
			return !some
		})
		if !some {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
