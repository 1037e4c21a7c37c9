//! The rollups of what a view shows, exact to the microsecond.
//!
//! A bucket of which all records are shown comes from the store's rollup. One that a window or the retention policy cuts
//! comes from a finer rollup, and what that cuts too from the records. So an answer is that of the records, whatever of
//! them is deleted or summed up by now.

use std::collections::BTreeSet;

use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::functions::datetime::expr_fn::date_trunc;
use datafusion::logical_expr::{Expr, col, lit};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::retention::{Matcher, RetentionPolicy};
use telemetrics_schema::rollups::{Measure, PAYLOAD, RECORDS_COUNT, Rollup, STACK_ID, Scope};
use telemetrics_schema::time::US_PER_DAY;

use crate::expiry;
use crate::filter::{instant, text};

/// A time of reception, half-open; a side that is not set has no end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Received at or after.
    pub from: Option<TimestampUs>,
    /// Received before.
    pub before: Option<TimestampUs>,
}

/// Where the rows of a rollup come from.
pub(crate) struct Parts {
    /// The rollup where the store has it, then finer ones; each is about the same records.
    pub(crate) levels: Vec<(Rollup, DataFrame)>,
    /// When the last one of those records was received, where that is known.
    pub(crate) last: Option<TimestampUs>,
    /// Those records.
    pub(crate) summed: DataFrame,
    /// Records that no rollup counts.
    pub(crate) others: Option<DataFrame>,
}

/// Which records are shown, by the time of their reception and what the policy looks at.
pub(crate) struct Shown<'a> {
    pub(crate) policy: &'a RetentionPolicy,
    pub(crate) now: TimestampUs,
    pub(crate) window: Window,
}

/// Whether rollups have what the policy looks at.
pub(crate) fn can_follow(policy: &RetentionPolicy) -> bool {
    policy.rules.iter().all(|rule| !matches!(rule.matcher, Matcher::Machine(_)))
}

/// The rows of the rollup; several may have equal keys.
pub(crate) fn rows(rollup: Rollup, parts: Parts, shown: &Shown<'_>) -> Result<DataFrame> {
    let Parts { levels, last, summed, others } = parts;
    let reception = col("ts_reception");
    // Of records that end before the window does, it cuts none: not those of the present hour either.
    let is_open = last.zip(shown.window.before).is_some_and(|(last, before)| last < before);
    let of_summed =
        Shown { window: Window { before: shown.window.before.filter(|_| !is_open), ..shown.window }, ..*shown };
    let mut frames = Vec::new();
    let mut coarser: Option<Rollup> = None;
    for (level, frame) in levels {
        let begin = col(level.bucket());
        if let Some(frame) = of_summed.cut_by(coarser, frame, &begin)? {
            let frame = filtered(frame, of_summed.whole(level, &begin))?;
            frames.push(frame.select(columns(rollup, level.bucket(), level == rollup, col(RECORDS_COUNT)))?);
        }
        coarser = Some(level);
    }
    let summed = of_summed.cut_by(coarser, summed, &reception)?;
    for records in [summed, others].into_iter().flatten() {
        let records = filtered(records, shown.at(&reception))?;
        let records = filtered(records, in_scope(rollup.scope()))?;
        frames.push(records.select(columns(rollup, "ts_reception", false, lit(1_i64)))?);
    }
    union(frames)
}

/// The columns of the rollup, from rows with its keys and the time `time`.
fn columns(rollup: Rollup, time: &str, is_bucket: bool, count: Expr) -> Vec<Expr> {
    let bucket = if is_bucket { col(time) } else { date_trunc(lit(rollup.bucket()), col(time)) };
    let keys = rollup.keys().iter().map(|key| col(*key).alias(*key));
    let measure = match rollup.measure() {
        Measure::Records => Some(count.alias(RECORDS_COUNT)),
        Measure::Nothing => None,
        Measure::Example => Some(col(PAYLOAD).alias(PAYLOAD)),
    };
    [bucket.alias(rollup.bucket())].into_iter().chain(keys).chain(measure).collect()
}

/// Whether a rollup is about a record; `None` when it is about all.
pub(crate) fn in_scope(scope: Scope) -> Option<Expr> {
    match scope {
        Scope::All => None,
        Scope::Class(class) => Some(col("classification").eq(text(class))),
        Scope::Stacks => Some(col(STACK_ID).not_eq(lit(0_i64))),
    }
}

fn filtered(frame: DataFrame, condition: Option<Expr>) -> Result<DataFrame> {
    match condition {
        Some(condition) => frame.filter(condition),
        None => Ok(frame),
    }
}

fn union(frames: Vec<DataFrame>) -> Result<DataFrame> {
    let mut frames = frames.into_iter();
    let first = frames.next().ok_or_else(|| datafusion::common::internal_datafusion_err!("a rollup of nothing"))?;
    frames.try_fold(first, DataFrame::union)
}

impl Shown<'_> {
    /// Whether a record that is received at `time` is shown.
    fn at(&self, time: &Expr) -> Option<Expr> {
        let from = self.window.from.map(|from| time.clone().gt_eq(instant(from)));
        let before = self.window.before.map(|before| time.clone().lt(instant(before)));
        let living = expiry::living_at(self.policy, self.now, time);
        [from, before, living].into_iter().flatten().reduce(Expr::and)
    }

    /// Whether all records of the bucket that begins at `begin` are shown.
    fn whole(&self, rollup: Rollup, begin: &Expr) -> Option<Expr> {
        // The last microsecond of the bucket is in the window too; policies have no end on that side.
        let before = self.window.before.map(|before| TimestampUs(before.0.saturating_sub(rollup.bucket_us() - 1)));
        Shown { window: Window { before, ..self.window }, ..*self }.at(begin)
    }

    /// The rows in buckets of `coarser` that are not whole; all of them without it, `None` when there can be none.
    fn cut_by(&self, coarser: Option<Rollup>, frame: DataFrame, time: &Expr) -> Result<Option<DataFrame>> {
        let Some(coarser) = coarser else { return Ok(Some(frame)) };
        let cut = self.cuts(coarser).into_iter().filter_map(|begin| {
            let end = TimestampUs(begin.0.saturating_add(coarser.bucket_us()));
            let inside = time.clone().gt_eq(instant(begin)).and(time.clone().lt(instant(end)));
            Some(inside.and(!self.whole(coarser, &instant(begin))?))
        });
        cut.reduce(Expr::or).map(|cut| frame.filter(cut)).transpose()
    }

    /// The beginnings of the buckets that an end of the window, or the end of a life, may cut.
    fn cuts(&self, rollup: Rollup) -> BTreeSet<TimestampUs> {
        let days = self.policy.rules.iter().map(|rule| rule.days).chain([self.policy.default_days]);
        let ends = days.filter(|days| *days > 0).map(|days| TimestampUs(self.now.0 - i64::from(days) * US_PER_DAY));
        let instants = ends.chain(self.window.from).chain(self.window.before);
        instants.filter(|instant| rollup.bucket_of(*instant) != *instant).map(|end| rollup.bucket_of(end)).collect()
    }
}

#[cfg(test)]
mod tests;
