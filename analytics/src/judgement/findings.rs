//! "New in build N" and "worse since build N".

use std::ops::Range;

use super::comparison::{Comparison, Group, compare, p_value};
use super::dispersion::{float, recurrence};
use super::tables::{Cause, Counts, History, Tables};

/// The chance that anything at all is reported of a system of which nothing got worse, at most.
pub const FALSE_REPORTS: f64 = 0.05;
/// Builds with fewer machine-days are not judged, nor judged by: a cause that strikes one machine-day in a hundred stays
/// away from 300 of them by chance once in twenty times.
pub const MACHINE_DAYS_MIN: u64 = 300;
/// A cause that struck fewer machine ids on the builds in question is not called worse on them.
pub const STRUCK_MACHINES_MIN: u64 = 5;

/// What became of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It strikes, and did not on any earlier build.
    New,
    /// It strikes oftener than before.
    Worse,
}

/// A cause that became worse with a build.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What became of it.
    pub change: Change,
    /// What it is.
    pub cause: Cause,
    /// The build since which it is worse.
    pub build: String,
    /// Whether all later builds are judged with it; else it is worse on this one alone.
    pub lasts: bool,
    /// That build, or all builds from it on, against all earlier ones.
    pub comparison: Comparison,
    /// The chance of the comparison after the correction for all causes and builds that were tried: at most
    /// [`FALSE_REPORTS`].
    pub p_corrected: f64,
}

/// What is worse since when: at most one finding for each cause, the surest one first.
///
/// Each build is tried as the one that made a cause worse, for good and for itself alone, if there are
/// [`MACHINE_DAYS_MIN`] on both sides. The surest of these trials stands for the cause. Its chance is multiplied by their
/// number (Bonferroni), and those of all causes are corrected for each other as Holm does.
#[must_use]
pub fn findings(tables: &Tables) -> Vec<Finding> {
    let history = History::new(tables);
    let all = history.total();
    let suspects = history.causes.iter().map(|(cause, counts)| Suspect::new(cause, counts, all));
    let mut trials: Vec<Trial<'_>> = suspects.filter_map(|suspect| suspect.surest(&history)).collect();
    trials.sort_by(|a, b| a.p.total_cmp(&b.p));
    let corrected = holm(&trials.iter().map(|trial| trial.p).collect::<Vec<_>>());
    let sure = trials.iter().zip(corrected).take_while(|(_, p)| *p <= FALSE_REPORTS);
    sure.filter_map(|(trial, p)| trial.finding(&history, p)).collect()
}

/// The correction of Holm, for chances in ascending order: the surest is one of all, the next one of all others.
pub(super) fn holm(sorted: &[f64]) -> Vec<f64> {
    let mut largest = 0.0_f64;
    let corrected = sorted.iter().zip((1..=sorted.len()).rev()).map(|(p, others)| {
        largest = largest.max(p * float(others as u64)).min(1.0);
        largest
    });
    corrected.collect()
}

/// A cause with what it did on each build.
#[derive(Clone, Copy)]
struct Suspect<'a> {
    cause: &'a Cause,
    counts: &'a [Counts],
    recurrence: f64,
}

/// A cause on builds of which the first is suspected to have made it worse.
struct Trial<'a> {
    suspect: Suspect<'a>,
    since: usize,
    end: usize,
    p: f64,
}

impl<'a> Suspect<'a> {
    fn new(cause: &'a Cause, counts: &'a [Counts], all: Counts) -> Self {
        Self { cause, counts, recurrence: recurrence(counts.iter().copied().sum(), all) }
    }

    /// The surest trial, with its chance corrected for all of them. `None` where no builds can be compared, or where the
    /// cause struck too few machines on all of them: that depends on no build, and so favours none.
    fn surest(self, history: &History<'_>) -> Option<Trial<'a>> {
        let total: Counts = self.counts.iter().copied().sum();
        if total.machines < STRUCK_MACHINES_MIN {
            return None;
        }
        let last = history.builds.len();
        let for_good = (1..last).map(|since| (since, last));
        let alone = (1..last.saturating_sub(1)).map(|since| (since, since + 1));
        let tried = for_good.chain(alone).filter_map(|(since, end)| self.trial(history, since, end));
        let tried: Vec<Trial<'a>> = tried.collect();
        let number = float(tried.len() as u64);
        let surest = tried.into_iter().min_by(|a, b| a.p.total_cmp(&b.p))?;
        Some(Trial { p: surest.p * number, ..surest })
    }

    fn trial(self, history: &History<'_>, since: usize, end: usize) -> Option<Trial<'a>> {
        let (after, before) = self.groups(history, since, end);
        let can_tell = after.machine_days().min(before.machine_days()) >= MACHINE_DAYS_MIN;
        can_tell.then(|| Trial { suspect: self, since, end, p: p_value(&after, &before, self.recurrence) })
    }

    /// The builds from `since` to `end`, and all before them.
    fn groups<'g>(&'g self, history: &'g History<'_>, since: usize, end: usize) -> (Group<'g>, Group<'g>) {
        let group =
            |builds: Range<usize>| Group { builds: &history.builds[builds.clone()], counts: &self.counts[builds] };
        (group(since..end), group(0..since))
    }
}

impl Trial<'_> {
    /// What it found; `None` where too few machines were struck since then.
    fn finding(&self, history: &History<'_>, p_corrected: f64) -> Option<Finding> {
        let (after, before) = self.suspect.groups(history, self.since, self.end);
        let comparison = compare(&after, &before, self.suspect.recurrence)?;
        (comparison.after.machines >= STRUCK_MACHINES_MIN).then(|| Finding {
            change: if comparison.before.struck_machine_days == 0 { Change::New } else { Change::Worse },
            cause: self.suspect.cause.clone(),
            build: history.builds[self.since].build.clone(),
            lasts: self.end == history.builds.len(),
            comparison,
            p_corrected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Exposure, Strikes};
    use super::*;

    /// Builds 10, 20, ... with so many machine-days each, of machines that stay for `stay` days, and causes with what they
    /// did there: machines and machine-days.
    fn tables(stay: u64, days: &[u64], causes: &[&[(u64, u64)]]) -> Tables {
        let build = |place: usize| (10 * (place + 1)).to_string();
        let exposure = |(place, days): (usize, &u64)| Exposure {
            build: build(place),
            machines: *days,
            machine_days: *days,
            busiest_day_machines: days.div_ceil(stay),
        };
        let strikes = causes.iter().enumerate().flat_map(|(number, cause)| {
            cause.iter().enumerate().map(move |(place, (machines, machine_days))| Strikes {
                build: build(place),
                cause: Cause::Class(number.to_string()),
                counts: Counts { machines: *machines, machine_days: *machine_days, records: *machine_days },
            })
        });
        Tables { exposures: days.iter().enumerate().map(exposure).collect(), strikes: strikes.collect() }
    }

    fn found(tables: &Tables) -> Vec<(String, Change, bool)> {
        findings(tables).into_iter().map(|it| (it.build, it.change, it.lasts)).collect()
    }

    const STEADY: [u64; 5] = [4_000; 5];

    #[test]
    fn what_gets_worse_is_found_with_its_build() {
        let worse = tables(1, &STEADY, &[&[(20, 20), (20, 20), (20, 20), (60, 60), (60, 60)]]);
        assert_eq!(found(&worse), [("40".to_owned(), Change::Worse, true)]);
        let for_a_while = tables(1, &STEADY, &[&[(20, 20), (20, 20), (80, 80), (20, 20), (20, 20)]]);
        assert_eq!(found(&for_a_while), [("30".to_owned(), Change::Worse, false)]);
        let new = tables(1, &STEADY, &[&[(0, 0), (0, 0), (0, 0), (0, 0), (12, 12)]]);
        assert_eq!(found(&new), [("50".to_owned(), Change::New, true)]);
        let better = tables(1, &STEADY, &[&[(60, 60), (60, 60), (20, 20), (20, 20), (0, 0)]]);
        assert_eq!(found(&better), []);
    }

    #[test]
    fn small_numbers_are_quiet() {
        let nearly = |machines, last_days| tables(1, &[1_000_000, last_days], &[&[(0, 0), (machines, machines)]]);
        assert_eq!(found(&nearly(STRUCK_MACHINES_MIN, MACHINE_DAYS_MIN)).len(), 1);
        assert_eq!(found(&nearly(STRUCK_MACHINES_MIN - 1, MACHINE_DAYS_MIN)), []);
        assert_eq!(found(&nearly(STRUCK_MACHINES_MIN, MACHINE_DAYS_MIN - 1)), []);
        assert_eq!(found(&Tables::default()), []);
    }

    #[test]
    fn one_machine_that_breaks_is_no_regression() {
        // Ten machines that crash now and then, and one that crashes daily on the last build, with five ids in 14 days.
        let one = tables(
            14,
            &STEADY,
            &[&[(10, 10), (10, 10), (10, 10), (10, 10), (15, 24)], &[(0, 0), (0, 0), (0, 0), (0, 0), (5, 14)]],
        );
        assert_eq!(found(&one), []);
        let many = tables(14, &STEADY, &[&[(0, 0), (0, 0), (0, 0), (0, 0), (14, 14)]]);
        assert_eq!(found(&many).len(), 1, "as many days of machines of their own are one");
    }

    #[test]
    fn the_more_is_looked_at_the_surer_it_has_to_be() {
        let worse: &[(u64, u64)] = &[(20, 20), (20, 20), (20, 20), (20, 20), (46, 46)];
        let steady: &[(u64, u64)] = &[(20, 20); 5];
        let alone = findings(&tables(1, &STEADY, &[worse]));
        let p = alone.first().expect("found").p_corrected;
        let among = tables(1, &STEADY, &[&[worse][..], &[steady; 200]].concat());
        assert!(p > FALSE_REPORTS / 201.0, "{p}");
        assert_eq!(found(&among), []);
    }

    #[test]
    fn builds_without_heartbeats_are_not_judged() {
        let mut odd = tables(1, &STEADY[..2], &[&[(20, 20), (20, 20)]]);
        let counts = Counts { machines: 900, machine_days: 900, records: 900 };
        odd.strikes.push(Strikes { build: "30".to_owned(), cause: Cause::Class("0".to_owned()), counts });
        assert_eq!(found(&odd), []);
    }

    #[test]
    fn holm_multiplies_by_what_is_left() {
        let near = |found: &[f64], expected: &[f64]| {
            found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12)
        };
        assert!(near(&holm(&[0.01, 0.02, 0.03, 0.6]), &[0.04, 0.06, 0.06, 0.6]));
        assert!(near(&holm(&[0.3, 0.9]), &[0.6, 0.9]) && holm(&[]).is_empty());
        assert!(near(&holm(&[0.8, 0.9]), &[1.0, 1.0]));
    }
}
