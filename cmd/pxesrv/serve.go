package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"pxesrv/pkg/config"
	"pxesrv/pkg/daemon"
)

func runServe(ctx context.Context, io streams, args []string) error {
	c := config.Default()
	f := flags(io, "serve", "", &c, true)
	if err := parse(io, f, &c, args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return usagef("serve takes no arguments, and %q is one", f.Arg(0))
	}
	out := io.err
	if c.Log != "" {
		file, err := os.OpenFile(c.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return fmt.Errorf("the log cannot be written: %w; name another file with --log or PXESRV_LOG", err)
		}
		defer file.Close()
		out = file
	}
	return daemon.Run(ctx, c, slog.New(slog.NewTextHandler(out, nil)))
}

// release is the version of a release build, set by the linker.
var release = "dev"

func runVersion(_ context.Context, io streams, args []string) error {
	if len(args) > 0 {
		return usagef("version takes no arguments")
	}
	text := "pxesrv " + release
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				text += " (" + s.Value[:12] + ")"
			}
		}
		text += ", " + info.GoVersion
	}
	fmt.Fprintln(io.out, text)
	return nil
}
