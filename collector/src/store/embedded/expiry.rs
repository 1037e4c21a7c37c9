//! When the records of a batch or of a file are seen for the last time.

use std::path::Path;

use arrow::array::{AsArray, BooleanArray, Int8Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::retention::{RetentionPolicy, Subject};

use super::merge::open;
use super::pace::Pace;
use crate::store::StoreError;

/// What a policy looks at.
const COLUMNS: [&str; 4] = ["classification", "severity", "machine_id", "ts_reception"];
/// Rows that are looked at at a time.
const SCAN_ROWS: usize = 8_192;

/// When the records of a file are seen for the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    /// The first of them; `None` when none ever expires.
    pub(super) first: Option<TimestampUs>,
    /// The last of them; `None` when one stays for ever.
    pub(super) last: Option<TimestampUs>,
}

/// The rows that are seen at `now`.
pub(super) fn alive(
    batch: &RecordBatch,
    policy: &RetentionPolicy,
    now: TimestampUs,
) -> Result<RecordBatch, ArrowError> {
    let rows = Rows::of(batch)?;
    let alive = rows.last_seen(policy).map(|last| last.is_none_or(|last| last >= now));
    let alive: BooleanArray = alive.map(Some).collect();
    if alive.true_count() == batch.num_rows() { Ok(batch.clone()) } else { filter_record_batch(batch, &alive) }
}

/// Looks into a file; `None` when the process stops meanwhile.
pub(super) fn of_file(path: &Path, policy: &RetentionPolicy, pace: &mut Pace) -> Result<Option<Expiry>, StoreError> {
    let builder = open(path)?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let reader = builder.with_projection(columns).with_batch_size(SCAN_ROWS).build().map_err(unavailable)?;
    let (mut first, mut last, mut one_stays) = (None, None, false);
    for batch in reader {
        let batch = batch.map_err(unavailable)?;
        for seen in Rows::of(&batch).map_err(unavailable)?.last_seen(policy) {
            one_stays |= seen.is_none();
            first = [first, seen].into_iter().flatten().min();
            last = last.max(seen);
        }
        if !pace.keep() {
            return Ok(None);
        }
    }
    Ok(Some(Expiry { first, last: last.filter(|_| !one_stays) }))
}

struct Rows<'a> {
    classification: &'a StringViewArray,
    severity: &'a Int8Array,
    machine_id: &'a StringViewArray,
    ts_reception: &'a TimestampMicrosecondArray,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        let missing =
            |name: &str| ArrowError::SchemaError(format!("no column {name} of the type that the schema says"));
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
        Ok(Self {
            classification: column(COLUMNS[0])?.as_string_view_opt().ok_or_else(|| missing(COLUMNS[0]))?,
            severity: column(COLUMNS[1])?.as_primitive_opt().ok_or_else(|| missing(COLUMNS[1]))?,
            machine_id: column(COLUMNS[2])?.as_string_view_opt().ok_or_else(|| missing(COLUMNS[2]))?,
            ts_reception: column(COLUMNS[3])?.as_primitive_opt().ok_or_else(|| missing(COLUMNS[3]))?,
        })
    }

    fn last_seen(&self, policy: &RetentionPolicy) -> impl Iterator<Item = Option<TimestampUs>> {
        (0..self.severity.len()).map(|row| {
            let subject = Subject {
                classification: self.classification.value(row),
                severity: self.severity.value(row),
                machine_id: self.machine_id.value(row),
            };
            policy.last_seen(&subject, TimestampUs(self.ts_reception.value(row)))
        })
    }
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("looking for expired records: {error}"))
}
