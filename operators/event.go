package operators

// EventKind says what happened. The numbers are part of the state and wire formats: they are never reused.
type EventKind uint8

// The kinds of the canonical event. A time mark is no event: it concerns no customer.
const (
	PageViewed EventKind = iota + 1
	ScreenViewed
	Tracked
	OrderCompleted
	OrderUpdated
	OrderRefunded
	OrderCancelled
	CampaignSent
	CampaignDelivered
	CampaignOpened
	CampaignClicked
	TicketOpened
	TicketReplied
	TicketClosed
	ConsentGiven
	ConsentWithdrawn
	OfferProposed
	Identified
	Aliased
	Grouped
	kindsEnd
)

// EventKinds is the number of kinds; valid kinds are 1 to EventKinds.
const EventKinds = int(kindsEnd) - 1

var kindNames = [kindsEnd]string{
	PageViewed: "page", ScreenViewed: "screen", Tracked: "track",
	OrderCompleted: "order_completed", OrderUpdated: "order_updated", OrderRefunded: "order_refunded", OrderCancelled: "order_cancelled",
	CampaignSent: "campaign_sent", CampaignDelivered: "campaign_delivered", CampaignOpened: "campaign_opened", CampaignClicked: "campaign_clicked",
	TicketOpened: "ticket_opened", TicketReplied: "ticket_replied", TicketClosed: "ticket_closed",
	ConsentGiven: "consent_given", ConsentWithdrawn: "consent_withdrawn", OfferProposed: "offer_proposed",
	Identified: "identify", Aliased: "alias", Grouped: "group",
}

// String returns the kind's name on the wire, such as "order_completed", or "" for a number that is no kind.
func (k EventKind) String() string {
	if k >= kindsEnd {
		return ""
	}
	return kindNames[k]
}

// KindNamed returns the kind with this name on the wire; ok is false if there is none.
func KindNamed(name string) (k EventKind, ok bool) {
	for k := EventKind(1); k < kindsEnd; k++ {
		if kindNames[k] == name {
			return k, true
		}
	}
	return 0, false
}

// Fact reports whether the kind states something that holds at any age: it is applied however late it comes.
func (k EventKind) Fact() bool {
	switch k {
	case OrderCompleted, OrderUpdated, OrderRefunded, OrderCancelled, ConsentGiven, ConsentWithdrawn:
		return true
	}
	return false
}

// OfOrder reports whether the kind concerns an order.
func (k EventKind) OfOrder() bool { return k >= OrderCompleted && k <= OrderCancelled }

// OfConsent reports whether the kind states something of a consent.
func (k EventKind) OfConsent() bool { return k == ConsentGiven || k == ConsentWithdrawn }

// InSession reports whether the kind is activity of which sessions consist.
func (k EventKind) InSession() bool {
	switch k {
	case PageViewed, ScreenViewed, Tracked, OrderCompleted, CampaignClicked:
		return true
	}
	return false
}

// ProvesTime reports whether an event of this kind shows that the customer has been heard of at its time, so that their silence before it is
// over. What the shop does by itself (sending a campaign, closing a ticket, proposing an offer) proves nothing: an order
// made before it may still be on its way.
func (k EventKind) ProvesTime() bool {
	switch k {
	case CampaignSent, CampaignDelivered, TicketClosed, OfferProposed:
		return false
	}
	return true
}

// Event is the canonical event of one customer. Strings are valid UTF-8 and within the limits of package schemas.
type Event struct {
	Kind     EventKind
	ID       string    // the producer's message id; without one, "topic/partition/offset" of the record
	Customer string    // never empty
	Time     EventTime // when it happened; the append time if Clamped
	Day      Day       // the calendar day of Time
	DayStart EventTime // 00:00 of Day in the configured time zone
	Clamped  bool      // the source's time lay in the future: such an event proves no time and moves no watermark
	Doubted  bool      // the time lies ahead of the clock of who has read it: it proves none and moves none either
	Name     string    // page, screen: what was viewed; track: the name of the event; offer: the purpose of the consent that it needs, "" if none
	Quantity float64   // items, 0 or more; 0 if the source gives none
	OrderID  string    // order kinds: never empty; a record without an order id is an order of its own
	RefundID string    // order_refunded: what tells two refunds of an order apart; ID if the source gives none
	Amount   Money     // order_completed, order_updated: the order's value; order_refunded: the part refunded; offer: what it costs
	Whole    bool      // order_refunded: all of the order, whatever Amount says
	Subject  string    // campaign, ticket, offer or group id; consent: its purpose; alias: the other id
	Proof    string    // consent: the record that proves it
}
