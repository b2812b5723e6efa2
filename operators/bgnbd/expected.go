package bgnbd

import "math"

// The expected number of purchases of a living customer within a horizon h. With n = r+x, β = α+T and s = h/β, given p,
// it is (1 − (1+ps)^−n)/p, and p ~ Beta(a, b'+x), where b' is b under BG/NBD and b+1 under MBG/NBD, which is BG/NBD with
// one chance more. The mean over p is hypergeometric; Fader, Hardie & Lee (2005), eq. 10, with z = h/(β+h):
//
//	E = C/(a−1) [1 − (1−z)^n ₂F₁(n, b'+x; C; z)],  C = a+b'+x−1
//
// That form is 0/0 at a = 1, its series has poles for C <= 0 (x = 0 and a+b <= 1) and overflows for large x. Euler's
// transformation (Abramowitz & Stegun 15.3.3) with the first term taken out of the series cures all three. With e = a−1,
// B = C−n and ℓ = ln(1+s):
//
//	E = C (1−exp(−eℓ))/e − exp(−eℓ) Σ t_m,  t_1 = B z,  t_{m+1} = t_m (e+m)(B+m) / ((C+m)(m+1)) z
//
// Three corners are left to byCount. With B far below zero (purchase rates nearly the same for all, and a customer who has
// bought little yet) the terms alternate and grow before they fall. With C far above n (drop-out hardly visible, b in the
// hundreds) the two parts nearly cancel. With eℓ large (a in the hundreds, or a horizon of many times β) the exponential
// underflows, the sum overflows and takes some e h/β terms.

// termsMax bounds every sum. It is reached only for a horizon of thousands of times α+T (z above 0.9998), where Euler's
// series still has 13 digits, or one in which 200,000 purchases are likely, where the result is a little too low.
const termsMax = 200_000

// tailMax is how much of a sum its unsummed rest may be.
const tailMax = 0x1p-55

// outlook is what the expected purchases of one living customer depend on besides the horizon.
type outlook struct {
	n, beta float64 // λ of a living customer is Gamma(n, rate beta)
	e       float64 // a − 1
	b, c    float64 // B and C above
	stay    float64 // b' + x; p of a living customer is Beta(a, stay)
}

func (p Params) outlook(h History) outlook {
	o := outlook{n: p.R + float64(h.X), beta: p.Alpha + h.T, e: p.A - 1, stay: p.B + p.chances(h.X)}
	o.c = o.e + o.stay
	o.b = o.e + (p.B + (p.chances(h.X) - float64(h.X))) - p.R // C − n without the rounding of a large x
	return o
}

// byCountIsBetter says that Euler's series would lose more than three digits, to alternating terms or to the difference of
// its two parts, or need more than 43 powers of ten between its factor and its sum. l is ln(1+s) of the longest horizon.
func (o *outlook) byCountIsBetter(l float64) bool {
	return o.b < -12 && o.c < -o.b || o.c > 1000*o.n || o.e*l > 100
}

// ExpectedIfAlive returns the expected number of purchases within the horizon of a customer who is alive at age T; 0 or
// more. The relative error is below 1e-11.
func (p Params) ExpectedIfAlive(h History, horizon float64) float64 {
	o := p.outlook(h)
	return o.expected(horizon)
}

// Expected returns the expected number of purchases within the horizon, when it is not known whether the customer is alive.
func (p Params) Expected(h History, horizon float64) float64 {
	return p.PAlive(h) * p.ExpectedIfAlive(h, horizon)
}

func (o *outlook) expected(horizon float64) float64 {
	l, z := math.Log1p(horizon/o.beta), horizon/(o.beta+horizon)
	if o.byCountIsBetter(l) {
		return o.byCount(l, z)
	}
	lead, decay := o.lead(l)
	return float64(o.c*lead) - o.series(decay*z, z)
}

// lead returns (1−exp(−eℓ))/e, which is ℓ at e = 0, and exp(−eℓ).
func (o *outlook) lead(l float64) (ratio, decay float64) {
	if o.e == 0 {
		return l, 1
	}
	m := math.Expm1(-o.e * l)
	if m < -0.5 {
		return -m / o.e, math.Exp(-o.e * l) // 1+m would lose the digits of a small exponential
	}
	return -m / o.e, 1 + m
}

// series returns exp(−eℓ) Σ t_m, given exp(−eℓ) z and z.
func (o *outlook) series(decayed, z float64) float64 {
	t, sum := o.b*decayed, 0.0
	for m := 1.0; m <= termsMax; m++ {
		sum += t
		t *= (o.e + m) * (o.b + m) / ((o.c + m) * (m + 1)) * z
		if m > -o.b && math.Abs(t) <= tailMax*math.Abs(sum)*(1-float64(o.growth(m)*z)) {
			break
		}
	}
	return sum
}

// growth bounds t_{k+1} / (t_k z) for all k >= m, if m > −B: there (B+k)/(C+k) is below 1 and (e+k)/(k+1) tends to 1. So the
// rest of the series after t is at most t/(1 − growth z).
func (o *outlook) growth(m float64) float64 { return max(1, (o.e+m)/(m+1)) }

// byCount returns the same expectation as a sum over the number j of purchases that an immortal customer would make within
// the horizon, which is negative binomial: Σ_j P(j) · E[purchases made | j]. All terms are positive, for any parameters. It
// takes as many terms as the immortal may make purchases, or as many as it takes the mortal to be certainly gone.
func (o *outlook) byCount(l, z float64) float64 {
	// Keeps the sums inside float64 while the factor P(0) = exp(−nℓ), which may underflow, is still to come.
	const (
		rescaleAbove = 0x1p900
		rescaleLn    = 900 * math.Ln2
	)
	lnFactor := -o.n * l
	chance, counted, sum := 1.0, 1.0, 0.0 // P(j), P(0)+…+P(j) and the sum, all over P(0)
	made, survival := 0.0, 1.0            // E[purchases made | j], P(alive after purchase j)
	for j := 0.0; j <= termsMax; j++ {
		chance *= (o.n + j) / (j + 1) * z
		made += survival
		survival *= (o.stay + j) / (o.c + 1 + j)
		counted += float64(chance)
		t := float64(chance * made)
		sum += t
		// From here on each term is at most ratio times the one before it.
		if ratio := float64(max(1, (o.n+j+1)/(j+2)) * z * (1 + survival/made)); t*ratio <= tailMax*sum*(1-ratio) {
			return sum * math.Exp(lnFactor)
		}
		// The left side is what all further purchases add to made if e > 0.
		if o.e > 0 && survival*(o.c+1+j) <= tailMax*o.e*made {
			break
		}
		if sum > rescaleAbove {
			chance, counted, sum = chance/rescaleAbove, counted/rescaleAbove, sum/rescaleAbove
			lnFactor += rescaleLn
		}
	}
	// For every greater j practically the same number is made.
	factor := math.Exp(lnFactor)
	return float64(sum*factor) + float64(made*(1-float64(counted*factor)))
}

// lanes is the number of horizons that DiscountedIfAlive sums at once: a year of months.
const lanes = 12

// DiscountedIfAlive returns the expected purchases of a customer who is alive at age T over the given number of months of
// the given length, those of month i discounted by (1+rate)^−i; the rate is per month, 0 or more:
//
//	Σ_{i=1..months} (E(i·month) − E((i−1)·month)) / (1+rate)^i
//
// Times P(alive) and the mean margin of a purchase it is the residual customer lifetime value. It falls with silence.
func (p Params) DiscountedIfAlive(h History, months int, month, rate float64) float64 {
	o := p.outlook(h)
	return o.discounted(months, month, rate)
}

func (o *outlook) discounted(months int, month, rate float64) float64 {
	total := 0.0
	discount, step := 1.0, 1/(1+rate)
	for first := 0; first < months; first += lanes {
		// Summed by parts: the weight of E(i·month) is what the discount falls by after month i; all terms are positive.
		var horizons, weights [lanes]float64
		count := min(lanes, months-first)
		for i := range count {
			discount *= step
			horizons[i] = float64(first+i+1) * month
			weights[i] = discount * (1 - step)
			if first+i+1 == months {
				weights[i] = discount
			}
		}
		total += o.weighted(horizons[:count], weights[:count])
	}
	return total
}

// weighted returns the weighted sum of expected(horizons[i]); the horizons grow, the weights are 0 or more, and there are
// at most as many as lanes. The coefficients of Euler's series are the same for all horizons, so one pass serves them all.
func (o *outlook) weighted(horizons, weights []float64) float64 {
	last := math.Log1p(horizons[len(horizons)-1] / o.beta)
	if o.byCountIsBetter(last) {
		sum := 0.0
		for i, h := range horizons {
			sum += float64(weights[i] * o.expected(h))
		}
		return sum
	}
	var z, power [lanes]float64 // power[i] is weight · exp(−eℓ) · z^m of horizon i
	leads := 0.0
	for i, h := range horizons {
		z[i] = h / (o.beta + h)
		lead, decay := o.lead(math.Log1p(h / o.beta))
		leads += float64(weights[i] * lead)
		power[i] = weights[i] * decay * z[i]
	}
	return float64(o.c*leads) - o.sharedSeries(&z, &power, len(horizons))
}

// sharedSeries returns the sum of the first count lanes' series. A lane whose rest is negligible is left out from then on;
// with growing horizons the first lane is always the next to go.
func (o *outlook) sharedSeries(z, power *[lanes]float64, count int) float64 {
	sum, coefficient := 0.0, o.b
	lane := 0
	for m := 1.0; m <= termsMax; m++ {
		// Four sums side by side: one alone would wait for each addition.
		var s0, s1, s2, s3 float64
		for i := lane &^ 3; i < count; i += 4 {
			p, y := (*[4]float64)(power[i:]), (*[4]float64)(z[i:])
			s0, s1, s2, s3 = s0+p[0], s1+p[1], s2+p[2], s3+p[3]
			p[0], p[1], p[2], p[3] = p[0]*y[0], p[1]*y[1], p[2]*y[2], p[3]*y[3]
		}
		sum += float64(coefficient * ((s0 + s1) + (s2 + s3)))
		coefficient *= (o.e + m) * (o.b + m) / ((o.c + m) * (m + 1))
		if m <= -o.b || int(m)%4 != 0 { // the test for the end costs more than a term
			continue
		}
		growth := o.growth(m)
		for math.Abs(coefficient*power[lane]) <= tailMax*math.Abs(sum)*(1-float64(growth*z[lane])) {
			if lane++; lane == count {
				return sum
			}
		}
	}
	return sum
}
