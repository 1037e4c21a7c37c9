//! CSV: the original service's columns first, so that its users' sheets go on working, then the others.

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use telemetrics_analytics::rows::Batches;
use telemetrics_schema::answer::{Fields, Key, write_instant_text};

use super::csv_cell::{ROW_END, write_text};
use super::fault::Fault;
use super::sink::{PIECE_BYTES, Sink};
use super::table::{Column, instant, write_number, write_truth};

/// The columns of the original, with its names for them.
const ORIGINAL: [(Key, &str); 8] = [
    (Key::Id, "id"),
    (Key::External, "external"),
    (Key::TsReception, "server_timestamp"),
    (Key::Severity, "severity"),
    (Key::Classification, "classification"),
    (Key::Build, "build"),
    (Key::MachineId, "machine_id"),
    (Key::Payload, "payload"),
];

/// Writes a row of names and all of `rows` with the columns of `fields`.
pub(super) async fn write(fields: Fields, mut rows: Batches, sink: &mut Sink) -> Result<(), Fault> {
    let columns = columns(fields);
    let mut out = columns.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(",").into_bytes();
    out.extend_from_slice(ROW_END);
    while let Some(batch) = rows.try_next().await? {
        let values = values(&columns, &batch)?;
        for row in 0..batch.num_rows() {
            write_row(&values, row, &mut out);
            if out.len() >= PIECE_BYTES {
                sink.write(std::mem::take(&mut out)).await?;
            }
        }
    }
    sink.write(out).await
}

/// The selected keys in the order of the file, with the names of their columns.
fn columns(fields: Fields) -> Vec<(Key, &'static str)> {
    let is_original = |key: &Key| ORIGINAL.iter().any(|(original, _)| original == key);
    let others = Key::every().filter(|key| !is_original(key)).map(|key| (key, key.name()));
    ORIGINAL.into_iter().chain(others).filter(|(key, _)| fields.has(*key)).collect()
}

fn values<'a>(columns: &[(Key, &str)], batch: &'a RecordBatch) -> Result<Vec<Column<'a>>, Fault> {
    columns.iter().map(|(key, _)| Column::of(batch, key.column())).collect()
}

fn write_row(columns: &[Column<'_>], row: usize, out: &mut Vec<u8>) {
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_cell(column, row, out);
    }
    out.extend_from_slice(ROW_END);
}

fn write_cell(column: &Column<'_>, row: usize, out: &mut Vec<u8>) {
    match column {
        Column::Int64(values) => write_number(values[row], out),
        Column::Int32(values) => write_number(values[row], out),
        Column::Int8(values) => write_number(values[row], out),
        Column::Bool(values) => write_truth(values.value(row), out),
        Column::Text(values) => write_text(values.value(row), out),
        Column::Instant(values) => write_instant_text(instant(values[row]), out),
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::testing::{records, written};
    use super::super::choice::{Coding, Format};
    use super::*;

    async fn csv(list: &str, records: Vec<telemetrics_schema::Record>) -> String {
        let bytes = written(Format::Csv, Coding::Identity, Fields::parse(list).expect("fields"), records).await;
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[tokio::test]
    async fn the_originals_columns_come_first() {
        let all = Key::every().map(Key::name).collect::<Vec<_>>().join(",");
        let expected = "id,external,server_timestamp,severity,classification,build,machine_id,payload,machine_type,arch,\
                        kernel_version,ts_capture,record_format_version,payload_format_version,system_name,board_name,\
                        bios_version,cpu_model,event_id,stack_id,process,signal,reason,attributes\r\n";
        assert_eq!(csv(&all, Vec::new()).await, expected);
        assert_eq!(csv("event_id,payload,id", Vec::new()).await, "id,payload,event_id\r\n");
    }

    #[tokio::test]
    async fn rows_are_as_a_spreadsheet_reads_them() {
        let rows = [
            "id,external,server_timestamp,payload,machine_type",
            "9007199254740000,true,2026-11-22 10:08:00 UTC,plain,vendor|plain|version",
            "9007199254740001,false,2026-11-22 10:08:00 UTC,,vendor||version",
            "9007199254740002,true,2026-11-22 10:08:00 UTC,\"a,b\",\"vendor|a,b|version\"",
            "9007199254740003,false,2026-11-22 10:08:00 UTC,\"\"\"quoted\"\"",
            "two lines\",\"vendor|\"\"quoted\"\"",
            "two lines|version\"",
            "9007199254740004,true,2026-11-22 10:08:00 UTC,'=1+1,vendor|=1+1|version",
            "9007199254740005,false,2026-11-22 10:08:00 UTC,'-1,vendor|-1|version",
            "9007199254740006,true,2026-11-22 10:08:00 UTC,'\t,vendor|\t|version",
            "9007199254740007,false,2026-11-22 10:08:00 UTC,é \u{1f980},vendor|é \u{1f980}|version",
            "9007199254740008,true,2026-11-22 10:08:00 UTC,nul\0,vendor|nul\0|version",
            "9007199254740009,false,2026-11-22 10:08:00 UTC,\\ ',vendor|\\ '|version",
            "",
        ];
        let written = csv("payload,id,ts_reception,external,machine_type", records()).await;
        assert_eq!(written, rows.join("\r\n"));
    }
}
