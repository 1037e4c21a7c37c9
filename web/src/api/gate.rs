//! `GET /api/gate?build=N&against=M`: whether build N may go to more machines, judged by build M.
//!
//! For scripts that decide about a rollout. It is about one system (`system_name`; else the one with most records lately),
//! looks back `days` (35), and takes the filters that say something of machines. `docs/crash-statistics.md` says how it
//! judges.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::judgement::{
    Cause, Change, FALSE_REPORTS, GATE_MACHINES_MIN, Gate, Hearing, MACHINE_DAYS_MIN, RATIO_BORNE, Side, Suspicion,
    Tables, Verdict, gate,
};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::wire::BUILD_LIMIT_CHARS;

use super::crash_rate::{DAYS_MAX, begin, of_one_system, rounded};
use super::filters::FilterReader;
use super::params::{Pairs, no_duplicates, whole_number};
use super::regressions::with_guilties;
use super::with_pending;
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// How far it looks back when nobody says it, in days: as long as records live by default.
pub(super) const DAYS_DEFAULT: i64 = 35;

/// Filters that it takes: of machines, and of when they were heard.
const FILTERS: [&str; 8] = [
    "system_name",
    "os_name",
    "arch",
    "host_type",
    "kernel_version",
    "data_source",
    "received_after",
    "received_before",
];

/// What is asked.
#[derive(Debug, PartialEq)]
struct Asked {
    build: String,
    against: String,
    filter: RecordFilter,
}

/// `{"verdict": "pass" | "hold" | "unknown", "reasons": [...], ...}`.
///
/// # Errors
/// 400 names the parameter that cannot be used, or is missing.
#[utoipa::path(
    get,
    path = "/api/gate",
    operation_id = "gate",
    summary = "Whether a build may go to more machines",
    tag = "aggregations",
    params(parameters::OfGate),
    responses((status = 200, description = "The verdict.", body = answers::GateAnswer), answers::Refused),
)]
pub async fn show(
    State(state): State<AppState>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let query = read(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let (system_name, tables) = match of_one_system(&asked.view, &query.filter, now).await? {
        Some((system_name, filter)) => (Some(system_name), with_guilties(&state, &asked, &filter).await?),
        None => (None, Tables::default()),
    };
    let gate = gate(&tables, &query.build, &query.against);
    let answer = Answer::of(system_name.as_deref(), &gate);
    Ok(with_pending(Json(answer).into_response(), asked.pending))
}

fn read(pairs: &Pairs, now: TimestampUs) -> Result<Asked, InvalidParameter> {
    let (mut build, mut against, mut days) = (None, None, None);
    let mut filter = FilterReader::default();
    no_duplicates(pairs)?;
    for (name, value) in pairs {
        match name.as_str() {
            "build" => build = Some(build_name(name, value)?),
            "against" => against = Some(build_name(name, value)?),
            "days" => days = Some(whole_number(name, value, 1, DAYS_MAX)?),
            name if FILTERS.contains(&name) => filter.take(name, value)?,
            _ => return Err(InvalidParameter::new(name, "is not a parameter here")),
        }
    }
    let missing = |name: &str| InvalidParameter::new(name, "is missing: which build, against which");
    let (build, against) = (build.ok_or_else(|| missing("build"))?, against.ok_or_else(|| missing("against"))?);
    if build == against {
        return Err(InvalidParameter::new("against", "must be another build"));
    }
    let mut filter = filter.finish(now);
    filter.received_from = begin(&filter, days, DAYS_DEFAULT, now);
    Ok(Asked { build, against, filter })
}

fn build_name(name: &str, value: &str) -> Result<String, InvalidParameter> {
    if value.is_empty() || value.chars().count() > BUILD_LIMIT_CHARS {
        return Err(InvalidParameter::new(name, format!("must have 1 to {BUILD_LIMIT_CHARS} characters")));
    }
    Ok(value.to_owned())
}

#[derive(Serialize)]
struct Answer<'a> {
    verdict: &'static str,
    system_name: Option<&'a str>,
    build: Heard<'a>,
    against: Heard<'a>,
    /// What a reason's `p_corrected` is compared with.
    threshold: f64,
    /// How many times as often anything may strike.
    ratio_borne: f64,
    reasons: Vec<Reason<'a>>,
}

/// A build and who ran it.
#[derive(Serialize)]
struct Heard<'a> {
    build: &'a str,
    machines: u64,
    machine_days: u64,
    busiest_day_machines: u64,
}

#[derive(Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
enum Reason<'a> {
    TooFewMachines {
        holds: bool,
        build: &'a str,
        busiest_day_machines: u64,
        busiest_day_machines_min: u64,
        machine_days: u64,
        machine_days_min: u64,
        text: String,
    },
    New(Box<OfCause<'a>>),
    Worse(Box<OfCause<'a>>),
}

/// A cause on both builds.
#[derive(Serialize)]
struct OfCause<'a> {
    holds: bool,
    #[serde(flatten)]
    cause: Named<'a>,
    build: OnBuild,
    against: OnBuild,
    ratio: Option<f64>,
    ratio_low: f64,
    ratio_high: Option<f64>,
    p: f64,
    p_corrected: f64,
    text: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Named<'a> {
    AnyCrash { any_crash: bool },
    Class { classification: &'a str },
    Guilty { guilty_id: i64, function: &'a str, module: &'a str },
}

/// How often a cause struck a build.
#[derive(Serialize)]
struct OnBuild {
    machines: u64,
    struck_machine_days: u64,
    machine_days: u64,
    per_1000_machine_days: f64,
    per_1000_machine_days_low: Option<f64>,
    per_1000_machine_days_high: Option<f64>,
}

impl<'a> Answer<'a> {
    fn of(system_name: Option<&'a str>, gate: &'a Gate) -> Self {
        let verdict = match gate.verdict {
            Verdict::Pass => "pass",
            Verdict::Hold => "hold",
            Verdict::Unknown => "unknown",
        };
        let unheard = [&gate.build, &gate.against].into_iter().filter(|hearing| !hearing.is_enough).map(too_few);
        let reasons = unheard.chain(gate.suspicions.iter().map(of_cause)).collect();
        let (build, against) = (Heard::of(&gate.build), Heard::of(&gate.against));
        Self { verdict, system_name, build, against, threshold: FALSE_REPORTS, ratio_borne: RATIO_BORNE, reasons }
    }
}

impl<'a> Heard<'a> {
    fn of(hearing: &'a Hearing) -> Self {
        let exposure = &hearing.exposure;
        Self {
            build: &exposure.build,
            machines: exposure.machines,
            machine_days: exposure.machine_days,
            busiest_day_machines: exposure.busiest_day_machines,
        }
    }
}

fn too_few(hearing: &Hearing) -> Reason<'_> {
    let exposure = &hearing.exposure;
    let text = format!(
        "Build {} was run by {} machines on its busiest day, for {} machine-days in all; {GATE_MACHINES_MIN} and \
         {MACHINE_DAYS_MIN} are needed.",
        exposure.build, exposure.busiest_day_machines, exposure.machine_days
    );
    Reason::TooFewMachines {
        holds: false,
        build: &exposure.build,
        busiest_day_machines: exposure.busiest_day_machines,
        busiest_day_machines_min: GATE_MACHINES_MIN,
        machine_days: exposure.machine_days,
        machine_days_min: MACHINE_DAYS_MIN,
        text,
    }
}

fn of_cause(suspicion: &Suspicion) -> Reason<'_> {
    let comparison = &suspicion.comparison;
    let of_cause = Box::new(OfCause {
        holds: suspicion.holds,
        cause: Named::of(&suspicion.cause),
        build: OnBuild::of(&comparison.after),
        against: OnBuild::of(&comparison.before),
        ratio: comparison.ratio.map(rounded),
        ratio_low: rounded(comparison.ratio_low),
        ratio_high: comparison.ratio_high.map(rounded),
        p: comparison.p,
        p_corrected: suspicion.p_corrected,
        text: told(suspicion),
    });
    match suspicion.change {
        Change::New => Reason::New(of_cause),
        Change::Worse => Reason::Worse(of_cause),
    }
}

impl<'a> Named<'a> {
    fn of(cause: &'a Cause) -> Self {
        match cause {
            Cause::AnyCrash => Self::AnyCrash { any_crash: true },
            Cause::Class(classification) => Self::Class { classification },
            Cause::Guilty { guilty_id, function, module } => Self::Guilty { guilty_id: *guilty_id, function, module },
        }
    }
}

impl OnBuild {
    fn of(side: &Side) -> Self {
        Self {
            machines: side.machines,
            struck_machine_days: side.struck_machine_days,
            machine_days: side.machine_days,
            per_1000_machine_days: rounded(side.rate.per_1000),
            per_1000_machine_days_low: side.rate.interval.map(|interval| rounded(interval.low)),
            per_1000_machine_days_high: side.rate.interval.map(|interval| rounded(interval.high)),
        }
    }
}

/// The reason as a sentence.
fn told(suspicion: &Suspicion) -> String {
    let name = match &suspicion.cause {
        Cause::AnyCrash => "Any crash".to_owned(),
        Cause::Class(class) => class.clone(),
        Cause::Guilty { function, module, .. } => format!("{function} in {module}"),
    };
    let (after, before) = (&suspicion.comparison.after, &suspicion.comparison.before);
    let rates = format!(
        "{:.3} struck machine-days per 1,000 ({} machines) against {:.3} ({} machines)",
        after.rate.per_1000, after.machines, before.rate.per_1000, before.machines
    );
    match (suspicion.change, suspicion.holds) {
        (Change::New, true) => format!("{name} is new in this build: {rates}."),
        (Change::Worse, true) => format!("{name} is more frequent: {rates}."),
        (_, false) => format!("{name} is new in this build, in too small numbers to hold it: {rates}."),
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::time::US_PER_DAY;

    use super::*;

    const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

    fn asked(query: &str) -> Result<Asked, InvalidParameter> {
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        read(&pairs, NOW)
    }

    #[test]
    fn two_builds_have_to_be_named() {
        let query = asked("build=2&against=1").expect("valid");
        assert_eq!((query.build.as_str(), query.against.as_str()), ("2", "1"));
        assert_eq!(query.filter.received_from, Some(TimestampUs(NOW.0 - 35 * US_PER_DAY)));
        let longest = "ä".repeat(BUILD_LIMIT_CHARS);
        assert!(asked(&format!("build={longest}&against=1&days=1&system_name=debian&data_source=external")).is_ok());
        for (wrong, name) in [
            ("build=2", "against"),
            ("against=2", "build"),
            ("build=2&against=2", "against"),
            ("build=&against=2", "build"),
            (&format!("build={longest}ä&against=1"), "build"),
            ("build=2&against=1&days=0", "days"),
            ("build=2&against=1&severity=4", "severity"),
            ("build=2&against=1&format=csv", "format"),
            ("build=2&build=3&against=1", "build"),
        ] {
            assert_eq!(asked(wrong).expect_err(wrong).name, name);
        }
    }
}
