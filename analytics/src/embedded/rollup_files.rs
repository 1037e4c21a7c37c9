//! The rollup files of one snapshot as tables of the query engine: of all rollups as they are read, or of one of those that
//! stay in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use telemetrics_schema::rollups::{Rollup, file_schema};

use super::files::DataFile;
use super::held_rollups::{HeldRollups, Wanted, schema_of};
use super::scan::{candidates, scan};

/// See the module.
pub(super) struct RollupFiles {
    /// The data files of the snapshot that have rollup files.
    files: Vec<Arc<DataFile>>,
}

impl RollupFiles {
    pub(super) fn new(files: Vec<Arc<DataFile>>) -> Self {
        Self { files }
    }
}

impl std::fmt::Debug for RollupFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RollupFiles({} files)", self.files.len())
    }
}

#[async_trait]
impl TableProvider for RollupFiles {
    fn schema(&self) -> SchemaRef {
        file_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // As for the records: files are left out here, rows in the scan.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = file_schema();
        let bounds = |file: &DataFile| Arc::clone(&file.rollup_bounds);
        let files = candidates(&self.files, bounds, &schema, state, filters)?;
        let files =
            files.iter().filter_map(|file| file.rollups().cloned()).map(PartitionedFile::new_from_meta).collect();
        match scan(files, &schema, state, projection, limit)? {
            Some(scan) => Ok(scan),
            None => Ok(Arc::new(EmptyExec::new(match projection {
                Some(columns) => Arc::new(schema.project(columns)?),
                None => schema,
            }))),
        }
    }
}

/// One rollup of the same files, from memory where its rows are few; what was never read comes from them.
pub(super) struct HeldRollup {
    pub(super) files: Vec<Arc<DataFile>>,
    pub(super) rollup: Rollup,
    pub(super) held: Arc<HeldRollups>,
}

impl std::fmt::Debug for HeldRollup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeldRollup({} of {} files)", self.rollup.name(), self.files.len())
    }
}

#[async_trait]
impl TableProvider for HeldRollup {
    fn schema(&self) -> SchemaRef {
        schema_of(self.rollup)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema();
        let columns = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        if let Some(wanted) = Wanted::of(self.rollup, &columns) {
            let bounds = |file: &DataFile| Arc::clone(&file.rollup_bounds);
            let files = candidates(&self.files, bounds, &file_schema(), state, filters)?;
            if let Some(rows) = self.rows(&files, wanted.clone()).await? {
                return Ok(MemorySourceConfig::try_new_exec(&[rows], wanted.schema()?, Some(wanted.places(&columns)))?);
            }
        }
        let of_file = |place: &usize| file_schema().index_of(schema.field(*place).name());
        let columns = columns.iter().map(of_file).collect::<std::result::Result<Vec<_>, _>>()?;
        RollupFiles::new(self.files.clone()).scan(state, Some(&columns), filters, limit).await
    }
}

impl HeldRollup {
    /// What is wanted of the files, from memory; `None` where it is too much for that.
    async fn rows(&self, files: &[Arc<DataFile>], wanted: Wanted) -> Result<Option<Vec<RecordBatch>>> {
        let paths: Vec<_> = files.iter().map(|file| file.rollup_path.clone()).collect();
        let (waiting, held) = (Waiting::default(), Arc::clone(&self.held));
        let is_left = Arc::clone(&waiting.is_left);
        let rows = tokio::task::spawn_blocking(move || held.rows(&paths, &wanted, &is_left)).await;
        rows.map_err(|error| DataFusionError::External(Box::new(error)))?
    }
}

/// Somebody who waits for rows; says when he is gone.
#[derive(Default)]
struct Waiting {
    is_left: Arc<AtomicBool>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.is_left.store(true, Ordering::Relaxed);
    }
}
