package schemas

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
)

const modelFile = `
version: cdnow-1998
family: mbgnbd
time_unit: week
r: 0.5
alpha: 6.25      # weeks
a: 0.875
b: 1.625
spend: {p: 6.25, q: 3.75, v: 15.5}
high_value: 60
effective_at: 1998-01-01
`

func TestParseModelFile(t *testing.T) {
	want := operators.Model{Version: "cdnow-1998", Family: "mbgnbd", EffectiveAt: at(t, "1998-01-01T00:00:00Z"), R: 0.5, Alpha: 43.75, A: 0.875, B: 1.625,
		P: 6.25, Q: 3.75, V: 15.5, HighValue: 60}
	asJSON := `{"version": "cdnow-1998", "family": "mbgnbd", "time_unit": "week", "r": 5e-1, "alpha": 6.25, "a": 0.875, "b": 1.625,
		"spend": {"p": 6.25, "q": 3.75, "v": 15.5}, "high_value": 60, "effective_at": "1998-01-01T01:00:00+01:00"}`
	inDays, fromStart, number := want, want, want
	inDays.Alpha, fromStart.EffectiveAt, number.Version = 6.25, 0, "1998"
	for _, c := range []struct {
		name, file string
		want       operators.Model
	}{
		{"YAML", modelFile, want},
		{"JSON", asJSON, want},
		{"alpha in days", strings.Replace(modelFile, "week", "day", 1), inDays},
		{"no effective_at", strings.Replace(modelFile, "effective_at: 1998-01-01", "", 1), fromStart},
		{"a version that looks like a number", strings.Replace(modelFile, "cdnow-1998", "1998", 1), number},
	} {
		if got, err := ParseModelFile([]byte(c.file)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

// Every error names the key, as a person would find it in the file.
func TestModelFileErrors(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"high_value: 60", "high_value: 60\nhi_value: 1", `line 11: unknown key "hi_value"`},
		{"v: 15.5", "v: 15.5, w: 1", `unknown key "spend.w"`},
		{"high_value: 60", "", `key "high_value" is missing`},
		{", v: 15.5", "", `key "spend.v" is missing`},
		{"r: 0.5", "r: 0.5\nr: 0.6", `key "r" stands there twice`},
		{"r: 0.5", "r: many", `key "r" must have a number for a value`},
		{"r: 0.5", "r: [1]", `key "r"`},
		{"r: 0.5", "r:", `key "r" must have a number for a value`},
		{"r: 0.5", "r: 0", "r is 0; it must be above 0"},
		{"r: 0.5", "r: .nan", "r is NaN"},
		{"r: 0.5", "r: .inf", "r is +Inf"},
		{"a: 0.875", "a: -1", "a is -1"},
		{"q: 3.75", "q: 1", "spend.q is 1; it must be above 1, or mean spend is infinite"},
		{"high_value: 60", "high_value: -1", "high_value is -1"},
		{"week", "month", `"time_unit" is "month"`},
		{"mbgnbd", "pareto", `family is "pareto"`},
		{"cdnow-1998", `""`, "version"},
		{"cdnow-1998", strings.Repeat("v", 257), "version"},
		{"effective_at: 1998-01-01", "effective_at: soon", `"effective_at" is "soon"`},
		{"effective_at: 1998-01-01", "effective_at: 2200-01-01", "effective_at is 2200-01-01"},
		{"spend: {p: 6.25, q: 3.75, v: 15.5}", "spend: 7", "spend."},
		{"version: cdnow-1998", "version: cdnow-1998\n---", "more than one document"},
		{modelFile, "", "empty"},
		{modelFile, "# nothing\n", "empty"},
		{modelFile, "- 1\n", "keys with values"},
		{modelFile, "a: [", "line 1: this is no YAML"},
		{modelFile, strings.Repeat(" ", modelFileBytesMax+1), fmt.Sprintf("reading a model file: it has %d bytes; at most %d are read", modelFileBytesMax+1, modelFileBytesMax)},
	} {
		file := strings.Replace(modelFile, c.old, c.new, 1)
		if file == modelFile {
			t.Fatalf("%q is not in the file", c.old)
		}
		if _, err := ParseModelFile([]byte(file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: %v; want %q", c.new, c.old, err, c.want)
		}
	}
}

func TestModelRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		positive := rapid.Float64Range(math.SmallestNonzeroFloat64, math.MaxFloat64)
		m := operators.Model{
			Version: rapid.StringN(1, 50, 256).Draw(t, "version"), Family: rapid.SampledFrom([]string{"bgnbd", "mbgnbd"}).Draw(t, "family"),
			EffectiveAt: operators.EventTime(rapid.Int64Range(0, int64(TimeEnd)-1).Draw(t, "effective")),
			R:           positive.Draw(t, "r"), Alpha: positive.Draw(t, "alpha"), A: positive.Draw(t, "a"), B: positive.Draw(t, "b"),
			P: positive.Draw(t, "p"), Q: rapid.Float64Range(1.001, 1e300).Draw(t, "q"), V: positive.Draw(t, "v"), HighValue: rapid.Float64Min(0).Draw(t, "high"),
		}
		if math.IsInf(m.HighValue, 1) {
			m.HighValue = 0
		}
		key, value, err := EncodeModel(&m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeModel(key, value); err != nil || got != m {
			t.Fatalf("decoded %+v, %v; want %+v", got, err, m)
		}
	})
}

// A record that anyone may write to the models topic is checked like a file.
func TestDecodeModelRefuses(t *testing.T) {
	key, value, err := EncodeModel(sampleModel())
	if err != nil {
		t.Fatal(err)
	}
	bad := *sampleModel()
	bad.Q = 0.5
	if _, _, err := EncodeModel(&bad); err == nil || !strings.Contains(err.Error(), "spend.q") {
		t.Errorf("encoding q = 0.5: %v", err)
	}
	wire := func(change func(w *wireModel)) []byte {
		w := wireModel{Version: string(key), Family: "mbgnbd", R: 1, AlphaDays: 1, A: 1, B: 1, P: 1, Q: 2, V: 1}
		change(&w)
		value, err := compiled[Models].Encode(&w)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	four, badValue := []float64{1, 2, 3, 4}, wire(func(w *wireModel) { w.AlphaDays = math.NaN() })
	for _, c := range []struct {
		name, want string
		key, value []byte
	}{
		{"another key", `decoding model "x": its version is "cdnow-1998"; both must be the same`, []byte("x"), value}, {"cut short", "decoding model", key, value[:len(value)-1]},
		{"null", "decoding model", key, nil}, {"trailing", `decoding model "cdnow-1998": 1 bytes follow it`, key, append(append([]byte(nil), value...), 0)}, {"alpha NaN", "alpha (in days) is NaN", key, badValue},
		{"few cuts", `decoding model "cdnow-1998": cuts.purchases has 1 numbers; it must have 4`, key, wire(func(w *wireModel) {
			w.Cuts = &wireCuts{SinceLastPurchase: four, Purchases: four[:1], Monetary: four, CLV: four}
		})},
		{"few covariances", `decoding model "cdnow-1998": fit.covariance and fit.spend_covariance have 4 and 0 numbers; they must have 16 and 9`, key, wire(func(w *wireModel) {
			w.Fit = &wireFit{Covariance: four}
		})},
	} {
		if _, err := DecodeModel(c.key, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}
