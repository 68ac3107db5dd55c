package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/order"
	"pxesrv/pkg/site"
)

const onceNotes = `
NAME is a MAC, uuid, address, serial, asset tag or host name, in any spelling. A name that cannot be what it seems, as 10.0.0.777, is
asked about; where iso.hosts is set, so is one that is almost that of a host.
`

func onceCommands() []subcommand {
	return []subcommand{
		atDesk("place", "NAME SCRIPT", "boot SCRIPT once: makes the link once/NAME; SCRIPT is relative to the root, or a path", oncePlace,
			func(f *pflag.FlagSet, d *onceDesk) {
				f.BoolVar(&d.force, "force", false, "place the order even if its name is doubtful, or its script cannot be served now")
			}),
		atDesk("list", "[NAME]", "orders that are pending, open (sent, arrival not known) and served", onceList,
			func(f *pflag.FlagSet, d *onceDesk) {
				f.BoolVar(&d.json, "json", false, "print the list as JSON")
				f.IntVar(&d.served, "served", 10, "how many served orders to show; -1: all")
			}),
		atDesk("cancel", "NAME", "take a pending order back; when none is pending, dismiss the open ones", onceCancel, nil),
		atDesk("retry", "NAME", "place an open order again", onceRetry, nil),
		atDesk("release", "NAME", "let a name be granted again that was granted too often", onceRelease, nil),
	}
}

// atDesk is a command of the desk of one-time orders; more adds flags of its own. Everything such commands do can be done with ln -s
// and rm as well, except looking.
func atDesk(name, args, about string, do func(context.Context, streams, *onceDesk) error, more func(*pflag.FlagSet, *onceDesk)) subcommand {
	return subcommand{name: "once " + name, args: args, about: about, prepare: func(io streams) (*pflag.FlagSet, action) {
		var l layers
		d := &onceDesk{flags: flags(&l, false)}
		if more != nil {
			more(d.flags, d)
		}
		return d.flags, func(ctx context.Context, _ []string) error {
			c, err := l.read(io)
			if err != nil {
				return err
			}
			if n := d.flags.NArg(); n != len(strings.Fields(args)) && !(n == 0 && args[0] == '[') {
				return usagef("once %s takes %s", name, args)
			}
			if err := d.open(io, c); err != nil {
				return err
			}
			err = do(ctx, io, d)
			switch {
			case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, order.ErrNone):
				return fmt.Errorf("%w; orders live in %s", err, d.orders.Dir)
			case errors.Is(err, fs.ErrPermission):
				return fmt.Errorf("%w%s", err, mayWrite(d.orders.Dir))
			}
			return err
		}
	}}
}

type onceDesk struct {
	flags       *pflag.FlagSet
	site        *site.Site
	orders      *order.Store
	name        boot.Name
	machine     site.MeantMachine // of that name
	doubt       error             // why it is likely another name that was meant
	json, force bool
	served      int
}

// open looks who is meant by the first word.
func (d *onceDesk) open(io streams, c config.Config) (err error) {
	if d.site, err = site.New(c); err != nil {
		return err
	}
	d.orders = d.site.Orders()
	if d.flags.NArg() == 0 {
		return nil
	}
	typed := d.flags.Arg(0)
	doubt, doubted := d.site.Doubtful(typed)
	if doubted {
		d.doubt = fmt.Errorf("%s %s; %s", typed, doubt.What, doubt.Do)
	}
	if d.machine, err = d.site.MachineMeant(typed); err != nil && doubted {
		return d.doubt // which says what to write
	} else if err != nil {
		return usageError{err}
	}
	d.name = d.machine.Name
	if d.name.Text != typed && !doubted {
		fmt.Fprintf(io.err, "pxesrv: %s is written %s\n", typed, d.name.Text)
	}
	if _, err := d.site.Unlisted(d.machine); err != nil {
		fmt.Fprintf(io.err, "pxesrv: nothing is known of hosts: %v\n", err)
	}
	return nil
}

// none is the error for a name without such orders. Perhaps they have the name that was meant.
func (d *onceDesk) none(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if d.doubt != nil {
		err = fmt.Errorf("%w; %w", err, d.doubt)
	}
	misread, _ := d.site.Misread(d.machine.Names)
	for _, m := range misread {
		if strings.HasPrefix(m.Path, "once/") {
			err = fmt.Errorf("%w; %s %s", err, m.Path, m.Why)
		}
	}
	return err
}

func oncePlace(ctx context.Context, io streams, d *onceDesk) error {
	script := d.flags.Arg(1)
	if d.doubt != nil && !d.force {
		return fmt.Errorf("%w (--force places the order all the same)", d.doubt)
	}
	client := &d.machine.Machine
	if len(client.Names) == 0 && !d.force {
		why := client.Dropped[0]
		return fmt.Errorf("no machine is known by %s %q: it %s; call the machine by another of its names", why.Kind, why.Value, why.Why)
	}
	text, err := d.site.LinkTarget(ctx, client, script)
	if errors.Is(err, fs.ErrNotExist) && text == "" {
		return fmt.Errorf("there is no directory %s: mkdir it first", d.orders.Dir)
	}
	if err != nil && !(d.force && text != "") {
		return fmt.Errorf("%s is no script that can be served: %w (--force places the order all the same)", script, err)
	}
	replaced, err := d.orders.Place(d.name.Text, text)
	if err != nil {
		return err
	}
	fmt.Fprintf(io.out, "once/%s -> %s\n", d.name.Text, text)
	if d.doubt != nil {
		fmt.Fprintf(io.out, "%v\n", d.doubt)
	} else if unlisted, _ := d.site.Unlisted(d.machine); unlisted {
		fmt.Fprintln(io.out, "the list of hosts has no host of this name: it is for a machine with this serial or asset tag")
	}
	if replaced != "" {
		fmt.Fprintf(io.out, "it replaces the order that waited: %s\n", replaced)
	}
	mine := "once/" + d.name.Text
	if a, err := d.site.Resolve(ctx, client, false); err == nil && a.Entry.Step == boot.Protect {
		fmt.Fprintf(io.out, "the machine is protected by %s: the order waits until that is gone\n", a.Entry.Path)
	} else if err == nil && a.Entry.Step == boot.Once && a.Entry.Path != mine {
		fmt.Fprintf(io.out, "%s is an order for the same machine, and comes first\n", a.Entry.Path)
	} else if err == nil && a.Entry.Step != boot.Once {
		for _, f := range a.Trace.Findings {
			if f.Step == boot.Once && f.Why != "" {
				fmt.Fprintf(io.out, "it will not be granted as it is: %s\n", f.Why)
			}
		}
	}
	if s, err := d.orders.Load(ctx, client, text); err == nil {
		if missing := d.site.Missing(s); len(missing) > 0 {
			fmt.Fprintf(io.out, "its script boots what is not there: %s\n", strings.Join(missing, ", "))
		}
	}
	return nil
}

func onceList(_ context.Context, io streams, d *onceDesk) error {
	l, err := d.orders.List()
	if err != nil {
		return err
	}
	if d.name.Text != "" {
		l = l.Of(d.name.Text)
	}
	for i, p := range l.Pending {
		if c, err := d.site.MachineNamed(p.Name); err == nil && len(c.Names) == 0 {
			l.Pending[i].Problem = "matches no machine: " + c.Dropped[0].Why
		}
	}
	if d.served >= 0 && len(l.Served) > d.served {
		l.Served = l.Served[len(l.Served)-d.served:]
	}
	none := len(l.Pending)+len(l.Open)+len(l.Served) == 0
	if d.json {
		e := json.NewEncoder(io.out)
		e.SetIndent("", "  ")
		if err := e.Encode(l); err != nil || !none {
			return err
		}
		return d.doubt
	}
	if none {
		fmt.Fprintln(io.out, "no orders")
		return d.doubt
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tNAME\tTARGET\tSINCE\tSENT TO")
	for _, p := range l.Pending {
		state := "pending"
		if p.Problem != "" {
			state = "pending, " + p.Problem
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\n", state, p.Name, p.Target, stamp(p.Placed))
	}
	row := func(state string, c order.Record) {
		to := "-"
		if c.Addr.IsValid() {
			to = c.Addr.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", state, c.Name, c.Target, stamp(c.Time), to)
	}
	for _, c := range l.Open {
		row(cmp.Or(string(c.End), "open"), c)
	}
	for _, c := range l.Served {
		state := "served"
		if c.End != order.Arrived {
			state = string(c.End)
		}
		row(state, c)
	}
	return w.Flush()
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func onceCancel(_ context.Context, io streams, d *onceDesk) error {
	done, err := d.orders.Cancel(d.name.Text)
	if typed := d.flags.Arg(0); errors.Is(err, order.ErrNone) && typed != d.name.Text && boot.IsName(typed) {
		done, err = d.orders.Cancel(typed) // a link that was made by hand, under a name that no machine has
	}
	if errors.Is(err, order.ErrNone) {
		return d.none("no order for %s is pending or open", d.name.Text)
	}
	for _, c := range done {
		fmt.Fprintf(io.out, "canceled once/%s -> %s\n", c.Name, c.Target)
	}
	return err
}

func onceRetry(_ context.Context, io streams, d *onceDesk) error {
	c, err := d.orders.Retry(d.name.Text)
	if errors.Is(err, order.ErrNone) {
		return d.none("no order for %s is open", d.name.Text)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(io.out, "once/%s -> %s\n", c.Name, c.Target)
	return nil
}

func onceRelease(_ context.Context, io streams, d *onceDesk) error {
	l, err := d.orders.List()
	if err != nil {
		return err
	}
	if l = l.Of(d.name.Text); len(l.Pending)+len(l.Open)+len(l.Served) == 0 {
		return d.none("no order for %s is known", d.name.Text)
	}
	if err := d.orders.Release(d.name.Text); err != nil {
		return err
	}
	fmt.Fprintf(io.out, "orders for %s are granted again\n", d.name.Text)
	return nil
}
