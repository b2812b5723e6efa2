package schemas

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/currency"
	"pgregory.net/rapid"

	"lull/operators"
)

// Digits of ISO 4217 for currencies of each sort.
func TestCurrencyDigits(t *testing.T) {
	for code, want := range map[string]int{"USD": 2, "EUR": 2, "JPY": 0, "KRW": 0, "ISK": 0, "CLP": 0, "KWD": 3, "TND": 3, "IQD": 3, "CLF": 4, "HUF": 2, "COP": 2, "IDR": 2} {
		if got, ok := CurrencyDigits(code); !ok || got != want {
			t.Errorf("%s has %d digits (%t); want %d", code, got, ok, want)
		}
	}
	for _, code := range []string{"", "usd", "US", "USDX", "XXX", "XAU", "DOGE"} {
		if _, ok := CurrencyDigits(code); ok {
			t.Errorf("%q is taken for a currency", code)
		}
	}
}

// The list of currencies agrees with CLDR's list of legal tender at the time of its edition (2017), but for what was renamed since; the digits agree
// wherever CLDR gives any other than 2 by ISO. Both lists were made from ISO 4217 by different people.
func TestCurrenciesAgreeWithCLDR(t *testing.T) {
	since := strings.Fields("MRU STN UYW VED VES SLE XCG ZWG XAD UYI CHE CHW CLF BOV COU MXV USN")
	tender := make(map[string]bool)
	for units := currency.Query(currency.Date(time.Date(2017, 10, 1, 0, 0, 0, 0, time.UTC))); units.Next(); {
		tender[units.Unit().String()] = true
		if _, ok := CurrencyDigits(units.Unit().String()); !ok && units.Unit().String() != "XXX" {
			t.Errorf("%s is missing", units.Unit())
		}
	}
	if len(tender) < 140 {
		t.Fatalf("CLDR lists %d currencies; the comparison proves nothing", len(tender))
	}
	for code, digits := range currencyDigits {
		unit, err := currency.ParseISO(code)
		if err != nil {
			if !strings.Contains(strings.Join(since, " "), code) {
				t.Errorf("%s is no currency for CLDR: %v", code, err)
			}
			continue
		}
		shown, _ := currency.Standard.Rounding(unit)
		if digits > 2 && shown != digits && shown != 0 {
			t.Errorf("%s has %d digits, %d for CLDR", code, digits, shown)
		}
		if digits == 0 && shown != 0 {
			t.Errorf("%s has no digits, %d for CLDR", code, shown)
		}
	}
}

func TestConversion(t *testing.T) {
	for _, c := range []struct {
		rate               string
		digits, baseDigits int
		amount             int64
		want               operators.Money
	}{
		{"1", 2, 2, 1999, 1999},
		{"1.0842", 2, 2, 1000, 1084},         // 10.00 EUR are 10.842 USD
		{"0.0067", 0, 2, 1500, 1005},         // 1500 JPY are 10.05 USD
		{"3.25", 3, 2, 1000, 325},            // 1.000 KWD are 3.25 USD
		{"150", 2, 0, 199, 299},              // 1.99 USD are 298.5 JPY: half away from zero
		{"150", 2, 0, 198, 297},              // 297.0
		{"0.5", 2, 2, 1, 1},                  // half a cent
		{"0.49999999", 2, 2, 1, 0},           // less than half a cent
		{"0.000000000001", 2, 2, 1e15, 1000}, // 1e13 major units times 1e-12 are 10.00
		{"1", 4, 0, 4999, 0},
		{"1", 4, 0, 5000, 1},
		{"1", 0, 4, 7, 70000},
	} {
		r, err := newRate(c.rate, c.digits, c.baseDigits)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := r.convert(c.amount); !ok || got != c.want {
			t.Errorf("%d at %s from %d to %d digits is %d (%t); want %d", c.amount, c.rate, c.digits, c.baseDigits, got, ok, c.want)
		}
	}
	for _, bad := range []string{"", ".", "1.", ".5", "-1", "+1", "1e3", "0", "0.000", "1,5", " 1", "NaN", "1.0000000000001", "1234567890123456", "1.2.3"} {
		if _, err := newRate(bad, 2, 2); err == nil {
			t.Errorf("%q is taken for a rate", bad)
		}
	}
}

// Conversion is exact: it agrees with arithmetic in fractions, and refuses just what is beyond 64 bits.
func TestConversionAgreesWithFractions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		decimal := rapid.StringMatching(`[0-9]{1,5}(\.[0-9]{1,9})?`).Draw(t, "rate")
		digits, baseDigits := rapid.IntRange(0, 4).Draw(t, "digits"), rapid.IntRange(0, 4).Draw(t, "base digits")
		amount := rapid.Int64Range(0, math.MaxInt64).Draw(t, "amount")
		r, err := newRate(decimal, digits, baseDigits)
		exact, _ := new(big.Rat).SetString(decimal)
		if err != nil {
			if exact.Sign() > 0 {
				t.Fatal(err)
			}
			return
		}
		exact.Mul(exact, new(big.Rat).SetInt64(amount))
		pow := func(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
		exact.Mul(exact, new(big.Rat).SetFrac(pow(baseDigits), pow(digits)))
		exact.Add(exact, big.NewRat(1, 2))
		want := new(big.Int).Quo(exact.Num(), exact.Denom())
		got, ok := r.convert(amount)
		if ok != want.IsInt64() || ok && int64(got) != want.Int64() {
			t.Fatalf("%d at %s is %d (%t); want %v", amount, decimal, got, ok, want)
		}
	})
}
