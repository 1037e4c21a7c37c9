//! CSV with a row of names: the original's eight columns, or those and more as this program exports them.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder};
use telemetrics_schema::columns::reported;
use telemetrics_schema::wire::decode_text;

use super::{ROW_BYTES_MAX, too_long};
use crate::formats::csv_cell::unprotected;
use crate::import::row::{Row, place_of};
use crate::import::source::{Place, Read as RowRead, Take};
use crate::serve::StartError;

/// Columns of the original's export; a file with others comes from this program, which protects cells.
const ORIGINAL_COLUMNS: usize = 8;
/// What makes a row a record.
const NEEDED: [&str; 4] = ["id", "ts_reception", "classification", "severity"];

/// Whether the names of the columns are those of records.
///
/// # Errors
/// Names the first column that is missing.
pub(super) fn check(file: &mut File) -> Result<(), StartError> {
    let head = Rows::new(file.try_clone()?)?.places;
    file.rewind()?;
    let has = |name: &str| place_of(name).is_some_and(|place| head.contains(&Some(place)));
    match NEEDED.iter().find(|name| !has(name)) {
        Some(missing) => Err(format!("no column {missing} in its first line").into()),
        None => Ok(()),
    }
}

/// Reads all rows; the last one is looked at twice, because a file may end within it.
pub(super) fn read(file: File, take: Take<'_>) -> Result<(), StartError> {
    let mut again = file.try_clone()?;
    let mut rows = Rows::new(file)?;
    let mut last: Option<Found> = None;
    while let Some(found) = rows.next()? {
        let begin = found.begin;
        if let Some(Found { place, row, .. }) = last.replace(found)
            && !take(place, row, begin)
        {
            return Ok(());
        }
    }
    if let Some(Found { place, row, begin }) = last {
        let end = rows.reader.position().byte();
        let row = if ends_within_quotes(&mut again, begin)? {
            Err("the file ends within a quoted value".to_owned())
        } else {
            row
        };
        take(place, row, end);
    }
    Ok(())
}

struct Found {
    place: Place,
    row: RowRead,
    /// Where it begins, in bytes.
    begin: u64,
}

struct Rows {
    reader: Reader<Limited>,
    /// Of each column of the file, its place in a row.
    places: Vec<Option<usize>>,
    left_bytes: Rc<Cell<u64>>,
    record: ByteRecord,
    /// Lines that the reader is behind where a row begins: it takes the second half of `\r\n` with the next row.
    lines_behind: u64,
}

impl Rows {
    fn new(mut file: File) -> Result<Self, StartError> {
        let lines_behind = u64::from(ends_lines_with_two(&mut file)?);
        let left_bytes = Rc::new(Cell::new(ROW_BYTES_MAX));
        let limited = Limited { file, left_bytes: Rc::clone(&left_bytes) };
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(limited);
        let places = reader.byte_headers()?.iter().map(|name| place_of(decode_text(name).trim())).collect();
        Ok(Self { reader, places, left_bytes, record: ByteRecord::new(), lines_behind })
    }

    fn next(&mut self) -> Result<Option<Found>, StartError> {
        self.left_bytes.set(ROW_BYTES_MAX);
        if !self.reader.read_byte_record(&mut self.record)? {
            return Ok(None);
        }
        let (line, begin) = self.record.position().map_or((0, 0), |position| (position.line(), position.byte()));
        Ok(Some(Found { place: Place::Line(line + self.lines_behind), row: self.row(), begin }))
    }

    fn row(&self) -> RowRead {
        let (found, expected) = (self.record.len(), self.places.len());
        if found != expected {
            return Err(format!("has {found} values, not {expected}"));
        }
        let mut row = Row::default();
        for (value, place) in self.record.iter().zip(&self.places) {
            let Some(place) = *place else { continue };
            let text = decode_text(value);
            let is_protected = expected > ORIGINAL_COLUMNS && reported()[place].name != "id";
            let text = if is_protected { unprotected(&text) } else { &text };
            row.set(place, text.to_owned());
        }
        Ok(row)
    }
}

/// Whether the first line ends as those of RFC 4180 do.
fn ends_lines_with_two(file: &mut File) -> io::Result<bool> {
    let mut line = Vec::new();
    BufReader::new(&mut *file).take(ROW_BYTES_MAX).read_until(b'\n', &mut line)?;
    file.rewind()?;
    Ok(line.ends_with(b"\r\n"))
}

/// A file of which so many bytes are given until somebody allows more.
struct Limited {
    file: File,
    left_bytes: Rc<Cell<u64>>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let left = self.left_bytes.get().checked_sub(read as u64).ok_or_else(too_long)?;
        self.left_bytes.set(left);
        Ok(read)
    }
}

/// Whether the row that begins there, the last one, has a quote too few.
fn ends_within_quotes(file: &mut File, begin: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(begin))?;
    let mut rest = Vec::new();
    file.take(ROW_BYTES_MAX).read_to_end(&mut rest)?;
    Ok(rest.iter().fold(false, |is_within, byte| is_within != (*byte == b'"')))
}
