package optest_test

import (
	"bytes"
	"testing"
	"time"

	"lull/operators"
	"lull/operators/optest"
)

// TestParseTime compares the notation's instants with those of package time.
func TestParseTime(t *testing.T) {
	for _, s := range []string{"1970-01-01", "1969-12-31", "1900-03-01", "2000-02-29", "1998-01-04T10:05", "2026-12-31T23:59:59.999"} {
		got, err := optest.ParseTime(s)
		if err != nil {
			t.Fatal(err)
		}
		layout := "2006-01-02T15:04:05.000"[:len(s)]
		want, err := time.Parse(layout, s)
		if err != nil {
			t.Fatal(err)
		}
		if int64(got) != want.UnixMilli() {
			t.Errorf("%s is read as %s", s, got)
		}
	}
	for _, s := range []string{"", "yesterday", "1998-13-01", "1998-01-04Tnoon", "1998-01-04T1:2:3:4"} {
		if at, err := optest.ParseTime(s); err == nil {
			t.Errorf("%q is read as %s", s, at)
		}
	}
}

// TestParseEvent shows the notation, and that what it does not know is an error.
func TestParseEvent(t *testing.T) {
	got, err := optest.ParseEvent(`1969-12-31T23:00 track id=m7 name="Product Added" quantity=2 amount=19.99 order=o1 refund=r1 subject=s proof=p whole clamped`)
	if err != nil {
		t.Fatal(err)
	}
	want := operators.Event{
		Kind: operators.Tracked, ID: "m7", Customer: "c", Time: -3_600_000, Day: -1, DayStart: -operators.DayMs, Clamped: true,
		Name: "Product Added", Quantity: 2, OrderID: "o1", RefundID: "r1", Amount: 1999, Whole: true, Subject: "s", Proof: "p",
	}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for _, line := range []string{"", "1998-01-04", "1998-01-04 dance", "1998-01-04 page colour=red", `1998-01-04 page name="home`, "1998-01-04 page amount=x"} {
		if e, err := optest.ParseEvent(line); err == nil {
			t.Errorf("%q is read as %+v", line, e)
		}
	}
}

// TestPartsAreLent proves that a value used after the next call is not what it was, so that tests with these Parts find such use.
func TestPartsAreLent(t *testing.T) {
	p := optest.NewParts()
	p.Set("a", []byte("value"))
	lent, ok := p.Get("a")
	if !ok || string(lent) != "value" {
		t.Fatalf("got %q, %v", lent, ok)
	}
	p.Set("b", lent)
	if bytes.Equal(lent, []byte("value")) {
		t.Error("the value is still there after the next call")
	}
	if got := string(p.Value("b")); got != "value" {
		t.Errorf("a lent value was stored as %q", got)
	}
}
