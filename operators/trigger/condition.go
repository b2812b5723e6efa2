package trigger

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	celops "cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	celparser "cel.dev/cel-go/parser"

	"lull/operators"
)

// condition is a compiled condition. Of a customer whose purchases and model stay what they are it is a function of time that changes only at the instants of its atoms, the
// comparisons with facts that silence moves: whether it holds is decided by comparing instants, never by comparing the numbers again, so that rounding cannot cross a bound twice. A
// comparison that may turn more than once has no such instant: it is decided by its numbers, and its turns are looked for.
type condition struct {
	op     connective
	fixed  func(view) bool // is
	atom   int             // passed
	inside []condition     // not, and, or; what is cheap comes first
	facts  []*fact         // that it speaks of; nil of what is joined of several conditions that have their own
}

// turns reports whether a comparison is in it that may turn more than once.
func (c *condition) turns() bool {
	return c.op == turning || slices.ContainsFunc(c.inside, func(c condition) bool { return c.turns() })
}

type connective uint8

const (
	is      connective = iota // as fixed says, whatever the time
	passed                    // the atom's instant has come
	turning                   // the atom's comparison holds
	not
	and
	or
)

// atom is the instant at which silence moves a fact to a bound; or a comparison without such an instant.
type atom struct {
	fact       *fact
	bound      func(view) float64 // nil for a flag
	beyond     bool
	comparison *comparison // instead of these
	key        string      // two atoms with one key are the same
}

// newLanguage returns the part of CEL that conditions are written in, with the facts as variables.
func newLanguage() *cel.Env {
	options := []cel.EnvOption{cel.ClearMacros(), cel.CrossTypeNumericComparisons(true)}
	types := [...]*cel.Type{number: cel.DoubleType, whole: cel.IntType, flag: cel.BoolType, text: cel.StringType}
	for i := range facts {
		options = append(options, cel.Variable(facts[i].Name, types[facts[i].kind]))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		panic(fmt.Errorf("declaring the facts: %w", err))
	}
	return env
}

// fault is what is wrong at a place of a condition, from 1 on, and what to do.
type fault struct {
	line, column int
	text         string
}

// compiler turns conditions of one file into trees over one list of atoms.
type compiler struct {
	language *cel.Env
	atoms    []atom
	// Of the condition under way:
	info  *ast.SourceInfo
	types *ast.AST
	used  []*fact
	// Of the comparison under way: what silence leaves alone in it.
	constants []func(view) float64
	steps     bool // it speaks of what is stepwise
}

// check begins with a text: it is CEL, and its types fit.
func (c *compiler) check(source string) (*cel.Ast, []fault) {
	checked, issues := c.language.Compile(source)
	if issues.Err() != nil {
		var faults []fault
		for _, e := range issues.Errors() {
			line, column := max(1, e.Location.Line()), max(0, e.Location.Column())
			before := []rune(strings.Split(source, "\n")[line-1])
			faults = append(faults, fault{line, column + 1, plainWords(e.Message, string(before[:min(column, len(before))]))})
		}
		return nil, faults[:1] // what follows the first is mostly of its making
	}
	c.types, c.used, c.steps = checked.NativeRep(), nil, false
	c.info = c.types.SourceInfo()
	return checked, nil
}

// compile compiles a condition.
func (c *compiler) compile(source string) (condition, []fault) {
	checked, faults := c.check(source)
	if len(faults) > 0 {
		return condition{}, faults
	}
	e := c.types.Expr()
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return condition{}, []fault{c.at(e, "this is a %s, not true or false: compare it, as in clv >= 100", checked.OutputType())}
	}
	result, err := c.condition(e)
	switch {
	case err != nil:
		return condition{}, []fault{*err}
	case len(c.used) == 0:
		return condition{}, []fault{c.at(e, "it speaks of no fact, so it holds for everybody or for nobody: `lull triggers facts` lists them")}
	}
	return result, nil
}

func (c *compiler) at(e ast.Expr, format string, args ...any) fault { //nolint:goprintffuncname // it says where
	start := c.info.GetStartLocation(e.ID())
	return fault{max(1, start.Line()), max(0, start.Column()) + 1, fmt.Sprintf(format, args...)}
}

// condition compiles what is true or false.
func (c *compiler) condition(e ast.Expr) (condition, *fault) {
	result, err := c.conditionOf(e)
	joins := []string{celops.LogicalAnd, celops.LogicalOr, celops.LogicalNot, celops.Conditional}
	if e.Kind() != ast.CallKind || !slices.Contains(joins, e.AsCall().FunctionName()) {
		ast.PostOrderVisit(e, ast.NewExprVisitor(func(part ast.Expr) {
			if part.Kind() == ast.IdentKind {
				result.facts = append(result.facts, factOf(part.AsIdent()))
			}
		}))
	}
	return result, err
}

func (c *compiler) conditionOf(e ast.Expr) (condition, *fault) {
	switch e.Kind() {
	case ast.LiteralKind:
		b := e.AsLiteral() == types.True
		return condition{fixed: func(view) bool { return b }}, nil
	case ast.IdentKind:
		f := c.use(e.AsIdent())
		if f.reaches == nil {
			return condition{fixed: f.flag}, nil
		}
		return negated(c.passed(atom{fact: f, key: f.Name})), nil // a flag that silence lets fall
	case ast.CallKind:
		return c.call(e)
	}
	fault := c.at(e, "this is no part of conditions: they are comparisons of facts, joined by &&, || and !")
	return condition{}, &fault
}

func negated(inside condition) condition { return condition{op: not, inside: []condition{inside}} }

func (c *compiler) passed(a atom) condition { return condition{op: passed, atom: c.add(a)} }

// add returns the number of an atom.
func (c *compiler) add(a atom) int {
	i := slices.IndexFunc(c.atoms, func(b atom) bool { return a.key != "" && a.key == b.key })
	if i < 0 {
		i = len(c.atoms)
		c.atoms = append(c.atoms, a)
	}
	return i
}

func (c *compiler) call(e ast.Expr) (condition, *fault) {
	call := e.AsCall()
	args := call.Args()
	switch name := call.FunctionName(); name {
	case celops.LogicalAnd, celops.LogicalOr:
		joined := condition{op: and}
		if name == celops.LogicalOr {
			joined.op = or
		}
		for _, arg := range args {
			inside, err := c.condition(arg)
			if err != nil {
				return condition{}, err
			}
			if inside.op == joined.op {
				joined.inside = append(joined.inside, inside.inside...)
			} else {
				joined.inside = append(joined.inside, inside)
			}
		}
		slices.SortStableFunc(joined.inside, func(a, b condition) int { return c.cost(&a) - c.cost(&b) })
		return joined, nil
	case celops.LogicalNot:
		inside, err := c.condition(args[0])
		return negated(inside), err
	case celops.Conditional:
		var parts [3]condition
		for i := range parts {
			var err *fault
			if parts[i], err = c.condition(args[i]); err != nil {
				return condition{}, err
			}
		}
		return condition{op: or, inside: []condition{{op: and, inside: []condition{parts[0], parts[1]}}, {op: and, inside: []condition{negated(parts[0]), parts[2]}}}}, nil
	case celops.Less, celops.LessEquals, celops.Greater, celops.GreaterEquals, celops.Equals, celops.NotEquals:
		return c.comparison(e, name, args[0], args[1])
	case celops.In:
		return c.in(args[0], args[1])
	}
	return condition{}, c.unknown(e)
}

func (c *compiler) unknown(e ast.Expr) *fault {
	if e.AsCall().FunctionName() == celops.Conditional {
		fault := c.at(e, "? : chooses between conditions, not between numbers: write a && x > 3.0 || !a && y > 3.0 for (a ? x : y) > 3.0")
		return &fault
	}
	fault := c.at(e, "%s is no part of conditions: they know < <= > >= == != in && || ! ?: + - * / and double()", strings.Trim(e.AsCall().FunctionName(), "_"))
	return &fault
}

// cost ranks conditions by what it takes to decide them.
func (c *compiler) cost(x *condition) int {
	switch x.op {
	case is:
		return 0
	case turning:
		return 4
	case passed:
		switch c.atoms[x.atom].fact.Name {
		case "silent_days", "age_days", "high_value":
			return 1
		case "p_alive", "churn_risk":
			return 2
		}
		return 3
	}
	most := 0
	for i := range x.inside {
		most = max(most, c.cost(&x.inside[i]))
	}
	return most
}

// use returns the fact of this name, which there is.
func (c *compiler) use(name string) *fact {
	f := factOf(name)
	if !slices.Contains(c.used, f) {
		c.used = append(c.used, f)
	}
	c.steps = c.steps || f.Silence == Stepwise
	return f
}

// comparison compiles a comparison of two values.
func (c *compiler) comparison(e ast.Expr, sign string, left, right ast.Expr) (condition, *fault) {
	if c.types.GetType(left.ID()).IsExactType(cel.BoolType) {
		return c.sameFlags(sign, left, right)
	}
	if c.types.GetType(left.ID()).IsExactType(cel.StringType) {
		return c.texts(e, sign, left, right)
	}
	c.constants = nil
	l, err := c.numberOf(left)
	if err != nil {
		return condition{}, err
	}
	r, err := c.numberOf(right)
	if err != nil {
		return condition{}, err
	}
	if l.of|r.of != 0 && (sign == celops.Equals || sign == celops.NotEquals || sign == "") {
		fault := c.at(e, "silence takes %s past every value in no time: compare it by >= or <", c.told(left, l, right))
		return condition{}, &fault
	}
	if l.moves == nil && l.of != 0 || r.moves == nil && r.of != 0 || l.of != 0 && r.of != 0 {
		return c.search(e, sign, l, r)
	}
	if r.moves != nil {
		l, r = r, l
		sign = map[string]string{celops.Less: celops.Greater, celops.LessEquals: celops.GreaterEquals, celops.Greater: celops.Less, celops.GreaterEquals: celops.LessEquals}[sign]
	}
	if l.moves != nil {
		return c.crossing(l.moves, sign, r), nil
	}
	a, b := l.is, r.is
	compare := map[string]func(view) bool{
		celops.Less:          func(v view) bool { return a(v) < b(v) },
		celops.LessEquals:    func(v view) bool { return a(v) <= b(v) },
		celops.Greater:       func(v view) bool { return a(v) > b(v) },
		celops.GreaterEquals: func(v view) bool { return a(v) >= b(v) },
		celops.Equals:        func(v view) bool { return a(v) == b(v) },
		celops.NotEquals:     func(v view) bool { return a(v) != b(v) },
	}
	return condition{fixed: compare[sign]}, nil
}

// told writes what silence moves of a comparison.
func (c *compiler) told(left ast.Expr, l numeric, right ast.Expr) string {
	e := left
	if l.of == 0 {
		e = right
	}
	source, _ := celparser.Unparse(e, c.info)
	return source
}

// search compiles a comparison in which silence moves more than one number, or one both ways.
func (c *compiler) search(e ast.Expr, sign string, l, r numeric) (condition, *fault) {
	source, err := celparser.Unparse(e, c.info)
	if err != nil {
		//lull:unread whatever has been parsed can be written
		fault := c.at(e, "this cannot be written again: %s", err)
		return condition{}, &fault
	}
	holds := map[string]func(l, r float64) bool{
		celops.Less:          func(l, r float64) bool { return l < r },
		celops.LessEquals:    func(l, r float64) bool { return l <= r },
		celops.Greater:       func(l, r float64) bool { return l > r },
		celops.GreaterEquals: func(l, r float64) bool { return l >= r },
	}[sign]
	a := atom{comparison: &comparison{left: l, right: r, holds: holds, of: l.of | r.of, constants: c.constants, source: source}, key: source}
	return condition{op: turning, atom: c.add(a)}, nil
}

// crossing compiles the comparison of a fact that silence moves with a value that it does not.
func (c *compiler) crossing(f *fact, sign string, bound numeric) condition {
	up := f.Silence == Rising
	greater := sign == celops.Greater || sign == celops.GreaterEquals
	a := atom{fact: f, bound: bound.is}
	// A rising fact is beyond its bound from an instant on: > counts from there, and <= until then. A falling one likewise, downwards.
	a.beyond = sign == celops.Greater || sign == celops.LessEquals
	if !up {
		a.beyond = !a.beyond
	}
	if bound.source != "" {
		a.key = fmt.Sprint(f.Name, a.beyond, bound.source)
	}
	switch {
	case greater == up:
		return c.passed(a)
	case bound.source == "": // 0/0 is no bound: nothing is on either side of it
		is := func(v view) bool { return !math.IsNaN(bound.is(v)) }
		return condition{op: and, inside: []condition{{fixed: is}, negated(c.passed(a))}}
	}
	return negated(c.passed(a))
}

// numeric is a number: a fact that silence moves, or a function of what it does not, or of facts of both kinds.
type numeric struct {
	moves  *fact // alone, and one way
	of     operators.Measures
	is     func(view) float64
	size   func(view) float64 // of its terms
	over   func(course) operators.Enclosure
	whole  bool
	source string // of a literal or a fact
}

// fixed returns a number that silence does not move.
func (c *compiler) fixed(n numeric) numeric {
	n.size = func(v view) float64 { return math.Abs(n.is(v)) }
	n.over = func(of course) operators.Enclosure { return operators.Fixed(n.is(of.view)) }
	c.constants = append(c.constants, n.is)
	return n
}

func (c *compiler) numberOf(e ast.Expr) (numeric, *fault) {
	switch e.Kind() {
	case ast.LiteralKind:
		switch n := e.AsLiteral().(type) {
		case types.Int:
			return c.fixed(numeric{is: func(view) float64 { return float64(n) }, whole: true, source: fmt.Sprint(float64(n))}), nil
		case types.Double:
			return c.fixed(numeric{is: func(view) float64 { return float64(n) }, source: fmt.Sprint(float64(n))}), nil
		}
	case ast.IdentKind:
		f := c.use(e.AsIdent())
		if f.number == nil {
			break
		}
		n := numeric{is: f.number, whole: f.kind == whole, source: f.Name}
		if f.Silence == Constant {
			return c.fixed(n), nil
		}
		n.of = f.measure.Of()
		n.size = func(v view) float64 { return math.Abs(f.number(v)) }
		n.over = func(of course) operators.Enclosure { return of.scores.Enclose(of.from, of.to, f.measure) }
		if f.reaches != nil {
			n.moves = f
		}
		return n, nil
	case ast.CallKind:
		return c.arithmetic(e)
	}
	fault := c.at(e, "this is no number: numbers are literals, facts, and + - * / of them")
	return numeric{}, &fault
}

func (c *compiler) arithmetic(e ast.Expr) (numeric, *fault) {
	call := e.AsCall()
	if !slices.Contains([]string{celops.Add, celops.Subtract, celops.Multiply, celops.Divide, celops.Negate, "double"}, call.FunctionName()) {
		return numeric{}, c.unknown(e)
	}
	var of [2]numeric
	for i, arg := range call.Args() {
		if i == len(of) {
			return numeric{}, c.unknown(e)
		}
		n, err := c.numberOf(arg)
		if err != nil {
			return numeric{}, err
		}
		of[i] = n
	}
	if call.FunctionName() == "double" {
		of[0].whole = false
		return of[0], nil
	}
	l, r := of[0], of[1]
	n := numeric{of: l.of | r.of, whole: l.whole}
	switch call.FunctionName() {
	case celops.Add:
		n.is = func(v view) float64 { return l.is(v) + r.is(v) }
		n.size = func(v view) float64 { return l.size(v) + r.size(v) }
		n.over = func(of course) operators.Enclosure { return l.over(of).Plus(r.over(of)) }
	case celops.Subtract:
		n.is = func(v view) float64 { return l.is(v) - r.is(v) }
		n.size = func(v view) float64 { return l.size(v) + r.size(v) }
		n.over = func(of course) operators.Enclosure { return l.over(of).Minus(r.over(of)) }
	case celops.Multiply:
		n.is = func(v view) float64 { return l.is(v) * r.is(v) }
		n.size = func(v view) float64 { return l.size(v) * r.size(v) }
		n.over = func(of course) operators.Enclosure { return l.over(of).Times(r.over(of)) }
	case celops.Divide:
		if n.whole {
			fault := c.at(e, "whole numbers are not divided: write double(...) around them, or 2.0 for 2")
			return numeric{}, &fault
		}
		if r.source == "0" {
			fault := c.at(e, "this divides by 0")
			return numeric{}, &fault
		}
		n.is = func(v view) float64 { return l.is(v) / r.is(v) }
		n.size = func(v view) float64 { return l.size(v) / math.Abs(r.is(v)) }
		n.over = func(of course) operators.Enclosure { return l.over(of).Over(r.over(of)) }
	case celops.Negate:
		n.is = func(v view) float64 { return -l.is(v) }
		n.size = func(v view) float64 { return l.size(v) }
		n.over = func(of course) operators.Enclosure { return operators.Fixed(0).Minus(l.over(of)) }
	}
	if n.of == 0 {
		return c.fixed(n), nil
	}
	return n, nil
}

func (c *compiler) sameFlags(sign string, left, right ast.Expr) (condition, *fault) {
	l, err := c.condition(left)
	if err != nil {
		return condition{}, err
	}
	r, err := c.condition(right)
	if err != nil {
		return condition{}, err
	}
	same := condition{op: or, inside: []condition{{op: and, inside: []condition{l, r}}, {op: and, inside: []condition{negated(l), negated(r)}}}}
	if sign == celops.NotEquals {
		return negated(same), nil
	}
	return same, nil
}

// textOf returns what a text is.
func (c *compiler) textOf(e ast.Expr) (is func(view) string, f *fact, literal string, _ *fault) {
	switch e.Kind() {
	case ast.LiteralKind:
		s := string(e.AsLiteral().(types.String))
		return func(view) string { return s }, nil, s, nil
	case ast.IdentKind:
		f := c.use(e.AsIdent())
		return f.text, f, "", nil
	}
	fault := c.at(e, "this is no text: texts are facts, and literals in quotes")
	return nil, nil, "", &fault
}

func (c *compiler) texts(e ast.Expr, sign string, left, right ast.Expr) (condition, *fault) {
	if sign != celops.Equals && sign != celops.NotEquals {
		fault := c.at(e, "texts are compared by == and != and in only")
		return condition{}, &fault
	}
	l, lFact, lText, err := c.textOf(left)
	if err != nil {
		return condition{}, err
	}
	r, rFact, rText, err := c.textOf(right)
	if err != nil {
		return condition{}, err
	}
	if err := c.known(right, lFact, rText); err != nil {
		return condition{}, err
	}
	if err := c.known(left, rFact, lText); err != nil {
		return condition{}, err
	}
	if sign == celops.Equals {
		return condition{fixed: func(v view) bool { return l(v) == r(v) }}, nil
	}
	return condition{fixed: func(v view) bool { return l(v) != r(v) }}, nil
}

// known refuses a literal that a fact never is.
func (c *compiler) known(e ast.Expr, f *fact, literal string) *fault {
	if f == nil || e.Kind() != ast.LiteralKind {
		return nil
	}
	values := textValues(f.Name)
	if slices.Contains(values, literal) {
		return nil
	}
	fault := c.at(e, "%s is never %q: it is one of %s", f.Name, literal, strings.Join(values, ", "))
	return &fault
}

// textValues returns all that a text can be, of customers with a purchase and scores.
func textValues(name string) (values []string) {
	switch name {
	case "quadrant":
		for q := operators.Nurture; q <= operators.Save; q++ {
			values = append(values, q.String())
		}
	case "lifecycle":
		for l := operators.New; l <= operators.WonBack; l++ {
			values = append(values, l.String())
		}
	case "rfm_group":
		values = append(values, operators.NoRFMGroup.String())
		for g := operators.NewCustomers; g <= operators.DormantCustomers; g++ {
			values = append(values, g.String())
		}
	}
	return values
}

func (c *compiler) in(left, right ast.Expr) (condition, *fault) {
	if right.Kind() != ast.ListKind {
		fault := c.at(right, "in takes a list of literals, as in quadrant in [\"save\", \"advocate\"]")
		return condition{}, &fault
	}
	joined := condition{op: or}
	for _, element := range right.AsList().Elements() {
		one, err := c.comparison(left, celops.Equals, left, element)
		if err != nil {
			return condition{}, err
		}
		joined.inside = append(joined.inside, one)
	}
	return joined, nil
}
