//! The rows of an answer as a view shows them: few, and every text cut, so that their memory has an end.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use telemetrics_analytics::Error;
use telemetrics_analytics::rows::Rows;
use telemetrics_schema::TimestampUs;

use crate::error::WebError;
use crate::formats::Values;
use crate::pages::text::Moment;

/// Most rows that a table shows; files have all of them.
pub const TABLE_ROWS_MAX: usize = 200;
/// Most rows that a chart is drawn of.
pub const CHART_ROWS_MAX: usize = 10_000;
/// Largest number that is drawn, and without its sign the smallest: pictures are made of smaller floats.
const NUMBER_MAX: f64 = 1e30;
/// Longest text of a cell, in characters.
pub const CELL_CHARS: usize = 256;

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// As people read it, not longer than [`CELL_CHARS`]; `None` where there is no value.
    pub text: Option<String>,
    /// The same as a number, where it is one.
    pub number: Option<f64>,
    /// The same as an instant, where it is one.
    pub instant: Option<TimestampUs>,
}

/// The rows of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The names of the columns.
    pub names: Vec<String>,
    /// The rows, with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
    /// Whether there are more rows.
    pub has_more: bool,
}

impl Answer {
    /// The place of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|of| of == name)
    }
}

/// Reads the first `rows_max` of `rows`: of the columns that are `wanted`, or of all.
///
/// # Errors
/// What the statement fails with.
pub async fn read(rows: Rows, wanted: Option<&[String]>, rows_max: usize) -> Result<Answer, WebError> {
    let schema = rows.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    let names: Vec<String> = names.filter(|name| wanted.is_none_or(|wanted| wanted.contains(name))).collect();
    let mut answer = Answer { names, ..Answer::default() };
    let mut batches = rows.open().await?;
    while let Some(batch) = batches.try_next().await? {
        let room = rows_max - answer.rows.len();
        answer.has_more |= batch.num_rows() > room;
        push(&mut answer, &batch.slice(0, batch.num_rows().min(room)))?;
        if answer.has_more {
            break;
        }
    }
    Ok(answer)
}

fn push(answer: &mut Answer, batch: &RecordBatch) -> Result<(), WebError> {
    let lacking = || Error::Internal("a column is gone".to_owned());
    let columns = answer.names.iter().map(|name| {
        let column = batch.column_by_name(name).ok_or_else(lacking)?;
        Ok((Values::read(column)?, *column.data_type() == DataType::Date32))
    });
    let columns = columns.collect::<Result<Vec<_>, Error>>()?;
    for row in 0..batch.num_rows() {
        answer.rows.push(columns.iter().map(|(values, is_date)| cell(values, *is_date, row)).collect());
    }
    Ok(())
}

fn cell(values: &Values, is_date: bool, row: usize) -> Cell {
    let instant = values.instant(row);
    let text = match instant {
        Some(instant) => Some(Moment::from(instant).text),
        None => values.text(row).map(cut),
    };
    // A date is the instant at which it begins.
    let date = || text.as_deref().filter(|_| is_date).and_then(TimestampUs::from_date);
    let number = values.number(row).filter(|number| number.abs() <= NUMBER_MAX);
    Cell { number, instant: instant.or_else(date), text }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(CELL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Texts in the order of their first appearance, each with a number.
#[derive(Debug, Default)]
pub(super) struct Names {
    places: HashMap<String, usize>,
    pub(super) names: Vec<String>,
}

impl Names {
    /// The number of `name`, which it has or gets.
    pub(super) fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.places.insert(name.to_owned(), self.names.len());
        self.names.push(name.to_owned());
        self.names.len() - 1
    }

    /// The number of `name`, if it has one.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn cells_are_short_and_know_what_they_are() {
        let long = "ä".repeat(CELL_CHARS + 1);
        let columns = [
            ("n", Arc::new(Int64Array::from(vec![Some(7), None])) as _, true),
            ("t", Arc::new(StringArray::from(vec!["2026-11-22", long.as_str()])) as _, true),
            ("r", Arc::new(Float64Array::from(vec![f64::NAN, 1e300])) as _, true),
            ("d", Arc::new(Date32Array::from(vec![Some(1), None])) as _, true),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("a batch");
        let mut answer = Answer { names: ["d", "n", "t", "r"].map(str::to_owned).to_vec(), ..Answer::default() };
        push(&mut answer, &batch).expect("rows");
        let [first, second] = answer.rows.as_slice() else { panic!("{answer:?}") };
        assert_eq!(
            (first[1].number, first[1].text.as_deref(), second[1].text.as_deref()),
            (Some(7.0), Some("7"), None)
        );
        assert_eq!(first[0].instant, TimestampUs::from_date("1970-01-02"));
        assert_eq!(first[2].instant, None, "a text is no date");
        assert_eq!((first[3].number, second[3].number), (None, None), "no picture has room for it");
        assert_eq!(second[2].text.as_ref().map(|text| text.chars().count()), Some(CELL_CHARS + 1));
        assert_eq!(cut("ä".repeat(CELL_CHARS)).chars().count(), CELL_CHARS);
    }

    #[test]
    fn names_keep_their_places() {
        let mut names = Names::default();
        assert_eq!(["b", "a", "b"].map(|name| names.place(name)), [0, 1, 0]);
        assert_eq!(names.names, ["b", "a"]);
    }
}
