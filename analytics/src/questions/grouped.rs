//! Grouping that counts distinct values fast.

use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::Expr;

use crate::error::Error;

/// Groups `rows` by `keys`, with aggregates and the names that they get; behind the keys, in this order.
///
/// One column's distinct values, alone or beside sums and bounds (not counts), are grouped a second time instead of
/// collected in a set for each group, which takes most of a question's time and memory. The query engine does so only
/// where no aggregate has another name yet.
pub(super) fn grouped<const N: usize>(
    rows: DataFrame,
    keys: Vec<Expr>,
    aggregates: [(Expr, &str); N],
) -> Result<DataFrame, Error> {
    let groups = keys.len();
    let (aggregates, names): (Vec<Expr>, Vec<&str>) = aggregates.into_iter().unzip();
    let grouped = rows.aggregate(keys, aggregates)?;
    let names = std::iter::repeat_n(None, groups).chain(names.into_iter().map(Some));
    let columns = grouped.schema().columns().into_iter().zip(names).map(|(column, name)| match name {
        Some(name) => Expr::from(column).alias(name),
        None => Expr::from(column),
    });
    let columns: Vec<Expr> = columns.collect();
    Ok(grouped.select(columns)?)
}
