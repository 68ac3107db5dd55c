package daemon

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"pxesrv/pkg/conn"
)

// web answers machines by HTTP and HTTPS.
type web struct {
	d         *Daemon
	server    *http.Server
	listeners []listening
	accepting sync.WaitGroup
	inflight  inflight
}

// listenHTTP opens the addresses of HTTP and HTTPS.
func (d *Daemon) listenHTTP() (*web, error) {
	listeners, err := d.openHTTP()
	if err != nil {
		return nil, err
	}
	for _, l := range listeners {
		line := []any{"address", l.Addr().String(), "root", d.Config.Root}
		if l.speaks != "" {
			line = append(line, "speaks", l.speaks)
		}
		d.Log.Info("listening", append(line, "version", d.Build.Version)...)
	}
	w := &web{d: d, listeners: listeners, server: &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d.serving.Load().handler.ServeHTTP(w, r)
		}),
		ConnContext:       conn.Context,
		ReadHeaderTimeout: d.Config.Limits.HeaderTimeout,
		ReadTimeout:       d.Config.Limits.ReadTimeout,
		IdleTimeout:       d.Config.Limits.IdleTimeout,
		MaxHeaderBytes:    d.Config.Limits.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}}
	w.inflight.on(w.server)
	return w, nil
}

// tasks serve until their context ends. An address that fails ends the daemon
// at once; what is under way is finished all the same.
func (w *web) tasks() []task {
	all := []task{w.stop}
	for _, l := range w.listeners {
		w.accepting.Add(1)
		all = append(all, func(context.Context) error {
			defer w.accepting.Done()
			return w.server.Serve(l)
		})
	}
	return all
}

// stop waits for the end of ctx. Nobody who was let in is sent away then: first
// no more come in, then all are heard, then those who are answered may go.
func (w *web) stop(ctx context.Context) error {
	<-ctx.Done()
	w.close()
	w.accepting.Wait()
	w.shutdown(ctx)
	return nil
}

func (w *web) close() {
	for _, l := range w.listeners {
		l.Close()
	}
}

// shutdown finishes what is under way, for as long as the limits say.
func (w *web) shutdown(ctx context.Context) {
	c := w.d.serving.Load().config
	// Not ctx: it has ended, and would end the waiting as well.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Limits.Stop)
	defer cancel()
	w.server.SetKeepAlivesEnabled(false)
	hear, deaf := context.WithTimeout(stop, c.Limits.HeaderTimeout)
	w.inflight.wait(hear)
	deaf()
	if err := w.server.Shutdown(stop); err != nil {
		w.server.Close()
		w.d.Log.Warn("stopped with downloads under way")
	}
	settled := make(chan struct{})
	go func() { w.d.pending.Wait(); close(settled) }()
	select {
	case <-settled:
	case <-time.After(c.OnceConfirm + settleWithin):
		w.d.Log.Warn(
			"stopped while the disk hangs: what was being claimed stays in the journal as open")
	}
}
