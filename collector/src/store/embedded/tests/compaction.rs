//! Small files become large ones, and nobody notices but by speed.

use std::fs;

use arrow::array::AsArray;
use parquet::basic::Compression;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
use telemetrics_schema::attributes::NoParsers;
use telemetrics_schema::layout::ROLLUPS;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{CollectorNumber, RecordId};

use super::super::merge::merge;
use super::super::parquet_file;
use super::super::synced_files::SyncedFiles;
use super::super::table::Table;
use super::rig::{HOUR, NOON, Rig, batch, files_of, records_in};
use crate::store::{Holding, StoreError};

fn forever() -> Rig {
    Rig::new(RetentionPolicy::days(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_of_a_day_become_one_and_nothing_is_lost_or_doubled() {
    let rig = forever();
    let mut store = rig.open().await;
    for start in 0..5 {
        store.insert(&batch(start * 100..start * 100 + 100, NOON)).await.expect("inserted");
    }
    store.insert(&batch(500..600, NOON + US_PER_DAY)).await.expect("inserted");
    let before = rig.records().await;
    rig.maintain(&store).await;
    assert_eq!(rig.files().await.len(), 2, "{:?}", rig.files().await);
    rig.assert_sorted().await;
    let mut after = rig.records().await;
    assert_eq!(before.len(), 600);
    after.sort_by_key(|record| record.id);
    assert!(after.iter().eq(&{
        let mut sorted = before;
        sorted.sort_by_key(|record| record.id);
        sorted
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_began_before_reads_its_files_until_the_grace_period_is_over() {
    let rig = forever();
    let mut store = rig.open().await;
    store.insert(&batch(0..10, NOON)).await.expect("inserted");
    store.insert(&batch(10..20, NOON)).await.expect("inserted");
    let reader = rig.reader().await;
    let mut maintenance = rig.maintenance(&store);
    maintenance.pass().await.expect("a pass");
    assert_eq!((files_of(&reader).len(), rig.files().await.len()), (2, 1), "the old files are there");
    rig.at(NOON + i64::try_from(HOUR.as_micros()).expect("small") - 1);
    rig.maintain(&store).await;
    assert_eq!(rig.files_on_disk().len(), 3, "a microsecond is left");
    rig.at(NOON + i64::try_from(HOUR.as_micros()).expect("small"));
    maintenance.pass().await.expect("a pass");
    assert_eq!(rig.files_on_disk().into_iter().collect::<Vec<_>>(), rig.files().await);
    assert_eq!(rig.ids().await, (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_is_known_after_compaction_a_checkpoint_and_the_loss_of_the_old_log() {
    let mut rig = forever();
    rig.settings.checkpoint_commits = 3;
    let mut store = rig.open().await;
    let batches: Vec<_> = (0..6).map(|n| batch(n * 10..n * 10 + 10, NOON)).collect();
    let replayed = batch(1_000..1_010, NOON);
    store.insert_replayed(&replayed, RecordId(77)).await.expect("inserted");
    for batch in &batches {
        store.insert(batch).await.expect("inserted");
        rig.maintain(&store).await;
    }
    // The log is as old as its files; only this clock says that they are from long ago.
    rig.at(NOON + 200 * 365 * US_PER_DAY);
    rig.maintain(&store).await;
    let log: Vec<_> = fs::read_dir(rig.table().join("_delta_log")).expect("a log").collect();
    assert!(log.len() < 9, "{log:?}");
    drop(store);
    let store = rig.open().await;
    assert_eq!(store.delivered(), Some(RecordId(59)));
    for batch in &batches {
        assert_eq!(store.holding(batch).await.expect("an answer"), Holding::All);
    }
    assert_eq!(store.holding(&batch(60..70, NOON)).await.expect("an answer"), Holding::Nothing);
    assert_eq!(store.holding_replayed(RecordId(77)).await.expect("an answer"), Holding::All);
    assert_eq!(store.holding_replayed(RecordId(78)).await.expect("an answer"), Holding::Nothing);
    assert_eq!(rig.ids().await, (0..60).chain(1_000..1_010).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_goes_on_while_the_drain_commits() {
    let mut rig = forever();
    rig.settings.merge_input_bytes = 1;
    let mut store = rig.open().await;
    store.insert(&batch(0..300, NOON)).await.expect("inserted");
    store.insert(&batch(300..600, NOON)).await.expect("inserted");
    let mut maintenance = rig.maintenance(&store);
    let merging = tokio::spawn(async move { maintenance.pass().await });
    for start in 6..16 {
        store.insert(&batch(start * 100..start * 100 + 100, NOON)).await.expect("inserted");
    }
    merging.await.expect("ended").expect("a pass");
    assert_eq!(rig.ids().await, (0..1_600).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_is_cut_into_files_that_follow_each_other() {
    let mut rig = forever();
    let mut store = rig.open().await;
    for start in 0..3 {
        store.insert(&batch(start * 1_000..start * 1_000 + 1_000, NOON)).await.expect("inserted");
    }
    // So small that the row groups take more than the rows, and so large that the batches are below half of it.
    let bytes = |file: &String| fs::metadata(rig.table().join(file)).expect("a file").len();
    rig.settings.file_target_bytes = 2 * (rig.files().await.iter().map(bytes).max().expect("files") + 1);
    rig.settings.row_group_bytes = 1_000;
    rig.settings.merge_input_bytes = 20_000;
    rig.maintain(&store).await;
    let files = rig.files().await;
    assert!(files.len() > 1, "{files:?}");
    let mut keys = Vec::new();
    let mut sorted = files.clone();
    sorted.sort();
    for file in &sorted {
        keys.extend(records_in(&rig.table().join(file)).into_iter().map(|r| (r.report.classification, r.ts_reception)));
    }
    assert!(keys.is_sorted());
    rig.at(NOON + i64::try_from(HOUR.as_micros()).expect("small"));
    rig.maintain(&store).await;
    rig.assert_rollups("pieces").await;
    assert_eq!(rig.ids().await, (0..3_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_belongs_to_one_process() {
    let rig = forever();
    let store = rig.open().await;
    let second = Table::open(&rig.table(), std::sync::Arc::new(SyncedFiles::new())).await;
    assert!(matches!(second, Err(StoreError::Unavailable(reason)) if reason.contains("in use by another process")));
    drop(store);
    rig.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_goes_at_the_next_start() {
    let rig = forever();
    let mut store = rig.open().await;
    store.insert(&batch(0..10, NOON)).await.expect("inserted");
    drop(store);
    let day = rig.table().join(rig.files().await[0].split_once('/').expect("a day").0);
    let log = rig.table().join("_delta_log");
    let (day_name, old) = (day.file_name().expect("a name").to_owned(), rig.table().join("_rollups-0"));
    let rollups = rig.table().join(ROLLUPS).join(day_name);
    fs::create_dir(&old).expect("a directory");
    let left = [
        old.join("x.rollups"),
        rollups.join("rewritten-1-0.rollups"),
        rollups.join("rewritten-1-0.tmp"),
        day.join("rewritten-1-0.parquet"),
        day.join("batch-5-9.parquet"),
        log.join("1.json.3.99.tmp"),
        log.join("x#1"),
    ];
    for path in &left {
        fs::write(path, "torn").expect("written");
    }
    let store = rig.open().await;
    assert!(left.iter().all(|path| !path.exists()));
    assert!(!old.exists());
    rig.assert_rollups("a start").await;
    assert_eq!(rig.ids().await, (0..10).collect::<Vec<_>>());
    drop(store);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_written_as_questions_need_them() {
    let rig = forever();
    let mut store = rig.open().await;
    store.insert(&batch(0..100, NOON)).await.expect("inserted");
    store.insert(&batch(100..200, NOON)).await.expect("inserted");
    let (small, merged) = (rig.files().await, {
        rig.maintain(&store).await;
        rig.files().await
    });
    for path in small.iter().chain(&merged) {
        let file = fs::File::open(rig.table().join(path)).expect("a file");
        let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
        let options = ReadOptionsBuilder::new().with_reader_properties(properties).build();
        let reader = SerializedFileReader::new_with_options(file, options).expect("Parquet");
        let group = reader.metadata().row_group(0);
        assert_eq!(
            group.sorting_columns().expect("sorted").iter().map(|c| c.column_idx).collect::<Vec<_>>(),
            [3, 1, 0]
        );
        for (index, column) in group.columns().iter().enumerate() {
            let name = column.column_path().string();
            let is_compressed = matches!(column.compression(), Compression::ZSTD(_));
            assert_eq!(is_compressed, !parquet_file::NOT_COMPRESSED.contains(&&*name), "{name}");
            // The flag has two values, and no dictionary needs to say so.
            let has_dictionary = name != "external" && !parquet_file::WITHOUT_DICTIONARY.contains(&&*name);
            assert_eq!(column.dictionary_page_offset().is_some(), has_dictionary, "{name}");
            assert!(column.statistics().is_some(), "{}", column.column_path());
            let is_machine = column.column_path().string() == "machine_id";
            let bloom = reader.get_row_group(0).expect("a group").get_column_bloom_filter(index).is_some();
            assert_eq!(bloom, is_machine, "{}", column.column_path());
        }
    }
}

#[test]
fn a_merge_of_any_sizes_gives_every_row_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let sizes = [1, 8_192, 8_193, 50, 20_000];
    let mut start = 0;
    let paths: Vec<_> = sizes
        .iter()
        .map(|size| {
            let name = format!("day/{start}.parquet");
            parquet_file::write(directory.path(), &name, batch(start..start + size, NOON).records(), &NoParsers)
                .expect("written");
            start += size;
            directory.path().join(name)
        })
        .collect();
    let mut rows = Vec::new();
    merge(&paths, 100_000, &mut |batch| {
        assert!(batch.num_rows() <= 8_192);
        let classes = batch["classification"].as_string_view().clone();
        let ids = batch["id"].as_primitive::<arrow::datatypes::Int64Type>().clone();
        rows.extend((0..batch.num_rows()).map(|row| (classes.value(row).to_owned(), ids.value(row))));
        Ok(())
    })
    .expect("merged");
    assert_eq!(i64::try_from(rows.len()).expect("small"), start);
    assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_a_collector_is_its_own() {
    let rig = forever();
    let mut store = rig.open().await;
    store.insert(&batch(0..10, NOON)).await.expect("inserted");
    drop(store);
    let other = super::super::EmbeddedStore::open(&rig.table(), CollectorNumber::new(5).expect("below 64")).await;
    assert_eq!(other.expect("a table").delivered(), None);
}
