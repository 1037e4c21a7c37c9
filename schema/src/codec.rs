//! The binary form of a record in the journal: fixed numbers, then texts with their lengths, little endian.
//!
//! The form carries no version of its own: the segment that holds it does.

use crate::id::RecordId;
use crate::record::{Record, Report};
use crate::time::TimestampUs;

/// Bytes that are not a record: what was expected where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded record: {0}")]
pub struct NotARecord(&'static str);

const TEXTS: usize = 12;
/// Bytes of the numbers before the texts.
const FIXED_BYTES: usize = 3 * 8 + 4 + 3;
/// Bytes of the smallest record: one whose texts are all empty.
pub const RECORD_BYTES_MIN: usize = FIXED_BYTES + TEXTS * 4;

/// Appends the encoded `record` to `out`.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    let report = &record.report;
    out.extend_from_slice(&record.id.0.to_le_bytes());
    out.extend_from_slice(&record.ts_reception.0.to_le_bytes());
    out.extend_from_slice(&report.ts_capture_s.to_le_bytes());
    out.extend_from_slice(&report.payload_format_version.to_le_bytes());
    out.extend_from_slice(&report.record_format_version.to_le_bytes());
    out.extend_from_slice(&report.severity.to_le_bytes());
    out.push(u8::from(report.external));
    let texts: [&str; TEXTS] = [
        &report.classification,
        &report.machine_id,
        &report.arch,
        &report.host_type,
        &report.build,
        &report.kernel_version,
        &report.system_name,
        &report.board_name,
        &report.cpu_model,
        &report.bios_version,
        &report.event_id,
        &report.payload,
    ];
    for text in texts {
        // A request body is limited far below 4 GiB, so that the length of a text always fits.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

/// Takes one record off the front of `input`.
///
/// # Errors
/// When the bytes end too early or a text is not UTF-8; `input` is then somewhere inside.
pub fn decode(input: &mut &[u8]) -> Result<Record, NotARecord> {
    let id = RecordId(i64::from_le_bytes(take(input)?));
    let ts_reception = TimestampUs(i64::from_le_bytes(take(input)?));
    let ts_capture_s = i64::from_le_bytes(take(input)?);
    let payload_format_version = i32::from_le_bytes(take(input)?);
    let record_format_version = i8::from_le_bytes(take(input)?);
    let severity = i8::from_le_bytes(take(input)?);
    let external = match take::<1>(input)? {
        [0] => false,
        [1] => true,
        _ => return Err(NotARecord("a flag that is neither 0 nor 1")),
    };
    Ok(Record {
        id,
        ts_reception,
        report: Report {
            record_format_version,
            severity,
            ts_capture_s,
            payload_format_version,
            external,
            classification: text(input)?,
            machine_id: text(input)?,
            arch: text(input)?,
            host_type: text(input)?,
            build: text(input)?,
            kernel_version: text(input)?,
            system_name: text(input)?,
            board_name: text(input)?,
            cpu_model: text(input)?,
            bios_version: text(input)?,
            event_id: text(input)?,
            payload: text(input)?,
        },
    })
}

/// Passes over one record at the front of `input` by the lengths in it, without looking at what it says.
///
/// For people who want to know how many records there were in bytes that no longer decode.
///
/// # Errors
/// When the bytes end too early; `input` is then somewhere inside.
pub fn skip(input: &mut &[u8]) -> Result<(), NotARecord> {
    take::<FIXED_BYTES>(input)?;
    for _ in 0..TEXTS {
        let length = u32::from_le_bytes(take(input)?) as usize;
        *input = input.get(length..).ok_or(NotARecord("the bytes end inside a text"))?;
    }
    Ok(())
}

fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], NotARecord> {
    let (head, rest) = input.split_first_chunk::<N>().ok_or(NotARecord("the bytes end inside a number"))?;
    *input = rest;
    Ok(*head)
}

fn text(input: &mut &[u8]) -> Result<String, NotARecord> {
    let length = u32::from_le_bytes(take(input)?) as usize;
    let (head, rest) = input.split_at_checked(length).ok_or(NotARecord("the bytes end inside a text"))?;
    *input = rest;
    String::from_utf8(head.to_vec()).map_err(|_| NotARecord("a text that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_record() -> impl Strategy<Value = Record> {
        (any::<[i64; 3]>(), any::<i32>(), any::<[i8; 2]>(), any::<bool>(), prop::collection::vec(".{0,40}", TEXTS))
            .prop_map(|(longs, payload_format_version, [record_format_version, severity], external, texts)| {
                let mut texts = texts.into_iter();
                let mut next = || texts.next().unwrap_or_default();
                Record {
                    id: RecordId(longs[0]),
                    ts_reception: TimestampUs(longs[1]),
                    report: Report {
                        ts_capture_s: longs[2],
                        payload_format_version,
                        record_format_version,
                        severity,
                        external,
                        classification: next(),
                        machine_id: next(),
                        arch: next(),
                        host_type: next(),
                        build: next(),
                        kernel_version: next(),
                        system_name: next(),
                        board_name: next(),
                        cpu_model: next(),
                        bios_version: next(),
                        event_id: next(),
                        payload: next(),
                    },
                }
            })
    }

    proptest! {
        #[test]
        fn decode_reads_what_encode_wrote(records in prop::collection::vec(any_record(), 0..4)) {
            let mut bytes = Vec::new();
            for record in &records {
                encode(record, &mut bytes);
            }
            let mut input = bytes.as_slice();
            for record in &records {
                prop_assert_eq!(&decode(&mut input).unwrap(), record);
            }
            prop_assert!(input.is_empty());
        }

        #[test]
        fn skipping_passes_over_what_decoding_reads(record in any_record(), rest in 0_usize..9) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            prop_assert!(bytes.len() >= RECORD_BYTES_MIN);
            let whole = bytes.len();
            bytes.extend(std::iter::repeat_n(7, rest));
            let mut input = bytes.as_slice();
            prop_assert_eq!(skip(&mut input), Ok(()));
            prop_assert_eq!(input.len(), rest);
            prop_assert!(skip(&mut &bytes[..whole - 1]).is_err());
        }

        #[test]
        fn no_prefix_decodes(record in any_record(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            let cut = cut.index(bytes.len());
            prop_assert!(decode(&mut &bytes[..cut]).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&mut bytes.as_slice());
            let _ = skip(&mut bytes.as_slice());
        }
    }
}
