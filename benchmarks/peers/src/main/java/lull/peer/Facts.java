package lull.peer;

/** A customer's numbers at one instant. */
final class Facts {
    long asOf;
    int x;
    double lastAge;
    double age;
    double pAlive;
    double expectedPurchases;
    double buysAgain;
    double expectedSpend;
    double clv;
    double valueAtRisk;
    double aboutToBeLost;
    boolean highValue;
    long highRiskAt;
    long lowRiskUntil;
    long dormantAt;
    long lostAt;
    boolean bornHighRisk;
}
