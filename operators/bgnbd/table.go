package bgnbd

import (
	"math"
	"sync/atomic"
)

// Discounted is DiscountedIfAlive of one model, over months of one number and length at one rate. What is left to vary are the purchases x and β = α+T, over which the value is so smooth that a
// polynomial for every half octave of β tells it, in tens of nanoseconds where the sum takes microseconds. The relative difference from DiscountedIfAlive is below 1e-11.
//
// A polynomial is made when it is first asked for, and is a function of the parameters and its place alone: what has been asked before changes no bit of an answer.
// For x from tabulatedX on, for a β out of range, and where the polynomial is not close enough, the answer is that of DiscountedIfAlive.
//
// It is safe for concurrent use.
type Discounted struct {
	params      Params
	months      int
	month, rate float64
	rows        [tabulatedX]atomic.Pointer[[pieces]atomic.Pointer[piece]]
}

// Discounted returns the function; what it takes is as for DiscountedIfAlive.
func (p Params) Discounted(months int, month, rate float64) *Discounted {
	return &Discounted{params: p, months: months, month: month, rate: rate}
}

const (
	// tabulatedX bounds the memory, to little more than a megabyte: who has bought more often is rare.
	tabulatedX = 128

	// A piece is all β of one exponent and one highest bit of the mantissa. In units of its half width it lies at 5 to 7 from the pole at β = 0 (x purchases within the horizon are some
	// (r+x)h/β if h is short), and no other singularity comes nearer: the others have β <= −h. So Chebyshev coefficients fall by 5+√24, almost tenfold, from one to the next: Trefethen (2013), Approximation Theory and
	// Approximation Practice, theorem 8.1.
	firstOctave, octaves = -8, 32
	pieces               = 2 * octaves

	// order is the number of coefficients.
	order = 16
	// restMost is how large the last two coefficients may be beside the largest.
	restMost = 0x1p-40
)

// piece is the polynomial of one piece over [-1, 1), the lowest power first.
type piece struct {
	powers [order]float64
	far    bool // not close enough to the function
}

// IfAlive returns DiscountedIfAlive of customers with x repeat purchases at age T.
func (d *Discounted) IfAlive(x int, T float64) float64 {
	beta := d.params.Alpha + T
	bits := math.Float64bits(beta)
	const (
		belowHighest = 51 // bits of the mantissa below its highest
		bias         = 1023
	)
	place := int(bits>>belowHighest) - 2*(bias+firstOctave)
	if uint(x) >= tabulatedX || uint(place) >= pieces {
		return d.sum(x, beta)
	}
	row := d.rows[x].Load()
	if row == nil {
		d.rows[x].CompareAndSwap(nil, new([pieces]atomic.Pointer[piece]))
		row = d.rows[x].Load()
	}
	p := row[place].Load()
	if p == nil {
		p = d.fit(x, math.Ldexp(1+float64(float64(place%2)/2), firstOctave+place/2), math.Ldexp(0.5, firstOctave+place/2))
		row[place].Store(p)
	}
	if p.far {
		return d.sum(x, beta)
	}
	within := math.Float64frombits(bits<<1&(1<<(belowHighest+1)-1) | bias<<(belowHighest+1)) // in [1, 2)
	return p.at(2*within - 3)
}

func (d *Discounted) sum(x int, beta float64) float64 {
	o := d.params.outlook(History{X: x})
	o.beta = beta
	return o.discounted(d.months, d.month, d.rate)
}

// fit interpolates at the zeros of the Chebyshev polynomial of that order, and writes the result in powers.
func (d *Discounted) fit(x int, low, width float64) *piece {
	var values, chebyshev [order]float64
	angle := func(i int) float64 { return math.Pi * (float64(i) + 0.5) / order }
	for i := range values {
		values[i] = d.sum(x, low+float64(width*(0.5+float64(math.Cos(angle(i))/2))))
	}
	most := 0.0
	for k := range chebyshev {
		sum := 0.0
		for i, v := range values {
			sum += float64(v * math.Cos(float64(k)*angle(i)))
		}
		chebyshev[k] = sum * 2 / order
		most = max(most, math.Abs(chebyshev[k]))
	}
	chebyshev[0] /= 2
	p := &piece{far: !(math.Abs(chebyshev[order-1])+math.Abs(chebyshev[order-2]) <= restMost*most)}
	// T_k in powers, by T_{k+1} = 2t T_k − T_{k−1}.
	before, now := [order]float64{}, [order]float64{1}
	for k, c := range chebyshev {
		for i := range now {
			p.powers[i] += float64(c * now[i])
		}
		next := [order]float64{}
		for i := range order - 1 {
			next[i+1] = 2 * now[i]
		}
		if k == 0 {
			next = [order]float64{0, 1}
		}
		for i := range next {
			next[i] -= before[i]
		}
		before, now = now, next
	}
	return p
}

// at evaluates the polynomial by Estrin's scheme, whose products do not wait for one another.
func (p *piece) at(t float64) float64 {
	c := &p.powers
	t2 := t * t
	t4 := t2 * t2
	four := func(i int) float64 {
		low, high := c[i]+float64(c[i+1]*t), c[i+2]+float64(c[i+3]*t)
		return low + float64(high*t2)
	}
	low, high := four(0)+float64(four(4)*t4), four(8)+float64(four(12)*t4)
	return low + float64(high*(t4*t4))
}
