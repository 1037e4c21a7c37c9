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
use super::query::{CURSOR, Given, PAGE, PAGE_SIZE, PAGING, Problem, SEEN};
use super::{RECORDS_TAB, Shell, address, bookmarks, example, message, render, text};
use crate::api::params;
use crate::error::{InvalidParameter, WebError};
use crate::state::{AppState, Asked};
use row::Row;

/// Records on one page, where nobody asks for another number.
pub const PAGE_ROWS: usize = 50;
/// Most records on one page. Whoever asks for more than [`PAGE_ROWS`] gets a page that is as much larger than others.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// What was found for the filters of a page.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The records of this page, newest first, at most as many as it has rows, and its neighbours.
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

/// How many records a page has.
///
/// # Errors
/// When it is asked for none, or for too many.
pub(super) fn page_rows(given: &Given) -> Result<usize, InvalidParameter> {
    match given.value(PAGE_SIZE) {
        "" => Ok(PAGE_ROWS),
        text => params::limit(PAGE_SIZE, text, PAGE_ROWS_MAX),
    }
}

fn list(given: &Given, found: &Found<'_>) -> List {
    let rows = page_rows(given).unwrap_or(PAGE_ROWS);
    // Whoever pages on keeps the size of his pages.
    let link = |name: &str, value: &str| {
        let size = Some((PAGE_SIZE, given.value(PAGE_SIZE))).filter(|(_, size)| !size.is_empty());
        given.link(address::RECORDS, &[(name, value)].into_iter().chain(size).collect::<Vec<_>>())
    };
    let at = |cursor: &Cursor| link(CURSOR, &cursor.to_string());
    List {
        rows: found.page.records.iter().take(rows).map(Row::from).collect(),
        total: text::records(found.total),
        pending: (found.pending_records > 0).then(|| text::records(found.pending_records as u64)),
        older: found.page.older.as_ref().map(at),
        newer: found.page.newer.as_ref().map(at),
        api: given.link(address::API_RECORDS, &[("limit", &rows.to_string())]),
        csv: given.link(address::API_EXPORT, &[("format", "csv")]),
        parquet: given.link(address::API_EXPORT, &[("format", "parquet")]),
        later: newest(given, found).map(|id| link(SEEN, &id.to_string())),
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
        Ok(Wanted { filter, page: Some(number), .. }) => bookmarks::lead_to(&asked, &given, &filter, number).await,
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
    /// The number of the page, where it is asked for by that.
    page: Option<usize>,
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
    let limit = page_rows(given)?;
    let page = match given.value(PAGE) {
        "" => None,
        text => Some(params::limit(PAGE, text, bookmarks::last_page(limit))?),
    };
    Ok(Wanted { filter, request: PageRequest { limit, cursor }, seen, page })
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

    fn asked(query: &str) -> Result<Wanted, Problem> {
        wanted(&Given::parse(query).expect("short"), TimestampUs::from_s(1_795_342_080))
    }

    #[test]
    fn a_page_reads_the_parameters_of_the_api_and_its_place() {
        let Wanted { filter, request, seen, page } = asked("system_name=debian&cursor=o5&seen=9").expect("valid");
        assert_eq!((filter.system_name.as_deref(), seen, page), (Some("debian"), Some(RecordId(9)), None));
        let place = Cursor::OlderThan(telemetrics_schema::RecordId(5));
        assert_eq!(request, PageRequest { limit: PAGE_ROWS, cursor: Some(place) });
        assert_eq!(asked("").expect("valid").request.cursor, None);
    }

    #[test]
    fn the_size_of_a_page_and_its_number_have_limits() {
        let read = |query: &str| asked(query).map(|wanted| (wanted.request.limit, wanted.page)).ok();
        assert_eq!(read("page_size=1&page=10001"), Some((1, Some(10_001))));
        assert_eq!(read("page_size=1000&page=11"), Some((1_000, Some(11))));
        assert_eq!((read("page=201"), read("page=1")), (Some((50, Some(201))), Some((50, Some(1)))));
    }

    #[test]
    fn what_is_wrong_with_a_parameter_names_it() {
        for (query, parameter) in [
            ("severity=7", "severity"),
            ("cursor=x", "cursor"),
            ("a=b", "a"),
            ("seen=x", "seen"),
            ("page_size=0", "page_size"),
            ("page_size=1001", "page_size"),
            ("page_size=-1", "page_size"),
            ("page=0", "page"),
            ("page=x", "page"),
            ("page=202", "page"),
            ("page_size=1000&page=12", "page"),
            ("page=1&page=2", "page"),
        ] {
            let problem = asked(query).expect_err(query);
            assert_eq!(problem.parameter.as_deref(), Some(parameter));
            assert!(problem.message.contains(parameter), "{}", problem.message);
        }
    }
}
