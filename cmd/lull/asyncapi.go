package main

import (
	"os"

	"github.com/spf13/cobra"
)

func newAsyncAPICommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "asyncapi --config FILE",
		Short: "Print the AsyncAPI document of this application's topics",
		Long: `Asyncapi prints an AsyncAPI 3.0 document, JSON, of every topic that somebody else may read or write: its name under these
settings, its messages with their keys, headers and formats, and their schemas, as JSON Schema and where values are Avro as Avro
too. Code and documentation for subscribers can be made of it. It asks no broker. docs/asyncapi.json is that of the defaults.`,
		Example: `  lull asyncapi --config lull.yaml > lull.asyncapi.json`,
		Args:    cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			document, err := s.AsyncAPI()
			if err != nil {
				return usageError{err}
			}
			_, err = cmd.OutOrStdout().Write(document)
			return err
		}),
	}
	addSettingFlags(cmd, "brokers", "prefix", "input.topic", "input.format", "input.mapping", "outputs.sessions", "outputs.scores", "outputs.segments", "outputs.triggers", "outputs.offers", "outputs.subjects")
	return cmd
}
