package lull.peer;

import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.PriorityQueue;

/**
 * The chain of operators for one partition: dedup, sessions, ledger of orders, purchase days, scores, segments, triggers; and the deadlines that fire between
 * the records that release them, in order of (deadline, customer). pipeline/task says why they do.
 *
 * A customer has one timer, in a store of (deadline, customer). It is armed again lazily: a deadline that moves on leaves its entry, which finds out when it
 * fires. The next few hours' are in memory, so that most records read no timers and the range that is read is a short one.
 */
final class Job implements Processor<byte[], Event, byte[], byte[]> {
    static final String CUSTOMERS = "customers";
    static final String TIMERS = "timers";

    static final long LATENESS_MS = 600_000;
    static final long GAP_MS = 1_800_000;
    private static final int SESSIONS_MAX = 8;
    private static final long MESSAGES_MS = 3_600_000;
    private static final int MESSAGES_MAX = 128;
    private static final int PAGE_BYTES_MAX = 256;
    private static final long TRIGGER_AGE_MAX_MS = Time.DAY_MS;
    private static final long AHEAD_MS = 6 * 3_600_000;
    private static final byte[] NOTHING = {};

    private final Model model;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], Customer> customers;
    private KeyValueStore<byte[], byte[]> timers;
    private Outputs out;

    private long watermark = Time.UNSET;
    private final PriorityQueue<Timer> near = new PriorityQueue<>(); // those before
    private long horizon = Time.UNSET; // an instant
    private byte[] returning; // whose record is being applied, and
    private long returnAt; // its time

    Job(Model model) {
        this.model = model;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        customers = context.getStateStore(CUSTOMERS);
        timers = context.getStateStore(TIMERS);
        out = new Outputs(context, model);
        // After an aborted transaction the same task begins anew.
        watermark = Time.UNSET;
        horizon = Time.UNSET;
        near.clear();
        returning = null;
    }

    @Override
    public void process(Record<byte[], Event> record) {
        watermark = Math.max(watermark, context.currentStreamTimeMs() - LATENESS_MS);
        Event e = record.value();
        if (e == null) { // a time mark
            fireDue();
            return;
        }
        boolean proves = Kind.provesTime(e.kind);
        if (proves) {
            returning = record.key();
            returnAt = e.time;
        }
        fireDue();
        apply(record.key(), e, proves);
        returning = null;
        fireDue();
    }

    private void apply(byte[] key, Event e, boolean proves) {
        if (e.time < watermark && !Kind.fact(e.kind)) {
            return; // late
        }
        Customer c = customers.get(key);
        if (c == null) {
            c = new Customer();
        }
        long reached = e.time;
        if (proves) {
            releaseSilence(key, c, e.time);
        } else {
            reached = Math.min(e.time, watermark);
        }
        event(key, c, e, Math.max(c.at, reached));
        arm(key, c, watermark);
        customers.put(key, c);
    }

    // Timers.

    private record Timer(long at, byte[] key) implements Comparable<Timer> {
        @Override
        public int compareTo(Timer other) {
            return at != other.at ? Long.compare(at, other.at) : Arrays.compareUnsigned(key, other.key);
        }

        byte[] entry() {
            return ByteBuffer.allocate(Long.BYTES + key.length).putLong(at).put(key).array();
        }
    }

    private void fireDue() {
        if (watermark >= horizon) {
            load(watermark + AHEAD_MS);
        }
        while (!near.isEmpty() && near.peek().at <= watermark) {
            Timer t = near.poll();
            timers.delete(t.entry());
            Customer c = customers.get(t.key);
            if (c == null || c.armed != t.at) {
                continue;
            }
            c.armed = Time.NEVER;
            for (long deadline = c.next(); deadline <= t.at; deadline = c.next()) {
                deadline(t.key, c, deadline);
            }
            arm(t.key, c, t.at);
            customers.put(t.key, c);
        }
    }

    private void load(long until) {
        // Before where the last load ended there are none but those in memory.
        try (KeyValueIterator<byte[], byte[]> entries = timers.range(new Timer(Math.max(0, horizon), NOTHING).entry(), new Timer(until, NOTHING).entry())) {
            while (entries.hasNext()) {
                byte[] entry = entries.next().key;
                near.add(new Timer(ByteBuffer.wrap(entry).getLong(), Arrays.copyOfRange(entry, Long.BYTES, entry.length)));
            }
        }
        horizon = until;
    }

    private void arm(byte[] key, Customer c, long floor) {
        long next = Math.max(c.next(), floor);
        if (next < c.armed) {
            c.armed = next;
            Timer t = new Timer(next, key);
            timers.put(t.entry(), NOTHING);
            if (next < horizon) {
                near.add(t);
            }
        }
    }

    /** An event of the customer's own ends their silence. Sessions wait for the watermark. */
    private void releaseSilence(byte[] key, Customer c, long until) {
        for (long deadline = c.nextBySilence(); deadline <= until; deadline = c.nextBySilence()) {
            deadline(key, c, deadline);
        }
    }

    // One step of the chain.

    private void begin(Customer c, long at) {
        c.at = Math.max(c.at, at);
        c.changedOrders = false;
        c.bought = false;
        c.changedScore = false;
    }

    private void deadline(byte[] key, Customer c, long at) {
        begin(c, at);
        forget(c);
        endSessions(key, c, Math.min(at, watermark));
        Outputs.Cause cause = new Outputs.Cause(null, at);
        if (Math.min(c.scoreNext, Math.min(c.segmentNext, c.rulesNext)) <= at) {
            score(key, c, at);
        }
        if (c.changedScore) {
            segments(key, c, at, cause);
            triggers(key, c, at, cause, returning != null && at <= returnAt && Arrays.equals(returning, key));
        }
    }

    private void event(byte[] key, Customer c, Event e, long at) {
        begin(c, at);
        forget(c);
        if (repeated(c, e)) {
            return;
        }
        if (Kind.inSession(e.kind) && e.time >= watermark) {
            addToSession(c, e);
        }
        if (Kind.ofOrder(e.kind)) {
            order(c, e);
        }
        if (c.changedOrders) {
            score(key, c, at);
        }
        Outputs.Cause cause = new Outputs.Cause(e.id, 0);
        if (c.changedScore) {
            segments(key, c, at, cause);
            triggers(key, c, at, cause, false);
        } else if (c.lifecycle == 0 && c.days.isEmpty() && !Kind.ofOrder(e.kind)) {
            withoutPurchase(key, c, at, cause);
        }
    }

    // Message ids.

    private void forget(Customer c) {
        int n = 0;
        while (n < c.messages.length && c.messages[n + 1] < watermark - MESSAGES_MS) {
            n += 2;
        }
        if (n > 0) {
            c.messages = n == c.messages.length ? Customer.NONE : Arrays.copyOfRange(c.messages, n, c.messages.length);
        }
    }

    private boolean repeated(Customer c, Event e) {
        long[] m = c.messages;
        for (int i = 0; i < m.length; i += 2) {
            if (m[i] == e.idHash) {
                return true;
            }
        }
        if (watermark != Time.UNSET && e.time < watermark - MESSAGES_MS) {
            return false;
        }
        int place = m.length;
        while (place > 0 && m[place - 1] > e.time) {
            place -= 2;
        }
        long[] more = Arrays.copyOf(m, m.length + 2);
        System.arraycopy(m, place, more, place + 2, m.length - place);
        more[place] = e.idHash;
        more[place + 1] = e.time;
        c.messages = more.length > 2 * MESSAGES_MAX ? Arrays.copyOfRange(more, more.length - 2 * MESSAGES_MAX, more.length) : more;
        return false;
    }

    // Sessions.

    private void endSessions(byte[] key, Customer c, long at) {
        while (!c.sessions.isEmpty() && c.sessions.get(0).end + GAP_MS <= at) {
            out.session(key, c, c.sessions.remove(0));
        }
    }

    private static void addToSession(Customer c, Event e) {
        int i = c.sessions.size();
        while (i > 0 && e.time < c.sessions.get(i - 1).end + GAP_MS) {
            i--;
        }
        if (i == c.sessions.size() || c.sessions.get(i).start - e.time >= GAP_MS) {
            if (c.sessions.size() >= SESSIONS_MAX) {
                return;
            }
            Customer.Session opened = new Customer.Session();
            opened.start = e.time;
            opened.end = e.time;
            c.sessions.add(i, opened);
        }
        Customer.Session s = c.sessions.get(i);
        s.start = Math.min(s.start, e.time);
        s.end = Math.max(s.end, e.time);
        s.counts[e.kind]++;
        if (e.kind <= Kind.SCREEN) {
            page(s, e.name, e.time, e.name, e.time);
        } else if (e.kind == Kind.TRACK) {
            s.cart += products(e.name);
        }
        if (i + 1 < c.sessions.size() && c.sessions.get(i + 1).start - s.end < GAP_MS) {
            Customer.Session later = c.sessions.remove(i + 1);
            s.end = later.end;
            s.cart += later.cart;
            for (int kind = 0; kind < s.counts.length; kind++) {
                s.counts[kind] += later.counts[kind];
            }
            if (later.firstPage != null) {
                page(s, later.firstPage, later.firstPageAt, later.lastPage, later.lastPageAt);
            }
        }
    }

    private static final byte[] ADDED = "Product Added".getBytes();
    private static final byte[] ADDED_FIRST = "Added Product".getBytes();
    private static final byte[] REMOVED = "Product Removed".getBytes();
    private static final byte[] REMOVED_FIRST = "Removed Product".getBytes();

    private static int products(byte[] name) {
        if (Arrays.equals(name, ADDED) || Arrays.equals(name, ADDED_FIRST)) {
            return 1;
        }
        return Arrays.equals(name, REMOVED) || Arrays.equals(name, REMOVED_FIRST) ? -1 : 0;
    }

    private static void page(Customer.Session s, byte[] first, long firstAt, byte[] last, long lastAt) {
        if (s.firstPage == null || firstAt < s.firstPageAt || firstAt == s.firstPageAt && Arrays.compareUnsigned(first, s.firstPage) < 0) {
            s.firstPage = cut(first);
            s.firstPageAt = firstAt;
        }
        if (s.lastPage == null || lastAt > s.lastPageAt || lastAt == s.lastPageAt && Arrays.compareUnsigned(last, s.lastPage) > 0) {
            s.lastPage = cut(last);
            s.lastPageAt = lastAt;
        }
    }

    private static byte[] cut(byte[] name) {
        if (name.length <= PAGE_BYTES_MAX) {
            return name;
        }
        int length = PAGE_BYTES_MAX;
        while (length > 0 && (name[length] & 0xc0) == 0x80) {
            length--;
        }
        return Arrays.copyOf(name, length);
    }

    // Orders and purchase days.

    private static void order(Customer c, Event e) {
        byte[] id = e.orderId == null ? e.id : e.orderId;
        Customer.Order o = c.order(id);
        if (o == null) {
            o = new Customer.Order();
            o.id = id;
            o.time = e.time;
            c.orders.add(o);
        }
        boolean counted = o.counts();
        int wasOn = o.day();
        long was = o.net();
        apply(o, e);
        boolean counts = o.counts();
        if (counted == counts && (!counts || wasOn == o.day() && was == o.net())) {
            return;
        }
        c.changedOrders = true;
        if (counted && counts && wasOn == o.day()) {
            change(c, wasOn, 0, o.net() - was);
            return;
        }
        if (counts) {
            change(c, o.day(), 1, o.net());
        }
        if (counted) {
            change(c, wasOn, -1, -was);
        }
    }

    private static void apply(Customer.Order o, Event e) {
        if (e.kind == Kind.ORDER_COMPLETED) {
            if (!o.completed || e.time < o.time) {
                o.completed = true;
                o.time = e.time;
            }
        } else if (!o.completed) {
            o.time = Math.min(o.time, e.time);
        }
        switch (e.kind) {
            case Kind.ORDER_COMPLETED, Kind.ORDER_UPDATED -> {
                if (e.time > o.amountTime || e.time == o.amountTime && Long.compareUnsigned(e.idHash, o.amountBy) > 0) {
                    o.amount = e.amount;
                    o.amountTime = e.time;
                    o.amountBy = e.idHash;
                }
            }
            case Kind.ORDER_REFUNDED -> {
                if (e.whole) {
                    o.whole = true;
                } else {
                    refund(o, e);
                }
            }
            default -> o.cancelled = true;
        }
    }

    private static void refund(Customer.Order o, Event e) {
        long id = e.refundHash == 0 ? e.idHash : e.refundHash;
        for (int i = 0; i < o.refunds.length; i += 2) {
            if (o.refunds[i] == id) {
                o.refunds[i + 1] = Math.max(o.refunds[i + 1], e.amount);
                return;
            }
        }
        o.refunds = Arrays.copyOf(o.refunds, o.refunds.length + 2);
        o.refunds[o.refunds.length - 2] = id;
        o.refunds[o.refunds.length - 1] = e.amount;
    }

    private static void change(Customer c, int day, int orders, long net) {
        int i = c.days.size();
        while (i > 0 && c.days.get(i - 1).day >= day) {
            i--;
        }
        if (i == c.days.size() || c.days.get(i).day != day) {
            Customer.Day appeared = new Customer.Day();
            appeared.day = day;
            c.days.add(i, appeared);
            c.bought = true;
        }
        Customer.Day d = c.days.get(i);
        d.orders += orders;
        d.net += net;
        if (d.orders == 0) {
            c.days.remove(i);
        }
    }

    // Scores, segments and triggers.

    private void score(byte[] key, Customer c, long at) {
        if (c.days.isEmpty()) {
            if (c.scored) {
                c.scored = false;
                c.scoreNext = Time.NEVER;
                c.valueFalls = Time.UNSET;
                c.changedScore = true;
                out.score(key, c);
            }
            return;
        }
        Evaluation e = new Evaluation(c, model);
        if (c.changedOrders) {
            c.valueFalls = e.valueFalls(model.highValue);
        }
        c.facts = e.facts(at, c.valueFalls);
        c.scored = true;
        c.scoreNext = e.next(at, c.valueFalls);
        c.changedScore = true;
        out.score(key, c);
    }

    private void segments(byte[] key, Customer c, long at, Outputs.Cause cause) {
        if (!c.scored) {
            withoutPurchase(key, c, at, cause);
            return;
        }
        c.segmentNext = Time.NEVER;
        quadrant(key, c, at, cause);
        if (c.prospect) {
            c.prospect = false;
            out.segment(key, c, 1, "prospects", "none", at, cause);
        }
        int from = c.lifecycle;
        c.lifecycle = Segments.stage(from, c.facts, c.highRisk, c.bought);
        if (c.lifecycle != from) {
            out.segment(key, c, 2, Segments.STAGES[from], Segments.STAGES[c.lifecycle], at, cause);
        }
    }

    private void quadrant(byte[] key, Customer c, long at, Outputs.Cause cause) {
        c.highRisk = Segments.highRisk(c.facts, c.highRisk);
        boolean high = c.facts.highValue;
        if (!high && c.quadrant >= Segments.ADVOCATE) {
            long until = new Evaluation(c, model).valueFalls(Evaluation.VALUE_BACK * model.highValue);
            if (at < until) {
                high = true;
                c.segmentNext = until;
            }
        }
        int from = c.quadrant;
        int to = Segments.quadrant(high, c.highRisk);
        if (to == from) {
            return;
        }
        if (from != 0 && at < c.since + Segments.DWELL_MS) {
            c.segmentNext = Math.min(c.segmentNext, c.since + Segments.DWELL_MS);
            return;
        }
        c.quadrant = to;
        c.since = at;
        out.segment(key, c, 0, Segments.QUADRANTS[from], Segments.QUADRANTS[to], at, cause);
    }

    private void withoutPurchase(byte[] key, Customer c, long at, Outputs.Cause cause) {
        int quadrant = c.quadrant;
        int lifecycle = c.lifecycle;
        boolean prospect = c.prospect;
        c.quadrant = 0;
        c.highRisk = false;
        c.since = 0;
        c.prospect = true;
        c.lifecycle = Segments.PROSPECT;
        c.segmentNext = Time.NEVER;
        if (quadrant != 0) {
            out.segment(key, c, 0, Segments.QUADRANTS[quadrant], "none", at, cause);
        }
        if (!prospect) {
            out.segment(key, c, 1, "none", "prospects", at, cause);
        }
        if (lifecycle != Segments.PROSPECT) {
            out.segment(key, c, 2, Segments.STAGES[lifecycle], "prospect", at, cause);
        }
    }

    private void triggers(byte[] key, Customer c, long at, Outputs.Cause cause, boolean returned) {
        c.rulesNext = Time.NEVER;
        if (!c.scored) {
            c.rulesHeld = 0;
            return;
        }
        Rules rules = new Rules(c, new Evaluation(c, model));
        for (int rule = 0; rule < Rules.COUNT; rule++) {
            int bit = 1 << rule;
            switch (rules.moves(rule, (c.rulesHeld & bit) != 0, at)) {
                case FIRES -> {
                    c.rulesHeld |= bit;
                    long deadline = rules.became(rule, at);
                    boolean cools = cools(c, rule, at, deadline);
                    String withheld = returned ? "returned" : deadline + TRIGGER_AGE_MAX_MS < watermark ? "stale" : cools ? "cooldown" : null;
                    out.trigger(key, c, rule, deadline, cause, withheld);
                }
                case HOLDS -> c.rulesHeld |= bit;
                case ARMS -> c.rulesHeld &= ~bit;
                default -> { }
            }
            c.rulesNext = Math.min(c.rulesNext, rules.next(rule, (c.rulesHeld & bit) != 0, at));
        }
    }

    /** Whether a deadline lies in the rule's cool-down; if not, that begins. */
    private static boolean cools(Customer c, int rule, long at, long deadline) {
        long lasts = Rules.COOLDOWNS[rule];
        if (lasts == 0) {
            return false;
        }
        if (c.cooled.length == 0) {
            c.cooled = new long[Rules.COUNT];
        }
        long until = c.cooled[rule] == 0 ? 0 : c.cooled[rule] + lasts;
        if (deadline < until && at < until) {
            return true;
        }
        c.cooled[rule] = deadline;
        return false;
    }
}
