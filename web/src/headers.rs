//! What every answer tells a browser: to load, run, guess and show nothing of it that its own headers do not allow.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// For whatever says nothing itself; pages say what they may load.
const DEFAULTS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
];

/// Adds what is missing.
// The router takes only async functions here.
#[allow(clippy::unused_async)]
pub async fn add(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.reserve(DEFAULTS.len());
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(value);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[tokio::test]
    async fn what_an_answer_says_itself_stays() {
        let mut own = Response::new(Body::empty());
        own.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        let answer = add(own).await;
        assert_eq!(answer.headers().get_all(header::CACHE_CONTROL).iter().collect::<Vec<_>>(), ["public"]);
        assert_eq!(answer.headers().len(), DEFAULTS.len());
    }
}
