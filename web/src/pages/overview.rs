//! The page Overview: whether anything is wrong, for who has ten seconds.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::judgement::{BuildRates, Cause, Finding};
use telemetrics_analytics::questions::offered::Offered;
use telemetrics_analytics::questions::trends::{Interval, Trend, TrendRequest, trend};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_DAY;

use super::crashes::{CRASHES, guilty_path};
use super::form::Form;
use super::judged::{JUDGED_DAYS, Judged, by_build, judged, said};
use super::kept::offer;
use super::numbers::{SYSTEM, Same, with_usual_system};
use super::query::Given;
use super::status::by_hour;
use super::{OVERVIEW_TAB, Shell, address, message, render, rotation, text};
use crate::api::params;
use crate::charts::{Chart, Figure};
use crate::error::{InvalidParameter, WebError};
use crate::state::AppState;

/// How far back the chart of what came in looks, in days.
const HOURLY_DAYS: i64 = 1;
/// Most findings that are listed.
const FINDINGS_MAX: usize = 10;
/// Longest name of a cause and of a system, in characters.
const NAME_CHARS: usize = 100;

/// Fields of the form of filters that the page does not have: it is about a system as a whole.
const NOT_HERE: [&str; 5] = ["classification", "severity", "machine_id", "build", "created_in_days"];

/// What was found of one system.
pub(in crate::pages) struct Found<'a> {
    /// The parameters, with the system when there are records.
    pub(in crate::pages) given: &'a Given,
    /// Systems to choose from.
    pub(in crate::pages) offer: &'a Offered,
    /// What became worse, and the rates of builds.
    pub(in crate::pages) judged: &'a Judged,
    /// When it was looked at.
    pub(in crate::pages) judged_at: TimestampUs,
    /// Records of all systems by hour.
    pub(in crate::pages) hours: &'a Trend,
    /// What is wrong with the collector of this process.
    pub(in crate::pages) troubles: Vec<String>,
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "overview.html")]
pub(in crate::pages) struct OverviewPage {
    shell: Shell,
    form: Form,
    clear: &'static str,
    system: String,
    troubles: Vec<String>,
    worse: Vec<Worse>,
    more: usize,
    /// Where all findings are.
    all: String,
    figures: Vec<Figure>,
    days: i64,
    judged_at: String,
    rotation: String,
    crashes: String,
    same: Vec<Same>,
}

/// One finding as a sentence.
#[derive(Debug, Clone)]
struct Worse {
    name: String,
    address: String,
    said: String,
}

impl OverviewPage {
    /// The page.
    pub(in crate::pages) fn new(found: Found<'_>) -> Self {
        let Found { given, offer, judged, judged_at, hours, troubles } = found;
        let system_name = Some(given.value(SYSTEM)).filter(|name| !name.is_empty());
        let same = same(given);
        Self {
            shell: Shell::new("Overview", Some(OVERVIEW_TAB)),
            form: Form::new(given, offer, None).without(&NOT_HERE),
            clear: address::OVERVIEW,
            system: text::line(system_name.unwrap_or("no system yet"), NAME_CHARS),
            troubles,
            worse: judged.findings.iter().take(FINDINGS_MAX).map(|finding| Worse::new(finding, system_name)).collect(),
            more: judged.findings.len().saturating_sub(FINDINGS_MAX),
            all: same[0].csv.clone(),
            figures: vec![
                by_build("Crashing machines per 1,000 by build", &judged.crashes.iter().collect::<Vec<&BuildRates>>()),
                Chart { title: "Records of all systems by hour".to_owned(), ..by_hour(hours) }.figure(),
            ],
            days: JUDGED_DAYS,
            judged_at: judged_at.to_string(),
            rotation: rotation::note(),
            crashes: in_window(CRASHES, "days", system_name, None),
            same,
        }
    }
}

/// Where scripts get the numbers: of the same system and the same windows.
fn same(given: &Given) -> Vec<Same> {
    let (days, hourly_days) = (JUDGED_DAYS.to_string(), HOURLY_DAYS.to_string());
    let judged = [("days", days.as_str())];
    let hourly = [("interval", Interval::Hour.name()), ("created_in_days", hourly_days.as_str())];
    vec![
        Same::new("What became worse", given, "/api/regressions", &judged),
        Same::new("Crash rates", given, "/api/crash-rate", &judged),
        Same::new("Records of all systems by hour", &Given::default(), "/api/trends", &hourly),
    ]
}

/// `path` about what the page is about: the system and the window, which the parameter `window` names there.
fn in_window(path: &str, window: &str, system_name: Option<&str>, more: Option<(&str, &str)>) -> String {
    let looks_back = JUDGED_DAYS.to_string();
    let pairs = [(window, looks_back.as_str())].into_iter().chain(system_name.map(|name| (SYSTEM, name)));
    address::with_query(path, pairs.chain(more))
}

impl Worse {
    fn new(finding: &Finding, system_name: Option<&str>) -> Self {
        let (name, address) = match &finding.cause {
            Cause::AnyCrash => ("Crashes as a whole".to_owned(), in_window(CRASHES, "days", system_name, None)),
            Cause::Class(class) => {
                let of_class = Some(("classification", class.as_str()));
                (class.clone(), in_window(address::RECORDS, "created_in_days", system_name, of_class))
            }
            Cause::Guilty { guilty_id, function, module } => {
                (format!("{function} in {module}"), in_window(&guilty_path(*guilty_id), "days", system_name, None))
            }
        };
        Self { name: text::line(&name, NAME_CHARS), address, said: said(finding) }
    }
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    Box::pin(answer(&state, query)).await.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, query: &str) -> Result<Response, WebError> {
    let given = Given::parse(query).map_err(|problem| InvalidParameter::new("the query", problem.message))?;
    if let Some((name, _)) = given.pairs().iter().find(|(name, _)| name != SYSTEM) {
        return Err(InvalidParameter::new(name, "is not a parameter here").into());
    }
    let asked = state.ask().await?;
    let given = with_usual_system(state, &asked, given).await?;
    let system_name = params::form_filter(given.pairs(), &[], asked.now)?.system_name;
    let lately = RecordFilter {
        received_from: Some(TimestampUs(asked.now.0 - HOURLY_DAYS * US_PER_DAY)),
        ..RecordFilter::default()
    };
    let request = TrendRequest { filter: lately, interval: Interval::Hour, by: None, top: 1 };
    let hours = async { Ok::<_, WebError>(trend(&asked.view, &request, asked.now).await?) };
    let offer = offer(state, &asked, system_name.as_deref());
    let (hours, offer, judged) = tokio::try_join!(hours, offer, judged(state, &asked, system_name.clone()))?;
    let found = Found {
        given: &given,
        offer: &offer,
        judged: &judged.answer,
        judged_at: judged.made_at,
        hours: &hours,
        troubles: troubles(state),
    };
    Ok(render(StatusCode::OK, &OverviewPage::new(found)))
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
