//! One row of the table of records: the fields that tell records apart, each cut to what a row can hold.

use telemetrics_schema::Record;

use crate::pages::address;
use crate::pages::text::{self, Moment};

/// Longest first line of a payload, in characters.
const PAYLOAD_CHARS: usize = 120;
/// Longest classification, in characters. Fifty rows of the longest texts have to stay below the limit of a page.
const CLASS_CHARS: usize = 80;
/// Longest system name and build, in characters.
const NAME_CHARS: usize = 40;
/// Longest machine id, in characters; no valid one is longer.
const MACHINE_CHARS: usize = 32;

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) source: &'static str,
    pub(super) machine: String,
    pub(super) when: Moment,
    pub(super) severity: String,
    pub(super) class: String,
    pub(super) system: String,
    pub(super) build: String,
    pub(super) payload: String,
}

impl From<&Record> for Row {
    fn from(record: &Record) -> Self {
        let report = &record.report;
        Self {
            id: record.id.to_string(),
            address: address::record(record.id),
            source: text::source(report.external),
            machine: text::line(&report.machine_id, MACHINE_CHARS),
            when: record.ts_reception.into(),
            severity: text::severity(report.severity),
            class: text::line(&report.classification, CLASS_CHARS),
            system: text::line(&report.system_name, NAME_CHARS),
            build: text::line(&report.build, NAME_CHARS),
            payload: text::first_line(&report.payload, PAYLOAD_CHARS),
        }
    }
}
