//! A day in slices that follow each other in the order of a file, so that one of them at a time is sorted in memory.
//!
//! To sort a whole day would take the memory of the day, or fail where it is limited: what is sorted are whole records.

use std::ops::Range;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::date_trunc;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::scalar::ScalarValue;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_S;

use crate::error::Error;
use crate::view::View;

/// Records of a slice, as far as they are spread evenly over their hour: some ten MiB of them.
const SLICE_ROWS: i64 = 4_096;
const HOUR_US: i64 = 3_600 * US_PER_S;
/// Pieces of an hour, of a millisecond each; that many records in an hour are more than a store takes.
const PIECES_MAX: i64 = 3_600_000;

/// The records of these classes in this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    /// All classes from the first to the last of these, in their order; at least one.
    classes: Vec<String>,
    instants: Range<TimestampUs>,
}

/// Records of one class in the hour that begins at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hour {
    class: String,
    begin: TimestampUs,
    rows: i64,
}

impl Slice {
    /// Its records in the order of a file.
    pub(super) fn records(&self, view: &View) -> Result<DataFrame, Error> {
        let (first, last) = (self.classes.first(), self.classes.last());
        let bound = |class: Option<&String>| lit(class.map_or("", String::as_str));
        let classes = col("classification").gt_eq(bound(first)).and(col("classification").lt_eq(bound(last)));
        let order = ["classification", "ts_reception", "id"].map(|name| col(name).sort(true, false));
        Ok(view.records()?.filter(classes)?.filter(within(&self.instants))?.sort(order.to_vec())?)
    }

    /// Two slices in its place; `None` when its records cannot be told apart by class or time.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let half = |classes: &[String], instants| Self { classes: classes.to_vec(), instants };
        if self.classes.len() > 1 {
            let (first, last) = self.classes.split_at(self.classes.len() / 2);
            return Some([half(first, self.instants.clone()), half(last, self.instants.clone())]);
        }
        let Range { start, end } = self.instants;
        let middle = TimestampUs(start.0 + (end.0 - start.0) / 2);
        (middle > start).then(|| [half(&self.classes, start..middle), half(&self.classes, middle..end)])
    }
}

/// The slices of all records that `view` has in these instants.
pub(super) async fn of(view: &View, instants: Range<TimestampUs>) -> Result<Vec<Slice>, Error> {
    Ok(cut(&hours(view, &instants).await?, &instants))
}

fn within(instants: &Range<TimestampUs>) -> Expr {
    let instant = |at: TimestampUs| lit(ScalarValue::TimestampMicrosecond(Some(at.0), None));
    col("ts_reception").gt_eq(instant(instants.start)).and(col("ts_reception").lt(instant(instants.end)))
}

/// Hours with records by class and time.
async fn hours(view: &View, instants: &Range<TimestampUs>) -> Result<Vec<Hour>, Error> {
    let begin = date_trunc(lit("hour"), col("ts_reception")).alias("begin");
    let keys = view.records()?.filter(within(instants))?.select(vec![col("classification"), begin])?;
    let counted = keys.aggregate(vec![col("classification"), col("begin")], vec![count(lit(1_i64))])?;
    let mut hours = Vec::new();
    for batch in view.collect(counted).await? {
        let classes = cast(batch.column(0), &DataType::Utf8View)?;
        let begins = cast(batch.column(1), &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None))?;
        let rows = batch.column(2).as_primitive_opt::<Int64Type>();
        let rows = rows.ok_or_else(|| Error::Internal("a count that is no number".to_owned()))?;
        let (classes, begins) = (classes.as_string_view(), begins.as_primitive::<TimestampMicrosecondType>());
        hours.extend((0..rows.len()).map(|row| Hour {
            class: classes.value(row).to_owned(),
            begin: TimestampUs(begins.value(row)),
            rows: rows.value(row),
        }));
    }
    hours.sort_by(|a, b| (&a.class, a.begin).cmp(&(&b.class, b.begin)));
    Ok(hours)
}

/// Classes with few records share a slice; those with many have several, one after the other.
fn cut(hours: &[Hour], instants: &Range<TimestampUs>) -> Vec<Slice> {
    let (mut slices, mut shared_rows): (Vec<Slice>, _) = (Vec::new(), i64::MAX);
    for class in hours.chunk_by(|a, b| a.class == b.class) {
        let (name, rows) = (&class[0].class, class.iter().map(|hour| hour.rows).sum::<i64>());
        if rows > SLICE_ROWS {
            slices.extend(class.iter().flat_map(pieces));
            shared_rows = i64::MAX;
        } else if let Some(shared) = slices.last_mut().filter(|_| shared_rows <= SLICE_ROWS - rows) {
            shared.classes.push(name.clone());
            shared_rows += rows;
        } else {
            slices.push(Slice { classes: vec![name.clone()], instants: instants.clone() });
            shared_rows = rows;
        }
    }
    slices
}

/// The hour in as many pieces as it has slices of records.
fn pieces(hour: &Hour) -> impl Iterator<Item = Slice> {
    let count = (hour.rows / SLICE_ROWS + 1).clamp(1, PIECES_MAX);
    // Multiplied first: the last one ends with the hour.
    let at = move |piece: i64| TimestampUs(hour.begin.0 + piece * HOUR_US / count);
    (0..count).map(move |piece| Slice { classes: vec![hour.class.clone()], instants: at(piece)..at(piece + 1) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use telemetrics_schema::time::US_PER_DAY;

    use super::*;

    const DAY: Range<TimestampUs> = TimestampUs(0)..TimestampUs(US_PER_DAY);

    fn hour(class: &str, hour: i64, rows: i64) -> Hour {
        Hour { class: class.into(), begin: TimestampUs(hour * HOUR_US), rows }
    }

    #[test]
    fn few_records_are_one_slice_and_many_are_several() {
        let few = [hour("a", 0, 1), hour("a", 5, 4_000), hour("b", 7, 95), hour("c", 7, 1)];
        let slices = cut(&few, &DAY);
        let classes: Vec<String> = slices.iter().map(|slice| slice.classes.join(" ")).collect();
        assert_eq!(classes, ["a b", "c"], "4096 and no more");
        let many = [hour("a", 0, 1), hour("b", 2, 4_096), hour("b", 3, 1), hour("c", 4, 1)];
        let slices = cut(&many, &DAY);
        assert_eq!(slices.len(), 5);
        assert_eq!(slices[1].instants, TimestampUs(2 * HOUR_US)..TimestampUs(5 * HOUR_US / 2));
    }

    #[test]
    fn a_slice_that_is_too_large_is_halved_as_long_as_it_can_be() {
        let slice = |classes: &[&str], times: Range<i64>| Slice {
            classes: classes.iter().map(ToString::to_string).collect(),
            instants: TimestampUs(times.start)..TimestampUs(times.end),
        };
        let three = slice(&["a", "b", "c"], 0..5);
        assert_eq!(three.halves(), Some([slice(&["a"], 0..5), slice(&["b", "c"], 0..5)]));
        assert_eq!(slice(&["a"], 0..5).halves(), Some([slice(&["a"], 0..2), slice(&["a"], 2..5)]));
        assert_eq!(slice(&["a"], 4..5).halves(), None);
    }

    proptest! {
        #[test]
        fn each_record_is_in_one_slice_and_they_follow_each_other(
            counts in proptest::collection::btree_map((0_u8..6, 0_i64..24), 1_i64..20_000, 0..40),
        ) {
            let hours: Vec<Hour> =
                counts.iter().map(|((class, at), rows)| hour(&class.to_string(), *at, *rows)).collect();
            let slices = cut(&hours, &DAY);
            let has = |slice: &Slice, class: &str, at: TimestampUs| {
                slice.classes.iter().any(|other| other == class) && slice.instants.contains(&at)
            };
            let mut last = 0;
            for hour in &hours {
                for at in [0, HOUR_US / 3, HOUR_US - 1] {
                    let at = TimestampUs(hour.begin.0 + at);
                    let found: Vec<usize> = (0..slices.len()).filter(|n| has(&slices[*n], &hour.class, at)).collect();
                    prop_assert_eq!(found.len(), 1);
                    prop_assert!(found[0] >= last);
                    last = found[0];
                }
            }
        }
    }
}
