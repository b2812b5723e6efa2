package report

import "testing"

// TestNumbers: numbers as people read them, at the places where the way of writing changes.
func TestNumbers(t *testing.T) {
	for _, v := range []struct {
		number                float64
		whole, short, percent string
	}{
		{0, "0", "0", "0%"}, {-0.4, "0", "-0.4", "-40%"}, {0.0002, "0", "0.0002", "<0.1%"}, {0.004, "0", "0.004", "0.4%"}, {0.0096, "0", "0.0096", "1%"}, {0.5, "0", "0.5", "50%"}, {1, "1", "1", "100%"},
		{99.96, "100", "100", "9996%"}, {999.4, "999", "999", "99940%"}, {999.6, "1,000", "1k", "99960%"}, {-1234.5, "-1,234", "-1.23k", "-123450%"}, {12_345, "12,345", "12.3k", "1234500%"},
		{999_499, "999,499", "999k", "99949900%"}, {999_500, "999,500", "1M", "99950000%"}, {1_234_567_890, "1,234,567,890", "1.23G", "123456789000%"}, {4.2e12, "4,200,000,000,000", "4.2T", "420000000000000%"},
	} {
		if w, s, p := whole(v.number), short(v.number), percent(v.number); w != v.whole || s != v.short || p != v.percent {
			t.Errorf("%v is %q, %q, %q; want %q, %q, %q", v.number, w, s, p, v.whole, v.short, v.percent)
		}
	}
	for v, want := range map[float64]float64{0: 1, 0.07: 0.08, 1: 1, 1.01: 1.2, 99: 100, 101: 120, 9e5: 1e6} {
		if got := niceAbove(v); got < want*(1-1e-9) || got > want*(1+1e-9) {
			t.Errorf("above %v is %v, want %v", v, got, want)
		}
	}
}
