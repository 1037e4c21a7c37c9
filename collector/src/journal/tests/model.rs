//! Random lists of operations against a simple model of what the outside world was told.

use proptest::prelude::*;

use super::forgetful::Forgetful;
use super::rig::{Open, TestClock, World, small_settings};

#[derive(Debug, Clone)]
enum Step {
    /// One group with so many records in each append.
    Append(Vec<usize>),
    Seal(usize),
    Confirm,
    /// After some disk operations, some more of them fail.
    Fail(u64, u64),
    /// The process is killed and started again.
    Kill,
    /// The machine loses its power; the number decides what survives.
    PowerCut(u64),
    /// Power ends after some disk operations, and again during so many of the recovery.
    DieSoon(u64, u64, u64),
    ClockBack(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(1_usize..4, 1..4).prop_map(Step::Append),
        3 => (1_usize..9).prop_map(Step::Seal),
        3 => Just(Step::Confirm),
        2 => (0_u64..8, 1_u64..8).prop_map(|(after, count)| Step::Fail(after, count)),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerCut),
        1 => (0_u64..12, any::<u64>(), 0_u64..10).prop_map(|(after, seed, again)| Step::DieSoon(after, seed, again)),
        1 => (0_i64..10_000_000).prop_map(Step::ClockBack),
    ]
}

struct Life {
    disk: Forgetful,
    clock: std::sync::Arc<TestClock>,
    world: World,
    journal: Option<Open>,
    dying: Option<(u64, u64)>,
}

impl Life {
    fn new(allocates: bool) -> Self {
        let (disk, clock) = (Forgetful::new(), TestClock::new());
        if !allocates {
            disk.cannot_allocate();
        }
        let journal = Open::new(&disk, &small_settings(), &clock).ok();
        Self { disk, clock, world: World::default(), journal, dying: None }
    }

    fn step(&mut self, step: &Step) {
        let Some(journal) = &mut self.journal else { return };
        match step {
            Step::Append(sizes) => self.world.append(journal, sizes),
            Step::Seal(rows) => self.world.seal(journal, *rows),
            Step::Confirm => self.world.confirm(journal),
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
        } else if let Some(journal) = &self.journal {
            self.world.check_shown(journal);
        }
    }

    fn resurrect(&mut self) {
        let (seed, again) = self.dying.take().unwrap_or_default();
        let disk = self.disk.after_power_cut(seed);
        disk.die_after(again);
        drop(Open::new(&disk, &small_settings(), &self.clock));
        self.reopen(disk.after_power_cut(seed ^ 1));
    }

    fn reopen(&mut self, disk: Forgetful) {
        self.dying = None;
        self.disk = disk;
        self.journal = None;
        let journal = Open::new(&self.disk, &small_settings(), &self.clock).expect("nothing acknowledged is damaged");
        self.world.check(&journal);
        self.journal = Some(journal);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_comes_back_once(
        steps in prop::collection::vec(step(), 1..60), allocates in any::<bool>(), seed in any::<u64>()
    ) {
        let mut life = Life::new(allocates);
        for step in &steps {
            life.step(step);
        }
        life.reopen(life.disk.after_kill());
        life.reopen(life.disk.after_power_cut(seed));
        // A journal on a healthy disk always takes records again.
        let before = life.world.acknowledged.len();
        life.step(&Step::Append(vec![1]));
        prop_assert_eq!(life.world.acknowledged.len(), before + 1);
    }
}
