//! The rollup files of one snapshot as a table of the query engine.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use telemetrics_schema::rollups::file_schema;

use super::files::DataFile;
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
