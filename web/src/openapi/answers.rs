//! The bodies of answers as the document describes them; tests fit real answers to them.
#![allow(dead_code, clippy::struct_field_names, reason = "only described, with the names that answers have")]

use utoipa::{IntoResponses, ToSchema};

/// Why a request was not answered.
#[derive(ToSchema)]
#[schema(example = json!({"message": "severity must be a number from 1 to 4, or several with commas between.",
    "errors": [{"field": "severity", "reason": "must be a number from 1 to 4, or several with commas between"}]}))]
pub struct Problem {
    /// One sentence.
    message: String,
    /// The parameter or fields that are wrong, where it is that.
    #[schema(required = false)]
    errors: Vec<Wrong>,
    /// What the lines of the server's log about this request have in them, where the server is to blame.
    #[schema(required = false)]
    request_id: String,
}

/// What is wrong with one parameter or field.
#[derive(ToSchema)]
pub struct Wrong {
    /// Its name.
    field: String,
    /// What it has to be, worded to follow its name.
    reason: String,
}

/// What every question may be answered instead.
#[derive(IntoResponses)]
pub enum Refused {
    /// A parameter cannot be used; the body names it.
    #[response(status = 400)]
    Invalid(Problem),
    /// Nobody signed in, or with something that this server does not know. Where it asks nobody, it does not happen.
    #[response(status = 401)]
    Unidentified(Problem),
    /// Who signed in does not have the scope that the body names.
    #[response(status = 403)]
    Denied(Problem),
    /// The question needs more memory or time than one may have.
    #[response(status = 422)]
    TooMuch(Problem),
    /// There were too many wrong passwords or tokens: try again after `Retry-After` seconds.
    #[response(status = 429)]
    TooOften(Problem),
    /// The store cannot be read now: try again after `Retry-After` seconds.
    #[response(status = 503)]
    Unavailable(Problem),
}

/// There is nothing of that name.
#[derive(IntoResponses)]
#[response(status = 404)]
pub struct Missing(Problem);

/// Rows of a statement, with the names of its columns as keys.
#[derive(ToSchema)]
#[schema(example = json!({"rows": [{"build": "43780", "records": 12}]}))]
pub struct Rows {
    /// In the order that the statement asks for.
    #[schema(value_type = Vec<std::collections::HashMap<String, serde_json::Value>>)]
    rows: Vec<serde_json::Value>,
}

/// A record. All keys are there unless `fields` names those that are wanted.
#[derive(ToSchema)]
#[schema(example = json!({"id": 891_113_474_650_112_i64, "machine_id": "0123456789abcdef0123456789abcdef",
    "machine_type": "QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-9.2", "arch": "x86_64", "build": "43780",
    "kernel_version": "6.12.1-1.native", "ts_capture": "2026-11-22 23:59:01 UTC",
    "ts_reception": "2026-11-23 00:29:07 UTC", "severity": 1, "classification": "org.clearlinux/hello/world",
    "record_format_version": 4, "payload_format_version": 1, "system_name": "clear-linux-os", "payload": "hello\n",
    "board_name": "N/A", "bios_version": "N/A", "cpu_model": "N/A",
    "event_id": "00112233445566778899aabbccddeeff", "external": false}))]
pub struct Record {
    /// Unique, below 2^53, grows with reception on one collector.
    #[schema(required = false, minimum = 0)]
    id: i64,
    /// Which machine sent it; clients change it every three days.
    #[schema(required = false)]
    machine_id: String,
    /// Hardware, as `vendor|product|version`.
    #[schema(required = false)]
    machine_type: String,
    /// Processor architecture.
    #[schema(required = false)]
    arch: String,
    /// Version of the operating system.
    #[schema(required = false)]
    build: String,
    /// Version of the running kernel.
    #[schema(required = false)]
    kernel_version: String,
    /// When the machine says that the event happened, as `YYYY-MM-DD HH:MM:SS UTC`.
    #[schema(required = false)]
    ts_capture: String,
    /// When the collector accepted it, in the same form.
    #[schema(required = false)]
    ts_reception: String,
    /// 1 low, 2 medium, 3 high, 4 critical.
    #[schema(required = false, minimum = 1, maximum = 4)]
    severity: i32,
    /// What it is about, as `vendor/class/detail`.
    #[schema(required = false)]
    classification: String,
    /// Generation of the record format.
    #[schema(required = false, minimum = 1, maximum = 4)]
    record_format_version: i32,
    /// Version of the payload's own grammar.
    #[schema(required = false)]
    payload_format_version: i32,
    /// Name of the operating system.
    #[schema(required = false)]
    system_name: String,
    /// What the probe wrote.
    #[schema(required = false)]
    payload: String,
    /// Mainboard.
    #[schema(required = false)]
    board_name: String,
    /// Firmware version.
    #[schema(required = false)]
    bios_version: String,
    /// Processor model.
    #[schema(required = false)]
    cpu_model: String,
    /// Shared by the records of one event.
    #[schema(required = false)]
    event_id: String,
    /// Whether the request was marked with `X-CLR-External: true`.
    #[schema(required = false)]
    external: bool,
}

/// Records, newest first.
#[derive(ToSchema)]
pub struct Records {
    /// At most as many as `limit`.
    records: Vec<Record>,
}

/// Makes the description of a table: its name, what it is, and the columns with their types and meanings.
macro_rules! table {
    ($(#[$of:meta])* $rows:ident of $row:ident { $($(#[$field:meta])* $name:ident: $type:ty,)* }) => {
        #[derive(ToSchema)]
        $(#[$of])*
        pub struct $rows {
            /// In the order that the description says.
            rows: Vec<$row>,
        }

        /// One row.
        #[derive(ToSchema)]
        pub struct $row {
            $($(#[$field])* $name: $type,)*
        }
    };
}

mod operating;

pub use operating::*;

table! {
    /// Records by build, the largest first.
    #[schema(example = json!({"rows": [{"system_name": "clear-linux-os", "build": "43780", "records": 16}]}))]
    BuildRows of BuildRow {
        /// Name of the operating system.
        system_name: String,
        /// Version of it: builds of different systems may have equal names.
        build: String,
        /// How many records.
        records: u64,
    }
}

table! {
    /// Records by classification, the largest first.
    #[schema(example = json!({"rows": [{"classification": "org.clearlinux/heartbeat/ping", "records": 824}]}))]
    ClassificationRows of ClassificationRow {
        /// What the records are about.
        classification: String,
        /// How many records.
        records: u64,
    }
}

table! {
    /// Records by hardware, the largest first.
    #[schema(example = json!({"rows": [{"host_type": "QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-9.2", "records": 296}]}))]
    PlatformRows of PlatformRow {
        /// Hardware, as `vendor|product|version`.
        host_type: String,
        /// How many records.
        records: u64,
    }
}

table! {
    /// Records by severity, the largest first.
    #[schema(example = json!({"rows": [{"severity": 1, "records": 1098}]}))]
    SeverityRows of SeverityRow {
        /// 1 low, 2 medium, 3 high, 4 critical.
        severity: i32,
        /// How many records.
        records: u64,
    }
}

table! {
    /// Records by bucket of time, oldest first, empty ones included; in each bucket the largest group first, and the rest
    /// last, with null as its key. Only the keys of what `by` names are there.
    #[schema(example = json!({"rows": [{"start": "2026-11-22T00:00:00Z", "severity": 1, "records": 53}]}))]
    TrendRows of TrendRow {
        /// When the bucket begins.
        #[schema(format = DateTime)]
        start: String,
        /// With `by=build` and `by=system_name`.
        #[schema(required = false)]
        system_name: Option<String>,
        /// With `by=build`.
        #[schema(required = false)]
        build: Option<String>,
        /// With `by=classification`.
        #[schema(required = false)]
        classification: Option<String>,
        /// With `by=severity`.
        #[schema(required = false)]
        severity: Option<i32>,
        /// With `by=guilty`: identity of the cause.
        #[schema(required = false)]
        guilty_id: Option<i64>,
        /// With `by=guilty`.
        #[schema(required = false)]
        function: Option<String>,
        /// With `by=guilty`.
        #[schema(required = false)]
        module: Option<String>,
        /// How many records.
        records: u64,
    }
}

table! {
    /// Distinct machines that sent a heartbeat, by build and origin, the largest first. A machine changes its id every three
    /// days: in a longer window it counts once for each id.
    #[schema(example = json!({"rows": [{"system_name": "clear-linux-os", "build": "43780", "data_source": "internal", "machines": 5,
        "machines_at_least": 3}]}))]
    PopulationRows of PopulationRow {
        /// Name of the operating system.
        system_name: String,
        /// Version of it.
        build: String,
        /// `internal` or `external`.
        data_source: String,
        /// How many distinct machine ids.
        machines: u64,
        /// How many machines these are at least; null where the window has no beginning.
        machines_at_least: Option<u64>,
    }
}

table! {
    /// Causes of crashes, those with most records first. `machines` counts ids, which change every three days.
    #[schema(example = json!({"rows": [{"guilty_id": 6_003_957_154_442_053_i64, "function": "deref()", "module": "/opt/example/bin/crasher1",
        "comment": "", "hidden": false, "records": 7, "machines": 3, "machines_at_least": 2, "stacks": 2,
        "first_seen": "2026-11-22T00:00:00Z", "last_seen": "2026-11-22T09:00:00Z", "builds": [{"system_name": "clear-linux-os", "build": "43780", "records": 7, "machines": 3}],
        "classifications": [{"classification": "org.clearlinux/crash/clr", "records": 7}]}]}))]
    CrashRows of CrashRow {
        /// Identity of the cause, the same everywhere.
        guilty_id: i64,
        /// The function, demangled.
        function: String,
        /// The module that it is in.
        module: String,
        /// What users say about it.
        comment: String,
        /// Whether users asked not to see it.
        hidden: bool,
        /// How many records.
        records: u64,
        /// How many distinct machine ids.
        machines: u64,
        /// How many machines these are at least, by when the first and the last one were received.
        machines_at_least: u64,
        /// How many different stacks.
        stacks: u64,
        /// When the first one was received.
        #[schema(format = DateTime)]
        first_seen: String,
        /// When the last one was received.
        #[schema(format = DateTime)]
        last_seen: String,
        /// By build of a system: systems by name, and of each the oldest build first.
        builds: Vec<CrashesOfBuild>,
        /// By class, the largest first.
        classifications: Vec<ClassificationRow>,
    }
}

/// Crashes of one build.
#[derive(ToSchema)]
pub struct CrashesOfBuild {
    /// Name of the operating system.
    system_name: String,
    /// Version of it.
    build: String,
    /// How many records.
    records: u64,
    /// How many distinct machine ids.
    machines: u64,
}

/// One cause of crashes.
#[derive(ToSchema)]
pub struct GuiltyDetails {
    /// As in the list, without `builds`.
    guilty: serde_json::Map<String, serde_json::Value>,
    /// By build of a system: systems by name, and of each the oldest build first.
    builds: Vec<CrashesOfBuild>,
    /// By machine and build, those with most records first.
    machines: Vec<CrashesOfMachine>,
    /// By stack, those with most records first.
    stacks: Vec<CrashesOfStack>,
}

/// Crashes of one machine on one build.
#[derive(ToSchema)]
pub struct CrashesOfMachine {
    /// The machine's id.
    machine_id: String,
    /// Name of the operating system.
    system_name: String,
    /// Version of it.
    build: String,
    /// How many records.
    records: u64,
}

/// Crashes with equal stacks.
#[derive(ToSchema)]
pub struct CrashesOfStack {
    /// The stack's number, the same everywhere.
    stack_id: i64,
    /// How many records.
    records: u64,
    /// How many distinct machine ids.
    machines: u64,
    /// On how many builds.
    builds: u64,
    /// When the first one was received.
    #[schema(format = DateTime)]
    first_seen: String,
    /// When the last one was received.
    #[schema(format = DateTime)]
    last_seen: String,
    /// From the crash upwards.
    frames: Vec<StackFrame>,
}

/// One frame of a stack.
#[derive(ToSchema)]
pub struct StackFrame {
    /// The function, demangled.
    function: String,
    /// The module that it is in.
    module: String,
    /// File and line of one of the crashes; empty where none is known.
    source: String,
    /// Whether it is the guilty one.
    guilty: bool,
}

table! {
    /// What became worse, the surest first. The columns of one kind of cause are null for the others; all of them are for
    /// crashes as a whole.
    #[schema(example = json!({"rows": [{"system_name": "clear-linux-os", "change": "worse", "build": "43780", "lasts": true, "classification": null,
        "guilty_id": 6_003_957_154_442_053_i64, "function": "deref()", "module": "/opt/example/bin/crasher1", "per_1000_machine_days": 4.1,
        "per_1000_machine_days_before": 1.2, "ratio": 3.4, "ratio_low": 2.1, "struck_machines": 41, "p_corrected": 0.0002}]}))]
    RegressionRows of RegressionRow {
        /// The system that it is about.
        system_name: String,
        /// `new` or `worse`.
        change: String,
        /// The build since which it is.
        build: String,
        /// Whether it is so on all later builds, too.
        lasts: bool,
        /// The class, where the cause is one.
        classification: Option<String>,
        /// Identity of the guilty, where the cause is one.
        guilty_id: Option<i64>,
        /// Its function.
        function: Option<String>,
        /// Its module.
        module: Option<String>,
        /// Struck machine-days per 1,000 from that build on.
        per_1000_machine_days: f64,
        /// The same before.
        per_1000_machine_days_before: f64,
        /// How many times as often; null when it did not strike before.
        ratio: Option<f64>,
        /// The lower end of its 95 % interval.
        ratio_low: f64,
        /// Distinct machine ids that it struck from that build on.
        struck_machines: u64,
        /// The chance of such numbers by accident, corrected for everything that was tried.
        p_corrected: f64,
    }
}

table! {
    /// Machine checks. By week, oldest first, empty weeks included; else the largest group first. Only the keys of what
    /// `by` names are there.
    #[schema(example = json!({"rows": [{"start": "2026-11-16T00:00:00Z", "classification": "org.clearlinux/mce/corrected", "records": 17}]}))]
    MachineCheckRows of MachineCheckRow {
        /// With `by=week`: its Monday.
        #[schema(required = false, format = DateTime)]
        start: String,
        /// With `by=week` and `by=classification`; null for the rest.
        #[schema(required = false)]
        classification: Option<String>,
        /// With `by=build`.
        #[schema(required = false)]
        system_name: String,
        /// With `by=build`.
        #[schema(required = false)]
        build: String,
        /// With `by=status`: the last eight hexadecimal digits; null where payloads say none.
        #[schema(required = false)]
        status: Option<String>,
        /// With `by=machine`.
        #[schema(required = false)]
        machine_id: String,
        /// With `by=machine`: the builds that they happened on, with commas between.
        #[schema(required = false)]
        builds: String,
        /// How many records.
        records: u64,
    }
}

table! {
    /// Thermal events by week, oldest first, empty weeks included.
    #[schema(example = json!({"rows": [{"start": "2026-11-16T00:00:00Z", "records": 9}]}))]
    ThermalRows of ThermalRow {
        /// The week's Monday.
        #[schema(format = DateTime)]
        start: String,
        /// How many records.
        records: u64,
    }
}

table! {
    /// Updates, the most frequent first.
    #[schema(example = json!({"rows": [{"from_version": "43750", "to_version": "43780", "records": 14}]}))]
    UpdateRows of UpdateRow {
        /// The version before.
        from_version: String,
        /// The version after.
        to_version: String,
        /// How many records tell of it.
        records: u64,
    }
}
