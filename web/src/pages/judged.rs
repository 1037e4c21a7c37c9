//! What is judged of the crashes of one system: what became worse, and how often machines crash, by build. It is by far
//! the most work of the pages that show it, so that one answer serves many.

use std::collections::HashSet;

use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::judgement::{BuildRates, Cause, Change, Finding, Tables, findings, rates};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::payload::CRASH_CLASSES;
use telemetrics_schema::time::US_PER_DAY;

use super::{rotation, text};
use crate::api::regressions::with_guilties;
use crate::api::said::Said;
use crate::charts::{Chart, Figure, Kind, Series};
use crate::error::WebError;
use crate::standing::Held;
use crate::state::{AppState, Asked};

/// How far back it is judged, in days.
pub(super) const JUDGED_DAYS: i64 = 14;
/// Builds of the chart of rates: the newest.
const BUILDS_MAX: usize = 12;
/// Longest name of a build in a sentence, in characters.
const BUILD_CHARS: usize = 100;

/// What is known of the crashes of one system.
#[derive(Debug)]
pub(super) struct Judged {
    /// What became worse.
    pub(super) findings: Vec<Finding>,
    /// Rates of crashes as a whole, the oldest build first.
    pub(super) crashes: Vec<BuildRates>,
    /// Rates of each guilty on each of the newest builds: on all of them they would be too many to be kept.
    guilties: Vec<BuildRates>,
}

impl From<&Tables> for Judged {
    fn from(tables: &Tables) -> Self {
        let of = |tables: &Tables, is_wanted: fn(&Cause) -> bool| -> Vec<BuildRates> {
            rates(tables).into_iter().filter(|rates| is_wanted(&rates.cause)).collect()
        };
        let crashes = of(&of_crashes(tables), |cause| *cause == Cause::AnyCrash);
        let newest = crashes.iter().rev().take(BUILDS_MAX);
        let newest: HashSet<&str> = newest.map(|rates| rates.exposure.build.as_str()).collect();
        let mut guilties = of(tables, |cause| matches!(cause, Cause::Guilty { .. }));
        guilties.retain(|rates| newest.is_empty() || newest.contains(rates.exposure.build.as_str()));
        Self { findings: findings(tables), crashes, guilties }
    }
}

/// The tables of crashes alone, which the API has rates of: how often a machine comes back, and with it the width of
/// intervals, is measured of all causes of a table.
fn of_crashes(tables: &Tables) -> Tables {
    let is_crash = |cause: &Cause| match cause {
        Cause::AnyCrash => true,
        Cause::Class(class) => CRASH_CLASSES.contains(&class.as_str()),
        Cause::Guilty { .. } => false,
    };
    let strikes = tables.strikes.iter().filter(|strikes| is_crash(&strikes.cause)).cloned().collect();
    Tables { exposures: tables.exposures.clone(), strikes }
}

impl Judged {
    /// The rates of one guilty, the oldest build first.
    pub(super) fn of_guilty(&self, id: i64) -> Vec<&BuildRates> {
        let is_it = |cause: &Cause| matches!(cause, Cause::Guilty { guilty_id, .. } if *guilty_id == id);
        self.guilties.iter().filter(|rates| is_it(&rates.cause)).collect()
    }

    /// What became of one guilty, when that is sure.
    pub(super) fn finding_of(&self, id: i64) -> Option<&Finding> {
        let is_it = |cause: &Cause| matches!(cause, Cause::Guilty { guilty_id, .. } if *guilty_id == id);
        self.findings.iter().find(|finding| is_it(&finding.cause))
    }
}

/// What a finding says of its cause, without a dot.
pub(super) fn said(finding: &Finding) -> String {
    let build = text::line(&finding.build, BUILD_CHARS);
    let when = if finding.lasts { format!("since {build}") } else { format!("on {build} alone") };
    let machines = rotation::machines(finding.comparison.after.machines, JUDGED_DAYS);
    match (finding.change, finding.comparison.ratio) {
        (Change::Worse, Some(ratio)) => format!("{ratio:.1} times as often {when}, on {machines} machines"),
        _ => format!("new {when}, on {machines} machines"),
    }
}

/// Struck machines per 1,000 on the newest builds, and in the table the 95 % intervals and of how many machines.
pub(super) fn by_build(title: &str, rates: &[&BuildRates]) -> Figure {
    let newest = &rates[rates.len().saturating_sub(BUILDS_MAX)..];
    let chart = Chart {
        title: title.to_owned(),
        kind: Kind::Columns,
        category: "build".into(),
        names: newest.iter().map(|rates| rates.exposure.build.clone()).collect(),
        series: vec![Series {
            name: "per 1,000 machines".to_owned(),
            values: newest.iter().map(|rates| Some(rates.machines.per_1000)).collect(),
        }],
    };
    let interval = |rates: &&BuildRates| {
        let known = rates.machines.interval.map(|interval| format!("{:.1} to {:.1}", interval.low, interval.high));
        known.unwrap_or_else(|| "not known".to_owned())
    };
    let machines = |ids: u64| rotation::machines(ids, JUDGED_DAYS);
    chart
        .figure()
        .with_column("95 % interval", newest.iter().map(interval))
        .with_column("machines", newest.iter().map(|rates| machines(rates.exposure.machines)))
        .with_column("of these struck", newest.iter().map(|rates| machines(rates.counts.machines)))
}

/// What is known of the crashes of a system.
///
/// # Errors
/// As those of questions.
pub(super) async fn judged(
    state: &AppState,
    asked: &Asked,
    system_name: Option<String>,
) -> Result<Held<Judged>, WebError> {
    let edits = Said::now(state).await?.curated.sequence;
    let make = || {
        let (state, asked) = (state.clone(), asked.clone());
        let filter = RecordFilter {
            system_name: system_name.clone(),
            received_from: Some(TimestampUs(asked.now.0 - JUDGED_DAYS * US_PER_DAY)),
            ..RecordFilter::default()
        };
        async move { Ok(Judged::from(&with_guilties(&state, &asked, &filter).await?)) }
    };
    state.kept.judged.get(&system_name, asked.now, edits, make).await
}

#[cfg(test)]
mod tests {
    use telemetrics_analytics::judgement::{Counts, Exposure, Strikes};

    use super::*;

    fn guilty(guilty_id: i64) -> Cause {
        Cause::Guilty { guilty_id, function: "f()".to_owned(), module: "m".to_owned() }
    }

    /// Two builds with so many machine-days each, and a cause that struck on so many of the second one's.
    fn tables(machine_days: u64, strikes: &[(Cause, u64)]) -> Tables {
        let exposure = |build: u64| Exposure {
            build: build.to_string(),
            machines: machine_days,
            machine_days,
            busiest_day_machines: machine_days / 2,
        };
        let strikes = strikes.iter().map(|(cause, machine_days)| Strikes {
            build: "2".to_owned(),
            cause: cause.clone(),
            counts: Counts { machines: machine_days.div_ceil(2), machine_days: *machine_days, records: *machine_days },
        });
        Tables { exposures: (1..=2).map(exposure).collect(), strikes: strikes.collect() }
    }

    #[test]
    fn a_guilty_has_its_rates_and_what_became_of_it() {
        let judged = Judged::from(&tables(4_000, &[(guilty(7), 60), (guilty(8), 1)]));
        let rates = judged.of_guilty(7);
        let counts: Vec<_> = rates.iter().map(|rates| (rates.exposure.build.as_str(), rates.counts.machines)).collect();
        assert_eq!(counts, [("1", 0), ("2", 30)]);
        assert_eq!(judged.finding_of(7).map(said).as_deref(), Some("new since 2, on 5 to 30 machines"));
        assert!(judged.finding_of(8).is_none() && judged.of_guilty(9).is_empty());
        let figure = by_build("t", &rates);
        assert_eq!(figure.head, ["build", "per 1,000 machines", "95 % interval", "machines", "of these struck"]);
        assert_eq!(figure.rows[1].values[2..], ["667 to 4,000", "5 to 30"]);
        assert!(by_build("t", &[]).rows.is_empty());
    }

    #[test]
    fn rates_of_crashes_know_nothing_of_other_causes() {
        let crashes = [(Cause::AnyCrash, 60), (Cause::Class(CRASH_CLASSES[0].to_owned()), 60)];
        let alone = tables(4_000, &crashes);
        // A broken machine reports each day, which says nothing about those that crash.
        let checks = (Cause::Class("org.clearlinux/mce/SRAR".to_owned()), 3_000);
        let mut among = tables(4_000, &[&crashes[..], &[checks, (guilty(7), 60)]].concat());
        among.strikes[2].counts.machines = 100;
        assert_eq!(Judged::from(&among).crashes, Judged::from(&alone).crashes);
        assert_ne!(rates(&among)[0].machines, rates(&alone)[0].machines, "else this tests nothing");
    }

    #[test]
    fn the_newest_builds_are_shown() {
        let exposure = |build: usize| Exposure {
            build: build.to_string(),
            machines: 10,
            machine_days: 10,
            busiest_day_machines: 10,
        };
        let strikes = |build: usize| Strikes {
            build: build.to_string(),
            cause: Cause::AnyCrash,
            counts: Counts { machines: 1, machine_days: 1, records: 1 },
        };
        let builds = 0..=BUILDS_MAX;
        let tables =
            Tables { exposures: builds.clone().map(exposure).collect(), strikes: builds.map(strikes).collect() };
        let judged = Judged::from(&tables);
        let figure = by_build("t", &judged.crashes.iter().collect::<Vec<_>>());
        assert_eq!((figure.rows.len(), figure.rows[0].name.as_str()), (BUILDS_MAX, "1"));
    }
}
