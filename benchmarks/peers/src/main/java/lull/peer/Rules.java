package lull.peer;

/**
 * The rules that lull has by itself, operators/trigger/rules.yaml. Of each: whether its condition holds at an instant, whether it holds those back who fulfil it,
 * whether it may be armed again, and the instants at which silence changes any of these.
 */
final class Rules {
    static final String[] NAMES = {
        "churn_risk", "high_value_at_risk", "no_second_purchase", "expected_purchase_passed", "advocate_milestone", "won_back", "do_not_spend"
    };
    static final String[] FROM = {"low_risk", "no", "no", "no", "no", "no", "no"};
    static final String[] TO = {"high_risk", "yes", "yes", "yes", "yes", "yes", "yes"};
    static final String[] SEVERITIES = {"marketing", "escalation", "marketing", "marketing", "marketing", "marketing", "marketing"};
    static final String[] ACTIONS = {"win_back", "call", "second_purchase", "remind", "ask_for_referral", "welcome_back", "suppress"};
    static final long[] COOLDOWNS = {0, 0, 0, 30 * Time.DAY_MS, 0, 30 * Time.DAY_MS, 30 * Time.DAY_MS};
    static final int COUNT = NAMES.length;

    private final Customer c;
    private final long lastStart;
    private final long riskHigh; // churn_risk >= risk_high from here on
    private final long riskBack; // churn_risk >= risk_back from here on
    private final long silent;
    private final long expected; // half of those like the customer have bought again

    Rules(Customer c, Evaluation e) {
        this.c = c;
        lastStart = e.lastStart();
        riskHigh = e.reaches(Evaluation.HIGH);
        riskBack = e.reaches(Evaluation.LOW);
        silent = e.silent(60);
        expected = e.expected();
    }

    enum Move { STAYS, FIRES, HOLDS, ARMS }

    Move moves(int rule, boolean held, long at) {
        if (rule <= 1 && c.facts.bornHighRisk) {
            return held ? Move.STAYS : Move.HOLDS;
        }
        boolean when = holds(rule, at);
        if (held && !when && mayArm(rule, at)) {
            return Move.ARMS;
        }
        return !held && when ? Move.FIRES : Move.STAYS;
    }

    private boolean mayArm(int rule, long at) {
        return switch (rule) {
            case 0, 1 -> at < riskBack;
            case 4 -> c.days.size() < 5;
            default -> true;
        };
    }

    private boolean holds(int rule, long at) {
        return switch (rule) {
            case 0 -> at >= riskHigh;
            case 1 -> at < c.valueFalls && at >= riskHigh;
            case 2 -> c.days.size() == 1 && at >= silent;
            case 3 -> c.days.size() >= 2 && at >= expected;
            case 4 -> c.days.size() >= 5 && at < c.valueFalls && at < riskHigh;
            case 5 -> c.lifecycle == Segments.WON_BACK;
            default -> c.quadrant == Segments.EFFICIENCY;
        };
    }

    private long instant(int rule, int i) {
        return switch (rule) {
            case 0 -> i == 0 ? riskHigh : riskBack;
            case 1 -> i == 0 ? riskHigh : i == 1 ? riskBack : c.valueFalls;
            case 2 -> silent;
            case 3 -> expected;
            case 4 -> i == 0 ? riskHigh : c.valueFalls;
            default -> Time.NEVER;
        };
    }

    private int instants(int rule) {
        return switch (rule) {
            case 0 -> 2;
            case 1 -> 3;
            case 2, 3 -> 1;
            case 4 -> 2;
            default -> 0;
        };
    }

    /** The first instant after one at which silence moves the rule. */
    long next(int rule, boolean held, long after) {
        while (true) {
            long next = Time.NEVER;
            for (int i = 0; i < instants(rule); i++) {
                long t = instant(rule, i);
                if (t > after && t < next) {
                    next = t;
                }
            }
            if (next == Time.NEVER || moves(rule, held, next) != Move.STAYS) {
                return next;
            }
            after = next;
        }
    }

    /** When the condition, which holds at an instant, began to, in the silence since the last purchase; that instant if it has all through it. */
    long became(int rule, long at) {
        for (long until = at; ; ) {
            long latest = Time.UNSET;
            for (int i = 0; i < instants(rule); i++) {
                long t = instant(rule, i);
                if (t > lastStart && t <= until && t > latest) {
                    latest = t;
                }
            }
            if (latest == Time.UNSET) {
                return at;
            }
            if (!holds(rule, latest - 1)) {
                return latest;
            }
            until = latest - 1;
        }
    }
}
