// Package daemon runs the servers of a site: it opens everything, then serves, and ends when it is told to or the first
// server fails.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"pxesrv/pkg/config"
	"pxesrv/pkg/httpd"
	"pxesrv/pkg/order"
	"pxesrv/pkg/site"
)

// How long a stopping daemon waits for answers and downloads that are under way.
const stopWithin = 30 * time.Second

// How long it then waits, beyond the time that deliveries have to be confirmed, for claims that a slow disk holds up.
const settleWithin = 5 * time.Second

// Run serves c until ctx ends. It returns nil after an orderly stop.
func Run(ctx context.Context, c config.Config, log *slog.Logger) error {
	s, err := site.New(c)
	if err != nil {
		return err
	}
	s.Orders().Event = func(e order.Event) { logOrder(log, e) }
	for _, w := range s.Warnings() {
		log.Warn(w)
	}

	handler := &httpd.Server{Site: s, Log: log, Identify: c.Identify, Trusted: c.Trusted, Confirm: c.OnceConfirm}
	server := &http.Server{
		Handler:           handler,
		ConnContext:       httpd.ConnContext,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	var listeners []net.Listener
	for _, addr := range c.Addresses() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return listenError(addr, err)
		}
		listeners = append(listeners, httpd.Listener(l))
	}
	for _, l := range listeners {
		log.Info("listening", "address", l.Addr().String(), "root", c.Root)
	}

	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}
	sweeping, stopSweeping := context.WithCancel(ctx)
	swept := make(chan struct{})
	go func() { defer close(swept); sweep(sweeping, s.Orders(), log) }()
	defer func() { stopSweeping(); <-swept }()

	select {
	case err = <-failed:
	case <-ctx.Done():
		log.Info("stopping: answers under way are finished first", "at most", stopWithin)
	}
	// Not ctx: it has ended, and would end the waiting as well.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if serr := server.Shutdown(stop); serr != nil {
		server.Close()
		log.Warn("stopped with downloads under way")
	}
	settled := make(chan struct{})
	go func() { handler.Wait(); close(settled) }()
	select {
	case <-settled:
	case <-time.After(c.OnceConfirm + settleWithin):
		log.Warn("stopped while the disk hangs: what was being claimed stays in the journal as open")
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

func listenError(addr string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "address already in use"):
		return fmt.Errorf("cannot listen on %s: another program does already; stop it, or choose another port with -p", addr)
	case strings.Contains(text, "permission denied"):
		return fmt.Errorf("cannot listen on %s: ports below 1024 need the right to; choose another with -p", addr)
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}

func logOrder(log *slog.Logger, e order.Event) {
	level := slog.LevelInfo
	args := []any{"state", string(e.What), "name", e.Claim.Name, "order", e.Claim.String()}
	switch e.What {
	case order.Open, order.GivenBack, order.Replaced, order.Repeats:
		level = slog.LevelWarn
	case order.Lost:
		level = slog.LevelError
	}
	if e.Err != nil {
		args = append(args, "why", e.Err.Error())
	}
	log.Log(context.Background(), level, "order", args...)
}

// sweep keeps the journal in order, at once and each minute.
func sweep(ctx context.Context, orders *order.Store, log *slog.Logger) {
	open := 0
	for {
		st, err := orders.Sweep()
		if err != nil {
			log.Warn("the journal of orders cannot be swept", "error", err.Error())
		} else if st.Open != open {
			open = st.Open
			log.Warn("orders that were sent and never confirmed: see pxesrv once list", "open", open)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Minute):
		}
	}
}
