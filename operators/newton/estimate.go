package newton

// Prior is what is held likely of the variables before any data: each is normal on its own, with the same standard deviation.
type Prior struct {
	Mean []float64
	SD   float64
}

// undetermined is the standard error of a variable from which data are taken to leave it open: of a logarithm, a factor of e.
const undetermined = 1

// Estimate finds where a log likelihood has its maximum, if the data determine it; then Prior is not set, and Covariance is that of the estimates.
//
// Data can leave variables open: there are few of them, or the likelihood rises for ever along a ridge. Where the standard error of a variable is 1 or
// more, the prior decides with the data, counting once however many they are: the maximum is that of the posterior density, and Covariance is
// that of its normal approximation. There is an estimate of any data; what it is worth the covariance says.
//
// There may be several maxima: of those that the search finds from each of the starts, the one where the posterior density is greatest counts. The density
// has its maxima where they are soon found, on a ridge too; with data enough the likelihood's own is two or three steps from it.
func Estimate(starts [][]float64, prior Prior, logLikelihood func(at []float64, s *Surface)) Estimated {
	var best Maximum
	evaluations := 0
	for i, start := range starts {
		m := Find(start, func(at []float64, s *Surface) {
			logLikelihood(at, s)
			s.Value += prior.density(at)
			for i := range at {
				s.Gradient[i] -= (at[i] - prior.Mean[i]) / (prior.SD * prior.SD)
				s.Hessian[i][i] -= 1 / (prior.SD * prior.SD)
			}
		})
		evaluations += m.Evaluations
		if i == 0 || m.Value > best.Value {
			best = m
		}
	}
	e := Estimated{Maximum: best, Prior: true}
	e.Value -= prior.density(e.At)
	if e.determined() {
		const tries = 30 // more and it is a ridge
		alone := Estimated{Maximum: find(e.At, logLikelihood, tries)}
		evaluations += alone.Evaluations
		if alone.determined() {
			e = alone
		}
	}
	e.Evaluations = evaluations
	return e
}

// Estimated is an estimate. Its Value is the log likelihood, without the prior.
type Estimated struct {
	Maximum
	Prior bool // the prior took part
}

// determined reports whether the maximum is one, and known well enough in every direction.
func (e *Estimated) determined() bool {
	for i := range e.Covariance {
		if !(e.Covariance[i][i] < undetermined*undetermined) {
			return false
		}
	}
	return e.Converged
}

// density returns the logarithm of the prior's, less its maximum.
func (p *Prior) density(at []float64) float64 {
	sum := 0.0
	for i := range at {
		off := (at[i] - p.Mean[i]) / p.SD
		sum -= float64(off * off / 2)
	}
	return sum
}
