//! One JSON object a line, as this program exports them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use serde_json::{Map, Value};
use telemetrics_schema::wire::decode_text;

use super::{ROW_BYTES_MAX, too_long};
use crate::import::row::{Row, place_of};
use crate::import::source::{Place, Read as RowRead, Take};
use crate::serve::StartError;

/// Reads all lines but empty ones.
pub(super) fn read(file: File, take: Take<'_>) -> Result<(), StartError> {
    let mut file = BufReader::new(file);
    let (mut line, mut number, mut position) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let read = (&mut file).take(ROW_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
        if read == ROW_BYTES_MAX && line.last() != Some(&b'\n') {
            return Err(too_long().into());
        }
        number += 1;
        position += read;
        let is_empty = line.iter().all(u8::is_ascii_whitespace);
        if read == 0 || (!is_empty && !take(Place::Line(number), row(&line), position)) {
            return Ok(());
        }
    }
}

fn row(line: &[u8]) -> RowRead {
    let text = decode_text(line);
    let object: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| format!("is no JSON object: {error}"))?;
    let mut row = Row::default();
    for (key, value) in object {
        let Some(place) = place_of(&key) else { continue };
        match value {
            Value::Null => {}
            Value::String(text) => row.set(place, text),
            Value::Number(number) => row.set(place, number.to_string()),
            Value::Bool(truth) => row.set(place, truth.to_string()),
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("{key} must be a text, a number, true or false"));
            }
        }
    }
    Ok(row)
}
