//! What happens to a request that breaks a rule: refused, or kept aside and answered like a record.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use telemetrics_schema::wire::{self, FieldError, Rejection};

use super::answer::Refusal;
use crate::quarantine::{Kept, Quarantine, QuarantineFault, RawRequest};

/// How a request that breaks a rule is answered. Whatever the answer, the request can be looked at in the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalid {
    /// 400 with the reasons: the sender has to keep it.
    Reject,
    /// 201: it is kept aside and owed to its sender.
    Quarantine,
    /// 201 without a `User-Agent`, which no probe sends and every script does; 400 otherwise. A probe would send what
    /// it cannot change again and again, and everything behind it would wait.
    #[default]
    Auto,
}

impl OnInvalid {
    fn accepts(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Reject => false,
            Self::Quarantine => true,
            Self::Auto => !headers.contains_key(header::USER_AGENT),
        }
    }
}

/// The answer to a request that is kept aside; probes do not look at it.
#[derive(Debug, Serialize)]
struct SetAside {
    /// Number of the entry, and the identifier of its record when it is replayed.
    id: i64,
    /// Always true.
    quarantined: bool,
    /// One sentence that names the first field that failed.
    message: String,
    /// Every field that failed.
    errors: Vec<FieldError>,
}

/// Answers a request that `rejection` is about; after 201 it is durable in the quarantine.
///
/// # Errors
/// [`Refusal::Invalid`] as `on_invalid` says, and always for a telemetry id, of which nothing is kept: anybody could
/// fill the quarantine. [`Refusal::Unavailable`] when it could not be made durable.
pub(super) async fn set_aside(
    quarantine: &Quarantine,
    on_invalid: OnInvalid,
    headers: &HeaderMap,
    body: Bytes,
    rejection: Rejection,
) -> Result<Response, Refusal> {
    let Rejection::Invalid(errors) = &rejection else { return Err(Refusal::Invalid(rejection)) };
    let request = RawRequest { headers: about_the_record(headers), body };
    if !on_invalid.accepts(headers) {
        quarantine.keep_evidence(request, errors.clone());
        return Err(Refusal::Invalid(rejection));
    }
    match quarantine.keep_owed(request, errors.clone()).await {
        Ok(kept) => Ok(accepted(kept, &rejection)),
        // It fits nowhere, so that no later attempt can help either.
        Err(QuarantineFault::Invalid(_)) => Err(Refusal::Invalid(rejection)),
        Err(fault) => Err(Refusal::Unavailable(fault.to_string())),
    }
}

/// The headers that the record and its acceptance depend on, as they came.
fn about_the_record(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let relevant = headers.iter().filter(|(name, _)| wire::reads_header(name.as_str()));
    relevant.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

fn accepted(kept: Kept, rejection: &Rejection) -> Response {
    let (message, errors) = (rejection.to_string(), rejection.errors().into_owned());
    (StatusCode::CREATED, Json(SetAside { id: kept.id.0, quarantined: true, message, errors })).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use telemetrics_schema::time::Clock;
    use telemetrics_schema::wire::{DEFAULT_TELEMETRY_ID, Rules};
    use telemetrics_schema::{CollectorNumber, TimestampUs};

    use super::*;
    use crate::journal::Names;
    use crate::quarantine::{Filter, Kind, QuarantineSettings};

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> TimestampUs {
            TimestampUs::from_s(1_795_348_800)
        }
    }

    struct Rig {
        _directory: tempfile::TempDir,
        quarantine: Quarantine,
    }

    impl Rig {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let found = Quarantine::open(&QuarantineSettings::new(directory.path())).expect("opened");
            let names = Names::after(CollectorNumber::default(), None);
            let quarantine = found.start(names, std::sync::Arc::new(Noon)).expect("started");
            Self { _directory: directory, quarantine }
        }

        async fn send(
            &self,
            on_invalid: OnInvalid,
            headers: &[(&'static str, &'static str)],
        ) -> Result<Response, Refusal> {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
                .collect();
            let raw = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let rejection = wire::decode(&wire::Request { headers: raw, body: b"body" }, &Rules::default());
            let body = Bytes::from_static(b"body");
            set_aside(&self.quarantine, on_invalid, &headers, body, rejection.expect_err("invalid")).await
        }

        async fn kinds(&self) -> Vec<Kind> {
            let page = self.quarantine.page(Filter::default(), 10).await.expect("a page");
            page.into_iter().map(|entry| entry.kind).collect()
        }
    }

    const PROBE: [(&str, &str); 2] = [("x-telemetry-tid", DEFAULT_TELEMETRY_ID), ("severity", "9")];
    const SCRIPT: [(&str, &str); 3] =
        [("x-telemetry-tid", DEFAULT_TELEMETRY_ID), ("severity", "9"), ("user-agent", "")];

    #[tokio::test]
    async fn who_sends_a_user_agent_is_refused_and_a_probe_is_not() {
        type Case<'a> = (OnInvalid, &'a [(&'a str, &'a str)], Kind);
        let cases: [Case<'_>; 6] = [
            (OnInvalid::Auto, &PROBE, Kind::Owed),
            (OnInvalid::Auto, &SCRIPT, Kind::Evidence),
            (OnInvalid::Reject, &PROBE, Kind::Evidence),
            (OnInvalid::Reject, &SCRIPT, Kind::Evidence),
            (OnInvalid::Quarantine, &PROBE, Kind::Owed),
            (OnInvalid::Quarantine, &SCRIPT, Kind::Owed),
        ];
        for (on_invalid, headers, kind) in cases {
            let rig = Rig::new();
            let answer = rig.send(on_invalid, headers).await;
            assert_eq!(answer.is_ok(), kind == Kind::Owed, "{on_invalid:?} {headers:?}");
            assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::CREATED) == (kind == Kind::Owed));
            assert_eq!(rig.kinds().await, [kind], "{on_invalid:?} {headers:?}");
        }
    }

    #[tokio::test]
    async fn a_wrong_telemetry_id_is_refused_and_leaves_nothing() {
        let rig = Rig::new();
        for on_invalid in [OnInvalid::Auto, OnInvalid::Quarantine, OnInvalid::Reject] {
            let answer = rig.send(on_invalid, &[("x-telemetry-tid", "another")]).await;
            assert!(matches!(answer, Err(Refusal::Invalid(Rejection::TelemetryId { .. }))));
        }
        assert!(rig.kinds().await.is_empty());
    }

    #[tokio::test]
    async fn only_headers_about_the_record_are_kept() {
        let rig = Rig::new();
        let headers =
            [PROBE.as_slice(), &[("cookie", "secret"), ("host", "h"), ("content-type", "application/text")]].concat();
        assert!(rig.send(OnInvalid::Auto, &headers).await.is_ok());
        let id = rig.quarantine.page(Filter::default(), 1).await.expect("a page")[0].id;
        let request = rig.quarantine.entry(id).await.expect("an entry").request.expect("a request");
        let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "severity", "x-telemetry-tid"]);
        assert_eq!(request.body, b"body".as_slice());
    }
}
