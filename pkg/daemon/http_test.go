package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"pxesrv/pkg/config"
)

// brokenListener fails when a connection is to be accepted.
type brokenListener struct {
	net.Listener
	err error
}

func (l brokenListener) Accept() (net.Conn, error) { return nil, l.err }

// TestWeb_AddressFails: an address that fails is told at once, though a client
// of another one is waited for before the server ends.
func TestWeb_AddressFails(t *testing.T) {
	t.Parallel()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	good, broken := listen(), errors.New("broken")
	d := &Daemon{Log: slog.New(slog.DiscardHandler)}
	d.serving.Store(&serving{config: config.Config{
		Limits: config.Limits{Stop: time.Minute, HeaderTimeout: time.Minute}}})
	w := &web{d: d, server: &http.Server{}, listeners: []listening{{Listener: good},
		{Listener: brokenListener{listen(), broken}}}}
	w.inflight.on(w.server)
	c, err := net.Dial("tcp", good.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	all := newTasks(context.WithoutCancel(t.Context()), failed)
	all.start(w.tasks()...)
	select {
	case err := <-failed:
		if !errors.Is(err, broken) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("nobody is told")
	}
	c.Close() // who said nothing keeps nobody up
	all.end(0)
}
