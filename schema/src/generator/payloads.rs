//! Payloads without a backtrace: heartbeats, updates, journal lines, machine checks.

use std::fmt::Write as _;

use super::chance::Chance;
use super::events::Topic;
use super::names::stem;

/// Appends a heartbeat; `uptime_min` is how many minutes the machine has been up.
pub(super) fn heartbeat(chance: &mut Chance, bundles: u32, uptime_min: u32, out: &mut String) {
    out.push_str("hello\n");
    if bundles == 0 {
        return;
    }
    let locale = chance.pick(&["C.UTF-8", "C.UTF-8", "en_US.UTF-8", "de_DE.UTF-8", "ja_JP.UTF-8"]);
    // Writing into a `String` cannot fail.
    let _ = writeln!(out, "LC_ALL: {locale}\nuptime: {uptime_min}");
    if bundles > 1 {
        let _ = writeln!(out, "Bundles ({bundles}):");
        (0..bundles).for_each(|number| bundle(number as usize, out));
    }
}

fn bundle(number: usize, out: &mut String) {
    const KINDS: [&str; 5] = ["", "-server", "-dev", "-basic", "-utils"];
    let _ = writeln!(out, "{}{}", stem(number * 7 % 60 + number / 60 * 60), KINDS[number % KINDS.len()]);
}

/// Appends the report of an update from one build to another; equal builds are a look for updates that found none.
pub(super) fn update(chance: &mut Chance, from: &str, to: &str, out: &mut String) {
    let (files, bytes) = (chance.between(20, 4_000), chance.between(90_000, 400_000_000));
    let _ = write!(
        out,
        "current_version={from}\nserver_version={to}\nresult=0\nmechanism=staged\npost_update=done\n\
         files={files}\nbytes={bytes}\ntime={}.{}\n",
        chance.between(2, 400),
        chance.below(10)
    );
}

fn update_failure(chance: &mut Chance, build: &str, out: &mut String) {
    let result = chance.pick(&["4", "13", "16", "25"]);
    let stage = chance.pick(&["manifest", "download", "verify", "bootmanager"]);
    let _ = write!(out, "current_version={build}\nresult={result}\nstage={stage}\nretries={}\n", chance.between(1, 10));
}

/// Appends the payload of an event without a backtrace; nothing for the kernel's topics.
pub(super) fn write(chance: &mut Chance, topic: Topic, build: &str, cpu_model: &str, out: &mut String) {
    match topic {
        Topic::Journal => journal(chance, out),
        Topic::Hello => out.push_str("hello\n"),
        Topic::ThirdPartyCrash => out.push_str("Crash from third party\n"),
        Topic::BuildCrash => out.push_str("Crash from Clear package build\n"),
        Topic::BootErrors => boot_errors(chance, out),
        Topic::MachineCheck => machine_check(chance, cpu_model, out),
        Topic::Thermal => thermal(chance, out),
        Topic::UpdateFailure => update_failure(chance, build, out),
        Topic::UpdateCheck => update(chance, build, build, out),
        Topic::KernelWarning | Topic::KernelBug | Topic::KernelStackOverflow | Topic::KernelPanic => {}
    }
}

fn journal(chance: &mut Chance, out: &mut String) {
    let service = stem(chance.index(40));
    let number = chance.between(1, 900);
    let _ = match chance.below(7) {
        0 => writeln!(out, "MESSAGE={service}.service: Main process exited, code=exited, status={number}/FAILURE"),
        1 => writeln!(out, "MESSAGE=Failed to start {service}.service - {service} daemon."),
        2 => writeln!(out, "MESSAGE={service}.service: Failed with result 'exit-code'."),
        3 => writeln!(out, "MESSAGE={service}[{number}]: cannot open /var/lib/{service}/état-{number}: No such file"),
        4 => writeln!(
            out,
            "MESSAGE={service}.timer: Failed to queue unit startup job: Unit {service}.service not found."
        ),
        5 => writeln!(out, "MESSAGE=Timed out waiting for device /dev/disk/by-label/{service}-{number}."),
        _ => writeln!(out, "MESSAGE={service}-mount: Dependency failed for “/srv/{service}”."),
    };
}

fn boot_errors(chance: &mut Chance, out: &mut String) {
    let severity = chance.pick(&["fatal", "recoverable", "corrected"]);
    let _ = write!(
        out,
        "Crash Report:\nReason: BERT: Error records from previous boot:\n\
         [Hardware Error]: event severity: {severity}\n\
         [Hardware Error]:  Error 0, type: {severity}\n\
         [Hardware Error]:   section type: unknown, 5d2b7c10-3f4e-4c0a-9a61-{:012x}\n\
         [Hardware Error]:   section length: 0x{:x}\n",
        chance.below_u64(8),
        chance.between(0x40, 0x1000)
    );
    for row in 0..chance.between(2, 12) {
        let [a, b, c] = [chance.below(8), chance.below(0xffff), chance.below(0x0100_0000)];
        let _ = writeln!(out, "[Hardware Error]:   {:08x}: {a:08x} 00000000 {b:08x} {c:08x}", row * 16);
    }
}

fn machine_check(chance: &mut Chance, cpu_model: &str, out: &mut String) {
    /// Few codes cause most checks; the last eight digits are the status that is charted.
    const STATUS: [&str; 6] = [
        "8c00004000010092",
        "8c00004000010092",
        "8c00004000010091",
        "9c20000000100150",
        "bd80000000100134",
        "cc0004c000010090",
    ];
    let vendor = if cpu_model.starts_with("AMD") { "AMD" } else { "Intel" };
    let cpu = chance.below(32);
    let _ = write!(
        out,
        "Hardware event. This is not a software error.\nMCE 0\nCPU {cpu} BANK {}\nADDR {:x}\n\
         MCG status:\nMCi status:\nError enabled\nMCi_ADDR register valid\nMCA: MEMORY CONTROLLER RD_CHANNEL{}_ERR\n\
         STATUS {} MCGSTATUS 0\nMCGCAP f000c14 APICID {:x} SOCKETID {}\nCPUID Vendor {vendor} Family 6 Model {}\n",
        chance.below(20),
        chance.bits() >> 24,
        chance.below(4),
        chance.pick(&STATUS),
        cpu * 2,
        cpu / 16,
        chance.between(60, 150)
    );
}

fn thermal(chance: &mut Chance, out: &mut String) {
    let cpu = chance.below(16);
    let _ = write!(
        out,
        "Hardware event. This is not a software error.\nMCE 0\nCPU {cpu} THERMAL EVENT\n\
         Processor {cpu} heated above trip temperature. Throttling enabled.\n\
         Please check your system cooling. Performance will be impacted\nSTATUS {:016x} MCGSTATUS 0\n",
        0x8801_0003_u32 | (chance.below(64) << 16)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::chance::Stream;

    fn text(write: impl FnOnce(&mut Chance, &mut String)) -> String {
        let mut out = String::new();
        write(&mut Chance::new(1, Stream::Reports), &mut out);
        out
    }

    #[test]
    fn heartbeats_grow_from_a_word_to_a_list() {
        assert_eq!(text(|chance, out| heartbeat(chance, 0, 5, out)), "hello\n");
        let plain = text(|chance, out| heartbeat(chance, 1, 1_143, out));
        assert!(plain.starts_with("hello\nLC_ALL: ") && plain.ends_with("\nuptime: 1143\n"), "{plain}");
        let listed = text(|chance, out| heartbeat(chance, 12, 5, out));
        assert_eq!(listed.split_once("Bundles (12):\n").expect("a list").1.lines().count(), 12);
    }

    #[test]
    fn the_status_stands_between_its_two_words() {
        for topic in [Topic::MachineCheck, Topic::Thermal] {
            let payload = text(|chance, out| write(chance, topic, "43790", "AMD EPYC", out));
            let words: Vec<_> = payload.split_whitespace().collect();
            let at = words.iter().position(|word| *word == "STATUS").expect("a status");
            assert_eq!(words[at + 2], "MCGSTATUS");
            assert!(words[at + 1].len() == 16 && words[at + 1].chars().all(|digit| digit.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn an_update_names_both_versions_and_a_failure_its_result() {
        let done = text(|chance, out| update(chance, "43760", "43790", out));
        assert!(done.starts_with("current_version=43760\nserver_version=43790\n"));
        assert!(done.lines().all(|line| line.contains('=')));
        let failed = text(|chance, out| write(chance, Topic::UpdateFailure, "43760", "", out));
        assert!(failed.contains("\nresult=") && !failed.contains("\nresult=0\n"));
    }

    #[test]
    fn journal_lines_are_messages() {
        let mut chance = Chance::new(1, Stream::Reports);
        for _ in 0..50 {
            let mut line = String::new();
            journal(&mut chance, &mut line);
            assert!(line.starts_with("MESSAGE=") && line.lines().count() == 1, "{line}");
        }
    }
}
