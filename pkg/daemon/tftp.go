package daemon

import (
	"context"
	"sync"

	"pxesrv/pkg/tftpd"
)

// transfers answers machines by TFTP; it may have no address.
type transfers struct {
	d         *Daemon
	listeners []*tftpd.Listener
}

// listenTFTP opens the addresses of TFTP, beside those of HTTP.
func (d *Daemon) listenTFTP() (*transfers, error) {
	t := &transfers{d: d}
	for _, addr := range d.Config.TFTP {
		l, err := d.activated.listenTFTP(addr, func() *tftpd.Server {
			return d.serving.Load().tftp
		})
		if err != nil {
			for _, l := range t.listeners {
				l.Close()
			}
			return nil, listenError("udp:"+addr, err)
		}
		t.listeners = append(t.listeners, l)
	}
	if len(t.listeners) > 0 && len(d.baseAddrs) == 0 && d.Config.URL == "" {
		d.Log.Warn("clients of TFTP get no script that leads to this server, which answers plain " +
			"HTTP on no TCP port: set url")
	}
	for _, l := range t.listeners {
		d.Log.Info("listening", "address", "udp:"+l.Addr().String(), "root", d.Config.Root)
	}
	return t, nil
}

// run serves until ctx ends, or a listener fails, and finishes what is under
// way for as long as the limits say.
func (t *transfers) run(ctx context.Context) (err error) {
	failed := make(chan error, len(t.listeners))
	for _, l := range t.listeners {
		go func() { failed <- l.Serve() }()
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx),
		t.d.serving.Load().config.Limits.Stop)
	defer cancel()
	var all sync.WaitGroup
	for _, l := range t.listeners {
		all.Go(func() {
			if l.Shutdown(stop) != nil {
				t.d.Log.Warn("stopped with transfers by TFTP under way", "address",
					l.Addr().String())
			}
		})
	}
	all.Wait()
	return err
}
