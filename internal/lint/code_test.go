package lint

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
)

// clockRooms may read the clock in shipped code: the runtime and what starts it. In the rest time is an input.
var (
	clockRooms   = []string{"pipeline/...", "cmd/...", "benchmarks/..."}
	noClockRooms = []string{"pipeline/task", "pipeline/sim", "pipeline/backfill", "pipeline/backtest", "pipeline/replay"}
)

func checkClocks(repo *repository) (violations []string) {
	for _, file := range repo.code {
		if file.test || matches(clockRooms, file.dir) && !matches(noClockRooms, file.dir) {
			continue
		}
		for _, use := range uses(file, "time", "Now", "Since", "Until") {
			violations = append(violations, fmt.Sprintf("%s: %s must not read the clock: take the time as an input", file.at(use), file.dir))
		}
	}
	return violations
}

// checkSleeps finds tests that wait for time to pass instead of waiting for what they test.
func checkSleeps(repo *repository) (violations []string) {
	for _, file := range repo.code {
		if !file.test {
			continue
		}
		for _, use := range uses(file, "time", "Sleep") {
			violations = append(violations, fmt.Sprintf("%s: a test must not sleep: wait for the event, or use testing/synctest", file.at(use)))
		}
	}
	return violations
}

// uses returns where a file names one of the functions of the package, under whatever name it imports it.
func uses(file source, pkg string, functions ...string) (found []ast.Node) {
	for _, spec := range file.ast.Imports {
		if imported(spec) != pkg {
			continue
		}
		name := path.Base(pkg)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		ast.Inspect(file.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(functions, sel.Sel.Name) {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
					found = append(found, sel)
				}
			}
			return true
		})
	}
	return found
}

// banned is a word that means two things: the time of the last purchase after the first one in the models (t_x),
// and the time since the last purchase in RFM.
const banned = "recency"

// checkIdentifiers looks at names in Go only: columns and fields of other systems keep theirs, in strings.
func checkIdentifiers(repo *repository) (violations []string) {
	for _, file := range repo.code {
		ast.Inspect(file.ast, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && strings.Contains(strings.ToLower(id.Name), banned) {
				violations = append(violations, fmt.Sprintf("%s: %s: say LastPurchaseAge (t_x) or SinceLastPurchase", file.at(id), id.Name))
			}
			return true
		})
	}
	return violations
}

// vague names say nothing about what a package is, so anything ends up in it.
var vague = []string{"base", "common", "helper", "helpers", "misc", "shared", "types", "util", "utils"}

func checkPackageNames(repo *repository) (violations []string) {
	found := packages(repo)
	for _, dir := range slices.Sorted(maps.Keys(found)) {
		for _, name := range []string{path.Base(dir), found[dir][0].ast.Name.Name} {
			if slices.Contains(vague, name) {
				violations = append(violations, fmt.Sprintf("%s: %s: name a package for what it is", dir, name))
				break
			}
		}
	}
	return violations
}

// checkPackageDepth keeps packages within sight: at most two levels below the root.
func checkPackageDepth(repo *repository) (violations []string) {
	for _, dir := range slices.Sorted(maps.Keys(packages(repo))) {
		if strings.Count(dir, "/") > 1 {
			violations = append(violations, fmt.Sprintf("%s: a package is at most two levels below the root", dir))
		}
	}
	return violations
}

// checkPackageComments wants one sentence on each package that says what it is, in the form of go doc.
func checkPackageComments(repo *repository) (violations []string) {
	found := packages(repo)
	for _, dir := range slices.Sorted(maps.Keys(found)) {
		files := found[dir]
		name := files[0].ast.Name.Name
		opening := "Package " + name + " "
		if name == "main" {
			opening = "Command " + path.Base(dir) + " "
		}
		if !slices.ContainsFunc(files, func(file source) bool {
			return strings.HasPrefix(file.ast.Doc.Text(), opening)
		}) {
			violations = append(violations, fmt.Sprintf("%s: no file has a package comment that begins with %q", dir, opening))
		}
	}
	return violations
}

// packages returns the files of each package by directory, without tests that stand outside the package.
func packages(repo *repository) map[string][]source {
	found := make(map[string][]source)
	for _, file := range repo.code {
		if !file.test || !strings.HasSuffix(file.ast.Name.Name, "_test") {
			found[file.dir] = append(found[file.dir], file)
		}
	}
	return found
}
