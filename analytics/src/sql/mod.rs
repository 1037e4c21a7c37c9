//! Statements of users: one SQL statement that only asks, over tables as a view shows them, within limits.
//!
//! What may be said is decided by lists, in this order: kinds of statements and parts of queries (`statement.rs`), names
//! of functions (`functions.rs`) and tables (`tables.rs`), and once more by the plan that the words became
//! (`allowed.rs`). How large that plan may be is decided by `complexity.rs`.
//!
//! What bounds a statement that runs:
//! - Memory: a pool of its own, without a disk to spill to. What the engine does not count is counted or bounded here:
//!   what one call makes of one batch (`growing.rs`), texts that are written out, rows of windows (`guards.rs`).
//! - Rows of its answer are counted while they are given out.
//! - Time: whoever drives the answer drops it. That ends it where an operator waits; what works without waiting works
//!   on one batch of [`BATCH_ROWS`] rows, with functions that take linear time, and on threads that do nothing else.

mod allowed;
mod columns;
mod complexity;
mod concat;
mod described;
mod doubling;
mod error;
mod expression;
mod functions;
mod growing;
mod guards;
mod instants;
mod payloads;
mod planner;
mod statement;
mod tables;
mod template;

use std::sync::Arc;

use datafusion::dataframe::DataFrame;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::sql::sqlparser::ast::Query;

pub use allowed::COMPARED_ROWS_MAX;
pub(crate) use concat::CONCAT_OPERATOR;
pub(crate) use error::explained;
pub(crate) use expression::Expression;
pub use expression::{EXPRESSION_BYTES_MAX, EXPRESSION_OPERATORS_MAX};
pub(crate) use payloads::{ATTRIBUTE, attribute_pattern};
pub use statement::{OPERATORS_MAX, STATEMENT_BYTES_MAX};
pub use tables::CRASHES;
pub use template::{Bound, Literal, Template};

use crate::error::Error;
use crate::rows::Rows;
use crate::view::View;
use functions::Functions;
use growing::Budget;
use statement::Statement;

/// Rows of a batch of a statement: what is worked on without a look at anything else.
pub const BATCH_ROWS: usize = 2_048;

/// What one statement may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// Memory of its operators, in bytes; above it, it fails.
    pub memory_bytes: usize,
    /// Rows of its answer.
    pub rows: usize,
    /// Parts that it is worked on at the same time.
    pub threads: usize,
}

/// The rule that puts guards into the plans of statements.
pub(crate) fn guards() -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
    Arc::new(guards::Guards)
}

/// The answer to one statement over what `view` shows; nothing of it is read before it is opened.
///
/// Walking over a statement takes stack for each of its levels, of which it may have [`OPERATORS_MAX`]: call this, and
/// drop what it gives, on a thread with tens of megabytes of it.
///
/// # Errors
/// [`Error::Invalid`] says what is refused or wrong, [`Error::TooMuch`] what is too large.
pub async fn answer(view: &View, statement: &str, limits: &SqlLimits) -> Result<Rows, Error> {
    answer_read(view, statement::read(statement)?, limits).await
}

/// As [`answer`], of a template with its values.
///
/// # Errors
/// As [`answer`].
pub async fn answer_bound(view: &View, statement: &Bound, limits: &SqlLimits) -> Result<Rows, Error> {
    answer_read(view, statement.read()?, limits).await
}

async fn answer_read(view: &View, statement: Statement, limits: &SqlLimits) -> Result<Rows, Error> {
    let state = view.sql_state(limits)?;
    let asked = Asked { view, limits, state: &state };
    let frame = match statement {
        Statement::Rows(query) => DataFrame::new(state.clone(), asked.plan(query)?),
        Statement::Plan(query) => described::plan(&state, asked.plan(query)?).await?,
        Statement::Columns(query) => described::columns(&state, &asked.plan(query)?)?,
        Statement::Table(name) => described::table(&state, view, named(&name)?)?,
        Statement::Tables => described::tables(&state)?,
    };
    Ok(Rows::asked(frame, limits.rows))
}

fn named(name: &str) -> Result<&'static tables::Table, Error> {
    let unknown = || format!("there is no table {}; the tables are {}", statement::shown(&name), tables::names());
    tables::named(&name.to_ascii_lowercase()).ok_or_else(|| Error::Invalid(unknown()))
}

struct Asked<'a> {
    view: &'a View,
    limits: &'a SqlLimits,
    state: &'a SessionState,
}

impl Asked<'_> {
    fn plan(&self, query: Box<Query>) -> Result<LogicalPlan, Error> {
        let budget = Arc::new(Budget::default());
        let functions = Functions::new(self.view.now(), &budget);
        complexity::check_names(&query)?;
        let plan = planner::plan(query, planner::sources(self.view)?, &functions)?;
        complexity::check(&plan)?;
        let found = allowed::check(&plan, &functions)?;
        budget.set(self.call_bytes(found.growing_calls));
        self.check_texts(found.text_bytes)?;
        // Analysed here, for the types that the answer will have.
        let analyzed = self.state.analyzer().execute_and_check(plan, self.state.config().options(), |_, _| {});
        let plan = columns::writable(analyzed.map_err(explained)?)?;
        // By rules that are the same for both stores, and of which nothing but this is wanted.
        let optimized = Optimizer::new().optimize(plan.clone(), &OptimizerContext::new(), |_, _| {});
        allowed::check_joins(&optimized.map_err(explained)?)?;
        Ok(plan)
    }

    /// Every thread may have one batch of each call in its hands.
    fn call_bytes(&self, calls: u64) -> u64 {
        self.limits.memory_bytes as u64 / (calls.max(1) * self.limits.threads as u64)
    }

    /// A text that is written out is there once for each row of a batch.
    fn check_texts(&self, bytes: u64) -> Result<(), Error> {
        let limit = self.limits.memory_bytes as u64 / (BATCH_ROWS * self.limits.threads) as u64;
        if bytes > limit {
            return Err(Error::TooMuch(format!("the texts in its columns have {bytes} bytes, and may have {limit}")));
        }
        Ok(())
    }
}
