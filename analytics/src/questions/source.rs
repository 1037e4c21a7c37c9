//! Where a question that counts records reads from: the one place that chooses.

use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, col, lit};

use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// Rows that each stand for records.
pub(super) struct Source {
    /// The rows that pass the filter, with all columns that a key can have.
    pub(super) rows: DataFrame,
    /// How many records the rows of a group stand for.
    pub(super) records: Expr,
    /// When the records of a row were received, exact to the hour at least.
    pub(super) received: Expr,
}

/// The records that pass `filter`, ready to be counted.
pub(super) fn counted(view: &View, filter: &RecordFilter) -> Result<Source, Error> {
    let rows = filter.of(view.records()?)?;
    Ok(Source { rows, records: count(lit(1_i64)), received: col("ts_reception") })
}
