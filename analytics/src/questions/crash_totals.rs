//! How many crashes there are, whatever their cause: by build and classification.

use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::col;

use super::counts::numbers;
use super::crashes::CELLS_MAX;
use super::keys::text_at;
use super::source;
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

const NUMBER: &str = "number";
const KEYS: [&str; 3] = ["system_name", "build", "classification"];

/// Crashes of one build and classification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrashTotal {
    /// Name of the operating system.
    pub system_name: String,
    /// Version of it.
    pub build: String,
    /// What kind of crash.
    pub classification: String,
    /// How many records.
    pub records: u64,
}

/// The crashes that pass `filter`, counted, in the order of their keys.
///
/// # Errors
/// [`Error::TooMuch`] above [`CELLS_MAX`]; else as the store's: see [`Error`].
pub async fn crash_totals(view: &View, filter: &RecordFilter) -> Result<Vec<CrashTotal>, Error> {
    let mut totals = Vec::new();
    for batch in view.collect(plan(view, filter)?).await? {
        for (row, records) in numbers(&batch, KEYS.len())?.into_iter().enumerate() {
            let wrong = || Error::Internal("not the columns of crashes".to_owned());
            let text = |column| text_at(&batch, column, row).ok_or_else(wrong);
            totals.push(CrashTotal { system_name: text(0)?, build: text(1)?, classification: text(2)?, records });
        }
    }
    if totals.len() > CELLS_MAX {
        return Err(Error::TooMuch(format!("There are more than {CELLS_MAX} builds; choose a shorter window.")));
    }
    totals.sort_unstable();
    Ok(totals)
}

/// The plan of [`crash_totals`].
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View, filter: &RecordFilter) -> Result<DataFrame, Error> {
    let source = source::crashes(view, filter, &KEYS)?;
    let counted = source.rows.aggregate(KEYS.map(col).to_vec(), vec![source.records.alias(NUMBER)])?;
    Ok(counted.limit(0, Some(CELLS_MAX + 1))?)
}
