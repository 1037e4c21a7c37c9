//! A batch: records that reach the store together, named by the range of their identifiers.

use std::sync::Arc;

use telemetrics_schema::{Record, RecordId, TimestampUs, codec};

use crate::journal::Seal;

/// A non-empty run of records in the order of their identifiers, of one UTC day.
#[derive(Debug, Clone)]
pub struct Batch {
    records: Vec<Arc<Record>>,
    seal: Seal,
    /// What tells a remainder of the batch from the whole where a store compares tokens.
    part: &'static str,
}

impl Batch {
    /// `None` when there are no records.
    #[must_use]
    pub fn of(records: Vec<Arc<Record>>) -> Option<Self> {
        let (first, last) = (records.first()?.id, records.last()?.id);
        let seal = Seal { first, last, rows: records.len() as u64, checksum: u64::from(checksum(&records)) };
        Some(Self { records, seal, part: "" })
    }

    /// The batch's identity, as the journal keeps it.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Its records, in the order of their identifiers.
    #[must_use]
    pub fn records(&self) -> &[Arc<Record>] {
        &self.records
    }

    /// First identifier of the range.
    #[must_use]
    pub fn first(&self) -> RecordId {
        self.seal.first
    }

    /// Last identifier of the range.
    #[must_use]
    pub fn last(&self) -> RecordId {
        self.seal.last
    }

    /// The UTC day of reception of all its records, counted from 1970-01-01.
    #[must_use]
    pub fn day(&self) -> i32 {
        self.last_reception().day()
    }

    /// When its newest record was accepted.
    #[must_use]
    pub fn last_reception(&self) -> TimestampUs {
        self.records.last().map_or(TimestampUs(0), |record| record.ts_reception)
    }

    /// Text that is equal for equal batches and only for them: a store may drop a second insert with the same one.
    #[must_use]
    pub fn token(&self) -> String {
        let Seal { first, last, rows, checksum } = self.seal;
        format!("{first}-{last}-{rows}-{checksum:x}{}", self.part)
    }

    /// The batch in two, halved by position; `None` for a single record.
    #[must_use]
    pub fn halves(&self) -> Option<(Self, Self)> {
        let (first, second) = self.records.split_at(self.records.len() / 2);
        Some((Self::of(first.to_vec())?, Self::of(second.to_vec())?))
    }

    /// What is missing when the store has the records with the identifiers `held`.
    #[must_use]
    pub fn without(&self, held: &[i64]) -> Option<Self> {
        let held: std::collections::HashSet<i64> = held.iter().copied().collect();
        let missing: Vec<_> = self.records.iter().filter(|r| !held.contains(&r.id.0)).map(Arc::clone).collect();
        Some(Self { part: "-rest", ..Self::of(missing)? })
    }
}

fn checksum(records: &[Arc<Record>]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut bytes = Vec::new();
    for record in records {
        bytes.clear();
        codec::encode(record, &mut bytes);
        hasher.update(&bytes);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::Report;

    use super::*;

    fn record(id: i64) -> Arc<Record> {
        Arc::new(Record { id: RecordId(id), ts_reception: TimestampUs(id), report: Report::default() })
    }

    #[test]
    fn equal_records_make_an_equal_token_and_others_do_not() {
        let token = |ids: &[i64]| Batch::of(ids.iter().copied().map(record).collect()).expect("a batch").token();
        assert_eq!(token(&[1, 2, 3]), token(&[1, 2, 3]));
        assert_ne!(token(&[1, 2, 3]), token(&[1, 3]));
    }

    #[test]
    fn halves_are_all_of_it_and_a_single_record_has_none() {
        let ids = |batch: &Batch| batch.records().iter().map(|r| r.id.0).collect::<Vec<_>>();
        let batch = Batch::of((1..=5).map(record).collect()).expect("a batch");
        let (first, second) = batch.halves().expect("five records");
        assert_eq!((ids(&first), ids(&second)), (vec![1, 2], vec![3, 4, 5]));
        assert!(Batch::of(vec![record(1)]).expect("a batch").halves().is_none());
    }

    #[test]
    fn the_rest_is_what_the_store_does_not_hold() {
        let batch = Batch::of((1..=5).map(record).collect()).expect("a batch");
        let rest = batch.without(&[1, 3, 5]).expect("two are missing");
        assert_eq!(rest.records().iter().map(|r| r.id.0).collect::<Vec<_>>(), [2, 4]);
        assert_ne!(rest.token(), batch.token());
        assert!(batch.without(&[1, 2, 3, 4, 5]).is_none());
    }
}
