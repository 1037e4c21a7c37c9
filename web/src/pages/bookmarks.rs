//! Addresses of the original service that people have bookmarked and that are somewhere else now.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse, Response};
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::records::{self, PAGE_RECORDS_MAX, PageRequest};

use super::query::{CURSOR, Given, PAGE_SIZE, PAGING};
use super::records::page_rows;
use super::{address, message};
use crate::api::{self, params};
use crate::error::{InvalidParameter, WebError};
use crate::state::{AppState, Asked};

/// The parameter that says whether a browser shows the file or saves it.
const FORMAT_TYPE: &str = "format_type";

/// `/telemetryui/records/{page}`: leads to the page with the same records, as far as they exist.
pub async fn page(State(state): State<AppState>, Path(page): Path<String>, uri: Uri) -> Response {
    let answer = bookmarked(&state, &page, uri.query().unwrap_or_default()).await;
    answer.unwrap_or_else(|error| message::failed(&error))
}

/// A number beyond what can be reached leads as far as pages go: whoever made the bookmark cannot mend its address.
async fn bookmarked(state: &AppState, page: &str, query: &str) -> Result<Response, WebError> {
    let number: usize = page.parse().map_err(|_| WebError::NotFound(format!("There is no page {page}.")))?;
    let given = Given::parse(query).map_err(|problem| InvalidParameter::new("the query", problem.message))?;
    let asked = state.ask().await?;
    let filter = params::form_filter(given.pairs(), &PAGING, asked.now)?;
    let number = number.clamp(1, last_page(page_rows(&given)?));
    lead_to(&asked, &given, &filter, number).await
}

/// The last page that a number leads to, where pages have so many `rows`: what is farther takes a cursor.
pub(super) const fn last_page(rows: usize) -> usize {
    PAGE_RECORDS_MAX / rows + 1
}

/// Leads to the page with that number, which counts from 1, and to the first one where there are not so many.
///
/// # Errors
/// [`WebError`] when the store cannot be read, and for a wrong number of rows.
pub(super) async fn lead_to(
    asked: &Asked,
    given: &Given,
    filter: &RecordFilter,
    number: usize,
) -> Result<Response, WebError> {
    let records_before = number.saturating_sub(1).saturating_mul(page_rows(given)?).min(PAGE_RECORDS_MAX);
    let mut older = None;
    if records_before > 0 {
        let request = PageRequest { limit: records_before, cursor: None };
        older = records::page(&asked.view, filter, &request).await?.older.map(|cursor| cursor.to_string());
    }
    let place = older.iter().map(|cursor| (CURSOR, cursor.as_str()));
    let size = Some((PAGE_SIZE, given.value(PAGE_SIZE))).filter(|(_, size)| !size.is_empty());
    let place = given.link(address::RECORDS, &place.chain(size).collect::<Vec<_>>());
    Ok((StatusCode::FOUND, [(header::LOCATION, place)]).into_response())
}

/// `/telemetryui/records/export/records-<timestamp>.csv`: the records that pass the filters, shown or saved.
///
/// # Errors
/// 404 for another name, 400 names the parameter that cannot be used.
pub async fn export(
    state: State<AppState>,
    Path(name): Path<String>,
    version: Version,
    headers: HeaderMap,
    Query(mut pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    if name.strip_prefix("records-").and_then(|rest| rest.strip_suffix(".csv")).is_none() {
        return Err(WebError::NotFound(format!("There is no export {name}.")));
    }
    let is_shown = take_format_type(&mut pairs)?;
    // A form of the original sends its empty fields, too.
    pairs.retain(|(_, value)| !value.is_empty());
    pairs.push(("format".to_owned(), "csv".to_owned()));
    let mut response = api::export::export(state, version, headers, Query(pairs)).await?;
    if is_shown {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    }
    Ok(response)
}

/// Whether the file is shown; it is saved when nothing else is asked for.
fn take_format_type(pairs: &mut Vec<(String, String)>) -> Result<bool, InvalidParameter> {
    let Some(place) = pairs.iter().position(|(name, _)| name == FORMAT_TYPE) else { return Ok(false) };
    match pairs.remove(place).1.as_str() {
        "inline" => Ok(true),
        "attach" | "" => Ok(false),
        _ => Err(InvalidParameter::new(FORMAT_TYPE, "must be inline or attach")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::records::PAGE_ROWS;

    #[test]
    fn numbers_lead_as_far_as_one_question_of_the_store_does() {
        assert_eq!((last_page(PAGE_ROWS), last_page(1), last_page(1_000)), (201, 10_001, 11));
        assert!((1..=1_000).all(|rows| (last_page(rows) - 1) * rows <= PAGE_RECORDS_MAX));
    }

    #[test]
    fn a_file_is_saved_unless_it_is_to_be_shown() {
        let read = |query: &str| {
            let mut pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            take_format_type(&mut pairs).map(|shown| (shown, pairs.len())).map_err(|error| error.name)
        };
        assert_eq!((read("build=1"), read("build=1&format_type=inline")), (Ok((false, 1)), Ok((true, 1))));
        assert_eq!((read("format_type=attach"), read("format_type=x")), (Ok((false, 0)), Err(FORMAT_TYPE.to_owned())));
    }
}
