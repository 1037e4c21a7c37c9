//! The page Record: a crash as its frames, its attributes, every field with its meaning, the payload, and records that belong to it.

mod attributes;
mod crash;
mod neighbours;
mod room;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use telemetrics_analytics::questions::attributes::of_record;
use telemetrics_analytics::questions::records;
use telemetrics_schema::Record;
use telemetrics_schema::attributes::Attributes;
use telemetrics_schema::columns::reported;
use telemetrics_schema::payload::Filters;
use telemetrics_schema::record::NOT_AVAILABLE;

use super::message::{self, MessagePage};
use super::text::{self, Moment};
use super::{RECORDS_TAB, Shell, address, render};
use crate::api;
use crate::error::WebError;
use crate::state::AppState;
use attributes::Attribute;
use crash::Crash;
use neighbours::List;

pub use neighbours::Neighbours;

/// Longest value of a field that is shown, in characters. No valid field is longer; what was imported may be.
const VALUE_CHARS: usize = 256;
/// Longest value that a link asks for, in characters: no filter takes a longer one.
const RELATED_CHARS: usize = 140;
/// Longest payload that is shown, in bytes of HTML: enough for the 8 KiB that probes send, whatever they are.
const PAYLOAD_HTML_BYTES: usize = 41_000;

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "record.html")]
pub struct RecordPage {
    shell: Shell,
    crash: Option<Crash>,
    attributes: Vec<Attribute>,
    fields: Vec<Field>,
    related: Vec<Related>,
    payload: Payload,
    lists: Vec<List>,
    within_days: i64,
    api_address: String,
}

#[derive(Debug, Clone)]
struct Field {
    name: &'static str,
    meaning: &'static str,
    value: Shown,
}

#[derive(Debug, Clone)]
enum Shown {
    Text(String),
    Time(Moment),
    /// The probe did not send it, or sent nothing.
    Missing(&'static str),
}

#[derive(Debug, Clone)]
struct Related {
    label: &'static str,
    address: String,
}

#[derive(Debug, Clone)]
struct Payload {
    text: String,
    is_cut: bool,
    size: String,
}

/// Answers with the page, or with one that says that there is no such record.
pub async fn show(State(state): State<AppState>, Path(id): Path<String>) -> Response {
    match find(&state, &id).await {
        Ok(Some(page)) => render(StatusCode::OK, &page),
        Ok(None) => render(StatusCode::NOT_FOUND, &MessagePage::no_such_record(&id)),
        Err(error) => message::failed(&error),
    }
}

async fn find(state: &AppState, id: &str) -> Result<Option<RecordPage>, WebError> {
    let Some(id) = api::record::parse(id) else { return Ok(None) };
    let asked = state.ask().await?;
    let Some(record) = records::one(&asked.view, id).await? else { return Ok(None) };
    let neighbours = neighbours::find(&asked, &record).await?;
    let attributes = of_record(&asked.view, &record).await?;
    let filters = state.curation.state().await?.curated.rules();
    Ok(Some(RecordPage::new(&record, &attributes, &neighbours, &filters)))
}

impl RecordPage {
    /// The page of `record` with its `attributes`, among its `neighbours`; frames on the list of `filters` are not guilty.
    #[must_use]
    pub fn new(record: &Record, attributes: &Attributes, neighbours: &Neighbours, filters: &Filters) -> Self {
        let fields = reported().iter().filter_map(|column| {
            let value = shown(record, column.name)?;
            Some(Field { name: column.name, meaning: column.description, value })
        });
        Self {
            shell: Shell::new(format!("Record {}", record.id), Some(RECORDS_TAB)),
            crash: Crash::new(&record.report, filters),
            attributes: attributes::shown(attributes),
            fields: fields.collect(),
            related: related(record),
            payload: payload(&record.report.payload),
            lists: neighbours::lists(record, neighbours),
            within_days: neighbours::WITHIN_DAYS,
            api_address: address::api_record(record.id),
        }
    }
}

/// The value of a column; `None` for the payload, which has a place of its own.
fn shown(record: &Record, column: &str) -> Option<Shown> {
    let report = &record.report;
    Some(match column {
        "id" => Shown::Text(record.id.to_string()),
        "ts_reception" => Shown::Time(record.ts_reception.into()),
        "ts_capture" => Shown::Time(telemetrics_schema::TimestampUs::from_s(report.ts_capture_s).into()),
        "classification" => field(&report.classification),
        "severity" => Shown::Text(format!("{} ({})", report.severity, text::severity(report.severity))),
        "machine_id" => field(&report.machine_id),
        "system_name" => field(&report.system_name),
        "build" => field(&report.build),
        "kernel_version" => field(&report.kernel_version),
        "arch" => field(&report.arch),
        "host_type" => field(&report.host_type),
        "board_name" => field(&report.board_name),
        "cpu_model" => field(&report.cpu_model),
        "bios_version" => field(&report.bios_version),
        "event_id" => field(&report.event_id),
        "external" => Shown::Text(format!("{} ({})", report.external, text::source(report.external))),
        "record_format_version" => Shown::Text(report.record_format_version.to_string()),
        "payload_format_version" => Shown::Text(report.payload_format_version.to_string()),
        _ => return None,
    })
}

fn field(value: &str) -> Shown {
    match value {
        "" => Shown::Missing("empty"),
        NOT_AVAILABLE => Shown::Missing(NOT_AVAILABLE),
        _ => Shown::Text(text::line(value, VALUE_CHARS)),
    }
}

/// Links to the records that share something with this one; a value that nothing was sent for is shared with nobody.
fn related(record: &Record) -> Vec<Related> {
    let report = &record.report;
    let all = [
        ("Records of the same event", "event_id", &report.event_id),
        ("Records of the same machine", "machine_id", &report.machine_id),
        ("Records of the same class", "classification", &report.classification),
    ];
    all.into_iter()
        .filter(|(_, _, value)| is_shareable(value))
        .map(|(label, name, value)| Related {
            label,
            address: address::with_query(address::RECORDS, [(name, value.as_str())]),
        })
        .collect()
}

fn is_shareable(value: &str) -> bool {
    !value.is_empty() && value != NOT_AVAILABLE && value.chars().count() <= RELATED_CHARS
}

fn payload(payload: &str) -> Payload {
    let (text, is_cut) = text::block(payload, PAYLOAD_HTML_BYTES);
    Payload { text, is_cut, size: text::thousands(payload.len() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::samples;

    #[test]
    fn every_column_but_the_payload_has_a_value() {
        let record = samples::crash();
        let without: Vec<_> = reported().iter().map(|c| c.name).filter(|name| shown(&record, name).is_none()).collect();
        assert_eq!(without, ["payload"]);
    }
}
