//! One snapshot of the embedded store as a table of the query engine.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use telemetrics_schema::columns::record_schema;

use super::files::DataFile;
use super::machine_filters::MachineFilters;
use super::scan::{candidates, scan};

/// See the module.
pub(super) struct SnapshotTable {
    pub(super) files: Vec<Arc<DataFile>>,
    pub(super) recent: Vec<RecordBatch>,
    pub(super) machines: Arc<MachineFilters>,
}

fn partitioned(file: &DataFile) -> PartitionedFile {
    PartitionedFile::new_from_meta(file.object.clone()).with_statistics(Arc::clone(&file.statistics))
}

impl std::fmt::Debug for SnapshotTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotTable({} files, {} recent batches)", self.files.len(), self.recent.len())
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        record_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Files are left out here; the exact filtering is put into each scan by the physical optimizer.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let recent = std::slice::from_ref(&self.recent);
        let memory = MemorySourceConfig::try_new_exec(recent, record_schema(), projection.cloned())?;
        let statistics = |file: &DataFile| Arc::clone(&file.statistics);
        let files = candidates(&self.files, statistics, &record_schema(), state, filters)?;
        let files = self.machines.candidates(files, filters).await?;
        let files = files.iter().map(|file| partitioned(file)).collect();
        match scan(files, &record_schema(), state, projection, limit)? {
            None => Ok(memory),
            Some(files) if self.recent.is_empty() => Ok(files),
            Some(files) => UnionExec::try_new(vec![memory, files]),
        }
    }
}
