//! Rows of rollups that stay in memory between questions: those by day, which are few and which most questions read, and
//! sums of those by hour where a question does not tell builds or hardware apart, which makes them few.
//!
//! A rollup file never changes: rows that were read once hold for as long as its data file is part of the table.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use telemetrics_schema::rollups::{FILE_BUCKET, FILE_ROLLUP, Rollup, file_schema};

use super::summed_rows::summed;

/// Most bytes of all rows together, and of those of one question: a year of some thousand rows a day.
const HELD_BYTES_MAX: usize = 32 << 20;
/// Keys that make rows by hour too many.
const FINE_KEYS: [&str; 2] = ["build", "host_type"];

/// See the module.
#[derive(Debug)]
pub(super) struct HeldRollups {
    held: Mutex<Held>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Held {
    files: HashMap<(PathBuf, Wanted), Rows>,
    bytes: usize,
    /// Counts what was asked for.
    asked: u64,
    /// What was too much for one question, and of how many files.
    too_much: HashMap<Wanted, usize>,
}

/// Which rows of a file, and which of their columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    rollup: Rollup,
    /// Places in [`schema_of`], ascending.
    columns: Vec<usize>,
}

impl Wanted {
    /// What stays in memory where `columns` of the rollup are asked for; `None` where that is too much.
    pub(super) fn of(rollup: Rollup, columns: &[usize]) -> Option<Self> {
        let schema = schema_of(rollup);
        let is_asked_for = |name: &str| columns.iter().any(|place| schema.field(*place).name() == name);
        let columns = match rollup {
            Rollup::Daily | Rollup::DailyPlatform => (0..schema.fields().len()).collect(),
            // Rows of other rollups of a file are told apart by what says which one they are of.
            Rollup::Hourly | Rollup::HourlyPlatform
                if is_asked_for(FILE_ROLLUP) && !FINE_KEYS.into_iter().any(is_asked_for) =>
            {
                let mut columns = columns.to_vec();
                columns.sort_unstable();
                columns.dedup();
                columns
            }
            _ => return None,
        };
        Some(Self { rollup, columns })
    }

    /// Whether it may be that something of the rollup stays in memory.
    pub(super) fn may_be_of(rollup: Rollup) -> bool {
        matches!(rollup, Rollup::Daily | Rollup::DailyPlatform | Rollup::Hourly | Rollup::HourlyPlatform)
    }

    /// The columns that stay in memory.
    pub(super) fn schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(schema_of(self.rollup).project(&self.columns)?))
    }

    /// Where these columns of the rollup are among those.
    pub(super) fn places(&self, columns: &[usize]) -> Vec<usize> {
        columns.iter().filter_map(|column| self.columns.binary_search(column).ok()).collect()
    }

    /// Whether a key is left out, so that rows became equal.
    fn is_summed(&self) -> bool {
        self.columns.len() < schema_of(self.rollup).fields().len()
    }
}

#[derive(Debug)]
struct Rows {
    batch: RecordBatch,
    bytes: usize,
    /// What [`Held::asked`] was when these were last asked for.
    asked: u64,
}

impl Default for HeldRollups {
    fn default() -> Self {
        Self::with_limit(HELD_BYTES_MAX)
    }
}

impl HeldRollups {
    fn with_limit(bytes_max: usize) -> Self {
        Self { held: Mutex::default(), bytes_max }
    }

    /// What is wanted of these files, in the columns of [`Wanted::schema`], and maybe rows of other rollups; `None` where
    /// that is too much to be in memory at once, or when nobody waits for it any more.
    ///
    /// It reads what is not in memory yet, and must not be called where that would keep others waiting.
    pub(super) fn rows(
        &self,
        files: &[PathBuf],
        wanted: &Wanted,
        is_left: &AtomicBool,
    ) -> Result<Option<Vec<RecordBatch>>> {
        if self.is_too_much(files.len(), wanted) {
            return Ok(None);
        }
        let (mut all, mut bytes) = (Vec::with_capacity(files.len()), 0);
        for path in files {
            if is_left.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let rows = match self.held(path, wanted) {
                Some(rows) => rows,
                None => read(path, wanted).inspect(|rows| self.hold(path, wanted, rows))?,
            };
            bytes += rows.get_array_memory_size();
            if bytes > self.bytes_max {
                self.lock().too_much.insert(wanted.clone(), files.len());
                return Ok(None);
            }
            all.push(rows);
        }
        Ok(Some(all))
    }

    /// Whether as many files were too much before: then nothing is read to find that out again.
    fn is_too_much(&self, files: usize, wanted: &Wanted) -> bool {
        self.lock().too_much.get(wanted).is_some_and(|too_many| files >= *too_many)
    }

    fn held(&self, path: &Path, wanted: &Wanted) -> Option<RecordBatch> {
        let mut held = self.lock();
        held.asked += 1;
        let asked = held.asked;
        let rows = held.files.get_mut(&(path.to_owned(), wanted.clone()))?;
        rows.asked = asked;
        Some(rows.batch.clone())
    }

    /// Keeps the rows, in place of those that were not asked for for longest.
    fn hold(&self, path: &Path, wanted: &Wanted, rows: &RecordBatch) {
        let bytes = rows.get_array_memory_size();
        if bytes > self.bytes_max {
            return;
        }
        let mut held = self.lock();
        let rows = Rows { batch: rows.clone(), bytes, asked: held.asked };
        held.bytes += bytes;
        if let Some(before) = held.files.insert((path.to_owned(), wanted.clone()), rows) {
            held.bytes -= before.bytes;
        }
        while held.bytes > self.bytes_max {
            held.forget_oldest();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn forget_oldest(&mut self) {
        let oldest = self.files.iter().min_by_key(|(_, rows)| rows.asked).map(|(key, _)| key.clone());
        let gone = oldest.and_then(|key| self.files.remove(&key));
        self.bytes = gone.map_or(0, |gone| self.bytes - gone.bytes);
    }
}

/// The columns of a rollup file that rows of this rollup have something in, and the one that says which rollup a row is of.
pub(super) fn schema_of(rollup: Rollup) -> SchemaRef {
    let of_rollup =
        |name: &str| [FILE_ROLLUP, FILE_BUCKET].contains(&name) || rollup.columns().any(|column| column.name == name);
    let file = file_schema();
    Arc::new(Schema::new(file.fields().iter().filter(|field| of_rollup(field.name())).cloned().collect::<Vec<_>>()))
}

fn read(path: &Path, wanted: &Wanted) -> Result<RecordBatch> {
    let schema = wanted.schema()?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let groups = builder.metadata().row_groups().iter().enumerate();
    let groups = groups.filter(|(_, group)| may_have(group, wanted.rollup)).map(|(place, _)| place).collect();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let columns = ProjectionMask::columns(builder.parquet_schema(), names);
    let batches = builder.with_row_groups(groups).with_projection(columns).build()?;
    let batches = batches.collect::<std::result::Result<Vec<_>, _>>()?;
    let rows = concat_batches(&schema, &batches)?;
    Ok(if wanted.is_summed() { summed(&rows)? } else { rows })
}

/// Whether rows of the rollup are in the row group, as far as its statistics tell.
fn may_have(group: &RowGroupMetaData, rollup: Rollup) -> bool {
    let number = i32::from(rollup.number());
    let column = group.columns().iter().find(|column| column.column_path().string() == FILE_ROLLUP);
    match column.and_then(|column| column.statistics()) {
        Some(Statistics::Int32(bounds)) => {
            bounds.min_opt().is_none_or(|min| *min <= number) && bounds.max_opt().is_none_or(|max| *max >= number)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use parquet::arrow::ArrowWriter;
    use telemetrics_schema::batch::to_batch;
    use telemetrics_schema::rollups::{RECORDS_COUNT, RollupBuilder};
    use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

    use super::*;

    /// A rollup file of one record, as the collector writes it: a row group for each rollup.
    fn rollup_file(directory: &Path, name: &str) -> PathBuf {
        let record = Record { id: RecordId(1), ts_reception: TimestampUs(0), report: Report::default() };
        let mut rollups = RollupBuilder::default();
        rollups.add(&to_batch(&[record]).expect("a batch")).expect("counted");
        let path = directory.join(name);
        let file = File::create(&path).expect("a file");
        let mut writer = ArrowWriter::try_new(file, file_schema(), None).expect("a writer");
        for rows in rollups.take().expect("rows") {
            writer.write(&rows).and_then(|()| writer.flush()).expect("written");
        }
        writer.close().expect("closed");
        path
    }

    /// What is held of files for somebody who waits for it.
    fn rows_of(held: &HeldRollups, files: &[PathBuf], wanted: &Wanted) -> Option<Vec<RecordBatch>> {
        held.rows(files, wanted, &AtomicBool::new(false)).expect("rows")
    }

    fn all_of(rollup: Rollup) -> Wanted {
        Wanted::of(rollup, &[]).expect("few rows")
    }

    fn daily() -> Wanted {
        all_of(Rollup::Daily)
    }

    fn places(rollup: Rollup, names: &[&str]) -> Vec<usize> {
        names.iter().map(|name| schema_of(rollup).index_of(name).expect("a column")).collect()
    }

    #[test]
    fn hours_stay_in_memory_where_a_question_takes_no_fine_keys() {
        let wanted = |names: &[&str]| Wanted::of(Rollup::Hourly, &places(Rollup::Hourly, names));
        for too_many in [&[FILE_ROLLUP, "build"][..], &["classification", RECORDS_COUNT]] {
            assert_eq!(wanted(too_many), None, "{too_many:?}");
        }
        let asked = [RECORDS_COUNT, FILE_ROLLUP, "classification"];
        let sums = wanted(&asked).expect("few rows");
        let directory = tempfile::tempdir().expect("a directory");
        let rows = rows_of(&HeldRollups::default(), &[rollup_file(directory.path(), "a")], &sums).expect("few rows");
        let rows = rows[0].project(&sums.places(&places(Rollup::Hourly, &asked))).expect("columns");
        let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, asked);
        assert!(Wanted::of(Rollup::CrashDaily, &[]).is_none() && !Wanted::may_be_of(Rollup::CrashDaily));
    }

    #[test]
    fn rows_are_read_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = [rollup_file(directory.path(), "a"), rollup_file(directory.path(), "b")];
        let held = HeldRollups::default();
        let read = rows_of(&held, &files, &daily()).expect("few rows");
        assert_eq!(read.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(read[0].schema(), schema_of(Rollup::Daily));
        for file in &files {
            std::fs::remove_file(file).expect("removed");
        }
        assert_eq!(rows_of(&held, &files, &daily()).expect("few rows"), read);
        assert!(held.rows(&files, &all_of(Rollup::DailyPlatform), &AtomicBool::new(false)).is_err());
    }

    #[test]
    fn what_was_not_asked_for_for_longest_makes_room() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = ["a", "b", "c"].map(|name| rollup_file(directory.path(), name));
        let one = read(&files[0], &daily()).expect("rows").get_array_memory_size();
        let held = HeldRollups::with_limit(2 * one);
        for asked in [&files[0], &files[1], &files[0], &files[2]] {
            rows_of(&held, std::slice::from_ref(asked), &daily()).expect("few rows");
        }
        let is_held = |place: usize| held.held(&files[place], &daily()).is_some();
        assert_eq!([is_held(0), is_held(1), is_held(2)], [true, false, true]);
    }

    #[test]
    fn what_is_too_much_for_one_question_is_not_in_memory_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = [rollup_file(directory.path(), "a"), rollup_file(directory.path(), "b")];
        let one = read(&files[0], &daily()).expect("rows").get_array_memory_size();
        let held = HeldRollups::with_limit(2 * one);
        assert_eq!(rows_of(&held, &files, &daily()).map(|rows| rows.len()), Some(2));
        let held = HeldRollups::with_limit(2 * one - 1);
        assert_eq!(rows_of(&held, &files, &daily()), None);
        assert!(held.is_too_much(2, &daily()) && held.is_too_much(3, &daily()));
        assert_eq!(rows_of(&held, &files[..1], &daily()).map(|rows| rows.len()), Some(1), "fewer may be little enough");
        let held = HeldRollups::with_limit(one - 1);
        assert_eq!(rows_of(&held, &files[..1], &daily()), None);
        assert!(held.held(&files[0], &daily()).is_none());
    }

    #[test]
    fn who_goes_away_stops_the_reading() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = [rollup_file(directory.path(), "a")];
        let held = HeldRollups::default();
        assert_eq!(held.rows(&files, &daily(), &AtomicBool::new(true)).expect("nothing"), None);
        assert!(held.held(&files[0], &daily()).is_none() && !held.is_too_much(1, &daily()));
    }
}
