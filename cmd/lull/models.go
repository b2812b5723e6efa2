package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

func newModelsCommand() *cobra.Command {
	put := &cobra.Command{
		Use:   "put FILE",
		Short: "Check a model file and put it into the models topic",
		Long: `Put reads a model of a file in YAML and writes it to the models topic. Running pipelines adopt it when their event time reaches
effective_at. cmd/lull/cdnow/model.yaml is an example with all keys.`,
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
			if err := putModel(cmd.Context(), s, &model); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "put model %s into %s, effective from %s\n", model.Version, s.Topic(pipeline.ModelsTopic), model.EffectiveAt)
			return err
		}),
	}
	addSettingFlags(put, "brokers", "prefix")
	return newGroup("models", "Manage the population parameters", put)
}

// putModel writes the model to the models topic.
func putModel(ctx context.Context, s pipeline.Settings, model *operators.Model) error {
	key, value, err := schemas.EncodeModel(model)
	if err != nil {
		return err
	}
	client, err := newClient(ctx, s.Brokers, produceOptions()...)
	if err != nil {
		return err
	}
	defer client.Close()
	topic := s.Topic(pipeline.ModelsTopic)
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: key, Value: value}).FirstErr(); err != nil {
		return fmt.Errorf("putting model %s into %s: %w", model.Version, topic, err)
	}
	return nil
}
