package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/sr"

	"lull/pipeline"
	"lull/pipeline/registry"
	"lull/schemas"
)

func newSchemasCommand() *cobra.Command {
	return newGroup("schemas", "Hold the schemas against a registry", newSchemasCheckCommand(), newSchemasRegisterCommand(), newSchemasShowCommand())
}

// subjectFlags say which subjects are meant.
type subjectFlags struct {
	only []string
}

func (f *subjectFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.only, "topics", nil, "these `TOPICS` alone, without the prefix (default all outputs)")
	addSettingFlags(cmd, "prefix", "input.topic", "input.format", "input.mapping", "input.schema", "outputs.subjects", "registry.url", "registry.username", "registry.password_file", "registry.ca_file",
		"registry.timeout")
}

// outputTopics are those whose values have schemas of ours.
func outputTopics() (topics []schemas.Topic) {
	for _, name := range ownTopics() {
		if topic, ok := schemas.TopicNamed(name); ok {
			topics = append(topics, topic)
		}
	}
	return topics
}

// open returns the subjects and a client of the registry.
func (f *subjectFlags) open(cmd *cobra.Command) (s pipeline.Settings, subjects []registry.Subject, client *sr.Client, err error) {
	if s, err = loadSettings(cmd.Flags(), os.Environ()); err != nil {
		return s, nil, nil, err
	}
	if names := s.Outputs.Subjects; names != "topic" && names != "record" {
		return s, nil, nil, usageError{fmt.Errorf("outputs.subjects is %q: it must be one of topic, record", names)}
	}
	var names []string
	for _, topic := range outputTopics() {
		names = append(names, topic.String())
		if len(f.only) > 0 && !slices.Contains(f.only, topic.String()) {
			continue
		}
		subjects = append(subjects, s.Subject(topic))
	}
	for _, name := range f.only {
		if !slices.Contains(names, name) {
			return s, nil, nil, usageError{fmt.Errorf("--topics is %q: it must be a list of %s", name, strings.Join(names, ", "))}
		}
	}
	if client, err = s.Registry.NewClient(); err != nil {
		return s, nil, nil, usageError{err}
	}
	return s, subjects, client, nil
}

func newSchemasCheckCommand() *cobra.Command {
	var f subjectFlags
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Tell before a deploy whether schemas are compatible with what is registered",
		Long: `Check asks the registry whether it would take the schemas of this version's outputs under their subjects. Where it asks for no
compatibility (level NONE), check itself tells whether subscribers that read by the registered schema can read on; where it asks
only that new schemas read what is there (BACKWARD), it tells whom to upgrade first. With
input.format registry-avro it tells besides whether all registered versions of the input's schema can be read, and have the fields
that events need by the mapping.

The exit code is 1 if something is not compatible, or could not be asked for. Nothing is changed.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, subjects, client, err := f.open(cmd)
			if err != nil {
				return err
			}
			wrong := 0
			var forbidden []error
			for _, subject := range subjects {
				v, err := registry.Check(cmd.Context(), client, subject)
				if errors.Is(err, registry.ErrForbidden) {
					forbidden = append(forbidden, err)
					continue
				}
				if err != nil {
					return err
				}
				printCompatibility(cmd.OutOrStdout(), &v)
				if !v.Compatible() {
					wrong++
				}
			}
			unreadable, err := checkInputVersions(cmd.Context(), cmd.OutOrStdout(), &s, client)
			if err == nil && wrong+unreadable > 0 {
				err = fmt.Errorf("schemas of outputs that are not compatible with what is registered: %d; schemas of the input that cannot be read: %d", wrong, unreadable)
			}
			return errors.Join(append(forbidden, err)...)
		}),
	}
	f.add(cmd)
	return cmd
}

func printCompatibility(w io.Writer, v *registry.Verdict) {
	says := fmt.Sprintf("compatible with version %d", v.Version)
	switch {
	case v.Version == 0:
		says = "not registered yet"
	case v.Same:
		says = fmt.Sprintf("the same as version %d", v.Version)
	case v.Refused != "":
		says = fmt.Sprintf("NOT COMPATIBLE with what is registered: %s. Change the subject's compatibility, or set outputs.subjects or the topic's format to another", v.Refused)
	case !v.Compatible():
		says = fmt.Sprintf("NOT COMPATIBLE: the registry would take it, but who reads by version %d could not read on: %s", v.Version, v.Unreadable)
	case v.Unreadable != "": // which the level does not ask for
		says += fmt.Sprintf(", as %s asks; but who reads by that cannot read what this version writes, so give subscribers the new schema before the deploy: %s", v.Level, v.Unreadable)
	}
	fmt.Fprintf(w, "%s (%s): %s\n", v.Name, v.Level, says)
}

// checkInputVersions tells which registered versions of the inputs' schemas cannot be read, of inputs that have a registry.
func checkInputVersions(ctx context.Context, w io.Writer, s *pipeline.Settings, client *sr.Client) (unreadable int, err error) {
	for _, of := range s.InputTopics() {
		n, err := checkVersionsOf(ctx, w, of, client)
		if unreadable += n; err != nil {
			return unreadable, err
		}
	}
	return unreadable, nil
}

func checkVersionsOf(ctx context.Context, w io.Writer, of pipeline.InputTopic, client *sr.Client) (unreadable int, err error) {
	if of.Format != schemas.RegistryAvro.String() || of.Topic == "" {
		return 0, nil
	}
	input, err := of.Load(nil)
	if err != nil {
		return 0, usageError{err}
	}
	subject := of.Topic + "-value"
	versions, err := registry.CheckWritten(ctx, client, subject, &input)
	if err != nil {
		return 0, err
	}
	if len(versions) == 0 {
		fmt.Fprintf(w, "%s: no such subject; the input's schemas are known by their ids alone\n", subject)
	}
	for _, v := range versions {
		says := "can be read"
		if v.Unreadable != "" {
			unreadable++
			says = "CANNOT BE READ: " + v.Unreadable
		}
		fmt.Fprintf(w, "%s version %d (id %d): %s\n", subject, v.Version, v.ID, says)
	}
	return unreadable, nil
}

func newSchemasRegisterCommand() *cobra.Command {
	var f subjectFlags
	cmd := &cobra.Command{
		Use:   "register --config FILE",
		Short: "Register the schemas of the outputs",
		Long: `Register puts the schemas of this version's outputs into the registry, under their subjects. lull run does so itself with the topics
whose format is registry-avro, unless outputs.on_unregistered is refuse; those of other topics are for subscribers who look there.
A subject that has the schema stays as it is. The registry refuses what is not compatible: lull schemas check tells before.

The exit code is 1 if a subject was refused, for its schema or for want of a right; the others are registered all the same.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			_, subjects, client, err := f.open(cmd)
			if err != nil {
				return err
			}
			var errs []error
			for _, subject := range subjects {
				id, err := registry.Register(cmd.Context(), client, subject)
				refused := (*registry.RefusedError)(nil)
				if errors.As(err, &refused) || errors.Is(err, registry.ErrForbidden) {
					errs = append(errs, err)
					continue
				}
				if err != nil { // of the registry or the login: the other subjects would have the same answer
					errs = append(errs, err)
					break
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: id %d\n", subject.Name, id)
			}
			return errors.Join(errs...)
		}),
	}
	f.add(cmd)
	return cmd
}

func newSchemasShowCommand() *cobra.Command {
	names := func() (list []string) {
		for _, topic := range append(outputTopics(), schemas.Events) {
			list = append(list, topic.String())
		}
		return list
	}
	return &cobra.Command{
		Use:   "show TOPIC",
		Short: "Print the Avro schema of a topic",
		Long:  "Show prints the Avro schema of the values of one of lull's own topics, without the prefix, or of events, which the input holds: " + strings.Join(names(), ", ") + ".",
		Args:  oneArgument("the TOPIC"),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			topic, ok := schemas.TopicNamed(args[0])
			if !ok {
				return usageError{fmt.Errorf("TOPIC is %q: it must be one of %s", args[0], strings.Join(names(), ", "))}
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(topic.Schema()))
			return err
		}),
	}
}
