package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"pxesrv/pkg/config"
	"pxesrv/pkg/media"
	"pxesrv/pkg/site"
)

const isoURLLong = `
A NAME is that of a host in iso.hosts, or the MAC of its card in any spelling.
Where images are signed, whoever has the URL can fetch the image, and whoever
has the image can speak in the name of the host.
`

// isoURLCommand prints where the image of a host is fetched.
func isoURLCommand(std streams, src *sources) *cobra.Command {
	c := &cobra.Command{
		Use:               "url NAME…",
		Short:             "where the daemon serves the ISO of a host",
		Long:              isoURLLong,
		ValidArgsFunction: machineNames(src, true),
	}
	addFlags(c, src.common)
	c.RunE = func(_ *cobra.Command, args []string) error {
		c, err := src.read(std)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return usagef("iso url needs the name of a host")
		}
		if c.URL == "" {
			return withHint(errors.New("nothing says where the server is reached"),
				"set url, or give --url http://boot.example:4567")
		}
		s, err := site.New(c)
		if err != nil {
			return err
		}
		if s.Images() == nil {
			return withHint(errors.New("no images are served"),
				"set iso.hosts to the CSV of the hosts")
		}
		for _, name := range args {
			path, _, err := s.Images().Path(name)
			if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, media.ErrNoList) {
				if d, doubted := s.Doubtful(name); doubted && d.Right != "" {
					return withHint(err, "did you mean "+d.Right+"?")
				}
				return withHint(err, "pxesrv check names rows that are wrong")
			} else if err != nil {
				return err
			}
			fmt.Fprintln(std.out, c.URL+path)
		}
		return nil
	}
	return c
}

const isoKeygenLong = `
The key is written to iso.keys in the state directory, or to the file that
iso.keys names. Only its owner may read it: make it as the user of the daemon.
From then on host= counts only when it is signed, and images are served only
under the addresses that pxesrv iso url prints. Make earlier images again.
`

// isoKeygenCommand makes the key that signs images, or puts a new one before
// the old ones.
func isoKeygenCommand(std streams, src *sources) *cobra.Command {
	c := &cobra.Command{Use: "keygen", Short: "make the key that signs ISOs", Long: isoKeygenLong,
		Args: noArgs}
	rotate := c.Flags().Bool("rotate", false, "put a new key before those in the file, which "+
		"verify until they are taken out")
	addFlags(c, src.common)
	c.RunE = func(*cobra.Command, []string) error {
		c, err := src.read(std)
		// Without a root there is a state directory all the same.
		if err != nil && !errors.Is(err, config.ErrNoRoot) {
			return err
		}
		if err := media.NewKey(c.KeyFile(), *rotate); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "a new key is in %s\n", c.KeyFile())
		return nil
	}
	return c
}
