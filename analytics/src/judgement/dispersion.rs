//! How much less counts of machine-days say than so many coins would, because some machines are struck again and again.
//!
//! A machine that a cause struck on one day is struck on another one with a chance (the `recurrence`) that is larger than
//! that of just any machine. Taken for independent days, one such machine that stays long on one build looks like many.
//! The variance of a count is larger than that of coins by the design effect `1 + recurrence * (days that a machine stays
//! on the build - 1)`, Kish's for clusters. Counts and exposures divided by it are as many independent ones as they are
//! worth.
//!
//! How often a machine comes back can be seen while it has one id, for three days. It is measured there, and taken to go
//! on for as long as machines stay on a build.

use super::rotation::ID_LIFETIME_DAYS;
use super::tables::{Counts, Exposure};

/// The chance that a machine which a cause struck on one day is struck by it on another one: never less than that of all
/// causes together, because a cause that struck few machines can have met none of them twice by chance.
pub(super) fn recurrence(cause: Counts, all: Counts) -> f64 {
    let days_each = |counts: Counts| ratio(counts.machine_days, counts.machines, 1.0);
    of_days_each(days_each(cause).max(days_each(all)))
}

/// The chance `p` with which ids that are struck at all within their three days are struck on `days` of them:
/// `days = 3 p / (1 - (1 - p)^3)`, solved for `p`.
fn of_days_each(days: f64) -> f64 {
    let under_root = 12.0 / days.clamp(1.0, 3.0) - 3.0;
    (3.0 - under_root.sqrt()) / 2.0
}

/// How many machine-days on the builds are worth one that is independent of all others; at least 1.
pub(super) fn design_effect<'a>(recurrence: f64, builds: impl Iterator<Item = &'a Exposure>) -> f64 {
    let (mut weighted, mut days) = (0.0, 0.0);
    for exposure in builds {
        weighted += float(exposure.machine_days) * stay_days(exposure);
        days += float(exposure.machine_days);
    }
    let stay = if days > 0.0 { weighted / days } else { 1.0 };
    1.0 + recurrence * (stay - 1.0)
}

/// As [`design_effect`], for machine ids: struck at all within three days, and as often another id of the same machine.
pub(super) fn design_effect_of_ids(recurrence: f64, exposure: &Exposure) -> f64 {
    let id_days = float(ID_LIFETIME_DAYS);
    let struck_at_all = 1.0 - (1.0 - recurrence).powf(id_days);
    // The last id of a stay does not end with it.
    let ids = (stay_days(exposure) - 1.0) / id_days + 1.0;
    1.0 + struck_at_all * (ids - 1.0)
}

/// How long machines stay on a build, in days: on its busiest day it has nearly all of them.
fn stay_days(exposure: &Exposure) -> f64 {
    ratio(exposure.machine_days, exposure.busiest_day_machines, 1.0).max(1.0)
}

/// A count as a number to reckon with; counts are far below 2^53, from where on it would be rounded.
#[allow(clippy::cast_precision_loss)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

fn ratio(count: u64, of: u64, otherwise: f64) -> f64 {
    if of == 0 { otherwise } else { float(count) / float(of) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(machines: u64, machine_days: u64) -> Counts {
        Counts { machines, machine_days, records: machine_days }
    }

    #[test]
    fn recurrence_is_seen_in_days_of_an_id() {
        let of_all = |machines, days| recurrence(Counts::default(), counts(machines, days));
        assert!(of_all(0, 0).abs() < 1e-12 && of_all(100, 100).abs() < 1e-12, "each was struck once");
        assert!((of_all(100, 300) - 1.0).abs() < 1e-12 && (of_all(100, 400) - 1.0).abs() < 1e-12, "each on all days");
        for p in [0.1, 0.3, 0.7] {
            let ids = 1.0 - f64::powi(1.0 - p, 3);
            assert!((of_days_each(3.0 * p / ids) - p).abs() < 1e-12, "{p}");
        }
        assert!(recurrence(counts(5, 5), counts(100, 200)) > 0.5, "luck of a small cause is not taken for granted");
        assert!(recurrence(counts(2, 6), counts(100, 100)) > 0.99);
    }

    #[test]
    fn one_that_stays_counts_for_less() {
        let exposure = |machine_days, busiest| Exposure {
            build: String::new(),
            machines: 0,
            machine_days,
            busiest_day_machines: busiest,
        };
        let effect = |recurrence, exposure: &Exposure| design_effect(recurrence, std::iter::once(exposure));
        assert!((effect(0.5, &exposure(100, 100)) - 1.0).abs() < 1e-12, "one day each");
        assert!((effect(0.0, &exposure(900, 100)) - 1.0).abs() < 1e-12, "nobody comes back");
        assert!((effect(0.5, &exposure(900, 100)) - 5.0).abs() < 1e-12, "nine days each");
        assert!((effect(1.0, &exposure(900, 100)) - 9.0).abs() < 1e-12, "nine days are one machine");
        let both = [exposure(900, 100), exposure(300, 300)];
        assert!((design_effect(1.0, both.iter()) - 7.0).abs() < 1e-12, "by their days");
        assert!((design_effect_of_ids(1.0, &exposure(400, 100)) - 2.0).abs() < 1e-12, "four days have two ids");
        assert!((design_effect_of_ids(0.0, &exposure(400, 100)) - 1.0).abs() < 1e-12);
    }
}
