//! Records: pages in both directions, listings to their end, everything at once, single ones, and days as files.

use arrow::array::ArrayRef;
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use proptest::prelude::*;
use proptest::sample::select;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::records::{self, Cursor, PageRequest};
use telemetrics_analytics::rows::Rows;
use telemetrics_analytics::{Error, dataset};
use telemetrics_schema::RecordId;
use telemetrics_schema::answer::Fields;
use telemetrics_schema::retention::RetentionPolicy;

use super::asked::{filters, instants, policies, record_of_all};
use super::corpus::NOW;
use super::stores::Stores;

/// Pages of a listing that are read at most: the rest is more of the same.
const PAGES_MAX: usize = 5;
const FIELDS: [&str; 4] = ["id,payload", "classification,ts_capture,external", "machine_id", "severity,build,event_id"];

async fn read(rows: Rows) -> Result<RecordBatch, Error> {
    let schema = rows.schema();
    let batches: Vec<RecordBatch> = rows.open().await?.try_collect().await?;
    assert!(batches.iter().all(|batch| batch.schema() == schema), "{schema:?}");
    Ok(concat_batches(&schema, &batches)?)
}

/// The rows as lines of text, in their order.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let value = |column: &ArrayRef, row| array_value_to_string(column, row).expect("text");
    let line = |row| batch.columns().iter().map(|column| value(column, row)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pages_are_equal_in_both_directions(
        filter in filters(),
        policy in policies(),
        now in instants(),
        limit in select(&[1_usize, 2, 7, 100, 1_000][..]),
        from in record_of_all(),
    ) {
        let views = Stores::shared().views(&policy, now);
        for cursor in [None, Some(Cursor::OlderThan(from.id)), Some(Cursor::NewerThan(from.id))] {
            let mut request = PageRequest { limit, cursor };
            for _ in 0..2 {
                let question = (&filter, &request, &policy, now);
                let page = views.answer(&question, async |view| records::page(view, &filter, &request).await);
                let Some(neighbour) = page.older.or(page.newer) else { break };
                request.cursor = Some(neighbour);
            }
        }
        views.answer(&(&filter, &policy, now), async |view| records::count(view, &filter).await);
    }

    #[test]
    fn listings_are_equal_to_their_end(
        filter in filters(),
        limit in select(&[1_usize, 13, 1_000][..]),
        fields in select(&FIELDS[..]),
        policy in policies(),
    ) {
        let views = Stores::shared().views(&policy, NOW);
        let fields = Fields::parse(fields).expect("fields");
        let mut request = PageRequest { limit, cursor: None };
        for _ in 0..PAGES_MAX {
            let next = views.answer(&(&filter, &request, fields), async |view| {
                let listing = records::listing(view, &filter, &request, fields).await?;
                Ok((read(listing.rows).await?, listing.next))
            }).1;
            let Some(next) = next else { break };
            request.cursor = Some(next);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn all_records_are_equal_in_whatever_order(filter in filters(), fields in select(&FIELDS[..])) {
        let fields = Fields::parse(fields).expect("fields");
        Stores::shared().all().answer(&(&filter, fields), async |view| {
            let mut lines = lines(&read(records::all(view, &filter, fields)?).await?);
            lines.sort_unstable();
            Ok(lines)
        });
    }
}

#[test]
fn every_record_is_in_both_as_it_was_delivered() {
    let stores = Stores::shared();
    let views = stores.all();
    let filter = RecordFilter::default();
    let mut request = PageRequest { limit: records::PAGE_RECORDS_MAX, cursor: None };
    let mut expected = stores.records.iter().rev();
    loop {
        let page = views.answer(&request, async |view| records::page(view, &filter, &request).await);
        for record in page.records {
            assert_eq!(Some(&record), expected.next().map(AsRef::as_ref));
        }
        let Some(older) = page.older else { break };
        request.cursor = Some(older);
    }
    assert!(expected.next().is_none(), "all of them");
}

#[test]
fn single_records_are_equal() {
    let stores = Stores::shared();
    let views = stores.views(&RetentionPolicy::days(35), NOW);
    let there = stores.records.iter().step_by(stores.records.len() / 40).map(|record| record.id);
    for id in there.chain([RecordId(0), RecordId(1), RecordId(4), RecordId::MAX, RecordId(i64::MAX)]) {
        views.answer(&id, async |view| records::one(view, id).await);
    }
}

/// Byte for byte: the files are made by the same program of the same records.
#[test]
fn days_are_equal_as_files() {
    let stores = Stores::shared();
    let views = stores.all();
    let directory = Stores::directory();
    for day in [0, 1, NOW.day() - 6, NOW.day() - 1, NOW.day(), NOW.day() + 1] {
        let path = directory.join(format!("{day}.parquet"));
        let written =
            views.answer(&day, async |view| dataset::write(view, day, &RetentionPolicy::days(35), &path).await);
        let there = stores.records.iter().filter(|record| record.ts_reception.day() == day).count();
        assert_eq!(written.rows, there as u64, "{day}");
    }
}
