package lint

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// messageRooms are the packages whose errors reach a user as they are made there.
var messageRooms = []string{"cmd/lull", "pipeline", "pipeline/backtest", "pipeline/registry", "pipeline/security", "operators/trigger", "schemas"}

// messageMakers are the functions of these packages that make messages of a format, beside errors.New and fmt.Errorf.
var messageMakers = []string{"at", "bad", "fail", "failAt", "problem", "refuse", "refused", "reject", "wrong"}

// unread is the comment, on the line of a message or the one above, that says why no user can cause it.
const unread = "//lull:unread "

// checkMessages finds errors whose texts no test reads: each fixed part of the text must stand, in their order, in one string of a test or one line of its data. What only says what was being done,
// as "reading x: %w" does, is left alone: the error within it is what is read.
func checkMessages(repo *repository) (violations []string) {
	read := readTexts(repo)
	for _, file := range repo.code {
		if file.test || !matches(messageRooms, file.dir) {
			continue
		}
		excused := excusedLines(repo, file)
		makers := append(uses(file, "errors", "New"), uses(file, "fmt", "Errorf")...)
		ast.Inspect(file.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !slices.Contains(makers, ast.Node(call.Fun)) && !slices.Contains(messageMakers, nameOf(call.Fun)) {
				return true
			}
			format := formatOf(call)
			parts := fixedParts(format)
			if len(parts) == 0 || strings.HasSuffix(format, ": %w") {
				return true
			}
			if line := file.fset.Position(call.Pos()).Line; !slices.ContainsFunc(read, parts.standIn) && !excused[line] {
				violations = append(violations, fmt.Sprintf("%s: no test reads %q: cause it in one, such as TestErrors, or say after %swhy no user can", file.at(call), format, unread))
			}
			return true
		})
	}
	return violations
}

// nameOf returns the name of a function or method without what it is of.
func nameOf(f ast.Expr) string {
	switch f := f.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// formatOf returns the first argument of a call that is a text of more than one word, "" if there is none.
func formatOf(call *ast.CallExpr) string {
	for _, argument := range call.Args {
		if text := textOf(argument); strings.Contains(text, " ") {
			return text
		}
	}
	return ""
}

// readTexts returns what tests may compare with: their strings, and the lines of their data.
func readTexts(repo *repository) (texts []string) {
	for _, file := range repo.code {
		if !file.test || file.dir == "internal/lint" {
			continue
		}
		ast.Inspect(file.ast, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok && textOf(e) != "" {
				texts = append(texts, textOf(e))
				return false
			}
			return true
		})
	}
	for name, content := range repo.files {
		if strings.Contains(name, "/testdata/") {
			texts = append(texts, strings.Split(string(content), "\n")...)
		}
	}
	return texts
}

// excusedLines returns the lines with an unread comment that gives a reason, or below one that stands alone.
func excusedLines(repo *repository, file source) map[int]bool {
	lines, text := make(map[int]bool), strings.Split(string(repo.files[file.path]), "\n")
	for _, group := range file.ast.Comments {
		for _, c := range group.List {
			if reason, ok := strings.CutPrefix(c.Text, unread); ok && strings.TrimSpace(reason) != "" {
				line := file.fset.Position(c.Pos()).Line
				if strings.HasPrefix(strings.TrimSpace(text[line-1]), "//") {
					line++
				}
				lines[line] = true
			}
		}
	}
	return lines
}

// textOf returns the text of a string that is put together of literals and, as %v, of something else; "" if there is no literal in it.
func textOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value) // the parser has read it
			return text
		}
	case *ast.BinaryExpr:
		if left, right := textOf(e.X), textOf(e.Y); e.Op == token.ADD && left+right != "" {
			return cmp.Or(left, "%v") + cmp.Or(right, "%v")
		}
	case *ast.ParenExpr:
		return textOf(e.X)
	}
	return ""
}

// A message is what is fixed of an error's text, in its order.
type message []string

// verb is a verb of package fmt, or what stands for the section of a setting.
var verb = regexp.MustCompile(`%[-+# 0]*[0-9.*]*[a-zA-Z]|SECTION`)

// fixedParts returns what stands between the verbs of a format, without what is too short to tell anything.
func fixedParts(format string) (parts message) {
	for _, part := range verb.Split(strings.ReplaceAll(format, "%%", "%"), -1) {
		if part = strings.Trim(part, " :;,.()\"\n"); len(part) > 1 {
			parts = append(parts, part)
		}
	}
	return parts
}

// standIn reports whether the parts stand in the text, one after another.
func (m message) standIn(text string) bool {
	for _, part := range m {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return true
}
