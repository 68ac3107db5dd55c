package check

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"pxesrv/pkg/loader"
)

// shim says what a shim starts that firmware loads from the network, and
// whether that is there, as a client would get it, and signed.
func (l *lint) shim(dir, name string, found loader.Build) {
	at := filepath.Join(l.shown(dir), name)
	wants := found.Wants(name)
	for i, want := range wants {
		how := fmt.Sprintf("is a shim, which starts %s from the folder that it came from", want)
		if i > 0 {
			how = fmt.Sprintf("is a shim, which on some firmware starts %s instead of %s",
				want, wants[0])
		}
		do := fmt.Sprintf("put the signed iPXE into ipxe/ as %s", want)
		switch state, err := l.signed(want); {
		case errors.Is(err, fs.ErrNotExist):
			l.add(at, 0, Warning, Loader, how+", and that is not there", do)
		case err != nil: // said of that file
		case !state:
			l.add(at, 0, Warning, Loader,
				how+", and that is not signed: with Secure Boot the shim refuses it", do)
		default:
			l.add(at, 0, Note, Loader, how+", and that is there and signed",
				"DHCP may hand it out to machines with Secure Boot")
		}
	}
}

// signed reports whether the program that a shim asks for beside itself is
// signed, whosever the signature is.
func (l *lint) signed(name string) (bool, error) {
	f, err := l.site.Open("/ipxe/" + name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxLoader))
	if err != nil {
		return false, err
	}
	return loader.Inspect(body).Signed, nil
}
