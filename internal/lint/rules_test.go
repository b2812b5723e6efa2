package lint

import (
	"slices"
	"strings"
	"testing"
)

// Planted files show what each rule finds and what it leaves alone. want holds the beginnings of the expected
// violations, in any order; none means that the rule must be content.
var planted = []struct {
	rule  string
	name  string
	files map[string]string
	want  []string
}{
	{
		rule: "imports", name: "operators are pure",
		files: map[string]string{
			"operators/rfm/rfm.go": `package rfm
				import (
					"cmp"
					"context"
					"hash/fnv"
					"log"
					"math"
					"math/rand"
					"sync/atomic"
					"time"
					"github.com/cespare/xxhash/v2"
					"github.com/rs/zerolog"
				)`,
			"operators/rfm/rfm_test.go": `package rfm
				import ("os"; "testing"; "time")`,
		},
		want: []string{
			"operators/rfm/rfm.go:4: operators/rfm must not import context",
			"operators/rfm/rfm.go:6: operators/rfm must not import log",
			"operators/rfm/rfm.go:8: operators/rfm must not import math/rand",
			"operators/rfm/rfm.go:9: operators/rfm must not import sync/atomic",
			"operators/rfm/rfm.go:10: operators/rfm must not import time",
			"operators/rfm/rfm.go:12: operators/rfm must not import github.com/rs/zerolog",
		},
	},
	{
		rule: "imports", name: "operators do not know each other",
		files: map[string]string{
			"operators/event.go":        `package operators; import "lull/operators/rfm"`,
			"operators/rfm/rfm.go":      `package rfm; import ("lull/operators"; "lull/operators/session")`,
			"operators/score/score.go":  `package score; import ("lull/operators"; "lull/operators/bgnbd"; "lull/operators/rfm")`,
			"operators/bgnbd/bgnbd.go":  `package bgnbd; import ("lull/operators"; "lull/operators/gammaratio")`,
			"operators/clv/clv.go":      `package clv; import ("lull/operators"; "lull/operators/rfm"; "lull/schemas")`,
			"operators/orders/order.go": `package orders; import "lull/operators/optest"`,
		},
		want: []string{
			"operators/event.go:1: operators must not import lull/operators/rfm",
			"operators/rfm/rfm.go:1: operators/rfm must not import lull/operators/session",
			"operators/score/score.go:1: operators/score must not import lull/operators/rfm",
			"operators/bgnbd/bgnbd.go:1: operators/bgnbd must not import lull/operators",
			"operators/clv/clv.go:1: operators/clv must not import lull/schemas",
			"operators/orders/order.go:1: operators/orders must not import lull/operators/optest",
		},
	},
	{
		rule: "imports", name: "state knows bytes only",
		files: map[string]string{
			"state/store.go": `package state
				import (
					"sync"
					"github.com/cockroachdb/pebble/v2"
					"github.com/cockroachdb/pebble/v2/vfs"
					"lull/internal/invariants"
					"lull/operators"
					"golang.org/x/sync/errgroup"
				)`,
		},
		want: []string{
			"state/store.go:7: state must not import lull/operators",
			"state/store.go:8: state must not import golang.org/x/sync/errgroup",
		},
	},
	{
		rule: "imports", name: "a task is single-threaded and has no clock",
		files: map[string]string{
			"pipeline/task/task.go": `package task
				import (
					"container/heap"
					"context"
					"sync"
					"time"
					"lull/operators"
					"lull/operators/clv"
					"lull/operators/rfm"
					"lull/state"
				)`,
		},
		want: []string{
			"pipeline/task/task.go:4: pipeline/task must not import context",
			"pipeline/task/task.go:5: pipeline/task must not import sync",
			"pipeline/task/task.go:6: pipeline/task must not import time",
			"pipeline/task/task.go:9: pipeline/task must not import lull/operators/rfm",
			"pipeline/task/task.go:10: pipeline/task must not import lull/state",
		},
	},
	{
		rule: "imports", name: "arrows point one way",
		files: map[string]string{
			"cmd/lull/main.go":                `package main; import ("lull/pipeline"; "lull/pipeline/sim"; "lull/schemas")`,
			"pipeline/run.go":                 `package pipeline; import ("lull/pipeline/task"; "lull/pipeline/sim"; "lull/state")`,
			"pipeline/backfill/backfill.go":   `package backfill; import ("lull/pipeline"; "lull/pipeline/task")`,
			"schemas/schemas.go":              `package schemas; import ("lull/operators"; "lull/pipeline/task")`,
			"internal/invariants/assert.go":   `package invariants; import "lull/operators"`,
			"pipeline/task/task_test.go":      `package task; import ("context"; "lull/state")`,
			"operators/session/sessions.go":   `package session; import "lull"`,
			"operators/testdata/gen/bad.go":   `package gen; import "os"`,
			"operators/trigger/trigger.go":    `package trigger; import "hash"`,
			"pipeline/query/query.go":         `package query; import ("net/http"; "lull/pipeline")`,
			"operators/gammagamma/numbers.go": `package gammagamma; import "unicode"`,
		},
		want: []string{
			"pipeline/run.go:1: pipeline must not import lull/pipeline/sim",
			"pipeline/backfill/backfill.go:1: pipeline/backfill must not import lull/pipeline",
			"schemas/schemas.go:1: schemas must not import lull/pipeline/task",
			"internal/invariants/assert.go:1: internal/invariants must not import lull/operators",
			"operators/session/sessions.go:1: operators/session must not import lull",
			"operators/gammagamma/numbers.go:1: operators/gammagamma must not import unicode",
		},
	},
	{
		rule: "libraries", name: "each library has its rooms",
		files: map[string]string{
			"cmd/lull/main.go":          `package main; import ("github.com/twmb/franz-go/pkg/kgo"; "github.com/rs/zerolog")`,
			"pipeline/run.go":           `package pipeline; import ("github.com/twmb/franz-go/pkg/kmsg"; "github.com/linkedin/goavro/v2")`,
			"pipeline/query/query.go":   `package query; import ("github.com/twmb/franz-go/pkg/kgo"; "github.com/prometheus/client_golang/prometheus")`,
			"pipeline/store.go":         `package pipeline; import "github.com/cockroachdb/pebble/v2/vfs"`,
			"pipeline/crash_test.go":    `package pipeline; import ("github.com/cockroachdb/pebble/v2/vfs"; "github.com/cockroachdb/pebble/v2")`,
			"state/store.go":            `package state; import ("github.com/cockroachdb/pebble/v2"; "github.com/prometheus/client_golang/prometheus")`,
			"schemas/avro.go":           `package schemas; import ("github.com/linkedin/goavro/v2"; "github.com/twmb/avro"; "github.com/rs/zerolog/log")`,
			"benchmarks/load.go":        `package main; import ("github.com/twmb/franz-go/pkg/kgo"; "lull/pipeline")`,
			"pipeline/task/log_test.go": `package task; import "github.com/twmb/franz-go/pkg/kfake"`,
		},
		want: []string{
			"pipeline/run.go:1: pipeline must not import github.com/linkedin/goavro/v2: only schemas",
			"pipeline/query/query.go:1: pipeline/query must not import github.com/twmb/franz-go/pkg/kgo: only the runtime",
			"pipeline/store.go:1: pipeline must not import github.com/cockroachdb/pebble/v2/vfs: only state",
			"pipeline/crash_test.go:1: pipeline must not import github.com/cockroachdb/pebble/v2: only state",
			"state/store.go:1: state must not import github.com/prometheus/client_golang/prometheus: only the runtime",
			"schemas/avro.go:1: schemas must not import github.com/rs/zerolog/log: only the runtime",
			"pipeline/task/log_test.go:1: pipeline/task must not import github.com/twmb/franz-go/pkg/kfake: only the runtime",
		},
	},
	{
		rule: "libraries", name: "nothing builds on the ends",
		files: map[string]string{
			"pipeline/run.go":           `package pipeline; import ("lull/cmd/lull"; "lull/benchmarks"; "lull/deploy")`,
			"pipeline/run_test.go":      `package pipeline; import ("lull/internal/lint"; "lull/internal/invariants")`,
			"benchmarks/load_test.go":   `package benchmarks_test; import "lull/benchmarks"`,
			"benchmarks/peers/peers.go": `package peers; import "lull/benchmarks"`,
		},
		want: []string{
			"pipeline/run.go:1: pipeline must not import lull/cmd/lull: nothing builds",
			"pipeline/run.go:1: pipeline must not import lull/benchmarks: nothing builds",
			"pipeline/run.go:1: pipeline must not import lull/deploy: nothing builds",
			"pipeline/run_test.go:1: pipeline must not import lull/internal/lint: it holds tests only",
			"benchmarks/peers/peers.go:1: benchmarks/peers must not import lull/benchmarks: nothing builds",
		},
	},
	{
		rule: "clocks", name: "time is an input",
		files: map[string]string{
			"pipeline/clock.go":         "package pipeline\nimport \"time\"\nvar now = time.Now",
			"cmd/lull/main.go":          "package main\nimport \"time\"\nvar start = time.Now()",
			"pipeline/sim/sim.go":       "package sim\nimport \"time\"\nvar seed = time.Now().UnixNano()",
			"state/store.go":            "package state\nimport wall \"time\"\nfunc age(t wall.Time) wall.Duration { return wall.Since(t) }",
			"state/time.go":             "package state\nimport \"time\"\nvar keep = time.Hour",
			"state/store_test.go":       "package state\nimport \"time\"\nvar start = time.Now()",
			"schemas/time.go":           "package schemas\nvar time clock\nvar now = time.Now()",
			"pipeline/backfill/file.go": "package backfill\nimport \"time\"\nfunc f(t time.Time) { time.Until(t) }",
		},
		want: []string{
			"pipeline/sim/sim.go:3: pipeline/sim must not read the clock",
			"state/store.go:3: state must not read the clock",
			"pipeline/backfill/file.go:3: pipeline/backfill must not read the clock",
		},
	},
	{
		rule: "sleeps", name: "tests do not sleep",
		files: map[string]string{
			"pipeline/run_test.go":  "package pipeline\nimport \"time\"\nfunc wait() { time.Sleep(time.Second) }",
			"state/store_test.go":   "package state\nimport t \"time\"\nvar pause = t.Sleep",
			"pipeline/backoff.go":   "package pipeline\nimport \"time\"\nfunc wait() { time.Sleep(time.Second) }",
			"pipeline/wait_test.go": "package pipeline\nimport \"time\"\nvar after = time.After",
		},
		want: []string{
			"pipeline/run_test.go:3: a test must not sleep",
			"state/store_test.go:3: a test must not sleep",
		},
	},
	{
		rule: "identifiers", name: "a word with two meanings",
		files: map[string]string{
			"operators/rfm/rfm.go": "package rfm\ntype Facts struct {\n\tDaysRecency int\n}\nfunc f(recency int) {}",
			"pipeline/query/parquet.go": "package query\n// Row has the recency of lifetimes.\ntype Row struct {\n" +
				"\tLastPurchaseAge float64 `parquet:\"recency\"`\n}\nconst column = \"recency\"",
		},
		want: []string{
			"operators/rfm/rfm.go:3: DaysRecency",
			"operators/rfm/rfm.go:5: recency",
		},
	},
	{
		rule: "package names", name: "a name for what it is",
		files: map[string]string{
			"pipeline/util/strings.go": "package util",
			"operators/types/money.go": "package money",
			"internal/rows/rows.go":    "package common",
			"operators/money/money.go": "package money",
		},
		want: []string{"pipeline/util: util", "operators/types: types", "internal/rows: common"},
	},
	{
		rule: "package depth", name: "two levels below the root",
		files: map[string]string{
			"pipeline/task/timers/heap.go":      "package timers",
			"pipeline/task/task.go":             "package task",
			"state/store.go":                    "package state",
			"pipeline/task/testdata/gen/gen.go": "package main",
		},
		want: []string{"pipeline/task/timers: a package is at most two levels"},
	},
	{
		rule: "package comments", name: "one sentence on each package",
		files: map[string]string{
			"state/doc.go":            "// Package state keeps bytes.\npackage state",
			"state/store.go":          "package state",
			"schemas/schemas.go":      "// Codecs.\npackage schemas",
			"operators/money.go":      "// Package operators is the vocabulary.\n\npackage operators",
			"cmd/lull/main.go":        "// Command lull is the one binary.\npackage main",
			"benchmarks/main.go":      "// Package main measures.\npackage main",
			"pipeline/run_test.go":    "package pipeline_test",
			"pipeline/task/task.go":   "package task",
			"internal/lint/doc.go":    "// Package lint has rules.\npackage lint",
			"internal/lint/x_test.go": "package lint",
		},
		want: []string{
			"schemas: no file has a package comment that begins with \"Package schemas \"",
			"operators: no file has",
			"benchmarks: no file has a package comment that begins with \"Command benchmarks \"",
			"pipeline/task: no file has",
		},
	},
	{
		rule: "root files", name: "no more than a newcomer needs",
		files: map[string]string{
			"README.md":     "lull",
			"docs/adr/1.md": "why",
			".ci/run":       "make check",
			"PLAN.md":       "soon",
			"scripts/go.sh": "go",
			"coverage.html": "<p>",
			"main.go":       "package main",
		},
		want: []string{"PLAN.md: does not belong", "scripts: does not belong", "coverage.html: does not belong", "main.go: does not belong"},
	},
	{
		rule: "messages", name: "each is read whole, or no user can cause it",
		files: map[string]string{
			"cmd/lull/a.go": `package main
				import ("errors"; "fmt")
				func f(err error) []error {
					return []error{
						errors.New("read whole by a test"),
						fmt.Errorf("key %q is %d: it must be %s" + ", or none", "k", 1, "2"),
						fmt.Errorf("read by data %w; as it stands there", err),
						fmt.Errorf("reading the file: %w", err),
						fmt.Errorf("%s: %s", "a", "b"),
						//lull:unread a fault of the program
						errors.New("told to nobody"),
						errors.New("as little") , //lull:unread it is caught
						errors.New("read by nobody"),
						fmt.Errorf("read %s in part", "a"),
						fmt.Errorf("parts %s in another order", "a"),
						//lull:unread
						errors.New("without a reason"),
					}
				}`,
			"schemas/b.go": `package schemas
				func g(d decoder) { d.reject("a_reason", "no record, but " + "%d bytes", 1); d.print("any text of another kind") }`,
			"state/c.go":               `package state; import "errors"; var err = errors.New("of another room")`,
			"cmd/lull/a_test.go":       `package main; var wants = []string{"lull: read whole by a test\n", "key \"a\" is " + x + ": it must be 3, or none", "read all", "in another order come these parts"}`,
			"cmd/lull/testdata/errors": "1 read by data that are there; as it stands there\n",
		},
		want: []string{
			`cmd/lull/a.go:13: no test reads "read by nobody"`, `cmd/lull/a.go:14: no test reads "read %s in part"`, `cmd/lull/a.go:15: no test reads "parts %s in another order"`,
			`cmd/lull/a.go:17: no test reads "without a reason"`, `schemas/b.go:2: no test reads "no record, but %d bytes"`,
		},
	},
	{
		// The paths are put together here, or this file would break the rule.
		rule: "user paths", name: "no path of one machine",
		files: map[string]string{
			"README.md":          "See /" + "home/ann/lull/docs.",
			"docs/run.md":        "one\n`/" + "root/lull/bin`\n\"C:\\" + "Users\\ann\\lull\"",
			"deploy/values.yaml": "dir: /" + "Users/ann/lull",
			"docs/good.md":       "~/.cache/lull, $HOME/lull, https://example.org/" + "home/index/a, /var/lib/lull, /" + "rooted/x",
			"docs/picture.png":   "\x89PNG\x00 /" + "home/ann/lull/",
		},
		want: []string{
			"README.md:1: /" + "home/ann exists",
			"docs/run.md:2: /" + "root exists",
			"docs/run.md:3: C:\\" + "Users\\ann exists",
			"deploy/values.yaml:1: /" + "Users/ann exists",
		},
	},
	{
		rule: "conflicts", name: "both sides are there",
		files: map[string]string{
			"docs/run.md":      "one\n<<<<<<< HEAD\ntwo\n=======\nthree\n>>>>>>> 0f1e2d3 (run)\n",
			"docs/good.md":     "Title\n=======\n\n`<<<<<<< HEAD` begins one.\n",
			"docs/picture.png": "\x89PNG\x00\n<<<<<<< HEAD\n",
		},
		want: []string{"docs/run.md:2: a merge conflict", "docs/run.md:6: a merge conflict"},
	},
}

// Each rule finds exactly what is planted for it, and none is without something planted.
func TestRules(t *testing.T) {
	for _, r := range rules {
		tried := false
		for _, p := range planted {
			if p.rule != r.name {
				continue
			}
			tried = tried || len(p.want) > 0
			t.Run(r.name+"/"+p.name, func(t *testing.T) {
				files := make(map[string][]byte)
				for name, content := range p.files {
					files[name] = []byte(content)
				}
				repo, err := parseRepository(files)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, r.check(repo), p.want)
			})
		}
		if !tried {
			t.Errorf("rule %q has no planted violation", r.name)
		}
	}
}

// compare pairs each violation with the expected beginning that it has.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	missing := slices.Clone(want)
	for _, violation := range got {
		i := slices.IndexFunc(missing, func(beginning string) bool { return strings.HasPrefix(violation, beginning) })
		if i < 0 {
			t.Errorf("found though allowed: %s", violation)
			continue
		}
		missing = slices.Delete(missing, i, i+1)
	}
	for _, beginning := range missing {
		t.Errorf("not found: %s", beginning)
	}
}
