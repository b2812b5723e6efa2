package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"lull/pipeline"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Args:  cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "lull", pipeline.Version(), runtime.Version())
			return err
		}),
	}
}
