package lull.peer;

import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** Writes the outputs by lull's schemas. What only people read is left out: reasons, counterfactuals, the facts in words; and the headers, the ceiling of an offer and the rules' versions. */
final class Outputs {
    static final String SESSIONS = "sessions";
    static final String SCORES = "scores";
    static final String SEGMENTS = "segments";
    static final String TRIGGERS = "triggers";

    private final ProcessorContext<byte[], byte[]> context;
    private final Model model;
    private final Writer w = new Writer();

    Outputs(ProcessorContext<byte[], byte[]> context, Model model) {
        this.context = context;
        this.model = model;
    }

    /** What makes outputs: an event, or a deadline. */
    record Cause(byte[] eventId, long deadline) {}

    private void send(String topic, byte[] key, byte[] value) {
        context.forward(new Record<>(key, value, Math.max(0, context.currentStreamTimeMs())), topic);
    }

    void session(byte[] key, Customer c, Customer.Session s) {
        int events = 0;
        int kinds = 0;
        for (int n : s.counts) {
            events += n;
            kinds += n > 0 ? 1 : 0;
        }
        w.reset().text(key).number(s.start).number(s.end).number(s.end - s.start).number(events).number(kinds);
        for (int kind = 0; kind < s.counts.length; kind++) {
            if (s.counts[kind] > 0) {
                w.text(Kind.NAMES[kind]).number(s.counts[kind]);
            }
        }
        int orders = s.counts[Kind.ORDER_COMPLETED];
        w.number(0); // no more counts
        w.optionalText(s.firstPage).optionalText(s.lastPage).number(s.cart).number(orders).flag(s.cart > 0 && orders == 0).number(++c.revision);
        send(SESSIONS, key, w.copy());
    }

    void score(byte[] key, Customer c) {
        c.revision++;
        if (!c.scored) {
            send(SCORES, key, null);
            return;
        }
        w.reset().text(key).text(model.version).optionalInstant(c.scoreNext).number(c.days.size()).number(c.ordersCounted());
        w.number(c.first()).number(c.last()).number(c.net()).number(c.repeatNet());
        facts(c.facts).decimal(Evaluation.DISCOUNT_MONTHLY).decimal(1).number(c.revision);
        send(SCORES, key, w.copy());
    }

    private Writer facts(Facts f) {
        w.number(f.asOf).number(f.x).decimal(f.lastAge).decimal(f.age).decimal(f.age - f.lastAge).decimal(f.pAlive).decimal(1 - f.pAlive).decimal(f.buysAgain);
        w.decimal(f.expectedPurchases).decimal(f.expectedSpend).decimal(f.clv).decimal(f.valueAtRisk).decimal(f.aboutToBeLost).flag(f.highValue);
        return w.optionalInstant(f.highRiskAt).text("USD").decimal(Evaluation.HORIZON_DAYS).decimal(Evaluation.CONTACT_DAYS);
    }

    private void cause(Cause cause) {
        if (cause.eventId != null) {
            w.number(0).optionalText(cause.eventId).none();
        } else {
            w.number(1).none().optionalInstant(cause.deadline);
        }
    }

    void segment(byte[] key, Customer c, int dimension, String from, String to, long at, Cause cause) {
        w.reset().text(key).number(at).number(dimension).text(from).text(to);
        cause(cause);
        w.text(model.version);
        if (c.scored) {
            w.number(1);
            facts(c.facts);
        } else {
            w.none();
        }
        w.none().number(0).number(++c.revision); // no RFM scores, no reasons
        send(SEGMENTS, key, w.copy());
    }

    void trigger(byte[] key, Customer c, int rule, long deadline, Cause cause, String withheld) {
        w.reset().text(key).text(Rules.NAMES[rule]).text(Rules.FROM[rule]).text(Rules.TO[rule]).number(deadline);
        cause(cause);
        w.flag(withheld == null).optionalText(withheld).text(model.version);
        facts(c.facts);
        w.number(0).number(++c.revision).none().text("").text(Rules.SEVERITIES[rule]).optionalText(Rules.ACTIONS[rule]);
        w.flag(false).none().none().number(0).number(0).none().decimal(c.facts.aboutToBeLost);
        send(TRIGGERS, key, w.copy());
    }
}
