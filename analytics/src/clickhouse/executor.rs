//! Sends one SQL text to ClickHouse and streams its answer as Arrow batches.

use std::sync::Arc;
use std::time::Duration;

use ::clickhouse::Client;
use async_trait::async_trait;
use clickhouse_ext_arrow::{ArrowCursor, ArrowQueryExt};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::unparser::dialect::Dialect;
use datafusion_federation::sql::{LogicalOptimizer, SQLExecutor};
use futures::stream;
use telemetrics_schema::columns::{RECORDS, record_schema};

use super::dialect::ClickHouseDialect;
use super::error::ClickHouseError;
use super::{pushdown, types};

/// The side of the federation that talks to the server.
pub(super) struct Executor {
    client: Client,
    /// Tells this database from every other.
    context: String,
    silence_limit: Duration,
}

impl Executor {
    pub(super) fn new(client: Client, context: String, silence_limit: Duration) -> Self {
        Self { client, context, silence_limit }
    }
}

#[async_trait]
impl SQLExecutor for Executor {
    fn name(&self) -> &'static str {
        "clickhouse"
    }

    fn compute_context(&self) -> Option<String> {
        Some(self.context.clone())
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::new(ClickHouseDialect)
    }

    fn logical_optimizer(&self) -> Option<LogicalOptimizer> {
        Some(Box::new(pushdown::keep_what_is_allowed))
    }

    fn execute(
        &self,
        query: &str,
        schema: SchemaRef,
        _filters: &[Arc<dyn PhysicalExpr>],
    ) -> Result<SendableRecordBatchStream> {
        // Raw: a question mark in a literal is no placeholder.
        let cursor = self.client.query_raw(query).fetch_arrow().map_err(ClickHouseError::from)?;
        let answer = Answer { cursor, schema: Arc::clone(&schema), silence_limit: self.silence_limit };
        let batches = stream::try_unfold(answer, Answer::next);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    async fn table_names(&self) -> Result<Vec<String>> {
        Ok(vec![RECORDS.to_owned()])
    }

    async fn get_table_schema(&self, table_name: &str) -> Result<SchemaRef> {
        if table_name == RECORDS {
            return Ok(record_schema());
        }
        Err(DataFusionError::Plan(format!("no table {table_name}")))
    }
}

struct Answer {
    cursor: ArrowCursor,
    schema: SchemaRef,
    silence_limit: Duration,
}

impl Answer {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        let next = tokio::time::timeout(self.silence_limit, self.cursor.next());
        let batch = match next.await {
            Ok(batch) => batch.map_err(ClickHouseError::from)?,
            Err(_) => return Err(ClickHouseError::Unavailable("no data within the time limit".to_owned()).into()),
        };
        let Some(batch) = batch else { return Ok(None) };
        let batch = types::normalise(&batch, &self.schema)?;
        Ok(Some((batch, self)))
    }
}
