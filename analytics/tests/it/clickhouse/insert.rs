//! A batch with the columns of records goes into ClickHouse as it is, once.

use clickhouse_ext_arrow::ArrowClientExt;
use telemetrics_schema::batch::{from_batch, to_batch};
use telemetrics_schema::columns::RECORDS;
use telemetrics_testkit::ClickHouse;

use super::{Remote, answer, database_with_table, records, writing_client};

#[tokio::test]
async fn records_come_back_as_they_went_in() {
    let records = records();
    let remote = Remote::with(&records).await;
    let batches = answer(&remote.session, "SELECT * FROM records ORDER BY id").await.expect("rows");
    let back: Vec<_> = batches.iter().flat_map(|batch| from_batch(batch).expect("records")).collect();
    assert_eq!(back, records);
}

#[tokio::test]
async fn a_batch_that_is_sent_again_with_its_token_is_there_once() {
    let database = database_with_table();
    // One day, one partition: the token is that of one block.
    let batch = to_batch(&records()[..10]).expect("a batch");
    for _ in 0..2 {
        let client = writing_client(&database).with_setting("insert_deduplication_token", "1000-1009");
        let mut insert = client.insert_arrow(RECORDS).expect("an insert");
        insert.write(&batch).await.expect("written");
        insert.end().await.expect("inserted");
    }
    assert_eq!(ClickHouse::shared().query(&format!("SELECT count() FROM {database}.records")), "10\n");
}
