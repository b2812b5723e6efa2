package lint

import (
	"fmt"
	"go/ast"
	"path"
	"strconv"
	"strings"
)

// A door says what the packages in a room may import; everything else is closed to them. It binds the code that
// is shipped: tests may bring whatever they measure with.
type door struct {
	room     []string // packages, relative to the root; the first door whose room matches holds
	standard []string // packages of the standard library
	closed   []string // exceptions from standard
	others   []string // packages of other modules
	ours     []string // packages of this module, relative to the root
}

var (
	// pure is what a domain without clock, disk, network, goroutine and logger can do with.
	pure = []string{
		"bytes", "cmp", "encoding/binary", "errors", "fmt", "hash/...", "iter", "math", "slices", "sort",
		"strconv", "strings", "unicode/utf8",
	}
	// hashes is a pure function too: ids of outputs are hashes of their causes.
	hashes = []string{"github.com/cespare/xxhash/v2"}

	all = []string{"..."}
)

// doors are the arrows of docs/ARCHITECTURE.md:
//
//	cmd -> pipeline/* -> operators/* <- schemas
//	                  -> state
//
// A package that is not listed may import what it likes, within libraries.
var doors = []door{
	// Of the operators only clv, which assembles them, knows them all. The others know the vocabulary, and those
	// that apply a model know its numbers.
	{room: []string{"operators/clv"}, standard: pure, others: hashes, ours: []string{"operators/..."}},
	// The rule language: a file of YAML, conditions in CEL. Neither reads a clock, nor anything else that is not its input.
	{
		room:     []string{"operators/trigger"},
		standard: append([]string{"embed"}, pure...), others: []string{"cel.dev/cel-go/...", "go.yaml.in/yaml/v3"}, ours: []string{"operators"},
	},
	{
		room:     []string{"operators/segment"},
		standard: pure, others: hashes,
		ours: []string{"operators", "operators/bgnbd", "operators/gammagamma", "operators/newton"},
	},
	// What is dear to compute is kept and shared by all who ask, without a change of any answer: ADR 31.
	{
		room:     []string{"operators/score"},
		standard: append([]string{"sync/atomic"}, pure...), others: hashes,
		ours: []string{"operators", "operators/bgnbd", "operators/gammagamma", "operators/newton"},
	},
	{
		room:     []string{"operators/bgnbd"},
		standard: append([]string{"sync/atomic"}, pure...), ours: []string{"operators/gammaratio", "operators/newton"},
	},
	// What is counted is what the fits take.
	{room: []string{"operators/statistics"}, standard: pure, ours: []string{"operators", "operators/bgnbd"}},
	// The incomplete beta function.
	{
		room:     []string{"operators/gammagamma"},
		standard: pure, others: []string{"gonum.org/v1/gonum/mathext"}, ours: []string{"operators/gammaratio", "operators/newton"},
	},
	{room: []string{"operators/gammaratio", "operators/newton"}, standard: pure},
	// The support of the operators' tests; nothing that is shipped imports it.
	{room: []string{"operators/optest"}, standard: all, others: all, ours: []string{"operators"}},
	{room: []string{"operators"}, standard: pure, others: hashes},
	{room: []string{"operators/..."}, standard: pure, others: hashes, ours: []string{"operators"}},

	// The support of tests; nothing that is shipped imports it.
	{room: []string{"state/statetest"}, standard: all, others: []string{"github.com/cockroachdb/pebble/v2/...", "pgregory.net/rapid"}},

	// Bytes in, bytes out.
	{room: []string{"state"}, standard: all, others: []string{"github.com/cockroachdb/pebble/v2/..."}, ours: []string{"internal/..."}},
	{room: []string{"schemas"}, standard: all, others: all, ours: []string{"operators", "operators/bgnbd", "operators/statistics", "internal/..."}},

	// One partition, one goroutine: nothing to wait for, nothing to lock, no clock.
	{
		room:     []string{"pipeline/task"},
		standard: all, closed: []string{"context", "sync/...", "time"},
		others: hashes,
		ours:   []string{"operators", "operators/clv", "operators/statistics", "internal/..."},
	},
	// The runtime, and the two other ways to drive the same task. None of them knows another. The process that runs tasks serves the read API over
	// their committed states, so it knows query; query knows nothing of it.
	{
		room:     []string{"pipeline", "pipeline/sim", "pipeline/backfill"},
		standard: all, others: all,
		ours: []string{"pipeline/task", "pipeline/query", "pipeline/fit", "pipeline/security", "pipeline/registry", "state", "schemas", "operators/...", "internal/..."},
	},
	// How brokers are reached, whatever is said to them.
	{room: []string{"pipeline/security", "pipeline/securitytest"}, standard: all, others: all},
	// Writers' schemas, asked for.
	{room: []string{"pipeline/registry"}, standard: all, others: all, ours: []string{"schemas"}},
	// What is done with statistics.
	{room: []string{"pipeline/fit"}, standard: all, closed: []string{"context", "sync/...", "time"}, ours: []string{"operators/..."}},
	// What is done with a run over a file.
	{room: []string{"pipeline/backtest"}, standard: all, closed: []string{"context", "sync/...", "time"}, ours: []string{"pipeline/backfill", "operators/..."}},
	{room: []string{"pipeline/replay"}, standard: all, closed: []string{"context", "sync/...", "time"}, ours: []string{"pipeline/backfill", "pipeline/fit", "operators/..."}},
	// What is judged is a sample that somebody else has read.
	{
		room:     []string{"pipeline/survey"},
		standard: all, closed: []string{"context", "os", "net/...", "sync/..."}, others: []string{"github.com/tidwall/gjson"}, ours: []string{"schemas", "operators"},
	},
	{room: []string{subscriberExample}, standard: all, others: all},
	{room: []string{"internal/..."}, standard: all, others: all, ours: []string{"internal/..."}},
}

// checkImports holds the imports of shipped code against doors.
func checkImports(repo *repository) (violations []string) {
	for _, file := range repo.code {
		if file.test {
			continue
		}
		for _, d := range doors {
			if !matches(d.room, file.dir) {
				continue
			}
			for _, spec := range file.ast.Imports {
				if pkg := imported(spec); !d.opens(pkg) {
					violations = append(violations, fmt.Sprintf("%s: %s must not import %s", file.at(spec), file.dir, pkg))
				}
			}
			break
		}
	}
	return violations
}

// opens says whether the packages in the door's room may import pkg.
func (d *door) opens(pkg string) bool {
	if local, ok := local(pkg); ok {
		return matches(d.ours, local)
	}
	if first, _, _ := strings.Cut(pkg, "/"); strings.Contains(first, ".") {
		return matches(d.others, pkg)
	}
	return matches(d.standard, pkg) && !matches(d.closed, pkg)
}

// A library may be imported, in shipped code and in tests, only in some rooms.
type library struct {
	packages []string
	rooms    []string // relative to the root
	tests    []string // packages of it that any test may import
	reason   string
}

// subscriberExample stands for a program of somebody else: it is built on libraries alone, as theirs is.
const subscriberExample = "docs/subscriber"

var libraries = []library{
	{
		packages: []string{"github.com/twmb/franz-go/..."},
		rooms:    []string{"pipeline", "pipeline/security", "pipeline/securitytest", "pipeline/registry", "cmd/...", "benchmarks/...", subscriberExample},
		reason:   "only the runtime talks to Kafka",
	},
	{
		packages: []string{"github.com/cockroachdb/pebble/..."},
		rooms:    []string{"state/..."},
		tests:    []string{"github.com/cockroachdb/pebble/v2/vfs"}, // a file system that can crash
		reason:   "only state knows how bytes are stored",
	},
	{
		packages: []string{"github.com/linkedin/goavro/...", "github.com/twmb/avro/..."},
		rooms:    []string{"schemas", subscriberExample},
		tests:    []string{"github.com/twmb/avro"}, // records by schemas of others
		reason:   "only schemas knows the shapes of records",
	},
	{
		packages: []string{"github.com/prometheus/...", "github.com/rs/zerolog/..."},
		rooms:    []string{"pipeline/...", "cmd/..."},
		reason:   "only the runtime reports",
	},
	{
		packages: []string{"go.opentelemetry.io/..."},
		rooms:    []string{"pipeline"},
		reason:   "only the runtime traces",
	},
	{
		packages: []string{"gonum.org/v1/plot/..."},
		rooms:    []string{"pipeline/report", "benchmarks"},
		reason:   "only reports, and what is measured, are drawn",
	},
	{
		packages: []string{module + "/cmd/...", module + "/benchmarks/...", module + "/deploy/...", module + "/docs/..."},
		reason:   "nothing builds on what stands at the end",
	},
	{
		packages: []string{module + "/internal/lint"},
		reason:   "it holds tests only",
	},
}

// checkLibraries holds all imports against libraries. A test outside its package may import that package.
func checkLibraries(repo *repository) (violations []string) {
	for _, file := range repo.code {
		for _, spec := range file.ast.Imports {
			pkg := imported(spec)
			if pkg == path.Join(module, file.dir) {
				continue
			}
			for _, lib := range libraries {
				if matches(lib.packages, pkg) && !matches(lib.rooms, file.dir) && !(file.test && matches(lib.tests, pkg)) {
					violations = append(violations, fmt.Sprintf("%s: %s must not import %s: %s", file.at(spec), file.dir, pkg, lib.reason))
				}
			}
		}
	}
	return violations
}

func imported(spec *ast.ImportSpec) string {
	pkg, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the parser takes no such file
	}
	return pkg
}

// local returns the path of one of our packages relative to the root.
func local(pkg string) (string, bool) {
	if pkg == module {
		return ".", true
	}
	return strings.CutPrefix(pkg, module+"/")
}
