package lull.peer;

/** One customer's purchases seen through the model, as operators/score evaluates them with its defaults. The customer has purchases, none of them after the instants asked for. */
final class Evaluation {
    static final int HORIZON_MONTHS = 12;
    static final double MONTH_DAYS = 30.4375;
    static final double HORIZON_DAYS = HORIZON_MONTHS * MONTH_DAYS;
    static final double DISCOUNT_MONTHLY = 0.01;
    static final double CONTACT_DAYS = 30;
    static final double VALUE_BACK = 0.8;
    /** P(alive) where the churn risk is high, low again, dormant and lost. */
    static final double HIGH = 0.3;
    static final double LOW = 0.4;
    static final double DORMANT = 0.15;
    static final double LOST = 0.05;

    private static final double[] BOUNDS = {0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05};
    private static final double SILENCE_DAYS_MAX = 36_525;
    private static final double MINOR_PER_MAJOR = 100;

    private final Model model;
    private final int x;
    private final double lastAge;
    private final double spend;
    private final long firstStart;

    Evaluation(Customer c, Model model) {
        this.model = model;
        x = c.days.size() - 1;
        lastAge = c.last() - c.first();
        firstStart = c.first() * Time.DAY_MS;
        spend = model.meanSpend(x, c.repeatNet() / MINOR_PER_MAJOR);
    }

    long lastStart() {
        return firstStart + (long) (lastAge * Time.DAY_MS);
    }

    private double valueIfAlive(double age) {
        return spend * model.discountedIfAlive(x, age, HORIZON_MONTHS, MONTH_DAYS, DISCOUNT_MONTHLY);
    }

    private double clv(double age) {
        return model.pAlive(x, lastAge, age) * valueIfAlive(age);
    }

    Facts facts(long at, long valueFalls) {
        Facts f = new Facts();
        double age = Math.max((double) (at - firstStart) / Time.DAY_MS, lastAge);
        double value = valueIfAlive(age);
        f.asOf = at;
        f.x = x;
        f.lastAge = lastAge;
        f.age = age;
        f.pAlive = model.pAlive(x, lastAge, age);
        f.expectedPurchases = f.pAlive * model.expectedIfAlive(x, age, HORIZON_DAYS);
        f.buysAgain = model.pBuy(x, lastAge, age, CONTACT_DAYS);
        f.expectedSpend = spend;
        f.clv = f.pAlive * value;
        f.valueAtRisk = (1 - f.pAlive) * value;
        f.aboutToBeLost = Math.max(0, f.clv - clv(age + CONTACT_DAYS));
        f.highValue = at < valueFalls;
        f.highRiskAt = crossing(HIGH, at);
        f.lowRiskUntil = crossing(LOW, at);
        f.dormantAt = crossing(DORMANT, at);
        f.lostAt = crossing(LOST, at);
        double high = model.crossing(x, lastAge, HIGH);
        f.bornHighRisk = Double.isNaN(high) || high <= lastAge + 1;
        return f;
    }

    /** When P(alive) falls to a level in silence; if it was there at the last purchase, the start of its day, or at if that comes first. */
    private long crossing(double level, long at) {
        double age = model.crossing(x, lastAge, level);
        return Double.isNaN(age) ? Math.min(instant(lastAge), at) : instant(age);
    }

    /** When P(alive) falls to a level in silence; UNSET if it was there at the last purchase. */
    long reaches(double level) {
        double age = model.crossing(x, lastAge, level);
        return Double.isNaN(age) ? Time.UNSET : instant(age);
    }

    /** When so many days of silence have passed. */
    long silent(double days) {
        return firstStart + (long) Math.ceil((lastAge + days) * Time.DAY_MS);
    }

    /** When half of those like the customer, who are alive, have bought again. */
    long expected() {
        return silent(model.nextPurchase(x, lastAge, 0.5));
    }

    private long instant(double age) {
        return age > lastAge + SILENCE_DAYS_MAX ? Time.NEVER : firstStart + (long) Math.ceil(age * Time.DAY_MS);
    }

    /** The first instant after at at which silence crosses a bound. */
    long next(long at, long valueFalls) {
        long next = valueFalls > at ? valueFalls : Time.NEVER;
        for (double level : BOUNDS) { // falling levels are crossed one after the other
            long crossing = crossing(level, at);
            if (crossing > at) {
                return Math.min(next, crossing);
            }
        }
        return next;
    }

    /** When CLV falls below a cut in silence; UNSET if it was below at the last purchase. */
    long valueFalls(double cut) {
        double value = valueIfAlive(lastAge);
        if (model.pAlive(x, lastAge, lastAge) * value < cut) {
            return Time.UNSET;
        }
        double dead = model.crossing(x, lastAge, cut / value);
        if (Double.isNaN(dead)) {
            dead = lastAge;
        }
        double latest = stretch(Math.min(dead, lastAge + SILENCE_DAYS_MAX)) + 1e-9;
        double earliest = Model.fallsBelow(s -> model.pAlive(x, lastAge, stretched(s)) * value * Math.exp(-s), cut, 0, latest);
        if (Double.isNaN(earliest)) {
            return Time.NEVER;
        }
        double s = Model.fallsBelow(t -> Math.log(clv(stretched(t))), Math.log(cut), Math.max(0, earliest - 1e-9), latest);
        return Double.isNaN(s) ? Time.NEVER : instant(stretched(s));
    }

    private double stretch(double age) {
        return Math.log1p((age - lastAge) / (model.alpha() + lastAge));
    }

    private double stretched(double s) {
        return lastAge + (model.alpha() + lastAge) * Math.expm1(s);
    }
}
