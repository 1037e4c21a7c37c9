//! The release gate: whether a build may go to more machines, judged by another one.

use super::comparison::{Comparison, Group, compare};
use super::dispersion::recurrence;
use super::findings::{Change, FALSE_REPORTS, MACHINE_DAYS_MIN, STRUCK_MACHINES_MIN, holm};
use super::tables::{Cause, Counts, Exposure, History, Tables};

/// Machines that have to run each of the two builds on one day, before a build passes: of fewer, who they are decides.
pub const GATE_MACHINES_MIN: u64 = 100;
/// Causes that are told about although they say nothing yet, at most.
pub const QUIET_CAUSES_MAX: usize = 20;

/// May it go out?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Enough machines ran it for long enough, and nothing is surely worse.
    Pass,
    /// Something is surely worse.
    Hold,
    /// Too few machines ran one of the builds for long enough, and nothing is surely worse.
    Unknown,
}

/// What is known of one of the two builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hearing {
    /// Who ran it; all 0 when nobody did.
    pub exposure: Exposure,
    /// Whether that is enough: [`GATE_MACHINES_MIN`] on a day and [`MACHINE_DAYS_MIN`] in all.
    pub is_enough: bool,
}

/// One cause on the two builds.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// Whether it strikes on no earlier build of the window at all.
    pub change: Change,
    /// What it is.
    pub cause: Cause,
    /// The build against the other one.
    pub comparison: Comparison,
    /// Its chance after the correction for all causes that were looked at; 1 for one that struck too few to be looked at.
    pub p_corrected: f64,
    /// Whether it holds the build.
    pub holds: bool,
}

/// The verdict with what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// The verdict.
    pub verdict: Verdict,
    /// Who ran the build.
    pub build: Hearing,
    /// Who ran the one that it is judged by.
    pub against: Hearing,
    /// What holds the build, the surest first; then causes that are new in it and struck too few machines to say more,
    /// those with most machines first, at most [`QUIET_CAUSES_MAX`].
    pub suspicions: Vec<Suspicion>,
}

/// Judges `build` by `against`.
#[must_use]
pub fn gate(tables: &Tables, build: &str, against: &str) -> Gate {
    let history = History::new(tables);
    let (build, against) = (hearing(&history, build), hearing(&history, against));
    let suspicions = suspicions(&history, &build, &against);
    let verdict = if suspicions.iter().any(|it| it.holds) {
        Verdict::Hold
    } else if build.is_enough && against.is_enough {
        Verdict::Pass
    } else {
        Verdict::Unknown
    };
    Gate { verdict, build, against, suspicions }
}

fn hearing(history: &History<'_>, build: &str) -> Hearing {
    let nobody = || Exposure { build: build.to_owned(), machines: 0, machine_days: 0, busiest_day_machines: 0 };
    let exposure = history.place(build).map_or_else(nobody, |place| history.builds[place].clone());
    let is_enough = exposure.busiest_day_machines >= GATE_MACHINES_MIN && exposure.machine_days >= MACHINE_DAYS_MIN;
    Hearing { exposure, is_enough }
}

fn suspicions(history: &History<'_>, build: &Hearing, against: &Hearing) -> Vec<Suspicion> {
    let places = history.place(&build.exposure.build).zip(history.place(&against.exposure.build));
    let Some((build, against)) = places else { return Vec::new() };
    let all = history.total();
    let looked_at = history.causes.iter().filter_map(|(cause, counts)| {
        let one = |place: usize| Group { builds: &history.builds[place..=place], counts: &counts[place..=place] };
        let recurrence = recurrence(counts.iter().copied().sum(), all);
        let comparison = compare(&one(build), &one(against), recurrence)?;
        let is_new = counts[..build].iter().all(|earlier| *earlier == Counts::default());
        let change = if is_new { Change::New } else { Change::Worse };
        Some(Suspicion { change, cause: (*cause).clone(), comparison, p_corrected: 1.0, holds: false })
    });
    // What is looked at depends on the sum of both builds only, and so favours none.
    let (mut many, few): (Vec<_>, Vec<_>) = looked_at.partition(|it| struck(it) >= STRUCK_MACHINES_MIN);
    correct(&mut many);
    let (holding, others): (Vec<_>, Vec<_>) = many.into_iter().partition(|it| it.holds);
    holding.into_iter().chain(quiet(others.into_iter().chain(few))).collect()
}

fn struck(suspicion: &Suspicion) -> u64 {
    suspicion.comparison.after.machines + suspicion.comparison.before.machines
}

/// Sorts by certainty, corrects for all of them, and decides which hold.
fn correct(suspicions: &mut [Suspicion]) {
    suspicions.sort_by(|a, b| a.comparison.p.total_cmp(&b.comparison.p));
    let corrected = holm(&suspicions.iter().map(|it| it.comparison.p).collect::<Vec<_>>());
    for (suspicion, p) in suspicions.iter_mut().zip(corrected) {
        suspicion.p_corrected = p;
        suspicion.holds = p <= FALSE_REPORTS && suspicion.comparison.after.machines >= STRUCK_MACHINES_MIN;
    }
}

/// What is new and holds nothing.
fn quiet(suspicions: impl Iterator<Item = Suspicion>) -> Vec<Suspicion> {
    let is_new = |it: &Suspicion| it.change == Change::New && it.comparison.after.machines > 0;
    let mut new: Vec<Suspicion> = suspicions.filter(is_new).collect();
    new.sort_by_key(|it| std::cmp::Reverse(it.comparison.after.machines));
    new.truncate(QUIET_CAUSES_MAX);
    new
}

#[cfg(test)]
mod tests {
    use super::super::Strikes;
    use super::*;

    fn exposure(build: &str, machines: u64, machine_days: u64) -> Exposure {
        Exposure { build: build.to_owned(), machines: machine_days, machine_days, busiest_day_machines: machines }
    }

    fn strikes(build: &str, cause: &str, machines: u64) -> Strikes {
        let counts = Counts { machines, machine_days: machines, records: machines };
        Strikes { build: build.to_owned(), cause: Cause::Class(cause.to_owned()), counts }
    }

    /// Builds 10, 20 and 30, of which 30 is judged by 20.
    fn judged(last: Exposure, strikes: Vec<Strikes>) -> Gate {
        let exposures = vec![exposure("10", 1_000, 3_000), exposure("20", 1_000, 3_000), last];
        gate(&Tables { exposures, strikes }, "30", "20")
    }

    fn reasons(gate: &Gate) -> Vec<(&Cause, Change, bool)> {
        gate.suspicions.iter().map(|it| (&it.cause, it.change, it.holds)).collect()
    }

    #[test]
    fn what_is_surely_worse_holds() {
        let causes = vec![
            strikes("20", "a", 20),
            strikes("30", "a", 80),
            strikes("20", "b", 20),
            strikes("30", "b", 20),
            strikes("30", "c", 30),
            strikes("10", "d", 1),
            strikes("30", "d", 30),
        ];
        let gate = judged(exposure("30", 1_000, 3_000), causes);
        assert_eq!(gate.verdict, Verdict::Hold);
        let class = |name: &str| Cause::Class(name.to_owned());
        let expected =
            [(class("c"), Change::New, true), (class("d"), Change::Worse, true), (class("a"), Change::Worse, true)];
        let mut found = reasons(&gate);
        found.sort_by_key(|(cause, ..)| (*cause == &expected[2].0, (*cause).clone()));
        assert_eq!(found, expected.iter().map(|(cause, change, holds)| (cause, *change, *holds)).collect::<Vec<_>>());
    }

    #[test]
    fn a_build_passes_that_enough_machines_ran_for_long_enough() {
        let verdict = |machines, days| judged(exposure("30", machines, days), vec![]).verdict;
        assert_eq!(verdict(GATE_MACHINES_MIN, MACHINE_DAYS_MIN), Verdict::Pass);
        assert_eq!(verdict(GATE_MACHINES_MIN - 1, MACHINE_DAYS_MIN), Verdict::Unknown);
        assert_eq!(verdict(GATE_MACHINES_MIN, MACHINE_DAYS_MIN - 1), Verdict::Unknown);
        let unheard = gate(&Tables { exposures: vec![exposure("20", 1_000, 3_000)], strikes: vec![] }, "30", "20");
        assert_eq!(
            (unheard.verdict, unheard.build.is_enough, unheard.against.is_enough),
            (Verdict::Unknown, false, true)
        );
    }

    #[test]
    fn few_machines_are_enough_to_hold() {
        let gate = judged(exposure("30", 50, 150), vec![strikes("20", "a", 3), strikes("30", "a", 20)]);
        assert_eq!(gate.verdict, Verdict::Hold);
    }

    #[test]
    fn what_is_new_and_rare_is_told_and_holds_nothing() {
        let rare = (1..=25).map(|number| strikes("30", &format!("rare {number:02}"), 1 + number / 25));
        let known = [strikes("10", "known", 1), strikes("30", "known", 1)];
        let gate = judged(exposure("30", 1_000, 3_000), rare.chain(known).collect());
        assert_eq!(gate.verdict, Verdict::Pass);
        assert_eq!(gate.suspicions.len(), QUIET_CAUSES_MAX);
        assert_eq!(gate.suspicions[0].cause, Cause::Class("rare 25".to_owned()), "the one with most machines");
        assert!(gate.suspicions.iter().all(|it| it.change == Change::New && !it.holds));
    }
}
