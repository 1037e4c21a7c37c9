//! The page Records: a form with filters, the records that pass them, newest first, and the way to older ones.

mod row;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::offered::Offered;
use telemetrics_analytics::questions::records::{self, Cursor, Page, PageRequest};
use telemetrics_schema::{RecordId, TimestampUs};

use super::form::{self, Form};
use super::kept::offer;
use super::query::{CURSOR, Given, PAGING, Problem, SEEN};
use super::{RECORDS_TAB, Shell, address, example, message, render, text};
use crate::api::params;
use crate::error::WebError;
use crate::state::{AppState, Asked};
use row::Row;

/// Records on one page.
pub const PAGE_ROWS: usize = 50;
/// [`PAGE_ROWS`] as a parameter of the records API.
const PAGE_ROWS_TEXT: &str = "50";

/// What was found for the filters of a page.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The records of this page, newest first, at most [`PAGE_ROWS`], and its neighbours.
    pub page: &'a Page,
    /// Records that pass the filters on all pages.
    pub total: u64,
    /// Acknowledged records that the store has not taken yet, and that this answer comes without.
    pub pending_records: usize,
    /// Records that arrived since the reader looked last, where he says when that was.
    pub new_records: Option<u64>,
    /// The command that posts a first record, shown while there is none.
    pub first_record: &'a str,
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "records.html")]
pub struct RecordsPage {
    shell: Shell,
    form: Form,
    problem: Option<String>,
    list: Option<List>,
    clear: &'static str,
}

#[derive(Debug, Clone)]
struct List {
    rows: Vec<Row>,
    total: String,
    pending: Option<String>,
    older: Option<String>,
    newer: Option<String>,
    api: String,
    csv: String,
    parquet: String,
    /// The same page later, with the number of records that are new then; only where it begins with the newest one.
    later: Option<String>,
    new: Option<String>,
    nothing: Option<Nothing>,
}

/// Why a list is empty.
#[derive(Debug, Clone)]
enum Nothing {
    /// Nobody has posted a record yet: the command that posts one.
    Ever(String),
    /// The filters exclude them all.
    Matching,
}

impl RecordsPage {
    /// The page with what was found.
    #[must_use]
    pub fn found(given: &Given, offer: &Offered, found: &Found<'_>) -> Self {
        Self { list: Some(list(given, found)), ..Self::frame(given, offer, None) }
    }

    /// The page that says what is wrong with the filters, with the form to mend them; belongs to status 400.
    #[must_use]
    pub fn refused(given: &Given, offer: &Offered, problem: &Problem) -> Self {
        Self::frame(given, offer, Some(problem))
    }

    fn frame(given: &Given, offer: &Offered, problem: Option<&Problem>) -> Self {
        Self {
            shell: Shell::new("Records", Some(RECORDS_TAB)),
            form: Form::new(given, offer, problem),
            problem: problem.map(|problem| text::line(&problem.message, form::ECHO_CHARS)),
            list: None,
            clear: address::RECORDS,
        }
    }
}

fn list(given: &Given, found: &Found<'_>) -> List {
    let at = |cursor: &Cursor| given.link(address::RECORDS, &[(CURSOR, cursor.to_string().as_str())]);
    List {
        rows: found.page.records.iter().take(PAGE_ROWS).map(Row::from).collect(),
        total: text::records(found.total),
        pending: (found.pending_records > 0).then(|| text::records(found.pending_records as u64)),
        older: found.page.older.as_ref().map(at),
        newer: found.page.newer.as_ref().map(at),
        api: given.link(address::API_RECORDS, &[("limit", PAGE_ROWS_TEXT)]),
        csv: given.link(address::API_EXPORT, &[("format", "csv")]),
        parquet: given.link(address::API_EXPORT, &[("format", "parquet")]),
        later: newest(given, found).map(|id| given.link(address::RECORDS, &[(SEEN, &id.to_string())])),
        new: found.new_records.map(text::records),
        nothing: nothing(given, found),
    }
}

/// The newest record that passes, on the first page.
fn newest(given: &Given, found: &Found<'_>) -> Option<i64> {
    let is_first = given.value(CURSOR).is_empty();
    found.page.records.first().filter(|_| is_first).map(|record| record.id.0)
}

fn nothing(given: &Given, found: &Found<'_>) -> Option<Nothing> {
    match (found.page.records.is_empty(), given.is_filtered() || found.total > 0) {
        (false, _) => None,
        (true, false) => Some(Nothing::Ever(found.first_record.to_owned())),
        (true, true) => Some(Nothing::Matching),
    }
}

/// Answers with the page; a filter that cannot be used is explained beside the form.
pub async fn show(State(state): State<AppState>, uri: Uri, headers: HeaderMap) -> Response {
    let base_url = example::base_url(&headers, &uri);
    let answer = answer(&state, uri.query().unwrap_or_default(), &base_url).await;
    answer.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, query: &str, base_url: &str) -> Result<Response, WebError> {
    let asked = state.ask().await?;
    let (given, wanted) = match Given::parse(query) {
        Ok(given) => {
            let wanted = wanted(&given, asked.now);
            (given, wanted)
        }
        Err(problem) => (Given::default(), Err(problem)),
    };
    match wanted {
        Ok(wanted) => find(state, &asked, &given, &wanted, base_url).await,
        Err(problem) => {
            let offer = offer(state, &asked, None).await?;
            Ok(render(StatusCode::BAD_REQUEST, &RecordsPage::refused(&given, &offer, &problem)))
        }
    }
}

/// What is asked of the store.
#[derive(Debug)]
struct Wanted {
    filter: RecordFilter,
    request: PageRequest,
    /// The newest record that the reader has seen.
    seen: Option<RecordId>,
}

fn wanted(given: &Given, now: TimestampUs) -> Result<Wanted, Problem> {
    let filter = params::form_filter(given.pairs(), &PAGING, now)?;
    let cursor = match given.value(CURSOR) {
        "" => None,
        text => Some(params::cursor(CURSOR, text)?),
    };
    let seen = match given.value(SEEN) {
        "" => None,
        text => Some(RecordId(params::whole_number(SEEN, text, 0, RecordId::MAX.0)?)),
    };
    Ok(Wanted { filter, request: PageRequest { limit: PAGE_ROWS, cursor }, seen })
}

async fn find(
    state: &AppState,
    asked: &Asked,
    given: &Given,
    wanted: &Wanted,
    base_url: &str,
) -> Result<Response, WebError> {
    let filter = &wanted.filter;
    let list = async {
        Ok(tokio::try_join!(
            records::page(&asked.view, filter, &wanted.request),
            records::count(&asked.view, filter),
            count_new(asked, wanted),
        )?)
    };
    let offer = offer(state, asked, filter.system_name.as_deref());
    let (offer, (page, total, new_records)) = tokio::try_join!(offer, list)?;
    let first_record = example::first_record(base_url, asked.now);
    let found = Found { page: &page, total, pending_records: asked.pending, new_records, first_record: &first_record };
    Ok(render(StatusCode::OK, &RecordsPage::found(given, &offer, &found)))
}

/// How many records that pass are newer than what the reader has seen.
async fn count_new(asked: &Asked, wanted: &Wanted) -> Result<Option<u64>, telemetrics_analytics::Error> {
    let Some(seen) = wanted.seen else { return Ok(None) };
    let from_id = wanted.filter.from_id.max(Some(RecordId(seen.0 + 1)));
    records::count(&asked.view, &RecordFilter { from_id, ..wanted.filter.clone() }).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_page_are_what_its_api_link_asks_for() {
        assert_eq!(PAGE_ROWS.to_string(), PAGE_ROWS_TEXT);
    }

    fn asked(query: &str) -> Result<Wanted, Problem> {
        wanted(&Given::parse(query).expect("short"), TimestampUs::from_s(1_795_342_080))
    }

    #[test]
    fn a_page_reads_the_parameters_of_the_api_and_its_place() {
        let Wanted { filter, request, seen } = asked("system_name=debian&cursor=o5&seen=9").expect("valid");
        assert_eq!((filter.system_name.as_deref(), seen), (Some("debian"), Some(RecordId(9))));
        let place = Cursor::OlderThan(telemetrics_schema::RecordId(5));
        assert_eq!(request, PageRequest { limit: PAGE_ROWS, cursor: Some(place) });
        assert_eq!(asked("").expect("valid").request.cursor, None);
    }

    #[test]
    fn what_is_wrong_with_a_parameter_names_it() {
        for (query, parameter) in [("severity=7", "severity"), ("cursor=x", "cursor"), ("a=b", "a"), ("seen=x", "seen")]
        {
            let problem = asked(query).expect_err(query);
            assert_eq!(problem.parameter.as_deref(), Some(parameter));
            assert!(problem.message.contains(parameter), "{}", problem.message);
        }
    }
}
