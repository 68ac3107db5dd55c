package daemon

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"

	"pxesrv/pkg/config"
	"pxesrv/pkg/tftpd"
)

// activated are the sockets that systemd has opened for this process, by the
// addresses where they stand: socket activation, systemd.socket(5) and
// sd_listen_fds(3). The zero value has none.
type activated struct {
	http, https, tftp []string
	streams           map[string]net.Listener
	datagrams         map[string]*net.UDPConn
}

// activatedSockets takes the sockets over, and removes what the environment
// says of them, so that no child process takes them for its own.
func activatedSockets(log *slog.Logger) (p activated, err error) {
	if pid := os.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		log.Warn("the sockets of systemd are for another process and not used: a script between "+
			"systemd and pxesrv has to start it with exec",
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
		return activated{}, err
	}
	for _, kind := range []struct {
		name      string
		addresses []string
	}{{"HTTP", p.http}, {"HTTPS", p.https}, {"TFTP", p.tftp}} {
		if len(kind.addresses) > 0 {
			log.Info("systemd has opened the addresses of "+kind.name+
				"; those of the configuration are not used", "addresses", kind.addresses)
		}
	}
	return p, nil
}

// take takes one socket over; its name says what for.
func (p *activated) take(f *os.File) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("the socket %q (descriptor %d) that systemd passed cannot be used: %s",
			f.Name(), f.Fd(), fmt.Sprintf(format, args...))
	}
	var streams *[]string
	switch f.Name() {
	case "http":
		streams = &p.http
	case "https":
		streams = &p.https
	case "tftp":
	default:
		return wrong("its name says nothing here; write FileDescriptorName=http, https or tftp " +
			"into its socket unit")
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
			return wrong("TFTP needs a datagram socket, and this is %s; write ListenDatagram= "+
				"into its socket unit", kind)
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
		return wrong("HTTP needs a stream socket, and this is %s; write ListenStream= into its "+
			"socket unit", kind)
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

func (p *activated) close() {
	for _, l := range p.streams {
		l.Close()
	}
	for _, c := range p.datagrams {
		c.Close()
	}
}

// replace makes a configuration listen at the sockets of systemd, for each kind
// of which there is one.
func (p *activated) replace(c *config.Config) error {
	if len(p.http) > 0 {
		c.Listen = p.http
	}
	if len(p.https) > 0 && c.TLSCert == "" {
		return fmt.Errorf("systemd passed a socket for HTTPS, and no certificate is configured; " +
			"systemctl disable --now pxesrv-https.socket takes it away")
	}
	if len(p.https) > 0 {
		c.TLSListen = p.https
	}
	if len(p.tftp) > 0 {
		c.TFTP = p.tftp
	}
	return nil
}

// listenOn opens an address for HTTP, or takes the socket that systemd opened
// there.
func (p *activated) listenOn(addr string) (net.Listener, error) {
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

// listenTFTP opens an address for TFTP, or takes the socket that systemd opened
// there.
func (p *activated) listenTFTP(addr string, current func() *tftpd.Server) (*tftpd.Listener, error) {
	if c := p.datagrams[addr]; c != nil {
		return tftpd.On(c, current), nil
	}
	return tftpd.Listen(addr, current)
}
