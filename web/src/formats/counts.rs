//! What is counted about the answers that take turns: how many run, how they ended, and what they held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use telemetrics_analytics::Error;

use super::fault::Fault;
use crate::error::WebError;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With its last byte.
    Whole,
    /// The client left.
    Left,
    /// The client took nothing for too long.
    Stalled,
    /// It was wrong, or reached a limit.
    Refused,
    /// Something that its client cannot help.
    Failed,
    /// Others ran for too long for it to begin.
    NoTurn,
}

impl Outcome {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Whole, "whole"),
        (Self::Left, "left"),
        (Self::Stalled, "stalled"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
        (Self::NoTurn, "no_turn"),
    ];

    /// That of a job whose answer is not a stream; `None` when nobody waited for it any more.
    pub(super) fn of_job<T>(outcome: Option<&Result<T, WebError>>) -> Self {
        match outcome {
            None => Self::Left,
            Some(Ok(_)) => Self::Whole,
            Some(Err(WebError::Question(error))) => Self::of_error(error),
            Some(Err(_)) => Self::Failed,
        }
    }

    /// That of a job.
    pub(super) fn of(outcome: &Result<(), Fault>) -> Self {
        match outcome {
            Ok(()) => Self::Whole,
            Err(Fault::Left) => Self::Left,
            Err(Fault::Stalled(_)) => Self::Stalled,
            Err(Fault::Question(error)) => Self::of_error(error),
            Err(Fault::Format(_)) => Self::Failed,
        }
    }

    /// That of a question that has no answer.
    const fn of_error(error: &Error) -> Self {
        match error {
            Error::TooMuch(_) | Error::Invalid(_) => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// A copy of the numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnswerCounts {
    /// Answers that run now.
    pub running: u64,
    /// Answers that wait for their turn now.
    pub waiting: u64,
    /// Rows that answers held since the start, those of broken ones included.
    pub rows: u64,
    /// Bytes that were handed over since the start, those of broken ones included.
    pub bytes: u64,
    ended: [u64; Outcome::ALL.len()],
}

impl AnswerCounts {
    /// Answers that ended since the start, by the name of how they did.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Outcome::ALL.iter().map(|(outcome, name)| (*name, self.ended[*outcome as usize]))
    }
}

/// The numbers of some workers; clones count the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    numbers: Arc<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    running: AtomicU64,
    waiting: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    ended: [AtomicU64; Outcome::ALL.len()],
}

impl Tally {
    pub(super) fn read(&self) -> AnswerCounts {
        let Numbers { running, waiting, rows, bytes, ended } = &*self.numbers;
        AnswerCounts {
            running: running.load(Relaxed),
            waiting: waiting.load(Relaxed),
            rows: rows.load(Relaxed),
            bytes: bytes.load(Relaxed),
            ended: ended.each_ref().map(|count| count.load(Relaxed)),
        }
    }

    pub(super) fn ended(&self, outcome: Outcome) {
        self.numbers.ended[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn rows(&self, rows: usize) {
        self.numbers.rows.fetch_add(rows as u64, Relaxed);
    }

    pub(super) fn bytes(&self, bytes: usize) {
        self.numbers.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts an answer as running until the guard is dropped.
    pub(super) fn running(&self) -> Present {
        Present::in_gauge(&self.numbers, |numbers| &numbers.running)
    }

    /// Counts an answer as waiting until the guard is dropped.
    pub(super) fn waiting(&self) -> Present {
        Present::in_gauge(&self.numbers, |numbers| &numbers.waiting)
    }
}

/// One more in a gauge, until it is dropped.
#[derive(Debug)]
pub(super) struct Present {
    numbers: Arc<Numbers>,
    gauge: fn(&Numbers) -> &AtomicU64,
}

impl Present {
    fn in_gauge(numbers: &Arc<Numbers>, gauge: fn(&Numbers) -> &AtomicU64) -> Self {
        gauge(numbers).fetch_add(1, Relaxed);
        Self { numbers: Arc::clone(numbers), gauge }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        (self.gauge)(&self.numbers).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
impl AnswerCounts {
    /// Numbers that differ from each other, for tests of what shows them.
    pub(crate) fn sample() -> Self {
        Self { running: 1, waiting: 2, rows: 3, bytes: 4, ended: [5, 6, 7, 8, 9, 10] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_own_count() {
        let tally = Tally::default();
        for (number, (outcome, _)) in (0..).zip(Outcome::ALL) {
            assert_eq!(outcome as usize, number, "the order of the names is that of the counts");
        }
        let ends = [
            Ok(()),
            Err(Fault::Left),
            Err(Fault::Stalled(1)),
            Err(Fault::Question(Error::TooMuch("rows".to_owned()))),
            Err(Fault::Question(Error::Invalid("a name".to_owned()))),
            Err(Fault::Format("a fault".to_owned())),
        ];
        for end in &ends {
            tally.ended(Outcome::of(end));
        }
        let expected = [("whole", 1), ("left", 1), ("stalled", 1), ("refused", 2), ("failed", 1), ("no_turn", 0)];
        assert_eq!(tally.read().outcomes().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn who_is_present_is_counted_until_dropped() {
        let tally = Tally::default();
        let (running, waiting) = (tally.running(), tally.clone().waiting());
        assert_eq!((tally.read().running, tally.read().waiting), (1, 1));
        drop(running);
        assert_eq!((tally.read().running, tally.read().waiting), (0, 1));
        drop(waiting);
        assert_eq!(tally.read(), AnswerCounts::default());
    }
}
