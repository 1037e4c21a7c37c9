//! How often each guilty struck machines, by build: what [`crate::judgement`] takes beside heartbeats and classes.

use std::collections::{BTreeMap, HashMap};

use datafusion::dataframe::DataFrame;

use super::crash_rate::{struck, struck_counts};
use super::crashes::{Causes, GUILTY, guilties_of, int64s, of_table};
use super::keys::text_at;
use crate::crashes::Guilty;
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::judgement::{Cause, Strikes};
use crate::view::View;

/// Most rows: builds times guilties.
pub const ROWS_MAX: usize = 1_000_000;

const BUILD: &str = "build";

/// The strikes of every guilty of the crashes that pass `filter`, which has to name one system.
///
/// # Errors
/// [`Error::TooMuch`] above [`ROWS_MAX`]; else as [`super::crashes::crashes`].
pub async fn guilty_strikes(view: &View, causes: Causes<'_>, filter: &RecordFilter) -> Result<Vec<Strikes>, Error> {
    let guilties = guilties_of(view, causes, filter).await?;
    if guilties.is_empty() {
        return Ok(Vec::new());
    }
    let table: HashMap<i64, i64> = guilties.iter().map(|(stack, guilty)| (*stack, guilty.id)).collect();
    let named: HashMap<i64, &Guilty> = guilties.values().map(|guilty| (guilty.id, guilty)).collect();
    let mut strikes = BTreeMap::new();
    let mut rows = 0;
    for batch in view.collect(plan(view, filter, &table)?).await? {
        rows += batch.num_rows();
        let ids = int64s(&batch, 1)?;
        for (row, counts) in struck_counts(&batch, 2)?.into_iter().enumerate() {
            let build = text_at(&batch, 0, row).ok_or_else(|| Error::Internal("a build without a name".to_owned()))?;
            let Some(guilty) = named.get(&ids[row]) else { continue };
            let (function, module) = (guilty.function.clone(), guilty.module.clone());
            let cause = Cause::Guilty { guilty_id: guilty.id, function, module };
            strikes.insert((build.clone(), guilty.id), Strikes { build, cause, counts });
        }
    }
    if rows > ROWS_MAX {
        return Err(Error::TooMuch(format!("More than {ROWS_MAX} guilties by build; a shorter window has fewer.")));
    }
    Ok(strikes.into_values().collect())
}

/// The plan of [`guilty_strikes`] for guilties by stack: builds and guilties, then machines, machine days and records of
/// each.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
// The plan keeps a copy of this very type.
#[allow(clippy::implicit_hasher)]
pub fn plan(view: &View, filter: &RecordFilter, table: &HashMap<i64, i64>) -> Result<DataFrame, Error> {
    Ok(struck(of_table(view, filter, table)?, &[BUILD, GUILTY])?.limit(0, Some(ROWS_MAX + 1))?)
}
