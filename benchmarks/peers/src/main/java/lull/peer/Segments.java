package lull.peer;

/** The quadrants and stages of the lifecycle, and how customers move among them: operators/segment. */
final class Segments {
    static final String[] QUADRANTS = {"none", "nurture", "efficiency", "advocate", "save"};
    static final int EFFICIENCY = 2;
    static final int ADVOCATE = 3;

    static final String[] STAGES = {"none", "prospect", "new", "active", "at_risk", "dormant", "lost", "won_back"};
    static final int PROSPECT = 1;
    static final int AT_RISK = 4;
    static final int LOST = 6;
    static final int WON_BACK = 7;

    static final long DWELL_MS = Time.DAY_MS;

    static boolean highRisk(Facts f, boolean was) {
        if (f.asOf >= f.highRiskAt) {
            return true;
        }
        return f.asOf >= f.lowRiskUntil && was;
    }

    static int quadrant(boolean highValue, boolean highRisk) {
        return highValue ? (highRisk ? 4 : 3) : highRisk ? 2 : 1;
    }

    static int stage(int was, Facts f, boolean highRisk, boolean bought) {
        if (f.asOf >= f.lostAt) {
            return LOST;
        }
        if (f.asOf >= f.dormantAt) {
            return 5;
        }
        if (highRisk) {
            return AT_RISK;
        }
        if (bought ? was >= AT_RISK && was <= LOST : was == WON_BACK) {
            return WON_BACK;
        }
        return f.x == 0 ? 2 : 3;
    }

    private Segments() {}
}
