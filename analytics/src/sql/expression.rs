//! One expression of users over the columns of a record: what parsers of payloads are made of.
//!
//! It goes through the same lists as a statement, as the only column of one, and must be nothing else: no aggregate, no
//! window, no subquery. What it gives depends on the record alone, so that there is no present.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNode;
use datafusion::config::ConfigOptions;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::Analyzer;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use telemetrics_schema::attributes::ATTRIBUTES;
use telemetrics_schema::columns::{RECORDS, record_schema};

use super::error::explained;
use super::functions::Functions;
use super::growing::Budget;
use super::{allowed, complexity, planner, statement};
use crate::error::Error;

/// Longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4 << 10;
/// Most keywords and operators of an expression: each of them is one more pass over a payload.
pub const EXPRESSION_OPERATORS_MAX: usize = 100;
/// Bytes that one call may make of the records that it is given at a time.
const CALL_BYTES_MAX: u64 = 8 << 20;

/// An expression that gives a text, or null, for each record.
#[derive(Debug)]
pub(crate) struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    places: Vec<usize>,
}

impl Expression {
    /// Reads an expression over the columns of the table of records but `attributes`.
    ///
    /// Walking over it takes stack for each of its levels: call this on a thread with some megabytes of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is wrong or refused, [`Error::TooMuch`] what is too large.
    pub(crate) fn compile(text: &str) -> Result<Self, Error> {
        let places = input_places();
        let (expr, input) = typed(text, &places)?;
        let properties = ExecutionProps::new();
        let physical = create_physical_expr(&expr, input.schema(), &properties, &PhysicalPlanningContext::default());
        Ok(Self { physical: physical.map_err(explained)?, places })
    }

    /// What it gives for each row of a batch with the columns of records.
    ///
    /// # Errors
    /// When it cannot be computed for one of the rows: then there is an answer for none of them.
    pub(crate) fn evaluate(&self, records: &RecordBatch) -> Result<StringViewArray, Error> {
        let values = self.physical.evaluate(&records.project(&self.places)?).map_err(explained)?;
        let values: ArrayRef = values.into_array(records.num_rows()).map_err(explained)?;
        let texts = values.as_any().downcast_ref::<StringViewArray>().cloned();
        texts.ok_or_else(|| Error::Internal("an expression of another type".to_owned()))
    }
}

/// Parsers do not see what parsers made.
fn input_places() -> Vec<usize> {
    let schema = record_schema();
    (0..schema.fields().len()).filter(|place| schema.field(*place).name() != ATTRIBUTES).collect()
}

/// The expression as a text, and the table that it is over.
fn typed(text: &str, places: &[usize]) -> Result<(Expr, Arc<LogicalPlan>), Error> {
    let query = statement::of_expression(text, EXPRESSION_BYTES_MAX, EXPRESSION_OPERATORS_MAX)?;
    let budget = Arc::new(Budget::default());
    budget.set(CALL_BYTES_MAX);
    let functions = Functions::of_data(&budget);
    let schema: SchemaRef = Arc::new(Schema::clone(&record_schema()).project(places)?);
    let records = provider_as_source(Arc::new(EmptyTable::new(schema)));
    let plan = planner::plan(query, HashMap::from([(RECORDS, records)]), &functions)?;
    complexity::check(&plan)?;
    allowed::check(&plan, &functions)?;
    let analyzed = Analyzer::new().execute_and_check(plan, &ConfigOptions::default(), |_, _| {});
    let LogicalPlan::Projection(projection) = analyzed.map_err(explained)? else { return Err(refused()) };
    let ([expr], LogicalPlan::TableScan(_)) = (projection.expr.as_slice(), projection.input.as_ref()) else {
        return Err(refused());
    };
    if expr.exists(|part| Ok(is_query(part)))? {
        return Err(refused());
    }
    let expr = expr.clone().unalias();
    match expr.get_type(projection.input.schema().as_ref()).map_err(explained)? {
        kind if is_shown(&kind) => Ok((cast(expr, DataType::Utf8View), Arc::clone(&projection.input))),
        kind => {
            Err(Error::Invalid(format!("it gives {kind}, and has to give a text, a number, a truth or an instant")))
        }
    }
}

fn is_query(part: &Expr) -> bool {
    matches!(
        part,
        Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
    )
}

fn is_shown(kind: &DataType) -> bool {
    let is_text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    is_text || kind.is_numeric() || matches!(kind, DataType::Boolean | DataType::Timestamp(..) | DataType::Date32)
}

fn refused() -> Error {
    Error::Invalid("it has to be made of one record alone: no aggregate, no window, no subquery".to_owned())
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use telemetrics_schema::batch::to_batch;
    use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

    use super::*;

    fn value(text: &str, payload: &str) -> Option<String> {
        let report = Report { payload: payload.to_owned(), severity: 3, ..Report::default() };
        let record = Record { id: RecordId(1), ts_reception: TimestampUs(0), report };
        let batch = to_batch([&record]).expect("a batch");
        let values = Expression::compile(text).expect(text).evaluate(&batch).expect(text);
        values.is_valid(0).then(|| values.value(0).to_owned())
    }

    fn refusal(text: &str) -> String {
        Expression::compile(text).expect_err(text).to_string()
    }

    #[test]
    fn an_expression_gives_a_text_or_nothing() {
        for (text, expected) in [
            ("regexp_match(payload, 'STATUS ([0-9a-f]+)')", Some("8c00")),
            ("lower(regexp_match(payload, 'STATUS [0-9a-f]+'))", Some("status 8c00")),
            ("decode(regexp_match(payload, 'b64=(\\S+)'), 'base64')", Some("hello")),
            ("json_text(regexp_match(payload, '\\{.*\\}'), '/a/0')", Some("1")),
            ("severity + 1", Some("4")),
            ("severity > 2", Some("true")),
            ("CASE WHEN payload LIKE '%STATUS%' THEN 'yes' END -- a comment", Some("yes")),
            ("regexp_match(payload, 'nothing')", None),
        ] {
            assert_eq!(value(text, "STATUS 8c00 b64=aGVsbG8= {\"a\":[1]}").as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_more_than_an_expression_is_refused() {
        for text in [
            "",
            "payload FROM records",
            "payload, severity",
            "payload) FROM records --",
            "payload AS p",
            "*",
            "count(*)",
            "max(payload)",
            "row_number() OVER ()",
            "(SELECT 1)",
            "EXISTS (SELECT 1)",
            "severity IN (SELECT severity FROM records)",
            "attributes",
            "no_such",
            "now()",
            "current_date()",
            "pg_sleep(1)",
            "array_agg(payload)",
            "regexp_match(payload, machine_id)",
            "regexp_match(payload, '(')",
            "decode(payload, 'rot13')",
            "attribute(payload, machine_id)",
            "CAST(payload AS BYTEA)",
            "payload; SELECT 1",
        ] {
            assert!(!refusal(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn an_expression_has_an_end() {
        let long = |bytes: usize| format!("'{}'", "x".repeat(bytes - 2));
        assert!(Expression::compile(&long(EXPRESSION_BYTES_MAX)).is_ok());
        assert!(matches!(Expression::compile(&long(EXPRESSION_BYTES_MAX + 1)), Err(Error::TooMuch(_))));
        let sum = |operators: usize| format!("1{}", "+1".repeat(operators));
        assert!(Expression::compile(&sum(EXPRESSION_OPERATORS_MAX)).is_ok());
        assert!(matches!(Expression::compile(&sum(EXPRESSION_OPERATORS_MAX + 1)), Err(Error::TooMuch(_))));
    }

    #[test]
    fn what_grows_fails_before_it_is_made() {
        let expression = Expression::compile("repeat(payload, 1000000000)").expect("an expression");
        let report = Report { payload: "x".to_owned(), ..Report::default() };
        let record = Record { id: RecordId(1), ts_reception: TimestampUs(0), report };
        assert!(expression.evaluate(&to_batch([&record]).expect("a batch")).is_err());
    }
}
