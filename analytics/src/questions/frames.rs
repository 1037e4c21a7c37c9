//! Which frames crashes have: what somebody may declare never guilty.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use telemetrics_schema::payload::is_always_filtered;

use super::crashes::Causes;
use super::stacks::records_by_stack;
use crate::crashes::Stack;
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// Most frames of an answer.
pub const FRAMES_MAX: usize = 1_000;

/// A frame that crashes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFrame {
    /// The function as shown.
    pub function: Arc<str>,
    /// The module that it is in.
    pub module: Arc<str>,
    /// Records that have it somewhere in their stack.
    pub records: u64,
    /// Records that it is guilty of.
    pub guilty_of: u64,
}

/// The frames of the crashes that pass `filter` and are no filters yet: those first that are guilty of most records, then
/// those that most have; at most `limit` (1 to [`FRAMES_MAX`]), and whether there are more.
///
/// # Errors
/// As [`super::crashes::crashes`].
pub async fn frames(
    view: &View,
    causes: Causes<'_>,
    filter: &RecordFilter,
    limit: usize,
) -> Result<(Vec<SeenFrame>, bool), Error> {
    let counted = records_by_stack(view, filter).await?;
    let ids: Vec<i64> = counted.keys().copied().collect();
    let stacks = causes.book.stacks(view, filter, &ids).await?;
    let counted = stacks.iter().filter_map(|(id, stack)| Some((stack.as_ref(), *counted.get(id)?)));
    let mut seen = seen(counted, causes);
    let limit = limit.min(FRAMES_MAX);
    let has_more = seen.len() > limit;
    seen.truncate(limit);
    Ok((seen, has_more))
}

fn seen<'a>(stacks: impl Iterator<Item = (&'a Stack, u64)>, causes: Causes<'_>) -> Vec<SeenFrame> {
    let mut sums = HashMap::<(&Arc<str>, &Arc<str>), (u64, u64)>::new();
    for (stack, records) in stacks {
        let guilty = stack.guilty(causes.filters).map(|(place, ..)| place);
        let guilty = guilty.map(|place| (&stack.frames[place].function, &stack.frames[place].module));
        let frames: HashSet<_> = stack.frames.iter().map(|frame| (&frame.function, &frame.module)).collect();
        for frame in frames {
            let (all, guilty_of) = sums.entry(frame).or_default();
            *all += records;
            *guilty_of += if Some(frame) == guilty { records } else { 0 };
        }
    }
    let is_offered = |function: &str, module: &str| {
        !function.is_empty() && !is_always_filtered(function) && !causes.filters.contains(function, module)
    };
    let offered = sums.into_iter().filter(|((function, module), _)| is_offered(function, module));
    let sorted: BTreeSet<_> = offered
        .map(|((function, module), (records, guilty_of))| {
            (std::cmp::Reverse((guilty_of, records)), function.clone(), module.clone())
        })
        .collect();
    let frame = |(std::cmp::Reverse((guilty_of, records)), function, module)| SeenFrame {
        function,
        module,
        records,
        guilty_of,
    };
    sorted.into_iter().map(frame).collect()
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::payload::Filters;

    use super::*;
    use crate::crashes::{Frame, StackBook};

    fn stack(functions: &[&str]) -> Stack {
        let frame = |function: &&str| Frame { function: Arc::from(*function), module: "m".into(), source: "".into() };
        Stack { frames: functions.iter().map(frame).collect() }
    }

    #[test]
    fn frames_are_counted_once_in_a_stack_and_filters_are_not_offered() {
        let stacks = [
            (stack(&["abort()", "a()", "a()", "main()", "_start()"]), 5),
            (stack(&["b()", "main()"]), 2),
            (stack(&[]), 9),
        ];
        let (book, filters) = (StackBook::default(), Filters::from_iter([("abort()", "m")]));
        let causes = Causes { book: &book, filters: &filters };
        let seen = seen(stacks.iter().map(|(stack, records)| (stack, *records)), causes);
        let shown: Vec<_> = seen.iter().map(|frame| (&*frame.function, frame.records, frame.guilty_of)).collect();
        assert_eq!(shown, [("a()", 5, 5), ("b()", 2, 2), ("main()", 7, 0)]);
    }
}
