package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pxesrv/pkg/config"
	"pxesrv/pkg/dhcp"
	"pxesrv/pkg/loader"
)

const dhcpLong = `
isc is ISC's dhcpd, kea its successor; dnsmasq-proxy is a dnsmasq beside a
DHCP server that stays as it is:
  pxesrv dhcp kea --url http://192.0.2.10:4567 --subnet 192.0.2.0/24 --range 192.0.2.100-192.0.2.199
  pxesrv dhcp dnsmasq-proxy --url http://boot.example:4567 --tftp 192.0.2.10 --subnet 192.0.2.0/24
`

// dhcpCommand prints the lines for a DHCP server, and how pxesrv was called for
// them: words are all of the command line.
func dhcpCommand(std streams, words []string) *cobra.Command {
	c := &cobra.Command{
		Use:   "dhcp SERVER",
		Short: "print the lines for a DHCP server: isc, kea, dnsmasq, dnsmasq-proxy",
		Long:  dhcpLong,
		Annotations: map[string]string{usageKey: "pxesrv dhcp " + strings.Join(dhcp.Kinds, "|") +
			" [flags]"},
		ValidArgs: dhcp.Kinds,
	}
	f := c.Flags()
	f.SortFlags = false
	var (
		o             dhcp.Options
		shim          bool
		loaders, file string
	)
	f.StringVar(&o.URL, "url", "", "where machines reach pxesrv, such as "+
		"http://192.0.2.10:4567; https:// for machines that trust its certificate (default: url "+
		"of the configuration)")
	f.StringVar(&o.TFTP, "tftp", "", "IPv4 address where pxesrv serves TFTP (default: the host "+
		"of --url)")
	f.StringVar(&o.Subnet, "subnet", "", "network to give out addresses of, such as "+
		"192.0.2.0/24; empty: an example that is commented out")
	f.StringVar(&o.Range, "range", "", "addresses to give out, such as 192.0.2.100-192.0.2.199")
	f.StringVar(&o.Router, "router", "", "router of the network")
	f.StringArrayVar(&o.DNS, "dns", nil, "name server of the network; may be given several times")
	f.BoolVar(&shim, "shim", false, "Secure Boot: hand out ipxe-shim.efi and snponly-shim.efi")
	fileFlag(f, &loaders, "loaders", "", "dir", "folder of the loaders: hand out the shims that "+
		"are there (default: ipxe/ in PXESRV_ROOT)")
	fileFlag(f, &file, "output", "o", "file", "file to write instead of standard output")
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 || !slices.Contains(dhcp.Kinds, args[0]) {
			return notAKind(args)
		}
		if i := slices.Index(words, "dhcp"); i >= 0 {
			words = slices.Delete(slices.Clone(words), i, i+1)
		}
		// Where pxesrv runs, its configuration says where machines reach it,
		// and where it takes the loaders from.
		c, err := new(sources).merged(std)
		if err != nil {
			fmt.Fprintf(std.err, "pxesrv: warning: %v; nothing in it counts for these lines\n", err)
			c = config.Default()
		}
		if o.URL == "" && c.URL != "" {
			o.URL = c.URL
			words = append(words, "--url", c.URL)
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
		o.ShimNotes = shimNotes(loaders)
		o.Command = shellLine(append([]string{"pxesrv", "dhcp"}, words...))
		o.Missing, o.Where = missingLoaders(o.Files(), loaders, c)
		text, err := dhcp.Print(args[0], o)
		if err != nil {
			return usageError{err}
		}
		if file != "" {
			return os.WriteFile(file, text, 0o644)
		}
		_, err = std.out.Write(text)
		return err
	}
	return c
}

// shimNotes says what the shims in a folder start, as far as their files tell.
func shimNotes(dir string) map[string]string {
	notes := map[string]string{}
	for _, name := range loader.Shims {
		if body, err := os.ReadFile(filepath.Join(dir, name)); err == nil && dir != "" {
			if b := loader.Inspect(body); b.Starts != "" {
				notes[name] = b.ShimNote(name)
			}
		}
	}
	return notes
}

// shellLine writes words as one line that a shell would read as these words.
func shellLine(words []string) string {
	var line []string
	for _, w := range words {
		plain := w != "" && !strings.ContainsFunc(w, func(r rune) bool {
			return !strings.ContainsRune(
				"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,[]@%+", r)
		})
		if !plain {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		line = append(line, w)
	}
	return strings.Join(line, " ")
}

// notAKind says what is wrong with arguments that should name one server.
func notAKind(args []string) error {
	say := "say which server the lines are for: pxesrv dhcp " + strings.Join(dhcp.Kinds, "|")
	switch {
	case len(args) == 0:
		return withHint(usagef("no server is named"), say)
	case len(args) > 1:
		return withHint(usagef("one server at a time"), say)
	}
	meant := ""
	if kind := nearKind(strings.ToLower(args[0])); kind != "" {
		meant = "did you mean " + kind + "?"
	}
	return withHint(usagef("there are no lines for %q", args[0]), meant, say)
}

// nearKind is the server that a word may be meant for: one with the same
// letters, with more behind it, as in isc-dhcp-server, or a part of its name.
func nearKind(word string) string {
	letters := func(s string) string { return string(slices.Sorted(slices.Values([]rune(s)))) }
	for _, kind := range dhcp.Kinds {
		if letters(kind) == letters(word) || strings.HasPrefix(word, kind) ||
			len(word) > 2 && strings.Contains(kind, word) {
			return kind
		}
	}
	switch {
	case strings.HasPrefix(word, "dhcp"):
		return "isc"
	case strings.HasPrefix(word, "dns"):
		return "dnsmasq"
	}
	return ""
}

// missingLoaders returns those of the loaders that are neither in folder nor
// where pxesrv takes them from, and where that is. What cannot be looked at is
// not missing.
func missingLoaders(names []string, folder string, c config.Config) (missing []string,
	where string) {
	dirs := c.LoaderDirs
	if folder != "" {
		dirs = append([]string{folder}, dirs...)
	}
	inTree := func(string) (*os.File, error) { return nil, os.ErrNotExist }
	looked := dirs
	if c.Root != "" {
		inTree = func(name string) (*os.File, error) { return os.Open(filepath.Join(c.Root, name)) }
		own := filepath.Join(c.Root, "ipxe")
		others := slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool { return dir == own })
		looked = append([]string{own, c.Root}, others...)
	}
	for _, name := range names {
		file, err := loader.Open(name, dirs, inTree)
		if err == nil {
			file.Close()
		} else if errors.Is(err, os.ErrNotExist) {
			missing = append(missing, name)
		}
	}
	return missing, strings.Join(looked, ", ")
}
