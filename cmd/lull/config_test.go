package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lull config print shows the value in effect of every setting and where it comes from, and what it prints is a file that means the same.
func TestConfigPrint(t *testing.T) {
	config := writeFile(t, "lull.yaml", "input: {topic: shop}\nclock: {lateness: 90s, max_skew: 1m}\nmoney: {rates: {GBP: 1.27}}\nscores: {levels: []}\nprefix: my.\n")
	t.Setenv("LULL_CLOCK_MAX_SKEW", "2m")
	t.Setenv("LULL_BROKERS", "a:1,b:2")
	out, errs, code := lull(t, "config", "print", "--config", config, "--commit-interval", "1s", "--http-listen", "")
	if code != exitUsage || !strings.Contains(errs, `http.listen is ""`) {
		t.Errorf("what is not valid: exit code %d, %s", code, errs)
	}
	lines := make(map[string]string) // without the room that aligns them
	for _, line := range strings.Split(out, "\n") {
		value, origin, _ := strings.Cut(line, "#")
		lines[strings.TrimRight(value, " ")] = strings.TrimSpace(origin)
	}
	for line, origin := range map[string]string{
		`brokers: ["a:1","b:2"]`:       "LULL_BROKERS",
		`prefix: "my."`:                config,
		`group: "my"`:                  "follows from prefix",
		`  lateness: 1m30s`:            config,
		`  max_skew: 2m`:               "LULL_CLOCK_MAX_SKEW",
		`  max_jump: 168h`:             "default",
		`  interval: 1s`:               "--commit-interval",
		`  listen: ""`:                 "--http-listen",
		`  rates: {"GBP":"1.27"}`:      config,
		`  levels: []`:                 config,
		`  discount: 0.01`:             "default",
		`  orders: 100000`:             "default",
		`  source_max_silence: 0s`:     "default",
		`on_offset_mismatch: "refuse"`: "default",
	} {
		if got, ok := lines[line]; !ok || got != origin && line != "  interval: 1s" {
			t.Errorf("%q: origin %q, want %q", line, got, origin)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	again, err := load(t, out, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := load(t, "input: {topic: shop}\nclock: {lateness: 90s, max_skew: 2m}\nmoney: {rates: {GBP: 1.27}}\nscores: {levels: []}\nprefix: my.\nbrokers: [a:1, b:2]\n"+
		"commit: {interval: 1s}\nhttp: {listen: \"\"}", nil)
	// An empty list and none at all are the same setting.
	if got, want := fmt.Sprintf("%+v", again), fmt.Sprintf("%+v", s); err != nil || got != want {
		t.Errorf("what was printed means\n%s\nand not\n%s, %v", got, want, err)
	}
}

// What is printed of several inputs can be taken for a file again.
func TestConfigPrintInputs(t *testing.T) {
	config := writeFile(t, "lull.yaml", "inputs:\n  shop.orders: {format: segment-json}\n  web:\n")
	out, errs, code := lull(t, "config", "print", "--config", config)
	if code != 0 || !strings.Contains(out, `inputs: {"shop.orders":{"format":"segment-json"},"web":{}}`) {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	again, err := load(t, out, nil)
	if err != nil || len(again.Inputs) != 2 || again.Inputs["shop.orders"].Format != "segment-json" {
		t.Errorf("%+v, %v", again.Inputs, err)
	}
}

// lull config validate says what is wrong, or that nothing is.
func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		file, out, errs string
		code            int
	}{
		{"input: {topic: shop}\ninstance: one", "the settings are valid\n", "", 0},
		{"input: {topic: shop}", "instance is not set: run needs it", "", 0},
		{"input: {topic: shop}\nclock: {mode: sundial}", "", `clock.mode is "sundial": it must be one of wall, event`, exitUsage},
		{"clok: {}", "", `unknown key "clok"`, exitUsage},
	} {
		out, errs, code := lull(t, "config", "validate", "--config", writeFile(t, "lull.yaml", c.file))
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
			t.Errorf("%s: exit code %d, %s%s", c.file, code, out, errs)
		}
	}
}

// A secret is shown neither in the help nor in what is printed, which says where it comes from, and is a file that can be read.
func TestSecretsAreNotShown(t *testing.T) {
	t.Setenv("LULL_SECURITY_SASL_PASSWORD", "hunter2")
	args := []string{"config", "print", "--config", writeFile(t, "lull.yaml", "input: {topic: shop}\nsecurity: {sasl: {mechanism: SCRAM-SHA-256, username: me}}\n")}
	out, errs, code := lull(t, args...)
	if code != 0 || strings.Contains(out+errs, "hunter2") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	if !regexp.MustCompile(`(?m)^    # password: \[redacted\] +# LULL_SECURITY_SASL_PASSWORD$`).MatchString(out) || !regexp.MustCompile(`(?m)^    # client_secret: +# default$`).MatchString(out) {
		t.Error(out)
	}
	if s, err := load(t, out, nil); err != nil || s.Security.SASL.Username != "me" {
		t.Error(err)
	}
	out, errs, _ = lull(t, "config", "print", "--config", writeFile(t, "lull.yaml", "registry: {url: ['me:hunter2@registry:8081']}\nsecurity: {sasl: {token_url: 'https://me:hunter2@idp/token'}}\n"))
	if strings.Contains(out+errs, "hunter2") || !strings.Contains(out, "[redacted]@registry:8081") || !strings.Contains(out, "https://[redacted]@idp/token") {
		t.Errorf("logins in addresses are shown:\n%s%s", out, errs)
	}
	if got := shortDuration(100 * time.Hour); got != "100h" {
		t.Error(got)
	}
}
