package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
	"pxesrv/pkg/media"
	"pxesrv/pkg/site"
)

const isoURLNotes = `
A NAME is that of a host in iso.hosts, or the MAC of its card in any spelling. Where images are signed, whoever has the URL can
fetch the image, and whoever has the image can speak in the name of the host.
`

// isoURL prints where the image of a host is fetched.
func isoURL(io streams) (*pflag.FlagSet, action) {
	var l layers
	f := flags(&l, false)
	return f, func(context.Context, []string) error {
		c, err := l.read(io)
		if err != nil {
			return err
		}
		if f.NArg() == 0 {
			return usagef("iso url needs the name of a host")
		}
		if c.URL == "" {
			return errors.New("nothing says where the server is reached: set url, or give --url http://boot.example:4567")
		}
		s, err := site.New(c)
		if err != nil {
			return err
		}
		if s.Images() == nil {
			return errors.New("no images are served: set iso.hosts to the CSV of the hosts")
		}
		for _, name := range f.Args() {
			path, _, err := s.Images().Path(name)
			if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, media.ErrNoList) {
				if d, doubted := s.Doubtful(name); doubted && d.Right != "" {
					return fmt.Errorf("%w; did you mean %s?", err, d.Right)
				}
				return fmt.Errorf("%w; pxesrv check names rows that are wrong", err)
			} else if err != nil {
				return err
			}
			fmt.Fprintln(io.out, c.URL+path)
		}
		return nil
	}
}

const isoKeygenNotes = `
The key is written to iso.keys in the state directory, or where iso.keys says, and only its owner may read it: make it as the user
that the daemon runs as. From then on host= counts only when it is signed, and images are served only under the addresses
that pxesrv iso url prints. Images made before have to be made anew.
`

// isoKeygen makes the key that signs images, or puts a new one before the old ones.
func isoKeygen(io streams) (*pflag.FlagSet, action) {
	var l layers
	f := flags(&l, false)
	rotate := f.Bool("rotate", false, "put a new key before those in the file, which verify until they are taken out")
	return f, func(context.Context, []string) error {
		c, err := l.read(io)
		if err != nil && !errors.Is(err, config.ErrNoRoot) { // without a root there is a state directory all the same
			return err
		}
		if f.NArg() > 0 {
			return usagef("iso keygen takes no arguments, and %q is one", f.Arg(0))
		}
		if err := media.NewKey(c.KeyFile(), *rotate); err != nil {
			return err
		}
		fmt.Fprintf(io.out, "a new key is in %s\n", c.KeyFile())
		return nil
	}
}
