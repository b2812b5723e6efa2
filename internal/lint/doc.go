// Package lint holds the rules of this repository that no general linter knows, as tests: who may import whom
// (docs/ARCHITECTURE.md), where a clock may be read, which names are taken, and what may lie at the root.
//
// Each rule is a function over a set of files and is tried twice: on the repository, where it must find nothing,
// and on small planted files, where it must find what they break and nothing else.
package lint
