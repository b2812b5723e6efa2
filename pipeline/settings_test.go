package pipeline

import (
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"lull/operators"
	"lull/pipeline/task"
)

// TestTermsOfScores: every setting that scores are computed under is part of their terms, and none of them of the shape, which refuses a state; the others are
// not part of the terms.
func TestTermsOfScores(t *testing.T) {
	var was Settings
	was.EnsureDefaults()
	for name, v := range map[string]struct {
		change func(s *Settings)
		terms  bool
	}{
		"money.margin":          {func(s *Settings) { s.Money.Margin = 0.5 }, true},
		"scores.levels":         {func(s *Settings) { s.Scores.Levels = []float64{0.5} }, true},
		"scores.horizon_months": {func(s *Settings) { s.Scores.HorizonMonths = 6 }, true},
		"scores.discount":       {func(s *Settings) { s.Scores.Discount = 0.02 }, true},
		"scores.contact_days":   {func(s *Settings) { s.Scores.ContactDays = 10 }, true},
		"risk.high":             {func(s *Settings) { s.Risk.High = 0.8 }, true},
		"risk.back":             {func(s *Settings) { s.Risk.Back = 0.5 }, true},
		"triggers.max_age":      {func(s *Settings) { s.Triggers.MaxAge *= 2 }, false},
		"offers.share":          {func(s *Settings) { s.Offers.Share = 0.5 }, false},
		"offers.cap":            {func(s *Settings) { s.Offers.Cap = 20 }, false},
		"session.gap":           {func(s *Settings) { s.Session.Gap *= 2 }, false},
		"commit.interval":       {func(s *Settings) { s.Commit.Interval *= 2 }, false},
	} {
		is := was
		v.change(&is)
		if changed := is.Terms() != was.Terms(); changed != v.terms {
			t.Errorf("%s: the terms have changed: %v", name, changed)
		}
		if v.terms && is.shape(8).Fingerprint() != was.shape(8).Fingerprint() {
			t.Errorf("%s is part of the shape", name)
		}
	}
}

// A process has a name.
func TestNoInstance(t *testing.T) {
	if err := Run(t.Context(), Settings{}, zerolog.Nop(), nil); err == nil || err.Error() != `instance is "": it must be a name of this process, stable over restarts and unique in the group` {
		t.Error(err)
	}
}

// TestScoreCalendar: what an order would do hangs on the days of calendar.timezone, as what it does.
func TestScoreCalendar(t *testing.T) {
	s := DefaultSettings()
	s.Calendar.Timezone = "Europe/Berlin"
	at := operators.EventTime(10*operators.DayMs - 1)
	if got, want := s.Chain().Score.Day(at), operators.Day(10); got != want {
		t.Errorf("%s is on %s, want %s", at, got, want)
	}
}

// TestOverruled: of the settings that the state holds against each that differs is told with both values, also where it was empty, but not one that an earlier version's state does not tell, nor whose state it is.
func TestOverruled(t *testing.T) {
	was, is := DefaultSettings(), DefaultSettings()
	is.Prefix, is.Money.Rates, is.Limits.Orders = "other.", map[string]string{"EUR": "1.08"}, was.Limits.Orders+1
	state := slices.DeleteFunc(was.shape(8), func(s task.Setting) bool { return s.Name == "limits.orders" })
	want := []task.Change{{Name: "money.rates", Is: "EUR=1.08", Known: true}}
	if got := is.Overruled(state); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
