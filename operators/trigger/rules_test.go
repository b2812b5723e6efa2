package trigger_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"lull/operators"
	"lull/operators/trigger"
)

// TestMistakes: whatever is wrong with a file of rules is told with its place, the rule, and what to do.
func TestMistakes(t *testing.T) {
	when := func(condition string) string { return "rules:\n  - name: a\n    when: " + condition + "\n" }
	with := func(line string) string { return "rules:\n  - name: a\n    when: purchases > 1\n    " + line + "\n" }
	many := func(n int, rule string) string {
		var b strings.Builder
		b.WriteString("rules:\n")
		for i := range n {
			fmt.Fprintf(&b, rule, i)
		}
		return b.String()
	}
	for _, v := range []struct{ name, file, want string }{
		{"empty", "", "rules.yaml:1:1: the file is empty: write rules: and below it a list of them, or rules: [] for none"},
		{"a tab", "rules:\n\t- name", "rules.yaml:2:1: found character that cannot start any token: indent by spaces, not by tabs"},
		{"a condition with a colon", when("high_value ? clv > 1.0 : clv > 3.0"), "rules.yaml:3:11: mapping values are not allowed in this context: put what has a colon or a # in it, or begins with a sign, in quotes, as in when: '!high_value'"},
		{"a condition that begins with !", when("!high_value && clv > 1.0"), "rules.yaml:3:11: did not find expected alphabetic or numeric character: put what has a colon or a # in it, or begins with a sign, in quotes, as in when: '!high_value'"},
		{"quotes in quotes", when(`"quadrant == "save""`) + "    action: x\n", `rules.yaml:3:11: did not find expected key: inside of quotes write the other ones, as in when: 'quadrant == "save"'`},
		{"quotes that are open", when(`"clv > 3.0`) + "  - name: b\n    when: clv > 4.0\n", "rules.yaml:3:11: found unexpected end of stream: close the quotes"},
		{"a key out of line", when("clv > 3.0") + "  action: x\n", "rules.yaml:4:3: did not find expected '-' indicator: write the keys of a rule one below the other, all in the column of name"},
		{"a key too far in", when("clv > 3.0") + "     action: x\n", "rules.yaml:4:6: mapping values are not allowed in this context: write the keys of a rule one below the other, all in the column of name"},
		{"no space behind the colon", "rules:\n  - name: a\n    when:clv > 3.0\n", "rules.yaml:3:5: could not find expected ':': write a space behind the colon"},
		{"no colon", "rules:\n  - name a\n    when: clv > 3.0\n", "rules.yaml:2:5: mapping values are not allowed in this context: write a colon and a space behind the key"},
		{"no end of a list", "rules: [\n  {name: a, when: clv > 3.0}\n", "rules.yaml:1:8: did not find expected ',' or ']': close the brackets"},
		{"not UTF-8", "rules:\n  - name: a\n    when: clv > 3.0 # caf\xe9\n", "rules.yaml:3:26: here stands no UTF-8: save the file in it"},
		{"a second document", when("clv > 3.0") + "---\nrules: []\n", "rules.yaml:4:1: a second document begins here, and would not be read: take this line out, and write all rules into one list"},
		{"a sign that is none", "rules: \x01\n", "rules.yaml:1:8: here stands a character that cannot be seen: take it out"},
		{"a reference to nothing", "rules:\n  - name: a\n    when: *x\n", "rules.yaml:3:11: unknown anchor 'x' referenced: put what has a colon or a # in it, or begins with a sign, in quotes, as in when: '!high_value'"},
		{"a reference", "rules:\n  - &x {name: a, when: clv > 3.0}\n  - *x\n", "rules.yaml:3:5: *x is not looked up: write out what it stands for"},
		{"a reference to a value", "rules:\n  - {name: a, when: &x clv > 3.0}\n  - {name: b, when: *x}\n", "rules.yaml:3:21: rule b: *x is not looked up: write out what it stands for"},
		{"a list at the top", "- name: a", "rules.yaml:1:1: here stands no mapping: write rules: and below it a list of them"},
		{"another key at the top", "rule: []", "rules.yaml:1:1: there is no key rule at the top: there can only stand rules"},
		{"no rules", "{}", "rules.yaml:1:1: rules is missing: write rules: and below it a list of them"},
		{"no list", "rules: a", "rules.yaml:1:8: rules is no list: begin each rule with - name:"},
		{"no rule", "rules: [a]", "rules.yaml:1:9: this is no rule: write - name: and below it when:"},
		{"too many", many(33, "  - {name: r%d, when: purchases > 1}\n"), "rules.yaml:34:5: there are 33 rules, and 32 is the most: what a customer's state can hold is bounded"},
		{"no name", "rules: [{when: purchases > 1}]", "rules.yaml:1:9: name is missing: every rule has one of its own, such as churn_risk"},
		{
			"several mistakes in the order of the file",
			with("severity: low\n    cooldown: x\n    hold: clv >\n    from: B") + "  - name: c\n    priority: clv >\n    when: clv > 1 and x\n",
			`rules.yaml:4:15: rule a: severity is "low": it is marketing, or escalation for a call to a person` + "\n" +
				`rules.yaml:5:15: rule a: cooldown is "x": write a number with its unit, such as 30d or 12h, up to 3660d` + "\n" +
				"rules.yaml:6:16: rule a: hold: the condition ends too early: something is missing behind this, or a bracket is not closed\n" +
				`rules.yaml:7:11: rule a: from is "B": it is written in small letters, digits and _, begins with a letter, and has 40 characters at most` + "\n" +
				"rules.yaml:9:20: rule c: priority: the condition ends too early: something is missing behind this, or a bracket is not closed\n" +
				"rules.yaml:10:19: rule c: when: and is not known: write &&",
		},
		{"no condition", "rules: [{name: a}]", "rules.yaml:1:9: rule a: when is missing: it is the condition, such as churn_risk >= risk_high"},
		{"a name that is none", "rules: [{name: A b, when: purchases > 1}]", `rules.yaml:1:16: rule A b: name is "A b": it is written in small letters, digits and _, begins with a letter, and has 40 characters at most`},
		{"a name twice", many(2, "  - {name: a, when: purchases > 1%d}\n"), "rules.yaml:3:5: rule a: there is another rule of this name: names tell rules apart in customers' states and in outputs, so give it another"},
		{"two sides of one name", with("to: no"), "rules.yaml:4:9: rule a: from and to are both \"no\": records could not tell one side of the line from the other"},
		{"never armed again", with("until: purchases > 1"), "rules.yaml:4:22: rule a: until: the rule is never armed again: this does not hold while when is false"},
		{"armed beyond the line", when("silent_days > 30.0") + "    until: clv > 3.0 && silent_days > 40.0\n", "rules.yaml:4:37: rule a: until: the rule is never armed again: this does not hold while when is false"},
		{"held by what fires it", when("churn_risk >= risk_high") + "    hold: churn_risk >= risk_high\n", "rules.yaml:4:22: rule a: hold: the rule never fires: whoever fulfils when fulfils this too, and is held"},
		{"held before the line", when("clv > 3.0 && silent_days > 30.0") + "    hold: silent_days >= 20.0\n", "rules.yaml:4:23: rule a: hold: the rule never fires: whoever fulfils when fulfils this too, and is held"},
		{"an unknown key", with("cool-down: 30d"), "rules.yaml:4:5: rule a: there is no key cool-down in a rule: there can stand name, when, hold, until, from, to, cooldown, stage, control, consent, severity, action, cap_per_day, priority"},
		{"no value", with("action:"), "rules.yaml:4:12: rule a: action has no value: give it one, or leave the key out"},
		{"a cool-down without a unit", with("cooldown: 30"), `rules.yaml:4:15: rule a: cooldown is "30": write a number with its unit, such as 30d or 12h, up to 3660d`},
		{"a cap of none", with("cap_per_day: 0"), `rules.yaml:4:18: rule a: cap_per_day is "0": it is how many triggers may be acted on in a day, a whole number from 1 to 1000000; leave the key out for any number, or write stage: shadow for none`},
		{"a cap with a unit", with("cap_per_day: 50/d"), `rules.yaml:4:18: rule a: cap_per_day is "50/d": it is how many triggers may be acted on in a day, a whole number from 1 to 1000000; leave the key out for any number, or write stage: shadow for none`},
		{"a share in per cent", with("control: 10%"), `rules.yaml:4:14: rule a: control is "10%": it is a share of the customers from 0 to 0.9, such as 0.1`},
		{"a stage that is none", with("stage: live"), `rules.yaml:4:12: rule a: stage is "live": it is shadow, control, a share such as 20%, or all`},
		{"a severity that is none", with("severity: high"), `rules.yaml:4:15: rule a: severity is "high": it is marketing, or escalation for a call to a person`},
		{"an empty purpose", with(`consent: ""`), "rules.yaml:4:14: rule a: consent is the purpose that a customer must have consented to, of 1 to 256 bytes"},
		{"a fact that is none", when("churn_rsk >= 0.7"), "rules.yaml:3:11: rule a: when: there is no fact churn_rsk; did you mean churn_risk? `lull triggers facts` lists them"},
		{"a fact that is like none", when("wealth > 3"), "rules.yaml:3:11: rule a: when: there is no fact wealth: `lull triggers facts` lists them"},
		{"=", when("purchases = 1"), "rules.yaml:3:21: rule a: when: = is no comparison: write =="},
		{"and", when("high_value and purchases > 1"), "rules.yaml:3:22: rule a: when: and is not known: write &&"},
		{"AND", when("high_value AND purchases > 1"), "rules.yaml:3:22: rule a: when: and is not known: write &&"},
		{"=>", when("clv => 5.0"), "rules.yaml:3:15: rule a: when: this is no comparison: write >="},
		{"≤", when("clv ≤ 5.0"), "rules.yaml:3:15: rule a: when: this is no comparison: write <="},
		{"≠", when("purchases ≠ 5"), "rules.yaml:3:21: rule a: when: this is no comparison: write !="},
		{"a currency", when("clv >= $50"), "rules.yaml:3:18: rule a: when: amounts are bare numbers, in major units of the base currency, as in clv >= 50.0"},
		{"a unit of time", when("silent_days >= 30d"), "rules.yaml:3:28: rule a: when: times are numbers of days, as in silent_days >= 30"},
		{"a comma", when("churn_risk >= 0,7"), "rules.yaml:3:26: rule a: when: numbers have a point and no commas, as in 0.7 and 1000.0; lists stand in [ ]"},
		{"a bracket that is open", when("(clv > 5.0"), "rules.yaml:3:21: rule a: when: a bracket is not closed"},
		{"a bracket too many", when("clv > 5.0)"), "rules.yaml:3:20: rule a: when: a bracket is closed that was not opened"},
		{"between two", when("0.6 <= p_alive <= 0.8"), "rules.yaml:3:26: rule a: when: <= cannot be applied to (bool, double): what is true or false stands alone, as in high_value && !rising; for 0.6 <= x <= 0.8 write 0.6 <= x && x <= 0.8"},
		{"purposes in one line", with("consent: email, phone"), `rules.yaml:4:14: rule a: consent is "email, phone": a rule has one purpose, without a comma in it; write a rule for each`},
		{"a list of purposes", with("consent: [email, phone]"), "rules.yaml:4:14: rule a: consent is a list: it takes one value; write a rule for each"},
		{"not the end", when("purchases > 1 &&"), "rules.yaml:3:27: rule a: when: the condition ends too early: something is missing behind this, or a bracket is not closed"},
		{"quotes", when(`quadrant == save && purchases > 1`), `rules.yaml:3:23: rule a: when: there is no fact save: a text stands in quotes, "save"`},
		{"quotes in a list", when("rfm_group in [champions, loyal]"), `rules.yaml:3:25: rule a: when: there is no fact champions: a text stands in quotes, "champions"`},
		{"round brackets for a list", when(`rfm_group in ("champions", "loyal")`), "rules.yaml:3:36: rule a: when: numbers have a point and no commas, as in 0.7 and 1000.0; lists stand in [ ]"},
		{"a text for a condition", when(`rfm_group == "champions" || "loyal"`), `rules.yaml:3:39: rule a: when: this is a string, not true or false: write rfm_group in ["champions", "loyal"] for one of several`},
		{"True", when("high_value == True"), "rules.yaml:3:25: rule a: when: there is no fact True: write true"},
		{"typographic quotes", when("quadrant == “save”"), "rules.yaml:3:23: rule a: when: these are no quotes of CEL: write \" or '"},
		{"per cent", when("churn_risk >= 70%"), "rules.yaml:3:28: rule a: when: shares are numbers from 0 to 1, such as 0.7 for 70 %"},
		{"per cent and more", when("churn_risk >= 70% && clv > 5.0"), "rules.yaml:3:29: rule a: when: shares are numbers from 0 to 1, such as 0.7 for 70 %"},
		{"a currency's code", when("clv >= 50 EUR"), "rules.yaml:3:21: rule a: when: EUR is no part of a number: amounts are bare numbers in major units of the base currency, times are in days"},
		{"a currency's code and more", when("clv >= 50.0 EUR && purchases > 2"), "rules.yaml:3:23: rule a: when: EUR is no part of a number: amounts are bare numbers in major units of the base currency, times are in days"},
		{"weeks", when("silent_days > 2 weeks"), "rules.yaml:3:27: rule a: when: weeks is no part of a number: amounts are bare numbers in major units of the base currency, times are in days"},
		{"no decimals behind the point", when("clv > 3."), "rules.yaml:3:19: rule a: when: a digit follows the point: write 3.0 for 3."},
		{"a number without end", when("clv < 1e400"), "rules.yaml:3:17: rule a: when: this number is too large, or is none"},
		{"&", when("clv > 5.0 & purchases > 1"), "rules.yaml:3:21: rule a: when: & is not known: write &&"},
		{"|", when("clv > 5.0 | purchases > 1"), "rules.yaml:3:21: rule a: when: | is not known: write ||"},
		{";", when("clv > 5.0; purchases > 1"), "rules.yaml:3:20: rule a: when: ; is not known: write &&"},
		{"<>", when("purchases <> 5"), "rules.yaml:3:22: rule a: when: this is no comparison: write !="},
		{"is", when(`quadrant is "save"`), "rules.yaml:3:20: rule a: when: is is not known: write =="},
		{"between", when("clv between 3.0 and 5.0"), "rules.yaml:3:15: rule a: when: between is not known: write 3.0 <= x && x <= 5.0"},
		{"not", when("not high_value"), "rules.yaml:3:15: rule a: when: not is not known: write !"},
		{"if", when("if clv > 3.0 then high_value"), "rules.yaml:3:11: rule a: when: if is not known: a condition stands alone; write a ? b : c, in quotes, for if a then b else c"},
		{"a name in two words", when("churn risk > 0.7"), "rules.yaml:3:17: rule a: when: something is missing before risk: && or ||, or an _ if it is one name; a condition is comparisons of facts"},
		{"nothing divided by", when("clv / 0.0 > 3.0"), "rules.yaml:3:15: rule a: when: this divides by 0"},
		{"a text of no end", when(`quadrant == "save`), "rules.yaml:3:23: rule a: when: the text has no end: close the quotes"},
		{"a text for a number", when(`purchases > "1"`), "rules.yaml:3:21: rule a: when: > cannot be applied to (int, string): texts stand in quotes, numbers do not"},
		{"mixed numbers", when("clv > 2 * expected_spend"), "rules.yaml:3:19: rule a: when: * takes numbers of one kind, not (int, double): write 2.0 for 2, or double(purchases) for purchases"},
		{"whole and not", when("purchases == 1.0"), "rules.yaml:3:21: rule a: when: a whole number (int) and one with decimals (double) are never equal: compare with a number of the same kind, or by >="},
		{"no yes or no", when("clv"), "rules.yaml:3:11: rule a: when: this is a double, not true or false: compare it, as in clv >= 100"},
		{"no fact", when("1 < 2"), "rules.yaml:3:13: rule a: when: it speaks of no fact, so it holds for everybody or for nobody: `lull triggers facts` lists them"},
		{"a value that never is", when(`quadrant == "saved"`), `rules.yaml:3:23: rule a: when: quadrant is never "saved": it is one of nurture, efficiency, advocate, save`},
		{"who is no customer yet", when(`rfm_group == "prospects"`), `rules.yaml:3:24: rule a: when: rfm_group is never "prospects": it is one of none, new, promising, active, loyal, champions, needs_attention, at_risk, previously_loyal, almost_lost, dormant`},
		{"the order of texts", when(`quadrant < "save"`), "rules.yaml:3:20: rule a: when: texts are compared by == and != and in only"},
		{"a list that is none", when("quadrant in lifecycle"), "rules.yaml:3:20: rule a: when: in cannot be applied to (string, string): texts stand in quotes, numbers do not"},
		{"equal to what moves", when("silent_days == 30.0"), "rules.yaml:3:23: rule a: when: silence takes silent_days past every value in no time: compare it by >= or <"},
		{"arithmetic equal to a value", when("clv - 2.0 * value_at_risk == 30.0"), "rules.yaml:3:37: rule a: when: silence takes clv - 2.0 * value_at_risk past every value in no time: compare it by >= or <"},
		{"equal to what moves both ways", when("30.0 != value_at_risk"), "rules.yaml:3:16: rule a: when: silence takes value_at_risk past every value in no time: compare it by >= or <"},
		{"among values", when("value_at_risk in [30.0]"), "rules.yaml:3:11: rule a: when: silence takes value_at_risk past every value in no time: compare it by >= or <"},
		{"a choice of numbers", when("'(high_value ? clv : value_at_risk) > 3.0'"), "rules.yaml:3:24: rule a: when: ? : chooses between conditions, not between numbers: write a && x > 3.0 || !a && y > 3.0 for (a ? x : y) > 3.0"},
		{"a remainder", when("silent_days - clv > 3.0 && purchases % 2 == 0"), "rules.yaml:3:48: rule a: when: % is no part of conditions: they know < <= > >= == != in && || ! ?: + - * / and double()"},
		{"arithmetic of a text", when("clv > 3.0 + quadrant"), "rules.yaml:3:21: rule a: when: + cannot be applied to (double, string): texts stand in quotes, numbers do not"},
		{"arithmetic of a flag", when("clv > 3.0 * double(high_value)"), "rules.yaml:3:29: rule a: when: double cannot be applied to (bool): what is true or false stands alone, as in high_value && !rising; for 0.6 <= x <= 0.8 write 0.6 <= x && x <= 0.8"},
		{"whole numbers divided", when("purchases / 2 > 1"), "rules.yaml:3:21: rule a: when: whole numbers are not divided: write double(...) around them, or 2.0 for 2"},
		{"a function", when("size(quadrant) > 3"), "rules.yaml:3:15: rule a: when: size is no part of conditions: they know < <= > >= == != in && || ! ?: + - * / and double()"},
		{"no condition", when(`'{"a": true}.a || purchases > 1'`), "rules.yaml:3:23: rule a: when: this is no part of conditions: they are comparisons of facts, joined by &&, || and !"},
		{"no number", when(`'{"a": 1}.a < purchases'`), "rules.yaml:3:20: rule a: when: this is no number: numbers are literals, facts, and + - * / of them"},
		{"no text", when(`'{"a": "save"}.a == quadrant'`), "rules.yaml:3:25: rule a: when: this is no text: texts are facts, and literals in quotes"},
		{"no list of literals", when(`'quadrant in {"a": ["save"]}.a'`), "rules.yaml:3:39: rule a: when: in takes a list of literals, as in quadrant in [\"save\", \"advocate\"]"},
		{"a key twice", with("when: purchases > 2"), "rules.yaml:4:5: rule a: when stands twice: take one away"},
		{"beyond a range", when("churn_risk > 1.0"), "rules.yaml:3:22: rule a: when: the condition never holds: churn_risk is 0 to 1"},
		{"below a range", when("1 > purchases && clv > 5.0"), "rules.yaml:3:13: rule a: when: the condition never holds: purchases is 1 or more"},
		{"no range", when("'!(p_alive <= 1.0)'"), "rules.yaml:3:22: rule a: when: the condition never holds: p_alive is 0 to 1"},
		{"neither of two", when("churn_risk < 0.0 || !(purchases > 0)"), "rules.yaml:3:43: rule a: when: the condition never holds: purchases is 1 or more"},
		{"apart", when("churn_risk >= 0.9 && clv > 5.0 && churn_risk < 0.1"), "rules.yaml:3:56: rule a: when: the condition never holds: churn_risk cannot be this and what is asked of it before"},
		{"between whole numbers", when("purchases > 1 && purchases < 2"), "rules.yaml:3:38: rule a: when: the condition never holds: purchases cannot be this and what is asked of it before"},
		{"a place in a block", when("|\n      purchases > 1 &&\n      clvv > 100"), "rules.yaml:5:7: rule a: when: there is no fact clvv; did you mean clv? `lull triggers facts` lists them"},
		{"a place in quotes", when("'clvv > 100'"), "rules.yaml:3:12: rule a: when: there is no fact clvv; did you mean clv? `lull triggers facts` lists them"},
		{"another condition", with("until: clvv > 100"), "rules.yaml:4:12: rule a: until: there is no fact clvv; did you mean clv? `lull triggers facts` lists them"},
		{"a priority that is no number", with("priority: quadrant"), "rules.yaml:4:15: rule a: priority: this is a string, not a number: a priority is one, such as clv, or quadrant == \"save\" ? 2.0 * clv : clv"},
		{"a priority of nothing known", with("priority: 2.0 * clvv"), "rules.yaml:4:21: rule a: priority: there is no fact clvv; did you mean clv? `lull triggers facts` lists them"},
		{"a priority of mixed numbers", with("priority: 2 * clv"), "rules.yaml:4:17: rule a: priority: * takes numbers of one kind, not (int, double): write 2.0 for 2, or double(purchases) for purchases"},
		{"too many comparisons", many(22, "  - {name: r%d, when: clv < 10%[1]d || silent_days > 20%[1]d || age_days > 30%[1]d}\n"),
			"rules.yaml:2:3: the rules compare facts that silence moves with 66 different values, and 64 is the most: take a rule out"},
		{
			"all at once", "rules:\n  - {name: a, when: clvv > 1, stage: live}\n  - {name: b}\n",
			"rules.yaml:2:21: rule a: when: there is no fact clvv; did you mean clv? `lull triggers facts` lists them\n" +
				"rules.yaml:2:38: rule a: stage is \"live\": it is shadow, control, a share such as 20%, or all\n" +
				"rules.yaml:3:5: rule b: when is missing: it is the condition, such as churn_risk >= risk_high",
		},
	} {
		_, err := trigger.ParseRules("rules.yaml", []byte(v.file))
		if err == nil || err.Error() != v.want {
			t.Errorf("%s:\n got %v\nwant %s", v.name, err, v.want)
		}
	}
}

// TestSameHash: two names whose short hashes are the same cannot be told apart in states.
func TestSameHash(t *testing.T) {
	names := map[uint16]string{}
	for i := 0; ; i++ {
		name := fmt.Sprintf("r%d", i)
		key := operators.RuleKey(name)
		if other, found := names[key]; found {
			file := fmt.Sprintf("rules:\n  - {name: %s, when: purchases > 1}\n  - {name: %s, when: purchases > 1}\n", other, name)
			want := "rules.yaml:3:5: rule " + name + ": states would take it for rule " + other + ", whose name has the same 16 bits of hash: give it another name"
			if _, err := trigger.ParseRules("rules.yaml", []byte(file)); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			return
		}
		names[key] = name
	}
}

// TestVersions: the version of a rule is that of what it says, not of how it is written.
func TestVersions(t *testing.T) {
	version := func(rule string) string {
		rules, err := trigger.ParseRules("rules.yaml", []byte("rules: ["+rule+"]"))
		if err != nil {
			t.Fatal(err)
		}
		return rules.Rules[0].Version
	}
	one := version("{name: a, when: purchases > 1, stage: shadow}")
	if two := version("{stage: 'shadow', name: a, when: \"purchases > 1\"} # the same\n"); one != two {
		t.Errorf("%s and %s", one, two)
	}
	for _, other := range []string{"{name: a, when: purchases > 2, stage: shadow}", "{name: a, when: purchases > 1}", "{name: b, when: purchases > 1, stage: shadow}"} {
		if version(other) == one {
			t.Errorf("%s has the same version", other)
		}
	}
}

// TestFactsPage: docs/triggers.md has every fact and every default rule.
func TestFactsPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/triggers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range trigger.Facts() {
		row := fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", f.Name, f.Type, f.Silence, f.Unit, f.Doc)
		if !strings.Contains(string(text), row) {
			t.Errorf("the page lacks %s", row)
		}
	}
	for _, r := range trigger.DefaultRules().Rules {
		if !strings.Contains(string(text), "| `"+r.Name+"` | ") || !strings.Contains(string(text), "`"+r.Action+"`") {
			t.Errorf("the page lacks the rule %s, or its action %s", r.Name, r.Action)
		}
	}
}

// TestRanges: a condition that somebody can meet is taken, also one that everybody does who has bought: it becomes true with the first purchase.
func TestRanges(t *testing.T) {
	for _, when := range []string{
		"churn_risk >= 1.0", "churn_risk > 0.0", "purchases >= 1", "churn_risk >= 0.9 || purchases > 0", "purchases > 1", "purchases == 1", "purchases >= 1 && clv > 5.0", "purchases < 1 || clv > 5.0", "net_value < 0.0", "mean_value >= 0.0",
		"churn_risk >= 0.1 && churn_risk <= 0.1", "purchases > 1 && purchases < 3", "churn_risk < 0.1 || churn_risk >= 0.9", "purchases != 0 && clv > 5.0", "value_about_to_be_lost >= 0.0", "!(purchases > 1)",
	} {
		if _, err := trigger.ParseRules("rules.yaml", []byte("rules:\n  - name: a\n    when: '"+when+"'\n")); err != nil {
			t.Error(err)
		}
	}
}
