//! Judgement on the records that the demo shows: another simulation than [`super::fleet`], with other noise.

use std::collections::{BTreeMap, BTreeSet};

use telemetrics_analytics::judgement::{Cause, Change, Counts, Exposure, Strikes, Tables, findings};
use telemetrics_schema::generator::{Fleet, generate};
use telemetrics_schema::{Report, TimestampUs};

const SYSTEM: &str = "clear-linux-os";
const HEARTBEAT: &str = "org.clearlinux/heartbeat/ping";
const RECORDS: u64 = 60_000;
const END: TimestampUs = TimestampUs::from_s(1_795_305_600);

/// Who did something, and on which day.
#[derive(Default)]
struct Seen {
    machines: BTreeSet<String>,
    days: BTreeMap<i32, BTreeSet<String>>,
    records: u64,
}

impl Seen {
    fn add(&mut self, at: TimestampUs, report: &Report) {
        self.machines.insert(report.machine_id.clone());
        self.days.entry(at.day()).or_default().insert(report.machine_id.clone());
        self.records += 1;
    }

    fn machines(&self) -> u64 {
        self.machines.len() as u64
    }

    fn machine_days(&self) -> u64 {
        self.days.values().map(|machines| machines.len() as u64).sum()
    }

    fn busiest_day_machines(&self) -> u64 {
        self.days.values().map(|machines| machines.len() as u64).max().unwrap_or(0)
    }
}

/// What the demo puts a crash down to, near enough: the first frame with a name that is not one of the C library.
fn guilty(report: &Report) -> Option<Cause> {
    let frame = report.payload.lines().find_map(|line| {
        let (_, frame) = line.strip_prefix('#')?.split_once(' ')?;
        let (function, rest) = frame.split_once("() - [")?;
        let (module, _) = rest.split_once(']')?;
        (!module.starts_with("libc.")).then(|| (function.to_owned(), module.to_owned()))
    });
    frame.map(|(function, module)| Cause::Guilty { guilty_id: 0, function, module })
}

fn tables(fleet: &Fleet) -> Tables {
    let mut heartbeats: BTreeMap<String, Seen> = BTreeMap::new();
    let mut struck: BTreeMap<(String, Cause), Seen> = BTreeMap::new();
    for (at, report) in generate(fleet).filter(|(_, report)| report.system_name == SYSTEM) {
        if report.classification == HEARTBEAT {
            heartbeats.entry(report.build.clone()).or_default().add(at, &report);
        } else if let Some(cause) = guilty(&report) {
            struck.entry((report.build.clone(), cause)).or_default().add(at, &report);
        }
    }
    let exposure = |(build, seen): (String, Seen)| Exposure {
        build,
        machines: seen.machines(),
        machine_days: seen.machine_days(),
        busiest_day_machines: seen.busiest_day_machines(),
    };
    let strikes = |((build, cause), seen): ((String, Cause), Seen)| {
        let counts = Counts { machines: seen.machines(), machine_days: seen.machine_days(), records: seen.records };
        Strikes { build, cause, counts }
    };
    Tables {
        exposures: heartbeats.into_iter().map(exposure).collect(),
        strikes: struck.into_iter().map(strikes).collect(),
    }
}

#[test]
fn the_regressions_of_the_demo_are_found() {
    let fleet = Fleet::demo(1, RECORDS, END);
    let found = findings(&tables(&fleet));
    let found: Vec<_> = found.iter().map(|it| (&it.cause, it.change, it.build.as_str())).collect();
    let planted = fleet.regressions.iter().map(|it| {
        let (function, module) = (it.function.clone(), it.module.clone());
        let change = if it.is_new { Change::New } else { Change::Worse };
        (Cause::Guilty { guilty_id: 0, function, module }, change, it.since_build.as_str())
    });
    let planted: Vec<_> = planted.collect();
    assert_eq!(found.len(), planted.len(), "{found:#?}");
    for (cause, change, build) in &planted {
        assert!(found.contains(&(cause, *change, build)), "{cause:?} {build}: {found:#?}");
    }
}

#[test]
fn a_demo_without_regressions_has_none() {
    let fleet = Fleet { regressions: Vec::new(), ..Fleet::demo(1, RECORDS, END) };
    assert_eq!(findings(&tables(&fleet)), []);
}
