//! The page of a view that an operator added: what it asks for, its picture, and the ways to the same rows.

#[cfg(test)]
pub(super) mod samples;

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header};
use axum::response::Response;
use telemetrics_analytics::Error;
use telemetrics_analytics::questions::offered::systems;
use telemetrics_analytics::sql::{Bound, answer_bound};

use super::form::{Choice, ECHO_CHARS, offered_within};
use super::kept::usual_system;
use super::query::{Given, Problem};
use super::{Shell, address, message, render, text};
use crate::api::sql::{Statements, Turn};
use crate::api::with_pending;
use crate::error::{InvalidParameter, WebError};
use crate::formats::{self, Choice as FormatChoice, Form, Format};
use crate::state::AppState;
use crate::views::{self, CHART_ROWS_MAX, Definition, Kind, Listed, Parameter, Picture, Shape, Shown, TABLE_ROWS_MAX};

/// Most bytes of HTML that the statement takes.
const STATEMENT_BYTES: usize = 12_000;
/// Longest reason that is shown, in characters.
const REASON_CHARS: usize = 1_000;
/// What the names of files with rows begin with.
const ROWS: &str = "rows.";
/// The formats that a page offers, and what they are called.
const FILES: [(Format, &str); 3] = [(Format::Csv, "CSV"), (Format::Parquet, "Parquet"), (Format::Json, "JSON")];

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "view.html")]
pub struct ViewPage {
    shell: Shell,
    description: String,
    /// What is wrong with what was asked, or with the file.
    problem: Option<String>,
    fields: Vec<Field>,
    /// Names of systems, where a field takes one.
    systems: Vec<String>,
    address: String,
    is_filtered: bool,
    shown: Option<Shown>,
    files: Vec<(&'static str, String)>,
    /// The statement, and whether it goes on.
    statement: Option<(String, bool)>,
    pending: Option<String>,
}

/// A field of the form.
#[derive(Debug, Clone)]
struct Field {
    name: String,
    label: String,
    value: String,
    is_wrong: bool,
    /// The type of its `input`.
    input: &'static str,
    limits: Option<(i64, i64)>,
    choices: Vec<Choice>,
    offers_systems: bool,
}

/// What was asked of a view.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// A value for each parameter.
    pub(super) values: HashMap<String, String>,
    /// Systems that there are, where a parameter is one.
    pub(super) systems: Vec<String>,
    /// Whether the address says anything.
    pub(super) is_filtered: bool,
}

impl ViewPage {
    /// The page of a file that is no view.
    #[must_use]
    pub fn broken(listed: &Listed, reason: &str) -> Self {
        let problem = text::line(&format!("{} cannot be shown: {reason}", listed.file), REASON_CHARS);
        Self { problem: Some(problem), ..Self::frame(listed) }
    }

    /// The page with what was found.
    pub(super) fn found(listed: &Listed, view: &Definition, asked: &Asked, bound: &Bound, shown: Shown) -> Self {
        let files = FILES.map(|(format, label)| (label, asked.address(listed, view, format)));
        let statement = Some(text::block(bound.text(), STATEMENT_BYTES));
        Self { shown: Some(shown), files: files.to_vec(), statement, ..Self::asked(listed, view, asked, None) }
    }

    /// The page that says why there is nothing to show.
    pub(super) fn refused(listed: &Listed, view: &Definition, asked: &Asked, problem: &Problem) -> Self {
        Self::asked(listed, view, asked, Some(problem))
    }

    fn asked(listed: &Listed, view: &Definition, asked: &Asked, problem: Option<&Problem>) -> Self {
        let wrong = problem.and_then(|problem| problem.parameter.as_deref());
        Self {
            description: text::line(&view.description, views::DESCRIPTION_CHARS),
            problem: problem.map(|problem| text::line(&problem.message, REASON_CHARS)),
            fields: view.parameters.iter().map(|parameter| Field::new(parameter, asked, wrong)).collect(),
            systems: offered_within(&asked.systems),
            is_filtered: asked.is_filtered,
            ..Self::frame(listed)
        }
    }

    fn frame(listed: &Listed) -> Self {
        let shell = Shell::of_view(text::line(listed.label(), views::TITLE_CHARS), &listed.name);
        Self {
            shell,
            description: String::new(),
            problem: None,
            fields: Vec::new(),
            systems: Vec::new(),
            address: address::view(&listed.name),
            is_filtered: false,
            shown: None,
            files: Vec::new(),
            statement: None,
            pending: None,
        }
    }
}

impl Field {
    fn new(parameter: &Parameter, asked: &Asked, wrong: Option<&str>) -> Self {
        let value = asked.values.get(&parameter.name).cloned().unwrap_or_default();
        let choice = |choice: &String| Choice {
            value: choice.clone(),
            label: text::line(choice, views::CHOICE_CHARS),
            is_chosen: *choice == value,
        };
        let (input, limits) = match parameter.kind {
            Kind::Integer { min, max } => ("number", Some((min, max))),
            Kind::Days => ("number", Some((1, views::DAYS_MAX))),
            Kind::Date => ("date", None),
            Kind::Text | Kind::System | Kind::Choice(_) => ("text", None),
        };
        Self {
            name: parameter.name.clone(),
            label: text::line(&parameter.label, views::LABEL_CHARS),
            is_wrong: wrong == Some(parameter.name.as_str()),
            input,
            limits,
            choices: match &parameter.kind {
                Kind::Choice(choices) => choices.iter().map(choice).collect(),
                _ => Vec::new(),
            },
            offers_systems: parameter.kind == Kind::System,
            value,
        }
    }
}

impl Asked {
    /// The file with the rows that the page shows.
    fn address(&self, listed: &Listed, view: &Definition, format: Format) -> String {
        let path = format!("{}/{ROWS}{}", address::view(&listed.name), format.name());
        let value = |parameter: &Parameter| self.values.get(&parameter.name).map_or("", String::as_str);
        address::with_query(&path, view.parameters.iter().map(|of| (of.name.as_str(), value(of))))
    }

    /// The statement with the values.
    fn bind(&self, view: &Definition) -> Result<Bound, InvalidParameter> {
        view.bind(|name| self.values.get(name).cloned())
    }
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>, Path(name): Path<String>, uri: Uri) -> Response {
    let catalog = state.views.now();
    let Some(listed) = catalog.find(&name) else { return message::failed(&no_view()) };
    let view = match &listed.view {
        Ok(view) => view,
        Err(reason) => {
            let error = WebError::Unavailable(reason.clone());
            return message::render_failed(&error, &ViewPage::broken(listed, reason));
        }
    };
    let mut asked = Asked::default();
    match answer(&state, listed, view, uri.query().unwrap_or_default(), &mut asked).await {
        Ok(page) => render(StatusCode::OK, &page),
        Err(error) => {
            let problem = match &error {
                WebError::Invalid(invalid) => Problem::from(invalid.clone()),
                other => Problem { parameter: None, message: other.to_string() },
            };
            message::render_failed(&error, &ViewPage::refused(listed, view, &asked, &problem))
        }
    }
}

/// Answers with the rows behind a page as a file: `rows.csv` and so on.
///
/// # Errors
/// As `POST /api/sql`; [`WebError::Unavailable`] when the file of the view is broken.
pub async fn file(
    State(state): State<AppState>,
    Path((name, file)): Path<(String, String)>,
    version: Version,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, WebError> {
    let catalog = state.views.now();
    let listed = catalog.find(&name).ok_or_else(no_view)?;
    let format = file.strip_prefix(ROWS).and_then(|name| Format::ALL.into_iter().find(|format| format.name() == name));
    let format = format.ok_or_else(|| WebError::NotFound("There is no such file.".to_owned()))?;
    let view = listed.view.as_ref().map_err(|reason| WebError::Unavailable(reason.clone()))?;
    let mut asked = Asked::default();
    read(&state, view, uri.query().unwrap_or_default(), &mut asked).await?;
    let bound = asked.bind(view)?;
    let Turn { view, pending, limits, workers, slot, deadline } = Statements::begin(&state, bound.text()).await?;
    let rows = async move { answer_bound(&view, &bound, &limits).await };
    let form = Form { choice: FormatChoice::of(Some(format), &Format::ALL, &headers), fields: None, version };
    let mut response = formats::answer_within(&workers, rows, form, Some(slot), deadline).await?;
    let attachment = format!("attachment; filename=\"{}.{}\"", listed.name, format.name());
    let attachment = HeaderValue::try_from(attachment).map_err(|_| no_view())?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment);
    Ok(with_pending(response, pending))
}

fn no_view() -> WebError {
    WebError::NotFound("There is no view of that name.".to_owned())
}

async fn answer(
    state: &AppState,
    listed: &Listed,
    view: &Definition,
    query: &str,
    asked: &mut Asked,
) -> Result<ViewPage, WebError> {
    read(state, view, query, asked).await?;
    let bound = asked.bind(view)?;
    let Turn { view: seen, pending, limits, workers, slot, deadline } = Statements::begin(state, bound.text()).await?;
    let (of_statement, shape, title) = (bound.clone(), view.shape.clone(), view.title.clone());
    let shown = async move {
        let rows = answer_bound(&seen, &of_statement, &limits).await?;
        draw(&title, &shape, rows).await
    };
    let shown = workers.run(shown, Some(slot), deadline).await?;
    let mut page = ViewPage::found(listed, view, asked, &bound, shown);
    page.pending = (pending > 0).then(|| text::records(pending as u64));
    Ok(page)
}

async fn draw(title: &str, shape: &Shape, rows: telemetrics_analytics::rows::Rows) -> Result<Shown, WebError> {
    let answer = match shape {
        Shape::Table => views::read(rows, None, TABLE_ROWS_MAX).await?,
        Shape::Chart(_, columns) | Shape::Share(columns) | Shape::Matrix(columns) => {
            let wanted = [&columns.label].into_iter().chain(&columns.series).chain(&columns.values);
            let wanted: Vec<String> = wanted.cloned().collect();
            let answer = views::read(rows, Some(&wanted), CHART_ROWS_MAX).await?;
            if answer.has_more {
                let reason = format!("a picture is drawn of at most {CHART_ROWS_MAX} rows");
                return Err(Error::TooMuch(reason).into());
            }
            answer
        }
    };
    Ok(Shown::new(title, shape, &answer)?)
}

/// Reads what the address says, and finds what it does not say.
async fn read(state: &AppState, view: &Definition, query: &str, asked: &mut Asked) -> Result<(), WebError> {
    for parameter in &view.parameters {
        asked.values.insert(parameter.name.clone(), parameter.default.clone().unwrap_or_default());
    }
    let given = Given::with_empty(query);
    let given = given.map_err(|problem| WebError::Impossible(problem.message.trim_end_matches('.').to_owned()))?;
    let said = values(view, &given)?;
    asked.is_filtered = !said.is_empty();
    let lacks_system =
        |parameter: &&Parameter| parameter.default.is_none() && !said.iter().any(|(name, _)| *name == parameter.name);
    let lacking: Vec<&Parameter> = view.parameters.iter().filter(lacks_system).collect();
    asked.values.extend(said.iter().cloned());
    if view.parameters.iter().any(|parameter| parameter.kind == Kind::System) {
        let seen = state.ask().await?;
        asked.systems = systems(&seen.view).await?;
        if !lacking.is_empty() {
            let usual = usual_system(state, &seen).await?.unwrap_or_default();
            asked.values.extend(lacking.into_iter().map(|parameter| (parameter.name.clone(), usual.clone())));
        }
    }
    Ok(())
}

/// The values in an address. An empty field says nothing, unless its parameter is a text.
fn values(view: &Definition, given: &Given) -> Result<Vec<(String, String)>, InvalidParameter> {
    let mut values: Vec<(String, String)> = Vec::new();
    for (name, value) in given.pairs() {
        let Some(parameter) = view.parameters.iter().find(|parameter| parameter.name == *name) else {
            return Err(InvalidParameter::new(text::line(name, ECHO_CHARS), "is not a parameter here"));
        };
        if values.iter().any(|(other, _)| other == name) {
            return Err(InvalidParameter::new(name, "is given twice"));
        }
        if !value.is_empty() || parameter.kind == Kind::Text {
            values.push((name.clone(), value.clone()));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: &str = "title = \"t\"\nkind = \"table\"\nsql = \"SELECT $a AS a, $n AS n\"\n\
        [[parameters]]\nname = \"a\"\ntype = \"text\"\ndefault = \"x\"\n\
        [[parameters]]\nname = \"n\"\ntype = \"integer\"\ndefault = 7\n";

    fn said(query: &str) -> Result<Vec<(String, String)>, String> {
        let view = Definition::read(VIEW).expect("a view");
        values(&view, &Given::with_empty(query).expect("short")).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn an_empty_field_is_an_empty_text_and_nothing_else() {
        assert_eq!(said("a=&n="), Ok(vec![("a".to_owned(), String::new())]));
        assert_eq!(said(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        assert_eq!(said("b=1"), Err("b is not a parameter here.".to_owned()));
        assert_eq!(said("a=1&a=2"), Err("a is given twice.".to_owned()));
    }
}
