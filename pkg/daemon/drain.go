package daemon

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// asking are the connections whose request has not reached the handler yet: those that were just accepted, and those of which a request
// was just read. http.Server.Shutdown closes them without an answer, also when their request was read already. The zero value is none.
type asking struct{ conns sync.Map }

type askingKey struct{}

// on has a server keep book of its connections.
func (a *asking) on(server *http.Server) {
	before, handler := server.ConnContext, server.Handler
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if before != nil {
			ctx = before(ctx, c)
		}
		return context.WithValue(ctx, askingKey{}, c)
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew, http.StateActive:
			a.conns.Store(c, nil)
		default:
			a.conns.Delete(c)
		}
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.conns.Delete(r.Context().Value(askingKey{}))
		handler.ServeHTTP(w, r)
	})
}

// wait returns when every request has reached the handler, or when ctx ends. There must be no more connections.
func (a *asking) wait(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		some := false
		a.conns.Range(func(any, any) bool { some = true; return false })
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
