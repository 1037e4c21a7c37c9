//! What pages of numbers have in common: filters above, figures, and the way to the same numbers in the API.

use askama::Template;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use futures::future::BoxFuture;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::offered::Offered;
use telemetrics_schema::TimestampUs;

use super::form::{ECHO_CHARS, Form};
use super::kept::{NO_EDITS, offer, usual_system};
use super::query::{Given, PAGING, Problem};
use super::{Shell, Tab, message, render, text};
use crate::api::params;
use crate::charts::Figure;
use crate::error::{InvalidParameter, WebError};
use crate::state::{AppState, Asked};

/// The parameter that names a system.
pub const SYSTEM: &str = "system_name";
/// That, and its older spelling.
pub(super) const SYSTEM_NAMES: [&str; 2] = [SYSTEM, "os_name"];

/// What a page of numbers is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Where it belongs; its label is the title, its address is where the form leads.
    pub tab: Tab,
    /// Whether it is always about one system, the usual one when nobody names another.
    pub of_one_system: bool,
    /// Filters of records that it cannot apply.
    pub not_here: &'static [&'static str],
}

/// What was asked of a page.
pub struct Question<'a> {
    /// The store, and the instant of the request.
    pub asked: &'a Asked,
    /// The parameters, the system among them where the page is about one.
    pub given: &'a Given,
    /// The same as a filter.
    pub filter: RecordFilter,
}

/// What a page shows below its filters.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// The charts.
    pub figures: Vec<Figure>,
    /// What a reader has to know about them, a sentence each.
    pub notes: Vec<String>,
    /// Where scripts get them.
    pub same: Vec<Same>,
    /// Acknowledged records that are not counted.
    pub pending: Option<String>,
    /// When they were read.
    pub as_of: String,
}

/// An address of the API with the numbers of a page.
#[derive(Debug, Clone)]
pub struct Same {
    pub(super) label: &'static str,
    pub(super) json: String,
    pub(super) csv: String,
}

impl Same {
    /// The endpoint `path` with the filters of the page and `more`.
    #[must_use]
    pub fn new(label: &'static str, given: &Given, path: &str, more: &[(&str, &str)]) -> Self {
        let csv = [more, &[("format", "csv")]].concat();
        Self { label, json: given.link(path, more), csv: given.link(path, &csv) }
    }
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "numbers.html")]
pub struct NumbersPage {
    shell: Shell,
    form: Form,
    problem: Option<String>,
    numbers: Option<Numbers>,
    clear: &'static str,
}

impl NumbersPage {
    /// The page with its numbers.
    #[must_use]
    pub fn found(subject: &Subject, given: &Given, offer: &Offered, numbers: Numbers) -> Self {
        Self { numbers: Some(numbers), ..Self::frame(subject, given, offer, None) }
    }

    /// The page that says what is wrong with the filters; belongs to status 400.
    #[must_use]
    pub fn refused(subject: &Subject, given: &Given, offer: &Offered, problem: &Problem) -> Self {
        Self::frame(subject, given, offer, Some(problem))
    }

    fn frame(subject: &Subject, given: &Given, offer: &Offered, problem: Option<&Problem>) -> Self {
        Self {
            shell: Shell::new(subject.tab.label, Some(subject.tab)),
            form: Form::new(given, offer, problem).without(subject.not_here),
            problem: problem.map(|problem| text::line(&problem.message, ECHO_CHARS)),
            numbers: None,
            clear: subject.tab.address,
        }
    }
}

/// Finds the numbers of a page.
pub type Find = for<'a> fn(Question<'a>) -> BoxFuture<'a, Result<Numbers, WebError>>;

/// Answers a request for the page.
pub async fn show(state: &AppState, uri: &Uri, subject: &Subject, find: Find) -> Response {
    let answer = answer(state, uri.query().unwrap_or_default(), subject, find).await;
    answer.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, query: &str, subject: &Subject, find: Find) -> Result<Response, WebError> {
    let asked = state.ask().await?;
    let (given, filter) = match Given::parse(query) {
        Ok(given) => {
            let given = if subject.of_one_system { with_usual_system(state, &asked, given).await? } else { given };
            let filter = filter(subject, &given, asked.now);
            (given, filter)
        }
        Err(problem) => (Given::default(), Err(problem)),
    };
    let system = filter.as_ref().ok().and_then(|filter| filter.system_name.clone());
    let offer = offer(state, &asked, system.as_deref());
    match filter {
        Ok(filter) => {
            let make = || {
                let (asked, given) = (asked.clone(), given.clone());
                async move {
                    let pending = (asked.pending > 0).then(|| text::records(asked.pending as u64));
                    let numbers = find(Question { asked: &asked, given: &given, filter }).await?;
                    Ok(Numbers { pending, as_of: asked.now.to_string(), ..numbers })
                }
            };
            let key = (subject.tab.address, given.clone());
            let (offer, numbers) = tokio::try_join!(offer, state.kept.numbers.get(&key, asked.now, NO_EDITS, make))?;
            let numbers = numbers.answer.as_ref().clone();
            Ok(render(StatusCode::OK, &NumbersPage::found(subject, &given, &offer, numbers)))
        }
        Err(problem) => {
            let page = NumbersPage::refused(subject, &given, &*offer.await?, &problem);
            Ok(render(StatusCode::BAD_REQUEST, &page))
        }
    }
}

/// The system that the parameters name.
pub(super) fn system(given: &Given) -> Option<&str> {
    SYSTEM_NAMES.map(|name| given.value(name)).into_iter().find(|name| !name.is_empty())
}

/// The parameters with the usual system where they name none; the older spelling of the parameter is one, too.
pub(super) async fn with_usual_system(state: &AppState, asked: &Asked, given: Given) -> Result<Given, WebError> {
    if system(&given).is_some() {
        return Ok(given);
    }
    Ok(match usual_system(state, asked).await? {
        Some(system) => given.or(SYSTEM, &system),
        None => given,
    })
}

fn filter(subject: &Subject, given: &Given, now: TimestampUs) -> Result<RecordFilter, Problem> {
    let not_here = given.filters().find(|(name, _)| subject.not_here.contains(name));
    if let Some((name, _)) = not_here {
        return Err(InvalidParameter::new(name, "is not a parameter here").into());
    }
    Ok(params::form_filter(given.pairs(), &PAGING, now)?)
}
