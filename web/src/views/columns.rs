//! Which columns of an answer are drawn, and how; and whether a statement has them.

use arrow::datatypes::{DataType, Schema};
use telemetrics_analytics::questions::trends::Interval;

use crate::charts;
use crate::config::nearest;

/// Most columns of a table.
pub const TABLE_COLUMNS_MAX: usize = 20;

/// How the rows of an answer are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// As they are.
    Table,
    /// As a chart.
    Chart(charts::Kind, Columns),
    /// As bars with the share that each has of all.
    Share(Columns),
    /// As a table with a row for each label and a column for each series, with sums.
    Matrix(Columns),
}

/// What the columns of an answer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The one that names a category.
    pub label: String,
    /// The one that names a series, where a row has one number of one series.
    pub series: Option<String>,
    /// Those with the numbers: one where there is a column of series, else one for each series.
    pub values: Vec<String>,
    /// In which order the categories are.
    pub order: Order,
}

/// The order of categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// That of the rows; the first ones are shown.
    Rows,
    /// Older versions before newer ones; the newest ones are shown.
    Version,
    /// By time, with those in between that have no rows; the newest ones are shown.
    Every(Interval),
}

impl Shape {
    /// Whether the columns of an answer fit.
    ///
    /// # Errors
    /// A sentence about the first one that does not.
    pub fn check(&self, schema: &Schema) -> Result<(), String> {
        let columns = match self {
            Self::Table if schema.fields().len() > TABLE_COLUMNS_MAX => {
                let count = schema.fields().len();
                return Err(format!("the statement has {count} columns; a table shows at most {TABLE_COLUMNS_MAX}"));
            }
            Self::Table => return Ok(()),
            Self::Chart(_, columns) | Self::Share(columns) | Self::Matrix(columns) => columns,
        };
        let label = column(schema, "columns.label", &columns.label)?;
        let is_time = matches!(label, DataType::Timestamp(..) | DataType::Date32);
        if matches!(columns.order, Order::Every(_)) && !is_time {
            return Err(format!("`columns.every` needs instants or dates, and `{}` is {label}", columns.label));
        }
        if let Some(series) = &columns.series {
            column(schema, "columns.series", series)?;
        }
        for name in &columns.values {
            let of = column(schema, "columns.values", name)?;
            if !of.is_numeric() {
                return Err(format!("`columns.values` needs numbers, and `{name}` is {of}"));
            }
        }
        Ok(())
    }
}

fn column<'a>(schema: &'a Schema, key: &str, name: &str) -> Result<&'a DataType, String> {
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    if let Some((_, field)) = schema.column_with_name(name) {
        return Ok(field.data_type());
    }
    let nearest = nearest(name, names()).unwrap_or_default();
    Err(format!("`{key}` names `{name}`, which the statement does not have; the nearest is `{nearest}`"))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("week", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("class", DataType::Utf8View, true),
            Field::new("records", DataType::Int64, true),
            Field::new("share", DataType::Float64, true),
        ])
    }

    fn columns(label: &str, series: Option<&str>, values: &[&str], order: Order) -> Columns {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Columns { label: label.to_owned(), series: series.map(str::to_owned), values, order }
    }

    fn refusal(columns: Columns) -> String {
        Shape::Matrix(columns).check(&schema()).expect_err("refused")
    }

    #[test]
    fn columns_that_are_there_fit() {
        let of = columns("week", Some("class"), &["records"], Order::Every(Interval::Week));
        assert_eq!(Shape::Chart(charts::Kind::Stacked, of).check(&schema()), Ok(()));
        let of = columns("class", None, &["records", "share"], Order::Version);
        assert_eq!(Shape::Chart(charts::Kind::Lines, of).check(&schema()), Ok(()));
    }

    #[test]
    fn a_column_that_does_not_fit_is_named() {
        let order = Order::Rows;
        let missing = refusal(columns("clas", None, &["records"], order));
        assert!(missing.contains("`clas`") && missing.ends_with("the nearest is `class`"), "{missing}");
        assert!(refusal(columns("class", Some("x"), &["records"], order)).starts_with("`columns.series` names `x`"));
        assert!(refusal(columns("class", None, &["week"], order)).starts_with("`columns.values` needs numbers"));
        let no_time = refusal(columns("class", None, &["records"], Order::Every(Interval::Day)));
        assert!(no_time.starts_with("`columns.every` needs instants"), "{no_time}");
    }

    #[test]
    fn a_table_has_so_many_columns() {
        let of = |count: usize| {
            Schema::new((0..count).map(|at| Field::new(format!("c{at}"), DataType::Int8, true)).collect::<Vec<_>>())
        };
        assert!(Shape::Table.check(&of(TABLE_COLUMNS_MAX)).is_ok());
        assert!(Shape::Table.check(&of(TABLE_COLUMNS_MAX + 1)).is_err());
    }
}
