package schemas

import (
	"reflect"
	"strings"
	"testing"

	"lull/operators/statistics"
)

// TestStatisticsRoundTrip: what is written is read as what it was, under a key of its own, and an empty part as one that is no more.
func TestStatisticsRoundTrip(t *testing.T) {
	keys := map[string]bool{}
	for _, want := range sampleStatistics() {
		key, value, err := EncodeStatistics(&want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeStatistics(key, value)
		if err != nil || !reflect.DeepEqual(got, want) || keys[string(key)] {
			t.Errorf("%s is %+v, %v; it was %+v", key, got, err, want)
		}
		keys[string(key)] = true
		if want.Head != nil {
			continue
		}
		want.Content, want.Edition = statistics.Content{}, 0
		key, value, err = EncodeStatistics(&want)
		if err != nil || value != nil || !keys[string(key)] {
			t.Fatalf("an empty part is %q, %v", value, err)
		}
		if got, err = DecodeStatistics(key, value); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, %v; it was %+v", key, got, err, want)
		}
	}
}

// TestStatisticsRefused: what cannot be is refused by name, whoever wrote it.
func TestStatisticsRefused(t *testing.T) {
	encode := func(change func(w *wireStatistics)) []byte {
		w := wireStatistics{Partition: 3, Kind: uint8(statistics.BirthsPart), Number: 1409, Births: []wireBirths{{X: 1, LastWeek: 1410, Customers: 1}}}
		change(&w)
		value, err := compiled[Statistics].AppendEncode(nil, &w)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	for name, c := range map[string]struct {
		key   string
		value []byte
		want  string
	}{
		"another key":     {"3/births/1408", encode(func(*wireStatistics) {}), "3/births/1409"},
		"no customers":    {"3/births/1409", encode(func(w *wireStatistics) { w.Births[0].Customers = 0 }), "births"},
		"last before":     {"3/births/1409", encode(func(w *wireStatistics) { w.Births[0].LastWeek = 1 }), "births"},
		"of another kind": {"3/spends/1409", encode(func(w *wireStatistics) { w.Kind = uint8(statistics.SpendsPart) }), "births"},
		"no head":         {"3/head/0", encode(func(w *wireStatistics) { w.Kind, w.Births = headKind, nil }), "head"},
		"a negative hash": {"3/members/0", encode(func(w *wireStatistics) {
			w.Kind, w.Number, w.Births, w.Members = uint8(statistics.MembersPart), 0, nil, []wireMember{{Hash: -1, Purchases: 1}}
		}), "member"},
		"cut short":        {"3/births/1409", encode(func(*wireStatistics) {})[:5], "decoding"},
		"too long":         {"3/births/1409", append(encode(func(*wireStatistics) {}), 0), "follow"},
		"a deleted nobody": {"nonsense", nil, "partition/kind/number"},
	} {
		if _, err := DecodeStatistics([]byte(c.key), c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFitRoundTrip: requests and verdicts are read as what was written, each under its key only.
func TestFitRoundTrip(t *testing.T) {
	request := Fit{Cause: FitOnDrift, Drift: &Drift{Model: "m", From: 10_000, Weeks: 4, Members: 100, Expected: 150.5, Actual: 60, StandardError: 9.5}}
	for _, want := range []Fit{*sampleFit(), request, {Cause: FitOnDemand}} {
		key, value, err := EncodeFit(&want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeFit(key, value); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; it was %+v", got, err, want)
		}
		if _, err := DecodeFit([]byte("other"), value); err == nil {
			t.Error("read under another key")
		}
	}
}
