//! How ClickHouse writes what DataFusion's unparser would write for other databases.

use std::sync::Arc;

use datafusion::arrow::datatypes::TimeUnit;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{self, DataType, Ident, ObjectName};
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::Dialect;

use super::error::ClickHouseError;
use super::functions::{Piece, translate};
use super::literals::{finished, quote};
use super::parentheses::PARENTHESES;

/// See the module.
pub(super) struct ClickHouseDialect;

impl Dialect for ClickHouseDialect {
    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn string_literal_to_sql(&self, text: &str) -> Option<ast::Expr> {
        Some(finished(quote(text)))
    }

    fn supports_column_alias_in_table_alias(&self) -> bool {
        false
    }

    fn requires_derived_table_alias(&self) -> bool {
        true
    }

    fn int8_cast_dtype(&self) -> DataType {
        named("Int8")
    }

    fn int32_cast_dtype(&self) -> DataType {
        named("Int32")
    }

    fn int64_cast_dtype(&self) -> DataType {
        named("Int64")
    }

    fn float64_ast_dtype(&self) -> DataType {
        named("Float64")
    }

    fn utf8_cast_dtype(&self) -> DataType {
        named("String")
    }

    fn large_utf8_cast_dtype(&self) -> DataType {
        named("String")
    }

    fn date32_cast_dtype(&self) -> DataType {
        // Date ends in 2149.
        named("Date32")
    }

    fn timestamp_cast_dtype(&self, unit: &TimeUnit, _zone: &Option<Arc<str>>) -> DataType {
        let digits = match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond => 6,
            TimeUnit::Nanosecond => 9,
        };
        named(&format!("DateTime64({digits}, 'UTC')"))
    }

    fn scalar_function_to_sql_overrides(
        &self,
        unparser: &Unparser,
        name: &str,
        args: &[Expr],
    ) -> Result<Option<ast::Expr>> {
        if let (PARENTHESES, [inner]) = (name, args) {
            return Ok(Some(finished(format!("({})", unparser.expr_to_sql(inner)?))));
        }
        // A function that no list knows must not be written under its own name, which may mean something else there.
        let pieces = translate(name, args)
            .ok_or_else(|| ClickHouseError::Failed(format!("the function {name} is not for ClickHouse")))?;
        let mut sql = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => sql.push_str(&text),
                Piece::Argument(index) => sql.push_str(&unparser.expr_to_sql(&args[index])?.to_string()),
            }
        }
        Ok(Some(finished(sql)))
    }
}

/// A type written as it is.
fn named(name: &str) -> DataType {
    DataType::Custom(ObjectName::from(vec![Ident::new(name)]), Vec::new())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::DataType as Arrow;
    use datafusion::prelude::{cast, col, lit};
    use datafusion::scalar::ScalarValue;

    use super::*;

    fn sql(expr: &Expr) -> String {
        Unparser::new(&ClickHouseDialect).expr_to_sql(expr).expect("SQL").to_string()
    }

    #[test]
    fn texts_stay_inside_their_quotes() {
        let smuggled = col("build").eq(lit(r"x\' OR 1=1 -- "));
        assert_eq!(sql(&smuggled), r"(`build` = 'x\\\' OR 1=1 -- ')");
        let pattern = col("build").like(lit(r"\' OR '1'='1"));
        assert_eq!(sql(&pattern), r"`build` LIKE '\\\' OR \'1\'=\'1'");
        let listed = col("build").in_list(vec![lit(r"') OR (\'")], false);
        assert_eq!(sql(&listed), r"`build` IN ('\') OR (\\\'')");
    }

    #[test]
    fn instants_and_types_are_clickhouses() {
        let instant = Expr::Literal(ScalarValue::TimestampMicrosecond(Some(1_500_000), None), None);
        assert_eq!(sql(&instant), "CAST('1970-01-01 00:00:01.500' AS DateTime64(6, 'UTC'))");
        assert_eq!(sql(&cast(col("severity"), Arrow::Int64)), "CAST(`severity` AS Int64)");
        assert_eq!(sql(&cast(col("severity"), Arrow::Utf8View)), "CAST(`severity` AS String)");
    }
}
