//! Fingerprints: 87 bits that stand for every field of a report.
//!
//! They are made with SipHash-1-3 under a secret key. Whoever sends records decides what is hashed: with a hash that
//! they can compute they could prepare a record that equals another machine's fingerprint, and silence it. Without the
//! key they cannot, and nobody is shown a fingerprint: hash maps rely on these few rounds for the same reason. Two
//! reports that differ agree by accident once in 2^87 pairs.

use std::hash::{BuildHasher, Hasher, RandomState};

use siphasher::sip128::{Hasher128, SipHasher13};
use telemetrics_schema::Report;

/// Bytes of a key as it is kept.
pub(super) const KEY_BYTES: usize = 16;

/// What stands for a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(pub(super) u128);

impl Fingerprint {
    /// As many as fit beside the rest of an entry into three words.
    pub(super) const BITS: u32 = 87;

    /// The lowest [`Fingerprint::BITS`] bits of a hash.
    pub(super) const fn of(hash: u128) -> Self {
        Self(hash & ((1 << Self::BITS) - 1))
    }
}

/// What fingerprints are made with; those of different keys cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) [u8; KEY_BYTES]);

impl Key {
    /// A key that senders of records cannot guess.
    pub(super) fn random() -> Self {
        // The standard library seeds its hash maps from the system's randomness, which saves a dependency here.
        let seed = RandomState::new();
        let halves = [seed.hash_one("first half"), seed.hash_one("second half")];
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&halves[0].to_le_bytes());
        key[8..].copy_from_slice(&halves[1].to_le_bytes());
        Self(key)
    }

    /// Equal for reports that are equal in every field, and for no others.
    pub(super) fn fingerprint(&self, report: &Report) -> Fingerprint {
        // Named one by one, so that a new field cannot be forgotten here.
        let Report {
            record_format_version,
            classification,
            severity,
            machine_id,
            ts_capture_s,
            arch,
            host_type,
            build,
            kernel_version,
            payload_format_version,
            system_name,
            board_name,
            cpu_model,
            bios_version,
            event_id,
            external,
            payload,
        } = report;
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(&record_format_version.to_le_bytes());
        hasher.write(&severity.to_le_bytes());
        hasher.write(&ts_capture_s.to_le_bytes());
        hasher.write(&payload_format_version.to_le_bytes());
        hasher.write(&[u8::from(*external)]);
        let texts = [
            classification,
            machine_id,
            arch,
            host_type,
            build,
            kernel_version,
            system_name,
            board_name,
            cpu_model,
            bios_version,
            event_id,
            payload,
        ];
        for text in texts {
            // With its length in front no text can pass for a part of its neighbour.
            hasher.write(&(text.len() as u64).to_le_bytes());
            hasher.write(text.as_bytes());
        }
        Fingerprint::of(hasher.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; KEY_BYTES]);

    /// As many reports as there are fields, each with another value in one of them.
    fn changed_in_one_field() -> Vec<Report> {
        let change = |change: fn(&mut Report)| {
            let mut report = Report::default();
            change(&mut report);
            report
        };
        vec![
            change(|r| r.record_format_version = 1),
            change(|r| r.classification = "x".into()),
            change(|r| r.severity = 1),
            change(|r| r.machine_id = "x".into()),
            change(|r| r.ts_capture_s = 1),
            change(|r| r.arch = "x".into()),
            change(|r| r.host_type = "x".into()),
            change(|r| r.build = "x".into()),
            change(|r| r.kernel_version = "x".into()),
            change(|r| r.payload_format_version = 1),
            change(|r| r.system_name = "x".into()),
            change(|r| r.board_name = "x".into()),
            change(|r| r.cpu_model = "x".into()),
            change(|r| r.bios_version = "x".into()),
            change(|r| r.event_id = "x".into()),
            change(|r| r.external = true),
            change(|r| r.payload = "x".into()),
        ]
    }

    #[test]
    fn every_field_counts() {
        let mut reports = changed_in_one_field();
        reports.push(Report::default());
        for (at, report) in reports.iter().enumerate() {
            assert_eq!(KEY.fingerprint(report), KEY.fingerprint(&report.clone()));
            for other in &reports[..at] {
                assert_ne!(KEY.fingerprint(report), KEY.fingerprint(other), "{report:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_text_cannot_pass_for_a_part_of_its_neighbour() {
        let one = Report { event_id: "ab".into(), payload: "c".into(), ..Report::default() };
        let other = Report { event_id: "a".into(), payload: "bc".into(), ..Report::default() };
        assert_ne!(KEY.fingerprint(&one), KEY.fingerprint(&other));
    }

    #[test]
    fn another_key_makes_other_fingerprints() {
        let (one, other) = (Key::random(), Key::random());
        assert!(one != other && one.0[..8] != one.0[8..]);
        assert_ne!(one.fingerprint(&Report::default()), other.fingerprint(&Report::default()));
    }

    #[test]
    fn the_fingerprint_is_that_of_earlier_versions() {
        // Logs of older versions of the program hold fingerprints: a change here forgets them all.
        let report = Report { payload: "known".into(), ..Report::default() };
        assert_eq!(format!("{:032x}", KEY.fingerprint(&report).0), "00000000003313fe9a14ba3eb3833bdc");
    }
}
