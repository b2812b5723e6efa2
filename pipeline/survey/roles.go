package survey

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"lull/schemas"
)

// role is what a field of a record is to an event.
type role uint8

const (
	customerRole role = iota
	timeRole
	kindRole
	messageRole
	orderRole
	amountRole
	currencyRole
	quantityRole
	refundRole
	pageRole
	campaignRole
	ticketRole
	purposeRole
	proofRole
	rolesEnd
)

// roleNames are those of the mapping's fields, where there is such a field.
var roleNames = [rolesEnd]string{
	"customer_id", "time", "kind", "message_id", "order_id", "amount", "currency", "quantity", "refund_id", "name", "campaign", "ticket", "purpose", "proof",
}

// names are what fields of a role are called: the words that a path ends in, the most telling first. A path with words before them is less so.
var names = [rolesEnd]string{
	customerRole: "customer id, customerid, kundennummer, kunden nummer, kundennr, kunden nr, kunden id, kundenid, customer number, customer no, customer nr, customer key, customer uuid, customer ref, user id, userid, client id, " +
		"numero client, numero de client, no client, identifiant client, id client, code client, client numero, shopper id, buyer id, member id, subscriber id, account id, profile id, contact id, person id, kunde, customer, user, client, acheteur, member, buyer, shopper, customer email, user email, kunden email, email address, emailaddress, email, e mail, courriel, adresse e mail, adresse email",
	timeRole: "occurred at, event time, event timestamp, event ts, happened at, ordered at, order date, order time, orderdate, placed at, purchased at, purchase date, bestelldatum, bestellt am, bestellzeit, date de commande, date de la commande, date commande, date d achat, date achat, date d evenement, date evenement, zeitpunkt, zeitstempel, horodatage, " +
		"created at, createdat, created, create time, creation date, erstellt am, cree le, date de creation, date creation, processed at, original timestamp, timestamp, datetime, date time, time, date, ts, ts ms, datum, zeit, heure, date heure, when, at, invoice date, rechnungsdatum, date de facture, date facture, sent at, received at, updated at, modified at",
	kindRole:     "event type, eventtype, event name, event kind, event, type, kind, typ, ereignis, type d evenement, type evenement, evenement, vorgang, vorgangsart, action, activity, order status, orderstatus, bestellstatus, statut de commande, statut de la commande, statut commande, etat de la commande, etat commande, financial status, status, statut, state, etat",
	messageRole:  "message id, messageid, event id, eventid, event uuid, event key, record id, ereignis id, nachricht id, id evenement, identifiant evenement",
	orderRole:    "order id, orderid, order number, order no, order nr, order ref, order reference, bestellnummer, bestell nummer, bestellnr, bestell nr, bestell id, numero de commande, numero commande, no commande, n commande, id commande, identifiant commande, reference commande, ref commande, commande id, commande numero, commande reference, auftragsnummer, auftrags nr, auftrag, order name, purchase id, transaction id, checkout id, invoice id, invoice no, invoice number, invoiceno, rechnungsnummer, belegnummer, numero de facture, numero facture, order, bestellung, commande, rechnung, beleg, facture",
	amountRole:   "total amount, order total, grand total, total price, total cents, amount cents, amount minor, total minor, total, gesamtbetrag, gesamtsumme, gesamtpreis, rechnungsbetrag, bestellwert, warenwert, montant total, montant ttc, montant ttc cts, montant ttc centimes, total ttc, montant, montant cts, montant centimes, montant en centimes, montant ht, total ht, amount, order value, order amount, revenue, umsatz, betrag, summe, brutto, price cents, value, gross, sum, price, preis, prix total, prix, subtotal price, subtotal, netto, net",
	currencyRole: "currency, currency code, currencycode, waehrung, waehrungscode, devise, code devise, monnaie, cur, ccy",
	quantityRole: "quantity, qty, menge, anzahl, item count, units, stueck, stueckzahl, quantite, qte",
	refundRole:   "refund id, refundid, return id, gutschrift nummer, credit note id, numero d avoir, id remboursement, numero remboursement, remboursement id",
	pageRole:     "page name, page path, pagename, page url, path, url, page, screen name, screen, page title, title, seite, titre, location",
	campaignRole: "campaign id, campaign, campaign name, kampagne, kampagnen id, mailing id, email id, newsletter id, campagne, campagne id, id campagne",
	ticketRole:   "ticket id, ticket, ticket number, case id, issue id, conversation id",
	purposeRole:  "purpose, consent purpose, consent type, consent, zweck, channel, topic, list",
	proofRole:    "proof, evidence, form id, consent id, nachweis, preuve",
}

// strangers are words of fields that are of something else than the event or its customer.
var strangers = [rolesEnd]string{
	customerRole: "before previous old tax group type segment class name country city since count created updated at date locale language agent nom prenom ville pays langue groupe depuis",
	timeRole:     "before previous old birth birthday birthdate dob geburtsdatum expires expiry expired end until delivery liefer shipped closed cancelled canceled zone offset first last processing naissance livraison expedition annulation expiration fin",
	kindRole:     "before previous old payload content mime address customer kunde user schema op version",
	messageRole:  "before previous old parent correlation",
	orderRole:    "before previous old status date time at type count total amount price currency by sort letzte erste vorherige anzahl datum montant prix nombre statut etat quantite",
	amountRole:   "before previous old tax steuer mwst vat ust discount rabatt shipping versand versandkosten fee gebuehr unit einzelpreis weight gewicht count id number nummer nr at date time rate tip duration tva taxe remise livraison port frais unitaire poids nombre numero",
	currencyRole: "before previous old rate",
	quantityRole: "before previous old",
	pageRole:     "before previous old referrer referer image avatar status job",
}

var (
	patterns = splitNames(names)
	foreign  = splitWords(strangers)
)

func splitNames(of [rolesEnd]string) (lists [rolesEnd][][]string) {
	for r, list := range of {
		for name := range strings.SplitSeq(list, ",") {
			lists[r] = append(lists[r], strings.Fields(name))
		}
	}
	return lists
}

func splitWords(of [rolesEnd]string) (lists [rolesEnd][]string) {
	for r, list := range of {
		lists[r] = strings.Fields(list)
	}
	return lists
}

// named returns how well the field's name tells that it has the role: 0 if it does not, at most 10.
func (f *Field) named(r role) float64 {
	for _, w := range f.words {
		if slices.Contains(foreign[r], w) && !slices.ContainsFunc(patterns[r], func(p []string) bool { return slices.Equal(p, f.words) }) {
			return 0
		}
	}
	best := 0.0
	for i, p := range patterns[r] {
		before := len(f.words) - len(p)
		if before < 0 || !slices.Equal(f.words[before:], p) {
			continue
		}
		best = max(best, 10-5*float64(i)/float64(len(patterns[r]))-0.4*float64(before))
	}
	return max(0, best)
}

// Finding is a field that has a role, and what speaks for it.
type Finding struct {
	Role    string `json:"role"`
	Path    string `json:"path"` // "" if nothing has been found
	Records int    `json:"records"`
	// Distinct is how many different values there are, and Example is one.
	Distinct int    `json:"distinct"`
	Example  string `json:"example,omitempty"`
	// Why says what speaks for it, Doubt what somebody must look at.
	Why   string `json:"why,omitempty"`
	Doubt string `json:"doubt,omitempty"`
}

// find returns the field that most speaks for in a role, nil if nothing does. may says which fields can have it, and weight what speaks for one beside its name: it is 0 for one that only its name can speak for.
func (p *Profile) find(r role, taken []*Field, may func(f *Field) bool, weight func(f *Field) float64) *Field {
	var best *Field
	most := 0.0
	for _, f := range p.Fields {
		if slices.Contains(taken, f) || !may(f) {
			continue
		}
		name, besides := f.named(r), weight(f)
		if name == 0 && besides == 0 {
			continue
		}
		// A field that few of the records have is not the one that says it of all.
		if score := (name + besides) * (0.3 + 0.7*share(f.Records, p.Read)); score > most {
			best, most = f, score
		}
	}
	return best
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// roles are the fields of a profile by what they are; nil if none is.
type roles struct {
	fields  [rolesEnd]*Field
	reading int  // of the time
	byKey   bool // the customer is told by the key alone
	symbols map[string]string
}

// assign finds who is who. What values tell for sure goes before what names tell: the time and the currency are found first.
func (p *Profile) assign() *roles {
	a := &roles{reading: -1, fields: p.named.fields, byKey: p.named.byKey}
	var taken []*Field
	for _, f := range a.fields {
		if f != nil {
			taken = append(taken, f)
		}
	}
	set := func(r role, f *Field) {
		if f != nil && a.fields[r] == nil && !(r == timeRole && p.named.byStamp || r == customerRole && a.byKey) {
			a.fields[r] = f
			taken = append(taken, f)
		}
	}
	none := func(*Field) float64 { return 0 }
	single := func(f *Field) bool { return !strings.Contains(f.Path, "[]") }
	isID := func(f *Field) bool { return single(f) && nearly(f.ids, f.Records) && f.reading() <= 0 && f.broken == 0 }
	set(timeRole, p.find(timeRole, taken, func(f *Field) bool { return single(f) && f.reading() >= 0 }, func(f *Field) float64 {
		if f.reading() == 0 || f.dated > 0 || readings[f.reading()].layout != "" { // numbers can be anything
			return 0.5
		}
		return 0
	}))
	if f := a.fields[timeRole]; f != nil {
		a.reading = f.reading()
		if p.named.fields[timeRole] != nil {
			a.reading = f.likeliest()
		}
	}
	set(currencyRole, p.find(currencyRole, taken, func(f *Field) bool { return single(f) && nearly(f.currencies(), f.Records) }, func(*Field) float64 { return 1 }))
	if f := a.fields[currencyRole]; f != nil {
		a.symbols = f.symbols()
	}
	set(kindRole, p.findKind(taken))
	// An order's id and an event's are looked for by name alone, before the customer is by its values.
	set(messageRole, p.find(messageRole, taken, isID, none))
	set(orderRole, p.find(orderRole, taken, isID, none))
	set(customerRole, p.find(customerRole, taken, func(f *Field) bool { return isID(f) && f.Distinct > 1 || isID(f) && p.Read < 20 }, func(f *Field) float64 {
		if f.keyed > 0 && nearly(f.equalKey, f.keyed) && 10*f.Distinct <= 9*f.Records {
			return 4 // records are keyed by it, and it comes again
		}
		return 0
	}))
	if a.fields[customerRole] == nil && !a.byKey && nearly(p.Keyed, p.Records) && 10*p.Keys <= 9*p.Keyed && p.keysAreTexts() && !p.keyedBy(a.fields[orderRole]) && !p.keyedBy(a.fields[messageRole]) {
		a.byKey = true
	}
	set(amountRole, p.find(amountRole, taken, func(f *Field) bool { return single(f) && f.isAmount() && f.reading() < 0 }, func(f *Field) float64 {
		if p.nameless() && 2*f.broken >= f.Records {
			return 0.5
		}
		return 0
	}))
	set(quantityRole, p.find(quantityRole, taken, func(f *Field) bool { return nearly(f.numbersOf(), f.Records) && f.reading() < 0 && f.below == 0 }, none))
	for _, r := range []role{refundRole, campaignRole, ticketRole, purposeRole, proofRole} {
		set(r, p.find(r, taken, isID, none))
	}
	set(pageRole, p.find(pageRole, taken, func(f *Field) bool { return single(f) && nearly(f.ids, f.Records) && f.numbers == 0 }, none))
	if kind := a.fields[kindRole]; kind != nil && a.fields[amountRole] != nil && p.named.fields[kindRole] == nil && !kind.tellsKinds() {
		a.fields[kindRole] = nil // it tells sorts of orders
	}
	p.assignID(a, taken)
	if p.nameless() && a.fields[orderRole] == nil && a.fields[amountRole] != nil {
		set(orderRole, p.find(orderRole, taken, func(f *Field) bool { return isID(f) && f.Distinct == f.Records && f.named(messageRole) == 0 }, func(*Field) float64 { return 0.5 }))
	}
	return a
}

// assignID gives the field that is just called id its role: of the order if there is no other, else of the event.
func (p *Profile) assignID(a *roles, taken []*Field) {
	i := slices.IndexFunc(p.Fields, func(f *Field) bool {
		return len(f.words) == 1 && slices.Contains([]string{"id", "uuid", "guid"}, f.words[0]) && nearly(f.ids, f.Records) && nearly(f.Records, p.Read) && !slices.Contains(taken, f)
	})
	switch {
	case i < 0:
	case a.fields[orderRole] == nil && a.fields[amountRole] != nil && (a.fields[kindRole] == nil || a.fields[kindRole].isStatus()):
		a.fields[orderRole] = p.Fields[i]
	case a.fields[messageRole] == nil && 10*p.Fields[i].Distinct >= 9*p.Fields[i].Records && !p.isOrder(a, p.Fields[i]):
		a.fields[messageRole] = p.Fields[i]
	}
}

// isOrder reports whether a field is another name of the order, and no id of what is said of it: it is the same whenever the order is told again, and the second time would count for a repeat.
func (p *Profile) isOrder(a *roles, f *Field) bool {
	order, kind := a.fields[orderRole], a.fields[kindRole]
	return order != nil && order.Distinct == f.Distinct && (kind == nil || kind.isStatus())
}

func (f *Field) numbersOf() int { return max(f.points, f.commas) }

// nameless reports whether the columns' names are not known: of CSV in a topic.
func (p *Profile) nameless() bool {
	return len(p.sample.Columns) > 0 && p.sample.Columns[0] == Column(0)
}

func (p *Profile) keysAreTexts() bool {
	return !slices.ContainsFunc(p.sample.Records, func(r schemas.Source) bool { return !isText(r.Key) })
}

// keyedBy reports whether the records are keyed by a field.
func (p *Profile) keyedBy(f *Field) bool {
	return f != nil && f.keyed > 0 && nearly(f.equalKey, f.keyed)
}

// currencies returns how many of the field's values are currencies: codes of ISO 4217 in any case, or their signs.
func (f *Field) currencies() (n int) {
	for text, records := range f.values {
		if _, ok := currencyOf(text); ok {
			n += records
		}
	}
	return n
}

// noCurrencies returns the field's values that are no currencies, in their order.
func (f *Field) noCurrencies() (list []string) {
	for _, text := range slices.Sorted(maps.Keys(f.values)) {
		if _, ok := currencyOf(text); !ok {
			list = append(list, text)
		}
	}
	return list
}

// symbols returns what the field's values stand for that are not such as an event has them; nil if all are.
func (f *Field) symbols() map[string]string {
	table, odd := make(map[string]string), false
	for text := range f.values {
		code, ok := currencyOf(text)
		if ok {
			table[text] = code
			odd = odd || code != text
		}
	}
	if !odd {
		return nil
	}
	return table
}

// signs are those of currencies that have one meaning, or nearly so.
var signs = map[string]string{"€": "EUR", "$": "USD", "£": "GBP", "zł": "PLN", "Fr.": "CHF", "Euro": "EUR", "EURO": "EUR"}

func currencyOf(text string) (code string, ok bool) {
	code = cmp.Or(signs[text], strings.ToUpper(text))
	_, ok = schemas.CurrencyDigits(code)
	return code, ok
}
