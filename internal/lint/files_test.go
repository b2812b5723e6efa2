package lint

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// root is what a newcomer finds at first sight, and no more.
var root = []string{
	"cmd", "pipeline", "operators", "state", "schemas", "deploy", "benchmarks", "docs", "internal",
	"go.mod", "go.sum", "Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE",
	".ci", ".gitignore", ".golangci.yml",
}

func checkRootFiles(repo *repository) (violations []string) {
	found := make(map[string]bool)
	for name := range repo.files {
		first, _, _ := strings.Cut(name, "/")
		found[first] = true
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !slices.Contains(root, name) {
			violations = append(violations, fmt.Sprintf("%s: does not belong at the root: find its room in docs/ARCHITECTURE.md", name))
		}
	}
	return violations
}

// userPath matches a path into somebody's home directory.
var userPath = regexp.MustCompile(`(^|[^\w/.~-])(/home/[\w.-]+|/Users/[\w.-]+|/root|[A-Z]:\\+Users\\+[\w.-]+)[/\\]`)

// checkUserPaths finds, in text files, paths that exist on one machine only.
func checkUserPaths(repo *repository) (violations []string) {
	for place, line := range textLines(repo) {
		if match := userPath.FindSubmatch(line); match != nil {
			violations = append(violations, fmt.Sprintf("%s: %s exists on one machine only", place, match[2]))
		}
	}
	return violations
}

// conflict matches the lines by which git encloses a conflict. The one between the sides is left out: a heading may be underlined so.
var conflict = regexp.MustCompile(`^(<{7}|>{7}) `)

// checkConflicts finds, in text files, merge conflicts that nobody has resolved.
func checkConflicts(repo *repository) (violations []string) {
	for place, line := range textLines(repo) {
		if conflict.Match(line) {
			violations = append(violations, fmt.Sprintf("%s: a merge conflict: resolve it", place))
		}
	}
	return violations
}

// textLines are the lines of all text files, by where they are, as "path:line".
func textLines(repo *repository) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, name := range slices.Sorted(maps.Keys(repo.files)) {
			content := repo.files[name]
			if bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0 {
				continue // binary, by the same test as git's
			}
			for i, line := range bytes.Split(content, []byte("\n")) {
				if !yield(fmt.Sprintf("%s:%d", name, i+1), line) {
					return
				}
			}
		}
	}
}
