package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/task"
	"lull/state"
)

func newResetCommand() *cobra.Command {
	var yes, outputs, force bool
	cmd := &cobra.Command{
		Use:   "reset --config FILE",
		Short: "Forget the application's state, so that run reads all of the input again",
		Long: `Reset shows what it would remove, and with --yes removes it: the changelog and statistics topics, the group's committed offsets,
and the state store on this machine; with --outputs also what subscribers read: sessions, scores, segments, triggers,
offers, quality and dead letters. The input, the models and the fits stay, and the redrives too: what was sent again is in the input. It refuses while
a process of the application is a member of its group, and if the changelog or the store is another application's; if it does
not say whose it is, --force is needed. It can be repeated: what is gone is gone.

Afterwards lull topics apply makes the topics anew. Without --outputs what is read again is told again after what has been
told, with the same ce_id where nothing has changed.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadValid(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			client, err := newClient(cmd.Context(), &s, kgo.MetadataMinAge(100*time.Millisecond))
			if err != nil {
				return err
			}
			defer client.Close()
			r := &reset{s: &s, force: force, adm: kadm.NewClient(client), out: &printer{w: cmd.OutOrStdout()}}
			if err := r.plan(cmd.Context(), outputs); err != nil {
				return err
			}
			if r.nothing() {
				return r.out.err
			}
			if !yes {
				r.out.line("nothing has been removed yet: the same command with --yes does it; run it on the other machines of the application too, before the topics are made anew")
				return r.out.err
			}
			return r.do(cmd.Context())
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it: without it the plan is all")
	cmd.Flags().BoolVar(&force, "force", false, "also if changelog or store do not say that they are this application's: look at the plan first")
	cmd.Flags().BoolVar(&outputs, "outputs", false, "also delete the topics that subscribers read")
	addSettingFlags(cmd, "brokers", "prefix", "group", "input.topic", "state.dir")
	return cmd
}

// reset is what is to be removed of an application. The order in which it is removed is such that a reset which is broken off leaves either a state that run goes on
// from, or one that run refuses; and that it can be repeated.
type reset struct {
	s     *pipeline.Settings
	force bool // remove what does not say whose it is
	adm   *kadm.Client
	out   *printer

	topics  []string // in the order in which they are deleted: the changelog, which says whose they are, is the last
	records bool     // there are some in these topics
	offsets bool     // the group has some
	store   bool
}

func (r *reset) nothing() bool { return len(r.topics) == 0 && !r.offsets && !r.store }

// plan finds out what there is, and prints it. The error says why it must not be removed.
func (r *reset) plan(ctx context.Context, outputs bool) error {
	shape, err := readShape(ctx, r.s, r.s.Prefix)
	switch {
	case errors.Is(err, operators.ErrCorrupt) && r.force:
	case errors.Is(err, operators.ErrCorrupt):
		return fmt.Errorf("nothing was removed: there is no telling whose the changelog is: %w. Look whether it is this application's; then --force removes it", err)
	case err != nil:
		return err
	}
	if group := shape.Get("group"); group != "" && group != r.s.Group {
		return fmt.Errorf("topic %q holds the state of another application, that of the group %q, and group is %q: set the right prefix, or group to %q if it is that application that is to be reset",
			r.s.Topic(pipeline.ChangelogTopic), group, r.s.Group, group)
	}
	if err := r.checkMembers(ctx); err != nil {
		return err
	}
	if r.store, err = state.Exists(state.Options{Dir: r.s.State.Dir}); err != nil {
		return err
	}
	if err := r.checkStore(); err != nil {
		return err
	}
	names := []string{pipeline.StatisticsTopic}
	if r.s.Staged() { // what was passed on by other settings would come first again
		names = append(names, pipeline.EventsTopic)
	}
	told := []string{pipeline.SessionsTopic, pipeline.ScoresTopic, pipeline.SegmentsTopic, pipeline.TriggersTopic, pipeline.OffersTopic, pipeline.DeadLettersTopic, pipeline.QualityTopic}
	if outputs {
		names = append(names, told...)
	}
	names = append(names, pipeline.ChangelogTopic)
	r.out.line("application %q, group %q:", r.s.Prefix, r.s.Group)
	if err := r.planTopics(ctx, names); err != nil {
		return err
	}
	if err := r.planOffsets(ctx); err != nil {
		return err
	}
	if r.store {
		r.out.line("- the state store in %s, on this machine", r.s.State.Dir)
	}
	if r.nothing() {
		r.out.line("nothing is there to be removed")
		return nil
	}
	if len(shape) == 0 && (r.records || r.offsets) && !r.force {
		return fmt.Errorf("nothing was removed: topic %q does not say that this is the state of the group %q, as it does once lull run has committed. Look whether prefix and group are right, "+
			"and that nobody else has topics or offsets by these names; then --force removes it", r.s.Topic(pipeline.ChangelogTopic), r.s.Group)
	}
	if !outputs {
		r.out.line("= %s stay: what is read again is told again, after what they hold; --outputs deletes them too", strings.Join(told, ", "))
	}
	var inputs []string
	for _, in := range r.s.InputTopics() {
		inputs = append(inputs, in.Topic)
	}
	r.out.line("= %s, %s, %s and %s stay, and so does the group %q",
		strings.Join(inputs, ", "), r.s.Topic(pipeline.ModelsTopic), r.s.Topic(pipeline.FitsTopic), r.s.Topic(pipeline.RedrivesTopic), r.s.FitterGroup())
	return r.out.err
}

// checkStore refuses if the state store on this machine is another application's.
func (r *reset) checkStore() error {
	if !r.store {
		return nil
	}
	store, err := state.Claim(state.Options{Dir: r.s.State.Dir})
	if err != nil {
		return err
	}
	values, err := store.Values(task.ShapeKey)
	if err = errors.Join(err, store.Close()); err != nil && r.force {
		return nil
	}
	if err != nil {
		return fmt.Errorf("nothing was removed: there is no telling whose the state store is: %w. Look whether it is this application's; then --force removes it", err)
	}
	for _, value := range values {
		shape, err := task.DecodeShape(value)
		if err != nil && r.force {
			continue
		}
		if err != nil {
			return fmt.Errorf("nothing was removed: the state store in %s does not say whose it is: %w. Look whether it is this application's; then --force removes it", r.s.State.Dir, err)
		}
		if prefix, group := shape.Get("prefix"), shape.Get("group"); prefix != r.s.Prefix || group != r.s.Group {
			return fmt.Errorf("nothing was removed: the state store in %s is another application's, of the prefix %q and the group %q, and prefix is %q and group %q: set state.dir to this one's folder, "+
				"or prefix and group if it is that application that is to be reset", r.s.State.Dir, prefix, group, r.s.Prefix, r.s.Group)
		}
	}
	return nil
}

// checkMembers refuses while processes of the application are members of its groups.
func (r *reset) checkMembers(ctx context.Context) error {
	members, err := groupMembers(ctx, r.adm, r.s.Group, r.s.FitterGroup())
	if err != nil {
		return err
	}
	if len(members) > 0 {
		return fmt.Errorf("nothing was removed: these are members: %s. Stop these processes; one that has stopped stays a member until its commit.session_timeout has passed (45s by default), "+
			"unless it ran with --on-stop leave", strings.Join(members, "; "))
	}
	return nil
}

// groupMembers returns who is in consumer groups: name, group and address.
func groupMembers(ctx context.Context, adm *kadm.Client, names ...string) (members []string, err error) {
	groups, err := adm.DescribeGroups(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("asking for the members of group %q: %w", names[0], err)
	}
	for _, g := range groups.Sorted() {
		if g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) {
			return nil, fmt.Errorf("asking for the members of group %q: %w", g.Group, g.Err)
		}
		for _, m := range g.Members {
			name := m.MemberID
			if m.InstanceID != nil {
				name = *m.InstanceID
			}
			members = append(members, fmt.Sprintf("%q in group %q, from %s", name, g.Group, strings.TrimPrefix(m.ClientHost, "/")))
		}
	}
	return members, nil
}

// planTopics finds out which of the topics are there.
func (r *reset) planTopics(ctx context.Context, names []string) error {
	for i := range names {
		names[i] = r.s.Topic(names[i])
	}
	topics, err := r.adm.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("asking for the topics: %w", err)
	}
	for _, name := range names {
		switch err := topics[name].Err; {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			continue
		case err != nil:
			return fmt.Errorf("asking for topic %q: %w", name, err)
		}
		spans, err := topicSpans(ctx, r.adm, name)
		if err != nil {
			return err
		}
		offsets := int64(0)
		for _, s := range spans {
			offsets += s.end - s.start
		}
		r.records = r.records || offsets > 0
		r.out.line("- topic %s: %d partitions, %d offsets", name, len(spans), offsets)
		r.topics = append(r.topics, name)
	}
	return nil
}

// planOffsets finds out whether the group has committed offsets.
func (r *reset) planOffsets(ctx context.Context) error {
	committed, err := r.adm.FetchOffsets(ctx, r.s.Group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil
	}
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the offsets of group %q: %w", r.s.Group, err)
	}
	n := 0
	committed.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			n++
		}
	})
	if n > 0 {
		r.offsets = true
		r.out.line("- the offsets of group %q: of %d partitions", r.s.Group, n)
	}
	return nil
}

// do removes what was planned.
func (r *reset) do(ctx context.Context) (err error) {
	// Nobody opens the store from here on: a process that is no member yet, or no more, would go on with what is gone.
	store, err := state.Claim(state.Options{Dir: r.s.State.Dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	// A group without members only can be deleted: who has joined since the plan is found here.
	if r.offsets {
		answer, err := r.adm.DeleteGroup(ctx, r.s.Group)
		if err == nil {
			err = answer.Err
		}
		if errors.Is(err, kerr.NonEmptyGroup) {
			return errors.Join(r.checkMembers(ctx), fmt.Errorf("deleting group %q: %w", r.s.Group, err))
		}
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return fmt.Errorf("deleting group %q, after which the command can be repeated: %w", r.s.Group, err)
		}
	}
	for _, topic := range r.topics {
		_, err := r.adm.DeleteTopic(ctx, topic)
		if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("deleting topic %q, after which the command can be repeated: %w", topic, err)
		}
	}
	if err := r.awaitDeleted(ctx); err != nil {
		return err
	}
	if err := store.Remove(); err != nil {
		return err
	}
	r.out.line("removed. Next: lull topics apply, and then lull run, which reads all of the input again")
	return r.out.err
}

// awaitDeleted waits until the brokers know the topics no more.
func (r *reset) awaitDeleted(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		topics, err := r.adm.ListTopics(patient, r.topics...)
		left := slices.DeleteFunc(slices.Clone(r.topics), func(name string) bool { return errors.Is(topics[name].Err, kerr.UnknownTopicOrPartition) })
		if err == nil && len(left) == 0 {
			return nil
		}
		select {
		case <-patient.Done():
			return fmt.Errorf("topics were deleted, but the brokers still know %s: %w", strings.Join(left, ", "), errors.Join(patient.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
