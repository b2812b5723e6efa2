package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"lull/pipeline/report"
	"lull/pipeline/snapshot"
)

func newReportCommand() *cobra.Command {
	var out, snapshots, name string
	cmd := &cobra.Command{
		Use:   "report --snapshots DIR|URL --out DIR",
		Short: "Draw what a snapshot says of the customers: one page for a browser, and each figure as SVG",
		Long: `Report reads the newest snapshot that lull snapshot or lull run has written, or the one that --snapshot names, and writes report.html, which needs no network and
nothing beside it, and each of its figures as SVG: value and risk, deadlines of the coming weeks, RFM, P(alive), cohorts, changes of
segment, a backtest, and data quality by source and by customer, of whom the ten worst are named. docs/report.md says what each figure says. It needs no Kafka. What a figure needs and the snapshot
lacks, the figure says.

The tables lie in a folder below TMPDIR while it works.`,
		Example: `  lull report --snapshots snapshots --out report
  lull report --out report --config lull.yaml`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if snapshots == "" {
				snapshots = s.Snapshots.Out
			}
			return runReport(cmd, snapshots, name, out)
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "`folder` to write to")
	cmd.Flags().StringVar(&snapshots, "snapshots", "", "`folder` or URL of a bucket that snapshots are in (default the setting snapshots.out)")
	cmd.Flags().StringVar(&name, "snapshot", "", "`name` of a snapshot there (default that of the latest instant)")
	addConfigFlag(cmd)
	return cmd
}

// runReport writes the report of a snapshot, "" being the newest, into a folder.
func runReport(cmd *cobra.Command, snapshots, name, out string) error {
	switch {
	case out == "":
		return usageError{errors.New("--out is empty: it must be the folder to write the report to")}
	case snapshots == "":
		return usageError{errors.New("--snapshots is empty, and so is snapshots.out: one of them must be the folder, or the URL of the bucket, that snapshots are in")}
	}
	m, names, err := drawReport(cmd.Context(), snapshots, name, out)
	if err != nil {
		return err
	}
	p := &printer{w: cmd.OutOrStdout()}
	p.line("report of snapshot %s, as of %s, in %s:", m.Snapshot, m.AsOf, out)
	for _, name := range names {
		p.line("  %s", name)
	}
	return p.err
}

// drawReport writes the files, and returns their names and what they are of. No copy of a table is left when it returns: a reader of what is printed then may go away, which ends the process.
func drawReport(ctx context.Context, snapshots, name, out string) (m *snapshot.Manifest, names []string, err error) {
	target, err := snapshot.Kept(ctx, snapshots)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--snapshots: %w", err)}
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	tables, err := target.Open(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, tables.Close()) }()
	names, err = report.Snapshot(ctx, tables, out)
	return tables.Manifest, names, err
}
