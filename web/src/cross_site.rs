//! Keeps pages of other sites from editing, and from asking what costs much, through the browser of somebody who may:
//! their requests look like his own.
//!
//! Our pages say `Referrer-Policy: same-origin`: with `no-referrer`, browsers send `Origin: null` from our own forms.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::WebError;
use crate::peer::Peer;

/// What browsers say about where a request comes from; pages cannot set it.
const FETCH_SITE: &str = "sec-fetch-site";

/// Answers 403 to what a page of another site sends other than to read. It may lead here and read what is public.
pub async fn same_site_only(request: Request, next: Next) -> Response {
    let host = request.uri().authority().map(Authority::as_str);
    let is_encrypted = request.extensions().get().and_then(|peer: &Peer| peer.is_encrypted);
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if only_reads || is_own(request.headers(), host, is_encrypted) {
        next.run(request).await
    } else {
        WebError::Denied("A page of another site may not do this".to_owned()).into_response()
    }
}

/// Whether the request comes from a page of this server, or from no page at all: scripts send neither header. `host` is
/// the server's name in the request line, where it has one, and `is_encrypted` whether the page has to be one of https.
#[must_use]
pub fn is_own(headers: &HeaderMap, host: Option<&str>, is_encrypted: Option<bool>) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    // A browser that sends this knows it better than two names can tell: between them there may be a proxy.
    if let Some(site) = text(FETCH_SITE) {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else { return true };
    let own = host.or(text(header::HOST.as_str()));
    let Some((scheme, of_page)) = origin.split_once("://") else { return false };
    let is_same_scheme = is_encrypted.is_none_or(|is_encrypted| scheme == if is_encrypted { "https" } else { "http" });
    is_same_scheme && own.is_some_and(|own| own.eq_ignore_ascii_case(of_page))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn judged(lines: &[(&str, &str)], host: Option<&str>) -> bool {
        let header = |(name, value): &(&str, &str)| {
            let name = HeaderName::try_from(*name).expect("a name");
            (name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"))
        };
        is_own(&lines.iter().map(header).collect(), host, None)
    }

    #[test]
    fn a_page_that_anybody_could_have_changed_on_its_way_is_none_of_ours() {
        let judged = |origin: &'static str, is_encrypted| {
            let headers = [(header::ORIGIN, HeaderValue::from_static(origin))].into_iter().collect();
            is_own(&headers, Some("t.example"), is_encrypted)
        };
        assert!(judged("https://t.example", Some(true)) && judged("http://t.example", Some(false)));
        assert!(!judged("http://t.example", Some(true)) && !judged("https://t.example", Some(false)));
        assert!(judged("http://t.example", None) && judged("https://t.example", None));
    }

    #[test]
    fn pages_of_this_server_and_scripts_may_and_others_may_not() {
        let host = ("host", "t.example:8080");
        for (lines, is_own) in [
            (vec![host], true),
            (vec![], true),
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "none")], true),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("sec-fetch-site", "")], false),
            (vec![host, ("origin", "http://t.example:8080")], true),
            (vec![host, ("origin", "https://T.Example:8080")], true),
            (vec![host, ("origin", "http://t.example")], false),
            (vec![host, ("origin", "http://evil.example")], false),
            (vec![host, ("origin", "http://t.example:8080.evil.example")], false),
            (vec![host, ("origin", "null")], false),
            (vec![host, ("origin", "")], false),
            (vec![host, ("origin", "http://\u{e4}")], false),
            (vec![("origin", "http://t.example:8080")], false),
            // Behind a proxy that has another name.
            (vec![host, ("origin", "https://front.example"), ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("origin", "http://t.example:8080"), ("sec-fetch-site", "cross-site")], false),
        ] {
            assert_eq!(judged(&lines, None), is_own, "{lines:?}");
        }
        assert!(judged(&[("origin", "http://t.example")], Some("t.example")));
        assert!(!judged(&[("origin", "http://evil.example")], Some("t.example")));
    }
}
