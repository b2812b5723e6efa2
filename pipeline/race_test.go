//go:build race

package pipeline

import (
	"runtime"
	"strings"
)

// init also keeps the tests of this package to one processor under Go 1.26: there all timers of a bubble share one state of the race detector, and two
// goroutines that set timers for now, at once, on two processors, destroy it; the process then crashes within the detector (golang/go#78156). Go 1.27 has a
// state for each processor. The detector finds the same races: it looks at what is ordered by what, not at what happened at once.
func init() {
	raceDetector = true
	if strings.HasPrefix(runtime.Version(), "go1.26") {
		runtime.GOMAXPROCS(1)
	}
}
