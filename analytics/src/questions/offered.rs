//! What a filter form offers: the classifications, systems and builds that occur.

use arrow::array::AsArray;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::col;

use super::source::{self, Grain};
use crate::build_order::build_order;
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// Most builds that a form offers: the newest ones; older ones can be typed.
pub const BUILDS_MAX: usize = 200;
/// Most classifications and systems that a form offers.
pub const NAMES_MAX: usize = 1_000;

/// Values that occur, in the order in which a form lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offered {
    /// Classifications, by name.
    pub classifications: Vec<String>,
    /// Systems, by name.
    pub systems: Vec<String>,
    /// Builds, newest version first.
    pub builds: Vec<String>,
}

/// What occurs; `builds` only of `system_name` where one is given.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn offered(view: &View, system_name: Option<&str>) -> Result<Offered, Error> {
    let (mut builds, mut classifications, systems) = tokio::try_join!(
        distinct(view, builds_plan(view, system_name)?),
        distinct(view, plan(view, "classification", None)?),
        systems(view)
    )?;
    builds.sort_by(|a, b| build_order(b, a));
    builds.truncate(BUILDS_MAX);
    classifications.sort_unstable();
    Ok(Offered { classifications, systems, builds })
}

/// The systems that occur, by name.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn systems(view: &View) -> Result<Vec<String>, Error> {
    let mut systems = distinct(view, plan(view, "system_name", None)?).await?;
    systems.sort_unstable();
    Ok(systems)
}

/// The plan behind the builds of [`offered`].
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn builds_plan(view: &View, system_name: Option<&str>) -> Result<DataFrame, Error> {
    plan(view, "build", system_name)
}

fn plan(view: &View, column: &str, system_name: Option<&str>) -> Result<DataFrame, Error> {
    let filter = RecordFilter { system_name: system_name.map(str::to_owned), ..RecordFilter::default() };
    let occurring = source::counted(view, &filter, &[column], Grain::Day)?.rows;
    Ok(occurring.aggregate(vec![col(column)], vec![])?.limit(0, Some(NAMES_MAX))?)
}

async fn distinct(view: &View, rows: DataFrame) -> Result<Vec<String>, Error> {
    let mut values = Vec::new();
    for batch in view.collect(rows).await? {
        let texts = batch.column(0).as_string_view_opt();
        let texts = texts.ok_or_else(|| Error::Internal("what is offered is not text".to_owned()))?;
        values.extend(texts.iter().flatten().map(str::to_owned));
    }
    Ok(values)
}
