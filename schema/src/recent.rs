//! The records that are acknowledged but not yet in the store, in memory, visible to every query at once.
//!
//! The collector pushes and releases, queries take snapshots. Records are kept in the order of their identifiers. Old
//! ones stand in sealed chunks whose Arrow batch is made once; only the open chunk at the end is converted again when a
//! query finds it longer than the last one did. What is derived from a record is kept, so that it is made once.
//!
//! Memory is bounded: behind a full one records are only counted, until whoever has them on disk brings them in again in
//! their order. Meanwhile a snapshot lacks the newest records, and who needs them waits for the store to have them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::attributes::{NoParsers, Parsers, derive_all};
use crate::batch::BatchBuilder;
use crate::id::RecordId;
use crate::payload::Derived;
use crate::record::Record;
use crate::time::TimestampUs;

/// Bytes that a record takes beside its texts: itself, and what the allocator adds to each of its allocations.
const RECORD_OVERHEAD_BYTES: usize = size_of::<Record>() + 13 * 16;
/// Rows of a chunk: large enough for vectorised execution, small enough that converting an open one is unnoticed.
const CHUNK_ROWS: usize = 4_096;

#[derive(Default)]
struct Chunk {
    /// Unique among those of one memory.
    number: u64,
    records: Vec<Arc<Record>>,
    /// How many records left it.
    released: usize,
    /// What is derived from the first so many records.
    derived: Vec<Derived>,
    /// The batch of the first so many records; equal to `records` once the chunk is full and was asked for.
    batch: Option<RecordBatch>,
}

impl Chunk {
    /// What a snapshot has of it; records that have no batch yet, with what is derived from them, which is brought back.
    fn part(&mut self) -> Part {
        match &self.batch {
            Some(batch) if batch.num_rows() == self.records.len() => Part::Batch(batch.clone()),
            _ => Part::Records(Unconverted {
                number: self.number,
                released: self.released,
                records: self.records.clone(),
                derived: std::mem::take(&mut self.derived),
            }),
        }
    }

    /// Takes back what was made of its records, as far as they did not leave meanwhile.
    fn keep(&mut self, made: Unconverted, batch: RecordBatch) {
        let gone = self.released - made.released;
        self.derived = made.derived;
        self.derived.drain(..gone.min(self.derived.len()));
        self.batch = (gone == 0).then_some(batch);
    }

    /// Takes the first `rows` records away; their texts had so many bytes.
    fn release(&mut self, rows: usize) -> usize {
        self.batch = None;
        self.released += rows;
        self.derived.drain(..rows.min(self.derived.len()));
        self.records.drain(..rows).map(|record| record.text_bytes()).sum()
    }
}

/// What a snapshot has of a chunk.
enum Part {
    Batch(RecordBatch),
    Records(Unconverted),
}

/// Records of a chunk, of which a batch is made while others go on.
struct Unconverted {
    number: u64,
    released: usize,
    records: Vec<Arc<Record>>,
    derived: Vec<Derived>,
}

impl Unconverted {
    fn batch(&mut self, parsers: &dyn Parsers) -> Result<RecordBatch, ArrowError> {
        let new: Vec<&Record> = self.records.iter().skip(self.derived.len()).map(AsRef::as_ref).collect();
        self.derived.extend(derive_all(&new, parsers));
        let mut builder = BatchBuilder::new();
        for (record, derived) in self.records.iter().zip(&self.derived) {
            builder.append_derived(record, derived);
        }
        builder.finish()
    }
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    /// Number of the next chunk.
    next: u64,
    rows: usize,
    text_bytes: usize,
    /// Records behind those in memory, and the last of them.
    left_out: usize,
    last_left_out: Option<RecordId>,
    /// Everything up to here was released.
    released: Option<RecordId>,
}

impl State {
    fn push(&mut self, record: Arc<Record>) {
        self.rows += 1;
        self.text_bytes += record.text_bytes();
        match self.chunks.back_mut() {
            Some(chunk) if chunk.records.len() < CHUNK_ROWS => chunk.records.push(record),
            _ => {
                self.chunks.push_back(Chunk { number: self.next, records: vec![record], ..Chunk::default() });
                self.next += 1;
            }
        }
    }

    fn last_in_memory(&self) -> Option<RecordId> {
        self.chunks.back()?.records.last().map(|record| record.id)
    }

    fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.chunks.iter().flat_map(|chunk| &chunk.records)
    }
}

/// See the module; clones share the same records.
#[derive(Clone)]
pub struct Recent {
    state: Arc<Mutex<State>>,
    /// Locked by who makes batches: the next one finds them.
    converting: Arc<Mutex<()>>,
    limit_bytes: usize,
    parsers: Arc<dyn Parsers>,
}

impl Default for Recent {
    /// Without a limit.
    fn default() -> Self {
        Self::with_limit(usize::MAX)
    }
}

impl Recent {
    /// Memory that is full when the records in it take `limit_bytes` bytes. While questions are asked their Arrow batches
    /// take as much again.
    #[must_use]
    pub fn with_limit(limit_bytes: usize) -> Self {
        Self { state: Arc::default(), converting: Arc::default(), limit_bytes, parsers: Arc::new(NoParsers) }
    }

    /// The same memory, which shows records with the attributes that these parsers make of them.
    #[must_use]
    pub fn parsed_by(self, parsers: Arc<dyn Parsers>) -> Self {
        Self { parsers, ..self }
    }

    /// Adds records behind all others; their identifiers are greater than those of all records before, and nothing is
    /// left out.
    pub fn push(&self, records: impl IntoIterator<Item = Arc<Record>>) {
        let mut state = self.lock();
        records.into_iter().for_each(|record| state.push(record));
    }

    /// Whether records should be left out from now on.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let state = self.lock();
        state.text_bytes + state.rows * RECORD_OVERHEAD_BYTES >= self.limit_bytes
    }

    /// Whether there is enough for a batch of `rows` records or `bytes` bytes of text, or so much is in memory that it
    /// should go to the store, so that the rest takes what arrives meanwhile.
    #[must_use]
    pub fn has_batch(&self, rows: usize, bytes: usize) -> bool {
        let state = self.lock();
        let is_half_full = state.text_bytes + state.rows * RECORD_OVERHEAD_BYTES >= self.limit_bytes / 2;
        state.rows + state.left_out >= rows || state.text_bytes >= bytes || is_half_full
    }

    /// Counts `rows` records up to `last`, behind all others, that whoever calls this keeps elsewhere.
    pub fn leave_out(&self, rows: usize, last: RecordId) {
        let mut state = self.lock();
        state.left_out += rows;
        state.last_left_out = Some(last);
    }

    /// Adds the first ones of the records that were left out.
    pub fn take_in(&self, records: impl IntoIterator<Item = Arc<Record>>) {
        let mut state = self.lock();
        for record in records {
            state.push(record);
            state.left_out = state.left_out.saturating_sub(1);
        }
        if state.left_out == 0 {
            state.last_left_out = None;
        }
    }

    /// Records that a snapshot lacks, because memory is full.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.lock().left_out
    }

    /// Forgets all records up to `last`: the store has them, and says so to queries.
    ///
    /// Snapshots that were taken before keep what they hold.
    pub fn release(&self, last: RecordId) {
        let mut state = self.lock();
        state.released = state.released.max(Some(last));
        while let Some(chunk) = state.chunks.front_mut() {
            let gone = chunk.records.partition_point(|record| record.id <= last);
            if gone == 0 {
                break;
            }
            let emptied = gone == chunk.records.len();
            let bytes = chunk.release(gone);
            state.rows -= gone;
            state.text_bytes -= bytes;
            if !emptied {
                break;
            }
            state.chunks.pop_front();
        }
    }

    /// Everything in memory and not yet released, as Arrow batches in the order of identifiers.
    ///
    /// Batches are made outside of the lock: threads that ask have to stand behind those that accept records, and nobody
    /// accepts one while the memory is locked.
    ///
    /// # Errors
    /// As [`crate::batch::BatchBuilder::finish`].
    pub fn snapshot(&self) -> Result<Vec<RecordBatch>, ArrowError> {
        let _one = self.converting.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<Part> = self.lock().chunks.iter_mut().map(Chunk::part).collect();
        parts.into_iter().map(|part| self.batch_of(part)).collect()
    }

    fn batch_of(&self, part: Part) -> Result<RecordBatch, ArrowError> {
        let mut records = match part {
            Part::Batch(batch) => return Ok(batch),
            Part::Records(records) => records,
        };
        let batch = records.batch(self.parsers.as_ref())?;
        if let Some(chunk) = self.lock().chunks.iter_mut().find(|chunk| chunk.number == records.number) {
            chunk.keep(records, batch.clone());
        }
        Ok(batch)
    }

    /// The first records that may stand in one batch: of one UTC day, at most `rows_max`, and in bytes of text at most
    /// `bytes_max` unless a single record is larger.
    #[must_use]
    pub fn first_batch(&self, rows_max: usize, bytes_max: usize) -> Vec<Arc<Record>> {
        let state = self.lock();
        let mut records = state.records();
        let Some(first) = records.next() else { return Vec::new() };
        let day = first.ts_reception.day();
        let mut bytes = first.text_bytes();
        let mut batch = vec![Arc::clone(first)];
        for record in records.take(rows_max.saturating_sub(1)) {
            bytes += record.text_bytes();
            if record.ts_reception.day() != day || bytes > bytes_max {
                break;
            }
            batch.push(Arc::clone(record));
        }
        batch
    }

    /// The records from `first` to `last`, both included.
    #[must_use]
    pub fn range(&self, first: RecordId, last: RecordId) -> Vec<Arc<Record>> {
        let state = self.lock();
        state.records().skip_while(|r| r.id < first).take_while(|r| r.id <= last).map(Arc::clone).collect()
    }

    /// Whether this record is not released, as far as can be told: of those left out only the range is known.
    #[must_use]
    pub fn may_have(&self, id: RecordId) -> bool {
        let state = self.lock();
        let before = state.last_in_memory().max(state.released);
        let may_be_left_out = before < Some(id) && Some(id) <= state.last_left_out;
        may_be_left_out || state.records().any(|record| record.id == id)
    }

    /// When the oldest record in memory was accepted.
    #[must_use]
    pub fn oldest_reception(&self) -> Option<TimestampUs> {
        self.lock().records().next().map(|record| record.ts_reception)
    }

    /// Identifier of the newest record in memory.
    #[must_use]
    pub fn last_in_memory(&self) -> Option<RecordId> {
        self.lock().last_in_memory()
    }

    /// Identifier of the newest record, whether it is in memory or left out.
    #[must_use]
    pub fn last_id(&self) -> Option<RecordId> {
        let state = self.lock();
        state.last_left_out.or_else(|| state.last_in_memory())
    }

    /// Records that are not released, those left out included.
    #[must_use]
    pub fn rows(&self) -> usize {
        let state = self.lock();
        state.rows + state.left_out
    }

    /// Bytes of text of the records in memory.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.lock().text_bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics between two steps that belong together, so a poisoned lock guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{from_batch, to_batch};

    fn record(id: i64) -> Arc<Record> {
        Arc::new(Record { id: RecordId(id), ts_reception: crate::TimestampUs(id), report: crate::Report::default() })
    }

    fn ids(recent: &Recent) -> Vec<i64> {
        let batches = recent.snapshot().expect("batches");
        batches.iter().flat_map(|batch| from_batch(batch).expect("records")).map(|r| r.id.0).collect()
    }

    #[test]
    fn a_snapshot_holds_what_was_pushed_and_not_released() {
        let recent = Recent::default();
        let rows = i64::try_from(CHUNK_ROWS).expect("small") + 10;
        recent.push((0..rows).map(record));
        assert_eq!(ids(&recent), (0..rows).collect::<Vec<_>>());
        recent.release(RecordId(4));
        assert_eq!(ids(&recent), (5..rows).collect::<Vec<_>>());
        recent.push([record(rows)]);
        assert_eq!(ids(&recent), (5..=rows).collect::<Vec<_>>());
        recent.release(RecordId(rows));
        assert!(ids(&recent).is_empty());
        assert_eq!((recent.rows(), recent.text_bytes()), (0, 0));
    }

    #[test]
    fn a_full_memory_counts_what_is_left_out_until_it_comes_in() {
        let one_bytes = record(1).text_bytes() + RECORD_OVERHEAD_BYTES;
        let recent = Recent::with_limit(2 * one_bytes);
        let is_half_full = || recent.has_batch(usize::MAX, usize::MAX);
        assert!(!is_half_full() && recent.has_batch(0, usize::MAX) && recent.has_batch(usize::MAX, 0));
        recent.push([record(1)]);
        assert!(is_half_full() && !recent.is_full());
        assert!(!Recent::default().has_batch(1, 1));
        recent.push([record(2)]);
        assert!(recent.is_full());
        recent.leave_out(2, RecordId(4));
        assert_eq!((recent.rows(), recent.left_out()), (4, 2));
        assert_eq!((recent.last_id(), recent.last_in_memory()), (Some(RecordId(4)), Some(RecordId(2))));
        assert_eq!(ids(&recent), [1, 2]);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|id| recent.may_have(RecordId(id))), [false, true, true, true, true, false]);
        recent.release(RecordId(2));
        assert_eq!([2, 3].map(|id| recent.may_have(RecordId(id))), [false, true]);
        assert_eq!((recent.rows(), recent.last_id()), (2, Some(RecordId(4))));
        recent.take_in([record(3)]);
        assert_eq!((recent.left_out(), recent.last_id()), (1, Some(RecordId(4))));
        recent.take_in([record(4)]);
        assert_eq!((recent.left_out(), recent.last_id()), (0, Some(RecordId(4))));
        recent.release(RecordId(4));
        assert_eq!((recent.rows(), recent.last_id()), (0, None));
    }

    #[test]
    fn a_batch_ends_with_its_day_its_rows_and_its_bytes() {
        let day = crate::time::US_PER_DAY;
        let recent = Recent::default();
        recent.push([record(day - 2), record(day - 1), record(day), record(day + 1)]);
        let ids = |rows, bytes| recent.first_batch(rows, bytes).iter().map(|r| r.id.0).collect::<Vec<_>>();
        assert_eq!(ids(10, 1_000), [day - 2, day - 1]);
        assert_eq!(ids(1, 1_000), [day - 2]);
        recent.release(RecordId(day - 1));
        assert_eq!(ids(10, 1_000), [day, day + 1]);
        let report = crate::Report { payload: "0123456789".into(), ..crate::Report::default() };
        let large = Record { id: RecordId(day + 2), ts_reception: TimestampUs(day + 2), report };
        recent.release(RecordId(day + 1));
        recent.push([Arc::new(large), record(day + 3)]);
        assert_eq!(ids(10, 10), [day + 2, day + 3], "at the limit");
        assert_eq!(ids(10, 9), [day + 2], "a record above the limit goes alone");
    }

    #[test]
    fn a_range_includes_both_ends() {
        let recent = Recent::default();
        recent.push((1..9).map(record));
        let ids: Vec<_> = recent.range(RecordId(3), RecordId(5)).iter().map(|r| r.id.0).collect();
        assert_eq!(ids, [3, 4, 5]);
        assert_eq!((recent.last_id(), recent.oldest_reception()), (Some(RecordId(8)), Some(TimestampUs(1))));
    }

    #[test]
    fn what_was_derived_stays_with_its_record() {
        let recent = Recent::default();
        let crash = |id: i64| {
            let payload =
                format!("Process: /usr/bin/p{id}\nPID: 1\n\nBacktrace (TID 1):\n#0 f{id}() - [/usr/lib/l.so]\n");
            let classification = "org.clearlinux/crash/clr".to_owned();
            let report = crate::Report { classification, payload, ..crate::Report::default() };
            Arc::new(Record { id: RecordId(id), ts_reception: TimestampUs(id), report })
        };
        recent.push((0..3).map(crash));
        recent.snapshot().expect("batches");
        recent.release(RecordId(0));
        recent.push((3..5).map(crash));
        let expected = to_batch((1..5).map(crash).collect::<Vec<_>>().iter().map(AsRef::as_ref)).expect("a batch");
        assert_eq!(recent.snapshot().expect("batches"), [expected]);
    }

    /// Parsers that wait until they are told to go on.
    struct Slow {
        begun: std::sync::mpsc::Sender<()>,
        go_on: Mutex<std::sync::mpsc::Receiver<()>>,
    }

    impl Parsers for Slow {
        fn attributes(&self, records: &[&Record]) -> Vec<String> {
            self.begun.send(()).expect("somebody waits");
            self.go_on.lock().expect("one at a time").recv().expect("told");
            records.iter().map(|record| record.id.0.to_string()).collect()
        }
    }

    #[test]
    fn records_come_and_go_while_a_snapshot_is_made() {
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (tell, go_on) = std::sync::mpsc::channel();
        let recent = Recent::default().parsed_by(Arc::new(Slow { begun, go_on: Mutex::new(go_on) }));
        recent.push((1..=3).map(record));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| ids(&recent));
            has_begun.recv().expect("it has begun");
            recent.push([record(4)]);
            recent.release(RecordId(1));
            tell.send(()).expect("somebody waits");
            assert_eq!(first.join().expect("a snapshot"), [1, 2, 3]);
            tell.send(()).expect("somebody waits");
            assert_eq!(ids(&recent), [2, 3, 4]);
        });
        let derived =
            recent.lock().chunks[0].derived.iter().map(|derived| derived.attributes.clone()).collect::<Vec<_>>();
        assert_eq!(derived, ["2", "3", "4"], "each belongs to its record");
    }

    #[test]
    fn a_snapshot_outlives_the_release() {
        let recent = Recent::default();
        recent.push([record(1)]);
        let before = recent.snapshot().expect("batches");
        recent.release(RecordId(1));
        assert_eq!(before[0].num_rows(), 1);
    }
}
