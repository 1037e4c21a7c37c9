//! The questions: one file each, parameters in, a plan in between, typed rows out.

pub mod attributes;
pub mod collectors;
pub mod contents;
pub mod counts;
pub mod crash_rate;
pub mod crash_totals;
pub mod crashes;
pub mod cursor;
pub mod derived;
pub mod expired;
pub mod frames;
mod grouped;
pub mod guilty;
pub mod guilty_strikes;
pub mod hardware;
pub mod held;
pub mod keys;
pub mod newest;
pub mod offered;
pub mod population;
pub mod records;
pub mod regrouped;
mod source;
pub mod stacks;
pub mod systems;
pub mod trends;
pub mod updates;
