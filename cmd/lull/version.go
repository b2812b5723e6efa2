package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/task"
	"lull/state"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary, and those of the formats of its state",
		Long: `Version prints the version of this binary, and those of the formats of the state that it writes: two binaries in which these are the
same can be exchanged for each other, both ways.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "lull %s %s\nstate: store %d, meta record %d, customers %d, shape record %d, feed %d\n", pipeline.Version(), runtime.Version(),
				state.FormatVersion, task.MetaVersion, operators.StateVersion, task.ShapeVersion, task.FeedMetaVersion)
			return err
		}),
	}
}
