// Package fit makes models of what tasks count of their customers, and judges them.
//
// Statistics gathers what tasks publish, Population is what they come to together. Config.Judge fits a candidate to a population and decides whether it
// is to be adopted in the place of the model in force, its champion: if the fit has converged, is sane, and would not have predicted the last weeks
// worse. Config.Drift says whether the model in force still holds.
//
// Everything is pure and deterministic: the same statistics give the same verdict, to the last bit, in whatever order they have arrived.
//
// Instants are in days of the calendar since 1970-01-01 in the configured time zone, with a fraction: a day is a day there, also one of 23 hours.
package fit
