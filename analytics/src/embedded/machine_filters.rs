//! Which files may have records of a machine: their Bloom filters, which stay in memory between questions.
//!
//! A look-up of a machine misses nearly every file, because machines change their identifiers every few days; to open a
//! file and to ask its own filters costs more than all the rest of a miss.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::{Column, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaDataReader, RowGroupMetaData};

use super::files::DataFile;

/// The column that files have Bloom filters of.
const COLUMN: &str = "machine_id";
/// Bytes of all filters together from which on no more are read, so that there may be one file's more. They take two
/// or three bytes for each machine of a row group.
const FILTERS_BYTES_MAX: usize = 16 << 20;
/// Bytes of a block of a filter.
const BLOCK_BYTES: usize = 32;

/// See the module.
#[derive(Debug)]
pub(super) struct MachineFilters {
    held: Mutex<Held>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Held {
    files: HashMap<PathBuf, Arc<FileFilters>>,
    bytes: usize,
}

/// Those of the row groups of a file; empty where not all of them have one, so that nothing is known.
#[derive(Debug)]
struct FileFilters(Vec<Sbbf>);

impl Default for MachineFilters {
    fn default() -> Self {
        Self::with_limit(FILTERS_BYTES_MAX)
    }
}

impl MachineFilters {
    fn with_limit(bytes_max: usize) -> Self {
        Self { held: Mutex::default(), bytes_max }
    }

    /// Those of the `files` that may have a row for which all `conditions` are true, as far as a machine is named there.
    pub(super) async fn candidates(
        self: &Arc<Self>,
        files: Vec<Arc<DataFile>>,
        conditions: &[Expr],
    ) -> Result<Vec<Arc<DataFile>>> {
        let Some(machine) = conditions.iter().find_map(machine_of).map(str::to_owned) else { return Ok(files) };
        let filters = Arc::clone(self);
        let candidates = move || files.into_iter().filter(|file| filters.may_have(&file.path, &machine)).collect();
        let candidates = tokio::task::spawn_blocking(candidates).await;
        candidates.map_err(|error| DataFusionError::External(Box::new(error)))
    }

    /// Forgets all files but these, which are those of the newest version of the table.
    pub(super) fn keep<'a>(&self, paths: impl Iterator<Item = &'a Path>) {
        let paths: HashSet<_> = paths.collect();
        self.lock().retain(|path| paths.contains(path));
    }

    fn may_have(&self, path: &Path, machine: &str) -> bool {
        let known = self.held(path).or_else(|| self.read(path));
        known.is_none_or(|filters| filters.may_have(machine))
    }

    fn held(&self, path: &Path) -> Option<Arc<FileFilters>> {
        self.lock().files.get(path).cloned()
    }

    /// Reads and keeps the filters of a file; `None` where there is no room for more, or where it cannot be read, which
    /// the question itself will find as well.
    fn read(&self, path: &Path) -> Option<Arc<FileFilters>> {
        if self.lock().bytes >= self.bytes_max {
            return None;
        }
        let filters = Arc::new(FileFilters::read(path).ok()?);
        self.lock().add(path, &filters);
        Some(filters)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn add(&mut self, path: &Path, filters: &Arc<FileFilters>) {
        self.bytes += filters.bytes();
        if let Some(before) = self.files.insert(path.to_owned(), Arc::clone(filters)) {
            self.bytes -= before.bytes();
        }
    }

    fn retain(&mut self, is_wanted: impl Fn(&Path) -> bool) {
        self.files.retain(|path, _| is_wanted(path));
        self.bytes = self.files.values().map(|filters| filters.bytes()).sum();
    }
}

impl FileFilters {
    fn read(path: &Path) -> Result<Self, ParquetError> {
        let file = File::open(path)?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
        let of_group = |group: &RowGroupMetaData| {
            let column = group.columns().iter().find(|column| column.column_path().string() == COLUMN);
            column.map_or(Ok(None), |column| Sbbf::read_from_column_chunk(column, &file))
        };
        let filters: Option<Vec<_>> = metadata.row_groups().iter().map(of_group).collect::<Result<_, _>>()?;
        Ok(Self(filters.unwrap_or_default()))
    }

    fn may_have(&self, machine: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|filter| filter.check(machine))
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|filter| filter.num_blocks() * BLOCK_BYTES).sum()
    }
}

/// The machine that all rows have for which the condition is true; `None` where it does not name one.
fn machine_of(condition: &Expr) -> Option<&str> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(Column { name, .. }), Expr::Literal(value, _))
        | (Expr::Literal(value, _), Expr::Column(Column { name, .. }))
            if name == COLUMN =>
        {
            text_of(value)
        }
        _ => None,
    }
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;
    use parquet::schema::types::ColumnPath;
    use telemetrics_schema::batch::to_batch;
    use telemetrics_schema::{Record, RecordId, Report, TimestampUs};
    use tempfile::TempDir;

    use super::*;

    /// A directory of files.
    struct Files(TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        /// A file with a row group for each of the machines.
        fn write(&self, name: &str, machines: &[&str], with_filters: bool) -> PathBuf {
            let path = self.0.path().join(name);
            let properties = WriterProperties::builder()
                .set_column_bloom_filter_enabled(ColumnPath::from(COLUMN), with_filters)
                .build();
            let rows = machines.iter().map(|machine| {
                let report = Report { machine_id: (*machine).to_owned(), ..Report::default() };
                to_batch(&[Record { id: RecordId(1), ts_reception: TimestampUs(0), report }]).expect("a batch")
            });
            let rows: Vec<_> = rows.collect();
            let file = File::create(&path).expect("a file");
            let mut writer = ArrowWriter::try_new(file, rows[0].schema(), Some(properties)).expect("a writer");
            for rows in &rows {
                writer.write(rows).and_then(|()| writer.flush()).expect("written");
            }
            writer.close().expect("closed");
            path
        }
    }

    #[test]
    fn a_file_without_the_machine_is_left_out() {
        let (files, filters) = (Files::new(), MachineFilters::default());
        let (one, both) = (files.write("one", &["one"], true), files.write("both", &["two", "one"], true));
        let other = files.write("other", &["two"], true);
        assert!(filters.may_have(&one, "one") && filters.may_have(&both, "one") && filters.may_have(&both, "two"));
        assert!(!filters.may_have(&other, "one") && !filters.may_have(&one, "two") && !filters.may_have(&one, ""));
        std::fs::remove_file(&other).expect("deleted");
        assert!(!filters.may_have(&other, "one"), "what was read once stays in memory");
    }

    #[test]
    fn what_tells_nothing_may_have_every_machine() {
        let (files, filters) = (Files::new(), MachineFilters::default());
        assert!(filters.may_have(&files.write("without", &["two"], false), "one"));
        assert!(filters.may_have(Path::new("not/there"), "one"));
        assert_eq!(filters.lock().bytes, 0);
    }

    #[test]
    fn no_more_files_are_read_than_there_is_room_for() {
        let (files, filters) = (Files::new(), MachineFilters::with_limit(2 * BLOCK_BYTES));
        let paths = ["a", "b", "c"].map(|name| files.write(name, &["one"], true));
        let may_have = || paths.each_ref().map(|path| filters.may_have(path, "two"));
        assert_eq!(may_have(), [false, false, true], "each has one block");
        filters.keep(paths[1..].iter().map(PathBuf::as_path));
        assert_eq!(filters.lock().bytes, BLOCK_BYTES);
        assert!(!filters.may_have(&paths[2], "two"), "there is room again");
        assert_eq!(may_have(), [true, false, false]);
    }

    #[test]
    fn a_machine_is_named_where_all_rows_have_it() {
        let machine = |condition: &Expr| machine_of(condition).map(str::to_owned);
        assert_eq!(machine(&col(COLUMN).eq(lit("one"))).as_deref(), Some("one"));
        assert_eq!(machine(&lit("one").eq(col(COLUMN))).as_deref(), Some("one"));
        let view = ScalarValue::Utf8View(Some("one".to_owned()));
        assert_eq!(machine(&col(COLUMN).eq(Expr::Literal(view, None))).as_deref(), Some("one"));
        assert_eq!(machine(&col("build").eq(lit("one"))), None);
        assert_eq!(machine(&col(COLUMN).not_eq(lit("one"))), None);
        assert_eq!(machine(&col(COLUMN).eq(lit("one")).or(lit(true))), None);
        assert_eq!(machine(&col(COLUMN).eq(Expr::Literal(ScalarValue::Utf8View(None), None))), None);
    }
}
