package pipeline

import (
	"maps"
	"slices"
	"sync"
)

// health says what keeps the process from working, and what an operator should know although it works. The zero value is healthy.
type health struct {
	mu       sync.Mutex
	problems map[string]string // by what they concern
	warnings map[string]string
}

func (h *health) set(what, problem string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.problems == nil {
		h.problems = make(map[string]string)
	}
	h.problems[what] = problem
}

func (h *health) clear(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.problems, what)
}

// setIf sets the problem, or clears it if it is "".
func (h *health) setIf(what, problem string) {
	if problem == "" {
		h.clear(what)
		return
	}
	h.set(what, problem)
}

// warnIf sets the warning, or clears it if it is "". It reports whether there is a warning that was not there before.
func (h *health) warnIf(what, warning string) (news bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if warning == "" {
		delete(h.warnings, what)
		return false
	}
	if h.warnings == nil {
		h.warnings = make(map[string]string)
	}
	news = h.warnings[what] != warning
	h.warnings[what] = warning
	return news
}

// report returns what stands now, in a stable order.
func (h *health) report() (problems, warnings []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(h.problems)) {
		problems = append(problems, h.problems[what])
	}
	for _, what := range slices.Sorted(maps.Keys(h.warnings)) {
		warnings = append(warnings, h.warnings[what])
	}
	return problems, warnings
}
