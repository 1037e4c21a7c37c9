//! Aggregates as SQL has them: of nothing, a sum is NULL. ClickHouse says 0 unless the function is asked by another name.
//!
//! The server has a setting for the same, and with it uses no projection.

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, Aggregate, AggregateUDF, AggregateUDFImpl, Expr, LogicalPlan, Signature};

use super::error::ClickHouseError;

/// The aggregates whose value of nothing differs, and the names of those that give NULL.
const NAMES: [(&str, &str); 4] =
    [("sum", "sumOrNull"), ("min", "minOrNull"), ("max", "maxOrNull"), ("avg", "avgOrNull")];

/// Names the aggregates of a plan so that they give NULL for nothing. The names of its columns stay.
///
/// # Errors
/// Never for a plan that was valid.
pub(super) fn say_null_for_nothing(plan: LogicalPlan) -> Result<LogicalPlan> {
    let named = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, schema, .. }) => {
            let renamed = aggr_expr.into_iter().map(|expr| Ok(expr.transform_up(|part| Ok(renamed(part)))?.data));
            let renamed = renamed.collect::<Result<Vec<_>>>()?;
            let aggregate = Aggregate::try_new_with_schema(input, group_expr, renamed, schema)?;
            Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(named?.data)
}

fn renamed(expr: Expr) -> Transformed<Expr> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return Transformed::no(expr) };
    let Some((_, name)) = NAMES.iter().find(|(name, _)| *name == func.name()) else {
        return Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params }));
    };
    let inner = AggregateUDF::clone(&func);
    let func = AggregateUDF::new_from_impl(OrNull { name, inner }).into();
    Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params }))
}

/// An aggregate under another name, to be written and never to be run.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OrNull {
    name: &'static str,
    inner: AggregateUDF,
}

impl AggregateUDFImpl for OrNull {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.schema_name(params)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(arg_fields)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Err(ClickHouseError::Failed(format!("{} runs in ClickHouse only", self.name)).into())
    }
}
