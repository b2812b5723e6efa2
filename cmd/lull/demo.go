package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kfake"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// cdnowLog is the CDNOW purchase log; cdnow/README.md tells its source and licence.
//
//go:embed cdnow/transactions.csv.gz
var cdnowLog []byte

//go:embed cdnow/model.yaml
var cdnowModel []byte

// demoPartitions is the number of partitions of the demo's topics.
const demoPartitions = 8

// demoEnd is the time mark after the log: 1998-07-01T00:00:00Z, the day after its last.
const demoEnd operators.EventTime = 899_251_200_000

// demo is a run of the whole: a broker, the pipeline in a process of its own, and a replay of a purchase log.
type demo struct {
	log   []byte // CSV with the columns of cdnow/README.md
	kills int
	seed  uint64 // of the moments of the kills
	json  bool
	serve bool
	dir   string // "" is a folder of its own that is removed afterwards
	out   io.Writer
	err   io.Writer

	// brokers are those of a Kafka that runs already; empty: one is started. suffix ends the application's name and the input topic's, so that two
	// demos on one Kafka do not meet.
	brokers []string
	suffix  string

	began    time.Time
	settings pipeline.Settings
	process  process
}

func newDemoCommand() *cobra.Command {
	d := demo{log: cdnowLog}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all on real purchases, with nothing else installed",
		Long: `Demo starts a Kafka-compatible broker inside this process and "lull run" in another, replays the purchases of 23,570 customers
of an online CD shop from January 1997 to June 1998, and prints what came out. With --kill it kills the pipeline by SIGKILL
at random moments of the replay, and ends in the same digest.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			if d.kills < 0 {
				return usageError{fmt.Errorf("--kill is %d: it must be 0 or more", d.kills)}
			}
			if !cmd.Flags().Changed("seed") {
				d.seed = rand.Uint64()
			}
			d.out, d.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return d.run(cmd.Context())
		}),
	}
	cmd.Flags().IntVar(&d.kills, "kill", 0, "kill the pipeline this many `times`")
	cmd.Flags().BoolVar(&d.json, "json", false, "end standard output with one line of JSON: the digest and all figures")
	cmd.Flags().BoolVar(&d.serve, "serve", false, "keep everything running afterwards, until interrupted")
	cmd.Flags().StringVar(&d.dir, "dir", "", "empty `folder` for the data, which are kept (default a temporary one)")
	cmd.Flags().Uint64Var(&d.seed, "seed", 0, "seed of when to kill: after which records, and how much later within a transaction (default a random one).\nWhat has been committed by then is up to the machine")
	return cmd
}

// run runs the demo. Whatever it started has ended when it returns.
func (d *demo) run(ctx context.Context) (err error) {
	d.began = time.Now()
	remove, err := d.makeDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if len(d.brokers) == 0 {
		cluster, err := kfake.NewCluster(
			kfake.NumBrokers(1),
			// On disk, so that the log is not held in memory. The page cache is enough: it is the pipeline that is killed, not the broker.
			kfake.DataDir(filepath.Join(d.dir, "broker")),
			kfake.ClusterID("lull-demo"),
		)
		if err != nil {
			return fmt.Errorf("starting the broker: %w", err)
		}
		defer cluster.Close()
		d.brokers = cluster.ListenAddrs()
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if err := d.process.start(); err != nil {
		return err
	}
	defer func() {
		if stopped := d.process.stop(); err == nil {
			err = stopped
		}
	}()
	figures, err := d.play(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted before the end")
	}
	if err != nil {
		return err
	}
	return d.show(ctx, figures)
}

// play replays the log and returns what came of it.
func (d *demo) play(ctx context.Context) (*figures, error) {
	if err := d.process.waitReady(ctx); err != nil {
		return nil, err
	}
	orders, err := d.orders()
	if err != nil {
		return nil, err
	}
	replayed, err := d.replay(ctx, orders.rows)
	if err != nil {
		return nil, err
	}
	return d.figures(ctx, orders, replayed)
}

// makeDir makes the folder for the data; remove removes it, unless the user has named it.
func (d *demo) makeDir() (remove func() error, err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "lull-demo-"); err != nil {
			return nil, fmt.Errorf("making a folder for the data: %w", err)
		}
		return func() error { return os.RemoveAll(d.dir) }, nil
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder for the data: %w", err)
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("making the folder for the data: %w", err)
	}
	if len(entries) > 0 {
		return nil, usageError{fmt.Errorf("--dir %s is not empty: the demo starts from nothing; name another", d.dir)}
	}
	return func() error { return nil }, nil
}

// prepare writes the settings of the pipeline, creates the topics and puts the model.
func (d *demo) prepare(ctx context.Context) error {
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	d.process = process{
		config: filepath.Join(d.dir, "lull.yaml"), log: filepath.Join(d.dir, "lull.log"), ready: "http://" + listen + "/readyz", patience: time.Minute,
	}
	text := fmt.Sprintf(`# The settings of the demo's pipeline; all others have their defaults.
brokers: [%s]
prefix: lull%s.
instance: demo
input:
  topic: purchases%s
state:
  dir: %q
http:
  listen: %q
clock:
  mode: event # time moves by events and time marks: this is a replay
fit:
  mode: demand # the demo's model stays in force, unless lull fit is asked for
  statistics_every: 1s
topics:
  partitions: %d
`, strings.Join(d.brokers, ", "), d.suffix, d.suffix, filepath.Join(d.dir, "state"), listen, demoPartitions)
	if err := os.WriteFile(d.process.config, []byte(text), 0o644); err != nil {
		return err
	}
	flags := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	flags.String("config", d.process.config, "")
	if d.settings, err = loadSettings(flags, nil); err != nil {
		return err
	}
	if _, err := pipeline.CreateTopics(ctx, d.settings, demoPartitions); err != nil {
		return err
	}
	model, err := schemas.ParseModelFile(cdnowModel)
	if err != nil {
		return err
	}
	_, err = putModel(ctx, d.settings, &model)
	return err
}

// freeAddress returns an address on loopback that nothing listens at.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer func() { _ = listener.Close() }() // it was only to be found free
	return listener.Addr().String(), nil
}

// rows returns a reader of the log.
func (d *demo) rows() (*rowReader, error) {
	return newRowReader(bytes.NewReader(d.log), rowConfig{
		Source: "cdnow", Kind: operators.OrderCompleted, Currency: "USD", Zone: time.UTC, Delimiter: ',', Decimal: '.',
	})
}

// orderLog is what the log itself says, without any pipeline.
type orderLog struct {
	rows  int64
	times map[string][]operators.EventTime // of every customer's orders, ascending
}

// orders reads the log.
func (d *demo) orders() (*orderLog, error) {
	rows, err := d.rows()
	if err != nil {
		return nil, err
	}
	orders := &orderLog{times: make(map[string][]operators.EventTime)}
	var r row
	for err = rows.next(&r); err == nil; err = rows.next(&r) {
		if r.Refused != nil {
			//lull:unread the log is this program's own
			return nil, fmt.Errorf("row %d of the log: %s", r.Number, r.Refused.Detail)
		}
		orders.rows++
		orders.times[r.Event.Customer] = append(orders.times[r.Event.Customer], r.Event.Time)
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return orders, nil
}

// after returns the customer's first order after t; ok is false if there is none.
func (o *orderLog) after(customer string, t operators.EventTime) (first operators.EventTime, ok bool) {
	for _, at := range o.times[customer] {
		if at > t {
			return at, true
		}
	}
	return 0, false
}

// show prints the figures, and keeps all running with --serve.
func (d *demo) show(ctx context.Context, f *figures) error {
	f.Seconds = time.Since(d.began).Seconds()
	if err := f.print(d.out); err != nil {
		return err
	}
	if d.serve {
		d.printCommands(f)
	}
	if d.json {
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(d.out, "%s\n", line); err != nil {
			return err
		}
	}
	if !d.serve {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-d.process.ended:
		return d.process.check()
	}
}

// printCommands prints what to try while the demo serves.
func (d *demo) printCommands(f *figures) {
	program, customer := os.Args[0], "00001"
	if len(f.Customers) > 0 {
		customer = f.Customers[0].CustomerID
	}
	api, brokers := "http://"+d.settings.HTTP.Listen, strings.Join(d.settings.Brokers, ",")
	fmt.Fprintf(d.out, `
All of it runs until Ctrl-C. Try:
  %[1]s customer %[2]s --api %[3]s
  %[1]s tail triggers --brokers %[4]s
  %[1]s tail scores --brokers %[4]s --follow
  curl %[3]s/v1/customers/%[2]s
  curl %[3]s/metrics
The settings are in %[5]s, the log is %[6]s.
`, program, customer, api, brokers, d.process.config, d.process.log)
}
