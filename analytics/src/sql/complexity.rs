//! How large a plan may be before anybody works on it.
//!
//! A short statement can mean a huge plan: a subquery that is named once and used twice, thirty times over, is a plan of
//! a billion nodes. And the optimizer puts expressions into the place of columns: one that doubles in each of thirty
//! subqueries is as large once a condition is moved below them. Both are counted here, and nothing larger is tried.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use datafusion::sql::sqlparser::ast::{ObjectName, Query, Visit, Visitor};

use crate::error::Error;

/// Most nodes of a plan: tables, joins, conditions, lists of columns.
const NODES_MAX: usize = 500;
/// Most operators and calls of an expression, with all that its columns are made of.
const EXPRESSION_MAX: u64 = 2_000;

/// Most tables that a statement reads, when each name of a subquery stands for all that the subquery reads. The planner
/// looks at them one by one.
const TABLES_MAX: u64 = 200;

/// Refuses a statement that would become too large a plan, before there is one.
///
/// # Errors
/// [`Error::TooMuch`].
pub(super) fn check_names(query: &Query) -> Result<(), Error> {
    let mut read = Read { queries: vec![Names::default()] };
    let _all_of_it: ControlFlow<()> = query.visit(&mut read);
    if read.queries.iter().all(|names| names.tables <= TABLES_MAX) {
        return Ok(());
    }
    Err(Error::TooMuch(format!(
        "a statement reads at most {TABLES_MAX} tables, with those of the subqueries that it names"
    )))
}

/// Counts what is read by the queries that a walk is in, the outermost first.
struct Read {
    queries: Vec<Names>,
}

/// What is known of one query.
#[derive(Default)]
struct Names {
    /// Subqueries with a name (WITH) that the walk has not been in; they come first, in their order.
    expected: VecDeque<String>,
    /// Tables that those it has been in read.
    named: HashMap<String, u64>,
    /// Tables that the query itself reads.
    tables: u64,
}

impl Visitor for Read {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let expected = with.map(|named| named.alias.name.value.to_ascii_lowercase()).collect();
        self.queries.push(Names { expected, ..Names::default() });
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let name = name.to_string().to_ascii_lowercase();
        let known = self.queries.iter().rev().find_map(|names| names.named.get(&name).copied());
        if let Some(query) = self.queries.last_mut() {
            query.tables = query.tables.saturating_add(known.unwrap_or(1));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        let tables = self.queries.pop().map_or(0, |query| query.tables.max(1));
        if let Some(outer) = self.queries.last_mut() {
            match outer.expected.pop_front() {
                Some(name) => drop(outer.named.insert(name, tables)),
                None => outer.tables = outer.tables.saturating_add(tables),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Refuses a plan that is too large.
///
/// # Errors
/// [`Error::TooMuch`].
pub(super) fn check(plan: &LogicalPlan) -> Result<(), Error> {
    let mut counted = Counted { nodes: 0 };
    counted.weights(plan).map(drop)
}

struct Counted {
    nodes: usize,
}

impl Counted {
    /// What each column of the plan is made of, in operators and calls.
    fn weights(&mut self, plan: &LogicalPlan) -> Result<Vec<u64>, Error> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Error::TooMuch(format!(
                "a statement has at most {NODES_MAX} subqueries, joins and conditions"
            )));
        }
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            inputs.push(self.weights(input)?);
        }
        let below = Below { plan, weights: &inputs };
        let mut own = Vec::new();
        for expr in plan.expressions() {
            own.push(self.weight(&expr, &below)?);
        }
        let columns = plan.schema().fields().len();
        Ok(match plan {
            LogicalPlan::Projection(_) => own,
            // A group is an expression that conditions are moved below of; what an aggregate gives is a value.
            LogicalPlan::Aggregate(aggregate) => {
                let groups = aggregate.group_expr.len();
                own.into_iter().take(groups).chain(std::iter::repeat(1)).take(columns).collect()
            }
            LogicalPlan::Union(_) => (0..columns).map(|place| largest(&inputs, place)).collect(),
            _ => inputs.into_iter().flatten().chain(std::iter::repeat(1)).take(columns).collect(),
        })
    }

    fn weight(&mut self, expr: &Expr, below: &Below<'_>) -> Result<u64, Error> {
        let mut weight = 0_u64;
        let mut subqueries: Vec<Subquery> = Vec::new();
        let walked = expr.apply(|part| {
            weight = weight.saturating_add(match part {
                Expr::Column(column) => below.weight(column),
                Expr::Literal(..) => 0,
                _ => 1,
            });
            match part {
                Expr::ScalarSubquery(subquery) => subqueries.push(subquery.clone()),
                Expr::Exists(exists) => subqueries.push(exists.subquery.clone()),
                Expr::InSubquery(inside) => subqueries.push(inside.subquery.clone()),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
        walked?;
        for subquery in subqueries {
            self.weights(&subquery.subquery)?;
        }
        if weight > EXPRESSION_MAX {
            return Err(Error::TooMuch(format!(
                "an expression has at most {EXPRESSION_MAX} operators and calls, with those that its columns are made of"
            )));
        }
        Ok(weight)
    }
}

/// What an expression of a plan is over.
struct Below<'a> {
    plan: &'a LogicalPlan,
    weights: &'a [Vec<u64>],
}

impl Below<'_> {
    fn weight(&self, column: &datafusion::common::Column) -> u64 {
        let found = self.plan.inputs().into_iter().zip(self.weights).find_map(|(input, weights)| {
            let place = input.schema().maybe_index_of_column(column)?;
            weights.get(place).copied()
        });
        found.unwrap_or(1)
    }
}

fn largest(inputs: &[Vec<u64>], place: usize) -> u64 {
    inputs.iter().filter_map(|weights| weights.get(place)).copied().max().unwrap_or(1)
}
