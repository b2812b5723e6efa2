package trigger

import (
	"math"

	"cel.dev/cel-go/cel"
)

// DefaultPriority ranks triggers if their rule says nothing else.
const DefaultPriority = "value_about_to_be_lost"

// priority is a compiled priority.
type priority struct{ program cel.Program }

// priority compiles a priority. It is computed when a trigger is made and not before, so that facts which silence moves may stand anywhere in it.
func (c *compiler) priority(source string) (priority, []fault) {
	checked, faults := c.check(source)
	if len(faults) > 0 {
		return priority{}, faults
	}
	if is := checked.OutputType(); !is.IsExactType(cel.DoubleType) && !is.IsExactType(cel.IntType) {
		return priority{}, []fault{c.at(c.types.Expr(), "this is a %s, not a number: a priority is one, such as clv, or quadrant == \"save\" ? 2.0 * clv : clv", is)}
	}
	program, err := c.language.Program(checked)
	if err != nil {
		return priority{}, []fault{c.at(c.types.Expr(), "%v", err)}
	}
	return priority{program}, nil
}

// of returns the priority of a customer. It is 0 where there is no number, as for 1/0.
func (p *priority) of(v view) float64 {
	value, _, err := p.program.Eval(&numbers{v})
	if err != nil {
		return 0
	}
	var n float64
	switch is := value.Value().(type) {
	case float64:
		n = is
	case int64:
		n = float64(is)
	}
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return 0
	}
	return n
}

// numbers are the facts of a customer, for CEL.
type numbers struct{ view }

// ResolveName returns the fact of a name.
func (n *numbers) ResolveName(name string) (any, bool) {
	f := factOf(name)
	if f == nil {
		return nil, false
	}
	switch f.kind {
	case whole:
		return int64(f.number(n.view)), true
	case flag:
		return f.flag(n.view), true
	case text:
		return f.text(n.view), true
	}
	return f.number(n.view), true
}

// Parent returns nil: there are no other names.
func (*numbers) Parent() cel.Activation { return nil }
