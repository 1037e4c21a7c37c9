//! A fleet that crashes: machines that take builds one after the other, are prone to crashes in very different degrees,
//! have causes of their own, crash in series, and take another id every three days.
//!
//! It shares nothing with what judges its counts but the form of the tables. Everything is drawn machine by machine in
//! continuous time, and counted with the true machine at hand.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "days, machines and causes are small numbers"
)]

use telemetrics_analytics::judgement::{Cause, Counts, Exposure, Strikes, Tables};
use telemetrics_testkit::Chance;

const DAYS: usize = 35;
const ID_LIFETIME_DAYS: f64 = 3.0;
/// Of 1,000 crashes, how many are the first of a series.
const SERIES_PERMILLE: u64 = 150;
/// Of 1,000 machines, how many break in the window.
const BROKEN_PERMILLE: u64 = 3;

/// What a fleet is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) machines: usize,
    pub(crate) causes: usize,
    /// Crashes of an ordinary machine on a day, all causes together and without those that follow in a series.
    pub(crate) crashes_a_day: f64,
    /// How often the planted cause strikes once it is worse, in all these versions of the fleet.
    pub(crate) factors: &'static [f64],
}

/// The counts of one fleet, and what is true of it.
pub(crate) struct Outcome {
    /// One for each factor of the plan; equal in all but the planted cause.
    pub(crate) tables: Vec<Tables>,
    pub(crate) planted: Cause,
    /// The build since which it is worse.
    pub(crate) since: String,
    /// The build before that.
    pub(crate) before: String,
}

pub(crate) fn cause(number: usize) -> Cause {
    let guilty_id = i64::try_from(number).expect("few causes");
    Cause::Guilty { guilty_id, function: format!("function_{number}"), module: "/usr/lib64/libexample.so".to_owned() }
}

/// Draws from distributions.
struct Draw(Chance);

impl Draw {
    /// Between 0 and 1, both excluded.
    fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.0.bits() >> 32).expect("32 bits");
        (f64::from(bits) + 0.5) / 4_294_967_296.0
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    /// The gamma distribution of shape 1/2 and mean 1: the square of a normal number.
    fn gamma(&mut self) -> f64 {
        -2.0 * self.unit().ln() * (std::f64::consts::TAU * self.unit()).cos().powi(2)
    }

    fn permille(&mut self, permille: u64) -> bool {
        self.0.between(1, 1_000) <= permille
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.0.between(1, length as u64) - 1).expect("an index")
    }
}

/// One crash: which cause, when, and from which factor on it happens.
#[derive(Clone, Copy)]
struct Crash {
    cause: usize,
    day: f64,
    from_factor: f64,
}

/// When each build that a machine runs begins, the last one first.
type Course = Vec<(f64, usize)>;

fn build_at(course: &[(f64, usize)], day: f64) -> usize {
    course.iter().find(|(begin, _)| *begin <= day).expect("a machine begins with a build").1
}

/// What is counted while machines live.
struct Count {
    builds: usize,
    /// By build: machine ids, and machine-days of each day.
    ids: Vec<u64>,
    days: Vec<[u64; DAYS]>,
    /// By factor (the first for all causes, the others for the planted one), cause and build.
    struck: Vec<[u64; 3]>,
}

/// Simulates the fleet of a seed.
pub(crate) fn simulate(seed: u64, plan: &Plan) -> Outcome {
    let mut draw = Draw(Chance::new(seed));
    let releases = releases(&mut draw);
    let builds = releases.len();
    let planted = draw.index(9) + 2;
    // Not the first ones, which have nothing before them, and not the one that has just begun.
    let since = draw.index(builds - 4) + 3;
    let weights = Zipf::new(plan.causes);
    let slots = plan.causes + plan.factors.len();
    let mut count =
        Count { builds, ids: vec![0; builds], days: vec![[0; DAYS]; builds], struck: vec![[0; 3]; slots * builds] };
    let mut crashes = Vec::new();
    for _ in 0..plan.machines {
        let course = course(&mut draw, &releases);
        let phase = draw.between(0.0, ID_LIFETIME_DAYS);
        let on: Vec<usize> = on_days(&mut draw);
        count.heartbeats(&mut draw, &on, &course, phase);
        crashes.clear();
        machine_crashes(&mut draw, plan, &weights, planted, &on, &mut crashes);
        crashes.retain(|crash| crash.from_factor <= 1.0 || build_at(&course, crash.day) >= since);
        crashes.sort_by(|a, b| (a.cause, a.day).partial_cmp(&(b.cause, b.day)).expect("numbers"));
        count.crashes(&crashes, &course, phase, planted, plan);
    }
    let name = |build: usize| (43_700 + 10 * build).to_string();
    let tables = (0..plan.factors.len()).map(|factor| count.tables(plan, planted, factor, &name)).collect();
    Outcome { tables, planted: cause(planted), since: name(since), before: name(since - 1) }
}

/// Days on which builds are released: unevenly, one of them long before.
fn releases(draw: &mut Draw) -> Vec<f64> {
    let mut releases = vec![-20.0, -6.0];
    let mut day = draw.between(0.0, 4.0);
    while day < 33.0 {
        releases.push(day);
        day += draw.between(2.0, 7.0);
    }
    releases
}

/// Most machines follow soon, some late, some not at all, and a machine skips what was replaced before it followed.
fn course(draw: &mut Draw, releases: &[f64]) -> Course {
    let lag = match draw.index(20) {
        0 => return vec![(f64::MIN, draw.index(releases.len().min(4)))],
        1..=5 => 8.0,
        _ => 1.2,
    };
    let mut course = vec![(f64::MIN, 0)];
    for (build, release) in releases.iter().enumerate().skip(1) {
        let begin = release + draw.exponential(lag);
        course.retain(|(other, _)| *other < begin);
        course.push((begin, build));
    }
    course.reverse();
    course
}

fn on_days(draw: &mut Draw) -> Vec<usize> {
    let (first, last) = match draw.index(10) {
        0 => (draw.index(DAYS), DAYS),
        1 => (0, draw.index(DAYS) + 1),
        _ => (0, DAYS),
    };
    let permille = 450 + 50 * draw.index(12) as u64;
    (first..last).filter(|_| draw.permille(permille)).collect()
}

/// How often each cause strikes beside the others: the second half as often as the first.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(causes: usize) -> Self {
        let mut sum = 0.0;
        let sums = (0..causes).map(|cause| {
            sum += 1.0 / (cause as f64 + 1.0);
            sum
        });
        Self(sums.collect())
    }

    fn draw(&self, draw: &mut Draw) -> usize {
        let point = draw.unit() * self.0.last().expect("causes");
        self.0.partition_point(|sum| *sum < point)
    }
}

fn machine_crashes(
    draw: &mut Draw,
    plan: &Plan,
    weights: &Zipf,
    planted: usize,
    on: &[usize],
    crashes: &mut Vec<Crash>,
) {
    // A few machines crash all the time.
    let often = if draw.index(100) == 0 { 15.0 } else { 0.85 };
    let rate = plan.crashes_a_day * draw.gamma() * often * on.len() as f64;
    if !on.is_empty() && draw.permille(BROKEN_PERMILLE) {
        breaks(draw, plan.causes, on, crashes);
    }
    // Half of what a machine suffers from are causes of its own.
    let own = [weights.draw(draw), weights.draw(draw), weights.draw(draw)];
    let largest = plan.factors.iter().copied().fold(1.0, f64::max);
    let mut spent = draw.exponential(1.0);
    while spent < rate {
        spent += draw.exponential(1.0);
        let cause = if draw.permille(500) { own[draw.index(3)] } else { weights.draw(draw) };
        let copies = if cause == planted { largest } else { 1.0 };
        let mut from_factor = 1.0;
        add_series(draw, cause, from_factor, on, crashes);
        // What there is more of when the cause strikes more often, from the factor on at which it is there.
        from_factor += draw.exponential(1.0);
        while from_factor < copies {
            add_series(draw, cause, from_factor, on, crashes);
            from_factor += draw.exponential(1.0);
        }
    }
}

/// Some day something breaks, and from then on the machine crashes of one cause, whichever build it runs.
fn breaks(draw: &mut Draw, causes: usize, on: &[usize], crashes: &mut Vec<Crash>) {
    let cause = draw.index(causes);
    let begin = on[draw.index(on.len())];
    let days = on.iter().filter(|day| **day >= begin);
    for day in days {
        if draw.permille(600) {
            crashes.push(Crash { cause, day: *day as f64 + draw.unit(), from_factor: 1.0 });
        }
    }
}

/// A crash at some time when the machine is on, and perhaps others soon after it.
fn add_series(draw: &mut Draw, cause: usize, from_factor: f64, on: &[usize], crashes: &mut Vec<Crash>) {
    let mut day = on[draw.index(on.len())] as f64 + draw.unit();
    crashes.push(Crash { cause, day, from_factor });
    if draw.permille(SERIES_PERMILLE) {
        while draw.permille(700) {
            day += draw.exponential(0.4);
            if day < DAYS as f64 {
                crashes.push(Crash { cause, day, from_factor });
            }
        }
    }
}

/// Number of the id that a machine has.
fn id_at(day: f64, phase: f64) -> usize {
    ((day + phase) / ID_LIFETIME_DAYS) as usize
}

impl Count {
    /// A heartbeat on each day, at the machine's own time of day.
    fn heartbeats(&mut self, draw: &mut Draw, on: &[usize], course: &[(f64, usize)], phase: f64) {
        let time = draw.unit();
        let mut last = None;
        for &day in on {
            let at = day as f64 + time;
            let build = build_at(course, at);
            self.days[build][day] += 1;
            let key = (build, id_at(at, phase));
            self.ids[build] += u64::from(last != Some(key));
            last = Some(key);
        }
    }

    /// Crashes of one machine, by cause and time, so that equal keys follow each other.
    fn crashes(&mut self, crashes: &[Crash], course: &[(f64, usize)], phase: f64, planted: usize, plan: &Plan) {
        self.add(crashes.iter().filter(|crash| crash.from_factor <= 1.0), course, phase, |cause| cause);
        if crashes.iter().any(|crash| crash.cause == planted) {
            for (number, factor) in plan.factors.iter().enumerate() {
                let its = crashes.iter().filter(|crash| crash.cause == planted && crash.from_factor <= *factor);
                self.add(its, course, phase, |_| plan.causes + number);
            }
        }
    }

    fn add<'a>(
        &mut self,
        crashes: impl Iterator<Item = &'a Crash>,
        course: &[(f64, usize)],
        phase: f64,
        slot: impl Fn(usize) -> usize,
    ) {
        let (mut last_id, mut last_day) = (None, None);
        for crash in crashes {
            let build = build_at(course, crash.day);
            let struck = &mut self.struck[slot(crash.cause) * self.builds + build];
            let id = (crash.cause, build, id_at(crash.day, phase));
            let day = (crash.cause, build, id.2, crash.day as usize);
            struck[0] += u64::from(last_id.replace(id) != Some(id));
            struck[1] += u64::from(last_day.replace(day) != Some(day));
            struck[2] += 1;
        }
    }

    fn tables(&self, plan: &Plan, planted: usize, factor: usize, name: &impl Fn(usize) -> String) -> Tables {
        let exposure = |build: usize| Exposure {
            build: name(build),
            machines: self.ids[build],
            machine_days: self.days[build].iter().sum(),
            busiest_day_machines: self.days[build].iter().copied().max().unwrap_or(0),
        };
        let strikes = |number: usize| {
            let slot = if number == planted { plan.causes + factor } else { number };
            (0..self.builds).map(move |build| {
                let [machines, machine_days, records] = self.struck[slot * self.builds + build];
                let counts = Counts { machines, machine_days, records };
                Strikes { build: name(build), cause: cause(number), counts }
            })
        };
        let strikes = (0..plan.causes).flat_map(strikes).filter(|strikes| strikes.counts.records > 0);
        let strikes = strikes.collect();
        Tables { exposures: (0..self.builds).map(exposure).filter(|e| e.machine_days > 0).collect(), strikes }
    }
}
