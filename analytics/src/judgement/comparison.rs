//! Whether a cause strikes oftener on some builds than on others: the one test that everything is judged with.

use super::dispersion::{design_effect, float};
use super::numerics::{at_least, share_interval};
use super::rates::{Rate, share};
use super::tables::{Counts, Exposure};

/// A rate that is higher by up to a fifth is never called worse: so much do builds differ in who runs them first, and on
/// which days of the week.
pub const RATIO_BORNE: f64 = 1.2;

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    /// Distinct machine ids that were struck, of each build for itself.
    pub machines: u64,
    /// Machine-days with a strike.
    pub struck_machine_days: u64,
    /// Machine-days in all.
    pub machine_days: u64,
    /// Struck machine-days per 1,000 machine-days.
    pub rate: Rate,
}

/// How often a cause strikes on some builds, and on others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The builds that are judged.
    pub after: Side,
    /// The builds that they are judged by.
    pub before: Side,
    /// How many times as often it strikes; `None` when it did not strike before.
    pub ratio: Option<f64>,
    /// The lower end of the 95 % interval of that, after Clopper and Pearson.
    pub ratio_low: f64,
    /// Its upper end; `None` when there is no end.
    pub ratio_high: Option<f64>,
    /// The chance of so many strikes or more, were they no more than [`RATIO_BORNE`] times as frequent as before.
    pub p: f64,
}

/// A cause on some builds.
pub(super) struct Group<'a> {
    pub(super) builds: &'a [&'a Exposure],
    pub(super) counts: &'a [Counts],
}

impl Group<'_> {
    pub(super) fn machine_days(&self) -> u64 {
        self.builds.iter().map(|exposure| exposure.machine_days).sum()
    }

    pub(super) fn total(&self) -> Counts {
        self.counts.iter().copied().sum()
    }

    fn side(&self, effect: f64) -> Option<Side> {
        let counts = self.total();
        let (machines, struck_machine_days, machine_days) = (counts.machines, counts.machine_days, self.machine_days());
        let rate = share(struck_machine_days, machine_days, effect)?;
        Some(Side { machines, struck_machine_days, machine_days, rate })
    }
}

/// Two groups of builds in numbers that the binomial distribution can be asked about.
struct Contrast {
    /// What the machine-days of both are worth less, at most.
    effect: f64,
    /// Struck machine-days on the builds that are judged, in independent ones.
    struck: f64,
    /// On both.
    all: f64,
    exposed: f64,
    exposed_before: f64,
}

impl Contrast {
    fn new(after: &Group<'_>, before: &Group<'_>, recurrence: f64) -> Self {
        let effect = |group: &Group<'_>| design_effect(recurrence, group.builds.iter().copied());
        let effect = effect(after).max(effect(before));
        let struck = |group: &Group<'_>| float(group.total().machine_days) / effect;
        Self {
            effect,
            struck: struck(after),
            all: struck(after) + struck(before),
            exposed: float(after.machine_days()),
            exposed_before: float(before.machine_days()),
        }
    }

    /// The chance of so many after, or more. While the rates have this ratio, of all strikes each is after with one chance.
    fn p(&self) -> f64 {
        let exposed = RATIO_BORNE * self.exposed;
        at_least(self.struck, self.all, exposed / (exposed + self.exposed_before))
    }

    /// At which ratio of the rates this share of all strikes is after.
    fn ratio(&self, share: f64) -> f64 {
        share / (1.0 - share) * self.exposed_before / self.exposed
    }
}

/// See [`Comparison::p`]; `recurrence` is that of the cause. Both groups must have machine-days.
pub(super) fn p_value(after: &Group<'_>, before: &Group<'_>, recurrence: f64) -> f64 {
    Contrast::new(after, before, recurrence).p()
}

/// The whole comparison; `None` where a group has no machine-days.
pub(super) fn compare(after: &Group<'_>, before: &Group<'_>, recurrence: f64) -> Option<Comparison> {
    let contrast = Contrast::new(after, before, recurrence);
    let (low, high) = share_interval(contrast.struck, contrast.all);
    let side = |group: &Group<'_>| group.side(contrast.effect);
    Some(Comparison {
        after: side(after)?,
        before: side(before)?,
        ratio: (contrast.struck < contrast.all).then(|| contrast.ratio(contrast.struck / contrast.all)),
        ratio_low: contrast.ratio(low),
        ratio_high: (high < 1.0).then(|| contrast.ratio(high)),
        p: contrast.p(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(machine_days: u64) -> Exposure {
        Exposure { build: String::new(), machines: 0, machine_days, busiest_day_machines: machine_days }
    }

    fn compared(after: (u64, u64), before: (u64, u64)) -> Comparison {
        let counts = |machine_days| [Counts { machines: machine_days, machine_days, records: machine_days }];
        let exposures = [exposure(after.1), exposure(before.1)];
        let (on_after, on_before) = (counts(after.0), counts(before.0));
        let after = Group { builds: &[&exposures[0]], counts: &on_after };
        let before = Group { builds: &[&exposures[1]], counts: &on_before };
        compare(&after, &before, 0.0).expect("machine-days")
    }

    #[test]
    fn a_ratio_is_that_of_the_rates_and_lies_in_its_interval() {
        let worse = compared((30, 1_000), (20, 2_000));
        assert!((worse.ratio.expect("a ratio") - 3.0).abs() < 1e-9);
        // The published interval of 30 of 50 is 0.4518 to 0.7359.
        assert!((worse.ratio_low - 1.648).abs() < 2e-3, "{worse:?}");
        assert!((worse.ratio_high.expect("an end") - 5.573).abs() < 5e-3, "{worse:?}");
        assert!((worse.after.rate.per_1000 - 30.0).abs() < 1e-9 && (worse.before.rate.per_1000 - 10.0).abs() < 1e-9);
    }

    #[test]
    fn what_did_not_strike_has_no_ratio() {
        let new = compared((6, 1_000), (0, 1_000));
        assert_eq!((new.ratio, new.ratio_high), (None, None));
        // Each of six strikes is after with the chance 1.2 / 2.2.
        assert!((new.p - (1.2_f64 / 2.2).powi(6)).abs() < 1e-12);
        let gone = compared((0, 1_000), (6, 1_000));
        assert_eq!(gone.ratio, Some(0.0));
        assert!((gone.p - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_fifth_more_is_borne_however_sure_it_is() {
        assert!(compared((119_000, 10_000_000), (100_000, 10_000_000)).p > 0.5);
        assert!(compared((125_000, 10_000_000), (100_000, 10_000_000)).p < 1e-6);
    }

    #[test]
    fn what_strikes_more_machine_days_than_there_are_can_be_compared() {
        let odd = compared((30, 10), (1, 10));
        assert!(odd.after.rate.interval.is_none() && odd.p < 1e-6, "{odd:?}");
    }
}
