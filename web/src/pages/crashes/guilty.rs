//! The page of one guilty: its crashes by build and machine, and what users say about it.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use telemetrics_analytics::build_order;
use telemetrics_analytics::questions::crashes::{Group, OfBuild, Wanted, crashes};
use telemetrics_analytics::questions::guilty::{OfMachine, by_machine};
use telemetrics_schema::curation::{COMMENT_CHARS_MAX, NAME_BYTES_MAX, WHO_CHARS_MAX};

use super::asked::{DAYS, Window};
use super::name::Name;
use super::{EDIT, guilty_path};
use crate::access::guard::SignedIn;
use crate::api::said::Said;
use crate::charts::{CATEGORIES_MAX, Chart, Figure, Kind, Series};
use crate::error::WebError;
use crate::pages::query::{Given, Problem};
use crate::pages::text::{self, Moment};
use crate::pages::{CRASHES_TAB, Shell, address, message, render, rotation};
use crate::state::AppState;

/// Most builds and machines that are shown.
const ROWS_SHOWN: usize = 40;
/// Longest name of a system, a build, a machine or a class that is shown, in characters.
const NAME_CHARS: usize = 40;
/// Most characters of a name in the title.
const TITLE_CHARS: usize = 120;
/// What is offered when nothing is found, in days.
const LONGER_DAYS: &str = "35";

/// What was found.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Found {
    pub(in crate::pages) group: Group,
    pub(in crate::pages) machines: Vec<OfMachine>,
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
    facts: Vec<(&'static str, String)>,
    comment: String,
    is_hidden: bool,
    edit: Option<Edit>,
    backtraces: String,
    figures: Vec<Figure>,
    builds: Vec<BuildRow>,
    builds_left_out: usize,
    machines: Vec<MachineRow>,
    rotation: String,
    days: i64,
    api: String,
    pending: Option<String>,
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
    /// The page about the last `days` days.
    pub(in crate::pages) fn new(found: &Found, said: &SaidOfIt, days: i64) -> Self {
        let group = &found.group;
        let guilty = &group.guilty;
        let mut builds: Vec<&OfBuild> = group.builds.iter().collect();
        builds.sort_by(|a, b| a.system_name.cmp(&b.system_name).then_with(|| build_order(&b.build, &a.build)));
        let backtraces = format!("{}/backtraces", guilty_path(guilty.id));
        let days_text = days.to_string();
        let name = Name::from(guilty);
        let title = format!("Guilty: {}", text::line(&name.function, TITLE_CHARS));
        Self {
            shell: Shell::new(title, Some(CRASHES_TAB)),
            facts: facts(group, days),
            comment: text::line(&said.comment, COMMENT_CHARS_MAX),
            is_hidden: said.is_hidden,
            edit: Edit::of(&guilty.function, &guilty.module, said.based_on),
            backtraces: address::with_query(&backtraces, [(DAYS, days_text.as_str())]),
            figures: vec![by_build(&builds).figure()],
            builds: builds.iter().take(ROWS_SHOWN).map(|of| BuildRow::new(of, &backtraces, &days_text)).collect(),
            builds_left_out: builds.len().saturating_sub(ROWS_SHOWN),
            machines: found.machines.iter().map(|of| MachineRow::new(of, &backtraces, &days_text)).collect(),
            rotation: rotation::note(&[days]),
            days,
            api: address::with_query(&format!("/api/crashes/{}", guilty.id), [("created_in_days", days_text.as_str())]),
            pending: None,
            name,
        }
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

/// Records and machines by build, oldest version first.
fn by_build(newest_first: &[&OfBuild]) -> Chart {
    let one_system = newest_first.windows(2).all(|pair| pair[0].system_name == pair[1].system_name);
    let name = |of: &OfBuild| {
        if one_system { of.build.clone() } else { format!("{} {}", of.system_name, of.build) }
    };
    let shown: Vec<&OfBuild> = newest_first.iter().take(CATEGORIES_MAX).rev().copied().collect();
    Chart {
        title: "By build".to_owned(),
        kind: Kind::Columns,
        category: "build".into(),
        names: shown.iter().map(|of| name(of)).collect(),
        series: vec![
            Series::counts("records", shown.iter().map(|of| of.records)),
            Series::counts("machines", shown.iter().map(|of| of.machines)),
        ],
    }
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
    fn new(of: &OfBuild, backtraces: &str, days: &str) -> Self {
        let pairs = [(DAYS, days), ("system_name", of.system_name.as_str()), ("build", of.build.as_str())];
        Self {
            system_name: text::line(&of.system_name, NAME_CHARS),
            build: text::line(&of.build, NAME_CHARS),
            records: text::thousands(of.records),
            machines: text::thousands(of.machines),
            address: short(address::with_query(backtraces, pairs), backtraces),
        }
    }
}

impl MachineRow {
    fn new(of: &OfMachine, backtraces: &str, days: &str) -> Self {
        let pairs = [(DAYS, days), ("machine_id", of.machine_id.as_str()), ("build", of.build.as_str())];
        Self {
            machine_id: text::line(&of.machine_id, NAME_CHARS),
            system_name: text::line(&of.system_name, NAME_CHARS),
            build: text::line(&of.build, NAME_CHARS),
            records: text::thousands(of.records),
            address: short(address::with_query(backtraces, pairs), backtraces),
        }
    }
}

/// The address, or where it leads without its filters when these are long: a page has many rows.
fn short(address: String, without: &str) -> String {
    const BYTES_MAX: usize = 400;
    if address.len() <= BYTES_MAX { address } else { without.to_owned() }
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>, Path(id): Path<String>, signed_in: SignedIn, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    answer(&state, &id, &signed_in, query).await.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, id: &str, signed_in: &SignedIn, query: &str) -> Result<Response, WebError> {
    let id = guilty_id(id)?;
    let asked = state.ask().await?;
    let window = window(query, asked.now)?;
    let said = Said::now(state).await?;
    let view = &asked.view;
    let group = crashes(view, said.causes(state), &window.filter, Wanted::One(id)).await?.groups.pop();
    let Some(group) = group else { return Ok(nothing(id, window.days)) };
    let machines = by_machine(view, &window.filter, &group.stack_ids, ROWS_SHOWN).await?;
    let of_it = SaidOfIt {
        based_on: said.curated.sequence,
        comment: said.comment_on(&group.guilty).to_owned(),
        is_hidden: said.hidden.contains(&id),
    };
    let mut page = GuiltyPage::new(&Found { group, machines }, &of_it, window.days);
    page.edit = page.edit.map(|edit| edit.by(signed_in));
    page.pending = (asked.pending > 0).then(|| text::records(asked.pending as u64));
    Ok(render(StatusCode::OK, &page))
}

/// Reads the identity of a guilty as addresses have it.
pub(super) fn guilty_id(text: &str) -> Result<i64, WebError> {
    let id = text.parse().ok().filter(|id: &i64| *id >= 0);
    id.ok_or_else(|| WebError::NotFound(format!("{} is no number of a guilty.", text::line(text, NAME_CHARS))))
}

/// What the parameters of a page without a form say.
pub(super) fn window(query: &str, now: telemetrics_schema::TimestampUs) -> Result<Window, WebError> {
    let refused = |problem: Problem| WebError::Impossible(problem.message.trim_end_matches('.').to_owned());
    Given::parse(query).and_then(|given| Window::read(&given, now)).map_err(refused)
}

/// The page for a guilty that no crash has.
pub(super) fn nothing(id: i64, days: i64) -> Response {
    let why = "Another filter may have given its crashes to another guilty, or they are older.";
    let explanation = format!("No crash of the last {days} days has the guilty {id}. {why}");
    let longer = address::with_query(&guilty_path(id), [(DAYS, LONGER_DAYS)]);
    let page = message::MessagePage::new("No such guilty", &explanation);
    let page = page.leading_to(longer, format!("Look back {LONGER_DAYS} days"));
    render(StatusCode::NOT_FOUND, &page)
}
