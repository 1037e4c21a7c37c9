//! Which system a page is about when nobody says it: builds of different systems have nothing to do with each other.

use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_DAY;

use super::counts::counts;
use super::keys::{Dimension, Key};
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// How far back records are counted for it, in days.
pub const USUAL_DAYS: i64 = 7;

/// The system with most records of the last [`USUAL_DAYS`] before `now`, or of all that are retained when there are none;
/// `None` when there is no record at all.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn usual(view: &View, now: TimestampUs) -> Result<Option<String>, Error> {
    let lately = TimestampUs(now.0.saturating_sub(USUAL_DAYS * US_PER_DAY));
    match largest(view, Some(lately)).await? {
        Some(system) => Ok(Some(system)),
        None => largest(view, None).await,
    }
}

async fn largest(view: &View, received_from: Option<TimestampUs>) -> Result<Option<String>, Error> {
    let filter = RecordFilter { received_from, ..RecordFilter::default() };
    let largest = counts(view, &filter, Dimension::System, 1).await?.groups.pop();
    Ok(largest.and_then(|group| if let Key::System(name) = group.key { Some(name) } else { None }))
}
