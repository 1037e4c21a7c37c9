//! What operators are answered, and scripts that decide: finished days, what is kept aside, rates of crashes, whether a
//! build may go to more machines.
#![allow(dead_code, clippy::struct_field_names, reason = "only described, with the names that answers have")]

use utoipa::ToSchema;

use super::Wrong;

/// Finished days, oldest first.
#[derive(ToSchema)]
#[schema(example = json!({"files": [{"date": "2026-11-21", "rows": 51, "bytes": 18_911, "url": "/datasets/records/date=2026-11-21/records.parquet",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]}))]
pub struct Datasets {
    /// A file for each.
    files: Vec<Dataset>,
}

/// The file of one day.
#[derive(ToSchema)]
pub struct Dataset {
    /// The UTC day of reception.
    #[schema(format = Date)]
    date: String,
    /// Records in it.
    rows: u64,
    /// Its length.
    bytes: u64,
    /// Hash of its bytes, in hexadecimal.
    sha256: String,
    /// Where it is.
    url: String,
}

/// What is kept aside.
#[derive(ToSchema)]
pub struct Quarantine {
    /// How much there is of each kind.
    totals: QuarantineTotals,
    /// The newest first.
    entries: Vec<QuarantineEntry>,
}

/// How much there is of each kind.
#[derive(ToSchema)]
pub struct QuarantineTotals {
    /// Broke a rule and was answered 201: nobody else has it.
    owed: QuarantineTotal,
    /// Was accepted, and the store refuses it.
    refused: QuarantineTotal,
    /// Was answered 400: its sender still has it.
    evidence: QuarantineTotal,
    /// Bytes of all files.
    disk_bytes: u64,
}

/// How much there is of one kind.
#[derive(ToSchema)]
pub struct QuarantineTotal {
    /// How many entries.
    entries: u64,
    /// What they take.
    bytes: u64,
}

/// One entry of the quarantine.
#[derive(ToSchema)]
pub struct QuarantineEntry {
    /// Its number, which is that of its record once it is replayed.
    id: i64,
    /// `owed`, `refused` or `evidence`.
    kind: String,
    /// How many equal ones came.
    count: u64,
    /// When the first one came.
    first_seen: String,
    /// When the last one came.
    last_seen: String,
    /// What is wrong with it.
    reasons: Vec<Wrong>,
    /// The request; not in lists of entries without one.
    #[schema(required = false)]
    request: QuarantinedRequest,
}

/// A request as it came.
#[derive(ToSchema)]
pub struct QuarantinedRequest {
    /// Names and values.
    headers: Vec<Vec<String>>,
    /// As text.
    body: String,
}

/// What came of a replay.
#[derive(ToSchema)]
pub struct Replayed {
    /// Records that are in the store now.
    replayed: u64,
    /// Entries whose probes had sent them again meanwhile.
    redelivered: u64,
    /// Entries that break a rule still.
    invalid: u64,
    /// Entries that the store refused.
    refused: u64,
    /// Why, of the first hundred.
    errors: Vec<NotReplayed>,
}

/// Why one entry was not replayed.
#[derive(ToSchema)]
pub struct NotReplayed {
    /// The entry's number.
    id: i64,
    /// What is wrong with it.
    reasons: Vec<Wrong>,
}

table! {
    /// Crashes and crashing machines per 1,000 machines that sent a heartbeat, the newest build first. `..._low` and
    /// `..._high` are the ends of 95 % intervals. Machines are counted by their ids, which change every three days;
    /// `..._at_least` says how many machines they are at least.
    CrashRateRows of CrashRateRow {
        /// Name of the operating system.
        system_name: String,
        /// Version of it.
        build: String,
        /// The class, where it is asked for.
        #[schema(required = false)]
        classification: String,
        /// Machine ids that sent a heartbeat.
        machines: u64,
        /// How many machines these are at least.
        machines_at_least: u64,
        /// Machine ids of each day, summed over the days.
        machine_days: u64,
        /// Machine ids that crashed.
        crashing_machines: u64,
        /// How many machines these are at least.
        crashing_machines_at_least: u64,
        /// Crashing machine ids of each day, summed over the days.
        crashing_machine_days: u64,
        /// Crashes.
        records: u64,
        /// Crashing machine ids per 1,000 machine ids.
        crashing_machines_per_1000: f64,
        /// Null where more machines crashed than sent a heartbeat.
        crashing_machines_per_1000_low: Option<f64>,
        /// As the lower end.
        crashing_machines_per_1000_high: Option<f64>,
        /// Crashes per 1,000 machine ids.
        records_per_1000: f64,
        /// As for machines.
        records_per_1000_low: Option<f64>,
        /// As for machines.
        records_per_1000_high: Option<f64>,
    }
}

/// Whether a build may go to more machines.
#[derive(ToSchema)]
#[schema(example = json!({"verdict": "unknown", "system_name": "clear-linux-os",
    "build": {"build": "43780", "machines": 12, "machine_days": 12, "busiest_day_machines": 12},
    "against": {"build": "43750", "machines": 4_000, "machine_days": 9_000, "busiest_day_machines": 1_500},
    "threshold": 0.05, "ratio_borne": 1.2, "reasons": [{"reason": "too_few_machines", "holds": false, "build": "43780",
        "busiest_day_machines": 12, "busiest_day_machines_min": 100, "machine_days": 12, "machine_days_min": 300,
        "text": "Build 43780 was run by 12 machines on its busiest day, for 12 machine-days in all; 100 and 300 are needed."}]}))]
pub struct GateAnswer {
    /// `pass`: enough machines ran both builds for long enough, and nothing is surely worse. `hold`: something is.
    /// `unknown`: nothing is surely worse, and too few machines ran one of the builds for long enough.
    #[schema(pattern = "^(pass|hold|unknown)$")]
    verdict: String,
    /// Name of the operating system; null where there are no records.
    system_name: Option<String>,
    /// The build that is judged.
    build: BuildHeard,
    /// The build by which it is judged.
    against: BuildHeard,
    /// What holds has at most this `p_corrected`.
    threshold: f64,
    /// So many times as often anything may strike.
    ratio_borne: f64,
    /// Each with `reason` (`too_few_machines`, `new` or `worse`), whether it `holds` the build, a `text`, and its numbers.
    reasons: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// Who ran a build.
#[derive(ToSchema)]
pub struct BuildHeard {
    /// The build.
    build: String,
    /// Machine ids that sent a heartbeat.
    machines: u64,
    /// Machine ids of each day, summed over the days.
    machine_days: u64,
    /// Machine ids of the day that had most of them.
    busiest_day_machines: u64,
}
