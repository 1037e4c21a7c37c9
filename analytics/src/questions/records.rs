//! Records: pages of them, newest first; all of them; one; how many there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{col, lit};
use futures::FutureExt as _;
use telemetrics_schema::answer::{Fields, Key};
use telemetrics_schema::batch::from_batch;
use telemetrics_schema::columns::{COLUMNS, record_schema};
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{Record, RecordId, TimestampUs};

use super::cursor::CYCLE;
pub use super::cursor::{Cursor, Seen};
use super::near::{Reach, is_of_all};
use super::source;
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::rows::{Held, Rows};
use crate::view::View;

/// How far back collectors are asked for their last record, in microseconds. What one of them delivers that is older
/// than that counts as having been there.
const SEEN_WINDOW_US: i64 = US_PER_DAY;
/// Most records of one page.
pub const PAGE_RECORDS_MAX: usize = 10_000;

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

/// One page of records as rows, newest first.
pub struct Listing {
    /// The records with the selected columns, at most as many as asked for.
    pub rows: Rows,
    /// The next page, when there are older records. It leads only to what there is now.
    pub next: Option<Cursor>,
}

/// One page of the records that pass `filter`.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn page(view: &View, filter: &RecordFilter, request: &PageRequest) -> Result<Page, Error> {
    let (held, has_more) = read_page(view, filter, request, Fields::all()).await?;
    let mut records = Vec::new();
    for batch in &held.batches {
        records.extend(from_batch(batch)?);
    }
    Ok(with_neighbours(records, request.cursor.as_ref(), has_more))
}

/// One page of the records that pass `filter`, with the columns of `fields`, for readers that go on until the last page
/// and want each record that there is now once.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn listing(
    view: &View,
    filter: &RecordFilter,
    request: &PageRequest,
    fields: Fields,
) -> Result<Listing, Error> {
    let ((mut held, has_more), early) =
        tokio::try_join!(read_page(view, filter, request, fields), seen_early(view, filter, request))?;
    let next = match held.batches.last().map(last_id).transpose()? {
        // The page that led to one upwards is older.
        Some(older_than) if has_more || is_upwards(request) => {
            let seen = match early {
                Some(seen) if has_all(&seen, &held.batches)? => seen,
                _ => seen(view, request).await?,
            };
            Some(Cursor::Remaining { older_than, seen })
        }
        _ => None,
    };
    let columns = columns_of(fields);
    for batch in &mut held.batches {
        let indices: Vec<usize> = columns.iter().filter_map(|name| batch.schema().index_of(name).ok()).collect();
        *batch = batch.project(&indices)?;
    }
    let schema = Arc::new(record_schema().project(&places(&columns))?);
    Ok(Listing { rows: Rows::held(schema, held), next })
}

/// All records that pass `filter` with the columns of `fields`, in no order: sorting them would take memory or disk, and
/// each carries its times and its identifier.
///
/// # Errors
/// As the store's: see [`Error`].
pub fn all(view: &View, filter: &RecordFilter, fields: Fields) -> Result<Rows, Error> {
    Ok(Rows::of(all_plan(view, filter, fields)?))
}

/// The plan of [`all`].
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn all_plan(view: &View, filter: &RecordFilter, fields: Fields) -> Result<DataFrame, Error> {
    let records = restrict(view.bulk_records()?, filter)?;
    Ok(records.select_columns(&columns_of(fields))?)
}

/// The columns of `fields` in the order of the table.
fn columns_of(fields: Fields) -> Vec<&'static str> {
    let is_selected = |name: &str| fields.keys().any(|key| key.column() == name);
    COLUMNS.iter().map(|column| column.name).filter(|name| is_selected(name)).collect()
}

/// Where the columns with these names are in the table.
fn places(names: &[&str]) -> Vec<usize> {
    names.iter().filter_map(|name| COLUMNS.iter().position(|column| column.name == *name)).collect()
}

/// The rows of a page, newest first, and whether there are more behind them. `id` is always among the columns.
async fn read_page(
    view: &View,
    filter: &RecordFilter,
    request: &PageRequest,
    fields: Fields,
) -> Result<(Held, bool), Error> {
    let mut reach = first_reach(view, filter, request);
    let mut held = loop {
        let plan = plan_within(view, filter, request, fields, reach)?;
        let memory = view.memory();
        let held = view.in_turn(|| Held::read(plan.clone(), Arc::clone(memory)).boxed()).await?;
        let rows: usize = held.batches.iter().map(RecordBatch::num_rows).sum();
        if rows > request.limit || reach == Reach::All {
            break held;
        }
        reach = reach.farther(rows, request.limit + 1, view.lately());
    };
    let has_more = cut(&mut held.batches, request.limit);
    if is_upwards(request) {
        reverse(&mut held.batches)?;
    } else if is_of_all(filter) {
        note_lately(view, &held.batches)?;
    }
    Ok((held, has_more))
}

fn first_reach(view: &View, filter: &RecordFilter, request: &PageRequest) -> Reach {
    Reach::first(filter, request.cursor.as_ref(), view.now(), request.limit + 1, view.lately())
}

/// Remembers what a page of all records shows of the newest ones.
fn note_lately(view: &View, batches: &[RecordBatch]) -> Result<(), Error> {
    if let (Some(first), Some(last)) = (batches.first(), batches.last()) {
        let records = batches.iter().map(RecordBatch::num_rows).sum();
        let newest = ids(first)?.values().first().map_or(RecordId(0), |id| RecordId(*id));
        view.lately().note(records, last_id(last)?.given_out_at(), newest.given_out_at());
    }
    Ok(())
}

fn is_upwards(request: &PageRequest) -> bool {
    request.cursor.as_ref().is_some_and(Cursor::is_upwards)
}

/// The plan of [`page`] and [`listing`] where it looks at all records: the rows from the cursor on, in its direction, one
/// more than asked for when there are more.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn page_plan(
    view: &View,
    filter: &RecordFilter,
    request: &PageRequest,
    fields: Fields,
) -> Result<DataFrame, Error> {
    plan_within(view, filter, request, fields, Reach::All)
}

/// The plan of the first attempt at a page, which looks at the newest records alone where that is likely to be enough;
/// later ones look farther back, the last one as [`page_plan`] does.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn near_page_plan(
    view: &View,
    filter: &RecordFilter,
    request: &PageRequest,
    fields: Fields,
) -> Result<DataFrame, Error> {
    plan_within(view, filter, request, fields, first_reach(view, filter, request))
}

fn plan_within(
    view: &View,
    filter: &RecordFilter,
    request: &PageRequest,
    fields: Fields,
    reach: Reach,
) -> Result<DataFrame, Error> {
    let mut rows = filtered(view, filter)?;
    let begin = request.cursor.as_ref().map(Cursor::predicate);
    for condition in [begin, reach.predicate()].into_iter().flatten() {
        rows = rows.filter(condition)?;
    }
    let mut columns = columns_of(fields);
    if !fields.has(Key::Id) {
        columns.insert(0, Key::Id.column());
    }
    let rows = rows.select_columns(&columns)?;
    Ok(rows.sort(vec![col("id").sort(is_upwards(request), false)])?.limit(0, Some(request.limit + 1))?)
}

/// Leaves the first `limit` rows; whether there were more.
fn cut(batches: &mut Vec<RecordBatch>, limit: usize) -> bool {
    let mut rest = limit;
    let mut has_more = false;
    for batch in batches.iter_mut() {
        has_more |= batch.num_rows() > rest;
        *batch = batch.slice(0, batch.num_rows().min(rest));
        rest -= batch.num_rows();
    }
    batches.retain(|batch| batch.num_rows() > 0);
    has_more
}

fn reverse(batches: &mut [RecordBatch]) -> Result<(), Error> {
    batches.reverse();
    for batch in batches {
        let backwards: UInt64Array = (0..batch.num_rows() as u64).rev().collect();
        *batch = take_record_batch(batch, &backwards)?;
    }
    Ok(())
}

fn last_id(batch: &RecordBatch) -> Result<RecordId, Error> {
    let ids = ids(batch)?.values();
    ids.last().map(|id| RecordId(*id)).ok_or_else(|| Error::Internal("an empty batch".to_owned()))
}

fn ids(batch: &RecordBatch) -> Result<&Int64Array, Error> {
    let ids = batch.column_by_name("id").and_then(|column| column.as_primitive_opt());
    ids.ok_or_else(|| Error::Internal("records without identifiers".to_owned()))
}

/// What there was at the first page, which is now when it is not known.
async fn seen(view: &View, request: &PageRequest) -> Result<Seen, Error> {
    match &request.cursor {
        Some(Cursor::Remaining { seen, .. }) => Ok(seen.clone()),
        _ => seen_now(view).await,
    }
}

/// The same for a page that is likely to have a next one, asked for while the page is read.
async fn seen_early(view: &View, filter: &RecordFilter, request: &PageRequest) -> Result<Option<Seen>, Error> {
    match first_reach(view, filter, request) {
        Reach::Near { .. } => seen(view, request).await.map(Some),
        Reach::All => Ok(None),
    }
}

/// Whether all rows were there: a server that takes records may show some that came between two questions, and then what
/// came with them would be on no page.
fn has_all(seen: &Seen, batches: &[RecordBatch]) -> Result<bool, Error> {
    for batch in batches {
        if !ids(batch)?.values().iter().all(|id| seen.has(RecordId(*id))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The last identifier of each collector that is heard of.
async fn seen_now(view: &View) -> Result<Seen, Error> {
    let from = seen_from(view);
    let mut last: BTreeMap<i64, RecordId> = BTreeMap::new();
    for batch in view.collect(seen_plan(view)?).await? {
        for id in ids(&batch)?.values().iter().map(|id| RecordId(*id)) {
            let of_collector = last.entry(id.collector()).or_insert(id);
            *of_collector = id.max(*of_collector);
        }
    }
    Ok(Seen::new(from, last.into_values().collect()))
}

fn seen_from(view: &View) -> RecordId {
    RecordId::first_at(TimestampUs(view.now().0 - SEEN_WINDOW_US))
}

/// The plan behind the first cursor of [`listing`]: the last identifier of each place in the collectors' sequences.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn seen_plan(view: &View) -> Result<DataFrame, Error> {
    let newest = view.records()?.filter(col("id").gt_eq(lit(seen_from(view).0)))?;
    // Places in sequences instead of collectors: the rest of a division is what every store computes equally.
    Ok(newest.aggregate(vec![(col("id") % lit(CYCLE)).alias("place")], vec![max(col("id")).alias("id")])?)
}

fn with_neighbours(records: Vec<Record>, cursor: Option<&Cursor>, has_more: bool) -> Page {
    let first = records.first().map(|record| Cursor::NewerThan(record.id));
    let last = records.last().map(|record| Cursor::OlderThan(record.id));
    let (older, newer) = match cursor {
        None => (last.filter(|_| has_more), None),
        Some(Cursor::OlderThan(_) | Cursor::Remaining { .. }) => (last.filter(|_| has_more), first),
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
    let counted = view.collect(count_plan(view, filter)?).await?;
    let number = counted.first().and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>());
    let number = number.filter(|number| !number.is_empty());
    // The sum of no rows is NULL.
    let number = number.map(|number| if number.is_null(0) { 0 } else { number.value(0) });
    number
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| Error::Internal("a count without a number".to_owned()))
}

/// The plan of [`count`]; of no records it may give NULL.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn count_plan(view: &View, filter: &RecordFilter) -> Result<DataFrame, Error> {
    let source = source::all_counted(view, filter)?;
    Ok(source.rows.aggregate(vec![], vec![source.records])?)
}

/// The record with this identifier, when there is one.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn one(view: &View, id: RecordId) -> Result<Option<Record>, Error> {
    for batch in view.collect(one_plan(view, id)?).await? {
        if let Some(record) = from_batch(&batch)?.pop() {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// The plan of [`one`].
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn one_plan(view: &View, id: RecordId) -> Result<DataFrame, Error> {
    let records = view.records()?.filter(col("id").eq(lit(id.0)))?;
    Ok(records.select_columns(&columns_of(Fields::all()))?.limit(0, Some(1))?)
}

fn filtered(view: &View, filter: &RecordFilter) -> Result<DataFrame, Error> {
    restrict(view.records()?, filter)
}

fn restrict(records: DataFrame, filter: &RecordFilter) -> Result<DataFrame, Error> {
    Ok(match filter.predicate() {
        Some(predicate) => records.filter(predicate)?,
        None => records,
    })
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::batch::to_batch;
    use telemetrics_schema::columns::reported;
    use telemetrics_schema::{Record, Report};

    use super::*;

    fn batch(ids: &[i64]) -> RecordBatch {
        let record = |id: &i64| Record { id: RecordId(*id), ts_reception: TimestampUs(0), report: Report::default() };
        to_batch(&ids.iter().map(record).collect::<Vec<_>>()).expect("a batch")
    }

    fn all_ids(batches: &[RecordBatch]) -> Vec<i64> {
        batches.iter().flat_map(|batch| ids(batch).expect("ids").values().to_vec()).collect()
    }

    #[test]
    fn a_page_is_cut_where_it_ends() {
        for (limit, left, has_more) in [
            (1, &[1_i64][..], true),
            (2, &[1, 2], true),
            (3, &[1, 2, 3], true),
            (4, &[1, 2, 3, 4], false),
            (5, &[1, 2, 3, 4], false),
        ] {
            let mut batches = vec![batch(&[1, 2]), batch(&[3]), batch(&[4])];
            assert_eq!(cut(&mut batches, limit), has_more, "{limit}");
            assert_eq!(all_ids(&batches), left, "{limit}");
            assert!(batches.iter().all(|batch| batch.num_rows() > 0));
        }
    }

    #[test]
    fn upwards_is_the_other_way_round() {
        let mut batches = vec![batch(&[1, 2]), batch(&[3])];
        reverse(&mut batches).expect("rows");
        assert_eq!(all_ids(&batches), [3, 2, 1]);
    }

    #[test]
    fn columns_are_in_the_order_of_the_table() {
        let columns = columns_of(Fields::parse("payload,machine_type,id").expect("fields"));
        assert_eq!(columns, ["id", "host_type", "payload"]);
        assert_eq!(columns_of(Fields::with_derived()), COLUMNS.map(|column| column.name));
        assert!(reported().iter().map(|column| column.name).eq(columns_of(Fields::all())));
        assert_eq!(places(&columns), [0, 10, 18]);
    }
}
