package task_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/pipeline/task"
)

// TestShapeCodec: a shape is read as it was written; and no part of one, nor one with more, is read at all. Two shapes that differ have other fingerprints.
func TestShapeCodec(t *testing.T) {
	shapes := rapid.Map(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) task.Setting {
		return task.Setting{Name: rapid.String().Draw(t, "name"), Value: rapid.String().Draw(t, "value")}
	}), 1, 8), func(s []task.Setting) task.Shape { return s })
	rapid.Check(t, func(t *rapid.T) {
		s, other := shapes.Draw(t, "shape"), shapes.Draw(t, "other")
		encoded := s.Append([]byte("before"))[len("before"):]
		if got, err := task.DecodeShape(encoded); err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("%q, %v, not %q", got, err, s)
		}
		cut := rapid.IntRange(0, len(encoded)-1).Draw(t, "cut")
		for _, bad := range [][]byte{encoded[:cut], append(slices.Clone(encoded), 0), append([]byte{task.ShapeVersion + 1}, encoded[1:]...)} {
			if got, err := task.DecodeShape(bad); !errors.Is(err, operators.ErrCorrupt) {
				t.Fatalf("%x is read as %q, %v", bad, got, err)
			}
		}
		if slices.Equal(s, other) != (s.Fingerprint() == other.Fingerprint()) {
			t.Fatalf("%q and %q have the fingerprints %x and %x", s, other, s.Fingerprint(), other.Fingerprint())
		}
	})
}

// FuzzShape: garbage is an error, and takes no more memory than it is long.
func FuzzShape(f *testing.F) {
	f.Add(task.Shape{{Name: "a", Value: "1"}, {Name: "b"}}.Append(nil))
	f.Add([]byte{task.ShapeVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{task.ShapeVersion, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := task.DecodeShape(src)
		if err != nil {
			if !errors.Is(err, operators.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again, err := task.DecodeShape(got.Append(nil)); err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%q, %v, not %q", again, err, got)
		}
	})
}

// TestShapeChanges: each setting that is not as it was is named once, with both values, also one that only one of them has; one that was empty is told apart from one that was not there.
func TestShapeChanges(t *testing.T) {
	was := task.Shape{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}, {Name: "gone", Value: "3"}, {Name: "unset"}}
	is := task.Shape{{Name: "b", Value: "2"}, {Name: "a", Value: "one"}, {Name: "unset", Value: "set"}, {Name: "new", Value: "4"}}
	want := []task.Change{{Name: "a", Was: "1", Is: "one", Known: true}, {Name: "gone", Was: "3", Known: true}, {Name: "unset", Is: "set", Known: true}, {Name: "new", Is: "4"}}
	if got := was.Changes(is); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, not %+v", got, want)
	}
	if got := was.Changes(was); len(got) > 0 {
		t.Errorf("of itself: %+v", got)
	}
}
