package operators_test

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lull/operators"
)

// at returns the instant of a time in UTC such as 1998-03-02T10:15.
func at(t testing.TB, s string) operators.EventTime {
	instant, err := time.Parse("2006-01-02T15:04", s)
	if err != nil {
		t.Fatal(err)
	}
	return operators.EventTime(instant.UnixMilli())
}

// TestStrings compares the texts of instants and days with those of package time: instants of all years that have four digits, and every day of
// the 400 years after which the calendar repeats.
func TestStrings(t *testing.T) {
	first := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC).UnixMilli()
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.OneOf(rapid.Int64Range(first, last), rapid.Int64Range(-operators.DayMs, operators.DayMs)).Draw(t, "ms")
		instant := time.UnixMilli(ms).UTC()
		if got, want := operators.EventTime(ms).String(), instant.Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
	for day := int64(-200 * 366); day <= 200*366; day++ {
		if got, want := operators.Day(day).String(), time.UnixMilli(day*operators.DayMs).UTC().Format(time.DateOnly); got != want {
			t.Fatalf("day %d: got %s, want %s", day, got, want)
		}
	}
	if got := fmt.Sprint(operators.Never, operators.Unset); got != "never unset" {
		t.Errorf("got %s", got)
	}
}

// TestHash64 checks the hash with the published values of XXH64, seed 0.
func TestHash64(t *testing.T) {
	for s, want := range map[string]uint64{"": 0xef46db3751d8e999, "a": 0xd24ec4f1a98c6e5b, "abc": 0x44bc2cf5ad770999} {
		if got := operators.Hash64(s); got != want {
			t.Errorf("%q: got %x, want %x", s, got, want)
		}
	}
}

// TestCopySharesNoMemory proves that a copy is the same and stays so whatever becomes of the original, and that copying into used memory
// leaves what that was copied from alone. Lists are found by reflection, so that a new one cannot be forgotten.
func TestCopySharesNoMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		original, other := drawCustomer(t), drawCustomer(t)
		var c operators.Customer
		c.CopyFrom(other)
		otherState := other.AppendState(nil)
		c.CopyFrom(original)
		if !bytes.Equal(c.AppendState(nil), original.AppendState(nil)) || c.ID != original.ID {
			t.Fatal("the copy differs")
		}
		if !bytes.Equal(other.AppendState(nil), otherState) {
			t.Fatal("copying again has changed what was copied before")
		}
		lists := map[uintptr]string{}
		eachList(reflect.ValueOf(original).Elem(), "Customer", func(name string, list reflect.Value) { lists[list.Pointer()] = name })
		eachList(reflect.ValueOf(&c).Elem(), "Customer", func(name string, list reflect.Value) {
			if shared, ok := lists[list.Pointer()]; ok {
				t.Fatalf("%s of the copy has the memory of %s", name, shared)
			}
		})
	})
}

// eachList calls f for every list with memory in v.
func eachList(v reflect.Value, name string, f func(string, reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			eachList(v.Field(i), name+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Slice:
		if v.Cap() > 0 {
			f(name, v)
		}
		for i := range v.Len() {
			eachList(v.Index(i), name, f)
		}
	}
}
