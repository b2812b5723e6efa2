package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
)

func newTopicsCommand() *cobra.Command {
	return newGroup("topics", "Manage lull's own topics", newTopicsPlanCommand(), newTopicsApplyCommand(), newTopicsCheckCommand(), newTopicsPrintCommand())
}

// topicSettings are the settings that the topics follow from.
var topicSettings = []string{
	"brokers", "prefix", "input.topic", "limits.value_bytes", "topics.partitions", "topics.replication", "topics.retention", "topics.dead_letter_retention", "topics.compaction_lag",
}

func newTopicsPlanCommand() *cobra.Command {
	var inputPartitions int32
	cmd := &cobra.Command{
		Use:   "plan --config FILE",
		Short: "Show the topics, and what apply would do",
		Long: `Plan shows every topic of the application: partitions, replicas, clean-up, retention, the largest record, and the size on disk of
all replicas. Then what apply would do: + is a topic to create, ~ one to alter, ! what apply cannot mend, and = a difference
that is yours to choose. It changes nothing.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			return withPlan(cmd, inputPartitions, func(_ context.Context, _ *kgo.Client, _ *pipeline.Settings, plan *pipeline.TopicPlan) error {
				return printPlan(cmd.OutOrStdout(), plan)
			})
		}),
	}
	addInputPartitions(cmd, &inputPartitions)
	addSettingFlags(cmd, topicSettings...)
	return cmd
}

func newTopicsApplyCommand() *cobra.Command {
	var inputPartitions int32
	var deleteRecords bool
	cmd := &cobra.Command{
		Use:   "apply --config FILE",
		Short: "Create and alter topics as plan shows it",
		Long: `Apply prints the plan, creates those of lull's own topics that are missing, and with --input-partitions the input topic, and alters
the configuration of those that are there where plan says so; then it waits until the brokers know all of it. It never changes a
number of partitions or replicas, and never deletes a topic. If there is anything that it cannot mend it does nothing. A change by
which the brokers delete records, such as a shorter retention, needs --delete-records.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			return withPlan(cmd, inputPartitions, func(ctx context.Context, client *kgo.Client, s *pipeline.Settings, plan *pipeline.TopicPlan) error {
				if err := printPlan(cmd.OutOrStdout(), plan); err != nil {
					return err
				}
				deletions := pipeline.RefuseDeletions
				if deleteRecords {
					deletions = pipeline.AllowDeletions
				}
				if err := plan.Apply(ctx, client, s, deletions); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "all topics are there, as they must be")
				return err
			})
		}),
	}
	addInputPartitions(cmd, &inputPartitions)
	cmd.Flags().BoolVar(&deleteRecords, "delete-records", false, "also make changes by which the brokers delete records")
	addSettingFlags(cmd, topicSettings...)
	return cmd
}

func newTopicsCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Fail if a topic is not as it must be",
		Long: `Check prints nothing and returns 0 if every topic is as it must be, and else says what is not, and what mends it, with exit code 1: for
CI, and before a deploy. It goes by the same list as run does when it starts; run goes on without what does no harm to what it
writes (retention, compaction lag), and warns.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			return withPlan(cmd, 0, func(_ context.Context, _ *kgo.Client, _ *pipeline.Settings, plan *pipeline.TopicPlan) error {
				return plan.Check()
			})
		}),
	}
	addSettingFlags(cmd, topicSettings...)
	return cmd
}

func newTopicsPrintCommand() *cobra.Command {
	var partitions int32
	var cluster string
	cmd := &cobra.Command{
		Use:   "print --input-partitions N --config FILE",
		Short: "Print lull's own topics as objects for Kubernetes",
		Long: `Print prints the topics that apply would create as KafkaTopics, of which Strimzi makes and keeps topics on the brokers that it runs in
Kubernetes: instead of apply, not beside it (deploy/strimzi). It asks no broker: --input-partitions says how many partitions the input topic has, which
the changelog must have too. The input topic is yours, and not among them.`,
		Example: `  lull topics print --config lull.yaml --input-partitions 8 --cluster my-cluster | kubectl apply -f -`,
		Args:    cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadValid(cmd.Flags(), os.Environ())
			switch {
			case err != nil:
				return err
			case partitions < 1 && !s.Staged():
				return usageError{fmt.Errorf("--input-partitions is %d: it must be how many partitions the topic %q has", partitions, s.Input.Topic)}
			}
			text, err := s.TopicManifests(cluster, int(partitions))
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		}),
	}
	cmd.Flags().Int32Var(&partitions, "input-partitions", 0, "how many partitions the input topic has")
	addStrimziCluster(cmd, &cluster)
	addSettingFlags(cmd, topicSettings...)
	return cmd
}

func addInputPartitions(cmd *cobra.Command, n *int32) {
	cmd.Flags().Int32Var(n, "input-partitions", 0, "create the input topic with so many partitions if it is missing")
}

// withPlan calls do with the plan of the application's topics.
func withPlan(cmd *cobra.Command, inputPartitions int32, do func(ctx context.Context, client *kgo.Client, s *pipeline.Settings, plan *pipeline.TopicPlan) error) error {
	s, err := loadValid(cmd.Flags(), os.Environ())
	if err != nil {
		return err
	}
	if flag := cmd.Flags().Lookup("input-partitions"); flag != nil && flag.Changed && inputPartitions < 1 {
		return usageError{fmt.Errorf("--input-partitions is %d: it must be 1 or more", inputPartitions)}
	}
	client, err := newClient(cmd.Context(), &s, kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	plan, err := pipeline.PlanTopics(cmd.Context(), client, &s, inputPartitions)
	if err != nil {
		return err
	}
	return listed(do(cmd.Context(), client, &s, plan))
}

// listed puts what is wrong with topics into a line each.
func listed(err error) error {
	var topics *pipeline.TopicError
	if !errors.As(err, &topics) || len(topics.Problems) == 1 {
		return err
	}
	return fmt.Errorf("%s\n  %s", strings.TrimSuffix(err.Error(), " "+strings.Join(topics.Problems, "; ")), strings.Join(topics.Problems, "\n  "))
}

// printPlan prints the topics as they are, and what is to become of them.
func printPlan(out io.Writer, plan *pipeline.TopicPlan) error {
	w, shown := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0), false
	for i := range plan.Topics {
		t := &plan.Topics[i]
		if !t.Exists {
			continue
		}
		if !shown {
			shown = true
			fmt.Fprintln(w, "TOPIC\tPARTITIONS\tREPLICAS\tCLEAN-UP\tRETENTION\tLARGEST RECORD\tON DISK")
		}
		retention := msText(t.Configs["retention.ms"])
		if t.Configs["cleanup.policy"] == "compact" { // which keeps the last of each key
			retention = "-"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\t%s\n", t.Name, t.Partitions, t.Replication, orUnknown(t.Configs["cleanup.policy"]),
			retention, bytesText(t.Configs["max.message.bytes"]), bytesText(strconv.FormatInt(t.Bytes, 10)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	p := &printer{w: out}
	if shown {
		p.line("")
	}
	created, altered, problems := 0, 0, len(plan.Problems)
	for _, problem := range plan.Problems {
		p.line("! %s", problem)
	}
	for i := range plan.Topics {
		t := &plan.Topics[i]
		if t.Create {
			created++
			p.line("+ %s: create it with %s, %s%s", t.Name, partitionsText(t.Partitions), replicasText(t.Replication), configsText(t.Configs))
		}
		if len(t.Changes) > 0 {
			altered++
		}
		for _, c := range t.Changes {
			why := ""
			if c.Deletes {
				why = " (the brokers delete records by that: --delete-records)"
			}
			p.line("~ %s: %s from %s to %s%s", t.Name, c.Key, withMs(c.Key, c.From), withMs(c.Key, c.To), why)
		}
		for _, problem := range t.Problems {
			problems++
			p.line("! %s", problem)
		}
		for _, note := range t.Notes {
			p.line("= %s: %s", t.Name, note)
		}
	}
	if created+altered+problems == 0 {
		p.line("nothing is to be done")
		return p.err
	}
	p.line("%d to create, %d to alter, %d that apply cannot mend", created, altered, problems)
	return p.err
}

func configsText(configs map[string]string) string {
	var parts []string
	for key, value := range configs {
		parts = append(parts, key+"="+value)
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return ", " + strings.Join(parts, " ")
}

func partitionsText(n int) string {
	switch n {
	case 0:
		return "as many partitions as the input"
	case 1:
		return "1 partition"
	}
	return fmt.Sprintf("%d partitions", n)
}

func replicasText(n int) string {
	switch {
	case n < 0:
		return "the brokers' default of replicas"
	case n == 1:
		return "1 replica"
	}
	return fmt.Sprintf("%d replicas", n)
}

func orUnknown(text string) string {
	if text == "" {
		return "?"
	}
	return text
}

// withMs adds to a number of milliseconds how long that is.
func withMs(key, value string) string {
	if !strings.HasSuffix(key, ".ms") {
		return value
	}
	return value + " (" + msText(value) + ")"
}

// msText shows milliseconds as Kafka has them in a configuration: -1, and what is beyond a lifetime, is no limit.
func msText(value string) string {
	const century = 100 * 365 * 24 * time.Hour
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return "?"
	case n < 0 || n > century.Milliseconds():
		return "no limit"
	}
	return (time.Duration(n) * time.Millisecond).String()
}

// bytesText shows a number of bytes for a person, to the nearest tenth of a unit.
func bytesText(value string) string {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || n < 0 {
		return "?"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	tenths := func() float64 { return math.Round(10*n) / 10 }
	for len(units) > 1 && tenths() >= 1024 {
		n, units = n/1024, units[1:]
	}
	return strconv.FormatFloat(tenths(), 'f', -1, 64) + " " + units[0]
}
