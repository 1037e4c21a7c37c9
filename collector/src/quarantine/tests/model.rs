//! Random lists of operations, with failures and crashes, against what the outside world was told.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::QuarantineSettings;
use super::rig::{Open, TestClock, World, small};
use crate::journal::tests::forgetful::Forgetful;

#[derive(Debug, Clone)]
enum Step {
    Owe(usize),
    OweAgain(usize),
    Prove(usize),
    Discard(usize),
    /// Seals so many, and perhaps delivers and settles them.
    Replay(usize, bool),
    /// After some disk operations, some more of them fail.
    Fail(u64, u64),
    Kill,
    PowerCut(u64),
    /// Power ends after some disk operations, and again during so many of the recovery.
    DieSoon(u64, u64, u64),
    ClockBack(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_usize..5).prop_map(Step::Owe),
        2 => (0_usize..20).prop_map(Step::OweAgain),
        5 => (1_usize..20).prop_map(Step::Prove),
        2 => (0_usize..20).prop_map(Step::Discard),
        3 => (1_usize..6, any::<bool>()).prop_map(|(rows, goes_on)| Step::Replay(rows, goes_on)),
        2 => (0_u64..8, 1_u64..8).prop_map(|(after, count)| Step::Fail(after, count)),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerCut),
        1 => (0_u64..12, any::<u64>(), 0_u64..10).prop_map(|(after, seed, again)| Step::DieSoon(after, seed, again)),
        1 => (0_i64..10_000_000).prop_map(Step::ClockBack),
    ]
}

struct Life {
    disk: Forgetful,
    settings: QuarantineSettings,
    clock: Arc<TestClock>,
    world: World,
    open: Option<Open>,
    dying: Option<(u64, u64)>,
}

impl Life {
    fn new(settings: QuarantineSettings) -> Self {
        let (disk, clock) = (Forgetful::new(), TestClock::new());
        let open = Open::new(&disk, &settings, &clock).ok();
        Self { disk, settings, clock, world: World::default(), open, dying: None }
    }

    fn step(&mut self, step: &Step) {
        let Some(open) = &mut self.open else { return };
        match step {
            Step::Owe(count) => self.world.owe(open, *count),
            Step::OweAgain(at) => self.world.owe_again(open, *at),
            Step::Prove(count) => self.world.prove(open, *count),
            Step::Discard(at) => self.world.discard(open, *at),
            Step::Replay(rows, goes_on) => self.world.replay(open, *rows, *goes_on),
            Step::Fail(after, count) => self.disk.fail_after(*after, *count),
            Step::Kill => self.reopen(self.disk.after_kill()),
            Step::PowerCut(seed) => self.reopen(self.disk.after_power_cut(*seed)),
            Step::DieSoon(after, seed, again) => {
                self.disk.die_after(*after);
                self.dying = Some((*seed, *again));
            }
            Step::ClockBack(us) => self.clock.turn_by_us(-us),
        }
        if self.disk.is_dead() {
            self.resurrect();
        }
        self.check_limits();
    }

    fn check_limits(&self) {
        let used = self.disk.used_bytes() as u64;
        assert!(used <= self.settings.quota_bytes, "{used} bytes on disk");
    }

    fn resurrect(&mut self) {
        let (seed, again) = self.dying.take().unwrap_or_default();
        let disk = self.disk.after_power_cut(seed);
        disk.die_after(again);
        drop(Open::new(&disk, &self.settings, &self.clock));
        self.reopen(disk.after_power_cut(seed ^ 1));
    }

    fn reopen(&mut self, disk: Forgetful) {
        self.dying = None;
        self.disk = disk;
        self.open = None;
        let mut open = Open::new(&self.disk, &self.settings, &self.clock).expect("nothing promised is damaged");
        self.world.check(&mut open);
        self.open = Some(open);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_was_promised_comes_back_once(
        steps in prop::collection::vec(step(), 1..60), entries in 3_usize..50, seed in any::<u64>()
    ) {
        let mut life = Life::new(QuarantineSettings { entries, ..small() });
        for step in &steps {
            life.step(step);
        }
        life.reopen(life.disk.after_kill());
        life.reopen(life.disk.after_power_cut(seed));
        // On a healthy disk everything that is left can be replayed, and is in the store once.
        let owed: Vec<_> = life.world.owed.keys().copied().collect();
        for _ in 0..=owed.len() {
            life.step(&Step::Replay(5, true));
        }
        prop_assert!(life.world.owed.is_empty());
        prop_assert!(owed.iter().all(|id| life.world.store.get(id).is_some_and(|(_, times)| *times == 1)));
    }
}
