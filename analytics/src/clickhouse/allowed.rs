//! Which plans and expressions ClickHouse answers as DataFusion does. What is not listed is denied.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::expr::{AggregateFunction, Alias, BinaryExpr, Cast, InList, Like};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, FetchType, Join, Limit, LogicalPlan, Operator, SkipType, Union,
};
use datafusion::scalar::ScalarValue;
use datafusion_federation::get_table_source;
use telemetrics_schema::columns::reported;

use super::functions::{AGGREGATES, translate};
use super::literals::is_safe_name;
use crate::checksum::CHECKSUM;
use crate::guilty_of::{GUILTY_OF, GUILTY_TEXT};
use crate::sql::CONCAT_OPERATOR;

/// Instants between these (1900-01-01 and the end of 2299, in seconds) are `DateTime64`; others would be moved into it.
const INSTANTS_S: std::ops::RangeInclusive<i64> = -2_208_988_800..=10_413_791_999;
const DAYS: std::ops::RangeInclusive<i32> = -25_567..=120_529;

/// Whether all of `plan` may be sent.
pub(super) fn allows_plan(plan: &LogicalPlan) -> bool {
    names_are_safe(plan.schema()) && allows_node(plan) && inputs(plan).into_iter().all(allows_plan)
}

/// What the plan takes its rows from; below an aggregation, the parts of a UNION ALL in place of that.
fn inputs(plan: &LogicalPlan) -> Vec<&LogicalPlan> {
    match union_below(plan) {
        Some(union) => union.inputs.iter().map(AsRef::as_ref).collect(),
        None => plan.inputs(),
    }
}

/// The UNION ALL that the plan groups, where each part can be written as one: there, the order and the limit of a part
/// would become those of the whole.
fn union_below(plan: &LogicalPlan) -> Option<&Union> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return None };
    let below = match aggregate.input.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => &alias.input,
        _ => &aggregate.input,
    };
    let LogicalPlan::Union(union) = below.as_ref() else { return None };
    union.inputs.iter().all(|part| is_plain(part) && has_order(part) && names_are_safe(part.schema())).then_some(union)
}

/// Whether the columns are written in their order: an aggregation by itself is written with its aggregates first.
fn has_order(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Filter(filter) => has_order(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => has_order(&alias.input),
        LogicalPlan::Projection(_) | LogicalPlan::TableScan(_) => true,
        _ => false,
    }
}

fn is_plain(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::SubqueryAlias(_) => inputs(plan).into_iter().all(is_plain),
        _ => false,
    }
}

/// Whether `expr` over columns of `schema` may be sent.
pub(super) fn allows_expr(expr: &Expr, schema: &DFSchema) -> bool {
    !expr.exists(|part| Ok(!allows_expr_node(part, schema))).unwrap_or(true)
}

fn names_are_safe(schema: &DFSchema) -> bool {
    schema.iter().all(|(table, field)| {
        is_safe_name(field.name()) && table.is_none_or(|table| table.to_vec().iter().all(|part| is_safe_name(part)))
    })
}

fn allows_node(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => {
            scan.filters.is_empty() && matches!(get_table_source(&scan.source), Ok(Some(_)))
        }
        LogicalPlan::Projection(projection) => all(&projection.expr, projection.input.schema()),
        LogicalPlan::Filter(filter) => allows_expr(&filter.predicate, filter.input.schema()),
        LogicalPlan::Aggregate(aggregate) => allows_aggregation(aggregate),
        LogicalPlan::Sort(sort) => sort.expr.iter().all(|key| allows_expr(&key.expr, sort.input.schema())),
        LogicalPlan::Limit(limit) => is_constant(limit),
        LogicalPlan::Join(join) => allows_join(join),
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Distinct(Distinct::All(_)) => true,
        // Not UNION, but below an aggregation: what follows it sorts and limits its last part only.
        _ => false,
    }
}

fn all(exprs: &[Expr], schema: &DFSchema) -> bool {
    exprs.iter().all(|expr| allows_expr(expr, schema))
}

fn allows_aggregation(aggregate: &Aggregate) -> bool {
    let schema = aggregate.input.schema();
    all(&aggregate.group_expr, schema) && all(&aggregate.aggr_expr, schema)
}

fn is_constant(limit: &Limit) -> bool {
    matches!(limit.get_skip_type(), Ok(SkipType::Literal(_)))
        && matches!(limit.get_fetch_type(), Ok(FetchType::Literal(_)))
}

fn allows_join(join: &Join) -> bool {
    let keys = join.on.iter().all(|(l, r)| allows_expr(l, join.left.schema()) && allows_expr(r, join.right.schema()));
    matches!(join.join_type, JoinType::Inner | JoinType::Left)
        && join.null_equality == NullEquality::NullEqualsNothing
        && keys
        && join.filter.as_ref().is_none_or(|filter| allows_expr(filter, &join.schema))
}

/// Whether the expression may be sent when its parts may. The unparser drops parts of CASE that it cannot write, so
/// nothing that it does not know may be here.
fn allows_expr_node(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        // The names of columns are checked where they come from.
        Expr::Column(_) | Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Case(_) | Expr::Between(_) => {
            true
        }
        Expr::Alias(Alias { name, .. }) => is_safe_name(name),
        Expr::Literal(value, _) => allows_literal(value),
        Expr::BinaryExpr(binary) => allows_operator(binary, schema),
        Expr::Negative(inner) => is_wide_number(inner, schema),
        Expr::InList(InList { list, .. }) => {
            list.iter().all(|value| matches!(value, Expr::Literal(v, _) if !v.is_null()))
        }
        Expr::Like(like) => allows_like(like),
        Expr::Cast(cast) => allows_cast(cast, schema),
        Expr::ScalarFunction(call) => {
            translate(call.name(), &call.args).is_some() && allows_arguments(call.name(), &call.args, schema)
        }
        Expr::AggregateFunction(call) => allows_aggregate(call, schema),
        Expr::ScalarSubquery(subquery) => subquery.outer_ref_columns.is_empty() && allows_plan(&subquery.subquery),
        _ => false,
    }
}

fn allows_literal(value: &ScalarValue) -> bool {
    let instant = |value: Option<i64>, per_s: i64| value.is_none_or(|v| INSTANTS_S.contains(&v.div_euclid(per_s)));
    match value {
        ScalarValue::Boolean(_)
        | ScalarValue::Int8(_)
        | ScalarValue::Int16(_)
        | ScalarValue::Int32(_)
        | ScalarValue::Int64(_)
        | ScalarValue::Utf8(_)
        | ScalarValue::Utf8View(_)
        | ScalarValue::LargeUtf8(_) => true,
        ScalarValue::Float64(value) => value.is_none_or(f64::is_finite),
        ScalarValue::TimestampSecond(value, None) => instant(*value, 1),
        ScalarValue::TimestampMillisecond(value, None) => instant(*value, 1_000),
        ScalarValue::TimestampMicrosecond(value, None) => instant(*value, 1_000_000),
        ScalarValue::Date32(value) => value.is_none_or(|day| DAYS.contains(&day)),
        _ => false,
    }
}

/// Comparisons and logic always; arithmetic where both sides compute with the same width; no division, whose results
/// differ.
fn allows_operator(binary: &BinaryExpr, schema: &DFSchema) -> bool {
    let BinaryExpr { left, op, right } = binary;
    match op {
        Operator::Eq
        | Operator::NotEq
        | Operator::Lt
        | Operator::LtEq
        | Operator::Gt
        | Operator::GtEq
        | Operator::And
        | Operator::Or => true,
        Operator::Plus | Operator::Minus | Operator::Multiply => {
            is_wide_number(left, schema) && is_wide_number(right, schema)
        }
        Operator::Modulo => {
            is_wide_number(left, schema) && matches!(**right, Expr::Literal(ScalarValue::Int64(Some(1..)), _))
        }
        Operator::StringConcat => is_never_null(left, schema) && is_never_null(right, schema),
        _ => false,
    }
}

fn is_wide_number(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Int64 | DataType::Float64))
}

fn is_never_null(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.nullable(schema), Ok(false))
}

/// Patterns whose backslashes escape a wildcard; before anything else the two sides read them differently.
fn allows_like(like: &Like) -> bool {
    let Expr::Literal(pattern, _) = like.pattern.as_ref() else { return false };
    let Some(Some(pattern)) = pattern.try_as_str() else { return false };
    let mut parts = pattern.split('\\');
    parts.next();
    like.escape_char.is_none() && parts.all(|part| part.starts_with(['%', '_']))
}

/// Casts that keep every value. Texts of numbers are equal on both sides, texts of instants and truth are not.
fn allows_cast(cast: &Cast, schema: &DFSchema) -> bool {
    let Ok(from) = cast.expr.get_type(schema) else { return false };
    let to = cast.field.data_type();
    is_text(&from) && is_text(to)
        || from == *to && is_known(to)
        || matches!(
            (&from, to),
            (DataType::Int8, DataType::Int32 | DataType::Int64 | DataType::Float64)
                | (DataType::Int32, DataType::Int64 | DataType::Float64)
                | (DataType::Int64, DataType::Float64)
                | (DataType::Timestamp(TimeUnit::Microsecond, None), DataType::Date32)
        )
        || matches!(from, DataType::Int8 | DataType::Int32 | DataType::Int64) && is_text(to)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn is_known(data_type: &DataType) -> bool {
    use DataType::{Date32, Float64, Int8, Int32, Int64, Timestamp};
    matches!(data_type, Int8 | Int32 | Int64 | Float64 | Date32 | Timestamp(TimeUnit::Microsecond, None))
}

fn allows_arguments(name: &str, args: &[Expr], schema: &DFSchema) -> bool {
    match name {
        // Here NULL is skipped, there it makes the whole text NULL.
        "concat" | CONCAT_OPERATOR => {
            args.iter().all(|arg| is_never_null(arg, schema) && has_type(arg, schema, is_text))
        }
        "date_trunc" | "date_part" => args.iter().skip(1).all(|arg| has_type(arg, schema, is_instant)),
        "coalesce" | "nullif" => true,
        GUILTY_OF | GUILTY_TEXT => args.iter().take(1).all(|arg| has_type(arg, schema, |of| *of == DataType::Int64)),
        CHECKSUM => {
            reported().iter().zip(args).all(|(column, arg)| arg.get_type(schema).ok() == Some(column.kind.arrow()))
        }
        // The rest are functions of texts, some with numbers, which the list of functions checks.
        _ => args.iter().take(1).all(|arg| has_type(arg, schema, is_text)),
    }
}

fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, None))
}

fn has_type(expr: &Expr, schema: &DFSchema, is: fn(&DataType) -> bool) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| is(&data_type))
}

fn allows_aggregate(call: &AggregateFunction, schema: &DFSchema) -> bool {
    let params = &call.params;
    let name = call.func.name();
    let numeric =
        !matches!(name, "sum" | "avg" | "bit_xor") || params.args.iter().all(|arg| is_wide_number(arg, schema));
    AGGREGATES.contains(&name)
        && numeric
        && params.order_by.is_empty()
        && params.null_treatment.is_none()
        && (name == "count" || !params.distinct)
}
