package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lull/operators/trigger"
)

func newTriggersCommand() *cobra.Command {
	facts := &cobra.Command{
		Use:   "facts",
		Short: "Print what conditions can speak of",
		Long: `Facts prints what the conditions of rules can speak of: name, type in CEL, unit, what becomes of it while the customer is silent, and
meaning. What is constant changes with orders and models only; rising and falling facts reach a bound at one instant, which is known in
advance, and so do those that go up and down, and arithmetic of them all (+ - * /), with each other too: the instant is looked for.
Stepwise ones change with the customer's segments.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "FACT\tTYPE\tIN SILENCE\tUNIT\tMEANING")
			for _, f := range trigger.Facts() {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", f.Name, f.Type, f.Silence, f.Unit, f.Doc)
			}
			return w.Flush()
		}),
	}
	defaults := &cobra.Command{
		Use:     "defaults",
		Short:   "Print the rules that lull has if triggers.rules names no file",
		Example: `  lull triggers defaults > rules.yaml`,
		Args:    cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), trigger.DefaultRules().Text)
			return err
		}),
	}
	check := &cobra.Command{
		Use:     "check FILE",
		Short:   "Check a file of rules",
		Long:    `Check reads a file of rules as run does, and says what is wrong with it, a line each, with line and column: exit code 2.`,
		Example: `  lull triggers check rules.yaml`,
		Args:    oneArgument("the rules FILE"),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			rules, err := readRules(args[0])
			if err != nil {
				return err
			}
			if len(rules.Rules) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "no rules: there will be no triggers")
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for i := range rules.Rules {
				r := &rules.Rules[i]
				fmt.Fprintf(w, "%s\tversion %s\t%s\t%s\n", r.Name, r.Version, r.Severity, r.When)
			}
			return w.Flush()
		}),
	}
	return newGroup("triggers", "Show, check and try the rules of triggers", facts, defaults, check, newTriggersTryCommand())
}
