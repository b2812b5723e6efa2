package survey

import (
	"maps"
	"slices"
	"strings"

	"lull/operators"
)

// ignored stands for records that are to be passed over, and unknown for those of which the words say nothing.
const (
	ignored operators.EventKind = 0
	unknown operators.EventKind = 255
)

// kindsMax bounds how many values a field has that says what happened: more are no kinds.
const kindsMax = 60

// findKind returns the field that says what happened: one of few values, of which some have a meaning.
func (p *Profile) findKind(taken []*Field) *Field {
	return p.find(kindRole, taken, func(f *Field) bool {
		return !strings.Contains(f.Path, "[]") && f.Distinct <= kindsMax && (4*f.Distinct <= 3*f.Records || f.Distinct <= 8) && nearly(f.ids, f.Records) && f.numbers == 0
	}, func(f *Field) float64 {
		if f.named(kindRole) > 0 && f.tellsKinds() {
			return 3
		}
		return 0
	})
}

// tellsKinds reports whether one of the field's values at least has a meaning.
func (f *Field) tellsKinds() bool {
	kinds, _ := f.kinds()
	for _, kind := range kinds {
		if kind != unknown {
			return true
		}
	}
	return false
}

// isStatus reports whether the field says how things stand rather than what happened, by its name or its values: each record is an order then, as it is now.
func (f *Field) isStatus() bool {
	return slices.ContainsFunc(f.words, func(w string) bool {
		return w == "status" || w == "state" || w == "statut" || w == "etat" || strings.HasSuffix(w, "status")
	}) || f.hasStates()
}

// hasStates reports whether the values are single words of which most are states of orders, a completed one among them, and more than are names of what happens.
func (f *Field) hasStates() bool {
	if f.Distinct > kindsMax {
		return false
	}
	states, happen, completed := 0, 0, false
	for v := range f.values {
		if len(wordsOf(v)) != 1 {
			return false
		}
		kind := statusOf(v)
		completed = completed || kind == operators.OrderCompleted
		if kind != unknown {
			states++
		}
		if kindOf(v) != unknown {
			happen++
		}
	}
	return completed && states > happen && 2*states > f.Distinct
}

// kinds returns what each of the field's values means, and the values in their order.
func (f *Field) kinds() (kinds map[string]operators.EventKind, values []string) {
	kinds = make(map[string]operators.EventKind)
	values = slices.Sorted(maps.Keys(f.values))
	for _, v := range values {
		if f.isStatus() {
			kinds[v] = statusOf(v)
		} else {
			kinds[v] = kindOf(v)
		}
	}
	return kinds, values
}

// statusWords are how an order can stand.
var statusWords = []struct {
	words string
	kind  operators.EventKind
}{
	{"partially teilweise partiellement", unknown}, // what it is worth now is not said
	{"refunded erstattet retourniert returned retour rembourse remboursee retournee", operators.OrderRefunded},
	{"cancelled canceled storniert storno voided void annulliert annule annulee", operators.OrderCancelled},
	{"paid completed complete fulfilled shipped delivered confirmed processing authorized closed placed bezahlt versendet versandt geliefert abgeschlossen bestaetigt paye payee terminee expediee livree validee confirmee", operators.OrderCompleted},
	{"pending open offen draft failed declined expired new neu created unpaid unbezahlt attente brouillon echouee expiree nouvelle creee impayee", ignored},
}

func statusOf(value string) operators.EventKind {
	words := wordsOf(value)
	for _, s := range statusWords {
		if anyOf(words, s.words) {
			return s.kind
		}
	}
	return unknown
}

func anyOf(words []string, list string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(strings.Fields(list), w) })
}

// kindOf returns what happened by the words of a value.
func kindOf(value string) operators.EventKind {
	words := wordsOf(value)
	has := func(list string) bool { return anyOf(words, list) }
	order := has("order orders purchase purchased checkout bestellung bestellt auftrag sale kauf gekauft transaction ordered commande achat vente")
	switch {
	case has("heartbeat ping healthcheck keepalive"):
		return ignored
	case has("consent optin optout subscribed unsubscribed unsubscribe subscribe einwilligung widerruf newsletter consentement") && has("given granted accepted optin subscribed subscribe in erteilt donne accorde accepte"):
		return operators.ConsentGiven
	case has("consent optin optout subscribed unsubscribed unsubscribe subscribe einwilligung widerruf newsletter consentement") && has("withdrawn revoked rejected optout unsubscribed unsubscribe out widerruf widerrufen retire refuse"):
		return operators.ConsentWithdrawn
	case has("ticket case conversation support"):
		return verbOf(words, "opened created new", operators.TicketOpened, "replied answered reply", operators.TicketReplied, "closed solved resolved", operators.TicketClosed)
	case has("email mail campaign push newsletter mailing"):
		if kind := verbOf(words, "sent send", operators.CampaignSent, "delivered received", operators.CampaignDelivered, "opened open", operators.CampaignOpened); kind != operators.Tracked {
			return kind
		}
		if has("clicked click tapped") {
			return operators.CampaignClicked
		}
		return operators.Tracked
	case has("refund refunded erstattung erstattet retoure gutschrift chargeback remboursement rembourse remboursee") || order && has("returned retournee"):
		return operators.OrderRefunded
	case order && has("cancelled canceled cancel cancellation storno storniert annulee annule annulation") || slices.Contains([]string{"storno", "storniert", "stornierung", "annulation"}, strings.ToLower(value)):
		return operators.OrderCancelled
	case order && has("started failed viewed abandoned added removed begin step abandonnee commencee echouee"):
		return operators.Tracked
	case order && has("shipped delivered fulfilled packed versendet geliefert pending expediee livree preparee attente"):
		return ignored
	case order && has("updated changed edited modified geaendert modifiee modification"):
		return operators.OrderUpdated
	case order && (len(words) == 1 || has("completed placed created paid confirmed success succeeded received new bezahlt erstellt eingegangen abgeschlossen validee confirmee payee passee creee recue terminee effectue effectuee")):
		return operators.OrderCompleted
	case slices.Equal(words, []string{"page"}) || has("pageview pageviewed seitenaufruf") || has("page") && has("view viewed visit visited vue consultee visite"):
		return operators.PageViewed
	case slices.Equal(words, []string{"screen"}) || has("screenview") || has("screen") && has("view viewed"):
		return operators.ScreenViewed
	case slices.Equal(words, []string{"identify"}):
		return operators.Identified
	}
	return unknown
}

// verbOf returns the kind of the first list that has one of the words, Tracked if none has.
func verbOf(words []string, first string, a operators.EventKind, second string, b operators.EventKind, third string, c operators.EventKind) operators.EventKind {
	switch {
	case anyOf(words, first):
		return a
	case anyOf(words, second):
		return b
	case anyOf(words, third):
		return c
	}
	return operators.Tracked
}
