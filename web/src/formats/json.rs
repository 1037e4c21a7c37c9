//! JSON and NDJSON: the record object of `telemetrics_schema::answer`, written from columns.

use arrow::array::{RecordBatch, StringViewArray};
use futures::TryStreamExt;
use telemetrics_analytics::rows::Batches;
use telemetrics_schema::answer::{Fields, Key, write_instant_text, write_object, write_text};

use super::fault::Fault;
use super::sink::{PIECE_BYTES, Sink};
use super::table::{Column, instant, write_number, write_truth};

/// What stands around and between the record objects.
pub(super) struct Frame {
    begin: &'static [u8],
    between: &'static [u8],
    /// Behind each of them.
    after: &'static [u8],
    end: &'static [u8],
}

/// `{"records":[...]}`.
pub(super) const LIST: Frame = Frame { begin: b"{\"records\":[", between: b",", after: b"", end: b"]}" };
/// One record object a line.
pub(super) const LINES: Frame = Frame { begin: b"", between: b"", after: b"\n", end: b"" };

/// Writes all of `rows` with the keys of `fields`.
pub(super) async fn write(frame: &Frame, fields: Fields, mut rows: Batches, sink: &mut Sink) -> Result<(), Fault> {
    let mut out = frame.begin.to_vec();
    let mut is_first = true;
    while let Some(batch) = rows.try_next().await? {
        for row in Objects::of(&batch, fields)?.rows() {
            if !std::mem::take(&mut is_first) {
                out.extend_from_slice(frame.between);
            }
            row.write(&mut out);
            out.extend_from_slice(frame.after);
            if out.len() >= PIECE_BYTES {
                sink.write(std::mem::take(&mut out)).await?;
            }
        }
    }
    out.extend_from_slice(frame.end);
    sink.write(out).await
}

/// The rows of a batch as JSON objects.
struct Objects<'a> {
    /// What stands before a value, from the comma or brace to the colon.
    columns: Vec<(String, Cell<'a>)>,
    rows: usize,
}

/// A column, by how its values stand in an object.
enum Cell<'a> {
    Value(Column<'a>),
    /// Texts that are objects.
    Object(&'a StringViewArray),
}

struct Object<'a> {
    objects: &'a Objects<'a>,
    row: usize,
}

impl<'a> Objects<'a> {
    fn of(batch: &'a RecordBatch, fields: Fields) -> Result<Self, Fault> {
        let column = |(place, key): (usize, Key)| {
            let before = if place == 0 { '{' } else { ',' };
            let cell = match (key, Column::of(batch, key.column())?) {
                (Key::Attributes, Column::Text(texts)) => Cell::Object(texts),
                (_, column) => Cell::Value(column),
            };
            Ok((format!("{before}\"{}\":", key.name()), cell))
        };
        let columns = fields.keys().enumerate().map(column).collect::<Result<_, Fault>>()?;
        Ok(Self { columns, rows: batch.num_rows() })
    }

    fn rows(&self) -> impl Iterator<Item = Object<'_>> {
        (0..self.rows).map(|row| Object { objects: self, row })
    }
}

impl Object<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        for (before, cell) in &self.objects.columns {
            out.extend_from_slice(before.as_bytes());
            match cell {
                Cell::Value(column) => write_value(column, self.row, out),
                Cell::Object(texts) => write_object(texts.value(self.row), out),
            }
        }
        out.push(b'}');
    }
}

fn write_value(column: &Column<'_>, row: usize, out: &mut Vec<u8>) {
    match column {
        Column::Int64(values) => write_number(values[row], out),
        Column::Int32(values) => write_number(values[row], out),
        Column::Int8(values) => write_number(values[row], out),
        Column::Bool(values) => write_truth(values.value(row), out),
        Column::Text(values) => write_text(values.value(row), out),
        Column::Instant(values) => {
            out.push(b'"');
            write_instant_text(instant(values[row]), out);
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::answer::write_json;
    use telemetrics_schema::batch::to_batch;

    use super::super::body::testing::{records, written};
    use super::super::choice::{Coding, Format};
    use super::*;

    #[tokio::test]
    async fn records_are_written_as_in_every_other_answer() {
        for list in ["id", "payload,id", "ts_capture,external,severity,machine_type"] {
            let fields = Fields::parse(list).expect("fields");
            let objects: Vec<String> = records()
                .iter()
                .map(|record| {
                    let mut out = Vec::new();
                    write_json(record, &fields, &mut out);
                    String::from_utf8(out).expect("UTF-8")
                })
                .collect();
            let list = written(Format::Json, Coding::Identity, fields, records()).await;
            assert_eq!(String::from_utf8(list).expect("UTF-8"), format!("{{\"records\":[{}]}}", objects.join(",")));
            let lines = written(Format::Ndjson, Coding::Identity, fields, records()).await;
            assert_eq!(String::from_utf8(lines).expect("UTF-8"), objects.join("\n") + "\n");
        }
    }

    #[tokio::test]
    async fn nothing_is_an_empty_list_and_no_line() {
        let all = Fields::all();
        assert_eq!(written(Format::Json, Coding::Identity, all, Vec::new()).await, b"{\"records\":[]}");
        assert_eq!(written(Format::Ndjson, Coding::Identity, all, Vec::new()).await, b"");
    }

    #[test]
    fn a_batch_without_a_column_is_an_error() {
        let batch = to_batch(&records()).expect("a batch").project(&[1]).expect("a column");
        assert!(Objects::of(&batch, Fields::all()).is_err());
    }
}
