//! The page Stats: which share of the records each classification, each platform and each severity has.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use futures::FutureExt as _;
use telemetrics_analytics::questions::counts::{Counts, counts};
use telemetrics_analytics::questions::keys::{Dimension, Key};
use telemetrics_analytics::questions::records;

use super::numbers::{self, Numbers, Question, Same, Subject};
use super::{STATS_TAB, text};
use crate::charts::Figure;
use crate::charts::share::{self, SHARES_MAX};
use crate::error::WebError;
use crate::state::AppState;

const SUBJECT: Subject = Subject { tab: STATS_TAB, of_one_system: false, not_here: &[] };

/// Answers with the page.
pub async fn show(State(state): State<AppState>, uri: Uri) -> Response {
    numbers::show(&state, &uri, &SUBJECT, |question| find(question).boxed()).await
}

async fn find(question: Question<'_>) -> Result<Numbers, WebError> {
    let (view, filter) = (&question.asked.view, &question.filter);
    let (total, classes, platforms, severities) = tokio::try_join!(
        records::count(view, filter),
        counts(view, filter, Dimension::Classification, SHARES_MAX),
        counts(view, filter, Dimension::Platform, SHARES_MAX),
        counts(view, filter, Dimension::Severity, SHARES_MAX),
    )?;
    let figures = vec![
        shares("Records by class", "class", &classes, total),
        shares("Records by platform", "platform", &platforms, total),
        shares("Records by severity", "severity", &severities, total),
    ];
    let same = vec![
        Same::new("By class", question.given, "/api/classifications", &[]),
        Same::new("By platform", question.given, "/api/platforms", &[]),
        Same::new("By severity", question.given, "/api/severities", &[]),
    ];
    Ok(Numbers { figures, notes: vec![format!("{} in all.", text::records(total))], same, ..Numbers::default() })
}

fn shares(title: &str, category: &str, counts: &Counts, total: u64) -> Figure {
    // Shares need no more than a few digits.
    #[allow(clippy::cast_precision_loss)]
    let part = |records: u64| records as f64;
    let others = total.saturating_sub(counts.groups.iter().map(|group| group.records).sum());
    let told = counts.groups.iter().map(|group| (name(&group.key), part(group.records))).collect();
    share::shares(title, category, "records", told, part(others)).figure()
}

fn name(key: &Key) -> String {
    match key {
        Key::Classification(text) | Key::Platform(text) | Key::System(text) => text.clone(),
        Key::Build { build, .. } => build.clone(),
        Key::Severity(severity) => text::severity(*severity),
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_analytics::questions::counts::Count;

    use super::*;

    #[test]
    fn what_is_not_told_apart_is_one_bar() {
        let groups = vec![Count { key: Key::Severity(3), records: 6 }, Count { key: Key::Severity(9), records: 1 }];
        let figure = shares("t", "severity", &Counts { groups, has_more: true }, 8);
        let names: Vec<&str> = figure.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["75.0 % high", "12.5 % 9", "12.5 % all others"]);
        assert_eq!(figure.rows[2].values, ["1"]);
    }
}
