//! Files of records: Parquet and NDJSON as this program exports them, and CSV as the original and this program do.

mod csv;
mod ndjson;
mod parquet;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use super::source::Take;
use crate::serve::StartError;

/// Longest row of a file of text in bytes. A file that lacks the end of a quoted value is noticed here at the latest.
const ROW_BYTES_MAX: u64 = 64 << 20;
/// What every Parquet file begins with.
const PARQUET_MAGIC: &[u8; 4] = b"PAR1";

/// An open file.
pub(super) struct FileSource {
    path: PathBuf,
    file: File,
    kind: Kind,
    size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parquet,
    Ndjson,
    Csv,
}

impl FileSource {
    /// Opens a file and finds out what it is: Parquet by its first bytes, else by the end of its name, else by whether it
    /// begins as a JSON object does.
    ///
    /// # Errors
    /// When it cannot be read, or its columns are not those of records.
    pub(super) fn open(path: &Path) -> Result<Self, StartError> {
        Self::try_open(path).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    fn try_open(path: &Path) -> Result<Self, StartError> {
        let mut file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err("is no file".into());
        }
        let mut head = Vec::new();
        file.by_ref().take(PARQUET_MAGIC.len() as u64).read_to_end(&mut head)?;
        file.rewind()?;
        let kind = kind(path, &head);
        let size = match kind {
            Kind::Parquet => parquet::rows(&file)?,
            Kind::Ndjson | Kind::Csv => file.metadata()?.len(),
        };
        if kind == Kind::Csv {
            csv::check(&mut file)?;
        }
        Ok(Self { path: path.to_owned(), file, kind, size })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Rows of a Parquet file, bytes of any other.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn read(self, take: Take<'_>) -> Result<(), StartError> {
        let Self { path, file, kind, .. } = self;
        let read = match kind {
            Kind::Parquet => parquet::read(file, take),
            Kind::Ndjson => ndjson::read(file, take),
            Kind::Csv => csv::read(file, take),
        };
        read.map_err(|error| format!("{}: {error}", path.display()).into())
    }
}

fn kind(path: &Path, head: &[u8]) -> Kind {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        _ if head == PARQUET_MAGIC => Kind::Parquet,
        "csv" => Kind::Csv,
        "ndjson" | "jsonl" | "json" => Kind::Ndjson,
        _ if head.first() == Some(&b'{') => Kind::Ndjson,
        _ => Kind::Csv,
    }
}

fn too_long() -> io::Error {
    io::Error::other(format!("a row is longer than {ROW_BYTES_MAX} bytes: is the end of a quoted value missing?"))
}

#[cfg(test)]
mod tests {
    use super::super::row::Row;
    use super::super::source::{Place, Read};
    use super::*;

    /// What is read of a file with this content.
    fn read(name: &str, content: &[u8]) -> Result<Vec<(Place, Read)>, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        let mut all = Vec::new();
        let outcome = FileSource::open(&path).and_then(|file| {
            file.read(&mut |place, row, _| {
                all.push((place, row));
                true
            })
        });
        outcome.map(|()| all).map_err(|error| error.to_string())
    }

    fn payload(row: &Row) -> Option<&str> {
        row.0[super::super::row::place_of("payload").expect("a column")].as_deref()
    }

    fn payloads(name: &str, content: &str) -> Vec<(Place, Result<Option<String>, String>)> {
        let rows = read(name, content.as_bytes()).expect("read");
        rows.into_iter().map(|(place, row)| (place, row.map(|row| payload(&row).map(str::to_owned)))).collect()
    }

    const HEAD: &str = "id,external,server_timestamp,severity,classification,build,machine_id,payload";

    #[test]
    fn a_file_is_what_it_begins_with_or_is_called() {
        let kind_of = |name: &str, head: &[u8]| kind(Path::new(name), head);
        assert_eq!(kind_of("x.csv", PARQUET_MAGIC), Kind::Parquet);
        assert_eq!((kind_of("x.CSV", b"{"), kind_of("x", b"{\"id")), (Kind::Csv, Kind::Ndjson));
        assert_eq!((kind_of("x.jsonl", b""), kind_of("x", b"id,")), (Kind::Ndjson, Kind::Csv));
    }

    #[test]
    fn csv_of_the_original_has_its_lines_counted_and_its_quotes_read() {
        let text = format!(
            "{HEAD}\r\n1,True,5,1,a/b/c,1,m,\"two\r\nlines, \"\"quoted\"\"\"\r\n2,False,5,1\r\n3,f,5,1,a/b/c,1,m,'=x\r\n"
        );
        let rows = payloads("a.csv", &text);
        assert_eq!(rows[0], (Place::Line(2), Ok(Some("two\r\nlines, \"quoted\"".to_owned()))));
        assert_eq!(rows[1], (Place::Line(4), Err("has 4 values, not 8".to_owned())));
        assert_eq!(rows[2], (Place::Line(5), Ok(Some("'=x".to_owned()))), "the original protects no cells");
    }

    #[test]
    fn csv_of_this_program_has_more_columns_and_protected_cells() {
        let rows =
            payloads("a.csv", &format!("{HEAD},arch\n1,true,5,1,a/b/c,1,m,'=x,x86_64\n1,true,5,1,a/b/c,1,m,'x,\n"));
        let texts: Vec<_> = rows.into_iter().map(|(_, row)| row.expect("a row").expect("a text")).collect();
        assert_eq!(texts, ["=x", "'x"]);
    }

    #[test]
    fn a_csv_file_that_was_cut_off_is_told() {
        let rows = payloads("a.csv", &format!("{HEAD}\n1,t,5,1,a/b/c,1,m,\"begins"));
        assert_eq!(rows[0].1, Err("the file ends within a quoted value".to_owned()));
        let whole = payloads("a.csv", &format!("{HEAD}\n1,t,5,1,a/b/c,1,m,\"a \"\"b\"\"\""));
        assert_eq!(whole[0].1, Ok(Some("a \"b\"".to_owned())), "no end of the last line is no harm");
        let error = read("a.csv", b"id,payload\n1,x\n").expect_err("no records");
        assert!(error.contains("no column ts_reception"), "{error}");
        assert!(read("a.csv", b"").expect_err("empty").contains("no column id"));
    }

    #[test]
    fn ndjson_has_a_record_a_line() {
        let rows = payloads(
            "a.ndjson",
            "{\"id\":1,\"payload\":\"a\\n\\u0000\u{1f980}\",\"x\":[]}\n\n{\"id\":2\n[]\n{\"payload\":{}}\n{\"payload\":null}",
        );
        assert_eq!(rows[0], (Place::Line(1), Ok(Some("a\n\0\u{1f980}".to_owned()))));
        assert!(rows[1].0 == Place::Line(3) && rows[1].1.as_ref().expect_err("cut").contains("is no JSON object"));
        assert!(rows[2].0 == Place::Line(4) && rows[2].1.is_err());
        assert_eq!(rows[3].1, Err("payload must be a text, a number, true or false".to_owned()));
        assert_eq!(rows[4].1, Ok(None));
        assert_eq!(rows.len(), 5);
    }
}
