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

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/order"
	"pxesrv/pkg/site"
)

const orderLong = `
NAME is a MAC, uuid, address, serial, asset tag or host name, in any spelling.
A name that cannot be what it seems, like 10.0.0.777, is asked about; where
iso.hosts is set, so is one that is almost that of a host.
`

func orderCommand(std streams, src *sources) *cobra.Command {
	c := &cobra.Command{
		Use:         "order COMMAND …",
		Aliases:     []string{"once"},
		Short:       "place, list, cancel, retry, release one-time orders",
		Long:        orderLong,
		Annotations: map[string]string{usageKey: "pxesrv order COMMAND [flags]"},
	}
	o := &orderer{std: std, src: src}
	names, any := machineNames(src, false), machineNames(src, true)
	return group(c,
		o.command("place NAME SCRIPT", "boot SCRIPT once: makes the link once/NAME; SCRIPT is "+
			"relative to the root, or a path",
			o.place, func(f *pflag.FlagSet) {
				f.BoolVar(&o.force, "force", false, "place the order even if its name is "+
					"doubtful, or its script cannot be served now")
			}, any, scripts(src)),
		o.command("list [NAME]",
			"orders that are pending, open (sent, arrival not known) and served",
			o.list, func(f *pflag.FlagSet) {
				f.BoolVar(&o.json, "json", false, "print the list as JSON")
				f.IntVar(&o.served, "served", 10, "how many served orders to show; -1: all")
			}, names),
		o.command("cancel NAME", "take a pending order back; when none is pending, dismiss the "+
			"open ones", o.cancel, nil, names),
		o.command("retry NAME", "place an open order again", o.retry, nil, names),
		o.command("release NAME", "let a name be granted again that was granted too often",
			o.release, nil, names),
	)
}

// orderer is what the commands about orders work on. Everything they do can be
// done with ln -s and rm as well, except looking.
type orderer struct {
	std         streams
	src         *sources
	json, force bool
	served      int

	site    *site.Site
	store   *order.Store
	typed   string // the name as it was typed
	name    boot.Name
	machine site.MeantMachine // of that name
	doubt   error             // why it is likely another name that was meant
	advice  string            // what to do about that
}

// command makes one of the commands; flags adds flags of its own.
func (o *orderer) command(use, short string, do func(ctx context.Context, args []string) error,
	flags func(*pflag.FlagSet), complete ...completer) *cobra.Command {
	name, args, _ := strings.Cut(use, " ")
	c := &cobra.Command{Use: use, Short: short, ValidArgsFunction: completeArgs(complete...)}
	if flags != nil {
		flags(c.Flags())
	}
	addFlags(c, o.src.common)
	c.Args = func(_ *cobra.Command, given []string) error {
		if n := len(given); n != len(complete) && !(n == 0 && args[0] == '[') {
			return usagef("order %s takes %s", name, args)
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.open(args); err != nil {
			return err
		}
		err := do(c.Context(), args)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, order.ErrNone):
			return fmt.Errorf("%w; orders live in %s", err, o.store.Dir)
		case errors.Is(err, fs.ErrPermission):
			return withHint(err, mayWrite(o.store.Dir))
		}
		return err
	}
	return c
}

// open reads the configuration, and looks who is meant by the first argument.
func (o *orderer) open(args []string) error {
	c, err := o.src.read(o.std)
	if err != nil {
		return err
	}
	if o.site, err = site.New(c); err != nil {
		return err
	}
	o.store = o.site.Orders()
	if len(args) == 0 {
		return nil
	}
	o.typed = args[0]
	doubt, doubted := o.site.Doubtful(o.typed)
	if doubted {
		o.doubt, o.advice = withHint(fmt.Errorf("%s %s", o.typed, doubt.What), doubt.Do), doubt.Do
	}
	if o.machine, err = o.site.MachineMeant(o.typed); err != nil && doubted {
		return o.doubt // which says what to write
	} else if err != nil {
		return usageError{err}
	}
	o.name = o.machine.Name
	if o.name.Text != o.typed && !doubted {
		fmt.Fprintf(o.std.err, "pxesrv: %s is written %s\n", o.typed, o.name.Text)
	}
	if _, err := o.site.Unlisted(o.machine); err != nil {
		fmt.Fprintf(o.std.err, "pxesrv: nothing is known of hosts: %v\n", err)
	}
	return nil
}

// none is the error for a name without such orders. Perhaps they have the name
// that was meant.
func (o *orderer) none(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if o.doubt != nil {
		err = fmt.Errorf("%w; %w", err, o.doubt)
	}
	misread, _ := o.site.Misread(o.machine.Names)
	for _, m := range misread {
		if strings.HasPrefix(m.Path, "once/") {
			err = fmt.Errorf("%w; %s %s", err, m.Path, m.Why)
		}
	}
	return err
}

// force is the flag of place that says that a doubtful order is meant.
const force = "--force places the order all the same"

func (o *orderer) place(ctx context.Context, args []string) error {
	script := args[1]
	if o.doubt != nil && !o.force {
		return withHint(o.doubt, o.advice, force)
	}
	client := &o.machine.Machine
	if len(client.Names) == 0 && !o.force {
		why := client.Dropped[0]
		return withHint(fmt.Errorf("no machine is known by %s %q: it %s", why.Kind,
			why.Value, why.Why),
			"call the machine by another of its names")
	}
	text, err := o.site.LinkTarget(ctx, client, script)
	if errors.Is(err, fs.ErrNotExist) && text == "" {
		return withHint(fmt.Errorf("there is no directory %s", o.store.Dir), "mkdir "+o.store.Dir)
	}
	if err != nil && !(o.force && text != "") {
		return withHint(fmt.Errorf("%s is no script that can be served: %w", script, err), force)
	}
	replaced, err := o.store.Place(o.name.Text, text, actor())
	if err != nil {
		return err
	}
	fmt.Fprintf(o.std.out, "once/%s -> %s\n", o.name.Text, text)
	if o.doubt != nil {
		fmt.Fprintf(o.std.out, "%v; %s\n", o.doubt, o.advice)
	} else if unlisted, _ := o.site.Unlisted(o.machine); unlisted {
		fmt.Fprintln(o.std.out, "the list of hosts has no host of this name: it is for a "+
			"machine with this serial or asset tag")
	}
	if replaced != "" {
		fmt.Fprintf(o.std.out, "it replaces the order that waited: %s\n", replaced)
	}
	mine := "once/" + o.name.Text
	if a, err := o.site.Resolve(ctx, client, false); err == nil && a.Entry.Step == boot.Protect {
		fmt.Fprintf(o.std.out, "the machine is protected by %s: the order waits until that is "+
			"gone\n", a.Entry.Path)
	} else if err == nil && a.Entry.Step == boot.Once && a.Entry.Path != mine {
		fmt.Fprintf(o.std.out, "%s is an order for the same machine, and comes first\n",
			a.Entry.Path)
	} else if err == nil && a.Entry.Step != boot.Once {
		for _, f := range a.Trace.Findings {
			if f.Step == boot.Once && f.Why != "" {
				fmt.Fprintf(o.std.out, "it will not be granted as it is: %s\n", f.Why)
			}
		}
	}
	if s, err := o.store.Load(ctx, client, text); err == nil {
		if missing := o.site.Missing(s); len(missing) > 0 {
			fmt.Fprintf(o.std.out, "its script boots what is not there: %s\n",
				strings.Join(missing, ", "))
		}
	}
	return nil
}

func (o *orderer) list(_ context.Context, _ []string) error {
	l, err := o.store.List()
	if err != nil {
		return err
	}
	if o.name.Text != "" {
		l = l.Of(o.name.Text)
	}
	for i, p := range l.Pending {
		if c, err := o.site.MachineNamed(p.Name); err == nil && len(c.Names) == 0 {
			l.Pending[i].Problem = "matches no machine: " + c.Dropped[0].Why
		}
	}
	if o.served >= 0 && len(l.Served) > o.served {
		l.Served = l.Served[len(l.Served)-o.served:]
	}
	none := len(l.Pending)+len(l.Open)+len(l.Served) == 0
	if o.json {
		e := json.NewEncoder(o.std.out)
		e.SetIndent("", "  ")
		if err := e.Encode(l); err != nil || !none {
			return err
		}
		return o.doubt
	}
	if none {
		fmt.Fprintln(o.std.out, "no orders")
		return o.doubt
	}
	w := tabwriter.NewWriter(o.std.out, 0, 0, 2, ' ', 0)
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

func (o *orderer) cancel(_ context.Context, _ []string) error {
	done, err := o.store.Cancel(o.name.Text, actor())
	if errors.Is(err, order.ErrNone) && o.typed != o.name.Text && boot.IsName(o.typed) {
		// A link that was made by hand, under a name that no machine has.
		done, err = o.store.Cancel(o.typed, actor())
	}
	if errors.Is(err, order.ErrNone) {
		return o.none("no order for %s is pending or open", o.name.Text)
	}
	for _, c := range done {
		fmt.Fprintf(o.std.out, "canceled once/%s -> %s\n", c.Name, c.Target)
	}
	return err
}

func (o *orderer) retry(_ context.Context, _ []string) error {
	c, err := o.store.Retry(o.name.Text, actor())
	if errors.Is(err, order.ErrNone) {
		return o.none("no order for %s is open", o.name.Text)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(o.std.out, "once/%s -> %s\n", c.Name, c.Target)
	return nil
}

func (o *orderer) release(_ context.Context, _ []string) error {
	l, err := o.store.List()
	if err != nil {
		return err
	}
	if l = l.Of(o.name.Text); len(l.Pending)+len(l.Open)+len(l.Served) == 0 {
		return o.none("no order for %s is known", o.name.Text)
	}
	if err := o.store.Release(o.name.Text, actor()); err != nil {
		return err
	}
	fmt.Fprintf(o.std.out, "orders for %s are granted again\n", o.name.Text)
	return nil
}
