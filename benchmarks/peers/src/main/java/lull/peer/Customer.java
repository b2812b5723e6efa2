package lull.peer;

import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** All that is kept of one customer. */
final class Customer {
    /** What a session is made of; counts are by Kind. */
    static final class Session {
        long start;
        long end;
        final int[] counts = new int[Kind.NAMES.length];
        byte[] firstPage; // null: none
        byte[] lastPage;
        long firstPageAt;
        long lastPageAt;
        int cart;
    }

    static final class Order {
        byte[] id;
        boolean completed;
        boolean cancelled;
        boolean whole;
        long time;
        long amount;
        long amountTime = Time.UNSET;
        long amountBy;
        long[] refunds = NONE; // hash of the refund id, amount, …

        boolean counts() {
            return completed && !cancelled;
        }

        int day() {
            return Time.day(time);
        }

        long net() {
            if (!counts() || whole) {
                return 0;
            }
            long net = amount;
            for (int i = 1; i < refunds.length; i += 2) {
                net -= refunds[i];
            }
            return Math.max(0, net);
        }
    }

    /** A calendar day, in UTC, with at least one order that counts. */
    static final class Day {
        int day;
        int orders;
        long net;
    }

    static final long[] NONE = {};

    long armed = Time.NEVER; // where the customer's entry in the timers stands
    long at; // the latest instant that the customer has been computed at
    long revision;
    long[] messages = NONE; // hash of the message id, time, …, oldest first
    final List<Session> sessions = new ArrayList<>(1);
    final List<Order> orders = new ArrayList<>(4);
    final List<Day> days = new ArrayList<>(4);

    boolean scored;
    long scoreNext = Time.NEVER;
    long valueFalls = Time.UNSET;

    int quadrant;
    boolean highRisk;
    long since;
    boolean prospect; // among the groups of RFM scores, of which the model has no others
    int lifecycle;
    long segmentNext = Time.NEVER;

    int rulesHeld; // a bit for each of Rules
    long rulesNext = Time.NEVER;
    long[] cooled = NONE; // when the cool-down of each rule began; none until the first

    // Of the step under way, and not kept.
    boolean changedOrders;
    boolean bought; // a purchase day has appeared
    boolean changedScore;
    Facts facts;

    /** The next instant at which silence changes something. */
    long nextBySilence() {
        return Math.min(scoreNext, Math.min(segmentNext, rulesNext));
    }

    /** The same, or at which a session ends. */
    long next() {
        return sessions.isEmpty() ? nextBySilence() : Math.min(nextBySilence(), sessions.get(0).end + Job.GAP_MS);
    }

    // The purchases: what days come to.
    int first() {
        return days.get(0).day;
    }

    int last() {
        return days.get(days.size() - 1).day;
    }

    int ordersCounted() {
        int sum = 0;
        for (int i = 0; i < days.size(); i++) {
            sum += days.get(i).orders;
        }
        return sum;
    }

    long net() {
        long sum = 0;
        for (int i = 0; i < days.size(); i++) {
            sum += days.get(i).net;
        }
        return sum;
    }

    long repeatNet() {
        return net() - days.get(0).net;
    }

    /** The state as bytes: Avro's numbers and texts, one after the other. */
    static Serde<Customer> serde() {
        return Serdes.serdeFrom(new Encoder(), new Decoder());
    }

    private static final class Encoder implements Serializer<Customer> {
        // One serializer serves the stores of all threads.
        private final ThreadLocal<Writer> writers = ThreadLocal.withInitial(Writer::new);

        @Override
        public byte[] serialize(String topic, Customer c) {
            if (c == null) {
                return null;
            }
            Writer w = writers.get();
            w.reset().number(c.armed).number(c.at).number(c.revision);
            w.number(c.messages.length);
            for (long m : c.messages) {
                w.number(m);
            }
            w.number(c.sessions.size());
            for (Session s : c.sessions) {
                w.number(s.start).number(s.end).number(s.cart);
                w.optionalText(s.firstPage).optionalText(s.lastPage);
                if (s.firstPage != null) {
                    w.number(s.firstPageAt).number(s.lastPageAt);
                }
                for (int kind = 0; kind < s.counts.length; kind++) {
                    if (s.counts[kind] > 0) {
                        w.number(kind).number(s.counts[kind]);
                    }
                }
                w.number(-1);
            }
            w.number(c.orders.size());
            for (Order o : c.orders) {
                w.text(o.id).number((o.completed ? 1 : 0) | (o.cancelled ? 2 : 0) | (o.whole ? 4 : 0)).number(o.time).number(o.amount);
                w.number(o.amountTime).number(o.amountBy).number(o.refunds.length);
                for (long r : o.refunds) {
                    w.number(r);
                }
            }
            w.number(c.days.size());
            for (Day d : c.days) {
                w.number(d.day).number(d.orders).number(d.net);
            }
            w.flag(c.scored).number(c.scoreNext).number(c.valueFalls);
            w.number(c.quadrant).flag(c.highRisk).number(c.since).flag(c.prospect).number(c.lifecycle).number(c.segmentNext);
            w.number(c.rulesHeld).number(c.rulesNext).number(c.cooled.length);
            for (long t : c.cooled) {
                w.number(t);
            }
            return w.copy();
        }
    }

    private static final class Decoder implements Deserializer<Customer> {
        @Override
        public Customer deserialize(String topic, byte[] data) {
            if (data == null) {
                return null;
            }
            Reader r = new Reader(data);
            Customer c = new Customer();
            c.armed = r.number();
            c.at = r.number();
            c.revision = r.number();
            c.messages = numbers(r);
            for (int n = r.small(); n > 0; n--) {
                Session s = new Session();
                s.start = r.number();
                s.end = r.number();
                s.cart = r.small();
                s.firstPage = r.optionalText();
                s.lastPage = r.optionalText();
                if (s.firstPage != null) {
                    s.firstPageAt = r.number();
                    s.lastPageAt = r.number();
                }
                for (int kind = r.small(); kind >= 0; kind = r.small()) {
                    s.counts[kind] = r.small();
                }
                c.sessions.add(s);
            }
            for (int n = r.small(); n > 0; n--) {
                Order o = new Order();
                o.id = r.text();
                int flags = r.small();
                o.completed = (flags & 1) != 0;
                o.cancelled = (flags & 2) != 0;
                o.whole = (flags & 4) != 0;
                o.time = r.number();
                o.amount = r.number();
                o.amountTime = r.number();
                o.amountBy = r.number();
                o.refunds = numbers(r);
                c.orders.add(o);
            }
            for (int n = r.small(); n > 0; n--) {
                Day d = new Day();
                d.day = r.small();
                d.orders = r.small();
                d.net = r.number();
                c.days.add(d);
            }
            c.scored = r.flag();
            c.scoreNext = r.number();
            c.valueFalls = r.number();
            c.quadrant = r.small();
            c.highRisk = r.flag();
            c.since = r.number();
            c.prospect = r.flag();
            c.lifecycle = r.small();
            c.segmentNext = r.number();
            c.rulesHeld = r.small();
            c.rulesNext = r.number();
            c.cooled = numbers(r);
            return c;
        }

        private static long[] numbers(Reader r) {
            int n = r.small();
            if (n == 0) {
                return NONE;
            }
            long[] list = new long[n];
            for (int i = 0; i < n; i++) {
                list[i] = r.number();
            }
            return list;
        }
    }

    Order order(byte[] id) {
        for (int i = orders.size() - 1; i >= 0; i--) {
            if (Arrays.equals(orders.get(i).id, id)) {
                return orders.get(i);
            }
        }
        return null;
    }
}
