package operators_test

import (
	"testing"

	"lull/operators"
)

// TestWords shows the words of reasons, where they differ.
func TestWords(t *testing.T) {
	habit := func(age float64, x, lastAge int) string {
		p := operators.Purchases{Count: uint32(x + 1), First: 9_865, Last: 9_865 + operators.Day(lastAge)} // 1997-01-04
		return p.Habit(&operators.Facts{X: x, LastAge: float64(lastAge), Age: age})
	}
	dollars, yen := operators.Terms{Currency: "USD", MinorDigits: 2}, operators.Terms{Currency: "JPY"}
	for _, v := range [][2]string{
		{habit(128.9, 3, 57), "orders every 19 days, silent for 71 days"},
		{habit(58, 3, 57), "orders every 19 days, silent for 1 day"},
		{habit(57.9, 3, 57), "orders every 19 days, the last on 1997-03-02"},
		{habit(57, 40, 57), "orders every day, the last on 1997-03-02"},
		{habit(71.5, 0, 0), "one purchase on 1997-01-04, silent for 71 days"},
		{habit(0.5, 0, 0), "one purchase on 1997-01-04"},
		{dollars.FormatAmount(12.3), "12.30 USD"},
		{yen.FormatAmount(1234.4), "1234 JPY"},
		{operators.FormatInstant(900_403_259_999), "1998-07-14 08:00 UTC"},
		{operators.FormatDays(30), "30 days"},
		{operators.FormatDays(1), "1 day"},
		{operators.FormatDays(30.5), "30.5 days"},
		{operators.FormatRisk(0.704), "0.70"},
		{operators.FormatRiskUnder(0.694, 0.7), "0.69"},
		{operators.FormatRiskUnder(0.696, 0.7), "0.696"},
		{operators.FormatRiskUnder(0.69997, 0.7), "0.69997"},
		{operators.FormatRiskUnder(0.7-1e-16, 0.7), "0.70"}, // rounding: nobody can tell the two apart
		{operators.FormatThreshold(0.7), "0.70"},
		{operators.FormatThreshold(0.75), "0.75"},
		{operators.FormatThreshold(0.725), "0.725"},
	} {
		if v[0] != v[1] {
			t.Errorf("got %q, want %q", v[0], v[1])
		}
	}
}
