//! The description of the API, `/api/openapi.json`: made of the handlers, whose attributes say what they take and give.

pub mod answers;
pub mod curation;
pub mod parameters;

use std::sync::LazyLock;

use axum::Json;
use serde_json::Value;
use utoipa::OpenApi as _;

use crate::api;

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

/// The description, without what the documentation of handlers says to programmers.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, operation) in paths.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten()) {
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
