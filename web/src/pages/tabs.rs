//! The tabs of views in the navigation of every page. They belong to the request, so that nobody has to hand them to each
//! page. Only who may see pages gets them: what is answered before that, or at no route, has none.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::{address, text};
use crate::views::{Catalog, TITLE_CHARS, Views};

/// The tab of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewTab {
    /// What people read.
    pub label: String,
    /// Where it leads.
    pub address: String,
}

tokio::task_local! {
    static OF_VIEWS: Arc<[ViewTab]>;
}

/// The tabs of the views, as this request sees them; none outside of requests.
pub(super) fn of_views() -> Arc<[ViewTab]> {
    OF_VIEWS.try_with(Arc::clone).unwrap_or_default()
}

/// The same work with the present tabs, in whatever task it is done.
pub(crate) fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    OF_VIEWS.scope(of_views(), work)
}

/// The tab of each view.
pub(super) fn tabs(catalog: &Catalog) -> Arc<[ViewTab]> {
    let tab = |listed: &crate::views::Listed| ViewTab {
        label: text::line(listed.label(), TITLE_CHARS),
        address: address::view(&listed.name),
    };
    catalog.views.iter().map(tab).collect()
}

/// Lets the pages of a request have the tabs of `views`.
pub async fn with_views(State(views): State<Views>, request: Request, next: Next) -> Response {
    OF_VIEWS.scope(tabs(&views.now()), next.run(request)).await
}

/// As [`with_views`], for what renders without a request.
#[cfg(test)]
pub(super) fn with<T>(tabs: Arc<[ViewTab]>, render: impl FnOnce() -> T) -> T {
    OF_VIEWS.sync_scope(tabs, render)
}
