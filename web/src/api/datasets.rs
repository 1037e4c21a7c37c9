//! `/datasets/records/`: the finished days as Parquet files that other programs open by their URL.

use std::fs::File;
use std::io::SeekFrom;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use telemetrics_schema::layout::{PARTITION, day_number};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::ranges::{Wanted, wanted};
use crate::datasets::{Datasets, Version};
use crate::error::WebError;
use crate::openapi::answers;
use crate::state::AppState;

/// Where the listing is; the files are below it.
pub const DATASETS: &str = "/datasets/records/";
/// The registered type of Parquet files.
const CONTENT_TYPE: &str = "application/vnd.apache.parquet";
/// Bytes of a file that are read at a time.
const READ_BYTES: usize = 128 << 10;

#[derive(Serialize)]
struct Listing {
    files: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    date: String,
    rows: u64,
    bytes: u64,
    sha256: String,
    url: String,
}

impl From<Version> for Listed {
    fn from(version: Version) -> Self {
        let date = version.date();
        let url = format!("{DATASETS}{PARTITION}={date}/records.parquet");
        Self { date, rows: version.rows, bytes: version.bytes, sha256: version.sha256, url }
    }
}

/// Answers the list of finished days.
///
/// # Errors
/// 503 while files are being made.
#[utoipa::path(
    get,
    path = "/datasets/records/",
    operation_id = "datasets",
    summary = "Finished days",
    tag = "exports",
    responses((status = 200, description = "The files.", body = answers::Datasets), answers::Refused),
)]
pub async fn list(State(state): State<AppState>) -> Result<Response, WebError> {
    let versions = state.datasets.list(state.clock.now()).await?;
    let files = versions.into_iter().map(Listed::from).collect();
    Ok(([(header::CACHE_CONTROL, "no-cache")], Json(Listing { files })).into_response())
}

/// Answers the file of one day, or the part of it that is asked for.
///
/// # Errors
/// 404 for a day that is not finished or has no records, 503 while its file is being made.
#[utoipa::path(
    get,
    path = "/datasets/records/{partition}/records.parquet",
    operation_id = "dataset",
    summary = "The file of one day",
    tag = "exports",
    params(
        ("partition" = String, Path, description = "The day, as `date=YYYY-MM-DD`.", example = "date=2026-11-21"),
    ),
    responses((status = 200, description = "The file.", body = Vec<u8>, content_type = "application/vnd.apache.parquet"), (status = 206, description = "The part of it that the header `Range` asks for.", body = Vec<u8>, content_type = "application/vnd.apache.parquet"), (status = 304, description = "It is the one that the header `If-None-Match` names."), (status = 416, description = "It has no such part."), answers::Missing, answers::Refused),
)]
pub async fn file(
    State(state): State<AppState>,
    Path(partition): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let nothing = || WebError::NotFound("There is no file of such a day, or the day is not finished.".to_owned());
    let date = partition.strip_prefix(PARTITION).and_then(|rest| rest.strip_prefix('='));
    let day = date.and_then(day_number).ok_or_else(nothing)?;
    let (version, file) = state.datasets.open(day, state.clock.now()).await?.ok_or_else(nothing)?;
    let tag = format!("\"{}\"", version.sha256);
    let wanted = match wanted(&headers, &tag, version.bytes) {
        // Ranges are defined for GET alone.
        Wanted::Part(_) | Wanted::Nothing if method == Method::HEAD => Wanted::Whole,
        wanted => wanted,
    };
    let mut response = answer(wanted, &version, file, &state.datasets, &method).await?;
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(tag).map_err(|_| nothing())?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Whoever keeps it asks whether it is still the version of the day.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

async fn answer(
    wanted: Wanted,
    version: &Version,
    file: File,
    datasets: &Datasets,
    method: &Method,
) -> Result<Response, WebError> {
    let (length, served) = (version.bytes, datasets.served());
    let (status, part, count) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..length, &served.whole),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part, &served.parts),
        Wanted::Nothing => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
        Wanted::Unchanged => {
            served.unchanged.fetch_add(1, Relaxed);
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
        Wanted::Other => return Ok(StatusCode::PRECONDITION_FAILED.into_response()),
    };
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        count.fetch_add(1, Relaxed);
        content(file, part.clone(), datasets.clone()).await?
    };
    Ok(described(status, &part, length, body))
}

/// With what the client has to know of the body before it comes.
fn described(status: StatusCode, part: &Range<u64>, length: u64, body: Body) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size(part)));
    let range = format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1));
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) = HeaderValue::try_from(range)
    {
        headers.insert(header::CONTENT_RANGE, range);
    }
    response
}

fn size(part: &Range<u64>) -> u64 {
    part.end - part.start
}

/// Reads as fast as the client takes it. A file that is shorter than it should be aborts the answer.
async fn content(file: File, part: Range<u64>, datasets: Datasets) -> Result<Body, WebError> {
    let unreadable = |error| WebError::Unavailable(format!("A file of a day cannot be read: {error}"));
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(part.start)).await.map_err(unreadable)?;
    let rest = stream::try_unfold((file, size(&part), datasets), |(mut file, left, datasets)| async move {
        if left == 0 {
            return Ok::<_, std::io::Error>(None);
        }
        let most = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        let mut bytes = vec![0; most];
        file.read_exact(&mut bytes).await?;
        datasets.served().bytes.fetch_add(most as u64, Relaxed);
        Ok(Some((Bytes::from(bytes), (file, left - most as u64, datasets))))
    });
    Ok(Body::from_stream(rest))
}
