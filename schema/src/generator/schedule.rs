//! How many records each hour has: exact in sum, in proportion to what the machines do then.

use super::chance::{Chance, Stream};
use super::events::HOURS;
use super::fleet::{Fleet, Regression};
use super::world::{Slice, Totals, World};

/// Crashes of everything but the regressions are weighed as so many, of which a regression's base rate is a part.
const PER_MYRIAD: u64 = 10_000;
const PERCENT: u64 = 100;
/// Of 1,000 records, at least so many are neither routine nor crashes.
const EVENTS_MIN_PERMILLE: u64 = 30;

/// What is drawn in one slice, beyond what machines do by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Quota {
    pub(super) crashes: u64,
    pub(super) events: u64,
}

/// A fleet cut to size: machines whose routine fits into the records that are asked for.
pub(super) struct Schedule {
    pub(super) world: World,
    /// Whether there are enough records for heartbeats and updates at all.
    pub(super) has_routine: bool,
    /// In the order of the slices.
    pub(super) quotas: Vec<Quota>,
}

impl Schedule {
    /// Takes as many of the fleet's machines as the records allow, and divides the rest of the records over the hours.
    ///
    /// Crashes are their share of all records; routine is what it is; all other events are what then remains.
    pub(super) fn new(fleet: &Fleet) -> Self {
        let crashes = share(fleet.records, u64::from(fleet.crash_permille.min(1_000)));
        let room = fleet.records.saturating_sub(crashes + share(fleet.records, EVENTS_MIN_PERMILLE));
        let mut machines = fleet.machines.max(1);
        loop {
            let world = World::new(fleet, machines);
            let mut survey = Survey::of(fleet, world.clone());
            let has_routine = survey.routine <= room;
            if has_routine || machines == 1 {
                survey.routine *= u64::from(has_routine);
                return Self { world, has_routine, quotas: survey.quotas(fleet.records, crashes) };
            }
            machines = fewer(machines, room, survey.routine);
        }
    }
}

fn share(records: u64, permille: u64) -> u64 {
    records / 1_000 * permille + records % 1_000 * permille / 1_000
}

/// A smaller number of machines, such that their routine should fit into `room`.
fn fewer(machines: u32, room: u64, routine: u64) -> u32 {
    let fitting = u64::from(machines) * room / routine.max(1);
    u32::try_from(fitting).unwrap_or(u32::MAX).min(machines - 1).max(1)
}

/// What the hours weigh, found by letting the machines live through the window once.
struct Survey {
    routine: u64,
    crash_weights: Vec<u128>,
    event_weights: Vec<u128>,
}

impl Survey {
    fn of(fleet: &Fleet, mut world: World) -> Self {
        let mut chance = Chance::new(fleet.seed, Stream::Schedule);
        let mut survey = Self { routine: 0, crash_weights: Vec::new(), event_weights: Vec::new() };
        for slice in Slice::all(fleet) {
            world.advance(&slice, |_| survey.routine += 1);
            let crashing: u64 = crash_sources(&world.totals, &fleet.regressions).map(|(_, weight)| weight).sum();
            survey.crash_weights.push(u128::from(crashing) * busyness(&slice, &mut chance));
            survey.event_weights.push(u128::from(world.totals.machines) * busyness(&slice, &mut chance));
        }
        survey
    }

    fn quotas(&self, records: u64, crashes: u64) -> Vec<Quota> {
        let events = records - crashes - self.routine;
        let crashes = apportion(crashes, &self.crash_weights);
        let events = apportion(events, &self.event_weights);
        crashes.into_iter().zip(events).map(|(crashes, events)| Quota { crashes, events }).collect()
    }
}

/// How much happens in a slice for each machine: by the hour of the day, its length, and for no reason at all.
fn busyness(slice: &Slice, chance: &mut Chance) -> u128 {
    let noise_percent = chance.between(75, 125);
    u128::from(HOURS[slice.hour()]) * u128::from(slice.length_us) * u128::from(noise_percent)
}

/// Where a crash comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Any stack of the population, on any machine.
    Population,
    /// The regression of this number, on a machine that does not have it.
    Before(usize),
    /// The regression of this number, on a machine that has it.
    Since(usize),
}

/// The sources of crashes with their weights while the machines are as `totals` says.
pub(super) fn crash_sources(totals: &Totals, regressions: &[Regression]) -> impl Iterator<Item = (Source, u64)> {
    let population = (Source::Population, totals.proneness * PER_MYRIAD * PERCENT);
    let planted = regressions.iter().zip(&totals.affected).enumerate().flat_map(|(number, (regression, &affected))| {
        let base = u64::from(regression.base_permyriad);
        let before = if regression.is_new { 0 } else { (totals.proneness - affected) * base * PERCENT };
        let since = affected * base * u64::from(regression.factor_percent);
        [(Source::Before(number), before), (Source::Since(number), since)]
    });
    std::iter::once(population).chain(planted)
}

/// Divides `total` in proportion to `weights`, evenly where nothing weighs anything; the parts add up exactly.
fn apportion(total: u64, weights: &[u128]) -> Vec<u64> {
    let sum: u128 = weights.iter().sum();
    let weight = |weight: u128| if sum == 0 { 1 } else { weight };
    let sum: u128 = weights.iter().map(|&w| weight(w)).sum();
    let (mut until, mut given) = (0, 0);
    let part = |&w: &u128| {
        until += weight(w);
        // Never more than the total, which fits.
        let due = u64::try_from(u128::from(total) * until / sum).unwrap_or(total);
        let part = due - given;
        given = due;
        part
    };
    weights.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(schedule: &Schedule) -> u64 {
        schedule.quotas.iter().map(|quota| quota.crashes + quota.events).sum()
    }

    #[test]
    fn parts_add_up_and_follow_the_weights() {
        assert_eq!(apportion(10, &[1, 1, 3]), [2, 2, 6]);
        assert_eq!(apportion(7, &[1, 1, 1]).iter().sum::<u64>(), 7);
        assert_eq!(apportion(4, &[0, 0]), [2, 2]);
        assert_eq!(apportion(0, &[5, 0]), [0, 0]);
    }

    #[test]
    fn shares_of_great_numbers_do_not_overflow() {
        assert_eq!(share(u64::MAX, 1_000), u64::MAX);
        assert_eq!(share(1_999, 500), 999);
    }

    #[test]
    fn too_many_machines_are_cut_until_their_routine_fits() {
        let schedule = Schedule::new(&Fleet { machines: 2_000, ..Fleet::demo(1, 10_000, Fleet::default().end) });
        assert!(schedule.has_routine);
        assert!((100..350).contains(&schedule.world.machines.len()), "{}", schedule.world.machines.len());
    }

    #[test]
    fn very_few_records_have_no_routine() {
        let schedule = Schedule::new(&Fleet::demo(1, 7, Fleet::default().end));
        assert!(!schedule.has_routine);
        assert_eq!(total(&schedule), 7);
    }

    #[test]
    fn a_regression_weighs_more_the_more_machines_have_it() {
        let fleet = Fleet::default();
        let weight = |affected| -> u64 {
            let totals = Totals { machines: 10, proneness: 100, affected: vec![affected, 0] };
            crash_sources(&totals, &fleet.regressions[..1]).map(|(_, weight)| weight).sum()
        };
        let base = 100 * u64::from(fleet.regressions[0].base_permyriad) * PERCENT;
        assert_eq!(weight(0), 100 * PER_MYRIAD * PERCENT + base);
        assert_eq!(
            weight(100),
            100 * PER_MYRIAD * PERCENT + base * u64::from(fleet.regressions[0].factor_percent) / PERCENT
        );
    }
}
