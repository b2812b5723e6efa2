package score_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/score"
)

// level returns the P(alive) of "churn risk reaches 0.70".
func level(t *rapid.T, what string) float64 {
	risk, err := strconv.ParseFloat(strings.TrimPrefix(what, "churn risk reaches "), 64)
	if err != nil {
		t.Fatal(err)
	}
	return math.Round(100-100*risk) / 100
}

func amount(v float64) string {
	c := defaults(nil)
	terms := c.Terms()
	return terms.FormatAmount(v)
}

// TestValidate: the defaults are valid; each fault is named with its field and value.
func TestValidate(t *testing.T) {
	c := defaults(nil)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*score.Config){
		"Levels[1] is 0.9":         func(c *score.Config) { c.Levels = []float64{0.9, 0.9} },
		"Levels[0] is 1;":          func(c *score.Config) { c.Levels = []float64{1} },
		"Levels[0] is NaN":         func(c *score.Config) { c.Levels = []float64{math.NaN()} },
		"Levels has 100 levels":    func(c *score.Config) { c.Levels = make([]float64, 100) },
		"HighRisk is 1;":           func(c *score.Config) { c.HighRisk = 1 },
		"HighRisk is NaN":          func(c *score.Config) { c.HighRisk = math.NaN() },
		"LowRisk is 0.8":           func(c *score.Config) { c.LowRisk = 0.8 },
		"LowRisk is -0.1":          func(c *score.Config) { c.LowRisk = -0.1 },
		"DormantRisk is 0.7":       func(c *score.Config) { c.DormantRisk = 0.7 },
		"DormantRisk is 0.95":      func(c *score.Config) { c.DormantRisk = 0.95 },
		"DormantRisk is NaN":       func(c *score.Config) { c.DormantRisk = math.NaN() },
		"LostRisk is 1":            func(c *score.Config) { c.LostRisk = 1 },
		"ValueBack is 1.1":         func(c *score.Config) { c.ValueBack = 1.1 },
		"ValueBack is NaN":         func(c *score.Config) { c.ValueBack = math.NaN() },
		"HorizonMonths is -1":      func(c *score.Config) { c.HorizonMonths = -1 },
		"MonthDays is +Inf":        func(c *score.Config) { c.MonthDays = math.Inf(1) },
		"DiscountMonthly is -0.01": func(c *score.Config) { c.DiscountMonthly = -0.01 },
		"MarginShare is 1.5":       func(c *score.Config) { c.MarginShare = 1.5 },
		"ContactDays is 367":       func(c *score.Config) { c.ContactDays = 367 },
		"OfferShare is 1.1":        func(c *score.Config) { c.OfferShare = 1.1 },
		"OfferShare is NaN":        func(c *score.Config) { c.OfferShare = math.NaN() },
		"OfferCap is -1":           func(c *score.Config) { c.OfferCap = -1 },
		`Currency is "usd"`:        func(c *score.Config) { c.Currency = "usd" },
		`Currency is "EURO"`:       func(c *score.Config) { c.Currency = "EURO" },
		"MinorPerMajor is 12":      func(c *score.Config) { c.MinorPerMajor = 12 },
	} {
		c := defaults(change)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	c = defaults(func(c *score.Config) { c.Levels = []float64{} })
	c.EnsureDefaults()
	if err := c.Validate(); err != nil || len(c.Levels) != 0 {
		t.Errorf("an empty list of levels becomes %v: %v", c.Levels, err)
	}
}

// TestValidateModel: every fault is named.
func TestValidateModel(t *testing.T) {
	if err := score.ValidateModel(cdnow("bgnbd")); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*operators.Model){
		"version is empty":          func(m *operators.Model) { m.Version = "" },
		`"paretonbd"`:               func(m *operators.Model) { m.Family = "paretonbd" },
		"alpha is -1":               func(m *operators.Model) { m.Alpha = -1 },
		"r is NaN":                  func(m *operators.Model) { m.R = math.NaN() },
		"b is +Inf":                 func(m *operators.Model) { m.B = math.Inf(1) },
		"q is 1,":                   func(m *operators.Model) { m.Q = 1 },
		"v is 0,":                   func(m *operators.Model) { m.V = 0 },
		"high value is 0, must be":  func(m *operators.Model) { m.HighValue = 0 },
		"high value is NaN":         func(m *operators.Model) { m.HighValue = math.NaN() },
		"a is 0, must be finite":    func(m *operators.Model) { m.A, m.HighValue = 0, -3 },
		"high value is -3, must be": func(m *operators.Model) { m.A, m.HighValue = 0, -3 },
	} {
		m := cdnow("mbgnbd")
		change(m)
		if err := score.ValidateModel(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestTerms: what others get is what is set.
func TestTerms(t *testing.T) {
	c := defaults(func(c *score.Config) { c.HighRisk, c.ValueBack, c.Currency, c.MinorPerMajor = 0.75, 0.75, "KWD", 1000 })
	want := operators.Terms{HighRisk: 0.75, LowRisk: 0.6, DormantRisk: 0.85, LostRisk: 0.95, ValueBack: 0.75, ContactDays: 30, HorizonDays: 365.25, MarginShare: 1, Currency: "KWD", MinorDigits: 3}
	if got := c.Terms(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
