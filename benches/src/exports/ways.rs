//! The ways in which the same rows become a file: through us from both stores, and by the tools that analysts have.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parquet::file::reader::{FileReader, SerializedFileReader};
use telemetrics_schema::columns::reported;
use telemetrics_testkit::python::Python;

use crate::client::{Client, nowhere};
use crate::served::{Kept, Served};
use crate::{Failure, procfs};

/// Threads of ClickHouse and DuckDB: as many as the server takes.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the rows are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Apache Parquet, zstd at level 1.
    Parquet,
    /// RFC 4180.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

impl Format {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Parquet, Self::Csv, Self::Ndjson];

    /// As the API calls it.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    const fn of_clickhouse(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSVWithNames",
            Self::Ndjson => "JSONEachRow",
        }
    }

    /// Where an export of everything is.
    #[must_use]
    pub(super) fn path(self) -> String {
        format!("/api/export?format={}", self.name())
    }
}

/// One of the ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `/api/export` of the server that has this store.
    Ours(Kept),
    /// ClickHouse's own `SELECT ... FORMAT`.
    OwnSql,
    /// DuckDB's `COPY` of the embedded store's files.
    DuckDb,
}

impl Way {
    /// The ways to this format.
    #[must_use]
    pub(super) fn all(format: Format) -> Vec<Self> {
        let http = [Self::Ours(Kept::Embedded), Self::Ours(Kept::ClickHouse), Self::OwnSql];
        let duckdb = (format == Format::Parquet).then_some(Self::DuckDb);
        http.into_iter().chain(duckdb).collect()
    }

    /// What it is called in tables and in names of figures.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours(kept) => kept.name(),
            Self::OwnSql => "own-sql",
            Self::DuckDb => "duckdb",
        }
    }

    /// The same for people.
    #[must_use]
    pub(super) const fn shown(self) -> &'static str {
        match self {
            Self::Ours(Kept::Embedded) => "embedded store",
            Self::Ours(Kept::ClickHouse) => "ClickHouse through us",
            Self::OwnSql => "ClickHouse's own SELECT",
            Self::DuckDb => "DuckDB's COPY",
        }
    }
}

/// What one turn gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// To the last byte.
    pub(super) time: Duration,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// The most memory of the program that made it.
    pub(super) peak_kib: u64,
}

/// Makes files in every way.
pub(super) struct Ways<'a> {
    served: &'a Served,
    python: Python,
    directory: PathBuf,
    /// What an export as Parquet has, which is what the others are asked for.
    columns: Vec<String>,
}

impl<'a> Ways<'a> {
    /// Makes one file with each of ours, and asks it for its columns. Files go into `directory`.
    ///
    /// # Errors
    /// When there is no export.
    ///
    /// # Panics
    /// When the packages of Python are missing.
    pub(super) fn new(served: &'a Served, directory: &Path) -> Result<Self, Failure> {
        let mut ways = Self { served, python: Python::new(), directory: directory.to_owned(), columns: Vec::new() };
        let path = ways.keep(Way::Ours(Kept::Embedded), Format::Parquet)?;
        let file = SerializedFileReader::new(File::open(path)?)?;
        let columns = file.metadata().file_metadata().schema_descr().columns().iter();
        ways.columns = columns.map(|column| column.name().to_owned()).collect();
        Ok(ways)
    }

    /// Rows of a file that is made now and read again: whoever is measured has to give all of them.
    ///
    /// # Errors
    /// When there is no such file.
    ///
    /// # Panics
    /// When Python or DuckDB fails.
    pub(super) fn rows(&self, way: Way, format: Format) -> Result<u64, Failure> {
        if way == Way::DuckDb {
            return Ok(self.copy().0);
        }
        let path = self.keep(way, format)?;
        match format {
            Format::Parquet => {
                let rows = SerializedFileReader::new(File::open(path)?)?.metadata().file_metadata().num_rows();
                Ok(rows.unsigned_abs())
            }
            // The first line has the names.
            Format::Csv => Ok(lines(&path, true)?.saturating_sub(1)),
            Format::Ndjson => lines(&path, false),
        }
    }

    /// One turn: the client takes what comes and keeps nothing of it, DuckDB writes into a file.
    ///
    /// # Errors
    /// When there is no whole answer.
    ///
    /// # Panics
    /// When Python or DuckDB fails.
    pub(super) fn turn(&self, way: Way, format: Format) -> Result<Done, Failure> {
        if way == Way::DuckDb {
            let (_, done) = self.copy();
            return Ok(done);
        }
        let pid = self.pid(way);
        procfs::reset_peak(pid)?;
        let received = self.ask(way, format, nowhere)?;
        Ok(Done { time: received.whole, bytes: received.bytes, peak_kib: procfs::memory(pid)?.peak_kib })
    }

    fn pid(&self, way: Way) -> u32 {
        match way {
            Way::Ours(kept) => self.served.server(kept).process().pid(),
            Way::OwnSql | Way::DuckDb => self.served.clickhouse.pid(),
        }
    }

    fn ask(
        &self,
        way: Way,
        format: Format,
        take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<crate::client::Received, Failure> {
        match way {
            Way::Ours(kept) => Client::open(self.served.server(kept).address())?.get(&format.path(), take),
            Way::OwnSql | Way::DuckDb => {
                Client::open(self.served.clickhouse.address())?.post("/", self.sql(format).as_bytes(), take)
            }
        }
    }

    /// An export as NDJSON has what was reported; the other formats have what is derived from it as well.
    fn sql(&self, format: Format) -> String {
        let reported: Vec<String> = reported().iter().map(|column| column.name.to_owned()).collect();
        let columns = if format == Format::Ndjson { reported } else { self.columns.clone() };
        format!(
            "SELECT {} FROM records SETTINGS max_threads = {}, output_format_parquet_compression_method = 'zstd', \
             output_format_compression_level = 1 FORMAT {}",
            columns.join(", "),
            threads(),
            format.of_clickhouse()
        )
    }

    /// Puts one file where it can be read again.
    fn keep(&self, way: Way, format: Format) -> Result<PathBuf, Failure> {
        let path = self.directory.join(format!("kept.{}", format.name()));
        let mut file = io::BufWriter::new(File::create(&path)?);
        self.ask(way, format, |bytes| file.write_all(bytes))?;
        file.flush()?;
        Ok(path)
    }

    /// DuckDB's rows and what it took, in a process of its own: the clock runs in it, around the statement alone.
    fn copy(&self) -> (u64, Done) {
        let target = self.directory.join("duckdb.parquet").display().to_string();
        let table =
            telemetrics_schema::layout::DataDir::new(&self.served.data_dir).records_table().display().to_string();
        let copy = format!(
            "COPY (SELECT {} FROM read_parquet(?, hive_partitioning = false)) TO '{}' \
             (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)",
            self.columns.join(", "),
            target
        );
        let script = format!(
            "import duckdb, os, time\n\
             from deltalake import DeltaTable\n\
             files = DeltaTable({table:?}).file_uris()\n\
             duckdb.execute('SET threads = {}')\n\
             duckdb.execute('SET preserve_insertion_order = false')\n\
             begin = time.perf_counter()\n\
             rows = duckdb.execute({copy:?}, [files]).fetchone()[0]\n\
             seconds = time.perf_counter() - begin\n\
             peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM:')).split()[1]\n\
             print(rows, seconds, os.path.getsize({target:?}), peak)",
            threads()
        );
        let said = self.python.output(&self.directory, &script);
        let mut numbers = said.split_whitespace().filter_map(|number| number.parse::<f64>().ok());
        let mut next = || numbers.next().unwrap_or_else(|| panic!("DuckDB said {said:?}"));
        let (rows, seconds, bytes, peak) = (next(), next(), next(), next());
        let done = Done { time: Duration::from_secs_f64(seconds), bytes: whole(bytes), peak_kib: whole(peak) };
        (whole(rows), done)
    }
}

/// A count that came as text.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and far below 2^52")]
fn whole(count: f64) -> u64 {
    count as u64
}

/// Lines of a file; where cells are quoted, line ends within quotes are none.
fn lines(path: &Path, is_quoted: bool) -> Result<u64, Failure> {
    let mut reader = io::BufReader::new(File::open(path)?);
    let mut counted = Lines { is_quoted, ..Lines::default() };
    io::copy(&mut reader, &mut counted)?;
    Ok(counted.ends)
}

#[derive(Debug, Default)]
struct Lines {
    is_quoted: bool,
    is_within: bool,
    ends: u64,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            // A quote within quotes is doubled: that changes nothing.
            self.is_within ^= self.is_quoted && *byte == b'"';
            self.ends += u64::from(*byte == b'\n' && !self.is_within);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_within_quotes_are_none() {
        let text = "id,payload\r\n1,\"a\n\"\"b\n\"\"\"\r\n2,c\r\n";
        for (is_quoted, lines) in [(true, 3), (false, 5)] {
            let mut counted = Lines { is_quoted, ..Lines::default() };
            for byte in text.as_bytes().chunks(1) {
                counted.write_all(byte).expect("counted");
            }
            assert_eq!(counted.ends, lines);
        }
    }
}
