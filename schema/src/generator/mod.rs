//! The seeded generator of plausible records: what a fleet of machines would have sent.
//!
//! Equal fleets give equal records on every machine: all randomness comes from the seed, all arithmetic is in integers.
//! Memory grows with the machines and with the records of one hour, not with the records of the whole window.

mod builds;
mod chance;
mod events;
mod fleet;
mod hardware;
mod kernel;
mod lottery;
mod machines;
mod names;
mod payloads;
mod plan;
mod schedule;
mod stacks;
mod world;
mod write;

pub use builds::Build;
pub use fleet::{DEMO_RECORDS, Fleet, Regression, SIZE_CORPUS_RECORDS, WINDOW_DAYS};

use std::vec;

use plan::{Plan, Planner};
use schedule::{Quota, Schedule};
use world::{Slice, World};
use write::Writer;

use crate::record::Report;
use crate::time::TimestampUs;

/// The fleet's records with the instants of their reception, in order of reception.
///
/// There are exactly `fleet.records` of them. The share of crashes is kept exactly, heartbeats and updates are what the
/// machines do, and all other events fill up what remains; where the routine of all machines would not leave room for
/// that, fewer machines take part. Records are made hour by hour as they are asked for.
pub fn generate(fleet: &Fleet) -> impl Iterator<Item = (TimestampUs, Report)> + Send + use<> {
    let Schedule { world, has_routine, quotas } = Schedule::new(fleet);
    let planner = Planner::new(fleet, &world);
    let writer = Writer::new(fleet);
    let hours = Slice::all(fleet).zip(quotas);
    Records { hours, has_routine, world, planner, writer, hour_start: fleet.start, hour: Vec::new().into_iter() }
}

/// The records of a fleet, an hour at a time.
struct Records<H> {
    hours: H,
    has_routine: bool,
    world: World,
    planner: Planner,
    writer: Writer,
    hour_start: TimestampUs,
    /// What is still to be written of the present hour.
    hour: vec::IntoIter<Plan>,
}

impl<H: Iterator<Item = (Slice, Quota)>> Records<H> {
    /// Plans the next hour; `None` after the last one.
    fn begin_hour(&mut self) -> Option<()> {
        let (slice, quota) = self.hours.next()?;
        let mut routine = Vec::new();
        self.world.advance(&slice, |done| routine.extend(self.has_routine.then_some(done)));
        let mut plans = Vec::new();
        self.planner.plan(&slice, &self.world, quota, &routine, &mut plans);
        self.hour_start = slice.start;
        self.hour = plans.into_iter();
        Some(())
    }
}

impl<H: Iterator<Item = (Slice, Quota)>> Iterator for Records<H> {
    type Item = (TimestampUs, Report);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(plan) = self.hour.next() {
                let at = TimestampUs(self.hour_start.0 + i64::from(plan.offset_us));
                return Some((at, self.writer.report(&self.world, &plan, at)));
            }
            self.begin_hour()?;
        }
    }
}

#[cfg(test)]
mod tests;
