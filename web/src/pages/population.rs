//! The page Population: how many distinct machines run which build, internal and external ones.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::try_join_all;
use telemetrics_analytics::build_order;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::counts::GROUPS_MAX;
use telemetrics_analytics::questions::population::{Machines, population};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_DAY;

use super::numbers::{self, Numbers, Question, Same, Subject};
use super::{POPULATION_TAB, rotation};
use crate::api::population::NOT_HERE;
use crate::charts::{Chart, Figure, Kind, Series};
use crate::error::WebError;
use crate::state::AppState;

const SUBJECT: Subject = Subject { tab: POPULATION_TAB, of_one_system: true, not_here: &NOT_HERE };

/// How many days each chart looks back; the last one is about all that is retained.
const WINDOWS_DAYS: [Option<i64>; 5] = [Some(1), Some(3), Some(7), Some(14), None];
/// Builds of a chart: those with most machines.
const BUILDS_MAX: usize = 16;

/// Answers with the page.
pub async fn show(State(state): State<AppState>, uri: Uri) -> Response {
    numbers::show(&state, &uri, &SUBJECT, |question| find(question).boxed()).await
}

async fn find(question: Question<'_>) -> Result<Numbers, WebError> {
    let mut numbers = Numbers { notes: vec![rotation::note()], ..Numbers::default() };
    let view = &question.asked.view;
    let windows = WINDOWS_DAYS.map(|days| {
        let from = days.map(|days| TimestampUs(question.asked.now.0 - days * US_PER_DAY));
        let received_from = question.filter.received_from.max(from);
        let filter = RecordFilter { received_from, ..question.filter.clone() };
        async move { Ok::<_, WebError>((days, population(view, &filter, GROUPS_MAX).await?.groups)) }
    });
    for (days, groups) in try_join_all(windows).await? {
        numbers.figures.push(drawn(days, &groups));
        numbers.same.push(same(&question, days));
    }
    Ok(numbers)
}

fn same(question: &Question<'_>, days: Option<i64>) -> Same {
    let days_text = days.map(|days| days.to_string());
    let more: Vec<(&str, &str)> = days_text.iter().map(|days| ("days", days.as_str())).collect();
    let label = match days {
        Some(1) => "1 day",
        Some(3) => "3 days",
        Some(7) => "7 days",
        Some(14) => "14 days",
        _ => "Overall",
    };
    Same::new(label, question.given, "/api/population", &more)
}

fn title(days: Option<i64>) -> String {
    match days {
        Some(1) => "Machines of the last day".to_owned(),
        Some(days) => format!("Machines of the last {days} days"),
        None => "Machines of all days".to_owned(),
    }
}

/// Machine ids as a picture, and in its table how many machines they can be.
fn drawn(days: Option<i64>, groups: &[Machines]) -> Figure {
    let builds = builds(groups);
    let [internal, external] = [false, true].map(|external| ids(groups, &builds, external));
    let bounds = |ids: &u64| match days {
        Some(days) => rotation::machines(*ids, days),
        None => rotation::machines_of_all_days(*ids),
    };
    let chart = Chart {
        title: title(days),
        kind: Kind::Stacked,
        category: "build".into(),
        series: vec![
            Series::counts("internal", internal.iter().copied()),
            Series::counts("external", external.iter().copied()),
        ],
        names: builds,
    };
    chart.figure().with_texts(0, internal.iter().map(bounds)).with_texts(1, external.iter().map(bounds))
}

/// How many machine ids each build has of one origin.
fn ids(groups: &[Machines], builds: &[String], external: bool) -> Vec<u64> {
    let of_build = |build: &String| {
        let of_build = groups.iter().filter(|group| group.external == external && group.build == *build);
        of_build.map(|group| group.machines).sum()
    };
    builds.iter().map(of_build).collect()
}

/// The builds with most machines, oldest version first.
fn builds(groups: &[Machines]) -> Vec<String> {
    let mut builds: Vec<String> = Vec::new();
    for group in groups {
        if builds.len() < BUILDS_MAX && !builds.contains(&group.build) {
            builds.push(group.build.clone());
        }
    }
    builds.sort_by(|a, b| build_order(a, b));
    builds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machines(build: usize, external: bool, machines: u64) -> Machines {
        Machines { system_name: "s".to_owned(), build: build.to_string(), external, machines }
    }

    #[test]
    fn origins_stand_one_on_the_other_by_version() {
        let groups = [machines(100, false, 9), machines(20, true, 4), machines(100, true, 2)];
        let figure = drawn(Some(3), &groups);
        assert_eq!(figure.title, "Machines of the last 3 days");
        let rows = |figure: &Figure| -> Vec<String> {
            figure.rows.iter().map(|row| format!("{}: {}", row.name, row.values.join(", "))).collect()
        };
        assert_eq!(rows(&figure), ["20: 0, 2 to 4", "100: 5 to 9, 1 to 2"]);
        assert_eq!(rows(&drawn(None, &groups)), ["20: 0, at most 4", "100: at most 9, at most 2"]);
    }

    #[test]
    fn the_builds_with_most_machines_are_shown() {
        let many: Vec<Machines> = (0..=BUILDS_MAX).map(|build| machines(build, false, 50 - build as u64)).collect();
        let rows = drawn(None, &many).rows;
        assert_eq!((rows.len(), rows.last().map(|row| row.name.as_str())), (BUILDS_MAX, Some("15")));
    }
}
