package lull.peer;

import java.util.Arrays;

/** Writes Avro's binary encoding into memory that it keeps. */
final class Writer {
    private byte[] bytes = new byte[1024];
    private int at;

    Writer reset() {
        at = 0;
        return this;
    }

    byte[] copy() {
        return Arrays.copyOf(bytes, at);
    }

    private void room(int more) {
        if (bytes.length - at < more) {
            bytes = Arrays.copyOf(bytes, Math.max(2 * bytes.length, at + more));
        }
    }

    Writer number(long value) {
        room(10);
        value = value << 1 ^ value >> 63;
        while ((value & ~0x7fL) != 0) {
            bytes[at++] = (byte) (value | 0x80);
            value >>>= 7;
        }
        bytes[at++] = (byte) value;
        return this;
    }

    Writer flag(boolean value) {
        room(1);
        bytes[at++] = (byte) (value ? 1 : 0);
        return this;
    }

    Writer decimal(double value) {
        room(8);
        long bits = Double.doubleToRawLongBits(value);
        for (int i = 0; i < 8; i++) {
            bytes[at++] = (byte) (bits >>> 8 * i);
        }
        return this;
    }

    Writer text(byte[] value) {
        number(value.length);
        room(value.length);
        System.arraycopy(value, 0, bytes, at, value.length);
        at += value.length;
        return this;
    }

    /** A text of ASCII. */
    Writer text(String value) {
        int length = value.length();
        number(length);
        room(length);
        for (int i = 0; i < length; i++) {
            bytes[at++] = (byte) value.charAt(i);
        }
        return this;
    }

    Writer none() {
        return number(0);
    }

    Writer optionalText(byte[] value) {
        return value == null ? none() : number(1).text(value);
    }

    Writer optionalText(String value) {
        return value == null ? none() : number(1).text(value);
    }

    /** An instant, or null if it never comes. */
    Writer optionalInstant(long at) {
        return at == Time.NEVER ? none() : number(1).number(at);
    }
}
