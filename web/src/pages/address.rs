//! Where pages and what they link to live. Addresses of the original service stay, because people have bookmarked them.

use telemetrics_schema::RecordId;

/// The page Records.
pub const RECORDS: &str = "/telemetryui/records";
/// The page Record, as a route with its parameter.
pub const RECORD: &str = "/telemetryui/records/record_details/{id}";
/// The page Builds.
pub const BUILDS: &str = "/telemetryui/builds";
/// The page Stats.
pub const STATS: &str = "/telemetryui/stats";
/// The page Population.
pub const POPULATION: &str = "/telemetryui/population";
/// The page MCE.
pub const MCE: &str = "/telemetryui/mce";
/// The page Thermal.
pub const THERMAL: &str = "/telemetryui/thermal";
/// The page Updates; the original service answers `/telemetryui/updates` with JSON.
pub const UPDATES: &str = "/telemetryui/update_matrix";
/// The pages of the quarantine.
pub const QUARANTINE: &str = "/telemetryui/quarantine";
/// The page API.
pub const API: &str = "/telemetryui/api";
/// The page Overview.
pub const OVERVIEW: &str = "/telemetryui/overview";
/// The page Status.
pub const STATUS: &str = "/telemetryui/status";
/// The page of a view, as a route with its parameter.
pub const VIEW: &str = "/telemetryui/plugins/{name}";
/// The records API.
pub const API_RECORDS: &str = "/api/records";
/// All records that pass filters, as a file.
pub const API_EXPORT: &str = "/api/export";
/// Files that pages load, as a route with its parameter.
pub const ASSET: &str = "/static/{name}";

/// The page of one record.
#[must_use]
pub fn record(id: RecordId) -> String {
    format!("{RECORDS}/record_details/{id}")
}

/// One record in the records API.
#[must_use]
pub fn api_record(id: RecordId) -> String {
    format!("{API_RECORDS}/{id}")
}

/// The page of the view of that name, which has nothing that an address has to escape.
#[must_use]
pub fn view(name: &str) -> String {
    format!("/telemetryui/plugins/{name}")
}

/// `path` with `pairs` as its query string.
#[must_use]
pub fn with_query<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
