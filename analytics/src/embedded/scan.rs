//! Reading Parquet files: which of them may hold what is asked for, and the scan of those.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::{DFSchema, Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;

use super::files::DataFile;
use super::older_files::DefaultsForMissing;

/// With fewer files for each thread, one of them may have nearly all of the work.
const FILES_PER_THREAD: usize = 4;

/// The files that may hold a row for which all `filters` are true, by `statistics` of rows with this schema.
pub(super) fn candidates(
    files: &[Arc<DataFile>],
    statistics: impl Fn(&DataFile) -> Arc<Statistics>,
    schema: &SchemaRef,
    state: &dyn Session,
    filters: &[Expr],
) -> Result<Vec<Arc<DataFile>>> {
    let Some(predicate) = conjunction(filters.to_vec()).filter(|_| !files.is_empty()) else {
        return Ok(files.to_vec());
    };
    let predicate = state.create_physical_expr(predicate, &DFSchema::try_from(Arc::clone(schema))?)?;
    let predicate = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).try_build(predicate)?;
    let statistics = files.iter().map(|file| statistics(file)).collect();
    let keep = predicate.prune(&PrunableStatistics::new(statistics, Arc::clone(schema)))?;
    Ok(files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| Arc::clone(file)).collect())
}

/// Reads files with this schema; `None` when there are none.
pub(super) fn scan(
    files: Vec<PartitionedFile>,
    schema: &SchemaRef,
    state: &dyn Session,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if files.is_empty() {
        return Ok(None);
    }
    let local = ObjectStoreUrl::local_filesystem();
    let runtime = state.runtime_env();
    let footers = runtime.cache_manager.get_file_metadata_cache();
    let readers = CachedParquetFileReaderFactory::new(runtime.object_store(&local)?, footers);
    let global = state.config().options().execution.parquet.clone();
    let source = ParquetSource::new(Arc::clone(schema))
        .with_table_parquet_options(TableParquetOptions { global, ..Default::default() })
        // The footers of files that were read before are in memory, within a limit.
        .with_parquet_file_reader_factory(Arc::new(readers))
        .with_pushdown_filters(true)
        .with_enable_page_index(true);
    let groups = groups(files, state.config().target_partitions());
    let config = FileScanConfigBuilder::new(local, Arc::new(source))
        .with_file_groups(groups)
        .with_projection_indices(projection.cloned())?
        .with_limit(limit)
        .with_expr_adapter(Some(Arc::new(DefaultsForMissing)))
        .build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// The files for each of the threads, each with its newest first: a question for the newest records then soon knows
/// which older ones it need not look at. Where there are fewer files than would keep all busy, each gets a part of each.
fn groups(mut files: Vec<PartitionedFile>, threads: usize) -> Vec<FileGroup> {
    files.sort_by(|a, b| b.path().cmp(a.path()));
    let mut groups = vec![Vec::new(); threads.max(1)];
    let count = groups.len();
    if files.len() >= FILES_PER_THREAD * count {
        for (place, file) in files.into_iter().enumerate() {
            groups[place % count].push(file);
        }
    } else {
        for file in &files {
            for (part, group) in groups.iter_mut().enumerate() {
                group.push(part_of(file, part, count));
            }
        }
    }
    groups.into_iter().map(FileGroup::new).collect()
}

/// One of `count` parts of about the same size: the row groups that have their middle in it.
fn part_of(file: &PartitionedFile, part: usize, count: usize) -> PartitionedFile {
    let bound = |part: usize| {
        let bound = u128::from(file.object_meta.size) * part as u128 / count as u128;
        i64::try_from(bound).unwrap_or(i64::MAX)
    };
    file.clone().with_range(bound(part), bound(part + 1))
}
