//! Where a page of records begins, as an opaque text in URLs.
//!
//! Identifiers of several collectors interleave in time, and one of them may deliver late: between records that a reader
//! has seen and those to come, new ones appear. A cursor therefore carries what there was at the first page: the last
//! identifier of each collector. What is above was not there yet and stays out of the pages to come.

use std::fmt;

use datafusion::logical_expr::{Expr, col, lit};
use telemetrics_schema::RecordId;
use telemetrics_schema::id::CollectorNumber;

/// Longest text of a cursor, in characters: one with a last identifier of every collector.
pub const CURSOR_CHARS_MAX: usize = 1_024;

/// Identifiers that are equal modulo this are of one collector.
pub(super) const CYCLE: i64 = RecordId::COLLECTOR_CYCLE;

/// Between the parts of the text.
const SEPARATOR: char = '_';

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// The records before this one.
    OlderThan(RecordId),
    /// The records behind this one.
    NewerThan(RecordId),
    /// The records before this one that there were at the first page.
    Remaining {
        /// The last record of the page before.
        older_than: RecordId,
        /// What there was at the first page.
        seen: Seen,
    },
}

/// Which records there were at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Nothing is known of records before this one: they count as seen. Collectors are not asked for all their records,
    /// but only for the newest ones.
    from: RecordId,
    /// The greatest identifier from there on of each collector that has one, in the order of the collectors' numbers.
    last: Vec<RecordId>,
}

impl Seen {
    /// What is known when `last` are the greatest identifiers from `from` on, at most one of each collector.
    #[must_use]
    pub fn new(from: RecordId, mut last: Vec<RecordId>) -> Self {
        last.sort_unstable_by_key(|id| id.collector());
        Self { from, last }
    }

    /// Whether the record was there.
    pub(super) fn has(&self, id: RecordId) -> bool {
        id < self.from || self.last.iter().any(|last| last.collector() == id.collector() && id <= *last)
    }

    /// Whether the record was there, as a condition on the column `id`; for records before `older_than`.
    fn predicate(&self, older_than: RecordId) -> Expr {
        let place = || col("id") % lit(CYCLE);
        let unknown = col("id").lt(lit(self.from.0));
        let known = self.last.iter().map(|last| {
            let begin = last.0 % CYCLE / RecordId::SEQUENCE_PER_MS * RecordId::SEQUENCE_PER_MS;
            let of_it = place().between(lit(begin), lit(begin + RecordId::SEQUENCE_PER_MS - 1));
            // A collector that has gone further than this page has nothing left to deliver below it.
            if *last >= older_than { of_it } else { of_it.and(col("id").lt_eq(lit(last.0))) }
        });
        known.fold(unknown, Expr::or)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut ids = text.split(SEPARATOR).map(hexadecimal);
        let from = ids.next()??;
        let last: Vec<RecordId> = ids.collect::<Option<_>>()?;
        let is_ordered = last.windows(2).all(|pair| pair[0].collector() < pair[1].collector());
        let is_from_there_on = last.iter().all(|id| *id >= from);
        (is_ordered && is_from_there_on && last.len() <= usize::from(CollectorNumber::COUNT))
            .then_some(Self { from, last })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.from.0)?;
        self.last.iter().try_for_each(|id| write!(f, "{SEPARATOR}{:x}", id.0))
    }
}

impl Cursor {
    /// Reads what [`fmt::Display`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > CURSOR_CHARS_MAX {
            return None;
        }
        let (kind, rest) = text.split_at_checked(1)?;
        match kind {
            "o" => match rest.split_once(SEPARATOR) {
                None => decimal(rest).map(Self::OlderThan),
                Some((id, seen)) => Some(Self::Remaining { older_than: decimal(id)?, seen: Seen::parse(seen)? }),
            },
            "n" => decimal(rest).map(Self::NewerThan),
            _ => None,
        }
    }

    /// Whether it leads from older records to newer ones.
    pub(super) const fn is_upwards(&self) -> bool {
        matches!(self, Self::NewerThan(_))
    }

    /// The records behind it, as a condition.
    pub(super) fn predicate(&self) -> Expr {
        match self {
            Self::OlderThan(id) => col("id").lt(lit(id.0)),
            Self::NewerThan(id) => col("id").gt(lit(id.0)),
            Self::Remaining { older_than, seen } => col("id").lt(lit(older_than.0)).and(seen.predicate(*older_than)),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OlderThan(id) => write!(f, "o{id}"),
            Self::NewerThan(id) => write!(f, "n{id}"),
            Self::Remaining { older_than, seen } => write!(f, "o{older_than}{SEPARATOR}{seen}"),
        }
    }
}

fn decimal(digits: &str) -> Option<RecordId> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number { valid(digits.parse().ok()?) } else { None }
}

fn hexadecimal(digits: &str) -> Option<RecordId> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if is_number { valid(i64::from_str_radix(digits, 16).ok()?) } else { None }
}

fn valid(id: i64) -> Option<RecordId> {
    (id <= RecordId::MAX.0).then_some(RecordId(id))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;
    use telemetrics_schema::batch::{from_batch, to_batch};
    use telemetrics_schema::columns::record_schema;
    use telemetrics_schema::{Record, Report, TimestampUs};

    use super::*;

    fn id(ms: i64, collector: i64, sequence: i64) -> RecordId {
        RecordId(ms * CYCLE + collector * RecordId::SEQUENCE_PER_MS + sequence)
    }

    #[test]
    fn a_cursor_reads_what_it_wrote() {
        let all: Vec<RecordId> = (0..64).rev().map(|collector| id((1 << 41) - 1, collector, 63)).collect();
        let seen = |last: &[RecordId]| Seen::new(id(1, 0, 0), last.to_vec());
        for cursor in [
            Cursor::OlderThan(RecordId(7)),
            Cursor::OlderThan(RecordId::MAX),
            Cursor::NewerThan(RecordId(0)),
            Cursor::Remaining { older_than: RecordId(7), seen: seen(&[]) },
            Cursor::Remaining { older_than: RecordId(7), seen: seen(&[id(9, 3, 1), id(8, 2, 1)]) },
            Cursor::Remaining { older_than: RecordId::MAX, seen: seen(&all) },
        ] {
            let text = cursor.to_string();
            assert!(text.len() <= CURSOR_CHARS_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            assert_eq!(Cursor::parse(&text), Some(cursor), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_cursor() {
        let too_long = format!("o1_0{}", "_1".repeat(CURSOR_CHARS_MAX));
        for wrong in [
            "",
            "o",
            "x1",
            "o-1",
            "o+1",
            "o1.5",
            "ö1",
            "o99999999999999999999",
            "o9007199254740992",
            "n1_1",
            "o1_",
            "o1_g",
            "o1_-1",
            "o1_+1",
            "o1_1_",
            "o1_20000000000000",
            "o1_0_40_40",
            "o1_0_80_40",
            "o1_100_40",
            &too_long,
        ] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }

    async fn passing(ids: &[RecordId], cursor: &Cursor) -> Vec<RecordId> {
        let record = |id: &RecordId| Record { id: *id, ts_reception: TimestampUs(0), report: Report::default() };
        let batch = to_batch(&ids.iter().map(record).collect::<Vec<_>>()).expect("a batch");
        let table = MemTable::try_new(record_schema(), vec![vec![batch]]).expect("a table");
        let frame = SessionContext::new().read_table(Arc::new(table)).expect("a frame");
        let frame = frame.filter(cursor.predicate()).expect("a plan");
        let batches = frame.collect().await.expect("rows");
        batches.iter().flat_map(|batch| from_batch(batch).expect("records")).map(|record| record.id).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Collectors deliver in the order of their identifiers, in any order among each other.
        #[test]
        fn what_comes_later_stays_out(
            records in proptest::collection::btree_set((0_i64..12, 0_i64..4, 0_i64..3), 1..30),
            there in proptest::array::uniform4(0_usize..12),
            from_ms in 0_i64..12,
            place in 0_i64..12,
        ) {
            let ids: Vec<RecordId> = records.into_iter().map(|(ms, collector, n)| id(ms, collector, n)).collect();
            let early_of = |(collector, there): (i64, usize)| {
                ids.iter().copied().filter(move |id| id.collector() == collector).take(there)
            };
            let early: Vec<RecordId> = (0..).zip(there).flat_map(early_of).collect();
            let from = id(from_ms, 0, 0);
            let last = (0..).zip(there).filter_map(|collector| early_of(collector).filter(|id| *id >= from).max());
            let older_than = id(place, 2, 1);
            let seen = Seen::new(from, last.collect());
            let cursor = Cursor::Remaining { older_than, seen: seen.clone() };
            let cursor = Cursor::parse(&cursor.to_string()).expect("a cursor");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let passing = runtime.block_on(passing(&ids, &cursor));
            for id in ids {
                let was_there = id < from || early.contains(&id);
                prop_assert_eq!(seen.has(id), was_there, "{:?} of {:?}", id, early);
                let expected = id < older_than && was_there;
                prop_assert_eq!(passing.contains(&id), expected, "{:?} of {:?}", id, early);
            }
        }
    }
}
