package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"lull/pipeline"
)

// load loads the settings as a command with all setting flags would.
func load(t *testing.T, file string, environ []string, args ...string) (pipeline.Settings, error) {
	t.Helper()
	cmd := &cobra.Command{}
	addSettingFlags(cmd)
	if file != "" {
		path := filepath.Join(t.TempDir(), "lull.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return loadSettings(cmd.Flags(), environ)
}

// Flags win over the environment, that over the file, that over defaults; for a scalar, a list and a map alike.
func TestSettingsPrecedence(t *testing.T) {
	const file = `
brokers: [file:1]
clock: {lateness: 1m, max_skew: 2m, max_jump: 3h}
scores:
  levels: [0.5, 0.25]
money:
  rates: {EUR: 1.08, GBP: "1.27"}
`
	environ := []string{"HOME=/", "LULL_CLOCK_MAX_SKEW=4m", "LULL_CLOCK_MAX_JUMP=5h", "LULL_SCORES_LEVELS=0.9, 0.1", "LULL_MONEY_RATES=CHF=1.1"}
	s, err := load(t, file, environ, "--clock-max-jump", "6h", "--brokers", "a:1,b:2", "--topics-partitions", "3", "--money-margin=0.4")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		setting   string
		got, want any
	}{
		{"clock.lateness of the file", s.Clock.Lateness, time.Minute},
		{"clock.max_skew of the environment", s.Clock.MaxSkew, 4 * time.Minute},
		{"clock.max_jump of the flag", s.Clock.MaxJump, 6 * time.Hour},
		{"session.gap by default", s.Session.Gap, 30 * time.Minute},
		{"topics.partitions of the flag", s.Topics.Partitions, 3},
		{"money.margin of the flag", s.Money.Margin, 0.4},
		{"number of rates of the environment", len(s.Money.Rates), 1},
		{"rate of the environment", s.Money.Rates["CHF"], "1.1"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.setting, c.got, c.want)
		}
	}
	if !slices.Equal(s.Brokers, []string{"a:1", "b:2"}) {
		t.Errorf("brokers of the flag: %v", s.Brokers)
	}
	if !slices.Equal(s.Scores.Levels, []float64{0.9, 0.1}) {
		t.Errorf("scores.levels of the environment: %v", s.Scores.Levels)
	}
	s, err = load(t, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Money.Rates["EUR"] != "1.08" || s.Money.Rates["GBP"] != "1.27" {
		t.Errorf("rates of the file: %v", s.Money.Rates)
	}
}

// What is no setting, or cannot be one's value, is an error that names the key. It is one of usage.
func TestSettingsErrors(t *testing.T) {
	for _, c := range []struct {
		name, file string
		environ    []string
		args       []string
		want       []string // all in the error
	}{
		{"unknown key", "clok: {mode: event}", nil, nil, []string{"lull.yaml", `unknown key "clok"`, "clock"}},
		{"unknown key in a section", "clock: {mod: event}", nil, nil, []string{"lull.yaml", `unknown key "clock.mod"`, "under clock", "mode"}},
		{"section written flat", "clock.mode: event", nil, nil, []string{`unknown key "clock.mode"`}},
		{"two unknown keys", "a: 1\nb: 2", nil, nil, []string{`"a"`, `"b"`}},
		{"scalar for a section", "clock: event", nil, nil, []string{`"clock" is event`, "section"}},
		{"no YAML", "clock: {", nil, nil, []string{"lull.yaml"}},
		{"unknown variable", "", []string{"LULL_CLOCK_MOD=event"}, nil, []string{"LULL_CLOCK_MOD"}},
		{"duration without a unit", "clock: {lateness: 600}", nil, nil, []string{"clock.lateness", "600", "unit"}},
		{"duration that is none", "", []string{"LULL_CLOCK_LATENESS=soon"}, nil, []string{"clock.lateness", `"soon"`, "unit"}},
		{"fraction of a partition", "topics: {partitions: 2.5}", nil, nil, []string{"topics.partitions", "2.5"}},
		{"yes for a number", "topics: {partitions: true}", nil, nil, []string{"topics.partitions", "true"}},
		{"text for a number", "", nil, []string{"--topics-partitions", "many"}, []string{"topics.partitions"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.file, c.environ, c.args...)
			var usage usageError
			if !errors.As(err, &usage) {
				t.Fatalf("error %v, want a usageError", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not tell %q", err, want)
				}
			}
		})
	}
}

// No two settings share a flag or a variable, and none takes a flag that commands have besides.
func TestSettingNamesAreUnique(t *testing.T) {
	flags, variables := map[string]string{"config": "config", "help": "help"}, map[string]string{}
	for _, s := range settingsList {
		if other, taken := flags[s.flag()]; taken {
			t.Errorf("--%s is both %s and %s", s.flag(), other, s.key)
		}
		if other, taken := variables[s.env()]; taken {
			t.Errorf("%s is both %s and %s", s.env(), other, s.key)
		}
		flags[s.flag()], variables[s.env()] = s.key, s.key
	}
}
