//! `telemetrics doctor`: looks at everything that a server needs and says what to do about what is wrong.
//!
//! It may run beside a server. It writes nothing but a file that it removes again, to see whether the data directory can be
//! written.

mod certificate;
mod directory;
mod report;
mod store;

use std::process::ExitCode;
use std::sync::Arc;

use telemetrics_schema::time::Clock;
use telemetrics_schema::{RecordId, TimestampUs};

use crate::cli_doctor::{DoctorArgs, Form};
use crate::config::Config;
use crate::serve::StartError;
use report::{Finding, Report};

/// A clock that says less is wrong: this program is younger.
const CLOCK_MIN: TimestampUs = TimestampUs::from_s(1_767_225_600);
/// A record may be stamped so far ahead of this clock: collectors have clocks of their own.
const AHEAD_MAX_S: i64 = 60;

/// Looks, and says on standard output what was found. 1 when something does not work.
///
/// # Errors
/// Only when that cannot be said: what does not work is a finding.
pub async fn run(args: &DoctorArgs, clock: Arc<dyn Clock>) -> Result<ExitCode, StartError> {
    let report = Report::of(findings(args, clock.as_ref()).await);
    match args.format {
        Form::Text => print!("{}", report.text()),
        Form::Json => print!("{}", report.json()?),
    }
    Ok(if report.has_problem() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn findings(args: &DoctorArgs, clock: &dyn Clock) -> Vec<Finding> {
    let config = match args.store.load() {
        Ok(config) => config,
        Err(error) => {
            return vec![Finding::problem("settings", error.to_string(), "put it right: telemetrics config check")];
        }
    };
    let now = clock.now();
    let mut findings = vec![settings(&config)];
    findings.extend(config.tls.as_ref().map(|files| certificate::check(files, now)));
    findings.extend(directory::check(&config));
    let journal = directory::journal(&config);
    let newest_here = journal.newest;
    findings.push(journal.finding);
    let store = store::check(&config, now).await;
    findings.push(time(now, newest_here.into_iter().chain(store.newest).max()));
    findings.extend(store.findings);
    findings
}

fn settings(config: &Config) -> Finding {
    if config.allow_anonymous && !config.listen.ip().is_loopback() {
        return Finding::warning(
            "settings",
            format!("everybody who reaches {} sees and changes everything", config.listen),
            "make users or tokens (telemetrics access), and remove allow_anonymous",
        );
    }
    Finding::ok("settings", "valid")
}

fn time(now: TimestampUs, newest: Option<TimestampUs>) -> Finding {
    let advice =
        "let the system keep its clock (systemd-timesyncd, chrony); identifiers, retention and pages follow it";
    if now < CLOCK_MIN || RecordId::first_at(now).0 > RecordId::MAX.0 - RecordId::COLLECTOR_CYCLE {
        return Finding::problem("clock", format!("it says {now}"), advice);
    }
    match newest {
        Some(newest) if newest.as_s() > now.as_s() + AHEAD_MAX_S => {
            Finding::problem("clock", format!("it says {now}, and the newest record is of {newest}"), advice)
        }
        Some(newest) => Finding::ok("clock", format!("{now}, and the newest record is of {newest}")),
        None => Finding::ok("clock", now.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_neither_behind_this_program_nor_behind_the_newest_record() {
        let now = TimestampUs::from_s(1_795_342_080);
        let state = |now, newest: Option<i64>| {
            let text = Report::of(vec![time(now, newest.map(TimestampUs::from_s))]).text();
            text.split(' ').next().map(str::to_owned)
        };
        assert_eq!(state(now, None).as_deref(), Some("ok"));
        assert_eq!(state(now, Some(1_795_342_080 + AHEAD_MAX_S)).as_deref(), Some("ok"));
        assert_eq!(state(now, Some(1_795_342_081 + AHEAD_MAX_S)).as_deref(), Some("PROBLEM"));
        assert_eq!(state(TimestampUs(CLOCK_MIN.0 - 1), None).as_deref(), Some("PROBLEM"));
        assert_eq!(state(TimestampUs(i64::MAX), None).as_deref(), Some("PROBLEM"));
    }
}
