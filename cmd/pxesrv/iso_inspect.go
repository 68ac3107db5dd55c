package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/iso"
	"pxesrv/pkg/loader"
	"pxesrv/pkg/media"
)

// What the script of a host says of it (ipxe.Host.Script).
var (
	saysHost   = regexp.MustCompile(`(?m)^set q \$\{q\}&host=(\S+)$`)
	saysPlace  = regexp.MustCompile(`(?m)^echo Host (.*)$`)
	saysSigned = regexp.MustCompile(`(?m)^set q \$\{q\}&.*hostsig=[0-9a-f]`)
	saysServer = regexp.MustCompile(`(?m)^set srv[0-9]+ (\S+)$`)
)

// isoInspectCommand says what ISOs are.
func isoInspectCommand(std streams) *cobra.Command {
	c := &cobra.Command{
		Use: "inspect FILE…",
		Short: "which host an ISO is for, its script, its loaders and their " +
			"versions, and what it boots on",
		ValidArgsFunction: files,
	}
	script := c.Flags().Bool("script", false, "print the script alone")
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return withHint(usagef("say which ISO"), "pxesrv iso inspect FILE…")
		}
		var failed error
		for i, path := range args {
			if i > 0 && !*script {
				fmt.Fprintln(std.out)
			}
			if err := inspectFile(std, path, *script); err != nil {
				report(std.err, fmt.Errorf("%s: %w", path, err))
				failed = errQuiet
			}
		}
		return failed
	}
	return c
}

func inspectFile(std streams, path string, script bool) error {
	file, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd) // a stick has no size to be asked for
	if err != nil {
		return err
	}
	info, err := iso.Inspect(file, size)
	if err != nil {
		return err
	}
	text, same := info.Script()
	if script {
		if same {
			_, err = std.out.Write(text)
			return err
		}
		return withHint(errors.New("its ways to boot have different scripts: something edited it"),
			"pxesrv iso inspect without --script shows them")
	}

	t := tabwriter.NewWriter(std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "file\t%s, %d bytes, layout %d\n", path, info.Size, info.Version)
	first := info.Scripts[0].Text
	if m := saysHost.FindSubmatch(first); m != nil {
		fmt.Fprintf(t, "host\t%s\n", m[1])
	} else {
		fmt.Fprint(t, "host\tunknown: the script is none that pxesrv makes\n")
	}
	if m := saysPlace.FindSubmatch(first); m != nil {
		fmt.Fprintf(t, "screen\t%s\n", m[1])
	}
	for _, m := range saysServer.FindAllSubmatch(first, -1) {
		fmt.Fprintf(t, "asks\t%s\n", m[1])
	}
	if signed := "no: whoever asks in the name of this host gets what it gets"; saysHost.Match(
		first) {
		if saysSigned.Match(first) {
			signed = "yes, by a key of iso keygen"
		}
		fmt.Fprintf(t, "signed\t%s\n", signed)
	}
	fmt.Fprintf(t, "BIOS\t%s\n", bootsFrom(info.BIOS, info.BIOSStick))
	fmt.Fprintf(t, "UEFI\t%s\n", bootsFrom(info.UEFI, info.UEFIStick))
	for _, l := range info.Loaders {
		body := make([]byte, l.Size)
		if _, err := l.Content.ReadAt(body, 0); err != nil && err != io.EOF {
			return err
		}
		what := ""
		switch b := loader.Inspect(body); {
		case l.Name == "isolinux.bin" || l.Name == "ldlinux.c32" || l.Name == "isohdpfx.bin":
			what = media.SYSLINUX(body)
		case b.IPXE:
			what = b.Loader.String() + on(b) + ", " + abilities(b)
		case b.Starts != "":
			what = shim(b)
		case b.Platform == ipxe.UEFI:
			what = "not iPXE" + on(b)
		}
		if what != "" {
			what = ": " + what
		}
		fmt.Fprintf(t, "loader\t%s%s\n", l.Path, what)
		fmt.Fprintf(t, "\t%d bytes, SHA-256 %x\n", l.Size, l.SHA256)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var paths []string
	edited := false
	for _, s := range info.Scripts {
		paths, edited = append(paths, s.Path), edited || s.Edited
	}
	if same {
		_, err = fmt.Fprintf(std.out, "\n%s, %d bytes:\n%s", strings.Join(paths, " and "),
			len(text), endLine(text))
	} else {
		for _, s := range info.Scripts {
			_, err = fmt.Fprintf(std.out, "\n%s, %d bytes:\n%s", s.Path, len(s.Text),
				endLine(s.Text))
		}
		edited = true
	}
	if err == nil && edited {
		return errors.New("something else than pxesrv edited its script")
	}
	return err
}

// endLine returns a text that ends its last line.
func endLine(text []byte) []byte {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return append(text[:len(text):len(text)], '\n')
	}
	return text
}

func bootsFrom(cd, stick bool) string {
	switch {
	case cd && stick:
		return "boots from CD and from USB stick"
	case cd:
		return "boots from CD, not from USB stick"
	case stick:
		return "boots from USB stick, not from CD"
	}
	return "does not boot"
}

// shim says what a shim starts.
func shim(b loader.Build) string {
	return "a shim" + on(b) + ", which starts " + b.Starts + " beside itself"
}

// on names the processor of a build for UEFI.
func on(b loader.Build) string {
	if b.Platform == ipxe.UEFI {
		return " on " + b.Arch
	}
	return ""
}

// abilities says what a build of iPXE can and cannot do for a host.
func abilities(b loader.Build) string {
	var can, cannot []string
	for _, a := range []struct {
		name string
		has  bool
	}{{"VLAN", b.VLAN}, {"IPv6", b.IPv6}, {"HTTPS", b.HTTPS}, {"several DNS servers", b.DNS > 1}} {
		if a.has {
			can = append(can, a.name)
		} else {
			cannot = append(cannot, a.name)
		}
	}
	var all []string
	if len(can) > 0 {
		all = append(all, "can "+strings.Join(can, ", "))
	}
	if len(cannot) > 0 {
		all = append(all, "cannot "+strings.Join(cannot, ", "))
	}
	return strings.Join(all, "; ") + " (" + b.How + ")"
}

// isoCheckLoadersCommand says which loader files are found, and what ISOs with
// them can do.
func isoCheckLoadersCommand(std streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "check-loaders",
		Short: "which loader files are found where, and what they can and cannot do",
		Args:  noArgs,
	}
	files := loaderFlags(c.Flags())
	c.RunE = func(*cobra.Command, []string) error {
		if _, err := files.load(std); err != nil {
			return err
		}
		k, _ := media.Open(files.LoaderPaths) // what is wrong is in the ways below
		t := tabwriter.NewWriter(std.out, 0, 8, 2, ' ', 0)
		for _, l := range k.Files() {
			switch {
			case l.Path == "":
				fmt.Fprintf(t, "%s\tnot found\n", l.Name)
			case l.Build.IPXE:
				fmt.Fprintf(t, "%s\t%s: %v%s\n\t%s\n", l.Name, l.Path, l.Build.Loader, on(l.Build),
					abilities(l.Build))
			case l.Build.Starts != "":
				fmt.Fprintf(t, "%s\t%s: %s\n\tin ISOs that is the name of iPXE\n", l.Name, l.Path,
					shim(l.Build))
			case l.SYSLINUX != "":
				fmt.Fprintf(t, "%s\t%s: %s\n", l.Name, l.Path, l.SYSLINUX)
			default:
				fmt.Fprintf(t, "%s\t%s\n", l.Name, l.Path)
			}
		}
		fmt.Fprintln(t)
		for _, w := range k.Firmwares() {
			if w.Why == "" {
				fmt.Fprintf(t, "%s\tISOs boot from CD and from USB stick\n", w.Name)
				if w.Note != "" {
					fmt.Fprintf(t, "\t%s\n", w.Note)
				}
			} else {
				fmt.Fprintf(t, "%s\tISOs do not boot: %s\n", w.Name, w.Why)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
		if len(k.Missing()) > 0 {
			return errQuiet
		}
		return nil
	}
	return c
}
