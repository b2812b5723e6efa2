// Command mutants plants bugs in a copy of the tree, one at a time, and runs the check that is there to catch each. It prints a table in the form of
// docs/guarantees.md and fails if a bug lives, or no longer finds the place to be planted in.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	only := flag.String("only", "", "plant only the bugs whose `name` matches this expression")
	flag.Parse()
	if err := run(*only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := copyTree(dir); err != nil {
		return err
	}
	fmt.Printf("| planted bug | where | caught by |\n|---|---|---|\n")
	var lived []string
	planted := 0
	for _, m := range mutants {
		if !wanted.MatchString(m.name) {
			continue
		}
		planted++
		caught, err := m.run(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		by := "**nothing**"
		if caught {
			by = m.check.String()
		} else {
			lived = append(lived, m.name)
		}
		fmt.Printf("| %s | %s | %s |\n", m.name, m.file, by)
	}
	fmt.Printf("mutants: %d planted, %d caught\n", planted, planted-len(lived))
	if len(lived) > 0 {
		return fmt.Errorf("not caught: %s", strings.Join(lived, "; "))
	}
	return nil
}

// copyTree copies the files that the repository knows, and those that it is yet to know.
func copyTree(dir string) error {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("listing the files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		data, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// check is a test that is there to catch a bug.
type check struct{ pkg, test string }

// String implements fmt.Stringer.
func (c check) String() string { return c.test + " of " + c.pkg }

// mutant is a bug: in file, old becomes new.
type mutant struct {
	name     string
	file     string
	old, new string
	check    check
}

// plant returns the source of m.file with the bug in it.
func (m *mutant) plant(source []byte) ([]byte, error) {
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		return nil, fmt.Errorf("%s holds the code to change %d times, not once: mend the list of mutants", m.file, n)
	}
	return bytes.Replace(source, []byte(m.old), []byte(m.new), 1), nil
}

// run plants the bug in the copy, runs its check, and takes the bug out again.
func (m *mutant) run(dir string) (caught bool, err error) {
	path := filepath.Join(dir, m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	planted, err := m.plant(source)
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(path, planted, 0o644); err != nil {
		return false, err
	}
	defer func() {
		if back := os.WriteFile(path, source, 0o644); err == nil {
			err = back
		}
	}()
	args := []string{"test", "-count=1", "-timeout", "300s", "-run", "^(" + m.check.test + ")$", "./" + m.check.pkg}
	if m.check == sim {
		args = append(args, "-rapid.seed=1", "-rapid.checks=600", "-rapid.shrinktime=1ms", "-rapid.nofailfile")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")) {
		return false, fmt.Errorf("the bug does not compile:\n%s", out)
	}
	if bytes.Contains(out, []byte("no tests to run")) {
		return false, fmt.Errorf("there is no test %s", m.check)
	}
	return err != nil, nil
}
