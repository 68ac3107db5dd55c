package daemon

import "context"

// reloads reads the configuration again at each hangup.
func (d *Daemon) reloads(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
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
		reloaded := d.systemd.reloading()
		c, err := d.Reload()
		if err == nil {
			err = d.activated.replace(&c)
		}
		if err == nil {
			err = d.use(c)
		}
		reloaded(err)
		if err != nil {
			d.metrics.reloads.WithLabelValues("refused").Inc()
			d.Log.Error("the configuration is not reloaded, the old one stays", "error",
				err.Error())
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

// waits says that the change of a setting is not in force yet.
func (d *Daemon) waits(key string) {
	d.Log.Warn("a change waits until the daemon is started again", "setting", key)
}
