//! The log on a disk that forgets what was not synced: what was noted survives processes that die and machines that lose
//! their power.

use proptest::prelude::*;
use telemetrics_schema::{RecordId, TimestampUs};

use super::super::WindowSettings;
use super::super::fingerprint::Fingerprint;
use super::super::log::Log;
use super::super::table::Entry;
use crate::journal::tests::forgetful::Forgetful;

/// A log as the window uses it: what is not noted is given again with the next batch.
struct Noting {
    disk: Forgetful,
    log: Log<Forgetful>,
    /// What the window knows, in its order.
    entries: Vec<Entry>,
    /// So many of them were noted.
    noted: usize,
    /// The last one that must survive whatever happens.
    promised: usize,
}

impl Noting {
    fn on(disk: Forgetful) -> Self {
        let mut entries = Vec::new();
        let settings = WindowSettings { file_records: 4, ..WindowSettings::new("unused") };
        let (log, _) = Log::on(disk.clone(), &settings, |entry| entries.push(entry)).expect("opened");
        entries.sort_by_key(|entry| entry.id);
        entries.dedup();
        Self { disk, log, noted: entries.len(), promised: 0, entries }
    }

    fn note(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let id = 1 + self.entries.iter().map(|entry| entry.id.0).max().unwrap_or(0);
            let fingerprint = Fingerprint(u128::from(id.unsigned_abs()) << 64);
            self.entries.push(Entry { fingerprint, id: RecordId(id), ts_reception: TimestampUs(id) });
        }
        let is_noted = self.log.append(&self.entries[self.noted..]).is_ok();
        if is_noted {
            (self.noted, self.promised) = (self.entries.len(), self.entries.len());
        }
        is_noted
    }

    /// Another process on `disk`; the journal still has what was not noted, and gives it again.
    fn again(self, disk: Forgetful) -> Self {
        let next = Self::on(disk);
        let missing = self.entries[..self.promised].iter().find(|entry| !next.entries.contains(entry));
        assert!(missing.is_none(), "{missing:?} was noted");
        let later: Vec<_> = self.entries.into_iter().filter(|entry| !next.entries.contains(entry)).collect();
        Self { promised: self.promised, entries: [next.entries, later].concat(), ..next }
    }

    fn killed(self) -> Self {
        let disk = self.disk.after_kill();
        self.again(disk)
    }

    fn without_power(self, seed: u64) -> Self {
        let disk = self.disk.after_power_cut(seed);
        self.again(disk)
    }
}

/// One operation fails, or is the last one of its process; the next process goes on, and then the power goes.
fn survives(harm: impl Fn(&Forgetful), seed: u64) {
    // A disk of its own chance: what a failed sync leaves on it is anybody's guess.
    let mut noting = Noting::on(Forgetful::new().after_power_cut(seed));
    assert!(noting.note(3));
    harm(&noting.disk);
    noting.note(3);
    let mut noting = noting.killed();
    assert!(noting.note(1), "the disk works again");
    noting.without_power(seed);
}

#[test]
fn what_was_read_after_a_failed_sync_survives_a_power_cut() {
    for operation in 0..10 {
        for seed in 0..32 {
            survives(|disk| disk.fail_after(operation, 1), seed);
        }
    }
}

#[test]
fn what_was_written_by_a_killed_process_survives_a_power_cut() {
    for operation in 0..10 {
        for seed in 0..32 {
            survives(|disk| disk.die_after(operation), seed);
        }
    }
}

/// What happens to a log.
#[derive(Debug, Clone)]
enum Step {
    Note(usize),
    Fail(u64),
    Kill(u64),
    PowerCut(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_usize..7).prop_map(Step::Note),
        2 => (0_u64..6).prop_map(Step::Fail),
        1 => (0_u64..8).prop_map(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerCut),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn what_was_noted_survives_everything(steps in steps(), seed: u64) {
        let mut noting = Noting::on(Forgetful::new().after_power_cut(seed));
        for step in steps {
            match step {
                Step::Note(count) => _ = noting.note(count),
                Step::Fail(operation) => noting.disk.fail_after(operation, 1),
                Step::Kill(operation) => {
                    noting.disk.die_after(operation);
                    noting.note(2);
                    noting = noting.killed();
                }
                Step::PowerCut(seed) => noting = noting.without_power(seed),
            }
        }
        noting.without_power(seed);
    }
}
