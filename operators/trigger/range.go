package trigger

import (
	"math"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	celops "cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	celparser "cel.dev/cel-go/parser"
)

// truth is what is known of a condition, whoever has bought.
type truth uint8

const (
	sometimes truth = iota // or not known
	never
	always
)

// interval are the numbers from least to most, with least unless above, with most unless below.
type interval struct {
	least, most  float64
	above, below bool
}

func (i interval) empty() bool {
	return i.least > i.most || i.least == i.most && (i.above || i.below)
}

func (i interval) and(j interval) interval {
	if j.least > i.least || j.least == i.least && j.above {
		i.least, i.above = j.least, j.above
	}
	if j.most < i.most || j.most == i.most && j.below {
		i.most, i.below = j.most, j.below
	}
	return i
}

// rangeFaults says that the condition which was compiled last never holds, as far as the ranges of single facts tell. One that holds for all who have bought is of use: it becomes true
// with the first purchase.
func (c *compiler) rangeFaults() []fault {
	of, at, why := c.truthOf(c.types.Expr())
	if of != never {
		return nil
	}
	return []fault{c.at(at, "the condition never holds: %s", why)}
}

// truthOf returns what the ranges tell of a condition, where it is decided, and why.
func (c *compiler) truthOf(e ast.Expr) (of truth, at ast.Expr, why string) {
	if e.Kind() != ast.CallKind {
		return sometimes, e, ""
	}
	call := e.AsCall()
	switch name := call.FunctionName(); name {
	case celops.LogicalAnd, celops.LogicalOr:
		return c.truthOfAll(e, name)
	case celops.LogicalNot:
		of, at, why = c.truthOf(call.Args()[0])
		return [...]truth{sometimes: sometimes, never: always, always: never}[of], at, why
	}
	f, asked, ok := asked(e, false)
	if !ok {
		return sometimes, e, ""
	}
	is := rangeOf(f)
	switch both := is.and(asked); {
	case both.empty():
		return never, e, f.Name + " is " + is.String()
	case both == is:
		return always, e, f.Name + " is " + is.String()
	}
	return sometimes, e, ""
}

// truthOfAll returns what the ranges tell of conditions joined by && or ||. Of what is asked of one fact by several of the former they tell whether it can be all at once.
func (c *compiler) truthOfAll(e ast.Expr, name string) (of truth, at ast.Expr, why string) {
	decides, rest := never, always
	if name == celops.LogicalOr {
		decides, rest = always, never
	}
	left := make(map[string]interval)
	of = rest
	for _, part := range joined(e, name) {
		is, place, because := c.truthOf(part)
		if is == decides {
			return is, place, because
		}
		if is != rest {
			of = sometimes
		}
		at, why = place, because
		f, asked, ok := asked(part, false)
		if !ok || name != celops.LogicalAnd {
			continue
		}
		before, known := left[f.Name]
		if !known {
			before = rangeOf(f)
		}
		if left[f.Name] = before.and(asked); left[f.Name].empty() {
			return never, part, f.Name + " cannot be this and what is asked of it before"
		}
	}
	return of, at, why
}

// clash says that the condition which was compiled last, a rule's hold or until, leaves the rule no instant at which to fire, or to be armed again, as far as single comparisons tell: the same
// one stands in when, or one of the same fact beyond its line.
func (c *compiler) clash(key string, when ast.Expr) []fault {
	given, own := parts(when, false), parts(c.types.Expr(), true)
	text := "the rule never fires: whoever fulfils when fulfils this too, and is held"
	if key == "until" {
		given, own = parts(when, true), parts(c.types.Expr(), false)
		text = "the rule is never armed again: this does not hold while when is false"
	}
	left := make(map[string]interval)
	for _, p := range slices.Concat(given, own) {
		if f, asked, ok := p.asked(); ok {
			before, known := left[f.Name]
			if !known {
				before = rangeOf(f)
			}
			left[f.Name] = before.and(asked)
			if left[f.Name].empty() && slices.Contains(own, p) {
				return []fault{c.at(p.e, "%s", text)}
			}
		}
	}
	for _, p := range own {
		if slices.ContainsFunc(given, func(g part) bool { return g.not != p.not && c.source(g.e) == c.source(p.e) }) {
			return []fault{c.at(p.e, "%s", text)}
		}
	}
	return nil
}

// source writes an expression.
func (c *compiler) source(e ast.Expr) string {
	text, _ := celparser.Unparse(e, c.info)
	return text
}

// part is one of several conditions that hold together, or its contrary.
type part struct {
	e   ast.Expr
	not bool
}

// parts returns conditions that hold together if one does, or if it does not (not): all that there are, unless alternatives are among them.
func parts(e ast.Expr, not bool) (all []part) {
	join := celops.LogicalAnd
	if not {
		join = celops.LogicalOr
	}
	for _, e := range joined(e, join) {
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == celops.LogicalNot {
			all = append(all, parts(e.AsCall().Args()[0], !not)...)
		} else {
			all = append(all, part{e, not})
		}
	}
	return all
}

// asked is asked of a part.
func (p part) asked() (f *fact, i interval, ok bool) { return asked(p.e, p.not) }

// joined returns the parts of a condition that are joined by one connective.
func joined(e ast.Expr, name string) (parts []ast.Expr) {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != name {
		return []ast.Expr{e}
	}
	for _, arg := range e.AsCall().Args() {
		parts = append(parts, joined(arg, name)...)
	}
	return parts
}

// asked returns what a comparison of a number with a literal asks of it, or its contrary does (not).
func asked(e ast.Expr, not bool) (f *fact, i interval, ok bool) {
	if e.Kind() != ast.CallKind || len(e.AsCall().Args()) != 2 {
		return nil, i, false
	}
	name, left, right := e.AsCall().FunctionName(), e.AsCall().Args()[0], e.AsCall().Args()[1]
	if left.Kind() == ast.LiteralKind {
		left, right, name = right, left, flipped(name)
	}
	if left.Kind() != ast.IdentKind || right.Kind() != ast.LiteralKind {
		return nil, i, false
	}
	f = factOf(left.AsIdent())
	bound := 0.0
	switch n := right.AsLiteral().(type) {
	case types.Int:
		bound = float64(n)
	case types.Double:
		bound = float64(n)
	default:
		return nil, i, false
	}
	if f == nil || f.number == nil || math.IsNaN(bound) {
		return nil, i, false
	}
	i = interval{least: math.Inf(-1), most: math.Inf(1)}
	if not {
		name = contrary[name]
	}
	switch name {
	case celops.Less:
		i.most, i.below = bound, true
	case celops.LessEquals:
		i.most = bound
	case celops.Greater:
		i.least, i.above = bound, true
	case celops.GreaterEquals:
		i.least = bound
	case celops.Equals:
		i.least, i.most = bound, bound
	default:
		return nil, i, false
	}
	if f.kind == whole { // between two of them there is none
		if i.above {
			i.least, i.above = math.Floor(i.least)+1, false
		}
		if i.below {
			i.most, i.below = math.Ceil(i.most)-1, false
		}
	}
	return f, i, true
}

// contrary is the comparison that holds if another does not.
var contrary = map[string]string{
	celops.Less: celops.GreaterEquals, celops.LessEquals: celops.Greater, celops.Greater: celops.LessEquals, celops.GreaterEquals: celops.Less, celops.NotEquals: celops.Equals,
}

// flipped returns the comparison with its sides exchanged.
func flipped(name string) string {
	switch name {
	case celops.Less:
		return celops.Greater
	case celops.LessEquals:
		return celops.GreaterEquals
	case celops.Greater:
		return celops.Less
	case celops.GreaterEquals:
		return celops.LessEquals
	}
	return name
}

// String returns the interval as a message tells it.
func (i interval) String() string {
	if math.IsInf(i.most, 1) {
		return strings.TrimSuffix(short(nil, i.least), ".00") + " or more"
	}
	return strings.TrimSuffix(short(nil, i.least), ".00") + " to " + strings.TrimSuffix(short(nil, i.most), ".00")
}
