//! Cuts a plan into pieces that are one SELECT each, with a name and named columns for what one of them takes from another.
//!
//! A plan may sort what it limited, and list the columns of that, as often as it likes; a SELECT does each once and in
//! one order. The unparser makes subqueries of the rest, but their columns lose the tables that they belong to, which
//! ClickHouse does not find then.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::utils::combine_limit;
use datafusion::common::{Column, DFSchema, Result, TableReference, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, FetchType, Limit, LogicalPlan, LogicalPlanBuilder, Projection, SkipType, Sort, Subquery,
    SubqueryAlias, TableScan, TableScanBuilder, Union, cast, lit,
};

/// How far a SELECT is written, in the order in which it is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// FROM, and nothing but a table or a named subquery.
    Named,
    /// FROM several of them.
    Joined,
    Filtered,
    Grouped,
    /// The groups are filtered.
    Having,
    Selected,
    Distinct,
    Sorted,
    Limited,
}

/// A plan that is one SELECT, and how its columns are called by what is above it.
struct Block {
    plan: LogicalPlan,
    stage: Stage,
    columns: Vec<Expr>,
}

/// Gives the pieces of one plan their names.
#[derive(Default)]
struct Names {
    count: usize,
}

/// The plan as nested SELECTs. Its columns are the same in number, order and type, but may have other names.
///
/// # Errors
/// When a plan cannot be built from the parts of a valid one.
pub(super) fn in_blocks(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(Names::default().selected(plan)?.plan)
}

impl Block {
    /// A plan whose columns are called as its schema says.
    fn new(plan: LogicalPlan, stage: Stage) -> Self {
        let columns = plan.schema().columns().into_iter().map(Expr::Column).collect();
        Self { plan, stage, columns }
    }

    /// With a list of columns: without one, the unparser lists the aggregates of groups first, and of a table or a join
    /// whatever the server has.
    fn listed(self) -> Result<Self> {
        if self.stage >= Stage::Selected || self.columns.is_empty() {
            return Ok(self);
        }
        let projection = Projection::try_new(self.columns, Arc::new(self.plan))?;
        Ok(Self::new(LogicalPlan::Projection(projection), Stage::Selected))
    }
}

impl Names {
    fn next(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind} {}", self.count)
    }

    /// The plan as a whole SELECT.
    fn selected(&mut self, plan: LogicalPlan) -> Result<Block> {
        self.block(plan)?.listed()
    }

    fn block(&mut self, plan: LogicalPlan) -> Result<Block> {
        match plan {
            LogicalPlan::TableScan(scan) => table(scan),
            LogicalPlan::SubqueryAlias(alias) => self.alias(alias),
            LogicalPlan::Union(union) => {
                let name = self.next("rows");
                self.union(&union, name.into())
            }
            LogicalPlan::Join(_) => self.join(&plan),
            LogicalPlan::Filter(_) => self.filter(&plan),
            LogicalPlan::Aggregate(_) => self.step(&plan, Stage::Filtered, Stage::Grouped),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Distinct(_) => self.listed_step(&plan, Stage::Selected, Stage::Distinct),
            LogicalPlan::Sort(Sort { fetch, .. }) => {
                let stage = if fetch.is_some() { Stage::Limited } else { Stage::Sorted };
                self.listed_step(&plan, Stage::Distinct, stage)
            }
            LogicalPlan::Limit(limit) => self.limit(limit),
            other => Ok(Block::new(other, Stage::Limited)),
        }
    }

    /// A plan over one input that must not be further than `most`.
    fn step(&mut self, plan: &LogicalPlan, most: Stage, stage: Stage) -> Result<Block> {
        let input = self.block(input_of(plan))?;
        let input = if input.stage > most { self.named(input)? } else { input };
        self.over(plan, vec![input], stage)
    }

    /// As [`Names::step`], where groups need a list of columns.
    fn listed_step(&mut self, plan: &LogicalPlan, most: Stage, stage: Stage) -> Result<Block> {
        let input = self.block(input_of(plan))?;
        let input = if input.stage > most { self.named(input)? } else { input };
        self.over(plan, vec![input.listed()?], stage)
    }

    /// A list of columns of sorted rows takes the place of the list below the order: the rows of a subquery have none.
    fn projection(&mut self, projection: Projection) -> Result<Block> {
        let schema = Arc::clone(projection.input.schema());
        let input = self.block(unshared(Arc::clone(&projection.input)))?;
        // Of no columns only their number counts.
        if projection.expr.is_empty() || !can_select_below(&input.plan) {
            let input = if input.stage > Stage::Having { self.named(input)? } else { input };
            return self.list(projection, input);
        }
        let exprs = projection.expr.into_iter().map(|expr| self.renamed(expr, &schema, &input.columns));
        let plan = select_below(input.plan, exprs.collect::<Result<_>>()?)?;
        Ok(Block::new(plan, input.stage))
    }

    /// A list of columns, some of them made of others, of one input.
    fn list(&mut self, projection: Projection, input: Block) -> Result<Block> {
        let mut exprs = Vec::new();
        for expr in projection.expr {
            let expr = self.renamed(expr, projection.input.schema(), &input.columns)?;
            let is_column = matches!(expr.clone().unalias_nested().data, Expr::Column(_));
            exprs.push(if is_column { expr } else { signed(expr, &input.plan)? });
        }
        let plan = Projection::try_new(not_empty(exprs), Arc::new(input.plan))?;
        Ok(Block::new(LogicalPlan::Projection(plan), Stage::Selected))
    }

    /// Limits on each other are one.
    fn limit(&mut self, limit: Limit) -> Result<Block> {
        let input = self.block(unshared(Arc::clone(&limit.input)))?;
        if let (LogicalPlan::Limit(inner), Some((skip, fetch))) = (&input.plan, together(&limit, &input.plan)?) {
            let plan = LogicalPlanBuilder::from(unshared(Arc::clone(&inner.input))).limit(skip, fetch)?.build()?;
            return Ok(Block { plan, ..input });
        }
        let input = if input.stage > Stage::Sorted { self.named(input)? } else { input };
        self.over(&LogicalPlan::Limit(limit), vec![input.listed()?], Stage::Limited)
    }

    fn filter(&mut self, plan: &LogicalPlan) -> Result<Block> {
        let input = self.block(input_of(plan))?;
        let (input, stage) = match input.stage {
            Stage::Named | Stage::Joined | Stage::Filtered => (input, Stage::Filtered),
            Stage::Grouped => (input, Stage::Having),
            _ => (self.named(input)?, Stage::Filtered),
        };
        self.over(plan, vec![input], stage)
    }

    fn join(&mut self, plan: &LogicalPlan) -> Result<Block> {
        let mut sides = Vec::new();
        for side in plan.inputs() {
            let side = self.block(side.clone())?;
            sides.push(if side.stage > Stage::Named { self.named(side)? } else { side });
        }
        self.over(plan, sides, Stage::Joined)
    }

    /// The node `plan` over other inputs, whose columns have other names.
    fn over(&mut self, plan: &LogicalPlan, inputs: Vec<Block>, stage: Stage) -> Result<Block> {
        let schemas: Vec<_> = plan.inputs().into_iter().map(|input| Arc::clone(input.schema())).collect();
        let schema = schemas[1..].iter().try_fold(DFSchema::clone(&schemas[0]), |all, schema| all.join(schema))?;
        let (plans, columns): (Vec<_>, Vec<_>) = inputs.into_iter().map(|input| (input.plan, input.columns)).unzip();
        let columns = columns.concat();
        let mut exprs = Vec::new();
        for expr in plan.expressions() {
            exprs.push(self.renamed(expr, &schema, &columns)?);
        }
        let keeps_columns = !matches!(plan, LogicalPlan::Aggregate(_));
        let plan = plan.with_new_exprs(exprs, plans)?;
        let block = Block::new(plan, stage);
        Ok(if keeps_columns { Block { columns, ..block } } else { block })
    }

    /// `expr` over `schema` as one over the same columns by the names `columns`.
    fn renamed(&mut self, expr: Expr, schema: &DFSchema, columns: &[Expr]) -> Result<Expr> {
        let renamed = expr.transform_up(|part| match part {
            Expr::Column(column) => {
                let name = columns[schema.index_of_column(&column)?].clone();
                let same = matches!(&name, Expr::Column(name) if *name == column);
                Ok(if same { Transformed::no(Expr::Column(column)) } else { Transformed::yes(name) })
            }
            Expr::ScalarSubquery(subquery) => {
                let plan = self.selected(LogicalPlan::clone(&subquery.subquery))?.plan;
                let subquery = Subquery { subquery: Arc::new(plan), ..subquery };
                Ok(Transformed::yes(Expr::ScalarSubquery(subquery)))
            }
            other => Ok(Transformed::no(other)),
        });
        Ok(renamed?.data)
    }

    /// The block as a subquery that can stand where a table can.
    fn named(&mut self, block: Block) -> Result<Block> {
        let name = self.next("rows");
        self.named_as(block, name.into())
    }

    fn named_as(&mut self, block: Block, name: TableReference) -> Result<Block> {
        let names = self.column_names(block.plan.schema());
        let plan = with_names(block.plan, &block.columns, &names)?;
        let alias = SubqueryAlias::try_new(Arc::new(plan), name)?;
        Ok(Block::new(LogicalPlan::SubqueryAlias(alias), Stage::Named))
    }

    /// Names that tell the columns apart; their own where these do.
    fn column_names(&mut self, schema: &DFSchema) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for field in schema.fields() {
            let is_plain = !field.name().contains(['(', '.']) && !names.contains(field.name());
            names.push(if is_plain { field.name().clone() } else { self.next("column") });
        }
        names
    }

    fn alias(&mut self, alias: SubqueryAlias) -> Result<Block> {
        match alias.input.as_ref() {
            LogicalPlan::TableScan(scan) => {
                let columns = LogicalPlan::SubqueryAlias(alias.clone()).schema().columns();
                let table = Arc::new(table(scan.clone())?.plan);
                let plan = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(table, alias.alias)?);
                Ok(Block { columns: columns.into_iter().map(Expr::Column).collect(), ..Block::new(plan, Stage::Named) })
            }
            LogicalPlan::Union(union) => self.union(union, alias.alias),
            input => {
                let block = self.block(input.clone())?;
                self.named_as(block, alias.alias)
            }
        }
    }

    /// The parts of a UNION ALL as a subquery; the names of the first one are those of all.
    fn union(&mut self, union: &Union, name: TableReference) -> Result<Block> {
        let names = self.column_names(&union.schema);
        let mut parts = Vec::new();
        for part in &union.inputs {
            let mut block = self.block(LogicalPlan::clone(part))?;
            // The order and the limit of a part would become those of the whole.
            if block.stage > Stage::Selected {
                block = self.named(block)?;
            }
            parts.push(Arc::new(with_names(block.plan, &block.columns, &names)?));
        }
        let union = LogicalPlan::Union(Union::try_new(parts)?);
        let alias = SubqueryAlias::try_new(Arc::new(union), name)?;
        Ok(Block::new(LogicalPlan::SubqueryAlias(alias), Stage::Named))
    }
}

/// A table whose columns are listed by what is above it; a list of its own would make a subquery of it.
fn table(scan: TableScan) -> Result<Block> {
    let columns = scan.projected_schema.columns().into_iter().map(Expr::Column).collect();
    let plan = TableScanBuilder::new(scan.table_name, scan.source).with_filters(scan.filters).build()?;
    Ok(Block { columns, ..Block::new(LogicalPlan::TableScan(plan), Stage::Named) })
}

/// Whether these are rows in an order that does not depend on which columns are listed.
fn can_select_below(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Limit(limit) => can_select_below(&limit.input),
        LogicalPlan::Sort(sort) => matches!(sort.input.as_ref(), LogicalPlan::Projection(_)),
        _ => false,
    }
}

/// Lists `exprs` over the columns of the plan below its order.
fn select_below(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(Limit { skip, fetch, input }) => {
            let input = Arc::new(select_below(unshared(input), exprs)?);
            Ok(LogicalPlan::Limit(Limit { skip, fetch, input }))
        }
        LogicalPlan::Sort(Sort { expr, input, fetch }) => {
            let LogicalPlan::Projection(below) = input.as_ref() else {
                return internal_err!("an order without a list of columns");
            };
            let keys = expr.into_iter().map(|key| Ok(SortExpr { expr: substituted(key.expr, below)?, ..key }));
            let expr = keys.collect::<Result<_>>()?;
            let exprs = exprs.into_iter().map(|expr| keeping_name(expr, below)).collect::<Result<_>>()?;
            let input = Projection::try_new(exprs, Arc::clone(&below.input))?;
            Ok(LogicalPlan::Sort(Sort { expr, input: Arc::new(LogicalPlan::Projection(input)), fetch }))
        }
        other => internal_err!("no order in {}", other.display()),
    }
}

/// A list item over the columns of a list, as one over what they are made of.
fn keeping_name(expr: Expr, below: &Projection) -> Result<Expr> {
    let (table, name) = expr.qualified_name();
    let item = substituted(expr, below)?.unalias_nested().data;
    let has_name = matches!(&item, Expr::Column(column) if column.name == name);
    Ok(if has_name { item } else { item.alias_qualified(table, name) })
}

fn substituted(expr: Expr, below: &Projection) -> Result<Expr> {
    let made_of = expr.transform_up(|part| match part {
        Expr::Column(column) => Ok(match below.schema.maybe_index_of_column(&column) {
            Some(place) => Transformed::yes(below.expr[place].clone().unalias_nested().data),
            None => Transformed::no(Expr::Column(column)),
        }),
        other => Ok(Transformed::no(other)),
    });
    Ok(made_of?.data)
}

/// What a limit of limited rows lets pass of all; `None` when it is not known yet.
fn together(outer: &Limit, inner: &LogicalPlan) -> Result<Option<(usize, Option<usize>)>> {
    let LogicalPlan::Limit(inner) = inner else { return Ok(None) };
    let known = |limit: &Limit| {
        Ok::<_, DataFusionError>(match (limit.get_skip_type()?, limit.get_fetch_type()?) {
            (SkipType::Literal(skip), FetchType::Literal(fetch)) => Some((skip, fetch)),
            _ => None,
        })
    };
    let both = known(inner)?.zip(known(outer)?);
    Ok(both.map(|((skip, fetch), (then_skip, then_fetch))| combine_limit(then_skip, then_fetch, skip, fetch)))
}

fn input_of(plan: &LogicalPlan) -> LogicalPlan {
    plan.inputs()[0].clone()
}

/// The plan of a block with these names for its columns, which are called `columns` now.
fn with_names(plan: LogicalPlan, columns: &[Expr], names: &[String]) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(Limit { skip, fetch, input }) => {
            let input = Arc::new(with_names(unshared(input), columns, names)?);
            Ok(LogicalPlan::Limit(Limit { skip, fetch, input }))
        }
        LogicalPlan::Sort(Sort { expr, input, fetch }) => {
            let schema = Arc::clone(input.schema());
            let expr = expr.into_iter().map(|key| by_name(key, &schema, names)).collect::<Result<_>>()?;
            let input = Arc::new(with_names(unshared(input), columns, names)?);
            Ok(LogicalPlan::Sort(Sort { expr, input, fetch }))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(with_names(unshared(input), columns, names)?))))
        }
        LogicalPlan::Projection(Projection { expr, input, .. }) => select(expr, input, names),
        other => select(columns.to_vec(), Arc::new(other), names),
    }
}

fn unshared(plan: Arc<LogicalPlan>) -> LogicalPlan {
    Arc::unwrap_or_clone(plan)
}

/// A key of an order over a list of columns, as one over their names; what is not listed stays as it is.
fn by_name(key: SortExpr, schema: &DFSchema, names: &[String]) -> Result<SortExpr> {
    let expr = key.expr.transform_up(|part| match part {
        Expr::Column(column) => Ok(match schema.maybe_index_of_column(&column) {
            Some(place) => Transformed::yes(Expr::Column(Column::new_unqualified(&names[place]))),
            None => Transformed::no(Expr::Column(column)),
        }),
        other => Ok(Transformed::no(other)),
    });
    Ok(SortExpr { expr: expr?.data, ..key })
}

fn select(exprs: Vec<Expr>, input: Arc<LogicalPlan>, names: &[String]) -> Result<LogicalPlan> {
    let listed = exprs.into_iter().zip(names).map(|(expr, name)| {
        let expr = expr.unalias_nested().data;
        let expr = if matches!(expr, Expr::Column(_)) { signed(expr, &input)? } else { expr };
        Ok(match expr {
            Expr::Column(column) if column.name == *name => Expr::Column(column),
            other => other.alias(name),
        })
    });
    let listed = not_empty(listed.collect::<Result<_>>()?);
    Ok(LogicalPlan::Projection(Projection::try_new(listed, input)?))
}

/// SQL has no empty list of columns; of such rows only their number counts.
fn not_empty(exprs: Vec<Expr>) -> Vec<Expr> {
    if exprs.is_empty() { vec![lit(1_i64).alias("one")] } else { exprs }
}

/// `expr` over the columns of `input` with counts and sums that have the type that they have here. The server's have no
/// sign where what is summed has none, like `1`, and it finds no type in common with what has one.
fn signed(expr: Expr, input: &LogicalPlan) -> Result<Expr> {
    let aggregate = match input {
        LogicalPlan::Filter(filter) => return signed(expr, &filter.input),
        LogicalPlan::Aggregate(aggregate) => aggregate,
        _ => return Ok(expr),
    };
    let signed = expr.transform_up(|part| match part {
        Expr::Column(column) if is_number_of(aggregate, &column) => {
            Ok(Transformed::yes(cast(Expr::Column(column), DataType::Int64)))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(signed?.data)
}

/// Whether the column is a count, or a sum of whole numbers.
fn is_number_of(aggregate: &Aggregate, column: &Column) -> bool {
    let Some(place) = aggregate.schema.maybe_index_of_column(column) else { return false };
    let made_of = place.checked_sub(aggregate.group_expr.len()).and_then(|place| aggregate.aggr_expr.get(place));
    let Some(made_of) = made_of.map(|expr| expr.clone().unalias_nested().data) else { return false };
    matches!(made_of, Expr::AggregateFunction(call) if ["count", "sum"].contains(&call.func.name()))
        && *aggregate.schema.field(place).data_type() == DataType::Int64
}
