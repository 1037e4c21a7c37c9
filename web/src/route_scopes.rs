//! The one table of what a request has to be allowed to: by method and route, beside the routes.

use axum::http::Method;

use crate::access::scope::Scope;
use crate::api::datasets::DATASETS;
use crate::api::updates;
use crate::pages::{address, crashes};
use crate::routes::PAGES;

/// What has to be known about who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: probes, who restarts processes, and what shows nothing of the data.
    Nothing,
    /// That he is known here, whatever he may do.
    SignIn,
    /// That he may do this.
    Scope(Scope),
}

impl Needs {
    /// Whether what is asked for changes something that others see.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(self, Self::Scope(Scope::Curate | Scope::Admin))
    }
}

/// A row: method, route, and what is needed.
pub type Row = (&'static str, &'static str, Needs);

const NOTHING: Needs = Needs::Nothing;
const SIGN_IN: Needs = Needs::SignIn;
const READ: Needs = Needs::Scope(Scope::Read);
const EXPORT: Needs = Needs::Scope(Scope::Export);
const SQL: Needs = Needs::Scope(Scope::Sql);
const CURATE: Needs = Needs::Scope(Scope::Curate);
const ADMIN: Needs = Needs::Scope(Scope::Admin);

/// All routes; HEAD is GET. Those of probes are first: they are asked for most.
pub const ROUTES: &[Row] = &[
    ("POST", "/v2/collector", NOTHING),
    ("POST", "/v3/collector", NOTHING),
    ("POST", "/", NOTHING),
    // Leads to the pages.
    ("GET", "/", NOTHING),
    ("GET", "/v2/collector", NOTHING),
    ("GET", "/v3/collector", NOTHING),
    ("GET", "/telemetryui", NOTHING),
    // Says whether it works, and how a page looks.
    ("GET", "/healthz", NOTHING),
    ("GET", "/readyz", NOTHING),
    ("GET", address::ASSET, NOTHING),
    // Numbers about the server, none about machines: a program that watches over it needs no scope.
    ("GET", "/metrics", SIGN_IN),
    ("GET", "/api/quarantine", READ),
    ("GET", "/api/quarantine/{id}", READ),
    ("POST", "/api/quarantine/replay", ADMIN),
    ("POST", "/api/quarantine/{id}/replay", ADMIN),
    ("DELETE", "/api/quarantine/{id}", ADMIN),
    ("GET", address::QUARANTINE, READ),
    ("GET", "/telemetryui/quarantine/{id}", READ),
    ("POST", "/telemetryui/quarantine/replay", ADMIN),
    ("POST", "/telemetryui/quarantine/{id}/replay", ADMIN),
    ("POST", "/telemetryui/quarantine/{id}/discard", ADMIN),
    ("GET", "/api/curation", READ),
    ("GET", "/api/curation/history", READ),
    ("GET", "/api/curation/export", READ),
    ("POST", "/api/curation", CURATE),
    ("POST", "/api/curation/undo", CURATE),
    ("POST", "/api/curation/import", CURATE),
    // By GET, it shows what an edit would change.
    ("GET", "/telemetryui/crashes/guilty_edit/{action}", READ),
    ("POST", "/telemetryui/crashes/guilty_edit/{action}", CURATE),
    ("POST", "/api/sql", SQL),
    // Whatever has no limit of rows.
    ("GET", "/api/export", EXPORT),
    ("GET", DATASETS, EXPORT),
    ("GET", "/datasets/records/{partition}/records.parquet", EXPORT),
    ("GET", "/telemetryui/records/export/{name}", EXPORT),
    // As many rows as a statement may have.
    ("GET", "/telemetryui/plugins/{name}/{file}", EXPORT),
    ("GET", "/api/openapi.json", READ),
    ("GET", "/api/records", READ),
    ("GET", "/api/records/{id}", READ),
    ("GET", "/api/builds", READ),
    ("GET", "/api/classifications", READ),
    ("GET", "/api/platforms", READ),
    ("GET", "/api/severities", READ),
    ("GET", "/api/trends", READ),
    ("GET", "/api/population", READ),
    ("GET", "/api/regressions", READ),
    ("GET", "/api/crashes", READ),
    ("GET", "/api/crashes/{guilty_id}", READ),
    ("GET", "/api/crash-rate", READ),
    ("GET", "/api/gate", READ),
    ("GET", "/api/mce", READ),
    ("GET", "/api/thermal", READ),
    ("GET", updates::ENDPOINT, READ),
    ("GET", PAGES, READ),
    ("GET", address::RECORDS, READ),
    ("GET", "/telemetryui/records/{page}", READ),
    ("GET", address::RECORD, READ),
    ("GET", address::BUILDS, READ),
    ("GET", address::STATS, READ),
    ("GET", crashes::CRASHES, READ),
    ("GET", "/telemetryui/crashes/overall", READ),
    ("GET", "/telemetryui/crashes/{build}", READ),
    ("GET", "/telemetryui/crashes/guilty_details/{id}", READ),
    ("GET", "/telemetryui/crashes/guilty_details/{id}/backtraces", READ),
    ("GET", "/telemetryui/crashes/guilty_edit", READ),
    ("GET", crashes::EDIT, READ),
    ("GET", crashes::HISTORY, READ),
    ("GET", address::POPULATION, READ),
    ("GET", address::MCE, READ),
    ("GET", address::THERMAL, READ),
    ("GET", address::UPDATES, READ),
    ("GET", "/telemetryui/updates", READ),
    ("GET", address::VIEW, READ),
    ("GET", address::OVERVIEW, READ),
    ("GET", address::STATUS, READ),
    ("GET", address::API, READ),
    ("GET", "/telemetryui/api/ask", READ),
];

/// What a request to `route` needs; one that is not in the table needs everything.
#[must_use]
pub fn needs(method: &Method, route: &str) -> Needs {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let row = ROUTES.iter().find(|(of, path, _)| *of == method && *path == route);
    row.map_or(ADMIN, |(_, _, needs)| *needs)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api;
    use crate::routes::PROBES;

    /// The value of a constant that the table of routes names.
    fn constant(name: &str) -> &'static str {
        let known = [
            ("PAGES", PAGES),
            ("api::datasets::DATASETS", api::datasets::DATASETS),
            ("api::updates::ENDPOINT", api::updates::ENDPOINT),
            ("pages::address::API", address::API),
            ("pages::address::ASSET", address::ASSET),
            ("pages::address::BUILDS", address::BUILDS),
            ("pages::address::MCE", address::MCE),
            ("pages::address::OVERVIEW", address::OVERVIEW),
            ("pages::address::VIEW", address::VIEW),
            ("pages::address::POPULATION", address::POPULATION),
            ("pages::address::QUARANTINE", address::QUARANTINE),
            ("pages::address::RECORD", address::RECORD),
            ("pages::address::RECORDS", address::RECORDS),
            ("pages::address::STATS", address::STATS),
            ("pages::address::STATUS", address::STATUS),
            ("pages::address::THERMAL", address::THERMAL),
            ("pages::address::UPDATES", address::UPDATES),
            ("pages::crashes::CRASHES", crashes::CRASHES),
            ("pages::crashes::EDIT", crashes::EDIT),
            ("pages::crashes::HISTORY", crashes::HISTORY),
        ];
        let found = known.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("{name} is a route, and not known here")).1
    }

    /// Method and path of every `.route(path, get(...).post(...))` in the source of the routes.
    fn written(source: &str) -> BTreeSet<(&'static str, String)> {
        let mut found = BTreeSet::new();
        for part in source.split(".route(").skip(1) {
            let (path, rest) = part.split_once(',').expect("a path and a handler");
            let path = match path.trim().strip_prefix('"') {
                Some(text) => text.trim_end_matches('"').to_owned(),
                None => constant(path.trim()).to_owned(),
            };
            let handlers = rest.split('\n').next().expect("a line");
            let methods =
                [("get(", "GET"), ("post(", "POST"), ("delete(", "DELETE"), ("put(", "PUT"), ("patch(", "PATCH")];
            let mut of_route = methods.into_iter().filter(|(word, _)| handlers.contains(word)).peekable();
            assert!(of_route.peek().is_some(), "{path} has no method");
            found.extend(of_route.map(|(_, method)| (method, path.clone())));
            assert!(!handlers.contains("any(") && !handlers.contains("on("), "{path} takes any method");
        }
        found
    }

    #[test]
    fn every_route_is_in_the_table_and_nothing_else_is() {
        let written = written(include_str!("routes.rs"));
        let listed: BTreeSet<_> = ROUTES.iter().map(|(method, path, _)| (*method, (*path).to_owned())).collect();
        assert_eq!(written, listed);
        assert_eq!(listed.len(), ROUTES.len(), "no row is there twice");
    }

    #[test]
    fn what_is_not_in_the_table_needs_everything() {
        assert_eq!(needs(&Method::PUT, "/api/records"), ADMIN);
        assert_eq!(needs(&Method::GET, "/api/nothing"), ADMIN);
        assert_eq!(needs(&Method::HEAD, "/api/records"), READ);
    }

    #[test]
    fn whatever_changes_something_needs_more_than_to_read() {
        for (method, path, needs) in ROUTES.iter().filter(|(method, ..)| *method != "GET") {
            let is_of_probes = PROBES.contains(path);
            assert!(is_of_probes || !matches!(*needs, Needs::Nothing | Needs::SignIn | READ), "{method} {path}");
        }
    }
}
