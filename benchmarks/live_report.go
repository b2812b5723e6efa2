package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// printPhases prints the latencies of the phases, and what the process used. Where there are several of a name, they are shown together too: the quiet ones, and those of the names that are given.
func (r *liveRun) printPhases(p *printer, names ...string) {
	p.line("| latency of an order, ms | orders | p50 | p99 | p99.9 | greatest | p99 / quiet | p99 of the median second | / quiet | sent late, p99 |")
	p.line("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	quiet := r.all("quiet")
	shown := r.phases
	if r.runs > 1 {
		shown = append(slices.Clone(shown), quiet)
		for _, name := range names {
			shown = append(shown, r.all(name))
		}
	}
	for _, ph := range shown {
		p99, second := percentile(ph.latencies, 0.99), ph.medianSecond()
		p.line("| %s | %s | %s | %s | %s | %s | %.2f | %s | %.2f | %s |", ph.name, thousands(len(ph.latencies)),
			inMs(percentile(ph.latencies, 0.5)), inMs(p99), inMs(percentile(ph.latencies, 0.999)), inMs(percentile(ph.latencies, 1)),
			p99.Seconds()/percentile(quiet.latencies, 0.99).Seconds(), inMs(second), second.Seconds()/quiet.medianSecond().Seconds(), inMs(percentile(ph.lags, 0.99)))
	}
	p.line("")
	p.line("| the process | s | cores used | transactions/s | encode, ms | commit, ms | collections |")
	p.line("|---|--:|--:|--:|--:|--:|--:|")
	for _, ph := range r.phases {
		each := func(what string) float64 {
			return 1000 * ph.spent[phaseSeconds+`{phase="`+what+`"}`] / ph.spent.sum(transactions)
		}
		p.line("| %s | %.1f | %.2f | %.1f | %.1f | %.1f | %.0f |", ph.name, ph.took.Seconds(), ph.cores(), ph.spent.sum(transactions)/ph.took.Seconds(),
			each("encode"), each("commit"), ph.spent.sum("go_gc_duration_seconds_count"))
	}
	p.line("")
}

// explainPhases says what the columns of printPhases are, and what they were measured on. what is measured beside the quiet phases.
func (r *liveRun) explainPhases(p *printer, what string) {
	p.line("Latency: from the instant at which an order was due, whether it could be sent then or not, to the receipt of its customer's row by a reader of committed records. Every order has had its row.")
	p.line("Quiet, in the ratios, is all of the quiet phases together. The p99 of the median second: half of the seconds had a greater one. What else the machine does for a second or two is in the p99 of all, and not in this one; nor is what %s does rarely.", what)
	p.line("Encode and commit are means of a transaction.")
	p.line("History: seed %d, %s orders, from which the state was made in %.0f s.", r.seed, thousands(r.filled.events), r.fillTook.Seconds())
	p.line("Broker: %s, on the same machine, as are producer and reader.", r.whereBroker())
}

// cores returns how many processors the processes of the phase used.
func (p *phase) cores() float64 { return p.spent.sum(cpuSeconds) / p.took.Seconds() }

// all returns all phases of one name as one.
func (r *liveRun) all(name string) *phase {
	sum := &phase{name: "all of " + name, seconds: make(map[int][]time.Duration)}
	for _, p := range r.phases {
		if p.name != name {
			continue
		}
		sum.latencies, sum.lags = append(sum.latencies, p.latencies...), append(sum.lags, p.lags...)
		for _, latencies := range p.seconds {
			sum.seconds[len(sum.seconds)] = latencies
		}
	}
	return sum
}

// medianSecond returns the median of the 99th percentiles of the phase's seconds.
func (p *phase) medianSecond() time.Duration {
	var seconds []time.Duration
	for _, latencies := range p.seconds {
		seconds = append(seconds, percentile(latencies, 0.99))
	}
	return percentile(seconds, 0.5)
}

// percentile returns the least of the durations that a share of them do not exceed; 0 if there are none. It sorts them.
func percentile(of []time.Duration, share float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[max(0, int(math.Ceil(share*float64(len(of))))-1)]
}

func inMs(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
