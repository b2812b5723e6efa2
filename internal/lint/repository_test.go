package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the name in go.mod; the packages of ours are called module/directory.
const module = "lull"

// A repository is what the rules look at: the files that git tracks or would add, by slash-separated path.
type repository struct {
	files map[string][]byte
	code  []source // sorted by path, without testdata
}

// A source is one parsed Go file.
type source struct {
	path string
	dir  string // of its package, relative to the root; "." at the root
	test bool   // its name ends in _test.go
	fset *token.FileSet
	ast  *ast.File
}

// A rule returns what a repository breaks, one line for each place, in the form "path: what, and what to do".
type rule struct {
	name  string
	check func(*repository) []string
}

// rules are all rules of this package. TestRules has at least one planted violation of each.
var rules = []rule{
	{"imports", checkImports},
	{"libraries", checkLibraries},
	{"clocks", checkClocks},
	{"sleeps", checkSleeps},
	{"identifiers", checkIdentifiers},
	{"package names", checkPackageNames},
	{"package depth", checkPackageDepth},
	{"package comments", checkPackageComments},
	{"root files", checkRootFiles},
	{"user paths", checkUserPaths},
	{"conflicts", checkConflicts},
	{"messages", checkMessages},
}

// The repository keeps its own rules.
func TestRepository(t *testing.T) {
	repo := readRepository(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, violation := range r.check(repo) {
				t.Error(violation)
			}
		})
	}
}

// parseRepository parses the Go files among files. Files under a testdata directory are data.
func parseRepository(files map[string][]byte) (*repository, error) {
	repo := &repository{files: files}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".go" || slices.Contains(strings.Split(name, "/"), "testdata") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, files[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", name, err)
		}
		repo.code = append(repo.code, source{
			path: name,
			dir:  path.Dir(name),
			test: strings.HasSuffix(name, "_test.go"),
			fset: fset,
			ast:  file,
		})
	}
	return repo, nil
}

// readRepository reads the repository that this package is in. Ignored files do not count, so git is asked
// which there are; a copy of the sources without git has nothing to be checked before a commit.
func readRepository(t *testing.T) *repository {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skipf("not a git work tree: %v", err)
	}
	git := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	git.Dir = root
	var stderr bytes.Buffer
	git.Stderr = &stderr
	list, err := git.Output()
	if err != nil {
		t.Fatalf("listing the files of %s: %v: %s", root, err, stderr.Bytes())
	}
	files := make(map[string][]byte)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if os.IsNotExist(err) {
			continue // tracked, and deleted in the work tree
		}
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content
	}
	repo, err := parseRepository(files)
	if err != nil {
		t.Fatal(err)
	}
	if len(repo.code) == 0 {
		t.Fatalf("no Go file in %s: the rules would check nothing", root)
	}
	return repo
}

// at returns where a node is, as "path:line".
func (s *source) at(node ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(node.Pos()).Line)
}

// matches says whether a package path is in one of the patterns. As with the go command, "a/..." is a and all
// below it, and "..." is everything.
func matches(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if pattern == "..." {
			return true
		}
		if parent, ok := strings.CutSuffix(pattern, "/..."); ok {
			return pkg == parent || strings.HasPrefix(pkg, parent+"/")
		}
		return pkg == pattern
	})
}
