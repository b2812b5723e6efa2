package bgnbd

import (
	"math"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestDiscountedIsDiscountedIfAlive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		months := rapid.IntRange(0, 40).Draw(t, "months")
		month := drawLog(t, 1e-3, 1000, "month")
		rate := rapid.SampledFrom([]float64{0, 0.01, 0.3}).Draw(t, "rate")
		d := p.Discounted(months, month, rate)
		for range 5 {
			h := drawHistory(t, tabulatedX+5)
			got, want := d.IfAlive(h.X, h.T), p.DiscountedIfAlive(h, months, month, rate)
			if !(math.Abs(got-want) <= 1e-11*want) {
				t.Fatalf("%v: %v, want %v (relative error %.1e)", h, got, want, got/want-1)
			}
		}
	})
}

// TestDiscountedOfCDNOW: on a model of the real world nearly all that is asked for is told by polynomials, to 14 digits, over the whole range of ages.
func TestDiscountedOfCDNOW(t *testing.T) {
	const month = 30.4375 / 7
	d := cdnowMBG.Discounted(12, month, 0.01)
	for x := range tabulatedX {
		for T := 0.0; T < 5000; T += 0.37 + T/50 {
			got, want := d.IfAlive(x, T), cdnowMBG.DiscountedIfAlive(History{X: x, T: T}, 12, month, 0.01)
			if !(math.Abs(got-want) <= 3e-14*want) {
				t.Fatalf("x %d, T %v: %v, want %v (relative error %.1e)", x, T, got, want, got/want-1)
			}
		}
		for i := range d.rows[x].Load() {
			if p := d.rows[x].Load()[i].Load(); p != nil && p.far {
				t.Errorf("x %d, piece %d: no polynomial is close enough", x, i)
			}
		}
	}
}

// TestDiscountedForgetsWhatWasAsked: an answer is the same whoever asks, and whatever has been asked before.
func TestDiscountedForgetsWhatWasAsked(t *testing.T) {
	shared := cdnowMBG.Discounted(12, 4, 0.01)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 2000 {
				x, T := (i*7+worker)%20, float64(i%97)*3.1
				alone := cdnowMBG.Discounted(12, 4, 0.01)
				if got, want := shared.IfAlive(x, T), alone.IfAlive(x, T); got != want {
					t.Errorf("x %d, T %v: %v, and %v where nothing else was asked", x, T, got, want)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkDiscounted(b *testing.B) {
	for _, c := range benchmarkCustomers {
		b.Run(c.name, func(b *testing.B) {
			d := cdnowMBG.Discounted(12, 30.4375/7, 0.01)
			for b.Loop() {
				d.IfAlive(c.h.X, c.h.T)
			}
		})
	}
}
