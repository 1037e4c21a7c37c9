//! The same rows for both: a line of our batches, and a line of ClickHouse's `JSONEachRow`.

use std::io;

use crate::requests::{ID_MARK, Template, VARIANTS, fields, json_object, payload};

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Compressed by Zstandard.
    Zstd,
}

/// Level at which gateways compress: fast.
const ZSTD_LEVEL: i32 = 1;

/// Lines of one kind, for any numbers of records.
#[derive(Debug)]
pub struct Rows {
    lines: Vec<Template>,
}

impl Rows {
    /// Lines as `POST /v3/collector` takes them.
    #[must_use]
    pub fn ours() -> Self {
        let line = |variant| json_object(&fields(variant), &payload_of(variant));
        Self::of(line)
    }

    /// Lines with the columns of the table of records, received at `received_s`, Unix seconds.
    #[must_use]
    pub fn clickhouse(received_s: i64) -> Self {
        Self::of(|variant| {
            let row = json_object(&columns(variant), &payload_of(variant));
            format!("{{\"id\":1{ID_MARK},\"ts_reception\":\"{received_s}\",\"external\":false,{}", &row[1..])
        })
    }

    fn of(line: impl Fn(u64) -> String) -> Self {
        Self { lines: (0..VARIANTS).map(|variant| Template::new(line(variant) + "\n")).collect() }
    }

    /// The lines of `count` records from the number `first` on.
    ///
    /// # Errors
    /// When they cannot be compressed.
    pub fn body(&self, first: u64, count: u64, encoding: Encoding) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        for number in first..first + count {
            Template::of(&self.lines, number).append(number, &mut body);
        }
        match encoding {
            Encoding::Plain => Ok(body),
            Encoding::Zstd => zstd::encode_all(&*body, ZSTD_LEVEL),
        }
    }
}

fn payload_of(variant: u64) -> String {
    payload(variant, |payload| json_object(&fields(variant), payload).len() + 1)
}

/// The fields under the names of the columns.
fn columns(variant: u64) -> Vec<(&'static str, &'static str)> {
    let column = |(name, value)| (if name == "creation_timestamp" { "ts_capture" } else { name }, value);
    fields(variant).into_iter().map(column).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value};
    use telemetrics_schema::columns::reported;
    use telemetrics_schema::wire::{Rules, decode_json_object};

    use super::*;

    fn lines(rows: &Rows) -> Vec<Map<String, Value>> {
        let body = rows.body(1 << 41, 300, Encoding::Plain).expect("a body");
        let text = String::from_utf8(body).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
    }

    #[test]
    fn lines_are_valid_records_of_the_promised_size() {
        let rows = Rows::ours();
        let body = rows.body(7, 300, Encoding::Plain).expect("a body");
        assert_eq!(body.len(), 300 * crate::requests::REQUEST_BYTES);
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            decode_json_object(line, false, &Rules::default()).expect("a record");
        }
        let packed = rows.body(7, 300, Encoding::Zstd).expect("a body");
        assert_eq!(zstd::decode_all(&*packed).expect("a body"), body);
    }

    #[test]
    fn both_kinds_say_the_same() {
        let (ours, theirs) = (lines(&Rows::ours()), lines(&Rows::clickhouse(1_795_342_080)));
        let columns: BTreeSet<&str> = reported().iter().map(|column| column.name).collect();
        for (our, their) in ours.iter().zip(&theirs) {
            assert_eq!(their.keys().map(String::as_str).collect::<BTreeSet<_>>(), columns);
            assert!(our.iter().all(|(name, value)| name == "creation_timestamp" || their.get(name) == Some(value)));
            assert_eq!(our.get("creation_timestamp"), their.get("ts_capture"));
        }
        let ids: BTreeSet<String> = theirs.iter().map(|row| row["id"].to_string()).collect();
        assert_eq!(ids.len(), theirs.len());
    }
}
