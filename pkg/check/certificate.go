package check

import (
	"pxesrv/pkg/cert"
	"pxesrv/pkg/site"
)

// certificate checks the files of TLS.
func (l *lint) certificate() error {
	c := l.config
	if c.TLSCert == "" {
		return nil
	}
	set, err := cert.Read(site.CertificateFiles(c))
	if err != nil {
		l.add(c.TLSCert, 0, Error, Certificate, err.Error(),
			"a daemon does not start with it, and one that runs keeps what it has")
		return nil
	}
	now := l.options.Now()
	level, do := Warning, "docs/tls.md says what boots with which certificate"
	if set.Untimely(now) != "" {
		level, do = Error, "renew it, and look at the clock of this computer"
	}
	for _, w := range set.Warnings(now) {
		l.add(c.TLSCert, 0, level, Certificate, w, do)
	}
	return nil
}
