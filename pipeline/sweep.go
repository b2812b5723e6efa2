package pipeline

import (
	"fmt"
	"time"

	"lull/operators"
	"lull/pipeline/task"
)

// sweepShare is which part of commit.interval, and of commit.outputs, a cycle gives to the sweep, backlog or not: a record waits so much longer at most, and
// a scan of the store; and the sweep comes to its end under any load.
const sweepShare = 10

// sweep lets every task count its customers, if it has not, and bring them to the model in force, for a small part of the cycle, after what the cycle is for.
func (r *Runner) sweep() error {
	until := time.Now().Add(r.s.Commit.Interval / sweepShare)
	return r.inParallel(func(p *partition) error {
		budget := task.Budget{Outputs: len(p.task.Outputs()) + r.s.Commit.Outputs/sweepShare, Expired: func() bool { return !time.Now().Before(until) }}
		if err := p.task.Count(&budget); err != nil {
			return err
		}
		touched, err := p.task.Sweep(&budget)
		p.stats.swept += touched
		return err
	})
}

// sweeping reports whether a sweep, or a count, is under way in any partition.
func (r *Runner) sweeping() bool {
	for _, p := range r.active() {
		if _, counted := p.task.Statistics(); !counted || p.task.Sweeping() {
			return true
		}
	}
	return false
}

// missModels says so if a partition has heard of customers and no model is in force: nobody is scored, and silence makes nothing true.
func (r *Runner) missModels() {
	missing := false
	for _, p := range r.active() {
		meta := p.task.Meta()
		missing = missing || len(meta.Adoptions) == 0 || meta.Watermark != operators.Unset && !meta.HasModel()
	}
	why := ""
	if missing {
		why = "no model is in force: nobody is scored, and no trigger is made. " + map[string]string{
			"auto": "One is fitted when the input has been read; or put one by lull models put", "demand": "Ask for one by lull fit, or put one by lull models put",
			"off": "Put one by lull models put; fit.mode is off in this process",
		}[r.s.Fit.Mode] + ". Who has bought until then is scored as soon as it is there"
	}
	if missing && r.s.Fit.Mode == "auto" {
		for _, in := range r.inputs {
			if in.read && in.clock.Unused() && in.hold == task.Awaited {
				why += fmt.Sprintf(". The input %q has never had a record, and is waited for", in.Topic)
			}
		}
	}
	if missing && !r.modelMissed {
		r.log.Warn().Msg(why)
	}
	r.modelMissed = missing
	r.health.warnIf("no model", why)
}
