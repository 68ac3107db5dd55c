package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// What the linker knows of a build (Makefile): the version of debian/changelog,
// the commit and the time it was made.
var release, commit, date string

// build is what is known of this program. A build by "go build" in a checkout
// knows its commit from Go, and is called dev.
type build struct{ version, commit, date, compiler string }

func thisBuild() build {
	b := build{release, commit, date, runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	info, _ := debug.ReadBuildInfo()
	if b.commit == "" && info != nil {
		vcs := map[string]string{}
		for _, s := range info.Settings {
			vcs[s.Key] = s.Value
		}
		b.commit, b.date = vcs["vcs.revision"], cmp.Or(b.date, vcs["vcs.time"])
		b.commit = b.commit[:min(len(b.commit), 12)]
		if vcs["vcs.modified"] == "true" {
			b.commit += "-dirty"
		}
	}
	b.version, b.commit = cmp.Or(b.version, "dev"), cmp.Or(b.commit, "unknown")
	return b
}

func (b build) String() string {
	text := "pxesrv " + b.version + ", commit " + b.commit
	if b.date != "" {
		text += " of " + b.date
	}
	return text + ", " + b.compiler
}

func versionCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return printVersion(std) },
	}
}

func printVersion(std streams) error {
	_, err := fmt.Fprintln(std.out, thisBuild())
	return err
}
