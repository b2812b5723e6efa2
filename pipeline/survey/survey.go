// Package survey says what can be done with records that nobody has described: which field of them is what, by the fields' names and by their values, the mapping that follows, what
// becomes of the same records by it, what is missing for what, and how large the state will be. It judges a sample that somebody else has read: it knows no Kafka and no clock.
package survey

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"lull/operators"
	"lull/schemas"
)

// Sample is what is judged.
type Sample struct {
	// Records are those read, in the order of each partition. Of a file AppendTime is operators.Unset, and there are no keys.
	Records []schemas.Source
	// Format is how their values are written; Schema is that of FixedAvro, Writers are those of RegistryAvro.
	Format  schemas.Format
	Schema  string
	Writers schemas.Writers
	// Columns are the names of a record's columns and Delimiter stands between them, of CSV.
	Columns   []string
	Delimiter rune
	// Zone is that of times that tell no offset, by its name of the IANA.
	Zone *time.Location
	// Currency is what amounts are taken to be in that tell none; CurrencyAssumed is true if nobody has set it.
	Currency        string
	CurrencyAssumed bool
}

// Profile is what the records of a sample have in common.
type Profile struct {
	// Records is how many there are, Read how many of them could be taken apart, and Keyed how many have a key.
	Records, Read, Keyed int
	// Keys is how many different keys there are.
	Keys int
	// Unread counts the others by the reason for which they could not be.
	Unread []Refusal
	// Fields are all that were found, in the order of their paths.
	Fields []*Field

	sample *Sample
	named  named
	rows   []row
	byPath map[string]*Field
}

// Currencies returns how many records tell which currency, by their codes of ISO 4217, the most frequent first.
func (p *Profile) Currencies() (list []Count) {
	f := p.assign().fields[currencyRole]
	if f == nil {
		return nil
	}
	records := make(map[string]int)
	for text, n := range f.values {
		if code, ok := currencyOf(text); ok {
			records[code] += n
		}
	}
	return counted(records)
}

// KeyedBy returns the paths of the fields that the key of nearly all records is equal to.
func (p *Profile) KeyedBy() (paths []string) {
	for _, f := range p.Fields {
		if p.keyedBy(f) && nearly(f.keyed, p.Read) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// row is a record that was taken apart.
type row struct {
	source *schemas.Source
	values map[string]schemas.Leaf // by path; of an array's elements the first
}

// fieldsMax bounds how many fields are profiled: those of maps whose keys are ids have no end.
const fieldsMax = 2000

// Look takes the records of a sample apart. The error says that its schema is none.
func Look(s *Sample) (*Profile, error) {
	format, schema := s.Format, s.Schema
	if format == schemas.OwnAvro {
		format, schema = schemas.FixedAvro, schemas.Events.Schema()
	}
	reader, err := schemas.NewLeafReader(format, schema, s.Writers, s.Columns, s.Delimiter)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	p := &Profile{Records: len(s.Records), sample: s, byPath: make(map[string]*Field)}
	var unread refusals
	keys := make(map[string]bool)
	for i := range s.Records {
		source := &s.Records[i]
		if len(source.Key) > 0 {
			p.Keyed++
			keys[string(source.Key)] = true
		}
		if source.Value == nil {
			continue
		}
		leaves, refusal := reader.Leaves(source.Value)
		if refusal != nil {
			unread.add(refusal)
			continue
		}
		p.Read++
		r := row{source: source, values: make(map[string]schemas.Leaf, len(leaves))}
		for _, leaf := range leaves {
			if _, has := r.values[leaf.Path]; !has || !leaf.Each() { // of equal names the last counts
				r.values[leaf.Path] = leaf
			}
		}
		p.rows = append(p.rows, r)
	}
	p.Keys, p.Unread = len(keys), unread.list()
	p.profile()
	return p, nil
}

// profile fills the fields.
func (p *Profile) profile() {
	for i := range p.rows {
		r := &p.rows[i]
		for path, leaf := range r.values {
			f := p.byPath[path]
			if f == nil {
				if len(p.byPath) >= fieldsMax {
					continue
				}
				f = newField(path)
				p.byPath[path] = f
			}
			f.add(&leaf, r.source)
		}
	}
	for _, f := range p.byPath {
		p.Fields = append(p.Fields, f)
	}
	slices.SortFunc(p.Fields, func(a, b *Field) int { return compareTexts(a.Path, b.Path) })
}

// Refusal counts records that were refused for one reason.
type Refusal struct {
	Reason  string `json:"reason"`
	Records int    `json:"records"`
	// Examples are what was found in some of them, and what to do: of each fault the first, then others of other values; at most examplesMost.
	Examples []string `json:"examples"`
}

const examplesMost = 3

// refusals counts by reason.
type refusals struct {
	found []Refusal
	// faults are those that have an example, and values more examples of the same, by reason.
	faults map[string]bool
	values map[string][]string
}

// shown is what of a refusal's detail is the record's: what stands in quotes, and numbers.
var shown = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|[0-9]+`)

func (r *refusals) add(refusal *operators.Rejection) {
	i := slices.IndexFunc(r.found, func(of Refusal) bool { return of.Reason == refusal.Reason })
	if i < 0 {
		i = len(r.found)
		r.found = append(r.found, Refusal{Reason: refusal.Reason})
	}
	of := &r.found[i]
	of.Records++
	switch fault, values := of.Reason+shown.ReplaceAllString(refusal.Detail, ""), r.values[of.Reason]; {
	case len(of.Examples) == examplesMost || slices.Contains(of.Examples, refusal.Detail) || slices.Contains(values, refusal.Detail):
	case !r.faults[fault]:
		if r.faults == nil {
			r.faults, r.values = make(map[string]bool), make(map[string][]string)
		}
		r.faults[fault] = true
		of.Examples = append(of.Examples, refusal.Detail)
	case len(values) < examplesMost:
		r.values[of.Reason] = append(values, refusal.Detail)
	}
}

// list returns them, the most frequent first.
func (r *refusals) list() []Refusal {
	for i := range r.found {
		of := &r.found[i]
		values := r.values[of.Reason]
		of.Examples = append(of.Examples, values[:min(len(values), examplesMost-len(of.Examples))]...)
	}
	slices.SortStableFunc(r.found, func(a, b Refusal) int { return b.Records - a.Records })
	return r.found
}
