package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"pxesrv/pkg/config"
	"pxesrv/pkg/daemon"
)

func serveCommand(std streams, src *sources) *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "the daemon; what pxesrv without a command does",
		Args:  noArgs,
	}
	addFlags(c, src.daemon)
	c.RunE = func(c *cobra.Command, _ []string) error {
		read, err := src.read(std)
		var hangs *config.Hangs
		if err != nil && !errors.As(err, &hangs) {
			return err
		}
		return runServe(c.Context(), std, read, hangs, src)
	}
	return c
}

// runServe runs the daemon. hangs is why the configuration could not be checked
// to its end; nil: it could.
func runServe(ctx context.Context, std streams, c config.Config, hangs *config.Hangs,
	src *sources) error {
	lines, err := daemon.OpenLog(c.Log, std.err)
	if err != nil {
		return withHint(fmt.Errorf("the log cannot be written: %w", err), "name another file "+
			"with --log or PXESRV_LOG")
	}
	defer lines.Close()
	var access *daemon.LogWriter
	if c.AccessLog != "" {
		if access, err = daemon.OpenLog(c.AccessLog, nil); err != nil {
			return withHint(fmt.Errorf("the access log cannot be written: %w", err),
				"name another file with --access-log or PXESRV_ACCESS_LOG")
		}
		defer access.Close()
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	if os.Getenv("GOGC") == "" {
		// The heap of a daemon is a few MiB: it would be collected a hundred
		// times a second under load.
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		// With ten thousand connections, which need 200 MiB, it would grow to
		// five times that before it is collected.
		debug.SetMemoryLimit(320 << 20)
	}
	b := thisBuild()
	d := &daemon.Daemon{
		Config: c, Hangs: hangs, Build: daemon.Build{Version: b.version, Commit: b.commit},
		Log: slog.New(handler(c.LogFormat, lines)), LogOut: lines, Access: access, Hangup: hangup,
		Reload: func() (config.Config, error) {
			c, _, err := src.load()
			return c, err
		},
	}
	lines.Failed = func(err error) {
		d.Log.Error("the log file cannot be opened again, the old one goes on", "error",
			err.Error())
	}
	if access != nil {
		access.Failed = func(err error) {
			d.Log.Error("the access log cannot be opened again, the old one goes on", "error",
				err.Error())
		}
	}
	return d.Run(ctx)
}

func handler(format string, w io.Writer) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, nil)
	}
	return slog.NewTextHandler(w, nil)
}
