package schemas

import (
	"fmt"
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
		"another key":     {"3/births/1408", encode(func(*wireStatistics) {}), `decoding statistics "3/births/1408": it is that of 3/births/1409`},
		"no customers":    {"3/births/1409", encode(func(w *wireStatistics) { w.Births[0].Customers = 0 }), "births {X:1 LastWeek:1410 Customers:0 FirstDays:0 LastDays:0 Net:0 RepeatNet:0} cannot be"},
		"last before":     {"3/births/1409", encode(func(w *wireStatistics) { w.Births[0].LastWeek = 1 }), "births"},
		"of another kind": {"3/spends/1409", encode(func(w *wireStatistics) { w.Kind = uint8(statistics.SpendsPart) }), "births"},
		"no head":         {"3/head/0", encode(func(w *wireStatistics) { w.Kind, w.Births = headKind, nil }), "a head has a head, and a part has none"},
		"nobody's spends": {"3/spends/2", encode(func(w *wireStatistics) {
			w.Kind, w.Number, w.Births, w.Spends = uint8(statistics.SpendsPart), 2, nil, []wireSpends{{Customers: 0, RepeatNet: 1}}
		}), "spends {Bin:0 Customers:0 RepeatNet:1} cannot be"},
		"a head below 0": {"3/head/0", encode(func(w *wireStatistics) {
			w.Kind, w.Number, w.Births, w.Head = headKind, 0, nil, &wireHead{Customers: -1}
		}), "customers, parts and sampled_below must be 0 or more"},
		"a negative hash": {"3/members/0", encode(func(w *wireStatistics) {
			w.Kind, w.Number, w.Births, w.Members = uint8(statistics.MembersPart), 0, nil, []wireMember{{Hash: -1, Purchases: 1}}
		}), "member {Hash:-1 First:0 Last:0 Purchases:1 Orders:0 Net:0 FirstNet:0 Newest:[]} cannot be"},
		"cut short":        {"3/births/1409", encode(func(*wireStatistics) {})[:5], `decoding statistics "3/births/1409": field `},
		"too long":         {"3/births/1409", append(encode(func(*wireStatistics) {}), 0), "1 bytes follow it"},
		"a deleted nobody": {"nonsense", nil, `decoding statistics "nonsense": the key is none of partition/kind/number`},
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
		if _, err := DecodeFit([]byte("other"), value); err == nil || err.Error() != fmt.Sprintf("decoding the record \"other\" of fits: it is a %s", key) {
			t.Errorf("under another key: %v", err)
		}
		if _, err := DecodeFit(key, append(value, 0)); err == nil || err.Error() != fmt.Sprintf("decoding the record %q of fits: 1 bytes follow it", key) {
			t.Errorf("with a byte more: %v", err)
		}
		if _, err := DecodeFit(key, nil); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("decoding the record %q of fits: field cause: ", key)) {
			t.Errorf("of nothing: %v", err)
		}
	}
	short := *sampleFit()
	verdict, candidate := *short.Verdict, *short.Verdict.Candidate
	candidate.RelativeErrors, verdict.Candidate, short.Verdict = candidate.RelativeErrors[:1], &candidate, &verdict
	key, value, err := EncodeFit(&short)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeFit(key, value); err == nil || err.Error() != `decoding the record "verdict" of fits: relative_errors has 1 numbers; it must have 7` {
		t.Errorf("few errors: %v", err)
	}
}
