//! The command that posts a first record, for people whose store is still empty.

use axum::http::{HeaderMap, Uri, header};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::wire::DEFAULT_TELEMETRY_ID;

/// Where the server listens when nobody says otherwise.
const FALLBACK_HOST: &str = "127.0.0.1:8080";

/// A command for a shell that posts one valid record, captured `now`, to the server at `base_url`.
///
/// It sends the well-known telemetry id: who may look at pages need not be one who may know another.
#[must_use]
pub fn first_record(base_url: &str, now: TimestampUs) -> String {
    let capture_s = now.as_s();
    format!(
        r#"curl {base_url}/v3/collector \
  -H 'X-Telemetry-TID: {DEFAULT_TELEMETRY_ID}' \
  -H 'Content-Type: application/json' \
  -d '{{"record_format_version": 2, "classification": "org.example/hello/world", "severity": 1,
       "machine_id": "my-machine", "creation_timestamp": {capture_s}, "arch": "x86_64",
       "host_type": "me|my computer|1", "build": "1", "kernel_version": "6.12.0",
       "payload_format_version": 1, "system_name": "my-system", "payload": "hello"}}'"#
    )
}

/// Where the reader of a page reached this server: what a request calls it, unless that could do harm in a shell.
#[must_use]
pub fn base_url(headers: &HeaderMap, uri: &Uri) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // A request by HTTP/2 has no such header, its address says it.
    let host = host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    let is_harmless =
        |host: &&str| !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".:-[]".contains(c));
    format!("http://{}", host.filter(is_harmless).unwrap_or(FALLBACK_HOST))
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::wire;

    use super::*;
    use crate::config::Config;

    fn base_of(host: Option<&str>, uri: &str) -> String {
        let headers = host.map(|host| (header::HOST, host.parse().expect("a value"))).into_iter().collect();
        base_url(&headers, &uri.parse().expect("an address"))
    }

    #[test]
    fn the_command_posts_a_valid_record() {
        let command = first_record("http://h", TimestampUs::from_s(7));
        let body = command.split_once("-d '").and_then(|(_, rest)| rest.strip_suffix('\'')).expect("a body");
        let report = wire::decode_json_object(body.as_bytes(), false, &wire::Rules::default()).expect("a valid record");
        assert_eq!((report.classification.as_str(), report.ts_capture_s), ("org.example/hello/world", 7));
    }

    #[test]
    fn the_readme_shows_the_same_command() {
        let readme = include_str!("../../../README.md");
        let command = first_record("http://127.0.0.1:8080", TimestampUs::from_s(1_795_342_080));
        assert!(readme.contains(&format!("```sh\n{command}\n```")), "{command}");
    }

    #[test]
    fn the_server_is_called_as_its_reader_calls_it() {
        assert_eq!(base_of(Some("[::1]:80"), "/x"), "http://[::1]:80");
        assert_eq!(base_of(None, "http://h:1/x"), "http://h:1");
    }

    #[test]
    fn a_host_that_would_harm_a_shell_is_not_taken() {
        for bad in [None, Some(""), Some("h;rm -rf ~"), Some("$(x)"), Some("h/p"), Some("h'")] {
            assert_eq!(base_of(bad, "/x"), format!("http://{}", Config::default().listen));
        }
    }
}
