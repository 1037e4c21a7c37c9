//! The web pages: one module per page, with its template of the same name in `templates/`.
//!
//! A page is a pure function from what was asked and what was found to a template struct; the handler that asks is a
//! few lines on top. Pages work without scripts, load nothing from another host, and stay below [`PAGE_LIMIT_BYTES`]
//! whatever the data: every text and every list that comes from data is cut to a length named beside it.

pub mod address;
pub mod api;
pub mod assets;
pub mod bookmarks;
pub mod builds;
pub mod crashes;
pub mod example;
mod form;
mod judged;
pub mod kept;
pub mod mce;
pub mod message;
pub mod numbers;
pub mod overview;
pub mod population;
pub mod quarantine;
pub mod query;
pub mod record;
pub mod records;
mod rotation;
pub mod stats;
pub mod status;
pub mod tabs;
pub mod text;
pub mod thermal;
pub mod updates;
pub mod view;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use tabs::ViewTab;

/// Largest HTML of a page in bytes; Records is larger for those who ask for more than its usual rows.
pub const PAGE_LIMIT_BYTES: usize = 150_000;

/// What a page may load and where its form may go: its own server, and nothing written into the page itself.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Headers of every page. Records arrive all the time, so that a stored copy is never good without a question.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "private, no-cache"),
];

/// An entry of the navigation that every page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tab {
    /// What people read.
    pub label: &'static str,
    /// Where it leads.
    pub address: &'static str,
}

/// The tab of the pages Records and Record.
pub const RECORDS_TAB: Tab = Tab { label: "Records", address: address::RECORDS };

/// The tab of the page Builds.
pub const BUILDS_TAB: Tab = Tab { label: "Builds", address: address::BUILDS };
/// The tab of the page Stats.
pub const STATS_TAB: Tab = Tab { label: "Stats", address: address::STATS };
/// The tab of the page Population.
pub const POPULATION_TAB: Tab = Tab { label: "Population", address: address::POPULATION };
/// The tab of the pages of crashes.
pub const CRASHES_TAB: Tab = Tab { label: "Crashes", address: crashes::CRASHES };
/// The tab of the page MCE.
pub const MCE_TAB: Tab = Tab { label: "MCE", address: address::MCE };
/// The tab of the page Thermal.
pub const THERMAL_TAB: Tab = Tab { label: "Thermal", address: address::THERMAL };
/// The tab of the page Updates.
pub const UPDATES_TAB: Tab = Tab { label: "Updates", address: address::UPDATES };
/// The tab of the pages of the quarantine.
pub const QUARANTINE_TAB: Tab = Tab { label: "Quarantine", address: address::QUARANTINE };
/// The tab of the page API.
pub const API_TAB: Tab = Tab { label: "API", address: address::API };
/// The tab of the page Overview.
pub const OVERVIEW_TAB: Tab = Tab { label: "Overview", address: address::OVERVIEW };
/// The tab of the page Status.
pub const STATUS_TAB: Tab = Tab { label: "Status", address: address::STATUS };

/// All tabs, from left to right; a page gets its tab when it works.
pub const TABS: [Tab; 12] = [
    OVERVIEW_TAB,
    RECORDS_TAB,
    BUILDS_TAB,
    STATS_TAB,
    CRASHES_TAB,
    MCE_TAB,
    THERMAL_TAB,
    UPDATES_TAB,
    POPULATION_TAB,
    QUARANTINE_TAB,
    STATUS_TAB,
    API_TAB,
];

/// What `base.html` needs to put a page into its frame.
#[derive(Debug, Clone)]
pub struct Shell {
    title: String,
    current: Option<Tab>,
    tabs: &'static [Tab],
    /// The tabs of views, and the address of the one that the page is.
    views: Arc<[ViewTab]>,
    current_view: Option<String>,
    stylesheet: &'static str,
    icon: &'static str,
    version: &'static str,
}

impl Shell {
    /// The frame of a page with that title, which is also its heading, and the tab that it belongs to, if any.
    #[must_use]
    pub fn new(title: impl Into<String>, current: Option<Tab>) -> Self {
        Self {
            title: title.into(),
            current,
            tabs: &TABS,
            views: tabs::of_views(),
            current_view: None,
            stylesheet: assets::STYLESHEET.address(),
            icon: assets::ICON.address(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The frame of the page of a view.
    #[must_use]
    pub fn of_view(title: impl Into<String>, name: &str) -> Self {
        Self { current_view: Some(address::view(name)), ..Self::new(title, None) }
    }

    fn is_current(&self, tab: &Tab) -> bool {
        self.current.as_ref() == Some(tab)
    }

    fn is_current_view(&self, tab: &ViewTab) -> bool {
        self.current_view.as_ref() == Some(&tab.address)
    }
}

/// The answer that shows `page`.
pub fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, HEADERS, html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a template could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered; the log says why.\n").into_response()
        }
    }
}
