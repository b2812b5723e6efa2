package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/schemas"
)

// What two computations of the same instant or number may differ by: Go and Java round logarithms and exponentials differently in the last place, and the instant at which CLV
// reaches a bound is a root that is found to some nine digits.
const (
	instantsDifferMs = 5
	numbersDiffer    = 1e-6 // relatively, or absolutely of what is below 1
)

// comparison is what is compared of the records of a topic: all fields but these.
type comparison struct {
	topic   schemas.Topic
	without []string
	latest  bool // of each key only the latest record
}

// comparisons are all of them. What the peer leaves out, it does not write at all, or as empty: benchmarks/peers/README.md.
var comparisons = []comparison{
	{topic: schemas.Sessions, without: []string{"revision"}},
	{topic: schemas.Scores, without: []string{"revision"}, latest: true},
	{topic: schemas.Segments, without: []string{"revision", "reasons"}},
	{topic: schemas.Triggers, without: []string{"revision", "reasons", "rule_version", "facts_used", "counterfactuals", "offer_ceiling"}},
}

// told is what was written under each key, in order.
type told map[string][][]byte

// gather reads a topic.
func (r *peersRun) gather(topic string) (told, error) {
	t := make(told)
	err := r.b.read(r.ctx, topic, func(record *kgo.Record) { t[string(record.Key)] = append(t[string(record.Key)], record.Value) })
	return t, err
}

// agreement is what a comparison has come to.
type agreement struct {
	topic   schemas.Topic
	records int // compared, that agree
	keys    int
	leftOut int            // records of one only, or keys, that are not compared
	kinds   map[string]int // records that agree, by what they tell
	faults  []string       // the first few
	faulty  int
}

// agree takes in a record that agrees.
func (a *agreement) agree(of schemas.Fields) {
	a.records++
	switch a.topic {
	case schemas.Segments:
		a.kinds[fmt.Sprintf("%v to %v", of.Get("dimension"), of.Get("to"))]++
	case schemas.Triggers:
		a.kinds[fmt.Sprintf("%v", of.Get("rule"))]++
	}
}

func (a *agreement) fault(format string, args ...any) {
	a.faulty++
	if len(a.faults) < 10 {
		a.faults = append(a.faults, fmt.Sprintf(format, args...))
	}
}

// compare compares the records of a topic, of ours with the peer's. Of the scores of who was ever rising, in lull alone, nothing is compared: their rows are of other instants.
func (c *comparison) compare(ours, peers told, rising map[string]bool) (*agreement, error) {
	a := &agreement{topic: c.topic, kinds: make(map[string]int)}
	for key, of := range ours {
		if c.topic == schemas.Scores && rising[key] {
			a.leftOut++
			continue
		}
		mine, left, err := c.decode(of)
		if err != nil {
			return nil, fmt.Errorf("lull: %w", err)
		}
		theirs, _, err := c.decode(peers[key])
		if err != nil {
			return nil, fmt.Errorf("the peer: %w", err)
		}
		a.keys++
		a.leftOut += left
		if len(mine) != len(theirs) {
			a.fault("customer %s: %d records of lull, %d of the peer:\n  %v\n  %v", key, len(mine), len(theirs), mine, theirs)
			continue
		}
		for i := range mine {
			if where := differs("", mine[i], theirs[i]); where != "" {
				a.fault("customer %s, record %d: %s", key, i, where)
				continue
			}
			a.agree(mine[i])
		}
	}
	for key, of := range peers {
		if _, known := ours[key]; !known {
			a.fault("customer %s: no record of lull, %d of the peer", key, len(of))
		}
	}
	return a, nil
}

// decode returns what is compared of the records of one key, and how many of them are not compared.
func (c *comparison) decode(of [][]byte) (records []schemas.Fields, left int, err error) {
	if c.latest && len(of) > 0 {
		of = of[len(of)-1:]
	}
	for _, value := range of {
		if value == nil { // the row has been deleted
			records = append(records, nil)
			continue
		}
		fields, err := schemas.DecodeOutput(c.topic, value)
		if err != nil {
			return nil, 0, err
		}
		if fields.Get("dimension") == operators.RisingDimension.String() {
			left++
			continue
		}
		records = append(records, slices.DeleteFunc(fields, func(f schemas.Field) bool { return slices.Contains(c.without, f.Name) }))
	}
	return records, left, nil
}

// risingIn returns who was ever rising.
func risingIn(segments told) (map[string]bool, error) {
	rising := make(map[string]bool)
	for key, of := range segments {
		for _, value := range of {
			fields, err := schemas.DecodeOutput(schemas.Segments, value)
			if err != nil {
				return nil, err
			}
			if fields.Get("dimension") == operators.RisingDimension.String() {
				rising[key] = true
			}
		}
	}
	return rising, nil
}

// differs returns where two decoded values differ, "" if they do not.
func differs(where string, a, b any) string {
	same := false
	switch a := a.(type) {
	case schemas.Fields:
		b, ok := b.(schemas.Fields)
		if !ok || len(a) != len(b) {
			break
		}
		for i := range a {
			if found := differs(where+"."+a[i].Name, a[i].Value, b[i].Value); found != "" {
				return found
			}
		}
		return ""
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			break
		}
		for i := range a {
			if found := differs(fmt.Sprintf("%s[%d]", where, i), a[i], b[i]); found != "" {
				return found
			}
		}
		return ""
	case operators.EventTime:
		b, ok := b.(operators.EventTime)
		same = ok && (a == b || a.DaysSince(b) < 1 && max(a-b, b-a) <= instantsDifferMs)
	case float64:
		b, ok := b.(float64)
		same = ok && math.Abs(a-b) <= numbersDiffer*max(1, math.Abs(a))
	default:
		same = a == b
	}
	if same {
		return ""
	}
	return fmt.Sprintf("%s is %v of lull, %v of the peer", where, a, b)
}

// printAgreements prints what has been compared, and returns an error if anything differs, or nothing was there to be compared.
func printAgreements(w io.Writer, all []*agreement) error {
	p := printer{w: w}
	p.line("| compared | customers | records that agree | left out | that differ |")
	p.line("|---|--:|--:|--:|--:|")
	faulty := 0
	for _, a := range all {
		p.line("| %s | %s | %s | %d | %d |", a.topic, thousands(a.keys), thousands(a.records), a.leftOut, a.faulty)
		faulty += a.faulty
		if a.records == 0 {
			faulty++
		}
	}
	p.line("")
	for _, a := range all {
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(a.kinds)) {
			kinds = append(kinds, kind+" "+thousands(a.kinds[kind]))
		}
		if len(kinds) > 0 {
			p.line("Among the %s that agree: %s.", a.topic, strings.Join(kinds, ", "))
		}
	}
	p.line("")
	for _, a := range all {
		for _, fault := range a.faults {
			p.line("%s: %s", a.topic, fault)
		}
	}
	if p.err != nil {
		return p.err
	}
	if faulty > 0 {
		return fmt.Errorf("the outputs of lull and its peer differ, or there are none, as the table says")
	}
	return nil
}
