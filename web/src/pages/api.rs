//! The page API: every endpoint with its parameters, and a form to try those that only read.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::{Shell, address, message, render};
use crate::error::WebError;
use crate::openapi::DOCUMENT;

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "api.html")]
pub struct ApiPage {
    shell: Shell,
    groups: Vec<Group>,
}

/// The endpoints about one thing.
#[derive(Debug, Clone)]
struct Group {
    name: String,
    meaning: String,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone)]
struct Endpoint {
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<Input>,
    /// Whether a form can ask it: it only reads, and its address has no gaps.
    can_be_tried: bool,
}

/// A parameter, as a field of the form.
#[derive(Debug, Clone)]
struct Input {
    id: String,
    name: String,
    meaning: String,
    example: String,
    /// Its values, where there are few.
    values: Vec<String>,
}

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(|| list(&DOCUMENT["tags"]).map(group).collect());

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn group(tag: &Value) -> Group {
    let paths = DOCUMENT["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |o| (path, o)));
    let of_group = operations.filter(|(_, (_, operation))| list(&operation["tags"]).any(|name| *name == tag["name"]));
    let endpoints = of_group.map(|(path, (method, operation))| endpoint(path, method, operation)).collect();
    Group { name: text(&tag["name"]), meaning: text(&tag["description"]), endpoints }
}

fn endpoint(path: &str, method: &str, operation: &Value) -> Endpoint {
    let id = text(&operation["operationId"]);
    Endpoint {
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: text(&operation["description"]),
        parameters: list(&operation["parameters"]).map(|parameter| input(&id, parameter)).collect(),
        can_be_tried: method == "get" && !path.contains('{'),
    }
}

fn input(endpoint: &str, parameter: &Value) -> Input {
    let name = text(&parameter["name"]);
    Input {
        id: format!("{endpoint}-{name}"),
        meaning: text(&parameter["description"]),
        example: text(&parameter["example"]),
        values: list(&parameter["schema"]["enum"]).map(text).collect(),
        name,
    }
}

impl ApiPage {
    /// The page.
    #[must_use]
    pub fn new() -> Self {
        Self { shell: Shell::new("API", Some(super::API_TAB)), groups: GROUPS.clone() }
    }
}

impl Default for ApiPage {
    fn default() -> Self {
        Self::new()
    }
}

/// The parameter that says what a form asks.
const ENDPOINT: &str = "endpoint";

/// Leads from a form to what it asks: a form sends its empty fields, too, and the API refuses those.
// The router takes only async functions as handlers.
#[allow(clippy::unused_async)]
pub async fn ask(Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let asked = pairs.iter().find(|(name, _)| name == ENDPOINT).map(|(_, path)| path.as_str());
    let mut endpoints = GROUPS.iter().flat_map(|group| &group.endpoints);
    let Some(endpoint) = endpoints.find(|endpoint| endpoint.can_be_tried && Some(endpoint.path.as_str()) == asked)
    else {
        return message::failed(&WebError::NotFound("There is no such endpoint.".to_owned()));
    };
    let given = pairs.iter().filter(|(name, value)| name != ENDPOINT && !value.is_empty());
    let place = address::with_query(&endpoint.path, given.map(|(name, value)| (name.as_str(), value.as_str())));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// Answers with the page.
// The router takes only async functions as handlers.
#[allow(clippy::unused_async)]
pub async fn show() -> Response {
    render(StatusCode::OK, &ApiPage::new())
}
