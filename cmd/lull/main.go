// Command lull is the one binary of the project: the pipeline, and the small tools around it. Its subcommands are thin; what they do is in the
// packages they call.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // calendar.timezone on machines and in images that have no time zones

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lull/pipeline"
	"lull/pipeline/security"
)

// The exit codes.
const (
	exitError  = 1 // what was asked for could not be done
	exitUsage  = 2 // a flag, an argument or a setting is not as it must be
	exitFenced = 3 // another process runs under this instance id
)

func main() {
	debug.SetTraceback("crash") // a panic ends by SIGABRT: its own exit code is exitUsage, by which supervisors know what not to start again
	// A second signal is not taken for impatience: timeout(1) and shells send one to the process and one to its group.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, newRoot(), os.Args[1:])
	stop()
	os.Exit(code)
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	root.SetFlagErrorFunc(explainFlag)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(root.ErrOrStderr(), "lull: %v\n", err)
	code := exitCode(err)
	if code == exitUsage {
		fmt.Fprintf(root.ErrOrStderr(), "Run `%s --help`.\n", cmd.CommandPath())
	}
	return code
}

// explainFlag says how a setting is set that the command has no flag for.
func explainFlag(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		for _, s := range settingsList {
			if s.flag() == unknown.GetSpecifiedName() {
				how := fmt.Sprintf("in the file of --config, or by the environment variable %s", s.env())
				switch {
				case s.isSections():
					how = "in the file of --config"
				case s.isSecret():
					how = fmt.Sprintf("by the environment variable %s, or name a file with it under %s_file", s.env(), s.key)
				}
				return fmt.Errorf("%w: there is no flag here for the setting %s: set it %s", err, s.key, how)
			}
		}
	}
	return err
}

// exitCode returns the code that tells the error. An error that is no runError was found before the command began: it is one of usage.
func exitCode(err error) int {
	var failed runError
	var usage usageError
	var fenced *pipeline.FencedError
	var prefix *pipeline.PrefixError
	switch {
	case !errors.As(err, &failed), errors.As(err, &usage), errors.As(err, &prefix):
		return exitUsage
	case errors.As(err, &fenced):
		return exitFenced
	}
	return exitError
}

// runError is an error of a command that had begun.
type runError struct{ error }

func (e runError) Unwrap() error { return e.error }

// usageError is an error of flags, arguments or settings.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// running marks the errors of a command that had begun.
func running(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := run(cmd, args); err != nil {
			return runError{security.Explain(err)}
		}
		return nil
	}
}

// oneArgument requires the one argument of this name.
func oneArgument(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("there are %d arguments: there must be one, %s", len(args), name)
		}
		return nil
	}
}

// newGroup returns a command that is only the first word of others.
func newGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		},
	}
	group.AddCommand(commands...)
	return group
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "lull",
		Short: "Keep the lifetime value of every customer current, in a stream",
		Long: `lull reads customer events from Kafka and writes scores, segments and triggers back: a customer's position changes the moment
they act, and the moment they have been silent too long.

Settings come from flags, then environment variables, then the file of --config or LULL_CONFIG, then defaults: --clock-mode,
LULL_CLOCK_MODE and "mode" under "clock" in the file are the same setting. Exit codes: 0 done, 1 it could not be done,
2 a flag, argument or setting is wrong, 3 another process runs under the same instance id.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newDemoCommand(), newRunCommand(), newConfigCommand(), newTopicsCommand(), newACLCommand(), newMappingCommand(), newDoctorCommand(), newSchemasCommand(), newAsyncAPICommand(), newTriggersCommand(), newModelsCommand(), newFitCommand(),
		newCustomerCommand(), newProduceCommand(), newTailCommand(), newDeadLettersCommand(), newResetCommand(), newDiffCommand(), newBacktestCommand(), newSnapshotCommand(), newReportCommand(), newVersionCommand(),
	)
	return root
}
