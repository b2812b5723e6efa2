package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
	"lull/schemas"
)

func newFitCommand() *cobra.Command {
	var asJSON bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "fit",
		Short: "Let the running pipeline fit a model now, and print the verdict",
		Long: `Fit asks the process of the group that fits models to do so now, and waits for its verdict. The model is fitted to what the
tasks have told of their customers, which is at most fit.statistics_every old; right after a start it is waited for. A process that
fitted and was killed is followed by another after commit.session_timeout. If for 10s there is no process that could fit, Fit
asks nobody and fails. The model is adopted if it has converged, is sane, and
would not have predicted the last weeks worse than the model in force; then everybody is scored anew.

The exit code is 0 whether the model is adopted or not. All verdicts: lull tail fits --from-start.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if wait <= 0 {
				return usageError{fmt.Errorf("--wait is %s: it must be above 0", wait)}
			}
			f := &fitRequest{s: &s, wait: wait, tell: &printer{w: cmd.ErrOrStderr()}}
			value, err := f.verdict(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				fields, err := schemas.DecodeOutput(schemas.Fits, value)
				if err != nil {
					return err
				}
				return json.NewEncoder(cmd.OutOrStdout()).Encode(fields)
			}
			fit, err := schemas.DecodeFit([]byte("verdict"), value)
			if err != nil {
				return err
			}
			return printVerdict(cmd.OutOrStdout(), fit.Verdict)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the verdict as JSON, as in the topic")
	cmd.Flags().DurationVar(&wait, "wait", 5*time.Minute, "how long to wait for the verdict")
	addSettingFlags(cmd, "brokers", "prefix", "group")
	return cmd
}

// fitRequest asks for a fit.
type fitRequest struct {
	s    *pipeline.Settings
	wait time.Duration
	tell *printer // what is waited for
}

// verdict writes a request and returns the value of the verdict on it.
func (f *fitRequest) verdict(ctx context.Context) ([]byte, error) {
	client, err := newClient(ctx, f.s, append(produceOptions(), readOptions()...)...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	topic, adm := f.s.Topic(pipeline.FitsTopic), kadm.NewClient(client)
	if topics, err := adm.ListTopics(ctx, topic); err != nil {
		return nil, fmt.Errorf("asking for topic %q: %w", topic, err)
	} else if errors.Is(topics[topic].Err, kerr.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("topic %q does not exist: run `lull topics apply`", topic)
	}
	who, err := f.awaitFitter(ctx, adm)
	if err != nil {
		return nil, err
	}
	key, value, err := schemas.EncodeFit(&schemas.Fit{Cause: schemas.FitOnDemand})
	if err != nil {
		return nil, err
	}
	request := &kgo.Record{Topic: topic, Key: key, Value: value}
	if err := client.ProduceSync(ctx, request).FirstErr(); err != nil {
		return nil, fmt.Errorf("asking for a fit in topic %q: %w", topic, err)
	}
	f.tell.line("a fit has been asked for: waiting up to %s for the verdict, from %s", f.wait, who)
	waiting, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(request.Offset)}})
	for {
		fetches := client.PollFetches(waiting)
		if waiting.Err() != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("within %s there was no verdict from %s: its log and /readyz say why. The request stays, and is answered when it can be", f.wait, who)
		}
		if err := fetchError(ctx, fetches); err != nil {
			return nil, err
		}
		for r := range fetches.RecordsAll() {
			if r.Attrs.IsControl() {
				continue
			}
			if fit, err := schemas.DecodeFit(r.Key, r.Value); err == nil && fit.Verdict != nil && fit.Verdict.Request == request.Offset {
				return r.Value, nil
			}
		}
	}
}

// awaitFitter returns who can answer: the processes that fit models are members of a group of their own, and agree there on one of them. The error says that there is none.
func (f *fitRequest) awaitFitter(ctx context.Context, adm *kadm.Client) (who string, err error) {
	patience := min(f.wait, answerTimeout)
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for told := false; ; told = true {
		members, err := groupMembers(ctx, adm, f.s.FitterGroup())
		switch {
		case errors.Is(err, kerr.GroupAuthorizationFailed):
			return fmt.Sprintf("the group %q, whose members this user may not see", f.s.FitterGroup()), nil
		case err != nil:
			return "", err
		case len(members) > 0:
			return "one of " + strings.Join(members, ", "), nil
		case !told:
			f.tell.line("no process that fits models is in the group %q: waiting up to %s for one", f.s.FitterGroup(), patience)
		}
		select {
		case <-patient.Done():
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return "", fmt.Errorf("nobody was asked for a fit, because no process fits models: the group %q has no members. Start lull run with fit.mode auto or demand under the prefix %q, or mend --prefix and --group",
				f.s.FitterGroup(), f.s.Prefix)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// printVerdict prints a verdict for a person.
func printVerdict(w io.Writer, v *schemas.Verdict) error {
	p := printer{w: w}
	c := v.Candidate
	switch {
	case c == nil:
		p.line("not fitted")
	case v.Adopted:
		p.line("adopted %s", c.Version)
	default:
		p.line("not adopted")
	}
	for _, reason := range v.Reasons {
		p.line("  %s", reason)
	}
	if c == nil {
		return p.err
	}
	p.line("")
	p.line("%s, as of %s: %d customers, %d repeat purchases", c.Family, c.AsOf, c.Customers, c.RepeatPurchases)
	names := []string{"r", "alpha (days)", "a", "b", "p", "q", "v"}
	values := []float64{c.R, c.AlphaDays, c.A, c.B, c.P, c.Q, c.V}
	for i, name := range names {
		// The error of q is known as that of q - 1.
		scale := values[i]
		if name == "q" {
			scale--
		}
		p.line("  %-13s %10.4g  +- %.2g", name, values[i], scale*c.RelativeErrors[i])
	}
	p.line("  %-13s %10.4g  a fifth of the customers have at least this CLV", "high value", c.HighValue)
	p.line("  repeat purchases: %.0f expected, %d actual; mean purchase: %.2f expected, %.2f actual", c.ExpectedRepeats, c.RepeatPurchases, c.ExpectedSpend, c.ActualSpend)
	h := v.Holdout
	if h == nil {
		if v.NoHoldout != nil {
			p.line("no test on held-out weeks: %s", *v.NoHoldout)
		}
		return p.err
	}
	p.line("held out: %d weeks from %s, %d sampled customers", h.Weeks, h.From, h.Members)
	p.line("  %-13s %10s  %s", "", "purchases", "mean log score")
	p.line("  %-13s %10d", "actual", h.Actual)
	p.line("  %-13s %10.0f  %.4f", "new", h.Expected, h.LogScore)
	if h.ChampionExpected != nil {
		better := "better"
		if h.Difference < 0 {
			better = "worse"
		}
		p.line("  %-13s %10.0f  %.4f  the new is %s by %.4f +- %.4f", "in force", *h.ChampionExpected, *h.ChampionLogScore, better, math.Abs(h.Difference), h.StandardError)
	}
	return p.err
}

// printer prints lines until one fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
