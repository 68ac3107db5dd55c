package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pxesrv/pkg/config"
	"pxesrv/pkg/hosts"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/iso"
	"pxesrv/pkg/media"
	"pxesrv/pkg/site"
)

const isoUsage = `pxesrv iso --csv FILE --out DIR [flags]
pxesrv iso --json FILE --out DIR [flags]
pxesrv iso --name NAME --address ADDRESS --server URL -o FILE [flags]
pxesrv iso COMMAND`

const isoLong = `
Without a command it makes the ISO of one host, or of each host of a list.
Machines with that ISO need no DHCP. FILE is - for standard input. The first
line of a CSV names its columns; a line of JSON is an object with their names
as keys:
name mac interface address netmask gateway vlan dns search server.
`

// isoFlags are the flags about loader files. What they leave open is as the
// daemon has it, so that its images are the same.
type isoFlags struct {
	sources
	media.LoaderPaths
}

func loaderFlags(f *pflag.FlagSet) *isoFlags {
	f.SortFlags = false
	m := &isoFlags{}
	fileFlag(f, &m.file, "config", "", "file", "configuration file, whose iso.* settings hold "+
		"where no flag says something else ["+config.FileEnv+"]")
	fileFlag(f, &m.LKRN, "lkrn", "", "file", "ipxe.lkrn, for BIOS")
	fileFlag(f, &m.EFI, "efi", "", "file", "ipxe.efi, for UEFI")
	fileFlag(f, &m.EFIARM64, "efi-arm64", "", "file",
		"ipxe.efi for UEFI on 64-bit ARM (default: none)")
	fileFlag(f, &m.Shim, "shim", "", "file", "shim for Secure Boot, which starts the signed "+
		"ipxe.efi (default: none)")
	fileFlag(f, &m.ISOLINUX, "isolinux", "", "file", "isolinux.bin")
	fileFlag(f, &m.LDLinux, "ldlinux", "", "file", "ldlinux.c32")
	fileFlag(f, &m.ISOHDPFX, "isohdpfx", "", "file", "isohdpfx.bin")
	f.StringArrayVar(&m.Dirs, "loaders", nil, "folder to look for loader files in before those "+
		"of the system; may be given several times")
	return m
}

// load reads the configuration. No document root is needed.
func (m *isoFlags) load(std streams) (config.Config, error) {
	c, err := m.sources.read(std)
	if err != nil && !errors.Is(err, config.ErrNoRoot) {
		return c, err
	}
	of := site.LoaderPaths(c)
	m.LKRN, m.EFI = cmp.Or(m.LKRN, of.LKRN), cmp.Or(m.EFI, of.EFI)
	m.EFIARM64, m.Shim = cmp.Or(m.EFIARM64, of.EFIARM64), cmp.Or(m.Shim, of.Shim)
	m.Dirs = slices.Concat(m.Dirs, of.Dirs)
	return c, nil
}

// oneHost are the flags that describe one host, by the column of a list that
// says the same.
var oneHost = []struct{ column, help string }{
	{"name", "name of the host, as host= sends it"},
	{"mac", "MAC of its network card (default: each card in turn)"},
	{"interface", "or the number of the card, as iPXE counts them: 0"},
	{"address", "its address with the length of the prefix, such as 10.0.0.7/24; an IPv4 and an " +
		"IPv6 one, separated by a comma"},
	{"netmask", "netmask, when the address has no prefix"},
	{"gateway", "its gateway"},
	{"vlan", "VLAN, 1 to 4094"},
}

// isoOptions are the flags of pxesrv iso.
type isoOptions struct {
	flags     *pflag.FlagSet
	csv, json string             // the list
	out, file string             // where the ISOs of a list go, and that of one host
	host      map[string]*string // one host, by column
	dns       []string
	hosts     hosts.Options
	all       ipxe.Host // what no list says
	partial   bool
	keys      string
	loaders   *isoFlags
}

// isoCommand makes ISOs.
func isoCommand(std streams, src *sources) *cobra.Command {
	c := &cobra.Command{
		Use:         "iso …",
		Short:       "make boot media for machines without DHCP; inspect, check-loaders",
		Long:        isoLong,
		Annotations: map[string]string{usageKey: isoUsage},
	}
	f := c.Flags()
	o := &isoOptions{flags: f, host: map[string]*string{}}
	fileFlag(f, &o.csv, "csv", "", "file", "list of hosts, CSV as spreadsheets write it")
	fileFlag(f, &o.json, "json", "", "file", "list of hosts, a JSON object a line")
	fileFlag(f, &o.out, "out", "", "dir", "folder for the ISOs of a list; it gets a SHA256SUMS")
	for _, h := range oneHost {
		o.host[h.column] = f.String(h.column, "", h.help)
	}
	fileFlag(f, &o.file, "output", "o", "file", "file for the ISO of one host")
	f.StringSliceVar(&o.hosts.Servers, "server", nil, "boot server, such as "+
		"http://10.0.0.5:4567, of hosts that name none; several are tried in turn")
	f.StringSliceVar(&o.dns, "dns", nil, "DNS server of hosts that name none")
	f.StringSliceVar(&o.hosts.Search, "search", nil, "search domain of hosts that name none")
	f.IntVar(&o.all.Tries, "tries", ipxe.DefaultTries, "how often each server is asked")
	f.DurationVar(&o.all.Timeout, "timeout", ipxe.DefaultTimeout, "how long a server may be silent")
	f.DurationVar(&o.all.Pause, "pause", ipxe.DefaultPause, "how long a failure stays on the "+
		"screen before the local disk boots")
	f.BoolVar(&o.partial, "allow-partial", false, "leave a way to boot (BIOS, UEFI) out of an "+
		"ISO when its loader cannot do what the host needs")
	fileFlag(f, &o.keys, "keys", "", "file", "key file, of pxesrv iso keygen, that signs what "+
		"the ISOs say of their hosts; or none (default: that of the daemon, if there is one)")
	o.loaders = loaderFlags(f)
	group(c, isoInspectCommand(std), isoCheckLoadersCommand(std), isoURLCommand(std, src),
		isoKeygenCommand(std, src))
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 0 && f.NFlag() > 0 {
			return usagef("what is %q? The ISO of one host goes to -o FILE, those of a list to "+
				"--out DIR", args[0])
		}
		return noCommand(c, args)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if f.NFlag() == 0 {
			return c.Help()
		}
		if err := o.check(); err != nil {
			return err
		}
		return o.run(c.Context(), std)
	}
	return c
}

// isList reports whether the ISOs of a list are made.
func (o *isoOptions) isList() bool { return o.csv != "" || o.json != "" }

// check refuses flags that make no sense together, and reads the values of
// those that are texts.
func (o *isoOptions) check() error {
	list := o.isList()
	for _, wrong := range []struct {
		is  bool
		say string
	}{
		{o.csv != "" && o.json != "", "--csv and --json: name one list"},
		{list && o.out == "", "say which folder the ISOs go to: --out DIR"},
		{list && o.file != "", "-o is for the ISO of one host; those of a list go to --out DIR"},
		{!list && o.out != "", "--out is for the ISOs of a list, which --csv or --json names; " +
			"that of one host goes to -o FILE"},
		{!list && *o.host["name"] == "", "say which hosts: --csv FILE, --json FILE, or --name " +
			"NAME and so on"},
		{!list && o.file == "", "say where the ISO goes: -o FILE"},
	} {
		if wrong.is {
			return usagef("%s", wrong.say)
		}
	}
	for _, h := range oneHost {
		if list && o.flags.Changed(h.column) {
			return usagef("--%s describes one host; those of a list say it themselves, in the "+
				"column %s", h.column, h.column)
		}
	}
	for _, text := range o.dns {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return usagef("--dns: %q is no address", text)
		}
		o.hosts.DNS = append(o.hosts.DNS, a)
	}
	for _, e := range o.all.Check() {
		if slices.Contains([]string{"tries", "timeout", "pause"}, e.Field) {
			return usagef("--%s: %s %s", e.Field, e.Value, e.Why)
		}
	}
	return nil
}

// run makes the ISOs. What no flag says is as the daemon has it.
func (o *isoOptions) run(ctx context.Context, std streams) error {
	c, err := o.loaders.load(std)
	if err != nil {
		return err
	}
	if len(o.hosts.Servers) == 0 {
		o.hosts.Servers = c.ISOURLs()
	}
	if len(o.hosts.DNS) == 0 {
		o.hosts.DNS = c.ISODNS
	}
	keys, err := isoKeys(std, c, o.keys)
	if err != nil {
		return err
	}
	m := &maker{std: std, partial: o.partial || c.ISOPartial, notes: map[string][]string{}}
	m.change = func(h *ipxe.Host) {
		h.Tries, h.Timeout, h.Pause = o.all.Tries, o.all.Timeout, o.all.Pause
		if keys != nil {
			h.Query = keys.Query(h.Name)
		}
	}
	list := cmp.Or(o.csv, o.json)
	if m.loaders, err = media.Open(o.loaders.LoaderPaths); err != nil ||
		!m.partial && len(m.loaders.Missing()) > 0 {
		hint := "pxesrv iso check-loaders shows what is there; --lkrn, --efi and --loaders take " +
			"other files"
		if err == nil {
			hint += "; --allow-partial makes ISOs that do not boot by it"
		}
		if o.isList() { // what is wrong with its rows is said in the same run
			rows, refused, err := readRows(list, o.csv != "", o.hosts)
			if err != nil {
				return err
			}
			ownFiles(rows, refused)
			refused.say(std, list)
		}
		return withHint(errors.New(strings.Join(m.loaders.Missing(), "\n")), hint, unpackHint)
	}
	if o.isList() {
		return m.list(ctx, list, o.csv != "", o.out, o.hosts)
	}
	return m.one(ctx, o.host, o.file, o.hosts)
}

// maker makes ISOs.
type maker struct {
	std     streams
	loaders *media.Loaders
	partial bool
	change  func(*ipxe.Host) // gives a host what no list says

	notes map[string][]string // to names of hosts
}

// unpackHint says where to get the loaders of Debian 13 on another system.
const unpackHint = "Debian 13's package ipxe " +
	"(https://packages.debian.org/trixie/all/ipxe/download) need not be installed: " +
	"dpkg-deb -x ipxe_*_all.deb /srv/ipxe-13, then --loaders /srv/ipxe-13/usr/lib/ipxe"

// isoKeys returns the keys that sign, or nil.
func isoKeys(std streams, c config.Config, file string) (*media.Keys, error) {
	signing := media.Signing(c.ISOSign)
	switch file {
	case "":
		file = c.KeyFile()
	case "none":
		signing = media.SignOff
	default:
		signing = media.SignOn
	}
	keys, err := media.OpenKeyring(file, signing).Keys()
	if err != nil {
		return nil, withHint(err, "--keys none makes ISOs that are not signed")
	}
	if keys != nil {
		fmt.Fprintf(std.err, "pxesrv: signed with %s\n", file)
	}
	return keys, nil
}

// one makes the ISO of one host. Its flags are read as a list of one line.
func (m *maker) one(ctx context.Context, flags map[string]*string, file string,
	o hosts.Options) error {
	cells := map[string]string{}
	for column, text := range flags {
		cells[column] = *text
	}
	line, err := json.Marshal(cells)
	if err != nil {
		return err
	}
	rows, bad, err := hosts.ReadJSON(strings.NewReader(string(line)), o)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		var all []error
		for _, e := range bad {
			all = append(all,
				errors.New(strings.Replace(e.Error(), fmt.Sprintf("line %d: ", e.Line), "--", 1)))
		}
		return usageError{errors.Join(all...)}
	}
	h := rows[0].Host
	image, err := m.image(h)
	if err != nil {
		return withHint(fmt.Errorf("%s: %w", h.Name, err), m.hints(err)...)
	}
	name := filepath.Base(file)
	only := func(yield func(string, *iso.Image) bool) { yield(name, image) }
	done, err := media.Write(ctx, filepath.Dir(file), only, media.WriteOptions{})
	if err != nil {
		return err
	}
	m.say()
	state := "written"
	if done.Unchanged > 0 {
		state = "unchanged"
	}
	fmt.Fprintf(m.std.err, "pxesrv: %s, for %s: %s\n", file, h.Name, state)
	return nil
}

// list makes the ISOs of a list. What is wrong with a row costs no other row.
func (m *maker) list(ctx context.Context, file string, isCSV bool, dir string,
	o hosts.Options) error {
	rows, refused, err := readRows(file, isCSV, o)
	if err != nil {
		return err
	}
	total := len(rows) + len(refused)
	rows = ownFiles(rows, refused)

	unable := 0
	var images iter.Seq2[string, *iso.Image] = func(yield func(string, *iso.Image) bool) {
		for _, r := range rows {
			image, err := m.image(r.Host)
			if err != nil {
				for line := range strings.Lines(err.Error()) {
					refused[r.Line] = append(refused[r.Line], r.Host.Name+": "+
						strings.TrimRight(line, "\n"))
				}
				if m.hints(err) != nil {
					unable++
				}
				continue
			}
			if !yield(media.FileName(r.Host.Name), image) {
				return
			}
		}
	}
	options := media.WriteOptions{
		Sums: true,
		Waiting: func() {
			fmt.Fprintf(m.std.err, "pxesrv: another run writes to %s, waiting for "+
				"it\n", dir)
		},
	}
	clear := func() {}
	if isTerminal(m.std.err) {
		options.Progress = func(done int) {
			fmt.Fprintf(m.std.err, "\r\x1b[K%d of %d", done, len(rows))
		}
		clear = func() { fmt.Fprint(m.std.err, "\r\x1b[K") }
	}
	var done media.Written
	if len(rows) > 0 {
		done, err = media.Write(ctx, dir, images, options)
		clear()
	}
	refused.say(m.std, file)
	if err != nil {
		return err
	}
	m.say()
	if unable > 0 {
		err := fmt.Errorf("%s refused for what a loader cannot do", counted(unable, "host"))
		report(m.std.err, withHint(err, loaderHints...))
	}
	fmt.Fprintf(m.std.err, "pxesrv: %s: %s, %d new, %d changed, %d unchanged",
		dir, counted(done.Total(), "ISO"), done.New, done.Changed, done.Unchanged)
	if len(refused) == 0 {
		fmt.Fprintln(m.std.err)
		return nil
	}
	fmt.Fprintf(m.std.err, "; %d of %s refused\n", len(refused), counted(total, "row"))
	return errQuiet
}

// refusals are what is wrong with the rows of a list, by line.
type refusals map[int][]string

func (r refusals) say(std streams, file string) {
	for _, line := range slices.Sorted(maps.Keys(r)) {
		for _, why := range r[line] {
			fmt.Fprintf(std.err, "%s:%d: %s\n", file, line, why)
		}
	}
}

// readRows reads a list of hosts, and what is wrong with its rows.
func readRows(file string, isCSV bool, o hosts.Options) ([]hosts.Row, refusals, error) {
	rows, bad, err := readList(file, isCSV, o)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	refused := refusals{}
	for _, e := range bad {
		refused[e.Line] = append(refused[e.Line],
			strings.TrimPrefix(e.Error(), fmt.Sprintf("line %d: ", e.Line)))
	}
	return rows, refused, nil
}

// readList reads a list of hosts; - is standard input.
func readList(file string, isCSV bool, o hosts.Options) ([]hosts.Row, []*hosts.RowError, error) {
	var in io.Reader = os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, nil, errors.Unwrap(err) // its path is said by the caller
		}
		defer f.Close()
		in = f
	}
	if isCSV {
		return hosts.ReadCSV(in, o)
	}
	return hosts.ReadJSON(in, o)
}

// ownFiles returns the rows whose files are of no other host: a:b and a-b are
// two names and would be one file.
func ownFiles(rows []hosts.Row, refused refusals) []hosts.Row {
	of := map[string][]hosts.Row{}
	for _, r := range rows {
		name := strings.ToLower(media.FileName(r.Host.Name))
		of[name] = append(of[name], r)
	}
	return slices.DeleteFunc(rows, func(r hosts.Row) bool {
		same := of[strings.ToLower(media.FileName(r.Host.Name))]
		if len(same) == 1 {
			return false
		}
		other := same[0]
		if other.Line == r.Line {
			other = same[1]
		}
		refused[r.Line] = append(refused[r.Line], fmt.Sprintf("name %q would have the file %s, "+
			"and so would %q in line %d",
			r.Host.Name, media.FileName(r.Host.Name), other.Host.Name, other.Line))
		return true
	})
}

// image makes the image of a host and keeps what is to be said of it.
func (m *maker) image(h ipxe.Host) (*iso.Image, error) {
	m.change(&h)
	image, notes, err := m.loaders.Image(h, m.partial)
	for _, n := range notes {
		m.notes[n] = append(m.notes[n], h.Name)
	}
	return image, err
}

// loaderHints say what helps when a loader cannot do what a host needs.
var loaderHints = []string{
	"--lkrn, --efi and --loaders take other loaders, --allow-partial leaves that way to boot out",
	unpackHint,
}

// hints are loaderHints when it is a loader that fails.
func (m *maker) hints(err error) []string {
	if m.partial || !strings.Contains(err.Error(), "no boot by ") {
		return nil
	}
	return loaderHints
}

// say says the notes, each once.
func (m *maker) say() {
	for _, n := range slices.Sorted(maps.Keys(m.notes)) {
		who := m.notes[n]
		if len(who) > 3 {
			who = []string{counted(len(who), "host")}
		}
		fmt.Fprintf(m.std.err, "pxesrv: %s: %s\n", strings.Join(who, ", "), n)
	}
}
