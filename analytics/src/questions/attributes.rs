//! What payload parsers made of one record.

use arrow::array::AsArray;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{col, lit};
use telemetrics_schema::Record;
use telemetrics_schema::attributes::{ATTRIBUTES, Attributes};

use crate::error::Error;
use crate::filter::{instant, text};
use crate::view::View;

/// The attributes of a record that the view shows; none when it does not.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn of_record(view: &View, record: &Record) -> Result<Attributes, Error> {
    let batches = view.collect(of_record_plan(view, record)?).await?;
    let column = batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0));
    let Some(column) = column else { return Ok(Attributes::default()) };
    let texts = column.as_string_view_opt().ok_or_else(|| Error::Internal("attributes of another type".to_owned()))?;
    Ok(Attributes::of_text(texts.value(0)))
}

/// The plan of [`of_record`]: class and time are there because the stores are sorted by them.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn of_record_plan(view: &View, record: &Record) -> Result<DataFrame, Error> {
    let class = col("classification").eq(text(&record.report.classification));
    let received = col("ts_reception").eq(instant(record.ts_reception));
    let rows = view.records()?.filter(class.and(received).and(col("id").eq(lit(record.id.0))))?;
    Ok(rows.select_columns(&[ATTRIBUTES])?.limit(0, Some(1))?)
}
