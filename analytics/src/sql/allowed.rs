//! What a plan of a statement may be made of. What is not listed is refused.
//!
//! The text of the statement was judged before; this looks at what the words became, whatever they were.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{BinaryExpr, Like};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Operator, WindowFunctionDefinition};
use telemetrics_schema::attributes::is_name;

use super::functions::{Functions, WITH_PATTERN};
use super::growing::Growing;
use super::payloads::{ATTRIBUTE, DECODE, ENCODINGS, JSON_TEXT};
use super::statement::shown;
use crate::error::Error;
use crate::guilty_of::{GUILTY_OF, GUILTY_TEXT};
use crate::regex::TextPattern;

/// Most rows of the smaller side of a join that has conditions and none of them an equality: such a join compares every
/// row with every other one, without an end in sight.
pub const COMPARED_ROWS_MAX: usize = 1_000;

/// What was found in a plan that is allowed.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Calls that may make texts longer than their arguments.
    pub(super) growing_calls: u64,
    /// Bytes of the texts that are written out and become columns.
    pub(super) text_bytes: u64,
}

/// Looks at all of a plan, subqueries included.
///
/// # Errors
/// [`Error::Invalid`] names what is refused.
pub(super) fn check(plan: &LogicalPlan, functions: &Functions) -> Result<Found, Error> {
    let mut checked = Checked { functions, found: Found::default(), refusal: None };
    let walked = plan.apply_with_subqueries(|node| {
        checked.refusal = checked.node(node).err();
        Ok(if checked.refusal.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked?;
    checked.refusal.map_or(Ok(checked.found), Err)
}

struct Checked<'a> {
    functions: &'a Functions,
    found: Found,
    refusal: Option<Error>,
}

impl Checked<'_> {
    fn node(&mut self, plan: &LogicalPlan) -> Result<(), Error> {
        let becomes_columns = match plan {
            LogicalPlan::Projection(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Values(_) => true,
            LogicalPlan::Filter(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::TableScan(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Distinct(_) => false,
            other => return Err(refused(&other.display())),
        };
        for expr in plan.expressions() {
            self.expr(&expr, becomes_columns)?;
        }
        Ok(())
    }

    fn expr(&mut self, expr: &Expr, becomes_columns: bool) -> Result<(), Error> {
        let mut refusal = None;
        let walked = expr.apply(|part| {
            if is_ours(part) {
                return Ok(TreeNodeRecursion::Jump);
            }
            refusal = self.part(part, becomes_columns).err();
            Ok(if refusal.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        walked?;
        refusal.map_or(Ok(()), Err)
    }

    fn part(&mut self, part: &Expr, becomes_columns: bool) -> Result<(), Error> {
        match part {
            Expr::Alias(_)
            | Expr::Column(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::ScalarSubquery(_)
            | Expr::OuterReferenceColumn(..) => Ok(()),
            Expr::Literal(value, _) => {
                if becomes_columns {
                    self.found.text_bytes += value.try_as_str().flatten().map_or(0, str::len) as u64;
                }
                Ok(())
            }
            Expr::BinaryExpr(binary) => operator(binary),
            Expr::Like(Like { pattern, .. }) => literal(pattern, "LIKE").map(drop),
            Expr::ScalarFunction(call) => self.call(call.name(), &call.func, &call.args),
            Expr::AggregateFunction(call) => {
                let known = self.functions.aggregates.get(call.func.name());
                is_known(known == Some(&call.func), call.func.name())
            }
            Expr::WindowFunction(call) => {
                let name = call.fun.name();
                let known = match &call.fun {
                    WindowFunctionDefinition::AggregateUDF(of) => self.functions.aggregates.get(name) == Some(of),
                    WindowFunctionDefinition::WindowUDF(of) => self.functions.windows.get(name) == Some(of),
                };
                is_known(known, name)
            }
            other => Err(refused(other)),
        }
    }

    fn call(
        &mut self,
        name: &str,
        function: &std::sync::Arc<datafusion::logical_expr::ScalarUDF>,
        args: &[Expr],
    ) -> Result<(), Error> {
        is_known(self.functions.scalars.get(name) == Some(function), name)?;
        if (function.inner().as_ref() as &dyn std::any::Any).is::<Growing>() {
            self.found.growing_calls += 1;
        }
        match (name, args.get(1)) {
            (name, Some(found)) if WITH_PATTERN.contains(&name) => pattern(found, name),
            (ATTRIBUTE, Some(found)) => one_written_out(found, name, is_name, "a name of an attribute"),
            (DECODE, Some(found)) => one_written_out(found, name, is_encoding, "base64 or hex"),
            (JSON_TEXT, Some(found)) => one_written_out(found, name, is_pointer, "a JSON pointer, as /disks/0/model"),
            _ => Ok(()),
        }
    }
}

fn refused(what: &impl std::fmt::Display) -> Error {
    Error::Invalid(format!("`{}` is not answered", shown(what)))
}

/// Whether it is a call that only the table of crashes has: statements cannot name these functions, and the tables of
/// numbers beside them become no columns.
fn is_ours(part: &Expr) -> bool {
    matches!(part, Expr::ScalarFunction(call) if [GUILTY_OF, GUILTY_TEXT].contains(&call.name()))
}

fn is_known(is_known: bool, name: &str) -> Result<(), Error> {
    if is_known { Ok(()) } else { Err(Error::Invalid(format!("the function {name} is not answered"))) }
}

fn operator(BinaryExpr { op, right, .. }: &BinaryExpr) -> Result<(), Error> {
    match op {
        Operator::Eq
        | Operator::NotEq
        | Operator::Lt
        | Operator::LtEq
        | Operator::Gt
        | Operator::GtEq
        | Operator::Plus
        | Operator::Minus
        | Operator::Multiply
        | Operator::Divide
        | Operator::Modulo
        | Operator::And
        | Operator::Or
        | Operator::IsDistinctFrom
        | Operator::IsNotDistinctFrom
        | Operator::BitwiseAnd
        | Operator::BitwiseOr
        | Operator::BitwiseXor
        | Operator::BitwiseShiftRight
        | Operator::BitwiseShiftLeft => Ok(()),
        Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch => {
            pattern(right, &op.to_string())
        }
        Operator::LikeMatch | Operator::ILikeMatch | Operator::NotLikeMatch | Operator::NotILikeMatch => {
            literal(right, "LIKE").map(drop)
        }
        other => Err(Error::Invalid(format!("the operator {other} is not answered"))),
    }
}

/// A regular expression that is written out, and that a match takes linear time for.
fn pattern(expr: &Expr, of: &str) -> Result<(), Error> {
    let text = literal(expr, of)?;
    let read = TextPattern::parse(text);
    read.map(drop).map_err(|reason| Error::Invalid(format!("the pattern of {of} {reason}")))
}

/// A second argument that is written out, and is what it has to be.
fn one_written_out(expr: &Expr, of: &str, is_right: fn(&str) -> bool, what: &str) -> Result<(), Error> {
    let text = match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    };
    match text {
        Some(text) if is_right(text) => Ok(()),
        _ => Err(Error::Invalid(format!("the second argument of {of} has to be {what}, written out"))),
    }
}

fn is_encoding(text: &str) -> bool {
    ENCODINGS.iter().any(|encoding| text.eq_ignore_ascii_case(encoding))
}

fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

/// A text that is written out: one from a column is a pattern to be compiled for each row.
fn literal<'a>(expr: &'a Expr, of: &str) -> Result<&'a str, Error> {
    let text = match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    };
    text.ok_or_else(|| Error::Invalid(format!("the pattern of {of} has to be a text that is written out")))
}

/// Refuses joins that compare every row with every other one. `plan` is optimized: conditions stand in the joins that they
/// are about, equalities as keys.
///
/// # Errors
/// [`Error::TooMuch`].
pub(super) fn check_joins(plan: &LogicalPlan) -> Result<(), Error> {
    let is_small = |plan: &LogicalPlan| plan.max_rows().is_some_and(|rows| rows <= COMPARED_ROWS_MAX);
    let is_endless =
        |join: &Join| join.on.is_empty() && join.filter.is_some() && !is_small(&join.left) && !is_small(&join.right);
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Join(join) if is_endless(join));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked?;
    if found {
        return Err(Error::TooMuch(format!(
            "a join needs a condition with = between its tables, or one of them has to have at most {COMPARED_ROWS_MAX} \
             rows (LIMIT)"
        )));
    }
    Ok(())
}
