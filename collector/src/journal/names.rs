//! The collector's identifiers, given out to everything that needs one: records here, entries of the quarantine.

use std::sync::{Arc, Mutex, PoisonError};

use telemetrics_schema::{CollectorNumber, IdSequence, RecordId, TimestampUs};

/// One growing sequence; clones share it.
///
/// What is named elsewhere must be told at the next start ([`super::Ids::above`]), so that it is never named again.
#[derive(Debug, Clone)]
pub struct Names {
    sequence: Arc<Mutex<IdSequence>>,
}

impl Names {
    /// Goes on above `last`.
    #[must_use]
    pub fn after(collector: CollectorNumber, last: Option<RecordId>) -> Self {
        Self { sequence: Arc::new(Mutex::new(IdSequence::after(collector, last))) }
    }

    /// The next identifier at the instant `now`.
    #[must_use]
    pub fn next(&self, now: TimestampUs) -> RecordId {
        // The sequence is one number, which is whole whatever panics.
        self.sequence.lock().unwrap_or_else(PoisonError::into_inner).next(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_never_give_the_same_name() {
        let names = Names::after(CollectorNumber::default(), None);
        let other = names.clone();
        let now = TimestampUs::from_s(1_795_342_080);
        let given: Vec<_> = (0..200).flat_map(|_| [names.next(now), other.next(now)]).collect();
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
