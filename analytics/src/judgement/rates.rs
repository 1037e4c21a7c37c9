//! Rates with their 95 % intervals.

use super::dispersion::{design_effect_of_ids, float, recurrence};
use super::numerics::{NORMAL_95, bisect};
use super::tables::{Cause, Counts, Exposure, History, Tables};

/// What rates are given for so many of.
const PER: f64 = 1_000.0;

/// How often something happens, per thousand of what it can happen to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The rate itself.
    pub per_1000: f64,
    /// Where it is with 95 % certainty. `None` where more machines were struck than sent heartbeats: of how many they are
    /// is not known then.
    pub interval: Option<Interval>,
}

/// From where to where, per thousand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// What a cause did on a build, per thousand machines whose heartbeats came from it.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildRates {
    /// The build, and who ran it.
    pub exposure: Exposure,
    /// The cause.
    pub cause: Cause,
    /// What it did.
    pub counts: Counts,
    /// Struck machine ids per 1,000 machine ids. The interval is Wilson's, with as many machines as the ids are worth.
    pub machines: Rate,
    /// Strikes per 1,000 machine ids. The interval is that of the struck machines, wider by what is not known of how often
    /// each was struck: a logarithmic series with the mean that was seen.
    pub records: Rate,
}

/// The rates of every cause on every build that had heartbeats, those without strikes included: by build, in their order,
/// then by cause.
#[must_use]
pub fn rates(tables: &Tables) -> Vec<BuildRates> {
    let history = History::new(tables);
    let all = history.total();
    let recurrences: Vec<f64> =
        history.causes.values().map(|counts| recurrence(counts.iter().copied().sum(), all)).collect();
    let builds = history.builds.iter().enumerate();
    let rows = builds.flat_map(|(place, exposure)| {
        let causes = history.causes.iter().zip(&recurrences);
        causes.filter_map(move |((cause, counts), recurrence)| of_build(exposure, cause, counts[place], *recurrence))
    });
    rows.collect()
}

fn of_build(exposure: &Exposure, cause: &Cause, counts: Counts, recurrence: f64) -> Option<BuildRates> {
    let effect = design_effect_of_ids(recurrence, exposure);
    let machines = share(counts.machines, exposure.machines, effect)?;
    let records = strikes(counts, exposure.machines, machines, effect);
    Some(BuildRates { exposure: exposure.clone(), cause: cause.clone(), counts, machines, records })
}

/// The rate of `struck` of `of`, in Wilson's interval for as many as they are worth after the `design_effect`. `None`
/// where there is nothing to strike.
pub(super) fn share(struck: u64, of: u64, design_effect: f64) -> Option<Rate> {
    let share = (of > 0).then(|| float(struck) / float(of))?;
    let interval = (struck <= of).then(|| wilson(share, float(of) / design_effect));
    Some(Rate { per_1000: PER * share, interval })
}

fn wilson(share: f64, trials: f64) -> Interval {
    let square = NORMAL_95 * NORMAL_95;
    let middle = share + square / (2.0 * trials);
    let spread = NORMAL_95 * (share * (1.0 - share) / trials + square / (4.0 * trials * trials)).sqrt();
    let end = |sum: f64| PER * (sum / (1.0 + square / trials)).clamp(0.0, 1.0);
    // Rounding must not part an end from what lies on it.
    let low = if share <= 0.0 { 0.0 } else { end(middle - spread) };
    let high = if share >= 1.0 { PER } else { end(middle + spread) };
    Interval { low, high }
}

/// The rate of strikes, from how many machines were struck and how often each.
fn strikes(counts: Counts, of: u64, machines: Rate, design_effect: f64) -> Rate {
    let per_1000 = PER * float(counts.records) / float(of);
    if counts.machines == 0 {
        // Nobody knows how often one would be struck: at least once.
        return Rate { per_1000, interval: machines.interval };
    }
    let each = (float(counts.records) / float(counts.machines)).max(1.0);
    let variance = second_moment(each) / (each * each) * design_effect / float(counts.machines);
    let factor = (NORMAL_95 * variance.sqrt()).exp();
    let interval = machines.interval.map(|_| Interval { low: per_1000 / factor, high: per_1000 * factor });
    Rate { per_1000, interval }
}

/// The mean square of a logarithmic series with this mean: of counts that are at least 1, what propensities that differ
/// without bounds (a gamma distribution of shape 0) leave.
fn second_moment(mean: f64) -> f64 {
    let mean_of = |q: f64| -q / ((1.0 - q) * (-q).ln_1p());
    let q = bisect(|q| q <= 0.0 || mean_of(q) < mean);
    mean / (1.0 - q)
}

#[cfg(test)]
mod tests {
    use telemetrics_testkit::Chance;

    use super::*;

    #[test]
    fn wilsons_interval_is_that_of_published_tables() {
        let rate = share(10, 100, 1.0).expect("a rate");
        let interval = rate.interval.expect("an interval");
        assert!((rate.per_1000 - 100.0).abs() < 1e-9);
        assert!((interval.low - 55.2).abs() < 0.1 && (interval.high - 174.4).abs() < 0.1, "{interval:?}");
        assert_eq!(share(10, 100, 2.0).expect("a rate").interval, share(5, 50, 1.0).expect("a rate").interval);
        assert!(share(0, 100, 1.0).expect("a rate").interval.is_some_and(|it| it.low == 0.0 && it.high > 30.0));
        assert!(share(100, 100, 1.0).expect("a rate").interval.is_some_and(|it| it.high >= 1_000.0));
    }

    #[test]
    fn what_cannot_be_known_is_not_said() {
        assert_eq!(share(3, 0, 1.0), None);
        assert_eq!(share(3, 2, 1.0), Some(Rate { per_1000: 1_500.0, interval: None }));
    }

    #[test]
    fn a_logarithmic_series_has_its_moments() {
        let q = 0.8_f64;
        let term = |c: u32| q.powi(i32::try_from(c).expect("small")) / f64::from(c) / -(1.0 - q).ln();
        let moment = |power: i32| (1..500).map(|c| term(c) * f64::from(c).powi(power)).sum::<f64>();
        assert!((second_moment(moment(1)) - moment(2)).abs() < 1e-6);
        assert!((second_moment(1.0) - 1.0).abs() < 1e-9);
    }

    /// Machines are struck as a Poisson process whose rate is gamma distributed with shape 1/2 and mean 0.2.
    #[test]
    fn intervals_of_strikes_stand_machines_that_crash_often() {
        const MEAN: f64 = 0.2;
        let mut chance = Chance::new(11);
        let mut unit =
            move || (f64::from(u32::try_from(chance.bits() >> 32).expect("32 bits")) + 0.5) / 4_294_967_296.0;
        let mut holds = 0;
        for _ in 0..400 {
            let mut counts = Counts::default();
            for _ in 0..400 {
                let rate = -2.0 * MEAN * unit().ln() * (std::f64::consts::TAU * unit()).cos().powi(2);
                let mut spent = -unit().ln();
                counts.machines += u64::from(spent < rate);
                while spent < rate {
                    counts.records += 1;
                    spent -= unit().ln();
                }
            }
            let exposure =
                Exposure { build: String::new(), machines: 400, machine_days: 400, busiest_day_machines: 400 };
            let rates = of_build(&exposure, &Cause::AnyCrash, counts, 0.0).expect("rates");
            let interval = rates.records.interval.expect("an interval");
            holds += u32::from((interval.low..=interval.high).contains(&(PER * MEAN)));
        }
        assert!(holds >= 372, "{holds} of 400 intervals hold the rate");
    }

    #[test]
    fn every_cause_has_a_rate_on_every_build() {
        let exposure = |build: &str, machines| Exposure {
            build: build.to_owned(),
            machines,
            machine_days: machines,
            busiest_day_machines: machines.max(1),
        };
        let struck = |build: &str, machines| super::super::Strikes {
            build: build.to_owned(),
            cause: Cause::AnyCrash,
            counts: Counts { machines, machine_days: machines, records: 2 * machines },
        };
        let exposures = vec![exposure("10", 100), exposure("9", 50), exposure("8", 0)];
        let tables = Tables { exposures, strikes: vec![struck("10", 10), struck("11", 7), struck("8", 1)] };
        let rates = rates(&tables);
        let found: Vec<_> = rates
            .iter()
            .map(|row| (row.exposure.build.as_str(), row.machines.per_1000, row.records.per_1000))
            .collect();
        assert_eq!(found, [("9", 0.0, 0.0), ("10", 100.0, 200.0)]);
    }
}
