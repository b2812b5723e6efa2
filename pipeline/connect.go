package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline/security"
)

// connect waits for the brokers and for topics that are as they must be.
func (r *Runner) connect() error {
	var err error
	r.client, err = kgo.NewClient(append(r.access.Options("lull-"+r.s.Instance), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("configuring the Kafka client: %w", err)
	}
	r.adm = kadm.NewClient(r.client)
	if err := r.awaitTopics(); err != nil {
		r.client.Close()
		return err
	}
	return nil
}

// awaitTopics waits for the brokers and for topics that are as they must be, and takes up their ids.
func (r *Runner) awaitTopics() error {
	said := ""
	for {
		err := r.lookAtTopics(r.ctx)
		if err == nil {
			r.health.clear("topics")
			r.health.clear("brokers")
			return nil
		}
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		var problems *TopicError
		if errors.As(err, &problems) {
			r.health.clear("brokers")
			r.health.set("topics", err.Error())
		} else {
			if err = security.Explain(err); security.Tokenless(err) {
				err = fmt.Errorf("there is no token to log in to %s with: %w", strings.Join(r.s.Brokers, ", "), err)
			} else if security.Explained(err) {
				err = fmt.Errorf("the brokers of %s refuse this process: %w", strings.Join(r.s.Brokers, ", "), err)
			} else {
				err = fmt.Errorf("no broker of %s answers: %w", strings.Join(r.s.Brokers, ", "), r.s.Security.Unanswered(err))
			}
			r.health.set("brokers", err.Error())
		}
		if said != err.Error() {
			said = err.Error()
			r.log.Warn().Msg(said + "; waiting")
		}
		r.pause(time.Second)
	}
}

// lookAtTopics takes up what the topics are now, if they are as they must be. The error is a *TopicError if they are not, or the broker's.
func (r *Runner) lookAtTopics(ctx context.Context) error {
	ids, warnings, err := checkTopics(ctx, r.adm, r.s)
	if err != nil {
		return err
	}
	warning := ""
	if len(warnings) > 0 {
		warning = (&TopicError{warnings}).Error()
	}
	if r.health.warnIf("topics", warning) {
		r.log.Warn().Msg(warning)
	}
	r.mu.Lock()
	r.ids = ids
	for _, in := range r.inputs {
		in.id, in.partitions = ids.inputs[in.Topic].id, ids.inputs[in.Topic].partitions
	}
	r.noteFeeds()
	r.mu.Unlock()
	if r.s.Staged() && r.s.Clock.Mode == "wall" {
		// Before this process is a member, so that what is loaded when the application runs is no history.
		if r.newest, err = r.askNewest(ctx); err != nil {
			r.log.Warn().Err(err).Msg("whoever begins a partition asks again")
		}
	}
	r.tombstonesKept = r.changelogKeeps(ctx)
	return nil
}

// changelogKeeps returns how long the changelog keeps deletions; 0 if that is not known.
func (r *Runner) changelogKeeps(ctx context.Context) time.Duration {
	configs, err := r.adm.DescribeTopicConfigs(ctx, r.s.Topic(ChangelogTopic))
	if err != nil {
		return 0
	}
	for _, rc := range configs {
		for _, c := range rc.Configs {
			if c.Key == "delete.retention.ms" {
				if ms, err := time.ParseDuration(c.MaybeValue() + "ms"); err == nil {
					return ms
				}
			}
		}
	}
	return 0
}
