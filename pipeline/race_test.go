//go:build race

package pipeline

import (
	"runtime"
	"strings"
	"sync"
)

// bubbles counts the bubbles under way, and has what there was before the first of them.
var bubbles struct {
	sync.Mutex
	n, processors int
}

// init also keeps bubbles to one processor under Go 1.26: there all timers of a bubble share one state of the race detector, and two goroutines that set timers for now, at once, on two processors, destroy it; the process
// then crashes within the detector (golang/go#78156). Go 1.27 has a state for each processor. The detector finds the same races: it looks at what is ordered by what, not at what happened at once.
func init() {
	raceDetector = true
	if !strings.HasPrefix(runtime.Version(), "go1.26") {
		return
	}
	confineBubble = func() (end func()) {
		bubbles.Lock()
		defer bubbles.Unlock()
		if bubbles.n++; bubbles.n == 1 {
			bubbles.processors = runtime.GOMAXPROCS(1)
		}
		return func() {
			bubbles.Lock()
			defer bubbles.Unlock()
			if bubbles.n--; bubbles.n == 0 {
				runtime.GOMAXPROCS(bubbles.processors)
			}
		}
	}
}
