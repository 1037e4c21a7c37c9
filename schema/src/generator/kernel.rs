//! Kernel reports: a small population of oopses with their reasons and backtraces.

use std::fmt::Write as _;

use super::chance::{Chance, Stream};
use super::events::Topic;
use super::lottery::Weights;
use super::names::{Language, function};

/// One way in which a kernel complains.
#[derive(Debug, Clone)]
struct Oops {
    /// The text up to the processor's number, where the reason has one.
    reason: String,
    /// The text behind the process id, where the reason has one.
    at: Option<String>,
    /// Everything below the line with the kernel's version.
    rest: String,
}

/// The oopses of one topic.
#[derive(Debug)]
struct Family {
    topic: Topic,
    oopses: Vec<Oops>,
}

/// All kernel reports of a fleet.
#[derive(Debug)]
pub(super) struct Oopses {
    families: [Family; 4],
    popularity: Weights,
}

const OOPSES_PER_FAMILY: u32 = 24;

impl Oopses {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, Stream::Kernel);
        let mut family =
            |topic| Family { topic, oopses: (0..OOPSES_PER_FAMILY).map(|_| oops(&mut chance, topic)).collect() };
        let families = [
            family(Topic::KernelWarning),
            family(Topic::KernelBug),
            family(Topic::KernelStackOverflow),
            family(Topic::KernelPanic),
        ];
        Self { families, popularity: Weights::zipf(OOPSES_PER_FAMILY) }
    }

    /// Appends a payload about `topic`; nothing where that is not the kernel's.
    pub(super) fn write(&self, chance: &mut Chance, topic: Topic, kernel_version: &str, out: &mut String) {
        let Some(family) = self.families.iter().find(|family| family.topic == topic) else { return };
        let oops = &family.oopses[self.popularity.draw(chance)];
        let _ = write!(out, "Crash Report:\nReason: {}", oops.reason);
        if let Some(at) = &oops.at {
            let _ = write!(out, "{} PID: {} at {at}", chance.below(16), chance.below(60_000));
        }
        out.push('\n');
        if chance.percent(85) {
            let _ = writeln!(out, "Kernel Version : {kernel_version} #1");
        }
        out.push_str(&oops.rest);
    }
}

/// Source folders of the kernel, and the module that each becomes; `kernel` is built in.
const SUBSYSTEMS: [[&str; 2]; 12] = [
    ["net/sched", "kernel"],
    ["mm", "kernel"],
    ["fs/ext4", "ext4"],
    ["fs/btrfs", "btrfs"],
    ["block", "kernel"],
    ["kernel/time", "kernel"],
    ["drivers/net/ethernet/auster", "austernet"],
    ["drivers/gpu/drm/mirabel", "mirabel"],
    ["drivers/usb/host", "kernel"],
    ["drivers/net/wireless/foehn", "foehnwifi"],
    ["sound/core", "snd_pcm"],
    ["virt/kvm", "kvm"],
];

/// A subsystem, and the name that its functions begin with.
struct Place {
    folder: &'static str,
    module: &'static str,
    stem: &'static str,
}

fn oops(chance: &mut Chance, topic: Topic) -> Oops {
    let [folder, module] = SUBSYSTEMS[chance.index(SUBSYSTEMS.len())];
    let stem = folder.rsplit('/').next().unwrap_or(folder);
    let place = Place { folder, module, stem };
    let guilty = function(chance, Language::C, stem, false).symbol;
    let (reason, at) = reason(chance, topic, &place, &guilty);
    Oops { reason, at, rest: rest(chance, &place, &guilty) }
}

fn reason(chance: &mut Chance, topic: Topic, place: &Place, guilty: &str) -> (String, Option<String>) {
    let (line, offset) = (chance.between(40, 3_000), chance.between(0x10, 0x400));
    let folder = place.folder;
    match (topic, chance.below(3)) {
        (Topic::KernelWarning, 0) => {
            (format!("irq {}: nobody cared (try booting with the irqpoll option)", line % 200), None)
        }
        (Topic::KernelWarning, _) => {
            let at = format!("{folder}/{}.c:{line} {guilty}+0x{offset:x}/0x{:x}", place.stem, offset + 0x60);
            ("WARNING: CPU: ".into(), Some(at))
        }
        (Topic::KernelBug, 0) => (format!("kernel BUG at {folder}/{}.c:{line}!", place.stem), None),
        (Topic::KernelBug, 1) => (format!("BUG: kernel NULL pointer dereference, address: {offset:016x}"), None),
        (Topic::KernelBug, _) => {
            (format!("BUG: soft lockup - CPU#{} stuck for 22s! [{guilty}:{line}]", line % 16), None)
        }
        (Topic::KernelStackOverflow, _) => {
            (format!("BUG: stack guard page was hit at 00000000{:08x} (kernel stack overflow)", line * offset), None)
        }
        (_, 0) => ("Kernel panic - not syncing: Fatal exception in interrupt".into(), None),
        (_, 1) => (format!("Kernel panic - not syncing: {}: unrecoverable state in {guilty}", place.stem), None),
        (_, _) => ("Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b".into(), None),
    }
}

fn rest(chance: &mut Chance, place: &Place, guilty: &str) -> String {
    let mut text =
        format!("Tainted : {}\n", chance.pick(&["Not tainted", "Not tainted", "G        W", "P           O"]));
    if chance.percent(50) {
        let own = if place.module == "kernel" { "ipv6" } else { place.module };
        let _ = writeln!(text, "Modules : {own} isofs btrfs snd_hda_intel kvm_amd nf_conntrack");
    }
    text.push_str("Backtrace :\n");
    if chance.percent(30) {
        text.push_str("Register RIP: Non-zero\nRegister RSP: Non-zero\n");
    }
    frames(chance, place, guilty, &mut text);
    text
}

fn frames(chance: &mut Chance, place: &Place, guilty: &str, text: &mut String) {
    const ENTRY: [&str; 4] =
        ["do_syscall_64", "entry_SYSCALL_64_after_hwframe", "ret_from_fork", "asm_common_interrupt"];
    let _ = writeln!(text, "#1 {guilty} - [{}]", place.module);
    let count = chance.between(8, 32);
    for number in 2..=count {
        let unsure = if chance.percent(35) { "? " } else { "" };
        let name = function(chance, Language::C, place.stem, false).symbol;
        let module = if chance.percent(60) { "kernel" } else { place.module };
        let _ = writeln!(text, "#{number} {unsure}{name} - [{module}]");
    }
    let _ = writeln!(text, "#{} {} - [kernel]", count + 1, chance.pick(&ENTRY));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(topic: Topic) -> Vec<String> {
        let oopses = Oopses::new(1);
        let mut chance = Chance::new(1, Stream::Reports);
        let mut payload = || {
            let mut text = String::new();
            oopses.write(&mut chance, topic, "6.18.4-1.native", &mut text);
            text
        };
        (0..200).map(|_| payload()).collect()
    }

    #[test]
    fn every_report_has_its_reason_and_numbered_frames() {
        for topic in [Topic::KernelWarning, Topic::KernelBug, Topic::KernelStackOverflow, Topic::KernelPanic] {
            for text in payloads(topic) {
                let (head, frames) = text.split_once("Backtrace :\n").expect("a backtrace");
                assert!(head.starts_with("Crash Report:\nReason: ") && head.contains("\nTainted : "), "{text}");
                let frames = frames.lines().filter(|line| !line.starts_with("Register "));
                assert!((1..).zip(frames).all(|(n, line)| line.starts_with(&format!("#{n} ")) && line.ends_with(']')));
            }
        }
    }

    #[test]
    fn optional_lines_are_there_and_missing() {
        let texts = payloads(Topic::KernelWarning);
        for line in ["\nKernel Version : 6.18.4-1.native #1\n", "\nModules : ", "\nRegister RIP: ", " ? "] {
            let with = texts.iter().filter(|text| text.contains(line)).count();
            assert!(with > 0 && with < texts.len(), "{line}: {with}");
        }
    }

    #[test]
    fn another_topic_writes_nothing() {
        assert!(payloads(Topic::Hello).iter().all(String::is_empty));
    }
}
