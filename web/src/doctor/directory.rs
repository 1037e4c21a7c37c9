//! The data directory, the disk below it, and the journal in it.

use std::io::Write;
use std::path::Path;

use telemetrics_collector::journal::JournalError;
use telemetrics_collector::journal::tool::{self, Inspection};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::layout::DataDir;

use super::report::Finding;
use crate::config::Config;
use crate::disk::Room;
use crate::pages::text::{bytes, thousands};

/// Free space in bytes below which a disk is full.
const FREE_MIN_BYTES: u64 = 256 << 20;
/// Free files below which a disk is full.
const FREE_MIN_FILES: u64 = 1_000;
/// Share of its quota in percent above which the journal is nearly full.
const JOURNAL_WARNING_PERCENT: u64 = 50;
/// Share of its quota in percent above which records will soon be refused.
const JOURNAL_PROBLEM_PERCENT: u64 = 90;

/// Whether it is there, can be written, and has room.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let path = &config.data_dir;
    if !path.is_dir() {
        let text = format!("there is no directory {}", path.display());
        let advice = "start a server, which makes it, or name another one with --data-dir";
        return vec![Finding::warning("directory", text, advice)];
    }
    vec![writable(path), disk(path, config.journal.quota_bytes)]
}

fn writable(path: &Path) -> Finding {
    let tried = tempfile::NamedTempFile::with_prefix_in(".telemetrics-doctor-", path)
        .and_then(|mut file| file.write_all(b"x").and_then(|()| file.as_file().sync_all()));
    match tried {
        Ok(()) => Finding::ok("directory", format!("{} can be written", path.display())),
        Err(error) => Finding::problem(
            "directory",
            format!("{} cannot be written: {error}", path.display()),
            "run this as the user of the server; if it is, give that user the directory (chown) and look at the disk",
        ),
    }
}

fn disk(path: &Path, journal_bytes: u64) -> Finding {
    let Room { free_bytes, free_files, size_files, .. } = match Room::at(path) {
        Ok(room) => room,
        Err(error) => {
            return Finding::problem("disk", format!("{}: {error}", path.display()), "look at the file system");
        }
    };
    let seen = format!("{} free", bytes(free_bytes));
    // File systems that make room for files as they come say that they have none at all.
    if free_bytes < FREE_MIN_BYTES || (size_files > 0 && free_files < FREE_MIN_FILES) {
        let text = format!("{seen}, {} more files", thousands(free_files));
        return Finding::problem("disk", text, "make room: a full disk means that records are refused with 503");
    }
    if free_bytes < journal_bytes {
        let text = format!("{seen}, and the journal may grow to {}", bytes(journal_bytes));
        return Finding::warning("disk", text, "make room, or lower journal.quota_bytes");
    }
    Finding::ok("disk", seen)
}

/// What was found of the journal.
pub(super) struct Journal {
    pub(super) finding: Finding,
    /// When its newest record was received.
    pub(super) newest: Option<TimestampUs>,
}

/// Whether it can be read, and how much waits in it.
pub(super) fn journal(config: &Config) -> Journal {
    let directory = DataDir::new(&config.data_dir).journal();
    if !directory.is_dir() {
        return Journal { finding: Finding::ok("journal", "there is none yet"), newest: None };
    }
    match tool::inspect(&directory) {
        Ok(found) => {
            let newest = found.segments.iter().filter_map(|segment| segment.range).map(|[_, (_, at)]| at).max();
            Journal { finding: judged(&found, config.journal.quota_bytes), newest }
        }
        Err(error) => {
            let advice = match error {
                JournalError::Incompatible(_) => "start the program that wrote it; see docs/upgrade.md",
                _ => "look at the rights of the directory and at the disk",
            };
            Journal { finding: Finding::problem("journal", error.to_string(), advice), newest: None }
        }
    }
}

fn judged(found: &Inspection, quota_bytes: u64) -> Finding {
    let used_by = if found.is_in_use { "a server uses it" } else { "no server uses it" };
    if let Some(fault) = &found.fault {
        return if found.is_in_use {
            Finding::warning("journal", format!("{fault}, but {used_by}"), "look again in a moment")
        } else {
            Finding::problem("journal", fault.clone(), "telemetrics journal inspect, then repair")
        };
    }
    let size: u64 = found.segments.iter().map(|segment| segment.file_bytes).sum();
    let percent = size.saturating_mul(100) / quota_bytes.max(1);
    let text = format!("{used_by}, {} records wait for the store, {percent} % of its quota", thousands(found.pending));
    let advice = "the store does not take what arrives: look at the store below, and at the log";
    if percent <= JOURNAL_WARNING_PERCENT {
        Finding::ok("journal", text)
    } else if percent <= JOURNAL_PROBLEM_PERCENT {
        Finding::warning("journal", text, advice)
    } else {
        Finding::problem("journal", text, advice)
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_collector::journal::tool::{HeaderState, SegmentReport};

    use super::super::report::State;
    use super::*;

    fn of_size(file_bytes: u64) -> Inspection {
        let segment = SegmentReport {
            sequence: 1,
            file_bytes,
            header: HeaderState::Whole,
            frames: 0,
            records: 0,
            range: None,
            seals: 0,
            confirmations: 0,
            damage: Vec::new(),
            torn: None,
        };
        Inspection {
            is_in_use: false,
            collector: None,
            segments: vec![segment],
            missing: Vec::new(),
            missing_up_to: None,
            confirmed: None,
            pending: 0,
            fault: None,
        }
    }

    #[test]
    fn shares_of_the_quota_are_judged_at_their_edges() {
        for (size, expected) in [
            (0, State::Ok),
            (509, State::Ok),
            (510, State::Warning),
            (909, State::Warning),
            (910, State::Problem),
            (u64::MAX, State::Problem),
        ] {
            assert_eq!(judged(&of_size(size), 1_000).state(), expected, "{size} of 1,000 bytes");
        }
    }

    #[test]
    fn a_fault_may_go_away_while_a_server_writes() {
        let faulty = |is_in_use| Inspection { is_in_use, fault: Some("torn".to_owned()), ..of_size(1) };
        assert_eq!(judged(&faulty(true), 1_000).state(), State::Warning);
        assert_eq!(judged(&faulty(false), 1_000).state(), State::Problem);
    }
}
