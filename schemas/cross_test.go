package schemas

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/avro"
	"pgregory.net/rapid"
)

// newWire returns an empty value of the shape that the topic's schema has in Go.
func newWire(t Topic) any {
	return map[Topic]any{
		Events: &wireEvent{}, Sessions: &wireSession{}, Scores: &wireScore{}, Segments: &wireSegment{}, Triggers: &wireTrigger{},
		DeadLetters: &wireDeadLetter{}, Models: &wireModel{}, Statistics: &wireStatistics{}, Fits: &Fit{}, Redrives: &Redrive{}, Offers: &wireOffer{}, QualityCounts: &Quality{},
	}[t]
}

// drawNative returns a random value of a schema in the form that goavro takes.
func drawNative(t *rapid.T, shape *avro.SchemaNode, label string) any {
	switch shape.Type {
	case "record":
		record := make(map[string]any)
		for i := range shape.Fields {
			record[shape.Fields[i].Name] = drawNative(t, &shape.Fields[i].Type, shape.Fields[i].Name)
		}
		return record
	case "array":
		array := make([]any, rapid.IntRange(0, 3).Draw(t, label+" length"))
		for i := range array {
			array[i] = drawNative(t, shape.Items, label)
		}
		return array
	case "union":
		if rapid.Bool().Draw(t, label+" null") {
			return nil
		}
		branch := &shape.Branches[1]
		name := branch.Type
		if branch.LogicalType != "" {
			name += "." + branch.LogicalType
		}
		if branch.Type == "record" || branch.Type == "enum" {
			name = branch.Namespace + "." + branch.Name
		}
		return map[string]any{name: drawNative(t, branch, label)}
	case "enum":
		return rapid.SampledFrom(shape.Symbols).Draw(t, label)
	case "string":
		return rapid.String().Draw(t, label)
	case "bytes":
		return rapid.SliceOf(rapid.Byte()).Draw(t, label)
	case "boolean":
		return rapid.Bool().Draw(t, label)
	case "double":
		return rapid.Float64().Draw(t, label)
	case "int":
		n := rapid.Int32().Draw(t, label)
		if shape.LogicalType == "date" {
			return time.Unix(int64(n%100_000)*86_400, 0).UTC()
		}
		return n
	case "long":
		n := rapid.Int64().Draw(t, label)
		if shape.LogicalType == "timestamp-millis" {
			return time.UnixMilli(n % (1 << 47)).UTC() // some thousand years both ways
		}
		return n
	}
	t.Fatalf("no values of type %s", shape.Type)
	return nil
}

// Both libraries mean the same by every schema: what goavro writes the other reads into our Go shapes, and writes back as the same bytes, which
// goavro reads as what it wrote.
func TestLibrariesAgree(t *testing.T) {
	for topic := Events; topic < topicsEnd; topic++ {
		t.Run(topic.String(), func(t *testing.T) {
			codec := goavroCodecs()[topic]
			rapid.Check(t, func(t *rapid.T) {
				native := drawNative(t, shapes()[topic], topic.String())
				written, err := codec.BinaryFromNative(nil, native)
				if err != nil {
					t.Fatal(err)
				}
				wire := newWire(topic)
				rest, err := compiled[topic].Decode(written, wire)
				if err != nil || len(rest) > 0 {
					t.Fatalf("decoding: %v, %d bytes left", err, len(rest))
				}
				back, err := compiled[topic].AppendEncode(nil, wire)
				if err != nil || !bytes.Equal(back, written) {
					t.Fatalf("written back as %x, %v; want %x", back, err, written)
				}
				read, rest, err := codec.NativeFromBinary(back)
				if err != nil || len(rest) > 0 || !reflect.DeepEqual(read, native) {
					t.Fatalf("goavro reads %v, %v; it wrote %v", read, err, native)
				}
				if _, err := DecodeOutput(topic, back); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// Every schema says what each of its fields and types means, and the fields of lull.Facts are the same wherever it stands.
func TestSchemasAreDocumented(t *testing.T) {
	var walk func(t *testing.T, shape *avro.SchemaNode, path string)
	walk = func(t *testing.T, shape *avro.SchemaNode, path string) {
		if (shape.Type == "record" || shape.Type == "enum") && shape.Doc == "" {
			t.Errorf("%s has no doc", path)
		}
		for i := range shape.Fields {
			f := &shape.Fields[i]
			if f.Doc == "" {
				t.Errorf("%s.%s has no doc", path, f.Name)
			}
			if f.Type.Type == "union" && (len(f.Type.Branches) != 2 || f.Type.Branches[0].Type != "null" || !f.HasDefault || f.Default != nil) {
				t.Errorf("%s.%s is a union, but not of null and another type with default null", path, f.Name)
			}
			walk(t, &f.Type, path+"."+f.Name)
		}
		for i := range shape.Branches {
			walk(t, &shape.Branches[i], path)
		}
		if shape.Items != nil {
			walk(t, shape.Items, path)
		}
	}
	for topic := Events; topic < topicsEnd; topic++ {
		walk(t, shapes()[topic], topic.String())
		if named, ok := TopicNamed(topic.String()); !ok || named != topic {
			t.Errorf("the topic %s is not found by its name", topic)
		}
	}
	facts := func(topic Topic, i int) avro.SchemaNode {
		f := shapes()[topic].Fields[i]
		if f.Name != "facts" {
			t.Fatalf("field %d of %s is %s", i, topic, f.Name)
		}
		if f.Type.Type == "union" {
			return f.Type.Branches[1]
		}
		return f.Type
	}
	inSegments, inTriggers := facts(Segments, 7), facts(Triggers, 9)
	for i, f := range inSegments.Fields {
		want := [2]string{f.Name, f.Doc}
		other := inTriggers.Fields[i]
		row := shapes()[Scores].Fields[9+i]
		if got := [2]string{other.Name, other.Doc}; got != want {
			t.Errorf("facts of triggers have %v; segments have %v", got, want)
		}
		if got := [2]string{row.Name, row.Doc}; got != want {
			t.Errorf("scores have %v; segments have %v", got, want)
		}
	}
}
