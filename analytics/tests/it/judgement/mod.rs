//! Judgement, proven on fleets of which the truth is known.
//!
//! 200 fleets, each with its own builds, machines and noise, once as they are and once with a cause that is more frequent
//! from one build on.

mod fleet;
mod generated;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use telemetrics_analytics::judgement::{Finding, Verdict, findings, gate};

use fleet::{Outcome, Plan, simulate};

const SEEDS: u64 = 200;
/// How often the planted cause strikes, beside how often it did before.
const FACTORS: &[f64] = &[1.0, 1.5, 2.0, 3.0, 5.0];
const PLAN: Plan = Plan { machines: 5_000, causes: 60, crashes_a_day: 0.1, factors: FACTORS };

/// What was found, by factor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Score {
    /// Fleets of which anything was reported.
    any: u64,
    /// Fleets of which the planted cause was reported, with its build.
    right: u64,
    /// Fleets of which anything else was reported.
    wrong: u64,
    /// Fleets whose build the gate holds for the planted cause.
    held: u64,
}

#[test]
fn regressions_are_found_and_nothing_else() {
    let scores = scores();
    println!("of {SEEDS} fleets: factor, reported with cause and build, anything else reported, held by the gate");
    for (factor, score) in FACTORS.iter().zip(&scores) {
        println!("{factor:4} {:4} {:4} {:4}", score.right, score.wrong, score.held);
    }
    let at = |factor: f64| scores[FACTORS.iter().position(|known| *known >= factor).expect("a factor")];
    assert!(at(1.0).any * 100 <= 5 * SEEDS, "false reports: {scores:?}");
    assert!(at(3.0).right * 100 >= 95 * SEEDS, "found: {scores:?}");
    assert!(scores.iter().all(|score| score.wrong * 100 <= 5 * SEEDS), "beside what is planted: {scores:?}");
    assert!(at(1.0).held * 100 <= 5 * SEEDS, "held for nothing: {scores:?}");
}

/// Fleets are independent of each other: each thread takes the next one.
fn scores() -> Vec<Score> {
    let next = AtomicU64::new(0);
    let scores = Mutex::new(vec![Score::default(); FACTORS.len()]);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    let outcome = simulate(seed, &PLAN);
                    let mut scores = scores.lock().expect("no thread panicked");
                    scores.iter_mut().enumerate().for_each(|(factor, score)| score.add(&outcome, factor));
                }
            });
        }
    });
    scores.into_inner().expect("no thread panicked")
}

impl Score {
    fn add(&mut self, outcome: &Outcome, factor: usize) {
        let found = findings(&outcome.tables[factor]);
        let is_right = |finding: &Finding| finding.cause == outcome.planted && finding.build == outcome.since;
        self.any += u64::from(!found.is_empty());
        self.right += u64::from(found.iter().any(is_right));
        self.wrong += u64::from(found.iter().any(|finding| !is_right(finding)));
        let gate = gate(&outcome.tables[factor], &outcome.since, &outcome.before);
        let held = gate.suspicions.iter().any(|it| it.holds && it.cause == outcome.planted);
        self.held += u64::from(gate.verdict == Verdict::Hold && (held || factor == 0));
    }
}
