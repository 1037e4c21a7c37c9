//! All machines together, hour by hour: who is on, who updates, and how prone to crashes those are that are on.

use super::builds::{System, systems};
use super::chance::{Chance, Stream};
use super::events::HOURS;
use super::fleet::{Fleet, Regression};
use super::lottery::Weights;
use super::machines::{Machine, Maker};
use crate::time::{TimestampUs, US_PER_S};

/// Length of the slices in which records are made: what is kept of one is all that is kept.
pub(super) const SLICE_US: i64 = 3_600 * US_PER_S;

/// A stretch of time, at most an hour long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    pub(super) start: TimestampUs,
    pub(super) length_us: u32,
}

impl Slice {
    /// Every slice of the fleet's window, in order; at least one. They end at full hours, so that a machine's own hour
    /// comes once a UTC day wherever the window begins.
    pub(super) fn all(fleet: &Fleet) -> impl Iterator<Item = Self> + use<> {
        let start = fleet.start.0;
        let end = if fleet.end.0 > start { fleet.end.0 } else { start + SLICE_US };
        let hours = start.div_euclid(SLICE_US)..=(end - 1).div_euclid(SLICE_US);
        hours.map(move |hour| {
            let from = start.max(hour * SLICE_US);
            let length = end.min((hour + 1) * SLICE_US) - from;
            // An hour has 3.6 billion microseconds, which fit.
            Self { start: TimestampUs(from), length_us: u32::try_from(length).unwrap_or(u32::MAX) }
        })
    }

    /// Hour of the UTC day in which the slice begins.
    pub(super) fn hour(&self) -> usize {
        usize::try_from(self.start.0.div_euclid(SLICE_US).rem_euclid(24)).unwrap_or(0)
    }
}

/// What a machine does by itself: a heartbeat, or the report of an update from a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Routine {
    pub(super) machine: u32,
    pub(super) updated_from: Option<u16>,
}

/// Where a regression holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reach {
    system: u8,
    since: u16,
}

/// Sums over the machines that are on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) machines: u64,
    /// Sum of their proneness to crashes.
    pub(super) proneness: u64,
    /// The part of it that is within the reach of each regression.
    pub(super) affected: Vec<u64>,
}

/// The machines of a fleet and their state.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) systems: Vec<System>,
    pub(super) machines: Vec<Machine>,
    /// Machines of each hour of the day: from the position here to the one in the next hour.
    hours: [usize; 25],
    reaches: Vec<Option<Reach>>,
    pub(super) totals: Totals,
}

impl World {
    /// `machines` machines as they are when the fleet's window begins.
    pub(super) fn new(fleet: &Fleet, machines: u32) -> Self {
        let (first_day, last_day) = (fleet.start.day(), fleet.last_day());
        let systems = systems(fleet.seed, first_day, last_day);
        let mut chance = Chance::new(fleet.seed, Stream::Machines);
        let maker = Maker::new(&systems, first_day, last_day);
        let machines: Vec<Machine> = (0..machines).map(|_| maker.machine(&mut chance)).collect();
        let reaches: Vec<_> = fleet.regressions.iter().map(|regression| reach(&systems, regression)).collect();
        let totals = Totals { affected: vec![0; reaches.len()], ..Totals::default() };
        let mut world = Self { hours: hours(machines.len()), systems, machines, reaches, totals };
        (0..world.machines.len()).for_each(|machine| world.count(machine, u64::wrapping_add));
        world
    }

    /// Lets the slice begin: looks at the machines whose hour it is and tells `routine` what they do by themselves.
    pub(super) fn advance(&mut self, slice: &Slice, mut routine: impl FnMut(Routine)) {
        let hour = slice.hour();
        for (machine, number) in (self.hours[hour]..self.hours[hour + 1]).zip(number(self.hours[hour])..) {
            self.count(machine, u64::wrapping_sub);
            let look = self.machines[machine].look(&self.systems, slice.start.day());
            self.count(machine, u64::wrapping_add);
            if look.on {
                routine(Routine { machine: number, updated_from: None });
            }
            let reported = look.updated_from.filter(|_| self.system_of(number).reports_updates);
            if reported.is_some() {
                routine(Routine { machine: number, updated_from: reported });
            }
        }
    }

    pub(super) fn machine(&self, number: u32) -> &Machine {
        &self.machines[number as usize]
    }

    pub(super) fn system_of(&self, number: u32) -> &System {
        &self.systems[usize::from(self.machine(number).system)]
    }

    /// Whether the machine runs a build that has the regression.
    pub(super) fn is_affected(&self, machine: &Machine, regression: usize) -> bool {
        self.reaches[regression].is_some_and(|reach| machine.system == reach.system && machine.build >= reach.since)
    }

    /// Adds a machine that is on to the totals, or takes it out of them.
    fn count(&mut self, machine: usize, apply: fn(u64, u64) -> u64) {
        let machine = &self.machines[machine];
        if !machine.on {
            return;
        }
        let proneness = u64::from(machine.crashes);
        self.totals.machines = apply(self.totals.machines, 1);
        self.totals.proneness = apply(self.totals.proneness, proneness);
        for regression in 0..self.reaches.len() {
            if self.is_affected(machine, regression) {
                self.totals.affected[regression] = apply(self.totals.affected[regression], proneness);
            }
        }
    }
}

fn number(position: usize) -> u32 {
    // Machines are counted in 32 bits.
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// Spreads the machines' own hours over the day as people's days are spread.
fn hours(machines: usize) -> [usize; 25] {
    let busy = Weights::new(HOURS.map(u64::from));
    let mut hours = [0; 25];
    let mut until = 0;
    for (hour, share) in (1..).zip(HOURS) {
        until += share as usize;
        hours[hour] = machines * until / usize::try_from(busy.total()).unwrap_or(usize::MAX);
    }
    hours
}

fn reach(systems: &[System], regression: &Regression) -> Option<Reach> {
    let system = systems.iter().position(|system| system.name == regression.system_name)?;
    let since = systems[system].builds.iter().position(|build| build.name == regression.since_build)?;
    Some(Reach { system: u8::try_from(system).ok()?, since: u16::try_from(since).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recounted(world: &World) -> Totals {
        let on: Vec<_> = world.machines.iter().filter(|machine| machine.on).collect();
        let prone = |regression| on.iter().filter(move |machine| world.is_affected(machine, regression));
        Totals {
            machines: on.len() as u64,
            proneness: on.iter().map(|machine| u64::from(machine.crashes)).sum(),
            affected: (0..2)
                .map(|regression| prone(regression).map(|machine| u64::from(machine.crashes)).sum())
                .collect(),
        }
    }

    #[test]
    fn totals_follow_the_machines() {
        let fleet = Fleet::default();
        let mut world = World::new(&fleet, 300);
        assert_eq!(world.totals, recounted(&world));
        let before = world.totals.affected[0];
        Slice::all(&fleet).for_each(|slice| world.advance(&slice, |_| {}));
        assert_eq!(world.totals, recounted(&world));
        assert!(world.totals.affected[0] > before);
    }

    #[test]
    fn a_machine_has_at_most_one_heartbeat_a_day() {
        let fleet = Fleet::default();
        let mut world = World::new(&fleet, 200);
        let mut beats = std::collections::BTreeSet::new();
        for slice in Slice::all(&fleet) {
            world.advance(&slice, |routine| {
                let new = routine.updated_from.is_some() || beats.insert((routine.machine, slice.start.day()));
                assert!(new, "{routine:?}");
            });
        }
        assert!(beats.len() > 200 * 35 / 2);
    }

    #[test]
    fn slices_cover_the_window_and_nothing_else() {
        let fleet = Fleet { end: TimestampUs(Fleet::default().start.0 + 5 * SLICE_US / 2), ..Fleet::default() };
        let lengths: Vec<_> = Slice::all(&fleet).map(|slice| i64::from(slice.length_us)).collect();
        assert_eq!(lengths, [SLICE_US, SLICE_US, SLICE_US / 2]);
        let empty = Fleet { end: fleet.start, ..fleet };
        assert_eq!(Slice::all(&empty).count(), 1);
    }

    #[test]
    fn a_window_that_begins_within_an_hour_goes_on_at_the_next() {
        let start = TimestampUs(Fleet::default().start.0 + SLICE_US / 3);
        let fleet = Fleet { start, end: TimestampUs(start.0 + SLICE_US), ..Fleet::default() };
        let lengths: Vec<_> = Slice::all(&fleet).map(|slice| i64::from(slice.length_us)).collect();
        assert_eq!(lengths, [SLICE_US * 2 / 3, SLICE_US / 3]);
    }

    #[test]
    fn every_machine_has_its_hour() {
        assert_eq!(hours(1_000)[24], 1_000);
        assert!(hours(1_000).windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
