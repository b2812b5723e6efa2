package lull.peer;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Reads what Writer writes: Avro's binary encoding, and the states, which use its numbers and texts. */
final class Reader {
    private final byte[] bytes;
    private int at;

    Reader(byte[] bytes) {
        this.bytes = bytes;
    }

    long number() {
        long value = 0;
        for (int shift = 0; ; shift += 7) {
            byte b = bytes[at++];
            value |= (long) (b & 0x7f) << shift;
            if (b >= 0) {
                return value >>> 1 ^ -(value & 1);
            }
        }
    }

    int small() {
        return (int) number();
    }

    boolean flag() {
        return bytes[at++] != 0;
    }

    byte[] text() {
        int length = small();
        at += length;
        return Arrays.copyOfRange(bytes, at - length, at);
    }

    void skipText() {
        int length = small(); // it moves at itself
        at += length;
    }

    String string() {
        int length = small();
        at += length;
        return new String(bytes, at - length, length, StandardCharsets.UTF_8);
    }

    /** The branch of a union with null, which is the first. */
    boolean present() {
        return number() != 0;
    }

    byte[] optionalText() {
        return present() ? text() : null;
    }

    /** 64 bits that stand for a text that is present. */
    long optionalHash() {
        if (!present()) {
            return 0;
        }
        int length = small();
        at += length;
        return hash(bytes, at - length, at);
    }

    void skipOptionalText() {
        if (present()) {
            skipText();
        }
    }

    void skip(int length) {
        at += length;
    }

    static long hash(byte[] bytes, int from, int to) {
        long h = 0xcbf29ce484222325L;
        for (int i = from; i < to; i++) {
            h = (h ^ bytes[i]) * 0x100000001b3L;
        }
        h = (h ^ h >>> 32) * 0xd6e8feb86659fd93L;
        return h ^ h >>> 32;
    }
}
