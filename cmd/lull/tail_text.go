package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/schemas"
)

// printText prints a record for a person: a line that says when, of whom and what, below it the numbers and the reasons, and last the ids and the place. No line is cut
// or wrapped.
func (t *tail) printText(out io.Writer, r *kgo.Record) error {
	key, value, err := t.decode(r)
	fields, _ := value.(schemas.Fields)
	what, lines := t.textOf(key, value)
	switch kind, detail := t.unusual(r, err); {
	case kind != "":
		what, lines = strings.TrimSuffix(kind+": "+detail, ": "), nil
	case detail != "":
		what, lines = detail, []string{textOrHex(r.Value)}
	}
	head := []string{operators.EventTime(happenedAt(r, fields).UnixMilli()).String()}
	if of := t.customerOf(key, fields); of != "" {
		whose := "customer"
		if slices.Contains(keyedOtherwise, t.of) {
			whose = "key"
		}
		head = append(head, whose+" "+of)
	}
	ids := []string{"place " + fmt.Sprintf("%d/%d", r.Partition, r.Offset)}
	if id := headerOf(r, "ce_id"); id != "" {
		ids = append(ids, "ce_id "+id)
	}
	for _, name := range []string{"withdraws", "message_id"} {
		if id := fields.Get(name); id != nil {
			ids = append(ids, name+" "+tableCell(id))
		}
	}
	var block strings.Builder
	block.WriteString(plain(strings.Join(append(head, what), "  ")) + "\n")
	for _, line := range append(lines, strings.Join(ids, "  ")) {
		block.WriteString("    " + plain(line) + "\n")
	}
	_, err = io.WriteString(out, block.String())
	return err
}

// keyedOtherwise are the topics whose records are not of a customer.
var keyedOtherwise = []schemas.Topic{schemas.Models, schemas.Statistics, schemas.Fits, schemas.Redrives, schemas.QualityCounts}

// textOf returns what a record's value tells, in a few words, and the lines below them.
func (t *tail) textOf(key, value any) (what string, lines []string) {
	fields, _ := value.(schemas.Fields)
	switch {
	case t.changelog:
		fields = schemas.Fields{{Name: "key", Value: key}, {Name: "value", Value: value}} // which need not be fields
	case t.of == schemas.Events:
		return eventText(fields), nil
	case t.of == schemas.Sessions:
		return sessionText(fields)
	case t.of == schemas.Scores:
		return scoreText(fields), nil
	case t.of == schemas.Segments:
		return segmentText(fields)
	case t.of == schemas.Triggers:
		return triggerText(fields)
	case t.of == schemas.Offers:
		return offerText(fields)
	case t.of == schemas.DeadLetters:
		return letterText(fields)
	}
	return t.typeOf(key, fields), fieldLines(nil, "", fields)
}

// fieldLines appends a line for each field that is neither null nor empty, those of nested fields by their paths.
func fieldLines(lines []string, path string, fields schemas.Fields) []string {
	for _, f := range fields {
		switch v := f.Value.(type) {
		case nil:
		case schemas.Fields:
			lines = fieldLines(lines, path+f.Name+".", v)
		default:
			if text := tableCell(v); text != "" {
				lines = append(lines, path+f.Name+": "+text)
			}
		}
	}
	return lines
}

func eventText(f schemas.Fields) string {
	var parts []string
	for _, field := range f {
		switch field.Name {
		case "kind", "customer_id", "time", "message_id", "currency": // in the first line, with the ids, and with the amount
		case "amount":
			if amount, ok := field.Value.(int64); ok {
				parts = append(parts, "amount "+money(amount, shownAt(f, "currency")))
			}
		default:
			if field.Value != nil && field.Value != false {
				parts = append(parts, field.Name+" "+tableCell(field.Value))
			}
		}
	}
	return strings.TrimSuffix(shownAt(f, "kind")+": "+strings.Join(parts, ", "), ": ")
}

func sessionText(f schemas.Fields) (what string, lines []string) {
	var kinds []string
	counts, _ := f.Get("counts").([]any)
	for _, count := range counts {
		of, _ := count.(schemas.Fields)
		kinds = append(kinds, shownAt(of, "kind")+" "+shownAt(of, "count"))
	}
	dwell, _ := f.Get("dwell_ms").(int64)
	what = fmt.Sprintf("session of %s: events %s (%s), orders %s, cart %s", time.Duration(dwell)*time.Millisecond, shownAt(f, "events"), strings.Join(kinds, ", "), shownAt(f, "orders"), shownAt(f, "cart"))
	if f.Get("cart_left") == true {
		what += ", left"
	}
	if f.Get("first_page") != nil {
		lines = append(lines, fmt.Sprintf("first page %s, last page %s", shownAt(f, "first_page"), shownAt(f, "last_page")))
	}
	return what, lines
}

func scoreText(f schemas.Fields) string {
	alive, _ := f.Get("p_alive").(float64)
	text := fmt.Sprintf("score: purchases %s, the last on %s, P(alive) %.3f, CLV %s, value about to be lost %s",
		shownAt(f, "purchases"), shownAt(f, "last_purchase"), alive, amountAt(f, "clv", "currency"), amountAt(f, "value_about_to_be_lost", "currency"))
	if next := f.Get("next_deadline"); next != nil {
		text += ", next " + tableCell(next)
	}
	return text
}

func segmentText(f schemas.Fields) (what string, lines []string) {
	return fmt.Sprintf("%s: %s -> %s", shownAt(f, "dimension"), shownAt(f, "from"), shownAt(f, "to")), append(factsLine(f), sentences(f, "reasons")...)
}

func triggerText(f schemas.Fields) (what string, lines []string) {
	rule, severity, withdrawn := shownAt(f, "rule"), shownAt(f, "severity"), f.Get("withdraws") != nil
	action, _ := f.Get("action").(string)
	switch {
	case withdrawn:
		what = fmt.Sprintf("withdraws %s of %s", rule, shownAt(f, "deadline"))
	case f.Get("actionable") == true:
		what = fmt.Sprintf("%s: %s (%s)", rule, cmp.Or(action, "act"), severity)
	default:
		what = fmt.Sprintf("%s: do not act: %s (%s)", rule, shownAt(f, "withheld"), strings.TrimPrefix(action+", "+severity, ", "))
	}
	numbers := factsLine(f)
	if f.Get("offer_ceiling") != nil {
		numbers = append(numbers, "offer ceiling "+amountAt(f, "offer_ceiling", "facts.currency"))
	}
	if priority := f.Get("priority"); !withdrawn && priority != fieldAt(f, "facts.value_about_to_be_lost") {
		numbers = append(numbers, "priority "+tableCell(priority)) // of the rule's own; else it is that value
	}
	if len(numbers) > 0 {
		lines = []string{strings.Join(numbers, ", ")}
	}
	if purpose := f.Get("consent_purpose"); purpose != nil {
		lines = append(lines, fmt.Sprintf("consent to %s: %s", tableCell(purpose), shownAt(f, "consent_proof")))
	}
	return what, slices.Concat(lines, sentences(f, "reasons"), sentences(f, "counterfactuals"))
}

func offerText(f schemas.Fields) (what string, lines []string) {
	amount, _ := f.Get("amount").(int64)
	ceiling, _ := f.Get("ceiling").(int64)
	currency, answer := shownAt(f, "currency"), "rejected"
	if f.Get("accepted") == true {
		answer = "accepted"
	}
	line := "offer ceiling " + money(ceiling, currency)
	if purpose := f.Get("purpose"); purpose != nil {
		line += fmt.Sprintf(", consent to %s %s", tableCell(purpose), shownAt(f, "consent"))
	}
	return fmt.Sprintf("offer %s of %s: %s, %s", shownAt(f, "offer_id"), money(amount, currency), answer, shownAt(f, "reason")), append([]string{line}, sentences(f, "reasons")...)
}

// letterText's place is what `lull dead-letters show` takes.
func letterText(f schemas.Fields) (what string, lines []string) {
	source := fmt.Sprintf("record %s/%s/%s, key %s", shownAt(f, "topic"), shownAt(f, "partition"), shownAt(f, "offset"), shownAt(f, "key"))
	if deadline := f.Get("deadline"); deadline != nil {
		source = fmt.Sprintf("deadline %s of partition %s", tableCell(deadline), shownAt(f, "partition"))
	}
	return "dead letter: " + shownAt(f, "reason"), []string{shownAt(f, "detail"), source}
}

// factsLine returns the numbers of a record's facts that people ask for first, as a line; none if it has no facts or no model's.
func factsLine(f schemas.Fields) []string {
	if f.Get("facts") == nil || f.Get("model") == "" {
		return nil
	}
	risk, _ := fieldAt(f, "facts.churn_risk").(float64)
	return []string{fmt.Sprintf("churn risk %s, CLV %s, value about to be lost %s",
		operators.FormatRisk(risk), amountAt(f, "facts.clv", "facts.currency"), amountAt(f, "facts.value_about_to_be_lost", "facts.currency"))}
}

// sentences returns the texts of a field.
func sentences(f schemas.Fields, name string) []string {
	values, _ := f.Get(name).([]any)
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = tableCell(v)
	}
	return texts
}

// shownAt returns the value at a path as a table shows it.
func shownAt(f schemas.Fields, path string) string { return tableCell(fieldAt(f, path)) }

// amountAt returns the amount at a path, in major units of the currency at another.
func amountAt(f schemas.Fields, path, currency string) string {
	amount, _ := fieldAt(f, path).(float64)
	terms := operators.Terms{Currency: shownAt(f, currency)}
	terms.MinorDigits, _ = schemas.CurrencyDigits(terms.Currency)
	return terms.FormatAmount(amount)
}

// money shows minor units as a person writes them: 1234 USD is 12.34 USD.
func money(minor int64, currency string) string {
	digits, _ := schemas.CurrencyDigits(currency)
	text := fmt.Sprintf("%0*d", digits+1, minor)
	if digits > 0 {
		text = text[:len(text)-digits] + "." + text[len(text)-digits:]
	}
	return text + " " + currency
}
