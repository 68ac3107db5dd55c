//go:build man

package main

import (
	"github.com/spf13/cobra"

	"pxesrv/cmd/pxesrv/manual"
)

// Only the build that writes the manual page has the command man (make man).
func init() {
	more = append(more, func(std streams) *cobra.Command {
		write := func(c *cobra.Command, _ []string) error {
			return manPage(
				c.Root()).Write(std.out)
		}
		return &cobra.Command{Use: "man", Hidden: true, Args: noArgs, RunE: write}
	})
}

// manPage is the manual page of the program.
func manPage(root *cobra.Command) manual.Page {
	b := thisBuild()
	return manual.Page{
		Version: b.version, Date: b.date[:min(len(b.date), len("2006-01-02"))],
		Root: root, Usage: usageLines, IsSetting: isSetting,
	}
}
