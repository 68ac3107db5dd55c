// Command pxesrv answers the question of a machine that starts: what should I
// boot? Plain files say it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errQuiet ends the program with status 1 after everything was said.
var errQuiet = errors.New("")

// run is the program with its own arguments and streams. It returns the exit
// status: 0 done, 1 failed, 2 called wrongly.
func run(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	go func() { <-ctx.Done(); stop() }()

	err := rootCommand(streams{out, errOut}, args).ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		report(errOut, err)
		return 2
	case err != errQuiet:
		report(errOut, err)
	}
	return 1
}
