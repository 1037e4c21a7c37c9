//! Brings aggregations together, so that ClickHouse answers them from its projections.
//!
//! A rollup is a plan that groups records by all of its keys, and a question groups the rows of several of them by a few.
//! Said like that, the server makes millions of groups first. Here each source of a UNION ALL is grouped by the keys of
//! the question at once, and two aggregations of the same records become one: the server then finds the projection that
//! has those groups.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, max, min, sum};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, Projection, SubqueryAlias, Union, lit};

/// The name of the groups of all parts where no other one is known.
const PARTS: &str = "parts";

/// Rewrites every aggregation over a UNION ALL or over the rows of a rollup; other plans are given back as they are.
///
/// # Errors
/// When a plan cannot be built from the parts of a valid one.
pub(super) fn bring_together(plan: LogicalPlan) -> Result<LogicalPlan> {
    let together = plan.transform_down_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(ref aggregate) => Ok(match rewritten(aggregate)? {
            // Its parts were brought together with it.
            Some(plan) => Transformed::new(plan, true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        }),
        other => Ok(Transformed::no(other)),
    });
    Ok(together?.data)
}

/// Whether there may be something to bring together.
pub(super) fn has_nested(plan: &LogicalPlan) -> bool {
    let nested = |node: &LogicalPlan| matches!(node, LogicalPlan::Aggregate(aggregate) if has_groups(&aggregate.input));
    plan.exists(|node| Ok(nested(node))).unwrap_or(false)
}

fn has_groups(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(Projection { input, .. }) => has_groups(input),
        LogicalPlan::Filter(filter) => has_groups(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => has_groups(&alias.input),
        LogicalPlan::Union(_) | LogicalPlan::Aggregate(_) => true,
        _ => false,
    }
}

/// What a column of a source is: an expression over what the source is made of, how many records the row stands for, or
/// the smallest value that an expression has for one of these.
#[derive(Clone)]
enum Cell {
    Value(Expr),
    Records,
    Least(Expr),
}

/// A plan, and columns made of its rows. Where they are groups, each row of the plan is one record of a group.
struct Source<'a> {
    plan: &'a Arc<LogicalPlan>,
    cells: Vec<Cell>,
    is_grouped: bool,
}

impl<'a> Source<'a> {
    /// The columns of the plan itself.
    fn of(plan: &'a Arc<LogicalPlan>) -> Self {
        let cells = plan.schema().columns().into_iter().map(|column| Cell::Value(Expr::Column(column))).collect();
        Self { plan, cells, is_grouped: false }
    }

    /// What the plan selects from, below lists of columns and names.
    fn below_columns(plan: &'a Arc<LogicalPlan>) -> Result<Self> {
        match plan.as_ref() {
            LogicalPlan::SubqueryAlias(alias) => Self::below_columns(&alias.input),
            LogicalPlan::Projection(Projection { expr, input, .. }) => {
                let below = Self::below_columns(input)?;
                let cells = expr.iter().map(|expr| below.cell(expr, input.schema())).collect::<Result<Option<_>>>()?;
                Ok(cells.map_or_else(|| Self::of(plan), |cells| Self { cells, ..below }))
            }
            _ => Ok(Self::of(plan)),
        }
    }

    /// As [`Source::below_columns`], and below the grouping of a rollup.
    fn below_groups(plan: &'a Arc<LogicalPlan>) -> Result<Self> {
        let outer = Self::below_columns(plan)?;
        let LogicalPlan::Aggregate(aggregate) = outer.plan.as_ref() else { return Ok(outer) };
        if !is_rollup(aggregate) {
            return Ok(outer);
        }
        let keys = aggregate.group_expr.iter().map(|key| Cell::Value(key.clone().unalias()));
        let measures = aggregate.aggr_expr.iter().map(|expr| match Merged::of(expr) {
            Some(Merged::Min(arg)) => Cell::Least(arg),
            _ => Cell::Records,
        });
        let inner = Source { plan: &aggregate.input, cells: keys.chain(measures).collect(), is_grouped: true };
        let cells = outer.cells.iter().map(|cell| match cell {
            Cell::Value(expr) => inner.cell(expr, outer.plan.schema()),
            Cell::Records | Cell::Least(_) => Ok(None),
        });
        let cells = cells.collect::<Result<Option<_>>>()?;
        Ok(cells.map_or(outer, |cells| Source { cells, ..inner }))
    }

    /// `expr`, which is over `schema`, the columns of this source, as one over its plan.
    fn cell(&self, expr: &Expr, schema: &DFSchema) -> Result<Option<Cell>> {
        let expr = expr.clone().unalias();
        if let Expr::Column(column) = &expr {
            return Ok(self.cells.get(schema.index_of_column(column)?).cloned());
        }
        Ok(self.value(expr, schema)?.map(Cell::Value))
    }

    /// As [`Source::cell`]; `None` when it needs what was measured of records.
    fn value(&self, expr: Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        let mut is_value = true;
        let value = expr.transform_up(|part| {
            let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
            if let Some(Cell::Value(value)) = self.cells.get(schema.index_of_column(column)?) {
                return Ok(Transformed::yes(value.clone()));
            }
            is_value = false;
            Ok(Transformed::no(part))
        });
        Ok(Some(value?.data).filter(|_| is_value))
    }
}

/// Whether it only counts rows by keys, or takes smallest values of them.
fn is_rollup(aggregate: &Aggregate) -> bool {
    let is_measure = |expr: &Expr| match Merged::of(expr) {
        Some(Merged::Count(Expr::Literal(value, _))) => !value.is_null(),
        Some(Merged::Min(_)) => true,
        _ => false,
    };
    !has_grouping_sets(aggregate) && aggregate.aggr_expr.iter().all(is_measure)
}

fn has_grouping_sets(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
}

/// An aggregate whose value can be had from its values over parts of the rows.
#[derive(Clone)]
enum Merged {
    Sum(Expr),
    Min(Expr),
    Max(Expr),
    Count(Expr),
    /// From the distinct values of the parts.
    CountDistinct(Expr),
}

impl Merged {
    fn of(expr: &Expr) -> Option<Self> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr.clone().unalias() else { return None };
        let AggregateFunctionParams { mut args, distinct, filter: None, order_by, null_treatment: None } = params
        else {
            return None;
        };
        let arg = args.pop().filter(|_| args.is_empty() && order_by.is_empty())?;
        match (func.name(), distinct) {
            ("sum", false) => Some(Self::Sum(arg)),
            ("min", false) => Some(Self::Min(arg)),
            ("max", false) => Some(Self::Max(arg)),
            ("count", false) => Some(Self::Count(arg)),
            ("count", true) => Some(Self::CountDistinct(arg)),
            _ => None,
        }
    }

    fn argument(&self) -> &Expr {
        let (Self::Sum(arg) | Self::Min(arg) | Self::Max(arg) | Self::Count(arg) | Self::CountDistinct(arg)) = self;
        arg
    }

    /// Whether it counts distinct values; `None` when it does not count.
    fn counts(&self) -> Option<bool> {
        match self {
            Self::Count(_) => Some(false),
            Self::CountDistinct(_) => Some(true),
            _ => None,
        }
    }

    fn with(&self, arg: Expr) -> Self {
        match self {
            Self::Sum(_) => Self::Sum(arg),
            Self::Min(_) => Self::Min(arg),
            Self::Max(_) => Self::Max(arg),
            Self::Count(_) => Self::Count(arg),
            Self::CountDistinct(_) => Self::CountDistinct(arg),
        }
    }

    /// Sums of fractions depend on their order.
    fn is_exact(&self, schema: &DFSchema) -> bool {
        !matches!(self, Self::Sum(_)) || matches!(self.argument().get_type(schema), Ok(DataType::Int64))
    }

    /// The aggregate itself.
    fn expr(&self, arg: Expr) -> Expr {
        match self {
            Self::Sum(_) => sum(arg),
            Self::Min(_) => min(arg),
            Self::Max(_) => max(arg),
            Self::Count(_) => count(arg),
            Self::CountDistinct(_) => count_distinct(arg),
        }
    }

    /// Over all rows, from the values of parts in `part`.
    fn whole(&self, part: Expr) -> Expr {
        match self {
            Self::Sum(_) | Self::Count(_) => sum(part),
            Self::Min(_) => min(part),
            Self::Max(_) => max(part),
            Self::CountDistinct(_) => count_distinct(part),
        }
    }
}

/// What is asked of the rows of a plan: keys and aggregates over its columns.
struct Question {
    keys: Vec<Expr>,
    aggregates: Vec<Merged>,
}

/// The aggregation with the same columns over groups of each of its parts, when it has parts.
fn rewritten(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let source = Source::below_columns(&aggregate.input)?;
    let (parts, schema) = match source.plan.as_ref() {
        LogicalPlan::Union(union) => (union.inputs.as_slice(), &union.schema),
        LogicalPlan::Aggregate(rollup) if is_rollup(rollup) => (std::slice::from_ref(source.plan), &rollup.schema),
        _ => return Ok(None),
    };
    let (Some(names), Some(question)) = (Names::of(aggregate), Question::of(aggregate, &source)?) else {
        return Ok(None);
    };
    let Some(groups) = question.of_parts(parts, schema, &names)? else { return Ok(None) };
    Ok(Some(LogicalPlan::Aggregate(question.of_groups(groups, &names, aggregate)?)))
}

/// How the columns of groups are called, so that what is above them finds the ones that it knows.
struct Names {
    table: TableReference,
    keys: Vec<String>,
}

impl Names {
    /// `None` when keys come from several tables.
    fn of(aggregate: &Aggregate) -> Option<Self> {
        let fields = aggregate.schema.iter().take(aggregate.group_expr.len()).enumerate();
        let mut table = None;
        let mut keys = Vec::new();
        for (place, (qualifier, field)) in fields {
            if let Some(qualifier) = qualifier
                && *table.get_or_insert(qualifier) != qualifier
            {
                return None;
            }
            keys.push(qualifier.map_or_else(|| key_name(place), |_| field.name().clone()));
        }
        Some(Self { table: table.cloned().unwrap_or_else(|| TableReference::bare(PARTS)), keys })
    }

    /// The name of a key, or of a distinct value behind the keys.
    fn key(&self, place: usize) -> String {
        self.keys.get(place).cloned().unwrap_or_else(|| key_name(place))
    }

    fn column(&self, name: String) -> Expr {
        Expr::Column(Column::new(Some(self.table.clone()), name))
    }
}

impl Question {
    /// The question of an aggregation, asked of the source that is below its columns.
    fn of(aggregate: &Aggregate, source: &Source<'_>) -> Result<Option<Self>> {
        let schema = aggregate.input.schema();
        let Some(merged) = aggregate.aggr_expr.iter().map(Merged::of).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        if has_grouping_sets(aggregate) || !merged.iter().all(|merged| merged.is_exact(schema)) {
            return Ok(None);
        }
        // Distinct values are groups, and of no groups the sum of their counts is NULL.
        let counts = |distinct| merged.iter().any(|merged| merged.counts() == Some(distinct));
        if aggregate.group_expr.is_empty() && counts(true) && counts(false) {
            return Ok(None);
        }
        let value = |expr: &Expr| source.value(expr.clone().unalias(), schema);
        let keys: Option<Vec<Expr>> = aggregate.group_expr.iter().map(value).collect::<Result<_>>()?;
        let asked = |merged: &Merged| Ok(value(merged.argument())?.map(|arg| merged.with(arg)));
        let aggregates: Option<Vec<Merged>> = merged.iter().map(asked).collect::<Result<_>>()?;
        Ok(keys.zip(aggregates).map(|(keys, aggregates)| Self { keys, aggregates }))
    }

    /// The groups of each part by the keys and the values of which the distinct ones are counted.
    fn of_parts(&self, parts: &[Arc<LogicalPlan>], schema: &DFSchema, names: &Names) -> Result<Option<LogicalPlan>> {
        let (distinct, others): (Vec<&Merged>, Vec<&Merged>) =
            self.aggregates.iter().partition(|merged| matches!(merged, Merged::CountDistinct(_)));
        let keys = self.keys.iter().chain(distinct.into_iter().map(Merged::argument)).cloned().collect();
        let of_part = Self { keys, aggregates: others.into_iter().cloned().collect() };
        let groups = parts.iter().map(|part| of_part.of_source(&Source::below_groups(part)?, schema, names));
        let Some(groups) = groups.collect::<Result<Option<Vec<_>>>>()? else { return Ok(None) };
        let groups = match <[_; 1]>::try_from(groups) {
            Ok([groups]) => groups,
            Err(groups) => Arc::new(LogicalPlan::Union(Union::try_new(groups)?)),
        };
        Ok(Some(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(groups, names.table.clone())?)))
    }

    /// The answer from the groups of all parts, with the columns of `aggregate`.
    fn of_groups(&self, groups: LogicalPlan, names: &Names, aggregate: &Aggregate) -> Result<Aggregate> {
        let mut titles = aggregate.schema.iter();
        let keys = (0..self.keys.len()).zip(titles.by_ref()).map(|(place, (table, field))| {
            let key = names.column(names.key(place));
            if table.is_some() { key } else { key.alias(field.name()) }
        });
        let keys = keys.collect();
        let (mut distinct, mut others) = (self.keys.len()..usize::MAX, 0..usize::MAX);
        let values = self.aggregates.iter().zip(titles).filter_map(|(merged, (_, field))| {
            let part = match merged {
                Merged::CountDistinct(_) => names.key(distinct.next()?),
                _ => value_name(others.next()?),
            };
            Some(merged.whole(names.column(part)).alias(field.name()))
        });
        let values = values.collect();
        Aggregate::try_new_with_schema(Arc::new(groups), keys, values, Arc::clone(&aggregate.schema))
    }

    /// The groups of a source, which has the columns of `schema` under whatever names.
    fn of_source(&self, source: &Source<'_>, schema: &DFSchema, names: &Names) -> Result<Option<Arc<LogicalPlan>>> {
        if !are_rows(source.plan) {
            return Ok(None);
        }
        let keys = self.keys.iter().map(|key| source.key(key, schema)).collect::<Result<Option<Vec<_>>>>()?;
        let values = self.aggregates.iter().map(|merged| source.aggregate(merged, schema));
        let Some((keys, values)) = keys.zip(values.collect::<Result<Option<Vec<_>>>>()?) else { return Ok(None) };
        // The same one twice would be an error.
        let (key_places, keys) = places(keys);
        let (value_places, values) = places(values);
        let first_value = keys.len();
        let aggregate = Aggregate::try_new(Arc::clone(source.plan), keys, values)?;
        let columns = aggregate.schema.columns();
        let column = |place: usize| Expr::Column(columns[place].clone());
        let is_one_group = source.is_grouped && self.keys.is_empty();
        let keys = key_places.iter().enumerate().map(|(key, place)| column(*place).alias(names.key(key)));
        let values = value_places.iter().zip(&self.aggregates).enumerate().map(|(name, (place, merged))| {
            let value = column(first_value + place);
            // The sum of no counts is not 0.
            let is_count = is_one_group && matches!(merged, Merged::Sum(_));
            let value = if is_count { nullif(value, lit(0_i64)) } else { value };
            value.alias(value_name(name))
        });
        let selected = keys.chain(values).collect();
        let aggregate = Arc::new(LogicalPlan::Aggregate(aggregate));
        Ok(Some(Arc::new(LogicalPlan::Projection(Projection::try_new(selected, aggregate)?))))
    }
}

impl Source<'_> {
    /// A key of groups over the plan. A number written there would mean a column by its place.
    fn key(&self, key: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        Ok(self.value(key.clone(), schema)?.filter(|key| !matches!(key, Expr::Literal(..))))
    }

    /// An aggregate over the plan; `None` when it needs groups, and the plan has records.
    fn aggregate(&self, merged: &Merged, schema: &DFSchema) -> Result<Option<Expr>> {
        let cell = self.cell(merged.argument(), schema)?;
        Ok(match (merged, cell) {
            (Merged::Sum(_), Some(Cell::Records)) => Some(count(lit(1_i64))),
            (Merged::Min(_), Some(Cell::Least(arg))) => Some(min(arg)),
            // Of groups, each of which has a record, as of records.
            (Merged::Min(_) | Merged::Max(_), Some(Cell::Value(arg))) => Some(merged.expr(arg)),
            (_, Some(Cell::Value(arg))) if !self.is_grouped => Some(merged.expr(arg)),
            _ => None,
        })
    }
}

/// Whether these are rows of a table, which no other aggregation comes between.
fn are_rows(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Filter(filter) => are_rows(&filter.input),
        LogicalPlan::TableScan(_) => true,
        _ => false,
    }
}

/// The places of the items among the distinct ones, and those.
fn places(items: Vec<Expr>) -> (Vec<usize>, Vec<Expr>) {
    let mut distinct: Vec<Expr> = Vec::new();
    let mut place = |item: Expr| {
        distinct.iter().position(|known| *known == item).unwrap_or_else(|| {
            distinct.push(item);
            distinct.len() - 1
        })
    };
    let places = items.into_iter().map(&mut place).collect();
    (places, distinct)
}

/// With a space, so that no column of a view has the name.
fn key_name(place: usize) -> String {
    format!("key {place}")
}

fn value_name(place: usize) -> String {
    format!("value {place}")
}
