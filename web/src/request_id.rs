//! The id of a request: what leads from an answer to the lines of the log that were written while it was made.
//!
//! It is in the answer's header `X-Request-Id`, in a span around all that is done for the request, so that every line has
//! it, and in what a client is told when the server is to blame. A trusted proxy may say it; everybody else gets one that
//! is made here.
//!
//! Posts of records have none, unless lines about each request are written (`access=debug`): a span, an id and a header
//! are allocations and locks for each record, and for nothing. No line is written about a record that is accepted or
//! refused: those are counted. What keeps all of them from being accepted says so itself, once and not for each record.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use serde::{Serialize, Serializer};
use tokio::time::Instant;
use tracing::{Instrument as _, Level, debug, enabled, error_span};

use crate::pages::text;
use crate::peer::Peer;
use crate::routes::is_of_probe;

/// Name of the span's field, and of the key in JSON.
pub const FIELD: &str = "request_id";
/// The header of requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that a proxy may say.
pub const CHARS_MAX: usize = 128;
/// Target of the lines about each request.
pub const ACCESS: &str = "access";
/// Longest part of an address in such a line.
const PATH_CHARS: usize = 200;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// See the module. Letters, digits and few signs: it can stand in a header, a log and a page as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// What a proxy says, where it says one harmless thing.
    fn said(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let is_harmless = |text: &&str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(&byte);
            (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
        };
        value.to_str().ok().filter(is_harmless).map(|text| Self(text.into()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The id of the request that this is done for; none outside of one.
#[must_use]
pub fn current() -> Option<RequestId> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The same work under the present id, where there is one, in whatever task it is done.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let id = current();
    async move {
        match id {
            Some(id) => CURRENT.scope(id, work).await,
            None => work.await,
        }
    }
}

/// Makes ids; clones make different ones.
#[derive(Debug, Clone, Default)]
pub struct RequestIds(Arc<Source>);

#[derive(Debug, Default)]
struct Source {
    /// The standard library seeds it from the system's randomness: another process makes other ids.
    keyed: RandomState,
    made: AtomicU64,
}

impl RequestIds {
    /// The one that a request came with, where that is believed, or else a new one.
    #[must_use]
    pub fn of(&self, headers: &HeaderMap, is_believed: bool) -> RequestId {
        is_believed.then(|| RequestId::said(headers)).flatten().unwrap_or_else(|| self.new_one())
    }

    fn new_one(&self) -> RequestId {
        let number = self.0.made.fetch_add(1, Relaxed);
        RequestId(format!("{:016x}", self.0.keyed.hash_one(number)).into())
    }
}

/// Whether a request is to have an id, see the module.
#[must_use]
pub fn is_wanted<B>(request: &Request<B>) -> bool {
    !is_of_probe(request) || enabled!(target: ACCESS, Level::DEBUG)
}

/// What a line about a request says of it.
pub struct Asked {
    method: Method,
    path: String,
    from: Peer,
    begin: Instant,
}

impl Asked {
    /// `None` when no such line is written.
    #[must_use]
    pub fn of<B>(request: &Request<B>, from: Peer) -> Option<Self> {
        enabled!(target: ACCESS, Level::DEBUG).then(|| Self {
            method: request.method().clone(),
            // Without the query, which may hold what people look for in payloads.
            path: text::line(request.uri().path(), PATH_CHARS),
            from,
            begin: Instant::now(),
        })
    }

    fn answered(&self, response: &Response<Body>) {
        let Self { method, path, from, begin } = self;
        let (status, us) = (response.status().as_u16(), begin.elapsed().as_micros());
        let duration_us = u64::try_from(us).unwrap_or(u64::MAX);
        debug!(target: ACCESS, %method, path, status, from = %from.address, duration_us, "a request was answered");
    }
}

/// Answers a request under its id.
pub async fn under(
    id: RequestId,
    asked: Option<Asked>,
    answering: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    // Of the highest level: a filter that lets a line pass lets the span pass, too.
    let span = error_span!("request", request_id = %id);
    let header = HeaderValue::from_str(&id.0);
    let answering = async {
        let mut response = answering.await;
        if let Ok(header) = header {
            response.headers_mut().insert(HEADER, header);
        }
        if let Some(asked) = asked {
            asked.answered(&response);
        }
        response
    };
    CURRENT.scope(id, answering).instrument(span).await
}

#[cfg(test)]
pub(crate) mod testing {
    //! Requests without a server.

    use super::{CURRENT, RequestId};

    /// What `work` gives in a request with that id.
    pub(crate) fn within<T>(id: &str, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(RequestId(id.into()), work)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::route_scopes::{Needs, ROUTES};
    use crate::routes::PROBES;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| (HEADER, HeaderValue::from_bytes(value).expect("a value"))).collect()
    }

    #[test]
    fn what_a_trusted_proxy_says_is_taken_where_it_is_harmless() {
        let ids = RequestIds::default();
        let longest = "a".repeat(CHARS_MAX);
        for said in ["7", "0af7651916cd43dd8448eb211c80319c", "Root=1-67891233-abcdef01/x.y:z_+", &longest] {
            let headers = headers(&[said.as_bytes()]);
            assert_eq!(ids.of(&headers, true).to_string(), said);
            assert_ne!(ids.of(&headers, false).to_string(), said, "nobody else is believed");
        }
        let too_long = "a".repeat(CHARS_MAX + 1);
        for bad in [&b""[..], too_long.as_bytes(), b"a b", b"a\"b", b"<b>", b"a,b", b"\xff", b"a\tb", b"{}"] {
            let id = ids.of(&headers(&[bad]), true).to_string();
            assert!(id.len() == 16 && id.as_bytes() != bad, "{id}");
        }
        assert_eq!(ids.of(&headers(&[b"one", b"two"]), true).0.len(), 16, "of two, none is the right one");
    }

    #[test]
    fn ids_differ_also_between_processes() {
        let none = HeaderMap::new();
        let (ids, others) = (RequestIds::default(), RequestIds::default());
        let made: HashSet<String> =
            (0..1_000).flat_map(|_| [&ids, &others].map(|ids| ids.of(&none, true).to_string())).collect();
        assert_eq!(made.len(), 2_000);
        assert!(made.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn posts_of_records_have_none_by_themselves() {
        let wanted = |method: &str, path: &str| {
            is_wanted(&Request::builder().method(method).uri(path).body(()).expect("a request"))
        };
        for path in PROBES {
            assert!(!wanted("POST", path) && wanted("GET", path), "{path}");
        }
        let open: HashSet<&str> = ROUTES
            .iter()
            .filter(|(method, _, needs)| *method == "POST" && *needs == Needs::Nothing)
            .map(|(_, address, _)| *address)
            .collect();
        assert_eq!(open, HashSet::from(PROBES), "they are all that anybody may post to");
        assert!(wanted("POST", "/api/sql") && wanted("POST", "/v3/collector/x"));
    }
}
