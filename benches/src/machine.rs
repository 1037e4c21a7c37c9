//! What has to be known of a machine to read its numbers.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::limits::Disk;

/// A small append, as one record is.
const APPEND_BYTES: usize = 1_200;
const SYNC_TIME: Duration = Duration::from_secs(1);

/// Processors, memory, kernel, disk and version as one paragraph; `directory` is on the disk that was measured.
///
/// # Errors
/// When the disk cannot be written.
pub fn facts(directory: &Path) -> Result<String, Failure> {
    let syncs = Disk::new(directory)?.measure(APPEND_BYTES, SYNC_TIME)?;
    let mut facts = format!(
        "Machine: {} processors ({}), {} of memory, Linux {}, {}; ",
        std::thread::available_parallelism()?,
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned()),
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        file_system(directory).unwrap_or_else(|| "unknown file system".to_owned()),
    );
    // Writing into a string cannot fail.
    let _ = write!(facts, "{:.0} fdatasyncs a second of {APPEND_BYTES} bytes at a quiet moment.", syncs.rate());
    if let Some(revision) = revision() {
        let _ = write!(facts, " Revision {revision}.");
    }
    Ok(facts)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The type of the file system that `directory` is on.
fn file_system(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let around = mounts.filter(|(mount, _)| directory.starts_with(mount));
    around.max_by_key(|(mount, _)| mount.len()).map(|(_, kind)| kind.to_owned())
}

fn revision() -> Option<String> {
    let described = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    let text = String::from_utf8(described.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_what_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let facts = facts(directory.path()).expect("facts");
        assert!(!facts.contains("unknown") && facts.contains("fdatasyncs a second"), "{facts}");
    }
}
