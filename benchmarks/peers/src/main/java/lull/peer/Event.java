package lull.peer;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.streams.processor.TimestampExtractor;

import java.nio.charset.StandardCharsets;
import java.time.Instant;

/** An event as schemas/event.avsc has it, without the fields that the job does not look at. */
final class Event {
    int kind;
    byte[] id;
    long idHash;
    long time;
    byte[] orderId; // null: none
    long refundHash;
    long amount;
    boolean whole;
    byte[] name; // null: none

    /** Decodes by hand: no library reads one schema faster. */
    static final class Decoder implements Deserializer<Event> {
        @Override
        public Event deserialize(String topic, byte[] data) {
            if (data == null) {
                return null;
            }
            Reader r = new Reader(data);
            Event e = new Event();
            e.kind = r.small();
            e.id = r.optionalText();
            e.idHash = e.id == null ? 0 : Reader.hash(e.id, 0, e.id.length);
            r.skipText(); // the customer, who is the key
            e.time = r.number();
            e.orderId = r.optionalText();
            e.refundHash = r.optionalHash();
            e.amount = r.present() ? r.number() : 0;
            r.skipOptionalText(); // the currency: all amounts are in one
            e.whole = r.flag();
            if (r.present()) {
                r.skip(Double.BYTES);
            }
            e.name = r.optionalText();
            return e;
        }
    }

    /** Stream time is event time, so that it survives restarts with the committed offsets. A time mark moves it as far as no event will come behind any more. */
    static final class Timestamps implements TimestampExtractor {
        @Override
        public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
            if (record.value() instanceof Event e) {
                return e.time;
            }
            Header mark = record.headers().lastHeader("lull-time-mark");
            if (mark == null) {
                return -1; // no event and no mark: left out
            }
            return Instant.parse(new String(mark.value(), StandardCharsets.UTF_8)).toEpochMilli() + Job.LATENESS_MS;
        }
    }
}
