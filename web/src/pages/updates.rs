//! The page Updates: from which version to which machines went, as a matrix with sums.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use telemetrics_analytics::build_order;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::offered::Offered;
use telemetrics_analytics::questions::updates::{Step, Steps, updates};
use telemetrics_schema::TimestampUs;

use super::form::{ECHO_CHARS, Form};
use super::kept::offer;
use super::numbers::{Same, with_usual_system};
use super::query::{Given, PAGING, Problem};
use super::{Shell, UPDATES_TAB, message, render, text};
use crate::api::params;
use crate::api::updates::{DAYS_DEFAULT, ENDPOINT, NOT_HERE, days, within};
use crate::charts::matrix::{Matrix, SIDE_MAX};
use crate::error::{InvalidParameter, WebError};
use crate::state::{AppState, Asked};

/// The parameter that says how far the page looks back.
const DAYS: &str = "days";

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "updates.html")]
pub struct UpdatesPage {
    shell: Shell,
    form: Form,
    problem: Option<String>,
    found: Option<Shown>,
    pending: Option<String>,
    same: Vec<Same>,
    clear: &'static str,
}

/// What is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// A row for each version before, a column for each version after.
    matrix: Matrix,
    left_out: Option<String>,
    days: i64,
}

impl UpdatesPage {
    /// The page with what was found in the last `days`.
    #[must_use]
    pub fn found(given: &Given, offer: &Offered, steps: &Steps, days: i64) -> Self {
        let same = vec![Same::new("Updates", given, ENDPOINT, &[])];
        Self { found: Some(Shown::new(steps, days)), same, ..Self::frame(given, offer, None) }
    }

    /// The page that says what is wrong with the filters; belongs to status 400.
    #[must_use]
    pub fn refused(given: &Given, offer: &Offered, problem: &Problem) -> Self {
        Self::frame(given, offer, Some(problem))
    }

    fn frame(given: &Given, offer: &Offered, problem: Option<&Problem>) -> Self {
        Self {
            shell: Shell::new("Updates", Some(UPDATES_TAB)),
            form: Form::new(given, offer, problem).without(&["classification", "severity", "created_in_days"]),
            problem: problem.map(|problem| text::line(&problem.message, ECHO_CHARS)),
            found: None,
            pending: None,
            same: Vec::new(),
            clear: UPDATES_TAB.address,
        }
    }
}

impl Shown {
    fn new(steps: &Steps, days: i64) -> Self {
        let rows = newest(steps.steps.iter().map(|step| &step.from));
        let columns = newest(steps.steps.iter().map(|step| &step.to));
        let is_shown = |step: &&Step| rows.contains(&step.from) && columns.contains(&step.to);
        let shown = steps.steps.iter().filter(is_shown).map(|step| step.records).sum();
        let number = |from: &str, to: &str| {
            let found = steps.steps.iter().filter(|step| step.from == from && step.to == to);
            // Exact up to 2^53, which no store holds.
            #[allow(clippy::cast_precision_loss)]
            let number = found.map(|step| step.records).sum::<u64>() as f64;
            number
        };
        let matrix = Matrix {
            title: "Updates".to_owned(),
            caption: "Version before (rows) and after (columns)".to_owned(),
            corner: "Before".to_owned(),
            ..Matrix::new(&rows, &columns, number)
        };
        Self { matrix, left_out: left_out(steps, shown), days }
    }
}

/// The newest versions, oldest first.
fn newest<'a>(versions: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut versions: Vec<String> = versions.cloned().collect();
    versions.sort_by(|a, b| build_order(b, a));
    versions.dedup();
    versions.truncate(SIDE_MAX);
    versions.reverse();
    versions
}

fn left_out(steps: &Steps, shown: u64) -> Option<String> {
    let all: u64 = steps.steps.iter().map(|step: &Step| step.records).sum();
    let more = if steps.has_more { " and more" } else { "" };
    let others = all - shown;
    (others > 0 || steps.has_more)
        .then(|| format!("Of older versions, and not in the table: {} updates{more}.", text::thousands(others)))
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>, uri: Uri) -> Response {
    let answer = answer(&state, uri.query().unwrap_or_default()).await;
    answer.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, query: &str) -> Result<Response, WebError> {
    let asked = state.ask().await?;
    let (given, wanted) = match Given::parse(query) {
        Ok(given) => {
            let given = with_usual_system(state, &asked, given).await?;
            let wanted = wanted(&given, asked.now);
            (given, wanted)
        }
        Err(problem) => (Given::default(), Err(problem)),
    };
    match wanted {
        Ok((filter, days)) => find(state, &asked, &given, &filter, days).await,
        Err(problem) => {
            let offer = offer(state, &asked, None).await?;
            Ok(render(StatusCode::BAD_REQUEST, &UpdatesPage::refused(&given, &offer, &problem)))
        }
    }
}

fn wanted(given: &Given, now: TimestampUs) -> Result<(RecordFilter, i64), Problem> {
    if let Some((name, _)) = given.filters().find(|(name, _)| NOT_HERE.contains(name)) {
        return Err(InvalidParameter::new(name, "is not a parameter here").into());
    }
    let looks_back = match given.value(DAYS) {
        "" => DAYS_DEFAULT,
        text => days(DAYS, text)?,
    };
    let filter = params::form_filter(given.pairs(), &[PAGING.as_slice(), &[DAYS]].concat(), now)?;
    Ok((within(filter, looks_back, now), looks_back))
}

async fn find(
    state: &AppState,
    asked: &Asked,
    given: &Given,
    filter: &RecordFilter,
    days: i64,
) -> Result<Response, WebError> {
    let steps = async { Ok(updates(&asked.view, filter).await?) };
    let (offer, steps) = tokio::try_join!(offer(state, asked, filter.system_name.as_deref()), steps)?;
    let mut page = UpdatesPage::found(given, &offer, &steps, days);
    page.pending = (asked.pending > 0).then(|| text::records(asked.pending as u64));
    Ok(render(StatusCode::OK, &page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from: usize, to: usize, records: u64) -> Step {
        Step { from: from.to_string(), to: to.to_string(), records }
    }

    #[test]
    fn a_matrix_has_sums_at_its_sides() {
        let steps = vec![step(9, 10, 1_000), step(10, 11, 2), step(9, 11, 3)];
        let Shown { matrix, left_out, .. } = Shown::new(&Steps { steps, has_more: false }, 14);
        assert_eq!(matrix.columns, ["10", "11"]);
        let rows: Vec<_> =
            matrix.rows.iter().map(|row| (row.name.as_str(), row.cells.clone(), row.sum.as_str())).collect();
        let cells = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        assert_eq!(rows, [("9", cells(["1,000", "3"]), "1,003"), ("10", cells(["", "2"]), "2")]);
        assert_eq!((matrix.sums, matrix.total.as_str()), (cells(["1,000", "5"]), "1,005"));
        assert_eq!(left_out, None);
    }

    #[test]
    fn the_newest_versions_are_shown_and_the_others_counted() {
        let steps = (0..=SIDE_MAX).map(|version| step(version, version + 1, 2)).collect();
        let Shown { matrix, left_out, .. } = Shown::new(&Steps { steps, has_more: false }, 14);
        assert_eq!((matrix.columns.len(), matrix.rows.len()), (SIDE_MAX, SIDE_MAX));
        assert_eq!(left_out.as_deref(), Some("Of older versions, and not in the table: 2 updates."));
    }

    #[test]
    fn what_is_wrong_with_a_parameter_names_it() {
        for wrong in ["days=0", "classification=a", "x=1"] {
            let problem = wanted(&Given::parse(wrong).expect("short"), TimestampUs(0)).expect_err(wrong);
            assert_eq!(problem.parameter.as_deref(), wrong.split('=').next());
        }
    }
}
