//! One machine: what it is, when it is on, which build it runs, how it calls itself.

use super::builds::System;
use super::chance::{Chance, mix};
use super::hardware::{Hardware, MODELS};
use super::lottery::Weights;
use crate::time::{S_PER_DAY, TimestampUs};

/// Clients take a new machine id this often.
pub(super) const ID_LIFETIME_S: i64 = 3 * S_PER_DAY;

/// The generation of the client program, which decides what a record says and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// Sends JSON, record format 4; a field's value ends at its first space.
    Json,
    /// Sends headers, record format 4.
    Header,
    /// An older daemon with record format 1, 2 or 3.
    Daemon(i8),
}

impl Client {
    pub(super) const fn record_format(self) -> i8 {
        match self {
            Self::Json | Self::Header => 4,
            Self::Daemon(format) => format,
        }
    }
}

/// What is wrong with a machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WallClock {
    Right,
    /// The battery is empty: it begins at the epoch with each boot.
    Reset,
    /// It is this many seconds ahead, up to decades.
    Ahead(i64),
}

/// A machine and the state that it is in.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// What is stable about the machine and not worth keeping derives from this.
    pub(super) key: u64,
    model: u8,
    pub(super) system: u8,
    pub(super) client: Client,
    pub(super) clock: WallClock,
    pub(super) external: bool,
    /// How prone to crashes; 1 is ordinary.
    pub(super) crashes: u8,
    /// Whether its memory is failing, beyond what is usual for its model.
    faulty: bool,
    /// Names in a heartbeat's list of bundles; 0 is a bare greeting, 1 one without a list.
    pub(super) bundles: u8,
    /// Days until it follows a release.
    lag_days: i32,
    /// Set when it will never update: the day whose build it keeps.
    frozen_day: Option<i32>,
    first_day: i32,
    /// It is quiet from this day on.
    quiet_day: i32,
    /// Position of its build among those of its system.
    pub(super) build: u16,
    /// Whether it is on since it was last looked at.
    pub(super) on: bool,
}

/// What a look at a machine found: it happens once a day, in the machine's own hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) on: bool,
    /// Position of the build that it ran before, where it has just updated.
    pub(super) updated_from: Option<u16>,
}

/// Draws machines like those of a real fleet.
pub(super) struct Maker<'a> {
    systems: &'a [System],
    models: Weights,
    all_systems: Weights,
    portable_systems: Weights,
    first_day: i32,
    last_day: i32,
}

impl<'a> Maker<'a> {
    pub(super) fn new(systems: &'a [System], first_day: i32, last_day: i32) -> Self {
        Self {
            systems,
            models: Weights::new(MODELS.iter().map(|model| u64::from(model.share))),
            all_systems: Weights::new(systems.iter().map(|system| u64::from(system.share))),
            portable_systems: Weights::new(
                systems.iter().map(|system| u64::from(system.portable) * u64::from(system.share)),
            ),
            first_day,
            last_day,
        }
    }

    /// The next machine, as it is on the day before the first.
    pub(super) fn machine(&self, chance: &mut Chance) -> Machine {
        let model = self.models.draw(chance);
        let portable = MODELS[model].arch != "x86_64";
        let system = if portable { self.portable_systems.draw(chance) } else { self.all_systems.draw(chance) };
        let (first_day, quiet_day) = self.lifetime(chance);
        let mut machine = Machine {
            key: chance.bits(),
            model: small(model),
            system: small(system),
            client: client(chance),
            clock: clock(chance),
            external: chance.percent(18),
            crashes: crash_proneness(chance),
            faulty: chance.one_in(40),
            bundles: bundles(chance),
            lag_days: lag_days(chance, self.systems[system].slowest_days),
            frozen_day: chance.one_in(25).then(|| self.first_day - days(chance, 45)),
            first_day,
            quiet_day,
            build: 0,
            on: false,
        };
        machine.build = machine.build_on(&self.systems[system], self.first_day - 1);
        machine.on = machine.is_on(self.first_day - 1);
        machine
    }

    /// Most machines are there all the time; some arrive, some fall silent.
    fn lifetime(&self, chance: &mut Chance) -> (i32, i32) {
        let window = u32::try_from(self.last_day - self.first_day).unwrap_or(0) + 1;
        let arrives = if chance.percent(12) { self.first_day + days(chance, window) } else { i32::MIN };
        let leaves = if chance.percent(10) { self.first_day + days(chance, window) } else { i32::MAX };
        if arrives < leaves { (arrives, leaves) } else { (i32::MIN, leaves) }
    }
}

impl Machine {
    /// Lets a day begin for the machine: it may be on, and where it is, it may update.
    pub(super) fn look(&mut self, systems: &[System], day: i32) -> Look {
        self.on = self.is_on(day);
        let build = if self.on { self.build_on(&systems[usize::from(self.system)], day) } else { self.build };
        let updated_from = (build != self.build).then_some(self.build);
        self.build = build;
        Look { on: self.on, updated_from }
    }

    fn is_on(&self, day: i32) -> bool {
        /// One day in this many a machine just is not used.
        const SKIPS_ONE_IN: u64 = 25;
        let bits = mix(self.key, 1_000 + u64::from(day.unsigned_abs()));
        let weekend = (day + 3).rem_euclid(7) >= 5;
        let at_home = weekend && self.model().office && bits % 8 < 6;
        let skipped = (bits >> 8).is_multiple_of(SKIPS_ONE_IN);
        (self.first_day..self.quiet_day).contains(&day) && !at_home && !skipped
    }

    fn build_on(&self, system: &System, day: i32) -> u16 {
        match self.frozen_day {
            Some(frozen_day) => system.build_on(frozen_day, self.lag_days),
            None => system.build_on(day, self.lag_days),
        }
    }

    pub(super) fn model(&self) -> &'static Hardware {
        &MODELS[usize::from(self.model)]
    }

    /// How prone to machine checks; a virtual machine has none.
    pub(super) fn checks(&self) -> u32 {
        self.model().checks * if self.faulty { 40 } else { 1 }
    }

    /// The machine id at an instant: it changes every three days, unless an administrator chose it.
    pub(super) fn id_at(&self, at: TimestampUs) -> String {
        let salt = mix(self.key, 1);
        if salt.is_multiple_of(60) {
            return format!("lab-{:05}", (salt >> 8) % 100_000);
        }
        let phase_s = i64::try_from(salt % ID_LIFETIME_S.unsigned_abs()).unwrap_or(0);
        let epoch = (at.as_s() + phase_s).div_euclid(ID_LIFETIME_S).unsigned_abs();
        format!("{:016x}{:016x}", mix(self.key, 2 * epoch), mix(!self.key, 2 * epoch + 1))
    }
}

fn small(position: usize) -> u8 {
    // There are some twenty models and six systems.
    u8::try_from(position).unwrap_or(u8::MAX)
}

fn days(chance: &mut Chance, end: u32) -> i32 {
    i32::try_from(chance.below(end)).unwrap_or(0)
}

fn client(chance: &mut Chance) -> Client {
    match chance.below(100) {
        0..14 => Client::Json,
        14..93 => Client::Header,
        93..97 => Client::Daemon(3),
        97..99 => Client::Daemon(2),
        _ => Client::Daemon(1),
    }
}

fn clock(chance: &mut Chance) -> WallClock {
    const LONGEST_S: u32 = 2_000_000_000;
    match chance.below(300) {
        0 => WallClock::Reset,
        1 => WallClock::Ahead(i64::from(chance.below(LONGEST_S))),
        2..8 => WallClock::Ahead(i64::from(chance.below(600))),
        _ => WallClock::Right,
    }
}

/// Long-tailed: two machines in a hundred account for a quarter of all crashes.
fn crash_proneness(chance: &mut Chance) -> u8 {
    match chance.below(100) {
        0..2 => 40,
        2..10 => 12,
        10..30 => 4,
        _ => 1,
    }
}

fn bundles(chance: &mut Chance) -> u8 {
    match chance.below(100) {
        0..40 => 0,
        40..82 => 1,
        _ => u8::try_from(chance.between(6, 90)).unwrap_or(1),
    }
}

/// Most machines follow within a day or two, some take as long as it gets.
fn lag_days(chance: &mut Chance, slowest_days: u32) -> i32 {
    /// Beyond it, people decide about a new release one by one, and not an updater.
    const AUTOMATIC_DAYS: u32 = 60;
    match chance.below(10) {
        _ if slowest_days > AUTOMATIC_DAYS => days(chance, slowest_days),
        0..6 => days(chance, slowest_days / 12 + 1),
        6..9 => days(chance, slowest_days / 3 + 1),
        _ => days(chance, slowest_days + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::builds::systems;
    use crate::generator::chance::Stream;

    const DAYS: (i32, i32) = (20_744, 20_778);

    fn machines(number: usize) -> (Vec<System>, Vec<Machine>) {
        let systems = systems(1, DAYS.0, DAYS.1);
        let mut chance = Chance::new(1, Stream::Machines);
        let maker = Maker::new(&systems, DAYS.0, DAYS.1);
        let machines = (0..number).map(|_| maker.machine(&mut chance)).collect();
        (systems, machines)
    }

    #[test]
    fn builds_of_a_machine_only_go_forward_and_not_on_one_day_for_all() {
        let (systems, mut machines) = machines(400);
        let mut update_days = std::collections::BTreeSet::new();
        for machine in &mut machines {
            for day in DAYS.0..=DAYS.1 {
                let look = machine.look(&systems, day);
                assert!(look.updated_from.is_none_or(|before| look.on && before < machine.build));
                update_days.extend(look.updated_from.map(|_| day));
            }
        }
        assert!(update_days.len() > 20, "{update_days:?}");
    }

    #[test]
    fn offices_are_quieter_on_weekends() {
        let (_, machines) = machines(1_000);
        let on = |day| machines.iter().filter(|machine| machine.is_on(day)).count();
        // 2026-11-04 is a Wednesday, 2026-11-08 a Sunday.
        assert!(on(20_765) < on(20_761) * 3 / 4);
    }

    #[test]
    fn an_id_lives_for_three_days() {
        let (_, machines) = machines(1);
        let hours = (0..24 * 30).map(|hour| machines[0].id_at(TimestampUs::from_s(1_792_000_000 + hour * 3_600)));
        let mut ids: Vec<_> = hours.collect();
        ids.dedup();
        assert!((10..=12).contains(&ids.len()), "{} ids in 30 days", ids.len());
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|digit| b"0123456789abcdef".contains(&digit))));
    }

    #[test]
    fn few_machines_are_prone_and_the_systems_fit_the_hardware() {
        let (systems, machines) = machines(2_000);
        let prone = machines.iter().filter(|machine| machine.crashes == 40).count();
        assert!((15..75).contains(&prone), "{prone} of 2,000");
        for machine in machines.iter().filter(|machine| machine.model().arch != "x86_64") {
            assert!(systems[usize::from(machine.system)].portable);
        }
    }
}
