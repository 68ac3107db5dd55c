package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	systemd "github.com/coreos/go-systemd/v22/daemon"
	dto "github.com/prometheus/client_model/go"

	"pxesrv/pkg/config"
	"pxesrv/pkg/tftpd"
)

// passedFiles are the sockets that systemd has opened for this process (systemd.socket(5), sd_listen_fds(3)). They go by the addresses
// where they stand. The zero value is none.
type passedFiles struct {
	http, https, tftp []string
	streams           map[string]net.Listener
	datagrams         map[string]*net.UDPConn
}

// passedSockets takes the sockets over, and takes what tells of them out of the environment, so that no program that is started
// from here believes that they are its own.
func passedSockets(log *slog.Logger) (p passedFiles, err error) {
	if pid := os.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		log.Warn("the sockets of systemd are for another process and not used: a script between systemd and pxesrv has to start it with exec",
			"LISTEN_PID", pid, "pid", os.Getpid())
	}
	files := activation.Files(true)
	p.streams, p.datagrams = map[string]net.Listener{}, map[string]*net.UDPConn{}
	for _, f := range files {
		if err == nil {
			err = p.take(f)
		}
		f.Close() // there is a duplicate, or an error
	}
	if err != nil {
		p.close()
		return passedFiles{}, err
	}
	for _, kind := range []struct {
		name      string
		addresses []string
	}{{"HTTP", p.http}, {"HTTPS", p.https}, {"TFTP", p.tftp}} {
		if len(kind.addresses) > 0 {
			log.Info("systemd has opened the addresses of "+kind.name+"; those of the configuration are not used", "addresses", kind.addresses)
		}
	}
	return p, nil
}

// take takes one socket over, as its name says.
func (p *passedFiles) take(f *os.File) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("the socket %q (descriptor %d) that systemd passed cannot be used: %s", f.Name(), f.Fd(), fmt.Sprintf(format, args...))
	}
	var streams *[]string
	switch f.Name() {
	case "http":
		streams = &p.http
	case "https":
		streams = &p.https
	case "tftp":
	default:
		return wrong("its name says nothing here; write FileDescriptorName=http, https or tftp into its socket unit")
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return wrong("it is no socket of a kind that is known here: %v", err)
	}
	at, to := conn.LocalAddr(), conn.RemoteAddr()
	conn.Close()
	kind := at.Network()
	if (kind == "tcp" || kind == "unix") && to != nil && to.String() != "" {
		return wrong("it is one connection and takes none; write Accept=no into its socket unit")
	}
	if streams == nil {
		if kind != "udp" {
			return wrong("TFTP needs a datagram socket, and this is %s; write ListenDatagram= into its socket unit", kind)
		}
		c, err := net.FilePacketConn(f)
		if err != nil {
			return wrong("%v", err)
		}
		p.datagrams[at.String()] = c.(*net.UDPConn)
		p.tftp = append(p.tftp, at.String())
		return nil
	}
	if kind != "tcp" && kind != "unix" {
		return wrong("HTTP needs a stream socket, and this is %s; write ListenStream= into its socket unit", kind)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return wrong("%v", err)
	}
	address := at.String()
	if kind == "unix" {
		address = "unix:" + address
	}
	p.streams[address] = l
	*streams = append(*streams, address)
	return nil
}

func (p *passedFiles) close() {
	for _, l := range p.streams {
		l.Close()
	}
	for _, c := range p.datagrams {
		c.Close()
	}
}

// replace has a configuration listen where systemd does, for each kind of which there is a socket.
func (p *passedFiles) replace(c *config.Config) error {
	if len(p.http) > 0 {
		c.Listen = p.http
	}
	if len(p.https) > 0 && c.TLSCert == "" {
		return fmt.Errorf("systemd passed a socket for HTTPS, and no certificate is configured; systemctl disable --now pxesrv-https.socket takes it away")
	}
	if len(p.https) > 0 {
		c.TLSListen = p.https
	}
	if len(p.tftp) > 0 {
		c.TFTP = p.tftp
	}
	return nil
}

// listenOn opens an address of HTTP, or takes what systemd has opened there.
func (p *passedFiles) listenOn(addr string) (net.Listener, error) {
	l := p.streams[addr]
	if l == nil {
		var err error
		if l, err = listenOn(addr); err != nil {
			return nil, err
		}
	}
	deepen(l)
	return l, nil
}

// listenTFTP opens an address of TFTP, or takes what systemd has opened there.
func (p *passedFiles) listenTFTP(addr string, current func() *tftpd.Server) (*tftpd.Listener, error) {
	if c := p.datagrams[addr]; c != nil {
		return tftpd.On(c, current), nil
	}
	return tftpd.Listen(addr, current)
}

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

// notify tells the manager of the daemon until ctx ends. It begins when the tree was looked at.
func (d *Daemon) notify(ctx context.Context, looked ...<-chan struct{}) {
	soon, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, l := range looked {
		select {
		case <-l:
		case <-soon.Done():
		}
	}
	if ctx.Err() != nil {
		return
	}
	d.manager.keep(ctx, func() { d.gate.Open(); d.tftp.Open() })
}

// status is how the daemon is, in a line for systemctl status.
func (d *Daemon) status() string {
	reasons, warnings := d.ready.report()
	if slices.Contains(reasons, stopping) {
		return "stopping: answers under way are finished first"
	}
	var decided, waiting, open dto.Metric
	d.metrics.decision.Write(&decided)
	d.metrics.pending.Write(&waiting)
	d.metrics.open.Write(&open)
	text := fmt.Sprintf("serving %s: %d answers, %.0f orders wait", d.serving.Load().config.Root,
		decided.GetHistogram().GetSampleCount(), waiting.GetGauge().GetValue())
	if n := open.GetGauge().GetValue(); n > 0 {
		text += fmt.Sprintf(", %.0f were sent and not confirmed", n)
	}
	if len(reasons) > 0 {
		text = "not ready: " + strings.Join(reasons, ", ") + "; " + text
	}
	for _, w := range warnings {
		text += "; " + w
	}
	if why := d.manager.refused.Load(); why != nil {
		text += "; the configuration was not reloaded, the old one stays: " + *why
	}
	return text
}
