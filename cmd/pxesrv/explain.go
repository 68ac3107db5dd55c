package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/site"
)

const explainLong = `
A NAME is a MAC, uuid, address, serial, asset tag or host name, in any
spelling. Several names of one machine have commas between them, as names= in
the log:
  pxesrv explain 10.0.0.7
  pxesrv explain 52-54-00-12-34-56,10.0.0.7
  pxesrv explain --query 'uuid=12345678-9abc-def0-1122-aabbccddeeff&serial=S/N%2042' --ip 10.0.0.7

A host of iso.hosts is found by its name, its card and its addresses, and
explained with all of them. The exit status is 1 when no script answers, or
when a name is doubtful, like 10.0.0.777.
`

// explainer says what a machine would get, by the very code that answers it,
// and uses nothing up.
type explainer struct {
	std          streams
	flags        *pflag.FlagSet
	claims       boot.Claims
	query, ip    string
	macs         []string
	json, script bool

	site  *site.Site
	about explained
}

func explainCommand(std streams, src *sources) *cobra.Command {
	c := &cobra.Command{
		Use:               "explain NAME…",
		Short:             "what a machine would get, and why; uses nothing up",
		Long:              explainLong,
		ValidArgsFunction: machineNames(src, true),
	}
	f := c.Flags()
	e := &explainer{std: std, flags: f}
	f.StringVar(&e.query, "query", "", "the query of a request, or its whole URL")
	f.StringVar(&e.ip, "ip", "", "the address the machine asks from")
	f.StringVar(&e.claims.UUID, "uuid", "", "SMBIOS uuid")
	f.StringVar(&e.claims.Manufacturer, "manufacturer", "", "SMBIOS manufacturer")
	f.StringVar(&e.claims.Serial, "serial", "", "SMBIOS serial number")
	f.StringVar(&e.claims.Board, "board", "", "SMBIOS base board serial number")
	f.StringVar(&e.claims.Asset, "asset", "", "SMBIOS chassis asset tag")
	f.StringArrayVar(&e.macs, "mac", nil, "MAC address; may be given several times")
	f.StringVar(&e.claims.Host, "host", "", "host name that the machine's boot medium says; "+
		"signed where it must be, if the key can be read")
	f.IntVar(&e.claims.Try, "try", 0, "how often the machine has asked before in this boot")
	f.BoolVar(&e.script, "script", false, "print the script instead")
	f.BoolVar(&e.json, "json", false, "print the decision as JSON")
	addFlags(c, src.common)
	c.RunE = func(c *cobra.Command, args []string) error {
		config, err := src.read(std)
		if err != nil {
			return err
		}
		if e.site, err = site.New(config); err != nil {
			return err
		}
		m, err := e.machine(args)
		if err != nil {
			return err
		}
		return e.explain(c.Context(), m)
	}
	return c
}

// machine is the machine that flags and arguments describe.
func (e *explainer) machine(args []string) (m boot.Machine, err error) {
	c := &e.claims
	smbios := c.UUID+c.Manufacturer+c.Serial+c.Board+c.Asset+c.Host != "" || len(e.macs) > 0
	names := []string{"query", "ip", "uuid", "manufacturer", "serial", "board", "asset",
		"mac", "host"}
	if len(args) == 0 && !slices.ContainsFunc(names, e.flags.Changed) {
		return m, withHint(usagef("explain needs the name of a machine"),
			"give a MAC, uuid, address, serial, …; see pxesrv explain --help")
	}
	var addr netip.Addr
	if e.ip != "" {
		if addr, err = netip.ParseAddr(e.ip); err != nil {
			return m, usagef("--ip %q is not an address", e.ip)
		}
	}
	switch query := e.query; {
	case query != "" && (smbios || c.Try > 0):
		return m, usagef("--query says all of the machine; beside it only --ip can be given")
	case query != "":
		if before, after, cut := strings.Cut(query, "?"); cut && !strings.Contains(before, "=") {
			query = after // of a whole URL
		}
		m = e.site.Identify(boot.ParseQuery(query), addr)
	default:
		for _, text := range e.macs {
			if mac, ok := boot.HasMAC(text); ok {
				text = mac
			}
			c.MACs = append(c.MACs, text)
		}
		c.HostSig = e.site.Sign(c.Host)
		m = e.site.Identify(*c, addr)
	}
	e.about.typed = len(args)
	for _, arg := range args {
		for _, name := range namesOf(arg) {
			if err := e.add(&m, name); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

// add adds what a name says of a machine.
func (e *explainer) add(m *boot.Machine, name string) error {
	if d, doubted := e.site.Doubtful(name); doubted {
		e.about.Doubts = append(e.about.Doubts, fmt.Sprintf("%s %s; %s", name, d.What, d.Do))
		e.about.doubts = append(e.about.doubts, withHint(fmt.Errorf("%s %s", name, d.What), d.Do))
	}
	named, err := e.site.MachineMeant(name)
	switch {
	case err != nil && len(e.about.doubts) > 0:
		last := len(e.about.doubts) - 1
		for _, d := range e.about.doubts[:last] {
			report(e.std.err, d)
		}
		return e.about.doubts[last]
	case err != nil:
		return usageError{err}
	case named.Listed != "" && !slices.Contains(e.about.Hosts, named.Listed):
		e.about.Hosts = append(e.about.Hosts, named.Listed)
	}
	if _, err := e.site.Unlisted(named); err != nil && e.about.unlisted == nil {
		e.about.unlisted = err
	}
	for _, n := range named.Names {
		if !slices.ContainsFunc(m.Names, func(o boot.Name) bool { return o.Text == n.Text }) {
			m.Names = append(m.Names, n)
		}
	}
	m.Dropped = append(m.Dropped, named.Dropped...)
	m.OtherMACs = append(m.OtherMACs, named.OtherMACs...)
	if !m.Addr.IsValid() {
		m.Addr = named.Addr
	}
	return nil
}

// explain decides what the machine would get, and says it.
func (e *explainer) explain(ctx context.Context, m boot.Machine) error {
	if e.about.unlisted != nil {
		fmt.Fprintf(e.std.err, "pxesrv: nothing is known of hosts: %v\n", e.about.unlisted)
	}
	for _, d := range e.about.doubts {
		report(e.std.err, d)
	}
	a, err := e.site.Resolve(ctx, &m, false)
	if err == nil {
		e.about.Missing = e.site.Missing(a.Script)
	}
	if err == nil || errors.Is(err, boot.ErrNothing) { // else the disk may hang
		var merr error
		if e.about.Misread, merr = e.site.Misread(m.Names); merr != nil {
			fmt.Fprintf(e.std.err, "pxesrv: misspelt entries cannot be looked for: %v\n", merr)
		}
	}
	switch {
	case e.script && err == nil:
		_, err = e.std.out.Write(a.Script.Body)
	case e.script:
	case e.json:
		err = explainJSON(e.std, m, a, e.about, err)
	default:
		explainText(e.std, m, a, e.about, err)
		if errors.Is(err, boot.ErrNothing) {
			hint(e.std.err, "a file default in the root answers every machine; pxesrv order "+
				"place NAME SCRIPT boots this one once")
		}
		if err != nil {
			err = errQuiet
		}
	}
	if err == nil && len(e.about.Doubts) > 0 {
		return errQuiet
	}
	return err
}

// explained is what is said beside the decision.
type explained struct {
	Hosts   []string       `json:"hosts,omitempty"`  // of the list, that the names are of
	Doubts  []string       `json:"doubts,omitempty"` // about names that were typed
	Misread []site.Misread `json:"misread,omitempty"`
	// files that the script boots, and that are not there
	Missing  []string `json:"missing,omitempty"`
	typed    int      // arguments
	doubts   []error  // as Doubts, apart from what to do
	unlisted error
}

// namesOf are the names of an argument. Between them are commas, which some
// keyboards have for the dots of an address, and some people between the bytes
// of a MAC.
func namesOf(arg string) []string {
	if n, err := boot.Meant(arg); err == nil && n.Kind == boot.MAC && strings.Count(arg, ",") == 5 {
		return []string{arg}
	}
	if d, doubted := boot.Doubtful(arg); doubted && strings.ReplaceAll(arg, ",", ".") == d.Right {
		return []string{arg}
	}
	return strings.Split(arg, ",")
}

func explainText(std streams, c boot.Machine, a boot.Answer, about explained, err error) {
	p := func(format string, args ...any) { fmt.Fprintf(std.out, format+"\n", args...) }
	for i, n := range c.Names {
		head := ""
		if i == 0 {
			head = "names"
		}
		p("%-9s %s (%s)", head, n.Text, n.Kind)
	}
	switch {
	case len(c.Names) > 0:
	case len(c.OtherMACs) > 0:
		p("%-9s none: only protect/ and the default can answer", "names")
	default:
		p("%-9s none: only the default can answer", "names")
	}
	if about.typed > 1 {
		p("%-9s one that has all of these names; for two machines, ask twice", "machine")
	}
	for _, h := range about.Hosts {
		p("%-9s %s, as the list of hosts has it", "host", h)
	}
	for _, d := range c.Dropped {
		p("%-9s %s %q %s", "no name", d.Kind, d.Value, d.Why)
	}
	if c.Conflict != "" {
		p("%-9s %s", "conflict", c.Conflict)
	}
	for _, m := range about.Misread {
		p("%-9s %s %s", "misspelt", m.Path, m.Why)
	}
	for _, s := range boot.Steps() {
		said := false
		for _, f := range a.Trace.Findings {
			if f.Step == s {
				p("%-9s %s", s, sentence(f))
				said = true
			}
		}
		if asked := slices.Contains(a.Trace.Steps, s); !said && asked &&
			!(s == boot.Resend && c.Try == 0) {
			p("%-9s -", s)
		}
	}
	switch {
	case errors.Is(err, boot.ErrNothing):
		p("%-9s none: nothing is set for this machine, and there is no default (HTTP 404)",
			"answer")
	case err != nil:
		p("%-9s none: %v (HTTP 503)", "answer", err)
	default:
		p("%-9s %s, %d bytes", "answer", a.Script.From, len(a.Script.Body))
	}
	if len(about.Missing) > 0 {
		p("%-9s its script boots what is not there: %s", "missing",
			strings.Join(about.Missing, ", "))
	}
}

// sentence says what became of an entry.
func sentence(f boot.Finding) string {
	text := f.Path
	if f.Target != "" {
		text += " -> " + f.Target
	}
	switch f.Outcome {
	case boot.Answered:
		text += ": this one answers"
		if f.Order && f.Step == boot.Once {
			text += ", and is used up by it"
		}
		if f.Step == boot.Resend {
			text += " once more, because it did not arrive"
		}
		if f.Step == boot.Protect {
			text += ": boot the local disk, whatever else is set"
		}
	case boot.Skipped:
		text += ": skipped, " + f.Why
	case boot.Waiting:
		text += ": the order waits, the machine is protected"
	case boot.Behind:
		text += ": not asked"
		if f.Why != "" {
			text += "; " + f.Why
		}
	case boot.Unsure:
		text += ": cannot be known: " + f.Why
	}
	return text
}

func explainJSON(std streams, c boot.Machine, a boot.Answer, about explained, err error) error {
	out := struct {
		Names    []boot.Name    `json:"names"`
		Dropped  []boot.Dropped `json:"dropped,omitempty"`
		Conflict string         `json:"conflict,omitempty"`
		explained
		boot.Trace
		Status int    `json:"status"`
		Step   string `json:"step,omitempty"`
		Entry  string `json:"entry,omitempty"`
		File   string `json:"file,omitempty"`
		Bytes  int    `json:"bytes,omitempty"`
		Error  string `json:"error,omitempty"`
	}{Names: c.Names, Dropped: c.Dropped, Conflict: c.Conflict, explained: about, Trace: a.Trace,
		Status: 200}
	switch {
	case errors.Is(err, boot.ErrNothing):
		out.Status, out.Error = 404, err.Error()
	case err != nil:
		out.Status, out.Error = 503, err.Error()
	default:
		out.Step, out.Entry, out.File, out.Bytes = string(a.Entry.Step), a.Entry.Path,
			a.Script.From, len(a.Script.Body)
	}
	e := json.NewEncoder(std.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if jerr := e.Encode(out); jerr != nil {
		return jerr
	}
	if err != nil {
		return errQuiet
	}
	return nil
}
