//! Copies a day in batches: ranges of identifiers, halved until one fits into memory.
//!
//! The ranges follow from the records of the day and from nothing else, so that a run after a broken one makes the same
//! batches. Counting a range reads one column, and halving it needs no list of identifiers, however many there are.

use std::ops::RangeInclusive;
use std::sync::Arc;

use telemetrics_analytics::questions::contents::{count_of, records_of};
use telemetrics_collector::drain::Batch;
use telemetrics_schema::Record;

use super::Moving;
use super::trouble::patiently;
use crate::serve::StartError;

/// Most records of a batch.
const BATCH_ROWS: u64 = 65_536;
/// Most text of a batch in bytes; a single record may have more.
const BATCH_BYTES: usize = 32 << 20;

/// Brings the records of `day` with identifiers in `ids` to the target.
pub(super) async fn day(moving: &mut Moving, day: i32, ids: &RangeInclusive<i64>) -> Result<(), StartError> {
    let view = moving.source.all(moving.clock.now()).await?;
    let mut ranges = vec![ids.clone()];
    while let Some(range) = ranges.pop() {
        let rows = count_of(&view, day, &range).await?;
        let records = if rows > BATCH_ROWS { None } else { records_of(&view, day, &range, BATCH_BYTES).await? };
        match records {
            Some(records) => deliver(moving, day, records).await?,
            None => ranges.extend(halves(&range).ok_or_else(|| too_many(*range.start()))?),
        }
    }
    Ok(())
}

async fn deliver(moving: &mut Moving, day: i32, records: Vec<Record>) -> Result<(), StartError> {
    let rows = records.len() as u64;
    let Some(batch) = Batch::of(records.into_iter().map(Arc::new).collect()) else { return Ok(()) };
    let target = &mut moving.target;
    patiently(async || target.complete(&batch).await).await?;
    moving.shown.batch(day, rows);
    Ok(())
}

/// The greater half first: the next range is taken from the end.
pub(crate) fn halves(range: &RangeInclusive<i64>) -> Option<[RangeInclusive<i64>; 2]> {
    let (first, last) = (*range.start(), *range.end());
    let middle = first + (last - first) / 2;
    (first < last).then(|| [middle + 1..=last, first..=middle])
}

fn too_many(id: i64) -> StartError {
    format!("too many records have the one identifier {id}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_all_of_a_range_and_one_identifier_has_none() {
        assert_eq!(halves(&(0..=1)), Some([1..=1, 0..=0]));
        assert_eq!(halves(&(3..=7)), Some([6..=7, 3..=5]));
        assert_eq!(halves(&(4..=4)), None);
        let all = 0..=(1_i64 << 53);
        assert_eq!(halves(&all).map(|[b, a]| (*a.start(), *b.end(), b.start() - a.end())), Some((0, 1 << 53, 1)));
    }
}
