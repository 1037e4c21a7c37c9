//! From records to the rows of all rollups, with as much in memory as there are distinct keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, BooleanBuilder, Int8Array, Int8Builder, Int64Builder, RecordBatch,
    StringViewArray, StringViewBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use super::{HEARTBEAT, Rollup, file_schema};
use crate::time::TimestampUs;

/// What a key takes beside its texts, in bytes: its place in a table, twice while that grows.
const KEY_BYTES: usize = 2 * size_of::<(Key, i64)>();
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

const TEXT_COLUMNS: [&str; 5] = ["system_name", "build", "classification", "host_type", "machine_id"];

impl RollupBuilder {
    /// What [`Self::add`] looks at.
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

    /// What it has in memory, in bytes, estimated from above.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.counts.len() * KEY_BYTES + self.texts.bytes
    }

    /// The rows of each rollup that has any, with the columns of [`file_schema`], ordered by keys and then by time. After
    /// this nothing is counted.
    ///
    /// # Errors
    /// Never for what [`Self::add`] took: only when the columns disagree with the schema.
    pub fn take(&mut self) -> Result<Vec<RecordBatch>, ArrowError> {
        let Self { texts, counts, .. } = std::mem::take(self);
        let mut rows = days_of(&counts);
        rows.extend(counts);
        let rollups: Vec<(Key, i64)> = rows.into_iter().collect();
        let rollups = rollups.chunk_by(|(a, _), (b, _)| a.rollup == b.rollup);
        rollups.map(|rows| texts.batch(rows)).collect()
    }
}

/// The rows of the rollups by day, of those by hour.
fn days_of(counts: &HashMap<Key, i64>) -> BTreeMap<Key, i64> {
    let mut days = BTreeMap::new();
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
        })
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

    fn batch(&self, rows: &[(Key, i64)]) -> Result<RecordBatch, ArrowError> {
        let text = |of: fn(&Key) -> u32| self.column(rows.iter().map(|(key, _)| of(key)));
        let (mut rollup, mut bucket) = (Int8Builder::new(), TimestampMicrosecondBuilder::new());
        let (mut severity, mut external, mut records) =
            (Int8Builder::new(), BooleanBuilder::new(), Int64Builder::new());
        for (key, count) in rows {
            rollup.append_value(key.rollup);
            bucket.append_value(key.bucket);
            severity.append_value(key.severity);
            external.append_value(key.external);
            records.append_value(*count);
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
            Arc::new(records.finish()),
        ];
        RecordBatch::try_new(file_schema(), columns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::to_batch;
    use crate::rollups::{FILE_BUCKET, FILE_ROLLUP};
    use crate::time::US_PER_HOUR;
    use crate::{Record, RecordId, Report};

    /// A row as text, which is what can be compared with one made by hand.
    type Counts = BTreeMap<String, i64>;

    fn rows_of(builder: &mut RollupBuilder, counts: &mut Counts) {
        for batch in builder.take().expect("rows") {
            assert_eq!(batch.schema(), file_schema());
            for row in 0..batch.num_rows() {
                let text = |name: &str| batch[name].as_string_view().value(row).to_owned();
                let rollup = batch[FILE_ROLLUP].as_primitive::<arrow::datatypes::Int8Type>().value(row);
                let bucket = batch[FILE_BUCKET].as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(row);
                let severity = batch["severity"].as_primitive::<arrow::datatypes::Int8Type>().value(row);
                let external = batch["external"].as_boolean().value(row);
                let texts = TEXT_COLUMNS.map(text).join(",");
                let records = batch["records"].as_primitive::<arrow::datatypes::Int64Type>().value(row);
                *counts.entry(format!("{rollup} {bucket} {texts} {severity} {external}")).or_default() += records;
            }
        }
    }

    /// The same in the plainest way.
    fn expected(records: &[Record]) -> Counts {
        let mut counts = Counts::new();
        for Record { ts_reception, report, .. } in records {
            let Report { system_name, build, classification, host_type, machine_id, severity, external, .. } = report;
            for rollup in Rollup::ALL {
                let (number, bucket) = (rollup.number(), rollup.bucket_of(*ts_reception).0);
                let row = match rollup {
                    Rollup::Hourly | Rollup::Daily => {
                        format!("{number} {bucket} {system_name},{build},{classification},, {severity} {external}")
                    }
                    Rollup::HourlyPlatform | Rollup::DailyPlatform => {
                        format!("{number} {bucket} {system_name},,{classification},{host_type}, {severity} false")
                    }
                    Rollup::DailyMachine if classification == HEARTBEAT => {
                        format!(
                            "{number} {bucket} {system_name},{build},{classification},,{machine_id} {severity} {external}"
                        )
                    }
                    Rollup::DailyMachine => continue,
                };
                *counts.entry(row).or_default() += 1;
            }
        }
        counts
    }

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let class = prop_oneof![Just(HEARTBEAT), Just("a/b/c"), Just("")];
        let one = ("[ab]?", "[12]?", class, 1_i8..4, any::<bool>(), "[mn]?", -30_i64..60);
        prop::collection::vec(one, 0..60).prop_map(|rows| {
            let record =
                |(build, host, class, severity, external, machine, hour): (String, String, &str, _, _, _, i64)| {
                    let report = Report {
                        system_name: build.clone(),
                        build,
                        host_type: host,
                        classification: class.to_owned(),
                        severity,
                        external,
                        machine_id: machine,
                        ..Report::default()
                    };
                    Record { id: RecordId(1), ts_reception: TimestampUs(hour * US_PER_HOUR / 2 - 1), report }
                };
            rows.into_iter().map(record).collect()
        })
    }

    proptest! {
        #[test]
        fn counts_what_is_there_however_often_rows_are_taken(records in records(), piece in 1_usize..20, takes in any::<bool>()) {
            let (mut builder, mut counts) = (RollupBuilder::default(), Counts::new());
            for records in records.chunks(piece) {
                builder.add(&to_batch(records).expect("a batch")).expect("counted");
                if takes {
                    rows_of(&mut builder, &mut counts);
                }
            }
            rows_of(&mut builder, &mut counts);
            prop_assert_eq!(counts, expected(&records));
            prop_assert_eq!(builder.memory_bytes(), 0);
        }
    }

    #[test]
    fn memory_grows_with_distinct_keys_and_not_with_records() {
        let record = |id: i64| Record { id: RecordId(id), ts_reception: TimestampUs(0), report: Report::default() };
        let (mut builder, mut bytes) = (RollupBuilder::default(), Vec::new());
        for id in 0..3 {
            builder.add(&to_batch([&record(id)]).expect("a batch")).expect("counted");
            bytes.push(builder.memory_bytes());
        }
        assert!(bytes[0] > 0 && bytes.iter().all(|now| *now == bytes[0]), "{bytes:?}");
        let build = Record { report: Report { build: "x".repeat(1_000), ..Report::default() }, ..record(4) };
        builder.add(&to_batch([&build]).expect("a batch")).expect("counted");
        assert!(builder.memory_bytes() > bytes[0] + 1_000);
    }

    #[test]
    fn a_batch_without_its_columns_is_an_error() {
        let batch = to_batch([]).expect("a batch").project(&[0]).expect("a column");
        assert!(RollupBuilder::default().add(&batch).is_err());
    }
}
