package daemon

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"

	"pxesrv/pkg/config"
	"pxesrv/pkg/conn"
	"pxesrv/pkg/httpd"
	"pxesrv/pkg/order"
	"pxesrv/pkg/site"
	"pxesrv/pkg/tftpd"
)

// serving is one configuration in force.
type serving struct {
	config  config.Config
	site    *site.Site
	handler *httpd.Server
	tftp    *tftpd.Server
}

// use puts a configuration in force.
func (d *Daemon) use(c config.Config) error {
	var s *site.Site
	err := config.Bounded("the disk of the state directory, or of the list of placeholders,",
		func() (err error) { s, err = site.New(c); return err })
	if err != nil {
		return err
	}
	if s.Images() != nil {
		s.Images().Watch(d.wantSweep)
	}
	if err := requireKeys(s); err != nil {
		return err
	}
	s.Orders().Event = d.orderEvent
	s.SetClock(d.clock)
	d.limiter.Set(conn.Limits{
		Connections: d.connections(c),
		PerAddress:  c.Limits.PerAddress,
		Write:       c.Limits.WriteTimeout,
		Exempt: func(a netip.Addr) bool {
			return a.IsLoopback() ||
				slices.ContainsFunc(c.Trusted, func(p netip.Prefix) bool { return p.Contains(a) })
		},
	})
	next := &serving{config: c, site: s}
	next.handler = &httpd.Server{
		Site:       s,
		Log:        d.Log,
		Identify:   c.Identify,
		Trusted:    c.Trusted,
		Allow:      c.Clients,
		URL:        c.URL,
		Confirm:    c.OnceConfirm,
		Deadline:   c.Limits.Decision,
		MaxStuck:   c.Limits.Hanging,
		Pending:    &d.pending,
		FileSlots:  d.files,
		Observe:    d.metrics,
		Image:      images(s),
		Clear:      s.ClearGRUB,
		ClearByGet: c.CompatGet,
		Handlers: map[string]http.Handler{
			"/metrics": d.metrics.handler(),
			"/healthz": http.HandlerFunc(healthz),
			"/readyz":  &d.ready,
		},
	}
	if d.Access != nil {
		next.handler.Access = d.Access
	}
	next.tftp = &tftpd.Server{
		Site:       s,
		Log:        d.Log,
		Allow:      c.Clients,
		Base:       d.base(c.URL),
		Spelled:    s.Spelled,
		Deadline:   c.Limits.Decision,
		MaxStuck:   c.Limits.Hanging,
		Transfers:  d.transfers(c),
		PerAddress: c.Limits.TFTPPerAddress,
		Observe:    d.metrics,
		Counts:     &d.tftp,
	}
	d.serving.Store(next)
	return nil
}

// connections is how many connections the process can hold, at most as many as
// c allows.
func (d *Daemon) connections(c config.Config) int {
	want := c.Limits.Connections
	// The rest is for files that are sent, TFTP transfers (an eighth each), the
	// tree, the journal and the log.
	if can := descriptors() / 8 * 5; can > 0 && want > can {
		d.Log.Warn("fewer connections than limits.connections: the process may open too few "+
			"files; raise it with ulimit -n or LimitNOFILE=",
			"limits.connections", want, "connections", can)
		return can
	}
	return want
}

// transfers is how many TFTP transfers the process can hold, at most as many as
// c allows.
func (d *Daemon) transfers(c config.Config) int {
	want := c.Limits.TFTPTransfers
	// Each has a socket and a file.
	if can := descriptors() / 16; can > 0 && want > can && len(c.TFTP) > 0 {
		d.Log.Warn("fewer transfers than limits.tftp-transfers: the process may open too few "+
			"files; raise it with ulimit -n or LimitNOFILE=",
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
	if e.Record.Actor != "" {
		args = append(args, "actor", e.Record.Actor)
	}
	if e.Err != nil {
		args = append(args, "why", e.Err.Error())
	}
	d.Log.Log(context.Background(), level, "order", args...)
}
