//! The parameters of requests as the document describes them; what reads them is `api/`. Tests hold both together.

#![allow(dead_code, reason = "only described")]

use utoipa::{IntoParams, ToSchema};

/// Which classification.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfClass {
    /// Exactly this classification; a `*` (or `%`) at the end of a part matches the rest.
    #[param(required = false, max_length = 140, example = "org.clearlinux/crash/*")]
    classification: String,
}

/// Received lately.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfWindow {
    /// Received within so many days; goes before `created_in_sec`.
    #[param(required = false, minimum = 0, maximum = 1_157_407, example = 7)]
    created_in_days: i64,
    /// Received within so many seconds.
    #[param(required = false, minimum = 0, maximum = 100_000_000_000_i64, example = 86_400)]
    created_in_sec: i64,
}

/// What only some records have.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfRecord {
    /// 1 low, 2 medium, 3 high, 4 critical; several with commas.
    #[param(required = false, pattern = "^[1-4](,[1-4])*$", example = "3,4")]
    severity: String,
    /// Identifiers from this one on.
    #[param(required = false, minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 1)]
    from_id: i64,
    /// Exactly this event.
    #[param(required = false, max_length = 32, example = "00112233445566778899aabbccddeeff")]
    event_id: String,
    /// A regular expression that is found in the payload.
    #[param(required = false, max_length = 500, example = "main\\(\\)")]
    payload: String,
    /// A regular expression that is not found in the payload.
    #[param(required = false, max_length = 500, example = "libc")]
    not_payload: String,
    /// The attribute of this name (here `name`; each other name is a parameter of its own, as `attribute.mce_status`) has
    /// exactly this value. Payload parsers make attributes.
    #[param(required = false, rename = "attribute.name", min_length = 1, max_length = 1_024, example = "00010092")]
    attribute: String,
}

/// From which machines, and when.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfMachine {
    /// Exactly this machine.
    #[param(required = false, max_length = 32, example = "0123456789abcdef0123456789abcdef")]
    machine_id: String,
    /// Exactly this build; several with commas.
    #[param(required = false, max_length = 256, example = "43750,43780")]
    build: String,
    /// Captured after this Unix second.
    #[param(required = false, minimum = 0, maximum = 10_413_791_999_i64, example = 1_443_573_575)]
    ts_capture: i64,
    /// Exactly this operating system. An older spelling is `os_name`.
    #[param(required = false, max_length = 140, example = "clear-linux-os")]
    system_name: String,
    /// Exactly this processor architecture.
    #[param(required = false, max_length = 32, example = "x86_64")]
    arch: String,
    /// Exactly this kernel.
    #[param(required = false, max_length = 200, example = "6.12.1-1.native")]
    kernel_version: String,
    /// Exactly this hardware.
    #[param(required = false, max_length = 249, example = "QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-9.2")]
    host_type: String,
    /// Where the record came from.
    #[param(required = false, inline, example = "internal")]
    data_source: DataSource,
    /// Captured on or after this UTC date.
    #[param(required = false, format = Date, example = "2026-11-01")]
    from_date: String,
    /// Captured before this UTC date.
    #[param(required = false, format = Date, example = "2299-12-31")]
    to_date: String,
    /// Received at or after this instant.
    #[param(required = false, format = DateTime, example = "2026-10-01T00:00:00Z")]
    received_after: String,
    /// Received before this instant.
    #[param(required = false, format = DateTime, example = "2299-12-31T00:00:00Z")]
    received_before: String,
}

/// Where a record came from.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum DataSource {
    /// Marked with `X-CLR-External: true`.
    External,
    /// All others.
    Internal,
}

/// Which keys a record has.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FieldsOf {
    /// Only these keys, with commas between.
    #[param(required = false, example = "id,classification,payload")]
    fields: String,
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// At most so many records.
    #[param(required = false, minimum = 1, maximum = 10_000, example = 100)]
    limit: u32,
    /// Goes on where a page ended: its header `Link` has the whole address.
    #[param(required = false)]
    cursor: String,
}

/// How many rows.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Rows {
    /// At most so many rows; the header `X-Telemetrics-More` says that there are more.
    #[param(required = false, minimum = 1, maximum = 10_000, example = 10)]
    limit: u32,
    /// Goes before the header `Accept`.
    #[param(required = false, inline, example = "json")]
    format: TableFormat,
}

/// Formats of counts.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum TableFormat {
    /// One object.
    Json,
    /// RFC 4180, with a row of names.
    Csv,
}

/// Formats of records in a list.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum RecordsFormat {
    /// One object.
    Json,
    /// One object a line.
    Ndjson,
    /// RFC 4180, with a row of names.
    Csv,
    /// The stream of Apache Arrow.
    Arrow,
    /// A file of Apache Parquet.
    Parquet,
}

/// In which format a list of records is.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FormatOfRecords {
    /// Goes before the header `Accept`.
    #[param(required = false, inline, example = "ndjson")]
    format: RecordsFormat,
}

/// Formats of exports.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum ExportFormat {
    /// A file of Apache Parquet.
    Parquet,
    /// The stream of Apache Arrow.
    Arrow,
    /// RFC 4180, with a row of names.
    Csv,
    /// One object a line.
    Ndjson,
}

/// In which format an export is.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FormatOfExport {
    /// Goes before the header `Accept`.
    #[param(required = false, inline, example = "csv")]
    format: ExportFormat,
}

/// How many days a question looks back.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Days {
    /// Received within so many days.
    #[param(required = false, minimum = 1, maximum = 36_500, example = 7)]
    days: i64,
}

/// In which format a table is.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FormatOfTable {
    /// Goes before the header `Accept`.
    #[param(required = false, inline, example = "json")]
    format: TableFormat,
}

/// What a trend is of.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfTrends {
    /// How long a bucket is, `day` when it is not given.
    #[param(required = false, inline, example = "week")]
    interval: Interval,
    /// What the largest groups of are told apart.
    #[param(required = false, inline, example = "build")]
    by: By,
    /// How many groups are told apart; needs `by`.
    #[param(required = false, minimum = 1, maximum = 20)]
    top: u32,
    /// The one guilty that is asked for, whether it is hidden or not; needs `by=guilty`.
    #[param(required = false, minimum = 0)]
    guilty_id: i64,
}

/// How long a bucket is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Interval {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight in UTC.
    Day,
    /// From Monday to Monday.
    Week,
}

/// What records are told apart by.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum By {
    /// By class.
    Classification,
    /// By build of a system.
    Build,
    /// By severity.
    Severity,
    /// By operating system.
    SystemName,
    /// By cause, of crashes alone.
    Guilty,
}

/// What machine checks are counted by.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfMachineChecks {
    /// `week` when it is not given.
    #[param(required = false, inline, example = "status")]
    by: MachineChecksBy,
}

/// What machine checks are counted by.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum MachineChecksBy {
    /// By week and class.
    Week,
    /// By class.
    Classification,
    /// By build of a system.
    Build,
    /// By the kind of error.
    Status,
    /// By machine.
    Machine,
}

/// Which entries of the quarantine.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfQuarantine {
    /// Only those of this kind.
    #[param(required = false, inline, example = "owed")]
    kind: EntryKind,
    /// At most so many.
    #[param(required = false, minimum = 1, maximum = 100, example = 10)]
    limit: u32,
    /// Only those below this number.
    #[param(required = false, minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 9_007_199_254_740_991_i64)]
    before: i64,
}

/// Why something is kept aside.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum EntryKind {
    /// Broke a rule and was answered 201.
    Owed,
    /// Was accepted, and the store refuses it.
    Refused,
    /// Was answered 400.
    Evidence,
}

/// Which causes of crashes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfCrashes {
    /// Whether causes are there that users asked not to see.
    #[param(required = false, inline, example = "show")]
    hidden: Hidden,
}

/// What becomes of causes that users asked not to see.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Hidden {
    /// They are there.
    Show,
    /// They are not.
    LeaveOut,
}

/// How many of each.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Limit {
    /// At most so many.
    #[param(required = false, minimum = 1, maximum = 10_000, example = 10)]
    limit: u32,
}

/// What crash rates are told apart by.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfCrashRates {
    /// Rates of each class beside the build; else of all crashes together.
    #[param(required = false, inline, example = "classification")]
    by: CrashRatesBy,
}

/// What crash rates are told apart by, beside builds.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum CrashRatesBy {
    /// By class.
    Classification,
}

/// Which builds the gate compares, on which machines.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfGate {
    /// The build that is judged.
    #[param(min_length = 1, max_length = 256)]
    build: String,
    /// Another build, by which it is judged.
    #[param(min_length = 1, max_length = 256)]
    against: String,
    /// Received within so many days; 35 when it is not given.
    #[param(required = false, minimum = 1, maximum = 36_500)]
    days: i64,
    /// The operating system; else the one with most records lately.
    #[param(required = false, max_length = 140)]
    system_name: String,
    /// Exactly this processor architecture.
    #[param(required = false, max_length = 32)]
    arch: String,
    /// Exactly this kernel.
    #[param(required = false, max_length = 200)]
    kernel_version: String,
    /// Exactly this hardware.
    #[param(required = false, max_length = 249)]
    host_type: String,
    /// Where the records came from.
    #[param(required = false, inline)]
    data_source: DataSource,
    /// Received at or after this instant.
    #[param(required = false, format = DateTime)]
    received_after: String,
    /// Received before this instant.
    #[param(required = false, format = DateTime)]
    received_before: String,
}
