package schemas

import (
	"testing"

	"lull/operators"
)

// TestQuality: a record of the quality topic is read as it was written, and its score is the share of the records without a fault; what is none is refused by its key.
func TestQuality(t *testing.T) {
	q := NewQuality("shop", 3, 10_230, &[operators.FaultsEnd]int64{190, 1, 2, 0, 3, 4, 0})
	if q.Records != 200 || q.Score != 0.95 || q.Late != 0 || q.Duplicate != 4 || q.ClockSkewed != 3 || q.UnknownCurrency != 0 || q.MissingField != 2 || q.Invalid != 1 {
		t.Errorf("%+v", q)
	}
	key, value, err := EncodeQuality(&q)
	if err != nil || string(key) != "shop/3/1998-01-04" {
		t.Fatalf("%s, %v", key, err)
	}
	if got, err := DecodeQuality(key, value); err != nil || got != q {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		key, value []byte
		want       string
	}{
		{[]byte("shop/3/1998-01-05"), value, `decoding the record "shop/3/1998-01-05" of quality: it tells of shop/3/1998-01-04`},
		{key, append(value, 0), `decoding the record "shop/3/1998-01-04" of quality: 1 bytes follow it`},
	} {
		if _, err := DecodeQuality(c.key, c.value); err == nil || err.Error() != c.want {
			t.Errorf("%v, not %s", err, c.want)
		}
	}
	if _, err := DecodeQuality(key, value[:3]); err == nil {
		t.Error("a record that is cut short is read")
	}
}

// TestFaults: every reason for which records are refused is a fault of one kind, but those that are not the record's; and faults have names that are read back.
func TestFaults(t *testing.T) {
	for reason, want := range map[string]operators.Fault{
		ReasonNoCustomer: operators.MissingField, ReasonNoValue: operators.MissingField, ReasonMissingField: operators.MissingField, ReasonUnknownCurrency: operators.UnknownCurrency,
		ReasonTimeInFuture: operators.ClockSkewed, ReasonMalformed: operators.Invalid, "order_limit": operators.Invalid,
	} {
		if fault, ok := FaultOf(reason); !ok || fault != want {
			t.Errorf("%s: %s, %v", reason, fault, ok)
		}
	}
	for _, reason := range []string{ReasonSchemaUnavailable, ReasonBadRelay, "panic"} {
		if fault, ok := FaultOf(reason); ok {
			t.Errorf("%s: %s", reason, fault)
		}
	}
	for fault := range operators.FaultsEnd {
		if got, ok := operators.FaultNamed(fault.String()); !ok || got != fault {
			t.Errorf("%s: %d", fault, got)
		}
	}
}
