package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"lull/pipeline"
)

func newTopicsCommand() *cobra.Command {
	topics := &cobra.Command{Use: "topics", Short: "Manage lull's own topics", Args: cobra.NoArgs}
	create := &cobra.Command{
		Use:   "create --config FILE",
		Short: "Create those of lull's own topics that are missing",
		Long: `Create makes the topics that lull writes: sessions, scores, segments, triggers, dead-letters, models and the changelog, under the
prefix. Topics that are there stay as they are. The input topic must exist, for the changelog has as many partitions.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if err := s.Validate(); err != nil {
				return usageError{err}
			}
			created, err := pipeline.CreateTopics(cmd.Context(), s)
			for _, topic := range created {
				fmt.Fprintln(cmd.OutOrStdout(), "created", topic)
			}
			if err != nil {
				return err
			}
			if len(created) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "all topics are there")
			}
			return nil
		}),
	}
	addSettingFlags(create, "brokers", "prefix", "input.topic", "topics.partitions", "topics.replication")
	topics.AddCommand(create)
	return topics
}
