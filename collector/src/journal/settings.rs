//! What an operator can decide about the journal, and the limits within which.

use std::path::PathBuf;

use super::JournalError;
use super::frame::RECORDS_FRAME_BYTES;
use super::segment::{CONTROL_RESERVE_BYTES, HEADER_BYTES};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The greatest segment: a segment is read into memory as a whole when the journal is opened.
pub const SEGMENT_LIMIT_BYTES: u64 = GIB;

/// Settings of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// The journal's own directory; created when missing.
    pub directory: PathBuf,
    /// Size of a segment file, allocated when it is created. A segment is the smallest piece that is released.
    pub segment_bytes: u64,
    /// Most bytes that all segment files together may take before records are refused; at least two segments. Seals and
    /// confirmations may go beyond it by a few KiB, because they are what makes the journal smaller.
    pub quota_bytes: u64,
    /// Most records that may wait for the next write; more are refused.
    pub queue_records: usize,
    /// Most bytes of records that may wait for the next write; more are refused, except a record that waits alone.
    pub queue_bytes: usize,
    /// Most bytes of records that are written and synced together, except a single record that is larger.
    pub group_bytes: usize,
}

impl JournalSettings {
    /// The default settings for `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 64 * MIB,
            quota_bytes: 4 * GIB,
            queue_records: 16_384,
            queue_bytes: 32 << 20,
            group_bytes: 4 << 20,
        }
    }

    /// Most bytes that one record may take, so that it fits into a segment of its own.
    #[must_use]
    pub fn record_limit_bytes(&self) -> usize {
        let capacity = self.segment_bytes.saturating_sub(HEADER_BYTES + CONTROL_RESERVE_BYTES + RECORDS_FRAME_BYTES);
        usize::try_from(capacity).unwrap_or(usize::MAX)
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// [`JournalError::Settings`] names the first setting that does not.
    pub fn validate(&self) -> Result<(), JournalError> {
        let smallest_segment = HEADER_BYTES + CONTROL_RESERVE_BYTES + RECORDS_FRAME_BYTES + self.group_bytes as u64;
        let rules = [
            (self.group_bytes >= 1, "group_bytes must be at least 1".to_owned()),
            (self.queue_records >= 1, "queue_records must be at least 1".to_owned()),
            (self.queue_bytes >= self.group_bytes, "queue_bytes must be at least group_bytes".to_owned()),
            (
                self.segment_bytes >= smallest_segment,
                format!("segment_bytes must be at least {smallest_segment} with these group_bytes"),
            ),
            (self.segment_bytes <= SEGMENT_LIMIT_BYTES, format!("segment_bytes must be at most {SEGMENT_LIMIT_BYTES}")),
            (self.quota_bytes / 2 >= self.segment_bytes, "quota_bytes must be at least twice segment_bytes".to_owned()),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(JournalError::Settings(message)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(change: impl FnOnce(&mut JournalSettings), setting: &str) {
        let mut settings = JournalSettings::new("x");
        change(&mut settings);
        let message = settings.validate().expect_err(setting).to_string();
        assert!(message.contains(setting), "{message}");
    }

    #[test]
    fn the_defaults_are_valid() {
        JournalSettings::new("x").validate().expect("valid");
    }

    #[test]
    fn every_rule_names_its_setting() {
        refuses(|s| s.group_bytes = 0, "group_bytes");
        refuses(|s| s.queue_records = 0, "queue_records");
        refuses(|s| s.queue_bytes = s.group_bytes - 1, "queue_bytes");
        refuses(|s| s.segment_bytes = s.group_bytes as u64, "segment_bytes");
        refuses(|s| s.segment_bytes = SEGMENT_LIMIT_BYTES + 1, "segment_bytes");
        refuses(|s| s.quota_bytes = 2 * s.segment_bytes - 1, "quota_bytes");
    }

    #[test]
    fn the_edges_are_allowed() {
        let mut settings = JournalSettings::new("x");
        settings.group_bytes = 1;
        settings.queue_bytes = 1;
        settings.queue_records = 1;
        settings.segment_bytes = HEADER_BYTES + CONTROL_RESERVE_BYTES + RECORDS_FRAME_BYTES + 1;
        settings.quota_bytes = 2 * settings.segment_bytes;
        settings.validate().expect("valid");
        settings.segment_bytes = SEGMENT_LIMIT_BYTES;
        settings.quota_bytes = 2 * SEGMENT_LIMIT_BYTES;
        settings.validate().expect("valid");
    }
}
