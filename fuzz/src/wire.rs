//! Requests of probes: what is accepted is a record that the journal can hold, what is not has a reason.

use telemetrics_schema::payload::derive;
use telemetrics_schema::wire::{self, Rejection, Request, Rules};
use telemetrics_schema::{Record, RecordId, Report, TimestampUs, codec};

/// A request: lines `name: value`, a blank line, and the body.
///
/// # Panics
/// When what the decoder answers does not hold together.
pub fn headers(bytes: &[u8]) {
    let mut rest = bytes;
    let mut headers = Vec::new();
    while let Some((line, behind)) = line(rest) {
        rest = behind;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        if let Ok(name) = str::from_utf8(&line[..colon]) {
            headers.push((name, line[colon + 1..].trim_ascii()));
        }
    }
    let request = Request { headers, body: rest };
    for strict_fields in [false, true] {
        let decoded = wire::decode(&request, &Rules { strict_fields, ..Rules::default() });
        judge(decoded);
    }
    let _ = wire::admit(&request, &Rules::default());
    let _ = wire::telemetry_id(&request);
}

/// A record as JSON.
///
/// # Panics
/// As [`headers`].
pub fn json(bytes: &[u8]) {
    for strict_fields in [false, true] {
        let rules = Rules { strict_fields, ..Rules::default() };
        judge(wire::decode_json_object(bytes, strict_fields, &rules));
    }
}

/// The bytes before the first line end, without a carriage return, and those behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}

fn judge(decoded: Result<Report, Rejection>) {
    match decoded {
        Ok(report) => keeps(report),
        Err(rejection) => assert!(!rejection.errors().is_empty(), "refused without a reason"),
    }
}

/// The journal reads back what it wrote.
fn keeps(report: Report) {
    let _ = derive(&report);
    let record = Record { id: RecordId(1), ts_reception: TimestampUs(1), report };
    let mut encoded = Vec::new();
    codec::encode(&record, &mut encoded);
    let mut input = encoded.as_slice();
    assert_eq!(codec::decode(&mut input).as_ref(), Ok(&record));
    assert!(input.is_empty(), "bytes are left of a record");
    let mut input = encoded.as_slice();
    assert!(codec::skip(&mut input).is_ok() && input.is_empty(), "a record is passed over wrongly");
}
