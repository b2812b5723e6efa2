package lull.peer;

import java.util.function.DoubleUnaryOperator;

/**
 * The arithmetic of MBG/NBD and Gamma-Gamma, as operators/bgnbd and operators/gammagamma have it and explain it: the same formulas in the same forms, so that
 * what is compared is the machinery around them. Ages are in days, money in major units.
 */
final class Model {
    final String version;
    private final double r;
    private final double alpha;
    private final double a;
    private final double b;
    private final double p;
    private final double q;
    private final double v;
    final double highValue;

    /** The numbers are r, alpha, a, b, p, q, v and the CLV from which a customer is of high value. */
    Model(String version, double[] numbers) {
        this.version = version;
        r = numbers[0];
        alpha = numbers[1];
        a = numbers[2];
        b = numbers[3];
        p = numbers[4];
        q = numbers[5];
        v = numbers[6];
        highValue = numbers[7];
    }

    double alpha() {
        return alpha;
    }

    private double lnDeathOdds(int x) {
        return Math.log(a) - Math.log(b + x);
    }

    double pAlive(int x, double tx, double age) {
        double silence = Math.log1p((age - tx) / (alpha + tx));
        return 1 / (1 + Math.exp(lnDeathOdds(x) + (r + x) * silence));
    }

    double pBuy(int x, double tx, double age, double horizon) {
        return pAlive(x, tx, age) * -Math.expm1(-(r + x) * Math.log1p(horizon / (alpha + age)));
    }

    /** The age at which P(alive) falls to a threshold; NaN if it is there at the last purchase, infinite if it never is. */
    double crossing(int x, double tx, double threshold) {
        double lnOdds = Math.log1p(-threshold) - Math.log(threshold) - lnDeathOdds(x);
        if (lnOdds <= 0) {
            return Double.NaN;
        }
        double lnFactor = lnOdds / (r + x);
        return lnFactor > 700 ? Double.POSITIVE_INFINITY : tx + (alpha + tx) * Math.expm1(lnFactor);
    }

    /** The days within which the next purchase comes with a probability, of who is alive. */
    double nextPurchase(int x, double age, double probability) {
        return (alpha + age) * Math.expm1(-Math.log1p(-probability) / (r + x));
    }

    double meanSpend(int x, double spend) {
        return p * (v + spend) / (p * x + q - 1);
    }

    double expectedIfAlive(int x, double age, double horizon) {
        return new Outlook(x, age).expected(horizon);
    }

    /** Expected purchases of who is alive over months, those of month i discounted by (1+rate)^-i. */
    double discountedIfAlive(int x, double age, int months, double month, double rate) {
        double[] horizons = new double[months];
        double[] weights = new double[months];
        double discount = 1;
        double step = 1 / (1 + rate);
        for (int i = 0; i < months; i++) {
            discount *= step;
            horizons[i] = (i + 1) * month;
            weights[i] = i + 1 == months ? discount : discount * (1 - step);
        }
        return new Outlook(x, age).weighted(horizons, weights);
    }

    private static final int TERMS_MAX = 200_000;
    private static final double TAIL_MAX = 0x1p-55;

    private final class Outlook {
        final double n;
        final double beta;
        final double e;
        final double bigB;
        final double bigC;
        final double stay;

        Outlook(int x, double age) {
            n = r + x;
            beta = alpha + age;
            e = a - 1;
            stay = b + x + 1;
            bigC = e + stay;
            bigB = e + (b + 1) - r;
        }

        boolean byCountIsBetter(double l) {
            return bigB < -12 && bigC < -bigB || bigC > 1000 * n || e * l > 100;
        }

        double expected(double horizon) {
            double l = Math.log1p(horizon / beta);
            double z = horizon / (beta + horizon);
            if (byCountIsBetter(l)) {
                return byCount(l, z);
            }
            double decay = decay(l);
            double t = bigB * decay * z;
            double sum = 0;
            for (double m = 1; m <= TERMS_MAX; m++) {
                sum += t;
                t *= (e + m) * (bigB + m) / ((bigC + m) * (m + 1)) * z;
                if (m > -bigB && Math.abs(t) <= TAIL_MAX * Math.abs(sum) * (1 - growth(m) * z)) {
                    break;
                }
            }
            return bigC * lead(l) - sum;
        }

        double lead(double l) {
            return e == 0 ? l : -Math.expm1(-e * l) / e;
        }

        double decay(double l) {
            if (e == 0) {
                return 1;
            }
            double m = Math.expm1(-e * l);
            return m < -0.5 ? Math.exp(-e * l) : 1 + m;
        }

        double growth(double m) {
            return Math.max(1, (e + m) / (m + 1));
        }

        double byCount(double l, double z) {
            double lnFactor = -n * l;
            double chance = 1;
            double counted = 1;
            double sum = 0;
            double made = 0;
            double survival = 1;
            for (double j = 0; j <= TERMS_MAX; j++) {
                chance *= (n + j) / (j + 1) * z;
                made += survival;
                survival *= (stay + j) / (bigC + 1 + j);
                counted += chance;
                double t = chance * made;
                sum += t;
                double ratio = Math.max(1, (n + j + 1) / (j + 2)) * z * (1 + survival / made);
                if (t * ratio <= TAIL_MAX * sum * (1 - ratio)) {
                    return sum * Math.exp(lnFactor);
                }
                if (e > 0 && survival * (bigC + 1 + j) <= TAIL_MAX * e * made) {
                    break;
                }
                if (sum > 0x1p900) {
                    chance /= 0x1p900;
                    counted /= 0x1p900;
                    sum /= 0x1p900;
                    lnFactor += 900 * Math.log(2);
                }
            }
            double factor = Math.exp(lnFactor);
            return sum * factor + made * (1 - counted * factor);
        }

        /** The weighted sum of expected(horizons[i]), the coefficients of whose series are the same: one pass serves all. */
        double weighted(double[] horizons, double[] weights) {
            int count = horizons.length;
            if (byCountIsBetter(Math.log1p(horizons[count - 1] / beta))) {
                double sum = 0;
                for (int i = 0; i < count; i++) {
                    sum += weights[i] * expected(horizons[i]);
                }
                return sum;
            }
            double[] z = new double[count];
            double[] power = new double[count];
            double leads = 0;
            for (int i = 0; i < count; i++) {
                double l = Math.log1p(horizons[i] / beta);
                z[i] = horizons[i] / (beta + horizons[i]);
                leads += weights[i] * lead(l);
                power[i] = weights[i] * decay(l) * z[i];
            }
            double sum = 0;
            double coefficient = bigB;
            int lane = 0;
            for (int m = 1; m <= TERMS_MAX; m++) {
                double s = 0;
                for (int i = lane; i < count; i++) {
                    s += power[i];
                    power[i] *= z[i];
                }
                sum += coefficient * s;
                coefficient *= (e + m) * (bigB + m) / ((bigC + m) * (m + 1));
                if (m <= -bigB || m % 4 != 0) {
                    continue;
                }
                double growth = growth(m);
                while (Math.abs(coefficient * power[lane]) <= TAIL_MAX * Math.abs(sum) * (1 - growth * z[lane])) {
                    if (++lane == count) {
                        return bigC * leads - sum;
                    }
                }
            }
            return bigC * leads - sum;
        }
    }

    /** The least T in [lo, hi] with f(T) <= level of an f that does not grow; NaN if there is none. By Chandrupatla's method, as bgnbd.FallsBelow. */
    static double fallsBelow(DoubleUnaryOperator f, double level, double lo, double hi) {
        double below = hi;
        double fBelow = f.applyAsDouble(below) - level;
        if (!(fBelow <= 0)) {
            return Double.NaN;
        }
        double above = lo;
        double fAbove = f.applyAsDouble(above) - level;
        if (fAbove <= 0) {
            return above;
        }
        double fraction = 0.5;
        double reach = 1;
        double newest = below;
        double fNewest = fBelow;
        double other = above;
        double fOther = fAbove;
        while (true) {
            double width = below - above;
            double resolution = 2 * Math.ulp(below);
            if (width <= 2 * resolution) {
                return below;
            }
            double least = Math.min(reach * resolution / width, 0.5);
            boolean atEnd = !(least < fraction && fraction < 1 - least);
            double x = newest + Math.min(Math.max(fraction, least), 1 - least) * (other - newest);
            if (!(above < x && x < below)) {
                return below;
            }
            double fx = f.applyAsDouble(x) - level;
            double previous = newest;
            double fPrevious = fNewest;
            if (fx <= 0 != fNewest <= 0) {
                previous = other;
                fPrevious = fOther;
                other = newest;
                fOther = fNewest;
            }
            newest = x;
            fNewest = fx;
            if (fx <= 0) {
                below = x;
            } else {
                above = x;
            }
            if (atEnd && below - above > width / 2) {
                reach *= 4;
            } else if (atEnd) {
                reach = 1;
            }
            fraction = interpolate(newest, fNewest, other, fOther, previous, fPrevious);
        }
    }

    private static double interpolate(double a, double fa, double b, double fb, double c, double fc) {
        double xi = (a - b) / (c - b);
        double phi = (fa - fb) / (fc - fb);
        if (!(phi * phi < xi && (1 - phi) * (1 - phi) < 1 - xi)) {
            return 0.5;
        }
        return fa / (fb - fa) * (fc / (fb - fc)) + (c - a) / (b - a) * (fa / (fc - fa)) * (fb / (fc - fb));
    }
}
