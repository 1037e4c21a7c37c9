//! What one request sees of the embedded store: the files of one version of the table, and records in memory.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use telemetrics_schema::columns::RECORDS;
use telemetrics_schema::rollups::{FILE_BUCKET, FILE_ROLLUP, Rollup};

use super::files::DataFile;
use super::held_rollups::{HeldRollups, Wanted};
use super::machine_filters::MachineFilters;
use super::rollup_files::{HeldRollup, RollupFiles};
use super::table::SnapshotTable;
use crate::rollup::Parts;

/// See the module.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(super) files: Vec<Arc<DataFile>>,
    pub(super) recent: Vec<RecordBatch>,
    pub(super) held: Arc<HeldRollups>,
    pub(super) machines: Arc<MachineFilters>,
}

impl Snapshot {
    /// All records.
    pub(crate) fn records(&self) -> Arc<dyn TableProvider> {
        Arc::new(self.table(self.files.clone(), self.recent.clone()))
    }

    fn table(&self, files: Vec<Arc<DataFile>>, recent: Vec<RecordBatch>) -> SnapshotTable {
        SnapshotTable { files, recent, machines: Arc::clone(&self.machines) }
    }

    /// The rows of a rollup: those of the rollup files, and the records for the rest.
    pub(crate) fn rollup(&self, rollup: Rollup, state: &SessionState) -> Result<Parts> {
        let (summed, others): (Vec<_>, Vec<_>) = self.files.iter().cloned().partition(|file| file.rollups().is_some());
        let last = summed.iter().map(|file| file.last_reception()).collect::<Option<Vec<_>>>();
        let rollups: Arc<dyn TableProvider> = Arc::new(RollupFiles::new(summed.clone()));
        let table = |level| -> Arc<dyn TableProvider> {
            if Wanted::may_be_of(level) {
                Arc::new(HeldRollup { files: summed.clone(), rollup: level, held: Arc::clone(&self.held) })
            } else {
                Arc::clone(&rollups)
            }
        };
        let levels = std::iter::successors(Some(rollup), |rollup| rollup.finer());
        let levels = levels.map(|level| Ok((level, rows(level, table(level), state)?))).collect::<Result<_>>()?;
        let records = |files, recent| frame(RECORDS, Arc::new(self.table(files, recent)), state);
        Ok(Parts {
            levels,
            last: last.and_then(|last| last.into_iter().max()),
            summed: records(summed, Vec::new())?,
            others: Some(records(others, self.recent.clone())?),
        })
    }
}

/// The rows of one rollup, with its columns.
fn rows(rollup: Rollup, table: Arc<dyn TableProvider>, state: &SessionState) -> Result<DataFrame> {
    let rows = frame(rollup.name(), table, state)?.filter(col(FILE_ROLLUP).eq(lit(rollup.number())))?;
    let column = |name: &str| if name == rollup.bucket() { col(FILE_BUCKET).alias(name) } else { col(name) };
    rows.select(rollup.columns().map(|of| column(of.name)).collect::<Vec<_>>())
}

fn frame(name: &str, table: Arc<dyn TableProvider>, state: &SessionState) -> Result<DataFrame> {
    let plan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?.build()?;
    Ok(DataFrame::new(state.clone(), plan))
}
