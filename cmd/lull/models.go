package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

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
			model, err := readModelFile(args[0])
			if err != nil {
				return err
			}
			put, err := putModel(cmd.Context(), s, model)
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
	return newGroup("models", "Manage the population parameters", newModelsListCommand(), newModelsShowCommand(), put, newModelsRollbackCommand())
}

func newModelsListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the models",
		Long: `List prints the models in the order in which they were published. A star marks the one in force by the clock of this machine: the last
one whose time has come. In a replay time is the events'. Times are in days, money in major units.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			_, models, err := readModels(cmd)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			newest := inForce(models, operators.EventTime(time.Now().UnixMilli()))
			fmt.Fprintln(w, "\tVERSION\tFAMILY\tEFFECTIVE FROM\tR\tALPHA\tA\tB\tMEAN SPEND\tHIGH VALUE\tFITTED TO")
			for i := range models {
				m := &models[i]
				fitted := "put by hand"
				if m.Fit != nil {
					fitted = fmt.Sprintf("%d customers as of %s", m.Fit.Customers, m.Fit.AsOf)
				}
				mark := ""
				if i == newest {
					mark = "*"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\t%s\n",
					mark, m.Version, m.Family, m.EffectiveAt, m.R, m.Alpha, m.A, m.B, m.P*m.V/(m.Q-1), m.HighValue, fitted)
			}
			return w.Flush()
		}),
	}
	addSettingFlags(cmd, "brokers", "prefix")
	return cmd
}

func newModelsShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show VERSION",
		Short: "Print a model as a file that put takes",
		Args:  oneArgument("the VERSION"),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			_, models, err := readModels(cmd)
			if err != nil {
				return err
			}
			m, err := modelNamed(models, args[0])
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(schemas.FormatModelFile(m))
			return err
		}),
	}
	addSettingFlags(cmd, "brokers", "prefix")
	return cmd
}

func newModelsRollbackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback VERSION",
		Short: "Put the parameters of an earlier model in force again",
		Long: `Rollback publishes the parameters of an earlier model again, under a version of its own, so that outputs tell which of the two times
they are of. It is in force as soon as pipelines see it, and everybody is scored anew; a model that was published with an effective_at
still to come takes over at its time all the same. The fitter goes on: its next model is
judged against this one. To keep this one whatever comes, set fit.mode to demand.`,
		Args: oneArgument("the VERSION"),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			s, models, err := readModels(cmd)
			if err != nil {
				return err
			}
			old, err := modelNamed(models, args[0])
			if err != nil {
				return err
			}
			if last := &models[len(models)-1]; sameParameters(*old, *last) {
				return fmt.Errorf("%s is the last that was published, with these parameters: it is in force, or will be", last.Version)
			}
			again := *old
			again.EffectiveAt = 0 // from the start: from where each partition is, that is
			again.Version = freeVersion(models, old.Version+"-again")
			if _, err := putModel(cmd.Context(), s, &again); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "put model %s, with the parameters of %s, into %s\n", again.Version, old.Version, s.Topic(pipeline.ModelsTopic))
			return err
		}),
	}
	addSettingFlags(cmd, "brokers", "prefix")
	return cmd
}

// inForce returns the place of the model that is in force at an instant: of those whose time has come the one of the latest time, of the same the last published.
func inForce(models []operators.Model, now operators.EventTime) int {
	best := -1
	for i := range models {
		if at := models[i].EffectiveAt; at <= now && (best < 0 || at >= models[best].EffectiveAt) {
			best = i
		}
	}
	return best
}

// sameParameters reports whether two models say the same of everybody.
func sameParameters(a, b operators.Model) bool {
	a.Version, a.EffectiveAt, a.Fit = b.Version, b.EffectiveAt, b.Fit
	return reflect.DeepEqual(a, b)
}

// freeVersion returns a version that no model has, nor one with the same short name.
func freeVersion(models []operators.Model, version string) string {
	for unique, i := version, 2; ; i++ {
		if !slices.ContainsFunc(models, func(m operators.Model) bool { return m.Ref() == operators.ModelRef(unique) }) {
			return unique
		}
		unique = fmt.Sprintf("%s-%d", version, i)
	}
}

// modelNamed returns the model of a version.
func modelNamed(models []operators.Model, version string) (*operators.Model, error) {
	var known []string
	for i := range models {
		if models[i].Version == version {
			return &models[i], nil
		}
		known = append(known, models[i].Version)
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("there is no model %q, nor any other", version)
	}
	return nil, fmt.Errorf("there is no model %q; there are %s", version, strings.Join(known, ", "))
}

// readModels returns the models in the order of their topic, the first of each version.
func readModels(cmd *cobra.Command) (s pipeline.Settings, models []operators.Model, err error) {
	if s, err = loadSettings(cmd.Flags(), os.Environ()); err != nil {
		return s, nil, err
	}
	models, err = publishedModels(cmd.Context(), &s)
	return s, models, err
}

// publishedModels returns the models in the order of their topic, the first of each version.
func publishedModels(ctx context.Context, s *pipeline.Settings) (models []operators.Model, err error) {
	client, err := newClient(ctx, s, readOptions()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	err = eachModel(ctx, client, s.Topic(pipeline.ModelsTopic), func(m *operators.Model) error {
		if !slices.ContainsFunc(models, func(known operators.Model) bool { return known.Version == m.Version }) {
			models = append(models, *m)
		}
		return nil
	})
	return models, err
}

// eachModel calls yield for the models in a topic, in its order.
func eachModel(ctx context.Context, client *kgo.Client, topic string, yield func(m *operators.Model) error) error {
	spans, err := topicSpans(ctx, kadm.NewClient(client), topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %q does not exist: run `lull topics apply`", topic)
	}
	if err != nil {
		return err
	}
	err = readSpans(ctx, client, topic, spans, func(r *kgo.Record) error {
		known, err := schemas.DecodeModel(r.Key, r.Value)
		if err != nil {
			return nil // a deletion, or what pipelines pass over too
		}
		return yield(&known)
	})
	if errors.Is(err, errNothingMore) {
		return nil
	}
	return err
}

// putModel writes the model to the models topic; put is false if it is there already. Pipelines keep the first content of a version, and compaction the last: a
// version with another content is refused, which two that are put at the same moment could get past.
func putModel(ctx context.Context, s pipeline.Settings, model *operators.Model) (put bool, err error) {
	key, value, err := schemas.EncodeModel(model)
	if err != nil {
		return false, err
	}
	client, err := newClient(ctx, &s, append(produceOptions(), readOptions()...)...)
	if err != nil {
		return false, err
	}
	defer client.Close()
	topic := s.Topic(pipeline.ModelsTopic)
	there := false
	err = eachModel(ctx, client, topic, func(known *operators.Model) error {
		there = there || known.Version == model.Version
		return conflict(known, model)
	})
	if err != nil {
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
	if !reflect.DeepEqual(known.Cuts, model.Cuts) {
		differ = append(differ, "cuts are others")
	}
	if len(differ) == 0 {
		return nil
	}
	return fmt.Errorf("version %q is known with other parameters (%s): a version is never changed, give these another", model.Version, strings.Join(differ, "; "))
}
