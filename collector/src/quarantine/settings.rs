//! What an operator can decide about the quarantine, and what follows from it.

use std::path::PathBuf;

use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_DAY;

use super::QuarantineError;

/// The smallest quota: segments of 64 KiB.
pub const QUOTA_MIN_BYTES: u64 = 1 << 20;
/// The quota has to be at least so many times the largest body: a segment for each sixteenth of it, and three bodies in
/// a segment. Text that arrives as Latin-1 doubles in a record, and an entry that is replayed holds its request as well.
pub const QUOTA_PER_BODY: u64 = 3 * SEGMENTS_PER_QUOTA;
/// Segments in the quota.
const SEGMENTS_PER_QUOTA: u64 = 16;

/// Settings of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineSettings {
    /// The quarantine's own directory; created when missing.
    pub directory: PathBuf,
    /// Most bytes that its files together may take. Entries take at most half of it; the other half is for what is
    /// gone and not yet cleaned up.
    pub quota_bytes: u64,
    /// Most entries.
    pub entries: usize,
    /// An entry goes when no equal one came for so many days.
    pub age_days: u32,
}

impl QuarantineSettings {
    /// The default settings for `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), quota_bytes: 256 << 20, entries: 10_000, age_days: 35 }
    }

    /// Checks the limits.
    ///
    /// # Errors
    /// [`QuarantineError::Settings`] names the first setting that is outside of them.
    pub fn validate(&self) -> Result<(), QuarantineError> {
        let rules = [
            (self.quota_bytes >= QUOTA_MIN_BYTES, format!("quota_bytes must be at least {QUOTA_MIN_BYTES}")),
            (self.entries >= 1, "entries must be at least 1".to_owned()),
            (self.age_days >= 1, "age_days must be at least 1".to_owned()),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(QuarantineError::Settings(message)),
            None => Ok(()),
        }
    }

    /// Size at which a segment is full; the last write into it may go beyond by a group or one entry.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.quota_bytes / SEGMENTS_PER_QUOTA
    }

    /// Most bytes of entries that are kept.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.quota_bytes / 2
    }

    /// Above so many bytes of files the oldest segment is cleaned. What is between this and the quota takes the
    /// entries that move, and the last write of a segment.
    #[must_use]
    pub fn clean_above_bytes(&self) -> u64 {
        self.quota_bytes / 4 * 3
    }

    /// Most bytes of entries that are written, read or replayed at a time, except a single entry that is larger.
    #[must_use]
    pub fn group_bytes(&self) -> u64 {
        self.segment_bytes() / 4
    }

    /// Most bytes of a single entry.
    #[must_use]
    pub fn entry_limit_bytes(&self) -> u64 {
        self.segment_bytes() * 5 / 4
    }

    /// What was last seen before this instant is too old at `now`.
    #[must_use]
    pub fn expired_before(&self, now: TimestampUs) -> TimestampUs {
        TimestampUs(now.0.saturating_sub(i64::from(self.age_days) * US_PER_DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_at_their_edges() {
        let smallest = QuarantineSettings {
            quota_bytes: QUOTA_MIN_BYTES,
            entries: 1,
            age_days: 1,
            ..QuarantineSettings::new("q")
        };
        assert!(smallest.validate().is_ok() && QuarantineSettings::new("q").validate().is_ok());
        let bad = [
            QuarantineSettings { quota_bytes: QUOTA_MIN_BYTES - 1, ..smallest.clone() },
            QuarantineSettings { entries: 0, ..smallest.clone() },
            QuarantineSettings { age_days: 0, ..smallest },
        ];
        for settings in bad {
            assert!(matches!(settings.validate(), Err(QuarantineError::Settings(_))), "{settings:?}");
        }
    }

    #[test]
    fn the_worst_case_fits_into_the_quota() {
        let s = QuarantineSettings::new("q");
        // Just above the threshold, a whole group comes and the oldest segment, as large as it can be, moves.
        let largest_write = s.group_bytes().max(s.entry_limit_bytes());
        let largest_segment = s.segment_bytes() + largest_write;
        assert!(s.clean_above_bytes() + largest_write + largest_segment <= s.quota_bytes);
        assert!(s.kept_bytes() + s.group_bytes() < s.clean_above_bytes(), "cleaning comes to an end");
    }

    #[test]
    fn ages_count_in_days() {
        let settings = QuarantineSettings { age_days: 2, ..QuarantineSettings::new("q") };
        assert_eq!(settings.expired_before(TimestampUs(2 * US_PER_DAY + 1)), TimestampUs(1));
    }
}
