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

// sdNotify tells systemd, or another service manager, how the daemon is:
// sd_notify(3). Without one it tells nothing.
type sdNotify struct {
	socket   string        // "": there is no manager
	watchdog time.Duration // the manager ends a daemon that is silent for so long; 0: never
	status   func() string // how the daemon is, in a line
	log      *slog.Logger
	failed   atomic.Bool
	refused  atomic.Pointer[string] // why the last reload was refused; nil: it was not
}

// newSDNotify reads what the environment says of the manager, and removes it,
// so that no child process speaks to the manager.
func newSDNotify(log *slog.Logger, status func() string) *sdNotify {
	m := &sdNotify{socket: os.Getenv("NOTIFY_SOCKET"), log: log, status: status}
	os.Unsetenv("NOTIFY_SOCKET")
	var err error
	if m.watchdog, err = systemd.SdWatchdogEnabled(true); err != nil {
		log.Warn("the watchdog of systemd is not served", "error", err.Error())
	}
	return m
}

// tellWithin is how long a manager may take to make room for a message. One
// that no longer reads must not hold up a stop.
const tellWithin = time.Second

// tell sends one message of lines as in sd_notify(3). A failure is logged once.
// systemd.SdNotify reads the environment each time, and waits without a limit.
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

// reloading tells that a reload begins. The returned function tells that it has
// ended, and with which error.
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

// stopping tells that the daemon stops, and how long that may take.
func (m *sdNotify) stopping(within time.Duration) {
	m.tell(systemd.SdNotifyStopping, statusLine(m.status()),
		fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", within.Microseconds()))
}

// statusEach is how often the manager is told how the daemon is, if its
// watchdog does not ask for more.
const statusEach = 10 * time.Second

// keep tells that the daemon is ready, then how it is and that it lives, until
// ctx ends.
//
// A daemon lives if alive returns, which takes the locks that each connection
// and each transfer needs. It does not touch a disk: killing the daemon does
// not help a file server that hangs, and /readyz reports that.
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

// readyWithin is how long the manager is not told that the daemon is ready
// while the first look at the tree hangs. Machines are served meanwhile.
const readyWithin = 10 * time.Second

// notify tells the manager how the daemon is until ctx ends. It begins when all
// of ready are closed, or after readyWithin.
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
	d.systemd.keep(ctx, func() { d.limiter.Open(); d.tftp.Open() })
}

// status says how the daemon is, in a line for systemctl status.
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
