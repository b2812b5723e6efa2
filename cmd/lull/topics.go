package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"lull/pipeline"
)

func newTopicsCommand() *cobra.Command {
	inputPartitions := int32(0)
	create := &cobra.Command{
		Use:   "create --config FILE",
		Short: "Create those of lull's own topics that are missing",
		Long: `Create makes the topics that lull writes: sessions, scores, segments, triggers, dead-letters, models and the changelog, under the
prefix, and with --input-partitions the input topic. Topics that are there stay as they are; those that do not fit are named, with
what mends them. The changelog has as many partitions as the input topic.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if err := s.Validate(); err != nil {
				return usageError{err}
			}
			if cmd.Flags().Changed("input-partitions") && inputPartitions < 1 {
				return usageError{fmt.Errorf("--input-partitions is %d: it must be 1 or more", inputPartitions)}
			}
			created, err := pipeline.CreateTopics(cmd.Context(), s, inputPartitions)
			for _, topic := range created {
				fmt.Fprintln(cmd.OutOrStdout(), "created", topic)
			}
			if err != nil {
				return err
			}
			if len(created) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "all topics are there, as they must be")
			}
			return nil
		}),
	}
	create.Flags().Int32Var(&inputPartitions, "input-partitions", 0, "create the input topic with so many partitions if it is missing")
	addSettingFlags(create, "brokers", "prefix", "input.topic", "topics.partitions", "topics.replication")
	return newGroup("topics", "Manage lull's own topics", create)
}
