//! `/datasets/records/`: the finished days as Parquet files that other programs open by their URL.

use std::collections::VecDeque;
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
    responses((status = 200, description = "The file.", body = Vec<u8>, content_type = "application/vnd.apache.parquet"), (status = 206, description = "The part of it that the header `Range` asks for, or several.", content((Vec<u8> = "application/vnd.apache.parquet"), (Vec<u8> = "multipart/byteranges"))), (status = 304, description = "It is the one that the header `If-None-Match` names."), (status = 416, description = "It has no such part."), answers::Missing, answers::Refused),
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
        Wanted::Part(_) | Wanted::Parts(_) | Wanted::Nothing if method == Method::HEAD => Wanted::Whole,
        wanted => wanted,
    };
    let mut response = answer(wanted, &version, file, &state.datasets, &method);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(tag).map_err(|_| nothing())?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Whoever keeps it asks whether it is still the version of the day.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn answer(wanted: Wanted, version: &Version, file: File, datasets: &Datasets, method: &Method) -> Response {
    let (length, served) = (version.bytes, datasets.served());
    let (told, count) = match wanted {
        Wanted::Whole => (Told::whole(length), &served.whole),
        Wanted::Part(part) => (Told::part(part, length), &served.parts),
        Wanted::Parts(parts) => (Told::parts(parts, length, &version.sha256), &served.parts),
        Wanted::Nothing => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
        }
        Wanted::Unchanged => {
            served.unchanged.fetch_add(1, Relaxed);
            return StatusCode::NOT_MODIFIED.into_response();
        }
        Wanted::Other => return StatusCode::PRECONDITION_FAILED.into_response(),
    };
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        count.fetch_add(1, Relaxed);
        content(file, told.pieces, datasets.clone())
    };
    (told.status, told.headers, body).into_response()
}

/// What the client is told: the headers, and what the body consists of.
struct Told {
    status: StatusCode,
    headers: HeaderMap,
    pieces: VecDeque<Piece>,
}

/// A piece of a body.
enum Piece {
    /// These bytes of the file.
    Part(Range<u64>),
    /// What stands between parts.
    Text(Bytes),
}

impl Told {
    fn whole(length: u64) -> Self {
        Self::of(StatusCode::OK, CONTENT_TYPE, VecDeque::from([Piece::Part(0..length)]))
    }

    fn part(part: Range<u64>, length: u64) -> Self {
        let place = HeaderValue::try_from(place(&part, length));
        let mut told = Self::of(StatusCode::PARTIAL_CONTENT, CONTENT_TYPE, VecDeque::from([Piece::Part(part)]));
        told.headers.extend(place.ok().map(|place| (header::CONTENT_RANGE, place)));
        told
    }

    /// Several parts, as RFC 9110, section 14.6 writes them. No file holds its own hash, and so `hash` can be between them.
    fn parts(parts: Vec<Range<u64>>, length: u64, hash: &str) -> Self {
        let mut pieces = VecDeque::new();
        for part in parts {
            let place = place(&part, length);
            let head = format!("\r\n--{hash}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Range: {place}\r\n\r\n");
            pieces.extend([Piece::Text(head.into()), Piece::Part(part)]);
        }
        pieces.push_back(Piece::Text(format!("\r\n--{hash}--\r\n").into()));
        Self::of(StatusCode::PARTIAL_CONTENT, &format!("multipart/byteranges; boundary={hash}"), pieces)
    }

    fn of(status: StatusCode, content_type: &str, pieces: VecDeque<Piece>) -> Self {
        let length = pieces.iter().map(Piece::length).sum::<u64>();
        let mut headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(length))]);
        headers.extend(HeaderValue::from_str(content_type).ok().map(|value| (header::CONTENT_TYPE, value)));
        Self { status, headers, pieces }
    }
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Part(part) => part.end - part.start,
            Self::Text(text) => text.len() as u64,
        }
    }
}

/// Where a part is in the file, as `Content-Range` says it.
fn place(part: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1))
}

/// Reads as fast as the client takes it. A file that is shorter than it should be aborts the answer.
fn content(file: File, pieces: VecDeque<Piece>, datasets: Datasets) -> Body {
    let file = tokio::fs::File::from_std(file);
    let rest =
        stream::try_unfold((file, None, pieces, datasets), |(mut file, mut at, mut pieces, datasets)| async move {
            let bytes = match pieces.pop_front() {
                None => return Ok::<_, std::io::Error>(None),
                Some(Piece::Text(text)) => text,
                Some(Piece::Part(mut part)) => {
                    if at != Some(part.start) {
                        file.seek(SeekFrom::Start(part.start)).await?;
                    }
                    let bytes = read(&mut file, part.end - part.start).await?;
                    datasets.served().bytes.fetch_add(bytes.len() as u64, Relaxed);
                    part.start += bytes.len() as u64;
                    at = Some(part.start);
                    if part.start < part.end {
                        pieces.push_front(Piece::Part(part));
                    }
                    bytes
                }
            };
            Ok(Some((bytes, (file, at, pieces, datasets))))
        });
    Body::from_stream(rest)
}

/// Some of the next `left` bytes.
async fn read(file: &mut tokio::fs::File, left: u64) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES))];
    file.read_exact(&mut bytes).await?;
    Ok(Bytes::from(bytes))
}
