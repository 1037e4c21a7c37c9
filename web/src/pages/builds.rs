//! The page Builds: records by numeric build of one system, in the order of the numbers.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use futures::FutureExt as _;
use telemetrics_analytics::questions::counts::{Count, Counts, GROUPS_MAX, counts};
use telemetrics_analytics::questions::keys::{Dimension, Key};

use super::numbers::{self, Numbers, Question, Same, Subject};
use super::{BUILDS_TAB, text};
use crate::charts::{CATEGORIES_MAX, Chart, Kind, Series};
use crate::error::WebError;
use crate::state::AppState;

const SUBJECT: Subject = Subject { tab: BUILDS_TAB, of_one_system: true, not_here: &[] };

/// Answers with the page.
pub async fn show(State(state): State<AppState>, uri: Uri) -> Response {
    numbers::show(&state, &uri, &SUBJECT, |question| find(question).boxed()).await
}

async fn find(question: Question<'_>) -> Result<Numbers, WebError> {
    let counts = counts(&question.asked.view, &question.filter, Dimension::Build, GROUPS_MAX).await?;
    let (chart, notes) = drawn(&counts);
    let same = vec![Same::new("Records by build", question.given, "/api/builds", &[])];
    Ok(Numbers { figures: vec![chart.figure()], notes, same, ..Numbers::default() })
}

/// The newest numeric builds as a chart, and what it leaves out.
fn drawn(counts: &Counts) -> (Chart, Vec<String>) {
    let mut numeric: Vec<(u64, u64)> = counts.groups.iter().filter_map(number).collect();
    let all = numeric.len();
    numeric.sort_unstable();
    let shown = numeric.split_off(all.saturating_sub(CATEGORIES_MAX));
    let others = counts.groups.iter().filter(|group| number(group).is_none()).map(|group| group.records).sum();
    let chart = Chart {
        title: "Records by build".to_owned(),
        kind: Kind::Columns,
        category: "build".into(),
        names: shown.iter().map(|(build, _)| build.to_string()).collect(),
        series: vec![Series::counts("records", shown.iter().map(|(_, records)| *records))],
    };
    (chart, notes(all, shown.len(), others))
}

fn number(group: &Count) -> Option<(u64, u64)> {
    let Key::Build { build, .. } = &group.key else { return None };
    let digits = build.bytes().all(|byte| byte.is_ascii_digit());
    build.parse().ok().filter(|_| digits).map(|number| (number, group.records))
}

fn notes(all: usize, shown: usize, others: u64) -> Vec<String> {
    let newest = (all > shown).then(|| format!("The newest {shown} of {all} numeric builds are shown."));
    let others = (others > 0).then(|| format!("Builds whose names are no numbers have {}.", text::records(others)));
    newest.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(build: impl Into<String>, records: u64) -> Count {
        Count { key: Key::Build { system_name: "s".to_owned(), build: build.into() }, records }
    }

    #[test]
    fn numeric_builds_are_in_the_order_of_their_numbers() {
        let groups = vec![counted("100", 7), counted("9", 3), counted("rolling", 5), counted("+8", 1), counted("", 1)];
        let (chart, notes) = drawn(&Counts { groups, has_more: false });
        assert_eq!(chart.names, ["9", "100"]);
        assert_eq!(chart.series[0].values, [Some(3.0), Some(7.0)]);
        assert_eq!(notes, ["Builds whose names are no numbers have 7 records."]);
    }

    #[test]
    fn the_newest_builds_are_shown() {
        let groups = (0..=CATEGORIES_MAX as u64).map(|build| counted(build.to_string(), build)).collect();
        let (chart, notes) = drawn(&Counts { groups, has_more: false });
        assert_eq!((chart.names.len(), chart.names[0].as_str()), (CATEGORIES_MAX, "1"));
        assert_eq!(notes, ["The newest 40 of 41 numeric builds are shown."]);
    }
}
