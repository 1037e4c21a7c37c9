//! What happens in one hour: who sends what when, before it is written out.

use super::chance::{Chance, Stream, mix};
use super::events::{KINDS, Kind, Strikes};
use super::fleet::{Fleet, Regression};
use super::lottery::{Lottery, Weights};
use super::schedule::{Quota, Source, crash_sources};
use super::stacks::STACKS_PER_REGRESSION;
use super::world::{Routine, Slice, World};

/// One record to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Reception, microseconds from the beginning of the slice.
    pub(super) offset_us: u32,
    pub(super) machine: u32,
    /// Decides the event id: records that belong together have the same.
    pub(super) event: u64,
    pub(super) what: What,
}

/// What a record is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Heartbeat,
    /// An update from the build at this position.
    Update(u16),
    /// A crash with the stack of this number.
    Crash(u32),
    Event(&'static Kind),
}

/// Draws what happens.
pub(super) struct Planner {
    chance: Chance,
    regressions: Vec<Regression>,
    stacks: Weights,
    kinds: Weights,
    any: Lottery,
    unstable: Lottery,
    bad_hardware: Lottery,
    hot: Lottery,
}

impl Planner {
    pub(super) fn new(fleet: &Fleet, world: &World) -> Self {
        let machines = || world.machines.iter();
        Self {
            chance: Chance::new(fleet.seed, Stream::Events),
            regressions: fleet.regressions.clone(),
            stacks: Weights::zipf(fleet.stacks.max(1)),
            kinds: Weights::new(KINDS.iter().map(|kind| u64::from(kind.share))),
            any: Lottery::new(machines().map(|_| 1)),
            unstable: Lottery::new(machines().map(|machine| u32::from(machine.crashes))),
            bad_hardware: lottery_of_some(machines().map(super::machines::Machine::checks)),
            hot: lottery_of_some(machines().map(|machine| machine.model().heat)),
        }
    }

    /// Adds everything that happens in the slice to `plans`, in order of reception.
    pub(super) fn plan(
        &mut self,
        slice: &Slice,
        world: &World,
        quota: Quota,
        routine: &[Routine],
        plans: &mut Vec<Plan>,
    ) {
        plans.extend(routine.iter().map(|&routine| self.routine(slice, routine)));
        self.crashes(slice, world, quota.crashes, plans);
        for _ in 0..quota.events {
            let plan = self.event(slice, world);
            plans.push(plan);
        }
        // Stable, so that equal instants keep one order on every machine.
        plans.sort_by_key(|plan| plan.offset_us);
    }

    fn routine(&mut self, slice: &Slice, routine: Routine) -> Plan {
        let what = routine.updated_from.map_or(What::Heartbeat, What::Update);
        self.at_any_time(slice, routine.machine, what)
    }

    fn at_any_time(&mut self, slice: &Slice, machine: u32, what: What) -> Plan {
        Plan { offset_us: self.chance.below(slice.length_us), machine, event: self.chance.bits(), what }
    }

    fn event(&mut self, slice: &Slice, world: &World) -> Plan {
        let kind = &KINDS[self.kinds.draw(&mut self.chance)];
        let lottery = match kind.strikes {
            Strikes::Any | Strikes::Updating => &self.any,
            Strikes::Unstable => &self.unstable,
            Strikes::BadHardware => &self.bad_hardware,
            Strikes::Hot => &self.hot,
        };
        let reports = |machine| kind.strikes != Strikes::Updating || world.system_of(machine).reports_updates;
        let machine = lottery.draw(&mut self.chance, |machine| world.machine(machine).on && reports(machine));
        self.at_any_time(slice, machine, What::Event(kind))
    }

    fn crashes(&mut self, slice: &Slice, world: &World, crashes: u64, plans: &mut Vec<Plan>) {
        /// One crash in this many takes a second process with it.
        const FOLLOWED_ONE_IN: u32 = 14;
        let (sources, weights): (Vec<_>, Vec<_>) = crash_sources(&world.totals, &self.regressions).unzip();
        let weights = Weights::new(weights);
        let mut before: Option<Plan> = None;
        for _ in 0..crashes {
            let source = sources[weights.draw(&mut self.chance)];
            let plan = match before {
                Some(first) if self.chance.one_in(FOLLOWED_ONE_IN) => self.follow_up(slice, &first),
                _ => self.crash(slice, world, source),
            };
            before = Some(plan);
            plans.push(plan);
        }
    }

    /// The same crash some seconds later: another process of the same event.
    fn follow_up(&mut self, slice: &Slice, first: &Plan) -> Plan {
        let later = first.offset_us.saturating_add(self.chance.between(1_000_000, 30_000_000));
        Plan { offset_us: later.min(slice.length_us - 1), ..*first }
    }

    fn crash(&mut self, slice: &Slice, world: &World, source: Source) -> Plan {
        let fits = |number: u32| {
            let machine = world.machine(number);
            machine.on
                && match source {
                    Source::Population => true,
                    Source::Before(regression) => !world.is_affected(machine, regression),
                    Source::Since(regression) => world.is_affected(machine, regression),
                }
        };
        let machine = self.unstable.draw(&mut self.chance, fits);
        let stack = match source {
            Source::Population => self.stack_of(world.machine(machine).key),
            Source::Before(regression) | Source::Since(regression) => self.planted_stack(regression),
        };
        self.at_any_time(slice, machine, What::Crash(stack))
    }

    /// Any stack by its popularity; half of the time one of the few that this machine comes back with.
    fn stack_of(&mut self, machine_key: u64) -> u32 {
        const FAVOURITES: u32 = 6;
        let bits = if self.chance.percent(50) {
            mix(machine_key, 100 + u64::from(self.chance.below(FAVOURITES)))
        } else {
            self.chance.bits()
        };
        u32::try_from(self.stacks.at(bits)).unwrap_or(0)
    }

    fn planted_stack(&mut self, regression: usize) -> u32 {
        let first = self.stacks.len() + regression * STACKS_PER_REGRESSION as usize;
        u32::try_from(first).unwrap_or(0) + self.chance.below(STACKS_PER_REGRESSION)
    }
}

/// A lottery in which every machine has one ticket where otherwise none had any.
fn lottery_of_some(proneness: impl Iterator<Item = u32> + Clone) -> Lottery {
    let nobody = proneness.clone().all(|weight| weight == 0);
    Lottery::new(proneness.map(|weight| weight + u32::from(nobody)))
}
