package lint

import (
	"bytes"
	"fmt"
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
	for _, name := range slices.Sorted(maps.Keys(repo.files)) {
		content := repo.files[name]
		if bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0 {
			continue // binary, by the same test as git's
		}
		for i, line := range bytes.Split(content, []byte("\n")) {
			if match := userPath.FindSubmatch(line); match != nil {
				violations = append(violations, fmt.Sprintf("%s:%d: %s exists on one machine only", name, i+1, match[2]))
			}
		}
	}
	return violations
}
