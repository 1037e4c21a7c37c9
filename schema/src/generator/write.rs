//! From a plan to the report that a probe would have sent.

use super::chance::{Chance, Stream, mix};
use super::events::{CRASH, CRASH_ERROR, HEARTBEAT, Kind, UPDATE};
use super::fleet::Fleet;
use super::kernel::Oopses;
use super::machines::{Client, Machine, WallClock};
use super::payloads;
use super::plan::{Plan, What};
use super::stacks::{Stack, population};
use super::world::World;
use crate::record::{NOT_AVAILABLE, Report};
use crate::time::TimestampUs;

/// The greatest process id that Linux gives out by default on 64-bit machines.
const MAX_PID: u32 = 4_194_303;

/// Writes reports.
pub(super) struct Writer {
    chance: Chance,
    stacks: Vec<Stack>,
    oopses: Oopses,
}

/// What a report is and says.
struct Content {
    classification: &'static str,
    severity: i8,
    payload_format_version: i32,
    payload: String,
}

impl Writer {
    pub(super) fn new(fleet: &Fleet) -> Self {
        Self {
            chance: Chance::new(fleet.seed, Stream::Reports),
            stacks: population(fleet.seed, fleet.stacks, &fleet.regressions),
            oopses: Oopses::new(fleet.seed),
        }
    }

    /// The report that is received at the instant `at`.
    pub(super) fn report(&mut self, world: &World, plan: &Plan, at: TimestampUs) -> Report {
        let machine = world.machine(plan.machine);
        let content = self.content(world, plan);
        let ts_capture_s = capture_time_s(&mut self.chance, machine.clock, at);
        let system = world.system_of(plan.machine);
        let build = &system.builds[usize::from(machine.build)];
        let format = machine.client.record_format();
        let since = |first: i8, text: &str| (if format >= first { text } else { NOT_AVAILABLE }).to_owned();
        let hardware = |text| since(3, as_sent(machine.client, text));
        let model = machine.model();
        Report {
            record_format_version: format,
            classification: content.classification.to_owned(),
            severity: content.severity,
            machine_id: machine.id_at(at),
            ts_capture_s,
            arch: model.arch.to_owned(),
            host_type: as_sent(machine.client, model.host_type).to_owned(),
            build: build.name.clone(),
            kernel_version: build.kernel_version.clone(),
            payload_format_version: if format >= 2 { content.payload_format_version } else { 1 },
            system_name: since(2, system.name),
            board_name: hardware(model.board_name),
            cpu_model: hardware(model.cpu_model),
            bios_version: hardware(model.bios_version),
            event_id: if format >= 4 { event_id(plan.event) } else { NOT_AVAILABLE.to_owned() },
            external: machine.external,
            payload: content.payload,
        }
    }

    fn content(&mut self, world: &World, plan: &Plan) -> Content {
        let machine = world.machine(plan.machine);
        let mut content = match plan.what {
            What::Heartbeat => self.heartbeat(machine),
            What::Update(from) => self.update(world, plan.machine, from),
            What::Crash(stack) => self.crash(stack),
            What::Event(kind) => self.event(world, plan.machine, kind),
        };
        if machine.client.record_format() == 4 {
            // These clients add a line end to what the probe wrote.
            content.payload.push('\n');
        }
        content
    }

    fn heartbeat(&mut self, machine: &Machine) -> Content {
        const LONGEST_UPTIME_MIN: u32 = 60_000;
        let bundles = u32::from(machine.bundles);
        let mut payload = String::with_capacity(48 + 16 * machine.bundles as usize);
        let uptime_min = self.chance.below(LONGEST_UPTIME_MIN);
        payloads::heartbeat(&mut self.chance, bundles, uptime_min, &mut payload);
        Content {
            classification: HEARTBEAT,
            severity: 1,
            payload_format_version: if bundles > 1 { 2 } else { 1 },
            payload,
        }
    }

    fn update(&mut self, world: &World, machine: u32, from: u16) -> Content {
        let builds = &world.system_of(machine).builds;
        let to = &builds[usize::from(world.machine(machine).build)].name;
        let mut payload = String::with_capacity(128);
        payloads::update(&mut self.chance, &builds[usize::from(from)].name, to, &mut payload);
        Content { classification: UPDATE, severity: 1, payload_format_version: 1, payload }
    }

    fn crash(&mut self, stack: u32) -> Content {
        const ERROR: &str = "no debug information for the main module";
        let mut payload = String::new();
        let has_error = self.chance.percent(3);
        let pid = self.chance.between(300, MAX_PID);
        self.stacks[stack as usize].write(pid, has_error.then_some(ERROR), &mut payload);
        let (classification, severity) = if has_error { (CRASH_ERROR, 4) } else { (CRASH, 3) };
        Content { classification, severity, payload_format_version: 1, payload }
    }

    fn event(&mut self, world: &World, machine: u32, kind: &Kind) -> Content {
        let builds = &world.system_of(machine).builds;
        let machine = world.machine(machine);
        let build = &builds[usize::from(machine.build)];
        let mut payload = String::with_capacity(256);
        payloads::write(&mut self.chance, kind.topic, &build.name, machine.model().cpu_model, &mut payload);
        self.oopses.write(&mut self.chance, kind.topic, &build.kernel_version, &mut payload);
        Content { classification: kind.classification, severity: kind.severity, payload_format_version: 1, payload }
    }
}

/// What arrives of a text: clients that send JSON stop at its first space.
fn as_sent(client: Client, text: &str) -> &str {
    match client {
        Client::Json => text.split(' ').next().unwrap_or(text),
        Client::Header | Client::Daemon(_) => text,
    }
}

fn event_id(event: u64) -> String {
    format!("{:016x}{:016x}", mix(event, 1), mix(event, 2))
}

/// Shortly before reception as the machine's clock has it; some records waited for hours in the machine's spool.
fn capture_time_s(chance: &mut Chance, clock: WallClock, at: TimestampUs) -> i64 {
    const LONGEST_SPOOLED_S: u32 = 20 * 3_600;
    let waited_s = match chance.below(100) {
        0..86 => chance.below(5),
        86..97 => chance.below(120),
        _ => chance.below(LONGEST_SPOOLED_S),
    };
    match clock {
        WallClock::Right => at.as_s() - i64::from(waited_s),
        WallClock::Reset => i64::from(waited_s) + 40,
        WallClock::Ahead(ahead_s) => at.as_s() - i64::from(waited_s) + ahead_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_clients_lose_what_follows_a_space() {
        assert_eq!(as_sent(Client::Json, "Intel(R) Core(TM)"), "Intel(R)");
        assert_eq!(as_sent(Client::Header, "Intel(R) Core(TM)"), "Intel(R) Core(TM)");
    }

    #[test]
    fn a_right_clock_is_at_most_a_spool_behind_and_never_ahead() {
        let at = TimestampUs::from_s(1_795_342_080);
        let mut chance = Chance::new(1, Stream::Reports);
        for _ in 0..2_000 {
            let lag_s = at.as_s() - capture_time_s(&mut chance, WallClock::Right, at);
            assert!((0..72_000).contains(&lag_s));
            assert!(capture_time_s(&mut chance, WallClock::Reset, at) >= 0);
        }
        assert!(capture_time_s(&mut chance, WallClock::Ahead(1_000_000), at) > at.as_s());
    }

    #[test]
    fn event_ids_are_hexadecimal_digits() {
        assert_eq!(event_id(7).len(), 32);
        assert!(event_id(7).bytes().all(|digit| b"0123456789abcdef".contains(&digit)));
    }
}
