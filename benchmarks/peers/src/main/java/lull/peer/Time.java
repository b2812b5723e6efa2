package lull.peer;

/** Instants are milliseconds since 1970-01-01T00:00:00Z. */
final class Time {
    static final long NEVER = Long.MAX_VALUE;
    static final long UNSET = Long.MIN_VALUE;
    static final long DAY_MS = 86_400_000;

    static int day(long at) {
        return (int) Math.floorDiv(at, DAY_MS);
    }

    private Time() {}
}
