//! What the corpus takes in the tables of the original: a real PostgreSQL with the statements of `testdata/original`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use telemetrics_schema::generator::{Fleet, generate};
use telemetrics_schema::{Report, TimestampUs};
use telemetrics_testkit::Postgres;

use crate::Failure;

const DATABASE: &str = "telemdata";
const TABLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/original/late-2018.sql");
/// Records of one COPY: their text is in memory at once.
const COPY_RECORDS: usize = 50_000;
const COPY: &str = "COPY records (severity, host_type, machine_id, architecture, kernel_version, system_name, \
                    record_version, payload_version, payload, timestamp_client, timestamp_server, processed, external, \
                    bios_version, board_name, cpu_model, event_id, build, classification) FROM stdin;\n";

/// Bytes of the table of records with its primary key, once it holds everything that `fleet` sent. What the original's
/// own indexes and its parsed backtraces take comes on top.
///
/// # Errors
/// When the server does not say.
///
/// # Panics
/// When there is no PostgreSQL, or it refuses a record.
pub fn bytes(fleet: &Fleet) -> Result<u64, Failure> {
    let postgres = Postgres::start();
    postgres.create(DATABASE, "UTF8", &fs::read(Path::new(TABLES))?);
    let mut records = generate(fleet).peekable();
    while records.peek().is_some() {
        let mut text = String::from(COPY);
        records.by_ref().take(COPY_RECORDS).for_each(|(received, report)| line(&mut text, received, &report));
        text.push_str("\\.\n");
        postgres.run(DATABASE, text.as_bytes());
    }
    postgres.run(DATABASE, b"VACUUM records");
    Ok(said(&postgres, "SELECT pg_total_relation_size('records')")?.parse()?)
}

fn said(postgres: &Postgres, sql: &str) -> Result<String, Failure> {
    let output = Command::new("psql").args(["-X", "-A", "-t", "-c", sql, "-d", &postgres.url(DATABASE)]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// One line of COPY, with the columns of [`COPY`].
fn line(out: &mut String, received: TimestampUs, report: &Report) {
    // Writing into a string cannot fail.
    let _ = write!(out, "{}", report.severity);
    for text in [&report.host_type, &report.machine_id, &report.arch, &report.kernel_version, &report.system_name] {
        cell(out, text);
    }
    let _ = write!(out, "\t{}\t{}", report.record_format_version, report.payload_format_version);
    cell(out, &report.payload);
    let _ = write!(out, "\t{}\t{}\tf\t{}", report.ts_capture_s, received.0 / 1_000_000, report.external);
    for text in [&report.bios_version, &report.board_name, &report.cpu_model, &report.event_id, &report.build] {
        cell(out, text);
    }
    cell(out, &report.classification);
    out.push('\n');
}

fn cell(out: &mut String, text: &str) {
    out.push('\t');
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            // The original cannot keep it either.
            '\0' => {}
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_cell_for_each_column_and_ends_once() {
        let report = Report { payload: "a\tb\\\n\0c".to_owned(), ..Report::default() };
        let mut text = String::new();
        line(&mut text, TimestampUs(3_000_000), &report);
        assert_eq!(text.matches('\t').count(), COPY.matches(',').count());
        assert!(text.contains("\ta\\tb\\\\\\nc\t0\t3\tf\tfalse\t") && text.matches('\n').count() == 1, "{text:?}");
    }
}
