//! From records to the rows of all rollups, with as much in memory as there are distinct keys.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, BooleanBuilder, Int8Array, Int8Builder, Int64Array, RecordBatch, StringViewArray,
    StringViewBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use super::{HEARTBEAT, PAYLOAD, Rollup, STACK_ID, file_schema};
use crate::time::TimestampUs;

/// What a key takes beside its texts, in bytes: its place in a table, twice while that grows.
const KEY_BYTES: usize = 2 * size_of::<(Key, i64)>();
/// The same of a key with a stack.
const STACK_KEY_BYTES: usize = 2 * size_of::<((Key, i64), String)>();
/// What a text takes beside its characters, in bytes: it is counted, and stands in a list and in a table.
const TEXT_BYTES: usize = 96;

/// Counts records for all rollups.
///
/// Who gives it many records looks at [`Self::memory_bytes`] and takes the rows when that is too much: rows with equal
/// keys are then given out more than once.
#[derive(Debug, Default)]
pub struct RollupBuilder {
    texts: Texts,
    /// The last text of each column, which the next record often has too.
    last: [u32; TEXT_COLUMNS.len()],
    counts: HashMap<Key, i64>,
    /// Of the few records that have one, by stack.
    crashes: HashMap<(Key, i64), i64>,
    /// The smallest payload of each stack.
    examples: HashMap<(Key, i64), String>,
    example_bytes: usize,
}

/// The key of a row of any rollup; texts are numbers of [`Texts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    rollup: i8,
    system_name: u32,
    build: u32,
    classification: u32,
    severity: i8,
    external: bool,
    host_type: u32,
    machine_id: u32,
    bucket: i64,
}

impl Key {
    fn at(self, rollup: Rollup, time: TimestampUs) -> Self {
        Self { rollup: rollup.number(), bucket: rollup.bucket_of(time).0, ..self }
    }
}

/// A row of a rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row<'a> {
    key: Key,
    stack_id: i64,
    payload: &'a str,
    records: i64,
}

const TEXT_COLUMNS: [&str; 5] = ["system_name", "build", "classification", "host_type", "machine_id"];

impl RollupBuilder {
    /// What [`Self::add`] looks at, and [`Self::STACK_COLUMNS`].
    pub const COLUMNS: [&str; 8] = [
        "ts_reception",
        "severity",
        "external",
        TEXT_COLUMNS[0],
        TEXT_COLUMNS[1],
        TEXT_COLUMNS[2],
        TEXT_COLUMNS[3],
        TEXT_COLUMNS[4],
    ];
    /// What [`Self::add`] looks at of stacks; a batch without the first one has none, and needs neither.
    pub const STACK_COLUMNS: [&str; 2] = [STACK_ID, PAYLOAD];

    /// Counts the records of a batch, which has at least [`Self::COLUMNS`].
    ///
    /// # Errors
    /// When a column is missing or of another type than the schema of records says.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let rows = Rows::of(batch)?;
        for row in 0..batch.num_rows() {
            self.add_row(&rows, row);
        }
        Ok(())
    }

    fn add_row(&mut self, rows: &Rows<'_>, row: usize) {
        let time = TimestampUs(rows.ts_reception.value(row));
        let [system_name, build, classification, host_type] =
            [0, 1, 2, 3].map(|column| self.number(column, rows.texts[column].value(row)));
        let (severity, external) = (rows.severity.value(row), rows.external.value(row));
        let common = Key { system_name, classification, severity, ..Key::default() };
        self.count(Key { build, external, ..common.at(Rollup::Hourly, time) });
        self.count(Key { host_type, ..common.at(Rollup::HourlyPlatform, time) });
        if rows.texts[2].value(row) == HEARTBEAT {
            let machine_id = self.number(4, rows.texts[4].value(row));
            self.count(Key { build, external, machine_id, ..common.at(Rollup::DailyMachine, time) });
        }
        if let Some((stack_id, payload)) = rows.stack(row) {
            let crash = Key { build, external, ..common.at(Rollup::CrashDaily, time) };
            *self.crashes.entry((crash, stack_id)).or_default() += 1;
            let stack = Key { classification, severity, ..Key::default() };
            self.add_example((stack.at(Rollup::Stacks, time), stack_id), payload);
        }
    }

    fn number(&mut self, column: usize, text: &str) -> u32 {
        if self.texts.text(self.last[column]) != text {
            self.last[column] = self.texts.number(text);
        }
        self.last[column]
    }

    fn count(&mut self, key: Key) {
        *self.counts.entry(key).or_default() += 1;
    }

    fn add_example(&mut self, key: (Key, i64), payload: &str) {
        match self.examples.entry(key) {
            Entry::Vacant(place) => {
                self.example_bytes += payload.len();
                place.insert(payload.to_owned());
            }
            Entry::Occupied(mut example) if payload < example.get().as_str() => {
                self.example_bytes += payload.len();
                self.example_bytes -= example.insert(payload.to_owned()).len();
            }
            Entry::Occupied(_) => {}
        }
    }

    /// What it has in memory, in bytes, estimated from above.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let stacks = (self.crashes.len() + self.examples.len()) * STACK_KEY_BYTES + self.example_bytes;
        self.counts.len() * KEY_BYTES + stacks + self.texts.bytes
    }

    /// The rows of each rollup that has any, with the columns of [`file_schema`], ordered by keys and then by time. After
    /// this nothing is counted.
    ///
    /// # Errors
    /// Never for what [`Self::add`] took: only when the columns disagree with the schema.
    pub fn take(&mut self) -> Result<Vec<RecordBatch>, ArrowError> {
        let Self { texts, mut counts, crashes, examples, .. } = std::mem::take(self);
        let days = days_of(&counts);
        counts.extend(days);
        let counts = counts.iter().map(|(key, records)| Row { key: *key, stack_id: 0, payload: "", records: *records });
        let crashes = crashes.iter().map(|((key, stack), records)| Row {
            key: *key,
            stack_id: *stack,
            payload: "",
            records: *records,
        });
        let examples =
            examples.iter().map(|((key, stack), payload)| Row { key: *key, stack_id: *stack, payload, records: 1 });
        let mut rows: Vec<Row<'_>> = counts.chain(crashes).chain(examples).collect();
        rows.sort_unstable();
        let rollups = rows.chunk_by(|a, b| a.key.rollup == b.key.rollup);
        rollups.map(|rows| texts.batch(rows)).collect()
    }
}

/// The rows of the rollups by day, of those by hour.
fn days_of(counts: &HashMap<Key, i64>) -> HashMap<Key, i64> {
    let mut days = HashMap::new();
    for coarse in Rollup::ALL {
        let Some(fine) = coarse.finer() else { continue };
        for (key, count) in counts.iter().filter(|(key, _)| key.rollup == fine.number()) {
            *days.entry(key.at(coarse, TimestampUs(key.bucket))).or_default() += count;
        }
    }
    days
}

/// The columns of a batch that are looked at.
struct Rows<'a> {
    ts_reception: &'a TimestampMicrosecondArray,
    severity: &'a Int8Array,
    external: &'a BooleanArray,
    texts: [&'a StringViewArray; TEXT_COLUMNS.len()],
    /// Where records may have stacks: which, and their payloads.
    stacks: Option<(&'a Int64Array, &'a StringViewArray)>,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        let missing =
            |name: &str| ArrowError::SchemaError(format!("no column {name} of the type that the schema says"));
        let column = |name: &str| batch.column_by_name(name).map(AsRef::as_ref).ok_or_else(|| missing(name));
        let text = |name: &str| column(name)?.as_string_view_opt().ok_or_else(|| missing(name));
        let [system_name, build, classification, host_type, machine_id] = TEXT_COLUMNS;
        Ok(Self {
            ts_reception: column("ts_reception")?.as_primitive_opt().ok_or_else(|| missing("ts_reception"))?,
            severity: column("severity")?.as_primitive_opt().ok_or_else(|| missing("severity"))?,
            external: column("external")?.as_boolean_opt().ok_or_else(|| missing("external"))?,
            texts: [text(system_name)?, text(build)?, text(classification)?, text(host_type)?, text(machine_id)?],
            stacks: match batch.column_by_name(STACK_ID) {
                Some(ids) => Some((ids.as_primitive_opt().ok_or_else(|| missing(STACK_ID))?, text(PAYLOAD)?)),
                None => None,
            },
        })
    }

    /// The stack of a record that has one, and its payload.
    fn stack(&self, row: usize) -> Option<(i64, &'a str)> {
        let (ids, payloads) = self.stacks?;
        Some((ids.value(row), payloads.value(row))).filter(|(id, _)| *id != 0)
    }
}

/// Distinct texts by number; the empty one is 0.
#[derive(Debug)]
struct Texts {
    numbers: HashMap<Arc<str>, u32>,
    by_number: Vec<Arc<str>>,
    bytes: usize,
}

impl Default for Texts {
    fn default() -> Self {
        let empty: Arc<str> = "".into();
        Self { numbers: HashMap::from([(Arc::clone(&empty), 0)]), by_number: vec![empty], bytes: 0 }
    }
}

impl Texts {
    fn text(&self, number: u32) -> &str {
        // A number that does not fit stands for no text; there never is memory for so many.
        usize::try_from(number).ok().and_then(|number| self.by_number.get(number)).map_or("", AsRef::as_ref)
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.by_number.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.bytes += text.len() + TEXT_BYTES;
        self.by_number.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    fn column(&self, numbers: impl Iterator<Item = u32>) -> ArrayRef {
        // What is short stands in the view; what is long and repeated stands in the buffer once.
        let mut builder = StringViewBuilder::new().with_deduplicate_strings();
        for number in numbers {
            builder.append_value(self.text(number));
        }
        Arc::new(builder.finish())
    }

    fn batch(&self, rows: &[Row<'_>]) -> Result<RecordBatch, ArrowError> {
        let text = |of: fn(&Key) -> u32| self.column(rows.iter().map(|row| of(&row.key)));
        let (mut rollup, mut bucket) = (Int8Builder::new(), TimestampMicrosecondBuilder::new());
        let (mut severity, mut external) = (Int8Builder::new(), BooleanBuilder::new());
        for Row { key, .. } in rows {
            rollup.append_value(key.rollup);
            bucket.append_value(key.bucket);
            severity.append_value(key.severity);
            external.append_value(key.external);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rollup.finish()),
            Arc::new(bucket.finish()),
            text(|key| key.system_name),
            text(|key| key.build),
            text(|key| key.classification),
            Arc::new(severity.finish()),
            Arc::new(external.finish()),
            text(|key| key.host_type),
            text(|key| key.machine_id),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.stack_id))),
            Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| row.payload))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.records))),
        ];
        RecordBatch::try_new(file_schema(), columns)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::datatypes::{Int8Type, Int64Type, TimestampMicrosecondType};
    use proptest::prelude::*;

    use super::*;
    use crate::batch::BatchBuilder;
    use crate::payload::Derived;
    use crate::rollups::{FILE_BUCKET, FILE_ROLLUP};
    use crate::time::US_PER_HOUR;
    use crate::{Record, RecordId, Report};

    /// Rows as texts, which is what can be compared with those made by hand.
    #[derive(Debug, Default, PartialEq)]
    struct Found {
        counts: BTreeMap<String, i64>,
        examples: BTreeMap<String, String>,
    }

    impl Found {
        fn count(&mut self, row: String, records: i64) {
            *self.counts.entry(row).or_default() += records;
        }

        fn example(&mut self, row: String, payload: &str) {
            let example = self.examples.entry(row).or_insert_with(|| payload.to_owned());
            *example = payload.min(example.as_str()).to_owned();
        }

        /// All rows that the builder has.
        fn take(&mut self, builder: &mut RollupBuilder) {
            for batch in builder.take().expect("rows") {
                assert_eq!(batch.schema(), file_schema());
                (0..batch.num_rows()).for_each(|row| self.take_row(&batch, row));
            }
        }

        fn take_row(&mut self, batch: &RecordBatch, row: usize) {
            let text = |name: &str| batch[name].as_string_view().value(row).to_owned();
            let number = |name: &str| batch[name].as_primitive::<Int64Type>().value(row);
            let rollup = batch[FILE_ROLLUP].as_primitive::<Int8Type>().value(row);
            let bucket = batch[FILE_BUCKET].as_primitive::<TimestampMicrosecondType>().value(row);
            let severity = batch["severity"].as_primitive::<Int8Type>().value(row);
            let external = batch["external"].as_boolean().value(row);
            let (texts, stack) = (TEXT_COLUMNS.map(text).join(","), number(STACK_ID));
            let key = format!("{rollup} {bucket} {texts} {severity} {external} {stack}");
            if rollup == Rollup::Stacks.number() {
                self.example(key, &text(PAYLOAD));
            } else {
                assert_eq!(text(PAYLOAD), "");
                self.count(key, number("records"));
            }
        }

        /// The same in the plainest way.
        fn expected(records: &[(Record, Derived)]) -> Self {
            let mut found = Self::default();
            for (record, derived) in records {
                for rollup in Rollup::ALL {
                    found.expect(rollup, record, derived.stack_id);
                }
            }
            found
        }

        fn expect(&mut self, rollup: Rollup, record: &Record, stack: i64) {
            let Report { system_name, build, classification, host_type, machine_id, severity, external, .. } =
                &record.report;
            let bucket = rollup.bucket_of(record.ts_reception).0;
            let row = |texts: [&str; 5], external: bool, stack: i64| {
                format!("{} {bucket} {} {severity} {external} {stack}", rollup.number(), texts.join(","))
            };
            match rollup {
                Rollup::Hourly | Rollup::Daily => {
                    self.count(row([system_name, build, classification, "", ""], *external, 0), 1);
                }
                Rollup::HourlyPlatform | Rollup::DailyPlatform => {
                    self.count(row([system_name, "", classification, host_type, ""], false, 0), 1);
                }
                Rollup::DailyMachine if classification == HEARTBEAT => {
                    self.count(row([system_name, build, classification, "", machine_id], *external, 0), 1);
                }
                Rollup::CrashDaily if stack != 0 => {
                    self.count(row([system_name, build, classification, "", ""], *external, stack), 1);
                }
                Rollup::Stacks if stack != 0 => {
                    self.example(row(["", "", classification, "", ""], false, stack), &record.report.payload);
                }
                Rollup::DailyMachine | Rollup::CrashDaily | Rollup::Stacks => {}
            }
        }
    }

    fn batch<'a>(records: impl IntoIterator<Item = &'a (Record, Derived)>) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        records.into_iter().for_each(|(record, derived)| builder.append_derived(record, derived));
        builder.finish().expect("a batch")
    }

    fn records() -> impl Strategy<Value = Vec<(Record, Derived)>> {
        let class = prop_oneof![Just(HEARTBEAT), Just("a/b/c"), Just("")];
        let texts = ("[ab]?", "[12]?", class, "[mn]?", "[xyz]{0,2}");
        let one = (texts, 1_i8..4, any::<bool>(), -30_i64..60, 0_i64..3);
        prop::collection::vec(one, 0..60).prop_map(|rows| {
            let record = |((build, host_type, class, machine_id, payload), severity, external, hour, stack_id)| {
                let report = Report {
                    system_name: String::clone(&build),
                    build,
                    host_type,
                    classification: str::to_owned(class),
                    severity,
                    external,
                    machine_id,
                    payload,
                    ..Report::default()
                };
                let ts_reception = TimestampUs(hour * US_PER_HOUR / 2 - 1);
                (Record { id: RecordId(1), ts_reception, report }, Derived { stack_id, ..Derived::default() })
            };
            rows.into_iter().map(record).collect()
        })
    }

    proptest! {
        #[test]
        fn counts_what_is_there_however_often_rows_are_taken(records in records(), piece in 1_usize..20, takes in any::<bool>()) {
            let (mut builder, mut found) = (RollupBuilder::default(), Found::default());
            for records in records.chunks(piece) {
                builder.add(&batch(records)).expect("counted");
                if takes {
                    found.take(&mut builder);
                }
            }
            found.take(&mut builder);
            prop_assert_eq!(found, Found::expected(&records));
            prop_assert_eq!(builder.memory_bytes(), 0);
        }
    }

    fn crash(stack_id: i64, payload: String) -> (Record, Derived) {
        let report = Report { payload, ..Report::default() };
        let record = Record { id: RecordId(1), ts_reception: TimestampUs(0), report };
        (record, Derived { stack_id, ..Derived::default() })
    }

    #[test]
    fn memory_grows_with_distinct_keys_and_not_with_records() {
        let (mut builder, mut bytes) = (RollupBuilder::default(), Vec::new());
        for _ in 0..3 {
            builder.add(&batch([&crash(0, "x".repeat(1_000)), &crash(1, "y".repeat(500))])).expect("counted");
            bytes.push(builder.memory_bytes());
        }
        assert!(bytes[0] > 500 && bytes.iter().all(|now| *now == bytes[0]), "{bytes:?}");
        let mut other = crash(0, String::new());
        other.0.report.build = "x".repeat(1_000);
        builder.add(&batch([&other])).expect("counted");
        let with_build = builder.memory_bytes();
        assert!(with_build > bytes[0] + 1_000);
        builder.add(&batch([&crash(2, "z".repeat(2_000))])).expect("counted");
        assert!(builder.memory_bytes() > with_build + 2_000, "a stack keeps one payload");
        let with_stack = builder.memory_bytes();
        builder.add(&batch([&crash(2, "a".to_owned())])).expect("counted");
        assert_eq!(builder.memory_bytes(), with_stack - 1_999, "the smallest one");
    }

    #[test]
    fn a_batch_without_its_columns_is_an_error() {
        let all = batch([&crash(1, String::new())]);
        let without = |missing: &str| {
            let places: Vec<_> =
                (0..all.num_columns()).filter(|at| all.schema().field(*at).name() != missing).collect();
            RollupBuilder::default().add(&all.project(&places).expect("columns"))
        };
        assert!(without("ts_reception").is_err() && without(PAYLOAD).is_err());
        assert!(without(STACK_ID).is_ok(), "what an older version has stored has no stacks");
    }
}
