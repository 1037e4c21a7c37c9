//! The page Crashes: the causes with most records on the newest builds, or on one build, and charts of them.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use futures::FutureExt as _;
use telemetrics_analytics::build_order;
use telemetrics_analytics::crashes::Guilty;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::crash_totals::{CrashTotal, crash_totals};
use telemetrics_analytics::questions::crashes::{Crashes, Group, Wanted, crashes, guilties_of};
use telemetrics_analytics::questions::guilty::{Trend, TrendRequest, trend};
use telemetrics_analytics::questions::offered::Offered;
use telemetrics_schema::TimestampUs;

use super::asked::{DAYS_DEFAULT, HIDDEN, SHOW, Window, in_api};
use super::charts::{self, TREND_TOP};
use super::links::Links;
use super::name::Name;
use super::{CRASHES, guilty_path};
use crate::api::said::Said;
use crate::charts::Figure;
use crate::error::{InvalidParameter, WebError};
use crate::pages::form::{ECHO_CHARS, Form};
use crate::pages::kept::offer;
use crate::pages::numbers::{SYSTEM, Same, system, with_usual_system};
use crate::pages::query::{Given, Problem};
use crate::pages::{CRASHES_TAB, Shell, address, message, render, rotation, text};
use crate::state::{AppState, Asked};

/// Builds that the page is about: the newest with crashes.
pub(in crate::pages) const BUILDS_SHOWN: usize = 8;
/// Most causes of the page.
pub(in crate::pages) const GUILTIES_SHOWN: usize = 25;
/// Longest build that is shown, and that can be asked for by its address, in characters.
const BUILD_CHARS: usize = 24;
const BUILD_ASKED_CHARS: usize = 256;
/// Longest comment that is shown: as long as one may be.
const COMMENT_CHARS: usize = telemetrics_schema::curation::COMMENT_CHARS_MAX;

/// What was found.
#[derive(Debug, Clone, Default)]
pub(in crate::pages) struct Found {
    /// The builds that it is about, newest first.
    pub(in crate::pages) builds: Vec<String>,
    /// How many builds have crashes in the window.
    pub(in crate::pages) builds_all: usize,
    pub(in crate::pages) totals: Vec<CrashTotal>,
    pub(in crate::pages) crashes: Crashes,
    /// Guilties of older builds in the window; `None` where there are none to compare with.
    pub(in crate::pages) older: Option<HashSet<i64>>,
    pub(in crate::pages) trend: Trend,
    /// Acknowledged records that are not counted.
    pub(in crate::pages) pending: usize,
    /// When it was read.
    pub(in crate::pages) as_of: TimestampUs,
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "crashes.html")]
pub(in crate::pages) struct TopPage {
    shell: Shell,
    form: Form,
    problem: Option<String>,
    clear: &'static str,
    shown: Option<Shown>,
    pending: Option<String>,
    edit: String,
}

#[derive(Debug, Clone)]
struct Shown {
    total: String,
    as_of: String,
    about: String,
    rotation: String,
    /// What readers have to know of the links.
    links: Option<&'static str>,
    newest: String,
    /// Where it is judged what is new or worse.
    overview: String,
    builds: Vec<Build>,
    rows: Vec<Row>,
    more: Option<String>,
    hidden: Option<Hidden>,
    figures: Vec<Figure>,
    same: Vec<Same>,
}

#[derive(Debug, Clone)]
struct Build {
    name: String,
    address: String,
}

#[derive(Debug, Clone)]
struct Row {
    name: Name,
    address: String,
    comment: String,
    /// Whether it is only on the newest build, where there are older ones: a fact, and no judgement.
    is_only_on_newest: bool,
    is_hidden: bool,
    records: String,
    machines: String,
    cells: Vec<Cell>,
}

/// The records of a cause on one build, as a number and as a bar.
#[derive(Debug, Clone)]
struct Cell {
    build: String,
    records: String,
    percent: u64,
}

/// How many guilties users hide, and where they are seen.
#[derive(Debug, Clone)]
struct Hidden {
    guilties: String,
    address: String,
    are_shown: bool,
}

impl TopPage {
    /// The page with what was found.
    pub(super) fn found(given: &Given, offer: &Offered, window: &Window, said: &Said, found: &Found) -> Self {
        let pending = (found.pending > 0).then(|| text::records(found.pending as u64));
        Self { shown: Some(Shown::new(given, window, said, found)), pending, ..Self::frame(given, offer, None) }
    }

    /// The page that says what is wrong with the filters; belongs to status 400.
    pub(in crate::pages) fn refused(given: &Given, offer: &Offered, problem: &Problem) -> Self {
        Self::frame(given, offer, Some(problem))
    }

    fn frame(given: &Given, offer: &Offered, problem: Option<&Problem>) -> Self {
        let form = Form::new(given, offer, problem).without(&["created_in_days"]);
        Self {
            shell: Shell::new(CRASHES_TAB.label, Some(CRASHES_TAB)),
            form: form.with_days(given, DAYS_DEFAULT, problem),
            problem: problem.map(|problem| text::line(&problem.message, ECHO_CHARS)),
            clear: CRASHES,
            shown: None,
            pending: None,
            edit: format!("{CRASHES}/guilty_edit/"),
        }
    }
}

impl Shown {
    fn new(given: &Given, window: &Window, said: &Said, found: &Found) -> Self {
        let largest = found.crashes.groups.iter().flat_map(|group| &group.builds).map(|of| of.records).max();
        let links = Links::new(given, window.days);
        let row = |group: &Group| Row::new(group, found, said, &links, largest.unwrap_or(1));
        let all: u64 = found.totals.iter().map(|total| total.records).sum();
        Self {
            total: text::thousands(all),
            as_of: found.as_of.to_string(),
            about: about(window, found),
            rotation: rotation::note(),
            links: links.note(),
            overview: address::with_query(address::OVERVIEW, system(given).map(|name| (SYSTEM, name))),
            newest: found.builds.first().map(|build| text::line(build, BUILD_CHARS)).unwrap_or_default(),
            builds: found.builds.iter().map(|build| Build::new(build, window, &links)).collect(),
            rows: found.crashes.groups.iter().map(row).collect(),
            more: found.crashes.has_more.then(|| text::thousands(GUILTIES_SHOWN as u64)),
            hidden: hidden(given, window, said),
            figures: figures(window, found),
            same: same(given, window, found),
        }
    }
}

fn about(window: &Window, found: &Found) -> String {
    let days = if window.days == 1 { "day".to_owned() } else { format!("{} days", window.days) };
    let builds = match (found.builds.len(), found.builds_all) {
        (0, _) => String::new(),
        (1, 1) => " on one build".to_owned(),
        (shown, all) if shown == all => format!(" on {all} builds"),
        (shown, all) => format!(" on the newest {shown} of {all} builds with crashes"),
    };
    format!("in the last {days}{builds}")
}

fn hidden(given: &Given, window: &Window, said: &Said) -> Option<Hidden> {
    let others: Vec<_> = given.filters().filter(|(name, _)| *name != HIDDEN).collect();
    let show = (!window.shows_hidden).then_some((HIDDEN, SHOW));
    (!said.hidden.is_empty()).then(|| Hidden {
        guilties: text::thousands(said.hidden.len() as u64),
        address: address::with_query(CRASHES, others.into_iter().chain(show)),
        are_shown: window.shows_hidden,
    })
}

fn figures(window: &Window, found: &Found) -> Vec<Figure> {
    let charts = [
        charts::by_build(&found.builds, &found.totals, &found.crashes.groups),
        charts::by_class(&found.totals),
        charts::over_time(&found.trend, charts::interval(window.days)),
    ];
    charts.iter().map(crate::charts::Chart::figure).collect()
}

fn same(given: &Given, window: &Window, found: &Found) -> Vec<Same> {
    let builds = found.builds.join(",");
    let of_builds = |more: &[(&str, &str)]| {
        let builds = (!builds.is_empty()).then_some(("build", builds.as_str()));
        in_api(given, window.days, &builds.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let top = TREND_TOP.to_string();
    let interval = charts::interval(window.days).name();
    let over_time = [("by", "guilty"), ("interval", interval), ("top", top.as_str())];
    let Some(all) = of_builds(&[]) else { return Vec::new() };
    let trends = Given::of(all.filters().filter(|(name, _)| *name != HIDDEN));
    vec![Same::new("By cause", &all, "/api/crashes", &[]), Same::new("Over time", &trends, "/api/trends", &over_time)]
}

impl Build {
    fn new(build: &str, window: &Window, links: &Links) -> Self {
        let path: String = url::form_urlencoded::byte_serialize(build.as_bytes()).collect();
        let hidden = window.shows_hidden.then_some((HIDDEN, SHOW));
        let address = links.without("build").to(&format!("{CRASHES}/{}", path.replace('+', "%20")), hidden.as_slice());
        Self { name: text::line(build, BUILD_CHARS), address }
    }
}

impl Row {
    fn new(group: &Group, found: &Found, said: &Said, links: &Links, largest: u64) -> Self {
        let of =
            |build: &String| -> u64 { group.builds.iter().filter(|of| of.build == *build).map(|of| of.records).sum() };
        let cell = |build: &String| Cell {
            build: text::line(build, BUILD_CHARS),
            records: if of(build) == 0 { String::new() } else { text::thousands(of(build)) },
            percent: (of(build) * 100).div_ceil(largest.max(1)),
        };
        Self {
            name: Name::from(&group.guilty),
            address: links.to(&guilty_path(group.guilty.id), &[]),
            comment: text::line(said.comment_on(&group.guilty), COMMENT_CHARS),
            is_only_on_newest: is_only_on_newest(group, found),
            is_hidden: said.hidden.contains(&group.guilty.id),
            records: text::thousands(group.records),
            machines: rotation::machines(group.machines, links.days()),
            cells: found.builds.iter().map(cell).collect(),
        }
    }
}

/// Whether all records of the group are of the newest build, and there are older builds without any.
fn is_only_on_newest(group: &Group, found: &Found) -> bool {
    let is_newest = |build: &String| found.builds.first() == Some(build);
    found.older.as_ref().is_some_and(|older| !older.contains(&group.guilty.id))
        && group.builds.iter().all(|of| is_newest(&of.build))
}

/// Answers with the page of the newest builds.
pub async fn all(State(state): State<AppState>, uri: Uri) -> Response {
    let given = Given::parse(uri.query().unwrap_or_default());
    answer(&state, given).await.unwrap_or_else(|error| message::failed(&error))
}

/// Answers with the page of one build.
pub async fn of_build(State(state): State<AppState>, Path(build): Path<String>, uri: Uri) -> Response {
    let given = Given::parse(uri.query().unwrap_or_default()).and_then(|given| with_build(given, &build));
    answer(&state, given).await.unwrap_or_else(|error| message::failed(&error))
}

fn with_build(given: Given, build: &str) -> Result<Given, Problem> {
    if !given.value("build").is_empty() {
        return Err(InvalidParameter::new("build", "is named by the address already").into());
    }
    if build.chars().count() > BUILD_ASKED_CHARS {
        let reason = format!("has at most {BUILD_ASKED_CHARS} characters");
        return Err(InvalidParameter::new("build", reason).into());
    }
    Ok(given.or("build", build))
}

async fn answer(state: &AppState, given: Result<Given, Problem>) -> Result<Response, WebError> {
    let asked = state.ask().await?;
    let (given, window) = match given {
        Ok(given) => {
            let given = with_usual_system(state, &asked, given).await?;
            let window = Window::read(&given, asked.now);
            (given, window)
        }
        Err(problem) => (Given::default(), Err(problem)),
    };
    match window {
        Ok(window) => show(state, &asked, &given, &window).await,
        Err(problem) => {
            let offer = offer(state, &asked, None).await?;
            Ok(render(StatusCode::BAD_REQUEST, &TopPage::refused(&given, &offer, &problem)))
        }
    }
}

async fn show(state: &AppState, asked: &Asked, given: &Given, window: &Window) -> Result<Response, WebError> {
    let said = Arc::new(Said::now(state).await?);
    let make = || {
        let (state, asked, window, said) = (state.clone(), asked.clone(), window.clone(), Arc::clone(&said));
        async move { find(&state, &asked, &window, &said).await }.boxed()
    };
    let found = state.kept.crashes.get(given, asked.now, said.curated.sequence, make);
    let (found, offer) = tokio::try_join!(found, offer(state, asked, window.filter.system_name.as_deref()))?;
    Ok(render(StatusCode::OK, &TopPage::found(given, &offer, window, &said, &found.answer)))
}

async fn find(state: &AppState, asked: &Asked, window: &Window, said: &Said) -> Result<Found, WebError> {
    let (view, causes) = (&asked.view, said.causes(state));
    let mut totals = crash_totals(view, &RecordFilter { builds: Vec::new(), ..window.filter.clone() }).await?;
    let all = newest_first(&totals);
    let is_asked_for = |build: &String| window.filter.builds.is_empty() || window.filter.builds.contains(build);
    let asked_for: Vec<String> = all.iter().filter(|build| is_asked_for(build)).cloned().collect();
    let builds: Vec<String> = asked_for.iter().take(BUILDS_SHOWN).cloned().collect();
    let (pending, as_of) = (asked.pending, asked.now);
    let Some(newest) = builds.first() else { return Ok(Found { pending, as_of, ..Found::default() }) };
    let older: Vec<String> = all.iter().filter(|build| build_order(build, newest).is_lt()).cloned().collect();
    let filter = RecordFilter { builds: builds.clone(), ..window.filter.clone() };
    let nothing = HashSet::new();
    let without = if window.shows_hidden { &nothing } else { &said.hidden };
    let wanted = Wanted::Largest(GUILTIES_SHOWN, without);
    let interval = charts::interval(window.days);
    let over_time = TrendRequest { filter: &filter, interval, top: TREND_TOP, without: &said.hidden, only: None };
    let older_filter = RecordFilter { builds: older, ..window.filter.clone() };
    let older = async {
        let has_older = !older_filter.builds.is_empty();
        let guilties = if has_older { guilties_of(view, causes, &older_filter).await? } else { return Ok(None) };
        Ok(Some(guilties.into_values().map(|guilty: Guilty| guilty.id).collect::<HashSet<i64>>()))
    };
    let (crashes, older, trend) =
        tokio::try_join!(crashes(view, causes, &filter, wanted), older, trend(view, causes, &over_time, asked.now))?;
    totals.retain(|total| builds.contains(&total.build));
    Ok(Found { builds, builds_all: asked_for.len(), totals, crashes, older, trend, pending, as_of })
}

/// The builds with crashes, the newest version first.
fn newest_first(totals: &[CrashTotal]) -> Vec<String> {
    let builds: BTreeSet<&String> = totals.iter().map(|total| &total.build).collect();
    let mut builds: Vec<String> = builds.into_iter().cloned().collect();
    builds.sort_by(|a, b| build_order(b, a));
    builds
}
