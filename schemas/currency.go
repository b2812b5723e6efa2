package schemas

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"lull/operators"
)

// The currencies of ISO 4217 by their number of minor digits, as of its list one of January 2026, and those withdrawn since 2010, of which old
// orders may still tell. Precious metals, funds without minor units and test codes are left out. (The digits of golang.org/x/text/currency are
// those of CLDR, which are for display: COP, HUF, IDR or TWD amounts taken by them would be a hundred times too large.)
var currencyDigits = func() map[string]int {
	m := make(map[string]int)
	for digits, codes := range map[int]string{
		0: "BIF BYR CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
		2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC " +
			"CUC CUP CVE CZK DKK DOP DZD EEK EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS " +
			"KHR KPW KYD KZT LAK LBP LKR LRD LSL LTL LVL MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD " +
			"PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TOP TRY TTD " +
			"TWD TZS UAH USD USN UYU UZS VED VEF VES WST XAD XCD XCG YER ZAR ZMK ZMW ZWG ZWL",
		3: "BHD IQD JOD KWD LYD OMR TND",
		4: "CLF UYW",
	} {
		for code := range strings.FieldsSeq(codes) {
			m[code] = digits
		}
	}
	return m
}()

// CurrencyDigits returns the number of minor digits of an ISO 4217 code: 2 for USD, 0 for JPY, 3 for KWD; ok is false if there is no such currency.
func CurrencyDigits(code string) (digits int, ok bool) {
	digits, ok = currencyDigits[code]
	return digits, ok
}

// rate converts minor units of a currency to minor units of the base currency: times num, divided by den.
type rate struct{ num, den uint64 }

// CheckRate returns what is wrong with the rate of a currency, as DecoderConfig.Rates has it; nil if nothing. The base currency is valid.
func CheckRate(base, code, decimal string) error {
	_, err := rateOf(base, code, decimal)
	return err
}

// rateOf returns the rate of a currency.
func rateOf(base, code, decimal string) (rate, error) {
	baseDigits, _ := CurrencyDigits(base)
	digits, ok := CurrencyDigits(code)
	if !ok {
		return rate{}, fmt.Errorf("%s is no currency: it must be a code of ISO 4217 in capitals, such as EUR", quoted(code))
	}
	if code == base {
		return rate{}, fmt.Errorf("%s is the base currency: leave it out", code)
	}
	r, err := newRate(decimal, digits, baseDigits)
	if err != nil {
		return rate{}, fmt.Errorf("%s: %w", code, err)
	}
	return r, nil
}

// newRate returns the rate of a currency of which one major unit is worth a decimal number of major units of the base currency.
func newRate(decimal string, digits, baseDigits int) (rate, error) {
	whole, fraction, _ := strings.Cut(decimal, ".")
	all := whole + fraction
	if whole == "" || strings.HasSuffix(decimal, ".") || len(all) > 15 || len(fraction) > 12 {
		return rate{}, fmt.Errorf("%q is no rate: it must be a number such as 1.0842, of at most 15 digits and 12 after the point", decimal)
	}
	r := rate{den: 1}
	for _, c := range []byte(all) {
		if c < '0' || c > '9' {
			return rate{}, fmt.Errorf("%q is no rate: it must be a number such as 1.0842, without sign, exponent or spaces", decimal)
		}
		r.num = r.num*10 + uint64(c-'0')
	}
	if r.num == 0 {
		return rate{}, fmt.Errorf("%q is no rate: it must be above 0", decimal)
	}
	for shift := baseDigits - digits - len(fraction); shift > 0; shift-- {
		r.num *= 10
	}
	for shift := baseDigits - digits - len(fraction); shift < 0; shift++ {
		r.den *= 10
	}
	return r, nil
}

// convert returns an amount, 0 or more, in the base currency, rounded half up, which is away from zero; ok is false if it is beyond 64 bits.
func (r rate) convert(amount int64) (m operators.Money, ok bool) {
	hi, lo := bits.Mul64(uint64(amount), r.num)
	lo, carry := bits.Add64(lo, r.den/2, 0)
	hi += carry
	if hi >= r.den {
		return 0, false
	}
	quotient, _ := bits.Div64(hi, lo, r.den)
	if quotient > math.MaxInt64 {
		return 0, false
	}
	return operators.Money(quotient), true
}
