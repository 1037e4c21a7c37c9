//! Whether a store has each acknowledged request once: every record says which request it came from.

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::StreamExt;
use telemetrics_analytics::Analytics;
use telemetrics_schema::time::Clock;
use telemetrics_web::clock::SystemClock;

use crate::Failure;
use crate::requests::number_of;

/// What became of the requests of one salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Requests that a record came from.
    pub stored: u64,
    /// Requests that no record came from.
    pub missing: u64,
    /// Records whose request has another record already.
    pub doubled: u64,
}

/// One bit for each request.
struct Seen {
    salt: u64,
    bits: Vec<u64>,
    kept: Kept,
}

/// Looks at every record of `analytics`, for the first `issued` requests of `salt`.
///
/// # Errors
/// When the store cannot be read.
pub async fn look(analytics: &Analytics, salt: u64, issued: u64) -> Result<Kept, Failure> {
    let mut seen = Seen::new(salt, issued);
    let view = analytics.at(SystemClock.now()).await?;
    let mut batches = view.records()?.select_columns(&["event_id"])?.execute_stream().await?;
    while let Some(batch) = batches.next().await {
        let events = cast(batch?.column(0), &DataType::Utf8)?;
        events.as_string::<i32>().iter().flatten().for_each(|event| seen.note(event));
    }
    Ok(seen.end(issued))
}

impl Seen {
    fn new(salt: u64, issued: u64) -> Self {
        let words = usize::try_from(issued.div_ceil(64)).unwrap_or(0);
        Self { salt, bits: vec![0; words], kept: Kept::default() }
    }

    fn note(&mut self, event_id: &str) {
        let Some((salt, number)) = number_of(event_id) else { return };
        let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get_mut(word));
        let Some(word) = word.filter(|_| salt == self.salt) else { return };
        let bit = 1 << (number % 64);
        let count = if *word & bit == 0 { &mut self.kept.stored } else { &mut self.kept.doubled };
        *count += 1;
        *word |= bit;
    }

    fn end(self, issued: u64) -> Kept {
        Kept { missing: issued.saturating_sub(self.kept.stored), ..self.kept }
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::wire::{self, Rules};

    use super::*;
    use crate::requests::{Generation, REQUEST_BYTES, Requests, parts};

    #[test]
    fn what_is_missing_and_what_is_there_twice_is_counted() {
        let requests = Requests::new(Generation::V3, 3);
        let mut request = [0; REQUEST_BYTES];
        let mut events = Vec::new();
        for _ in 0..100 {
            requests.next(&mut request);
            let parts = parts(&request).expect("a request");
            events.push(wire::decode(&parts, &Rules::default()).expect("a record").event_id);
        }
        let mut seen = Seen::new(3, 100);
        events[1..].iter().chain(&events[5..7]).for_each(|event| seen.note(event));
        seen.note("N/A");
        assert_eq!(seen.end(100), Kept { stored: 99, missing: 1, doubled: 2 });
        let mut other = Seen::new(4, 100);
        other.note(&events[0]);
        assert_eq!(other.end(100).stored, 0);
    }
}
