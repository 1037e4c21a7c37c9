//! Puts derived columns that were made anew into the table, while others insert into it.
//!
//! What changes goes into a table of this run alone, by identifier. One mutation of a day's partition then takes it from
//! there. It is about the parts that are there when it is asked for, and about the identifiers in that table: a record
//! that is inserted meanwhile is not touched, and none is ever taken out or put in. Whoever dies leaves a table that no
//! mutation needs, or one that a mutation still reads; a later run deletes it when it is old and no mutation names it.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, UInt8Array};
use clickhouse_ext_arrow::ArrowClientExt;
use telemetrics_schema::RecordId;
use telemetrics_schema::attributes::ATTRIBUTES;
use telemetrics_schema::columns::{RECORDS, derived_columns};
use telemetrics_schema::ddl::quoted;
use telemetrics_schema::layout::date_text;
use telemetrics_schema::migrations::create_reparse;
use telemetrics_schema::payload::Derived;
use telemetrics_schema::rollups::{Rollup, Scope};

use super::connection::Connection;
use super::{ClickHouseStore, unavailable};
use crate::store::StoreError;

/// What the names of these tables begin with.
const PREFIX: &str = "reparse_";
/// Tables that are older belong to nobody any more, in hours.
const LEFT_BEHIND_HOURS: u32 = 24;
/// Pause between two looks whether a mutation is done.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What has to be derived from a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The record.
    pub id: RecordId,
    /// What its derived columns have to hold.
    pub derived: Derived,
}

/// A run that changes derived columns.
pub struct Reparse {
    connection: Connection,
    table: String,
}

impl ClickHouseStore {
    /// Begins a run; several at once do no harm.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server cannot be asked.
    pub async fn reparse(&self) -> Result<Reparse, StoreError> {
        let connection = self.connection.with_setting("async_insert", "0").with_setting("mutations_sync", "0");
        delete_left_behind(&connection).await?;
        let drawn: Vec<String> = connection.fetch("SELECT replaceAll(toString(generateUUIDv4()), '-', '')").await?;
        let name = drawn.into_iter().next().ok_or_else(|| unavailable("no name for a table"))?;
        let table = format!("{PREFIX}{name}");
        connection.execute(&create_reparse(&table)).await?;
        Ok(Reparse { connection, table })
    }
}

impl Reparse {
    /// Changes records that were received on `day`, counted from 1970-01-01; when it returns, they are changed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the same may be asked for again.
    pub async fn change(&self, day: i32, changes: &[Change]) -> Result<(), StoreError> {
        self.connection.execute(&format!("TRUNCATE TABLE `{}`", self.table)).await?;
        let rows = rows(changes)?;
        let insert = async {
            let mut insert = self.connection.client().insert_arrow(&self.table)?;
            insert.write(&rows).await?;
            insert.end().await
        };
        self.connection.limited(insert).await?;
        self.connection.execute(&self.mutation(day)).await?;
        self.until_done().await
    }

    fn mutation(&self, day: i32) -> String {
        let source = quoted(&format!("{}.{}", self.connection.database(), self.table));
        let value = |column: &str| format!("joinGet({source}, '{column}', id)");
        let columns = derived_columns().iter().map(|column| format!("`{0}` = {1}", column.name, value(column.name)));
        let columns = columns.collect::<Vec<_>>().join(", ");
        format!(
            "ALTER TABLE `{RECORDS}` UPDATE {columns} IN PARTITION '{}' WHERE {} = 1",
            date_text(day),
            value("known")
        )
    }

    /// Makes what rollups lack that were not there when the first stacks were found, and leaves nothing behind.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: what was changed stays changed.
    pub async fn end(self) -> Result<(), StoreError> {
        let of_stacks = Rollup::ALL.into_iter().filter(|rollup| rollup.scope() == Scope::Stacks);
        let made = of_stacks.map(|rollup| format!("MATERIALIZE PROJECTION `{}`", rollup.name()));
        let made = made.collect::<Vec<_>>().join(", ");
        self.connection.execute(&format!("ALTER TABLE `{RECORDS}` {made}")).await?;
        self.connection.execute(&format!("DROP TABLE `{}`", self.table)).await?;
        Ok(())
    }

    /// Waits until no mutation names the table.
    async fn until_done(&self) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT latest_fail_reason FROM system.mutations WHERE database = currentDatabase() AND table = '{RECORDS}' \
             AND NOT is_done AND position(command, '{}') > 0",
            self.table
        );
        loop {
            let open: Vec<String> = self.connection.fetch(&sql).await?;
            match open.first() {
                None => return Ok(()),
                Some(reason) if !reason.is_empty() => return Err(unavailable(reason)),
                Some(_) => tokio::time::sleep(LOOK_PAUSE).await,
            }
        }
    }
}

/// Deletes tables of runs that died long ago. One that a mutation still names is left: the mutation could never end.
async fn delete_left_behind(connection: &Connection) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, '{PREFIX}') \
         AND metadata_modification_time < now() - INTERVAL {LEFT_BEHIND_HOURS} HOUR AND NOT arrayExists(\
         command -> position(command, name) > 0, (SELECT groupArray(command) FROM system.mutations \
         WHERE database = currentDatabase() AND NOT is_done))"
    );
    let tables: Vec<String> = connection.fetch(&sql).await?;
    for table in tables {
        connection.execute(&format!("DROP TABLE IF EXISTS `{table}`")).await?;
    }
    Ok(())
}

fn rows(changes: &[Change]) -> Result<RecordBatch, StoreError> {
    let numbers = |of: fn(&Change) -> i64| Arc::new(Int64Array::from_iter_values(changes.iter().map(of))) as ArrayRef;
    let texts = |of: fn(&Change) -> &str| Arc::new(StringArray::from_iter_values(changes.iter().map(of))) as ArrayRef;
    let signals = Int32Array::from_iter_values(changes.iter().map(|change| change.derived.signal));
    let columns = [
        ("id", numbers(|change| change.id.0)),
        ("stack_id", numbers(|change| change.derived.stack_id)),
        ("process", texts(|change| &change.derived.process)),
        ("signal", Arc::new(signals)),
        ("reason", texts(|change| &change.derived.reason)),
        (ATTRIBUTES, texts(|change| &change.derived.attributes)),
        ("known", Arc::new(UInt8Array::from(vec![1; changes.len()]))),
    ];
    RecordBatch::try_from_iter(columns).map_err(unavailable)
}
