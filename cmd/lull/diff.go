package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
	"lull/pipeline/task"
	"lull/schemas"
)

func newDiffCommand() *cobra.Command {
	var examples int
	var ignored []string
	cmd := &cobra.Command{
		Use:   "diff PREFIX_A PREFIX_B",
		Short: "Compare what two applications have told",
		Long: `Diff reads the outputs of two applications on the same brokers: sessions, segments, triggers, the last score of each customer, and
dead letters. It counts the keys for which they have told the same and those for which they have not, and shows some of the
latter with the fields that differ. Exit code 1: something differs. Dead letters are told apart by what was refused, and compared
by the reason.

Not compared are ce_id and ce_source, and the fields of --ignore: by default revision, which counts what was told before, and
actionable and withheld, which hang on when a trigger was noticed. Compare under the same models: other parameters give
other numbers everywhere.`,
		Example: `  lull diff lull. lull2.
  lull diff lull. lull2. --ignore revision,actionable,withheld,model --examples 10`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return fmt.Errorf("there must be two arguments, PREFIX_A and PREFIX_B, and not %d", len(args))
			case args[0] == args[1]:
				return fmt.Errorf("both prefixes are %q: they must be those of two applications", args[0])
			}
			return nil
		},
		RunE: running(func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if examples < 0 {
				return usageError{fmt.Errorf("--examples is %d: it must be 0 or more", examples)}
			}
			d := &diff{s: &s, ignored: ignored, examples: examples, out: &printer{w: cmd.OutOrStdout()}}
			for i, prefix := range args {
				d.apps[i].prefix = prefix
				if d.apps[i].contents, err = schemas.NewContents(ignored); err != nil {
					return usageError{fmt.Errorf("--ignore: %w", err)}
				}
			}
			return d.run(cmd.Context())
		}),
	}
	cmd.Flags().IntVar(&examples, "examples", 3, "how many keys of each topic to show that differ")
	cmd.Flags().StringSliceVar(&ignored, "ignore", []string{"revision", "actionable", "withheld"}, "fields of outputs that are not compared")
	addSettingFlags(cmd, "brokers")
	return cmd
}

// diff compares two applications.
type diff struct {
	s        *pipeline.Settings
	apps     [2]told
	ignored  []string
	examples int
	out      *printer
}

// told is what one application has told.
type told struct {
	prefix   string
	contents *schemas.Contents
}

func (d *diff) run(ctx context.Context) error {
	if err := d.compareSettings(ctx); err != nil {
		return err
	}
	for _, app := range d.apps {
		for _, topic := range schemas.ComparedTopics {
			err := d.read(ctx, app.prefix, topic, func(r *kgo.Record) error {
				return app.contents.Add(topic, r.Key, r.Value, headersOf(r))
			})
			if err != nil {
				return err
			}
		}
	}
	differ, topics := 0, 0
	for _, topic := range schemas.ComparedTopics {
		is := d.apps[0].contents.Compare(d.apps[1].contents, topic)
		d.out.line("%s: %d keys alike, %d differ, %d only in %s, %d only in %s", topic, is.Alike, is.Differ, is.OnlyA, d.apps[0].prefix, is.OnlyB, d.apps[1].prefix)
		if len(is.Keys) == 0 {
			continue
		}
		differ, topics = differ+len(is.Keys), topics+1
		if err := d.show(ctx, topic, is.Keys[:min(len(is.Keys), d.examples)]); err != nil {
			return err
		}
	}
	if d.out.err != nil || differ == 0 {
		return d.out.err
	}
	return fmt.Errorf("%s and %s differ: in %d keys of %d topics", d.apps[0].prefix, d.apps[1].prefix, differ, topics)
}

// compareSettings says which settings the two states were made with that differ, and how far each is behind its input: the first things to know of what differs.
func (d *diff) compareSettings(ctx context.Context) error {
	var shapes [2]task.Shape
	var inputs [2]string
	staged := false // of one of them
	for i, app := range d.apps {
		var err error
		if shapes[i], err = readShape(ctx, d.s, app.prefix); err != nil {
			return err
		}
		if len(shapes[i]) == 0 {
			d.out.line("%s has no state that says what it was made with", app.prefix)
			return d.out.err
		}
		topics, err := d.tellLag(ctx, app.prefix, shapes[i])
		if err != nil {
			return err
		}
		// The topic of its own that events pass through is as the prefix has it, and says nothing.
		if events := app.prefix + pipeline.EventsTopic; shapes[i].Get("input.topic") == events {
			staged = true
			topics = slices.DeleteFunc(topics, func(topic string) bool { return topic == events })
		} else {
			topics = []string{shapes[i].Get("input.topic")}
		}
		inputs[i] = strings.Join(topics, ",")
	}
	if inputs[0] != inputs[1] && inputs[0] != "" && inputs[1] != "" { // "" if the brokers have forgotten what was read
		name := "input.topic"
		if staged {
			name = "inputs"
		}
		d.out.line("%s is %q in %s and %q in %s", name, inputs[0], d.apps[0].prefix, inputs[1], d.apps[1].prefix)
	}
	for _, c := range shapes[0].Changes(shapes[1]) {
		if c.Name != "prefix" && c.Name != "group" && c.Name != "input.topic" {
			d.out.line("%s is %q in %s and %q in %s", c.Name, c.Was, d.apps[0].prefix, c.Is, d.apps[1].prefix)
		}
	}
	return nil
}

// tellLag says so if an application has not read its input to the end, and returns the topics that it reads.
func (d *diff) tellLag(ctx context.Context, prefix string, shape task.Shape) ([]string, error) {
	group, input := shape.Get("group"), shape.Get("input.topic")
	if group == "" || input == "" {
		return nil, nil
	}
	client, err := newClient(ctx, d.s)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	committed, err := adm.FetchOffsets(ctx, group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // forgotten, as its offsets
		return nil, fmt.Errorf("asking for the offsets of group %q: %w", group, err)
	}
	reads := map[string]bool{input: true} // and those whose events a first stage passes on
	for topic := range committed {
		reads[topic] = true
	}
	topics := slices.Sorted(maps.Keys(reads))
	for _, topic := range topics {
		spans, err := topicSpans(ctx, adm, topic)
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			d.out.line("%s has read %s, which does not exist any more", prefix, topic)
			continue
		}
		if err != nil {
			return nil, err
		}
		behind := int64(0)
		for n, of := range spans {
			at, _ := committed.Lookup(topic, n)
			behind += max(0, of.end-max(at.At, of.start)) // what is deleted, or was never committed, is not to be read
		}
		if behind > 0 {
			d.out.line("%s has not read %d offsets of %s yet", prefix, behind, topic)
		}
	}
	return topics, nil
}

// read calls yield for all records of an application's topic, in the order of each partition.
func (d *diff) read(ctx context.Context, prefix string, topic schemas.Topic, yield func(r *kgo.Record) error) error {
	client, err := newClient(ctx, d.s, readOptions()...)
	if err != nil {
		return err
	}
	defer client.Close()
	name := prefix + topic.String()
	spans, err := topicSpans(ctx, kadm.NewClient(client), name)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %q does not exist: the prefix is what the names of an application's topics begin with, such as \"lull.\"", name)
	}
	if err != nil {
		return err
	}
	err = readSpans(ctx, client, name, spans, func(r *kgo.Record) error {
		if err := yield(r); err != nil {
			return fmt.Errorf("topic %q, partition %d, offset %d: %w", name, r.Partition, r.Offset, err)
		}
		return nil
	})
	if errors.Is(err, errNothingMore) {
		return nil
	}
	return err
}

func headersOf(r *kgo.Record) []schemas.Header {
	headers := make([]schemas.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = schemas.Header{Key: h.Key, Value: h.Value}
	}
	return headers
}

// show prints what both have told of these keys, as far as it differs.
func (d *diff) show(ctx context.Context, topic schemas.Topic, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	var of [2]map[string][]schemas.Fields
	for i, app := range d.apps {
		of[i] = make(map[string][]schemas.Fields)
		err := d.read(ctx, app.prefix, topic, func(r *kgo.Record) error {
			if r.Value == nil {
				delete(of[i], string(r.Key))
				return nil
			}
			key, err := schemas.KeyOf(topic, r.Key, r.Value)
			if err != nil || !slices.Contains(keys, key) {
				return err
			}
			fields, err := decodeOutput(topic, r)
			if err != nil {
				return err
			}
			if topic == schemas.Scores { // a table
				of[i][key] = nil
			}
			of[i][key] = append(of[i][key], fields)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, key := range keys {
		if err := d.showKey(key, of[0][key], of[1][key]); err != nil {
			return err
		}
	}
	return nil
}

const (
	shownMax  = 300 // bytes that are shown of a record which only one of two applications has
	fieldsMax = 8   // fields that are shown of two records which differ
)

// showKey prints where two lists of outputs of a key part.
func (d *diff) showKey(key string, a, b []schemas.Fields) error {
	for i := range min(len(a), len(b)) {
		differing, err := schemas.DifferingFields(a[i], b[i], d.ignored)
		if err != nil {
			return err
		}
		if len(differing) == 0 {
			continue
		}
		var texts []string
		for _, f := range differing[:min(len(differing), fieldsMax)] {
			texts = append(texts, fmt.Sprintf("%s is %s and %s", f.Path, f.A, f.B))
		}
		if more := len(differing) - fieldsMax; more > 0 {
			texts = append(texts, fmt.Sprintf("and %d fields more", more))
		}
		d.out.line("  %s: of %d and %d records, number %d differs: %s", key, len(a), len(b), i+1, strings.Join(texts, "; "))
		return nil
	}
	longer, where := a, d.apps[0].prefix
	if len(b) > len(a) {
		longer, where = b, d.apps[1].prefix
	}
	if len(a) == len(b) {
		d.out.line("  %s: the records are alike, and their CloudEvents headers are not", key)
		return nil
	}
	text, err := longer[min(len(a), len(b))].MarshalJSON()
	if err != nil {
		return err
	}
	if len(text) > shownMax {
		text = append(text[:shownMax:shownMax], "... (lull tail shows all of it)"...)
	}
	d.out.line("  %s: of %d and %d records, number %d is in %s only: %s", key, len(a), len(b), min(len(a), len(b))+1, where, text)
	return nil
}
