//! Other records of the same event and of the same machine.

use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::records::{self, PageRequest};
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{Record, TimestampUs};

use super::is_shareable;
use super::room::Room;
use crate::error::WebError;
use crate::pages::address;
use crate::pages::text::{self, Moment};
use crate::state::Asked;

/// Records of one list.
pub(super) const LIST_RECORDS: usize = 20;
/// How far before and after a record its neighbours are looked for, in days: machines change their ids every three days,
/// some records are a day late, and a question about all days would read all of them.
pub(super) const WITHIN_DAYS: i64 = 4;
/// Most HTML of the records of one list, in bytes.
const LIST_HTML_BYTES: usize = 8_000;
/// Longest classification, in characters.
const CLASS_CHARS: usize = 80;
/// Longest first line of a payload, in characters.
const PAYLOAD_CHARS: usize = 60;

/// What else was received around a record, newest first; at most `LIST_RECORDS` each.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    /// Other records with its event id.
    pub event: Vec<Record>,
    /// Other records with its machine id.
    pub machine: Vec<Record>,
}

/// Looks for them; an id that was not sent is shared with nobody.
pub(super) async fn find(asked: &Asked, record: &Record) -> Result<Neighbours, WebError> {
    let report = &record.report;
    let of_event = RecordFilter { event_id: shared(&report.event_id), ..around(record) };
    let of_machine = RecordFilter { machine_id: shared(&report.machine_id), ..around(record) };
    let (event, machine) = tokio::try_join!(
        others(asked, record, of_event.event_id.is_some().then_some(&of_event)),
        others(asked, record, of_machine.machine_id.is_some().then_some(&of_machine)),
    )?;
    Ok(Neighbours { event, machine })
}

fn shared(id: &str) -> Option<String> {
    is_shareable(id).then(|| id.to_owned())
}

fn around(record: &Record) -> RecordFilter {
    let at = |days: i64| Some(TimestampUs(record.ts_reception.0.saturating_add(days * US_PER_DAY)));
    RecordFilter { received_from: at(-WITHIN_DAYS), received_before: at(WITHIN_DAYS), ..RecordFilter::default() }
}

async fn others(asked: &Asked, record: &Record, filter: Option<&RecordFilter>) -> Result<Vec<Record>, WebError> {
    let Some(filter) = filter else { return Ok(Vec::new()) };
    // The record itself is one of them.
    let request = PageRequest { limit: LIST_RECORDS + 1, cursor: None };
    let page = records::page(&asked.view, filter, &request).await?;
    Ok(page.records.into_iter().filter(|other| other.id != record.id).take(LIST_RECORDS).collect())
}

/// One list.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) title: &'static str,
    pub(super) id: &'static str,
    pub(super) rows: Vec<Row>,
    /// The page with all of them.
    pub(super) address: String,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) address: String,
    pub(super) when: Moment,
    pub(super) severity: String,
    pub(super) class: String,
    pub(super) payload: String,
}

/// The lists of a page; none of an id that was not sent.
pub(super) fn lists(record: &Record, neighbours: &Neighbours) -> Vec<List> {
    let report = &record.report;
    let all = [
        ("Other records of the same event", "event_id", &report.event_id, &neighbours.event),
        ("Other records of the same machine", "machine_id", &report.machine_id, &neighbours.machine),
    ];
    let list = |(title, name, value, records): (_, _, &String, &Vec<Record>)| List {
        title,
        id: name,
        rows: rows(records),
        address: address::with_query(address::RECORDS, [(name, value.as_str())]),
    };
    all.into_iter().filter(|(_, _, value, _)| is_shareable(value)).map(list).collect()
}

fn rows(records: &[Record]) -> Vec<Row> {
    let mut room = Room::new(LIST_HTML_BYTES);
    records.iter().take(LIST_RECORDS).map(Row::from).take_while(|row| room.take(row.html_bytes())).collect()
}

impl From<&Record> for Row {
    fn from(record: &Record) -> Self {
        let report = &record.report;
        Self {
            address: address::record(record.id),
            when: record.ts_reception.into(),
            severity: text::severity(report.severity),
            class: text::line(&report.classification, CLASS_CHARS),
            payload: text::first_line(&report.payload, PAYLOAD_CHARS),
        }
    }
}

impl Row {
    fn html_bytes(&self) -> usize {
        /// An entry without its texts.
        const ROW_BYTES: usize = 240;
        ROW_BYTES + text::html_bytes(&self.class) + text::html_bytes(&self.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::samples;

    #[test]
    fn a_list_is_as_long_as_its_limits_allow() {
        assert_eq!(rows(&vec![samples::crash(); LIST_RECORDS + 5]).len(), LIST_RECORDS);
        let few = rows(&vec![samples::hostile(); LIST_RECORDS]);
        assert!((1..LIST_RECORDS).contains(&few.len()), "{}", few.len());
    }

    #[test]
    fn what_was_not_sent_has_no_list() {
        let record = samples::crash();
        let of = |record: &Record| lists(record, &Neighbours::default()).len();
        assert_eq!(of(&record), 2);
        let mut other = record.clone();
        other.report.event_id = "N/A".into();
        assert_eq!(of(&other), 1);
        other.report.machine_id = String::new();
        assert_eq!(of(&other), 0);
    }
}
