package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
	environ := []string{"HOME=/", "LULL_CLOCK_MAX_SKEW=4m", "LULL_CLOCK_MAX_JUMP=5h", "LULL_SCORES_LEVELS=0.9, 0.1", "LULL_MONEY_RATES=CHF=1.1",
		"LULL_SERVICE_HOST=10.0.0.1", "LULL_PORT=tcp://10.0.0.1:80", "LULL_WEB_PORT_8280_TCP_ADDR=10.0.0.1", "LULL_SERVICE_PORT_HTTP=80"} // of Kubernetes, for its services
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
		{"section written flat", "clock.mode: event", nil, nil, []string{`unknown key "clock.mode"`, `write it as "mode" under "clock"`}},
		{"key without a value", "clock:\n  mode:", nil, nil, []string{"lull.yaml", `"clock.mode" has no value`}},
		{"no such file", "", []string{"LULL_CONFIG=/no/such/lull.yaml"}, nil, []string{"/no/such/lull.yaml"}},
		{"two unknown keys", "a: 1\nb: 2", nil, nil, []string{`"a"`, `"b"`}},
		{"scalar for a section", "clock: event", nil, nil, []string{`"clock" is event`, "section"}},
		{"no YAML", "clock: {", nil, nil, []string{"lull.yaml"}},
		{"unknown variable", "", []string{"LULL_CLOCK_MOD=event"}, nil, []string{"LULL_CLOCK_MOD"}},
		{"duration without a unit", "clock: {lateness: 600}", nil, nil, []string{"clock.lateness", "600", "unit"}},
		{"duration that is none", "", []string{"LULL_CLOCK_LATENESS=soon"}, nil, []string{"clock.lateness", `"soon"`, "unit"}},
		{"fraction of a partition", "topics: {partitions: 2.5}", nil, nil, []string{"topics.partitions", "2.5"}},
		{"a number for yes or no", "security: {tls: {enabled: 1}}", nil, nil, []string{"lull.yaml", "security.tls.enabled", `"1" is neither true nor false`}},
		{"yes for a number", "topics: {partitions: true}", nil, nil, []string{"topics.partitions", "true"}},
		{"text for a number", "", nil, []string{"--topics-partitions", "many"}, []string{"--topics-partitions", "topics.partitions", `"many" is no whole number`}},
		{"text for a fraction", "money: {margin: abc}", nil, nil, []string{"lull.yaml", "money.margin", `"abc" is no number`}},
		{"text in a list of numbers", "", []string{"LULL_SCORES_LEVELS=0.5,high"}, nil, []string{"LULL_SCORES_LEVELS", "scores.levels", `"high" is no number`}},
		{"list for a text", "instance: [a, b]", nil, nil, []string{"lull.yaml", "instance", "one value"}},
		{"keys for a text", "instance: {a: b}", nil, nil, []string{"lull.yaml", "instance", "one value"}},
		{"text for keys", "money: {rates: EUR}", nil, nil, []string{"lull.yaml", "money.rates", `"EUR" is no KEY=VALUE`}},
		{"unknown key of an input", "inputs: {web: {formt: json}}", nil, nil, []string{"lull.yaml", `unknown key "inputs.web.formt"`, "under inputs.web can stand: format, mapping, schema"}},
		{"an input that is no section", "inputs: {web: json}", nil, nil, []string{"lull.yaml", `"inputs.web" is json: it must be a section with keys`}},
		{"inputs as a list", "inputs: [web]", nil, nil, []string{"lull.yaml", "inputs: it must be keys with sections"}},
		{"a list for an input's format", "inputs: {web: {format: [json]}}", nil, nil, []string{"lull.yaml", "inputs: web.format: a list stands where one value must stand"}},
		{"inputs by a variable", "", []string{"LULL_INPUTS=web"}, nil, []string{"environment variable LULL_INPUTS: inputs is a section for each topic, which only a file can hold: set it there"}},
		{"two wrong values", "money: {margin: abc}\nclock: {lateness: 5}", nil, nil, []string{"money.margin", "clock.lateness"}},
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
			namesOnlySettings(t, err)
		})
	}
}

// goNames are words that only who reads the source knows.
var goNames = regexp.MustCompile(`\b[A-Z][a-z]{2,}[A-Z]|float64|strconv|\w\[|decod|koanf`)

// namesOnlySettings reports an error text that names things of the source.
func namesOnlySettings(t *testing.T, err error) {
	t.Helper()
	text := regexp.MustCompile(`/\S+/lull\.yaml`).ReplaceAllString(err.Error(), "")
	if name := goNames.FindString(text); name != "" {
		t.Errorf("error %q tells %q of the source", err, name)
	}
}

// What breaks a rule is told by the setting's own name. No setting takes a value that is not one for a default, and 0 is a value.
func TestSettingsRules(t *testing.T) {
	const required = "--input-topic=shop"
	refused := func(key, value string) bool {
		i := slices.IndexFunc(settingsList, func(s setting) bool { return s.key == key })
		s, err := load(t, "", nil, required, "--"+settingsList[i].flag()+"="+value)
		if err == nil {
			err = s.Validate()
		}
		if err == nil {
			return false
		}
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: error %q does not name the setting", key, value, err)
		}
		namesOnlySettings(t, err)
		return true
	}
	for _, s := range settingsList {
		if s.isSecret() || s.isSections() {
			continue // it has no flag
		}
		for _, value := range []string{"", "0", "-1", "nonsense", "NaN", "1e300", "9223372036854775807", "2540000h"} {
			refused(s.key, value)
		}
	}
	for _, c := range []struct{ key, value string }{
		{"money.margin", "2"}, {"money.margin", "0"}, {"money.margin", "NaN"}, {"money.currency", "usd"}, {"money.rates", "eur=1"}, {"money.rates", "EUR=1,08"},
		{"money.rates", "USD=1"}, {"risk.high", "0.5"}, {"risk.high", "1"}, {"risk.back", "0"}, {"scores.levels", "0.1,0.2"}, {"scores.levels", "1"},
		{"scores.horizon_months", "0"}, {"scores.horizon_months", "121"}, {"scores.discount", "-0.1"}, {"scores.contact_days", "0"},
		{"commit.interval", "0s"}, {"commit.interval", "5ms"}, {"session.gap", "9000h"}, {"clock.max_skew", "1us"}, {"clock.source_max_silence", "-1s"},
		{"limits.message_ids", "0"}, {"limits.message_ids", "5000"}, {"limits.orders", "15"}, {"limits.id_bytes", "5000"}, {"topics.partitions", "0"},
		{"prefix", ""}, {"brokers", ""}, {"state.dir", ""}, {"calendar.timezone", ""}, {"clock.mode", ""}, {"log_level", ""},
	} {
		if !refused(c.key, c.value) {
			t.Errorf("%s=%q is taken", c.key, c.value)
		}
	}
}

// An unset setting has its default, one that is set to nothing has not: no level at which to score anew, no discount. The group follows the prefix.
func TestSettingsUnset(t *testing.T) {
	s, err := load(t, "input: {topic: shop}\nprefix: my.app.\nclock:\n# mode: event\nmoney: {rates: }\nscores: {levels: [], discount: 0}", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	chain := s.Chain()
	if len(chain.Score.Levels) > 0 || chain.Score.DiscountMonthly != 0 {
		t.Errorf("levels %v, discount %v; want none", chain.Score.Levels, chain.Score.DiscountMonthly)
	}
	if s.Clock.Mode != "wall" || s.Group != "my.app" || len(s.Money.Rates) > 0 {
		t.Errorf("mode %q, group %q, rates %v", s.Clock.Mode, s.Group, s.Money.Rates)
	}
}

// The file can be named by the environment; a flag goes before it.
func TestSettingsFile(t *testing.T) {
	named := writeFile(t, "named.yaml", "prefix: environment.")
	if s, err := load(t, "", []string{"LULL_CONFIG=" + named}); err != nil || s.Prefix != "environment." {
		t.Errorf("prefix %q, error %v", s.Prefix, err)
	}
	if s, err := load(t, "prefix: flag.", []string{"LULL_CONFIG=" + named}); err != nil || s.Prefix != "flag." {
		t.Errorf("prefix %q, error %v", s.Prefix, err)
	}
}

// The path of a file that is read begins in the folder of the file of settings that it stands in; of a flag or a variable, in the working directory. An absolute one is left alone.
func TestSettingsPaths(t *testing.T) {
	file := writeFile(t, "lull.yaml", "input: {topic: shop, format: json, mapping: maps/orders.yaml, schema: /etc/order.avsc}\ntriggers: {rules: rules.yaml}\nsecurity: {tls: {ca_file: ../ca.pem}}\nstate: {dir: state}\n")
	cmd := &cobra.Command{}
	addSettingFlags(cmd)
	if err := cmd.ParseFlags([]string{"--config", file, "--registry-ca-file", "flag.pem"}); err != nil {
		t.Fatal(err)
	}
	s, err := loadSettings(cmd.Flags(), []string{"LULL_REGISTRY_PASSWORD_FILE=variable"})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	staged, err := load(t, "inputs: {shop.orders: {format: json, mapping: orders.yaml}, web: {format: segment-json}}", nil)
	if of := staged.Inputs["shop.orders"]; err != nil || of.Format != "json" || !filepath.IsAbs(of.Mapping) || filepath.Base(of.Mapping) != "orders.yaml" || staged.Inputs["web"].Format != "segment-json" {
		t.Errorf("inputs: %+v, %v", staged.Inputs, err)
	}
	for _, c := range []struct{ setting, got, want string }{
		{"input.mapping of the file", s.Input.Mapping, filepath.Join(dir, "maps", "orders.yaml")},
		{"input.schema of the file", s.Input.Schema, "/etc/order.avsc"},
		{"triggers.rules of the file", s.Triggers.Rules, filepath.Join(dir, "rules.yaml")},
		{"security.tls.ca_file of the file", s.Security.TLS.CAFile, filepath.Join(filepath.Dir(dir), "ca.pem")},
		{"security.tls.cert_file, not set", s.Security.TLS.CertFile, ""},
		{"registry.ca_file of the flag", s.Registry.CAFile, "flag.pem"},
		{"registry.password_file of the environment", s.Registry.PasswordFile, "variable"},
		{"state.dir, which is not read from", s.State.Dir, "state"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.setting, c.got, c.want)
		}
	}
	// What names a file says so by its name, or by being one of the three that do not.
	for _, s := range settingsList {
		if want := strings.HasSuffix(s.key, "_file") || slices.Contains([]string{"input.mapping", "input.schema", "triggers.rules"}, s.key); s.path != want {
			t.Errorf("%s: path %v, want %v", s.key, s.path, want)
		}
	}
	t.Chdir(dir)
	out, _, _ := lull(t, "config", "print", "--config", "lull.yaml", "--registry-ca-file", "flag.pem")
	for _, want := range []string{filepath.Join(dir, "maps", "orders.yaml"), filepath.Join(dir, "flag.pem")} {
		if !strings.Contains(out, strconv.Quote(want)) {
			t.Errorf("no %s in\n%s", want, out)
		}
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
