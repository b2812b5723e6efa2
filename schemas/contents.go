package schemas

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ComparedTopics are the topics that Contents compares, the digest's.
var ComparedTopics = [...]Topic{Sessions, Segments, Triggers, Offers, Scores, DeadLetters}

// Contents is what an application has told, a hash for each topic and key, to be compared with what another has told of the same input. What counts is what counts in the
// digest (docs/formats/digest.md), but for what names the application or hangs on what has been told before: ce_source and ce_id, and the fields that are ignored.
// Not safe for concurrent use.
type Contents struct {
	ignored []string
	keys    [topicsEnd]map[string]content
	frame   []byte
	headers []Header
	value   []byte
}

// content is what a topic has of one key: a chain of hashes as in Digest, and of how many records.
type content struct {
	sum     [sha256.Size]byte
	records int
}

// NewContents returns the contents of nothing. The fields of these names are left out wherever they stand in outputs. The error names the first that no output has.
func NewContents(ignored []string) (*Contents, error) {
	for _, name := range ignored {
		known := slices.ContainsFunc(ComparedTopics[:], func(t Topic) bool { return hasField(reflect.TypeOf(comparedWire(t)).Elem(), name) })
		if !known {
			return nil, fmt.Errorf("no output has a field %q", name)
		}
	}
	return &Contents{ignored: ignored}, nil
}

// comparedWire returns where a value of a compared topic is decoded to.
func comparedWire(t Topic) any {
	switch t {
	case Sessions:
		return new(wireSession)
	case Scores:
		return new(wireScore)
	case Segments:
		return new(wireSegment)
	case Triggers:
		return new(wireTrigger)
	case Offers:
		return new(wireOffer)
	}
	return new(wireDeadLetter)
}

// fieldName returns the name that a field has in the schema; inner is the struct of which it holds more fields, if it does.
func fieldName(f reflect.StructField) (name string, inner reflect.Type) {
	name, _, _ = strings.Cut(f.Tag.Get("avro"), ",")
	if inner = f.Type; inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	if inner.Kind() != reflect.Struct {
		inner = nil
	}
	return name, inner
}

func hasField(of reflect.Type, name string) bool {
	for i := range of.NumField() {
		is, inner := fieldName(of.Field(i))
		if is == name || inner != nil && hasField(inner, name) {
			return true
		}
	}
	return false
}

// KeyOf returns by what the records of a topic are told apart: the key, or for a dead letter what was refused: the position of the record in its source, or the customer's
// deadline.
func KeyOf(t Topic, key, value []byte) (string, error) {
	if t != DeadLetters {
		return string(key), nil
	}
	var w wireDeadLetter
	if err := decodeWhole(DeadLetters, value, &w); err != nil {
		return "", err
	}
	return deadLetterKey(&w), nil
}

func deadLetterKey(w *wireDeadLetter) string {
	if w.Topic != nil {
		return fmt.Sprintf("%s, partition %d, offset %d", *w.Topic, w.Partition, w.Offset)
	}
	deadline := int64(0)
	if w.Deadline != nil {
		deadline = *w.Deadline
	}
	return fmt.Sprintf("customer %q, operator %s, deadline %d", text(w.CustomerID), text(w.Operator), deadline)
}

// Add takes in a record of a topic, as a read-committed consumer gets it, in the order of its partition. Records of topics that are not compared change nothing. The
// error says that it cannot be decoded.
func (c *Contents) Add(t Topic, key, value []byte, headers []Header) error {
	if !slices.Contains(ComparedTopics[:], t) {
		return nil
	}
	if c.keys[t] == nil {
		c.keys[t] = make(map[string]content)
	}
	if t == Scores && value == nil {
		delete(c.keys[t], string(key))
		return nil
	}
	value, err := plainOf(t, value, headers)
	if err != nil {
		return err
	}
	wire := comparedWire(t)
	if err := decodeWhole(t, value, wire); err != nil {
		return err
	}
	of, before := string(key), content{}
	switch w := wire.(type) {
	case *wireScore: // a table: the last row counts
	case *wireDeadLetter:
		of = deadLetterKey(w)
		before = c.keys[t][of]
	default:
		before = c.keys[t][of]
	}
	c.frame = append(c.frame[:0], before.sum[:]...)
	if w, ok := wire.(*wireDeadLetter); ok {
		c.frame = appendFramed(c.frame, []byte(w.Reason))
	} else if err := c.frameOutput(t, wire, headers); err != nil {
		return err
	}
	c.keys[t][of] = content{sha256.Sum256(c.frame), before.records + 1}
	return nil
}

// frameOutput appends what counts of an output to what is hashed.
func (c *Contents) frameOutput(t Topic, wire any, headers []Header) (err error) {
	leaveOut(reflect.ValueOf(wire).Elem(), c.ignored)
	if c.value, err = compiled[t].AppendEncode(c.value[:0], wire); err != nil {
		return fmt.Errorf("encoding a record of %s to compare it: %w", t, err)
	}
	c.frame = appendFramed(c.frame, c.value)
	c.headers = c.headers[:0]
	for _, h := range headers {
		if strings.HasPrefix(h.Key, "ce_") && h.Key != "ce_id" && h.Key != "ce_source" {
			c.headers = append(c.headers, h)
		}
	}
	slices.SortStableFunc(c.headers, func(a, b Header) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), bytes.Compare(a.Value, b.Value))
	})
	for _, h := range c.headers {
		c.frame = appendFramed(appendFramed(c.frame, []byte(h.Key)), h.Value)
	}
	return nil
}

// leaveOut sets the fields with these names to zero.
func leaveOut(v reflect.Value, names []string) {
	for i := range v.NumField() {
		name, inner := fieldName(v.Type().Field(i))
		field := v.Field(i)
		switch {
		case slices.Contains(names, name):
			field.SetZero()
		case inner == nil || field.Kind() == reflect.Pointer && field.IsNil():
		case field.Kind() == reflect.Pointer:
			leaveOut(field.Elem(), names)
		default:
			leaveOut(field, names)
		}
	}
}

// Difference is what two applications have told differently in one topic.
type Difference struct {
	// Alike is how many keys have the same content in both, Differ how many have other content, OnlyA and OnlyB how many only one of them has.
	Alike, Differ, OnlyA, OnlyB int
	// Keys are those that are not alike, in order, as KeyOf has them.
	Keys []string
}

// Compare returns the difference to another's contents in one topic.
func (c *Contents) Compare(b *Contents, t Topic) (d Difference) {
	for key, of := range c.keys[t] {
		switch other, ok := b.keys[t][key]; {
		case !ok:
			d.OnlyA++
		case other != of:
			d.Differ++
		default:
			d.Alike++
			continue
		}
		d.Keys = append(d.Keys, key)
	}
	for key := range b.keys[t] {
		if _, ok := c.keys[t][key]; !ok {
			d.OnlyB++
			d.Keys = append(d.Keys, key)
		}
	}
	slices.Sort(d.Keys)
	return d
}

// FieldDifference is a field that two values disagree about: the names that lead to it, and both values as JSON.
type FieldDifference struct{ Path, A, B string }

// DifferingFields returns the fields that two decoded values disagree about, without the ignored ones, in the order of the schema.
func DifferingFields(a, b Fields, ignored []string) (differing []FieldDifference, err error) {
	for _, f := range a {
		if slices.Contains(ignored, f.Name) {
			continue
		}
		inA, isA := f.Value.(Fields)
		inB, isB := b.Get(f.Name).(Fields)
		if isA && isB {
			inner, err := DifferingFields(inA, inB, ignored)
			if err != nil {
				return nil, err
			}
			for _, d := range inner {
				d.Path = f.Name + "." + d.Path
				differing = append(differing, d)
			}
			continue
		}
		textA, err := appendJSON(nil, f.Value)
		if err != nil {
			return nil, err
		}
		textB, err := appendJSON(nil, b.Get(f.Name))
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(textA, textB) {
			differing = append(differing, FieldDifference{f.Name, string(textA), string(textB)})
		}
	}
	return differing, nil
}
