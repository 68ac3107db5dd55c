package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"pxesrv/pkg/config"
)

const configLong = `
The file is YAML. It is named by --config or PXESRV_CONFIG; without them it is ` + config.SystemFile + `
where there is one. pxesrv help settings lists the settings.
`

func configCommand(std streams) *cobra.Command {
	c := &cobra.Command{
		Use:         "config COMMAND",
		Short:       "write a configuration file with every setting: config init",
		Long:        configLong,
		Annotations: map[string]string{usageKey: "pxesrv config COMMAND"},
	}
	return group(c, &cobra.Command{
		Use: "init [FILE]",
		Short: "write a file with every setting and its default, commented out; FILE is " +
			"pxesrv.yaml, - standard output",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("config init takes one file, and %d are given", len(args))
			}
			return nil
		},
		ValidArgsFunction: completeArgs(files),
		RunE: func(_ *cobra.Command, args []string) error {
			name := "pxesrv.yaml"
			if len(args) > 0 {
				name = args[0]
			}
			return configInit(std, name)
		},
	})
}

// configInit writes the file. One that is there stays as it is.
func configInit(std streams, name string) error {
	if name == "-" {
		_, err := std.out.Write(config.Template())
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		return withHint(fmt.Errorf("%s is there already, and stays as it is", name),
			"name another file, or - for standard output")
	case err != nil:
		return err
	}
	_, err = f.Write(config.Template())
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(name) // half a file would be in the way of the next try
		return err
	}
	fmt.Fprintf(std.err, "pxesrv: %s has every setting, commented out; pxesrv serve --config %s "+
		"reads it\n", name, name)
	return nil
}
