package daemon

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"pxesrv/pkg/config"
	"pxesrv/pkg/conn"
	"pxesrv/pkg/site"
)

// reloadTLSEach is how often the files of TLS are checked. It is no event of
// the file system that tells of a new certificate: tools replace files, links
// to them, or links to the directories of those.
const reloadTLSEach = 5 * time.Second

// openTLS reads the certificate at the start. One that cannot be used ends the
// start. One that has expired is used, with an error in the log: clients refuse
// it by themselves, and machines that boot without TLS, or whose clock is
// wrong, need the daemon.
func (d *Daemon) openTLS() error {
	if d.Config.TLSCert == "" {
		return nil
	}
	if err := d.certs.Use(site.CertificateFiles(d.Config)); err != nil {
		return err
	}
	d.metrics.hasTLS(func() time.Time { return d.certs.Set().Ends })
	return nil
}

// watchTLS puts a certificate in force when its files have changed, and warns
// before it expires.
func (d *Daemon) watchTLS(ctx context.Context) error {
	if d.certs.Set() == nil {
		return nil
	}
	var said []string
	for {
		switch changed, err := d.certs.Reload(); {
		case err != nil:
			d.oldCertificateStays(err)
		case changed:
			d.newCertificate()
		}
		set, now := d.certs.Set(), time.Now()
		warnings := set.Warnings(now)
		for _, w := range warnings {
			level := slog.LevelWarn
			if set.Untimely(now) != "" {
				level = slog.LevelError
			}
			if !slices.Contains(said, w) {
				d.Log.Log(ctx, level, w)
			}
		}
		said = warnings
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reloadTLSEach):
		}
	}
}

// reloadTLS reads the files of a new configuration at once. If they cannot be
// used, the rest of the configuration is still in force.
func (d *Daemon) reloadTLS(c *config.Config) {
	if had, has := d.certs.Set() != nil, c.TLSCert != ""; had != has {
		d.waits("tls.cert") // as the listeners do
		return
	} else if !has {
		return
	}
	if err := d.certs.Use(site.CertificateFiles(*c)); err != nil {
		d.oldCertificateStays(err)
		return
	}
	d.newCertificate()
}

func (d *Daemon) oldCertificateStays(err error) {
	d.Log.Error("the new certificate is not used, the old one stays", "error", err.Error(), "ends",
		d.certs.Set().Ends.UTC())
}

func (d *Daemon) newCertificate() {
	leaf := d.certs.Set().Pair.Leaf
	d.Log.Info("the certificate is in force", "subject", leaf.Subject.String(), "serial",
		leaf.SerialNumber.Text(16), "ends", d.certs.Set().Ends.UTC())
}

// failed logs a connection that was closed before it spoke HTTP. Any client can
// cause that as often as it likes.
func (d *Daemon) failed(listener string, f conn.Failure) {
	d.metrics.failed.WithLabelValues(string(f.Reason)).Inc()
	if f.Reason == conn.Silent {
		return // a load balancer checks whether the port is open
	}
	left, ok := d.refused.say(time.Now())
	if !ok {
		return
	}
	line := []any{"peer", f.Peer.String(), "listener", listener, "reason", string(f.Reason), "why",
		f.Err.Error()}
	if f.Client != f.Peer && f.Client.IsValid() {
		line = append(line, "source", f.Client.String())
	}
	if f.Subject != "" {
		line = append(line, "certificate", f.Subject)
	}
	if left > 0 {
		line = append(line, "omitted", left) // lines of this kind, since the last one
	}
	d.Log.Warn("connection closed before its first request", line...)
}

// linesPerMinute is how many lines the log gets of what any client can cause.
const linesPerMinute = 30

// rateLimit lets that many lines through each minute, and counts the others.
type rateLimit struct {
	mu          sync.Mutex
	since       time.Time
	lines, more int
}

// say reports whether a line may be written now, and how many were left out
// before it.
func (s *rateLimit) say(now time.Time) (left int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since) >= time.Minute {
		s.since, s.lines = now, 0
	}
	if s.lines == linesPerMinute {
		s.more++
		return 0, false
	}
	s.lines++
	left, s.more = s.more, 0
	return left, true
}
