package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/site"
)

const explainNotes = `
A NAME is a MAC, a uuid, an address, or a serial, asset tag or host name, in any spelling. All that a machine has can be given
at once, with commas between them, as names= in the log has them:
  pxesrv explain 10.0.0.7
  pxesrv explain 52-54-00-12-34-56,10.0.0.7
  pxesrv explain --query 'uuid=12345678-9abc-def0-1122-aabbccddeeff&serial=S/N%2042' --ip 10.0.0.7

A host of iso.hosts is found by its name, its card and its addresses, and explained with all of them. The exit status is 1 when no
script answers, and when a name is doubtful, as 10.0.0.777 is.
`

// explain says what a machine would get, by the very code that answers it, and uses nothing up.
func explain(io streams) (*pflag.FlagSet, action) {
	var l layers
	f := flags(&l, false)
	var (
		claims        boot.Claims
		query, ip     string
		macs          []string
		asJSON, print bool
	)
	f.StringVar(&query, "query", "", "the query of a request, or its whole URL")
	f.StringVar(&ip, "ip", "", "the address the machine asks from")
	f.StringVar(&claims.UUID, "uuid", "", "SMBIOS uuid")
	f.StringVar(&claims.Manufacturer, "manufacturer", "", "SMBIOS manufacturer")
	f.StringVar(&claims.Serial, "serial", "", "SMBIOS serial number")
	f.StringVar(&claims.Board, "board", "", "SMBIOS base board serial number")
	f.StringVar(&claims.Asset, "asset", "", "SMBIOS chassis asset tag")
	f.StringArrayVar(&macs, "mac", nil, "MAC address; may be given several times")
	f.StringVar(&claims.Host, "host", "", "host name that the machine's boot medium says; signed where it must be, if the key can be read")
	f.IntVar(&claims.Try, "try", 0, "how often the machine has asked before in this boot")
	f.BoolVar(&print, "script", false, "print the script instead")
	f.BoolVar(&asJSON, "json", false, "print the decision as JSON")
	return f, func(ctx context.Context, _ []string) error {
		c, err := l.read(io)
		if err != nil {
			return err
		}
		for _, text := range macs {
			if mac, ok := boot.HasMAC(text); ok {
				text = mac
			}
			claims.MACs = append(claims.MACs, text)
		}
		var addr netip.Addr
		if ip != "" {
			if addr, err = netip.ParseAddr(ip); err != nil {
				return usagef("--ip %q is not an address", ip)
			}
		}
		s, err := site.New(c)
		if err != nil {
			return err
		}
		given := false
		f.Visit(func(fl *pflag.Flag) {
			switch fl.Name {
			case "query", "ip", "uuid", "manufacturer", "serial", "board", "asset", "mac", "host":
				given = true
			}
		})
		if !given && f.NArg() == 0 {
			return usagef("explain needs the name of a machine: a MAC, uuid, address, serial, … (see pxesrv explain --help)")
		}
		if query != "" && (claims.UUID+claims.Manufacturer+claims.Serial+claims.Board+claims.Asset+claims.Host != "" || len(macs) > 0 || claims.Try > 0) {
			return usagef("--query says all of the machine; beside it only --ip can be given")
		}
		var client boot.Machine
		if query != "" {
			if before, after, cut := strings.Cut(query, "?"); cut && !strings.Contains(before, "=") {
				query = after // of a whole URL
			}
			client = s.Identify(boot.ParseQuery(query), addr)
		} else {
			claims.HostSig = s.Sign(claims.Host)
			client = s.Identify(claims, addr)
		}
		about := explained{typed: len(f.Args())}
		for _, arg := range f.Args() {
			for _, name := range namesOf(arg) {
				if d, doubted := s.Doubtful(name); doubted {
					about.Doubts = append(about.Doubts, fmt.Sprintf("%s %s; %s", name, d.What, d.Do))
				}
				m, err := s.MachineMeant(name)
				switch {
				case err != nil && len(about.Doubts) > 0:
					return errors.New(strings.Join(about.Doubts, "; "))
				case err != nil:
					return usageError{err}
				case m.Listed != "" && !slices.Contains(about.Hosts, m.Listed):
					about.Hosts = append(about.Hosts, m.Listed)
				}
				if _, err := s.Unlisted(m); err != nil && about.unlisted == nil {
					about.unlisted = err
				}
				for _, n := range m.Names {
					if !slices.ContainsFunc(client.Names, func(o boot.Name) bool { return o.Text == n.Text }) {
						client.Names = append(client.Names, n)
					}
				}
				client.Dropped = append(client.Dropped, m.Dropped...)
				client.OtherMACs = append(client.OtherMACs, m.OtherMACs...)
				if !client.Addr.IsValid() {
					client.Addr = m.Addr
				}
			}
		}
		if about.unlisted != nil {
			fmt.Fprintf(io.err, "pxesrv: nothing is known of hosts: %v\n", about.unlisted)
		}
		for _, d := range about.Doubts {
			fmt.Fprintf(io.err, "pxesrv: %s\n", d)
		}
		a, err := s.Resolve(ctx, &client, false)
		if err == nil {
			about.Missing = s.Missing(a.Script)
		}
		if err == nil || errors.Is(err, boot.ErrNothing) { // else the disk may hang
			var merr error
			if about.Misread, merr = s.Misread(client.Names); merr != nil {
				fmt.Fprintf(io.err, "pxesrv: misspelt entries cannot be looked for: %v\n", merr)
			}
		}
		switch {
		case print && err == nil:
			_, err = io.out.Write(a.Script.Body)
		case print:
		case asJSON:
			err = explainJSON(io, client, a, about, err)
		default:
			explainText(io, client, a, about, err)
			if err != nil {
				err = errQuiet
			}
		}
		if err == nil && len(about.Doubts) > 0 {
			return errQuiet
		}
		return err
	}
}

// explained is what is said beside the decision.
type explained struct {
	Hosts    []string       `json:"hosts,omitempty"`  // of the list, that the names are of
	Doubts   []string       `json:"doubts,omitempty"` // about names that were typed
	Misread  []site.Misread `json:"misread,omitempty"`
	Missing  []string       `json:"missing,omitempty"` // files that the script boots, and that are not there
	typed    int            // arguments
	unlisted error
}

// namesOf are the names of an argument. Between them are commas, which some keyboards have for the dots of an address, and
// some people between the bytes of a MAC.
func namesOf(arg string) []string {
	if n, err := boot.Meant(arg); err == nil && n.Kind == boot.MAC && strings.Count(arg, ",") == 5 {
		return []string{arg}
	}
	if d, doubted := boot.Doubtful(arg); doubted && strings.ReplaceAll(arg, ",", ".") == d.Right {
		return []string{arg}
	}
	return strings.Split(arg, ",")
}

func explainText(io streams, c boot.Machine, a boot.Answer, about explained, err error) {
	p := func(format string, args ...any) { fmt.Fprintf(io.out, format+"\n", args...) }
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
		if asked := slices.Contains(a.Trace.Steps, s); !said && asked && !(s == boot.Resend && c.Try == 0) {
			p("%-9s -", s)
		}
	}
	switch {
	case errors.Is(err, boot.ErrNothing):
		p("%-9s none: nothing is set for this machine, and there is no default (HTTP 404)", "answer")
	case err != nil:
		p("%-9s none: %v (HTTP 503)", "answer", err)
	default:
		p("%-9s %s, %d bytes", "answer", a.Script.From, len(a.Script.Body))
	}
	if len(about.Missing) > 0 {
		p("%-9s its script boots what is not there: %s", "missing", strings.Join(about.Missing, ", "))
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

func explainJSON(io streams, c boot.Machine, a boot.Answer, about explained, err error) error {
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
	}{Names: c.Names, Dropped: c.Dropped, Conflict: c.Conflict, explained: about, Trace: a.Trace, Status: 200}
	switch {
	case errors.Is(err, boot.ErrNothing):
		out.Status, out.Error = 404, err.Error()
	case err != nil:
		out.Status, out.Error = 503, err.Error()
	default:
		out.Step, out.Entry, out.File, out.Bytes = string(a.Entry.Step), a.Entry.Path, a.Script.From, len(a.Script.Body)
	}
	e := json.NewEncoder(io.out)
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
