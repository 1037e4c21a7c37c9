//! The ClickHouse store: bulk inserts of sealed batches, and the question which of them a server has.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use clickhouse::Client;
use clickhouse::error::Error as ClickHouseError;
use clickhouse_ext_arrow::ArrowClientExt;
use telemetrics_schema::batch::to_batch;
use telemetrics_schema::columns::RECORDS;
use telemetrics_schema::ddl::create_records_table;
use telemetrics_schema::layout::date_text;

use super::{Holding, StoreError};
use crate::drain::Batch;

/// An insert that has not been answered by then has an unknown outcome.
const INSERT_TIMEOUT: Duration = Duration::from_mins(1);

/// Codes of ClickHouse that speak of the rows and not of the server: sending the same rows again cannot help.
/// 6, 26, 27, 33, 117, 130, 131: unreadable data; 53, 70, 349: a value that its column cannot hold; 469: a constraint.
const REFUSALS: [u32; 11] = [6, 26, 27, 33, 53, 70, 117, 130, 131, 349, 469];

/// A server and what is needed to talk to it.
#[derive(Debug, Clone)]
pub struct ClickHouseTarget {
    /// Address of the HTTP interface, `http://host:8123`.
    pub url: String,
    /// Database of the table `records`; created when it is missing and may be.
    pub database: String,
    /// User name.
    pub user: String,
    /// Password, empty for none.
    pub password: String,
}

/// The writer into one ClickHouse table.
pub struct ClickHouseStore {
    client: Client,
    create_database: String,
    create_table: String,
}

impl ClickHouseStore {
    /// A writer for `target`; nothing is asked of the server yet, so that records are accepted while it is away.
    #[must_use]
    pub fn new(target: &ClickHouseTarget, retention_days: u32) -> Self {
        let client = Client::default()
            .with_url(&target.url)
            .with_user(&target.user)
            .with_password(&target.password)
            .with_database(&target.database);
        let name = target.database.replace(['`', '\\'], "");
        Self {
            client,
            create_database: format!("CREATE DATABASE IF NOT EXISTS `{name}`"),
            create_table: create_records_table(retention_days),
        }
    }

    /// Makes the database and the table where they are missing.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        // Outside of any database, because a missing one cannot be entered to be made. A user without the right to
        // create databases may still own one that exists, so this alone is no failure.
        let outside = self.client.clone().with_database("");
        let database = outside.query_raw(&self.create_database).execute().await;
        match self.client.query_raw(&self.create_table).execute().await {
            Ok(()) => Ok(()),
            Err(error) => Err(classify(&database.err().unwrap_or(error))),
        }
    }

    pub(super) async fn insert(&self, batch: &Batch) -> Result<(), StoreError> {
        let rows = to_batch(batch.records().iter().map(AsRef::as_ref)).map_err(unavailable)?;
        let rows = plain_strings(&rows)?;
        let client = self
            .client
            .clone()
            // The default collects inserts in the server's memory and answers before they are anywhere else.
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", batch.token());
        let insert = async {
            let mut insert = client.insert_arrow(RECORDS)?;
            insert.write(&rows).await?;
            insert.end().await
        };
        tokio::time::timeout(INSERT_TIMEOUT, insert).await.map_err(unavailable)?.map_err(|error| classify(&error))
    }

    pub(super) async fn holding(&self, batch: &Batch) -> Result<Holding, StoreError> {
        // Identifiers of other collectors lie between ours, so the collector's six bits are asked for as well.
        let sql = format!(
            "SELECT id FROM `{RECORDS}` WHERE toDate(ts_reception) = '{}' AND id BETWEEN {} AND {} \
             AND bitAnd(bitShiftRight(id, 6), 63) = {}",
            date_text(batch.day()),
            batch.first(),
            batch.last(),
            batch.first().collector(),
        );
        self.held(batch, &sql).await
    }

    /// What is there of a batch between whose identifiers there may be those of millions of other records.
    pub(super) async fn holding_replayed(&self, batch: &Batch) -> Result<Holding, StoreError> {
        let ids: Vec<String> = batch.records().iter().map(|record| record.id.to_string()).collect();
        let (date, ids) = (date_text(batch.day()), ids.join(","));
        let sql = format!("SELECT id FROM `{RECORDS}` WHERE toDate(ts_reception) = '{date}' AND id IN ({ids})");
        self.held(batch, &sql).await
    }

    async fn held(&self, batch: &Batch, sql: &str) -> Result<Holding, StoreError> {
        let ids: Vec<i64> = self.client.query_raw(sql).fetch_all().await.map_err(|error| classify(&error))?;
        Ok(held_of(batch, &ids))
    }
}

/// What `ids` are of the batch. Others may lie between its own: of records that were replayed meanwhile.
fn held_of(batch: &Batch, ids: &[i64]) -> Holding {
    let there: HashSet<i64> = ids.iter().copied().collect();
    let held: Vec<i64> = batch.records().iter().map(|record| record.id.0).filter(|id| there.contains(id)).collect();
    match held.len() {
        0 => Holding::Nothing,
        all if all == batch.records().len() => Holding::All,
        _ => Holding::Some(held),
    }
}

/// The server reads plain strings from an Arrow stream, the program keeps views.
fn plain_strings(batch: &RecordBatch) -> Result<RecordBatch, StoreError> {
    let schema = batch.schema();
    let fields: Vec<Field> = schema.fields().iter().map(|f| plain_field(f)).collect();
    let columns: Result<Vec<_>, _> =
        batch.columns().iter().zip(&fields).map(|(column, field)| cast(column, field.data_type())).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.map_err(unavailable)?).map_err(unavailable)
}

fn plain_field(field: &Field) -> Field {
    match field.data_type() {
        DataType::Utf8View => field.clone().with_data_type(DataType::Utf8),
        _ => field.clone(),
    }
}

fn classify(error: &ClickHouseError) -> StoreError {
    let text = format!("ClickHouse: {error}");
    match error {
        ClickHouseError::BadResponse(answer) if code(answer).is_some_and(|code| REFUSALS.contains(&code)) => {
            StoreError::Refused(text)
        }
        _ => StoreError::Unavailable(text),
    }
}

/// The number in an answer like `Code: 60. DB::Exception: ...`.
fn code(answer: &str) -> Option<u32> {
    let (_, rest) = answer.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("ClickHouse: {error}"))
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::{RecordId, TimestampUs};

    use super::*;

    #[test]
    fn records_of_others_between_those_of_a_batch_do_not_count_for_it() {
        let record = |id| {
            let report = telemetrics_schema::Report::default();
            Arc::new(telemetrics_schema::Record { id: RecordId(id), ts_reception: TimestampUs(0), report })
        };
        let batch = Batch::of(vec![record(1), record(5)]).expect("a batch");
        assert_eq!(held_of(&batch, &[1, 5, 3]), Holding::All);
        assert_eq!(held_of(&batch, &[1, 3]), Holding::Some(vec![1]));
        assert_eq!(held_of(&batch, &[3]), Holding::Nothing);
    }

    #[test]
    fn only_what_speaks_of_the_rows_is_a_refusal() {
        let answer = |text: &str| classify(&ClickHouseError::BadResponse(text.into()));
        assert!(matches!(answer("Code: 469. DB::Exception: Constraint is violated"), StoreError::Refused(_)));
        assert!(matches!(answer("Code: 241. DB::Exception: Memory limit exceeded"), StoreError::Unavailable(_)));
        assert!(matches!(answer("502 Bad Gateway"), StoreError::Unavailable(_)));
        assert!(matches!(classify(&ClickHouseError::TimedOut), StoreError::Unavailable(_)));
    }
}
