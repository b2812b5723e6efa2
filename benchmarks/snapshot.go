package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"lull/operators"
	"lull/pipeline/snapshot"
)

// snapshotArgument makes this program measure snapshots, and what they cost live events.
const snapshotArgument = "snapshot"

// snapshotRun is a scenario: customers buy at a steady rate while snapshots of all of them are taken, first by lull snapshot beside the process, then by the process's own schedule.
type snapshotRun struct {
	liveRun
	lull   string // the program
	fitted bool
	every  time.Duration

	out   string // folder of the snapshots
	taken []*snapshotOutcome
	walks []*walk
}

// walk is a request of the read API for which a process walks through its customers, asked again and again for a phase.
type walk struct {
	path   string
	quiet  *phase // that came before it
	during *phase
	took   []time.Duration
}

// walked are the requests that are measured.
var walked = []string{"/v1/counts", "/v1/customers?sort=id", "/v1/customers?sort=deadline", "/v1/customers?sort=value_about_to_be_lost"}

// snapshotOutcome is what became of one snapshot.
type snapshotOutcome struct {
	quiet    *phase // that came before it
	during   *phase
	cpu      float64 // seconds: of the process of its own, or of the live one beyond what it used in the quiet phase
	rssBytes int64   // the most that the process that took it had resident, ever
	manifest *snapshot.Manifest
}

// The phases with a snapshot.
const (
	besidePhase    = "lull snapshot, a process of its own"
	scheduledPhase = "snapshot by the schedule of lull run"
)

// runSnapshot runs the scenario and prints the report.
func runSnapshot(arguments []string) error {
	var r snapshotRun
	flags := flag.NewFlagSet("benchmarks snapshot", flag.ExitOnError)
	r.liveFlags(flags, "snapshot")
	flags.StringVar(&r.lull, "lull", "bin/lull", "the program that runs, and takes snapshots")
	flags.BoolVar(&r.fitted, "fitted", true, "a model that was fitted, whose error is in the points of CLV; else one that was put by hand")
	flags.DurationVar(&r.every, "every", time.Minute, "snapshots.every of the schedule: longer than one takes, at least a minute")
	r.flags(flags)
	_ = flags.Parse(arguments) // it exits
	if err := r.check(flags); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return r.within(r.run)
}

func (r *snapshotRun) run() (err error) {
	load := loadAverage()
	m := model
	if r.fitted {
		m.Fit = fitOf(r.customers)
	}
	if err := r.fill(&m); err != nil {
		return err
	}
	r.out = filepath.Join(r.work, "snapshots")
	if err := r.start(r.command("run")); err != nil {
		return err
	}
	defer func() { r.child.kill() }() // not the child of now
	if r.live, err = startLoad(&r.scenario, r.buyers(), r.rate); err != nil {
		return err
	}
	defer r.live.abandon()
	if err := r.beside(); err != nil {
		return err
	}
	for _, path := range walked {
		if err := r.walk(path); err != nil {
			return err
		}
	}
	if _, err := r.begin(""); err != nil {
		return err
	}
	r.child.kill()
	if err := r.start(r.command("run", "--snapshots-every", r.every.String(), "--snapshots-out", r.out, "--snapshots-keep", "2")); err != nil {
		return err
	}
	if err := r.scheduled(); err != nil {
		return err
	}
	if err := r.live.stop(); err != nil {
		return err
	}
	return r.print(os.Stdout, load)
}

// fitOf returns what a fit would say of its parameters: each is known to a twentieth. How well hardly matters to what the points of CLV cost.
func fitOf(customers int) *operators.Fit {
	const variance = 0.05 * 0.05
	f := &operators.Fit{AsOf: historyEnd, Customers: int64(customers)}
	for i := range f.Covariance {
		f.Covariance[i][i] = variance
	}
	for i := range f.SpendCovariance {
		f.SpendCovariance[i][i] = variance
	}
	return f
}

// command starts a command of lull, with the settings of the application.
func (r *snapshotRun) command(name string, arguments ...string) (*child, error) {
	s := &r.settings
	arguments = append([]string{
		name, "--brokers", strings.Join(s.Brokers, ","), "--prefix", s.Prefix, "--group", s.Group,
	}, arguments...)
	cmd := exec.Command(r.lull, arguments...)
	cmd.Env = append(os.Environ(),
		"TMPDIR="+r.work, "LULL_INSTANCE="+s.Instance, "LULL_INPUT_TOPIC="+s.Input.Topic, "LULL_STATE_DIR="+s.State.Dir, "LULL_HTTP_LISTEN="+s.HTTP.Listen,
		"LULL_HTTP_TIMEOUT=5m", // on a busy machine walks take longer than they may
		"LULL_CLOCK_MODE="+s.Clock.Mode, "LULL_FIT_MODE="+s.Fit.Mode)
	return startCommand(cmd)
}

// beside takes snapshots by processes of their own, with quiet phases between them.
func (r *snapshotRun) beside() error {
	if err := r.rest("", r.warmUp); err != nil {
		return err
	}
	if err := r.rest("quiet", r.quiet); err != nil {
		return err
	}
	for range r.runs {
		o := r.outcome()
		var err error
		if o.during, err = r.begin(besidePhase); err != nil {
			return err
		}
		c, err := r.command("snapshot", "--from-changelog", "--out", r.out)
		if err != nil {
			return err
		}
		defer c.kill()
		err = r.until(func() (bool, error) {
			select {
			case <-c.ended:
				return true, c.err
			default:
			}
			if used, err := processUsage(c.cmd.Process.Pid); err == nil { // it may end meanwhile
				o.rssBytes = used.RSSBytesMax
			}
			return false, nil
		})
		if err != nil {
			return err
		}
		o.cpu = (c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()).Seconds()
		if err := r.endSnapshot(o); err != nil {
			return err
		}
		if err := r.rest("quiet", r.quiet); err != nil {
			return err
		}
	}
	return nil
}

// walk asks for the same, one request after the other, for as long as a quiet phase is.
func (r *snapshotRun) walk(path string) (err error) {
	w := &walk{path: path, quiet: r.phases[len(r.phases)-1]}
	if w.during, err = r.begin("GET " + path); err != nil {
		return err
	}
	for began := time.Now(); time.Since(began) < r.quiet; {
		asked := time.Now()
		response, err := r.get(path)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return fmt.Errorf("reading the answer to GET %s: %w", path, err)
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s is answered by status %d: %s", path, response.StatusCode, body)
		}
		w.took = append(w.took, time.Since(asked))
	}
	if err := r.end(w.during); err != nil {
		return err
	}
	r.walks = append(r.walks, w)
	return r.rest("quiet", r.quiet)
}

// scheduled lets the process take snapshots. The first, which it takes at once, is not measured: neither the process nor its load is warm.
func (r *snapshotRun) scheduled() error {
	for n := range r.runs + 1 {
		if err := r.awaitFolder(true); err != nil {
			return err
		}
		if n == 0 {
			if err := r.awaitFolder(false); err != nil {
				return err
			}
		} else if err := r.scheduledOne(); err != nil {
			return err
		}
		if err := r.rest("quiet", min(r.quiet, r.every-5*time.Second)); err != nil { // short of the next one
			return err
		}
		if _, err := r.begin(""); err != nil {
			return err
		}
	}
	return nil
}

// scheduledOne measures the snapshot that has begun.
func (r *snapshotRun) scheduledOne() (err error) {
	o := r.outcome()
	if o.during, err = r.begin(scheduledPhase); err != nil {
		return err
	}
	if err := r.awaitFolder(false); err != nil {
		return err
	}
	if err := r.endSnapshot(o); err != nil {
		return err
	}
	if written := o.during.spent[`lull_snapshots_total{outcome="written"}`]; written != 1 {
		return fmt.Errorf("the schedule has taken %v snapshots, want one: raise -every, which is snapshots.every, above the time that one takes", written)
	}
	o.cpu = (o.during.cores() - o.quiet.cores()) * o.during.took.Seconds()
	used, err := processUsage(r.child.cmd.Process.Pid)
	o.rssBytes = used.RSSBytesMax
	return err
}

// outcome begins one.
func (r *snapshotRun) outcome() *snapshotOutcome {
	o := &snapshotOutcome{quiet: r.phases[len(r.phases)-1]}
	r.taken = append(r.taken, o)
	return o
}

// endSnapshot ends the phase of a snapshot, and reads what it says of itself.
func (r *snapshotRun) endSnapshot(o *snapshotOutcome) error {
	if err := r.end(o.during); err != nil {
		return err
	}
	target, err := snapshot.OpenTarget(r.ctx, r.out)
	if err != nil {
		return err
	}
	latest, err := target.Latest(r.ctx)
	if err == nil {
		o.manifest, err = target.Manifest(r.ctx, latest)
	}
	if err == nil && o.manifest == nil {
		err = errors.New("no snapshot is there")
	}
	return errors.Join(err, target.Close())
}

// awaitFolder waits until the folder is there, or is not, in which the schedule restores the state for a snapshot.
func (r *snapshotRun) awaitFolder(there bool) error {
	return r.until(func() (bool, error) {
		_, err := os.Stat(filepath.Join(r.settings.State.Dir, "snapshot"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		return there == (err == nil), nil
	})
}
