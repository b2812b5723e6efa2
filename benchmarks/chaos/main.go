// Command chaos attacks pipelines on a real Apache Kafka, and proves that what they told is what an undisturbed one tells.
//
// It starts three brokers and two or three `lull run` processes on this machine, feeds them without a pause, and in the order of a seed kills and
// freezes processes, kills coordinators, cuts and delays the network, lets a process join and leave, and fills a disk. In the end every output is
// compared with that of one process which runs over the same input in peace, and with an account that is made from the input alone.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options are the flags.
type options struct {
	seed        uint64
	faults      int
	kills       int
	brokerKills int
	rolling     bool
	drill       bool
	inputs      int
	processes   int
	rate        int
	port        int
	dir         string
	lull        string
	from        string
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "the same `seed` makes the same input and the same faults")
	flag.IntVar(&o.faults, "faults", 100, "`number` of faults, of all kinds")
	flag.IntVar(&o.kills, "kills", 0, "instead of -faults: `number` of times that pipelines are killed, close upon each other")
	flag.IntVar(&o.brokerKills, "broker-kills", 0, "instead of -faults: `number` of times that brokers are killed, besides -kills")
	flag.BoolVar(&o.rolling, "rolling", false, "instead of faults: restart each pipeline in turn, with static membership and without, and print what that costs")
	flag.BoolVar(&o.drill, "drill", false, "instead of faults: install, scale up, upgrade, lose disks and scale down, and print what each step costs")
	flag.IntVar(&o.inputs, "inputs", 1, "`number` of input topics: 1, keyed by customer, or 2 that are not, and go through a first stage")
	flag.IntVar(&o.processes, "processes", 3, "`number` of pipelines, 2 to 5, besides the one that joins and leaves")
	flag.IntVar(&o.rate, "rate", 300, "`records` a second")
	flag.IntVar(&o.port, "port", 31000, "the first of the `ports` used, some 50: below those that the system gives to connections")
	flag.StringVar(&o.dir, "dir", "", "`folder` for data and logs, which must not exist; the default is a temporary one, kept only after a failure")
	flag.StringVar(&o.lull, "lull", "bin/lull", "`path` of the binary")
	flag.StringVar(&o.from, "from", "", "with -drill: `path` of the binary of the version to upgrade from; the default is that of -lull")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	violations, err := chaos(ctx, &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || violations > 0 {
		stop()
		os.Exit(1)
	}
}

// chaos makes one run. The error is of what kept it from ending; the violations have been printed.
func chaos(ctx context.Context, o *options) (violations int, err error) {
	switch {
	case flag.NArg() > 0:
		return 0, fmt.Errorf("unknown argument %q", flag.Arg(0))
	case o.processes < 2 || o.processes > 5:
		return 0, fmt.Errorf("--processes %d: 2 to 5", o.processes)
	case o.rolling && o.drill:
		return 0, errors.New("--rolling and --drill: one of them")
	case o.from != "" && !o.drill:
		return 0, errors.New("--from is of --drill")
	case o.inputs != 1 && o.inputs != 2 || (o.rolling || o.drill) && o.inputs != 1:
		return 0, fmt.Errorf("--inputs %d: 1 or 2, and 1 with --rolling and --drill", o.inputs)
	case min(o.faults, o.kills, o.brokerKills) < 0 || o.rate < 50:
		return 0, fmt.Errorf("--faults %d, --kills %d, --broker-kills %d, --rate %d: at least 0, and the rate 50", o.faults, o.kills, o.brokerKills, o.rate)
	}
	if o.lull, err = filepath.Abs(o.lull); err != nil {
		return 0, err
	}
	if o.from, err = filepath.Abs(cmp.Or(o.from, o.lull)); err != nil {
		return 0, err
	}
	for _, needed := range []string{o.lull, o.from, kafkaScript, modelFile} {
		if _, err := os.Stat(needed); err != nil {
			return 0, fmt.Errorf("%w: run `make build` first, and this at the root of the repository", err)
		}
	}
	keep := o.dir != ""
	if keep {
		if err := os.Mkdir(o.dir, 0o755); err != nil {
			return 0, err
		}
	} else if o.dir, err = os.MkdirTemp("", "lull-chaos-"); err != nil {
		return 0, err
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil || violations > 0 || keep {
			fmt.Println("data and logs are in", o.dir)
			return
		}
		err = os.RemoveAll(o.dir)
	}()
	r := &run{options: o}
	defer func() {
		err = errors.Join(err, r.close())
		violations = r.violations
	}()
	if err := r.prepare(ctx); err != nil {
		return 0, err
	}
	attack := r.disturb
	switch {
	case o.rolling:
		attack = r.roll
	case o.drill:
		attack = r.exercise
	}
	if err := attack(ctx); err != nil {
		return 0, err
	}
	if err := r.judge(ctx); err != nil {
		return 0, err
	}
	r.summarize()
	return r.violations, nil
}
