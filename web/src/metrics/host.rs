//! What the system says about the process and about the disk that its data is on.
//!
//! The names of the process's numbers are those that every exporter uses: dashboards know them.

use std::fs;
use std::path::Path;

use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_S;

use crate::disk::Room;
use crate::exposition::Exposition;

/// Parts of a second in which the kernel tells times to programs, whatever it counts in itself.
const TICKS_PER_S: f64 = 100.0;
/// Places of two fields of `/proc/self/stat` behind the name of the program: ticks of the processor.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const BYTES_PER_KB: u64 = 1024;

/// Memory, time and open files of this process. What the system does not tell is left out, as outside of Linux.
pub(super) fn process(out: &mut Exposition, started: TimestampUs) {
    let read = |name: &str| fs::read_to_string(Path::new("/proc").join(name)).unwrap_or_default();
    let stat = read("self/stat");
    if let Some(bytes) = resident_bytes(&read("self/status")) {
        out.gauge("process_resident_memory_bytes", "Memory that the process holds.", bytes);
    }
    if let (Some(user), Some(system)) = (seconds(&stat, USER_TICKS), seconds(&stat, SYSTEM_TICKS)) {
        out.seconds("process_cpu_seconds_total", "Time of processors that the process used.", user + system);
    }
    let started_s = started.0 / US_PER_S;
    out.gauge("process_start_time_seconds", "When the process started, in Unix seconds.", started_s);
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is read here.
        out.gauge("process_open_fds", "Files and connections that are open.", files.count().saturating_sub(1));
    }
    if let Some(most) = open_files_max(&read("self/limits")) {
        out.gauge("process_max_fds", "Most files and connections that may be open.", most);
    }
}

pub(super) fn disk(out: &mut Exposition, room: &Room) {
    out.gauge(
        "telemetrics_disk_free_bytes",
        "Bytes that the process may still write to the file system of `data_dir`.",
        room.free_bytes,
    );
    out.gauge("telemetrics_disk_size_bytes", "Bytes of that file system in all.", room.size_bytes);
    if room.size_files > 0 {
        out.gauge("telemetrics_disk_free_files", "Files that it still has names for.", room.free_files);
        out.gauge("telemetrics_disk_size_files", "Files that it has names for in all.", room.size_files);
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let kilobytes: u64 = word_after(status, "VmRSS:")?.parse().ok()?;
    kilobytes.checked_mul(BYTES_PER_KB)
}

/// None when there is no limit.
fn open_files_max(limits: &str) -> Option<u64> {
    word_after(limits, "Max open files")?.parse().ok()
}

/// The first word behind the beginning of a line.
fn word_after<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(begin))?.split_ascii_whitespace().next()
}

/// The field `place` behind the name of the program, which stands in brackets and may hold anything.
fn seconds(stat: &str, place: usize) -> Option<f64> {
    let ticks: f64 = stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(place)?.parse().ok()?;
    Some(ticks / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::tests::parse;

    #[test]
    fn the_fields_are_found_whatever_the_program_is_called() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194304 1 0 0 0 250 150 0 0 20 0 9 0 12345 1 2";
        assert_eq!(seconds(stat, USER_TICKS), Some(2.5));
        assert_eq!(seconds(stat, SYSTEM_TICKS), Some(1.5));
        assert_eq!(seconds("", USER_TICKS), None);
        assert_eq!(resident_bytes("VmPeak:\t9 kB\nVmRSS:\t    12 kB\n"), Some(12_288));
        let limits = |most| format!("Max open files            {most}            1048576              files     \n");
        assert_eq!(open_files_max(&limits("1024")), Some(1_024));
        assert_eq!(open_files_max(&limits("unlimited")), None);
    }

    #[test]
    fn this_process_and_its_disk_are_told() {
        let mut out = Exposition::default();
        process(&mut out, TimestampUs::from_s(1_795_342_080));
        disk(&mut out, &Room::at(&std::env::temp_dir()).expect("a file system"));
        let families = parse(&out.into_text());
        let value = |name: &str| families[name].samples[0].1;
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!((value("process_start_time_seconds") - 1_795_342_080.0).abs() < 0.5);
        assert!((3.0..value("process_max_fds")).contains(&value("process_open_fds")));
        assert!((0.0..value("telemetrics_disk_size_bytes")).contains(&value("telemetrics_disk_free_bytes")));
    }

    #[test]
    fn what_is_not_there_has_no_numbers() {
        assert!(Room::at(Path::new("/nonexistent")).is_err());
        let mut out = Exposition::default();
        disk(&mut out, &Room { free_bytes: 1, size_bytes: 2, free_files: 0, size_files: 0 });
        assert!(!out.into_text().contains("_files"));
    }
}
