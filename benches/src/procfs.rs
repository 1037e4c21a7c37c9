//! What the system says about a process: processor time and memory.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Ticks of a second in `/proc/PID/stat`: the same on every Linux that this runs on.
const TICKS_PER_S: f64 = 100.0;
/// Written into `clear_refs`, it makes the peak of the resident memory what is resident now.
const RESET_PEAK: &str = "5";
/// A process that uses less than this of a processor is in nobody's way.
const CALM_CPU: f64 = 0.05;
const CALM_DISTANCE: Duration = Duration::from_millis(200);
/// Longest time to wait for that, where it is measured again and again.
pub const CALM_TIMEOUT: Duration = Duration::from_secs(10);

/// Resident memory in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All of it.
    pub resident_kib: u64,
    /// The part that is no file: what the process allocated.
    pub anonymous_kib: u64,
    /// The most that was resident since the last [`reset_peak`].
    pub peak_kib: u64,
}

/// Seconds of processor time that the process has used, in user and in kernel mode.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat).map(|ticks| ticks / TICKS_PER_S).ok_or_else(|| io::Error::other("no times in /proc/PID/stat"))
}

/// The name of the program may hold anything: fields are counted from behind it.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(user + system)
}

/// The name of a thread or process, and the seconds of processor time that it has used, from its `stat`.
#[must_use]
pub fn name_and_seconds(stat: &str) -> Option<(String, f64)> {
    let (head, _) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    Some((name.to_owned(), ticks(stat)? / TICKS_PER_S))
}

/// The process's memory now.
///
/// # Errors
/// When there is no such process.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let of = |name| kib(&status, name).ok_or_else(|| io::Error::other(format!("no {name} in /proc/PID/status")));
    Ok(Memory { resident_kib: of("VmRSS:")?, anonymous_kib: of("RssAnon:")?, peak_kib: of("VmHWM:")? })
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// KiB as MB, millions of bytes.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
pub fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

/// Lets the peak of the resident memory begin again.
///
/// # Errors
/// When the process is somebody else's.
pub fn reset_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), RESET_PEAK)
}

/// Waits until the process has done what it does behind its answers, at most so long; gives the seconds until then.
///
/// # Errors
/// When there is no such process.
pub fn wait_until_calm(pid: u32, timeout: Duration) -> io::Result<f64> {
    let begin = Instant::now();
    loop {
        let (before, waited) = (cpu_seconds(pid)?, begin.elapsed());
        thread::sleep(CALM_DISTANCE);
        let used = (cpu_seconds(pid)? - before) / CALM_DISTANCE.as_secs_f64();
        if used < CALM_CPU || begin.elapsed() > timeout {
            return Ok(waited.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_any_name() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(ticks("7 (a) R 1"), None);
        assert_eq!(name_and_seconds(stat), Some(("a) b".to_owned(), 3.0)));
    }

    #[test]
    fn memory_is_read_by_its_name() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(
            (kib(status, "VmRSS:"), kib(status, "VmHWM:"), kib(status, "RssAnon:")),
            (Some(1024), Some(2048), None)
        );
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let pid = std::process::id();
        let memory = memory(pid).expect("memory");
        assert!(memory.resident_kib >= memory.anonymous_kib && memory.peak_kib > 0);
        assert!(cpu_seconds(pid).expect("time") >= 0.0);
        reset_peak(pid).expect("reset");
    }
}
