package survey

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"lull/operators"
	"lull/schemas"
)

// Proposal is the mapping that a profile speaks for.
type Proposal struct {
	// Findings are the fields of the event, found or not.
	Findings []Finding
	// Mapping is the mapping file; "" if customer or time, or what happened, is not told. Missing says so then, and Draft is the file but for that.
	Mapping string
	Missing []string
	Draft   string
}

// Propose returns the mapping that fits the records.
func (p *Profile) Propose() *Proposal {
	a := p.assign()
	m := &mapper{p: p, a: a, proposal: &Proposal{}}
	m.findings()
	if a.fields[customerRole] == nil && !a.byKey {
		m.missing("no field tells the customer: none is named as one, and the records are not keyed by something that comes again (if one does: --field customer_id=FIELD)")
	}
	if a.fields[timeRole] == nil && p.stampless() {
		m.missing("no field tells the time (if one does: --field time=FIELD)")
	}
	rules := m.rules()
	switch line, unread := m.p.priceOfLine(), m.p.unreadAmount(); {
	case rules == "" && unread != "" && m.a.fields[kindRole] == nil:
		m.missing(unread)
	case rules == "" && line != "":
		m.missing("no field tells an order's amount: " + line + " is the price of a line; let the producer sum the lines of an order (if a field has the sum: --field amount=FIELD)")
	case rules == "" && m.a.fields[kindRole] != nil:
		f := m.a.fields[kindRole]
		m.missing(fmt.Sprintf("nothing tells what happened: no value of %s has a meaning that is known, such as %s; write in the rules what each is", f.Path, strings.Join(firstOf(f.values, 4), ", ")))
	case rules == "":
		m.missing("nothing tells what happened: there is no amount, no page, and no field with a kind such as order.placed (if a field does: --field amount=FIELD or --field kind=FIELD)")
	}
	if file := m.text(rules); len(m.proposal.Missing) == 0 {
		m.proposal.Mapping = file
	} else {
		m.proposal.Draft = file
	}
	return m.proposal
}

// unreadAmount says which field is named as an amount and why it is none, "" if none is or an amount has been found.
func (p *Profile) unreadAmount() string {
	if p.assign().fields[amountRole] != nil {
		return ""
	}
	var best *Field
	for _, f := range p.Fields {
		if strings.Contains(f.Path, "[]") || f.named(amountRole) == 0 || f.isAmount() || f.reading() >= 0 || !strings.ContainsAny(f.Example, "0123456789") {
			continue
		}
		if best == nil || f.named(amountRole) > best.named(amountRole) {
			best = f
		}
	}
	if best == nil {
		return ""
	}
	return fmt.Sprintf("%s is named as the amount, but its values, such as %q, are no plain numbers: a mapping reads digits with one decimal point or comma, and no currency's sign or separator of thousands beside them; let the producer write such", best.Path, shortened(best.Example))
}

// priceOfLine returns the path of a price of one of an order's lines, "" if there is none.
func (p *Profile) priceOfLine() string {
	for _, f := range p.Fields {
		if anyOf(f.words, "unit einzelpreis stueckpreis unitaire") && f.isAmount() {
			return f.Path
		}
	}
	return ""
}

// stampless reports whether the records have no Kafka timestamp, as those of a file.
func (p *Profile) stampless() bool {
	return !slices.ContainsFunc(p.sample.Records, func(r schemas.Source) bool { return r.AppendTime >= schemas.TimeMin })
}

// mapper writes a mapping.
type mapper struct {
	p        *Profile
	a        *roles
	proposal *Proposal
}

func (m *mapper) missing(text string) { m.proposal.Missing = append(m.proposal.Missing, text) }

// findings tells of each role which field has it, and why.
func (m *mapper) findings() {
	for r := customerRole; r <= pageRole; r++ {
		f := m.a.fields[r]
		finding := Finding{Role: roleNames[r]}
		switch {
		case f != nil:
			finding.Path, finding.Records, finding.Distinct, finding.Example = f.Path, f.Records, f.Distinct, shortened(f.Example)
			finding.Why, finding.Doubt = m.why(r, f), m.doubt(r, f)
		case r == customerRole && m.a.byKey:
			finding.Path, finding.Records, finding.Distinct, finding.Example = "$key", m.p.Keyed, m.p.Keys, shortened(string(m.p.firstKey()))
			finding.Why, finding.Doubt = "no field is named as a customer, and the keys are texts that come again", "is the key the customer's id?"
			if m.p.named.byKey {
				finding.Why, finding.Doubt = namedWhy, ""
			}
		case r == timeRole && !m.p.stampless():
			finding.Path, finding.Records = "$timestamp", m.p.Records
			finding.Why, finding.Doubt = "no field tells a time: Kafka's timestamp stands for it", "does Kafka's timestamp tell when it happened, or when it was written?"
			if m.p.named.byStamp {
				finding.Why, finding.Doubt = namedWhy, ""
			}
		case r == currencyRole && m.a.fields[amountRole] != nil:
			finding.Doubt = m.doubtOfCurrency()
		case r == amountRole:
			finding.Doubt = m.p.unreadAmount()
		case r > currencyRole: // it is not missed
			continue
		}
		m.proposal.Findings = append(m.proposal.Findings, finding)
	}
}

func (p *Profile) firstKey() []byte {
	for i := range p.sample.Records {
		if key := p.sample.Records[i].Key; len(key) > 0 {
			return key
		}
	}
	return nil
}

// namedWhy is why a field has a role that somebody has given it.
const namedWhy = "--field says so"

func (m *mapper) why(r role, f *Field) string {
	var why []string
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	switch {
	case m.p.named.fields[r] != nil:
		say(namedWhy)
	case f.named(r) > 0:
		say("its name")
	}
	switch r {
	case customerRole:
		if m.p.keyedBy(f) {
			say("the records are keyed by it")
		}
	case timeRole:
		say("%s", m.howTimed(f))
	case kindRole:
		say("%d values, such as %s", f.Distinct, strings.Join(firstOf(f.values, 4), ", "))
	case amountRole:
		switch {
		case f.comma():
			say("numbers with a decimal comma")
		case f.broken > 0:
			say("numbers with %d decimals", f.digits)
		default:
			say("whole numbers")
		}
	case currencyRole:
		codes := maps.Clone(f.values)
		for _, none := range f.noCurrencies() {
			delete(codes, none)
		}
		say("codes of ISO 4217: %s", strings.Join(firstOf(codes, 5), ", "))
	case orderRole, messageRole:
		if f.Distinct == f.Records {
			say("all values differ")
		}
	}
	return strings.Join(why, "; ")
}

func (m *mapper) howTimed(f *Field) string {
	r := readings[m.a.reading]
	switch {
	case f.dated > 0:
		return "its logical type is a time"
	case r.format != "":
		return "numbers of " + r.format + " since 1970, by their size"
	case r.layout != "":
		return "texts of the layout " + r.layout
	}
	return "texts of ISO 8601"
}

func (m *mapper) doubt(r role, f *Field) string {
	switch {
	case r == timeRole && f.ambiguous(m.a.reading):
		return "day and month cannot be told apart in the sample: look at one"
	case r == timeRole && f.naked[m.a.reading] > 0:
		return fmt.Sprintf("%d tell no offset: taken to be in %s (calendar.timezone)", f.naked[m.a.reading], m.p.sample.Zone)
	case r == customerRole && f.Distinct == f.Records && f.Records > 20:
		return "no value comes twice: is it the customer, or the event?"
	case r == customerRole && slices.ContainsFunc(f.words, func(w string) bool { return w == "email" || w == "mail" }):
		return "it is an address: an id that never changes is better, and no personal data"
	case r == amountRole && m.unit() == "minor" && f.broken == 0 && !f.namedMinor():
		return "whole numbers that look like cents: look at one order by hand"
	case r == amountRole && m.unit() == "major" && f.broken == 0:
		return "whole numbers only: taken for whole " + m.p.sample.Currency + ", not cents: look at one order by hand"
	case r == amountRole && f.grouped > 0:
		return fmt.Sprintf("values with separators of thousands or a currency's sign, which no mapping reads: %d", f.grouped)
	case r == currencyRole:
		var doubts []string
		if n := m.priceless(); n > 0 {
			doubts = append(doubts, fmt.Sprintf("amounts without one: %d, taken to be in %s", n, m.p.sample.Currency))
		}
		if none := f.noCurrencies(); len(none) > 0 {
			doubts = append(doubts, "no codes of ISO 4217, so that their amounts are refused: "+f.often(none))
		}
		return strings.Join(doubts, "; ")
	case r == kindRole:
		return m.doubtOfKinds(f)
	}
	return ""
}

// doubtOfCurrency is about amounts of which no field tells the currency.
func (m *mapper) doubtOfCurrency() string {
	if m.p.sample.CurrencyAssumed {
		return "no field tells it, and money.currency is not set: amounts are assumed to be in " + m.p.sample.Currency + ". If they are in another say --money-currency, if a field tells it --field currency=FIELD"
	}
	return "no field tells it: amounts are taken to be in " + m.p.sample.Currency + " (money.currency)"
}

// doubtOfKinds is about what the words of a field mean, and what of it is ignored for want of a field.
func (m *mapper) doubtOfKinds(f *Field) string {
	var doubts []string
	kinds, values := f.kinds()
	var orderless []string
	for _, v := range values {
		if kind := kinds[v]; (kind == operators.OrderCancelled || kind == operators.OrderRefunded) && m.a.fields[orderRole] == nil {
			orderless = append(orderless, v)
		}
	}
	if len(orderless) > 0 {
		doubts = append(doubts, texts(orderless)+" takes an order back, and no field tells which: it is ignored, and an order that was told as completed before still counts. Which field has the order's id? Say --field order_id=FIELD")
	}
	if strange := m.strange(f); len(strange) > 0 {
		doubts = append(doubts, fmt.Sprintf("what these are is not known, and they become track, which is no order and has no value: %s. If they are orders, refunds or cancellations, write so in the mapping's rules, before that of track: "+
			"- kind: {from: %s, values: {%s: order_completed}} (docs/formats/mapping.md)", texts(strange), text(f.Path), text(strange[0])))
	}
	if by := m.unmatched(f, kinds, values); len(by) > 0 {
		doubts = append(doubts, fmt.Sprintf("what these say of an order is not known, and their records are refused as unmatched: %s. Write in the mapping's rules, beside the other values of %s, what each is: order_completed, order_cancelled, order_refunded or ignore (docs/formats/mapping.md)",
			f.often(by), text(f.Path)))
	}
	if consent := m.consents(f); consent != "" {
		doubts = append(doubts, "consents are told by words alone: is "+consent+" one?")
	}
	return strings.Join(doubts, "; ")
}

// unmatched returns the values of a status that no rule is proposed for.
func (m *mapper) unmatched(f *Field, kinds map[string]operators.EventKind, values []string) (list []string) {
	for _, v := range values {
		if kinds[v] == unknown && f.isStatus() && f.tellsKinds() && m.p.sample.Format != schemas.SegmentJSON {
			list = append(list, v)
		}
	}
	return list
}

// often writes values with how many records have each.
func (f *Field) often(values []string) string {
	const most = 12
	var list []string
	for i, v := range values {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(values)-most))
			break
		}
		list = append(list, fmt.Sprintf("%s (%d)", text(shortened(v)), f.values[v]))
	}
	return strings.Join(list, ", ")
}

// strange returns the values of which nothing is known and whose records could be orders: they have an amount or an order, or no value is known at all.
func (m *mapper) strange(by *Field) (list []string) {
	if m.p.sample.Format == schemas.SegmentJSON { // which has a mapping of its own
		return nil
	}
	kinds, values := by.kinds()
	has := func(r role, v string) bool {
		f := m.a.fields[r]
		return f != nil && m.has(f, by, []string{v})
	}
	for _, v := range values {
		if kinds[v] == unknown && !by.isStatus() && (!by.tellsKinds() || has(amountRole, v) || has(orderRole, v)) {
			list = append(list, v)
		}
	}
	return list
}

// priceless returns how many records have an amount and no currency.
func (m *mapper) priceless() (n int) {
	amount, currency := m.a.fields[amountRole], m.a.fields[currencyRole]
	for i := range m.p.rows {
		values := m.p.rows[i].values
		if amount == nil {
			break
		}
		_, hasAmount := values[amount.Path]
		if _, hasCurrency := values[currency.Path]; hasAmount && !hasCurrency {
			n++
		}
	}
	return n
}

// consents returns the first value that is taken for a consent, "" if none is.
func (m *mapper) consents(f *Field) string {
	kinds, values := f.kinds()
	for _, v := range values {
		if kinds[v].OfConsent() {
			return v
		}
	}
	return ""
}

// unit returns the unit that amounts have.
func (m *mapper) unit() string {
	f := m.a.fields[amountRole]
	switch {
	case f.namedMinor():
		return "minor"
	case f.broken > 0 || f.grouped > 0:
		return "major"
	case f.hundreds() > f.Records/2 || 4*f.small > f.Records:
		return "major"
	}
	return "minor"
}

func (f *Field) namedMinor() bool {
	return anyOf(f.words, "cents cent minor pence pfennig rappen oere centimes cts")
}

// hundreds returns how many of the values end in two zeros.
func (f *Field) hundreds() (n int) {
	for text, records := range f.values {
		if strings.HasSuffix(text, "00") {
			n += records
		}
	}
	return n
}

// firstOf returns some of the values, the most frequent first.
func firstOf(values map[string]int, most int) []string {
	var list []string
	for v := range values {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(values[b]-values[a], cmp.Compare(a, b)) })
	if len(list) > most {
		list = append(list[:most], "...")
	}
	for i := range list {
		list[i] = shortened(list[i])
	}
	return list
}

// rules returns the section rules; "" if nothing tells what happened.
func (m *mapper) rules() string {
	kind := m.a.fields[kindRole]
	switch {
	case kind != nil:
		return m.rulesOf(kind)
	case m.a.fields[amountRole] != nil:
		return m.always(operators.OrderCompleted)
	case m.a.fields[pageRole] != nil:
		return m.always(operators.PageViewed)
	}
	return ""
}

func (m *mapper) always(kind operators.EventKind) string {
	if kind == operators.PageViewed {
		return fmt.Sprintf("  - kind: page\n    fields: {name: %s}\n", text(m.a.fields[pageRole].Path))
	}
	return fmt.Sprintf("  - kind: %s\n", kind)
}

// rulesOf returns those that go by the field which says what happened.
func (m *mapper) rulesOf(by *Field) string {
	kinds, values := by.kinds()
	tells := make(map[operators.EventKind][]string)
	var plain, tracked []string // plain need no fields of their own
	for _, v := range values {
		kind, note := m.possible(kinds[v])
		switch {
		case kind == unknown && by.isStatus():
			continue // what it is worth is not known: it is told as unmatched
		case kind == unknown:
			tracked = append(tracked, v)
			continue
		case kind == ignored || kind == operators.OrderCompleted || kind == operators.OrderUpdated || kind == operators.OrderCancelled || kind == operators.Identified:
			line := fmt.Sprintf("        %s: %s", text(v), nameOf(kind))
			if note != "" {
				line += "   # " + note
			}
			plain = append(plain, line)
		default:
			tells[kind] = append(tells[kind], v)
		}
	}
	var b strings.Builder
	if len(plain) > 0 {
		fmt.Fprintf(&b, "  - kind:\n      from: %s\n      values:\n%s\n", text(by.Path), strings.Join(plain, "\n"))
	}
	for kind := operators.EventKind(1); int(kind) <= operators.EventKinds; kind++ {
		if len(tells[kind]) > 0 {
			fmt.Fprintf(&b, "  - when: {%s: [%s]}\n    kind: %s\n", text(by.Path), texts(tells[kind]), kind)
			if fields := m.fieldsOf(kind, by, tells[kind]); fields != "" {
				fmt.Fprintf(&b, "    fields: {%s}", fields)
				if kind.OfConsent() && m.a.fields[purposeRole] == nil {
					b.WriteString("   # no field tells the purpose: marketing is a guess")
				}
				b.WriteByte('\n')
			}
		}
	}
	if len(tracked) > 0 {
		fmt.Fprintf(&b, "  - when: {%s: [%s]}\n    kind: track\n    fields: {name: %s}\n", text(by.Path), texts(tracked), text(by.Path))
	}
	return b.String()
}

// possible returns the kind, or ignored and why, if the records lack what it needs.
func (m *mapper) possible(kind operators.EventKind) (operators.EventKind, string) {
	lacks := func(r role) bool { return m.a.fields[r] == nil }
	switch kind {
	case operators.OrderCompleted:
		if lacks(amountRole) {
			return ignored, "order_completed, but no field tells its amount"
		}
	case operators.OrderUpdated:
		if lacks(amountRole) || lacks(orderRole) {
			return ignored, "order_updated, but no field tells its order or amount"
		}
	case operators.OrderCancelled, operators.OrderRefunded:
		if lacks(orderRole) {
			return ignored, kind.String() + ", but no field tells its order"
		}
	case operators.CampaignSent, operators.CampaignDelivered, operators.CampaignOpened, operators.CampaignClicked:
		if lacks(campaignRole) {
			return ignored, kind.String() + ", but no field tells the campaign"
		}
	case operators.TicketOpened, operators.TicketReplied, operators.TicketClosed:
		if lacks(ticketRole) {
			return ignored, kind.String() + ", but no field tells the ticket"
		}
	}
	return kind, ""
}

func nameOf(kind operators.EventKind) string {
	if kind == ignored {
		return "ignore"
	}
	return kind.String()
}

// fieldsOf returns the fields that events of a kind have beside those of all.
func (m *mapper) fieldsOf(kind operators.EventKind, by *Field, values []string) string {
	path := func(name string, r role, otherwise string) string {
		if f := m.a.fields[r]; f != nil {
			return fmt.Sprintf("%s: {from: %s, default: %s}", name, text(f.Path), otherwise)
		}
		return fmt.Sprintf("%s: {const: %s}", name, otherwise)
	}
	subject := func(r role) string { return "subject: " + text(m.a.fields[r].Path) }
	switch kind {
	case operators.PageViewed, operators.ScreenViewed:
		return path("name", pageRole, kind.String())
	case operators.OrderRefunded:
		fields := "whole: {const: true}"
		if amount := m.a.fields[amountRole]; amount != nil && !by.isStatus() && m.has(amount, by, values) {
			fields = "" // that of all is what is paid back
		}
		if f := m.a.fields[refundRole]; f != nil {
			fields = strings.TrimPrefix(fields+", refund_id: "+text(f.Path), ", ")
		}
		return fields
	case operators.CampaignSent, operators.CampaignDelivered, operators.CampaignOpened, operators.CampaignClicked:
		return subject(campaignRole)
	case operators.TicketOpened, operators.TicketReplied, operators.TicketClosed:
		return subject(ticketRole)
	case operators.ConsentGiven, operators.ConsentWithdrawn:
		fields := path("subject", purposeRole, "marketing")
		if f := m.a.fields[proofRole]; f != nil {
			fields += ", proof: " + text(f.Path)
		}
		return fields
	}
	return "name: " + text(by.Path) // of tracked
}

// has reports whether nearly all records have the field of which another has one of these values.
func (m *mapper) has(f, by *Field, values []string) bool {
	with, all := 0, 0
	for i := range m.p.rows {
		r := &m.p.rows[i]
		leaf, is := r.values[by.Path]
		if !is || !slices.Contains(values, leaf.Text()) {
			continue
		}
		all++
		if _, has := r.values[f.Path]; has {
			with++
		}
	}
	return nearly(with, all)
}

// text writes a text as YAML has it: plain where it can be nothing else.
func text(s string) string {
	if strings.Contains(" true false null yes no on off y n ", " "+strings.ToLower(s)+" ") {
		return strconv.Quote(s)
	}
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '.' || c == '-')) {
			return strconv.Quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

func texts(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = text(s)
	}
	return strings.Join(quoted, ", ")
}

// text returns the mapping file.
func (m *mapper) text(rules string) string {
	var b strings.Builder
	write := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	write("version: %d\n", schemas.MappingVersion)
	if m.naked() {
		write("zone: %s   # of times that tell no offset\n", m.p.sample.Zone)
	}
	if s := m.p.sample; s.Format == schemas.CSV {
		write("csv:\n  delimiter: %s\n  columns: [%s]\n", strconv.Quote(string(s.Delimiter)), texts(s.Columns))
	}
	write("fields:\n")
	field := func(name, value string) { write("  %s: %s%s\n", name, value, m.remark(name)) }
	lacks := func(name, such string) { write("  %s:   # MISSING: the field that tells it, %s\n", name, such) }
	switch f := m.a.fields[customerRole]; {
	case f != nil:
		field("customer_id", text(f.Path))
	case m.a.byKey:
		field("customer_id", "$key")
	default:
		lacks("customer_id", "or $key")
	}
	if m.a.fields[timeRole] == nil && m.p.stampless() {
		lacks("time", "with its format or layout if it is no text of ISO 8601")
	} else {
		field("time", m.timeField())
	}
	for _, r := range []role{messageRole, orderRole} {
		if f := m.a.fields[r]; f != nil {
			field(roleNames[r], text(f.Path))
		}
	}
	if m.a.fields[amountRole] != nil {
		field("amount", m.amountField())
		field("currency", m.currencyField())
	}
	if f := m.a.fields[quantityRole]; f != nil {
		value := text(f.Path)
		if f.comma() && !strings.Contains(f.Path, "[]") {
			value = fmt.Sprintf("{from: %s, decimal: comma}", value)
		}
		field("quantity", value)
	}
	if rules == "" {
		if m.a.fields[amountRole] == nil {
			lacks("amount", "such as {from: total, unit: major}, if the records are orders")
		}
		write("rules:   # MISSING: what the records are, such as\n#  - kind: order_completed\n")
		return b.String()
	}
	write("rules:\n%s", rules)
	return b.String()
}

// remark returns the doubt about a field as a comment.
func (m *mapper) remark(name string) string {
	for _, f := range m.proposal.Findings {
		if f.Role == name && f.Doubt != "" {
			return "   # " + f.Doubt
		}
	}
	return ""
}

// naked reports whether times tell no zone.
func (m *mapper) naked() bool {
	f := m.a.fields[timeRole]
	return f != nil && f.naked[m.a.reading] > 0
}

func (m *mapper) timeField() string {
	f := m.a.fields[timeRole]
	if f == nil {
		return "$timestamp"
	}
	switch r := readings[m.a.reading]; {
	case r.format != "":
		return fmt.Sprintf("{from: %s, format: %s}", text(f.Path), r.format)
	case r.layout != "":
		return fmt.Sprintf("{from: %s, layout: %q}", text(f.Path), r.layout)
	}
	return text(f.Path)
}

func (m *mapper) amountField() string {
	f := m.a.fields[amountRole]
	value := fmt.Sprintf("{from: %s, unit: %s", text(f.Path), m.unit())
	if f.comma() {
		value += ", decimal: comma"
	}
	if m.unit() == "major" && f.digits > m.fewestDigits() {
		value += ", inexact: round"
	}
	return value + "}"
}

// fewestDigits returns the digits of the currency in the records that has the fewest.
func (m *mapper) fewestDigits() int {
	fewest, _ := schemas.CurrencyDigits(m.p.sample.Currency)
	if f := m.a.fields[currencyRole]; f != nil {
		for text := range f.values {
			if code, ok := currencyOf(text); ok {
				digits, _ := schemas.CurrencyDigits(code)
				fewest = min(fewest, digits)
			}
		}
	}
	return fewest
}

func (m *mapper) currencyField() string {
	f := m.a.fields[currencyRole]
	if f == nil {
		return fmt.Sprintf("{const: %s}", m.p.sample.Currency)
	}
	if m.priceless() == 0 && m.a.symbols == nil {
		return text(f.Path)
	}
	value := "{from: " + text(f.Path)
	if m.priceless() > 0 {
		value += ", default: " + m.p.sample.Currency
	}
	if m.a.symbols != nil {
		var table []string
		for _, sign := range firstOf(f.values, len(f.values)) {
			if code, ok := m.a.symbols[sign]; ok {
				table = append(table, text(sign)+": "+code)
			}
		}
		value += ", values: {" + strings.Join(table, ", ") + "}"
	}
	return value + "}"
}
