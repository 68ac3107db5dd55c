// Package daemon runs the servers of a site: it opens everything, then serves, and ends when it is told to or the first
// server fails. A reload replaces the site and its settings whole, or leaves the old ones when the new ones are wrong.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pxesrv/pkg/bounded"
	"pxesrv/pkg/cert"
	"pxesrv/pkg/config"
	"pxesrv/pkg/conn"
	"pxesrv/pkg/httpd"
	"pxesrv/pkg/order"
	"pxesrv/pkg/site"
	"pxesrv/pkg/tftpd"
)

// Daemon is a program that serves one configuration at a time. Fill in Config and Log.
type Daemon struct {
	Config config.Config
	Hangs  *config.Hangs // why Config could not be checked to its end; nil: it could
	Build  Build
	Log    *slog.Logger
	LogOut *LogWriter // where Log ends: opened again at each reload; nil when it needs no care
	Access *LogWriter // of the access log, likewise; nil when there is none

	// Hangup asks for a reload with each value; nil: never. Reload then reads the configuration anew.
	Hangup <-chan os.Signal
	Reload func() (config.Config, error)

	manager *sdNotify
	passed  passedFiles
	gate    conn.Limiter
	tftp    tftpd.Counts
	reached []netip.AddrPort // where plain HTTP is answered over TCP, by whoever connects
	asking  inflight
	pending bounded.Pending // deliveries, also those of configurations that were replaced
	files   chan struct{}
	metrics *metrics
	serving atomic.Pointer[serving]
	certs   cert.Store
	refused rateLimit // lines of connections that never spoke HTTP
	ready   readiness
	iso     isoReport     // of the last sweep
	noticed chan struct{} // something changed that the next sweep is to say
}

// Build is what is known of the program: the log says it at the start, and a metric.
type Build struct{ Version, Commit string }

// serving is one configuration in force.
type serving struct {
	config  config.Config
	site    *site.Site
	handler *httpd.Server
	tftp    *tftpd.Server
}

// How long a stopping daemon waits, beyond the time that deliveries have to be confirmed, for claims that a slow disk holds up,
// and then for its own looks at the disk.
const settleWithin = 5 * time.Second

// How long the start waits for the first look at the disk.
const lookBefore = time.Second

// Run serves until ctx ends. It returns nil after an orderly stop.
func (d *Daemon) Run(ctx context.Context) (err error) {
	d.manager = newSDNotify(d.Log, d.status)
	if d.passed, err = passedSockets(d.Log); err != nil {
		return err
	}
	defer d.passed.close()
	if err := d.passed.replace(&d.Config); err != nil {
		return err
	}
	d.metrics = newMetrics(d.Build, &d.gate, &d.tftp, d.LogOut, d.Access)
	if n := descriptors(); n > 0 {
		d.files = make(chan struct{}, max(n/8, 16))
	}
	d.noticed = make(chan struct{}, 1)
	d.ready.first = make(chan struct{})
	if err := d.openTLS(); err != nil {
		return err
	}
	if err := d.use(d.Config); err != nil {
		return err
	}
	if d.Hangs != nil {
		d.Log.Warn("the start goes on: machines that need what hangs are told 503 until it answers", "error", d.Hangs.Error())
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d.serving.Load().handler.ServeHTTP(w, r)
		}),
		ConnContext:       conn.Context,
		ReadHeaderTimeout: d.Config.Limits.HeaderTimeout,
		ReadTimeout:       d.Config.Limits.ReadTimeout,
		IdleTimeout:       d.Config.Limits.IdleTimeout,
		MaxHeaderBytes:    d.Config.Limits.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}
	d.asking.on(server)
	var background sync.WaitGroup
	working, stopWorking := context.WithCancel(ctx)
	defer func() {
		stopWorking()
		ended := make(chan struct{})
		go func() { background.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(settleWithin): // a look at a disk that hangs
		}
	}()
	// What will not work is said before the first machine asks; a disk that hangs keeps nobody from being told so.
	looked := make(chan struct{})
	background.Go(func() { d.sweep(working, looked) })
	select {
	case <-looked:
	case <-time.After(lookBefore):
	}
	listeners, err := d.listen()
	if err != nil {
		return err
	}
	for _, l := range listeners {
		line := []any{"address", l.Addr().String(), "root", d.Config.Root}
		if l.speaks != "" {
			line = append(line, "speaks", l.speaks)
		}
		d.Log.Info("listening", append(line, "version", d.Build.Version)...)
	}
	transfers, err := d.listenTFTP()
	if err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return err
	}
	for _, l := range transfers {
		d.Log.Info("listening", "address", "udp:"+l.Addr().String(), "root", d.Config.Root)
	}
	failed := make(chan error, len(listeners)+len(transfers)+1)
	if d.Hangs != nil {
		go d.checkLate(d.serving.Load(), failed)
	}
	for _, l := range transfers {
		go func() { failed <- l.Serve() }()
	}
	var accepting sync.WaitGroup
	for _, l := range listeners {
		accepting.Go(func() { failed <- server.Serve(l) })
	}
	background.Go(func() { d.reloads(working) })
	background.Go(func() { d.ready.watch(working, d) })
	attending, leave := context.WithCancel(context.WithoutCancel(ctx)) // also while it stops
	defer leave()
	go d.notify(attending, looked, d.ready.first)
	if d.certs.Set() != nil {
		background.Go(func() { d.watchTLS(working) })
	}

	select {
	case err = <-failed:
	case <-ctx.Done():
		d.ready.stop()
		d.Log.Info("stopping: answers under way are finished first",
			"limit_seconds", d.serving.Load().config.Limits.Stop.Seconds())
	}
	// Nobody who was let in is sent away: first no more come in, then all are heard, then those who are answered may go.
	for _, l := range listeners {
		l.Close()
	}
	accepting.Wait()
	d.shutdown(ctx, server, transfers)
	return err
}

// shutdown ends the server, in order for as long as the limits say.
func (d *Daemon) shutdown(ctx context.Context, server *http.Server, transfers []*tftpd.Listener) {
	c := d.serving.Load().config
	d.manager.stopping(c.Limits.Stop + c.OnceConfirm + 3*settleWithin)
	// Not ctx: it has ended, and would end the waiting as well.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Limits.Stop)
	defer cancel()
	var group sync.WaitGroup
	for _, l := range transfers {
		group.Go(func() {
			if l.Shutdown(stop) != nil {
				d.Log.Warn("stopped with transfers by TFTP under way", "address", l.Addr().String())
			}
		})
	}
	defer group.Wait()
	server.SetKeepAlivesEnabled(false)
	hear, deaf := context.WithTimeout(stop, c.Limits.HeaderTimeout)
	d.asking.wait(hear)
	deaf()
	if err := server.Shutdown(stop); err != nil {
		server.Close()
		d.Log.Warn("stopped with downloads under way")
	}
	settled := make(chan struct{})
	go func() { d.pending.Wait(); close(settled) }()
	select {
	case <-settled:
	case <-time.After(c.OnceConfirm + settleWithin):
		d.Log.Warn("stopped while the disk hangs: what was being claimed stays in the journal as open")
	}
}

// checkLate checks the first configuration to its end, once the disk answers. What is wrong with it ends the daemon as it would have
// ended the start, unless another one is in force by then.
func (d *Daemon) checkLate(first *serving, failed chan<- error) {
	for hangs := d.Hangs; hangs != nil; {
		<-hangs.Ended
		c := first.config
		err := c.Check()
		switch hangs = nil; {
		case errors.As(err, &hangs):
		case err == nil:
			d.Log.Info("the disk answers, and nothing is wrong with the configuration")
		case d.serving.Load() == first:
			failed <- err
		}
	}
}

// use puts a configuration in force.
func (d *Daemon) use(c config.Config) error {
	var s *site.Site
	if err := config.Look("the disk of the state directory, or of the list of placeholders,", func() (err error) { s, err = site.New(c); return err }); err != nil {
		return err
	}
	if s.Images() != nil {
		s.Images().Watch(d.notice)
	}
	if err := sealed(s, c); err != nil {
		return err
	}
	s.Orders().Event = d.orderEvent
	d.gate.Set(conn.Limits{
		Connections: d.connections(c), PerAddress: c.Limits.PerAddress, Write: c.Limits.WriteTimeout,
		Exempt: func(a netip.Addr) bool {
			return a.IsLoopback() || slices.ContainsFunc(c.Trusted, func(p netip.Prefix) bool { return p.Contains(a) })
		},
	})
	next := &serving{config: c, site: s, handler: &httpd.Server{
		Site: s, Log: d.Log, Identify: c.Identify, Trusted: c.Trusted, Clients: c.Clients, Confirm: c.OnceConfirm,
		Deadline: c.Limits.Decision, Hanging: c.Limits.Hanging, Observe: d.metrics, Pending: &d.pending, FileSlots: d.files, URL: c.URL,
		Image: images(s), Clear: s.ClearGRUB, ClearByGet: c.CompatGet,
		Routes: map[string]http.Handler{
			"/metrics": d.metrics.handler(),
			"/healthz": http.HandlerFunc(healthz),
			"/readyz":  &d.ready,
		},
	}}
	if d.Access != nil {
		next.handler.Access = d.Access
	}
	next.tftp = &tftpd.Server{
		Site: s, Log: d.Log, Clients: c.Clients, Base: d.base(c.URL), Transfers: d.transfers(c), PerAddress: c.Limits.TFTPPerAddress,
		Deadline: c.Limits.Decision, Hanging: c.Limits.Hanging, Observe: d.metrics, Counts: &d.tftp, Spelled: s.Spelled,
	}
	d.serving.Store(next)
	return nil
}

// connections is how many connections the process can hold, at most as many as c wants.
func (d *Daemon) connections(c config.Config) int {
	want := c.Limits.Connections
	// The rest is for files that are sent, transfers by TFTP (an eighth each), the tree, the journal and the log.
	if can := descriptors() / 8 * 5; can > 0 && want > can {
		d.Log.Warn("fewer connections than limits.connections: the process may open too few files; raise it with ulimit -n or LimitNOFILE=",
			"limits.connections", want, "connections", can)
		return can
	}
	return want
}

// transfers is how many transfers by TFTP the process can hold, at most as many as c wants.
func (d *Daemon) transfers(c config.Config) int {
	want := c.Limits.TFTPTransfers
	// Each has a socket and a file.
	if can := descriptors() / 16; can > 0 && want > can && len(c.TFTP) > 0 {
		d.Log.Warn("fewer transfers than limits.tftp-transfers: the process may open too few files; raise it with ulimit -n or LimitNOFILE=",
			"limits.tftp-transfers", want, "transfers", can)
		return can
	}
	return want
}

func (d *Daemon) orderEvent(e order.Event) {
	d.metrics.orders.WithLabelValues(string(e.Kind)).Inc()
	level := slog.LevelInfo
	switch e.Kind {
	case order.Open, order.GivenBack, order.Replaced, order.Repeats:
		level = slog.LevelWarn
	case order.Lost:
		level = slog.LevelError
	}
	args := []any{"state", string(e.Kind), "name", e.Record.Name, "order", e.Record.String()}
	if e.Err != nil {
		args = append(args, "why", e.Err.Error())
	}
	d.Log.Log(context.Background(), level, "order", args...)
}

// reloads reads the configuration anew at each hangup.
func (d *Daemon) reloads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.Hangup:
		}
		for _, w := range []*LogWriter{d.LogOut, d.Access} {
			if w != nil {
				w.Reopen()
			}
		}
		if d.Reload == nil {
			continue
		}
		reloaded := d.manager.reloading()
		c, err := d.Reload()
		if err == nil {
			err = d.passed.replace(&c)
		}
		if err == nil {
			err = d.use(c)
		}
		reloaded(err)
		if err != nil {
			d.metrics.reloads.WithLabelValues("refused").Inc()
			d.Log.Error("the configuration is not reloaded, the old one stays", "error", err.Error())
			continue
		}
		d.metrics.reloads.WithLabelValues("done").Inc()
		d.Log.Info("reloaded", "root", c.Root)
		d.reloadTLS(&c)
		for _, key := range c.NeedRestart(&d.Config) {
			d.waits(key)
		}
	}
}

// waits says that the change of a setting is not in force.
func (d *Daemon) waits(key string) {
	d.Log.Warn("a change waits until the daemon is started again", "setting", key)
}

// giveMemoryBack returns what thousands of machines at once needed, when they have gone. The runtime by itself collects what they
// left behind only when as much is needed again, and then keeps most of it.
func giveMemoryBack() {
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.Sys-m.HeapReleased > 16<<20 {
		debug.FreeOSMemory()
	}
}

// sweep keeps the journal in order and looks what will not work as people expect, at once and each minute. What is found is
// said when it begins.
// looked is closed after the first look.
func (d *Daemon) sweep(ctx context.Context, looked chan<- struct{}) {
	open := 0
	var said []string
	for first := true; ; first = false {
		s := d.serving.Load().site
		problems := s.Orders().Check()
		warnings := append(problems, s.Warnings()...)
		for _, w := range warnings {
			if !slices.Contains(said, w) {
				d.Log.Warn(w)
			}
		}
		said = warnings
		d.isoSweep(s)
		if first {
			close(looked)
		}
		d.ready.warn(len(problems) > 0)
		st, err := s.Orders().Sweep()
		if err != nil {
			d.Log.Warn("the journal of orders cannot be swept", "error", err.Error())
		} else {
			d.metrics.swept(st)
			if st.Open != open {
				open = st.Open
				d.Log.Warn("orders that were sent and never confirmed: see pxesrv once list", "open", open)
			}
		}
		giveMemoryBack()
		select {
		case <-ctx.Done():
			return
		case <-d.noticed:
		case <-time.After(time.Minute):
		}
	}
}
