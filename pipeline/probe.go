package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lull/pipeline/security"
)

const (
	probeInterval = time.Second
	// probeTimeout is how long an answer may take. Two in a row that do not come are a problem: a partition whose leader changes has none for a moment.
	probeTimeout = 3 * time.Second
	probesMax    = 2
	// complaintsLast is how long after its last failure a fetch or a join is a problem: the client tries again much sooner, and says so.
	complaintsLast = 15 * time.Second
)

// probe asks the brokers for the input's ends again and again, whatever the main loop is waiting for: whether they answer is told by /readyz and the log, how
// far the tasks are behind by the metrics. It ends with ctx.
func (r *Runner) probe(ctx context.Context) {
	failed := 0
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, probeTimeout)
		ends, err := r.adm.ListEndOffsets(asking, r.consumed()...)
		if err == nil {
			err = ends.Error()
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		failed = r.probed(ends, err, failed)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// probed takes in an answer, after some in a row that did not come, and returns how many these are now.
func (r *Runner) probed(ends kadm.ListedOffsets, err error, failed int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.complainedAt) > complaintsLast {
		r.complaint = ""
		r.health.clear("reading")
	}
	if err != nil {
		if failed++; failed < probesMax {
			return failed
		}
		problem := fmt.Sprintf("the brokers of %s do not answer: %s", strings.Join(r.s.Brokers, ", "), r.s.Security.Unanswered(err))
		if err = security.Explain(err); security.Tokenless(err) {
			problem = fmt.Sprintf("there is no token to log in to %s with: %s", strings.Join(r.s.Brokers, ", "), err)
		} else if security.Explained(err) {
			problem = fmt.Sprintf("the brokers of %s refuse this process: asking for the ends of topics %s: %s", strings.Join(r.s.Brokers, ", "), strings.Join(r.consumed(), ", "), err)
		}
		r.health.set("brokers", problem)
		if failed == probesMax {
			r.log.Warn().Msg(problem)
		}
		return failed
	}
	r.health.clear("brokers")
	if failed >= probesMax {
		r.log.Info().Msg("the brokers answer again")
	}
	for _, p := range r.readers() {
		if end, ok := ends.Lookup(p.topic, p.n); ok {
			p.end = end.Offset
		}
	}
	return 0
}

// complain says on /readyz what keeps the input from being read, as long as it does, and in the log if it is nothing that passes by itself. mu is held.
func (r *Runner) complain(err error) {
	err = security.Explain(err)
	if said := r.complaint; security.Explained(err) && said != err.Error() {
		r.log.Warn().Msg(err.Error() + "; trying again")
	}
	r.complainedAt, r.complaint = time.Now(), err.Error()
	r.health.set("reading", err.Error())
	r.log.Debug().Err(err).Msg("reading the input")
}
