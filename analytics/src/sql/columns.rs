//! The columns of an answer: each has a name of its own and a type that every format can hold.

use std::collections::HashSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};

use crate::error::Error;

/// The plan with columns that can be written.
///
/// # Errors
/// [`Error::Invalid`] names the column that cannot.
pub(super) fn writable(plan: LogicalPlan) -> Result<LogicalPlan, Error> {
    let mut names = HashSet::new();
    for field in plan.schema().fields() {
        if !names.insert(field.name()) {
            let message =
                format!("two columns of the answer are called {}: give one another name with AS", field.name());
            return Err(Error::Invalid(message));
        }
        if !is_writable(field.data_type()) {
            let message = format!(
                "the column {} is of the type {}, which not every format has: cast it to a text or a number",
                field.name(),
                field.data_type()
            );
            return Err(Error::Invalid(message));
        }
    }
    if plan.schema().fields().is_empty() {
        return Err(Error::Invalid("an answer has at least one column".to_owned()));
    }
    if plan.schema().fields().iter().all(|field| !field.data_type().is_null()) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().map(|(table, field)| {
        let column = Expr::Column(datafusion::common::Column::new(table.cloned(), field.name()));
        match field.data_type() {
            DataType::Null => cast(column, DataType::Utf8View).alias(field.name()),
            _ => column,
        }
    });
    let columns: Vec<Expr> = columns.collect();
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}

fn is_writable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null
        | DataType::Boolean
        | DataType::Utf8
        | DataType::Utf8View
        | DataType::LargeUtf8
        | DataType::Timestamp(..)
        | DataType::Date32
        | DataType::Decimal128(..) => true,
        other => other.is_integer() || matches!(other, DataType::Float32 | DataType::Float64),
    }
}
