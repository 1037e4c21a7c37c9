//! Parentheses around conditions that stand where a value does.
//!
//! The unparser writes them around operators with two sides and around nothing else: what is meant as `(NOT a) < b`
//! would be read as `NOT (a < b)`.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::error::ClickHouseError;

/// The function that is written as its argument in parentheses.
pub(super) const PARENTHESES: &str = "in parentheses";

/// Puts parentheses where the text of a plan needs them. The names of its columns stay.
///
/// # Errors
/// Never for a plan that was valid.
pub(super) fn with_parentheses(plan: LogicalPlan) -> Result<LogicalPlan> {
    let written = plan.transform_up_with_subqueries(|node| {
        // What is listed or grouped by is written again in other places.
        let stays = matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::Sort(_));
        node.map_expressions(|expr| written(expr, stays).map(Transformed::yes))
    });
    Ok(written?.data)
}

/// `stands_alone` where nothing that binds more closely is beside it.
fn written(expr: Expr, stands_alone: bool) -> Result<Expr> {
    let is_loose = is_loose(&expr);
    let below_alone = match &expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(op, Operator::And | Operator::Or),
        Expr::Alias(_) => stands_alone,
        expr => !is_loose || matches!(expr, Expr::Not(_)),
    };
    let expr = expr.map_children(|part| written(part, below_alone).map(Transformed::yes))?.data;
    Ok(if is_loose && !stands_alone { parenthesised(expr) } else { expr })
}

fn is_loose(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::Like(_)
            | Expr::InList(_)
            | Expr::Between(_)
            | Expr::Negative(_)
    )
}

fn parenthesised(expr: Expr) -> Expr {
    let function = ScalarUDF::new_from_impl(Parentheses { signature: Signature::any(1, Volatility::Immutable) });
    Expr::ScalarFunction(ScalarFunction::new_udf(function.into(), vec![expr]))
}

/// Its argument, to be written and never to be run.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Parentheses {
    signature: Signature,
}

impl ScalarUDFImpl for Parentheses {
    fn name(&self) -> &'static str {
        PARENTHESES
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(ClickHouseError::Failed("parentheses are for ClickHouse only".to_owned()).into())
    }
}
