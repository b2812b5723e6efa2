package trigger

import (
	"cmp"
	_ "embed" // the default rules
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"go.yaml.in/yaml/v3"

	"lull/operators"
)

// capMax is the greatest cap: more is none.
const capMax = 1_000_000

// RulesMax is how many rules there may be.
const RulesMax = 32

// Severity says who is called.
type Severity uint8

// The severities.
const (
	Marketing  Severity = iota // a campaign
	Escalation                 // a person
)

var severities = [...]string{"marketing", "escalation"}

// String returns the severity's name on the wire.
func (s Severity) String() string { return severities[s] }

// Rule is what calls to act on a customer.
type Rule struct {
	Name    string
	Version string // of its text: a hash
	When    string // fires when this becomes true
	Hold    string // who fulfils this does not fire until armed again; "" for nobody
	Until   string // and not before When is false and this is true; "" for at once
	// From and To are the sides of its line, in its words.
	From, To string
	// CooldownMs is how long after a trigger others of the rule are withheld, in milliseconds; 0 for none.
	CooldownMs int64
	// CapPerDay is how many of its triggers are actionable on one day, of all customers together, at most; 0 for any number.
	CapPerDay int
	// Stage is how far it has come: the share of customers who are acted on, the others being in its shadow. In the stage control they are half, the others being its control group.
	Stage Stage
	// Control is the share of customers on whom nobody acts, to know what acting is worth.
	Control float64
	// Consent is the purpose that a customer must have consented to; "" for none.
	Consent  string
	Severity Severity
	Action   string // what is asked for
	Priority string // a number that ranks its triggers, the highest first

	key               uint16
	priority          priority
	when, hold, until *condition
	used              []*fact
	steps             bool // it speaks of what is stepwise
	searches          bool // a turn of it may have to be looked for
}

// Stage says on whom a rule is tried.
type Stage struct {
	Control bool    // half are its control group
	Share   float64 // that are acted on, 0 to 1; of the others it is recorded
}

// Rules are the rules of one file, compiled.
type Rules struct {
	Rules []Rule
	// Text is what the file says.
	Text  string
	atoms []atom
}

//go:embed rules.yaml
var defaultRules string

// DefaultRules returns the rules that there are without a file.
func DefaultRules() *Rules {
	rules, err := ParseRules("the default rules", []byte(defaultRules))
	if err != nil {
		panic(err)
	}
	return rules
}

// Fingerprint stands for what the rules say, without comments and layout.
func (r *Rules) Fingerprint() string {
	var b strings.Builder
	for i := range r.Rules {
		b.WriteString(r.Rules[i].Name + " " + r.Rules[i].Version + "\n")
	}
	return b.String()
}

// Rule returns the rule of a name, nil if there is none.
func (r *Rules) Rule(name string) *Rule {
	for i := range r.Rules {
		if r.Rules[i].Name == name {
			return &r.Rules[i]
		}
	}
	return nil
}

// ParseRules returns the rules of a file: YAML, `rules: [{name, when, ...}]`. The error tells all that is wrong, a line each in the order of the file, with its name, line and column, the rule, and what to do.
func ParseRules(file string, source []byte) (*Rules, error) {
	p := parser{file: file, lines: strings.Split(string(source), "\n"), compiler: compiler{language: newLanguage()}}
	rules := &Rules{Text: string(source)}
	root, err := readYAML(file, source)
	if err != nil {
		return nil, err
	}
	p.file0(root, rules)
	if len(p.mistakes) > 0 {
		return nil, inOrder(p.mistakes)
	}
	rules.atoms = p.compiler.atoms
	return rules, nil
}

// parser reads one file.
type parser struct {
	file     string
	lines    []string
	rule     string // under way
	compiler compiler
	mistakes []mistake
}

func (p *parser) fail(line, column int, format string, args ...any) {
	where := fmt.Sprintf("%s:%d:%d: ", p.file, line, column)
	if p.rule != "" {
		where += "rule " + p.rule + ": "
	}
	p.mistakes = append(p.mistakes, mistake{line, column, errors.New(where + fmt.Sprintf(format, args...))})
}

func (p *parser) failAt(n *yaml.Node, format string, args ...any) {
	p.fail(n.Line, n.Column, format, args...)
}

// file0 reads the top of the file.
func (p *parser) file0(root *yaml.Node, rules *Rules) {
	if len(root.Content) == 0 {
		p.fail(1, 1, "the file is empty: write rules: and below it a list of them, or rules: [] for none")
		return
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode {
		p.failAt(top, "here stands no mapping: write rules: and below it a list of them")
		return
	}
	var list *yaml.Node
	for i := 0; i < len(top.Content); i += 2 {
		if key := top.Content[i]; key.Value != "rules" {
			p.failAt(key, "there is no key %s at the top: there can only stand rules", key.Value)
			continue
		}
		list = top.Content[i+1]
	}
	switch {
	case list == nil:
		if len(p.mistakes) == 0 {
			p.failAt(top, "rules is missing: write rules: and below it a list of them")
		}
		return
	case list.Kind != yaml.SequenceNode:
		p.failAt(list, "rules is no list: begin each rule with - name:")
		return
	case len(list.Content) > RulesMax:
		p.failAt(list.Content[RulesMax], "there are %d rules, and %d is the most: what a customer's state can hold is bounded", len(list.Content), RulesMax)
		return
	}
	for _, n := range list.Content {
		if r, ok := p.parseRule(n); ok {
			p.add(n, rules, r)
		}
		p.rule = ""
	}
	if n := len(p.compiler.atoms); n > atomsMax {
		p.failAt(list, "the rules compare facts that silence moves with %d different values, and %d is the most: take a rule out", n, atomsMax)
	}
}

// add adds a rule whose name no other has.
func (p *parser) add(n *yaml.Node, rules *Rules, r Rule) {
	for i := range rules.Rules {
		switch {
		case rules.Rules[i].Name == r.Name:
			p.failAt(n, "there is another rule of this name: names tell rules apart in customers' states and in outputs, so give it another")
			return
		case rules.Rules[i].key == r.key:
			p.failAt(n, "states would take it for rule %s, whose name has the same 16 bits of hash: give it another name", rules.Rules[i].Name)
			return
		}
	}
	rules.Rules = append(rules.Rules, r)
}

var ruleKeys = []string{"name", "when", "hold", "until", "from", "to", "cooldown", "stage", "control", "consent", "severity", "action", "cap_per_day", "priority"}

// parseRule reads one rule; ok is false if it is wrong.
func (p *parser) parseRule(n *yaml.Node) (r Rule, ok bool) {
	before := len(p.mistakes)
	if n.Kind == yaml.AliasNode {
		p.failAt(n, "*%s is not looked up: write out what it stands for", n.Value)
		return r, false
	}
	if n.Kind != yaml.MappingNode {
		p.failAt(n, "this is no rule: write - name: and below it when:")
		return r, false
	}
	values := make(map[string]*yaml.Node)
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == "name" && n.Content[i+1].Kind == yaml.ScalarNode {
			p.rule = n.Content[i+1].Value
		}
	}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case !slices.Contains(ruleKeys, key.Value):
			p.failAt(key, "there is no key %s in a rule: there can stand %s", key.Value, strings.Join(ruleKeys, ", "))
		case values[key.Value] != nil:
			p.failAt(key, "%s stands twice: take one away", key.Value)
		case value.Kind == yaml.AliasNode:
			p.failAt(value, "*%s is not looked up: write out what it stands for", value.Value)
			values[key.Value] = value
		case value.Kind == yaml.SequenceNode || value.Kind == yaml.MappingNode:
			p.failAt(value, "%s is a list: it takes one value; write a rule for each", key.Value)
			values[key.Value] = value
		case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
			p.failAt(value, "%s has no value: give it one, or leave the key out", key.Value)
			values[key.Value] = value
		default:
			values[key.Value] = value
		}
	}
	if len(p.mistakes) > before {
		return r, false
	}
	p.words(n, values, &r)
	p.numbers(values, &r)
	p.conditions(n, values, &r)
	p.priority(values["priority"], &r)
	var said strings.Builder
	for _, key := range ruleKeys {
		if v := values[key]; v != nil {
			fmt.Fprintf(&said, "%s=%q\n", key, v.Value)
		}
	}
	r.Version = fmt.Sprintf("%08x", uint32(operators.Hash64(said.String())))
	return r, len(p.mistakes) == before
}

// words reads what is text.
func (p *parser) words(n *yaml.Node, values map[string]*yaml.Node, r *Rule) {
	text := func(key, fallback string) string {
		if v := values[key]; v != nil {
			if !isName(v.Value) {
				p.failAt(v, "%s is %q: it is written in small letters, digits and _, begins with a letter, and has 40 characters at most", key, v.Value)
			}
			return v.Value
		}
		return fallback
	}
	if values["name"] == nil {
		p.failAt(n, "name is missing: every rule has one of its own, such as churn_risk")
	}
	r.Name, r.From, r.To, r.Action = text("name", ""), text("from", "no"), text("to", "yes"), text("action", "")
	r.key = operators.RuleKey(r.Name)
	if r.From == r.To {
		p.failAt(cmp.Or(values["to"], values["from"]), "from and to are both %q: records could not tell one side of the line from the other", r.To)
	}
	if v := values["consent"]; v != nil {
		if r.Consent = v.Value; r.Consent == "" || len(r.Consent) > 256 {
			p.failAt(v, "consent is the purpose that a customer must have consented to, of 1 to 256 bytes")
		}
		if strings.Contains(r.Consent, ",") {
			p.failAt(v, "consent is %q: a rule has one purpose, without a comma in it; write a rule for each", r.Consent)
		}
	}
	if v := values["severity"]; v != nil {
		i := slices.Index(severities[:], v.Value)
		if i < 0 {
			p.failAt(v, "severity is %q: it is marketing, or escalation for a call to a person", v.Value)
			return
		}
		r.Severity = Severity(i)
	}
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

// numbers reads what is a number.
func (p *parser) numbers(values map[string]*yaml.Node, r *Rule) {
	if v := values["cooldown"]; v != nil {
		ms, ok := durationMs(v.Value)
		if !ok {
			p.failAt(v, "cooldown is %q: write a number with its unit, such as 30d or 12h, up to 3660d", v.Value)
		}
		r.CooldownMs = ms
	}
	if v := values["control"]; v != nil {
		share, err := strconv.ParseFloat(v.Value, 64)
		if err != nil || !(share >= 0 && share <= 0.9) {
			p.failAt(v, "control is %q: it is a share of the customers from 0 to 0.9, such as 0.1", v.Value)
		}
		r.Control = share
	}
	if v := values["cap_per_day"]; v != nil {
		n, err := strconv.Atoi(v.Value)
		if err != nil || n < 1 || n > capMax {
			p.failAt(v, "cap_per_day is %q: it is how many triggers may be acted on in a day, a whole number from 1 to %d; leave the key out for any number, or write stage: shadow for none", v.Value, capMax)
		}
		r.CapPerDay = n
	}
	r.Stage.Share = 1
	if v := values["stage"]; v != nil {
		percent, isPercent := strings.CutSuffix(v.Value, "%")
		share, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
		switch {
		case v.Value == "all":
		case v.Value == "shadow":
			r.Stage.Share = 0
		case v.Value == "control":
			r.Stage.Control = true
		case isPercent && err == nil && share > 0 && share < 100:
			r.Stage.Share = share / 100
		default:
			p.failAt(v, "stage is %q: it is shadow, control, a share such as 20%%, or all", v.Value)
		}
	}
}

// durationMs reads a time such as 30d, 12h or 90m.
func durationMs(s string) (ms int64, ok bool) {
	if s == "" {
		return 0, false
	}
	units := map[byte]float64{'d': operators.DayMs, 'h': 3_600_000, 'm': 60_000}
	n, err := strconv.ParseFloat(s[:len(s)-1], 64)
	length := n * units[s[len(s)-1]]
	if err != nil || !(length >= 1 && length <= 3660*operators.DayMs) {
		return 0, false
	}
	return int64(math.Round(length)), true
}

// conditions compiles what is CEL.
func (p *parser) conditions(n *yaml.Node, values map[string]*yaml.Node, r *Rule) {
	if values["when"] == nil {
		p.failAt(n, "when is missing: it is the condition, such as churn_risk >= risk_high")
	}
	var when ast.Expr
	for _, of := range []struct {
		key    string
		source *string
		to     **condition
	}{{"when", &r.When, &r.when}, {"hold", &r.Hold, &r.hold}, {"until", &r.Until, &r.until}} {
		v := values[of.key]
		if v == nil {
			continue
		}
		*of.source = v.Value
		compiled, faults := p.compiler.compile(v.Value)
		if len(faults) == 0 {
			faults = p.compiler.rangeFaults()
		}
		switch {
		case len(faults) > 0:
		case of.key == "when":
			when = p.compiler.types.Expr()
		case when != nil:
			faults = p.compiler.clash(of.key, when)
		}
		for _, f := range faults {
			line, column := p.place(v, f)
			p.fail(line, column, "%s: %s", of.key, f.text)
		}
		*of.to = &compiled
		if of.key == "when" {
			r.used = p.compiler.used
		}
		r.steps = r.steps || p.compiler.steps
		r.searches = r.searches || compiled.turns()
	}
}

// priority compiles what ranks the rule's triggers; v is nil if it does not say.
func (p *parser) priority(v *yaml.Node, r *Rule) {
	r.Priority = DefaultPriority
	if v != nil {
		r.Priority = v.Value
	}
	var faults []fault
	r.priority, faults = p.compiler.priority(r.Priority)
	for _, f := range faults {
		line, column := p.place(v, f)
		p.fail(line, column, "priority: %s", f.text)
	}
}

// place returns where in the file a fault of a condition is. What is folded (>) has lines of its own: there it is the place of the condition.
func (p *parser) place(v *yaml.Node, f fault) (line, column int) {
	switch v.Style {
	case yaml.LiteralStyle:
		line = v.Line + f.line
		if line <= len(p.lines) {
			text := p.lines[line-1]
			column = len(text) - len(strings.TrimLeft(text, " "))
		}
		return line, column + f.column
	case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
		return v.Line, v.Column + f.column
	case yaml.FoldedStyle:
		return v.Line, v.Column
	}
	return v.Line, v.Column + f.column - 1
}
