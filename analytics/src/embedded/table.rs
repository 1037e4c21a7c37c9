//! One snapshot of the embedded store as a table of the query engine.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use telemetrics_schema::columns::record_schema;

use super::files::DataFile;

/// With fewer files for each thread, one of them may have nearly all of the work.
const FILES_PER_THREAD: usize = 4;

/// See the module.
pub(super) struct SnapshotTable {
    files: Vec<Arc<DataFile>>,
    recent: Vec<RecordBatch>,
}

impl SnapshotTable {
    pub(super) fn new(files: Vec<Arc<DataFile>>, recent: Vec<RecordBatch>) -> Self {
        Self { files, recent }
    }

    /// The files that may hold a row for which all `filters` are true.
    fn candidates(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<Arc<DataFile>>> {
        let Some(predicate) = conjunction(filters.to_vec()).filter(|_| !self.files.is_empty()) else {
            return Ok(self.files.clone());
        };
        let schema = DFSchema::try_from(record_schema())?;
        let predicate = state.create_physical_expr(predicate, &schema)?;
        let predicate = PruningPredicateBuilder::new().with_file_schema(record_schema()).try_build(predicate)?;
        let statistics = self.files.iter().map(|file| Arc::clone(&file.statistics)).collect();
        let keep = predicate.prune(&PrunableStatistics::new(statistics, record_schema()))?;
        Ok(self.files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| Arc::clone(file)).collect())
    }

    fn scan_files(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let files = self.candidates(state, filters)?;
        if files.is_empty() {
            return Ok(None);
        }
        let options = state.config().options().execution.parquet.clone();
        let runtime = state.runtime_env();
        let url = ObjectStoreUrl::local_filesystem();
        let metadata = runtime.cache_manager.get_file_metadata_cache();
        let readers = CachedParquetFileReaderFactory::new(runtime.object_store(&url)?, metadata);
        let source = ParquetSource::new(record_schema())
            .with_table_parquet_options(datafusion::common::config::TableParquetOptions {
                global: options,
                ..Default::default()
            })
            .with_parquet_file_reader_factory(Arc::new(readers))
            .with_pushdown_filters(true)
            .with_enable_page_index(true);
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups(&files, state.config().target_partitions()))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(Some(DataSourceExec::from_data_source(config)))
    }
}

/// The files for each of the threads, each with its newest first: a question for the newest records then soon knows
/// which older ones it need not look at. Where there are fewer files than would keep all busy, each gets a part of each.
fn groups(files: &[Arc<DataFile>], threads: usize) -> Vec<FileGroup> {
    let mut newest_first: Vec<&DataFile> = files.iter().map(AsRef::as_ref).collect();
    newest_first.sort_by(|a, b| b.object.location.cmp(&a.object.location));
    let mut groups = vec![Vec::new(); threads.max(1)];
    let count = groups.len();
    if files.len() >= FILES_PER_THREAD * count {
        for (place, file) in newest_first.into_iter().enumerate() {
            groups[place % count].push(partitioned(file));
        }
    } else {
        for file in newest_first {
            for (part, group) in groups.iter_mut().enumerate() {
                group.push(part_of(file, part, count));
            }
        }
    }
    groups.into_iter().map(FileGroup::new).collect()
}

fn partitioned(file: &DataFile) -> PartitionedFile {
    PartitionedFile::new_from_meta(file.object.clone()).with_statistics(Arc::clone(&file.statistics))
}

/// One of `count` parts of about the same size: the row groups that have their middle in it.
fn part_of(file: &DataFile, part: usize, count: usize) -> PartitionedFile {
    let bound = |part: usize| {
        let bound = u128::from(file.object.size) * part as u128 / count as u128;
        i64::try_from(bound).unwrap_or(i64::MAX)
    };
    partitioned(file).with_range(bound(part), bound(part + 1))
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
        match self.scan_files(state, projection, filters, limit)? {
            None => Ok(memory),
            Some(files) if self.recent.is_empty() => Ok(files),
            Some(files) => UnionExec::try_new(vec![memory, files]),
        }
    }
}
