//! Finds the largest parts of a plan that may be sent to ClickHouse.
//!
//! The federation hands over every plan whose tables are all in ClickHouse. Where all of it is allowed, it stays one SQL
//! text. Where not, filters, limits and lists of columns are moved down as far as they go, and each largest allowed
//! subtree becomes an SQL text of its own: a function that only DataFusion knows then runs here, over the groups that
//! ClickHouse made.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::functions::regex::regexp_like;
use datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Aggregate, Expr, Extension, Filter, LogicalPlan, Operator, Projection};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::push_down_limit::PushDownLimit;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use datafusion_federation::FederatedPlanNode;

use super::allowed::{allows_expr, allows_plan};
use super::blocks::in_blocks;
use super::groups::{bring_together, has_nested};
use super::or_null::say_null_for_nothing;
use super::parentheses::with_parentheses;

type Send<'a> = dyn Fn(LogicalPlan) -> Result<LogicalPlan> + 'a;

/// Takes a plan that the federation wants to send as a whole, and leaves of that what is allowed.
///
/// # Errors
/// When an optimizer rule fails on the plan.
pub(super) fn keep_what_is_allowed(plan: LogicalPlan) -> Result<LogicalPlan> {
    let Some(federated) = federated_node(&plan) else { return Ok(plan) };
    let send = |part: LogicalPlan| {
        let schema = Arc::clone(part.schema());
        let part = with_parentheses(say_null_for_nothing(in_blocks(without_empty_lists(part)?)?)?)?;
        let node = FederatedPlanNode::new(part, Arc::clone(&federated.planner));
        with_schema(LogicalPlan::Extension(Extension { node: Arc::new(node) }), &schema)
    };
    let mut whole = name_regex_operators(federated.plan().clone())?;
    if has_nested(&whole) {
        whole = bring_together(move_down(whole)?)?;
    }
    if allows_plan(&whole) {
        return send(whole);
    }
    send_largest(move_down(whole)?, &send)
}

fn federated_node(plan: &LogicalPlan) -> Option<&FederatedPlanNode> {
    match plan {
        LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
        _ => None,
    }
}

fn move_down(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rules = Optimizer::with_rules(vec![
        Arc::new(PushDownLimit::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ]);
    rules.optimize(plan, &OptimizerContext::new(), |_, _| {})
}

fn send_largest(plan: LogicalPlan, send: &Send<'_>) -> Result<LogicalPlan> {
    if federated_node(&plan).is_some() {
        return Ok(plan);
    }
    if allows_plan(&plan) {
        return send(plan);
    }
    let plan = split_filter(plan)?;
    let descend = |part: LogicalPlan| send_largest(part, send).map(Transformed::yes);
    // Tables below scalar subqueries are remote, too: unsent, nobody could scan them.
    Ok(plan.map_children(descend)?.data.map_subqueries(descend)?.data)
}

/// Makes every list of columns one that SQL can write.
fn without_empty_lists(plan: LogicalPlan) -> Result<LogicalPlan> {
    let written = plan.transform_up_with_subqueries(|node| match node {
        // No columns are left below `count(*)`, but SQL has no empty list.
        LogicalPlan::Aggregate(aggregate) => match aggregate.input.as_ref() {
            LogicalPlan::Projection(Projection { expr, input, .. }) if expr.is_empty() => {
                let input = Arc::clone(input);
                let Aggregate { group_expr, aggr_expr, schema, .. } = aggregate;
                let aggregate = Aggregate::try_new_with_schema(input, group_expr, aggr_expr, schema)?;
                Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
            }
            _ => Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
        },
        other => Ok(Transformed::no(other)),
    });
    Ok(written?.data)
}

/// What was sent, with the names that the columns had before: what is above knows them by those.
fn with_schema(sent: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let columns = sent.schema().columns();
    if columns == schema.columns() {
        return Ok(sent);
    }
    let names = schema.iter().map(|(table, field)| (table.cloned(), field.name()));
    let columns = columns.into_iter().zip(names);
    let columns = columns.map(|(column, (table, name))| Expr::Column(column).alias_qualified(table, name)).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(sent))?))
}

/// Separates the conditions of a filter that may be sent from those that may not.
fn split_filter(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(plan) };
    let conditions = split_conjunction_owned(filter.predicate.clone());
    let (sent, kept): (Vec<Expr>, Vec<Expr>) =
        conditions.into_iter().partition(|condition| allows_expr(condition, filter.input.schema()));
    let (Some(sent), Some(kept)) = (conjunction(sent), conjunction(kept)) else {
        return Ok(LogicalPlan::Filter(filter));
    };
    let below = LogicalPlan::Filter(Filter::try_new(sent, filter.input)?);
    Ok(LogicalPlan::Filter(Filter::try_new(kept, Arc::new(below))?))
}

/// Writes `a ~ b` in filters as a call: ClickHouse has no such operator. Elsewhere the name of a column would change.
fn name_regex_operators(plan: LogicalPlan) -> Result<LogicalPlan> {
    let named = plan.transform_down_with_subqueries(|node| match node {
        LogicalPlan::Filter(filter) => {
            let predicate = filter.predicate.transform_up(|expr| Ok(name_regex_operator(expr)))?;
            let changed = predicate.transformed;
            let filter = LogicalPlan::Filter(Filter::try_new(predicate.data, filter.input)?);
            Ok(if changed { Transformed::yes(filter) } else { Transformed::no(filter) })
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(named?.data)
}

fn name_regex_operator(expr: Expr) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::RegexMatch | Operator::RegexNotMatch), right }) = expr
    else {
        return Transformed::no(expr);
    };
    let call = Expr::ScalarFunction(ScalarFunction::new_udf(regexp_like(), vec![*left, *right]));
    Transformed::yes(if op == Operator::RegexMatch { call } else { Expr::Not(Box::new(call)) })
}
