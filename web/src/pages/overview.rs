//! The page Overview: whether anything is wrong, for who has ten seconds.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::judgement::{BuildRates, Cause, Change, Finding, findings, rates};
use telemetrics_analytics::questions::trends::{Interval, Trend, TrendRequest, trend};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::{US_PER_DAY, US_PER_HOUR};

use super::kept::usual_system;
use super::numbers::SYSTEM;
use super::status::by_hour;
use super::{OVERVIEW_TAB, Shell, address, message, render, text};
use crate::api::regressions::with_guilties;
use crate::api::said::Said;
use crate::charts::{Chart, Figure, Kind, Series};
use crate::error::{InvalidParameter, WebError};
use crate::standing::Held;
use crate::state::{AppState, Asked};

/// How far back it is judged, in days.
const DAYS: i64 = 14;
/// How far back the chart of what came in looks, in hours.
const HOURS: i64 = 24;
/// Builds of the chart of rates: the newest.
const BUILDS_MAX: usize = 12;
/// Most findings that are listed.
const FINDINGS_MAX: usize = 10;
/// Longest name of a cause and of a build, in characters.
const NAME_CHARS: usize = 100;

/// What is known of the crashes of one system.
#[derive(Debug)]
pub struct Judged {
    /// What became worse.
    pub findings: Vec<Finding>,
    /// Rates of every build and cause.
    pub rates: Vec<BuildRates>,
}

/// What was found of one system.
pub struct Found<'a> {
    /// Which; `None` when there are no records.
    pub system_name: Option<&'a str>,
    /// What became worse, and the rates of builds.
    pub judged: &'a Judged,
    /// When it was looked at.
    pub judged_at: TimestampUs,
    /// Records of all systems by hour.
    pub hours: &'a Trend,
    /// What is wrong with the collector of this process.
    pub troubles: Vec<String>,
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "overview.html")]
pub struct OverviewPage {
    shell: Shell,
    system: String,
    troubles: Vec<String>,
    worse: Vec<Worse>,
    more: usize,
    figures: Vec<Figure>,
    days: i64,
    judged_at: String,
    crashes: String,
}

/// One finding as a sentence.
#[derive(Debug, Clone)]
struct Worse {
    name: String,
    address: Option<String>,
    said: String,
}

impl OverviewPage {
    /// The page.
    #[must_use]
    pub fn new(found: Found<'_>) -> Self {
        Self {
            shell: Shell::new("Overview", Some(OVERVIEW_TAB)),
            system: text::line(found.system_name.unwrap_or("no system yet"), NAME_CHARS),
            troubles: found.troubles,
            worse: found.judged.findings.iter().take(FINDINGS_MAX).map(Worse::from).collect(),
            more: found.judged.findings.len().saturating_sub(FINDINGS_MAX),
            figures: vec![by_build(&found.judged.rates).figure(), by_hour(found.hours).figure()],
            days: DAYS,
            judged_at: found.judged_at.to_string(),
            crashes: address::with_query("/telemetryui/crashes", found.system_name.map(|name| (SYSTEM, name))),
        }
    }
}

impl From<&Finding> for Worse {
    fn from(finding: &Finding) -> Self {
        let (name, address) = match &finding.cause {
            Cause::AnyCrash => ("Crashes as a whole".to_owned(), None),
            Cause::Class(class) => {
                (class.clone(), Some(address::with_query(address::RECORDS, [("classification", class.as_str())])))
            }
            Cause::Guilty { guilty_id, function, module } => {
                (format!("{function} in {module}"), Some(format!("/telemetryui/crashes/guilty_details/{guilty_id}")))
            }
        };
        let build = text::line(&finding.build, NAME_CHARS);
        let machines = text::thousands(finding.comparison.after.machines);
        let said = match (finding.change, finding.comparison.ratio) {
            (Change::Worse, Some(ratio)) => format!("{ratio:.1} times as often since {build}, on {machines} machines"),
            _ => format!("new since {build}, on {machines} machines"),
        };
        Self { name: text::line(&name, NAME_CHARS), address, said }
    }
}

/// Crashing machines per 1,000, of all crashes, by build.
fn by_build(rates: &[BuildRates]) -> Chart {
    let mut all: Vec<&BuildRates> = rates.iter().filter(|rates| rates.cause == Cause::AnyCrash).collect();
    let all = all.split_off(all.len().saturating_sub(BUILDS_MAX));
    let values = all.iter().map(|rates| Some(rates.machines.per_1000)).collect();
    Chart {
        title: "Crashing machines per 1,000 by build".to_owned(),
        kind: Kind::Columns,
        category: "build".into(),
        names: all.iter().map(|rates| rates.exposure.build.clone()).collect(),
        series: vec![Series { name: "per 1,000 machines".to_owned(), values }],
    }
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    answer(&state, &pairs).await.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, pairs: &[(String, String)]) -> Result<Response, WebError> {
    let unknown = pairs.iter().find(|(name, _)| name != SYSTEM);
    if let Some((name, _)) = unknown {
        return Err(InvalidParameter::new(name, "is not a parameter here").into());
    }
    let asked = Arc::new(state.ask().await?);
    let system_name = match pairs.first().filter(|(_, value)| !value.is_empty()) {
        Some((_, name)) => Some(name.clone()),
        None => usual_system(state, &asked).await?,
    };
    let from = |us: i64| Some(TimestampUs(asked.now.0 - us));
    let lately = RecordFilter { received_from: from(HOURS * US_PER_HOUR), ..RecordFilter::default() };
    let request = TrendRequest { filter: lately, interval: Interval::Hour, by: None, top: 1 };
    let filter = RecordFilter {
        system_name: system_name.clone(),
        received_from: from(DAYS * US_PER_DAY),
        ..RecordFilter::default()
    };
    let hours = async { Ok::<_, WebError>(trend(&asked.view, &request, asked.now).await?) };
    let (hours, judged) = tokio::try_join!(hours, judged(state, &asked, filter))?;
    let found = Found {
        system_name: system_name.as_deref(),
        judged: &judged.answer,
        judged_at: judged.made_at,
        hours: &hours,
        troubles: troubles(state),
    };
    Ok(render(StatusCode::OK, &OverviewPage::new(found)))
}

/// What is known of the crashes that pass the filter: by far the most work of the page, so that one answer serves many.
async fn judged(state: &AppState, asked: &Arc<Asked>, filter: RecordFilter) -> Result<Held<Judged>, WebError> {
    let edits = Said::now(state).await?.curated.sequence;
    let system_name = filter.system_name.clone();
    let make = || {
        let (state, asked) = (state.clone(), Arc::clone(asked));
        async move {
            let tables = with_guilties(&state, &asked, &filter).await?;
            Ok(Judged { findings: findings(&tables), rates: rates(&tables) })
        }
    };
    state.kept.judged.get(&system_name, asked.now, edits, make).await
}

/// What an operator has to look at.
fn troubles(state: &AppState) -> Vec<String> {
    let Some(told) = state.collector.as_ref().map(telemetrics_collector::Collector::stats) else { return Vec::new() };
    let waiting = told.quarantine.owed.entries + told.quarantine.refused.entries;
    let writable = (!told.journal.writable).then(|| "Records are refused: the journal cannot be written.".to_owned());
    let kept = (waiting > 0).then(|| format!("{} wait in the quarantine.", text::records(waiting)));
    let broken = state.parsers.as_ref().is_some_and(|parsers| !parsers.troubles().is_empty());
    let broken = broken.then(|| "Changed payload parsers are not used: see Status.".to_owned());
    writable.into_iter().chain(kept).chain(broken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_builds_are_shown_without_causes_of_their_own() {
        assert!(by_build(&[]).names.is_empty());
    }
}
