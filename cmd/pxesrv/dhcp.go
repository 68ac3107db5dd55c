package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"pxesrv/pkg/dhcp"
	"pxesrv/pkg/loader"
)

const dhcpNotes = `
isc is ISC's dhcpd, kea its successor; dnsmasq-proxy is a dnsmasq beside a DHCP server that stays as it is:
  pxesrv dhcp kea --url http://192.0.2.10:4567 --subnet 192.0.2.0/24 --range 192.0.2.100-192.0.2.199
  pxesrv dhcp dnsmasq-proxy --url http://boot.example:4567 --tftp 192.0.2.10 --subnet 192.0.2.0/24
`

// dhcpLines prints the lines for a DHCP server.
func dhcpLines(io streams) (*pflag.FlagSet, action) {
	f := flags(nil, false)
	var (
		o             dhcp.Options
		shim          bool
		loaders, file string
	)
	f.StringVar(&o.URL, "url", "", "where machines reach pxesrv, such as http://192.0.2.10:4567; https:// for machines that trust its certificate")
	f.StringVar(&o.TFTP, "tftp", "", "IPv4 address where pxesrv serves TFTP (default: the host of --url)")
	f.StringVar(&o.Subnet, "subnet", "", "network to give out addresses of, such as 192.0.2.0/24; empty: an example that is commented out")
	f.StringVar(&o.Range, "range", "", "addresses to give out, such as 192.0.2.100-192.0.2.199")
	f.StringVar(&o.Router, "router", "", "router of the network")
	f.StringArrayVar(&o.DNS, "dns", nil, "name server of the network; may be given several times")
	f.BoolVar(&shim, "shim", false, "Secure Boot: hand out ipxe-shim.efi and snponly-shim.efi")
	fileFlag(f, &loaders, "loaders", "", "dir", "folder of the loaders: hand out the shims that are there (default: ipxe/ in PXESRV_ROOT)")
	fileFlag(f, &file, "output", "o", "file", "file to write instead of standard output")
	return f, func(_ context.Context, words []string) error {
		if f.NArg() != 1 || !slices.Contains(dhcp.Kinds, f.Arg(0)) {
			return usagef("say which server the lines are for: pxesrv dhcp %s", strings.Join(dhcp.Kinds, "|"))
		}
		if root := os.Getenv(rootEnv); loaders == "" && root != "" {
			loaders = filepath.Join(root, "ipxe")
		} else if info, err := os.Stat(loaders); loaders != "" && (err != nil || !info.IsDir()) {
			return fmt.Errorf("--loaders: %s is no folder that can be read", loaders)
		}
		for _, name := range loader.Shims {
			info, err := os.Stat(filepath.Join(loaders, name))
			if shim || loaders != "" && err == nil && info.Mode().IsRegular() {
				o.Shims = append(o.Shims, name)
			}
		}
		o.Command = shellLine(append([]string{"pxesrv", "dhcp"}, words...))
		text, err := dhcp.Print(f.Arg(0), o)
		if err != nil {
			return usageError{err}
		}
		if file != "" {
			return os.WriteFile(file, text, 0o644)
		}
		_, err = io.out.Write(text)
		return err
	}
}

// shellLine writes words as one line that a shell would read as these words.
func shellLine(words []string) string {
	var line []string
	for _, w := range words {
		plain := w != "" && !strings.ContainsFunc(w, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,[]@%+", r)
		})
		if !plain {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		line = append(line, w)
	}
	return strings.Join(line, " ")
}
