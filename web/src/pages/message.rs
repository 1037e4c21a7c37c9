//! The page that says why there is no page: not found, not available now, failed.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Shell, render};
use crate::error::WebError;

/// Longest explanation, in characters: reasons come from stores and may be long.
const EXPLANATION_CHARS: usize = 1_000;

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "message.html")]
pub struct MessagePage {
    shell: Shell,
    explanation: String,
    /// Where the reader goes on, and what that is.
    next: (String, String),
}

/// The answer for a page that could not be made.
pub fn failed(error: &WebError) -> Response {
    failed_with(error, |page| page)
}

/// The same with a page that `change` has changed.
pub fn failed_with(error: &WebError, change: impl FnOnce(MessagePage) -> MessagePage) -> Response {
    render_failed(error, &change(MessagePage::new(title(error.status()), &error.explanation())))
}

/// The answer that shows `page` because of `error`.
pub fn render_failed(error: &WebError, page: &impl Template) -> Response {
    let status = error.status();
    if status.is_server_error() {
        tracing::error!(%error, "a page failed");
    }
    let mut response = render(status, page);
    error.mark(response.headers_mut());
    response
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "This cannot be asked",
        StatusCode::UNAUTHORIZED => "Sign in",
        StatusCode::FORBIDDEN => "You may not do this",
        StatusCode::TOO_MANY_REQUESTS => "Wait a little",
        StatusCode::CONFLICT => "Somebody else was faster",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::UNPROCESSABLE_ENTITY => "This question is too large",
        StatusCode::SERVICE_UNAVAILABLE => "The store cannot be read now",
        _ => "Something failed",
    }
}

impl MessagePage {
    /// A page that consists of a title and what the reader should know or do.
    #[must_use]
    pub fn new(title: &str, explanation: &str) -> Self {
        let shell = Shell::new(title, None);
        let next = ("/telemetryui/".to_owned(), "Go to the records".to_owned());
        Self { shell, explanation: super::text::line(explanation, EXPLANATION_CHARS), next }
    }

    /// The same with another place to go on from.
    #[must_use]
    pub fn leading_to(self, address: impl Into<String>, label: impl Into<String>) -> Self {
        Self { next: (address.into(), label.into()), ..self }
    }

    /// For a record that is not there, whatever its `id` looked like in the address.
    #[must_use]
    pub fn no_such_record(id: &str) -> Self {
        let id = super::text::line(id, 40);
        let why = "It may be older than the retention policy allows, or the number may be mistyped.";
        Self::new("No such record", &format!("There is no record {id}. {why}"))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use telemetrics_analytics::Error;

    use super::*;
    use crate::request_id;

    #[test]
    fn a_page_that_failed_has_the_status_of_its_error_and_says_when_to_come_back() {
        let away = failed(&Error::Unavailable("the disk is gone".to_owned()).into());
        assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(away.headers()[header::RETRY_AFTER], "5");
        let explained = |error: &WebError| request_id::testing::within("id-7", || error.explanation());
        assert!(
            explained(&Error::Unavailable("the disk is gone".to_owned()).into())
                .ends_with("is gone. The log of the server says more about the request id-7.")
        );
        assert_eq!(explained(&Error::Invalid("no".to_owned()).into()), "no", "it is not for the operator");
        let wrong = failed(&Error::Invalid("no".to_owned()).into());
        assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
        assert!(!wrong.headers().contains_key(header::RETRY_AFTER));
    }
}
