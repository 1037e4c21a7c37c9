//! The page of one guilty: its crashes by build and machine, and what users say about it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use futures::FutureExt as _;
use telemetrics_analytics::build_order;
use telemetrics_analytics::questions::crashes::{Group, OfBuild, Wanted, crashes};
use telemetrics_analytics::questions::guilty::{OfMachine, Trend, TrendRequest, by_machine, trend};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::curation::{COMMENT_CHARS_MAX, NAME_BYTES_MAX, WHO_CHARS_MAX};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::asked::{DAYS, HIDDEN, Window, in_api};
use super::links::{Links, Only};
use super::name::Name;
use super::{CRASHES, EDIT, charts, guilty_path};
use crate::access::guard::SignedIn;
use crate::api::said::Said;
use crate::charts::{CATEGORIES_MAX, Chart, Figure, Kind, Series};
use crate::error::WebError;
use crate::pages::judged::{self, JUDGED_DAYS, Judged};
use crate::pages::numbers::SYSTEM;
use crate::pages::query::{Given, Problem};
use crate::pages::text::{self, Moment};
use crate::pages::{CRASHES_TAB, Shell, address, message, render, rotation};
use crate::state::{AppState, Asked};

/// Most builds and machines that are shown.
const ROWS_SHOWN: usize = 40;
/// Longest name of a system, a build, a machine or a class that is shown, in characters.
const NAME_CHARS: usize = 40;
/// Most characters of a name in the title.
const TITLE_CHARS: usize = 120;
/// How long the page waits for the judgement behind everything else. Where it takes longer, who looks again has it.
const JUDGED_WAIT: Duration = Duration::from_millis(10);
/// What is offered when nothing is found, in days.
const LONGER_DAYS: &str = "35";

/// What was found.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Found {
    pub(in crate::pages) group: Group,
    pub(in crate::pages) machines: Vec<OfMachine>,
    /// Its records over time.
    pub(in crate::pages) trend: Trend,
    /// Acknowledged records that are not counted.
    pub(in crate::pages) pending: usize,
    /// When it was read.
    pub(in crate::pages) as_of: TimestampUs,
}

/// What is known of how often it strikes.
#[derive(Debug, Clone)]
pub(in crate::pages) enum Judgement {
    /// It is being judged.
    UnderWay,
    /// Nothing: it is of several systems, or they cannot be judged.
    None,
    /// What is judged of the one system that it is of.
    Of(String, Arc<Judged>),
}

/// What users say about the guilty.
#[derive(Debug, Clone)]
pub(in crate::pages) struct SaidOfIt {
    pub(in crate::pages) based_on: u64,
    pub(in crate::pages) comment: String,
    pub(in crate::pages) is_hidden: bool,
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "guilty.html")]
pub(in crate::pages) struct GuiltyPage {
    shell: Shell,
    name: Name,
    as_of: String,
    facts: Vec<(&'static str, String)>,
    comment: String,
    is_hidden: bool,
    edit: Option<Edit>,
    only: Option<Only>,
    /// What readers have to know of the links.
    links: Option<&'static str>,
    backtraces: String,
    crashes: String,
    figures: Vec<Figure>,
    judged: Option<JudgedOfIt>,
    is_judging: bool,
    builds: Vec<BuildRow>,
    builds_left_out: usize,
    machines: Vec<MachineRow>,
    rotation: String,
    days: i64,
    api: Option<Api>,
    pending: Option<String>,
}

/// Where the API has the same numbers.
#[derive(Debug, Clone)]
struct Api {
    details: String,
    over_time: String,
}

/// How often it strikes, and whether that became worse.
#[derive(Debug, Clone)]
struct JudgedOfIt {
    system: String,
    overview: String,
    days: i64,
    verdict: String,
    figures: Vec<Figure>,
}

/// What the form of edits sends, which names the guilty whole.
#[derive(Debug, Clone)]
struct Edit {
    address: &'static str,
    based_on: u64,
    function: String,
    module: String,
    comment_chars_max: usize,
    who_chars_max: usize,
    /// Whose name the history gets, where somebody signed in.
    signed_in: Option<String>,
}

#[derive(Debug, Clone)]
struct BuildRow {
    system_name: String,
    build: String,
    records: String,
    machines: String,
    address: String,
}

#[derive(Debug, Clone)]
struct MachineRow {
    machine_id: String,
    system_name: String,
    build: String,
    records: String,
    address: String,
}

impl GuiltyPage {
    /// The page about the last `days` days and what else was `given`.
    pub(in crate::pages) fn new(
        given: &Given,
        found: &Found,
        judgement: &Judgement,
        said: &SaidOfIt,
        days: i64,
    ) -> Self {
        let group = &found.group;
        let guilty = &group.guilty;
        let mut builds: Vec<&OfBuild> = group.builds.iter().collect();
        builds.sort_by(|a, b| a.system_name.cmp(&b.system_name).then_with(|| build_order(&b.build, &a.build)));
        let path = guilty_path(guilty.id);
        let (backtraces, links) = (format!("{path}/backtraces"), Links::new(given, days));
        let over_time = charts::told_over_time(&found.trend, charts::interval(days));
        let name = Name::from(guilty);
        let title = format!("Guilty: {}", text::line(&name.function, TITLE_CHARS));
        Self {
            shell: Shell::new(title, Some(CRASHES_TAB)),
            as_of: found.as_of.to_string(),
            facts: facts(group, days),
            comment: text::line(&said.comment, COMMENT_CHARS_MAX),
            is_hidden: said.is_hidden,
            edit: Edit::of(&guilty.function, &guilty.module, said.based_on),
            only: Only::of(given, &path, days),
            links: links.note(),
            backtraces: links.to(&backtraces, &[]),
            crashes: links.to(CRASHES, &[]),
            figures: vec![by_build(&builds, days), over_time.figure()],
            judged: match judgement {
                Judgement::Of(system_name, judged) => JudgedOfIt::new(guilty.id, system_name, judged),
                Judgement::UnderWay | Judgement::None => None,
            },
            is_judging: matches!(judgement, Judgement::UnderWay),
            builds: builds.iter().take(ROWS_SHOWN).map(|of| BuildRow::new(of, &backtraces, &links)).collect(),
            builds_left_out: builds.len().saturating_sub(ROWS_SHOWN),
            machines: found.machines.iter().map(|of| MachineRow::new(of, &backtraces, &links)).collect(),
            rotation: rotation::note(),
            days,
            api: Api::of(given, guilty.id, days),
            pending: (found.pending > 0).then(|| text::records(found.pending as u64)),
            name,
        }
    }
}

impl Api {
    /// `None` where the filters are too long for an address.
    fn of(given: &Given, id: i64, days: i64) -> Option<Self> {
        let asked = in_api(given, days, &[])?;
        let asked = Given::of(asked.filters().filter(|(name, _)| *name != HIDDEN));
        let (id, interval) = (id.to_string(), charts::interval(days).name());
        Some(Self {
            details: asked.link(&format!("/api/crashes/{id}"), &[]),
            over_time: asked.link("/api/trends", &[("by", "guilty"), ("guilty_id", &id), ("interval", interval)]),
        })
    }
}

impl JudgedOfIt {
    /// `None` where nothing is known of it: it struck no build that machines were heard of.
    fn new(id: i64, system_name: &str, judged: &Judged) -> Option<Self> {
        let rates = judged.of_guilty(id);
        (!rates.is_empty()).then(|| Self {
            system: text::line(system_name, NAME_CHARS),
            overview: address::with_query(address::OVERVIEW, [(SYSTEM, system_name)]),
            days: JUDGED_DAYS,
            verdict: judged.finding_of(id).map_or_else(|| "nothing that is sure".to_owned(), judged::said),
            figures: vec![judged::by_build("Struck machines per 1,000 by build", &rates)],
        })
    }
}

fn facts(group: &Group, days: i64) -> Vec<(&'static str, String)> {
    let classes = group.classifications.iter().take(ROWS_SHOWN / 4);
    let classes: Vec<String> = classes
        .map(|(class, records)| format!("{}: {}", text::line(class, NAME_CHARS), text::thousands(*records)))
        .collect();
    vec![
        ("Records", text::thousands(group.records)),
        ("Machines", rotation::machines(group.machines, days)),
        ("Different stacks", text::thousands(group.stack_ids.len() as u64)),
        ("First seen", Moment::from(group.first_seen).text),
        ("Last seen", Moment::from(group.last_seen).text),
        ("By class", classes.join(", ")),
    ]
}

/// Records and machines of so many days by build, oldest version first.
fn by_build(newest_first: &[&OfBuild], days: i64) -> Figure {
    let one_system = newest_first.windows(2).all(|pair| pair[0].system_name == pair[1].system_name);
    let name = |of: &OfBuild| {
        if one_system { of.build.clone() } else { format!("{} {}", of.system_name, of.build) }
    };
    let shown: Vec<&OfBuild> = newest_first.iter().take(CATEGORIES_MAX).rev().copied().collect();
    let chart = Chart {
        title: "By build".to_owned(),
        kind: Kind::Columns,
        category: "build".into(),
        names: shown.iter().map(|of| name(of)).collect(),
        series: vec![
            Series::counts("records", shown.iter().map(|of| of.records)),
            Series::counts("machines", shown.iter().map(|of| of.machines)),
        ],
    };
    chart.figure().with_texts(1, shown.iter().map(|of| rotation::machines(of.machines, days)))
}

impl Edit {
    /// `None` for a guilty that nothing can be said about: it has no name, or one that is too long.
    fn of(function: &str, module: &str, based_on: u64) -> Option<Self> {
        let can_be_named = !function.is_empty() && function.len().max(module.len()) <= NAME_BYTES_MAX;
        can_be_named.then(|| Self {
            address: EDIT,
            based_on,
            function: function.to_owned(),
            module: module.to_owned(),
            comment_chars_max: COMMENT_CHARS_MAX,
            who_chars_max: WHO_CHARS_MAX,
            signed_in: None,
        })
    }

    fn by(self, signed_in: &SignedIn) -> Self {
        let name = signed_in.0.as_ref().map(|who| text::line(&who.name, WHO_CHARS_MAX));
        Self { signed_in: name, ..self }
    }
}

impl BuildRow {
    fn new(of: &OfBuild, backtraces: &str, links: &Links) -> Self {
        let of_row = [("system_name", of.system_name.as_str()), ("build", of.build.as_str())];
        Self {
            system_name: text::line(&of.system_name, NAME_CHARS),
            build: text::line(&of.build, NAME_CHARS),
            records: text::thousands(of.records),
            machines: rotation::machines(of.machines, links.days()),
            address: links.to(backtraces, &of_row),
        }
    }
}

impl MachineRow {
    fn new(of: &OfMachine, backtraces: &str, links: &Links) -> Self {
        let of_row = [
            ("machine_id", of.machine_id.as_str()),
            ("system_name", of.system_name.as_str()),
            ("build", of.build.as_str()),
        ];
        Self {
            machine_id: text::line(&of.machine_id, NAME_CHARS),
            system_name: text::line(&of.system_name, NAME_CHARS),
            build: text::line(&of.build, NAME_CHARS),
            records: text::thousands(of.records),
            address: links.to(backtraces, &of_row),
        }
    }
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>, Path(id): Path<String>, signed_in: SignedIn, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    answer(&state, &id, &signed_in, query).await.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, id: &str, signed_in: &SignedIn, query: &str) -> Result<Response, WebError> {
    let id = guilty_id(id)?;
    let asked = state.ask().await?;
    let (given, window) = window(query, asked.now)?;
    let said = Arc::new(Said::now(state).await?);
    let make = || {
        let (state, asked, window, said) = (state.clone(), asked.clone(), window.clone(), Arc::clone(&said));
        async move { find(&state, &asked, &window, &said, id).await }.boxed()
    };
    let found = state.kept.guilty.get(&(id, given.clone()), asked.now, said.curated.sequence, make).await?.answer;
    let Some(found) = found.as_ref() else { return Ok(nothing(&given, id, window.days)) };
    let judgement = judgement(state, &asked, system_of(&window, &found.group)).await;
    let of_it = SaidOfIt {
        based_on: said.curated.sequence,
        comment: said.comment_on(&found.group.guilty).to_owned(),
        is_hidden: said.hidden.contains(&id),
    };
    let mut page = GuiltyPage::new(&given, found, &judgement, &of_it, window.days);
    page.edit = page.edit.map(|edit| edit.by(signed_in));
    Ok(render(StatusCode::OK, &page))
}

/// What is known of the guilty; `None` when no crash in the window has it.
async fn find(
    state: &AppState,
    asked: &Asked,
    window: &Window,
    said: &Said,
    id: i64,
) -> Result<Option<Found>, WebError> {
    let (view, filter, causes) = (&asked.view, &window.filter, said.causes(state));
    let group = crashes(view, causes, filter, Wanted::One(id)).await?.groups.pop();
    let Some(group) = group else { return Ok(None) };
    let nothing = HashSet::new();
    let interval = charts::interval(window.days);
    let over_time = TrendRequest { filter, interval, top: 1, without: &nothing, only: Some(id) };
    let (machines, trend) = tokio::try_join!(
        by_machine(view, filter, &group.stack_ids, ROWS_SHOWN),
        trend(view, causes, &over_time, asked.now),
    )?;
    Ok(Some(Found { group, machines, trend, pending: asked.pending, as_of: asked.now }))
}

/// The system that the page is about: the one that is asked for, else the only one with such crashes.
fn system_of(window: &Window, group: &Group) -> Option<String> {
    let first = group.builds.first().map(|of| of.system_name.clone());
    let only = first.filter(|name| group.builds.iter().all(|of| of.system_name == *name));
    window.filter.system_name.clone().or(only)
}

/// What is judged of the system, where that is known soon or nobody would find it kept; it is judged on behind the page.
async fn judgement(state: &AppState, asked: &Asked, system_name: Option<String>) -> Judgement {
    let Some(system_name) = system_name else { return Judgement::None };
    let judging = tokio::spawn(judged_of(state.clone(), asked.clone(), system_name).in_current_span());
    let judged = if state.kept.judged.keeps() {
        let Ok(judged) = timeout(JUDGED_WAIT, judging).await else { return Judgement::UnderWay };
        judged
    } else {
        judging.await
    };
    // One that panicked has said so.
    judged.unwrap_or(Judgement::None)
}

/// What is judged of one system. The page is about more than that and does without where it cannot be judged.
async fn judged_of(state: AppState, asked: Asked, system_name: String) -> Judgement {
    match judged::judged(&state, &asked, Some(system_name.clone())).await {
        Ok(held) => Judgement::Of(system_name, held.answer),
        Err(error) => {
            tracing::warn!(%error, "the crashes of a system cannot be judged");
            Judgement::None
        }
    }
}

/// Reads the identity of a guilty as addresses have it.
pub(super) fn guilty_id(text: &str) -> Result<i64, WebError> {
    let id = text.parse().ok().filter(|id: &i64| *id >= 0);
    id.ok_or_else(|| WebError::NotFound(format!("{} is no number of a guilty.", text::line(text, NAME_CHARS))))
}

/// What the parameters of a page without a form say, and these.
pub(super) fn window(query: &str, now: TimestampUs) -> Result<(Given, Window), WebError> {
    let refused = |problem: Problem| WebError::Impossible(problem.message.trim_end_matches('.').to_owned());
    let given = Given::parse(query).map_err(refused)?;
    let window = Window::read(&given, now).map_err(refused)?;
    Ok((given, window))
}

/// The page for a guilty that no crash has.
pub(super) fn nothing(given: &Given, id: i64, days: i64) -> Response {
    let path = guilty_path(id);
    let only = Only::of(given, &path, days).map(|only| format!(" (only {})", only.text)).unwrap_or_default();
    let why = "Another filter may have given its crashes to another guilty, or they are older.";
    let explanation = format!("No crash of the last {days} days{only} has the guilty {id}. {why}");
    let longer = address::with_query(&path, [(DAYS, LONGER_DAYS)]);
    let page = message::MessagePage::new("No such guilty", &explanation);
    let without = if only.is_empty() { "" } else { ", without filters" };
    let page = page.leading_to(longer, format!("Look back {LONGER_DAYS} days{without}"));
    render(StatusCode::NOT_FOUND, &page)
}
