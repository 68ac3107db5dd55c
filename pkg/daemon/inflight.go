package daemon

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// inflight are the connections, and which of them have a request that has not reached the handler yet: those that were just accepted,
// and those of which a request was just read. http.Server.Shutdown closes them without an answer, also when their request was read
// already. The zero value is none.
type inflight struct{ conns sync.Map } // of net.Conn to *atomic.Bool

type inflightKey struct{}

// on has a server keep book of its connections.
func (a *inflight) on(server *http.Server) {
	before, handler := server.ConnContext, server.Handler
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if before != nil {
			ctx = before(ctx, c)
		}
		asks := new(atomic.Bool)
		asks.Store(true)
		a.conns.Store(c, asks)
		return context.WithValue(ctx, inflightKey{}, asks)
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateClosed, http.StateHijacked:
			a.conns.Delete(c)
		case http.StateActive, http.StateIdle:
			if asks, ok := a.conns.Load(c); ok {
				asks.(*atomic.Bool).Store(state == http.StateActive)
			}
		}
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(inflightKey{}).(*atomic.Bool).Store(false)
		handler.ServeHTTP(w, r)
	})
}

// wait returns when every request has reached the handler, or when ctx ends. There must be no more connections.
func (a *inflight) wait(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		some := false
		a.conns.Range(func(_, asks any) bool {
			some = asks.(*atomic.Bool).Load()
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
