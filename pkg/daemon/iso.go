package daemon

import (
	"errors"
	"slices"

	"pxesrv/pkg/config"
	"pxesrv/pkg/httpd"
	"pxesrv/pkg/reread"
	"pxesrv/pkg/site"
)

// sealed refuses to begin when host= must be signed and there is no key to check it with. A disk that hangs is no reason: until
// the key is known, host= is no claim.
func sealed(s *site.Site, c config.Config) error {
	if _, err := s.Keyring().Keys(); err != nil && !errors.Is(err, reread.ErrHangs) {
		return err
	}
	return nil
}

// images hands out the boot images of a site; nil when there are none.
func images(s *site.Site) func(string) (httpd.Image, error) {
	if s.Images() == nil {
		return nil
	}
	return func(name string) (httpd.Image, error) {
		m, err := s.Image(name)
		if err != nil {
			return nil, err // not a nil image in an interface that is none
		}
		return m, nil
	}
}

// isoReport is what was said of the boot images of hosts. Each thing is said once, and again when it was well in between.
type isoReport struct {
	trouble []string
	hosts   int
	bad     int
}

// isoSweep looks at the list of hosts, the keys and the loaders, and says what changed.
func (d *Daemon) isoSweep(s *site.Site) {
	now := isoReport{trouble: s.ISOProblems()}
	if s.Images() != nil {
		st := s.Images().List.Known()
		now.hosts, now.bad = st.Hosts, len(st.Bad)
	}
	for _, t := range now.trouble {
		if !slices.Contains(d.iso.trouble, t) {
			d.Log.Warn(t)
		}
	}
	if now.hosts != d.iso.hosts || now.bad != d.iso.bad {
		d.Log.Info("hosts of boot images", "hosts", now.hosts, "wrong", now.bad)
	}
	d.iso = now
	d.metrics.isoHosts.Set(float64(now.hosts))
	d.metrics.isoTrouble.Set(float64(len(now.trouble)))
	d.ready.warnISO(len(now.trouble) > 0)
}

// noticed has the next sweep come now.
func (d *Daemon) notice() {
	select {
	case d.noticed <- struct{}{}:
	default: // it is on its way
	}
}
