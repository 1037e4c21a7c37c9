//! The functions that intervals and tests are made of: the binomial distribution for counts that need not be whole.

/// Two-sided 95 % of the normal distribution, in standard deviations.
pub(super) const NORMAL_95: f64 = 1.959_963_984_540_054;

/// Steps of a bisection: as many as a number has bits, so that the result is exact to the last one.
const BISECTIONS: usize = 64;

/// The chance that of `trials`, each a success with the chance `share`, at least `successes` are: `1` for none. Numbers
/// may be fractions, as effective numbers are.
pub(super) fn at_least(successes: f64, trials: f64, share: f64) -> f64 {
    if successes <= 0.0 { 1.0 } else { beta(successes, (trials - successes).max(0.0) + 1.0, share) }
}

/// The share of successes that the 95 % interval of Clopper and Pearson goes from and to.
pub(super) fn share_interval(successes: f64, trials: f64) -> (f64, f64) {
    const TAIL: f64 = 0.025;
    let low = if successes <= 0.0 { 0.0 } else { bisect(|share| at_least(successes, trials, share) < TAIL) };
    let is_low = |share: f64| at_least(successes + 1.0, trials, share) < 1.0 - TAIL;
    let high = if successes >= trials { 1.0 } else { bisect(is_low) };
    (low, high)
}

/// The share at which `is_below` ends to hold; it must hold from 0 to there and nowhere else.
pub(super) fn bisect(is_below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(low, high);
        if is_below(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The regularized incomplete beta function.
fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let scale = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // The fraction converges fast on this side only.
    if x < (a + 1.0) / (a + b + 2.0) {
        scale * beta_fraction(a, b, x) / a
    } else {
        1.0 - scale * beta_fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of the incomplete beta function, by the method of Lentz.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const STEPS_MAX: u32 = 10_000;
    const NEAR: f64 = 1e-13;
    let mut down = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let (mut up, mut fraction) = (1.0, down);
    for step in (1..=STEPS_MAX).map(f64::from) {
        let even = step * (b - step) * x / ((a + 2.0 * step - 1.0) * (a + 2.0 * step));
        let odd = -(a + step) * (a + b + step) * x / ((a + 2.0 * step) * (a + 2.0 * step + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            down = 1.0 / away_from_zero(1.0 + term * down);
            up = away_from_zero(1.0 + term / up);
            change = up * down;
            fraction *= change;
        }
        if (change - 1.0).abs() < NEAR {
            break;
        }
    }
    fraction
}

fn away_from_zero(value: f64) -> f64 {
    const SMALLEST: f64 = 1e-300;
    if value.abs() < SMALLEST { SMALLEST } else { value }
}

/// The logarithm of the gamma function of a positive number: Stirling's series, whose terms vanish from 10 on.
fn ln_gamma(x: f64) -> f64 {
    const FROM: f64 = 10.0;
    let (mut x, mut product) = (x, 1.0);
    while x < FROM {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = 1.0 / 12.0
        - inverse * (1.0 / 360.0 - inverse * (1.0 / 1_260.0 - inverse * (1.0 / 1_680.0 - inverse / 1_188.0)));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series / x - f64::ln(product)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-9), "{found} is not {expected}");
    }

    /// The sum over the distribution itself.
    fn summed(successes: u32, trials: u32, share: f64) -> f64 {
        let mut chance = (1.0 - share).powi(i32::try_from(trials).expect("small"));
        let mut sum = 0.0;
        for number in 0..=trials {
            sum += if number >= successes { chance } else { 0.0 };
            chance *= f64::from(trials - number) / f64::from(number + 1) * share / (1.0 - share);
        }
        sum
    }

    #[test]
    fn tails_are_sums_of_the_distribution() {
        for (successes, trials, share) in
            [(0, 5, 0.3), (1, 5, 0.3), (5, 5, 0.3), (3, 40, 0.01), (30, 60, 0.25), (200, 400, 0.45), (9, 10, 0.999)]
        {
            near(at_least(f64::from(successes), f64::from(trials), share), summed(successes, trials, share));
        }
        assert!(at_least(1_300.0, 1e7, 1e-4) > 0.0 && at_least(1e6, 2e6, 0.5) > 0.49);
    }

    #[test]
    fn gamma_is_the_factorial() {
        near(ln_gamma(1.0).exp(), 1.0);
        near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln());
        near(ln_gamma(11.0), 3_628_800_f64.ln());
        near(ln_gamma(171.0), 7.257_415_615_307_994e306_f64.ln());
    }

    #[test]
    fn intervals_are_those_of_published_tables() {
        let (low, high) = share_interval(0.0, 10.0);
        near(low, 0.0);
        near(high, 1.0 - 0.025_f64.powf(0.1));
        let (low, high) = share_interval(10.0, 10.0);
        near(low, 0.025_f64.powf(0.1));
        near(high, 1.0);
        let (low, high) = share_interval(5.0, 20.0);
        assert!((low - 0.0866).abs() < 5e-5 && (high - 0.4910).abs() < 5e-5, "{low} {high}");
    }
}
