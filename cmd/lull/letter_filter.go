package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"lull/pipeline"
	"lull/schemas"
)

// letterFilter says which letters are meant.
type letterFilter struct {
	reasons              []string // any if empty
	topic, customer, key string   // any if empty
	partition            int32    // of the topic; below 0 any
	sinceText, untilText string
	since, until         time.Time // of the texts; the zero time is no bound
	given                bool      // any flag was

	seenTopics, seenReasons map[string]bool // of the letters that were looked at
}

func (f *letterFilter) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.reasons, "reason", nil, "only letters with one of these `reasons`")
	cmd.Flags().StringVar(&f.topic, "topic", "", "only letters of records of this topic")
	cmd.Flags().Int32Var(&f.partition, "partition", -1, "only letters of records of this partition of --topic")
	cmd.Flags().StringVar(&f.customer, "customer", "", "only letters of this customer, as far as that is known: of records whose event was read, and of deadlines")
	cmd.Flags().StringVar(&f.key, "key", "", "only letters of records with this key")
	cmd.Flags().StringVar(&f.sinceText, "since", "", "only letters written since this `time`, or so long ago: 2026-11-23T12:00:00Z, 90m, 7d")
	cmd.Flags().StringVar(&f.untilText, "until", "", "only letters written before this `time`")
}

// parse reads the flags. The error says what is wrong with one.
func (f *letterFilter) parse(cmd *cobra.Command, s *pipeline.Settings) (err error) {
	for _, name := range []string{"reason", "topic", "partition", "customer", "key", "since", "until"} {
		f.given = f.given || cmd.Flags().Changed(name)
	}
	if cmd.Flags().Changed("partition") && (f.topic == "" || f.partition < 0) {
		return usageError{errors.New("--partition is that of a topic: name it by --topic, and the partition by a number of 0 or more")}
	}
	f.seenTopics, f.seenReasons = make(map[string]bool), make(map[string]bool)
	if f.since, f.until, err = parsePeriod(f.sinceText, f.untilText, s.Calendar.Timezone); err != nil {
		return usageError{err}
	}
	return nil
}

// holds reports whether the letter is meant.
func (f *letterFilter) holds(l *letter) bool {
	f.seenTopics[l.Source.Topic], f.seenReasons[l.Reason] = true, true
	switch {
	case len(f.reasons) > 0 && !slices.Contains(f.reasons, l.Reason),
		f.topic != "" && l.Source.Topic != f.topic,
		f.partition >= 0 && l.Source.Partition != f.partition,
		f.customer != "" && l.Customer != f.customer,
		f.key != "" && l.key() != f.key,
		!f.since.IsZero() && l.RefusedAt.Before(f.since),
		!f.until.IsZero() && !l.RefusedAt.Before(f.until):
		return false
	}
	return true
}

// check is called when the letters have been looked at. The error names a reason or topic that nothing is known of, so that no letter can be meant.
func (f *letterFilter) check(ctx context.Context, s *pipeline.Settings) error {
	known := make(map[string]bool)
	for _, r := range slices.Concat(schemas.Reasons, pipeline.Reasons) {
		known[r.Code] = true
	}
	for _, reason := range f.reasons {
		if !known[reason] && !f.seenReasons[reason] { // a letter of another version may have one more
			return usageError{fmt.Errorf("--reason: %q is no reason%s: there are %s", reason, didYouMean(reason, known), strings.Join(slices.Sorted(maps.Keys(known)), ", "))}
		}
	}
	if f.topic == "" || f.seenTopics[f.topic] {
		return nil
	}
	client, err := newClient(ctx, s)
	if err != nil {
		return err
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(ctx, f.topic)
	if err != nil || !errors.Is(topics[f.topic].Err, kerr.UnknownTopicOrPartition) {
		return err // no record of it has been refused
	}
	delete(f.seenTopics, "") // of deadlines
	for _, in := range s.InputTopics() {
		f.seenTopics[in.Topic] = true
	}
	delete(f.seenTopics, "") // of no input
	if len(f.seenTopics) == 0 {
		return usageError{fmt.Errorf("--topic: topic %q does not exist, and no letter is of one", f.topic)}
	}
	return usageError{fmt.Errorf("--topic: topic %q does not exist, and no letter is of one%s: there are letters or inputs of %s", f.topic, didYouMean(f.topic, f.seenTopics), strings.Join(slices.Sorted(maps.Keys(f.seenTopics)), ", "))}
}

// didYouMean returns a question for the name that a mistyped one is nearest to, "" if none is near.
func didYouMean(typed string, names map[string]bool) string {
	nearest, least := "", 1+max(1, len(typed)/3)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if n := levenshtein.ComputeDistance(strings.ToLower(typed), strings.ToLower(name)); n < least {
			nearest, least = name, n
		}
	}
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", nearest)
}
