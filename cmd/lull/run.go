package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"lull/pipeline"
)

func newRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the pipeline: the consumer to deploy",
		Long: `Run reads the input topic and writes scores, sessions, segments and triggers, until SIGTERM or SIGINT: then it commits, flushes
its state and exits with 0. Its group keeps its place for commit.session_timeout, so that a restart has its partitions back
at once; a process that does not come back should run with --on-stop leave, which gives them to the others at once. Logs are
JSON lines on standard error. Probes (/livez, /readyz), /metrics, /version and the read API (/v1/customers/ID) are at http.listen.

Every setting is a flag, and an environment variable: --clock-mode is LULL_CLOCK_MODE. Exit code 2: a setting is not as
it must be, or the prefix is another application's, or its state was made with other settings. Exit code 3: another process runs
under the same instance id, and has taken over.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadValid(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if s.Instance == "" {
				return usageError{errors.New(`instance is "": it must name this process in its group, the same after a restart and unique, such as lull-0`)}
			}
			log, err := newLogger(s)
			if err != nil {
				return err
			}
			snapshots, err := newSchedule(&s)
			if err != nil {
				return err
			}
			if snapshots == nil {
				return pipeline.Run(cmd.Context(), s, log, nil)
			}
			return errors.Join(pipeline.Run(cmd.Context(), s, log, snapshots), snapshots.close())
		}),
	}
	addSettingFlags(cmd)
	return cmd
}

func newLogger(s pipeline.Settings) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(s.LogLevel)
	if err != nil {
		return zerolog.Logger{}, usageError{fmt.Errorf("log_level: %w", err)}
	}
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.SetGlobalLevel(level) // of the process: it can be changed at run time
	return zerolog.New(os.Stderr).With().Timestamp().Logger(), nil
}
