//! Pages of records, newest first; one record; how many there are.

use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{col, lit};
use telemetrics_schema::batch::from_batch;
use telemetrics_schema::{Record, RecordId};

use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// Most records of one page.
pub const PAGE_RECORDS_MAX: usize = 10_000;

/// Where a page begins, as an opaque text in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// The records before this one.
    OlderThan(RecordId),
    /// The records behind this one.
    NewerThan(RecordId),
}

impl Cursor {
    /// Reads what [`std::fmt::Display`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, digits) = text.split_at_checked(1)?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let id = RecordId(digits.parse().ok()?);
        match kind {
            "o" => Some(Self::OlderThan(id)),
            "n" => Some(Self::NewerThan(id)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OlderThan(id) => write!(f, "o{id}"),
            Self::NewerThan(id) => write!(f, "n{id}"),
        }
    }
}

/// Which page of the records that pass a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many records, 1 to [`PAGE_RECORDS_MAX`].
    pub limit: usize,
    /// Where it begins; `None` for the newest records.
    pub cursor: Option<Cursor>,
}

/// One page of records, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The records, at most as many as asked for.
    pub records: Vec<Record>,
    /// The next page, when there are older records.
    pub older: Option<Cursor>,
    /// The page before, when this is not the newest one.
    pub newer: Option<Cursor>,
}

/// One page of the records that pass `filter`.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn page(view: &View, filter: &RecordFilter, request: &PageRequest) -> Result<Page, Error> {
    let mut rows = filtered(view, filter)?;
    if let Some(cursor) = request.cursor {
        rows = rows.filter(match cursor {
            Cursor::OlderThan(id) => col("id").lt(lit(id.0)),
            Cursor::NewerThan(id) => col("id").gt(lit(id.0)),
        })?;
    }
    let upwards = matches!(request.cursor, Some(Cursor::NewerThan(_)));
    // One more than asked for tells whether there is another page.
    let rows = rows.sort(vec![col("id").sort(upwards, false)])?.limit(0, Some(request.limit + 1))?;
    let mut records = collect(rows).await?;
    let has_more = records.len() > request.limit;
    records.truncate(request.limit);
    if upwards {
        records.reverse();
    }
    Ok(with_neighbours(records, request.cursor, has_more))
}

fn with_neighbours(records: Vec<Record>, cursor: Option<Cursor>, has_more: bool) -> Page {
    let first = records.first().map(|record| Cursor::NewerThan(record.id));
    let last = records.last().map(|record| Cursor::OlderThan(record.id));
    let (older, newer) = match cursor {
        None => (last.filter(|_| has_more), None),
        Some(Cursor::OlderThan(_)) => (last.filter(|_| has_more), first),
        // The page that led here is older.
        Some(Cursor::NewerThan(_)) => (last, first.filter(|_| has_more)),
    };
    Page { records, older, newer }
}

/// How many records pass `filter`.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn count(view: &View, filter: &RecordFilter) -> Result<u64, Error> {
    Ok(filtered(view, filter)?.count().await? as u64)
}

/// The record with this identifier, when there is one.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn one(view: &View, id: RecordId) -> Result<Option<Record>, Error> {
    let rows = view.records()?.filter(col("id").eq(lit(id.0)))?.limit(0, Some(1))?;
    Ok(collect(rows).await?.pop())
}

fn filtered(view: &View, filter: &RecordFilter) -> Result<DataFrame, Error> {
    let records = view.records()?;
    Ok(match filter.predicate() {
        Some(predicate) => records.filter(predicate)?,
        None => records,
    })
}

async fn collect(rows: DataFrame) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    for batch in rows.collect().await? {
        records.extend(from_batch(&batch)?);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_wrote() {
        for cursor in [Cursor::OlderThan(RecordId(7)), Cursor::NewerThan(RecordId::MAX)] {
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        for wrong in ["", "o", "x1", "o-1", "o+1", "o1.5", "ö1", "o99999999999999999999"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}
