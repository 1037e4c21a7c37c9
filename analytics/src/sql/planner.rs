//! Makes a plan of a query. It knows the tables and functions of statements, and there is nothing else to be found: no
//! catalog, no file, no variable, no function of tables.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, TableReference, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion::functions_window::planner::WindowFunctionPlanner;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Query, Statement as Parsed};

use super::concat::CONCAT_OPERATOR;
use super::error::explained;
use super::functions::Functions;
use super::statement::shown;
use super::tables::{self, TABLES};
use crate::error::Error;
use crate::view::View;

/// The tables of statements, as `view` shows them.
///
/// # Errors
/// [`Error::Internal`] when one of them cannot be planned.
pub(super) fn sources(view: &View) -> Result<Sources, Error> {
    TABLES.iter().map(|table| Ok((table.name, provider_as_source((table.rows)(view)?)))).collect()
}

/// The plan of `query` over these tables.
///
/// # Errors
/// [`Error::Invalid`] when a name in it means nothing, or its types do not fit.
pub(super) fn plan(query: Box<Query>, sources: Sources, functions: &Functions) -> Result<LogicalPlan, Error> {
    let syntax: Arc<dyn ExprPlanner> = Arc::new(Syntax::of(functions));
    let planners = vec![Arc::new(AggregateFunctionPlanner) as _, Arc::new(WindowFunctionPlanner) as _, syntax];
    let known = Known { sources, functions, planners, options: ConfigOptions::default() };
    let options = ParserOptions::new().with_map_string_types_to_utf8view(true);
    let planner = SqlToRel::new_with_options(&known, options);
    planner.sql_statement_to_plan(Parsed::Query(query)).map_err(explained)
}

/// Tables by their names.
pub(super) type Sources = HashMap<&'static str, Arc<dyn TableSource>>;

struct Known<'a> {
    sources: Sources,
    functions: &'a Functions,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

impl ContextProvider for Known<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match &name {
            TableReference::Bare { table } if self.sources.contains_key(table.as_ref()) => {
                Ok(Arc::clone(&self.sources[table.as_ref()]))
            }
            other => plan_err!("there is no table {}; the tables are {}", shown(other), tables::names()),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalars.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.windows.get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalars.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.windows.keys().cloned().collect()
    }
}

/// Functions that have a syntax of their own.
#[derive(Debug)]
struct Syntax {
    extract: Option<Arc<ScalarUDF>>,
    substring: Option<Arc<ScalarUDF>>,
    position: Option<Arc<ScalarUDF>>,
    overlay: Option<Arc<ScalarUDF>>,
    concat: Option<Arc<ScalarUDF>>,
}

impl Syntax {
    fn of(functions: &Functions) -> Self {
        let function = |name: &str| functions.scalars.get(name).cloned();
        Self {
            extract: function("date_part"),
            substring: function("substr"),
            position: function("strpos"),
            overlay: function("overlay"),
            concat: function(CONCAT_OPERATOR),
        }
    }
}

fn call(function: Option<&Arc<ScalarUDF>>, args: Vec<Expr>) -> PlannerResult<Vec<Expr>> {
    match function {
        Some(function) => {
            PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args)))
        }
        None => PlannerResult::Original(args),
    }
}

impl ExprPlanner for Syntax {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let Some(function) = self.concat.as_ref().filter(|_| expr.op == BinaryOperator::StringConcat) else {
            return Ok(PlannerResult::Original(expr));
        };
        let call = ScalarFunction::new_udf(Arc::clone(function), vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }

    fn plan_position(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(call(self.position.as_ref(), args))
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(call(self.extract.as_ref(), args))
    }

    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(call(self.substring.as_ref(), args))
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(call(self.overlay.as_ref(), args))
    }
}
