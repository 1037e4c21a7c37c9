//! The description of the API, `/api/openapi.json`: made of the handlers, whose attributes say what they take and give.

pub mod answers;
pub mod curation;
pub mod parameters;

use std::sync::LazyLock;

use axum::Json;
use axum::http::Method;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

use crate::api;
use crate::route_scopes::{Needs, needs};

/// See the module.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "telemetrics", description = "Records of how machines fail, counted, filtered and exported.", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    servers((url = "/")),
    tags(
        (name = "records", description = "Records, newest first."),
        (name = "aggregations", description = "Counts, from rollups where those have what is asked for."),
        (name = "curation", description = "Filters, comments and hidden guilties: a history that only grows."),
        (name = "exports", description = "Everything, in the formats of analysts' tools."),
        (name = "quarantine", description = "What breaks a rule or is refused by the store; each collector has its own."),
    ),
    components(schemas(answers::Problem, answers::Wrong)),
    modifiers(&SignIn),
    // One of them, or nothing where the server asks nobody.
    security(("token" = []), ("password" = []), ()),
    paths(
        api::records::list,
        api::record::show,
        api::counts::builds,
        api::counts::classifications,
        api::counts::platforms,
        api::counts::severities,
        api::trends::show,
        api::population::show,
        api::regressions::show,
        api::crashes::list,
        api::crashes::show,
        api::crash_rate::show,
        api::gate::show,
        api::hardware::machine_checks,
        api::hardware::thermal,
        api::updates::show,
        api::curation::show,
        api::curation::edit,
        api::curation::undo,
        api::curation::history,
        api::curation::export,
        api::curation::import,
        api::export::export,
        api::sql::answer,
        api::datasets::list,
        api::datasets::file,
        api::quarantine::list,
        api::quarantine::show,
        api::quarantine::replay_one,
        api::quarantine::replay_all,
        api::quarantine::discard,
    )
)]
pub struct Document;

/// How a request says who it comes from.
struct SignIn;

impl Modify for SignIn {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = |scheme, text: &str| {
            SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(text)).build())
        };
        let components = document.components.get_or_insert_default();
        let token = "A token of `telemetrics access add-token`. The scope that an operation needs is its `x-scope`.";
        components.add_security_scheme("token", scheme(HttpAuthScheme::Bearer, token));
        components.add_security_scheme("password", scheme(HttpAuthScheme::Basic, "Name and password of a user."));
    }
}

/// The scope that an operation needs.
fn scope(path: &str, method: &str) -> Option<&'static str> {
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
    match needs(&method, path) {
        Needs::Scope(scope) => Some(scope.word()),
        Needs::Nothing | Needs::SignIn => None,
    }
}

/// The description, without what the documentation of handlers says to programmers.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let path = path.as_str();
        item.as_object_mut().into_iter().flatten().map(move |(method, operation)| (path, method, operation))
    });
    for (path, method, operation) in operations {
        if let Some(scope) = scope(path, method) {
            operation["x-scope"] = scope.into();
        }
        let text = operation["description"].as_str().and_then(|text| text.split("# Errors").next());
        match text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
            Some(text) => operation["description"] = text.into(),
            None => _ = operation.as_object_mut().and_then(|operation| operation.remove("description")),
        }
    }
    document
});

/// Answers with the description.
// The router takes only async functions as handlers.
#[allow(clippy::unused_async)]
pub async fn show() -> Json<&'static Value> {
    Json(&DOCUMENT)
}
