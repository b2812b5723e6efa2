package lull.peer;

/** The kinds of events that the job tells apart, by their places in the enum lull.EventKind. */
final class Kind {
    static final int PAGE = 0;
    static final int SCREEN = 1;
    static final int TRACK = 2;
    static final int ORDER_COMPLETED = 3;
    static final int ORDER_UPDATED = 4;
    static final int ORDER_REFUNDED = 5;
    static final int ORDER_CANCELLED = 6;
    static final int CAMPAIGN_SENT = 7;
    static final int CAMPAIGN_DELIVERED = 8;
    static final int CAMPAIGN_CLICKED = 10;
    static final int TICKET_CLOSED = 13;
    static final int CONSENT_GIVEN = 14;
    static final int CONSENT_WITHDRAWN = 15;
    static final int OFFER_PROPOSED = 16;

    static final String[] NAMES = {
        "page", "screen", "track", "order_completed", "order_updated", "order_refunded", "order_cancelled", "campaign_sent", "campaign_delivered",
        "campaign_opened", "campaign_clicked", "ticket_opened", "ticket_replied", "ticket_closed", "consent_given", "consent_withdrawn", "offer_proposed",
        "identify", "alias", "group"
    };

    static boolean ofOrder(int kind) {
        return kind >= ORDER_COMPLETED && kind <= ORDER_CANCELLED;
    }

    /** A fact is applied however late it comes. */
    static boolean fact(int kind) {
        return ofOrder(kind) || kind == CONSENT_GIVEN || kind == CONSENT_WITHDRAWN;
    }

    static boolean inSession(int kind) {
        return kind <= ORDER_COMPLETED || kind == CAMPAIGN_CLICKED;
    }

    /** Whether an event of this kind shows that the customer was active at its time. */
    static boolean provesTime(int kind) {
        return kind != CAMPAIGN_SENT && kind != CAMPAIGN_DELIVERED && kind != TICKET_CLOSED && kind != OFFER_PROPOSED;
    }

    private Kind() {}
}
