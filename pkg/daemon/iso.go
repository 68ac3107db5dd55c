package daemon

import (
	"errors"

	"pxesrv/pkg/httpd"
	"pxesrv/pkg/reread"
	"pxesrv/pkg/site"
)

// requireKeys refuses to begin when host= must be signed and there is no key to
// check it with. A disk that hangs is no reason: until the key is known, host=
// is no claim.
func requireKeys(s *site.Site) error {
	if _, err := s.Keyring().Keys(); err != nil && !errors.Is(err, reread.ErrHangs) {
		return err
	}
	return nil
}

// images serves the boot images of a site; nil when there are none.
func images(s *site.Site) func(string) (httpd.Image, error) {
	if s.Images() == nil {
		return nil
	}
	return func(name string) (httpd.Image, error) {
		m, err := s.Image(name)
		if err != nil {
			return nil, err // not m: a nil pointer in an interface is not nil
		}
		return m, nil
	}
}
