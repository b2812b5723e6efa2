package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

func newModelsCommand() *cobra.Command {
	put := &cobra.Command{
		Use:   "put FILE",
		Short: "Check a model file and put it into the models topic",
		Long: `Put reads a model of a file in YAML and writes it to the models topic. It is in force from effective_at on, or from when a running
pipeline sees it, whichever is later. Without a model nobody is scored: put one before the first start. A version is never
changed: other parameters need another version. cmd/lull/cdnow/model.yaml is an example with all keys.`,
		Args: oneArgument("the model FILE"),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			file, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			model, err := schemas.ParseModelFile(file)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			put, err := putModel(cmd.Context(), s, &model)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if !put {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "model %s is in %s already, with these parameters\n", model.Version, s.Topic(pipeline.ModelsTopic))
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "put model %s into %s, effective from %s\n", model.Version, s.Topic(pipeline.ModelsTopic), model.EffectiveAt)
			return err
		}),
	}
	addSettingFlags(put, "brokers", "prefix")
	return newGroup("models", "Manage the population parameters", put)
}

// putModel writes the model to the models topic; put is false if it is there already. Pipelines keep the first content of a version, and compaction the last: a
// version with another content is refused, which two that are put at the same moment could get past.
func putModel(ctx context.Context, s pipeline.Settings, model *operators.Model) (put bool, err error) {
	key, value, err := schemas.EncodeModel(model)
	if err != nil {
		return false, err
	}
	client, err := newClient(ctx, s.Brokers, append(produceOptions(), readOptions()...)...)
	if err != nil {
		return false, err
	}
	defer client.Close()
	topic := s.Topic(pipeline.ModelsTopic)
	spans, err := topicSpans(ctx, kadm.NewClient(client), topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return false, fmt.Errorf("topic %q does not exist: run `lull topics create`", topic)
	}
	if err != nil {
		return false, err
	}
	there := false
	err = readSpans(ctx, client, topic, spans, func(r *kgo.Record) error {
		known, err := schemas.DecodeModel(r.Key, r.Value)
		if err != nil {
			return nil // a deletion, or what pipelines pass over too
		}
		there = there || known.Version == model.Version
		return conflict(&known, model)
	})
	if err != nil && !errors.Is(err, errNothingMore) {
		return false, err
	}
	if there {
		return false, nil
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: key, Value: value}).FirstErr(); err != nil {
		return false, fmt.Errorf("putting model %s into %s: %w", model.Version, topic, err)
	}
	return true, nil
}

// conflict says why a model cannot be put beside one that is known: nil if it can, or is the same.
func conflict(known, model *operators.Model) error {
	if known.Version != model.Version {
		if known.Ref() == model.Ref() {
			return fmt.Errorf("version %q has the same short name as %q, which is known: give it another version", model.Version, known.Version)
		}
		return nil
	}
	var differ []string
	for _, f := range []struct {
		name     string
		was, now any
	}{
		{"family", known.Family, model.Family}, {"effective_at", known.EffectiveAt, model.EffectiveAt}, {"r", known.R, model.R},
		{"alpha (in days)", known.Alpha, model.Alpha}, {"a", known.A, model.A}, {"b", known.B, model.B}, {"spend.p", known.P, model.P},
		{"spend.q", known.Q, model.Q}, {"spend.v", known.V, model.V}, {"high_value", known.HighValue, model.HighValue},
	} {
		if f.was != f.now {
			differ = append(differ, fmt.Sprintf("%s is %v, not %v", f.name, f.was, f.now))
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return fmt.Errorf("version %q is known with other parameters (%s): a version is never changed, give these another", model.Version, strings.Join(differ, "; "))
}
