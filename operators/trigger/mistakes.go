package trigger

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// mistake is what is wrong at one place of a file.
type mistake struct {
	line, column int
	err          error
}

// inOrder returns the mistakes as one error, in the order in which they stand in the file: whoever mends them goes through it once.
func inOrder(mistakes []mistake) error {
	slices.SortStableFunc(mistakes, func(a, b mistake) int { return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column)) })
	errs := make([]error, len(mistakes))
	for i := range mistakes {
		errs[i] = mistakes[i].err
	}
	return errors.Join(errs...)
}

// readYAML returns the one document of a file. The error says where it is no YAML, and what to do.
func readYAML(file string, source []byte) (*yaml.Node, error) {
	if at, fix := unreadable(source); fix != "" {
		line, column := bytes.Count(source[:at], []byte("\n"))+1, at-bytes.LastIndexByte(source[:at], '\n')
		return nil, fmt.Errorf("%s:%d:%d: %s", file, line, column, fix)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(source, &root); err != nil {
		line, column, fix := layoutFault(source)
		what := strings.TrimPrefix(err.Error(), "yaml: ")
		if _, at, found := strings.Cut(what, ": "); found && strings.HasPrefix(what, "line ") {
			what = at
		}
		return nil, fmt.Errorf("%s:%d:%d: %s: %s", file, line, column, what, fix)
	}
	for i, text := range strings.Split(string(source), "\n") {
		if mark := strings.TrimRight(text, " \r"); mark == "---" && len(root.Content) > 0 && i+1 > root.Content[0].Line {
			return nil, fmt.Errorf("%s:%d:1: a second document begins here, and would not be read: take this line out, and write all rules into one list", file, i+1)
		}
	}
	return &root, nil
}

// unreadable returns where a text has what is no text, and what to do; "" if it has nothing of the kind.
func unreadable(source []byte) (at int, fix string) {
	for at < len(source) {
		r, size := utf8.DecodeRune(source[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			return at, "here stands no UTF-8: save the file in it"
		case r < ' ' && r != '\t' && r != '\n' && r != '\r':
			return at, "here stands a character that cannot be seen: take it out"
		}
		at += size
	}
	return at, ""
}

// layoutFault returns where a text stops being YAML, and what to do. The line is the first from which on no beginning of the text is: what the library names is often where the list began.
func layoutFault(source []byte) (line, column int, fix string) {
	lines := strings.SplitAfter(string(source), "\n")
	line = len(lines)
	for line > 1 && yaml.Unmarshal([]byte(strings.Join(lines[:line-1], "")), new(yaml.Node)) != nil {
		line--
	}
	text := strings.TrimRight(lines[line-1], "\r\n")
	bare := strings.TrimLeft(text, " ")
	column = len(text) - len(bare) + 1
	if strings.HasPrefix(bare, "\t") {
		return line, column, "indent by spaces, not by tabs"
	}
	item := strings.TrimLeft(strings.TrimPrefix(bare, "-"), " ")
	column = len(text) - len(item) + 1
	key, value, isKey := strings.Cut(item, ": ")
	if !isKey {
		if key, _, found := strings.Cut(item, ":"); found && slices.Contains(ruleKeys, key) && key+":" != item {
			return line, column, "write a space behind the colon"
		}
		if strings.ContainsAny(item, "[{") {
			return line, column, "close the brackets"
		}
	}
	value = strings.TrimLeft(value, " ")
	switch quote := strings.IndexAny(value, `"'`); {
	case strings.ContainsAny(item[:min(1, len(item))], "[{"):
		return line, column, "close the brackets"
	case value != "" && strings.ContainsAny(value[:1], "[{"):
		return line, len(text) - len(value) + 1, "close the brackets"
	case quote == 0 && strings.Count(value, value[:1]) == 1:
		return line, len(text) - len(value) + 1, "close the quotes"
	case quote == 0:
		return line, len(text) - len(value) + 1, `inside of quotes write the other ones, as in when: 'quadrant == "save"'`
	case value != "" && (strings.ContainsAny(value[:1], "!%@&*|>-?`") || strings.Contains(value, ": ") || strings.Contains(value, " #")):
		return line, len(text) - len(value) + 1, "put what has a colon or a # in it, or begins with a sign, in quotes, as in when: '!high_value'"
	}
	if line > 1 && key != "" {
		before := strings.TrimRight(lines[line-2], "\r\n")
		if name, _, _ := strings.Cut(strings.TrimLeft(before, " -"), " "); slices.Contains(ruleKeys, name) {
			return line - 1, strings.Index(before, name) + 1, "write a colon and a space behind the key"
		}
	}
	return line, column, "write the keys of a rule one below the other, all in the column of name"
}

// token returns what a message of CEL quotes.
func token(message string) string {
	_, quoted, _ := strings.Cut(message, "'")
	if strings.HasPrefix(quoted, "''") {
		return "'"
	}
	quoted, _, _ = strings.Cut(quoted, "'")
	return strings.TrimSpace(quoted)
}

// instead is what to write for what is not known to CEL.
var instead = map[string]string{
	"and": "&&", "or": "||", "not": "!", "is": "==", "&": "&&", "|": "||", ";": "&&",
	"between": "3.0 <= x && x <= 5.0",
}

// plainWords turns a message of CEL into one that tells what to do; before is what stands before the place that it names.
func plainWords(message, before string) string {
	before = strings.TrimRight(before, " ")
	switch {
	case strings.HasPrefix(message, "undeclared reference to '"):
		return undeclared(message)
	case strings.HasPrefix(message, "found no matching overload for '"):
		return misapplied(message)
	case strings.HasPrefix(message, "expected type 'bool' but found '"):
		return "this is a " + strings.TrimSuffix(strings.TrimPrefix(message, "expected type 'bool' but found '"), "'") +
			`, not true or false: write rfm_group in ["champions", "loyal"] for one of several`
	case strings.HasPrefix(message, "invalid double literal"), strings.HasPrefix(message, "invalid int literal"):
		return "this number is too large, or is none"
	case strings.Contains(message, "reserved identifier: "):
		_, word, _ := strings.Cut(message, "reserved identifier: ")
		return word + " is not known: a condition stands alone; write a ? b : c, in quotes, for if a then b else c"
	case strings.HasPrefix(message, "Syntax error: "):
		return misspelt(message, before)
	}
	return message
}

// undeclared is plainWords for a name that is none.
func undeclared(message string) string {
	name, more, _ := strings.Cut(strings.TrimPrefix(message, "undeclared reference to '"), "'")
	if lower := strings.ToLower(name); lower == "true" || lower == "false" {
		return "there is no fact " + name + ": write " + lower
	}
	for i := range facts {
		if slices.Contains(textValues(facts[i].Name), name) {
			return "there is no fact " + name + `: a text stands in quotes, "` + name + `"`
		}
	}
	if guess, ok := strings.CutPrefix(more, " (did you mean '"); ok {
		guess, _, _ = strings.Cut(guess, "'")
		return "there is no fact " + name + "; did you mean " + guess + "? `lull triggers facts` lists them"
	}
	return "there is no fact " + name + ": `lull triggers facts` lists them"
}

// misapplied is plainWords for what an operator cannot be applied to.
func misapplied(message string) string {
	name, operands, _ := strings.Cut(strings.TrimPrefix(message, "found no matching overload for '"), "' applied to ")
	operands = strings.Trim(operands, "'")
	sign := strings.Trim(name, "_@")
	switch mixed := strings.Contains(operands, "int") && strings.Contains(operands, "double"); {
	case mixed && (sign == "==" || sign == "!="):
		return "a whole number (int) and one with decimals (double) are never equal: compare with a number of the same kind, or by >="
	case mixed:
		return sign + " takes numbers of one kind, not " + operands + ": write 2.0 for 2, or double(purchases) for purchases"
	case strings.Contains(operands, "bool"):
		return sign + " cannot be applied to " + operands + ": what is true or false stands alone, as in high_value && !rising; for 0.6 <= x <= 0.8 write 0.6 <= x && x <= 0.8"
	}
	return sign + " cannot be applied to " + operands + ": texts stand in quotes, numbers do not"
}

// misspelt is plainWords for what is no CEL.
func misspelt(message, before string) string {
	what := token(message)
	afterNumber := before != "" && before[len(before)-1] >= '0' && before[len(before)-1] <= '9'
	write, known := instead[strings.ToLower(what)]
	switch {
	case strings.HasSuffix(before, "%"):
		return "shares are numbers from 0 to 1, such as 0.7 for 70 %"
	case strings.HasSuffix(before, " not") || before == "not":
		return "not is not known: write !"
	case strings.HasSuffix(before, "<") && what == ">", what == "≠":
		return "this is no comparison: write !="
	case what == "=>", what == "≥":
		return "this is no comparison: write >="
	case what == "=<", what == "≤":
		return "this is no comparison: write <="
	case what == "=":
		return "= is no comparison: write =="
	case what == "$", what == "€":
		return "amounts are bare numbers, in major units of the base currency, as in clv >= 50.0"
	case what != "" && strings.ContainsAny(what[:1], `"'`):
		return "the text has no end: close the quotes"
	case what == "“", what == "”", what == "„", what == "‘", what == "’":
		return `these are no quotes of CEL: write " or '`
	case known:
		return strings.ToLower(what) + " is not known: write " + write
	case strings.Contains(message, "'<EOF>' expecting"):
		return "the condition ends too early: something is missing behind this, or a bracket is not closed"
	case strings.Contains(message, "mismatched input ','"):
		return "numbers have a point and no commas, as in 0.7 and 1000.0; lists stand in [ ]"
	case strings.Contains(message, "missing ')'"):
		return "a bracket is not closed"
	case what == ")":
		return "a bracket is closed that was not opened"
	case what == "." && strings.HasSuffix(before, "."):
		return "a digit follows the point: write 3.0 for 3."
	case afterNumber && (what == "d" || what == "days"):
		return "times are numbers of days, as in silent_days >= 30"
	case afterNumber && isWord(what):
		return what + " is no part of a number: amounts are bare numbers in major units of the base currency, times are in days"
	case isWord(what):
		return "something is missing before " + what + ": && or ||, or an _ if it is one name; a condition is comparisons of facts"
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(message, "Syntax error: "), " expecting")
	return text + ": a condition is comparisons of facts, joined by && and ||"
}

// isWord reports whether a text is made of letters.
func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}
