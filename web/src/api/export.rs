//! `GET /api/export`: all records that pass filters, as a file of any size.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Version, header};
use axum::response::Response;
use chrono::DateTime;
use telemetrics_analytics::questions::records;
use telemetrics_schema::TimestampUs;

use super::params::export_query;
use super::with_pending;
use crate::error::WebError;
use crate::formats::{self, Choice, Form, Format};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// The formats of an export; the first one is the default.
pub const FORMATS: [Format; 4] = [Format::Parquet, Format::Arrow, Format::Csv, Format::Ndjson];

/// Answers all records that pass the filters, in no order, however many they are.
///
/// # Errors
/// 400 names the parameter that cannot be used, 503 when too many exports run.
#[utoipa::path(
    get,
    path = "/api/export",
    operation_id = "export",
    summary = "All records as a file",
    tag = "exports",
    params(
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::FieldsOf,
        parameters::FormatOfExport,
    ),
    responses((status = 200, description = "All records that pass, in no order, broken off visibly where it fails.", content((Vec<u8> = "application/vnd.apache.parquet"), (Vec<u8> = "application/vnd.apache.arrow.stream"), (String = "text/csv"), (String = "application/x-ndjson"))), answers::Refused),
)]
pub async fn export(
    State(state): State<AppState>,
    version: Version,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    // Parameters are checked before the export waits for its turn; what it shows is what there is then.
    export_query(&pairs, state.clock.now())?;
    let slot = state.workers.slot().await?;
    let now = state.clock.now();
    let query = export_query(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let choice = Choice::of(query.format, &FORMATS, &headers);
    let fields = query.fields.unwrap_or(choice.format.fields());
    let form = Form { choice, fields: Some(fields), version };
    let rows = records::all(&asked.view, &query.filter, fields)?;
    let mut response = formats::answer(&state.workers, rows, form, Some(slot)).await?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment(form.choice.format, now)?);
    Ok(with_pending(response, asked.pending))
}

/// Under which name a browser saves the file.
fn attachment(format: Format, now: TimestampUs) -> Result<HeaderValue, WebError> {
    let time = DateTime::from_timestamp_micros(now.0).map(|time| time.format("-%Y%m%dT%H%M%SZ").to_string());
    let name = format!("attachment; filename=\"records{}.{}\"", time.unwrap_or_default(), format.name());
    HeaderValue::try_from(name).map_err(|_| WebError::Impossible("the file has no name".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_time_and_format() {
        let name = attachment(Format::Csv, TimestampUs::from_s(1_795_342_080)).expect("a name");
        assert_eq!(name, "attachment; filename=\"records-20261122T100800Z.csv\"");
    }
}
