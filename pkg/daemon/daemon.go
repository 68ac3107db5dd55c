// Package daemon runs the servers of a site: it opens everything, then serves,
// and ends when it is told to or something fails. A reload replaces the site
// and its settings whole, or leaves the old ones when the new ones are wrong.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"pxesrv/pkg/bounded"
	"pxesrv/pkg/cert"
	"pxesrv/pkg/config"
	"pxesrv/pkg/conn"
	"pxesrv/pkg/tftpd"
)

// Daemon is a program that serves one configuration at a time. Set Config and
// Log before Run.
type Daemon struct {
	Config config.Config
	Hangs  *config.Hangs // why Config could not be checked to its end; nil: it could
	Build  Build
	Log    *slog.Logger
	LogOut *LogWriter // where Log ends: opened again at each reload; nil when it needs no care
	Access *LogWriter // of the access log, likewise; nil when there is none

	// Hangup asks for a reload with each value; nil: never. Reload then reads
	// the configuration anew.
	Hangup <-chan os.Signal
	Reload func() (config.Config, error)

	systemd   *sdNotify
	activated activated
	metrics   *metrics
	serving   atomic.Pointer[serving]
	clock     func(time.Time) time.Time // of the tree, see Site.SetClock
	certs     cert.Store
	ready     readiness
	sweepSoon chan struct{}    // something changed that the next sweep is to say
	baseAddrs []netip.AddrPort // where plain HTTP is answered over TCP, by whoever connects
	files     chan struct{}    // a slot for each file that may be sent at a time; nil: no limit

	// What lasts longer than one configuration.
	limiter conn.Limiter
	tftp    tftpd.Counts
	pending bounded.Pending
	refused rateLimit // lines of connections that never spoke HTTP
}

// Build is what is known of the program: the log says it at the start, and a
// metric.
type Build struct{ Version, Commit string }

// settleWithin is how long a stopping daemon waits, beyond the time that
// deliveries have to be confirmed, for claims that a slow disk holds up, and
// then for its own work on the disk.
const settleWithin = 5 * time.Second

// firstSweepWithin is how long the start waits for the first look at the disk.
const firstSweepWithin = time.Second

// Run serves until ctx ends. It returns nil after an orderly stop.
func (d *Daemon) Run(ctx context.Context) (err error) {
	defer d.activated.close()
	if err := d.open(); err != nil {
		return err
	}
	failed := make(chan error, 1)
	background := newTasks(ctx, failed)
	defer background.end(settleWithin)

	// What will not work is said before the first machine asks; a disk that
	// hangs keeps nobody from being told so.
	sweeper := sweeper{d: d, swept: make(chan struct{})}
	background.start(sweeper.run)
	select {
	case <-sweeper.swept:
	case <-time.After(firstSweepWithin):
	}

	listening, err := d.listen()
	if err != nil {
		return err
	}
	servers := newTasks(context.WithoutCancel(ctx), failed) // they end when they are told to, below
	servers.start(listening...)
	background.start(d.checkLate(d.serving.Load()), d.reloads, d.watchReadiness, d.watchTLS)
	notifying, leave := context.WithCancel(context.WithoutCancel(ctx)) // also while it stops
	defer leave()
	go d.notify(notifying, sweeper.swept, d.ready.first)

	select {
	case err = <-failed:
	case <-ctx.Done():
		d.ready.stop()
		d.Log.Info("stopping: answers under way are finished first",
			"limit_seconds", d.serving.Load().config.Limits.Stop.Seconds())
	}
	c := d.serving.Load().config
	d.systemd.stopping(c.Limits.Stop + c.OnceConfirm + 3*settleWithin)
	servers.end(0)
	return err
}

// open takes over what systemd has opened, and puts the first configuration in
// force.
func (d *Daemon) open() (err error) {
	d.systemd = newSDNotify(d.Log, d.status)
	if d.activated, err = activatedSockets(d.Log); err != nil {
		return err
	}
	if err := d.activated.replace(&d.Config); err != nil {
		return err
	}
	d.metrics = newMetrics(d.Build, &d.limiter, &d.tftp, d.LogOut, d.Access)
	if n := descriptors(); n > 0 {
		d.files = make(chan struct{}, max(n/8, 16))
	}
	d.sweepSoon = make(chan struct{}, 1)
	d.ready.first = make(chan struct{})
	if err := d.openTLS(); err != nil {
		return err
	}
	if err := d.use(d.Config); err != nil {
		return err
	}
	if d.Hangs != nil {
		d.Log.Warn("the start goes on: machines that need what hangs are told 503 until it answers",
			"error", d.Hangs.Error())
	}
	return nil
}

// listen opens all addresses. What it returns serves there.
func (d *Daemon) listen() ([]task, error) {
	web, err := d.listenHTTP()
	if err != nil {
		return nil, err
	}
	transfers, err := d.listenTFTP()
	if err != nil {
		web.close()
		return nil, err
	}
	return append(web.tasks(), transfers.run), nil
}

// checkLate checks the first configuration to its end, once the disk answers.
// What is wrong with it ends the daemon as it would have ended the start,
// unless another one is in force by then.
func (d *Daemon) checkLate(first *serving) task {
	return func(ctx context.Context) error {
		for hangs := d.Hangs; hangs != nil; {
			select {
			case <-ctx.Done():
				return nil
			case <-hangs.Ended:
			}
			c := first.config
			err := c.Check()
			switch hangs = nil; {
			case errors.As(err, &hangs):
			case err == nil:
				d.Log.Info("the disk answers, and nothing is wrong with the configuration")
			case d.serving.Load() == first:
				return err
			}
		}
		return nil
	}
}
