package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"lull/operators"
)

const (
	versionBytesMax   = 256
	modelFileBytesMax = 1 << 20
)

// EncodeModel returns key and value of a model's record. The error says what is wrong with the model.
func EncodeModel(m *operators.Model) (key, value []byte, err error) {
	if err := validateModel(m); err != nil {
		return nil, nil, err
	}
	value, err = compiled[Models].AppendEncode(nil, &wireModel{
		Version: m.Version, Family: m.Family, EffectiveAt: int64(m.EffectiveAt),
		R: m.R, AlphaDays: m.Alpha, A: m.A, B: m.B, P: m.P, Q: m.Q, V: m.V, HighValue: m.HighValue,
		Cuts: cutsToWire(m.Cuts), Fit: fitToWire(m.Fit),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("encoding model %q: %w", m.Version, err)
	}
	return []byte(m.Version), value, nil
}

// DecodeModel returns the model of a record of the models topic. The error says what is wrong with it.
func DecodeModel(key, value []byte) (operators.Model, error) {
	var w wireModel
	rest, err := compiled[Models].Decode(value, &w)
	if err != nil {
		return operators.Model{}, fmt.Errorf("decoding model %s: %s", quoted(string(key)), avroCause(err))
	}
	if len(rest) > 0 {
		return operators.Model{}, fmt.Errorf("decoding model %s: %d bytes follow it", quoted(string(key)), len(rest))
	}
	if w.Version != string(key) {
		return operators.Model{}, fmt.Errorf("decoding model %s: its version is %s; both must be the same", quoted(string(key)), quoted(w.Version))
	}
	m := operators.Model{
		Version: w.Version, EffectiveAt: operators.EventTime(w.EffectiveAt), Family: w.Family,
		R: w.R, Alpha: w.AlphaDays, A: w.A, B: w.B, P: w.P, Q: w.Q, V: w.V, HighValue: w.HighValue,
	}
	if m.Cuts, err = cutsFromWire(w.Cuts); err == nil {
		m.Fit, err = fitFromWire(w.Fit)
	}
	if err != nil {
		return operators.Model{}, fmt.Errorf("decoding model %s: %w", quoted(string(key)), err)
	}
	if err := validateModel(&m); err != nil {
		return operators.Model{}, err
	}
	return m, nil
}

func cutsToWire(c *operators.Cuts) *wireCuts {
	if c == nil {
		return nil
	}
	return &wireCuts{SinceLastPurchase: c.SinceLastPurchase[:], Purchases: c.Purchases[:], Monetary: c.Monetary[:], CLV: c.CLV[:]}
}

func cutsFromWire(w *wireCuts) (*operators.Cuts, error) {
	if w == nil {
		return nil, nil
	}
	var c operators.Cuts
	from := [][]float64{w.SinceLastPurchase, w.Purchases, w.Monetary, w.CLV}
	for i, list := range cutLists(&c) {
		if len(from[i]) != len(list.of) {
			return nil, fmt.Errorf("cuts.%s has %d numbers; it must have %d", list.name, len(from[i]), len(list.of))
		}
		copy(list.of[:], from[i])
	}
	return &c, nil
}

func fitToWire(f *operators.Fit) *wireFit {
	if f == nil {
		return nil
	}
	w := &wireFit{
		AsOf: int64(f.AsOf), Customers: f.Customers, RepeatPurchases: f.RepeatPurchases, LogLikelihood: f.LogLikelihood, Prior: f.Prior, SpendPrior: f.SpendPrior,
	}
	for i := range f.Covariance {
		w.Covariance = append(w.Covariance, f.Covariance[i][:]...)
	}
	for i := range f.SpendCovariance {
		w.SpendCovariance = append(w.SpendCovariance, f.SpendCovariance[i][:]...)
	}
	return w
}

func fitFromWire(w *wireFit) (*operators.Fit, error) {
	if w == nil {
		return nil, nil
	}
	f := &operators.Fit{
		AsOf: operators.EventTime(w.AsOf), Customers: w.Customers, RepeatPurchases: w.RepeatPurchases, LogLikelihood: w.LogLikelihood, Prior: w.Prior, SpendPrior: w.SpendPrior,
	}
	const purchases, spend = len(f.Covariance), len(f.SpendCovariance)
	if len(w.Covariance) != purchases*purchases || len(w.SpendCovariance) != spend*spend {
		return nil, fmt.Errorf("fit.covariance and fit.spend_covariance have %d and %d numbers; they must have %d and %d",
			len(w.Covariance), len(w.SpendCovariance), purchases*purchases, spend*spend)
	}
	for i := range f.Covariance {
		copy(f.Covariance[i][:], w.Covariance[i*purchases:])
	}
	for i := range f.SpendCovariance {
		copy(f.SpendCovariance[i][:], w.SpendCovariance[i*spend:])
	}
	return f, nil
}

func validateModel(m *operators.Model) error {
	wrong := func(field string, value any, rule string) error {
		return fmt.Errorf("model %s: %s is %v; it must be %s", quoted(m.Version), field, value, rule)
	}
	if m.Version == "" || len(m.Version) > versionBytesMax || !utf8.ValidString(m.Version) {
		return wrong("version", quoted(m.Version), fmt.Sprintf("a text of 1 to %d bytes", versionBytesMax))
	}
	if m.Family != "mbgnbd" && m.Family != "bgnbd" {
		return wrong("family", quoted(m.Family), "mbgnbd or bgnbd")
	}
	if m.EffectiveAt < TimeMin || m.EffectiveAt >= TimeEnd {
		return wrong("effective_at", m.EffectiveAt, "from 1970 up to, not including, 2200")
	}
	for _, p := range []struct {
		name  string
		value float64
	}{{"r", m.R}, {"alpha (in days)", m.Alpha}, {"a", m.A}, {"b", m.B}, {"spend.p", m.P}, {"spend.v", m.V}} {
		if !(p.value > 0) || math.IsInf(p.value, 1) {
			return wrong(p.name, p.value, "above 0")
		}
	}
	if !(m.Q > 1) || math.IsInf(m.Q, 1) {
		return wrong("spend.q", m.Q, "above 1, or mean spend is infinite")
	}
	if !(m.HighValue >= 0) || math.IsInf(m.HighValue, 1) {
		return wrong("high_value", m.HighValue, "0 or more")
	}
	if m.Cuts == nil {
		return nil
	}
	for _, c := range cutLists(m.Cuts) {
		if !slices.IsSorted(c.of[:]) || slices.ContainsFunc(c.of[:], func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
			return wrong("cuts."+c.name, *c.of, "four finite numbers, none below the one before it")
		}
	}
	return nil
}

// ParseModelFile returns the model of a file in YAML or JSON:
//
//	version: cdnow-1998        # unique for ever
//	family: mbgnbd             # or bgnbd
//	time_unit: week            # or day: the unit of alpha
//	r: 0.5248
//	alpha: 6.183
//	a: 0.8914
//	b: 1.614
//	spend: {p: 6.25, q: 3.744, v: 15.44}
//	high_value: 60             # the CLV from which a customer is of high value, in major units
//	effective_at: 1998-01-01   # or by RFC 3339; left out: 1970-01-01
//	cuts:                      # bounds between the fifths of the customers; may be left out
//	  since_last_purchase_days: [30, 90, 180, 270]
//	  purchases: [1, 1, 2, 4]
//	  monetary: [10, 18, 30, 60]
//	  clv: [3, 8, 20, 60]
//
// The error names the key that is missing, unknown or wrong.
func ParseModelFile(file []byte) (operators.Model, error) {
	m, err := parseModelFile(file)
	if err != nil {
		return operators.Model{}, fmt.Errorf("reading a model file: %w", err)
	}
	if err := validateModel(&m); err != nil {
		return operators.Model{}, err
	}
	return m, nil
}

func parseModelFile(file []byte) (m operators.Model, err error) {
	if len(file) > modelFileBytesMax {
		return m, fmt.Errorf("it has %d bytes; at most %d are read", len(file), modelFileBytesMax)
	}
	documents := yaml.NewDecoder(bytes.NewReader(file))
	var root yaml.Node
	if err := documents.Decode(&root); errors.Is(err, io.EOF) {
		return m, errors.New("it is empty")
	} else if err != nil {
		return m, ExplainYAML(err)
	}
	if err := documents.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return m, errors.New("it holds more than one document")
	}
	if len(root.Content) == 0 {
		return m, errors.New("it is empty")
	}
	top, err := mapping(root.Content[0], "", []string{"version", "family", "time_unit", "r", "alpha", "a", "b", "spend", "high_value"}, "effective_at", "cuts")
	if err != nil {
		return m, err
	}
	spend, err := mapping(top["spend"], "spend.", []string{"p", "q", "v"})
	if err != nil {
		return m, err
	}
	var timeUnit, effectiveAt string
	fields := []struct {
		key  string
		node *yaml.Node
		into any
	}{
		{"version", top["version"], &m.Version}, {"family", top["family"], &m.Family}, {"time_unit", top["time_unit"], &timeUnit},
		{"r", top["r"], &m.R}, {"alpha", top["alpha"], &m.Alpha}, {"a", top["a"], &m.A}, {"b", top["b"], &m.B},
		{"spend.p", spend["p"], &m.P}, {"spend.q", spend["q"], &m.Q}, {"spend.v", spend["v"], &m.V},
		{"high_value", top["high_value"], &m.HighValue}, {"effective_at", top["effective_at"], &effectiveAt},
	}
	for _, f := range fields {
		if f.node == nil {
			continue
		}
		if err := f.node.Decode(f.into); err != nil || f.node.Kind != yaml.ScalarNode || f.node.Tag == "!!null" {
			must := "a number"
			if _, isText := f.into.(*string); isText {
				must = "a text"
			}
			return m, fmt.Errorf("line %d: key %q must have %s for a value", f.node.Line, f.key, must)
		}
	}
	switch timeUnit {
	case "day":
	case "week":
		m.Alpha *= 7
	default:
		return m, fmt.Errorf("key \"time_unit\" is %s; it must be week or day", quoted(timeUnit))
	}
	if top["cuts"] != nil {
		if m.Cuts, err = parseCuts(top["cuts"]); err != nil {
			return m, err
		}
	}
	if effectiveAt != "" {
		if m.EffectiveAt, err = parseInstant(effectiveAt); err != nil {
			return m, err
		}
	}
	return m, nil
}

func parseCuts(node *yaml.Node) (*operators.Cuts, error) {
	var c operators.Cuts
	lists := cutLists(&c)
	keys := make([]string, len(lists))
	for i := range lists {
		keys[i] = lists[i].name
	}
	cuts, err := mapping(node, "cuts.", keys)
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		var numbers []float64
		if err := cuts[list.name].Decode(&numbers); err != nil || len(numbers) != len(list.of) {
			return nil, fmt.Errorf("line %d: key %q must be a list of %d numbers", cuts[list.name].Line, "cuts."+list.name, len(list.of))
		}
		copy(list.of[:], numbers)
	}
	return &c, nil
}

// cutList is one of the lists of cuts, under its name on the wire.
type cutList struct {
	name string
	of   *[4]float64
}

func cutLists(c *operators.Cuts) []cutList {
	return []cutList{{"since_last_purchase_days", &c.SinceLastPurchase}, {"purchases", &c.Purchases}, {"monetary", &c.Monetary}, {"clv", &c.CLV}}
}

// FormatModelFile returns a file from which ParseModelFile makes the model again, but for its Fit, which stands there for a person.
func FormatModelFile(m *operators.Model) []byte {
	var b bytes.Buffer
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	fmt.Fprintf(&b, "version: %s\nfamily: %s\n", strconv.Quote(m.Version), m.Family)
	if f := m.Fit; f != nil {
		fmt.Fprintf(&b, "# fitted to %d customers with %d repeat purchases, as of %s; log likelihood %s\n", f.Customers, f.RepeatPurchases, f.AsOf, number(f.LogLikelihood))
		fmt.Fprintf(&b, "# relative standard errors: r %.3g, alpha %.3g, a %.3g, b %.3g, p %.3g, q-1 %.3g, v %.3g\n",
			math.Sqrt(f.Covariance[0][0]), math.Sqrt(f.Covariance[1][1]), math.Sqrt(f.Covariance[2][2]), math.Sqrt(f.Covariance[3][3]),
			math.Sqrt(f.SpendCovariance[0][0]), math.Sqrt(f.SpendCovariance[1][1]), math.Sqrt(f.SpendCovariance[2][2]))
		if f.Prior || f.SpendPrior {
			b.WriteString("# a weak prior took part: the data alone leave a parameter open\n")
		}
	}
	fmt.Fprintf(&b, "time_unit: day\nr: %s\nalpha: %s\na: %s\nb: %s\nspend: {p: %s, q: %s, v: %s}\nhigh_value: %s\neffective_at: %s\n",
		number(m.R), number(m.Alpha), number(m.A), number(m.B), number(m.P), number(m.Q), number(m.V), number(m.HighValue), m.EffectiveAt)
	if m.Cuts != nil {
		b.WriteString("cuts:\n")
		for _, list := range cutLists(m.Cuts) {
			fmt.Fprintf(&b, "  %s: [%s, %s, %s, %s]\n", list.name, number(list.of[0]), number(list.of[1]), number(list.of[2]), number(list.of[3]))
		}
	}
	return b.Bytes()
}

// mapping returns the values of a mapping by key. It must have all required keys, and no others than these and the optional ones.
func mapping(node *yaml.Node, path string, required []string, optional ...string) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: %swhat stands here must be keys with values", node.Line, path)
	}
	values := make(map[string]*yaml.Node)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if !slices.Contains(required, key.Value) && !slices.Contains(optional, key.Value) {
			known := strings.Join(append(slices.Clone(required), optional...), ", ")
			return nil, fmt.Errorf("line %d: unknown key %q; known are %s", key.Line, path+key.Value, known)
		}
		if values[key.Value] != nil {
			return nil, fmt.Errorf("line %d: key %q stands there twice", key.Line, path+key.Value)
		}
		values[key.Value] = node.Content[i+1]
	}
	for _, key := range required {
		if values[key] == nil {
			return nil, fmt.Errorf("line %d: key %q is missing", node.Line, path+key)
		}
	}
	return values, nil
}

func parseInstant(s string) (operators.EventTime, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return operators.EventTime(t.UnixMilli()), nil
		}
	}
	return 0, fmt.Errorf("key \"effective_at\" is %s; it must be a date such as 1998-01-01 or an instant such as 1998-01-01T00:00:00Z", quoted(s))
}
