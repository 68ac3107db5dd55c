package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// sdNotify is the service sdNotify that wants to know how the daemon is (sd_notify(3)). Without one nothing is told.
type sdNotify struct {
	socket   string        // "": nobody asks
	watchdog time.Duration // a daemon that is silent for so long is ended; 0: never
	status   func() string // how the daemon is, in a line
	log      *slog.Logger
	failed   atomic.Bool
	refused  atomic.Pointer[string] // why the last reload was refused; nil: it was not
}

// newSDNotify takes what the environment says of the manager out of it, so that no program that is started from here speaks to it.
func newSDNotify(log *slog.Logger, status func() string) *sdNotify {
	m := &sdNotify{socket: os.Getenv("NOTIFY_SOCKET"), log: log, status: status}
	os.Unsetenv("NOTIFY_SOCKET")
	var err error
	if m.watchdog, err = systemd.SdWatchdogEnabled(true); err != nil {
		log.Warn("the watchdog of systemd is not served", "error", err.Error())
	}
	return m
}

// tellWithin is how long a manager may take to make room for a message: one that reads nothing any more must not hold up a stop.
const tellWithin = time.Second

// tell sends one message of lines as sd_notify(3) has them. What cannot be told is logged once. systemd.SdNotify would look into
// the environment each time, and wait without end.
func (m *sdNotify) tell(lines ...string) {
	if m.socket == "" {
		return
	}
	conn, err := net.Dial("unixgram", m.socket)
	if err == nil {
		conn.SetWriteDeadline(time.Now().Add(tellWithin))
		_, err = conn.Write([]byte(strings.Join(lines, "\n")))
		conn.Close()
	}
	if err != nil && !m.failed.Swap(true) {
		m.log.Warn("systemd cannot be told how the daemon is", "error", err.Error())
	}
}

// reloading says that a reload begins. What it returns says that it has ended, and with which error.
func (m *sdNotify) reloading() func(error) {
	m.tell(systemd.SdNotifyReloading, strings.TrimSpace(systemd.SdNotifyMonotonicUsec()))
	return func(err error) {
		m.refused.Store(nil)
		if err != nil {
			why := err.Error()
			m.refused.Store(&why)
		}
		m.tell(systemd.SdNotifyReady, statusLine(m.status()))
	}
}

// stopping says that the daemon ends, which may take as long.
func (m *sdNotify) stopping(within time.Duration) {
	m.tell(systemd.SdNotifyStopping, statusLine(m.status()),
		fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", within.Microseconds()))
}

// How often the manager is told how the daemon is, if its watchdog does not want more.
const statusEach = 10 * time.Second

// keep says that the daemon is ready, then how it is, and that it lives, until ctx ends.
//
// A daemon lives when its locks are free that each connection and each transfer goes through: alive takes them. It never touches a
// disk: a file server that hangs is no better for a daemon that was killed, and /readyz tells of it.
func (m *sdNotify) keep(ctx context.Context, alive func()) {
	if m.socket == "" {
		return
	}
	each := statusEach
	if m.watchdog > 0 {
		each = min(each, m.watchdog/3)
	}
	tick := time.NewTicker(each)
	defer tick.Stop()
	said := m.status()
	m.tell(systemd.SdNotifyReady, statusLine(said))
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		alive()
		lines := []string{systemd.SdNotifyWatchdog}
		if now := m.status(); now != said {
			said = now
			lines = append(lines, statusLine(now))
		}
		m.tell(lines...)
	}
}

func statusLine(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(text), " ")
}

// How long the manager is not told that the daemon is ready while the first look at the tree hangs. Machines are served meanwhile.
const readyWithin = 10 * time.Second

// notify tells the manager of the daemon until ctx ends. It begins when all of ready
// are closed, or the tree hangs.
func (d *Daemon) notify(ctx context.Context, ready ...<-chan struct{}) {
	soon, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, l := range ready {
		select {
		case <-l:
		case <-soon.Done():
		}
	}
	if ctx.Err() != nil {
		return
	}
	d.systemd.keep(ctx, func() { d.gate.Open(); d.tftp.Open() })
}

// status is how the daemon is, in a line for systemctl status.
func (d *Daemon) status() string {
	reasons, warnings := d.ready.report()
	if slices.Contains(reasons, stopping) {
		return "stopping: answers under way are finished first"
	}
	orders := d.metrics.stats()
	text := fmt.Sprintf("serving %s: %d answers, %d orders wait", d.serving.Load().config.Root,
		d.metrics.decided.Load(), orders.Pending)
	if orders.Open > 0 {
		text += fmt.Sprintf(", %d were sent and not confirmed", orders.Open)
	}
	if len(reasons) > 0 {
		text = "not ready: " + strings.Join(reasons, ", ") + "; " + text
	}
	for _, w := range warnings {
		text += "; " + w
	}
	if why := d.systemd.refused.Load(); why != nil {
		text += "; the configuration was not reloaded, the old one stays: " + *why
	}
	return text
}
