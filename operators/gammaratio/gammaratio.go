// Package gammaratio computes ratios of gamma functions without the loss of digits that a difference of two logarithms
// has: ln Γ(10⁶ + 1) − ln Γ(10⁶) is 13.8, the difference of two numbers near 10⁷. The likelihoods of BG/NBD and
// Gamma-Gamma consist of such ratios, and their fits walk far out along large arguments.
package gammaratio

import "math"

// shiftedMin is the argument from which five terms of Stirling's series leave an error below 1.2e-16.
const shiftedMin = 16

// Log returns ln(Γ(z+d)/Γ(z)) and its derivative by z, ψ(z+d) − ψ(z), for z > 0 and d >= 0.
//
// The error of the value is below 5e-15 plus a few units in its last place, whatever z is; that of the derivative, which
// is a sum of positive terms, a few units in its last place.
// Small arguments are moved up by Γ(z+1) = z Γ(z) and ψ(z+1) = ψ(z) + 1/z; there Stirling's series holds: Abramowitz &
// Stegun (1964), 6.1.15, 6.3.5, 6.1.41 and 6.3.18.
func Log(z, d float64) (value, slope float64) {
	if d == 0 {
		return 0, 0
	}
	quotient := 1.0
	for ; z < shiftedMin; z++ {
		quotient *= z / (z + d)
		slope += d / (z + d) / z
	}
	y := z + d
	growth := math.Log1p(d / z)
	lnGammaLow, psiLow := stirlingRest(z)
	lnGammaHigh, psiHigh := stirlingRest(y)
	value = float64((z-0.5)*growth) + float64(d*(math.Log(y)-1)) + (lnGammaHigh - lnGammaLow) + math.Log(quotient)
	return value, slope + growth + (psiHigh - psiLow)
}

// Curvature returns the second derivative of Log's value by z, ψ'(z+d) − ψ'(z), for z > 0 and d >= 0. It is a sum of terms of one sign; the
// error is a few units in its last place. Abramowitz & Stegun (1964), 6.4.6 and 6.4.12.
func Curvature(z, d float64) float64 {
	curvature := 0.0
	for ; z < shiftedMin; z++ {
		y := z + d
		curvature -= float64(d / y / z * (1/y + 1/z))
	}
	y := z + d
	return curvature - d/y/z + (trigammaRest(y) - trigammaRest(z))
}

// Trigamma returns ψ'(z), the second derivative of ln Γ(z), for z > 0.
func Trigamma(z float64) float64 {
	trigamma := 0.0
	for ; z < shiftedMin; z++ {
		trigamma += 1 / (z * z)
	}
	return trigamma + 1/z + trigammaRest(z)
}

// trigammaRest returns ψ'(z) − 1/z for z >= shiftedMin.
func trigammaRest(z float64) float64 {
	inverse := 1 / z
	s := inverse * inverse
	// A term more than in stirlingRest: the value itself is smaller.
	return float64(s * (0.5 + float64(inverse*horner(s, 1.0/6, -1.0/30, 1.0/42, -1.0/30, 5.0/66-float64(691.0/2730*s)))))
}

// stirlingRest returns ln Γ(z) − [(z − ½) ln z − z + ½ ln 2π] and ψ(z) − ln z for z >= shiftedMin.
func stirlingRest(z float64) (lnGamma, psi float64) {
	inverse := 1 / z
	s := inverse * inverse
	lnGamma = inverse * horner(s, 1.0/12, -1.0/360, 1.0/1260, -1.0/1680, 1.0/1188)
	psi = float64(-0.5*inverse) - float64(s*horner(s, 1.0/12, -1.0/120, 1.0/252, -1.0/240, 1.0/132))
	return lnGamma, psi
}

// horner returns c0 + c1 s + … + c4 s⁴.
func horner(s, c0, c1, c2, c3, c4 float64) float64 {
	p := float64(c4*s) + c3
	p = float64(p*s) + c2
	p = float64(p*s) + c1
	return float64(p*s) + c0
}
