//! The ClickHouse store: bulk inserts of sealed batches, and the question which of them a server has.

mod claim;
mod connection;
mod expiry;
mod reparse;
mod setup;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use clickhouse_ext_arrow::ArrowClientExt;
use telemetrics_schema::attributes::{NoParsers, Parsers};
use telemetrics_schema::batch::parsed_batch;
use telemetrics_schema::columns::RECORDS;
use telemetrics_schema::layout::date_text;
use telemetrics_schema::retention::{PolicyInForce, RetentionPolicy, Subject};
use telemetrics_schema::{CollectorNumber, Record, Report, TimestampUs};

use super::{Holding, StoreError};
use crate::drain::Batch;
use claim::Claim;
pub use connection::ClickHouseTarget;
use connection::{Connection, Failure};
pub use reparse::{Change, Reparse};
pub use setup::{Migrated, Receiving, SetupError};

/// Codes of ClickHouse that speak of the rows and not of the server: sending the same rows again cannot help.
/// 6, 26, 27, 33, 117, 130, 131: unreadable data; 53, 70, 349: a value that its column cannot hold; 469: a constraint.
const REFUSALS: [u32; 11] = [6, 26, 27, 33, 53, 70, 117, 130, 131, 349, 469];

/// The writer into one ClickHouse table.
pub struct ClickHouseStore {
    connection: Connection,
    policy: PolicyInForce,
    claim: Option<Claim>,
    parsers: Arc<dyn Parsers>,
}

impl ClickHouseStore {
    /// A writer for `target`; nothing is asked of the server yet, so that records are accepted while it is away.
    #[must_use]
    pub fn new(target: &ClickHouseTarget, policy: RetentionPolicy) -> Self {
        Self { connection: Connection::new(target), policy: policy.into(), claim: None, parsers: Arc::new(NoParsers) }
    }

    /// The same writer, which takes the collector's number in the database before it writes. `file`, in the data
    /// directory, keeps what tells this directory from all others.
    #[must_use]
    pub fn claiming(self, number: CollectorNumber, file: PathBuf) -> Self {
        Self { claim: Some(Claim { number, file }), ..self }
    }

    /// The same writer, by a policy that may change: whoever changes it calls [`ClickHouseStore::expire`].
    #[must_use]
    pub fn following(self, policy: PolicyInForce) -> Self {
        Self { policy, ..self }
    }

    /// The same writer, which stores the attributes that these parsers make of records.
    #[must_use]
    pub fn parsed_by(self, parsers: Arc<dyn Parsers>) -> Self {
        Self { parsers, ..self }
    }

    /// Applies the migrations that the database lacks.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub async fn migrate(&self) -> Result<Migrated, SetupError> {
        setup::migrate(&self.connection).await
    }

    /// Whether the database has the schema that this program needs; changes nothing, for who only reads.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub async fn check(&self) -> Result<(), SetupError> {
        setup::check(&self.connection).await
    }

    /// Makes the database ready: migrations, the collector's number, the retention policy.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub async fn set_up(&self) -> Result<Migrated, SetupError> {
        let migrated = self.migrate_and_claim().await?;
        self.expire().await?;
        Ok(migrated)
    }

    /// Has the server delete records by the policy that holds now; changes nothing where it does already.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub async fn expire(&self) -> Result<(), SetupError> {
        expiry::apply(&self.connection, &self.policy.now()).await
    }

    /// Makes the database ready for records that were kept elsewhere: migrations and the collector's number. How long
    /// they live there stays as it is: whoever serves them says so.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub async fn receive(&self) -> Result<Receiving, SetupError> {
        self.migrate_and_claim().await?;
        setup::receiving(&self.connection).await
    }

    async fn migrate_and_claim(&self) -> Result<Migrated, SetupError> {
        let migrated = self.migrate().await?;
        if let Some(claim) = &self.claim {
            claim.take(&self.connection).await?;
        }
        Ok(migrated)
    }

    /// As [`ClickHouseStore::set_up`], for the drain, which goes on trying whatever the reason is.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        self.set_up().await.map(drop).map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    pub(super) async fn insert(&self, batch: &Batch) -> Result<(), StoreError> {
        let records: Vec<&Record> = batch.records().iter().map(AsRef::as_ref).collect();
        let rows = parsed_batch(&records, self.parsers.as_ref()).map_err(unavailable)?;
        let rows = plain_strings(&rows)?;
        let client = self
            .connection
            .client()
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
        Ok(self.connection.limited(insert).await?)
    }

    pub(super) async fn holding(&self, batch: &Batch) -> Result<Holding, StoreError> {
        // Identifiers of other collectors lie between ours, so the collector's six bits are asked for as well. A batch
        // has one collector, unless it comes from a store that outlived a change of the number.
        let collectors: BTreeSet<i64> = batch.records().iter().map(|record| record.id.collector()).collect();
        let collectors: Vec<String> = collectors.iter().map(i64::to_string).collect();
        let sql = format!(
            "SELECT id FROM `{RECORDS}` WHERE toDate(ts_reception) = '{}' AND id BETWEEN {} AND {} \
             AND bitAnd(bitShiftRight(id, 6), 63) IN ({})",
            date_text(batch.day()),
            batch.first(),
            batch.last(),
            collectors.join(","),
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

    /// What is expired counts as there: the server has deleted it or is about to, and no view shows it.
    async fn held(&self, batch: &Batch, sql: &str) -> Result<Holding, StoreError> {
        let there: HashSet<i64> = self.connection.fetch(sql).await?.into_iter().collect();
        let policy = self.policy.now();
        if policy.is_off() || batch.records().iter().all(|record| there.contains(&record.id.0)) {
            return Ok(held_of(batch, |record| there.contains(&record.id.0)));
        }
        // The server's clock, because it deletes by it; and asked behind the records, because what it had deleted by
        // then was expired by then.
        let now = self.server_time().await?;
        Ok(held_of(batch, |record| there.contains(&record.id.0) || is_expired(record, &policy, now)))
    }

    async fn server_time(&self) -> Result<TimestampUs, StoreError> {
        let now: Vec<i64> = self.connection.fetch("SELECT toUnixTimestamp64Micro(now64(6))").await?;
        now.first().copied().map(TimestampUs).ok_or_else(|| unavailable("no answer to the question for the time"))
    }
}

fn is_expired(record: &Record, policy: &RetentionPolicy, now: TimestampUs) -> bool {
    let Report { classification, severity, machine_id, .. } = &record.report;
    let subject = Subject { classification, severity: *severity, machine_id };
    policy.last_seen(&subject, record.ts_reception).is_some_and(|last| last < now)
}

/// What of the batch is there. Others may lie between its records: those that were replayed meanwhile.
fn held_of(batch: &Batch, is_there: impl Fn(&Record) -> bool) -> Holding {
    let held: Vec<i64> = batch.records().iter().filter(|record| is_there(record)).map(|record| record.id.0).collect();
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

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { code: Some(code), .. } if REFUSALS.contains(&code) => Self::Refused(failure.to_string()),
            _ => Self::Unavailable(failure.to_string()),
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("ClickHouse: {error}"))
}

#[cfg(test)]
mod tests {
    use clickhouse::error::Error;
    use telemetrics_schema::RecordId;
    use telemetrics_schema::retention::{Matcher, RetentionRule};
    use telemetrics_schema::time::US_PER_DAY;

    use super::*;

    fn record(id: i64) -> Record {
        Record { id: RecordId(id), ts_reception: TimestampUs(0), report: Report::default() }
    }

    #[test]
    fn records_of_others_between_those_of_a_batch_do_not_count_for_it() {
        let batch = Batch::of(vec![Arc::new(record(1)), Arc::new(record(5))]).expect("a batch");
        let held = |ids: &[i64]| held_of(&batch, |record| ids.contains(&record.id.0));
        assert_eq!(held(&[1, 5, 3]), Holding::All);
        assert_eq!(held(&[1, 3]), Holding::Some(vec![1]));
        assert_eq!(held(&[3]), Holding::Nothing);
    }

    #[test]
    fn a_record_is_expired_behind_the_last_instant_at_which_its_rule_shows_it() {
        let rules = vec![RetentionRule { matcher: Matcher::Severity(4), days: 0 }];
        let policy = RetentionPolicy { default_days: 2, rules };
        let kept = Record { report: Report { severity: 4, ..Report::default() }, ..record(1) };
        let last = TimestampUs(2 * US_PER_DAY);
        assert!(!is_expired(&record(1), &policy, last));
        assert!(is_expired(&record(1), &policy, TimestampUs(last.0 + 1)));
        assert!(!is_expired(&kept, &policy, TimestampUs(i64::MAX)));
    }

    #[test]
    fn only_what_speaks_of_the_rows_is_a_refusal() {
        let answer = |text: &str| StoreError::from(Failure::from(Error::BadResponse(text.into())));
        assert!(matches!(answer("Code: 469. DB::Exception: Constraint is violated"), StoreError::Refused(_)));
        assert!(matches!(answer("Code: 241. DB::Exception: Memory limit exceeded"), StoreError::Unavailable(_)));
        assert!(matches!(answer("502 Bad Gateway"), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(Failure::from(Error::TimedOut)), StoreError::Unavailable(_)));
    }
}
